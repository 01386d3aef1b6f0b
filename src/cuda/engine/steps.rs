//! Which kernels an evaluation runs.

use super::super::args::{Address, flags};
use super::super::lists::{ListRequest, Positions, SLICE};
use super::{Atoms, Engine};
use nepal_core::backend::Precision;
use nepal_core::error::{Error, Result};
use nepal_core::model::Model;

/// Atoms whose scratch is kept at a time: enough to fill a device, little enough for its cache.
const BATCH: usize = 1 << 17;
/// Rows that the launches of a sum end in.
const SUM_ROWS: [usize; 3] = [16384, 128, 1];

impl Engine {
    /// Runs everything on the device; results stay there.
    pub(super) fn run(
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
            ListRequest {
                cell: atoms.cell,
                positions,
                n_total: total,
                still: atoms.still,
                ahead: self.ahead,
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

    /// The sum of `rows` rows on the device, in a fixed order.
    pub(super) fn total<const COLUMNS: usize>(
        &mut self,
        from: Address,
        rows: usize,
    ) -> Result<[f64; COLUMNS]> {
        let Some(loaded) = &self.loaded else {
            return Err(Error::Internal("no model on the device".into()));
        };
        let mut args = self.args;
        args.columns = COLUMNS as u64;
        args.rows = rows as u64;
        args.input = from;
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
}
