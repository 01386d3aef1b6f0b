//! Potentials that know how far they can be trusted.

use nepal::backend::{Contraction, Request};
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::grade::Measure;
use nepal::system::Structure;

/// The grade as it is climbed and biased along.
const SMOOTH: Measure = Measure::Smooth { p: 4.0 };

/// Energy (eV), forces (eV/Å) and virial (eV).
pub type Labels = (f64, Vec<[f64; 3]>, [f64; 9]);

/// Grades of all atoms of a frame. **Shapes**: `[n_atoms]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grades {
    /// γ.
    pub gamma: Vec<f64>,
    /// ρ; NaN where the active set has none.
    pub rho: Vec<f64>,
    /// Γ.
    pub grade: Vec<f64>,
}

/// A potential that knows how far it can be trusted.
pub trait GradedPotential: Potential {
    /// What [`Potential::energy_forces_virial`] gives, and the grades of all atoms.
    ///
    /// **Errors**: as there, and [`Error::InvalidArgument`] without an active set.
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)>;

    /// A measure of what is not known of a whole structure, as an energy would be: its value S, -dS/dr and
    /// -dS/d(strain).
    ///
    /// **Errors**: as [`Potential::energy_forces_virial`], and [`Error::InvalidArgument`] where the potential
    /// has no such measure.
    fn signal(&mut self, _: &Structure, signal: Signal) -> Result<Labels> {
        Err(Error::invalid(format!(
            "this potential gives no {signal:?} to be guided by"
        )))
    }

    /// σ of the force on each atom, eV/Å. Shape `[n_atoms]`.
    ///
    /// **Errors**: as [`GradedPotential::signal`].
    fn deviations(&mut self, _: &Structure) -> Result<Vec<f64>> {
        Err(Error::invalid(
            "this potential gives no deviations of its forces",
        ))
    }

    /// The smooth grades of all atoms, and of a function Φ of them -dΦ/dr and -dΦ/d(strain); `weigh` gives
    /// dΦ/d(grade).
    ///
    /// **Errors**: as [`GradedPotential::signal`].
    fn pull(
        &mut self,
        _: &Structure,
        _weigh: &mut dyn FnMut(&[f64]) -> Vec<f64>,
    ) -> Result<(Vec<f64>, Vec<[f64; 3]>, [f64; 9])> {
        Err(Error::invalid(
            "this potential gives no gradient of its grades",
        ))
    }

    /// Knows from now on the environments of a structure whose Γ is above a threshold. Gives their number.
    ///
    /// **Errors**: as [`GradedPotential::signal`].
    fn learn(&mut self, _: &Structure, _threshold: f64) -> Result<usize> {
        Err(Error::invalid("this potential learns nothing"))
    }
}

/// What [`GradedPotential::signal`] measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// σ of the total energy, of the posterior of the last layer; eV.
    Sigma,
    /// Sum over atoms of the smooth grade.
    Grade,
}

impl GradedPotential for Calculator {
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        let results = self.compute(
            structure,
            Request::FORCES | Request::VIRIAL | Request::GRADES,
        )?;
        Ok((
            (results.energy, results.forces.clone(), results.virial),
            Grades {
                gamma: results.gamma.clone(),
                rho: results.rho.clone(),
                grade: results.grade.clone(),
            },
        ))
    }

    fn signal(&mut self, structure: &Structure, signal: Signal) -> Result<Labels> {
        match signal {
            Signal::Sigma => Err(Error::invalid("a bias along σ is not built yet")),
            Signal::Grade => {
                let weigh = |grades: &[f64]| vec![1.0; grades.len()];
                let grades = self.contract_grade(structure, SMOOTH, weigh)?;
                let Contraction { forces, virial, .. } = self.contraction();
                Ok((grades.iter().sum(), forces.clone(), *virial))
            }
        }
    }

    fn deviations(&mut self, structure: &Structure) -> Result<Vec<f64>> {
        Ok(self.compute(structure, Request::SIGMA)?.sigma.clone())
    }

    fn pull(
        &mut self,
        structure: &Structure,
        weigh: &mut dyn FnMut(&[f64]) -> Vec<f64>,
    ) -> Result<(Vec<f64>, Vec<[f64; 3]>, [f64; 9])> {
        let grades = self.contract_grade(structure, SMOOTH, weigh)?;
        let Contraction { forces, virial, .. } = self.contraction();
        Ok((grades, forces.clone(), *virial))
    }

    fn learn(&mut self, structure: &Structure, threshold: f64) -> Result<usize> {
        Calculator::learn(self, structure, threshold)
    }
}
