//! NVRTC, NVIDIA's compiler as a library, opened at run time.

use super::driver::{Driver, Handle, release};
use super::library::functions;
use nepal_core::error::{Error, Result};
use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::ptr;

functions! {
    /// NVRTC's functions (nvrtc.h).
    Functions {
        version = "nvrtcVersion" (*mut i32, *mut i32);
        n_archs = "nvrtcGetNumSupportedArchs" (*mut i32);
        archs = "nvrtcGetSupportedArchs" (*mut i32);
        create = "nvrtcCreateProgram" (*mut Handle, *const c_char, *const c_char, i32, *const *const c_char, *const *const c_char);
        destroy = "nvrtcDestroyProgram" (*mut Handle);
        compile = "nvrtcCompileProgram" (Handle, i32, *const *const c_char);
        log_size = "nvrtcGetProgramLogSize" (Handle, *mut usize);
        log = "nvrtcGetProgramLog" (Handle, *mut c_char);
        cubin_size = "nvrtcGetCUBINSize" (Handle, *mut usize);
        cubin = "nvrtcGetCUBIN" (Handle, *mut c_char);
        ptx_size = "nvrtcGetPTXSize" (Handle, *mut usize);
        ptx = "nvrtcGetPTX" (Handle, *mut c_char);
    }
}

/// The opened compiler.
#[derive(Debug)]
pub(super) struct Nvrtc {
    functions: Functions,
    /// Major and minor version.
    pub version: [i32; 2],
    /// Compute capabilities that it knows, 10 major + minor.
    archs: Vec<u32>,
}

/// What a compiler made: an image for the driver, and what it had to say.
#[derive(Debug)]
pub(super) struct Compiled {
    pub image: Vec<u8>,
    pub log: String,
}

impl Nvrtc {
    /// Opens NVRTC: the file or a file in the folder that is named, or one of the loader's, a CUDA
    /// toolkit's or a Python environment's. One that knows a device of this compute capability is
    /// preferred to one that only makes PTX for it. With a driver, one that it can run the code of.
    ///
    /// **Errors**: [`Error::Backend`] if there is none, saying where was looked.
    pub fn open(path: Option<&Path>, driver: Option<&Driver>, arch: u32) -> Result<Self> {
        let mut reasons = Vec::new();
        let mut second: Option<Self> = None;
        for candidate in candidates(path) {
            // SAFETY: opening runs the library's initialisers.
            let library = match unsafe { libloading::Library::new(&candidate) } {
                Ok(library) => library,
                Err(e) => {
                    if candidate.components().count() > 1 {
                        reasons.push(format!("{e}"));
                    }
                    continue;
                }
            };
            match Self::usable(library, driver, arch) {
                Ok(nvrtc) if nvrtc.nearest(arch) == Some(arch) => return Ok(nvrtc),
                Ok(nvrtc) => {
                    let nearer = |other: &Self| nvrtc.nearest(arch) > other.nearest(arch);
                    if second.as_ref().is_none_or(nearer) {
                        second = Some(nvrtc);
                    }
                }
                Err(reason) => reasons.push(format!("{}: {reason}", candidate.display())),
            }
        }
        if let Some(nvrtc) = second {
            return Ok(nvrtc);
        }
        let reasons = if reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", reasons.join("; "))
        };
        let package = match driver.map_or(12, |d| d.version / 1000) {
            11 => "nvidia-cuda-nvrtc-cu11",
            12 => "nvidia-cuda-nvrtc-cu12",
            _ => "nvidia-cuda-nvrtc",
        };
        Err(Error::Backend(format!(
            "no usable NVRTC was found{reasons}; install it (`pip install {package}`, or the CUDA toolkit), set NEPAL_NVRTC to its file if it lies elsewhere, or use the cpu backend"
        )))
    }

    /// An opened library as a compiler for a device, or why it is none.
    fn usable(
        library: libloading::Library,
        driver: Option<&Driver>,
        arch: u32,
    ) -> std::result::Result<Self, String> {
        let functions = Functions::find(library).map_err(|name| format!("it lacks {name}"))?;
        let nvrtc = Self::start(functions).map_err(|e| e.to_string())?;
        // Code of a release runs on drivers of it and later ones.
        if let Some(driver) = driver.filter(|d| nvrtc.version[0] > d.version / 1000) {
            return Err(format!(
                "it is of CUDA {}.{} and the driver of CUDA {}: its code would not run",
                nvrtc.version[0],
                nvrtc.version[1],
                release(driver.version)
            ));
        }
        nvrtc.target(arch).map_err(|e| e.to_string())?;
        Ok(nvrtc)
    }

    fn start(functions: Functions) -> Result<Self> {
        let mut version = [0; 2];
        let mut count = 0;
        let [major, minor] = &mut version;
        let mut archs: Vec<i32> = Vec::new();
        // SAFETY: NVRTC writes numbers, as many as it said.
        unsafe {
            check("nvrtcVersion", (functions.version)(major, minor), "")?;
            check(
                "nvrtcGetNumSupportedArchs",
                (functions.n_archs)(&mut count),
                "",
            )?;
            archs.resize(count.max(0) as usize, 0);
            let status = (functions.archs)(archs.as_mut_ptr());
            check("nvrtcGetSupportedArchs", status, "")?;
        }
        let archs = archs.into_iter().filter_map(|a| u32::try_from(a).ok());
        Ok(Self {
            functions,
            version,
            archs: archs.collect(),
        })
    }

    /// The newest compute capability that it knows and a device of this one runs.
    fn nearest(&self, arch: u32) -> Option<u32> {
        self.archs.iter().copied().filter(|&a| a <= arch).max()
    }

    /// How code for a compute capability is asked for: machine code where NVRTC knows it, else PTX
    /// for the nearest older one, which the driver translates.
    ///
    /// **Errors**: [`Error::Backend`] for a device that is older than all that NVRTC knows.
    pub fn target(&self, arch: u32) -> Result<String> {
        match self.nearest(arch) {
            Some(known) if known == arch => Ok(format!("sm_{arch}")),
            Some(known) => Ok(format!("compute_{known}")),
            None => Err(Error::Backend(format!(
                "NVRTC {}.{} makes no code for compute capability {}.{}; install an older one or use the cpu backend",
                self.version[0],
                self.version[1],
                arch / 10,
                arch % 10
            ))),
        }
    }

    /// The options that everything is compiled with.
    pub fn options(target: &str) -> Vec<String> {
        vec![format!("--gpu-architecture={target}"), "--std=c++17".into()]
    }

    /// Compiles a text.
    ///
    /// **Errors**: [`Error::Backend`] with the compiler's log.
    pub fn compile(&self, source: &str, options: &[String]) -> Result<Compiled> {
        let text = |s: &str| {
            CString::new(s).map_err(|_| Error::Internal("a zero byte in the kernels' text".into()))
        };
        let (source, name) = (text(source)?, text("nepal.cu")?);
        let options = options
            .iter()
            .map(|s| text(s))
            .collect::<Result<Vec<_>>>()?;
        let pointers: Vec<_> = options.iter().map(|s| s.as_ptr()).collect();
        let f = &self.functions;
        let mut program = ptr::null_mut();
        // SAFETY: texts that end with a zero and live until the program is destroyed; no headers.
        let status = unsafe {
            (f.create)(
                &mut program,
                source.as_ptr(),
                name.as_ptr(),
                0,
                ptr::null(),
                ptr::null(),
            )
        };
        check("nvrtcCreateProgram", status, "")?;
        // SAFETY: a live program, and as many options as told.
        let status = unsafe { (f.compile)(program, pointers.len() as i32, pointers.as_ptr()) };
        let log = self.text(program, f.log_size, f.log);
        let machine_code = options
            .iter()
            .any(|o| o.to_bytes().starts_with(b"--gpu-architecture=sm_"));
        let (size, get) = if machine_code {
            (f.cubin_size, f.cubin)
        } else {
            (f.ptx_size, f.ptx)
        };
        let image = if status == 0 {
            self.text(program, size, get)
        } else {
            Vec::new()
        };
        // SAFETY: made above, not used below.
        unsafe { (f.destroy)(&mut program) };
        let log = String::from_utf8_lossy(&log)
            .trim_matches('\0')
            .trim()
            .to_owned();
        check("nvrtcCompileProgram", status, &log)?;
        if image.is_empty() {
            return Err(Error::Backend(format!(
                "NVRTC gave no code; please report it with this log: {log}"
            )));
        }
        Ok(Compiled { image, log })
    }

    /// Bytes that a program has to give; none if it fails.
    fn text(
        &self,
        program: Handle,
        size: unsafe extern "C" fn(Handle, *mut usize) -> i32,
        get: unsafe extern "C" fn(Handle, *mut c_char) -> i32,
    ) -> Vec<u8> {
        let mut len = 0;
        // SAFETY: a live program.
        if unsafe { size(program, &mut len) } != 0 {
            return Vec::new();
        }
        let mut bytes = vec![0u8; len];
        // SAFETY: NVRTC writes as many bytes as it said.
        if unsafe { get(program, bytes.as_mut_ptr().cast()) } != 0 {
            bytes.clear();
        }
        bytes
    }
}

fn check(call: &str, status: i32, log: &str) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let what = match status {
        1 => "is out of memory",
        5 => "does not know an option; it may be too old (NVRTC 11.2 or later is needed)",
        6 => "does not accept the kernels; please report it",
        7 => "lacks its builtins library; reinstall it whole",
        _ => "failed",
    };
    Err(Error::Backend(format!(
        "NVRTC {what} ({call}, status {status}){}{log}",
        if log.is_empty() { "" } else { ": " }
    )))
}

/// Files that may be NVRTC, best first.
fn candidates(path: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = path {
        return if path.is_dir() {
            libraries(path)
        } else {
            vec![path.to_owned()]
        };
    }
    if cfg!(windows) {
        return [
            "nvrtc64_130_0.dll",
            "nvrtc64_120_0.dll",
            "nvrtc64_112_0.dll",
        ]
        .map(PathBuf::from)
        .to_vec();
    }
    let names = [
        "libnvrtc.so",
        "libnvrtc.so.13",
        "libnvrtc.so.12",
        "libnvrtc.so.11.2",
    ];
    let mut all: Vec<PathBuf> = names.map(PathBuf::from).to_vec();
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let toolkits = [
        folder("CUDA_HOME"),
        folder("CUDA_PATH"),
        Some("/usr/local/cuda".into()),
    ];
    for toolkit in toolkits.into_iter().flatten() {
        all.extend(libraries(&toolkit.join("lib64")));
    }
    let homes = [
        folder("VIRTUAL_ENV"),
        folder("CONDA_PREFIX"),
        folder("HOME").map(|home| home.join(".local")),
        Some("/usr/local".into()),
    ];
    for home in homes.into_iter().flatten() {
        all.extend(libraries(&home.join("lib")));
        for python in subfolders(&home.join("lib")) {
            for packages in ["site-packages", "dist-packages"] {
                for package in subfolders(&python.join(packages).join("nvidia")) {
                    all.extend(libraries(&package.join("lib")));
                }
            }
        }
    }
    all
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

/// NVRTC's libraries in a folder, newest first.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| name.starts_with("libnvrtc.so"))
        })
        .collect();
    all.sort();
    all.reverse();
    all
}
