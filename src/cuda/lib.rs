//! The CUDA backend: the whole evaluation on an NVIDIA GPU.
//!
//! Driver and NVRTC are loaded at run time; their absence is an ordinary condition. The kernels
//! (`kernels/`) are compiled for a model's shape when it is first used, and kept on disk. Every
//! force is gathered by its atom, nothing is added by chance, so that a repeat gives the same bits.
#![deny(missing_docs)]

mod angular;
mod args;
mod arrays;
mod compiler;
mod driver;
mod engine;
mod grades;
mod library;
mod lists;
mod memory;
mod nvrtc;
mod program;
mod reduce;
mod scan;
mod signal;
mod source;
mod tables;
pub mod train;
mod volume;

#[doc(hidden)]
pub use compiler::Compiler;
use driver::{Device, Driver};
use engine::Engine;
pub use engine::resident::{DeviceAtoms, DeviceList, DeviceResults, Strided};
use lists::Origin;
use nepal_core::backend::{
    Atoms, Backend, Conditions, Contraction, Evaluation, Precision, Request, System, check_types,
};
use nepal_core::error::{Error, Result};
use nepal_core::grade::{ActiveSet, Effort, Grade, GradeColumns, Grader, VolumeDevice};
use nepal_core::model::Model;
use nepal_core::nep::d3::D3;
use source::Shape;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the backend finds what it needs; nothing has to be said where all is in its usual place.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of the device, from 0.
    pub device: usize,
    /// The driver's library.
    pub driver: Option<PathBuf>,
    /// NVRTC's library, or the folder it lies in.
    pub nvrtc: Option<PathBuf>,
    /// Folder for compiled kernels; none are kept without.
    pub cache: Option<PathBuf>,
}

impl Options {
    /// What the environment says: `NEPAL_CUDA_DRIVER` and `NEPAL_NVRTC` name libraries,
    /// `NEPAL_KERNEL_CACHE` the folder for compiled kernels (empty: keep none; not set: `nepal/kernels`
    /// in the user's cache folder).
    pub fn from_environment(device: usize) -> Self {
        let path = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let cache = match std::env::var_os("NEPAL_KERNEL_CACHE") {
            Some(folder) if folder.is_empty() => None,
            Some(folder) => Some(PathBuf::from(folder)),
            None => path("XDG_CACHE_HOME")
                .or_else(|| path("LOCALAPPDATA"))
                .or_else(|| Some(path("HOME")?.join(".cache")))
                .map(|folder| folder.join("nepal/kernels")),
        };
        Self {
            device,
            driver: path("NEPAL_CUDA_DRIVER"),
            nvrtc: path("NEPAL_NVRTC"),
            cache,
        }
    }
}

/// Names of the CUDA devices of this machine.
///
/// **Errors**: [`Error::Backend`] when there is no driver, no device, or the driver fails.
pub fn devices() -> Result<Vec<String>> {
    let driver = Driver::open(Options::from_environment(0).driver.as_deref())?;
    let count = driver.count()?;
    if count == 0 {
        return Err(Error::Backend(
            "the CUDA driver reports no device (check nvidia-smi and CUDA_VISIBLE_DEVICES); use the cpu backend".into(),
        ));
    }
    (0..count)
        .map(|ordinal| Ok(driver.describe(ordinal)?.1))
        .collect()
}

/// Compiles the kernels of a model for devices of a compute capability (10 major + minor) and keeps
/// them in the cache folder, so that the machine with the device needs no NVRTC. No device and no
/// driver are needed.
///
/// **Errors**: [`Error::Backend`] without NVRTC, without a cache folder that can be written, and for
/// a capability that NVRTC does not know.
pub fn precompile(
    model: &Model,
    precision: Precision,
    capability: u32,
    options: &Options,
) -> Result<()> {
    let n_types = model.elements().len();
    program::keep(&source::exchange(), capability, options)?;
    program::keep(&source::volume(), capability, options)?;
    program::keep(&source::correction(), capability, options)?;
    // One type alone has kernels of its own.
    for present in if n_types == 1 {
        vec![1]
    } else {
        vec![1, n_types]
    } {
        let shape = Shape::new(model, precision, present);
        program::keep(&shape.source(), capability, options)?;
        if model.header().neurons[1] == 0 {
            program::keep(&shape.grade_source(), capability, options)?;
        }
    }
    let shape = train::TrainShape::new(model.header(), model.layout());
    program::keep(&shape.source(), capability, options)
}

/// The CUDA backend.
#[derive(Debug)]
pub struct Cuda(Engine);

impl Cuda {
    /// A backend on a device.
    ///
    /// **Errors**: [`Error::Backend`] without driver or device; NVRTC is needed later, unless the
    /// kernels are kept from before.
    pub fn new(options: Options, precision: Precision) -> Result<Self> {
        let driver = Driver::open(options.driver.as_deref())?;
        let device = Device::new(&driver, options.device)?;
        Ok(Self(Engine::new(device, options, precision)))
    }

    /// Memory held on the device, in bytes.
    pub fn memory(&self) -> usize {
        self.0.bytes()[0]
    }

    /// What of [`Cuda::memory`] is scratch and tables, which do not grow with the number of atoms
    /// beyond some hundred thousand.
    pub fn scratch_memory(&self) -> usize {
        self.0.bytes()[1]
    }

    /// Starts or stops timing every kernel, which costs some microseconds each.
    pub fn time_kernels(&mut self, on: bool) {
        self.0.time(on);
    }

    /// Name and milliseconds of each kernel that ran since the last call, while they are timed.
    ///
    /// **Errors**: [`Error::Backend`] if the driver cannot tell.
    pub fn kernel_times(&self) -> Result<Vec<(&'static str, f64)>> {
        self.0.times()
    }

    /// Adds DFT-D3 to energies, forces and virials of atoms whose neighbours this finds from now on, or adds none;
    /// other atoms are left without.
    ///
    /// **Errors**: [`Error::Backend`] without NVRTC, and when it or the driver fails.
    pub fn set_dispersion(&mut self, d3: Option<D3>) -> Result<()> {
        self.0.set_correction(d3)
    }

    /// Runs `nepal_copy` and `nepal_multiply_add`, the yardsticks of the benchmark, after something
    /// was evaluated, on `2^shrink` times fewer numbers; gives the bytes that a launch of the first
    /// moves and the operations of a launch of the second.
    ///
    /// **Errors**: [`Error::InvalidArgument`] before anything was evaluated; [`Error::Backend`].
    pub fn exercise(&mut self, repeats: usize, shrink: u32) -> Result<[f64; 2]> {
        self.0.exercise(repeats, shrink)
    }

    /// Grades of atoms from their scaled descriptors, as [`ActiveSet::grade_descriptors`], on the
    /// device; the atoms above a threshold are the same.
    ///
    /// **Shapes**: `types` and the result `[n_atoms]`, `descriptors` `[n_atoms][dim]`.
    /// **Errors**: as [`ActiveSet::grade_descriptors`]; [`Error::Backend`].
    pub fn grade_descriptors(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        types: &[u32],
        descriptors: &[f64],
        effort: Effort,
    ) -> Result<Vec<Grade>> {
        check_types(model, types, types.len())?;
        if descriptors.len() != types.len() * model.dim() {
            return Err(Error::invalid(format!(
                "{} descriptor values were given for {} atoms of {} each",
                descriptors.len(),
                types.len(),
                model.dim()
            )));
        }
        let [gamma, rho, total] =
            self.0
                .grade_descriptors(model, set, effort, types, descriptors)?;
        let parts = gamma.iter().zip(&rho).zip(&total);
        let grade = |((&gamma, &rho), &total)| Grade { gamma, rho, total };
        Ok(parts.map(grade).collect())
    }

    /// Evaluates atoms that are on the device and leaves the results there, in the order of the
    /// caller's stream. Results are not checked for NaN. All devices of a process share a primary
    /// context each, which is used.
    ///
    /// The host waits for the device
    /// - where types are new, and where the neighbour lists of other atoms are made, whose sizes it has to know;
    ///   lists that follow others of a trajectory are made with room for as many, and then it waits once to
    ///   hear that it was enough, unless `ahead`;
    /// - to hear whether they must be made, unless the atoms are `still` or `ahead`. With `ahead` it
    ///   hears how far atoms had moved at the call before, and makes lists a little earlier; should
    ///   they have been too old after all, the next call or [`Cuda::finish`] is an error;
    /// - for the number of atoms within rounding of the threshold, which the processor grades, unless
    ///   `ahead`: then they are where the device puts them until [`Cuda::finish`];
    /// - for the largest grade, and to hear whether types are others, if that is asked;
    /// - where memory grows, and at the first call with a model or an active set.
    ///
    /// A host's list is read where lists are made: those of its `generation`, or where atoms have moved too far
    /// since. Its ghosts get forces and virials, and carry no energy.
    ///
    /// **Errors**: as [`Backend::evaluate`]; [`Error::InvalidArgument`] for grades without a set, for
    /// addresses of the host, and for types that the map has no type of the model for.
    ///
    /// # Safety
    ///
    /// All addresses are those of arrays on this device that are as large as the structs say, and
    /// the stream is one of its primary context.
    pub unsafe fn compute_on_device(
        &mut self,
        model: &Model,
        set: Option<(&Arc<ActiveSet>, Effort)>,
        atoms: &DeviceAtoms<'_>,
        results: &DeviceResults,
    ) -> Result<()> {
        // SAFETY: promised by the caller.
        unsafe { self.0.compute_resident(model, set, atoms, results) }
    }

    /// Waits for the last [`Cuda::compute_on_device`] and completes what it left open in the caller's
    /// arrays: grades then are what a call that waits gives. Says whether anything was open. To be
    /// called before anything else is computed with this.
    ///
    /// **Errors**: [`Error::Backend`] if neighbour lists were too old for the call, whose results are
    /// then not right, and if the device failed.
    ///
    /// # Safety
    ///
    /// As [`Cuda::compute_on_device`]: the arrays for the grades still are there.
    pub unsafe fn finish(&mut self, model: &Model) -> Result<bool> {
        self.0.finish_resident(model)
    }

    /// The device as one that chooses rows of large volume.
    ///
    /// **Errors**: [`Error::Backend`] without NVRTC, and when it or the driver fails.
    pub fn volume_device(&mut self) -> Result<&mut (dyn VolumeDevice + 'static)> {
        self.0.volume()
    }

    /// Name of the device, and its compute capability, 10 major + minor.
    pub fn device(&self) -> (&str, u32) {
        self.0.device()
    }
}

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn precision(&self) -> Precision {
        self.0.precision()
    }

    fn set_conditions(&mut self, conditions: Conditions) {
        self.0.conditions = conditions;
    }

    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        system.validate(model)?;
        self.0.evaluate(model, atoms(system), request, out)
    }

    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        system.validate(model)?;
        self.0.contract(model, atoms(system), gradient, out)
    }

    fn finds_neighbors(&self) -> bool {
        true
    }

    fn evaluate_atoms(
        &mut self,
        model: &Model,
        atoms: &Atoms<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        self.0.evaluate(model, checked(model, atoms)?, request, out)
    }

    fn contract_atoms(
        &mut self,
        model: &Model,
        atoms: &Atoms<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        self.0
            .contract(model, checked(model, atoms)?, gradient, out)
    }
}

impl Grader for Cuda {
    fn grade(
        &mut self,
        model: &Model,
        types: &[u32],
        set: &Arc<ActiveSet>,
        effort: Effort,
        out: GradeColumns<'_>,
    ) -> Result<()> {
        [*out.gamma, *out.rho, *out.grade] = self.0.grade(model, set, effort, types)?;
        Ok(())
    }
}

fn checked<'a>(model: &Model, atoms: &Atoms<'a>) -> Result<engine::Atoms<'a>> {
    check_types(model, atoms.types, atoms.positions.len())?;
    nepal_core::system::structure::check_finite(atoms.positions)?;
    Ok(engine::Atoms {
        cell: atoms.cell,
        positions: Some(atoms.positions),
        types: atoms.types,
        n_local: atoms.positions.len(),
        n_total: atoms.positions.len(),
        whole: None,
        origin: Origin::Bins,
        same_types: false,
        still: false,
    })
}

fn atoms<'a>(system: &System<'a>) -> engine::Atoms<'a> {
    engine::Atoms {
        cell: system.cell,
        positions: Some(system.positions),
        types: system.types,
        n_local: system.n_local(),
        n_total: system.positions.len(),
        whole: system.whole,
        origin: Origin::Host(system.neighbors),
        same_types: false,
        still: false,
    }
}
