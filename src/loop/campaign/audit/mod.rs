//! How far a grade can be trusted: signals against true errors and against novelty made on purpose.
//!
//! For a model, its training set and a dump: the compatibility γ, the ridge grade, the Bayesian
//! posterior of the last layer and a committee, each compared with the force errors of the dump's
//! labels (if it has any) and with planted novelty. The comparison that Lysogorskiy et al., Phys.
//! Rev. Mater. 7, 043801 (2023) made for ACE, for any NEP.

mod page;
mod planted;
mod signals;
pub(in crate::campaign) mod statistics;
#[cfg(test)]
mod tests;

pub use statistics::Decile;

use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::{Frame, Structure};
use nepal_train::{NepIn, TrainOptions};
use serde::Serialize;
use signals::{NAMES, Signals};
use statistics::{SHARES, covered, deciles, quantile, recalibrated, share_above, spearman};
use std::sync::Arc;
use std::time::Duration;

/// Share of the dump's atoms that may be called novel when detection is measured.
const FALSE_ALARMS: f64 = 0.01;

/// Ordinary structures that novelty is planted in.
const HOSTS: usize = 4;

/// Stretches of the dump that take turns at saying what the deviations of the other ones should be.
const STRETCHES: usize = 10;

/// What is audited.
#[derive(Clone, Debug)]
pub struct AuditInput<'a> {
    /// The model.
    pub model: &'a Model,
    /// The frames that it was trained on.
    pub training: &'a [Frame],
    /// Frames to judge it by, with or without labels.
    pub dump: &'a [Frame],
    /// Models of the same data and another seed; fewer than two for no committee.
    pub committee: &'a [Model],
}

/// One signal against the labels and against planted novelty.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalAudit {
    /// Name of the signal.
    pub name: String,
    /// Spearman's rank correlation with the force errors; none without labels.
    pub correlation: Option<f64>,
    /// Force errors by tenths of the signal.
    pub deciles: Vec<Decile>,
    /// Threshold above which 1 % of the dump's atoms are.
    pub threshold: f64,
    /// Share of the novel atoms above that threshold, by kind of novelty; none where the question
    /// does not arise.
    pub detected: Vec<Option<f64>>,
    /// The same for Γ above 2, for grades.
    pub above_two: Option<Vec<Option<f64>>>,
    /// Shares of the dump's atoms whose force error is within σ and within the bound of 95 %, for force
    /// deviations; none without labels.
    pub coverage: Option<[f64; 2]>,
    /// The same with the factors that fit the other half of the dump's frames.
    pub recalibrated: Option<[f64; 2]>,
    /// What σ has to be multiplied with to hold 68 %, and 95 %, of the dump's errors.
    pub factors: Option<[f64; 2]>,
}

/// An unseen element: what the grades say of its atoms when the set was made without it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnseenElement {
    /// The element left out.
    pub element: String,
    /// Smallest compatibility γ; none where grading is refused.
    pub compatibility: Option<f64>,
    /// Smallest ridge Γ; none for infinite.
    pub ridge: Option<f64>,
}

/// Everything that an audit found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// Version of this record.
    pub schema: u32,
    /// Elements of the model.
    pub elements: Vec<String>,
    /// Training frames and atoms.
    pub training: [usize; 2],
    /// Dump frames and atoms.
    pub dump: [usize; 2],
    /// Members of the committee.
    pub members: usize,
    /// Root mean square force error of the training set and of the dump, eV/Å.
    pub force_rmse: [Option<f64>; 2],
    /// Kinds of planted novelty, with the number of novel atoms.
    pub planted: Vec<(String, usize)>,
    /// The signals.
    pub signals: Vec<SignalAudit>,
    /// Elements left out in turn; empty for models of one element.
    pub unseen_elements: Vec<UnseenElement>,
    /// What was special, in words.
    pub notes: Vec<String>,
}

impl Audit {
    /// The report as one HTML page.
    pub fn html(&self, title: &str) -> String {
        page::render(self, title)
    }

    /// The tables as Markdown.
    pub fn markdown(&self) -> String {
        page::markdown(self)
    }
}

/// Trains the members of a committee on the same frames with different seeds.
///
/// **Errors**: as [`nepal_train::train`].
pub fn train_committee(
    model: &Model,
    training: &[Frame],
    members: usize,
    budget: Duration,
    mut told: impl FnMut(usize),
) -> Result<Vec<Model>> {
    let header = model.header();
    let config = NepIn {
        version: header.version,
        cutoff: header.cutoff.clone(),
        n_max: header.n_max,
        basis_size: header.basis_size,
        l_max: header.l_max,
        many_body: header.many_body,
        neurons: header.neurons,
        zbl: header.zbl.clone(),
        ..NepIn::new(header.elements.clone())
    };
    (0..members)
        .map(|k| {
            let options = TrainOptions {
                budget: Some(budget),
                seed: 1000 + k as u64,
                ..TrainOptions::default()
            };
            let trained = nepal_train::train(&config, training, &[], options)?;
            told(k + 1);
            Ok(trained.model)
        })
        .collect()
}

/// Compares the signals.
///
/// **Errors**: [`Error::InvalidArgument`] for empty sets of frames or elements that the model does
/// not know, [`Error::Unsupported`] for models without grades.
pub fn audit(input: &AuditInput<'_>) -> Result<Audit> {
    if input.training.is_empty() || input.dump.is_empty() {
        return Err(Error::invalid(
            "an audit needs training frames and a dump; one of them is empty",
        ));
    }
    let model = Arc::new(input.model.clone());
    let training: Vec<&Structure> = input.training.iter().map(|f| &f.structure).collect();
    let errors = nepal_train::errors(&model, input.training, nepal::BackendKind::Cpu)?;
    let (mut signals, mut notes) = Signals::new(&model, input.training, input.committee)?;
    let dump = judge(&mut signals, input.dump)?;
    let hosts = hosts(input.dump);
    let kinds = planted::plant(&hosts, model.elements())?;
    let mut counts = Vec::new();
    // By kind, then signal: the values of the novel atoms.
    let mut novel: Vec<Vec<Option<Vec<f64>>>> = Vec::new();
    for kind in &kinds {
        let mut values = vec![Some(Vec::new()); NAMES.len()];
        for (structure, atoms) in &kind.structures {
            let found = signals.of(structure)?;
            for (values, found) in values.iter_mut().zip(found.values) {
                match (values.as_mut(), found) {
                    (Some(values), Some(found)) => values.extend(atoms.iter().map(|&i| found[i])),
                    _ => *values = None,
                }
            }
        }
        counts.push((
            kind.name.clone(),
            kind.structures.iter().map(|s| s.1.len()).sum(),
        ));
        novel.push(values);
    }
    let mut found = Vec::new();
    for (k, name) in NAMES.iter().enumerate() {
        let Some(values) = &dump.values[k] else {
            continue;
        };
        let threshold = quantile(values, 1.0 - FALSE_ALARMS);
        let errors_of = |k: usize| {
            dump.errors
                .as_ref()
                .filter(|_| signals::is_force_deviation(k))
        };
        let detected = |threshold: f64| -> Vec<Option<f64>> {
            novel
                .iter()
                .map(|kind| kind[k].as_ref().map(|v| share_above(v, threshold)))
                .collect()
        };
        found.push(SignalAudit {
            name: (*name).to_owned(),
            correlation: dump
                .errors
                .as_ref()
                .map(|e| spearman(values, e))
                .filter(|c| c.is_finite()),
            deciles: dump
                .errors
                .as_ref()
                .map_or_else(Vec::new, |e| deciles(values, e)),
            threshold,
            detected: detected(threshold),
            above_two: signals::is_grade(k).then(|| detected(2.0)),
            coverage: errors_of(k).map(|e| covered([values, &dump.wide[k]], e)),
            recalibrated: errors_of(k).and_then(|e| recalibrated(values, e, &dump.half)),
            factors: errors_of(k)
                .map(|e| {
                    let ratios: Vec<f64> = e
                        .iter()
                        .zip(values)
                        .filter(|(_, s)| **s > 0.0)
                        .map(|(e, s)| e / s)
                        .collect();
                    SHARES.map(|share| quantile(&ratios, share))
                })
                .filter(|f| f.iter().all(|f| f.is_finite())),
        });
    }
    if dump.errors.is_none() {
        notes.push(
            "the dump has frames without forces, so there are no errors to compare with".into(),
        );
    }
    let mut unseen = Vec::new();
    if model.elements().len() > 1 {
        for (t, element) in model.elements().iter().enumerate() {
            let (compatibility, ridge) = signals::unseen_element(&model, &training, hosts[0], t)?;
            unseen.push(UnseenElement {
                element: element.symbol().to_owned(),
                compatibility: compatibility.filter(|g| g.is_finite()),
                ridge: Some(ridge).filter(|g| g.is_finite()),
            });
        }
    }
    let atoms = |frames: &[Frame]| frames.iter().map(Frame::len).sum();
    Ok(Audit {
        schema: 3,
        elements: model
            .elements()
            .iter()
            .map(|e| e.symbol().to_owned())
            .collect(),
        training: [input.training.len(), atoms(input.training)],
        dump: [input.dump.len(), atoms(input.dump)],
        members: input.committee.len(),
        force_rmse: [errors.force_rmse, dump.rmse()],
        planted: counts,
        signals: found,
        unseen_elements: unseen,
        notes,
    })
}

/// The dump's atoms: signals and, with labels, force errors in eV/Å.
struct Judged {
    values: Vec<Option<Vec<f64>>>,
    /// Bounds of 95 %, for force deviations.
    wide: Vec<Vec<f64>>,
    /// Whether the atom is in the second half of the frames, which take turns by stretches.
    half: Vec<bool>,
    errors: Option<Vec<f64>>,
}

impl Judged {
    /// Root mean square error of the force components.
    fn rmse(&self) -> Option<f64> {
        let errors = self.errors.as_ref()?;
        let square: f64 = errors.iter().map(|e| e * e).sum();
        Some((square / (3 * errors.len()) as f64).sqrt())
    }
}

fn judge(signals: &mut Signals, frames: &[Frame]) -> Result<Judged> {
    let mut values = vec![Some(Vec::new()); NAMES.len()];
    let mut errors = Some(Vec::new());
    let (mut wide, mut half) = (vec![Vec::new(); NAMES.len()], Vec::new());
    let stretches = frames.len().min(STRETCHES);
    for (k, frame) in frames.iter().enumerate() {
        let found = signals.of(&frame.structure)?;
        half.extend(vec![k * stretches / frames.len() % 2 == 1; frame.len()]);
        for (wide, found) in wide.iter_mut().zip(&found.wide) {
            wide.extend(found);
        }
        for (values, found) in values.iter_mut().zip(found.values) {
            match (values.as_mut(), found) {
                (Some(values), Some(found)) => values.extend(found),
                _ => *values = None,
            }
        }
        match (errors.as_mut(), &frame.forces) {
            (Some(errors), Some(labels)) => {
                errors.extend(found.forces.iter().zip(labels).map(|(a, b)| {
                    let d: [f64; 3] = std::array::from_fn(|k| a[k] - b[k]);
                    d.iter().map(|x| x * x).sum::<f64>().sqrt()
                }));
            }
            _ => errors = None,
        }
    }
    Ok(Judged {
        values,
        wide,
        half,
        errors,
    })
}

/// Structures spread over the dump.
fn hosts(frames: &[Frame]) -> Vec<&Structure> {
    let step = frames.len().div_ceil(HOSTS);
    frames.iter().step_by(step).map(|f| &f.structure).collect()
}
