//! One file a subcommand. A command reads files, makes one call of the library, and says what came of it.

pub mod active_set;
pub mod audit;
pub mod campaign;
pub mod cite;
pub mod doctor;
pub mod explore;
pub mod export;
pub mod fragment;
mod generators;
pub mod import;
pub mod init;
pub mod label;
mod methods;
pub mod predict;
pub mod report;
pub mod select;
pub mod shell;
pub mod status;
mod strategies;
pub mod study;
pub mod train;

pub use strategies::Strategy;

use crate::cli::{LabelKeyArgs, ModelArgs};
use crate::output::Output;
use nepal::{ActiveSet, Calculator, Error, Frame, Model, NeighborList, Request, Result};
use nepal_loop::campaign::{Event, Observer, SIGMA_COLUMN};
use nepal_loop::label::StopFlag;
use nepal_loop::label::baseline::Baseline;
use nepal_train::record::baseline_of;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A calculator as the command line asks for it, with an active set if there is one.
fn calculator(args: &ModelArgs, active_set: Option<&Path>) -> Result<Calculator> {
    let model = Arc::new(Model::load(&args.model)?);
    let (backend, precision) = (args.backend.parse()?, args.precision.parse()?);
    let mut calculator = Calculator::with_precision(Arc::clone(&model), backend, precision)?;
    if let Some(path) = active_set {
        calculator.set_active_set(Some(Arc::new(ActiveSet::load(path, &model)?)))?;
    }
    Ok(calculator)
}

/// Gives a calculator the posterior of a file, if there is one; says whether.
fn give_posterior(
    calculator: &mut Calculator,
    path: Option<&Path>,
    output: &mut dyn Output,
) -> Result<bool> {
    if let Some(path) = path {
        let posterior = nepal::posterior::Posterior::load(path, calculator.model())?;
        if let Some(note) = posterior.note() {
            output.event(Event::Warning(format!("{}: {note}", path.display())));
        }
        calculator.set_posterior(Some(Arc::new(posterior)))?;
    }
    Ok(path.is_some())
}

/// The baseline that a model's side file asks for.
fn side_baseline(path: &Path, model: &Model) -> Result<Baseline> {
    let record = baseline_of(path, model)?.ok_or_else(|| {
        Error::invalid(format!(
            "{}: the model was trained without a baseline; leave --add-baseline out",
            path.display()
        ))
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Baseline::of_record(&record, folder, &StopFlag::from(stop_flag()))
}

/// What a posterior gives.
const DEVIATIONS: Request = Request::SIGMA.union(Request::SIGMA_ENERGIES);

/// Writes the deviations of a calculator's last evaluation into a frame.
fn write_deviations(frame: &mut Frame, calculator: &Calculator) {
    let results = calculator.results();
    frame.set_real_column(SIGMA_COLUMN, 1, results.sigma.clone());
    let known = calculator
        .posterior()
        .zip(calculator.model().types_of(&frame.structure.elements).ok());
    if let Some((posterior, types)) = known {
        let wide = results.sigma.iter().zip(types);
        let wide = wide.map(|(s, t)| posterior.at_95(t as usize).unwrap_or(1.0) * s);
        frame.set_real_column("force_95", 1, wide.collect());
    }
    frame.set_real_column("energy_std", 1, results.sigma_energies.clone());
    let energy = results.sigma_energy.to_string();
    frame.info.insert("energy_std".into(), energy);
}

/// All frames of a file that must not be empty.
fn read_frames(path: &Path) -> Result<Vec<Frame>> {
    let frames = not_empty(path, nepal_loop::formats::read_frames(path)?)?;
    check_cells(path, &frames)?;
    Ok(frames)
}

/// The same for frames whose labels are used: those under other keys are found, and what is odd about
/// them is told. Labels that are no numbers pass, since training names all of them.
fn read_labelled(path: &Path, keys: &LabelKeyArgs, output: &mut dyn Output) -> Result<Vec<Frame>> {
    let reader = nepal_loop::formats::open(path)?.with_doubtful_labels();
    let mut frames = not_empty(path, reader.collect::<Result<_>>()?)?;
    let place = path.display();
    let told = nepal::system::xyz::resolve(&mut frames, &keys.keys())
        .map_err(|e| Error::Failed(format!("{place}: {e}")))?;
    for text in told.used {
        output.event(Event::Info(format!("{place}: {text}")));
    }
    for text in told.doubts {
        output.event(Event::Warning(format!("{place}: {text}")));
    }
    Ok(frames)
}

/// A path as JSON can hold it: also one that is not UTF-8.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A time limit in minutes, as an option gives it.
fn minutes(option: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(60.0 * value)
        .ok()
        .filter(|limit| !limit.is_zero() && limit.as_secs() < 10_000_000_000)
        .ok_or_else(|| {
            Error::invalid(format!(
                "{option} is {value:?}; expected a positive number of minutes, up to 1e8"
            ))
        })
}

/// Refuses an output file that cannot be made, before anything is computed for it. Its folder is made.
fn check_output(path: &Path) -> Result<()> {
    check_writable(path)?;
    if named_twice(path) {
        return Err(Error::invalid(format!(
            "{} is named twice on the command line, and what is in it would be lost; give each output a file of its own",
            path.display()
        )));
    }
    Ok(())
}

/// The same for a file beside an output, which may replace an input of an earlier run.
fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| ".".as_ref());
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    if path.is_dir() {
        return Err(Error::invalid(format!(
            "{} is a folder; expected the name of a file to write",
            path.display()
        )));
    }
    nepal::files::sweep(folder, 0);
    // Devices and FIFOs are written as they come.
    match path.is_file() || !path.exists() {
        true => nepal::files::Replacement::new(path).map(drop),
        false => Ok(()),
    }
}

/// Whether another argument, an input or an output, is the file that is to be written.
fn named_twice(path: &Path) -> bool {
    let file = |path: &Path| match path.canonicalize() {
        Ok(there) if there.is_file() => Some(there),
        Ok(_) => None,
        Err(_) => std::path::absolute(path).ok(),
    };
    let Some(own) = file(path) else { return false };
    let arguments = std::env::args_os().skip(1);
    let same = |argument: &std::ffi::OsString| {
        let text = argument.to_string_lossy();
        let value = text
            .starts_with("--")
            .then(|| text.split_once('='))
            .flatten();
        let named = value.map_or(Path::new(argument), |(_, value)| Path::new(value));
        file(named).is_some_and(|other| other == own)
    };
    arguments.filter(same).count() > 1
}

/// Names the frame of a cell in which no model finds its way, before anything is computed.
fn check_cells(path: &Path, frames: &[Frame]) -> Result<()> {
    // What the density of a cell allows hardly depends on a model's cutoff.
    const CUTOFF: f64 = 6.0;
    for (index, frame) in frames.iter().enumerate() {
        NeighborList::check_density(&frame.structure.cell, frame.len(), CUTOFF)
            .map_err(|e| in_frame(path, index, e))?;
    }
    Ok(())
}

fn not_empty(path: &Path, frames: Vec<Frame>) -> Result<Vec<Frame>> {
    if frames.iter().all(|frame| frame.is_empty()) {
        let found = match frames.len() {
            0 => "an empty file".to_owned(),
            n => format!("{n} without any atom"),
        };
        return Err(Error::invalid(format!(
            "{}: expected at least one structure, found {found}",
            path.display()
        )));
    }
    Ok(frames)
}

/// Adds the file and the frame (counted from 1) to an error about a structure.
fn in_frame(path: &Path, frame: usize, error: Error) -> Error {
    Error::Failed(format!("{}, frame {}: {error}", path.display(), frame + 1))
}

/// The flag that Ctrl-C raises: the first asks to stop at a safe point, the second ends the program.
fn stop_flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    Arc::clone(FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = Arc::clone(&flag);
        // Without a handler Ctrl-C simply ends the program, which the journal survives as well.
        let _ = ctrlc::set_handler(move || {
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
        flag
    }))
}

/// Hands the library's events to the output.
struct Listener<'a> {
    output: &'a mut dyn Output,
    stop: Arc<AtomicBool>,
}

impl<'a> Listener<'a> {
    fn new(output: &'a mut dyn Output) -> Self {
        Self {
            output,
            stop: stop_flag(),
        }
    }
}

impl Observer for Listener<'_> {
    fn event(&mut self, event: Event) {
        self.output.event(event);
    }

    fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}
