//! Scenarios that are paused: so many of their labels, or all of their runs, failed that they are left out of later
//! rounds, while the others go on.
//!
//! `paused.json` holds them. A pause counts from a round on and until another, so that rounds that are done stay as
//! they are, whatever is paused or resumed later.

use super::Campaign;
use super::config::Scenario;
use super::journal::{Journal, finished_steps};
use super::selection::Method;
use super::store::{ExploreRecord, read_if_there, read_json, write_json};
use crate::explore::Signal;
use crate::schedule::Queue;
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The step that found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PausedBy {
    /// Labelling: too many labels of the scenario were rejected. Its round's exploration is without it.
    Label,
    /// Exploration: no run came to anything. Later rounds are without it.
    Explore,
}

/// A paused scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Its name.
    pub scenario: String,
    /// The step that found out.
    pub by: PausedBy,
    /// That step's round.
    pub round: usize,
    /// Why, in words.
    pub reason: String,
    /// The first round that explores it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<usize>,
}

impl Pause {
    /// Whether a round explores without the scenario.
    pub fn holds(&self, round: usize) -> bool {
        let begun = match self.by {
            PausedBy::Label => round >= self.round,
            PausedBy::Explore => round > self.round,
        };
        begun && self.resumed.is_none_or(|until| round < until)
    }
}

/// What was asked for and rejected of the labels of a scenario, or of a source of first structures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Structures handed over.
    pub requested: usize,
    /// Those that were rejected, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, usize>,
}

impl Group {
    /// Fewer rejections than this are no reason for anything.
    const FEW: usize = 3;

    /// Whether more than this share was rejected.
    pub fn fails(&self, share: f64) -> bool {
        let rejected: usize = self.rejected.values().sum();
        rejected >= Self::FEW && rejected as f64 > share * self.requested as f64
    }

    /// How much was rejected and why, in words.
    pub fn text(&self) -> String {
        format!(
            "{} of {} labels were rejected: {}",
            self.rejected.values().sum::<usize>(),
            self.requested,
            super::store::reasons(&self.rejected)
        )
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.requested += other.requested;
        for (reason, n) in &other.rejected {
            super::store::count(&mut self.rejected, reason, *n);
        }
    }
}

impl Campaign {
    /// All pauses so far, also those that are over.
    ///
    /// **Errors**: [`Error::Failed`] for a damaged file.
    pub fn pauses(&self) -> Result<Vec<Pause>> {
        let path = self.directory.join("paused.json");
        if path.exists() {
            read_json(&path)
        } else {
            Ok(Vec::new())
        }
    }

    /// The scenarios of a round, in the order in which they joined the campaign, paused ones among them.
    ///
    /// One that came into the campaign file later takes part from the next round on: what is done stays as it is.
    pub(super) fn scenarios(&self, round: usize) -> Result<Vec<&Scenario>> {
        let joined = self.joined()?;
        let since = |s: &Scenario| joined.get(&s.name).copied().unwrap_or(0);
        let mut list: Vec<&Scenario> = self.config.explore.iter().collect();
        list.retain(|s| since(s) <= round);
        list.sort_by_key(|s| since(s));
        if list.is_empty() {
            // Those of the first rounds are in the file no more.
            list = self.config.explore.iter().collect();
        }
        Ok(list)
    }

    /// True if something of a round goes by deviations, which the model's posterior gives, or has a map of them.
    pub(super) fn needs_posterior(&self, round: usize) -> Result<bool> {
        let guided = self
            .scenarios(round)?
            .iter()
            .any(|s| s.way.goes_by(Signal::Sigma) || s.start.composition.is_some());
        Ok(guided || self.config.select.method == Method::Sigma)
    }

    /// True if a scenario of a round goes by a committee.
    pub(super) fn needs_committee(&self, round: usize) -> Result<bool> {
        let scenarios = self.scenarios(round)?;
        Ok(scenarios.iter().any(|s| s.way.goes_by(Signal::Committee)))
    }

    /// The round from which on each scenario takes part.
    fn joined(&self) -> Result<BTreeMap<String, usize>> {
        Ok(read_if_there(self.directory.join("scenarios.json"))?.unwrap_or_default())
    }

    /// Writes down from which round on each scenario takes part; gives those that are new to a campaign that has
    /// begun.
    pub(super) fn enrol(&self) -> Result<Vec<(String, usize)>> {
        let before = self.joined()?;
        let mut joined = before.clone();
        let mut next = self.next_exploration()?;
        // A longer budget goes on with another round.
        if let Some(ended) = self.outcome_record()?.filter(|o| o.rounds == next + 1)
            && !ended.converged
            && self.config.stop.max_rounds > ended.rounds
        {
            next += 1;
        }
        // A campaign of an older nepal has no list, but has explored.
        let first: Vec<ExploreRecord> = match before.is_empty() && next > 0 {
            true => read_json(&self.directory.join("round-00/explore.json"))?,
            false => Vec::new(),
        };
        let mut new = Vec::new();
        for scenario in &self.config.explore {
            if joined.contains_key(&scenario.name) {
                continue;
            }
            let was = |e: &ExploreRecord| self.config.scenario_of(&e.name) == scenario.name;
            let since = if first.iter().any(was) { 0 } else { next };
            joined.insert(scenario.name.clone(), since);
            if since > 0 {
                new.push((scenario.name.clone(), since));
            }
        }
        if joined != before {
            write_json(&self.directory.join("scenarios.json"), &joined)?;
        }
        Ok(new)
    }

    /// The next round to be explored; of a campaign that has ended the last one, once more.
    fn next_exploration(&self) -> Result<usize> {
        let done = finished_steps(&self.directory)?;
        let explored = |n: &usize| done.iter().any(|s| s.0 == format!("explore-{n:02}"));
        let next = (0..).take_while(explored).count();
        let mut out = false;
        for folder in self.queues() {
            out |= !Queue::open_in(&folder)?.is_empty();
        }
        let ended = self.outcome_record()?.is_some_and(|o| o.rounds == next) && !out;
        Ok(if ended { next.saturating_sub(1) } else { next })
    }

    /// The scenarios that a round explores, or why there is none.
    pub(super) fn active(&self, round: usize) -> Result<Vec<&Scenario>> {
        let pauses = self.pauses()?;
        let on = |s: &&Scenario| {
            !pauses
                .iter()
                .any(|p| p.scenario == s.name && p.holds(round))
        };
        let all = self.scenarios(round)?.into_iter();
        let active: Vec<&Scenario> = all.filter(on).collect();
        if active.is_empty() {
            let why: Vec<String> = pauses
                .iter()
                .filter(|p| p.holds(round))
                .map(|p| format!("{}: {}", p.scenario, p.reason))
                .collect();
            return Err(Error::Failed(format!(
                "all scenarios are paused; put right what failed, then `nepal-loop resume`. {}",
                why.join("; ")
            )));
        }
        Ok(active)
    }

    /// Writes down what a step found, in the place of what it found before: a pause that the user has ended stays so.
    pub(super) fn set_pauses(&self, by: PausedBy, round: usize, found: &[Pause]) -> Result<()> {
        let before = self.pauses()?;
        let mut pauses = before.clone();
        pauses.retain(|p| (p.by, p.round) != (by, round));
        for pause in found {
            let ended = |p: &&Pause| p.resumed.is_some() && **p == pause.ended(p.resumed);
            pauses.push(before.iter().find(ended).unwrap_or(pause).clone());
        }
        if pauses != before {
            write_json(&self.directory.join("paused.json"), &pauses)?;
        }
        Ok(())
    }

    /// Ends the pauses of some scenarios, or of all where none is named: the next round to be explored has them
    /// again; of a campaign that has ended the last round is explored again with them. Gives their names.
    ///
    /// **Errors**: [`Error::Failed`] if a driver works on the campaign, [`Error::InvalidArgument`] for a
    /// scenario that is not paused.
    pub fn resume(&self, names: &[String]) -> Result<Vec<String>> {
        let _lock = Journal::open(&self.directory)?;
        let until = self.next_exploration()?;
        let mut pauses = self.pauses()?;
        let mut resumed = Vec::new();
        for pause in pauses.iter_mut().filter(|p| p.resumed.is_none()) {
            if names.is_empty() || names.contains(&pause.scenario) {
                pause.resumed = Some(until);
                resumed.push(pause.scenario.clone());
            }
        }
        if let Some(wrong) = names.iter().find(|name| !resumed.contains(name)) {
            return Err(Error::invalid(format!("{wrong:?} is not paused")));
        }
        write_json(&self.directory.join("paused.json"), &pauses)?;
        Ok(resumed)
    }
}

impl Pause {
    fn ended(&self, resumed: Option<usize>) -> Self {
        Self {
            resumed,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_from_its_step_until_it_is_ended() {
        let mut pause = Pause {
            scenario: "a".into(),
            by: PausedBy::Label,
            round: 2,
            reason: "because".into(),
            resumed: None,
        };
        let holds = |p: &Pause| [1, 2, 3, 4].map(|round| p.holds(round));
        assert_eq!(holds(&pause), [false, true, true, true]);
        pause.by = PausedBy::Explore;
        assert_eq!(holds(&pause), [false, false, true, true]);
        pause.resumed = Some(4);
        assert_eq!(holds(&pause), [false, false, true, false]);
    }

    #[test]
    fn a_few_rejections_are_no_failure() {
        let group = |requested, rejected| Group {
            requested,
            rejected: [("why".to_owned(), rejected)].into(),
        };
        assert!(!group(2, 2).fails(0.1));
        assert!(!group(30, 3).fails(0.1));
        assert!(group(29, 3).fails(0.1));
    }
}
