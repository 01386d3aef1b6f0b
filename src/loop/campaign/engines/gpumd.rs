//! GPUMD: `model.xyz` and `run.in` in, `extrapolation_dump.xyz` out. Its grades are those of the public
//! form, so that its active set is an `.asi` file.

use super::{EngineRun, Found, thinned};
use crate::explore::Anisotropy;
use crate::label::Ending;
use nepal::error::{Error, Result};
use nepal::system::{Frame, xyz};

/// What is used where the user has no `run.in`.
pub(super) const INPUT: &str = "\
@POTENTIAL@
velocity @TEMPERATURE@
time_step @TIMESTEP_FS@
@GRADES@
@ENSEMBLE@
dump_thermo 100
run @STEPS@
";
/// Status of a GPUMD that ended itself, above `gamma_high` among other reasons.
const ENDED_ITSELF: i32 = 1;

/// Writes what GPUMD reads; gives its arguments.
pub(super) fn prepare(run: &EngineRun<'_>) -> Result<Vec<String>> {
    let mut start = Frame::new(run.start.clone());
    for r in &mut start.structure.positions {
        *r = run.start.cell.wrap(*r);
    }
    xyz::write_frames(run.folder.join("model.xyz"), &[start])?;
    run.write_input("run.in", &placeholders(run))?;
    Ok(Vec::new())
}

/// Reads what GPUMD left.
pub(super) fn collect(run: &EngineRun<'_>, ending: Ending) -> Result<Found> {
    let path = run.folder.join("extrapolation_dump.xyz");
    let frames = if path.exists() {
        xyz::read_frames(&path)?
    } else {
        Vec::new()
    };
    let good = ending == Ending::Exited(0);
    let stepped_out = ending == Ending::Exited(ENDED_ITSELF);
    let mut largest: f64 = 0.0;
    let mut kept = Vec::new();
    for (number, mut frame) in frames.into_iter().enumerate() {
        let grades = frame
            .real_column("gamma")
            .map(|c| c.0.to_vec())
            .ok_or_else(|| {
                Error::Failed(format!(
                    "{}, frame {}: expected a column gamma; found none",
                    path.display(),
                    number + 1
                ))
            })?;
        let grade = grades.iter().copied().fold(0.0, f64::max);
        largest = largest.max(grade);
        frame.columns.clear();
        frame.set_real_column("grade", 1, grades);
        frame.info.clear();
        let mut note = |key: &str, value: String| {
            frame.info.insert(key.into(), value);
        };
        // The dump does not tell the step; frames are at least an interval apart.
        let step = (number + 1) * run.grade.every;
        note("step", step.to_string());
        note("grade", grade.to_string());
        note("temperature", format!("{:.1}", run.temperature[1]));
        kept.push((number * run.grade.spacing, frame));
    }
    let broke = stepped_out && largest > run.grade.break_;
    if !good && !broke && kept.is_empty() {
        return Err(run.never_started(ending));
    }
    Ok(Found {
        candidates: thinned(kept, run.grade.spacing),
        trace: vec![[
            run.steps as f64,
            run.temperature[1],
            run.pressure[1],
            largest,
            0.0,
            largest,
        ]],
        steps: if good { run.steps } else { 0 },
        finished: good,
        breaks: usize::from(!good),
    })
}

fn placeholders(run: &EngineRun<'_>) -> Vec<(&'static str, String)> {
    let g = run.grade;
    let grades = format!(
        "compute_extrapolation asi_file active_set.asi gamma_low {} gamma_high {} check_interval {} dump_interval {}",
        g.save, g.break_, g.every, g.spacing
    );
    let ([t0, t1], [p0, p1]) = (run.temperature, run.pressure);
    let ensemble = match run.scenario.ensemble.as_str() {
        "nve" => "ensemble nve".to_owned(),
        "langevin" => format!("ensemble nvt_lan {t0} {t1} 100"),
        "npt" => format!(
            "ensemble npt_mttk temp {t0} {t1} {} {p0} {p1}",
            match run.scenario.anisotropic {
                Anisotropy::Shape => "iso",
                Anisotropy::Axes => "aniso",
                Anisotropy::Full => "tri",
            }
        ),
        _ => format!("ensemble nvt_bdp {t0} {t1} 100"),
    };
    let dispersion = match &run.dftd3 {
        Some(words) => format!("\ndftd3 {words}"),
        None => String::new(),
    };
    vec![
        ("POTENTIAL", format!("potential nep.txt{dispersion}")),
        ("GRADES", grades),
        ("ENSEMBLE", ensemble),
        ("TIMESTEP_FS", (1e3 * run.scenario.timestep).to_string()),
        ("PRESSURE", p0.to_string()),
        ("PRESSURE_END", p1.to_string()),
    ]
}
