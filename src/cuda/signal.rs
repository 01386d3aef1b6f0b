//! Numbers that come to the host while it goes on.

use super::driver::{Device, Handle};
use super::memory::{Buffer, Plain};
use nepal_core::error::{Error, Result};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// CU_EVENT_DISABLE_TIMING.
const WITHOUT_TIMES: u32 = 2;

/// Some numbers in memory that the device writes to by itself.
#[derive(Debug)]
pub(super) struct Signal<T, const N: usize> {
    device: Arc<Device>,
    host: *mut [T; N],
    event: Handle,
    sent: bool,
}

// SAFETY: the memory is this struct's own, and the event belongs to a context, not to a thread.
unsafe impl<T: Plain, const N: usize> Send for Signal<T, N> {}

impl<T: Plain, const N: usize> Signal<T, N> {
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
            let status = (f.host_allocate)(&mut host, size_of::<[T; N]>(), 0);
            driver.check("cuMemHostAlloc", status)?;
            new.host = host.cast();
            let status = (f.event_create)(&mut new.event, WITHOUT_TIMES);
            driver.check("cuEventCreate", status)?;
        }
        Ok(new)
    }

    /// Sends the first numbers of a buffer, as they are after all that was given to the stream. The last
    /// ones sent must have been taken.
    pub fn send(&mut self, from: &Buffer<T>) -> Result<()> {
        if self.sent || from.capacity() < N {
            return Err(Error::Internal("a signal that nobody took".into()));
        }
        let device = &self.device;
        let (driver, f) = (&device.driver, &device.driver.functions);
        let _current = device.enter()?;
        // SAFETY: both sides hold the numbers, and nobody reads them before the event.
        unsafe {
            let status = (f.to_host)(
                self.host.cast(),
                from.address(),
                size_of::<[T; N]>(),
                device.stream,
            );
            driver.check("cuMemcpyDtoHAsync", status)?;
            let status = (f.event_record)(self.event, device.stream);
            driver.check("cuEventRecord", status)?;
        }
        self.sent = true;
        Ok(())
    }

    /// The numbers that were sent last, once they are there; `None` if none were or they were taken.
    pub fn take(&mut self) -> Result<Option<[T; N]>> {
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

impl<T, const N: usize> Drop for Signal<T, N> {
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
