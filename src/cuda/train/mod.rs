//! Training on a device: energies, forces and virials of many structures, their derivatives along a
//! direction of the parameters, and the gradient of what is made of them.
//!
//! Knows nothing of losses: results come to the host, and their slopes go back.

// The arrays are explained where the kernels declare them, in `kernels/train_args.cuh`.
#![allow(missing_docs)]

mod args;
mod page;
mod source;

pub use page::{EIGHT, Launch, Page};
pub use source::TrainShape;

use super::Options;
use super::driver::{Device, Driver};
use super::memory::Buffer;
use super::program::Program;
use args::TrainArgs;
use nepal_core::error::Result;
use page::Resident;
use std::sync::Arc;

/// Threads that share the bonds of an atom, as in `kernels/train_args.cuh`.
const STRANDS: usize = 8;
/// Descriptors or functions that a thread sums for, as in `kernels/train_sums.cu`.
const TILE: usize = 4;
/// Arrays of scratch begin at multiples of so many numbers.
const ALIGNMENT: usize = 32;

/// A parameter vector, or a direction in its space.
#[derive(Clone, Copy)]
pub struct Vector<'a> {
    /// In the order of the model's file.
    pub values: &'a [f64],
    /// c_nk by centre, neighbour, k, n, radial and angular part.
    pub coefficients: [&'a [f64]; 2],
}

/// The kernels of training for a model's shape, on a device.
#[derive(Debug)]
pub struct Trainer {
    device: Arc<Device>,
    program: Program,
    shape: TrainShape,
    page: Resident,
    tables: Buffer<u64>,
    parameters: Buffer<f64>,
    direction: Buffer<f64>,
    scratch: Buffer<f64>,
    results: Buffer<f64>,
    slopes: Buffer<f64>,
    gradient: Buffer<f64>,
    /// Of the last forward pass, for the reverse one.
    args: TrainArgs,
}

impl Trainer {
    /// The kernels on a device, compiled or read.
    ///
    /// **Errors**: [`nepal_core::Error::Backend`] without driver, device or NVRTC.
    pub fn new(options: &Options, shape: TrainShape) -> Result<Self> {
        let driver = Driver::open(options.driver.as_deref())?;
        let device = Device::new(&driver, options.device)?;
        let program = Program::new(&device, &shape.source(), options)?;
        Ok(Self {
            page: Resident::new(&device),
            tables: Buffer::new(&device),
            parameters: Buffer::new(&device),
            direction: Buffer::new(&device),
            scratch: Buffer::new(&device),
            results: Buffer::new(&device),
            slopes: Buffer::new(&device),
            gradient: Buffer::new(&device),
            args: TrainArgs::default(),
            device,
            program,
            shape,
        })
    }

    /// Name of the device.
    pub fn device(&self) -> &str {
        &self.device.name
    }

    /// Free and total memory of the device, bytes.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.device.memory()
    }

    /// Starts or stops timing every kernel.
    pub fn time(&mut self, on: bool) {
        self.program.time(on);
    }

    /// Name and milliseconds of each kernel since the last call, while they are timed.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        self.program.times()
    }

    /// Bytes of scratch that a launch takes.
    pub fn scratch_bytes(
        shape: &TrainShape,
        entries: usize,
        bonds: [usize; 2],
        positions: usize,
    ) -> usize {
        let mut args = TrainArgs::default();
        let sizes = arrays(&mut args, shape, entries, bonds, positions, 2);
        size_of::<f64>() * sizes.iter().map(|(_, n)| n).sum::<usize>()
    }

    /// Puts structures on the device, in the place of those before.
    ///
    /// **Errors**: [`nepal_core::Error::Backend`], above all for want of memory.
    pub fn load(&mut self, page: &Page) -> Result<()> {
        self.page.upload(page)
    }

    /// Gives the memory of the structures back.
    pub fn unload(&mut self) {
        self.page = Resident::new(&self.device);
    }

    /// Gives the memory of scratch back.
    pub fn shrink(&mut self) {
        self.scratch = Buffer::new(&self.device);
        self.results = Buffer::new(&self.device);
        self.slopes = Buffer::new(&self.device);
        self.gradient = Buffer::new(&self.device);
    }

    /// Energies of structures, then forces on all atoms of the blocks, then virials of structures;
    /// with a direction, their derivatives along it.
    ///
    /// **Shapes**: `[structures]`, `[8 positions][3]`, `[structures][6]` in one.
    /// **Errors**: [`nepal_core::Error::Backend`].
    pub fn forward(
        &mut self,
        launch: &Launch,
        parameters: Vector<'_>,
        q_scaler: &[f64],
        direction: Option<Vector<'_>>,
    ) -> Result<Vec<f64>> {
        let mut args = TrainArgs {
            positions: launch.positions() as u64,
            structures: launch.structures() as u64,
            parts: launch.parts() as u64,
            outs: launch.outs() as u64,
            ..TrainArgs::default()
        };
        self.enter_page(&mut args);
        self.enter_launch(&mut args, launch)?;
        self.enter_parameters(&mut args, parameters, q_scaler, direction)?;
        let width = 1 + usize::from(direction.is_some());
        self.enter_scratch(&mut args, launch, width)?;
        let len = 7 * launch.structures() + 3 * EIGHT * launch.positions();
        args.results = self.results.reserve(len)?;
        self.args = args;
        let shape = &self.shape;
        let (n, wide) = (shape.n_radial, shape.n_radial[0].max(shape.n_radial[1]));
        let atoms = launch.positions() * EIGHT;
        let two = shape.neurons[1] > 0;
        let along = direction.is_some();
        let n1 = shape.neurons[0];
        for (name, name_along, threads) in [
            ("nepal_train_sums", "nepal_along_sums", atoms * wide),
            ("nepal_train_first", "nepal_along_first", atoms * n1),
            (
                "nepal_train_second",
                "nepal_along_second",
                atoms * shape.neurons[1],
            ),
            (
                "nepal_train_back",
                "nepal_along_back",
                if two { atoms * n1 } else { 0 },
            ),
            (
                "nepal_train_energy",
                "nepal_along_energy",
                atoms * shape.dim,
            ),
            (
                "nepal_train_slopes",
                "nepal_along_slopes",
                atoms * (n[1] + shape.n_basis[0]),
            ),
            ("nepal_train_bonds", "nepal_along_bonds", atoms * STRANDS),
            ("nepal_train_forces", "nepal_along_forces", atoms),
            (
                "nepal_train_totals",
                "nepal_along_totals",
                launch.structures() * 7,
            ),
        ] {
            let name = if along { name_along } else { name };
            self.program.launch(name, threads as u64, &self.args)?;
        }
        let mut out = vec![0.0; len];
        self.results.download(&mut out)?;
        Ok(out)
    }

    /// The gradients of what has these slopes by the results of the last forward pass.
    ///
    /// **Shapes**: `slopes`: `[structures]` by energies, `[8 positions][3]` minus those by forces and,
    /// with strain, `[structures][9]` minus those by virials; the result `[outs][TrainShape::part]`.
    /// **Errors**: [`nepal_core::Error::Backend`].
    pub fn reverse(&mut self, slopes: &[f64], strained: bool) -> Result<Vec<f64>> {
        self.slopes.upload(slopes)?;
        let len = self.args.outs as usize * self.shape.part();
        self.args.slopes = self.slopes.address();
        self.args.strained = u64::from(strained);
        self.args.gradient = self.gradient.reserve(len)?;
        let shape = &self.shape;
        let (n, k) = (shape.n_radial, shape.n_basis);
        let [n1, n2] = shape.neurons;
        let atoms = self.args.positions as usize * EIGHT;
        let parts = self.args.parts as usize;
        let turns = k[1].div_ceil(if shape.n_lm > 24 { 1 } else { 2 });
        let tiles: usize = (0..2).map(|p| k[p] * n[p].div_ceil(TILE)).sum();
        for (name, threads) in [
            ("nepal_train_rates", atoms * STRANDS),
            ("nepal_train_radial_rates", atoms * k[0]),
            ("nepal_train_angular_rates", atoms * turns),
            ("nepal_train_dual_sums", atoms * n[0].max(n[1])),
            ("nepal_train_dual_first", atoms * n1),
            ("nepal_train_dual_second", atoms * n2),
            ("nepal_train_dual_back", if n2 > 0 { atoms * n1 } else { 0 }),
            ("nepal_train_dual_descriptors", atoms * shape.dim),
            ("nepal_train_dual_slopes", atoms * n[1]),
            ("nepal_train_weights", parts * n1 * shape.dim.div_ceil(TILE)),
            (
                "nepal_train_biases",
                parts * (shape.own() + 1 - n1 * shape.dim),
            ),
            ("nepal_train_coefficients", parts * shape.n_types * tiles),
            ("nepal_train_gradient", len),
        ] {
            self.program.launch(name, threads as u64, &self.args)?;
        }
        let mut out = vec![0.0; len];
        self.gradient.download(&mut out)?;
        Ok(out)
    }

    fn enter_page(&self, args: &mut TrainArgs) {
        let page = &self.page;
        args.center = page.center.address();
        args.first_local = page.first_local.address();
        args.local_types = page.local_types.address();
        args.local_of = page.local_of.address();
        for k in 0..2 {
            args.range[k] = page.range[k].address();
            args.sums[k] = page.sums[k].address();
            args.bonds[k] = page.rows[k].address();
            args.index[k] = page.index[k].address();
            args.start[k] = page.start[k].address();
            args.incoming[k] = page.incoming[k].address();
        }
        args.structure_of = page.structure_of.address();
        args.member_start = page.member_start.address();
        args.members = page.members.address();
    }

    fn enter_launch(&mut self, args: &mut TrainArgs, launch: &Launch) -> Result<()> {
        let tables = launch.tables();
        self.tables.upload(&tables.concat())?;
        let mut address = self.tables.address();
        let [shift_r, shift_a] = &mut args.bond_shift;
        for (field, table) in [
            &mut args.block,
            &mut args.base,
            &mut args.entry_base,
            shift_r,
            shift_a,
            &mut args.first_structure,
            &mut args.structure,
            &mut args.structure_base,
            &mut args.part_start,
            &mut args.part_positions,
            &mut args.out_start,
        ]
        .into_iter()
        .zip(tables)
        {
            *field = address;
            address += size_of_val(table) as u64;
        }
        Ok(())
    }

    fn enter_parameters(
        &mut self,
        args: &mut TrainArgs,
        parameters: Vector<'_>,
        q_scaler: &[f64],
        direction: Option<Vector<'_>>,
    ) -> Result<()> {
        let [radial, angular] = parameters.coefficients;
        let starts = [0, radial.len(), radial.len() + angular.len()];
        let starts = starts.map(|n| ((parameters.values.len() + n) * size_of::<f64>()) as u64);
        let all = [parameters.values, radial, angular, q_scaler].concat();
        self.parameters.upload(&all)?;
        args.parameters = self.parameters.address();
        args.coefficients = [0, 1].map(|k| [args.parameters + starts[k], 0]);
        args.scaler = args.parameters + starts[2];
        if let Some(along) = direction {
            let all = [along.values, along.coefficients[0], along.coefficients[1]].concat();
            self.direction.upload(&all)?;
            args.direction = self.direction.address();
            for k in 0..2 {
                args.coefficients[k][1] = args.direction + starts[k];
            }
        }
        Ok(())
    }

    fn enter_scratch(&mut self, args: &mut TrainArgs, launch: &Launch, width: usize) -> Result<()> {
        let shape = &self.shape;
        let parts = launch.parts() * shape.part();
        let positions = launch.positions();
        let mut arrays = arrays(args, shape, launch.entries, launch.bonds, positions, width);
        let total: usize = arrays.iter().map(|(_, n)| n).sum();
        let start = self.scratch.reserve(total + parts)?;
        let mut address = start;
        for (field, len) in &mut arrays {
            **field = address;
            address += (*len * size_of::<f64>()) as u64;
        }
        args.partial = address;
        Ok(())
    }
}

/// The arrays of scratch with their lengths; `width` numbers for each that may have a derivative
/// beside it.
fn arrays<'a>(
    args: &'a mut TrainArgs,
    shape: &TrainShape,
    entries: usize,
    bonds: [usize; 2],
    positions: usize,
    width: usize,
) -> Vec<(&'a mut u64, usize)> {
    let atoms = positions * EIGHT;
    let [n1, n2] = shape.neurons;
    let sums = shape.n_radial[1] * shape.n_lm;
    let [moved_r, moved_a] = &mut args.moved;
    let [rate_r, rate_a] = &mut args.rate;
    let local = entries * EIGHT;
    let mut all = vec![
        (&mut args.x, width * atoms * shape.dim),
        (&mut args.s, width * atoms * sums),
        (&mut args.t1, width * atoms * n1),
        (&mut args.t2, width * atoms * n2),
        (&mut args.slope2, width * atoms * n2),
        (&mut args.back, width * atoms * n1),
        (&mut args.fp, width * atoms * shape.dim),
        (&mut args.d, width * atoms * sums),
        (&mut args.p, width * local * shape.n_basis[0]),
        (moved_r, width * bonds[0] * EIGHT * 4),
        (moved_a, width * bonds[1] * EIGHT * 4),
        (&mut args.energies, width * atoms),
        (&mut args.virials, width * atoms * 6),
        (rate_r, local * shape.n_basis[0]),
        (rate_a, local * shape.n_basis[1] * shape.n_lm),
        (&mut args.dx, atoms * shape.dim),
        (&mut args.ds, atoms * sums),
        (&mut args.du, atoms * n1),
        (&mut args.du2, atoms * n2),
        (&mut args.alpha2, atoms * n2),
        (&mut args.beta2, atoms * n2),
        (&mut args.alpha, atoms * n1),
        (&mut args.beta, atoms * n1),
        (&mut args.qbar, atoms * shape.dim),
        (&mut args.sbar, atoms * sums),
    ];
    for (_, len) in &mut all {
        *len = len.next_multiple_of(ALIGNMENT);
    }
    all
}
