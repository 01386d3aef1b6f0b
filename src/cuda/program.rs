//! Kernels of a shape, compiled once and kept: in memory, and on disk between runs.

use super::Options;
use super::args::Args;
use super::driver::{Device, Handle};
use super::nvrtc::Nvrtc;
use nepal_core::error::{Error, Result};
use nepal_core::files::{fnv1a, write_atomically};
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::io::Read;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Threads of a block, as `NEPAL_KERNEL` promises.
const BLOCK: u64 = 128;
/// Blocks of a launch at most; the kernels' loops see to the rest.
const MAX_BLOCKS: u64 = 1 << 30;

/// What cached files begin with. The kernels' text is part of the key, so that a new version of
/// nepal asks for other files.
const MAGIC: &[u8; 8] = b"nepalcu1";

/// Images made or read by this process, by key.
static IMAGES: LazyLock<Mutex<HashMap<String, Arc<Vec<u8>>>>> = LazyLock::new(Mutex::default);

fn images() -> MutexGuard<'static, HashMap<String, Arc<Vec<u8>>>> {
    IMAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the kernels of a text get, all of them the same.
///
/// # Safety
/// The layout is that of the twin in `kernels/`.
pub(super) unsafe trait Arguments {}
// SAFETY: eight bytes a field, in the order of `kernels/args.cuh`.
unsafe impl Arguments for Args {}

/// Kernels on a device.
#[derive(Debug)]
pub(super) struct Program {
    device: Arc<Device>,
    module: Handle,
    functions: Mutex<HashMap<&'static str, usize>>,
    clock: Option<Mutex<Clock>>,
}

// SAFETY: modules and functions belong to a context, not to a thread.
unsafe impl Send for Program {}

impl Program {
    /// The kernels of a text for a device: from memory, from disk, or from NVRTC.
    ///
    /// **Errors**: [`Error::Backend`] without NVRTC, and when it or the driver fails.
    pub fn new(device: &Arc<Device>, source: &str, options: &Options) -> Result<Self> {
        let key = key(source, device.arch);
        let kept = images().get(&key).cloned();
        // A driver may refuse what another one took: then it is compiled again.
        if let Some(image) = kept.or_else(|| read(options, &key).map(Arc::new))
            && let Ok(program) = Self::load(device, &image)
        {
            images().insert(key, image);
            return Ok(program);
        }
        let nvrtc = Nvrtc::open(options.nvrtc.as_deref(), Some(&device.driver), device.arch)?;
        let target = nvrtc.target(device.arch)?;
        let image = Arc::new(nvrtc.compile(source, &Nvrtc::options(&target))?.image);
        let program = Self::load(device, &image)?;
        // PTX depends on the driver that translates it, and is not kept.
        if target.starts_with("sm_") {
            write(options, &key, &image);
            images().insert(key, image);
        }
        Ok(program)
    }

    fn load(device: &Arc<Device>, image: &[u8]) -> Result<Self> {
        // PTX is a text: the driver looks for its end.
        let mut bytes = image.to_vec();
        bytes.push(0);
        let mut module = ptr::null_mut();
        let _current = device.enter()?;
        // SAFETY: an image that is whole; the driver copies it.
        let status =
            unsafe { (device.driver.functions.module_load)(&mut module, bytes.as_ptr().cast()) };
        device.driver.check("cuModuleLoadData", status)?;
        Ok(Self {
            device: Arc::clone(device),
            module,
            functions: Mutex::default(),
            clock: None,
        })
    }

    fn function(&self, name: &'static str) -> Result<Handle> {
        let mut functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = functions.get(name) {
            return Ok(function as Handle);
        }
        let text = CString::new(name)
            .map_err(|_| Error::Internal("a zero byte in a kernel's name".into()))?;
        let mut function = ptr::null_mut();
        // SAFETY: a live module of the current context, and a text that ends with a zero.
        let status = unsafe {
            (self.device.driver.functions.module_function)(
                &mut function,
                self.module,
                text.as_ptr(),
            )
        };
        self.device
            .driver
            .check(&format!("cuModuleGetFunction({name})"), status)?;
        functions.insert(name, function as usize);
        Ok(function)
    }

    /// Hands a kernel to the stream, a thread for each of `threads` things; nothing for none.
    ///
    /// **Errors**: [`Error::Backend`]; what goes wrong on the device shows at the next wait.
    pub fn launch<A: Arguments>(&self, name: &'static str, threads: u64, args: &A) -> Result<()> {
        if threads == 0 {
            return Ok(());
        }
        let device = &self.device;
        let _current = device.enter()?;
        let function = self.function(name)?;
        let blocks = threads.div_ceil(BLOCK).min(MAX_BLOCKS) as u32;
        let mut parameters = [ptr::from_ref(args).cast_mut().cast::<c_void>()];
        let started = self.mark()?;
        // SAFETY: every kernel takes one of its arguments, which the driver copies before it returns; the
        // addresses in it belong to buffers that outlive the launch, because they are freed with
        // cuMemFree, which waits for the device.
        let status = unsafe {
            (device.driver.functions.launch)(
                function,
                blocks,
                1,
                1,
                BLOCK as u32,
                1,
                1,
                0,
                device.stream,
                parameters.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        device
            .driver
            .check(&format!("the launch of {name}"), status)?;
        if let (Some(clock), Some(start), Some(end)) = (&self.clock, started, self.mark()?) {
            let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
            clock.0.push((name, start, end));
        }
        Ok(())
    }

    /// Starts or stops timing every launch.
    pub fn time(&mut self, on: bool) {
        self.clock = on.then(Mutex::default);
    }

    /// Milliseconds of each launch since the last call.
    ///
    /// **Errors**: [`Error::Backend`] if the driver cannot tell.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        let Some(clock) = &self.clock else {
            return Ok(Vec::new());
        };
        self.device.wait()?;
        let marks = std::mem::take(&mut *clock.lock().unwrap_or_else(PoisonError::into_inner));
        let _current = self.device.enter()?;
        let f = &self.device.driver.functions;
        let mut times = Vec::with_capacity(marks.0.len());
        for (name, start, end) in &marks.0 {
            let mut elapsed = 0.0f32;
            // SAFETY: two recorded events, which the stream has passed.
            let status = unsafe { (f.event_elapsed)(&mut elapsed, start.handle, end.handle) };
            self.device.driver.check("cuEventElapsedTime", status)?;
            times.push((*name, f64::from(elapsed)));
        }
        Ok(times)
    }

    /// A point in the stream, while launches are timed. The context is current.
    fn mark(&self) -> Result<Option<Event>> {
        if self.clock.is_none() {
            return Ok(None);
        }
        let (driver, f) = (&self.device.driver, &self.device.driver.functions);
        let mut handle = ptr::null_mut();
        // SAFETY: writes the event, which is destroyed when it is dropped.
        driver.check("cuEventCreate", unsafe { (f.event_create)(&mut handle, 0) })?;
        let event = Event {
            device: Arc::clone(&self.device),
            handle,
        };
        // SAFETY: a live event and stream of one context.
        let status = unsafe { (f.event_record)(handle, self.device.stream) };
        driver.check("cuEventRecord", status)?;
        Ok(Some(event))
    }
}

/// The launches that were timed.
#[derive(Debug, Default)]
struct Clock(Vec<(&'static str, Event, Event)>);

/// A point in a stream.
#[derive(Debug)]
struct Event {
    device: Arc<Device>,
    handle: Handle,
}

// SAFETY: events belong to a context, not to a thread.
unsafe impl Send for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.enter() {
            // SAFETY: made in `mark`.
            unsafe { (self.device.driver.functions.event_destroy)(self.handle) };
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.enter() {
            // SAFETY: loaded in `load`, used by nobody else; work under way is waited for.
            unsafe {
                (self.device.driver.functions.stream_synchronize)(self.device.stream);
                (self.device.driver.functions.module_unload)(self.module);
            }
        }
    }
}

/// Compiles a text for devices of a compute capability and keeps the image on disk.
///
/// **Errors**: [`Error::Backend`] without NVRTC, for one that does not know the capability, and if
/// the file cannot be written.
pub(super) fn keep(source: &str, arch: u32, options: &Options) -> Result<()> {
    let key = key(source, arch);
    if read(options, &key).is_some() {
        return Ok(());
    }
    let nvrtc = Nvrtc::open(options.nvrtc.as_deref(), None, arch)?;
    let target = nvrtc.target(arch)?;
    if !target.starts_with("sm_") {
        return Err(Error::Backend(format!(
            "this NVRTC does not know compute capability {}.{}; install a newer one",
            arch / 10,
            arch % 10
        )));
    }
    let image = nvrtc.compile(source, &Nvrtc::options(&target))?.image;
    write(options, &key, &image);
    match read(options, &key) {
        Some(_) => Ok(()),
        None => Err(Error::Backend(match &options.cache {
            Some(folder) => format!("no kernels could be written to {}", folder.display()),
            None => "kernels have no folder to be kept in; set NEPAL_KERNEL_CACHE".into(),
        })),
    }
}

/// Tells texts and devices apart.
fn key(source: &str, arch: u32) -> String {
    format!(
        "{:016x}{:016x}-sm{arch}",
        fnv1a(source.as_bytes()),
        fnv1a(format!("{}{source}", source.len()).as_bytes()),
    )
}

fn file(options: &Options, key: &str) -> Option<PathBuf> {
    Some(options.cache.as_ref()?.join(format!("{key}.cubin")))
}

/// An image from disk; none if it is not there, damaged, or somebody else could have written it: what it
/// holds would run in this process's name.
fn read(options: &Options, key: &str) -> Option<Vec<u8>> {
    let path = file(options, key)?;
    // Asked before it is opened, which for a FIFO would wait.
    trusted(&std::fs::metadata(&path).ok()?).then_some(())?;
    let mut file = std::fs::File::open(path).ok()?;
    trusted(&file.metadata().ok()?).then_some(())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let image = bytes.strip_prefix(MAGIC)?;
    let (sum, image) = image.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*sum) == fnv1a(image)).then(|| image.to_vec())
}

/// Whether a file is this user's or root's, and nobody else may write it.
#[cfg(unix)]
fn trusted(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    unsafe extern "C" {
        safe fn geteuid() -> u32;
    }
    found.is_file() && [0, geteuid()].contains(&found.uid()) && found.mode() & 0o022 == 0
}

#[cfg(not(unix))]
fn trusted(found: &std::fs::Metadata) -> bool {
    found.is_file()
}

/// Keeps an image on disk. A folder that cannot be written costs the next run a compilation, no
/// more.
fn write(options: &Options, key: &str, image: &[u8]) {
    let Some(file) = file(options, key) else {
        return;
    };
    if let Some(folder) = file.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(fnv1a(image).to_le_bytes());
    bytes.extend(image);
    let written = write_atomically(&file, &bytes);
    // Whatever the umask allows: others that may write it make it useless.
    #[cfg(unix)]
    if written.is_ok() {
        use std::os::unix::fs::PermissionsExt;
        let _ = std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600));
    }
    #[cfg(not(unix))]
    let _ = written;
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn kernels_that_others_could_have_written_are_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            cache: Some(folder.path().to_owned()),
            ..Options::default()
        };
        write(&options, "a", b"image");
        assert_eq!(read(&options, "a").unwrap(), b"image");
        let path = file(&options, "a").unwrap();
        for mode in [0o620, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&options, "a"), None, "{mode:o}");
        }
        // Compiled again, it is ours.
        write(&options, "a", b"image");
        assert_eq!(read(&options, "a").unwrap(), b"image");
        // Another user's, where this one may give files away.
        if std::os::unix::fs::chown(&path, Some(12345), None).is_ok() {
            assert_eq!(read(&options, "a"), None);
        }
        let fifo = file(&options, "b").unwrap();
        let made = std::process::Command::new("mkfifo").arg(fifo).status();
        assert!(made.unwrap().success());
        assert_eq!(read(&options, "b"), None);
    }
}
