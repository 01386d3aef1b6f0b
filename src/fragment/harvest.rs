//! All fragments that one frame is worth: which atoms, in which order, and which are spoken for.

use super::extract::extract;
use super::options::FragmentOptions;
use super::outcome::{Fragment, Outcome};
use crate::backend::{Evaluation, Request};
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::grade::ActiveSet;
use crate::model::Model;
use crate::system::{NeighborList, Structure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// An atom that was selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Index in the parent.
    pub atom: usize,
    /// Reported grade Γ in the parent, before anything was learned from the frame.
    pub grade: f64,
    /// γ, likewise.
    pub gamma: f64,
    /// ρ, likewise; NaN if the active set has no such part.
    pub rho: f64,
}

/// What became of the selected atoms of one or more frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Fragments made.
    pub fragments: usize,
    /// Parents that are to be labelled whole.
    pub whole: usize,
    /// Atoms that a fragment of the same frame, or what was learned from it, speaks for.
    pub covered: usize,
    /// Atoms without a fragment, by [`super::Refusal::kind`].
    pub refused: BTreeMap<&'static str, usize>,
    /// Atoms that were not tried because the limit was reached.
    pub left: usize,
}

impl Tally {
    /// Adds the counts of another frame.
    pub fn add(&mut self, other: &Self) {
        self.fragments += other.fragments;
        self.whole += other.whole;
        self.covered += other.covered;
        self.left += other.left;
        for (&reason, n) in &other.refused {
            *self.refused.entry(reason).or_default() += n;
        }
    }

    /// Number of refusals.
    pub fn n_refused(&self) -> usize {
        self.refused.values().sum()
    }
}

/// Which atoms of an evaluated parent get a fragment.
#[derive(Clone, Copy, Debug)]
pub struct Harvest<'a> {
    /// The parent.
    pub parent: &'a Structure,
    /// Grades and projections of its atoms, or of the first of them where the others are ghosts.
    pub found: &'a Evaluation,
    /// Names by which atoms and their ghosts are known to be the same; none if there are no ghosts.
    pub names: Option<&'a [i64]>,
    /// Atoms whose grade Γ is above this are selected.
    pub threshold: f64,
    /// Largest number of atoms tried.
    pub max: usize,
}

impl Harvest<'_> {
    /// Goes through the selected atoms, largest grade first: has a fragment made, hands it over,
    /// and lets the target's environment enter the set at once, so that the like of it is not cut
    /// again.
    ///
    /// An atom is passed over if the grade with what was learned is no longer above the threshold,
    /// if a fragment handed over has it, frozen, with the descriptors that it has in the parent, or
    /// if it is frozen and closer than half the cutoff to the fragment's target: the two are one
    /// target. `make` gets the set and the atom; `each` sees refusals too. Counts are added to `tally`.
    ///
    /// **Errors**: those of `make`, `each` and the active set, which keeps what it had learned.
    pub fn run(
        &self,
        model: &Model,
        set: &mut Arc<ActiveSet>,
        tally: &mut Tally,
        mut make: impl FnMut(&Arc<ActiveSet>, usize) -> Result<Outcome>,
        mut each: impl FnMut(&Target, &Outcome) -> Result<()>,
    ) -> Result<()> {
        let found = self.found;
        let width = model.layout().projection_len();
        if found.projections.len() != found.grade.len() * width {
            return Err(Error::invalid(
                "fragments are wanted but the projections of the parent are missing; ask for projections along with the grades",
            ));
        }
        let mut selected: Vec<usize> = (0..found.grade.len())
            .filter(|&i| found.grade[i] > self.threshold)
            .collect();
        selected.sort_by_key(|&i| (Reverse(rank(found.grade[i])), self.name(i)));
        let mut covered: HashSet<i64> = HashSet::new();
        let (mut tried, mut learned) = (0, false);
        for (done, &atom) in selected.iter().enumerate() {
            let row = &found.projections[atom * width..][..width];
            let t = model.types_of(&self.parent.elements[atom..=atom])?[0] as usize;
            let known = learned
                && set
                    .grade_rows(t, row)?
                    .first()
                    .is_some_and(|grade| grade.total <= self.threshold);
            if known || covered.contains(&self.name(atom)) {
                tally.covered += 1;
                continue;
            }
            if tried == self.max {
                tally.left += selected.len() - done;
                break;
            }
            tried += 1;
            let outcome = make(set, atom)?;
            let target = Target {
                atom,
                grade: found.grade[atom],
                gamma: found.gamma[atom],
                rho: found.rho[atom],
            };
            each(&target, &outcome)?;
            match &outcome {
                Outcome::Fragment(fragment) => {
                    tally.fragments += 1;
                    for index in spoken_for(fragment, model.cutoff())? {
                        covered.insert(self.name(index));
                    }
                }
                Outcome::WholeParent { .. } => {
                    tally.whole += 1;
                    covered.extend((0..self.parent.len()).map(|index| self.name(index)));
                }
                Outcome::Refused { reason } => {
                    *tally.refused.entry(reason.kind()).or_default() += 1;
                    continue;
                }
            }
            Arc::make_mut(set).extend(t, row, None)?;
            learned = true;
        }
        Ok(())
    }

    fn name(&self, atom: usize) -> i64 {
        self.names.map_or(atom as i64, |names| names[atom])
    }
}

/// A grade's place in the order of service: steps of 1e-7 of the grade, so that rounding does not
/// decide; the names of the atoms decide between equals.
pub(crate) fn rank(grade: f64) -> i64 {
    (grade.ln() * 1e7).round() as i64
}

/// Atoms of the parent that need no fragment of their own.
pub(crate) fn spoken_for(fragment: &Fragment, cutoff: f64) -> Result<Vec<usize>> {
    let s = &fragment.structure;
    let near = NeighborList::build(&s.cell, &s.positions, 0.5 * cutoff)?;
    let mut merged = vec![false; s.len()];
    for (j, _) in near.of(fragment.target) {
        merged[j] = true;
    }
    let frozen = (0..s.len()).filter(|&i| fragment.core[i]);
    Ok(frozen
        .filter(|&i| merged[i] || fragment.faithful[i])
        .filter_map(|i| fragment.parent_index[i])
        .collect())
}

/// Fragments around the atoms of a structure whose grade is above a threshold, see [`Harvest::run`];
/// the calculator's active set learns the targets.
///
/// **Errors**: [`Error::InvalidArgument`] without an active set; those of [`extract`] and of `each`.
pub fn harvest(
    calculator: &mut Calculator,
    parent: &Structure,
    threshold: f64,
    max: usize,
    options: &FragmentOptions,
    each: impl FnMut(&Target, &Outcome) -> Result<()>,
) -> Result<Tally> {
    let found = calculator
        .compute(parent, Request::GRADES | Request::PROJECTIONS)?
        .clone();
    let Some(mut set) = calculator.active_set().cloned() else {
        return Err(Error::invalid(
            "fragments are wanted without an active set; set one first",
        ));
    };
    let model = Arc::clone(calculator.model());
    let selection = Harvest {
        parent,
        found: &found,
        names: None,
        threshold,
        max,
    };
    let make = |set: &Arc<ActiveSet>, atom: usize| {
        calculator.set_active_set(Some(Arc::clone(set)))?;
        // The calculator must not hold the set while it learns: a copy of megabytes each time.
        let made = extract(calculator, parent, atom, options);
        calculator.set_active_set(None)?;
        made
    };
    let mut tally = Tally::default();
    let done = selection.run(&model, &mut set, &mut tally, make, each);
    calculator.set_active_set(Some(set))?;
    done.map(|()| tally)
}
