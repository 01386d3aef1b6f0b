//! What a call gives a model besides atoms, and what a model gives back besides energies.

use super::Request;
use crate::error::{Error, Result};
use crate::model::{Electrostatics, Kind, Model};
use crate::system::Cell;

/// What some models want to know besides the atoms. A model that has no use for a number ignores it,
/// but for a charge, which would be missed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Temperature of the electrons in K, which models of free energies need.
    pub temperature: Option<f64>,
    /// Charge of all atoms together in e, for models with charges: theirs are shifted in equal parts
    /// until they add up to it. What is not neutral has a neutralizing background.
    pub charge: f64,
    /// How sums over reciprocal space are done; the reference backend and CUDA always sum all terms.
    pub sums: Sums,
    /// What a sum over dispersion has of k = 0 and of atoms with themselves.
    pub dispersion: Dispersion,
}

/// What a sum over dispersion has of k = 0 and of atoms with themselves, which `nep.txt` does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dispersion {
    /// The term k = 0, nothing of an atom with itself: distant atoms do not interact. So calorine, and
    /// GPUMD since autumn 2026.
    #[default]
    Complete,
    /// Wave vectors other than 0 alone, as GPUMD of August 2026.
    Bare,
}

/// How a sum over reciprocal space is done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sums {
    /// Term by term for few atoms, on a mesh with an error of 1e-6 (mixed precision: 1e-5) for many.
    #[default]
    Chosen,
    /// Term by term, which takes a time that grows with the square of the number of atoms.
    Ewald,
    /// On a mesh, whose error in forces is this part of the root mean square of the forces of that
    /// sum; from 1e-2 to 1e-11.
    Mesh(f64),
}

/// The least error that a mesh in single precision keeps to, and the one that is chosen where pairs are in it.
pub(super) const SINGLE: f64 = 1e-5;
/// The one that is chosen elsewhere.
const DOUBLE: f64 = 1e-6;

impl Sums {
    /// The error of the mesh that a sum is done on, if it is: where nothing else is asked for, if that `pays`.
    pub fn error(self, single: bool, pays: impl FnOnce(f64) -> bool) -> Option<f64> {
        let chosen = if single { SINGLE } else { DOUBLE };
        match self {
            Self::Ewald => None,
            Self::Mesh(error) => Some(error),
            Self::Chosen => pays(chosen).then_some(chosen),
        }
    }
}

/// All that a model can be asked for but grades.
pub fn available(model: &Model) -> Request {
    let mut all = Request::DESCRIPTORS | Request::NEURONS;
    if model.header().neurons[1] == 0 {
        all |= Request::PROJECTIONS;
    }
    match model.kind() {
        Kind::Dipole => return all | Request::DIPOLE,
        Kind::Polarizability => return all | Request::POLARIZABILITY,
        _ => all |= Request::FORCES | Request::VIRIAL | Request::VIRIALS,
    }
    if model.kind().electrostatics().is_some() {
        all |= Request::CHARGES | Request::BORN_CHARGES;
    }
    all
}

/// Refuses what a model cannot give.
///
/// **Errors**: [`Error::Unsupported`].
pub fn check_request(model: &Model, request: Request) -> Result<()> {
    // Grades and deviations are made of what it gives.
    let missing = request
        - available(model)
        - Request::GRADES
        - Request::SIGMA
        - Request::SIGMA_ENERGIES
        - Request::WITHOUT_ENERGIES;
    let what = model.kind().name();
    if missing.contains(Request::PROJECTIONS) {
        return Err(Error::Unsupported(
            "extrapolation grades are not defined for networks with two hidden layers".into(),
        ));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing
        .iter_names()
        .map(|(name, _)| name.to_lowercase().replace('_', " "))
        .collect();
    Err(Error::Unsupported(format!(
        "{} were asked for, but this model ({}) gives {what}; ask for what it has, or load a model of the other kind",
        names.join(", "),
        model.header().token()
    )))
}

impl Conditions {
    /// Checks that a model gets what it needs, and the temperature (K) where it is an input.
    ///
    /// **Errors**: [`Error::InvalidArgument`].
    pub fn check(&self, model: &Model) -> Result<f64> {
        if !self.charge.is_finite()
            || (self.charge != 0.0 && model.kind().electrostatics().is_none())
        {
            return Err(Error::invalid(format!(
                "the total charge is {} e; this model ({}) has no charges, give it neutral systems (charge 0), \
                 or load one of the kinds nep4_charge1 to nep4_charge3",
                self.charge,
                model.header().token()
            )));
        }
        if model.kind() != Kind::Temperature {
            return Ok(0.0);
        }
        match self.temperature {
            Some(t) if t >= 0.0 && t.is_finite() => Ok(t),
            Some(t) => Err(Error::invalid(format!(
                "the temperature of the electrons is {t} K; expected a number from 0"
            ))),
            None => Err(Error::invalid(
                "this model gives free energies at a temperature of the electrons; say which, in K",
            )),
        }
    }
}

/// Refuses systems whose charges or dispersion cannot be summed: `cell` is that of all atoms, and
/// `strangers` are ghosts of which nobody says whose they are.
///
/// **Errors**: [`Error::Unsupported`] for ghosts of which nobody says whose atoms they are;
/// [`Error::InvalidArgument`] for a cell that does not repeat in all directions.
pub fn check_long_range(model: &Model, cell: &Cell, strangers: bool) -> Result<()> {
    let kind = model.kind();
    if !kind.is_long_ranged() {
        return Ok(());
    }
    let token = model.header().token();
    if strangers {
        return Err(Error::Unsupported(format!(
            "{} ({token}) sums over all atoms, and these have ghosts of which nobody says whose they are; \
             hand over a cell with its atoms and let nepal find the neighbours",
            kind.name()
        )));
    }
    let periodic = cell.periodic();
    let in_real_space = kind == Kind::Charges(Electrostatics::RealSpace);
    if !in_real_space && periodic != [true; 3] {
        return Err(Error::invalid(format!(
            "the cell is periodic along {periodic:?}; the reciprocal sums of this model ({token}) need a cell that \
             repeats in three directions: make all periodic, with some 20 Å of vacuum around a slab, a wire or a \
             molecule, and give the cell with a host's list",
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nep::bell::Grid;
    use crate::system::Cell;
    use std::f64::consts::PI;

    #[test]
    fn a_mesh_is_chosen_where_there_are_many_atoms() {
        // Ten atoms in 100 Å³, a screening of π over 5 Å.
        let chosen = |sums: Sums, atoms: f64| {
            let edge = (10.0 * atoms).cbrt();
            let cell = [[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]];
            let cell = Cell::new(cell, [true; 3]).unwrap();
            sums.error(true, |error| Grid::pays(&cell, PI / 5.0, error, atoms))
        };
        assert_eq!(chosen(Sums::Chosen, 8.0), None);
        assert_eq!(chosen(Sums::Chosen, 1e5), Some(1e-5));
        assert_eq!(chosen(Sums::Ewald, 1e5), None);
        assert_eq!(chosen(Sums::Mesh(1e-3), 8.0), Some(1e-3));
        assert_eq!(Sums::Chosen.error(false, |error| error < 1e-5), Some(1e-6));
    }
}
