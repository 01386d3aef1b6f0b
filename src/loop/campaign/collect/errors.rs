//! What models miss: parity of the newest, and of new labels by the model that asked for them.

use super::super::labelling::group_of;
use super::super::report::{AtomError, Breakdown, Missed, Parity};
use super::super::store::{RoundRecord, round_folder};
use super::super::training::{POSTERIOR, thin};
use super::Campaign;
use crate::label::Part;
use crate::label::baseline::add_noted;
use nepal::backend::Evaluation;
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::posterior::Posterior;
use nepal::system::{Frame, xyz};
use nepal::{BackendKind, Request};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Errors by what they belong to, gathered frame by frame.
#[derive(Default)]
pub(super) struct Errors {
    /// `element` or `scenario` with its name: of the training set, and of new labels.
    by: BTreeMap<(&'static str, String), [Missed; 2]>,
    /// Atoms of new labels.
    pub atoms: Vec<AtomError>,
}

/// Which of the two.
#[derive(Clone, Copy)]
enum Of {
    Training = 0,
    New = 1,
}

impl Errors {
    fn add(&mut self, campaign: &Campaign, of: Of, frame: &Frame, forces: &[[f64; 3]]) {
        let Some(reference) = &frame.forces else {
            return;
        };
        let group = ("scenario", group_of(campaign, frame));
        for i in counted(frame) {
            let element = frame.structure.elements[i].symbol();
            for key in [("element", element.to_owned()), group.clone()] {
                let missed = &mut self.by.entry(key).or_default()[of as usize];
                missed.atoms += 1;
                missed.square += distance2(reference[i], forces[i]);
                missed.reference += distance2(reference[i], [0.0; 3]);
            }
        }
    }

    /// The labels of each round by the model before, which was not trained on them; of large rounds a part.
    pub fn of_new_labels(&mut self, campaign: &Campaign, rounds: &[RoundRecord]) -> Result<()> {
        for pair in rounds.windows(2) {
            let before = campaign.directory.join(round_folder(pair[0].round));
            let new = campaign.directory.join(round_folder(pair[1].round));
            let labels = new.join("labelled.xyz");
            if pair[0].training.is_none() || !labels.exists() {
                continue;
            }
            let model = Model::load(before.join("nep.txt"))?;
            // Sets of nepal 0.1 are refused; a report of what was done with one goes without these errors.
            let Ok(set) = ActiveSet::load(before.join("active_set.asi"), &model) else {
                continue;
            };
            let posterior = before.join(POSTERIOR);
            let mut request = Request::FORCES | Request::GRADES;
            let posterior = match posterior.exists() {
                true => Some(Arc::new(Posterior::load(posterior, &model)?)),
                false => None,
            };
            if posterior.is_some() {
                request |= Request::SIGMA;
            }
            let of = |t| posterior.as_ref().and_then(|p| p.at_95(t)).unwrap_or(1.0);
            let at_95: Vec<f64> = (0..model.elements().len()).map(of).collect();
            let mut calculator = Calculator::new(Arc::new(model), BackendKind::Cpu)?;
            calculator.set_active_set(Some(Arc::new(set)))?;
            calculator.set_posterior(posterior)?;
            for frame in thin(xyz::read_frames(labels)?) {
                let types = calculator.model().types_of(&frame.structure.elements)?;
                let found = calculator.compute(&frame.structure, request)?;
                let (_, forces, _) = whole(campaign, &frame, found)?;
                self.add(campaign, Of::New, &frame, &forces);
                let Some(reference) = &frame.forces else {
                    continue;
                };
                self.atoms.extend(counted(&frame).map(|i| {
                    AtomError {
                        gamma: found.gamma[i],
                        rho: found.rho[i],
                        grade: found.grade[i],
                        sigma: found
                            .sigma
                            .get(i)
                            .map(|s| [*s, at_95[types[i] as usize] * s]),
                        error: distance2(reference[i], forces[i]).sqrt(),
                    }
                }));
            }
        }
        Ok(())
    }

    /// Reference and predicted values of a set; training sets are counted by element and scenario.
    pub fn parity(
        &mut self,
        campaign: &Campaign,
        model: &Arc<Model>,
        set: &'static str,
        frames: &[Frame],
    ) -> Result<Vec<Parity>> {
        let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
        let mut points: [Vec<(f64, f64)>; 3] = Default::default();
        for frame in frames {
            let request = Request::FORCES | Request::VIRIAL;
            let found = calculator.compute(&frame.structure, request)?;
            let (total, forces, virials) = whole(campaign, frame, found)?;
            let n = frame.len().max(1) as f64;
            if let Some(energy) = frame.energy {
                points[0].push((energy / n, total / n));
            }
            if let Some(reference) = &frame.forces {
                let pairs = counted(frame).flat_map(|i| (0..3).map(move |c| (i, c)));
                points[1].extend(pairs.map(|(i, c)| (reference[i][c], forces[i][c])));
            }
            if let (Some(virial), Some(virials)) = (&frame.virial, virials) {
                // Of a symmetric tensor, six.
                let six = [0, 4, 8, 1, 2, 5];
                points[2].extend(six.map(|k| (virial[k] / n, virials[k] / n)));
            }
            if set == "training set" {
                self.add(campaign, Of::Training, frame, &forces);
            }
        }
        let names = [
            ("energy", "eV/atom"),
            ("force", "eV/Å"),
            ("virial", "eV/atom"),
        ];
        let sets = names.into_iter().zip(points).filter(|(_, p)| !p.is_empty());
        Ok(sets
            .map(|((quantity, unit), points)| {
                let sum: f64 = points.iter().map(|p| (p.0 - p.1).powi(2)).sum();
                Parity {
                    set,
                    quantity,
                    unit,
                    rmse: (sum / points.len() as f64).sqrt(),
                    points,
                }
            })
            .collect())
    }

    /// All of them by element and by scenario.
    pub fn breakdown(&self) -> Vec<Breakdown> {
        let rows = self.by.iter().map(|((kind, name), missed)| Breakdown {
            kind,
            name: name.clone(),
            training: missed[Of::Training as usize],
            new: missed[Of::New as usize],
        });
        rows.collect()
    }
}

/// What a model says of a labelled frame, baseline included.
fn whole(campaign: &Campaign, frame: &Frame, found: &Evaluation) -> Result<Part> {
    let own = (found.energy, found.forces.clone(), Some(found.virial));
    match campaign.config.model.baseline {
        Some(_) => add_noted(frame, own),
        None => Ok(own),
    }
}

/// Atoms that are trained on: those outside a fragment's core are not.
fn counted(frame: &Frame) -> impl Iterator<Item = usize> + '_ {
    let weight = |i: &usize| frame.force_mask.as_ref().is_none_or(|mask| mask[*i] > 0.0);
    (0..frame.len()).filter(weight)
}

fn distance2(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|c| (a[c] - b[c]).powi(2)).sum()
}

/// Root mean square of the components of the reference forces; `None` without any.
pub(in crate::campaign) fn force_rms(frames: &[Frame]) -> Option<f64> {
    let mut missed = Missed::default();
    for frame in frames {
        for i in counted(frame) {
            if let Some(forces) = &frame.forces {
                missed.atoms += 1;
                missed.reference += distance2(forces[i], [0.0; 3]);
            }
        }
    }
    missed.rms()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::{Cell, Structure};

    #[test]
    fn what_is_not_trained_on_does_not_count() {
        let cell = Cell::orthorhombic([6.0; 3]).unwrap();
        let na = Element::from_symbol("Na").unwrap();
        let structure = Structure::new(cell, vec![na; 2], vec![[0.0; 3], [3.0; 3]]).unwrap();
        let mut frame = Frame::new(structure);
        assert_eq!(force_rms(&[frame.clone()]), None);
        frame.forces = Some(vec![[3.0, 0.0, 0.0], [9.0; 3]]);
        frame.force_mask = Some(vec![1.0, 0.0]);
        assert_eq!(force_rms(&[frame]), Some(3f64.sqrt()));
    }
}
