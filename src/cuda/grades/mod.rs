//! Grades on the device, by products of matrices in f64. With a threshold, a look at few active rows leaves
//! few atoms of the ridge form that need all of them, and fewer that need coefficients.

mod args;
mod passes;
mod sets;
mod tables;

use super::Options;
use super::args::Address;
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use super::source::Shape;
use nepal_core::error::Result;
use nepal_core::grade::{ActiveSet, Effort, Grade};
use nepal_core::model::{Identity, Model};
use std::sync::Arc;
use tables::{Network, Set};

/// Rows and columns of a warp's part of a product.
const TILE: usize = 32;

/// Grades nearer to the threshold than this share of it, or than rounding can move them if that is more,
/// are computed by the CPU.
const NEAR: f64 = 1e-9;

/// Whether the host waits for what the device finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All grades are final.
    Wait,
    /// The host does not wait. Atoms as near to the threshold as rounding are where the device puts them,
    /// until [`Grader::open`] is asked for and they are graded again.
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

/// What was made for a model and an active set.
#[derive(Debug)]
struct GradingProgram {
    of: Identity,
    set: Arc<ActiveSet>,
    shape: Shape,
    program: Program,
    /// By type, once it was needed; without a set where nothing is known.
    sets: Vec<Option<(Network, Option<Set>)>>,
}

/// Scratch of the rows of a launch.
#[derive(Debug)]
struct Scratch {
    /// Sides; in the compatibility form neurons and slopes.
    sides: [Buffer<f64>; 2],
    /// L⁻¹ k; in the compatibility form features.
    products: Buffer<f64>,
    coefficients: Buffer<f64>,
    left: Buffer<f64>,
    need: Buffer<u32>,
    /// Atoms that a look leaves, and their number.
    passed: Buffer<u32>,
    passed_count: Buffer<u32>,
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
    /// Atoms that rounding could move across the threshold, and their number.
    near: Buffer<u32>,
    open: Buffer<u32>,
    /// γ, ρ and Γ in the order of the atoms.
    values: [Buffer<f64>; 3],
    timed: bool,
}

impl Grader {
    pub fn new(device: &Arc<Device>) -> Self {
        let d = device;
        Self {
            device: Arc::clone(d),
            made: None,
            scratch: Scratch {
                sides: [0; 2].map(|_| Buffer::new(d)),
                products: Buffer::new(d),
                coefficients: Buffer::new(d),
                left: Buffer::new(d),
                need: Buffer::new(d),
                passed: Buffer::new(d),
                passed_count: Buffer::new(d),
            },
            atoms: Buffer::new(d),
            starts: Vec::new(),
            known_types: Vec::new(),
            near: Buffer::new(d),
            open: Buffer::new(d),
            values: [0; 3].map(|_| Buffer::new(d)),
            timed: false,
        }
    }

    /// Bytes of the scratch of a launch and of the set.
    pub fn scratch_bytes(&self) -> usize {
        let s = &self.scratch;
        let [a, b] = &s.sides;
        let doubles = [a, b, &s.products, &s.coefficients, &s.left];
        let doubles: usize = doubles.map(Buffer::bytes).iter().sum();
        let made = self.made.iter().flat_map(|made| made.sets.iter().flatten());
        let made = made.map(|(net, set)| net.bytes() + set.as_ref().map_or(0, Set::bytes));
        doubles + s.need.bytes() + s.passed.bytes() + made.sum::<usize>()
    }

    /// Other bytes held on the device.
    pub fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(Buffer::bytes).sum();
        self.atoms.bytes() + self.near.bytes() + values
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
    pub fn values(&self) -> &[Buffer<f64>; 3] {
        &self.values
    }

    fn run(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        shape: &Shape,
        options: &Options,
        graded: Graded<'_>,
    ) -> Result<()> {
        if graded.types.is_empty() {
            return Ok(());
        }
        self.prepare(model, set, shape, options)?;
        self.sort(model, graded.types)?;
        self.all_types(model, graded)?;
        match (threshold(graded.effort), graded.pace) {
            (Some(_), Pace::Wait) => self.settle(model, set, shape, graded),
            _ => Ok(()),
        }
    }

    /// Whether the last call with [`Pace::Later`] left anything open; waits for it.
    pub fn open(&self) -> Result<bool> {
        let mut open = [0];
        self.open.download(&mut open)?;
        Ok(open != [0])
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
        for atom in near.into_iter().map(|atom| atom as usize) {
            let q = super::memory::read_reals(
                &self.device,
                shape.precision,
                graded.q,
                atom * model.dim(),
                model.dim(),
            )?;
            let types = &graded.types[atom..=atom];
            let found = set.grade_descriptors(model, types, &q, graded.effort)?;
            for &Grade { gamma, rho, total } in &found {
                for (buffer, value) in self.values.iter().zip([gamma, rho, total]) {
                    buffer.put(atom, value)?;
                }
            }
        }
        Ok(())
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
            sets: model.elements().iter().map(|_| None).collect(),
        });
        Ok(())
    }
}

/// The threshold of an effort: atoms that are likely above it are those that are.
fn threshold(effort: Effort) -> Option<f64> {
    match effort {
        Effort::Full => None,
        Effort::Above(threshold) => Some(threshold),
    }
}
