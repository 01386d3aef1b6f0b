//! Which way to explore spends labels best: the same start, budget and trainer, worlds whose truth is cheap and known.
//!
//!     cargo bench --bench strategies -- --worlds silicon,hidden --ways dynamics,hal --seeds 3 --minutes 60
//!
//! Each cell (world, way, seed) is written to `--out` (JSON) when it is done, and not done again; `--minutes` starts no
//! cell after that time. `--table FILE` writes the table, and a plot beside it, of what is there. A curve is the force
//! error on the unknown, which are frames of the truth's own dynamics at the conditions of use, against labels spent.
//! The last model is kept in `--ends`; with it so many seeds of dynamics are tried there (`--stable-seeds`,
//! `--stable-steps`), once for each number of steps that is asked for.

mod results;
mod ways;
mod world;

use nepal::system::xyz;
use nepal::{
    BackendKind, Calculator, Error, Frame, Model, Potential, Precision, Request, Result, Structure,
};
use nepal_loop::explore::{
    Ensemble, ExploreOptions, GradedPotential, Grades, MdOptions, explore_with,
};
use nepal_train::{NepIn, TrainOptions, train};
use results::{Cell, Point, Results, Stability};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use ways::{STRATEGIES, Sizes, Student};
use world::World;

/// What one cell is given.
struct Plan {
    sizes: Sizes,
    initial: usize,
    labels: usize,
    epochs: usize,
    stable: (usize, usize),
    /// Where last models are kept.
    ends: PathBuf,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1).cloned()
    };
    let number = |name: &str, default: usize| -> Result<usize> {
        value(name).map_or(Ok(default), |v| {
            v.parse()
                .map_err(|_| Error::Failed(format!("{name}: expected a number, found {v:?}")))
        })
    };
    let all = |known: Vec<&str>| known.join(",");
    let worlds = value("--worlds").unwrap_or_else(|| all(world::NAMES.to_vec()));
    let ways = value("--ways").unwrap_or_else(|| all(STRATEGIES.iter().map(|s| s.0).collect()));
    if let Some(unknown) = ways
        .split(',')
        .find(|w| !STRATEGIES.iter().any(|s| s.0 == *w))
    {
        let known = all(STRATEGIES.iter().map(|s| s.0).collect());
        return Err(Error::Failed(format!(
            "--ways: {unknown:?} is none of {known}"
        )));
    }
    let cache = PathBuf::from(value("--cache").unwrap_or_else(|| "target/strategies".into()));
    std::fs::create_dir_all(&cache)
        .map_err(|e| Error::Failed(format!("{}: {e}", cache.display())))?;
    let ends = value("--ends").map_or_else(|| cache.join("ends"), PathBuf::from);
    std::fs::create_dir_all(&ends)
        .map_err(|e| Error::Failed(format!("{}: {e}", ends.display())))?;
    let out = value("--out").map_or_else(|| cache.join("results.json"), PathBuf::from);
    let mut results = Results::read(&out)?;
    let plan = Plan {
        sizes: Sizes {
            walkers: number("--walkers", 4)?,
            steps: number("--steps", 3000)?,
            batch: number("--batch", 5)?,
        },
        initial: number("--initial", 8)?,
        labels: number("--labels", 48)?,
        epochs: number("--epochs", 150)?,
        stable: (
            number("--stable-seeds", 20)?,
            number("--stable-steps", 200_000)?,
        ),
        ends,
    };
    let (seeds, minutes) = (
        number("--seeds", 3)? as u64,
        number("--minutes", usize::MAX)?,
    );
    let truth_steps = number("--truth-steps", 10_000)?;
    let began = Instant::now();
    // Seed by seed, so that what is there after any time compares all ways.
    for seed in 1..=seeds {
        for name in worlds.split(',') {
            let mut world = World::new(name)?;
            let unknown = unknown(&mut world, &cache, truth_steps)?;
            for way in ways.split(',') {
                let key = (name, way, seed);
                let end = plan.ends.join(format!("{name}-{way}-{seed}.txt"));
                let known = results.cell(key).is_some();
                let tried = results.cell(key).is_some_and(|c| c.tried(plan.stable));
                if tried {
                    continue;
                }
                if began.elapsed().as_secs() / 60 >= minutes as u64 {
                    eprintln!("the time is over; the same command goes on");
                    return finish(&results, value("--table"));
                }
                if !known || !end.exists() {
                    let (cell, model) = cell(&mut world, way, seed, &unknown, &plan)?;
                    nepal::files::write_atomically(&end, model.to_text().as_bytes())?;
                    results.set(cell);
                    results.write(&out)?;
                }
                let stability = stability(&world, Model::load(&end)?, plan.stable, seed)?;
                eprintln!("{name} {way} {seed}: {stability:?}");
                results.add_stability(key, stability);
                results.write(&out)?;
            }
        }
    }
    finish(&results, value("--table"))
}

fn finish(results: &Results, table: Option<String>) -> Result<()> {
    println!("{}", results.table());
    match table {
        Some(path) => results.page(&PathBuf::from(path)),
        None => Ok(()),
    }
}

/// The unknown of a world, made once.
fn unknown(world: &mut World, cache: &std::path::Path, steps: usize) -> Result<Vec<Frame>> {
    let file = cache.join(format!("{}-{steps}.xyz", world.name));
    if !file.exists() {
        xyz::write_frames(&file, &world.unknown(steps)?)?;
    }
    xyz::read_frames(&file)
}

/// One strategy from the first labels to the last.
fn cell(
    world: &mut World,
    way: &str,
    seed: u64,
    unknown: &[Frame],
    plan: &Plan,
) -> Result<(Cell, Arc<Model>)> {
    let began = Instant::now();
    // The truth is right, however strange a structure is that a poor model led to.
    let config = NepIn::parse(&format!("{}bad_data keep\n", world.network), "network")?;
    let mut frames = world.initial(plan.initial, seed)?;
    let mut points = Vec::new();
    let mut student: Option<Student> = None;
    loop {
        let trained = |seed: u64, init: Option<&Model>| -> Result<Model> {
            let options = TrainOptions {
                threads: Some(1),
                // The first training has nothing to go on from.
                epochs: Some(plan.epochs * if init.is_some() { 1 } else { 3 }),
                seed,
                init,
                ..TrainOptions::default()
            };
            Ok(train(&config, &frames, &[], options)?.model)
        };
        let model = trained(seed, student.as_ref().map(|s| &*s.model))?;
        let others = (1..if ways::needs_committee(way) { 4 } else { 1 })
            .map(|k| {
                let own = student.as_ref().and_then(|s| s.others.get(k - 1));
                trained(seed + 1000 * k as u64, own)
            })
            .collect::<Result<_>>()?;
        let now = student.insert(Student::new(model, others, &frames)?);
        points.push(point(world, now, &frames, unknown)?);
        if let Some(p) = points.last() {
            eprintln!(
                "{} {way} {seed}: {p:?}, {:.0} s",
                world.name,
                began.elapsed().as_secs_f64()
            );
        }
        if frames.len() >= plan.labels {
            break;
        }
        let sizes = Sizes {
            batch: plan.sizes.batch.min(plan.labels - frames.len()),
            ..plan.sizes
        };
        let fresh = ways::round(way, world, now, sizes, seed + 100 * points.len() as u64)?;
        if fresh.is_empty() {
            // It finds nothing that it does not know; its labels are not spent.
            break;
        }
        for structure in &fresh {
            frames.push(world.label(structure)?);
        }
    }
    let student = student.ok_or_else(|| Error::Internal("no model was trained".into()))?;
    let cell = Cell {
        world: world.name.into(),
        way: way.into(),
        seed,
        points,
        stability: Vec::new(),
        seconds: began.elapsed().as_secs_f64(),
    };
    Ok((cell, student.model))
}

/// How good a student is.
fn point(world: &World, student: &Student, frames: &[Frame], unknown: &[Frame]) -> Result<Point> {
    let mut calculator = student.calculator()?;
    let (mut square, mut count, mut beyond, mut atoms) = (0.0, 0.0, 0, 0);
    for frame in unknown {
        let found = calculator.compute(&frame.structure, Request::FORCES | Request::GRADES)?;
        let truth = frame.forces.iter().flatten();
        for (f, t) in found.forces.iter().zip(truth) {
            square += (0..3).map(|c| (f[c] - t[c]).powi(2)).sum::<f64>();
            count += 3.0;
        }
        beyond += found.grade.iter().filter(|g| **g > 1.5).count();
        atoms += frame.len();
    }
    Ok(Point {
        labels: frames.len(),
        force_rmse: f64::sqrt(square / f64::max(count, 1.0)),
        beyond: beyond as f64 / atoms.max(1) as f64,
        hidden: world.has_hidden(&mut calculator)?,
    })
}

/// Energy, forces and virial.
type Truth = (f64, Vec<[f64; 3]>, [f64; 9]);

/// A potential that calls every atom known: whatever the grade, stability asks whether physics holds.
struct Ungraded(Calculator);

impl Potential for Ungraded {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<Truth> {
        self.0.energy_forces_virial(s)
    }
}

impl GradedPotential for Ungraded {
    fn energy_forces_virial_grades(&mut self, s: &Structure) -> Result<(Truth, Grades)> {
        let none = vec![0.0; s.len()];
        let grades = Grades {
            gamma: none.clone(),
            rho: none.clone(),
            grade: none,
        };
        Ok((self.0.energy_forces_virial(s)?, grades))
    }
}

/// Seeds of dynamics that end where they should, within the limits of physics.
fn stability(
    world: &World,
    model: Model,
    (runs, steps): (usize, usize),
    seed: u64,
) -> Result<Stability> {
    let (start, temperature) = world.hardest();
    let calculator =
        Calculator::with_precision(Arc::new(model), BackendKind::Cpu, Precision::Mixed)?;
    let mut potential = Ungraded(calculator);
    let mut survived = 0;
    for k in 0..runs as u64 {
        let options = ExploreOptions {
            md: MdOptions {
                ensemble: Ensemble::svr(0.05),
                temperature: (temperature, temperature),
                pressure: (0.0, 0.0),
                timestep: world.timestep,
                steps,
                seed: 5000 + 100 * seed + k,
            },
            grade_every: 100,
            max_breaks: 1,
            ..ExploreOptions::default()
        };
        let run = explore_with(&mut potential, start, &options, &mut |_, _| {
            ControlFlow::Continue(())
        })?;
        survived += usize::from(run.finished && run.breaks == 0);
    }
    Ok(Stability {
        steps,
        runs,
        survived,
    })
}
