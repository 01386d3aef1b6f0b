//! Grades on the device: exact ones in f64 by products of matrices, and a first look in halves that
//! spares most atoms them.

mod args;
mod half;
mod look;
mod passes;
mod sets;
mod tables;
#[cfg(test)]
mod tests;

use super::Options;
use super::args::Address;
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use super::source::Shape;
use args::{GradeArgs, flags};
use nepal_core::error::{Error, Result};
use nepal_core::grade::{ActiveSet, Effort, Grade};
use nepal_core::model::{Identity, Model};
use std::sync::Arc;
use tables::{Exact, Network};

/// Oldest compute capability whose tensor cores the first look is written for.
const FIRST_LOOK: u32 = 80;
/// Grades nearer to the threshold than this share of it, or than rounding can move them if that is more,
/// are computed by the CPU.
const NEAR: f64 = 1e-9;
/// Whether the host waits for what the device finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All grades are final.
    Wait,
    /// The host does not wait. Candidates beyond those that there is room for get infinite grades, and
    /// atoms as near to the threshold as rounding are where the device puts them, until
    /// [`Grader::open`] is asked for and they are graded again.
    Later,
}

/// The atoms to grade.
#[derive(Clone, Copy)]
pub(super) struct Graded<'a> {
    /// Types of the model. Shape `[n]`.
    pub types: &'a [u32],
    /// Scaled descriptors on the device, in the precision of the work on pairs. Shape `[n][dim]`.
    pub q: Address,
    pub effort: Effort,
    pub pace: Pace,
}

/// Grades in the order of the atoms.
#[derive(Debug)]
struct Values {
    gamma: Buffer<f64>,
    rho: Buffer<f64>,
    grade: Buffer<f64>,
}

impl Values {
    fn new(device: &Arc<Device>) -> Self {
        let [gamma, rho, grade] = [0; 3].map(|_| Buffer::new(device));
        Self { gamma, rho, grade }
    }

    fn reserve(&mut self, n: usize) -> Result<[Address; 3]> {
        Ok([
            self.gamma.reserve(n)?,
            self.rho.reserve(n)?,
            self.grade.reserve(n)?,
        ])
    }

    fn bytes(&self) -> usize {
        self.gamma.bytes() + self.rho.bytes() + self.grade.bytes()
    }
}

/// One cluster's sets of all types that were needed.
type Sets = Vec<Option<Option<Exact>>>;

/// What was made for a model and an active set.
#[derive(Debug)]
struct GradingProgram {
    of: Identity,
    set: Arc<ActiveSet>,
    shape: Shape,
    program: Program,
    networks: Vec<Option<Network>>,
    clusters: Vec<Sets>,
}

/// Scratch of the rows of a launch.
#[derive(Debug)]
struct Scratch {
    x: Buffer<f64>,
    slope: Buffer<f64>,
    z: Buffer<f64>,
    y: Buffer<f64>,
    c: Buffer<f64>,
    length: Buffer<f64>,
    inside: Buffer<f64>,
    need: Buffer<u32>,
    lengths: Buffer<f64>,
    high: Buffer<[u32; 4]>,
    low: Buffer<[u32; 4]>,
    partial: Buffer<f64>,
    probe_partial: Buffer<f64>,
}

/// Grades atoms on a device.
#[derive(Debug)]
pub(super) struct Grader {
    device: Arc<Device>,
    made: Option<GradingProgram>,
    scratch: Scratch,
    /// Atoms type by type, and where each type's begin.
    atoms: Buffer<u32>,
    starts: Vec<usize>,
    known_types: Vec<u32>,
    /// Atoms that passed the prefilter and the first look, in the places of their types, and their
    /// numbers.
    passed: [Buffer<u32>; 2],
    counts: [Buffer<u32>; 2],
    /// Atoms that rounding could move across the threshold; their number and that of atoms left
    /// ungraded.
    near: Buffer<u32>,
    open: Buffer<u32>,
    values: Values,
    best: Values,
    /// Atoms of the last call that were graded in f64.
    exact: usize,
    timed: bool,
}

impl Grader {
    pub fn new(device: &Arc<Device>) -> Self {
        let d = device;
        Self {
            device: Arc::clone(d),
            made: None,
            scratch: Scratch {
                x: Buffer::new(d),
                slope: Buffer::new(d),
                z: Buffer::new(d),
                y: Buffer::new(d),
                c: Buffer::new(d),
                length: Buffer::new(d),
                inside: Buffer::new(d),
                need: Buffer::new(d),
                lengths: Buffer::new(d),
                high: Buffer::new(d),
                low: Buffer::new(d),
                partial: Buffer::new(d),
                probe_partial: Buffer::new(d),
            },
            atoms: Buffer::new(d),
            starts: Vec::new(),
            known_types: Vec::new(),
            passed: [0; 2].map(|_| Buffer::new(d)),
            counts: [0; 2].map(|_| Buffer::new(d)),
            near: Buffer::new(d),
            open: Buffer::new(d),
            values: Values::new(d),
            best: Values::new(d),
            exact: 0,
            timed: false,
        }
    }

    /// Atoms that the last call graded in f64, all clusters together.
    pub fn graded_exactly(&self) -> usize {
        self.exact
    }

    /// Bytes of the scratch of a launch and of the set.
    pub fn scratch_bytes(&self) -> usize {
        let s = &self.scratch;
        let doubles = [
            &s.x,
            &s.slope,
            &s.z,
            &s.y,
            &s.c,
            &s.length,
            &s.inside,
            &s.lengths,
            &s.partial,
            &s.probe_partial,
        ];
        let doubles: usize = doubles.map(Buffer::bytes).iter().sum();
        let made = self.made.as_ref().map_or(0, |made| {
            let sets = made.clusters.iter().flatten().flatten().flatten();
            let networks = made.networks.iter().flatten().map(Network::bytes);
            sets.map(Exact::bytes).sum::<usize>() + networks.sum::<usize>()
        });
        doubles + s.need.bytes() + s.high.bytes() + s.low.bytes() + made
    }

    /// Other bytes held on the device.
    pub fn bytes(&self) -> usize {
        let lists = [&self.atoms, &self.passed[0], &self.passed[1], &self.near];
        let counts = self.counts.iter().map(Buffer::bytes).sum::<usize>();
        lists.map(Buffer::bytes).iter().sum::<usize>()
            + counts
            + self.values.bytes()
            + self.best.bytes()
    }

    /// Starts or stops timing the kernels.
    pub fn time(&mut self, on: bool) {
        self.timed = on;
        if let Some(made) = &mut self.made {
            made.program.time(on);
        }
    }

    /// Milliseconds of each launch since the last call.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        self.made
            .as_ref()
            .map_or(Ok(Vec::new()), |made| made.program.times())
    }

    /// Leaves grades of atoms on the device; as [`ActiveSet::grade_descriptors`], whose set of atoms
    /// above a threshold it gives to the last.
    pub fn grade(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        shape: &Shape,
        options: &Options,
        graded: Graded<'_>,
    ) -> Result<()> {
        let done = self.run(model, set, shape, options, graded);
        if done.is_err() {
            self.known_types.clear();
            self.made = None;
        }
        done
    }

    /// γ, ρ and Γ of the atoms of the last call.
    pub fn values(&self) -> [&Buffer<f64>; 3] {
        let several = matches!(&self.made, Some(made) if made.clusters.len() > 1);
        let found = if several { &self.best } else { &self.values };
        [&found.gamma, &found.rho, &found.grade]
    }

    fn run(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        shape: &Shape,
        options: &Options,
        graded: Graded<'_>,
    ) -> Result<()> {
        let n = graded.types.len();
        self.exact = 0;
        if n == 0 {
            return Ok(());
        }
        self.prepare(model, set, shape, options)?;
        self.sort(model, graded.types)?;
        let clusters = set.clusters().len();
        // An atom can be near in each.
        self.near.reserve(n * clusters)?;
        self.open.zero(2)?;
        for cluster in 0..clusters {
            self.one_set(model, cluster, graded)?;
            if clusters > 1 {
                let mut args = GradeArgs {
                    rows: n as u64,
                    ..GradeArgs::default()
                };
                [args.gamma, args.rho, args.grade] = self.values.reserve(n)?;
                [args.best_gamma, args.best_rho, args.best_grade] = self.best.reserve(n)?;
                args.flags = if cluster == 0 { flags::FIRST_SET } else { 0 };
                self.made()?
                    .program
                    .launch("nepal_grade_best", n as u64, &args)?;
            }
        }
        match (graded.effort, graded.pace) {
            (Effort::Full, _) | (_, Pace::Later) => Ok(()),
            _ => self.settle(model, set, shape, graded),
        }
    }

    /// Whether the last call with [`Pace::Later`] left anything open; waits for it.
    pub fn open(&self) -> Result<bool> {
        let mut open = [0; 2];
        self.open.download(&mut open)?;
        Ok(open != [0; 2])
    }

    /// Grades atoms that are too near to the threshold for rounding to differ as the CPU does.
    fn settle(
        &mut self,
        model: &Model,
        set: &ActiveSet,
        shape: &Shape,
        graded: Graded<'_>,
    ) -> Result<()> {
        let mut count = [0];
        self.open.download(&mut count)?;
        let mut near = vec![0; count[0] as usize];
        self.near.download(&mut near)?;
        near.sort_unstable();
        near.dedup();
        for atom in near.into_iter().map(|atom| atom as usize) {
            let q = super::memory::read_reals(
                &self.device,
                shape.precision,
                graded.q,
                atom * model.dim(),
                model.dim(),
            )?;
            let types = &graded.types[atom..=atom];
            let found = set.grade_descriptors(model, types, &q, Effort::Full)?;
            for &Grade { gamma, rho, total } in &found {
                for (buffer, value) in self.values().into_iter().zip([gamma, rho, total]) {
                    buffer.put(atom, value)?;
                }
            }
        }
        Ok(())
    }

    fn made(&self) -> Result<&GradingProgram> {
        self.made
            .as_ref()
            .ok_or_else(|| Error::Internal("no active set on the device".into()))
    }

    /// Kernels for the shape, and room for the tables of the set.
    fn prepare(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        shape: &Shape,
        options: &Options,
    ) -> Result<()> {
        let of = model.identity();
        let same_model = |made: &GradingProgram| made.of.same(of) && made.shape == *shape;
        if matches!(&self.made, Some(made) if same_model(made) && Arc::ptr_eq(&made.set, set)) {
            return Ok(());
        }
        set.check_model(model)?;
        let n_types = model.elements().len();
        let kept = self.made.take().filter(|made| {
            let sizes = |s: &Shape| (s.precision, s.dim, s.neurons);
            sizes(&made.shape) == sizes(shape)
        });
        let program = match kept {
            Some(made) => made.program,
            None => {
                let mut program = Program::new(&self.device, &shape.grade_source(), options)?;
                program.time(self.timed);
                program
            }
        };
        self.made = Some(GradingProgram {
            of,
            set: Arc::clone(set),
            shape: *shape,
            program,
            networks: (0..n_types).map(|_| None).collect(),
            clusters: (0..set.clusters().len())
                .map(|_| (0..n_types).map(|_| None).collect())
                .collect(),
        });
        Ok(())
    }
}
