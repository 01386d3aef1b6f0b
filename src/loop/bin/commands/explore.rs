//! `explore`: dynamics with a model, keeping what it does not know.

use super::{
    DEVIATIONS, calculator, check_output, give_posterior, read_frames, shown, side_baseline,
    stop_flag, write_deviations,
};
use crate::cli::ExploreArgs;
use crate::output::Output;
use nepal::{Frame, Potential, Result};
use nepal_loop::campaign::{Event, candidate_frame, ensemble};
use nepal_loop::explore::{Anisotropy, ExploreOptions, MdOptions, Sum, committee, explore_with};
use serde_json::json;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Runs one exploration and writes what it kept.
pub fn run(args: &ExploreArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let mut calculator = calculator(&args.model, Some(&args.active_set))?;
    calculator.set_dispersion(args.dftd3.clone())?;
    let deviates = give_posterior(&mut calculator, args.posterior.as_deref(), output)?;
    let start = read_frames(&args.structure)?.swap_remove(0).structure;
    let options = ExploreOptions {
        md: MdOptions {
            ensemble: ensemble(&args.ensemble, Anisotropy::default()),
            temperature: (args.temperature[0], args.temperature[1]),
            pressure: (args.pressure[0], args.pressure[1]),
            timestep: args.timestep,
            steps: args.steps,
            seed: args.seed,
        },
        grade_every: args.every,
        save: args.save,
        break_: args.break_,
        learn: !args.no_learning,
        way: args.way.clone(),
        moves: args.moves,
        ..ExploreOptions::default()
    };
    let stop = stop_flag();
    let others = (args.committee.iter())
        .map(nepal::Model::load)
        .collect::<Result<Vec<_>>>()?;
    let mut others = committee::members(others, &calculator)?;
    for member in &mut others {
        member.set_dispersion(args.dftd3.clone())?;
    }
    let baseline = (args.add_baseline.as_deref())
        .map(|path| side_baseline(path, calculator.model()))
        .transpose()?;
    let baseline = baseline.map(|b| Box::new(b) as Box<dyn Potential>);
    let mut sum = Sum::new(calculator, baseline).with_committee(others);
    let found = explore_with(&mut sum, &start, &options, &mut |step, grade| {
        output.event(Event::Progress {
            what: "exploring".into(),
            done: step as u64,
            total: args.steps as u64,
            detail: format!("grade {grade:.2}"),
        });
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let first = found.trace.first().map_or(0.0, |p| p.max_grade);
    if first > args.break_ {
        output.event(Event::Warning(format!(
            "the start itself has grade {first:.3}, above --break {}: there is no safe frame to go back to; \
             label it first, or raise --break",
            args.break_
        )));
    }
    let mut frames: Vec<Frame> = found
        .candidates
        .iter()
        .map(|c| candidate_frame("explore", c))
        .collect();
    for frame in frames.iter_mut().filter(|_| deviates) {
        sum.model.compute(&frame.structure, DEVIATIONS)?;
        write_deviations(frame, &sum.model);
    }
    nepal::system::xyz::write_frames(&args.out, &frames)?;
    let worst = found.trace.iter().map(|p| p.max_grade).fold(0.0, f64::max);
    output.result(
        "explore",
        &format!(
            "{} of {} steps, {} breaks, largest grade {worst:.3}, {} environments kept -> {}",
            found.steps_done,
            args.steps,
            found.breaks,
            frames.len(),
            args.out.display()
        ),
        json!({ "out": shown(&args.out), "steps": found.steps_done, "breaks": found.breaks,
                "finished": found.finished, "max_grade": worst, "candidates": frames.len() }),
    );
    Ok(ExitCode::SUCCESS)
}
