//! The passes over all centres that an evaluation of each kind of model takes.

use super::engine::{Engine, Outputs, Pass};
use super::long_range::Outside;
use super::vector::Real;
use crate::backend::{Evaluation, Request, System, check_long_range, check_request};
use crate::error::Result;
use crate::model::{Kind, Model};

impl<T: Real> Engine<T> {
    pub(super) fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        check_request(model, request)?;
        system.validate(model)?;
        let temperature = self.conditions.check(model)?;
        let (kind, layout, n) = (model.kind(), model.layout(), system.n_local());
        let rows = |wanted: Request, len: usize| {
            if request.contains(wanted) { n * len } else { 0 }
        };
        let lengths = [
            (&mut out.energies, if kind == Kind::Dipole { 0 } else { n }),
            (&mut out.descriptors, rows(Request::DESCRIPTORS, layout.dim)),
            (
                &mut out.projections,
                rows(Request::PROJECTIONS, layout.projection_len()),
            ),
            (&mut out.neurons, rows(Request::NEURONS, layout.neurons[0])),
            (&mut out.charges, 0),
        ];
        for (rows, len) in lengths {
            rows.resize(len, 0.0);
        }
        out.forces.clear();
        out.virials.clear();
        out.born_charges.clear();
        out.dipoles.clear();
        out.polarizabilities.clear();
        let outputs = Outputs {
            energies: &mut out.energies,
            descriptors: &mut out.descriptors,
            projections: &mut out.projections,
            neurons: &mut out.neurons,
            ..Outputs::default()
        };
        let pass = Pass {
            request,
            temperature,
            ..Pass::default()
        };
        if kind.is_long_ranged() && !request.contains(Request::WITHOUT_ENERGIES) {
            check_long_range(model, system.repeating_cell(), system.has_strangers())?;
            let outside = self.outside(model, system, request, outputs)?;
            self.add_outside(model, system, request, outside, out);
        } else {
            let parts = self.run(model, system, pass, outputs);
            self.collect(parts, system, request, out);
            if kind.is_long_ranged() {
                // Those of the short range alone would be taken for all.
                out.energies.clear();
            }
        }
        if kind.is_tensor() {
            tensors(out);
        }
        out.energy = out.energies.iter().sum();
        Ok(())
    }

    /// What the threads of the last pass have of what is asked for.
    fn collect(&self, parts: usize, system: &System<'_>, request: Request, out: &mut Evaluation) {
        out.virial = self.virial(parts);
        for (wanted, rows) in [
            (Request::FORCES, &mut out.forces),
            (Request::DIPOLE, &mut out.dipoles),
        ] {
            if request.contains(wanted) {
                self.forces(parts, system, rows);
            }
        }
        for (wanted, rows) in [
            (Request::VIRIALS, &mut out.virials),
            (Request::BORN_CHARGES, &mut out.born_charges),
            (Request::POLARIZABILITY, &mut out.polarizabilities),
        ] {
            if request.contains(wanted) {
                self.tensors(parts, system, rows);
            }
        }
    }

    /// Heads and features first, then the way back from what the heads interact to.
    fn outside(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        outputs: Outputs<'_>,
    ) -> Result<Outside> {
        let mut heads = vec![0.0; system.n_local() * (model.layout().n_outputs - 1)];
        let first = Pass {
            request: request & (Request::DESCRIPTORS | Request::PROJECTIONS | Request::NEURONS),
            ..Pass::default()
        };
        let outputs = Outputs {
            heads: &mut heads,
            ..outputs
        };
        self.run(model, system, first, outputs);
        Outside::new(
            self,
            model,
            system,
            &heads,
            request.contains(Request::VIRIALS),
        )
    }

    fn add_outside(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        mut outside: Outside,
        out: &mut Evaluation,
    ) {
        let pairwise = request & (Request::FORCES | Request::VIRIAL | Request::VIRIALS);
        if !pairwise.is_empty() {
            let pass = Pass {
                request: pairwise,
                factors: Some(&outside.factors),
                ..Pass::default()
            };
            let outputs = Outputs {
                energies: &mut out.energies,
                ..Outputs::default()
            };
            let parts = self.run(model, system, pass, outputs);
            self.collect(parts, system, pairwise, out);
        }
        outside.field.add_to(out);
        if request.contains(Request::BORN_CHARGES) {
            let pass = Pass {
                request: Request::BORN_CHARGES,
                factors: Some(&vec![[0.0, 1.0, 0.0]; system.n_local()]),
                ..Pass::default()
            };
            let virial = out.virial;
            let parts = self.run(model, system, pass, Outputs::default());
            self.collect(parts, system, pass.request, out);
            out.virial = virial;
            let factor = model.dielectric().unwrap_or(1.0);
            for (z, charge) in out.born_charges.iter_mut().zip(&outside.charges) {
                for a in 0..3 {
                    z[4 * a] += charge;
                }
            }
            let all = out.born_charges.as_flattened_mut();
            all.iter_mut().for_each(|z| *z *= factor);
        }
        if request.contains(Request::CHARGES) {
            std::mem::swap(&mut out.charges, &mut outside.charges);
        }
    }
}

/// Whole tensors from those of the atoms, once these have what the scalar networks gave as energies.
fn tensors(out: &mut Evaluation) {
    if !out.polarizabilities.is_empty() {
        for (share, own) in out.polarizabilities.iter_mut().zip(&out.energies) {
            for a in 0..3 {
                share[4 * a] += own;
            }
        }
    }
    out.energies.clear();
    out.dipole = std::array::from_fn(|a| out.dipoles.iter().map(|d| d[a]).sum());
    out.polarizability = std::array::from_fn(|c| out.polarizabilities.iter().map(|p| p[c]).sum());
}
