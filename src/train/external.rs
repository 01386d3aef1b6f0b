//! GPUMD's own `nep` as the trainer, for those who have it: its inputs written, its progress followed,
//! its model taken.

use super::data;
use super::errors::{Errors, predict};
use super::nep_in::NepIn;
use super::outcome::{Progress, Record, Stop, Trained};
use super::output;
use super::restart::Restart;
use super::run::ProgressCallback;
use nepal::BackendKind;
use nepal::error::{Error, Result};
use nepal::files::write_atomically;
use nepal::model::{Model, Version, Zbl};
use nepal::system::{Cell, Frame, xyz};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Keywords of a `nep.in` that GPUMD knows and that make sense here; all others are ours.
const KEYWORDS: [&str; 27] = [
    "type",
    "version",
    "model_type",
    "mode",
    "cutoff",
    "n_max",
    "basis_size",
    "l_max",
    "neuron",
    "lambda_1",
    "lambda_2",
    "lambda_e",
    "lambda_f",
    "lambda_v",
    "lambda_shear",
    "force_delta",
    "type_weight",
    "batch",
    "population",
    "generation",
    "zbl",
    "use_typewise_cutoff_zbl",
    "initial_para",
    "sigma0",
    "save_potential",
    "output_interval",
    "import_q_scaler",
];
/// How often the program's files are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long a program that is to end may take to finish writing a model.
const PATIENCE: Duration = Duration::from_secs(5);
/// Generations of GPUMD when the settings do not say.
const GENERATIONS: usize = 100_000;
/// Empty space around a cluster, beyond the cutoff: GPUMD is periodic always.
const GAP: f64 = 1.0;

/// Options of [`train_with_gpumd`].
pub struct ExternalOptions<'a> {
    /// The program, with what stands before it.
    pub program: Vec<String>,
    /// Folder for its files; created if missing. A `nep.restart` of an earlier run in it is replaced.
    pub folder: PathBuf,
    /// Model to go on from.
    pub init: Option<&'a Model>,
    /// Wall clock after which the program is ended and its last model taken.
    pub budget: Option<Duration>,
    /// Called with each line of `loss.out`, and now and then between them; `Break` ends the program,
    /// and its last model is taken.
    pub progress: Option<&'a mut ProgressCallback<'a>>,
}

/// Trains with GPUMD's `nep`.
///
/// `nep_in` is the text of the settings, of which the keywords that GPUMD knows are handed on; frames
/// are checked as for our own training. The folder keeps everything the program wrote.
///
/// **Errors**: [`Error::Unsupported`] for what GPUMD cannot do (force masks, frames without energy or
/// forces, partly periodic cells, versions but 4); [`Error::Failed`] with the program's last words if
/// it cannot be started, fails, or leaves no model; [`Error::InvalidArgument`] for unusable frames.
pub fn train_with_gpumd(
    nep_in: &str,
    train: &[Frame],
    test: &[Frame],
    mut options: ExternalOptions<'_>,
) -> Result<Trained> {
    let config = NepIn::parse(nep_in, "nep.in")?;
    let start = Instant::now();
    let mut warnings = Vec::new();
    let folder = options.folder.clone();
    let text = settings(nep_in, &config)?;
    let header = config.header();
    let mut sets = Vec::new();
    for (frames, name) in [(train, "training"), (test, "test")] {
        let samples = data::prepare_by(&header, frames, name, config.bad_data, &mut warnings)?;
        let used: Result<Vec<Frame>> = samples
            .iter()
            .map(|s| {
                let mut frame = frames[s.frame].clone();
                if s.virial.is_none() {
                    frame.virial = None;
                }
                suited(&frame, &config)
                    .map_err(|e| Error::Unsupported(format!("{name} frame {}: {e}", s.frame + 1)))
            })
            .collect();
        sets.push(used?);
    }
    if sets[0].is_empty() {
        return Err(Error::invalid("no training frame can be used"));
    }
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
    for stale in ["loss.out", "nep.txt", "nep.restart", "test.xyz", "zbl.in"] {
        let path = folder.join(stale);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", path, e));
            }
            _ => {}
        }
    }
    write_atomically(&folder.join("nep.in"), text.as_bytes())?;
    xyz::write_frames(folder.join("train.xyz"), &sets[0])?;
    if !sets[1].is_empty() {
        xyz::write_frames(folder.join("test.xyz"), &sets[1])?;
    }
    if let Some(Zbl::Flexible(rows)) = &config.zbl {
        let rows: String = rows.iter().map(|r| row(r)).collect();
        write_atomically(&folder.join("zbl.in"), rows.as_bytes())?;
    }
    if let Some(model) = options.init {
        Restart::of_model(model, &sets[0])?.save(folder.join("nep.restart"))?;
    }
    let generations = generations(nep_in);
    let (model, history, stop) = follow(&mut options, generations, start)?;
    let (train_predictions, test_predictions) = (
        predict(&model, train, BackendKind::Cpu)?,
        predict(&model, test, BackendKind::Cpu)?,
    );
    Ok(Trained {
        train: Errors::of(&train_predictions, train),
        test: (!test.is_empty()).then(|| Errors::of(&test_predictions, test)),
        train_predictions,
        test_predictions,
        model,
        epochs: history.last().map_or(0, |r| r.epoch),
        history,
        warnings,
        seconds: start.elapsed().as_secs_f64(),
        stop,
        device: None,
    })
}

fn row(values: &[f64]) -> String {
    let words: Vec<String> = values.iter().map(f64::to_string).collect();
    words.join(" ") + "\n"
}

/// The lines of the settings that GPUMD knows.
fn settings(nep_in: &str, config: &NepIn) -> Result<String> {
    if config.version != Version::Nep4 {
        return Err(Error::Unsupported(
            "GPUMD's nep trains version 4 only; set version 4 or train with nepal".into(),
        ));
    }
    let known = |line: &&str| {
        line.split_whitespace()
            .next()
            .is_some_and(|word| KEYWORDS.contains(&word))
    };
    let lines: Vec<&str> = nep_in.lines().filter(known).collect();
    Ok(lines.join("\n") + "\n")
}

fn generations(nep_in: &str) -> usize {
    let line = nep_in.lines().find_map(|l| {
        let mut words = l.split_whitespace();
        (words.next() == Some("generation")).then(|| words.next()?.parse().ok())?
    });
    line.unwrap_or(GENERATIONS)
}

/// The frame as GPUMD can read it, or why it cannot.
fn suited(frame: &Frame, config: &NepIn) -> std::result::Result<Frame, String> {
    if frame.energy.is_none() || frame.forces.is_none() {
        return Err("GPUMD needs energy and forces of every frame".into());
    }
    if let Some(mask) = &frame.force_mask
        && mask.iter().any(|&m| m != 1.0)
    {
        return Err(
            "GPUMD cannot leave the forces of single atoms out, as the mask asks; train with nepal"
                .into(),
        );
    }
    let mut out = Frame {
        force_mask: None,
        columns: Vec::new(),
        info: Default::default(),
        ..frame.clone()
    };
    let cell = &frame.structure.cell;
    match cell.periodic() {
        [true, true, true] => {}
        [false, false, false] => {
            let reach = 2.0 * GAP
                + match &config.cutoff {
                    nepal::model::Cutoff::PerType(rows) => {
                        rows.iter().map(|r| r[0]).fold(0.0, f64::max)
                    }
                    nepal::model::Cutoff::Uniform(rc)
                    | nepal::model::Cutoff::Typewise { global: rc, .. } => rc[0],
                };
            let lengths = std::array::from_fn(|a| {
                let of = frame.structure.positions.iter().map(|r| r[a]);
                let low = of.clone().fold(f64::INFINITY, f64::min);
                let high = of.fold(f64::NEG_INFINITY, f64::max);
                high - low + reach
            });
            out.structure.cell = Cell::orthorhombic(lengths).map_err(|e| e.to_string())?;
            // A cluster has a virial but no volume to speak of; GPUMD uses virials only.
        }
        _ => {
            return Err(
                "GPUMD is periodic in all directions, this frame in some; make it periodic with empty space".into(),
            );
        }
    }
    Ok(out)
}

/// Ends the program when the value goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, or not to be mended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the program and follows `loss.out`.
fn follow(
    options: &mut ExternalOptions<'_>,
    generations: usize,
    start: Instant,
) -> Result<(Model, Vec<Record>, Stop)> {
    let folder = &options.folder;
    let Some((program, words)) = options.program.split_first() else {
        return Err(Error::invalid("no program to train with; name GPUMD's nep"));
    };
    let log = folder.join("nep.log");
    let out = std::fs::File::create(&log).map_err(|e| Error::io("create", &log, e))?;
    let err = out.try_clone().map_err(|e| Error::io("write", &log, e))?;
    let child = Command::new(program)
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|e| Error::Failed(format!("cannot start {program:?} to train with: {e}")))?;
    let mut running = Running(child);
    let mut history: Vec<Record> = Vec::new();
    // The program replaces its model while it runs: the last whole one is kept.
    let mut last: Option<Model> = None;
    let stop = loop {
        let ended = running
            .0
            .try_wait()
            .map_err(|e| Error::Failed(format!("cannot watch {program:?}: {e}")))?;
        let lines = whole_lines(&folder.join("loss.out"));
        let grown = lines.len() > history.len();
        for mut record in lines.into_iter().skip(history.len()) {
            record.seconds = start.elapsed().as_secs_f64();
            history.push(record);
        }
        if grown && let Ok(model) = Model::load(folder.join("nep.txt")) {
            last = Some(model);
        }
        if let Some(status) = ended {
            if !status.success() {
                return Err(Error::Failed(format!(
                    "{program:?} failed ({status}); it said last: {}",
                    last_words(&log)
                )));
            }
            break Stop::Epochs;
        }
        let seconds = start.elapsed().as_secs_f64();
        if let (Some(progress), Some(record)) = (options.progress.as_mut(), history.last()) {
            let by_time = options
                .budget
                .map_or(0.0, |b| seconds / b.as_secs_f64().max(1e-9));
            let state = Progress {
                epoch: record.epoch,
                seconds,
                fraction: by_time
                    .max(record.epoch as f64 / generations.max(1) as f64)
                    .min(1.0),
                record: record.clone(),
            };
            if progress(&state).is_break() {
                break Stop::Caller;
            }
        }
        if options.budget.is_some_and(|b| start.elapsed() >= b) {
            break Stop::Budget;
        }
        std::thread::sleep(POLL);
    };
    // It may be in the middle of writing its first model.
    let patience = Instant::now() + PATIENCE;
    while stop != Stop::Epochs && last.is_none() && Instant::now() < patience {
        last = Model::load(folder.join("nep.txt")).ok();
        std::thread::sleep(POLL / 5);
    }
    drop(running);
    let model = match (Model::load(folder.join("nep.txt")), last) {
        (Ok(model), _) | (Err(_), Some(model)) => model,
        (Err(error), None) => {
            return Err(Error::Failed(format!(
                "{program:?} left no model ({error}); it said last: {}",
                last_words(&log)
            )));
        }
    };
    Ok((model, history, stop))
}

/// The complete lines of a `loss.out` that is being written.
fn whole_lines(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let numbers = |line: &str| -> Vec<f64> {
        let words = line.split_whitespace();
        words.map_while(|w| w.parse().ok()).collect()
    };
    whole
        .lines()
        .map(numbers)
        .filter(|row| output::LOSS.contains(&row.len()))
        .map(|row| output::record(&row))
        .collect()
}

/// The last lines of what a program said.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let tail = &lines[lines.len().saturating_sub(3)..];
    if tail.is_empty() {
        "nothing".to_owned()
    } else {
        tail.join(" | ")
    }
}
