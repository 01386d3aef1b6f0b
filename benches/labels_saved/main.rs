//! What labels cost that teach a model the defects and the melt of a large cell: whole cells, naive
//! cuts, clusters in vacuum, fragments.
//!
//!     cargo bench --bench labels_saved -- --cache DIR --out rows.tsv
//!
//! The truth is the Stillinger–Weber potential. A small network that knows the crystal only is
//! trained on with the labels of each way to cut; its error is that of the forces on unknown atoms
//! of cells that nobody has labelled.

mod cut;
mod world;

use nepal::{
    ActiveSet, BackendKind, Calculator, Error, Frame, Model, Potential, Request, Result, Structure,
};
use nepal_loop::label::StillingerWeber;
use nepal_train::{NepIn, TrainOptions, train};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The network: small, the same for all.
const NETWORK: &str = "type 1 Si\ncutoff 5 4\nn_max 5 4\nbasis_size 8 8\nl_max 4 0 0\nneuron 16\n";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    let number = |name: &str, default: usize| -> usize {
        value(name).and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let cache = PathBuf::from(value("--cache").unwrap_or_else(|| "target/labels_saved".into()));
    std::fs::create_dir_all(&cache)
        .map_err(|e| Error::Failed(format!("{}: {e}", cache.display())))?;
    let most = number("--targets", 64);
    let steps = number("--steps", 2000);
    let whole_steps = number("--whole-steps", 3 * steps);
    let seeds: Vec<u64> = (1..=number("--seeds", 1) as u64).collect();
    let ways = value("--ways")
        .unwrap_or_else(|| "fragments,faithful,unmasked,naive,clusters,small,whole".into());
    let sizes: Vec<usize> = value("--sizes")
        .unwrap_or_else(|| "4,16,64".into())
        .split(',')
        .filter_map(|v| v.parse().ok())
        .collect();
    let config = NepIn::parse(NETWORK, "network")?;
    let base = labelled_all(&world::known(&cache)?)?;
    let start = start_model(&config, &base, steps, &cache)?;
    let set = world::active_set(&start, &base)?;
    let mut judge = Judge::new(
        &start,
        &set,
        &world::cells(&cache, "test", world::LARGE, 2, 100)?,
    )?;
    let parents = world::cells(&cache, "parent", world::LARGE, 2, 200)?;
    let cuts = cut::Cuts::new(&start, &set, &parents, most)?;
    eprintln!("{}", cuts.report);
    let mut report = |way: &str, labels: usize, frames: &[Frame], seed: u64| -> Result<()> {
        let steps = if way == "whole" { whole_steps } else { steps };
        let frames = labelled_all(frames)?;
        let model = if frames.is_empty() {
            Arc::clone(&start)
        } else {
            Arc::new(fine_tuned(&config, &start, &base, &frames, steps, seed)?)
        };
        let [unknown, all] = judge.errors(&model)?;
        let cost: f64 = frames.iter().map(|f| (f.len() as f64).powi(3)).sum();
        let atoms: usize = frames.iter().map(Frame::len).sum();
        let line = format!("{way}\t{labels}\t{atoms}\t{cost:.3e}\t{unknown:.4}\t{all:.4}\t{seed}");
        println!("{line}");
        if let Some(path) = value("--out") {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path);
            let written = file.and_then(|mut f| writeln!(f, "{line}"));
            written.map_err(|e| Error::Failed(format!("{path}: {e}")))?;
        }
        Ok(())
    };
    report("start", 0, &[], 0)?;
    for way in ways.split(',') {
        let mut choices: Vec<(usize, Vec<Frame>)> = Vec::new();
        if way == "whole" {
            choices.extend((1..=parents.len()).map(|n| (n, parents[..n].to_vec())));
        } else if way == "small" {
            let cells = world::cells(&cache, "small", world::SMALL, 16, 300)?;
            choices.extend([2, 4, 16].map(|n| (n, cells[..n].to_vec())));
        } else {
            for &n in sizes.iter().filter(|n| **n <= cuts.len()) {
                choices.push((n, cuts.of(way, n)?));
            }
        }
        for (n, frames) in &choices {
            for &seed in &seeds {
                report(way, *n, frames, seed)?;
            }
        }
    }
    Ok(())
}

/// Labels of the teacher; masks and weights stay.
fn labelled_all(frames: &[Frame]) -> Result<Vec<Frame>> {
    let mut teacher = StillingerWeber;
    frames
        .iter()
        .map(|frame| {
            let mut frame = frame.clone();
            let (energy, forces, virial) = teacher.energy_forces_virial(&frame.structure)?;
            frame.energy = Some(energy);
            frame.forces = Some(forces);
            let bulk = frame.structure.cell.periodic() == [true; 3] && frame.force_mask.is_none();
            frame.virial = bulk.then_some(virial);
            Ok(frame)
        })
        .collect()
}

/// The model that knows the crystal, trained once.
fn start_model(config: &NepIn, base: &[Frame], steps: usize, cache: &Path) -> Result<Arc<Model>> {
    let file = cache.join("start.nep");
    if !file.exists() {
        let options = TrainOptions {
            threads: Some(1),
            epochs: Some(2 * epochs(base, steps)),
            seed: 1,
            ..TrainOptions::default()
        };
        let trained = train(config, base, &[], options)?;
        eprintln!(
            "start: errors {:?}",
            trained.history.last().map(|r| r.train)
        );
        trained.model.save(&file)?;
    }
    Ok(Arc::new(Model::load(&file)?))
}

/// Trains on with new labels beside the old ones.
fn fine_tuned(
    config: &NepIn,
    start: &Model,
    base: &[Frame],
    new: &[Frame],
    steps: usize,
    seed: u64,
) -> Result<Model> {
    let frames: Vec<Frame> = base.iter().chain(new).cloned().collect();
    let options = TrainOptions {
        threads: Some(1),
        epochs: Some(epochs(&frames, steps)),
        seed,
        init: Some(start),
        ..TrainOptions::default()
    };
    let trained = train(config, &frames, &[], options)?;
    eprintln!(
        "  {} frames, {} epochs, {:.0} s, errors {:?}",
        frames.len(),
        trained.epochs,
        trained.seconds,
        trained.history.last().map(|r| r.train)
    );
    Ok(trained.model)
}

/// Epochs that make about so many steps of 256 atoms; a frame larger than that is one step.
fn epochs(frames: &[Frame], steps: usize) -> usize {
    let small: usize = frames.iter().map(Frame::len).filter(|n| *n < 256).sum();
    let large = frames.iter().filter(|f| f.len() >= 256).count();
    (steps / (small / 256 + large).max(1)).max(20)
}

/// Cells with known forces, and which of their atoms the start does not know.
struct Judge {
    cells: Vec<(Structure, Vec<[f64; 3]>, Vec<bool>)>,
}

impl Judge {
    fn new(model: &Arc<Model>, set: &Arc<ActiveSet>, cells: &[Frame]) -> Result<Self> {
        let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
        calculator.set_active_set(Some(Arc::clone(set)))?;
        let mut all = Vec::new();
        for frame in labelled_all(cells)? {
            let found = calculator.compute(&frame.structure, Request::GRADES)?;
            let unknown: Vec<bool> = found.grade.iter().map(|g| *g > 2.0).collect();
            eprintln!(
                "test cell: {} of {} atoms unknown",
                unknown.iter().filter(|u| **u).count(),
                frame.len()
            );
            let forces = frame.forces.unwrap_or_default();
            all.push((frame.structure, forces, unknown));
        }
        Ok(Self { cells: all })
    }

    /// Root mean square error of force components on unknown atoms and on all, eV/Å.
    fn errors(&mut self, model: &Arc<Model>) -> Result<[f64; 2]> {
        let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
        let mut sums = [[0.0; 2]; 2];
        for (structure, truth, unknown) in &self.cells {
            let found = calculator.compute(structure, Request::FORCES)?;
            for (i, (f, t)) in found.forces.iter().zip(truth).enumerate() {
                let square: f64 = (0..3).map(|a| (f[a] - t[a]).powi(2)).sum();
                for (k, counted) in [unknown[i], true].into_iter().enumerate() {
                    if counted {
                        sums[k][0] += square;
                        sums[k][1] += 3.0;
                    }
                }
            }
        }
        Ok(sums.map(|[square, n]| (square / n).sqrt()))
    }
}
