//! Which machines there are, and what they can do besides evaluating.

use crate::backend::{self, Backend, Precision};
use crate::error::{Error, Result};
use crate::grade::{Grader, Help};
use crate::nep::d3::D3;

/// A backend with what else its machine can do.
pub trait Machine: Backend {
    /// The machine as one that grades atoms; without it the active set's own grades serve.
    fn grader(&mut self) -> Option<&mut dyn Grader> {
        None
    }

    /// The machine as one that chooses rows for active sets.
    ///
    /// **Errors**: [`Error::Backend`] when it fails.
    fn volume(&mut self) -> Result<Help<'_>> {
        Ok(None)
    }

    /// Has the machine add DFT-D3 to atoms whose neighbours it finds, or no longer; says whether it does.
    ///
    /// **Errors**: [`Error::Backend`] when it fails.
    fn set_dispersion(&mut self, _d3: Option<&D3>) -> Result<bool> {
        Ok(false)
    }

    /// The machine as one that takes atoms in its own memory.
    #[cfg(feature = "cuda")]
    fn as_cuda(&mut self) -> Option<&mut nepal_cuda::Cuda> {
        None
    }
}

impl Machine for backend::reference::Reference {}

#[cfg(feature = "cpu")]
impl Machine for backend::cpu::Cpu {}

#[cfg(feature = "cuda")]
impl Machine for nepal_cuda::Cuda {
    fn grader(&mut self) -> Option<&mut dyn Grader> {
        Some(self)
    }

    fn volume(&mut self) -> Result<Help<'_>> {
        Ok(Some(self.volume_device()?))
    }

    fn set_dispersion(&mut self, d3: Option<&D3>) -> Result<bool> {
        nepal_cuda::Cuda::set_dispersion(self, d3.cloned())?;
        Ok(d3.is_some())
    }

    fn as_cuda(&mut self) -> Option<&mut nepal_cuda::Cuda> {
        Some(self)
    }
}

/// Which backend to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// Plain f64, one thread.
    Reference,
    /// Threads and vectors.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl BackendKind {
    /// Name as the user knows it: `reference`, `cpu`, `cuda`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// The fastest backend of this build that needs no device.
    pub fn default_for_build() -> Self {
        if cfg!(feature = "cpu") {
            Self::Cpu
        } else {
            Self::Reference
        }
    }

    /// Makes the backend, in f64.
    ///
    /// **Errors**: [`Error::Unsupported`] if this build lacks it, [`Error::Backend`] if the
    /// machine does.
    pub fn create(self) -> Result<Box<dyn Machine>> {
        self.create_with(Precision::F64)
    }

    /// Makes the backend in a precision.
    ///
    /// **Errors**: [`Error::Unsupported`] if this build lacks it or it lacks the precision,
    /// [`Error::Backend`] if the machine does.
    pub fn create_with(self, precision: Precision) -> Result<Box<dyn Machine>> {
        self.create_on(precision, 0)
    }

    /// Makes the backend in a precision, on the GPU of this number if it is for GPUs.
    ///
    /// **Errors**: as [`BackendKind::create_with`].
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
    pub fn create_on(self, precision: Precision, device: usize) -> Result<Box<dyn Machine>> {
        if precision != Precision::F64 && self == Self::Reference {
            return Err(Error::Unsupported(format!(
                "the {} backend computes in f64 only; use f64, or the cpu backend",
                self.name()
            )));
        }
        match self {
            Self::Reference => Ok(Box::new(backend::reference::Reference::default())),
            #[cfg(feature = "cpu")]
            Self::Cpu => {
                nepal_core::simd::instructions()?;
                Ok(Box::new(backend::cpu::Cpu::new(precision)))
            }
            #[cfg(not(feature = "cpu"))]
            Self::Cpu => Err(Error::Unsupported(
                "this build has no threaded CPU backend; build with the feature `cpu` or use `reference`".into(),
            )),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Box::new(nepal_cuda::Cuda::new(
                nepal_cuda::Options::from_environment(device),
                precision,
            )?)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(Error::Unsupported(
                "this build has no CUDA backend; build with the feature `cuda` or use `cpu`".into(),
            )),
        }
    }
}

impl std::str::FromStr for BackendKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "reference" => Ok(Self::Reference),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(Error::invalid(format!(
                "unknown backend {other:?}; expected reference, cpu or cuda"
            ))),
        }
    }
}
