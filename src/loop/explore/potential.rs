//! Potentials that know how far they can be trusted.

use nepal::backend::{Contraction, Evaluation, Request};
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

    /// Takes the environments of a structure into the active set, so that they are known from now on. What has no
    /// set of its own to grow leaves it at that.
    ///
    /// **Errors**: as [`Potential::energy_forces_virial`].
    fn learn(&mut self, _: &Structure) -> Result<()> {
        Ok(())
    }

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

    /// What [`Potential::energy_forces_virial`] gives, the grades if they are wanted, and a signal: in as few
    /// evaluations as may be.
    ///
    /// **Errors**: as those of the three.
    fn with_signal(
        &mut self,
        structure: &Structure,
        signal: Signal,
        grades: bool,
    ) -> Result<(Labels, Option<Grades>, Labels)> {
        let (labels, grades) = if grades {
            let (labels, grades) = self.energy_forces_virial_grades(structure)?;
            (labels, Some(grades))
        } else {
            (self.energy_forces_virial(structure)?, None)
        };
        Ok((labels, grades, self.signal(structure, signal)?))
    }

    /// σ of the force on each atom by a signal of deviations, eV/Å. Shape `[n_atoms]`.
    ///
    /// **Errors**: as [`GradedPotential::signal`].
    fn deviations(&mut self, _: &Structure, signal: Signal) -> Result<Vec<f64>> {
        Err(Error::invalid(format!(
            "this potential gives no deviations of its forces by {signal:?}"
        )))
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
}

/// What [`GradedPotential::signal`] measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// σ of the total energy, of the posterior of the last layer; eV.
    Sigma,
    /// σ of the total energy over a committee of models; eV.
    Committee,
    /// Sum over atoms of the smooth grade.
    Grade,
}

impl GradedPotential for Calculator {
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        let request = Request::FORCES | Request::VIRIAL | Request::GRADES;
        let results = self.compute(structure, request)?;
        Ok((labels(results), grades(results)))
    }

    fn learn(&mut self, structure: &Structure) -> Result<()> {
        Calculator::learn(self, structure, 1.0).map(|_| ())
    }

    fn signal(&mut self, structure: &Structure, signal: Signal) -> Result<Labels> {
        let value = match signal {
            Signal::Sigma => {
                needs_posterior(self)?;
                self.contract_sigma(structure, Request::NEURONS)?
            }
            Signal::Grade => {
                let weigh = |grades: &[f64]| vec![1.0; grades.len()];
                let grades = self.contract_grade(structure, SMOOTH, weigh)?;
                grades.iter().sum()
            }
            Signal::Committee => return Err(no_committee()),
        };
        let Contraction { forces, virial, .. } = self.contraction();
        Ok((value, forces.clone(), *virial))
    }

    fn with_signal(
        &mut self,
        structure: &Structure,
        signal: Signal,
        graded: bool,
    ) -> Result<(Labels, Option<Grades>, Labels)> {
        let mut request = Request::FORCES | Request::VIRIAL;
        if graded {
            request |= Request::GRADES;
        }
        if signal != Signal::Sigma {
            let results = self.compute(structure, request)?;
            let found = (labels(results), graded.then(|| grades(results)));
            return Ok((found.0, found.1, self.signal(structure, signal)?));
        }
        needs_posterior(self)?;
        let value = self.contract_sigma(structure, request)?;
        let Contraction { forces, virial, .. } = self.contraction();
        let along = (value, forces.clone(), *virial);
        let results = self.results();
        Ok((labels(results), graded.then(|| grades(results)), along))
    }

    fn deviations(&mut self, structure: &Structure, signal: Signal) -> Result<Vec<f64>> {
        if signal != Signal::Sigma {
            return Err(no_committee());
        }
        needs_posterior(self)?;
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
}

fn labels(results: &Evaluation) -> Labels {
    (results.energy, results.forces.clone(), results.virial)
}

fn grades(results: &Evaluation) -> Grades {
    Grades {
        gamma: results.gamma.clone(),
        rho: results.rho.clone(),
        grade: results.grade.clone(),
    }
}

fn no_committee() -> Error {
    Error::invalid(
        "one model is no committee: give others of the same labels and other seeds, `explore --committee other.txt`",
    )
}

fn needs_posterior(calculator: &Calculator) -> Result<()> {
    match calculator.posterior() {
        Some(_) => Ok(()),
        None => Err(Error::invalid(
            "deviations need the model's posterior, and there is none: make one with `nepal-loop train --posterior` and give it with --posterior, or be guided by signal = \"grade\"",
        )),
    }
}
