//! One evaluation: what is copied to the device, which kernels run, what is copied back.

mod correction;
mod far;
mod gauges;
mod grading;
mod loading;
mod mesh;
pub(crate) mod resident;
mod steps;

use super::Options;
use super::args::{Address, Args, flags};
use super::driver::Device;
use super::grades::Grader;
use super::lists::{Lists, Origin};
use super::memory::{Buffer, Plain};
use super::reduce::Reduction;
use super::volume::Volume;
use correction::Correction;
use far::Far;
use loading::Loaded;
use nepal_core::backend::{
    Conditions, Contraction, Evaluation, Precision, Request, Whole, check_long_range, check_request,
};
use nepal_core::error::{Error, Result};
use nepal_core::grade::VolumeDevice;
use nepal_core::model::Model;
use nepal_core::system::Cell;
use resident::Resident;
use std::sync::Arc;
use steps::Work;

/// Atoms with the origin of their neighbours.
#[derive(Clone, Copy)]
pub(super) struct Atoms<'a> {
    pub cell: &'a Cell,
    /// None if the device has them in its buffer.
    pub positions: Option<&'a [[f64; 3]]>,
    pub types: &'a [u32],
    pub n_local: usize,
    pub n_total: usize,
    /// What the atoms are a part of, if these are a host's.
    pub whole: Option<Whole<'a>>,
    pub origin: Origin<'a>,
    /// The types are those of the last call, by the caller's word.
    pub same_types: bool,
    /// No atom has moved half the skin, by the caller's word.
    pub still: bool,
}

impl<'a> Atoms<'a> {
    /// The cell that sums over all atoms belong to.
    fn whole_cell(&self) -> &'a Cell {
        self.whole.and_then(|whole| whole.cell).unwrap_or(self.cell)
    }
}

/// Numbers in the precision of the work on pairs, as columns of a batch.
#[derive(Debug)]
struct Scratch {
    sums: Buffer<f64>,
    q: Buffer<f64>,
    neurons: Buffer<f64>,
    slope: Buffer<f64>,
    fp: Buffer<f64>,
    radial_slope: Buffer<f64>,
}

/// Results in the caller's order.
#[derive(Debug)]
struct Outputs {
    energy: Buffer<f64>,
    forces: Buffer<[f64; 3]>,
    virials: Buffer<[f64; 9]>,
    descriptors: Buffer<f64>,
    neurons: Buffer<f64>,
    projections: Buffer<f64>,
    /// Descriptors for the grades, in the precision of the work on pairs.
    q: Buffer<f64>,
}

/// The backend's state on a device.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) device: Arc<Device>,
    pub(super) options: Options,
    precision: Precision,
    pub(super) conditions: Conditions,
    loaded: Option<Loaded>,
    pub(super) lists: Lists,
    pub(super) grader: Grader,
    resident: Resident,
    /// Calls do not wait to hear how far atoms moved.
    pub(super) ahead: bool,
    /// MaxVol, once it was asked for.
    volume: Option<Volume>,
    /// Atoms whose descriptors are in `outputs.q`.
    described: Option<usize>,
    scratch: Scratch,
    outputs: Outputs,
    sums: Reduction,
    far: Far,
    correction: Option<Correction>,
    /// Counts the types that were there.
    types_number: u64,
    pub(super) positions: Buffer<[f64; 3]>,
    types: Buffer<u32>,
    gradient: Buffer<f64>,
    known_types: Vec<u32>,
    args: Args,
    timed: bool,
}

impl Engine {
    pub fn new(device: Arc<Device>, options: Options, precision: Precision) -> Self {
        let d = &device;
        Self {
            conditions: Conditions::default(),
            loaded: None,
            lists: Lists::new(d),
            grader: Grader::new(d),
            resident: Resident::default(),
            ahead: false,
            volume: None,
            described: None,
            scratch: Scratch {
                sums: Buffer::new(d),
                q: Buffer::new(d),
                neurons: Buffer::new(d),
                slope: Buffer::new(d),
                fp: Buffer::new(d),
                radial_slope: Buffer::new(d),
            },
            outputs: Outputs {
                energy: Buffer::new(d),
                forces: Buffer::new(d),
                virials: Buffer::new(d),
                descriptors: Buffer::new(d),
                neurons: Buffer::new(d),
                projections: Buffer::new(d),
                q: Buffer::new(d),
            },
            sums: Reduction::new(d),
            far: Far::new(d),
            correction: None,
            types_number: 0,
            positions: Buffer::new(d),
            types: Buffer::new(d),
            gradient: Buffer::new(d),
            known_types: Vec::new(),
            args: Args::default(),
            timed: false,
            device,
            options,
            precision,
        }
    }

    pub fn device(&self) -> (&str, u32) {
        (&self.device.name, self.device.arch)
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What MaxVol gives to the device.
    pub fn volume(&mut self) -> Result<&mut (dyn VolumeDevice + 'static)> {
        let volume = match self.volume.take() {
            Some(volume) => volume,
            None => {
                let mut made = Volume::new(&self.device, &self.options)?;
                made.time(self.timed);
                made
            }
        };
        Ok(self.volume.insert(volume))
    }

    /// Energies and what is asked for.
    pub fn evaluate(
        &mut self,
        model: &Model,
        atoms: Atoms<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        let (n, total) = (atoms.n_local, atoms.n_total);
        let dim = model.dim();
        let n1 = model.header().neurons[0];
        let width = model.layout().projection_len();
        self.evaluate_here(model, atoms, request)?;
        let outputs = &mut self.outputs;
        let rows = |part: Request, len: usize| if request.contains(part) { len } else { 0 };
        let energies = if model.kind().is_tensor() { 0 } else { n };
        fetch(&outputs.energy, energies, &mut out.energies)?;
        fetch(
            &outputs.forces,
            rows(Request::FORCES, total),
            &mut out.forces,
        )?;
        fetch(
            &outputs.virials,
            rows(Request::VIRIALS, total),
            &mut out.virials,
        )?;
        fetch(
            &outputs.descriptors,
            rows(Request::DESCRIPTORS, n * dim),
            &mut out.descriptors,
        )?;
        fetch(
            &outputs.neurons,
            rows(Request::NEURONS, n * n1),
            &mut out.neurons,
        )?;
        fetch(
            &outputs.projections,
            rows(Request::PROJECTIONS, n * width),
            &mut out.projections,
        )?;
        fetch(
            &outputs.forces,
            rows(Request::DIPOLE, total),
            &mut out.dipoles,
        )?;
        fetch(
            &outputs.virials,
            rows(Request::POLARIZABILITY, total),
            &mut out.polarizabilities,
        )?;
        let charges = rows(Request::CHARGES, n);
        fetch(self.far.charges(), charges, &mut out.charges)?;
        let born = rows(Request::BORN_CHARGES, total);
        fetch(&self.far.born, born, &mut out.born_charges)?;
        let (forces, virials) = (outputs.forces.address(), outputs.virials.address());
        out.energy = out.energies.iter().sum();
        (out.virial, out.dipole, out.polarizability) = ([0.0; 9], [0.0; 3], [0.0; 9]);
        let some = |part: Request| request.contains(part) && n > 0;
        if some(Request::VIRIAL) {
            out.virial = self.total(virials, total)?;
        }
        if some(Request::DIPOLE) {
            out.dipole = self.total(forces, total)?;
        }
        if some(Request::POLARIZABILITY) {
            out.polarizability = self.total(virials, total)?;
        }
        Ok(())
    }

    /// Energies and what is asked for, left on the device.
    pub fn evaluate_here(
        &mut self,
        model: &Model,
        atoms: Atoms<'_>,
        request: Request,
    ) -> Result<()> {
        check_request(model, request)?;
        if !request.contains(Request::WITHOUT_ENERGIES) {
            let strangers = atoms.n_total > atoms.n_local && atoms.whole.is_none();
            check_long_range(model, atoms.whole_cell(), strangers)?;
        }
        self.args.temperature = self.conditions.check(model)?;
        let n = atoms.n_local;
        let mut wanted = 0;
        let mut wants = |part: Request, flag: u64| {
            if request.intersects(part) {
                wanted |= flag;
            }
        };
        let virials = Request::VIRIAL | Request::VIRIALS | Request::POLARIZABILITY;
        wants(virials, flags::WANT_VIRIAL);
        wants(Request::DESCRIPTORS, flags::WANT_DESCRIPTORS);
        wants(Request::NEURONS, flags::WANT_NEURONS);
        wants(Request::PROJECTIONS, flags::WANT_PROJECTIONS);
        wants(Request::GRADES, flags::WANT_GRADES);
        let gather = request.intersects(Request::FORCES | Request::DIPOLE | virials);
        if !gather && model.header().zbl.is_none() {
            wanted |= flags::ENERGY_ONLY;
        }
        self.described = None;
        let work = Work {
            wanted,
            gather,
            alone: request.contains(Request::WITHOUT_ENERGIES),
            born: request.contains(Request::BORN_CHARGES),
            gradient: None,
        };
        self.run(model, atoms, work)?;
        if matches!(atoms.origin, Origin::Bins) && n > 0 && !work.alone {
            self.correct(model, &atoms, wanted, gather)?;
        }
        self.described = request.contains(Request::GRADES).then_some(n);
        Ok(())
    }

    /// Where energies, forces and virials are.
    pub fn results(&self) -> [Address; 3] {
        let o = &self.outputs;
        [o.energy.address(), o.forces.address(), o.virials.address()]
    }

    /// The gradient of a scalar with respect to the descriptors, carried to positions and strain.
    pub fn contract(
        &mut self,
        model: &Model,
        atoms: Atoms<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        let total = atoms.n_total;
        if gradient.len() != atoms.n_local * model.dim() {
            return Err(Error::Internal("the gradient has a wrong length".into()));
        }
        let work = Work {
            wanted: flags::CONTRACT | flags::WANT_VIRIAL,
            gather: true,
            alone: true,
            born: false,
            gradient: Some(gradient),
        };
        self.run(model, atoms, work)?;
        fetch(&self.outputs.forces, total, &mut out.forces)?;
        out.virial = [0.0; 9];
        if atoms.n_local > 0 {
            out.virial = self.total(self.outputs.virials.address(), total)?;
        }
        Ok(())
    }
}

/// The first `len` values of a buffer.
fn fetch<T: Plain>(from: &Buffer<T>, len: usize, to: &mut Vec<T>) -> Result<()> {
    to.clear();
    to.resize(len, T::default());
    from.download(to)
}
