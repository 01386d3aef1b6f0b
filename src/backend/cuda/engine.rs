//! One evaluation: what is copied to the device, which kernels run, what is copied back.

use super::Options;
use super::args::{Address, Args, flags};
use super::driver::Device;
use super::grades::{Graded, Grader};
use super::lists::{Lists, Origin, Positions, SLICE, Sight};
use super::memory::{Buffer, Plain};
use super::program::Program;
use super::resident::Resident;
use super::source::Shape;
use super::tables::Tables;
use crate::backend::{Contraction, Evaluation, Precision, Request};
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, Effort};
use crate::model::{Identity, Model};
use crate::system::Cell;
use std::sync::Arc;

/// Atoms whose scratch is kept at a time: enough to fill a device, little enough for its cache.
const BATCH: usize = 1 << 17;
/// Rows that the launches of a sum end in.
const SUM_ROWS: [usize; 3] = [16384, 128, 1];

/// Atoms with the origin of their neighbours.
#[derive(Clone, Copy)]
pub(super) struct Atoms<'a> {
    pub cell: &'a Cell,
    /// None if the device has them in its buffer.
    pub positions: Option<&'a [[f64; 3]]>,
    pub types: &'a [u32],
    pub n_local: usize,
    pub n_total: usize,
    pub origin: Origin<'a>,
    /// The types are those of the last call, by the caller's word.
    pub same_types: bool,
    /// No atom has moved half the skin, by the caller's word.
    pub still: bool,
}

/// A model on the device, for the types that were present.
#[derive(Debug)]
struct Loaded {
    of: Identity,
    present: Vec<u32>,
    shape: Shape,
    program: Program,
    tables: Tables,
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
    part: [Buffer<f64>; 2],
}

/// The backend's state on a device.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) device: Arc<Device>,
    pub(super) options: Options,
    precision: Precision,
    loaded: Option<Loaded>,
    lists: Lists,
    pub(super) grader: Grader,
    pub(super) resident: Resident,
    /// Atoms whose descriptors are in `outputs.q`.
    described: Option<usize>,
    scratch: Scratch,
    outputs: Outputs,
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
            loaded: None,
            lists: Lists::new(d),
            grader: Grader::new(d),
            resident: Resident::default(),
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
                part: [0; 2].map(|_| Buffer::new(d)),
            },
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
        fetch(&outputs.energy, n, &mut out.energies)?;
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
        out.energy = out.energies.iter().sum();
        out.virial = [0.0; 9];
        if request.contains(Request::VIRIAL) && n > 0 {
            out.virial = self.total_virial(total)?;
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
        let n = atoms.n_local;
        let mut wanted = 0;
        let mut wants = |part: Request, flag: u64| {
            if request.intersects(part) {
                wanted |= flag;
            }
        };
        wants(Request::VIRIAL | Request::VIRIALS, flags::WANT_VIRIAL);
        wants(Request::DESCRIPTORS, flags::WANT_DESCRIPTORS);
        wants(Request::NEURONS, flags::WANT_NEURONS);
        wants(Request::PROJECTIONS, flags::WANT_PROJECTIONS);
        wants(Request::GRADES, flags::WANT_GRADES);
        let gather = request.intersects(Request::FORCES | Request::VIRIAL | Request::VIRIALS);
        if !gather && model.header().zbl.is_none() {
            wanted |= flags::ENERGY_ONLY;
        }
        self.described = None;
        self.run(model, atoms, wanted, gather, None)?;
        self.described = request.contains(Request::GRADES).then_some(n);
        Ok(())
    }

    /// Where energies, forces and virials are.
    pub fn results(&self) -> [Address; 3] {
        let o = &self.outputs;
        [o.energy.address(), o.forces.address(), o.virials.address()]
    }

    /// Grades of the atoms of the last evaluation, which was asked to keep their descriptors.
    pub fn grade(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        effort: Effort,
        types: &[u32],
    ) -> Result<[Vec<f64>; 3]> {
        self.grade_here(model, set, effort, types)?;
        self.grades(types.len())
    }

    /// [`Engine::grade`], left on the device.
    pub fn grade_here(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        effort: Effort,
        types: &[u32],
    ) -> Result<()> {
        if self.described != Some(types.len()) {
            return Err(Error::Internal(
                "grades without an evaluation before them".into(),
            ));
        }
        let shape = Shape::new(model, self.precision, 1);
        let graded = Graded {
            types,
            q: self.outputs.q.address(),
        };
        self.grader
            .grade(model, set, effort, &shape, &self.options, graded)
    }

    /// The grades that are on the device.
    fn grades(&self, n: usize) -> Result<[Vec<f64>; 3]> {
        let mut out = [0; 3].map(|_| vec![0.0; n]);
        for (out, buffer) in out.iter_mut().zip(self.grader.values()) {
            buffer.download(out)?;
        }
        Ok(out)
    }

    /// Grades of atoms from descriptors of the caller's.
    pub fn grade_descriptors(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        effort: Effort,
        types: &[u32],
        descriptors: &[f64],
    ) -> Result<[Vec<f64>; 3]> {
        self.described = None;
        let bytes: Vec<u8> = match self.precision {
            Precision::F64 => descriptors.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            _ => {
                let single = descriptors.iter().map(|&x| x as f32);
                single.flat_map(f32::to_ne_bytes).collect()
            }
        };
        let mut q = Buffer::<u8>::new(&self.device);
        q.upload(&bytes)?;
        let shape = Shape::new(model, self.precision, 1);
        let graded = Graded {
            types,
            q: q.address(),
        };
        self.grader
            .grade(model, set, effort, &shape, &self.options, graded)?;
        self.grades(types.len())
    }

    /// Atoms that the last grading computed in f64.
    pub fn graded_exactly(&self) -> usize {
        self.grader.graded_exactly()
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
        let wanted = flags::CONTRACT | flags::WANT_VIRIAL;
        self.run(model, atoms, wanted, true, Some(gradient))?;
        fetch(&self.outputs.forces, total, &mut out.forces)?;
        out.virial = [0.0; 9];
        if atoms.n_local > 0 {
            out.virial = self.total_virial(total)?;
        }
        Ok(())
    }

    /// Runs everything on the device; results stay there.
    fn run(
        &mut self,
        model: &Model,
        atoms: Atoms<'_>,
        wanted: u64,
        gather: bool,
        gradient: Option<&[f64]>,
    ) -> Result<()> {
        let (n, total) = (atoms.n_local, atoms.n_total);
        if total >= u32::MAX as usize / 2 {
            return Err(Error::Backend(format!(
                "{total} atoms are more than one device context holds; use more devices"
            )));
        }
        if n == 0 {
            self.outputs.forces.zero(total)?;
            self.outputs.virials.zero(total)?;
            return Ok(());
        }
        let done = self.steps(model, atoms, wanted, gather, gradient);
        if done.is_err() {
            // Whatever was half made is made anew.
            self.lists.forget();
            self.known_types.clear();
        }
        done
    }

    fn steps(
        &mut self,
        model: &Model,
        atoms: Atoms<'_>,
        wanted: u64,
        gather: bool,
        gradient: Option<&[f64]>,
    ) -> Result<()> {
        let (n, total) = (atoms.n_local, atoms.n_total);
        let new_types = self.load(model, atoms.types, atoms.same_types)?;
        let Some(loaded) = &self.loaded else {
            return Err(Error::Internal("no model on the device".into()));
        };
        let (program, shape) = (&loaded.program, &loaded.shape);
        let args = &mut self.args;
        loaded.tables.enter(args);
        args.n_local = n as u64;
        args.n_types = loaded.present.len() as u64;
        args.flags = wanted;
        let positions = match atoms.positions {
            Some(positions) => {
                self.resident.forget();
                self.positions.upload(positions)?;
                Positions::Host(positions)
            }
            None => Positions::Device(&self.positions, total),
        };
        args.positions = self.positions.address();
        args.types = self.types.address();
        if let Some(gradient) = gradient {
            self.gradient.upload(gradient)?;
            args.gradient = self.gradient.address();
        }
        self.lists.update(
            program,
            args,
            Sight {
                cell: atoms.cell,
                positions,
                n_total: total,
                still: atoms.still,
                cutoff: model.cutoff(),
                origin: atoms.origin,
                new_types,
                double: shape.precision == Precision::F64,
            },
        )?;

        let batch = n.min(BATCH).next_multiple_of(SLICE);
        let bytes = if shape.precision == Precision::F64 {
            8
        } else {
            4
        };
        let words = |numbers: usize| (numbers * bytes).div_ceil(8);
        let scratch = &mut self.scratch;
        args.stride = batch as u64;
        args.sums = scratch
            .sums
            .reserve(words(batch * shape.n_angular_padded() * shape.n_lm()))?;
        args.q = scratch.q.reserve(words(batch * shape.dim))?;
        let [n1, n2] = [shape.neurons_padded(), shape.neurons[1]];
        args.neurons = scratch.neurons.reserve(words(batch * n1))?;
        if n2 > 0 {
            args.slope = scratch.slope.reserve(words(batch * n1))?;
        }
        args.fp = scratch.fp.reserve(words(batch * shape.dim))?;
        let slopes = n * loaded.present.len() * shape.n_basis_padded();
        args.radial_slope = scratch.radial_slope.reserve(words(slopes))?;
        let outputs = &mut self.outputs;
        args.out_energy = outputs.energy.reserve(n)?;
        if gather {
            args.out_forces = outputs.forces.reserve(total)?;
        }
        if wanted & flags::WANT_VIRIAL != 0 {
            args.out_virials = outputs.virials.reserve(total)?;
        }
        if wanted & flags::WANT_DESCRIPTORS != 0 {
            args.out_descriptors = outputs.descriptors.reserve(n * shape.dim)?;
        }
        if wanted & flags::WANT_NEURONS != 0 {
            args.out_neurons = outputs.neurons.reserve(n * shape.neurons[0])?;
        }
        if wanted & flags::WANT_PROJECTIONS != 0 {
            let width = shape.neurons[0] * (shape.dim + 2);
            args.out_projections = outputs.projections.reserve(n * width)?;
        }
        if wanted & flags::WANT_GRADES != 0 {
            args.out_q = outputs.q.reserve(words(n * shape.dim))?;
        }
        let features = flags::WANT_DESCRIPTORS
            | flags::WANT_NEURONS
            | flags::WANT_PROJECTIONS
            | flags::WANT_GRADES;
        for first in (0..n).step_by(batch) {
            args.first = first as u64;
            args.count = batch.min(n - first) as u64;
            program.launch("nepal_descriptor", args.count, args)?;
            program.launch("nepal_network", args.count, args)?;
            if wanted & features != 0 {
                program.launch("nepal_features", args.count, args)?;
            }
            if wanted & flags::ENERGY_ONLY == 0 {
                program.launch("nepal_partial", args.count, args)?;
            }
        }
        if gather {
            program.launch("nepal_forces", n as u64, args)?;
            program.launch("nepal_ghost_forces", (total - n) as u64, args)?;
        }
        Ok(())
    }

    /// Kernels and tables for a model and the types present, and the atoms' types in their terms.
    /// Says whether anything is new.
    fn load(&mut self, model: &Model, types: &[u32], same: bool) -> Result<bool> {
        let known = matches!(&self.loaded, Some(loaded) if loaded.of.same(model.identity()));
        let same = same && self.known_types.len() == types.len();
        if known && (same || self.known_types == types) {
            return Ok(false);
        }
        let mut here = vec![false; model.elements().len()];
        for &t in types {
            here[t as usize] = true;
        }
        let present: Vec<u32> = (0..here.len() as u32)
            .filter(|&t| here[t as usize])
            .collect();
        if !(known && matches!(&self.loaded, Some(loaded) if loaded.present == present)) {
            let shape = Shape::new(model, self.precision, present.len());
            let kept = self.loaded.take().filter(|loaded| loaded.shape == shape);
            let program = match kept {
                Some(loaded) => loaded.program,
                None => {
                    let mut program = Program::new(&self.device, &shape.source(), &self.options)?;
                    program.time(self.timed);
                    program
                }
            };
            let tables = Tables::new(&self.device, model, &shape, &present)?;
            let of = model.identity();
            self.loaded = Some(Loaded {
                of,
                present: present.clone(),
                shape,
                program,
                tables,
            });
        }
        let mut number = vec![0; here.len()];
        for (k, &t) in present.iter().enumerate() {
            number[t as usize] = k as u32;
        }
        let compact: Vec<u32> = types.iter().map(|&t| number[t as usize]).collect();
        self.types.upload(&compact)?;
        self.known_types.clear();
        self.known_types.extend_from_slice(types);
        Ok(true)
    }

    /// The sum of the virials of `rows` atoms, in a fixed order.
    fn total_virial(&mut self, rows: usize) -> Result<[f64; 9]> {
        const COLUMNS: usize = 9;
        let Some(loaded) = &self.loaded else {
            return Err(Error::Internal("no model on the device".into()));
        };
        let mut args = self.args;
        args.columns = COLUMNS as u64;
        args.rows = rows as u64;
        args.input = self.outputs.virials.address();
        for (pass, out_rows) in SUM_ROWS.into_iter().enumerate() {
            args.out = self.outputs.part[pass % 2].reserve(out_rows * COLUMNS)?;
            args.out_rows = out_rows as u64;
            loaded.program.launch("nepal_sum", args.out_rows, &args)?;
            args.rows = args.out_rows;
            args.input = args.out;
        }
        let mut sum = [0.0; COLUMNS];
        self.outputs.part[(SUM_ROWS.len() - 1) % 2].download(&mut sum)?;
        Ok(sum)
    }

    /// Copies 1 GiB and multiplies for some milliseconds, both `repeats` times; gives the bytes moved
    /// and the operations of each time.
    pub fn exercise(&mut self, repeats: usize, shrink: u32) -> Result<[f64; 2]> {
        let (doubles, threads) = ((1usize << 26) >> shrink, (1usize << 22) >> shrink);
        const ROUNDS: u64 = 1 << 10;
        let Some(loaded) = &self.loaded else {
            return Err(Error::invalid(
                "evaluate something first: the kernels are not loaded",
            ));
        };
        let mut args = self.args;
        let mut from = Buffer::<f64>::new(&self.device);
        let mut to = Buffer::<f64>::new(&self.device);
        args.input = from.zero(doubles)?;
        args.out = to.reserve(doubles)?;
        for _ in 0..repeats {
            args.rows = doubles as u64;
            loaded.program.launch("nepal_copy", args.rows, &args)?;
            args.rows = threads as u64;
            args.columns = ROUNDS;
            loaded
                .program
                .launch("nepal_multiply_add", args.rows, &args)?;
        }
        self.device.wait()?;
        Ok([16.0 * doubles as f64, 16.0 * threads as f64 * ROUNDS as f64])
    }

    /// Starts or stops timing the kernels.
    pub fn time(&mut self, on: bool) {
        self.timed = on;
        self.grader.time(on);
        if let Some(loaded) = &mut self.loaded {
            loaded.program.time(on);
        }
    }

    /// Milliseconds of each launch since the last call.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        let mut times = match &self.loaded {
            Some(loaded) => loaded.program.times()?,
            None => Vec::new(),
        };
        times.extend(self.grader.times()?);
        Ok(times)
    }

    /// Bytes held on the device, and those of them that many atoms share: the scratch of a batch.
    pub fn bytes(&self) -> [usize; 2] {
        let (s, o) = (&self.scratch, &self.outputs);
        let scratch = [&s.sums, &s.q, &s.neurons, &s.slope, &s.fp];
        let shared = scratch.into_iter().chain(&o.part).map(Buffer::bytes);
        let shared = shared.sum::<usize>() + self.grader.scratch_bytes();
        let outputs = [&o.energy, &o.descriptors, &o.neurons, &o.projections, &o.q];
        let own = outputs.map(Buffer::bytes).iter().sum::<usize>()
            + s.radial_slope.bytes()
            + o.forces.bytes()
            + o.virials.bytes()
            + self.positions.bytes()
            + self.types.bytes()
            + self.gradient.bytes()
            + self.lists.bytes()
            + self.grader.bytes();
        [own + shared, shared]
    }
}

/// The first `len` values of a buffer.
fn fetch<T: Plain>(from: &Buffer<T>, len: usize, to: &mut Vec<T>) -> Result<()> {
    to.clear();
    to.resize(len, T::default());
    from.download(to)
}
