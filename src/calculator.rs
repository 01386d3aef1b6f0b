//! The Rust front door: a model on a backend, with grades.

use crate::backend::{
    Atoms, Backend, BackendKind, Contraction, Evaluation, Precision, Request, System,
};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, Effort, Measure};
use crate::model::Model;
use crate::system::verlet::VerletList;
use crate::system::{Cell, Structure, order};
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
    /// Types in the order of `order`.
    types: Vec<u32>,
    /// Atoms in the order in which they are evaluated; empty if that is the structure's.
    order: Vec<u32>,
    /// Positions in that order; empty if it is the structure's.
    positions: Vec<[f64; 3]>,
}

impl Kept {
    /// The atoms of a structure in its order, for a backend that finds neighbours.
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

    /// Gets ready for a structure.
    fn update(&mut self, model: &Model, structure: &Structure) -> Result<()> {
        structure.validate()?;
        if self.elements != structure.elements {
            self.types = model.types_of(&structure.elements)?;
            self.elements.clone_from(&structure.elements);
            self.order.clear();
            self.neighbors.forget();
            self.sort(model, structure);
        }
        self.list(model, structure)?;
        // Atoms that diffuse lose their order, which is noticed when a list is made.
        if self.neighbors.is_new() && self.sort(model, structure) {
            self.neighbors.forget();
            self.list(model, structure)?;
        }
        Ok(())
    }

    /// The system of the structure of the last update, its atoms in the order of `self.order`.
    fn system<'a>(&'a self, structure: &'a Structure) -> System<'a> {
        System {
            cell: &structure.cell,
            positions: in_order(&self.order, &self.positions, structure),
            types: &self.types,
            neighbors: self.neighbors.list(),
        }
    }

    /// Brings positions into order and the list up to date.
    fn list(&mut self, model: &Model, structure: &Structure) -> Result<()> {
        self.positions = order::gather(&self.order, &structure.positions, 1);
        let positions = in_order(&self.order, &self.positions, structure);
        let cell = &structure.cell;
        self.neighbors.update(cell, positions, model.cutoff())?;
        Ok(())
    }

    /// Changes the order if it is bad; says whether.
    fn sort(&mut self, model: &Model, structure: &Structure) -> bool {
        self.positions = order::gather(&self.order, &structure.positions, 1);
        let positions = in_order(&self.order, &self.positions, structure);
        let Some(better) = order::of_places(&structure.cell, positions, model.cutoff()) else {
            return false;
        };
        self.types = order::gather(&better, &self.types, 1);
        self.order = match self.order.is_empty() {
            true => better,
            false => order::gather(&better, &self.order, 1),
        };
        true
    }
}

/// The positions that are evaluated.
fn in_order<'a>(order: &[u32], sorted: &'a [[f64; 3]], structure: &'a Structure) -> &'a [[f64; 3]] {
    match order.is_empty() {
        true => &structure.positions,
        false => sorted,
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
            let atoms = kept.atoms(&self.model, structure);
            atoms.and_then(|atoms| self.compute_atoms(&atoms, request))
        } else {
            kept.update(&self.model, structure).and_then(|()| {
                let system = kept.system(structure);
                self.compute_in_order(&system, request, &kept.order)
            })
        };
        self.kept = kept;
        done?;
        Ok(&self.results)
    }

    /// Evaluates atoms with a neighbour list of the caller's, ghosts included.
    ///
    /// The list must hold at least all neighbours within [`Model::cutoff`]; farther ones are
    /// ignored.
    ///
    /// **Errors**: as [`Calculator::compute`], and if the result is not finite, because two atoms
    /// coincide.
    pub fn compute_system(&mut self, system: &System<'_>, request: Request) -> Result<&Evaluation> {
        self.compute_in_order(system, request, &[])?;
        Ok(&self.results)
    }

    /// [`Calculator::compute_system`] for atoms in an order, which the results come out of.
    fn compute_in_order(
        &mut self,
        system: &System<'_>,
        request: Request,
        order: &[u32],
    ) -> Result<()> {
        system.validate(&self.model)?;
        let wanted = self.wanted(request)?;
        self.backend
            .evaluate(&self.model, system, wanted, &mut self.results)?;
        self.finish(&system.types[..system.n_local()], request, order)
    }

    /// [`Calculator::compute`] on a backend that finds neighbours.
    pub(crate) fn compute_atoms(&mut self, atoms: &Atoms<'_>, request: Request) -> Result<()> {
        let wanted = self.wanted(request)?;
        self.backend
            .evaluate_atoms(&self.model, atoms, wanted, &mut self.results)?;
        self.finish(atoms.types, request, &[])
    }

    /// What the backend has to give for a request.
    fn wanted(&self, request: Request) -> Result<Request> {
        let mut wanted = request;
        if request.contains(Request::GRADES) {
            self.needed_set()?;
            if !self.backend.grades() {
                wanted |= Request::DESCRIPTORS;
                // A force evaluation on the processor has them anyway.
                if matches!(self.effort, Effort::Likely(_)) {
                    wanted |= Request::NEURONS;
                }
            }
        }
        Ok(wanted)
    }

    /// Checks what the backend gave for atoms in an order, adds the grades, and brings all back.
    fn finish(&mut self, types: &[u32], request: Request, order: &[u32]) -> Result<()> {
        check_numbers(&self.results.energies, &self.results.forces, order)?;
        let results = &mut self.results;
        results.gamma.clear();
        results.rho.clear();
        results.grade.clear();
        if let (true, Some(set)) = (request.contains(Request::GRADES), &self.active_set) {
            if self.backend.grades() {
                self.backend
                    .grade(&self.model, types, set, self.effort, results)?;
            } else {
                set.grade_atoms(&self.model, types, self.effort, results)?;
            }
            if !request.contains(Request::DESCRIPTORS) {
                results.descriptors.clear();
            }
            if !request.contains(Request::NEURONS) {
                results.neurons.clear();
            }
        }
        if !order.is_empty() {
            results.bring_back(order);
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
            let atoms = kept.atoms(&self.model, structure);
            atoms.and_then(|atoms| self.contract_atoms(&atoms, gradient))
        } else {
            kept.update(&self.model, structure).and_then(|()| {
                let system = kept.system(structure);
                self.contract_in_order(&system, gradient, &kept.order)
            })
        };
        self.kept = kept;
        done?;
        Ok(&self.contraction)
    }

    /// [`Calculator::contract`] for a neighbour list of the caller's.
    ///
    /// **Errors**: as [`Calculator::contract`].
    pub fn contract_system(
        &mut self,
        system: &System<'_>,
        gradient: &[f64],
    ) -> Result<&Contraction> {
        self.contract_in_order(system, gradient, &[])?;
        Ok(&self.contraction)
    }

    /// [`Calculator::contract_system`] for atoms in an order, of which the gradient and the result
    /// know nothing.
    fn contract_in_order(
        &mut self,
        system: &System<'_>,
        gradient: &[f64],
        order: &[u32],
    ) -> Result<()> {
        system.validate(&self.model)?;
        self.check_gradient(system.n_local(), gradient)?;
        let sorted = order::gather(order, gradient, self.model.dim());
        let gradient = if order.is_empty() { gradient } else { &sorted };
        self.backend
            .contract(&self.model, system, gradient, &mut self.contraction)?;
        check_numbers(&[], &self.contraction.forces, order)?;
        if !order.is_empty() {
            order::scatter(order, &mut self.contraction.forces);
        }
        Ok(())
    }

    /// [`Calculator::contract`] on a backend that finds neighbours.
    fn contract_atoms(&mut self, atoms: &Atoms<'_>, gradient: &[f64]) -> Result<()> {
        self.check_gradient(atoms.positions.len(), gradient)?;
        self.backend
            .contract_atoms(&self.model, atoms, gradient, &mut self.contraction)?;
        check_numbers(&[], &self.contraction.forces, &[])
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
        let set = self.needed_set()?;
        let q = self.compute(structure, Request::DESCRIPTORS)?;
        let q = q.descriptors.clone();
        let types = self.model.types_of(&structure.elements)?;
        let found = set.gradient_of_grade(&self.model, &types, &q, measure, weigh)?;
        self.contract(structure, &found.gradient)?;
        Ok(found.values)
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

    /// Whether the backend finds neighbours, so that [`Calculator::compute_atoms`] may be called.
    pub(crate) fn finds_neighbors(&self) -> bool {
        self.backend.finds_neighbors()
    }

    /// The CUDA backend with model, active set and effort, where that is the backend: for atoms that
    /// are on the device.
    #[cfg(feature = "cuda")]
    #[allow(clippy::type_complexity)]
    pub(crate) fn on_device(
        &mut self,
    ) -> Option<(
        &mut crate::backend::cuda::Cuda,
        &Model,
        Option<(&Arc<ActiveSet>, Effort)>,
    )> {
        let set = self.active_set.as_ref().map(|set| (set, self.effort));
        Some((self.backend.as_cuda()?, &self.model, set))
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
        let set = self.set_to_teach(threshold)?;
        self.compute(structure, Request::PROJECTIONS)?;
        let types = self.model.types_of(&structure.elements)?;
        self.teach(set, &types, threshold)
    }

    /// [`Calculator::learn`] for a neighbour list of the caller's.
    ///
    /// **Errors**: as [`Calculator::learn`].
    pub fn learn_system(&mut self, system: &System<'_>, threshold: f64) -> Result<usize> {
        let set = self.set_to_teach(threshold)?;
        self.compute_system(system, Request::PROJECTIONS)?;
        self.teach(set, &system.types[..system.n_local()], threshold)
    }

    fn set_to_teach(&self, threshold: f64) -> Result<Arc<ActiveSet>> {
        if threshold.is_nan() || threshold < 1.0 {
            return Err(Error::invalid(format!(
                "the threshold is {threshold}; expected at least 1, where what is learnt ends"
            )));
        }
        self.needed_set()
    }

    /// Takes what the last results have above the threshold into a set.
    fn teach(&mut self, mut set: Arc<ActiveSet>, types: &[u32], threshold: f64) -> Result<usize> {
        let projections = &self.results.projections;
        let learnt = Arc::make_mut(&mut set).learn(types, projections, threshold)?;
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

/// Refuses to hand out NaN and infinity, which would end up in somebody's trajectory; of atoms in an
/// order.
fn check_numbers(energies: &[f64], forces: &[[f64; 3]], order: &[u32]) -> Result<()> {
    let bad = energies
        .iter()
        .position(|e| !e.is_finite())
        .or_else(|| forces.iter().position(|f| f.iter().any(|x| !x.is_finite())));
    match bad {
        None => Ok(()),
        Some(place) => Err(Error::invalid(format!(
            "energy or force of atom {} is not finite; expected no two atoms in the same place",
            order.get(place).map_or(place, |&atom| atom as usize)
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
