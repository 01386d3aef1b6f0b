//! A function in Python: `start.xyz` in, `explored.xyz` out, one frame for each that the function yields. nepal grades
//! them, whatever calculator the function used.

use super::{EngineConfig, EngineRun, Found, thinned};
use crate::label::{Ending, python_function};
use crate::worker;
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::{Frame, xyz};
use nepal::{ActiveSet, BackendKind, Request};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the worker writes.
const EXPLORED: &str = "explored.xyz";

/// The file of the function, and how the worker calls it.
fn function(engine: &EngineConfig) -> Result<(PathBuf, String)> {
    python_function(&engine.function).map_err(|e| Error::invalid(format!("engine: function {e}")))
}

/// The text of the function's file and its name: what a run depends on.
pub(super) fn source(engine: &EngineConfig, base: &Path) -> Result<String> {
    let (file, name) = function(engine)?;
    let path = base.join(file);
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    Ok(format!("{name}\n{text}"))
}

/// Writes what the worker reads; gives its arguments.
pub(super) fn prepare(run: &EngineRun<'_>) -> Result<Vec<String>> {
    let (file, name) = function(run.engine)?;
    let from = run.base.join(&file);
    let to = run.folder.join(file.file_name().unwrap_or_default());
    std::fs::copy(&from, to).map_err(|e| Error::io("copy", &from, e))?;
    xyz::write_frames(
        run.folder.join("start.xyz"),
        &[Frame::new(run.start.clone())],
    )?;
    let told = json!({
        "scenario": run.scenario.name, "temperature": run.temperature, "pressure": run.pressure,
        "steps": run.steps, "timestep": run.scenario.timestep, "seed": run.seed,
        "save": run.grade.save, "halt": run.grade.break_, "every": run.grade.every,
        "model": "nep.txt", "active_set": "active_set.asi", "values": run.engine.values,
    });
    Ok(["-c", worker::EXPLORE, "explore", &name, &told.to_string()]
        .map(str::to_owned)
        .into())
}

/// Grades what the function yielded.
pub(super) fn collect(run: &EngineRun<'_>, ending: Ending) -> Result<Found> {
    let path = run.folder.join(EXPLORED);
    let frames = whole_frames(&path)?;
    let good = ending == Ending::Exited(0);
    if frames.is_empty() && !good {
        return Err(run.never_started(ending));
    }
    let model = Arc::new(Model::load(&run.model)?);
    let set = Arc::new(ActiveSet::load(&run.active_set, &model)?);
    let mut calculator = Calculator::new(model, BackendKind::Cpu)?;
    calculator.set_active_set(Some(set))?;
    let (mut kept, mut trace) = (Vec::new(), Vec::new());
    let mut broken = BTreeSet::new();
    for (number, mut frame) in frames.into_iter().enumerate() {
        let walk = frame.info.get("walk").cloned().unwrap_or_default();
        if broken.contains(&walk) {
            continue;
        }
        let results = calculator
            .compute(&frame.structure, Request::GRADES)
            .map_err(|e| Error::Failed(format!("{}, frame {}: {e}", path.display(), number + 1)))?;
        let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let grade = largest(&results.grade);
        let (gamma, rho) = (largest(&results.gamma), largest(&results.rho));
        frame.columns.clear();
        frame.set_real_column("grade", 1, results.grade.clone());
        let told = |key: &str| frame.info.get(key).and_then(|v| v.parse::<f64>().ok());
        let step = told("step").unwrap_or(number as f64).max(0.0);
        let temperature = told("temperature").unwrap_or(run.temperature[1]);
        frame.info.insert("grade".into(), grade.to_string());
        frame
            .info
            .insert("temperature".into(), temperature.to_string());
        trace.push([step, temperature, run.pressure[1], gamma, rho, grade]);
        if grade > run.grade.break_ {
            broken.insert(walk);
        }
        if grade > run.grade.save {
            kept.push((step as usize, frame));
        }
    }
    // Walks begin anew at step 0; what is thinned is each of them alone.
    let mut candidates = Vec::new();
    for one in kept.chunk_by(|a, b| a.0 <= b.0) {
        candidates.extend(thinned(one.to_vec(), run.grade.spacing));
    }
    Ok(Found {
        candidates,
        steps: trace.iter().map(|p| p[0] as usize).max().unwrap_or(0),
        finished: good && broken.is_empty(),
        breaks: broken.len() + usize::from(!good),
        trace,
    })
}

/// The frames of a file whose last one may have been cut off.
fn whole_frames(path: &Path) -> Result<Vec<Frame>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut frames = Vec::new();
    for frame in xyz::open(path)? {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(_) if !frames.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(frames)
}
