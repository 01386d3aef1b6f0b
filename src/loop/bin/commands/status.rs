//! `status`: how far a campaign is, once or as a live view.

use super::shown;
use crate::cli::StatusArgs;
use crate::output::Output;
use nepal::Result;
use nepal_loop::campaign::stop::Range;
use nepal_loop::campaign::{RoundRecord, Status};
use serde_json::json;
use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two looks whether to stop.
const NAP: Duration = Duration::from_millis(100);

/// Tells how far a campaign is; with `--watch` again and again until it ends.
pub fn run(args: &StatusArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = match super::campaign::load(&args.campaign, output)? {
        Ok(campaign) => campaign,
        Err(code) => return Ok(code),
    };
    let stop = super::stop_flag();
    loop {
        let status = campaign.status()?;
        let mut text = text(&status);
        if args.watch.is_some() && std::io::stdout().is_terminal() {
            text.insert_str(0, crate::output::CLEAR);
        }
        let mut data = data(&status);
        data["directory"] = json!(shown(campaign.directory()));
        output.result("status", &text, data);
        let Some(seconds) = args.watch else { break };
        let next = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(NAP);
        }
        if status.ended.is_some() || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn data(status: &Status) -> serde_json::Value {
    let rounds: Vec<_> = status
        .rounds
        .iter()
        .map(|round| {
            json!({
                "round": round.round, "labels": round.labels, "training": round.training,
                "explore": round.explore.iter().map(|e| json!({
                    "name": e.name, "steps": e.steps, "planned": e.planned, "finished": e.finished,
                    "max_grade": e.max_grade, "candidates": e.candidates, "breaks": e.breaks,
                })).collect::<Vec<_>>(),
                "selected": round.selection.as_ref().map(|s| s.selected.len()),
                "stop": round.stop,
            })
        })
        .collect();
    let mut value = json!(status);
    value["rounds"] = json!(rounds);
    value
}

fn text(status: &Status) -> String {
    let mut text = format!("{}\n", status.title);
    if status.rounds.is_empty() && !status.running {
        text.push_str("not started\n");
    }
    if let Some(live) = status.live.as_ref().filter(|_| status.running) {
        let _ = write!(text, "now     round {}, {}", live.round, live.step);
        if live.total > 0 {
            let _ = write!(
                text,
                "  {} {} {}/{}",
                bar(live.done as f64 / live.total as f64),
                live.what,
                live.done,
                live.total
            );
        }
        if let Some(left) = status.step_seconds_left {
            let _ = write!(text, ", {} left", time(left));
        }
        let _ = writeln!(text, "  {}", live.detail);
    }
    let labels = status.labels;
    if labels.done + labels.queued + labels.running > 0 {
        let _ = writeln!(
            text,
            "labels  {} done, {} with the scheduler, {} to submit, {} rejected; {:.3} core hours",
            labels.done, labels.running, labels.queued, labels.rejected, status.spent.core_hours
        );
    }
    if labels.runs > 0 {
        let _ = writeln!(text, "runs    {} with the scheduler", labels.runs);
    }
    for pause in &status.paused {
        let _ = writeln!(
            text,
            "paused  {} since round {}: {}; `nepal-loop resume` ends that",
            pause.scenario, pause.round, pause.reason
        );
    }
    if let Some(share) = status.extrapolating {
        let _ = writeln!(
            text,
            "ground  {:.2} % of the last round's steps extrapolated",
            100.0 * share
        );
    }
    if let Some(range) = status.to_go {
        let _ = write!(
            text,
            "to go   {} labels {}",
            between(range, |n| format!("{n:.0}")),
            status.to_go_text
        );
        if let Some(seconds) = status.seconds_left {
            let _ = write!(text, ", {}", between(seconds, time));
        }
        text.push('\n');
    }
    if status.to_go.is_none() && status.ended.is_none() && !status.to_go_text.is_empty() {
        let _ = writeln!(text, "to go   no forecast yet {}", status.to_go_text);
    }
    for rule in &status.rules {
        let mark = match rule.held {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let goal = if rule.goal { "goal" } else { "" };
        let _ = writeln!(
            text,
            "rule    {:<14} {mark:<3} {goal:<4}  {}",
            rule.rule.to_string(),
            rule.text
        );
    }
    if !status.rounds.is_empty() {
        let _ = writeln!(
            text,
            "\nround  labels  rejected  train meV/atom  meV/Å  test meV/atom  meV/Å  max grade  kept  chosen"
        );
    }
    for round in &status.rounds {
        text.push_str(&row(round));
    }
    let state = match (&status.ended, status.running) {
        (Some(why), _) => why.as_str(),
        (None, true) => "running",
        (None, false) if labels.running + labels.runs > 0 => {
            "jobs are out: collect them with `nepal-loop run` or `nepal-loop step`"
        }
        (None, false) => "not finished: continue with `nepal-loop run`",
    };
    let _ = writeln!(text, "{state}");
    text
}

/// A bar of twenty characters.
fn bar(share: f64) -> String {
    let full = (20.0 * share.clamp(0.0, 1.0)) as usize;
    format!("[{}{}]", "=".repeat(full), " ".repeat(20 - full))
}

/// Seconds for people.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86400.0),
    }
}

/// A forecast with its range.
fn between(range: Range, show: impl Fn(f64) -> String) -> String {
    let tell = |x: Option<f64>| x.map_or_else(|| "out of reach".to_owned(), &show);
    format!(
        "{} ({} to {})",
        tell(range.value),
        tell(range.low),
        tell(range.high)
    )
}

/// Numbers of a round, in the columns of the table.
fn row(round: &RoundRecord) -> String {
    let error = |e: Option<&nepal_train::Errors>| match e {
        None => format!("{:>14} {:>6}", "-", "-"),
        Some(e) => format!(
            "{:>14.2} {:>6.1}",
            1e3 * e.energy_rmse.unwrap_or(f64::NAN),
            1e3 * e.force_rmse.unwrap_or(f64::NAN)
        ),
    };
    let training = round.training.as_ref();
    let grade = round
        .explore
        .iter()
        .map(|e| e.max_grade)
        .fold(0.0, f64::max);
    let (kept, chosen) = round
        .selection
        .as_ref()
        .map_or((0, 0), |s| (s.candidates, s.selected.len()));
    format!(
        "{:>5}  {:>6}  {:>8}  {}  {} {:>10.2} {:>5} {:>7}\n",
        round.round,
        round.labels.accepted,
        round.labels.rejected.values().sum::<usize>(),
        error(training.map(|t| &t.train)),
        error(training.and_then(|t| t.test.as_ref())),
        grade,
        kept,
        chosen
    )
}
