//! The signals that are compared: numbers of one atom that shall tell whether to trust a model.

use crate::explore::committee::force_deviations;
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::grade::{ActiveSet, BuildOptions, Features};
use nepal::model::Model;
use nepal::posterior::GAUSSIAN;
use nepal::system::{Frame, Structure};
use nepal::{BackendKind, Request};
use nepal_train::posterior::{Posterior, PosteriorOptions};
use std::sync::Arc;

/// Whether a signal is a grade, for which 1 is the edge of what is known.
pub(super) fn is_grade(signal: usize) -> bool {
    [0, 1, 2].contains(&signal)
}

/// Whether a signal is a σ of forces, in eV/Å.
pub(super) fn is_force_deviation(signal: usize) -> bool {
    [4, 6, 7].contains(&signal)
}

/// Names of the signals, in the order in which they are told.
pub(super) const NAMES: [&str; 8] = [
    "compatibility γ",
    "ridge Γ",
    "ridge γ",
    "ridge ρ",
    "last-layer force deviation",
    "last-layer energy deviation",
    "learnt force deviation",
    "committee force deviation",
];

/// What is needed to compute all signals of a structure.
pub(super) struct Signals {
    calculator: Calculator,
    compat: Option<ActiveSet>,
    ridge: ActiveSet,
    posterior: Posterior,
    committee: Vec<Calculator>,
}

/// Signals of one structure's atoms and the model's forces.
pub(super) struct Signalled {
    /// By name; `None` for a signal that is not to be had. Shape `[NAMES][n_atoms]`.
    pub values: Vec<Option<Vec<f64>>>,
    /// By name: bounds that hold 95 % of the errors, for force deviations, which are those of 68 %.
    pub wide: Vec<Vec<f64>>,
    pub forces: Vec<[f64; 3]>,
}

impl Signals {
    /// From the training frames; also what was special about the active sets.
    pub fn new(
        model: &Arc<Model>,
        training: &[Frame],
        committee: &[Model],
    ) -> Result<(Self, Vec<String>)> {
        let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
        let structures: Vec<&Structure> = training.iter().map(|f| &f.structure).collect();
        let features = collect(model, &structures)?;
        let mut notes = Vec::new();
        let (ridge, report) = ActiveSet::build(model, &features, &BuildOptions::default())?;
        notes.extend(report.notes());
        let compat = match ActiveSet::build(model, &features, &BuildOptions::compat()) {
            Ok((set, report)) => {
                notes.extend(report.notes());
                Some(set)
            }
            Err(error) => {
                notes.push(format!("no compatibility γ: {error}"));
                None
            }
        };
        let posterior = Posterior::fit(model, training, &PosteriorOptions::default())?;
        calculator.set_posterior(Some(Arc::clone(posterior.evaluable())))?;
        let committee = committee
            .iter()
            .map(|m| Calculator::new(Arc::new(m.clone()), BackendKind::Cpu))
            .collect::<Result<_>>()?;
        let signals = Self {
            calculator,
            compat,
            ridge,
            posterior,
            committee,
        };
        Ok((signals, notes))
    }

    /// All signals of a structure.
    pub fn of(&mut self, structure: &Structure) -> Result<Signalled> {
        let model = self.calculator.model().clone();
        let types = model.types_of(&structure.elements)?;
        let request = Request::FORCES | Request::DESCRIPTORS | Request::SIGMA;
        let found = self.calculator.compute(structure, request)?;
        let (forces, q) = (found.forces.clone(), found.descriptors.clone());
        let learnt = found.sigma.clone();
        let effort = nepal::grade::Effort::Full;
        let of = |set: &ActiveSet| set.grade_descriptors(&model, &types, &q, effort);
        let ridge = of(&self.ridge)?;
        let compat = self.compat.as_ref().map(of).transpose()?;
        let deviations = self.posterior.deviations(&mut self.calculator, structure)?;
        let committee = self.committee_deviation(structure)?;
        let calibration = self.posterior.calibration();
        let times = |sigma: &[f64], at: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let atoms = sigma.iter().zip(&types);
            atoms.map(|(s, &t)| at(t as usize) * s).collect()
        };
        let mut wide = vec![Vec::new(); NAMES.len()];
        wide[4] = times(&deviations.forces, &|t| calibration.last_layer_at_95[t]);
        wide[6] = times(&learnt, &|t| {
            self.posterior.evaluable().at_95(t).unwrap_or(1.0)
        });
        wide[7] = times(committee.as_deref().unwrap_or_default(), &|_| {
            GAUSSIAN[0][1]
        });
        Ok(Signalled {
            values: vec![
                compat.map(|g| g.iter().map(|g| g.total).collect()),
                Some(ridge.iter().map(|g| g.total).collect()),
                Some(ridge.iter().map(|g| g.gamma).collect()),
                Some(ridge.iter().map(|g| g.rho).collect()),
                Some(deviations.forces),
                Some(deviations.energies),
                Some(learnt),
                committee,
            ],
            wide,
            forces,
        })
    }

    /// What 68 % of Gaussian errors do not exceed whose deviation is that of the members, eV/Å; `None` for fewer than
    /// two.
    fn committee_deviation(&mut self, structure: &Structure) -> Result<Option<Vec<f64>>> {
        if self.committee.len() < 2 {
            return Ok(None);
        }
        let mut all = force_deviations(&mut self.committee, structure)?;
        all.iter_mut().for_each(|s| *s *= GAUSSIAN[0][0]);
        Ok(Some(all))
    }
}

fn collect(model: &Model, structures: &[&Structure]) -> Result<Features> {
    let mut backend = BackendKind::Cpu.create()?;
    Features::collect(model, &mut *backend, structures.iter().copied())
}

/// The two grades of an element's atoms when the active set was made without that element:
/// compatibility γ (`None`: refused) and ridge Γ.
pub(super) fn unseen_element(
    model: &Model,
    training: &[&Structure],
    probe: &Structure,
    t: usize,
) -> Result<(Option<f64>, f64)> {
    let all = collect(model, training)?;
    let mut others = Features::new(model);
    for other in (0..model.elements().len()).filter(|&other| other != t) {
        let width = all.width();
        for (row, origin) in all.rows(other).chunks_exact(width).zip(all.origins(other)) {
            others.push(other, row, *origin)?;
        }
    }
    let probes = collect(model, &[probe])?;
    let largest = |set: &ActiveSet| -> Result<f64> {
        let grades = set.grade_rows(t, probes.rows(t))?;
        Ok(grades.iter().map(|g| g.total).fold(f64::INFINITY, f64::min))
    };
    let ridge = largest(&ActiveSet::build(model, &others, &BuildOptions::default())?.0)?;
    let compat = ActiveSet::build(model, &others, &BuildOptions::compat())
        .and_then(|(set, _)| largest(&set))
        .ok();
    Ok((compat, ridge))
}
