//! A model that was trained on what a baseline misses, with its baseline.

use super::potential::{GradedPotential, Grades, Labels, Signal};
use nepal::calculator::{Calculator, Potential};
use nepal::error::Result;
use nepal::system::Structure;

/// Energies, forces and virials of a model and, where there is one, its baseline; grades and deviations are the
/// model's alone, as the baseline is exact.
pub struct Sum {
    /// The model, with what its grades need.
    pub model: Calculator,
    baseline: Option<Box<dyn Potential>>,
}

impl Sum {
    /// A model with what it was trained beside.
    pub fn new(model: Calculator, baseline: Option<Box<dyn Potential>>) -> Self {
        Self { model, baseline }
    }

    fn with_baseline(&mut self, own: Labels, structure: &Structure) -> Result<Labels> {
        let Some(baseline) = &mut self.baseline else {
            return Ok(own);
        };
        let (mut energy, mut forces, mut virial) = own;
        let (e, f, w) = baseline.energy_forces_virial(structure)?;
        energy += e;
        let all = forces.as_flattened_mut().iter_mut();
        all.zip(f.as_flattened()).for_each(|(a, b)| *a += b);
        virial.iter_mut().zip(w).for_each(|(a, b)| *a += b);
        Ok((energy, forces, virial))
    }
}

impl Potential for Sum {
    fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
        let own = self.model.energy_forces_virial(structure)?;
        self.with_baseline(own, structure)
    }
}

impl GradedPotential for Sum {
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        let (own, grades) = self.model.energy_forces_virial_grades(structure)?;
        Ok((self.with_baseline(own, structure)?, grades))
    }

    fn learn(&mut self, structure: &Structure) -> Result<()> {
        GradedPotential::learn(&mut self.model, structure)
    }

    fn signal(&mut self, structure: &Structure, signal: Signal) -> Result<Labels> {
        self.model.signal(structure, signal)
    }

    fn with_signal(
        &mut self,
        structure: &Structure,
        signal: Signal,
        grades: bool,
    ) -> Result<(Labels, Option<Grades>, Labels)> {
        let (own, grades, along) = self.model.with_signal(structure, signal, grades)?;
        Ok((self.with_baseline(own, structure)?, grades, along))
    }

    fn deviations(&mut self, structure: &Structure) -> Result<Vec<f64>> {
        self.model.deviations(structure)
    }

    fn pull(
        &mut self,
        structure: &Structure,
        weigh: &mut dyn FnMut(&[f64]) -> Vec<f64>,
    ) -> Result<(Vec<f64>, Vec<[f64; 3]>, [f64; 9])> {
        self.model.pull(structure, weigh)
    }
}
