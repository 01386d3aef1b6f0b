//! Candidates in groups, ranked and chosen.

use super::SelectConfig;
use super::choose::{Chosen, Method, Rules, choose};
use super::known::Asked;
use super::pool::{Group, Grouping, groups};
use crate::explore::Signal;
use crate::explore::ways::{Rule, measured};
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::grade::{ActiveSet, Help};
use nepal::model::Model;
use nepal::system::Frame;
use nepal::{BackendKind, Request};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a way kept a frame, whatever its grades.
pub(super) const KEPT: &str = "kept";

/// The column of force deviations, eV/Å.
pub const SIGMA_COLUMN: &str = "force_std";

/// Candidates with the scenarios that found them.
pub(super) struct Candidates<'a> {
    pub(super) frames: &'a [Frame],
    pub(super) names: Vec<String>,
    /// Frames that say what is usual.
    pub(super) reference: &'a [Frame],
}

/// Whether a candidate was cut from a large simulation while that ran.
pub(super) fn is_fragment(frame: &Frame) -> bool {
    frame.force_mask.is_some() && frame.info.contains_key("parent_atom")
}

/// Groups and choice.
pub(super) fn ranked(
    (model, set, help): (&Arc<Model>, &Arc<ActiveSet>, Help<'_>),
    candidates: &Candidates<'_>,
    asked: &mut Asked,
    grouping: &Grouping,
    rules: &Rules,
    options: &SelectConfig,
) -> Result<(Vec<Group>, Chosen)> {
    let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
    let mut all = Vec::new();
    let mut before: BTreeMap<String, usize> = BTreeMap::new();
    for (number, frame) in candidates.frames.iter().enumerate() {
        if let Some(why) = asked.meet(&frame.structure) {
            *before.entry(why.into()).or_default() += 1;
            continue;
        }
        let name = (number, candidates.names[number].as_str());
        // A fragment is small already, whatever its size.
        let whole = if is_fragment(frame) {
            usize::MAX
        } else {
            grouping.whole
        };
        let mut grouping = Grouping { whole, ..*grouping };
        if frame.info.contains_key(KEPT) {
            grouping.threshold = 0.0;
        }
        let found = groups(&mut calculator, set, &frame.structure, name, &grouping)?;
        if found.is_empty() {
            *before.entry("known ground".into()).or_default() += 1;
        }
        all.extend(found);
    }
    let worth = match rules.method {
        Method::Almomd => probabilities(model, set, candidates, &all, options)?,
        Method::Sigma => all
            .iter()
            .map(|group| deviation(candidates.frames, group.candidate))
            .collect::<Result<_>>()?,
        _ => Vec::new(),
    };
    let mut chosen = choose(set, &all, &worth, rules, help)?;
    for (why, count) in before {
        *chosen.left_out.entry(why).or_default() += count;
    }
    Ok((all, chosen))
}

/// The largest force deviation of a frame, eV/Å.
pub(super) fn deviation(frames: &[Frame], index: usize) -> Result<f64> {
    match frames[index].real_column(SIGMA_COLUMN) {
        Some((values, 1)) => Ok(values.iter().copied().fold(0.0, f64::max)),
        _ => Err(Error::invalid(format!(
            "the method sigma needs the column {SIGMA_COLUMN}, which frame {} lacks; explore, predict and select write it with --posterior",
            index + 1
        ))),
    }
}

/// P_U P_E of each group, from the grades and energies that the model gives the reference frames.
pub(super) fn probabilities(
    model: &Arc<Model>,
    set: &Arc<ActiveSet>,
    candidates: &Candidates<'_>,
    groups: &[Group],
    options: &SelectConfig,
) -> Result<Vec<f64>> {
    let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
    calculator.set_active_set(Some(Arc::clone(set)))?;
    let reference = candidates.reference.iter().map(|f| &f.structure);
    let usual = measured(&mut calculator, Signal::Grade, reference)?.ok_or_else(|| {
        Error::invalid("the method almomd needs frames that say what is usual; give a test set")
    })?;
    let rule = Rule {
        energy: options.energy_rule,
        ..Rule::default()
    };
    groups
        .iter()
        .map(|group| {
            let structure = &candidates.frames[group.candidate].structure;
            let energy = calculator.compute(structure, Request::FORCES)?.energy;
            let energy = energy / structure.len().max(1) as f64;
            Ok(rule.uncertain(group.grade, usual.uncertainty) * rule.viable(energy, usual.energy))
        })
        .collect()
}
