//! Crystals that are known, and large cells with defects and a molten droplet.

use nepal::grade::{BuildOptions, Features};
use nepal::system::xyz;
use nepal::{ActiveSet, BackendKind, Element, Frame, Model, Potential, Result, Structure};
use nepal_loop::explore::random::{gaussian, generator};
use nepal_loop::explore::{Ensemble, Md, MdOptions, generate};
use nepal_loop::label::StillingerWeber;
use std::path::Path;
use std::sync::Arc;

const A: f64 = 5.431;

fn silicon() -> Element {
    Element::from_symbol("Si").expect("an element")
}

fn run(
    start: &Structure,
    temperature: (f64, f64),
    steps: usize,
    keep: usize,
    seed: u64,
) -> Result<Vec<Structure>> {
    let options = MdOptions {
        ensemble: Ensemble::svr(0.05),
        temperature,
        pressure: (0.0, 0.0),
        timestep: 0.002,
        steps,
        seed,
    };
    let mut teacher = StillingerWeber;
    let mut md = Md::new(&mut teacher, start, &options)?;
    let mut frames = Vec::new();
    md.run(&mut teacher, steps, |md| {
        if md.steps_done() % keep == 0 {
            frames.push(md.state().structure.clone());
        }
    })?;
    Ok(frames)
}

/// Frames kept in a file, made once.
fn kept(file: &Path, make: impl FnOnce() -> Result<Vec<Structure>>) -> Result<Vec<Frame>> {
    if !file.exists() {
        let frames: Vec<Frame> = make()?.into_iter().map(Frame::new).collect();
        xyz::write_frames(file, &frames)?;
    }
    xyz::read_frames(file)
}

/// Crystals at several volumes and temperatures.
pub fn known(cache: &Path) -> Result<Vec<Frame>> {
    kept(&cache.join("known.xyz"), || {
        let mut frames = Vec::new();
        for (k, scale) in [0.98, 1.0, 1.02].into_iter().enumerate() {
            let crystal = generate::crystal("diamond", &[silicon()], A * scale, [2, 2, 2])?;
            frames.extend(run(&crystal, (300.0, 1300.0), 1200, 120, k as u64)?);
        }
        Ok(frames)
    })
}

/// What a disturbed cell is like.
#[derive(Clone, Copy)]
pub struct Recipe {
    /// Unit cells along an edge.
    repeat: usize,
    /// Pairs of a vacancy and an interstitial.
    defects: usize,
    /// Radius of the droplet, Å.
    droplet: f64,
}

/// About 4,000 atoms.
pub const LARGE: Recipe = Recipe {
    repeat: 8,
    defects: 8,
    droplet: 13.0,
};
/// What somebody makes by hand who cannot label that many.
pub const SMALL: Recipe = Recipe {
    repeat: 3,
    defects: 1,
    droplet: 5.5,
};

/// Cells at 1,300 K: vacancies, interstitials, a droplet of melt.
pub fn cells(
    cache: &Path,
    name: &str,
    recipe: Recipe,
    count: usize,
    seed: u64,
) -> Result<Vec<Frame>> {
    kept(&cache.join(format!("{name}.xyz")), || {
        (0..count as u64).map(|k| cell(recipe, seed + k)).collect()
    })
}

fn cell(recipe: Recipe, seed: u64) -> Result<Structure> {
    let mut s = generate::crystal("diamond", &[silicon()], A, [recipe.repeat; 3])?;
    let mut rng = generator(seed, 50);
    let edge = recipe.repeat as f64 * A;
    let mut uniform = || 0.5 + 0.5 * (gaussian(&mut rng) * 0.6).tanh();
    for _ in 0..recipe.defects {
        let gone = (uniform() * s.len() as f64) as usize % s.len();
        s.elements.remove(gone);
        s.positions.remove(gone);
        // The tetrahedral site beside an atom.
        let beside = s.positions[(uniform() * s.len() as f64) as usize % s.len()];
        s.elements.push(silicon());
        s.positions.push(beside.map(|x| x + 0.5 * A));
    }
    let middle: [f64; 3] = std::array::from_fn(|_| uniform() * edge);
    let mut rng = generator(seed, 51);
    for r in &mut s.positions {
        let square: f64 = (0..3)
            .map(|a| {
                let d = r[a] - middle[a];
                (d - edge * (d / edge).round()).powi(2)
            })
            .sum();
        if square < recipe.droplet.powi(2) {
            for x in r {
                *x += 0.5 * gaussian(&mut rng);
            }
        }
    }
    // Downhill in short steps, until no two atoms overlap.
    let mut teacher = StillingerWeber;
    for _ in 0..80 {
        let (_, forces, _) = teacher.energy_forces_virial(&s)?;
        for (r, f) in s.positions.iter_mut().zip(&forces) {
            for a in 0..3 {
                r[a] += (0.02 * f[a]).clamp(-0.1, 0.1);
            }
        }
    }
    Ok(run(&s, (1300.0, 1300.0), 500, 500, seed)?.remove(0))
}

/// What the start knows.
pub fn active_set(model: &Arc<Model>, base: &[Frame]) -> Result<Arc<ActiveSet>> {
    let mut backend = BackendKind::Cpu.create()?;
    let structures = base.iter().map(|f| &f.structure);
    let features = Features::collect(model, backend.as_mut(), structures)?;
    let (set, report) = ActiveSet::build(model, &features, &BuildOptions::default())?;
    eprintln!("{report}");
    Ok(Arc::new(set))
}
