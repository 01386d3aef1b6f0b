//! The Rust front door: a model on a backend, with grades.

use crate::backend::{
    Atoms, Backend, BackendKind, Contraction, Evaluation, Precision, Request, System,
};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, Effort, Measure};
use crate::model::Model;
use crate::system::verlet::VerletList;
use crate::system::{Cell, Structure};
use std::sync::Arc;

/// Anything that gives energy, forces and virial of a structure: a NEP, a classical teacher.
pub trait Potential: Send {
    /// Energy (eV), forces (eV/Å, `[n_atoms]`) and virial (eV, `-dE/d(strain)`,
    /// `xx xy xz yx yy yz zx zy zz`).
    ///
    /// **Errors**: [`Error::InvalidArgument`] for structures that the potential cannot take.
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])>;
}

/// A model on a backend.
///
/// Used from one thread at a time; the model and the active set may be shared between many
/// calculators.
pub struct Calculator {
    model: Arc<Model>,
    active_set: Option<Arc<ActiveSet>>,
    effort: Effort,
    backend: Box<dyn Backend>,
    results: Evaluation,
    contraction: Contraction,
    kept: Kept,
}

/// What one structure leaves for the next, which in a trajectory is nearly the same.
#[derive(Default)]
struct Kept {
    neighbors: VerletList,
    elements: Vec<Element>,
    types: Vec<u32>,
}

impl Kept {
    fn atoms<'a>(&'a mut self, model: &Model, structure: &'a Structure) -> Result<Atoms<'a>> {
        structure.validate()?;
        if self.elements != structure.elements {
            self.types = model.types_of(&structure.elements)?;
            self.elements.clone_from(&structure.elements);
        }
        Ok(Atoms {
            cell: &structure.cell,
            positions: &structure.positions,
            types: &self.types,
        })
    }

    fn update<'a>(&'a mut self, model: &Model, structure: &'a Structure) -> Result<System<'a>> {
        self.atoms(model, structure)?;
        let (cell, positions) = (&structure.cell, &structure.positions);
        Ok(System {
            cell,
            positions,
            types: &self.types,
            neighbors: self.neighbors.update(cell, positions, model.cutoff())?,
        })
    }
}

impl Calculator {
    /// A calculator for a model, in f64.
    ///
    /// **Errors**: [`Error::Unsupported`] or [`Error::Backend`] if the backend is not to be had.
    pub fn new(model: Arc<Model>, backend: BackendKind) -> Result<Self> {
        Self::with_precision(model, backend, Precision::F64)
    }

    /// A calculator for a model, in a precision.
    ///
    /// **Errors**: [`Error::Unsupported`] or [`Error::Backend`] if the backend is not to be had in
    /// it.
    pub fn with_precision(
        model: Arc<Model>,
        backend: BackendKind,
        precision: Precision,
    ) -> Result<Self> {
        Ok(Self::with_backend(model, backend.create_with(precision)?))
    }

    /// A calculator for a model on a backend that was made before.
    pub fn with_backend(model: Arc<Model>, backend: Box<dyn Backend>) -> Self {
        Self {
            model,
            active_set: None,
            effort: Effort::Full,
            backend,
            results: Evaluation::default(),
            contraction: Contraction::default(),
            kept: Kept::default(),
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The active set, if one was given.
    pub fn active_set(&self) -> Option<&Arc<ActiveSet>> {
        self.active_set.as_ref()
    }

    /// The name of the backend.
    pub fn backend_name(&self) -> &'static str {
        self.backend.name()
    }

    /// The numbers that the backend computes with.
    pub fn precision(&self) -> Precision {
        self.backend.precision()
    }

    /// Sets or removes the active set that [`Request::GRADES`] needs.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if the set was made for a model of another shape.
    pub fn set_active_set(&mut self, active_set: Option<Arc<ActiveSet>>) -> Result<()> {
        if let Some(set) = &active_set {
            set.check_model(&self.model)?;
        }
        self.active_set = active_set;
        Ok(())
    }

    /// Chooses how much [`Request::GRADES`] does; at first [`Effort::Full`].
    pub fn set_grade_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// Evaluates a structure; nepal builds the neighbour list.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an element that the model does not know, NaN
    /// positions, or [`Request::GRADES`] without an active set.
    pub fn compute(&mut self, structure: &Structure, request: Request) -> Result<&Evaluation> {
        let mut kept = std::mem::take(&mut self.kept);
        let done = if self.backend.finds_neighbors() {
            kept.atoms(&self.model, structure)
                .and_then(|atoms| self.compute_atoms(&atoms, request))
        } else {
            kept.update(&self.model, structure)
                .and_then(|system| self.compute_system(&system, request).map(|_| ()))
        };
        self.kept = kept;
        done.map(|()| &self.results)
    }

    /// Evaluates atoms with a neighbour list of the caller's, ghosts included.
    ///
    /// The list must hold at least all neighbours within [`Model::cutoff`]; farther ones are
    /// ignored.
    ///
    /// **Errors**: as [`Calculator::compute`], and if the result is not finite, because two atoms
    /// coincide.
    pub fn compute_system(&mut self, system: &System<'_>, request: Request) -> Result<&Evaluation> {
        system.validate(&self.model)?;
        let wanted = self.wanted(request)?;
        self.backend
            .evaluate(&self.model, system, wanted, &mut self.results)?;
        self.finish(&system.types[..system.n_local()], request)?;
        Ok(&self.results)
    }

    /// [`Calculator::compute`] on a backend that finds neighbours.
    fn compute_atoms(&mut self, atoms: &Atoms<'_>, request: Request) -> Result<()> {
        let wanted = self.wanted(request)?;
        self.backend
            .evaluate_atoms(&self.model, atoms, wanted, &mut self.results)?;
        self.finish(atoms.types, request)
    }

    /// What the backend has to give for a request.
    fn wanted(&self, request: Request) -> Result<Request> {
        if request.contains(Request::GRADES) {
            self.needed_set()?;
            return Ok(request | Request::DESCRIPTORS);
        }
        Ok(request)
    }

    /// Checks what the backend gave and adds the grades.
    fn finish(&mut self, types: &[u32], request: Request) -> Result<()> {
        check_numbers(&self.results.energies, &self.results.forces)?;
        let results = &mut self.results;
        results.gamma.clear();
        results.rho.clear();
        results.grade.clear();
        if let (true, Some(set)) = (request.contains(Request::GRADES), &self.active_set) {
            let q = &results.descriptors;
            let grades = set.grade_descriptors(&self.model, types, q, self.effort)?;
            results.gamma.extend(grades.iter().map(|g| g.gamma));
            results.rho.extend(grades.iter().map(|g| g.rho));
            results.grade.extend(grades.iter().map(|g| g.total));
            if !request.contains(Request::DESCRIPTORS) {
                results.descriptors.clear();
            }
        }
        Ok(())
    }

    /// Results of the last evaluation.
    pub fn results(&self) -> &Evaluation {
        &self.results
    }

    /// Carries the gradient of a scalar Φ with respect to the scaled descriptors to positions and
    /// strain. **Shapes**: `gradient` `[n_atoms][dim]`.
    ///
    /// **Errors**: as [`Calculator::compute`], and if `gradient` has the wrong length.
    pub fn contract(&mut self, structure: &Structure, gradient: &[f64]) -> Result<&Contraction> {
        let mut kept = std::mem::take(&mut self.kept);
        let done = if self.backend.finds_neighbors() {
            kept.atoms(&self.model, structure)
                .and_then(|atoms| self.contract_atoms(&atoms, gradient))
        } else {
            kept.update(&self.model, structure)
                .and_then(|system| self.contract_system(&system, gradient).map(|_| ()))
        };
        self.kept = kept;
        done.map(|()| &self.contraction)
    }

    /// [`Calculator::contract`] for a neighbour list of the caller's.
    ///
    /// **Errors**: as [`Calculator::contract`].
    pub fn contract_system(
        &mut self,
        system: &System<'_>,
        gradient: &[f64],
    ) -> Result<&Contraction> {
        system.validate(&self.model)?;
        self.check_gradient(system.n_local(), gradient)?;
        self.backend
            .contract(&self.model, system, gradient, &mut self.contraction)?;
        check_numbers(&[], &self.contraction.forces)?;
        Ok(&self.contraction)
    }

    /// [`Calculator::contract`] on a backend that finds neighbours.
    fn contract_atoms(&mut self, atoms: &Atoms<'_>, gradient: &[f64]) -> Result<()> {
        self.check_gradient(atoms.positions.len(), gradient)?;
        self.backend
            .contract_atoms(&self.model, atoms, gradient, &mut self.contraction)?;
        check_numbers(&[], &self.contraction.forces)
    }

    fn check_gradient(&self, n_atoms: usize, gradient: &[f64]) -> Result<()> {
        if gradient.len() == n_atoms * self.model.dim() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the gradient has {} numbers; expected {n_atoms} atoms x {} descriptors",
            gradient.len(),
            self.model.dim()
        )))
    }

    /// The gradient of a function Φ of the atoms' grades, carried to positions and strain.
    ///
    /// `weigh` gets the measures of all atoms and gives dΦ/d(measure); for Φ = Σ w_i g_i it gives
    /// the w_i. Gives the measures; the gradient is in [`Calculator::contraction`].
    ///
    /// **Shapes**: measures and the result of `weigh` `[n_local]`. **Errors**: as
    /// [`Calculator::contract`] and [`ActiveSet::gradient_of_grade`]; without an active set.
    pub fn contract_grade(
        &mut self,
        structure: &Structure,
        measure: Measure,
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<Vec<f64>> {
        let mut kept = std::mem::take(&mut self.kept);
        let done = kept
            .update(&self.model, structure)
            .and_then(|system| self.contract_grade_system(&system, measure, weigh));
        self.kept = kept;
        done
    }

    /// [`Calculator::contract_grade`] for a neighbour list of the caller's.
    ///
    /// **Errors**: as [`Calculator::contract_grade`].
    pub fn contract_grade_system(
        &mut self,
        system: &System<'_>,
        measure: Measure,
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<Vec<f64>> {
        let set = self.needed_set()?;
        let found = self.compute_system(system, Request::DESCRIPTORS)?;
        let q = found.descriptors.clone();
        let types = &system.types[..system.n_local()];
        let found = set.gradient_of_grade(&self.model, types, &q, measure, weigh)?;
        self.contract_system(system, &found.gradient)?;
        Ok(found.values)
    }

    /// Result of the last contraction.
    pub fn contraction(&self) -> &Contraction {
        &self.contraction
    }

    /// Takes the environments of a structure whose Γ is above a threshold into the active set in
    /// memory, worst first, so that neither they nor their like are above it any more. Gives their
    /// number.
    ///
    /// Other calculators that share the set keep theirs as it was.
    ///
    /// **Errors**: as [`Calculator::compute`]; for a threshold below 1; without an active set.
    pub fn learn(&mut self, structure: &Structure, threshold: f64) -> Result<usize> {
        let mut kept = std::mem::take(&mut self.kept);
        let done = kept
            .update(&self.model, structure)
            .and_then(|system| self.learn_system(&system, threshold));
        self.kept = kept;
        done
    }

    /// [`Calculator::learn`] for a neighbour list of the caller's.
    ///
    /// **Errors**: as [`Calculator::learn`].
    pub fn learn_system(&mut self, system: &System<'_>, threshold: f64) -> Result<usize> {
        if threshold.is_nan() || threshold < 1.0 {
            return Err(Error::invalid(format!(
                "the threshold is {threshold}; expected at least 1, where what is learnt ends"
            )));
        }
        let mut set = self.needed_set()?;
        let found = self.compute_system(system, Request::PROJECTIONS)?;
        let types = &system.types[..system.n_local()];
        let learnt = Arc::make_mut(&mut set).learn(types, &found.projections, threshold)?;
        if learnt > 0 {
            self.active_set = Some(set);
        }
        Ok(learnt)
    }

    fn needed_set(&self) -> Result<Arc<ActiveSet>> {
        self.active_set.clone().ok_or_else(|| {
            Error::invalid(
                "grades were asked for but the calculator has no active set; load one first",
            )
        })
    }

    /// The cell to hand over with a host's list, whose ghosts stand for the images.
    pub fn host_cell() -> Cell {
        Cell::isolated()
    }
}

/// Refuses to hand out NaN and infinity, which would end up in somebody's trajectory.
fn check_numbers(energies: &[f64], forces: &[[f64; 3]]) -> Result<()> {
    let bad = energies
        .iter()
        .position(|e| !e.is_finite())
        .or_else(|| forces.iter().position(|f| f.iter().any(|x| !x.is_finite())));
    match bad {
        None => Ok(()),
        Some(atom) => Err(Error::invalid(format!(
            "energy or force of atom {atom} is not finite; expected no two atoms in the same place"
        ))),
    }
}

impl Potential for Calculator {
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let results = self.compute(structure, Request::FORCES | Request::VIRIAL)?;
        Ok((results.energy, results.forces.clone(), results.virial))
    }
}
