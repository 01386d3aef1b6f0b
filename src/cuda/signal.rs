//! A number that comes to the host while it goes on.

use super::driver::{Device, Handle};
use super::memory::Buffer;
use nepal_core::error::{Error, Result};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// CU_EVENT_DISABLE_TIMING.
const WITHOUT_TIMES: u32 = 2;

/// One number in memory that the device writes to by itself.
#[derive(Debug)]
pub(super) struct Signal {
    device: Arc<Device>,
    host: *mut u32,
    event: Handle,
    sent: bool,
}

// SAFETY: the memory is this struct's own, and the event belongs to a context, not to a thread.
unsafe impl Send for Signal {}

impl Signal {
    /// Nothing sent yet.
    ///
    /// **Errors**: [`Error::Backend`] without memory for it.
    pub fn new(device: &Arc<Device>) -> Result<Self> {
        let mut new = Self {
            device: Arc::clone(device),
            host: ptr::null_mut(),
            event: ptr::null_mut(),
            sent: false,
        };
        let (driver, f) = (&device.driver, &device.driver.functions);
        let _current = device.enter()?;
        let mut host: *mut c_void = ptr::null_mut();
        // SAFETY: writes an address and an event, which `drop` gives back.
        unsafe {
            let status = (f.host_allocate)(&mut host, size_of::<u32>(), 0);
            driver.check("cuMemHostAlloc", status)?;
            new.host = host.cast();
            let status = (f.event_create)(&mut new.event, WITHOUT_TIMES);
            driver.check("cuEventCreate", status)?;
        }
        Ok(new)
    }

    /// Sends the first number of a buffer, as it is after all that was given to the stream. The last
    /// one sent must have been taken.
    pub fn send(&mut self, from: &Buffer<u32>) -> Result<()> {
        if self.sent || from.capacity() == 0 {
            return Err(Error::Internal("a signal that nobody took".into()));
        }
        let device = &self.device;
        let (driver, f) = (&device.driver, &device.driver.functions);
        let _current = device.enter()?;
        // SAFETY: both sides hold the number, and nobody reads it before the event.
        unsafe {
            let status = (f.to_host)(
                self.host.cast(),
                from.address(),
                size_of::<u32>(),
                device.stream,
            );
            driver.check("cuMemcpyDtoHAsync", status)?;
            let status = (f.event_record)(self.event, device.stream);
            driver.check("cuEventRecord", status)?;
        }
        self.sent = true;
        Ok(())
    }

    /// The number that was sent last, once it is there; `None` if none was or it was taken.
    pub fn take(&mut self) -> Result<Option<u32>> {
        if !self.sent {
            return Ok(None);
        }
        self.sent = false;
        let (driver, f) = (&self.device.driver, &self.device.driver.functions);
        let _current = self.device.enter()?;
        // SAFETY: a recorded event, after which the device does not write any more.
        unsafe {
            let status = (f.event_synchronize)(self.event);
            driver.check("cuEventSynchronize", status)?;
            Ok(Some(self.host.read_volatile()))
        }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        let f = &self.device.driver.functions;
        if let Ok(_current) = self.device.enter() {
            // SAFETY: made in `new`; what is under way is waited for first.
            unsafe {
                if self.sent {
                    (f.event_synchronize)(self.event);
                }
                if !self.event.is_null() {
                    (f.event_destroy)(self.event);
                }
                if !self.host.is_null() {
                    (f.host_free)(self.host.cast());
                }
            }
        }
    }
}
