//! `fragment`: small periodic cells around atoms that leave known ground.

use super::{calculator, in_frame, read_frames};
use crate::cli::FragmentArgs;
use crate::output::Output;
use nepal::campaign::{Event, describe_fragment};
use nepal::fragment::{FragmentOptions, Outcome, extract, to_frame};
use nepal::{Request, Result};
use serde_json::json;
use std::process::ExitCode;

/// Cuts one fragment a frame; what cannot be cut is refused with a reason.
pub fn run(args: &FragmentArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let mut calculator = calculator(&args.model, Some(&args.active_set))?;
    let frames = read_frames(&args.structures)?;
    let options = FragmentOptions {
        n_max: args.max_atoms,
        optimise: !args.no_optimise,
        ..FragmentOptions::default()
    };
    let mut fragments = Vec::new();
    let mut rows = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let here = |e| in_frame(&args.structures, index, e);
        output.event(Event::Progress {
            what: "fragments".into(),
            done: index as u64,
            total: frames.len() as u64,
            detail: String::new(),
        });
        let grades = calculator
            .compute(&frame.structure, Request::GRADES)
            .map_err(here)?
            .grade
            .clone();
        let worst = (0..grades.len()).max_by(|&a, &b| grades[a].total_cmp(&grades[b]));
        let target = match (args.atom, worst) {
            (Some(atom), _) => atom,
            (None, Some(atom)) if grades[atom] > args.threshold => atom,
            (None, _) => {
                rows.push((index, None, "no atom is above the threshold".to_owned()));
                continue;
            }
        };
        let text =
            match extract(&mut calculator, &frame.structure, target, &options).map_err(here)? {
                Outcome::Fragment(cut) => {
                    let mut out = to_frame(&cut);
                    out.info
                        .insert("parent_frame".into(), (index + 1).to_string());
                    fragments.push(out);
                    describe_fragment(&cut.report)
                }
                Outcome::WholeParent { reason } => {
                    let mut out = nepal::Frame::new(frame.structure.clone());
                    out.info
                        .insert("parent_frame".into(), (index + 1).to_string());
                    fragments.push(out);
                    format!("whole cell: {reason}")
                }
                Outcome::Refused { reason } => format!("refused: {reason}"),
            };
        rows.push((index, Some(target), text));
    }
    nepal::system::xyz::write_frames(&args.out, &fragments)?;
    let mut text = String::new();
    for (index, target, what) in &rows {
        let atom = target.map_or_else(|| "-".into(), |a| a.to_string());
        text.push_str(&format!("frame {:>4}  atom {atom:>5}  {what}\n", index + 1));
    }
    text.push_str(&format!(
        "{} of {} frames -> {}",
        fragments.len(),
        frames.len(),
        args.out.display()
    ));
    let data: Vec<_> = rows
        .iter()
        .map(|(index, atom, what)| json!({ "frame": index + 1, "atom": atom, "result": what }))
        .collect();
    output.result(
        "fragment",
        &text,
        json!({ "out": args.out, "frames": data }),
    );
    Ok(ExitCode::SUCCESS)
}
