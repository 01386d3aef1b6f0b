//! `select`: the structures that teach a model most.

use super::{
    DEVIATIONS, calculator, check_output, give_posterior, in_frame, read_frames, shown,
    write_deviations,
};
use crate::cli::SelectArgs;
use crate::output::Output;
use nepal::{BackendKind, Calculator, Error, Frame, Request, Result};
use nepal_loop::campaign::{Event, SelectConfig, select_structures_on};
use serde_json::json;
use std::process::ExitCode;

/// Chooses structures by the gain that they bring to the active set, best first.
pub fn run(args: &SelectArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let mut calculator = calculator(&args.model, Some(&args.active_set))?;
    let mut frames = read_frames(&args.structures)?;
    let deviates = give_posterior(&mut calculator, args.posterior.as_deref(), output)?;
    for (index, frame) in frames.iter_mut().enumerate() {
        // An element that the model lacks must be named with its frame.
        calculator
            .model()
            .types_of(&frame.structure.elements)
            .map_err(|e| in_frame(&args.structures, index, e))?;
        if deviates {
            calculator
                .compute(&frame.structure, DEVIATIONS)
                .map_err(|e| in_frame(&args.structures, index, e))?;
            write_deviations(frame, &calculator);
        }
    }
    let model = calculator.model().clone();
    let set = calculator
        .active_set()
        .ok_or_else(|| Error::invalid("select needs an active set"))?
        .clone();
    let reference = match &args.reference {
        Some(path) => read_frames(path)?,
        None => Vec::new(),
    };
    let options = SelectConfig {
        method: args.method,
        max_structures: args.max,
        cost_exponent: args.cost_exponent,
        duplicate: args.duplicate,
        ..SelectConfig::default()
    };
    let mut backend = args
        .model
        .backend
        .parse::<BackendKind>()?
        .create_with(args.model.precision.parse()?)?;
    let (chosen, left_out) = select_structures_on(
        backend.volume()?,
        (&model, &set),
        &frames,
        &reference,
        &options,
        args.threshold,
        args.seed,
    )
    .map_err(|e| e.within(&shown(&args.structures)))?;
    let mut selected = Vec::new();
    for choice in &chosen {
        let index = choice.structure;
        let mut frame = frames[index].clone();
        let results = calculator
            .compute(&frame.structure, Request::GRADES)
            .map_err(|e| in_frame(&args.structures, index, e))?;
        frame.set_real_column("gamma", 1, results.gamma.clone());
        frame.set_real_column("rho", 1, results.rho.clone());
        frame
            .info
            .insert("grade".into(), format!("{}", choice.grade));
        frame.info.insert("frame".into(), format!("{}", index + 1));
        selected.push(frame);
    }
    nepal::system::xyz::write_frames(&args.out, &selected)?;
    if chosen.is_empty() {
        output.event(Event::Info(why_none(
            &mut calculator,
            &frames,
            args.threshold,
        )?));
    }
    let mut text = String::from("frame  atom     grade      score\n");
    for choice in &chosen {
        text.push_str(&format!(
            "{:>5} {:>5} {:>9.3} {:>10.4}\n",
            choice.structure + 1,
            choice.atom,
            choice.grade,
            choice.score
        ));
    }
    for (why, count) in &left_out {
        text.push_str(&format!("left out: {count} x {why}\n"));
    }
    text.push_str(&format!(
        "{} of {} structures chosen ({} grade) -> {}",
        chosen.len(),
        frames.len(),
        set.kind(),
        args.out.display()
    ));
    let data: Vec<_> = chosen
        .iter()
        .map(|c| json!({ "frame": c.structure + 1, "atom": c.atom, "grade": c.grade, "score": c.score }))
        .collect();
    output.result(
        "select",
        &text,
        json!({ "out": shown(&args.out), "chosen": data, "left_out": left_out }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Why nothing was chosen: nothing new, or the method wants none of what is.
fn why_none(calculator: &mut Calculator, frames: &[Frame], threshold: f64) -> Result<String> {
    let (mut above, mut largest) = (0, 0.0f64);
    for frame in frames {
        let results = calculator.compute(&frame.structure, Request::GRADES)?;
        let grade = results.grade.iter().copied().fold(0.0, f64::max);
        largest = largest.max(grade);
        above += usize::from(grade > threshold);
    }
    Ok(if above == 0 {
        format!(
            "no structure has an atom above grade {threshold} (the largest is {largest:.3}); \
             --threshold takes less"
        )
    } else {
        format!(
            "{above} structure(s) have an atom above grade {threshold} (the largest is {largest:.3}), \
             but the method chose none of them; another --method or --max may"
        )
    })
}
