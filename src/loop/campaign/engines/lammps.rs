//! LAMMPS: `pair_style nepal`, `fix pair` for the grade, a dump of what is above, a halt.

use super::dump::{self, Dumped, RELATIVE};
use super::{EngineRun, Found, POSTERIOR, thinned};
use crate::explore::ways::Stop;
use crate::explore::{Anisotropy, Way};
use crate::label::Ending;
use crate::label::lammps::{restricted, rotate};
use nepal::error::{Error, Result};
use nepal::system::{Frame, xyz};
use std::fmt::Write;

/// GPa in bar.
const BAR: f64 = 1e4;
/// What is used where the user has no input.
pub(super) const INPUT: &str = "\
units metal
atom_style atomic
@BOUNDARY@
read_data @DATA@
@POTENTIAL@
timestep @TIMESTEP@
velocity all create @TEMPERATURE@ @SEED@ mom yes rot yes dist gaussian
@ENSEMBLE@
thermo 100
@GRADES@
run @STEPS@
";

/// Writes what LAMMPS reads; gives its arguments.
pub(super) fn prepare(run: &EngineRun<'_>) -> Result<Vec<String>> {
    let folder = &run.folder;
    std::fs::write(folder.join("start.data"), data_file(run)?)
        .map_err(|e| Error::io("write", folder.join("start.data"), e))?;
    if run.engine.fragments {
        let path = folder.join("fragments");
        std::fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))?;
    }
    run.write_input("in.explore", &placeholders(run)?)?;
    Ok(["-in", "in.explore"].map(str::to_owned).into())
}

/// Reads what LAMMPS left.
pub(super) fn collect(run: &EngineRun<'_>, ending: Ending) -> Result<Found> {
    let trace = read_trace(run)?;
    if trace.is_empty() {
        return Err(run.never_started(ending));
    }
    let steps = trace.last().map_or(0, |p| p[0] as usize);
    let largest = trace.iter().map(|p| p[5]).fold(0.0, f64::max);
    let candidates = if run.engine.fragments {
        read_fragments(run)?
    } else {
        read_dump(run, &trace)?
    };
    let good = ending == Ending::Exited(0);
    let broke = largest > run.grade.break_ || !good;
    Ok(Found {
        candidates,
        trace,
        steps,
        finished: good && !broke,
        breaks: usize::from(broke),
    })
}

fn placeholders(run: &EngineRun<'_>) -> Result<Vec<(&'static str, String)>> {
    let (every, save, limit) = (run.grade.every, run.grade.save, run.grade.break_);
    let mut potential = String::new();
    if let Some(plugin) = &run.engine.plugin {
        let path = std::path::absolute(run.base.join(plugin))
            .map_err(|e| Error::io("find", run.base.join(plugin), e))?;
        if !path.exists() {
            return Err(Error::Failed(format!(
                "explore {}: engine.plugin: {} is not there; build it with bindings/lammps/build.sh",
                run.scenario.name,
                path.display()
            )));
        }
        let _ = writeln!(potential, "plugin load {}", path.display());
    }
    potential.push_str("pair_style nepal");
    if let Some(words) = &run.dftd3 {
        let _ = write!(potential, " dftd3 {words}");
    }
    let hal = match &run.scenario.way {
        Way::Hal(hal) => Some(hal),
        _ => None,
    };
    if hal.is_some() {
        let _ = write!(potential, " posterior {POSTERIOR}");
    }
    if run.engine.fragments {
        let _ = write!(
            potential,
            " every {every} save {save} fragments fragments max_atoms 300{}",
            if run.keep_molecules {
                " molecules yes"
            } else {
                ""
            }
        );
    }
    let _ = write!(
        potential,
        "\npair_coeff * * nep.txt active_set.asi {}",
        run.elements.join(" ")
    );
    if run.engine.fragments {
        // What cutting takes: three times the frozen core around an atom, and the skin.
        let ghosts = 3.0 * run.cutoff + 3.0;
        let _ = write!(potential, "\ncomm_modify cutoff {ghosts}");
    }
    // Before a thermostat, whose forces are none of the model's.
    if let Some(hal) = hal {
        let [tau, _] = hal.tau.ends();
        let history = hal.history;
        let _ = write!(
            potential,
            "\nfix nepal_bias all nepal/bias sigma {tau} relative {history}"
        );
    }
    let mut grades = format!(
        "fix nepal_grade all pair {every} nepal grade 1\n\
         compute nepal_worst all reduce max f_nepal_grade\n\
         compute nepal_temp all temp\n\
         compute nepal_press all pressure nepal_temp\n\
         fix nepal_trace all ave/time {every} 1 {every} c_nepal_temp c_nepal_press c_nepal_worst file grades.out format \" %.12g\"\n"
    );
    if !run.engine.fragments {
        let symbols: Vec<String> = run.elements.clone();
        let (mut known, mut column) = (format!("c_nepal_worst < {save}"), "");
        if let Some(hal) = hal {
            let (regulariser, tolerance) = (hal.regulariser, hal.tolerance);
            let _ = write!(
                grades,
                "fix nepal_sigma all pair {every} nepal sigma 1\n\
                 variable {RELATIVE} atom f_nepal_sigma/(sqrt(fx*fx+fy*fy+fz*fz)+{regulariser})\n\
                 compute nepal_f all reduce max v_{RELATIVE}\n\
                 fix nepal_know all ave/time {every} 1 {every} c_nepal_f\n"
            );
            if hal.stop == Stop::First {
                let _ = write!(
                    grades,
                    "variable nepal_unsure equal c_nepal_f\n\
                     fix nepal_found all halt {every} v_nepal_unsure > {tolerance} error soft message yes\n"
                );
            }
            let _ = write!(known, " && c_nepal_f <= {tolerance}");
            column = " v_nepal_f";
        }
        let _ = write!(
            grades,
            "variable nepal_none equal \"{known}\"\n\
             dump nepal_kept all custom {every} kept.dump id element xu yu zu f_nepal_grade{column}\n\
             dump_modify nepal_kept sort id element {} format float %.17g skip v_nepal_none\n",
            symbols.join(" ")
        );
    }
    let _ = write!(
        grades,
        "variable nepal_now equal c_nepal_worst\n\
         fix nepal_halt all halt {every} v_nepal_now > {limit} error soft message yes"
    );
    let [t0, t1] = run.temperature;
    let [p0, p1] = run.pressure.map(|p| p * BAR);
    let (dt, seed) = (run.scenario.timestep, 1 + run.seed % 899_999_999);
    let coupling = match run.scenario.anisotropic {
        Anisotropy::Shape => "iso",
        Anisotropy::Axes => "aniso",
        Anisotropy::Full => "tri",
    };
    let ensemble = match run.scenario.ensemble.as_str() {
        "nve" => "fix nepal_md all nve".to_owned(),
        "langevin" => {
            format!("fix nepal_md all nve\nfix nepal_bath all langevin {t0} {t1} 0.2 {seed}")
        }
        "npt" => format!("fix nepal_md all npt temp {t0} {t1} 0.1 {coupling} {p0} {p1} 1.0"),
        _ => format!("fix nepal_md all nve\nfix nepal_bath all temp/csvr {t0} {t1} 0.1 {seed}"),
    };
    let flags = run.start.cell.periodic().map(|p| if p { "p" } else { "f" });
    Ok(vec![
        ("POTENTIAL", potential),
        ("GRADES", grades),
        ("DATA", "start.data".into()),
        ("BOUNDARY", format!("boundary {}", flags.join(" "))),
        ("ENSEMBLE", ensemble),
        ("TIMESTEP", dt.to_string()),
        ("PRESSURE", p0.to_string()),
        ("PRESSURE_END", p1.to_string()),
    ])
}

/// The start as LAMMPS reads it, types in the order of the model's elements.
fn data_file(run: &EngineRun<'_>) -> Result<String> {
    let start = run.start;
    let ([a, b, c], turn) = restricted(start);
    let mut text = format!(
        "nepal\n\n{} atoms\n{} atom types\n\n0 {:.16} xlo xhi\n0 {:.16} ylo yhi\n0 {:.16} zlo zhi\n",
        start.len(),
        run.elements.len(),
        a[0],
        b[1],
        c[2]
    );
    // Only a box with tilts can tilt.
    let tilts = run.scenario.anisotropic == Anisotropy::Full;
    if tilts || b[0] != 0.0 || c[0] != 0.0 || c[1] != 0.0 {
        let _ = writeln!(text, "{:.16} {:.16} {:.16} xy xz yz", b[0], c[0], c[1]);
    }
    text.push_str("\nMasses\n\n");
    for (k, symbol) in run.elements.iter().enumerate() {
        let mass = nepal::element::Element::from_symbol(symbol)?.mass();
        let _ = writeln!(text, "{} {mass}", k + 1);
    }
    text.push_str("\nAtoms # atomic\n\n");
    for (i, (element, r)) in start.elements.iter().zip(&start.positions).enumerate() {
        let kind = run
            .elements
            .iter()
            .position(|s| s == element.symbol())
            .ok_or_else(|| {
                Error::invalid(format!(
                    "explore {}: the model does not know {}",
                    run.scenario.name,
                    element.symbol()
                ))
            })?;
        let r = rotate(start.cell.wrap(*r), &turn);
        let _ = writeln!(text, "{} {} {} {} {}", i + 1, kind + 1, r[0], r[1], r[2]);
    }
    Ok(text)
}

/// `grades.out` of `fix ave/time`: step, temperature, pressure (bar), largest grade.
fn read_trace(run: &EngineRun<'_>) -> Result<Vec<[f64; 6]>> {
    let path = run.folder.join("grades.out");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(Vec::new());
    };
    let mut trace = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let row: Vec<f64> = line
            .split_whitespace()
            .map_while(|w| w.parse().ok())
            .collect();
        // A last line that a killed program did not finish is no reason to lose the others.
        let [step, temperature, pressure, grade] = row[..] else {
            continue;
        };
        trace.push([step, temperature, pressure / BAR, grade, 0.0, grade]);
    }
    Ok(trace)
}

fn read_dump(run: &EngineRun<'_>, trace: &[[f64; 6]]) -> Result<Vec<Frame>> {
    let path = run.folder.join("kept.dump");
    let frames = if path.exists() {
        dump::read(&path)?
    } else {
        Vec::new()
    };
    let mut kept = Vec::new();
    for Dumped { step, mut frame } in frames {
        let grades = frame.real_column("grade").map(|c| c.0.to_vec());
        let largest = grades.unwrap_or_default().into_iter().fold(0.0, f64::max);
        let unsure = match (&run.scenario.way, frame.real_column(RELATIVE)) {
            (Way::Hal(hal), Some((f, _))) => f.iter().any(|f| *f > hal.tolerance),
            _ => false,
        };
        // The first frame is dumped whatever the grade, before `skip` is known.
        if !(largest >= run.grade.save || unsure) {
            continue;
        }
        let at = trace.iter().find(|p| p[0] as usize == step);
        let mut note = |key: &str, value: String| {
            frame.info.insert(key.into(), value);
        };
        note("step", step.to_string());
        note("grade", largest.to_string());
        note(
            "temperature",
            format!("{:.1}", at.map_or(f64::NAN, |p| p[1])),
        );
        kept.push((step, frame));
    }
    Ok(thinned(kept, run.grade.spacing))
}

/// The fragments that all ranks wrote.
fn read_fragments(run: &EngineRun<'_>) -> Result<Vec<Frame>> {
    let folder = run.folder.join("fragments");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(|e| Error::io("list", &folder, e))? {
        paths.push(entry.map_err(|e| Error::io("list", &folder, e))?.path());
    }
    paths.sort();
    let mut all = Vec::new();
    for path in paths
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "xyz"))
    {
        all.extend(xyz::read_frames(path)?);
    }
    // What ranks wrote in turn, in the order of the run.
    let number =
        |f: &Frame, key: &str| -> u64 { f.info.get(key).and_then(|v| v.parse().ok()).unwrap_or(0) };
    all.sort_by_key(|f| (number(f, "step"), number(f, "parent_atom")));
    for frame in &mut all {
        frame
            .info
            .insert("form".into(), "fragment of the run".into());
    }
    Ok(all)
}
