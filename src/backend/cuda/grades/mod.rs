//! Grades on the device: exact ones in f64 by products of matrices, and a first look in halves that
//! spares most atoms them.

mod args;
mod half;
mod passes;
mod tables;

use super::Options;
use super::args::Address;
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use super::source::Shape;
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, Effort, Grade};
use crate::model::{Identity, Model};
use args::{GradeArgs, flags};
use std::sync::Arc;
use tables::{Exact, Network};

/// Oldest compute capability whose tensor cores the first look is written for.
const FIRST_LOOK: u32 = 80;
/// Grades so near to the threshold, relative, are computed by the CPU: rounding differs.
const NEAR: f64 = 1e-7;

/// The atoms to grade.
#[derive(Clone, Copy)]
pub(super) struct Graded<'a> {
    /// Types of the model. Shape `[n]`.
    pub types: &'a [u32],
    /// Scaled descriptors on the device, in the precision of the work on pairs. Shape `[n][dim]`.
    pub q: Address,
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
struct Made {
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
    made: Option<Made>,
    scratch: Scratch,
    /// Atoms type by type, and where each type's begin.
    atoms: Buffer<u32>,
    starts: Vec<usize>,
    known_types: Vec<u32>,
    /// Atoms that passed the prefilter and the first look, in the places of their types, and their
    /// numbers.
    passed: [Buffer<u32>; 2],
    counts: [Buffer<u32>; 2],
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
        let lists = [&self.atoms, &self.passed[0], &self.passed[1]];
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
        effort: Effort,
        shape: &Shape,
        options: &Options,
        graded: Graded<'_>,
    ) -> Result<()> {
        let done = self.run(model, set, effort, shape, options, graded);
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
        effort: Effort,
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
        for cluster in 0..clusters {
            self.one_set(model, cluster, effort, graded)?;
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
        match effort {
            Effort::Full => Ok(()),
            Effort::Above(threshold) | Effort::Likely(threshold) => {
                self.settle(model, set, threshold, shape, graded)
            }
        }
    }

    /// Grades atoms that are too near to the threshold for rounding to differ as the CPU does.
    fn settle(
        &mut self,
        model: &Model,
        set: &ActiveSet,
        threshold: f64,
        shape: &Shape,
        graded: Graded<'_>,
    ) -> Result<()> {
        let mut args = GradeArgs {
            rows: graded.types.len() as u64,
            threshold,
            near: NEAR * threshold.abs(),
            ..GradeArgs::default()
        };
        args.grade = self.values()[2].address();
        args.passed = self.passed[0].address();
        args.passed_count = self.counts[0].zero(1)?;
        self.made()?
            .program
            .launch("nepal_grade_near", args.rows, &args)?;
        let mut count = [0];
        self.counts[0].download(&mut count)?;
        let mut near = vec![0; count[0] as usize];
        self.passed[0].download(&mut near)?;
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

    fn made(&self) -> Result<&Made> {
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
        let same_model = |made: &Made| made.of.same(of) && made.shape == *shape;
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
        self.made = Some(Made {
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

    /// Brings the atoms into the order of their types.
    fn sort(&mut self, model: &Model, types: &[u32]) -> Result<()> {
        if self.known_types == types {
            return Ok(());
        }
        let n_types = model.elements().len();
        let mut starts = vec![0; n_types + 1];
        for &t in types {
            starts[t as usize + 1] += 1;
        }
        for t in 0..n_types {
            starts[t + 1] += starts[t];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0u32; types.len()];
        for (atom, &t) in types.iter().enumerate() {
            sorted[next[t as usize]] = atom as u32;
            next[t as usize] += 1;
        }
        self.known_types.clear();
        self.atoms.upload(&sorted)?;
        self.starts = starts;
        self.known_types.extend_from_slice(types);
        Ok(())
    }

    /// The grades that one cluster gives.
    fn one_set(
        &mut self,
        model: &Model,
        cluster: usize,
        effort: Effort,
        graded: Graded<'_>,
    ) -> Result<()> {
        let n = graded.types.len();
        let n_types = model.elements().len();
        let mut base = GradeArgs {
            q: graded.q,
            ..GradeArgs::default()
        };
        [base.gamma, base.rho, base.grade] = self.values.reserve(n)?;
        for k in 0..2 {
            self.passed[k].reserve(n)?;
            self.counts[k].zero(n_types)?;
        }
        let word = size_of::<u32>() as u64;
        let mut left = Vec::new();
        for t in 0..n_types {
            let (start, end) = (self.starts[t], self.starts[t + 1]);
            if start == end {
                continue;
            }
            self.tables(model, cluster, t)?;
            let mut args = base;
            args.list = self.atoms.address() + start as u64 * word;
            args.total = (end - start) as u64;
            let Made {
                program,
                networks,
                clusters,
                ..
            } = self.made()?;
            let (Some(network), Some(Some(exact))) = (&networks[t], &clusters[cluster][t]) else {
                args.rows = args.total;
                args.fill = f64::INFINITY;
                program.launch("nepal_grade_fill", args.rows, &args)?;
                continue;
            };
            network.enter(&mut args);
            exact.enter(&mut args);
            let passed = [0, 1].map(|k| self.passed[k].address() + start as u64 * word);
            let counts = [0, 1].map(|k| self.counts[k].address() + t as u64 * word);
            let mut source = None;
            if matches!(effort, Effort::Likely(_)) && exact.has_prefilter() {
                (args.passed, args.passed_count) = (passed[0], counts[0]);
                self.prefilter(model, args)?;
                (args.list, args.count) = (passed[0], counts[0]);
                source = Some(0);
            }
            if let Effort::Above(threshold) | Effort::Likely(threshold) = effort
                && self.device.arch >= FIRST_LOOK
                && self.look(model, cluster, t, args, [passed[1], counts[1]], threshold)?
            {
                args.list = passed[1];
                source = Some(1);
            }
            args.count = 0;
            left.push((t, source, args));
        }
        let mut counts = [vec![0u32; n_types], vec![0u32; n_types]];
        if left.iter().any(|(_, source, _)| source.is_some()) {
            for (counts, buffer) in counts.iter_mut().zip(&self.counts) {
                buffer.download(counts)?;
            }
        }
        for (t, source, mut args) in left {
            if let Some(k) = source {
                args.total = u64::from(counts[k][t]);
            }
            self.exact += args.total as usize;
            self.grade_exactly(model, cluster, t, args)?;
        }
        Ok(())
    }
}
