//! The judge of labels: a model that should know, and how far from it a label may be.

use crate::campaign::Campaign;
use crate::campaign::ground::Context;
use crate::campaign::labelling::Doubt;
use crate::campaign::store::{TrainingRecord, read_json};
use crate::explore::{GradedPotential, Grades, Sum};
use crate::label::Label;
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::Frame;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Grade up to which an environment is known ground.
const KNOWN: f64 = 1.0;
/// Errors beyond the third quartile by this many times the distance of the quartiles are outliers.
const FENCE: f64 = 3.0;
/// And beyond this many times the training's error: a narrow round has outliers of no weight. The second is
/// for energies of rounds too small for quartiles.
const TRAINED: [f64; 2] = [6.0, 20.0];
/// Fewer atoms of an element, and fewer energies, than this have no quartiles worth the name.
const COUNTS: [usize; 2] = [20, 8];
/// Smallest errors that are worth a label: eV/Å, and eV/atom.
const SMALL: [f64; 2] = [0.02, 2e-3];
/// Share of a round's labels that is doubted at most, the worst first, and a number that always may be.
const MOST: (f64, usize) = (0.05, 3);
pub(super) struct Judge {
    student: Sum,
    /// Energy and force errors of its training, eV/atom and eV/Å; zero where the labels in question were
    /// among its data.
    trained: [f64; 2],
}

/// What is known of one error: how large, of which label, and whether it counts against the label.
struct Finding<'a> {
    error: f64,
    key: &'a String,
    counts: bool,
}

impl Judge {
    /// The model of a round.
    pub fn of(round: &Context<'_>) -> Result<Self> {
        let model = Arc::new(Model::load(round.path("nep.txt"))?);
        let set = ActiveSet::load(round.path("active_set.asi"), &model)?;
        let training: TrainingRecord = read_json(&round.path("training.json"))?;
        let mut calculator = Calculator::new(model, BackendKind::Cpu)?;
        calculator.set_active_set(Some(Arc::new(set)))?;
        let errors = [training.train.energy_rmse, training.train.force_rmse];
        Ok(Self {
            student: round.campaign.with_baseline(calculator)?,
            trained: errors.map(|e| e.unwrap_or(0.0)),
        })
    }

    /// A model that was trained on the labels in question.
    pub fn trained_on_them(campaign: &Campaign, model: Model) -> Result<Self> {
        let calculator = Calculator::new(Arc::new(model), BackendKind::Cpu)?;
        Ok(Self {
            student: campaign.with_baseline(calculator)?,
            trained: [0.0; 2],
        })
    }

    /// The labels whose errors are outliers, the worst first.
    pub fn suspects(&mut self, labelled: &[(&Frame, &String, &Label)]) -> Result<Vec<Doubt>> {
        let graded = self.student.model.active_set().is_some();
        let mut energies: Vec<Finding<'_>> = Vec::new();
        let mut forces: BTreeMap<&str, Vec<Finding<'_>>> = BTreeMap::new();
        for &(frame, key, label) in labelled {
            let structure = &frame.structure;
            let ((energy, own, _), grades) = match graded {
                true => self.student.energy_forces_virial_grades(structure)?,
                false => (
                    self.student.energy_forces_virial(structure)?,
                    Grades::default(),
                ),
            };
            let masked = |atom: usize| frame.force_mask.as_ref().is_some_and(|m| m[atom] == 0.0);
            for (atom, element) in frame.structure.elements.iter().enumerate() {
                if masked(atom) {
                    continue;
                }
                let (f, g) = (label.forces[atom], own[atom]);
                let list = forces.entry(element.symbol()).or_default();
                list.push(Finding {
                    error: (0..3).map(|d| (f[d] - g[d]).powi(2)).sum::<f64>().sqrt(),
                    key,
                    counts: !graded || grades.grade[atom] < KNOWN,
                });
            }
            // The energy of a fragment is its boundary's as much as its core's.
            if frame.force_mask.is_none() {
                energies.push(Finding {
                    error: (label.energy - energy).abs() / frame.len().max(1) as f64,
                    key,
                    counts: true,
                });
            }
        }
        let mut lists = Vec::new();
        for list in forces.into_values().filter(|l| l.len() >= COUNTS[0]) {
            lists.push((list, SMALL[0].max(TRAINED[0] * self.trained[1])));
        }
        let small = energies.len() < COUNTS[1];
        if !small || graded {
            let times = TRAINED[usize::from(small)];
            lists.push((energies, SMALL[1].max(times * self.trained[0])));
        }
        let mut found: BTreeMap<&String, f64> = BTreeMap::new();
        for (list, floor) in lists {
            let limit = fence(&list).max(floor);
            for finding in list.iter().filter(|f| f.counts && f.error > limit) {
                let worst = found.entry(finding.key).or_default();
                *worst = worst.max(finding.error / limit);
            }
        }
        let mut found: Vec<(&String, f64)> = found.into_iter().collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let share = (MOST.0 * labelled.len() as f64) as usize;
        found.truncate(share.max(MOST.1));
        let doubts = found.into_iter().map(|(key, times)| Doubt {
            key: key.clone(),
            times,
        });
        Ok(doubts.collect())
    }
}

/// The error above which others are outliers; none for a few energies.
fn fence(list: &[Finding<'_>]) -> f64 {
    let mut errors: Vec<f64> = list.iter().map(|f| f.error).collect();
    if errors.len() < COUNTS[1] {
        return 0.0;
    }
    errors.sort_by(f64::total_cmp);
    let (low, high) = (errors[errors.len() / 4], errors[3 * errors.len() / 4]);
    high + FENCE * (high - low)
}
