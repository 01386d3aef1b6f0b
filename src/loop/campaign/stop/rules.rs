//! The stop rules: each judged every round, any of them usable as the goal.

use super::curve::{Curve, Question, Range};
use crate::campaign::config::StopConfig;
use crate::campaign::store::RoundRecord;
use serde::{Deserialize, Serialize};

/// A stop rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No complete run left known ground.
    Clean,
    /// New labels were predicted well enough before training on them.
    Canary,
    /// The calibrated uncertainty of the forces is small enough.
    Uncertainty,
    /// Twice as many labels would gain little.
    LearningCurve,
    /// Properties of a crystal have settled.
    Properties,
}

impl Rule {
    /// All rules, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Clean,
        Self::Canary,
        Self::Uncertainty,
        Self::LearningCurve,
        Self::Properties,
    ];
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::Canary => "canary",
            Self::Uncertainty => "uncertainty",
            Self::LearningCurve => "learning-curve",
            Self::Properties => "properties",
        })
    }
}

/// What a round measured for the rules, beyond its own records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Largest calibrated standard deviation of a force, eV/Å.
    pub force_std: Option<f64>,
    /// Name and value of the crystal's properties with this round's model.
    pub properties: Vec<(String, f64)>,
}

/// A rule after a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Which.
    pub rule: Rule,
    /// Whether the campaign is to end with it.
    pub goal: bool,
    /// Whether it holds; none if nothing could be measured for it.
    pub held: Option<bool>,
    /// What was found and what was wanted, in words.
    pub text: String,
}

/// The rules after a round, and what is to come. In `round-NN/stop.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopRecord {
    /// What was measured for them.
    pub measured: Measured,
    /// Every rule.
    pub rules: Vec<Judged>,
    /// Share of graded steps above the threshold.
    pub extrapolating: f64,
    /// The learning curve of the force error (eV/Å) against training structures.
    pub curve: Option<Curve>,
    /// Structures to go until the goal, as far as it can be told.
    pub to_go: Option<Range>,
    /// What that forecast is about.
    pub to_go_text: String,
}

impl StopRecord {
    /// Whether all goals are reached; their words.
    pub fn reached(&self) -> Option<String> {
        let goals: Vec<&Judged> = self.rules.iter().filter(|r| r.goal).collect();
        let all = !goals.is_empty() && goals.iter().all(|r| r.held == Some(true));
        all.then(|| {
            let words: Vec<&str> = goals.iter().map(|r| r.text.as_str()).collect();
            words.join("; ")
        })
    }
}

/// Whether every run of a round stayed on known ground to its end, in the last stage of its ladder.
pub fn clean(round: &RoundRecord) -> bool {
    !round.explore.is_empty()
        && round
            .explore
            .iter()
            .all(|e| e.finished && e.candidates == 0)
}

/// Share of the graded steps of a round above a threshold.
pub fn extrapolating(round: &RoundRecord, save: f64) -> f64 {
    let grades = || round.explore.iter().flat_map(|e| &e.trace).map(|p| p[5]);
    let above = grades().filter(|g| g.is_nan() || *g >= save).count();
    above as f64 / grades().count().max(1) as f64
}

/// Force error of a round and the structures it was trained on: of the fixed test set, else of the new
/// labels before training.
pub fn learning_points(rounds: &[RoundRecord]) -> Vec<(f64, f64)> {
    let training = || rounds.iter().filter_map(|r| r.training.as_ref());
    let test: Vec<(f64, f64)> = training()
        .filter_map(|t| Some((t.structures as f64, t.test.as_ref()?.force_rmse?)))
        .collect();
    if !test.is_empty() {
        return test;
    }
    canary_points(rounds)
}

/// Force error of a round's new labels, and the structures that the model before them was trained on.
pub fn canary_points(rounds: &[RoundRecord]) -> Vec<(f64, f64)> {
    rounds
        .windows(2)
        .filter_map(|pair| {
            let before = pair[0].training.as_ref()?.structures as f64;
            Some((
                before,
                pair[1].training.as_ref()?.canary.as_ref()?.force_rmse?,
            ))
        })
        .collect()
}

/// Judges all rules after the last of some rounds.
pub(in crate::campaign) fn judge(
    config: &StopConfig,
    save: f64,
    rounds: &[RoundRecord],
    measured: Measured,
    seed: u64,
) -> StopRecord {
    let points = learning_points(rounds);
    let curve = Curve::fit(&points, true);
    let share = rounds.last().map_or(1.0, |r| extrapolating(r, save));
    let mut rules = Vec::new();
    for rule in Rule::ALL {
        let (held, text) = match rule {
            Rule::Clean => clean_rule(config, save, rounds),
            Rule::Canary => canary_rule(config, rounds),
            Rule::Uncertainty => uncertainty_rule(config, &measured),
            Rule::LearningCurve => learning_rule(config, &points, curve),
            Rule::Properties => property_rule(config, rounds, &measured),
        };
        let goal = config.goal.contains(&rule);
        rules.push(Judged {
            rule,
            goal,
            held,
            text,
        });
    }
    let (to_go, to_go_text) = forecast(config, save, rounds, seed);
    StopRecord {
        measured,
        rules,
        extrapolating: share,
        curve,
        to_go,
        to_go_text,
    }
}

/// Labels to go for those of the goals that fall with the labels: the largest; or why it cannot be told.
fn forecast(
    config: &StopConfig,
    save: f64,
    rounds: &[RoundRecord],
    seed: u64,
) -> (Option<Range>, String) {
    let mut asked: Vec<(Result<Range, String>, String)> = Vec::new();
    // What the last rounds added; the first set says nothing of that.
    let added = rounds
        .iter()
        .filter_map(|r| Some(r.selection.as_ref()?.selected.len()));
    let added: Vec<usize> = added.rev().take(3).collect();
    let pace = added.iter().sum::<usize>() as f64 / added.len().max(1) as f64;
    let ask = |points: &[(f64, f64)], target, rounds| {
        let question = Question {
            points,
            target,
            rounds,
            pace,
        };
        question.forecast(seed)
    };
    if config.goal.contains(&Rule::Clean) {
        let climbing = rounds
            .last()
            .is_some_and(|r| r.explore.iter().any(|e| e.stages_left > 0));
        // Nothing extrapolates once the largest grade of a round is below the threshold. The share of
        // extrapolating steps is no guide: no curve leads to none at all.
        let worst = |r: &RoundRecord| r.explore.iter().map(|e| e.max_grade).fold(0.0, f64::max);
        let points: Vec<(f64, f64)> = rounds
            .iter()
            .filter_map(|r| Some((r.training.as_ref()?.structures as f64, worst(r))))
            .collect();
        let answer = match climbing {
            true => Err("stages of a ladder are still to come".into()),
            false => ask(&points, save, config.clean_rounds),
        };
        asked.push((answer, "until no graded step extrapolates".into()));
    }
    if config.goal.contains(&Rule::Canary)
        && let Some(target) = config.canary_force
    {
        let answer = ask(&canary_points(rounds), target, config.canary_rounds);
        let text = format!(
            "until new labels are predicted to {:.0} meV/Å",
            1e3 * target
        );
        asked.push((answer, text));
    }
    let mut latest: Option<(Range, String)> = None;
    for (answer, what) in asked {
        match answer {
            Err(why) => return (None, format!("{what}: {why}")),
            Ok(range) if latest.as_ref().is_none_or(|l| l.0.value < range.value) => {
                latest = Some((range, what));
            }
            Ok(_) => {}
        }
    }
    match latest {
        Some((range, text)) => (Some(range), text),
        None => (None, "the goals have no curve".into()),
    }
}

fn clean_rule(config: &StopConfig, save: f64, rounds: &[RoundRecord]) -> (Option<bool>, String) {
    let row = rounds.iter().rev().take_while(|r| clean(r)).count();
    let runs = rounds.last().map_or(0, |r| r.explore.len());
    let text = if row == 0 {
        let left = rounds.last().map_or(0, |r| {
            r.explore
                .iter()
                .filter(|e| !e.finished || e.candidates > 0)
                .count()
        });
        {
            let waiting = rounds.last().map_or(0, |r| {
                r.explore.iter().filter(|e| e.stages_left > 0).count()
            });
            let climbing = match waiting {
                0 => String::new(),
                n => format!(", {n} have stages to come"),
            };
            format!("{left} of {runs} runs left known ground (grade {save}){climbing}")
        }
    } else {
        format!("nothing extrapolates: all {runs} runs of {row} round(s) stayed below grade {save}")
    };
    (Some(row >= config.clean_rounds), text)
}

fn canary_rule(config: &StopConfig, rounds: &[RoundRecord]) -> (Option<bool>, String) {
    let errors: Vec<f64> = rounds
        .iter()
        .filter_map(|r| r.training.as_ref()?.canary.as_ref()?.force_rmse)
        .collect();
    let Some(&last) = errors.last() else {
        return (None, "no label was predicted before training yet".into());
    };
    let Some(target) = config.canary_force else {
        return (
            None,
            format!("new labels: {:.1} meV/Å; no target", 1e3 * last),
        );
    };
    let row = errors.iter().rev().take_while(|e| **e <= target).count();
    (
        Some(row >= config.canary_rounds),
        format!(
            "new labels: {:.1} meV/Å, wanted {:.1} in {} round(s) in a row, {row} so far",
            1e3 * last,
            1e3 * target,
            config.canary_rounds
        ),
    )
}

fn uncertainty_rule(config: &StopConfig, measured: &Measured) -> (Option<bool>, String) {
    match (config.force_std, measured.force_std) {
        (Some(target), Some(found)) => (
            Some(found <= target),
            format!(
                "largest calibrated force deviation: {:.0} meV/Å, wanted {:.0}",
                1e3 * found,
                1e3 * target
            ),
        ),
        _ => (None, "not asked for (stop.force_std)".into()),
    }
}

fn learning_rule(
    config: &StopConfig,
    points: &[(f64, f64)],
    curve: Option<Curve>,
) -> (Option<bool>, String) {
    match (curve, points.last()) {
        (Some(curve), Some(&(n, _))) => {
            let gain = curve.gain_of_doubling(n);
            if gain < 0.0 {
                let text = "the force error does not fall with the labels yet";
                return (Some(false), text.into());
            }
            (
                Some(gain < config.learning_gain),
                format!(
                    "twice the labels would gain {:.1} % of the force error, wanted below {:.1} %",
                    100.0 * gain,
                    100.0 * config.learning_gain
                ),
            )
        }
        _ => (None, "needs three rounds".into()),
    }
}

fn property_rule(
    config: &StopConfig,
    rounds: &[RoundRecord],
    measured: &Measured,
) -> (Option<bool>, String) {
    if measured.properties.is_empty() {
        return (None, "not asked for (stop.crystal)".into());
    }
    // The last rounds and this one, newest first.
    let earlier = rounds[..rounds.len().saturating_sub(1)].iter().rev();
    let mut history: Vec<&Vec<(String, f64)>> = vec![&measured.properties];
    history.extend(earlier.filter_map(|r| Some(&r.stop.as_ref()?.measured.properties)));
    history.truncate(config.property_rounds + 1);
    let mut worst = ("", 0.0);
    for (k, (name, now)) in measured.properties.iter().enumerate() {
        for before in &history[1..] {
            let change = before
                .get(k)
                .map_or(f64::INFINITY, |b| (b.1 / now - 1.0).abs());
            if !(change <= worst.1) {
                worst = (name, change);
            }
        }
    }
    if history.len() <= config.property_rounds {
        let needed = config.property_rounds + 1;
        return (
            Some(false),
            format!("needs {needed} rounds, has {}", history.len()),
        );
    }
    (
        Some(worst.1 <= config.property_tolerance),
        format!(
            "largest change over {} rounds: {:.2} % ({}), wanted {:.2} %",
            config.property_rounds,
            100.0 * worst.1,
            worst.0,
            100.0 * config.property_tolerance
        ),
    )
}
