//! The one front door: a model on a backend, with grades.
//!
//! Atoms come as a [`View`], or on a device. Nothing outside decides about neighbour lists, their skins
//! or the order in which atoms are evaluated.

mod ahead;
mod biased;
mod dispersion;
mod grading;
mod kept;
mod machine;
mod order;
mod sigma;
mod verlet;
mod view;

pub use machine::{BackendKind, Machine};
pub use view::View;

use crate::backend::{Conditions, Contraction, Evaluation, Precision, Request};
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, Effort};
use crate::model::Model;
use crate::nep::d3::D3;
use crate::posterior::Posterior;
use crate::system::{Cell, Structure};
use ahead::Ahead;
use kept::{Kept, Ready};
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
    posterior: Option<Arc<Posterior>>,
    dispersion: Option<D3>,
    /// The machine adds it, to atoms whose neighbours it finds.
    adds_dispersion: bool,
    effort: Effort,
    backend: Box<dyn Machine>,
    results: Evaluation,
    contraction: Contraction,
    kept: Kept,
    /// For the correction, whose neighbours are farther away.
    far: Kept,
    ahead: Ahead,
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
    pub fn with_backend(model: Arc<Model>, backend: Box<dyn Machine>) -> Self {
        Self {
            model,
            active_set: None,
            posterior: None,
            dispersion: None,
            adds_dispersion: false,
            effort: Effort::Full,
            backend,
            results: Evaluation::default(),
            contraction: Contraction::default(),
            kept: Kept::default(),
            far: Kept::default(),
            ahead: Ahead::default(),
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

    /// The posterior, if one was given.
    pub fn posterior(&self) -> Option<&Arc<Posterior>> {
        self.posterior.as_ref()
    }

    /// Sets or removes the posterior that [`Request::SIGMA`] needs.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if it belongs to another model.
    pub fn set_posterior(&mut self, posterior: Option<Arc<Posterior>>) -> Result<()> {
        if let Some(posterior) = &posterior {
            posterior.check_model(&self.model)?;
        }
        self.posterior = posterior;
        Ok(())
    }

    /// Chooses how much [`Request::GRADES`] does; at first [`Effort::Full`].
    pub fn set_grade_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    /// What the following calls give the model besides atoms: a temperature, a total charge, how sums
    /// over reciprocal space are done.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        // Features depend on the temperature; calls that bring them along come with the same conditions.
        self.ahead.forget();
        self.backend.set_conditions(conditions);
    }

    /// Evaluates atoms.
    ///
    /// **Errors**: [`Error::Unsupported`] for what the model or the backend does not give;
    /// [`Error::InvalidArgument`] for an element that the model does not know, NaN
    /// positions, [`Request::GRADES`] without an active set, [`Request::SIGMA`] without a posterior, and if the result is not finite because
    /// two atoms coincide.
    pub fn compute<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        request: Request,
    ) -> Result<&Evaluation> {
        let view = atoms.into();
        self.with_atoms(view, |own, ready| own.evaluate(ready, request))?;
        self.add_dispersion(view, request)?;
        Ok(&self.results)
    }

    /// Results of the last evaluation.
    pub fn results(&self) -> &Evaluation {
        &self.results
    }

    /// Carries the gradient of a scalar Φ with respect to the scaled descriptors to positions and
    /// strain. **Shapes**: `gradient` `[n_local][dim]`.
    ///
    /// **Errors**: as [`Calculator::compute`], and if `gradient` has the wrong length.
    pub fn contract<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        gradient: &[f64],
    ) -> Result<&Contraction> {
        self.with_atoms(atoms.into(), |own, ready| own.carry(ready, gradient))?;
        Ok(&self.contraction)
    }

    /// Result of the last contraction.
    pub fn contraction(&self) -> &Contraction {
        &self.contraction
    }

    /// Evaluates atoms in the memory of the backend's device and leaves the results there; see
    /// [`nepal_cuda::Cuda::compute_on_device`].
    ///
    /// **Errors**: as there; [`Error::Unsupported`] on another backend.
    ///
    /// # Safety
    ///
    /// As there.
    #[cfg(feature = "cuda")]
    #[allow(unsafe_code)]
    pub unsafe fn compute_device(
        &mut self,
        atoms: &nepal_cuda::DeviceAtoms<'_>,
        results: &nepal_cuda::DeviceResults,
    ) -> Result<()> {
        let set = self.active_set.as_ref().map(|set| (set, self.effort));
        let cuda = self.backend.as_cuda().ok_or_else(no_device)?;
        // SAFETY: promised by the caller.
        unsafe { cuda.compute_on_device(&self.model, set, atoms, results) }
    }

    /// Completes what the last [`Calculator::compute_device`] left open; see
    /// [`nepal_cuda::Cuda::finish`].
    ///
    /// **Errors**: as there; [`Error::Unsupported`] on another backend.
    ///
    /// # Safety
    ///
    /// As there.
    #[cfg(feature = "cuda")]
    #[allow(unsafe_code)]
    pub unsafe fn finish_device(&mut self) -> Result<bool> {
        let cuda = self.backend.as_cuda().ok_or_else(no_device)?;
        // SAFETY: promised by the caller.
        unsafe { cuda.finish(&self.model) }
    }

    /// The cell to hand over with a host's list, whose ghosts stand for the images.
    pub fn host_cell() -> Cell {
        Cell::isolated()
    }

    /// Gets atoms ready for the backend and does something with them.
    fn with_atoms<R>(
        &mut self,
        view: View<'_>,
        body: impl FnOnce(&mut Self, &Ready<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut kept = std::mem::take(&mut self.kept);
        let finds = self.backend.finds_neighbors();
        let done = kept
            .ready(&self.model, self.model.cutoff(), finds, view)
            .and_then(|ready| body(self, &ready));
        self.kept = kept;
        done
    }

    /// Evaluates atoms that are ready, checks what came, adds grades, and brings all into the caller's
    /// order.
    fn evaluate(&mut self, ready: &Ready<'_>, request: Request) -> Result<()> {
        let wanted = self.wanted(request)? | self.ahead.start();
        let (model, out) = (&self.model, &mut self.results);
        match ready {
            Ready::Atoms(atoms) => self.backend.evaluate_atoms(model, atoms, wanted, out),
            Ready::Listed(system, _) => self.backend.evaluate(model, system, wanted, out),
        }?;
        check_numbers(&out.energies, &out.forces, ready.order())?;
        check_numbers(&out.dipole, &out.dipoles, ready.order())?;
        check_numbers(&out.polarizability, &[], &[])?;
        self.deviate(ready.types(), request)?;
        self.grade(ready.types(), request)?;
        if !ready.order().is_empty() {
            bring_back(ready.order(), &mut self.results);
        }
        self.ahead.keep(ready, request, &mut self.results);
        if !request.contains(Request::DESCRIPTORS) {
            self.results.descriptors.clear();
        }
        if !request.contains(Request::NEURONS) {
            self.results.neurons.clear();
        }
        Ok(())
    }

    fn check_gradient(&self, ready: &Ready<'_>, gradient: &[f64]) -> Result<()> {
        let (n_atoms, dim) = (ready.types().len(), self.model.dim());
        if gradient.len() != n_atoms * dim {
            return Err(Error::invalid(format!(
                "the gradient has {} numbers; expected {n_atoms} atoms x {dim} descriptors",
                gradient.len(),
            )));
        }
        Ok(())
    }

    /// [`Calculator::contract`] for atoms that are ready.
    fn carry(&mut self, ready: &Ready<'_>, gradient: &[f64]) -> Result<()> {
        self.check_gradient(ready, gradient)?;
        let dim = self.model.dim();
        let order = ready.order();
        let sorted = order::gather(order, gradient, dim);
        let gradient = if order.is_empty() { gradient } else { &sorted };
        let (model, out) = (&self.model, &mut self.contraction);
        match ready {
            Ready::Atoms(atoms) => self.backend.contract_atoms(model, atoms, gradient, out),
            Ready::Listed(system, _) => self.backend.contract(model, system, gradient, out),
        }?;
        check_numbers(&[], &out.forces, order)?;
        if !order.is_empty() {
            order::scatter(order, &mut out.forces);
        }
        Ok(())
    }
}

#[cfg(feature = "cuda")]
fn no_device() -> Error {
    Error::Unsupported(
        "atoms on a GPU need a calculator on the cuda backend; make one, or hand over the atoms from the host".into(),
    )
}

/// Brings the rows of atoms in an order back to where they belong.
fn bring_back(order: &[u32], results: &mut Evaluation) {
    order::scatter(order, &mut results.forces);
    order::scatter(order, &mut results.virials);
    order::scatter(order, &mut results.dipoles);
    order::scatter(order, &mut results.born_charges);
    order::scatter(order, &mut results.polarizabilities);
    for rows in [
        &mut results.energies,
        &mut results.descriptors,
        &mut results.projections,
        &mut results.neurons,
        &mut results.gamma,
        &mut results.rho,
        &mut results.grade,
        &mut results.charges,
        &mut results.sigma,
        &mut results.sigma_energies,
    ] {
        order::scatter(order, rows);
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
