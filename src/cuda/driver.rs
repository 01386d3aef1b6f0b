//! The CUDA driver, opened at run time; its absence is an ordinary condition.

use super::library::functions;
use nepal_core::error::{Error, Result};
use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

/// An object of the driver: context, stream, module, function, event.
pub(super) type Handle = *mut c_void;

functions! {
    /// The driver's functions, by the names of the versions whose types these are (cuda.h).
    Functions {
        init = "cuInit" (u32);
        driver_version = "cuDriverGetVersion" (*mut i32);
        device_count = "cuDeviceGetCount" (*mut i32);
        device = "cuDeviceGet" (*mut i32, i32);
        device_name = "cuDeviceGetName" (*mut c_char, i32, i32);
        attribute = "cuDeviceGetAttribute" (*mut i32, i32, i32);
        retain = "cuDevicePrimaryCtxRetain" (*mut Handle, i32);
        push = "cuCtxPushCurrent_v2" (Handle);
        pop = "cuCtxPopCurrent_v2" (*mut Handle);
        stream_create = "cuStreamCreate" (*mut Handle, u32);
        stream_destroy = "cuStreamDestroy_v2" (Handle);
        stream_wait = "cuStreamWaitEvent" (Handle, Handle, u32);
        stream_synchronize = "cuStreamSynchronize" (Handle);
        memory_info = "cuMemGetInfo_v2" (*mut usize, *mut usize);
        allocate = "cuMemAlloc_v2" (*mut u64, usize);
        free = "cuMemFree_v2" (u64);
        host_allocate = "cuMemHostAlloc" (*mut *mut c_void, usize, u32);
        host_free = "cuMemFreeHost" (*mut c_void);
        to_device = "cuMemcpyHtoDAsync_v2" (u64, *const c_void, usize, Handle);
        to_host = "cuMemcpyDtoHAsync_v2" (*mut c_void, u64, usize, Handle);
        pointer_attribute = "cuPointerGetAttribute" (*mut c_void, i32, u64);
        set_bytes = "cuMemsetD8Async" (u64, u8, usize, Handle);
        module_load = "cuModuleLoadData" (*mut Handle, *const c_void);
        module_unload = "cuModuleUnload" (Handle);
        module_function = "cuModuleGetFunction" (*mut Handle, Handle, *const c_char);
        launch = "cuLaunchKernel" (Handle, u32, u32, u32, u32, u32, u32, u32, Handle, *mut *mut c_void, *mut *mut c_void);
        event_create = "cuEventCreate" (*mut Handle, u32);
        event_destroy = "cuEventDestroy_v2" (Handle);
        event_record = "cuEventRecord" (Handle, Handle);
        event_synchronize = "cuEventSynchronize" (Handle);
        event_elapsed = "cuEventElapsedTime" (*mut f32, Handle, Handle);
        error_name = "cuGetErrorName" (i32, *mut *const c_char);
    }
}

/// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
const CAPABILITY: [i32; 2] = [75, 76];
/// CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS: the device reads what the host allocated.
const PAGEABLE: i32 = 88;
/// CU_POINTER_ATTRIBUTE_DEVICE_POINTER.
const DEVICE_POINTER: i32 = 3;
/// CU_STREAM_NON_BLOCKING: does not wait for the host program's default stream.
const NON_BLOCKING: u32 = 1;
/// CU_EVENT_DISABLE_TIMING.
const WITHOUT_TIMES: u32 = 2;
/// Oldest driver: that of CUDA 11.
const OLDEST: i32 = 11_000;

/// The opened driver.
#[derive(Debug)]
pub(super) struct Driver {
    pub functions: Functions,
    /// 1000 major + 10 minor of the CUDA release that it belongs to.
    pub version: i32,
    /// Primary contexts by device, as numbers.
    contexts: Mutex<Vec<(i32, usize)>>,
}

/// Drivers by the file that was named. Drivers and contexts stay for the life of the process: a library
/// that is unloaded takes its threads' code away, and a context that is let go takes along what others
/// have in it, and costs a good part of a second to make anew.
static OPEN: Mutex<Vec<(Option<PathBuf>, Arc<Driver>)>> = Mutex::new(Vec::new());

/// Where the driver's library is looked for.
fn names(path: Option<&Path>) -> Vec<PathBuf> {
    match path {
        Some(path) => vec![path.to_owned()],
        None if cfg!(windows) => vec!["nvcuda.dll".into()],
        None => [
            "libcuda.so.1",
            "libcuda.so",
            "/usr/lib/wsl/lib/libcuda.so.1",
        ]
        .map(PathBuf::from)
        .to_vec(),
    }
}

impl Driver {
    /// The driver, opened from a file if one is named and not open yet.
    ///
    /// **Errors**: [`Error::Backend`] without a driver, with one that is too old, and when it does
    /// not start.
    pub fn open(path: Option<&Path>) -> Result<Arc<Self>> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, driver)) = open.iter().find(|(name, _)| name.as_deref() == path) {
            return Ok(Arc::clone(driver));
        }
        let mut reasons = Vec::new();
        for name in &names(path) {
            // SAFETY: opening runs the driver's initialisers, as every CUDA program does.
            match unsafe { libloading::Library::new(name) } {
                Ok(library) => {
                    let driver = Self::start(library)?;
                    open.push((path.map(Path::to_owned), Arc::clone(&driver)));
                    return Ok(driver);
                }
                Err(e) => reasons.push(format!("{}: {e}", name.display())),
            }
        }
        Err(Error::Backend(format!(
            "no CUDA driver was found ({}); install the NVIDIA driver or use the cpu backend",
            reasons.join("; ")
        )))
    }

    fn start(library: libloading::Library) -> Result<Arc<Self>> {
        let functions = Functions::find(library).map_err(|name| {
            Error::Backend(format!(
                "the CUDA driver has no function {name}; update it (CUDA 11 or later) or use the cpu backend"
            ))
        })?;
        let mut driver = Self {
            functions,
            version: 0,
            contexts: Mutex::default(),
        };
        let f = &driver.functions;
        let mut version = 0;
        // SAFETY: the arguments are those of cuda.h; the driver is asked for nothing before cuInit
        // but its version, which it tells without.
        unsafe {
            driver.check("cuDriverGetVersion", (f.driver_version)(&mut version))?;
            if version < OLDEST {
                return Err(Error::Backend(format!(
                    "the CUDA driver is of CUDA {}; nepal needs 11.0 or later: update it or use the cpu backend",
                    release(version)
                )));
            }
            driver.check("cuInit", (f.init)(0))?;
        }
        driver.version = version;
        Ok(Arc::new(driver))
    }

    /// An error from a status that is not 0: the call, the driver's name for it, what to do.
    pub fn check(&self, call: &str, status: i32) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut name: *const c_char = ptr::null();
        // SAFETY: the driver writes the address of a string of its own, or none.
        let known = unsafe { (self.functions.error_name)(status, &mut name) } == 0;
        let name = if known && !name.is_null() {
            // SAFETY: a string of the driver, never freed.
            unsafe { CStr::from_ptr(name) }
                .to_string_lossy()
                .into_owned()
        } else {
            "an error without a name".into()
        };
        Err(Error::Backend(format!(
            "{call} failed with {name} ({status}): {}",
            remedy(status)
        )))
    }

    /// The primary context of a device, which all of a process share.
    fn context(&self, device: i32) -> Result<Handle> {
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, context)) = contexts.iter().find(|(of, _)| *of == device) {
            return Ok(*context as Handle);
        }
        let mut context = ptr::null_mut();
        // SAFETY: writes the context, which is never released.
        let status = unsafe { (self.functions.retain)(&mut context, device) };
        self.check("cuDevicePrimaryCtxRetain", status)?;
        contexts.push((device, context as usize));
        Ok(context)
    }

    /// Number of devices. Not an error if there is none.
    pub fn count(&self) -> Result<usize> {
        let mut count = 0;
        // SAFETY: writes one number.
        let status = unsafe { (self.functions.device_count)(&mut count) };
        self.check("cuDeviceGetCount", status)?;
        Ok(count.max(0) as usize)
    }

    /// Handle, name and compute capability (10 major + minor) of a device.
    pub fn describe(&self, ordinal: usize) -> Result<(i32, String, u32)> {
        let f = &self.functions;
        let mut device = 0;
        let mut name = [0 as c_char; 256];
        let mut capability = [0; 2];
        // SAFETY: the driver writes numbers and at most 256 bytes with a final zero.
        unsafe {
            self.check("cuDeviceGet", (f.device)(&mut device, ordinal as i32))?;
            let status = (f.device_name)(name.as_mut_ptr(), name.len() as i32, device);
            self.check("cuDeviceGetName", status)?;
            for (out, attribute) in capability.iter_mut().zip(CAPABILITY) {
                let status = (f.attribute)(out, attribute, device);
                self.check("cuDeviceGetAttribute", status)?;
            }
        }
        // SAFETY: the driver ended the text with a zero.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy();
        let arch = (10 * capability[0] + capability[1]).max(0) as u32;
        Ok((device, name.into_owned(), arch))
    }
}

/// `12.4` for 12040.
pub(super) fn release(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn remedy(status: i32) -> &'static str {
    match status {
        2 => "the device is out of memory; use fewer atoms, more devices or the cpu backend",
        3 | 4 => "the driver has been shut down; no CUDA call may follow the end of the program",
        100 => {
            "there is no CUDA device (check nvidia-smi and CUDA_VISIBLE_DEVICES); use the cpu backend"
        }
        101 => "there is no device of this number (check nvidia-smi and CUDA_VISIBLE_DEVICES)",
        46 => {
            "the device is taken by another process in exclusive mode; free it or use the cpu backend"
        }
        201 | 400 => {
            "a stream is of another context, or is gone: give one of the primary context of this calculator's device, or NULL"
        }
        209 | 218 | 222 | 300 => {
            "the driver cannot run code of this NVRTC; update the driver, or install an NVRTC of its CUDA release (for CUDA 12: pip install nvidia-cuda-nvrtc-cu12)"
        }
        802 => "the device is not ready yet; wait for its fabric manager or use the cpu backend",
        803 | 804 => {
            "driver and kernel module do not fit each other; reboot or reinstall the driver"
        }
        214 | 220 | 226 | 700..=720 => {
            "the device cannot be used any more by this process; start again from the last saved state, on the cpu backend if it happens again"
        }
        _ => "check the device with nvidia-smi, or use the cpu backend",
    }
}

/// A device's context with a stream of our own.
///
/// Streams and contexts may be used from any thread, one at a time here, as backends are.
#[derive(Debug)]
pub(super) struct Device {
    pub driver: Arc<Driver>,
    pub name: String,
    /// Compute capability, 10 major + minor.
    pub arch: u32,
    /// The driver's number for it.
    ordinal: i32,
    context: Handle,
    pub stream: Handle,
}

// SAFETY: the driver's objects belong to no thread; each use makes the context current first.
unsafe impl Send for Device {}
// SAFETY: the driver guards its own state, and ours does not change after `Device::new`.
unsafe impl Sync for Device {}

/// Keeps a device's context current in this thread while it lives.
pub(super) struct Current<'a>(&'a Device);

impl Drop for Current<'_> {
    fn drop(&mut self) {
        let mut popped = ptr::null_mut();
        // SAFETY: pops what `Device::enter` pushed in this thread.
        unsafe { (self.0.driver.functions.pop)(&mut popped) };
    }
}

impl Device {
    /// The device of a number, with its primary context.
    ///
    /// **Errors**: [`Error::Backend`] without such a device, and when the driver fails.
    pub fn new(driver: &Arc<Driver>, ordinal: usize) -> Result<Arc<Self>> {
        let count = driver.count()?;
        if count == 0 {
            return Err(Error::Backend(
                "the CUDA driver reports no device (check nvidia-smi and CUDA_VISIBLE_DEVICES); use the cpu backend".into(),
            ));
        }
        if ordinal >= count {
            return Err(Error::Backend(format!(
                "there is no CUDA device {ordinal}; the driver reports {count}, numbered from 0"
            )));
        }
        let (handle, name, arch) = driver.describe(ordinal)?;
        let context = driver.context(handle)?;
        let mut device = Self {
            driver: Arc::clone(driver),
            name,
            arch,
            ordinal: handle,
            context,
            stream: ptr::null_mut(),
        };
        let mut stream = ptr::null_mut();
        {
            let _current = device.enter()?;
            // SAFETY: writes the stream, which is destroyed in `drop`.
            let status = unsafe { (driver.functions.stream_create)(&mut stream, NON_BLOCKING) };
            driver.check("cuStreamCreate", status)?;
        }
        device.stream = stream;
        Ok(Arc::new(device))
    }

    /// Makes the context current in this thread, until the result is dropped.
    pub fn enter(&self) -> Result<Current<'_>> {
        // SAFETY: a live context.
        let status = unsafe { (self.driver.functions.push)(self.context) };
        self.driver.check("cuCtxPushCurrent", status)?;
        Ok(Current(self))
    }

    /// Waits for all that was given to the stream. **Errors**: the first failure among it.
    pub fn wait(&self) -> Result<()> {
        let _current = self.enter()?;
        // SAFETY: a live stream of the current context.
        let status = unsafe { (self.driver.functions.stream_synchronize)(self.stream) };
        self.driver.check("cuStreamSynchronize", status)
    }

    /// Makes what is given to `later` from now on wait for what was given to `earlier` so far. The
    /// host waits for nothing.
    pub fn order(&self, earlier: Handle, later: Handle) -> Result<()> {
        let f = &self.driver.functions;
        let _current = self.enter()?;
        let mut event = ptr::null_mut();
        // SAFETY: writes the event, which is destroyed below.
        let status = unsafe { (f.event_create)(&mut event, WITHOUT_TIMES) };
        self.driver.check("cuEventCreate", status)?;
        // SAFETY: a live event, and streams of this context by the caller's word.
        let done = unsafe {
            let status = (f.event_record)(event, earlier);
            let done = self.driver.check("cuEventRecord", status);
            done.and_then(|()| {
                let status = (f.stream_wait)(later, event, 0);
                self.driver.check("cuStreamWaitEvent", status)
            })
        };
        // SAFETY: made above; the driver keeps what is still waited for.
        unsafe { (f.event_destroy)(event) };
        done
    }

    /// Asks whether kernels can read what an address of the caller's leads to.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for memory of the host, which would end the host program's
    /// context.
    pub fn check_address(&self, name: &str, address: u64) -> Result<()> {
        let (driver, f) = (&self.driver, &self.driver.functions);
        let _current = self.enter()?;
        let (mut pageable, mut here) = (0, 0u64);
        // SAFETY: the driver writes a number, and an address that it does not know is an error.
        let known = unsafe {
            let status = (f.attribute)(&mut pageable, PAGEABLE, self.ordinal);
            driver.check("cuDeviceGetAttribute", status)?;
            (f.pointer_attribute)(ptr::from_mut(&mut here).cast(), DEVICE_POINTER, address) == 0
        };
        if known || pageable != 0 {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "`{name}` ({address:#x}) is no address on {}; give memory of the device, or use nepal_calculator_compute for arrays of the host",
            self.name
        )))
    }

    /// Free and total memory in bytes.
    pub fn memory(&self) -> Result<(usize, usize)> {
        let _current = self.enter()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers.
        let status = unsafe { (self.driver.functions.memory_info)(&mut free, &mut total) };
        self.driver.check("cuMemGetInfo", status)?;
        Ok((free, total))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let (false, Ok(_current)) = (self.stream.is_null(), self.enter()) {
            // SAFETY: made in `new`; the driver lets work that is under way come to its end.
            unsafe { (self.driver.functions.stream_destroy)(self.stream) };
        }
    }
}
