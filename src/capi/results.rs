//! Where the caller wants results.

use super::arguments::output;
use super::options::{SizedStruct, reserved};
use crate::backend::{Evaluation, Request};
use crate::error::{Error, Result};

/// Forces are added to what the array holds instead of replacing it. Since: 0.1.
pub const NEPAL_RESULTS_ADD_FORCES: u32 = 1;
/// Grades only: the call cuts no fragments although a callback or file is set. Since: 0.1.
pub const NEPAL_RESULTS_NO_FRAGMENTS: u32 = 2;

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
    /// Standard deviation of the force of each local atom [n_local]: root of the summed variances of its
    /// components; infinite for an element that the posterior's training data lack. Needs a posterior
    /// (`nepal_calculator_set_posterior`), and no evaluation beside the one of the energies. eV/Å.
    /// Since: 0.2.
    pub sigma: *mut f64,
    /// Standard deviation of the energy of each local atom [n_local]; needs a posterior. eV. Since: 0.2.
    pub sigma_energies: *mut f64,
    /// Standard deviation of the energy of the local atoms together, one number; those of several
    /// processes do not add up. Needs a posterior. eV. Since: 0.2.
    pub sigma_energy: *mut f64,
}

// SAFETY: plain numbers and pointers, size first.
unsafe impl SizedStruct for nepal_results_t {
    const NAME: &'static str = "nepal_results_t";
}

impl nepal_results_t {
    /// What must be computed to fill the arrays.
    ///
    /// **Errors**: unknown flags.
    pub(super) fn request(&self) -> Result<Request> {
        reserved(self.reserved, "nepal_results_t", "reserved")?;
        if self.flags & !(NEPAL_RESULTS_ADD_FORCES | NEPAL_RESULTS_NO_FRAGMENTS) != 0 {
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
        let sigma = [self.sigma, self.sigma_energies, self.sigma_energy];
        request.set(Request::SIGMA, sigma.iter().any(|place| !place.is_null()));
        Ok(request)
    }

    /// True if fragments are cut, should anyone want them.
    pub(super) fn wants_fragments(&self) -> Result<bool> {
        let grades = self.request()?.contains(Request::GRADES);
        Ok(grades && self.flags & NEPAL_RESULTS_NO_FRAGMENTS == 0)
    }

    /// Refuses places that cannot hold what was asked for, before anything is computed.
    pub(super) fn check(&self) -> Result<()> {
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
            output(self.sigma, &found.sigma, "sigma")?;
            output(self.sigma_energies, &found.sigma_energies, "sigma_energies")?;
            output(self.sigma_energy, &[found.sigma_energy], "sigma_energy")
        }
    }
}
