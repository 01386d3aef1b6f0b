//! Memory of a device.

use super::args::Address;
use super::driver::Device;
use nepal_core::backend::Precision;
use nepal_core::error::{Error, Result};
use std::marker::PhantomData;
use std::sync::Arc;

/// Plain numbers that a device knows as we do.
///
/// # Safety
/// Any bytes are a value, and there is no padding.
pub(super) unsafe trait Plain: Copy + Default + 'static {}
// SAFETY: numbers and arrays of them.
unsafe impl Plain for f64 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for [f64; 3] {}
// SAFETY: as above.
unsafe impl Plain for [f64; 8] {}
// SAFETY: as above.
unsafe impl Plain for [f64; 9] {}
// SAFETY: as above.
unsafe impl Plain for [f64; 4] {}
// SAFETY: as above.
unsafe impl Plain for [f64; 2] {}
// SAFETY: as above.
unsafe impl Plain for [i32; 3] {}

/// Memory for so many values. Grows, and forgets its content when it does.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    device: Arc<Device>,
    address: Address,
    /// In values.
    capacity: usize,
    kind: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// An empty buffer.
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            device: Arc::clone(device),
            address: 0,
            capacity: 0,
            kind: PhantomData,
        }
    }

    /// A buffer with this content.
    pub fn from_slice(device: &Arc<Device>, values: &[T]) -> Result<Self> {
        let mut buffer = Self::new(device);
        buffer.upload(values)?;
        Ok(buffer)
    }

    /// Where it lies; 0 while empty.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Values that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `len` values, of which nothing is known.
    ///
    /// **Errors**: [`Error::Backend`] naming the memory needed and free.
    pub fn reserve(&mut self, len: usize) -> Result<Address> {
        if len <= self.capacity {
            return Ok(self.address);
        }
        self.release();
        // What grows once tends to grow again.
        let mut wanted = if self.capacity == 0 {
            len
        } else {
            len + len / 8
        };
        self.capacity = 0;
        let Some(mut bytes) = wanted.checked_mul(size_of::<T>()) else {
            return Err(Error::Backend(format!(
                "{wanted} values are more than any memory holds"
            )));
        };
        let mut address = 0;
        let mut allocate = |bytes: usize| {
            let _current = self.device.enter()?;
            // SAFETY: writes the address; the memory is freed in `release`.
            Ok(unsafe { (self.device.driver.functions.allocate)(&mut address, bytes) })
        };
        let mut status = allocate(bytes)?;
        const OUT_OF_MEMORY: i32 = 2;
        if status == OUT_OF_MEMORY && wanted > len {
            // Then without room to grow.
            wanted = len;
            bytes = len * size_of::<T>();
            status = allocate(bytes)?;
        }
        if status == OUT_OF_MEMORY {
            let (free, total) = self.device.memory().unwrap_or((0, 0));
            return Err(Error::Backend(format!(
                "{} is out of memory: {} MB more are needed, {} of {} MB are free; use fewer atoms, more devices or the cpu backend",
                self.device.name,
                bytes.div_ceil(1 << 20),
                free >> 20,
                total >> 20
            )));
        }
        self.device.driver.check("cuMemAlloc", status)?;
        self.address = address;
        self.capacity = wanted;
        Ok(address)
    }

    /// Copies values to the start of the buffer. They may be changed when this returns: the driver
    /// takes memory that is not pinned before it does.
    pub fn upload(&mut self, values: &[T]) -> Result<()> {
        self.reserve(values.len())?;
        if values.is_empty() {
            return Ok(());
        }
        let device = &self.device;
        let _current = device.enter()?;
        // SAFETY: both sides hold the bytes.
        let status = unsafe {
            (device.driver.functions.to_device)(
                self.address,
                values.as_ptr().cast(),
                size_of_val(values),
                device.stream,
            )
        };
        device.driver.check("cuMemcpyHtoDAsync", status)
    }

    /// Writes one value.
    pub fn put(&self, at: usize, value: T) -> Result<()> {
        if at >= self.capacity {
            return Err(Error::Internal(format!(
                "value {at} of a device buffer of {} was written",
                self.capacity
            )));
        }
        {
            let device = &self.device;
            let _current = device.enter()?;
            let to = self.address + (at * size_of::<T>()) as u64;
            // SAFETY: both sides hold the bytes, and the value lives until the wait below.
            let status = unsafe {
                (device.driver.functions.to_device)(
                    to,
                    std::ptr::from_ref(&value).cast(),
                    size_of::<T>(),
                    device.stream,
                )
            };
            device.driver.check("cuMemcpyHtoDAsync", status)?;
        }
        self.device.wait()
    }

    /// Copies the first values out and waits for them and for all before.
    pub fn download(&self, out: &mut [T]) -> Result<()> {
        self.download_from(0, out)
    }

    /// Copies values from `start` on out and waits for them and for all before.
    pub fn download_from(&self, start: usize, out: &mut [T]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        if start + out.len() > self.capacity {
            return Err(Error::Internal(format!(
                "{} values from {start} on were asked of a device buffer of {}",
                out.len(),
                self.capacity
            )));
        }
        let device = &self.device;
        {
            let _current = device.enter()?;
            // SAFETY: both sides hold the bytes, and any bytes are values.
            let status = unsafe {
                (device.driver.functions.to_host)(
                    out.as_mut_ptr().cast(),
                    self.address + (start * size_of::<T>()) as u64,
                    size_of_val(out),
                    device.stream,
                )
            };
            device.driver.check("cuMemcpyDtoHAsync", status)?;
        }
        device.wait()
    }

    /// Makes room for `len` values, all bytes zero.
    pub fn zero(&mut self, len: usize) -> Result<Address> {
        self.reserve(len)?;
        if len > 0 {
            let device = &self.device;
            let _current = device.enter()?;
            let bytes = len * size_of::<T>();
            // SAFETY: the buffer holds the bytes.
            let status = unsafe {
                (device.driver.functions.set_bytes)(self.address, 0, bytes, device.stream)
            };
            device.driver.check("cuMemsetD8Async", status)?;
        }
        Ok(self.address)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.capacity * size_of::<T>()
    }

    fn release(&mut self) {
        free(&self.device, &mut self.address);
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        free(&self.device, &mut self.address);
    }
}

/// Numbers of the work on pairs from an address that holds them, `start` numbers on.
pub(super) fn read_reals(
    device: &Device,
    precision: Precision,
    address: Address,
    start: usize,
    len: usize,
) -> Result<Vec<f64>> {
    let read = |out: *mut std::ffi::c_void, size: usize| {
        let from = address + (start * size) as u64;
        let current = device.enter()?;
        // SAFETY: both sides hold so many numbers, by the caller's word and by `out`'s length.
        let status =
            unsafe { (device.driver.functions.to_host)(out, from, len * size, device.stream) };
        device.driver.check("cuMemcpyDtoHAsync", status)?;
        drop(current);
        device.wait()
    };
    match precision {
        Precision::F64 => {
            let mut out = vec![0.0f64; len];
            read(out.as_mut_ptr().cast(), size_of::<f64>())?;
            Ok(out)
        }
        Precision::Mixed => {
            let mut out = vec![0.0f32; len];
            read(out.as_mut_ptr().cast(), size_of::<f32>())?;
            Ok(out.into_iter().map(f64::from).collect())
        }
    }
}

fn free(device: &Device, address: &mut Address) {
    if *address != 0
        && let Ok(_current) = device.enter()
    {
        // SAFETY: allocated in `reserve`; the driver waits for work that uses it.
        unsafe { (device.driver.functions.free)(*address) };
    }
    *address = 0;
}
