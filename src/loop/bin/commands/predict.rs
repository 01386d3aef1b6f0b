//! `predict`: a model on structures.

use super::{
    DEVIATIONS, calculator, check_output, give_posterior, in_frame, shown, side_baseline,
    write_deviations,
};
use crate::cli::PredictArgs;
use crate::output::Output;
use nepal::backend::available;
use nepal::files::Replacement;
use nepal::model::Kind;
use nepal::{Error, Frame, Request, Result};
use nepal_loop::campaign::Event;
use nepal_train::conditions;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// Evaluates all frames of a file, one at a time, and writes them in the same order.
pub fn run(args: &PredictArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let mut calculator = calculator(&args.model, args.active_set.as_deref())?;
    calculator.set_dispersion(args.dftd3.clone())?;
    let features = Request::DESCRIPTORS | Request::NEURONS | Request::PROJECTIONS;
    let mut request = available(calculator.model()) - features - Request::VIRIALS;
    if args.active_set.is_some() {
        request |= Request::GRADES;
    }
    let deviates = give_posterior(&mut calculator, args.posterior.as_deref(), output)?;
    request.set(DEVIATIONS, deviates);
    let mut baseline = args
        .add_baseline
        .as_deref()
        .map(|path| side_baseline(path, calculator.model()))
        .transpose()?;
    let mut file = Replacement::new(&args.out)?;
    let (mut frames, mut atoms) = (0usize, 0usize);
    let mut worst = 0.0f64;
    let mut reader = nepal_loop::formats::open(&args.structures)?.peekable();
    while let Some(frame) = reader.next() {
        let (frame, index) = (frame?, frames);
        let mut predicted = predict(&mut calculator, &frame, request)
            .map_err(|e| in_frame(&args.structures, index, e))?;
        worst = calculator
            .results()
            .grade
            .iter()
            .copied()
            .fold(worst, f64::max);
        if let Some(baseline) = &mut baseline {
            baseline
                .add(std::slice::from_mut(&mut predicted))
                .map_err(|e| in_frame(&args.structures, index, e))?;
            predicted.info.insert("baseline".into(), "added".into());
        }
        file.write_all(nepal::system::xyz::to_text(&predicted).as_bytes())
            .map_err(|e| Error::io("write", &args.out, e))?;
        frames += 1;
        atoms += frame.len();
        output.event(Event::Progress {
            what: "frames".into(),
            done: frames as u64,
            // More than one that follows is not known of.
            total: (frames + usize::from(reader.peek().is_some())) as u64,
            detail: format!("{atoms} atoms"),
        });
    }
    if frames == 0 {
        return Err(Error::invalid(format!(
            "{}: expected at least one structure, found an empty file",
            args.structures.display()
        )));
    }
    file.commit()?;
    let set = calculator.active_set().map(|set| set.kind().to_string());
    let grade = set.as_ref().map_or_else(String::new, |kind| {
        format!(", largest grade {worst:.3} ({kind})")
    });
    output.result(
        "predict",
        &format!(
            "{frames} structures, {atoms} atoms -> {}{grade}",
            args.out.display()
        ),
        json!({ "structures": frames, "atoms": atoms, "out": shown(&args.out), "grade": set,
                "max_grade": calculator.active_set().map(|_| worst) }),
    );
    Ok(ExitCode::SUCCESS)
}

/// The frame with the model's results in place of any labels.
fn predict(calculator: &mut nepal::Calculator, frame: &Frame, request: Request) -> Result<Frame> {
    let kind = calculator.active_set().map(|set| set.kind().to_string());
    let model_kind = calculator.model().kind();
    calculator.set_conditions(conditions(frame, model_kind)?);
    let results = calculator.compute(&frame.structure, request)?;
    let mut out = Frame::new(frame.structure.clone());
    out.info = frame.info.clone();
    out.info.retain(|key, _| !is_result(key));
    out.columns = frame.columns.clone();
    out.columns.retain(|column| !is_result(&column.name));
    if model_kind.is_tensor() {
        let (name, whole, columns): (_, &[f64], _) = match model_kind {
            Kind::Dipole => (
                "dipole",
                &results.dipole,
                ("adipole", results.dipoles.as_flattened()),
            ),
            _ => {
                let shares = results.polarizabilities.as_flattened();
                ("pol", &results.polarizability, ("apol", shares))
            }
        };
        out.info.insert(name.into(), joined(whole));
        out.set_real_column(columns.0, whole.len(), columns.1.to_vec());
    } else {
        out.energy = Some(results.energy);
        out.forces = Some(results.forces.clone());
        out.virial = Some(results.virial);
        out.set_real_column("energies", 1, results.energies.clone());
    }
    if model_kind.electrostatics().is_some() {
        out.set_real_column("charges", 1, results.charges.clone());
        let born = results.born_charges.as_flattened();
        out.set_real_column("bec", 9, born.to_vec());
    }
    if let Some(kind) = kind {
        out.set_real_column("gamma", 1, results.gamma.clone());
        out.set_real_column("rho", 1, results.rho.clone());
        out.set_real_column("grade", 1, results.grade.clone());
        out.info.insert("grade_kind".into(), kind);
    }
    if request.contains(DEVIATIONS) {
        write_deviations(&mut out, calculator);
    }
    Ok(out)
}

/// Whether a name says what this command computes, or what readers of its output take for that: numbers of
/// the input under it belong to its labels or to another model.
fn is_result(name: &str) -> bool {
    const NAMES: [&str; 19] = [
        "stress",
        "stresses",
        "virials",
        "free_energy",
        "energy",
        "energies",
        "dipole",
        "adipole",
        "pol",
        "apol",
        "charges",
        "bec",
        "gamma",
        "rho",
        "grade",
        "grade_kind",
        "force_std",
        "force_95",
        "energy_std",
    ];
    NAMES.iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn joined(numbers: &[f64]) -> String {
    let words: Vec<String> = numbers.iter().map(f64::to_string).collect();
    words.join(" ")
}
