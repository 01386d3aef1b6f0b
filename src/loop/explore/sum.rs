//! A model with what goes along with it: the baseline that it was trained beside, the others of its committee.

use super::committee::{energy_deviation, force_deviations};
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
    /// The committee but for the model.
    others: Vec<Calculator>,
}

impl Sum {
    /// A model with what it was trained beside.
    pub fn new(model: Calculator, baseline: Option<Box<dyn Potential>>) -> Self {
        Self {
            model,
            baseline,
            others: Vec::new(),
        }
    }

    /// The same with the others of its committee, which were trained on the same labels.
    pub fn with_committee(self, others: Vec<Calculator>) -> Self {
        Self { others, ..self }
    }

    fn members(&mut self) -> impl Iterator<Item = &mut Calculator> {
        std::iter::once(&mut self.model).chain(&mut self.others)
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
        match signal {
            Signal::Committee => energy_deviation(self.members(), structure),
            _ => self.model.signal(structure, signal),
        }
    }

    fn with_signal(
        &mut self,
        structure: &Structure,
        signal: Signal,
        grades: bool,
    ) -> Result<(Labels, Option<Grades>, Labels)> {
        if signal != Signal::Committee {
            let (own, grades, along) = self.model.with_signal(structure, signal, grades)?;
            return Ok((self.with_baseline(own, structure)?, grades, along));
        }
        let (labels, grades) = if grades {
            let (labels, grades) = self.energy_forces_virial_grades(structure)?;
            (labels, Some(grades))
        } else {
            (self.energy_forces_virial(structure)?, None)
        };
        Ok((labels, grades, self.signal(structure, signal)?))
    }

    fn deviations(&mut self, structure: &Structure, signal: Signal) -> Result<Vec<f64>> {
        match signal {
            Signal::Committee => force_deviations(self.members(), structure),
            _ => self.model.deviations(structure, signal),
        }
    }

    fn pull(
        &mut self,
        structure: &Structure,
        weigh: &mut dyn FnMut(&[f64]) -> Vec<f64>,
    ) -> Result<(Vec<f64>, Vec<[f64; 3]>, [f64; 9])> {
        self.model.pull(structure, weigh)
    }
}
