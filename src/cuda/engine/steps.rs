//! Which kernels an evaluation runs.

use super::super::args::{Address, flags};
use super::super::lists::{ListRequest, Positions, SLICE};
use super::{Atoms, Engine, far};
use nepal_core::backend::Precision;
use nepal_core::error::{Error, Result};
use nepal_core::model::Model;

/// Atoms whose scratch is kept at a time: enough to fill a device, little enough for its cache.
const BATCH: usize = 1 << 17;

/// What is asked of an evaluation.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    /// Bits of `Args::flags`.
    pub wanted: u64,
    /// Forces, virials or shares of tensors.
    pub gather: bool,
    /// Nothing comes from far away.
    pub alone: bool,
    pub born: bool,
    /// What is contracted.
    pub gradient: Option<&'a [f64]>,
}

impl Engine {
    /// Runs everything on the device; results stay there.
    pub(super) fn run(&mut self, model: &Model, atoms: Atoms<'_>, work: Work<'_>) -> Result<()> {
        let (n, total) = (atoms.n_local, atoms.n_total);
        if total >= u32::MAX as usize / 2 {
            return Err(Error::Backend(format!(
                "{total} atoms are more than one device context holds; use more devices"
            )));
        }
        if n == 0 {
            self.outputs.forces.zero(total)?;
            self.outputs.virials.zero(total)?;
            self.far.born.zero(total)?;
            if !work.alone {
                far::silent(model, &atoms, self.conditions)?;
            }
            return Ok(());
        }
        let done = self.steps(model, atoms, work);
        if done.is_err() {
            // Whatever was half made is made anew.
            self.lists.forget();
            self.known_types.clear();
        }
        done
    }

    fn steps(&mut self, model: &Model, atoms: Atoms<'_>, work: Work<'_>) -> Result<()> {
        let (n, total) = (atoms.n_local, atoms.n_total);
        let Work {
            wanted,
            gather,
            born,
            gradient,
            ..
        } = work;
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

        // What heads give of all atoms acts back on each: their neurons and sums are kept.
        let heads = shape.heads() > 0 && gradient.is_none();
        let most = if heads { n } else { n.min(BATCH) };
        let batch = most.next_multiple_of(SLICE);
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
        if n2 > 0 || heads {
            args.slope = scratch.slope.reserve(words(batch * n1))?;
        }
        args.fp = scratch.fp.reserve(words(batch * shape.dim))?;
        let slopes = n * loaded.present.len() * shape.n_basis_padded();
        args.radial_slope = scratch.radial_slope.reserve(words(slopes))?;
        let outputs = &mut self.outputs;
        args.out_energy = outputs.energy.reserve(n)?;
        if gather || born {
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
            if heads {
                args.flags |= flags::ENERGY_ONLY;
            }
            program.launch("nepal_network", args.count, args)?;
            args.flags = wanted;
            if wanted & features != 0 {
                program.launch("nepal_features", args.count, args)?;
            }
            if !heads && wanted & flags::ENERGY_ONLY == 0 {
                program.launch("nepal_partial", args.count, args)?;
            }
        }
        if heads {
            let call = &mut far::Call {
                program,
                sums: &mut self.sums,
                model,
                atoms: &atoms,
                conditions: self.conditions,
                precision: self.precision,
            };
            self.far.clear(call, args)?;
            if !work.alone {
                self.far.interact(call, args)?;
            }
            if born {
                let mut own = *args;
                own.flags = flags::BORN | flags::CONTRACT | flags::WANT_VIRIAL;
                own.out_virials = self.far.born.reserve(total)?;
                program.launch("nepal_carry", own.count, &own)?;
                program.launch("nepal_partial", own.count, &own)?;
                program.launch("nepal_forces", n as u64, &own)?;
                program.launch("nepal_ghost_forces", (total - n) as u64, &own)?;
            }
            if wanted & flags::ENERGY_ONLY == 0 {
                program.launch("nepal_carry", args.count, args)?;
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
        let found = (self.sums).run(&loaded.program, "nepal_sum", from, [rows, COLUMNS])?;
        let mut sum = [0.0; COLUMNS];
        found.download(&mut sum)?;
        Ok(sum)
    }
}
