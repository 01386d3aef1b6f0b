//! Calculators.

use super::active_set::nepal_active_set_t;
use super::deliver::Hook;
use super::guard::silent;
use super::handle::{self, Handle};
use super::model::nepal_model_t;
use super::options::{self, SizedStruct};
use super::ranks::Ranks;
use super::status::nepal_status_t;
use super::system::HostList;
use super::text;
use super::threads::Threads;
use crate::backend::Precision;
use crate::calculator::{BackendKind, Calculator};
use crate::error::{Error, Result};
use std::ffi::c_char;
use std::sync::Arc;

/// The fastest backend of this build that needs no device. Since: 0.1.
pub const NEPAL_BACKEND_DEFAULT: u32 = 0;
/// Plain double precision on one thread, the one the others are held against. Since: 0.1.
pub const NEPAL_BACKEND_REFERENCE: u32 = 1;
/// Threads on the processor. Since: 0.1.
pub const NEPAL_BACKEND_CPU: u32 = 2;
/// An NVIDIA GPU. Since: 0.1.
pub const NEPAL_BACKEND_CUDA: u32 = 3;

/// Double precision throughout. Since: 0.1.
pub const NEPAL_PRECISION_F64: u32 = 0;
/// Positions subtracted and results summed in double, the work on pairs and neurons in single
/// precision: about twice as fast on `NEPAL_BACKEND_CPU`. Since: 0.1.
pub const NEPAL_PRECISION_MIXED: u32 = 1;

/// A model on a backend, with the buffers of its last call.
///
/// Threads and ownership: one thread at a time, any thread; a second call meanwhile is refused.
/// Keeps what it needs of the model and the active set, which may be freed before it. After `fork` it
/// serves parent and child, each for itself, with threads that the child makes at its first call; on a
/// GPU it is refused in the child.
///
/// Since: 0.1.
pub struct nepal_calculator_t {
    _private: [u8; 0],
}

/// What is behind a calculator.
pub(super) struct Inner {
    pub calculator: Calculator,
    pub backend: BackendKind,
    /// Kept for its memory, and for hosts that say that it is as it was.
    pub list: HostList,
    /// Who gets fragments, if anyone.
    pub hook: Option<Hook>,
    pub threads: Threads,
    pub ranks: Ranks,
}

impl Inner {
    /// Computes something with the threads that the host allowed.
    pub fn run<R: Send>(&mut self, body: impl FnOnce(&mut Calculator) -> R + Send) -> R {
        let calculator = &mut self.calculator;
        self.threads.run(|| body(calculator))
    }
}

impl Handle for nepal_calculator_t {
    type Object = Inner;
    const MARK: u64 = u64::from_le_bytes(*b"nepalCal");
    const NAME: &'static str = "nepal_calculator_t";

    /// In a process that was forked since the last call, threads are made anew; a device cannot be.
    fn enter(inner: &mut Inner) -> Result<()> {
        if !inner.threads.forked() {
            return Ok(());
        }
        if inner.backend == BackendKind::Cuda {
            return Err(Error::Unsupported(
                "this calculator was made before a fork, and a CUDA device does not come along: make calculators in the new process, and start that without fork (multiprocessing: \"spawn\")".into(),
            ));
        }
        inner.threads.renew()
    }
}

/// How to make a calculator. Set up with `NEPAL_CALCULATOR_OPTIONS_INIT`; zero means the default.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_calculator_options_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// `NEPAL_BACKEND_...`.
    pub backend: u32,
    /// Number of threads to compute with; 0: one for each core, shared with other calculators. A
    /// host with several processes on a machine says how many each may have.
    pub threads: u32,
    /// Number of the GPU for `NEPAL_BACKEND_CUDA`, from 0; 0 for the others.
    pub device: u32,
    /// `NEPAL_PRECISION_...`.
    pub precision: u32,
}

// SAFETY: plain numbers, size first.
unsafe impl SizedStruct for nepal_calculator_options_t {
    const NAME: &'static str = "nepal_calculator_options_t";
}

impl nepal_calculator_options_t {
    fn precision(&self) -> Result<Precision> {
        match self.precision {
            NEPAL_PRECISION_F64 => Ok(Precision::F64),
            NEPAL_PRECISION_MIXED => Ok(Precision::Mixed),
            other => Err(Error::invalid(format!(
                "precision {other} does not exist; expected NEPAL_PRECISION_F64 (0) or NEPAL_PRECISION_MIXED (1)"
            ))),
        }
    }

    fn backend_kind(&self) -> Result<BackendKind> {
        if self.device != 0 && self.backend != NEPAL_BACKEND_CUDA {
            return Err(Error::invalid(format!(
                "`device` of the {} is {}, but the backend is not NEPAL_BACKEND_CUDA; choose it, or leave `device` 0",
                Self::NAME,
                self.device
            )));
        }
        backend_kind(self.backend)
    }
}

/// The backend that a number of `NEPAL_BACKEND_...` stands for.
pub(super) fn backend_kind(number: u32) -> Result<BackendKind> {
    Ok(match number {
        NEPAL_BACKEND_DEFAULT => BackendKind::default_for_build(),
        NEPAL_BACKEND_REFERENCE => BackendKind::Reference,
        NEPAL_BACKEND_CPU => BackendKind::Cpu,
        NEPAL_BACKEND_CUDA => BackendKind::Cuda,
        other => {
            return Err(Error::invalid(format!(
                "backend {other} does not exist; expected one of NEPAL_BACKEND_DEFAULT (0) to NEPAL_BACKEND_CUDA (3)"
            )));
        }
    })
}

/// Makes a calculator for a model.
///
/// `options` may be NULL for the defaults. `calculator` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_UNSUPPORTED` if this build lacks the backend or it lacks the precision,
/// `NEPAL_STATUS_BACKEND` if the machine does.
///
/// Threads and ownership: any thread; the caller frees with `nepal_calculator_free`. The model may
/// be freed before.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_new(
    model: *const nepal_model_t,
    options: *const nepal_calculator_options_t,
    calculator: *mut *mut nepal_calculator_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(calculator, || {
            let model = handle::shared(model)?;
            let options = options::given(options)?;
            let (backend, precision) = (options.backend_kind()?, options.precision()?);
            Ok(Inner {
                calculator: Calculator::with_backend(
                    Arc::clone(model),
                    backend.create_on(precision, options.device as usize)?,
                ),
                backend,
                list: HostList::default(),
                hook: None,
                threads: Threads::new(options.threads)?,
                ranks: Ranks::default(),
            })
        })
    }
}

/// Frees a calculator; NULL is allowed.
///
/// Threads and ownership: not from its own callback.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_free(calculator: *mut nepal_calculator_t) {
    silent(|| {
        // SAFETY: the caller's promise, passed on.
        unsafe { handle::free(calculator) }
    })
}

/// Name of the backend in use: "reference", "cpu" or "cuda".
///
/// Shapes: `buf` [capacity], filled with as much as fits and ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut.
///
/// Threads: one at a time.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_backend(
    calculator: *mut nepal_calculator_t,
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            text::write(inner.calculator.backend_name(), buf, capacity, needed)
        })
    }
}

/// Gives the calculator the active set that grades need; NULL takes it away.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` if the set was made for another model.
///
/// Threads and ownership: one thread at a time. The set may be shared between calculators and freed
/// before them; what a calculator adds to its set while it runs stays its own.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_active_set(
    calculator: *mut nepal_calculator_t,
    active_set: *const nepal_active_set_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let set = if active_set.is_null() {
                None
            } else {
                Some(Arc::clone(&handle::shared(active_set)?.set))
            };
            inner.calculator.set_active_set(set)
        })
    }
}
