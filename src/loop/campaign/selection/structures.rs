//! Whole structures of files: the choice that the command `select` makes.

use super::choose::{Method, Rules};
use super::known::Asked;
use super::pool::Grouping;
use super::ranked::{Candidates, ranked};
use super::{DEFAULT_EXPONENT, SelectConfig};
use nepal::error::{Error, Result};
use nepal::grade::{ActiveSet, Help};
use nepal::model::Model;
use nepal::system::Frame;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A structure that [`select_structures`] chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// Number of the structure, from 0.
    pub structure: usize,
    /// Its most novel atom.
    pub atom: usize,
    /// Its largest grade when it was chosen, those before it being known.
    pub grade: f64,
    /// What the method ranks by: gain per cost, grade, rows, distance.
    pub score: f64,
}

/// Chooses whole structures for labelling, best first, and tells how many were left out for which
/// reason. `reference` are frames whose grades and energies say what is usual, for
/// [`Method::Almomd`].
///
/// **Errors**: [`Error::InvalidArgument`] for a threshold below 1, or without reference frames where
/// the method needs them; what evaluating the structures says.
pub fn select_structures(
    model: &Arc<Model>,
    set: &Arc<ActiveSet>,
    frames: &[Frame],
    reference: &[Frame],
    options: &SelectConfig,
    threshold: f64,
    seed: u64,
) -> Result<(Vec<Picked>, BTreeMap<String, usize>)> {
    let known = (model, set);
    select_structures_on(None, known, frames, reference, options, threshold, seed)
}

/// [`select_structures`] for a model and its active set with the help of a device, which
/// [`Method::Maxvol`] makes use of: the same choice.
///
/// **Errors**: as [`select_structures`]; [`Error::Backend`] when the device fails.
pub fn select_structures_on(
    help: Help<'_>,
    (model, set): (&Arc<Model>, &Arc<ActiveSet>),
    frames: &[Frame],
    reference: &[Frame],
    options: &SelectConfig,
    threshold: f64,
    seed: u64,
) -> Result<(Vec<Picked>, BTreeMap<String, usize>)> {
    if threshold.is_nan() || threshold < 1.0 {
        return Err(Error::invalid(format!(
            "the threshold of the selection is {threshold}; expected at least 1"
        )));
    }
    let grouping = Grouping {
        whole: usize::MAX,
        fragment: usize::MAX,
        targets: 1,
        threshold,
        exponent: options.cost_exponent.unwrap_or(DEFAULT_EXPONENT),
    };
    let rules = Rules {
        method: options.method,
        max: options.max_structures,
        threshold,
        duplicate: options.duplicate,
        anchors: false,
        quotas: BTreeMap::new(),
        seed,
    };
    let pool = Candidates {
        frames,
        names: vec![String::new(); frames.len()],
        reference,
    };
    let help = help.filter(|_| options.method == Method::Maxvol);
    let (groups, chosen) = ranked(
        (model, set, help),
        &pool,
        &mut Asked::default(),
        &grouping,
        &rules,
        options,
    )?;
    let picked = chosen
        .choices
        .iter()
        .map(|c| Picked {
            structure: groups[c.group].candidate,
            atom: groups[c.group].atom,
            grade: c.grade,
            score: c.score,
        })
        .collect();
    Ok((picked, chosen.left_out))
}
