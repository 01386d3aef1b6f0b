//! Relaxation of crystals, and lattice and elastic constants of cubic ones, with any potential.

use super::fire::Fire;
use super::variables::{Frame, descend};
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::system::cell::norm;
use nepal::units::EV_PER_A3_IN_GPA;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Equilibrium of a cubic crystal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Equilibrium {
    /// Factor on the lattice vectors of the start.
    pub scale: f64,
    /// Energy per atom, eV.
    pub energy: f64,
}

/// Elastic constants of a cubic crystal in GPa, with relaxed internal coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elastic {
    /// Stiffness along an axis.
    pub c11: f64,
    /// Coupling of two axes.
    pub c12: f64,
    /// Shear stiffness.
    pub c44: f64,
}

impl Elastic {
    /// Bulk modulus in GPa.
    pub fn bulk(&self) -> f64 {
        (self.c11 + 2.0 * self.c12) / 3.0
    }
}

/// Largest change of a coordinate in one relaxation step, Å.
const MAX_MOVE: f64 = 0.1;

/// Moves the atoms downhill in a fixed cell until no force exceeds `tolerance` (eV/Å); gives the
/// energy and the virial there.
///
/// **Errors**: those of the potential; [`Error::Failed`] if `max_steps` do not suffice.
pub fn relax(
    potential: &mut dyn Potential,
    structure: &mut Structure,
    tolerance: f64,
    max_steps: usize,
) -> Result<(f64, [f64; 9])> {
    let mut fire = Fire::new(3 * structure.len(), MAX_MOVE);
    let mut largest = f64::INFINITY;
    for _ in 0..max_steps {
        let (energy, forces, virial) = potential.energy_forces_virial(structure)?;
        largest = forces.iter().map(|&f| norm(f)).fold(0.0, f64::max);
        if largest <= tolerance {
            return Ok((energy, virial));
        }
        fire.step(
            structure.positions.as_flattened_mut(),
            forces.as_flattened(),
        );
    }
    Err(Error::Failed(format!(
        "the relaxation did not converge in {max_steps} steps: the largest force is {largest:.2e} eV/Å, the goal {tolerance:.2e}"
    )))
}

/// The structure at rest, cell and atoms, at zero pressure: any crystal's equilibrium that lies downhill.
///
/// **Errors**: those of the potential; [`Error::Failed`] if `max_steps` do not suffice.
pub fn relax_cell(
    potential: &mut dyn Potential,
    structure: &Structure,
    tolerance: f64,
    max_steps: usize,
) -> Result<Structure> {
    let frame = Frame::new(structure, true)?;
    let mut z = frame.variables();
    let (_, rested) = descend(
        &frame,
        &mut z,
        (0.0, tolerance, max_steps),
        |s| potential.energy_forces_virial(s),
        |_, _| Ok(ControlFlow::Continue(())),
    )?;
    match frame.place(&z)? {
        Some(rest) if rested => Ok(rest),
        _ => Err(Error::Failed(format!(
            "the crystal does not come to rest within {max_steps} steps"
        ))),
    }
}

/// Scales a structure about the origin.
fn scaled(structure: &Structure, scale: f64) -> Result<Structure> {
    let e = scale - 1.0;
    structure.strained(&[[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])
}

/// The scale at which a crystal's pressure vanishes, with internal coordinates at rest by symmetry.
///
/// **Errors**: those of the potential; [`Error::Failed`] if there is no equilibrium within 15 % of
/// the start.
pub fn equilibrium(potential: &mut dyn Potential, crystal: &Structure) -> Result<Equilibrium> {
    let mut trace = |scale: f64| -> Result<(f64, f64)> {
        let (energy, _, w) = potential.energy_forces_virial(&scaled(crystal, scale)?)?;
        Ok((w[0] + w[4] + w[8], energy))
    };
    // Outwards from the start until the pressure changes sign, then bisection.
    let step = 0.01;
    let sign = trace(1.0)?.0 > 0.0;
    let direction = if sign { step } else { -step };
    let (mut inside, mut outside) = (1.0, 1.0);
    for n in 1..=15 {
        outside = 1.0 + f64::from(n) * direction;
        if (trace(outside)?.0 > 0.0) != sign {
            break;
        }
        inside = outside;
    }
    if inside == outside {
        return Err(Error::Failed(
            "the crystal has no equilibrium within 15 % of the given lattice constant".into(),
        ));
    }
    for _ in 0..50 {
        let middle = 0.5 * (inside + outside);
        if (trace(middle)?.0 > 0.0) == sign {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    let scale = 0.5 * (inside + outside);
    Ok(Equilibrium {
        scale,
        energy: trace(scale)?.1 / crystal.len().max(1) as f64,
    })
}

/// Elastic constants of a cubic crystal at its equilibrium, from the stress under small strains of
/// either sign, internal coordinates relaxed.
///
/// **Errors**: those of [`relax`] and [`equilibrium`].
pub fn elastic(potential: &mut dyn Potential, crystal: &Structure) -> Result<Elastic> {
    let scale = equilibrium(potential, crystal)?.scale;
    let rest = scaled(crystal, scale)?;
    let h = 2e-3;
    let mut stress = |strain: [[f64; 3]; 3]| -> Result<[f64; 9]> {
        let mut strained = rest.strained(&strain)?;
        let (_, virial) = relax(potential, &mut strained, 1e-6, 2000)?;
        let volume = strained.cell.volume();
        Ok(virial.map(|w| -w / volume * EV_PER_A3_IN_GPA))
    };
    let axial = |e: f64| [[e, 0.0, 0.0], [0.0; 3], [0.0; 3]];
    let shear = |e: f64| [[0.0; 3], [0.0, 0.0, e], [0.0, e, 0.0]];
    let (plus, minus) = (stress(axial(h))?, stress(axial(-h))?);
    let c11 = (plus[0] - minus[0]) / (2.0 * h);
    let c12 = (plus[4] - minus[4] + plus[8] - minus[8]) / (4.0 * h);
    let (plus, minus) = (stress(shear(h))?, stress(shear(-h))?);
    // The engineering shear is twice the strain component.
    let c44 = (plus[5] - minus[5]) / (4.0 * h);
    Ok(Elastic { c11, c12, c44 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::testing::{LennardJones, argon_fcc};

    #[test]
    fn a_crystal_of_pairs_obeys_cauchy() {
        // Central forces at zero pressure give C12 = C44 in a Bravais lattice.
        let mut potential = LennardJones::argon();
        let crystal = argon_fcc(3, 5.26);
        let e = elastic(&mut potential, &crystal).unwrap();
        assert!(e.c11 > e.c12 && e.c12 > 0.0, "{e:?}");
        assert!((e.c12 / e.c44 - 1.0).abs() < 0.02, "{e:?}");
    }

    #[test]
    fn relaxation_finds_the_crystal_again() {
        let mut potential = LennardJones::argon();
        let crystal = argon_fcc(2, 5.26);
        let (ideal, _) = relax(&mut potential, &mut crystal.clone(), 1e-6, 10).unwrap();
        let mut shaken = crystal.clone();
        for (n, r) in shaken.positions.iter_mut().enumerate() {
            r[n % 3] += 0.1 * ((n * 7 % 5) as f64 - 2.0) / 2.0;
        }
        let (energy, _) = relax(&mut potential, &mut shaken, 1e-6, 2000).unwrap();
        assert!((energy - ideal).abs() < 1e-8 * ideal.abs());
        assert!(relax(&mut potential, &mut shaken, 1e-15, 3).is_err());
    }
}
