//! Where the caller wants results.

use super::arguments::output;
use super::options::{SizedStruct, reserved};
use crate::backend::{Conditions, Evaluation, Request, Sums};
use crate::error::{Error, Result};
use crate::model::Model;

/// Forces are added to what the array holds instead of replacing it. Since: 0.1.
pub const NEPAL_RESULTS_ADD_FORCES: u32 = 1;
/// Grades only: the call cuts no fragments although a callback or file is set. Since: 0.1.
pub const NEPAL_RESULTS_NO_FRAGMENTS: u32 = 2;
/// `temperature` is given. Since: 0.1.
pub const NEPAL_RESULTS_TEMPERATURE: u32 = 4;

/// Places for results: the caller fills in pointers to its own arrays, NULL for what it does not
/// want. Set up with `NEPAL_RESULTS_INIT`.
///
/// `n_local` atoms carry energy and grades, forces come back on all `n_total`, ghosts included; with
/// a `nepal_structure_t` both are `n_atoms`. The arrays are written on success only.
///
/// Asking for `gamma`, `rho` or `grade` switches the grades on: the calculator then needs an active
/// set, and a fragment callback or file that was set is served.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_results_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// `NEPAL_RESULTS_...` flags or 0.
    pub flags: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Energy of the local atoms, one number. eV.
    pub energy: *mut f64,
    /// Energy of each local atom [n_local]. eV.
    pub energies: *mut f64,
    /// Forces [n_total][3]. eV/Å.
    pub forces: *mut f64,
    /// Virial [3][3], the sum of r_i f_i over all atoms and images, -dE/d(strain): positive in
    /// compression. Stress is -virial/volume. eV.
    pub virial: *mut f64,
    /// Virial of each atom [n_total][3][3], ghosts included, not symmetric. eV.
    pub virials: *mut f64,
    /// Descriptors [n_local][dim], scaled as the network sees them.
    pub descriptors: *mut f64,
    /// Projections [n_local][projection length]: the gradient of the atom's energy with respect to
    /// its network's parameters, from which grades are made.
    pub projections: *mut f64,
    /// γ of each local atom [n_local]: above 1 the environment extrapolates.
    pub gamma: *mut f64,
    /// ρ of each local atom [n_local]: the part of the environment that no training data reach; NaN
    /// if the active set has no such part.
    pub rho: *mut f64,
    /// The reported grade of each local atom [n_local]: γ and ρ in one number, above 1 outside known
    /// ground; γ itself for an active set of the compatible kind.
    pub grade: *mut f64,
    // Models with charges, of tensors, and at a temperature: a block of its own.
    /// Charge of each local atom [n_local], of models that have them. e.
    pub charges: *mut f64,
    /// Born effective charges [n_total][3][3], of models with charges: first the direction of the
    /// polarization, then that of the atom. The host adds those of ghosts to their atoms, as forces. e.
    pub born_charges: *mut f64,
    /// Dipole moment [3], of models of it, in the unit of the training data. Such a model has no
    /// energy.
    pub dipole: *mut f64,
    /// Share of each atom in it [n_total][3].
    pub dipoles: *mut f64,
    /// Polarizability [3][3], of models of it, in the unit of the training data. Such a model has no
    /// energy.
    pub polarizability: *mut f64,
    /// Share of each atom in it [n_total][3][3], not symmetric.
    pub polarizabilities: *mut f64,
    /// Input with the flag `NEPAL_RESULTS_TEMPERATURE`: temperature of the electrons, which models of
    /// free energies need; kept for the calls of other functions that follow. K.
    pub temperature: f64,
    /// Input: charge of all atoms together, for models with charges; 0 for a neutral system. e.
    pub charge: f64,
    /// Input: error of sums over reciprocal space as a part of their forces, from 1e-11 to 1e-2, to
    /// which a mesh is made; 0: plain sums for few atoms and 1e-6 (mixed precision: 1e-5) for many; -1: plain sums.
    pub mesh_error: f64,
    /// σ of the force of each local atom [n_local]: 68 % of force errors, as lengths, are at most this; 95 % are within a
    /// factor of it, 1.5 for Gaussian errors and more for real ones, that the posterior's file has by element (`at_95`).
    /// Infinite for an element that the posterior's training data lack. Needs a posterior
    /// (`nepal_calculator_set_posterior`), and no evaluation beside the one of the energies. eV/Å.
    /// Since: 0.2.
    pub sigma: *mut f64,
    /// σ of the energy of each local atom [n_local], its deviation times the factor of `sigma_energy`; needs a posterior. eV. Since: 0.2.
    pub sigma_energies: *mut f64,
    /// σ of the energy of the local atoms together, one number: 68 % of energy errors are at most this. Those of several
    /// processes do not add up. Needs a posterior. eV. Since: 0.2.
    pub sigma_energy: *mut f64,
}

// SAFETY: plain numbers and pointers, size first.
unsafe impl SizedStruct for nepal_results_t {
    const NAME: &'static str = "nepal_results_t";
}

/// The temperature that a struct of results gives.
///
/// **Errors**: one without its flag.
pub(super) fn temperature(flags: u32, kelvin: f64, name: &str) -> Result<Option<f64>> {
    let given = flags & NEPAL_RESULTS_TEMPERATURE != 0;
    if !given && kelvin != 0.0 {
        return Err(Error::invalid(format!(
            "the {name} has the temperature {kelvin} K without the flag NEPAL_RESULTS_TEMPERATURE; set it"
        )));
    }
    Ok(given.then_some(kelvin))
}

impl nepal_results_t {
    /// What must be computed to fill the arrays.
    ///
    /// **Errors**: unknown flags.
    pub(super) fn request(&self) -> Result<Request> {
        reserved(self.reserved, "nepal_results_t", "reserved")?;
        let known =
            NEPAL_RESULTS_ADD_FORCES | NEPAL_RESULTS_NO_FRAGMENTS | NEPAL_RESULTS_TEMPERATURE;
        if self.flags & !known != 0 {
            return Err(Error::invalid(format!(
                "the flags of the nepal_results_t are {:#x}; expected NEPAL_RESULTS_... flags or 0",
                self.flags
            )));
        }
        let mut request = Request::empty();
        request.set(Request::FORCES, !self.forces.is_null());
        request.set(Request::VIRIAL, !self.virial.is_null());
        request.set(Request::VIRIALS, !self.virials.is_null());
        request.set(Request::DESCRIPTORS, !self.descriptors.is_null());
        request.set(Request::PROJECTIONS, !self.projections.is_null());
        let grades = !(self.gamma.is_null() && self.rho.is_null() && self.grade.is_null());
        request.set(Request::GRADES, grades);
        request.set(Request::CHARGES, !self.charges.is_null());
        request.set(Request::BORN_CHARGES, !self.born_charges.is_null());
        let dipole = !(self.dipole.is_null() && self.dipoles.is_null());
        request.set(Request::DIPOLE, dipole);
        let polarizability = !(self.polarizability.is_null() && self.polarizabilities.is_null());
        request.set(Request::POLARIZABILITY, polarizability);
        request.set(Request::SIGMA, !self.sigma.is_null());
        let energies = !(self.sigma_energies.is_null() && self.sigma_energy.is_null());
        request.set(Request::SIGMA_ENERGIES, energies);
        let beyond = Request::FORCES
            | Request::VIRIAL
            | Request::VIRIALS
            | Request::CHARGES
            | Request::BORN_CHARGES;
        let none = self.energy.is_null() && self.energies.is_null() && !request.intersects(beyond);
        request.set(Request::WITHOUT_ENERGIES, none);
        Ok(request)
    }

    /// What the model gets besides atoms.
    ///
    /// **Errors**: a temperature without its flag.
    pub(super) fn conditions(&self) -> Result<Conditions> {
        Ok(Conditions {
            temperature: temperature(self.flags, self.temperature, "nepal_results_t")?,
            charge: self.charge,
            sums: match self.mesh_error {
                0.0 => Sums::Chosen,
                -1.0 => Sums::Ewald,
                error => Sums::Mesh(error),
            },
            ..Conditions::default()
        })
    }

    /// True if fragments are cut, should anyone want them.
    pub(super) fn wants_fragments(&self) -> Result<bool> {
        let grades = self.request()?.contains(Request::GRADES);
        Ok(grades && self.flags & NEPAL_RESULTS_NO_FRAGMENTS == 0)
    }

    /// Refuses places that cannot hold what was asked for, and energies that a model does not have,
    /// before anything is computed.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        if model.kind().is_tensor() && !(self.energy.is_null() && self.energies.is_null()) {
            return Err(Error::Unsupported(format!(
                "energies were asked for, but this model ({}) gives {}; leave `energy` and `energies` NULL",
                model.header().token(),
                model.kind().name()
            )));
        }
        let places = [
            (self.energy, "energy"),
            (self.energies, "energies"),
            (self.forces, "forces"),
            (self.virial, "virial"),
            (self.virials, "virials"),
            (self.descriptors, "descriptors"),
            (self.projections, "projections"),
            (self.gamma, "gamma"),
            (self.rho, "rho"),
            (self.grade, "grade"),
            (self.charges, "charges"),
            (self.born_charges, "born_charges"),
            (self.dipole, "dipole"),
            (self.dipoles, "dipoles"),
            (self.polarizability, "polarizability"),
            (self.polarizabilities, "polarizabilities"),
            (self.sigma, "sigma"),
            (self.sigma_energies, "sigma_energies"),
            (self.sigma_energy, "sigma_energy"),
        ];
        for (place, name) in places {
            if !place.is_null() {
                super::arguments::check(place, 1, name)?;
            }
        }
        Ok(())
    }

    /// Copies an evaluation to the caller.
    ///
    /// # Safety
    ///
    /// The arrays are as the fields say.
    pub(super) unsafe fn write(&self, found: &Evaluation) -> Result<()> {
        // SAFETY: promised by the caller.
        unsafe {
            output(self.energy, &[found.energy], "energy")?;
            output(self.energies, &found.energies, "energies")?;
            if self.flags & NEPAL_RESULTS_ADD_FORCES != 0 && !self.forces.is_null() {
                for (k, f) in found.forces.as_flattened().iter().enumerate() {
                    *self.forces.add(k) += f;
                }
            } else {
                output(self.forces, found.forces.as_flattened(), "forces")?;
            }
            output(self.virial, &found.virial, "virial")?;
            output(self.virials, found.virials.as_flattened(), "virials")?;
            output(self.descriptors, &found.descriptors, "descriptors")?;
            output(self.projections, &found.projections, "projections")?;
            output(self.gamma, &found.gamma, "gamma")?;
            output(self.rho, &found.rho, "rho")?;
            output(self.grade, &found.grade, "grade")?;
            output(self.charges, &found.charges, "charges")?;
            output(
                self.born_charges,
                found.born_charges.as_flattened(),
                "born_charges",
            )?;
            output(self.dipole, &found.dipole, "dipole")?;
            output(self.dipoles, found.dipoles.as_flattened(), "dipoles")?;
            output(self.polarizability, &found.polarizability, "polarizability")?;
            let shares = found.polarizabilities.as_flattened();
            output(self.polarizabilities, shares, "polarizabilities")?;
            output(self.sigma, &found.sigma, "sigma")?;
            output(self.sigma_energies, &found.sigma_energies, "sigma_energies")?;
            output(self.sigma_energy, &[found.sigma_energy], "sigma_energy")
        }
    }
}
