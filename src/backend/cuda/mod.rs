//! The CUDA backend: so far only the question whether a device is there.
//!
//! Driver and NVRTC are loaded at run time; their absence is an ordinary condition.

use super::Backend;
use crate::error::{Error, Result};

/// Names of the CUDA devices of this machine.
///
/// **Errors**: [`Error::Backend`] when there is no driver, no device, or the driver fails.
#[allow(unsafe_code)]
pub fn devices() -> Result<Vec<String>> {
    // SAFETY: only tries to open the driver library by its usual names.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return Err(Error::Backend(
            "no CUDA driver was found (tried libcuda); install the NVIDIA driver or use the cpu backend".into(),
        ));
    }
    // A driver that lacks one symbol makes the loader panic.
    let counted = std::panic::catch_unwind(|| {
        let count = cudarc::driver::CudaContext::device_count()?;
        (0..count as usize)
            .map(|ordinal| cudarc::driver::CudaContext::new(ordinal)?.name())
            .collect::<std::result::Result<Vec<_>, _>>()
    });
    match counted {
        Ok(Ok(names)) if names.is_empty() => Err(Error::Backend(
            "the CUDA driver reports no device; use the cpu backend".into(),
        )),
        Ok(Ok(names)) => Ok(names),
        Ok(Err(e)) => Err(Error::Backend(format!(
            "the CUDA driver failed: {e}; check it with nvidia-smi or use the cpu backend"
        ))),
        Err(_) => Err(Error::Backend(
            "the CUDA driver lacks a function that nepal needs; update it or use the cpu backend"
                .into(),
        )),
    }
}

/// Refuses with the reason: no device, or no kernels yet.
pub(super) fn create() -> Result<Box<dyn Backend>> {
    let names = devices()?;
    Err(Error::Unsupported(format!(
        "found {}, but this version has no CUDA kernels yet; use the cpu backend",
        names.join(", ")
    )))
}
