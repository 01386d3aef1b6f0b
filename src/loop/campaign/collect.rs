//! Collects what the report shows from the campaign's files.

mod errors;
mod methods;

pub(super) use errors::force_rms;

use super::journal::{finished_steps, hash_file};
use super::ledger::Spent;
use super::live::Live;
use super::report::{LedgerRow, Picture, ReportData, TestSet};
use super::store::{LabelRecord, RoundRecord, read_json, round_folder};
use super::{Campaign, cite, held_out};
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::{Frame, xyz};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Pictures on a page.
const MAX_PICTURES: usize = 24;

/// Everything that the report of a campaign shows, as far as it is.
pub(super) fn report_data(campaign: &Campaign) -> Result<ReportData> {
    let rounds = campaign.rounds()?;
    let Some((folder, train)) = newest_model(campaign, &rounds)? else {
        return Err(Error::Failed(format!(
            "{}: nothing to report before the first training; run the campaign first",
            campaign.directory.display()
        )));
    };
    let outcome = campaign.outcome_record()?;
    let model = Arc::new(Model::load(
        campaign.directory.join(&folder).join("nep.txt"),
    )?);
    let test = xyz::read_frames(campaign.directory.join(round_folder(0)).join("test.xyz"))?;
    let mut errors = errors::Errors::default();
    let mut parity = Vec::new();
    let held_out = match outcome.is_some() {
        true => held_out::frames(campaign)?,
        false => Vec::new(),
    };
    for (name, frames) in [
        ("training set", &train),
        ("held-out frames", &held_out),
        ("test set", &test),
    ] {
        parity.extend(errors.parity(campaign, &model, name, frames)?);
    }
    errors.of_new_labels(campaign, &rounds)?;
    let explored = |f: &&Frame| f.info.contains_key("scenario");
    let explored: Vec<Frame> = train.iter().filter(explored).cloned().collect();
    // Where the program is not installed, the campaign file tells what it was.
    let method = match campaign.labeller() {
        Ok(labeller) => [labeller.name().to_owned(), labeller.settings()],
        Err(_) => [
            "the method of the campaign file".to_owned(),
            toml::to_string(&campaign.config.label.method).unwrap_or_default(),
        ],
    };
    let steps: BTreeMap<String, f64> = finished_steps(&campaign.directory)?.into_iter().collect();
    let seconds = (0..rounds.len())
        .map(|round| {
            let of = |step: &str| {
                let seconds = steps.get(&format!("{step}-{round:02}"));
                seconds.copied().unwrap_or(0.0)
            };
            // Second looks are labels too.
            let labels = of("label") + of("doubts");
            [labels, of("train"), of("explore"), of("select")]
        })
        .collect();
    let validation = campaign.directory.join("final/validation.json");
    let grade = &campaign.config.grade;
    Ok(ReportData {
        title: campaign.config.title.clone(),
        written: date(SystemTime::now()),
        running: Live::read(&campaign.directory)
            .filter(Live::running)
            .map(|l| format!("round {}, {}", l.round, l.step)),
        reason: outcome.as_ref().map(|o| format!("Finished: {}.", o.reason)),
        converged: outcome.as_ref().is_some_and(|o| o.converged),
        facts: facts(campaign, &folder, &model, &method)?,
        thresholds: [grade.save, grade.break_],
        ways: (campaign.config.explore.iter())
            .map(|s| (s.name.clone(), s.way.name()))
            .collect(),
        seconds,
        total_seconds: steps.values().sum(),
        parity,
        test: (!test.is_empty()).then(|| TestSet {
            frames: test.len(),
            made_of: methods::sources(&campaign.config.test),
            force_rms: errors::force_rms(&test),
            explored_rms: errors::force_rms(&explored),
        }),
        breakdown: errors.breakdown(),
        atoms: errors.atoms,
        labelled_ground: explored.iter().filter_map(ground).collect(),
        methods: methods::paragraph(campaign, &rounds, &model, &method[0]),
        validation: if outcome.is_some() && validation.exists() {
            Some(read_json(&validation)?)
        } else {
            None
        },
        sources: sources(campaign, &rounds, &folder),
        ledger: ledger(campaign, &rounds)?,
        currency: campaign.config.budget.currency.clone(),
        target_force: campaign.config.stop.canary_force,
        gallery: gallery(campaign, &rounds)?,
        rounds,
    })
}

/// Folder of the newest model, relative to the campaign, and what it was trained on.
fn newest_model(
    campaign: &Campaign,
    rounds: &[RoundRecord],
) -> Result<Option<(PathBuf, Vec<Frame>)>> {
    let directory = &campaign.directory;
    if directory.join("final/outcome.json").exists() {
        let frames = xyz::read_frames(directory.join("final/train.xyz"))?;
        return Ok(Some(("final".into(), frames)));
    }
    let Some(last) = rounds.iter().rposition(|r| r.training.is_some()) else {
        return Ok(None);
    };
    let frames = super::training::training_frames(campaign, last)?;
    Ok(Some((round_folder(last).into(), frames)))
}

/// Temperature (K) and volume by atom (Å³) of a whole cell that exploration found.
fn ground(frame: &Frame) -> Option<(f64, f64)> {
    let cell = &frame.structure.cell;
    let whole = frame.force_mask.is_none() && cell.periodic() == [true; 3];
    let temperature = frame.info.get("temperature")?.parse().ok()?;
    whole.then(|| (temperature, cell.volume() / frame.len().max(1) as f64))
}

/// A moment as `YYYY-MM-DD hh:mm UTC`.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    // Years begin in March here, so that the leap day is their last; eras of 400 years are alike.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = 400 * era + year + next;
    format!(
        "{year}-{month:02}-{of_month:02} {:02}:{:02} UTC",
        minutes / 60,
        minutes % 60
    )
}

fn facts(
    campaign: &Campaign,
    folder: &std::path::Path,
    model: &Model,
    method: &[String; 2],
) -> Result<Vec<(String, String)>> {
    let config = &campaign.config;
    let file = campaign.directory.join(folder).join("nep.txt");
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact(
            "nepal",
            format!(
                "{}, commit {}",
                env!("CARGO_PKG_VERSION"),
                env!("NEPAL_COMMIT")
            ),
        ),
        fact("reference method", method.join("\n")),
        fact("model", config.model.nep_in.trim().to_owned()),
        fact(
            "size",
            format!(
                "{} parameters, descriptor of {} components, cutoff {} Å",
                model.parameters().len(),
                model.dim(),
                model.cutoff()
            ),
        ),
        fact(
            "dispersion",
            match &config.model.dftd3 {
                Some(d3) => format!(
                    "DFT-D3(BJ) {d3} on top of the model in all dynamics; labels, training and errors are without it, and so is the model file"
                ),
                None => "what labels have of it".to_owned(),
            },
        ),
        fact("model file, SHA-256", hash_file(&file)?),
        fact("grade", "ridge: Γ² = γ² + ρ²".to_owned()),
        fact(
            "thresholds",
            format!(
                "keep above {}, go back above {}",
                config.grade.save, config.grade.break_
            ),
        ),
        fact("paused", paused(campaign)?),
        fact("seed", config.seed.to_string()),
        fact("threads", campaign.threads().to_string()),
    ];
    if let Some(spec) = &config.model.baseline {
        // Where its program is not installed, the campaign file tells what it is.
        let told = match campaign.baseline() {
            Ok(Some(b)) => format!("{} ({})", b.record().method, b.needs()),
            _ => spec.clone(),
        };
        let told = format!("{told}: taken off the labels, so that whoever uses the model adds it");
        facts.insert(3, fact("baseline", told));
    }
    Ok(facts)
}

/// The scenarios that are paused and why.
fn paused(campaign: &Campaign) -> Result<String> {
    let pauses = campaign.pauses()?;
    let lines: Vec<String> = pauses
        .iter()
        .filter(|p| p.resumed.is_none())
        .map(|p| format!("{} since round {}: {}", p.scenario, p.round, p.reason))
        .collect();
    Ok(match lines.is_empty() {
        true => "no scenario".into(),
        false => lines.join("\n"),
    })
}

/// Labels and their cost by round.
fn ledger(campaign: &Campaign, rounds: &[RoundRecord]) -> Result<Vec<LedgerRow>> {
    let cores = campaign.label_cores().unwrap_or(1);
    let price = campaign.config.budget.price;
    let row = |round: usize, labels: &LabelRecord, atoms: usize| {
        let mut spent = Spent::default();
        spent.add(labels, cores, price);
        LedgerRow {
            round,
            requested: labels.requested,
            accepted: labels.accepted,
            rejected: labels.rejected.values().sum(),
            atoms,
            seconds: labels.seconds,
            core_hours: spent.core_hours,
            money: spent.money,
        }
    };
    let trained = |round: &RoundRecord| round.training.as_ref().map_or(0, |t| t.atoms);
    let mut rows: Vec<LedgerRow> = (rounds.iter().enumerate())
        .map(|(k, round)| {
            let before = k.checked_sub(1).map_or(0, |k| trained(&rounds[k]));
            row(
                round.round,
                &round.labels,
                trained(round).saturating_sub(before),
            )
        })
        .collect();
    if let Some(labels) = campaign.final_labels()? {
        let labelled = xyz::read_frames(campaign.directory.join("final/labelled.xyz"))?;
        rows.push(row(
            rounds.len(),
            &labels,
            labelled.iter().map(Frame::len).sum(),
        ));
    }
    Ok(rows)
}

/// Pictures of what exploration found: of each round the best ranked, as many as a page bears.
fn gallery(campaign: &Campaign, rounds: &[RoundRecord]) -> Result<Vec<Picture>> {
    let labelled: Vec<usize> = rounds.iter().map(|r| r.round).filter(|&n| n > 0).collect();
    let each = (MAX_PICTURES / labelled.len().max(1)).max(1);
    let stride = labelled.len().div_ceil(MAX_PICTURES).max(1);
    let mut pictures = Vec::new();
    for round in labelled.into_iter().step_by(stride) {
        let file = format!("{}/labelled.xyz", round_folder(round));
        let frames = xyz::read_frames(campaign.directory.join(&file))?;
        for (number, frame) in frames.into_iter().enumerate().take(each) {
            let info = |key: &str| frame.info.get(key).map_or("", String::as_str);
            let grade: f64 = info("target_grade").parse().unwrap_or(f64::NAN);
            let kind = if frame.force_mask.is_some() {
                "fragment"
            } else {
                "whole cell"
            };
            pictures.push(Picture {
                caption: format!(
                    "round {round}, {}, step {}: {kind} of {} atoms, Γ {grade:.2}",
                    info("scenario"),
                    info("step"),
                    frame.len()
                ),
                file: file.clone(),
                frame: number + 1,
                structure: frame,
            });
        }
    }
    Ok(pictures)
}

/// The files behind the numbers.
fn sources(
    campaign: &Campaign,
    rounds: &[RoundRecord],
    folder: &std::path::Path,
) -> Vec<(String, String)> {
    let mut list = vec![
        (
            "journal.jsonl".to_owned(),
            "every step with its inputs, outputs, hashes and seconds".to_owned(),
        ),
        (
            format!("{}/nep.txt", folder.display()),
            "the model".to_owned(),
        ),
        (
            format!("{}/active_set.asi", folder.display()),
            "its active set".to_owned(),
        ),
    ];
    for round in rounds {
        let name = round_folder(round.round);
        for (file, what) in [
            ("labelled.xyz", "labels"),
            ("training.json", "errors and loss"),
            ("explore.json", "grades along each run"),
            ("selection.json", "what was chosen and refused"),
            ("labels.json", "labels, rejections and seconds"),
            ("stop.json", "the stop rules"),
        ] {
            let path = format!("{name}/{file}");
            if campaign.directory.join(&path).exists() {
                list.push((path, format!("{what} of round {}", round.round)));
            }
        }
    }
    for (file, what) in [
        (
            "final/validation.json",
            "the comparison with the reference method",
        ),
        ("final/labelled.xyz", "labels that nothing was trained on"),
        (
            "final/labels.json",
            "labels, rejections and seconds of those",
        ),
        (
            "final/drawn.json",
            "the runs that held-out frames come from",
        ),
    ] {
        if campaign.directory.join(file).exists() {
            list.push((file.into(), what.into()));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_868_740), "2000-02-29 23:59 UTC");
        assert_eq!(at(951_868_800), "2000-03-01 00:00 UTC");
        assert_eq!(at(4_102_444_799), "2099-12-31 23:59 UTC");
    }
}
