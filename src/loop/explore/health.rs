//! Signs that a simulation has left physics: the run is taken back before anything is learned
//! from it.

use super::dynamics::State;
use nepal::error::Result;
use nepal::system::cell::norm;
use nepal::system::{NeighborList, Structure};
use serde::{Deserialize, Serialize};

/// The table of [`nepal::Element`] holds radii enlarged by this factor.
const RADIUS_SCALE: f64 = 4.0 / 3.0;

/// Limits beyond which a state counts as unphysical.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// Largest temperature as a multiple of the target.
    pub temperature_factor: f64,
    /// Temperature in K added to that limit: small cells fluctuate.
    pub temperature_margin: f64,
    /// Smallest distance as a fraction of the sum of the covalent radii.
    pub closest: f64,
    /// Smallest and largest volume as multiples of the start's.
    pub volume_ratio: (f64, f64),
    /// Largest force in eV/Å.
    pub force: f64,
}

impl Default for HealthOptions {
    /// 3 T + 300 K, half the covalent distance, half to twice the volume, 100 eV/Å.
    fn default() -> Self {
        Self {
            temperature_factor: 3.0,
            temperature_margin: 300.0,
            closest: 0.5,
            volume_ratio: (0.5, 2.0),
            force: 100.0,
        }
    }
}

impl HealthOptions {
    /// What is wrong with the temperature, the forces or the volume, if anything: cheap enough
    /// for every step.
    pub fn quick(&self, state: &State, target: f64, start_volume: f64) -> Option<String> {
        let limit = self.temperature_factor * target + self.temperature_margin;
        let temperature = state.temperature();
        if temperature.is_nan() || temperature > limit {
            return Some(format!(
                "the temperature is {temperature:.0} K (limit {limit:.0} K)"
            ));
        }
        for (atom, f) in state.forces.iter().enumerate() {
            let size = norm(*f);
            if size.is_nan() || size > self.force {
                return Some(format!(
                    "the force on atom {atom} is {size:.1} eV/Å (limit {:.1} eV/Å)",
                    self.force
                ));
            }
        }
        if state.structure.cell.periodic() == [true; 3] {
            let ratio = state.structure.cell.volume() / start_volume;
            if ratio.is_nan() || ratio < self.volume_ratio.0 || ratio > self.volume_ratio.1 {
                return Some(format!(
                    "the volume is {ratio:.3} times that of the start (limits {} and {})",
                    self.volume_ratio.0, self.volume_ratio.1
                ));
            }
        }
        None
    }

    /// Which two atoms are too close, if any.
    ///
    /// **Errors**: those of [`NeighborList::build`].
    pub fn distances(&self, structure: &Structure) -> Result<Option<String>> {
        let radius = |i: usize| structure.elements[i].covalent_radius() / RADIUS_SCALE;
        let largest = (0..structure.len()).map(radius).fold(0.0, f64::max);
        let cutoff = 2.0 * largest * self.closest;
        if cutoff <= 0.0 {
            return Ok(None);
        }
        let list = NeighborList::build(&structure.cell, &structure.positions, cutoff)?;
        for i in 0..structure.len() {
            for (j, r) in list.vectors(i, &structure.cell, &structure.positions) {
                let limit = self.closest * (radius(i) + radius(j));
                if norm(r) < limit {
                    return Ok(Some(format!(
                        "atoms {i} ({}) and {j} ({}) are {:.3} Å apart (limit {limit:.3} Å)",
                        structure.elements[i],
                        structure.elements[j],
                        norm(r)
                    )));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::testing::{IdealGas, argon_grid};

    #[test]
    fn each_limit_is_seen() {
        let limits = HealthOptions::default();
        let structure = argon_grid(2, 4.0);
        let volume = structure.cell.volume();
        let state = State::at_rest(&mut IdealGas, &structure, true).unwrap();
        assert_eq!(limits.quick(&state, 300.0, volume), None);
        assert_eq!(limits.distances(&structure).unwrap(), None);

        let says = |reason: Option<String>, word: &str| {
            let reason = reason.expect(word);
            assert!(reason.contains(word), "{reason}");
        };
        let mut hot = state.clone();
        hot.velocities[3] = [60.0, 0.0, 0.0];
        says(limits.quick(&hot, 300.0, volume), "temperature");
        let mut pulled = state.clone();
        pulled.forces[1] = [0.0, -101.0, 0.0];
        says(limits.quick(&pulled, 300.0, volume), "atom 1");
        let mut broken = state.clone();
        broken.forces[1][2] = f64::NAN;
        says(limits.quick(&broken, 300.0, volume), "force");
        says(limits.quick(&state, 300.0, volume / 2.1), "volume");
        says(limits.quick(&state, 300.0, volume * 2.1), "volume");

        // Through the boundary: 0.4 Å from the image of its neighbour.
        let mut close = structure;
        close.positions[4][0] = 7.6;
        says(limits.distances(&close).unwrap(), "atoms 0 (Ar) and 4 (Ar)");
    }
}
