//! Charges and dispersion on the threads: what the heads gave, how it interacts, what acts back.
//!
//! The formulas are those of [`crate::backend::reference`]; everything here is in f64.

use super::engine::Engine;
use super::ewald::Ewald;
use super::mesh::Mesh;
use super::screened;
use super::spreading::Number;
use super::vector::Real;
use crate::backend::conditions::SINGLE;
use crate::backend::{Dispersion, Evaluation, System};
use crate::error::Result;
use crate::model::{Electrostatics, Model};
use crate::nep::bell::Grid;
use crate::nep::long_range::{DISPERSION_SCALE, Interaction, dispersion_mean, root_c6};
use crate::system::Cell;
use rayon::prelude::*;

/// What an interaction gives, for all atoms.
#[derive(Default)]
pub(super) struct Field {
    /// eV.
    pub(super) energies: Vec<f64>,
    /// Derivative of the energy with respect to the strength of each atom.
    pub(super) slopes: Vec<f64>,
    pub(super) forces: Vec<[f64; 3]>,
    pub(super) virial: [f64; 9],
    /// Empty if not wanted.
    pub(super) virials: Vec<[f64; 9]>,
}

impl Field {
    pub(super) fn new(n: usize, virials: bool) -> Self {
        Self {
            energies: vec![0.0; n],
            slopes: vec![0.0; n],
            forces: vec![[0.0; 3]; n],
            virial: [0.0; 9],
            virials: vec![[0.0; 9]; if virials { n } else { 0 }],
        }
    }

    /// The rows of each atom, to be filled by threads; one for virials only if they are wanted.
    pub(super) fn rows(&mut self) -> impl IndexedParallelIterator<Item = Row<'_>> {
        let n = self.energies.len();
        let mut virials: Vec<Option<&mut [f64; 9]>> = self.virials.iter_mut().map(Some).collect();
        virials.resize_with(n, || None);
        (self.energies.par_iter_mut())
            .zip(self.slopes.par_iter_mut())
            .zip(self.forces.par_iter_mut())
            .zip(virials)
            .map(|(((energy, slope), force), virial)| Row {
                energy,
                slope,
                force,
                virial,
            })
    }

    /// Adds energies, forces and virials to those of the short range, as far as these are wanted.
    pub(super) fn add_to(&self, out: &mut Evaluation) {
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        add(&mut out.energies, &self.energies);
        add(&mut out.virial, &self.virial);
        add(out.forces.as_flattened_mut(), self.forces.as_flattened());
        add(out.virials.as_flattened_mut(), self.virials.as_flattened());
    }
}

/// What an interaction gives for one atom.
pub(super) struct Row<'a> {
    pub(super) energy: &'a mut f64,
    pub(super) slope: &'a mut f64,
    pub(super) force: &'a mut [f64; 3],
    pub(super) virial: Option<&'a mut [f64; 9]>,
}

/// Atoms with strengths that interact through reciprocal space.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) what: Interaction,
    pub(super) alpha: f64,
    pub(super) cell: &'a Cell,
    /// Of the local atoms.
    pub(super) positions: &'a [[f64; 3]],
    pub(super) strengths: &'a [f64],
    /// Atoms of all processes.
    pub(super) atoms: f64,
    /// What sums over all processes.
    pub(super) system: &'a System<'a>,
}

/// What comes from outside the short range.
pub(super) struct Outside {
    /// e, with the right sum.
    pub(super) charges: Vec<f64>,
    /// Factors of the gradients of the heads: 1 for the energy, then what their outputs act back with.
    pub(super) factors: Vec<[f64; 3]>,
    pub(super) field: Field,
}

impl Outside {
    /// **Shapes**: `heads` `[n_local][heads]`, charge before C6.
    ///
    /// **Errors**: those of [`Mesh::new`].
    pub(super) fn new<T: Real>(
        engine: &mut Engine<T>,
        model: &Model,
        system: &System<'_>,
        heads: &[f64],
        virials: bool,
    ) -> Result<Self> {
        let (kind, conditions) = (model.kind(), engine.conditions);
        let n = system.n_local();
        let n_heads = model.layout().n_outputs - 1;
        let column = |head: usize| heads.iter().copied().skip(head).step_by(n_heads);
        let mut out = Self {
            charges: Vec::new(),
            factors: vec![[1.0, 0.0, 0.0]; n],
            field: Field::new(n, virials),
        };
        let alpha = model.header().screening();
        let atoms = system.sum(vec![n as f64])?[0];
        let source = |what| Source {
            what,
            alpha,
            cell: system.repeating_cell(),
            positions: &system.positions[..n],
            strengths: &[],
            atoms,
            system,
        };
        if let Some(how) = kind.electrostatics() {
            let mut charges: Vec<f64> = column(0).collect();
            system.neutralize(&mut charges, conditions.charge)?;
            let source = Source {
                strengths: &charges,
                ..source(Interaction::Charges)
            };
            if how != Electrostatics::RealSpace {
                reciprocal(engine, source, &mut out.field)?;
            }
            if how == Electrostatics::Full {
                own(source, &mut out.field);
            }
            if how != Electrostatics::Reciprocal {
                let cutoff = model.header().pair_cutoff(0, 0)[0];
                let charges = system.with_ghosts(&charges)?;
                let source = Source {
                    strengths: &charges,
                    ..source
                };
                screened::add(
                    engine.arch,
                    &engine.packed,
                    system,
                    source,
                    (how, cutoff),
                    &mut out.field,
                );
            }
            // A change of one charge is taken from all: only the deviation from the mean acts.
            system.neutralize(&mut out.field.slopes, 0.0)?;
            for (factor, slope) in out.factors.iter_mut().zip(&mut out.field.slopes) {
                factor[1] = std::mem::take(slope);
            }
            out.charges = charges;
        }
        if kind.has_dispersion() {
            let free: Vec<f64> = model.elements().iter().map(|&e| root_c6(e)).collect();
            let logs = system.types.iter().zip(column(n_heads - 1));
            let roots: Vec<f64> = logs
                .map(|(&t, log)| free[t as usize] * (DISPERSION_SCALE * log).exp())
                .collect();
            let source = Source {
                strengths: &roots,
                ..source(Interaction::Dispersion)
            };
            reciprocal(engine, source, &mut out.field)?;
            if conditions.dispersion == Dispersion::Complete {
                mean(source, &mut out.field)?;
                own(source, &mut out.field);
            }
            for ((factor, slope), root) in out.factors.iter_mut().zip(&out.field.slopes).zip(&roots)
            {
                factor[n_heads] = DISPERSION_SCALE * root * slope;
            }
        }
        Ok(out)
    }
}

/// Meshes that are kept between calls.
#[derive(Default)]
pub(super) struct Meshes {
    single: Option<Mesh<f32>>,
    double: Option<Mesh<f64>>,
}

/// The sum over wave vectors, term by term or on a mesh.
fn reciprocal<T: Real>(
    engine: &mut Engine<T>,
    source: Source<'_>,
    field: &mut Field,
) -> Result<()> {
    let single = size_of::<T>() < size_of::<f64>();
    let pays = |error| Grid::pays(source.cell, source.alpha, error, source.atoms);
    let error = engine.conditions.sums.error(single, pays);
    let Some(error) = error else {
        return Ewald::new(&source).add(engine.arch, &source, field);
    };
    let (arch, meshes) = (engine.arch, &mut engine.meshes);
    if single && error >= SINGLE {
        on_mesh(arch, &source, error, &mut meshes.single, field)
    } else {
        on_mesh(arch, &source, error, &mut meshes.double, field)
    }
}

fn on_mesh<R: Number>(
    arch: pulp::Arch,
    source: &Source<'_>,
    error: f64,
    kept: &mut Option<Mesh<R>>,
    field: &mut Field,
) -> Result<()> {
    let mut mesh = Mesh::new(arch, source, error, kept.take())?;
    mesh.add(source, field)?;
    *kept = Some(mesh);
    Ok(())
}

/// The term k = 0 of dispersion.
fn mean(source: Source<'_>, field: &mut Field) -> Result<()> {
    let weight = dispersion_mean(source.alpha, source.cell.volume());
    let own = source.strengths.iter().sum::<f64>();
    let potential = weight * source.system.sum(vec![own])?[0];
    field.rows().zip(source.strengths).for_each(|(row, c)| {
        *row.energy += c * potential;
        *row.slope += 2.0 * potential;
        if let Some(virial) = row.virial {
            (0..3).for_each(|a| virial[4 * a] += c * potential);
        }
    });
    (0..3).for_each(|a| field.virial[4 * a] += own * potential);
    Ok(())
}

/// Takes off what each atom has with itself.
fn own(source: Source<'_>, field: &mut Field) {
    let factor = source.what.own(source.alpha);
    field.rows().zip(source.strengths).for_each(|(row, c)| {
        *row.energy += factor * c * c;
        *row.slope += 2.0 * factor * c;
    });
}
