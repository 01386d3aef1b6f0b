//! `fragment`: small periodic cells around atoms that leave known ground.

use super::{calculator, check_output, in_frame, read_frames, shown};
use crate::cli::FragmentArgs;
use crate::output::Output;
use nepal::fragment::{
    FragmentOptions, Mode, Origin, Outcome, Tally, Target, extract, harvest, minimum_distances,
    to_frame, whole_to_frame,
};
use nepal::{Calculator, Frame, Request, Result};
use nepal_loop::campaign::Event;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::process::ExitCode;

/// What came of one target.
struct Row {
    frame: usize,
    target: Target,
    text: String,
}

/// Cuts the fragments that the frames are worth; what cannot be cut is refused with a reason.
pub fn run(args: &FragmentArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let mut calculator = calculator(&args.model, Some(&args.active_set))?;
    let frames = read_frames(&args.structures)?;
    let options = options(args)?;
    let mut fragments = Vec::new();
    let mut rows = Vec::new();
    let mut tally = Tally::default();
    let mut charged = 0;
    for (index, frame) in frames.iter().enumerate() {
        output.event(Event::Progress {
            what: "fragments".into(),
            done: index as u64,
            total: frames.len() as u64,
            detail: String::new(),
        });
        let origin = Origin {
            parent_frame: Some(index),
            parent_hash: Some(hash(frame)),
            step: ["step", "timestep", "Step", "Timestep"]
                .iter()
                .find_map(|key| frame.info.get(*key)?.parse().ok()),
            grade: None,
        };
        let each = |target: &Target, outcome: &Outcome| {
            let origin = Origin {
                grade: Some(target.grade),
                ..origin.clone()
            };
            match outcome {
                Outcome::Fragment(cut) => {
                    charged += usize::from(cut.report.neutrality.left != 0.0);
                    fragments.push(to_frame(cut, &origin));
                }
                Outcome::WholeParent { .. } => {
                    fragments.push(whole_to_frame(&frame.structure, target.atom, &origin));
                }
                Outcome::Refused { .. } => {}
            }
            rows.push(Row {
                frame: index,
                target: *target,
                text: outcome.to_string(),
            });
            Ok(())
        };
        let done = match args.atom {
            Some(atom) => one(&mut calculator, frame, atom, &options, each),
            None => harvest(
                &mut calculator,
                &frame.structure,
                args.threshold,
                args.max_per_frame,
                &options,
                each,
            ),
        };
        tally.add(&done.map_err(|e| in_frame(&args.structures, index, e))?);
    }
    nepal::system::xyz::write_frames(&args.out, &fragments)?;
    if charged > 0 {
        output.event(Event::Warning(format!(
            "{charged} fragments have a formal charge (their key fragment_charge): label them with that total charge"
        )));
    }
    let mut text = String::new();
    for row in &rows {
        text.push_str(&format!(
            "frame {:>4}  atom {:>5}  grade {:>8.2}  {}\n",
            row.frame, row.target.atom, row.target.grade, row.text
        ));
    }
    text.push_str(&summary(&tally, frames.len()));
    text.push_str(&format!(" -> {}", args.out.display()));
    let data: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "frame": row.frame,
                "atom": row.target.atom,
                "grade": row.target.grade,
                "result": row.text,
            })
        })
        .collect();
    let counts = json!({
        "fragments": tally.fragments,
        "whole": tally.whole,
        "covered": tally.covered,
        "left": tally.left,
        "refused": tally.refused,
    });
    output.result(
        "fragment",
        &text,
        json!({ "out": shown(&args.out), "counts": counts, "targets": data }),
    );
    Ok(ExitCode::SUCCESS)
}

fn options(args: &FragmentArgs) -> Result<FragmentOptions> {
    let d_min = match &args.training {
        Some(path) => {
            let training = read_frames(path)?;
            Some(minimum_distances(training.iter().map(|f| &f.structure))?)
        }
        None => None,
    };
    let charges = (!args.charges.is_empty()).then(|| args.charges.iter().copied().collect());
    let options = FragmentOptions {
        mode: match args.mode {
            Mode::Tolerant(_) => Mode::Tolerant(args.tolerance),
            other => other,
        },
        n_max: args.max_atoms,
        optimise: !args.no_optimise,
        formal_charges: charges,
        allow_charge: args.allow_charge,
        keep_molecules: args.keep_molecules,
        d_min,
        seed: args.seed,
        ..FragmentOptions::default()
    };
    options.validate()?;
    Ok(options)
}

/// The fragment around an atom that the user named.
fn one(
    calculator: &mut Calculator,
    frame: &Frame,
    atom: usize,
    options: &FragmentOptions,
    mut each: impl FnMut(&Target, &Outcome) -> Result<()>,
) -> Result<Tally> {
    let outcome = extract(calculator, &frame.structure, atom, options)?;
    let found = calculator.compute(&frame.structure, Request::GRADES)?;
    let target = Target {
        atom,
        grade: found.grade[atom],
        gamma: found.gamma[atom],
        rho: found.rho[atom],
    };
    each(&target, &outcome)?;
    let mut tally = Tally::default();
    match outcome {
        Outcome::Fragment(_) => tally.fragments = 1,
        Outcome::WholeParent { .. } => tally.whole = 1,
        Outcome::Refused { reason } => {
            tally.refused.insert(reason.kind(), 1);
        }
    }
    Ok(tally)
}

/// The counts in a sentence.
fn summary(tally: &Tally, frames: usize) -> String {
    let mut text = format!("{} fragments from {frames} frames", tally.fragments);
    for (count, what) in [
        (tally.whole, "whole cells"),
        (tally.covered, "atoms covered by another fragment"),
        (tally.left, "atoms beyond the limit of a frame"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    for (reason, count) in &tally.refused {
        text.push_str(&format!(", {count} refused ({reason})"));
    }
    text
}

/// Hash of cell, elements and positions.
fn hash(frame: &Frame) -> String {
    let text = nepal::system::xyz::to_text(&Frame::new(frame.structure.clone()));
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
