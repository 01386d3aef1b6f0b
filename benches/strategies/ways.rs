//! What each strategy does with a round: where candidates come from, and which are labelled.

use crate::world::World;
use nepal::grade::{BuildOptions, Features};
use nepal::{ActiveSet, BackendKind, Calculator, Error, Frame, Model, Request, Result, Structure};
use nepal_loop::campaign::{Method, SIGMA_COLUMN, SelectConfig, select_structures};
use nepal_loop::explore::committee::members;
use nepal_loop::explore::random::generator;
use nepal_loop::explore::{Ensemble, ExploreOptions, Md, MdOptions, Sum, Way, explore_with};
use nepal_train::posterior::{Posterior, PosteriorOptions};
use rand::seq::SliceRandom;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Names with what the walkers do in turn, and how labels are chosen among what they bring.
pub const STRATEGIES: [(&str, &[&str], Choice); 10] = [
    ("random", &["frames"], Choice::Random),
    (
        "farthest",
        &["frames"],
        Choice::Ranked(Method::FarthestPoint),
    ),
    ("sigma", &["frames"], Choice::Ranked(Method::Sigma)),
    ("dynamics", &["dynamics"], Choice::Ranked(Method::DOptimal)),
    ("hal", &["hal"], Choice::Ranked(Method::DOptimal)),
    (
        "anharmonic",
        &["anharmonic"],
        Choice::Ranked(Method::DOptimal),
    ),
    (
        "committee",
        &["anharmonic,signal=committee"],
        Choice::Ranked(Method::DOptimal),
    ),
    ("active", &["active"], Choice::Ranked(Method::DOptimal)),
    (
        "hal+dynamics",
        &["hal", "dynamics"],
        Choice::Ranked(Method::DOptimal),
    ),
    (
        "active+dynamics",
        &["active", "dynamics"],
        Choice::Ranked(Method::DOptimal),
    ),
];

/// How labels are chosen.
#[derive(Clone, Copy)]
pub enum Choice {
    Random,
    Ranked(Method),
}

/// Sizes of a round.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub walkers: usize,
    pub steps: usize,
    pub batch: usize,
}

/// A model with all that knows how far it can be trusted.
pub struct Student {
    pub model: Arc<Model>,
    pub set: Arc<ActiveSet>,
    posterior: Arc<nepal::posterior::Posterior>,
    /// The committee but for the model; none where the way does without.
    pub others: Vec<Model>,
}

/// Whether a strategy goes by a committee.
pub fn needs_committee(strategy: &str) -> bool {
    let ways = STRATEGIES.iter().filter(|s| s.0 == strategy);
    ways.flat_map(|s| s.1).any(|way| way.contains("committee"))
}

impl Student {
    pub fn new(model: Model, others: Vec<Model>, frames: &[Frame]) -> Result<Self> {
        let mut backend = BackendKind::Cpu.create()?;
        let structures = frames.iter().map(|f| &f.structure);
        let features = Features::collect(&model, backend.as_mut(), structures)?;
        let (set, _) = ActiveSet::build(&model, &features, &BuildOptions::default())?;
        let posterior = Posterior::fit(&model, frames, &PosteriorOptions::default())?;
        Ok(Self {
            model: Arc::new(model),
            set: Arc::new(set),
            posterior: Arc::clone(posterior.evaluable()),
            others,
        })
    }

    pub fn calculator(&self) -> Result<Calculator> {
        let mut calculator = Calculator::new(Arc::clone(&self.model), BackendKind::Cpu)?;
        calculator.set_active_set(Some(Arc::clone(&self.set)))?;
        calculator.set_posterior(Some(Arc::clone(&self.posterior)))?;
        Ok(calculator)
    }
}

/// The frames that a strategy labels in a round.
pub fn round(
    strategy: &str,
    world: &World,
    student: &Student,
    sizes: Sizes,
    seed: u64,
) -> Result<Vec<Structure>> {
    let (_, ways, choice) = STRATEGIES
        .iter()
        .find(|s| s.0 == strategy)
        .ok_or_else(|| Error::Failed(format!("unknown way {strategy:?}")))?;
    let mut pool = Vec::new();
    for walker in 0..sizes.walkers {
        let start = &world.starts[walker % world.starts.len()];
        let seed = seed.wrapping_mul(1000) + walker as u64;
        pool.extend(match ways[walker % ways.len()] {
            "frames" => visited(world, student, start, sizes, seed)?,
            way => found(way, world, student, start, sizes, seed)?,
        });
    }
    chosen(*choice, &pool, student, sizes.batch, seed)
}

fn options(world: &World, steps: usize, seed: u64) -> MdOptions {
    MdOptions {
        ensemble: Ensemble::svr(0.05),
        temperature: world.temperature,
        pressure: (0.0, 0.0),
        timestep: world.timestep,
        steps,
        seed,
    }
}

/// Frames of the student's own dynamics, as they come.
fn visited(
    world: &World,
    student: &Student,
    start: &Structure,
    sizes: Sizes,
    seed: u64,
) -> Result<Vec<Structure>> {
    let mut calculator = student.calculator()?;
    let mut md = Md::new(&mut calculator, start, &options(world, sizes.steps, seed))?;
    let every = (sizes.steps / 40).max(1);
    let mut frames = Vec::new();
    // Dynamics that blow up end here; what they passed counts, as it does for those who take frames at random.
    let _ = md.run(&mut calculator, sizes.steps, |md| {
        if md.steps_done() % every == 0 {
            frames.push(md.state().structure.clone());
        }
    });
    Ok(frames.into_iter().filter(sound).collect())
}

/// Whether a reference method could take a structure: no two atoms on top of each other.
fn sound(s: &Structure) -> bool {
    let finite = s
        .positions
        .iter()
        .flatten()
        .all(|x| x.is_finite() && x.abs() < 1e4);
    let near = |r: f64| {
        nepal::NeighborList::build(&s.cell, &s.positions, r)
            .map_or(true, |list| (0..s.len()).any(|i| list.count(i) > 0))
    };
    finite && !near(1.0)
}

/// What a way of exploration keeps.
fn found(
    way: &str,
    world: &World,
    student: &Student,
    start: &Structure,
    sizes: Sizes,
    seed: u64,
) -> Result<Vec<Structure>> {
    let options = ExploreOptions {
        md: options(world, sizes.steps, seed),
        spacing: 50,
        way: way.parse::<Way>()?,
        ..ExploreOptions::default()
    };
    let calculator = student.calculator()?;
    let others = members(student.others.iter().cloned(), &calculator)?;
    let mut graded = Sum::new(calculator, None).with_committee(others);
    let found = explore_with(&mut graded, start, &options, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    let frames = found.candidates.into_iter().map(|c| c.structure);
    Ok(frames.filter(sound).collect())
}

/// The best of some structures, filled up at random where the method wants fewer.
fn chosen(
    choice: Choice,
    pool: &[Structure],
    student: &Student,
    batch: usize,
    seed: u64,
) -> Result<Vec<Structure>> {
    let mut order: Vec<usize> = (0..pool.len()).collect();
    order.shuffle(&mut generator(seed, 41));
    if let Choice::Ranked(method) = choice {
        let mut calculator = student.calculator()?;
        let mut frames: Vec<Frame> = pool.iter().cloned().map(Frame::new).collect();
        for frame in &mut frames {
            let sigma = calculator
                .compute(&frame.structure, Request::SIGMA)?
                .sigma
                .clone();
            frame.set_real_column(SIGMA_COLUMN, 1, sigma);
        }
        let config = SelectConfig {
            method,
            max_structures: batch,
            ..SelectConfig::default()
        };
        let (picked, _) = select_structures(
            &student.model,
            &student.set,
            &frames,
            &[],
            &config,
            1.0,
            seed,
        )?;
        let first: Vec<usize> = picked.iter().map(|p| p.structure).collect();
        order.retain(|k| !first.contains(k));
        order.splice(0..0, first);
    }
    Ok(order
        .into_iter()
        .take(batch)
        .map(|k| pool[k].clone())
        .collect())
}
