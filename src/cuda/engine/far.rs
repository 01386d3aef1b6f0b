//! Charges and dispersion: what lies between the networks of all atoms and the way back.
//!
//! Sums over reciprocal space are done term by term for few atoms and where several processes share them, in a time that
//! grows with the square of the number of atoms; else on a mesh. The order of calls to other processes is that of the reference backend.

use super::super::args::{Address, Args};
use super::super::driver::Device;
use super::super::lists::flat;
use super::super::memory::Buffer;
use super::super::program::Program;
use super::super::reduce::Reduction;
use super::Atoms;
use super::mesh::Mesh;
use nepal_core::backend::{Conditions, Dispersion, Peers, Precision};
use nepal_core::error::Result;
use nepal_core::model::{Electrostatics, Model};
use nepal_core::nep::bell::Grid;
use nepal_core::nep::long_range::{
    DISPERSION_SCALE, Interaction, dispersion_mean, screened_pair, wave_vectors,
};
use nepal_core::system::Cell;
use nepal_core::units::COULOMB;
use std::f64::consts::PI;
use std::sync::Arc;

/// Threads that a launch over waves, or atoms, is parted for; fewest atoms and waves of a part.
const THREADS: usize = 1 << 17;
const LEAST: usize = 64;
/// Numbers of an atom that come from far away, and in a part of the field, as in `kernels/far.cu`.
const FAR: usize = 9;
const FIELD: usize = 10;
const TURN: usize = 5;
/// Waves that a thread takes at once.
const RUN: usize = 8;

/// Wave vectors and weights of an interaction.
#[derive(Debug)]
struct Waves {
    table: Buffer<[f64; 8]>,
    count: usize,
    of: Option<(Cell, f64)>,
}

/// What is kept on the device.
#[derive(Debug)]
pub(super) struct Far {
    strengths: Buffer<f64>,
    acting: Buffer<f64>,
    far: Buffer<f64>,
    fraction: Buffer<f64>,
    waves: [Waves; 2],
    factors: Buffer<f64>,
    parts: [Buffer<f64>; 2],
    mesh: Mesh,
    pub born: Buffer<[f64; 9]>,
}

/// What all steps need.
pub(super) struct Call<'a> {
    pub program: &'a Program,
    pub sums: &'a mut Reduction,
    pub model: &'a Model,
    pub atoms: &'a Atoms<'a>,
    pub conditions: Conditions,
    pub precision: Precision,
}

impl Call<'_> {
    fn peers(&self) -> Option<&dyn Peers> {
        self.atoms.whole.map(|whole| whole.peers)
    }

    /// The error of the mesh that a sum over waves is done on, if it is. Several processes sum term by term.
    fn error(&self, alpha: f64) -> Option<f64> {
        if self.peers().is_some_and(|peers| peers.count() > 1) {
            return None;
        }
        let (cell, atoms) = (self.atoms.whole_cell(), self.atoms.n_local as f64);
        let pays = |error| Grid::pays(cell, alpha, error, atoms);
        let single = self.precision == Precision::Mixed;
        self.conditions.sums.error(single, pays)
    }
}

impl Far {
    pub fn new(device: &Arc<Device>) -> Self {
        let waves = || Waves {
            table: Buffer::new(device),
            count: 0,
            of: None,
        };
        Self {
            strengths: Buffer::new(device),
            acting: Buffer::new(device),
            far: Buffer::new(device),
            fraction: Buffer::new(device),
            waves: [waves(), waves()],
            factors: Buffer::new(device),
            parts: [0; 2].map(|_| Buffer::new(device)),
            mesh: Mesh::new(device),
            born: Buffer::new(device),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let all = [&self.strengths, &self.acting, &self.far, &self.fraction];
        let more = [&self.factors, &self.parts[0], &self.parts[1]];
        let numbers = all.into_iter().chain(more).map(Buffer::bytes);
        let waves = self.waves.iter().map(|waves| waves.table.bytes());
        numbers.chain(waves).sum::<usize>() + self.mesh.bytes() + self.born.bytes()
    }

    /// Charges of atoms of a model that has them.
    pub fn charges(&self) -> &Buffer<f64> {
        &self.strengths
    }

    /// Makes room, with nothing that interacts or acts back.
    pub fn clear(&mut self, call: &Call<'_>, args: &mut Args) -> Result<()> {
        let heads = call.model.layout().n_outputs - 1;
        let rows = heads * call.atoms.n_total;
        args.strengths = self.strengths.zero(rows)?;
        args.acting = self.acting.zero(rows)?;
        args.far = self.far.zero(FAR * call.atoms.n_local)?;
        args.fraction = self.fraction.reserve(TURN * call.atoms.n_local)?;
        args.dielectric = call.model.dielectric().unwrap_or(1.0);
        Ok(())
    }

    /// What the heads gave interacts: adds to energies and leaves what acts back, for `nepal_carry`, and forces
    /// and virials, for `nepal_forces`. `args` is that of a batch of all atoms.
    pub fn interact(&mut self, call: &mut Call<'_>, args: &mut Args) -> Result<()> {
        let (model, n) = (call.model, call.atoms.n_local);
        let kind = model.kind();
        let cell = call.atoms.whole_cell();
        let unit = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let mut own = *args;
        own.inverse = flat(&unit.map(|e| cell.fractional(e)));
        call.program.launch("nepal_heads", own.count, &own)?;
        if let Some(how) = kind.electrostatics() {
            let cutoff = model.header().pair_cutoff(0, 0)[0];
            args.screen = screen(model.header().screening(), cutoff, how);
            neutralize(call, own.strengths, call.conditions.charge)?;
            if how != Electrostatics::RealSpace {
                let itself = how == Electrostatics::Full;
                self.reciprocal(call, own, Interaction::Charges, itself)?;
            }
            if how != Electrostatics::Reciprocal {
                if let Some(peers) = call.peers() {
                    let mut local = vec![0.0; n];
                    self.strengths.download(&mut local)?;
                    self.strengths.upload(&peers.with_ghosts(local)?)?;
                }
                call.program.launch("nepal_screened", n as u64, args)?;
            }
            // A change of one charge is taken from all: only the deviation from the mean acts.
            neutralize(call, own.acting, 0.0)?;
        }
        if kind.has_dispersion() {
            // The last row.
            let row = (model.layout().n_outputs - 2) * call.atoms.n_total * size_of::<f64>();
            own.strengths += row as u64;
            own.acting += row as u64;
            own.chain = DISPERSION_SCALE;
            let complete = call.conditions.dispersion == Dispersion::Complete;
            self.reciprocal(call, own, Interaction::Dispersion, complete)?;
        }
        Ok(())
    }

    /// The sum over waves of an interaction; whether what an atom has with itself is taken off, and the wave
    /// k = 0 added where there is one.
    fn reciprocal(
        &mut self,
        call: &mut Call<'_>,
        mut own: Args,
        what: Interaction,
        complete: bool,
    ) -> Result<()> {
        let n = call.atoms.n_local;
        let alpha = call.model.header().screening();
        let cell = call.atoms.whole_cell();
        let grid = call
            .error(alpha)
            .map(|error| Grid::new(cell, alpha, error, n as f64));
        if let Some(grid) = grid {
            own.parts = 1;
            own.field_parts = self.parts[1].reserve(FIELD * n)?;
            own.screening = alpha;
            own.wave_unit = what.unit(cell.volume());
            self.mesh.field(call.program, own, grid?)?;
            return self.apply(call, own, what, complete);
        }
        let waves = &mut self.waves[usize::from(what == Interaction::Dispersion)];
        waves.update(cell, alpha, what)?;
        let count = waves.count;
        own.waves = waves.table.address();
        own.n_waves = count as u64;
        let parts = |threads: usize, each: usize| {
            let most = each.div_ceil(LEAST).max(1);
            (THREADS / threads.max(1)).clamp(1, most)
        };
        let runs = count / RUN;
        let over = parts(runs, n);
        own.parts = over as u64;
        own.factors = self.factors.reserve(2 * count)?;
        own.factor_parts = self.parts[0].reserve(2 * count * over)?;
        let program = call.program;
        program.launch("nepal_factors", runs as u64 * own.parts, &own)?;
        program.launch("nepal_factor_sums", 2 * own.n_waves, &own)?;
        if let Some(peers) = call.peers() {
            let mut factors = vec![0.0; 2 * count];
            self.factors.download(&mut factors)?;
            self.factors.upload(&peers.sum(factors)?)?;
        }
        let over = parts(n, runs);
        own.parts = over as u64;
        own.field_parts = self.parts[1].reserve(FIELD * n * over)?;
        program.launch("nepal_field_parts", n as u64 * own.parts, &own)?;
        self.apply(call, own, what, complete)
    }

    /// What the field in `own.field_parts` does; see [`Far::reciprocal`].
    fn apply(
        &mut self,
        call: &mut Call<'_>,
        mut own: Args,
        what: Interaction,
        complete: bool,
    ) -> Result<()> {
        let n = call.atoms.n_local;
        let alpha = call.model.header().screening();
        let cell = call.atoms.whole_cell();
        let program = call.program;
        own.input = 0;
        if complete {
            own.own = what.own(alpha);
            if what == Interaction::Dispersion {
                own.mean = dispersion_mean(alpha, cell.volume());
                let sum = call.sums.run(program, "nepal_sum", own.strengths, [n, 1])?;
                own.input = sum.address();
                if let Some(whole) = call.atoms.whole {
                    let mut local = [0.0];
                    sum.download(&mut local)?;
                    own.mean *= whole.peers.sum(local.to_vec())?[0];
                    own.input = 0;
                }
            }
        }
        program.launch("nepal_field", n as u64, &own)?;
        if own.screening > 0.0 {
            let sums = call.sums.run(program, "nepal_sum", own.far, [n, FAR])?;
            (own.input, own.share) = (sums.address(), 1.0 / n.max(1) as f64);
            program.launch("nepal_mesh_drift", n as u64, &own)?;
        }
        Ok(())
    }
}

impl Waves {
    /// The waves of a cell.
    fn update(&mut self, cell: &Cell, alpha: f64, what: Interaction) -> Result<()> {
        if matches!(&self.of, Some((of, at)) if of == cell && *at == alpha) {
            return Ok(());
        }
        let row = |&(n, k): &([i32; 3], [f64; 3])| {
            let [a, b, c] = n.map(f64::from);
            let (g, h) = match k.iter().map(|x| x * x).sum() {
                0.0 => (0.0, 0.0),
                square => what.weights(square, alpha, cell.volume()),
            };
            [a, b, c, k[0], k[1], k[2], g, h]
        };
        let rows: Vec<_> = runs(cell, alpha).iter().map(row).collect();
        self.of = None;
        self.table.upload(&rows)?;
        self.count = rows.len();
        self.of = Some((cell.clone(), alpha));
        Ok(())
    }
}

/// Wave vectors in runs that differ by one in the last multiple; those that fill a run are zero.
fn runs(cell: &Cell, alpha: f64) -> Vec<([i32; 3], [f64; 3])> {
    let all = wave_vectors(cell, alpha);
    let mut padded = Vec::with_capacity(all.len() + all.len() / 4);
    // A line through a sphere has no gaps.
    for line in all.chunk_by(|(a, _), (b, _)| a[..2] == b[..2]) {
        padded.extend_from_slice(line);
        while !padded.len().is_multiple_of(RUN) {
            padded.push(([0; 3], [0.0; 3]));
        }
    }
    padded
}

/// Adds to the numbers of all atoms, in equal parts, until they add up to a total.
fn neutralize(call: &mut Call<'_>, numbers: Address, total: f64) -> Result<()> {
    let n = call.atoms.n_local;
    let sum = call.sums.run(call.program, "nepal_sum", numbers, [n, 1])?;
    let mut args = Args {
        rows: n as u64,
        out: numbers,
        input: sum.address(),
        share: total,
        ..Args::default()
    };
    if let Some(whole) = call.atoms.whole {
        let mut local = [0.0];
        sum.download(&mut local)?;
        let sums = whole.peers.sum(vec![local[0], n as f64])?;
        args.share = (total - sums[0]) / sums[1].max(1.0);
        args.input = 0;
    }
    call.program.launch("nepal_shift", n as u64, &args)
}

/// What `screened` of `kernels/far.cuh` reads.
fn screen(alpha: f64, cutoff: f64, how: Electrostatics) -> [f64; 6] {
    let (value, slope) = match how {
        Electrostatics::RealSpace => screened_pair(cutoff, alpha, cutoff, Electrostatics::Full),
        _ => (0.0, 0.0),
    };
    let gauss = 2.0 * alpha / PI.sqrt();
    [alpha, gauss, COULOMB, value, slope, cutoff]
}

/// What a process without atoms tells the others, which wait for it.
pub(super) fn silent(model: &Model, atoms: &Atoms<'_>, conditions: Conditions) -> Result<()> {
    let Some(whole) = atoms.whole else {
        return Ok(());
    };
    let (kind, peers) = (model.kind(), whole.peers);
    let waves = || {
        let waves = runs(atoms.whole_cell(), model.header().screening());
        peers.sum(vec![0.0; 2 * waves.len()])
    };
    if let Some(how) = kind.electrostatics() {
        peers.sum(vec![0.0; 2])?;
        if how != Electrostatics::RealSpace {
            waves()?;
        }
        if how != Electrostatics::Reciprocal {
            peers.with_ghosts(Vec::new())?;
        }
        peers.sum(vec![0.0; 2])?;
    }
    if kind.has_dispersion() {
        waves()?;
        if conditions.dispersion == Dispersion::Complete {
            peers.sum(vec![0.0])?;
        }
    }
    Ok(())
}
