//! Small potentials for the tests of this folder.

pub use nepal_dynamics::lennard_jones::{IdealGas, LennardJones, argon_fcc, argon_grid};

use super::potential::{GradedPotential, Grades, Labels};
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::element::Element;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::Structure;
use std::path::Path;
use std::sync::Arc;

/// The silicon of the examples with its active set, and a crystal of it.
pub fn silicon() -> (Calculator, Structure) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    let model = Arc::new(Model::load(data.join("nep.txt")).unwrap());
    let set = ActiveSet::load(data.join("active_set.nas"), &model).unwrap();
    let mut calculator = Calculator::new(model, BackendKind::Cpu).unwrap();
    calculator.set_active_set(Some(Arc::new(set))).unwrap();
    let element = Element::from_symbol("Si").unwrap();
    let crystal = super::generate::crystal("diamond", &[element], 5.431, [1; 3]).unwrap();
    (calculator, crystal)
}

/// An energy that is a function of the structure, without forces.
pub struct Levels<F>(pub F);

impl<F: FnMut(&Structure) -> f64 + Send> Potential for Levels<F> {
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let energy = (self.0)(structure);
        Ok((energy, vec![[0.0; 3]; structure.len()], [0.0; 9]))
    }
}

impl<F: FnMut(&Structure) -> f64 + Send> GradedPotential for Levels<F> {
    /// Known ground everywhere.
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        let grade = vec![0.5; structure.len()];
        let grades = Grades {
            gamma: grade.clone(),
            rho: grade.clone(),
            grade,
        };
        Ok((self.energy_forces_virial(structure)?, grades))
    }
}
