//! The rounds of a campaign: label, train, grade, explore, select, until a stop rule holds.

use super::event::{Event, Observer};
use super::exploring::explore_step;
use super::journal::{Journal, hash_file, hash_json};
use super::labelling::label_step;
use super::stop::{StopRecord, judge_step};
use super::store::{ExploreRecord, SelectionRecord, read_json, round_folder, write_json};
use super::training::train_step;
use super::{Campaign, Interrupted, Outcome, finish, selection, sources};
use nepal::error::{Error, Result};
use nepal::system::xyz;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A step in hand: where its round is and what it may use.
pub(super) struct Context<'a> {
    pub campaign: &'a Campaign,
    pub round: usize,
}

impl Context<'_> {
    /// A file of this round.
    pub fn path(&self, name: &str) -> PathBuf {
        self.campaign.directory.join(self.relative(name))
    }

    /// The same, relative to the campaign's directory.
    pub fn relative(&self, name: &str) -> String {
        format!("{}/{name}", round_folder(self.round))
    }

    pub fn of(&self, round: usize) -> Context<'_> {
        Context {
            campaign: self.campaign,
            round,
        }
    }
}

/// Runs or continues a campaign.
pub(super) fn run(
    campaign: &Campaign,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<std::result::Result<Outcome, Interrupted>> {
    let stop = &campaign.config.stop;
    prepare(campaign, journal, observer)?;
    let mut round = 0;
    let (reason, converged) = loop {
        let context = Context { campaign, round };
        for step in [
            label_step,
            train_step,
            explore_step,
            select_step,
            judge_step,
        ] {
            step(&context, journal, observer)?;
            if observer.stop_requested() {
                return Ok(Err(Interrupted::Asked));
            }
        }
        let explored: Vec<ExploreRecord> = read_json(&context.path("explore.json"))?;
        let chosen: SelectionRecord = read_json(&context.path("selection.json"))?;
        let worst = explored.iter().map(|e| e.max_grade).fold(0.0, f64::max);
        observer.event(Event::Info(format!(
            "explored {} steps, largest grade {worst:.2}, {} environments kept, {} chosen",
            explored.iter().map(|e| e.steps).sum::<usize>(),
            chosen.candidates,
            chosen.selected.len()
        )));
        let allowance = campaign.spent(round)?.allowance(&campaign.config);
        let judged: StopRecord = read_json(&context.path("stop.json"))?;
        round += 1;
        if let Some(reason) = judged.reached() {
            let paused = paused(campaign, round - 1)?;
            break (format!("{reason}{paused}"), paused.is_empty());
        }
        if round >= stop.max_rounds {
            break (format!("the budget of {round} rounds is used up"), false);
        }
        if let Some(limit) = allowance.limit {
            break (limit, false);
        }
        if chosen.selected.is_empty() && chosen.candidates > 0 {
            break (
                format!(
                    "exploration leaves known ground, but no candidate can be labelled: {}",
                    reasons(&chosen.refused)
                ),
                false,
            );
        }
    };
    finish::finish(campaign, journal, observer, round, reason, converged)
}

/// Which scenarios a round was without, as the end of a sentence.
fn paused(campaign: &Campaign, round: usize) -> Result<String> {
    let pauses = campaign.pauses()?;
    let names: Vec<&str> = pauses
        .iter()
        .filter(|p| p.holds(round))
        .map(|p| p.scenario.as_str())
        .collect();
    Ok(match names.is_empty() {
        true => String::new(),
        false => format!(
            "; but paused, and so not explored: {} (`nepal-loop resume`)",
            names.join(", ")
        ),
    })
}

/// Counts by reason, in words.
pub(super) fn reasons(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(why, n)| format!("{n} x {why}"))
        .collect();
    words.join("; ")
}

/// Announces a step and runs it if needed; whether it was.
pub(super) fn run_step(
    context: &Context<'_>,
    journal: &mut Journal,
    observer: &mut dyn Observer,
    name: &str,
    inputs: &impl Serialize,
    work: impl FnOnce(&mut dyn Observer) -> Result<Vec<String>>,
) -> Result<bool> {
    let inputs = hash_json(inputs);
    let step = format!("{name}-{:02}", context.round);
    observer.event(Event::Step {
        round: context.round,
        step: name.to_owned(),
        cached: journal.is_done(&step, &inputs),
    });
    journal.step(&step, &inputs, || work(observer))
}

/// Makes the structures of the first training set and of the test set.
fn prepare(campaign: &Campaign, journal: &mut Journal, observer: &mut dyn Observer) -> Result<()> {
    let context = Context { campaign, round: 0 };
    let config = &campaign.config;
    let files: Vec<String> = config
        .initial
        .iter()
        .chain(&config.test)
        .flat_map(|s| s.files())
        .map(|file| hash_file(&campaign.base.join(file)))
        .collect::<Result<_>>()?;
    let inputs = (&config.initial, &config.test, config.seed, files);
    run_step(&context, journal, observer, "prepare", &inputs, |_| {
        let mut outputs = Vec::new();
        for (name, list, tag) in [
            ("to-label.xyz", &config.initial, "initial"),
            ("to-label-test.xyz", &config.test, "test"),
        ] {
            let frames = sources::frames(list, &campaign.base, config.seed, tag)?;
            if let Some(folder) = context.path(name).parent() {
                std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
            }
            xyz::write_frames(context.path(name), &frames)?;
            outputs.push(context.relative(name));
        }
        Ok(outputs)
    })?;
    Ok(())
}

fn select_step(
    context: &Context<'_>,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<()> {
    let config = &context.campaign.config;
    let explored = (
        hash_file(&context.path("candidates.xyz"))?,
        hash_file(&context.path("active_set.asi"))?,
    );
    let allowance = context.campaign.spent(context.round)?.allowance(config);
    let most = config.select.max_structures.min(allowance.labels);
    let quotas: Vec<Option<usize>> = config.explore.iter().map(|s| s.quota).collect();
    let inputs = (
        explored,
        &config.select,
        &config.grade,
        config.seed,
        most,
        quotas,
    );
    run_step(context, journal, observer, "select", &inputs, |observer| {
        let (frames, record) = selection::select(context, most, observer)?;
        let next = context.of(context.round + 1);
        if let Some(folder) = next.path("to-label.xyz").parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        }
        xyz::write_frames(next.path("to-label.xyz"), &frames)?;
        write_json(&context.path("selection.json"), &record)?;
        Ok(vec![
            next.relative("to-label.xyz"),
            context.relative("selection.json"),
        ])
    })?;
    Ok(())
}
