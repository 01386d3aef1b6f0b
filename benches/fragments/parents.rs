//! Large structures with something unknown in them, and the active sets of what is known.

use nepal::grade::{BuildOptions, Features};
use nepal::system::xyz;
use nepal::{ActiveSet, BackendKind, Calculator, Cell, Element, Frame, Model, Result, Structure};
use nepal_loop::explore::{Ensemble, Md, MdOptions, generate};
use std::path::Path;
use std::sync::Arc;

#[path = "../support/systems.rs"]
#[allow(dead_code)]
mod systems;

/// Materials of the study.
pub const MATERIALS: [&str; 4] = ["pbte", "si-melt", "si-slab", "cuni-gb"];

/// A model, the active set of its known ground, and a parent.
pub struct Material {
    pub model: Arc<Model>,
    pub set: Arc<ActiveSet>,
    pub parent: Structure,
}

/// Makes a material, or reads it back from `cache`.
pub fn material(name: &str, cache: &Path) -> Result<Material> {
    let family = match name {
        "pbte" => "pbte",
        "si-melt" | "si-slab" => "si",
        _ => "cuni",
    };
    let model = systems::model(match family {
        "pbte" => "pbte_nep_train",
        "si" => "si_2022_nep4_3body",
        _ => "unep_v1_16_metals",
    });
    let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
    let set_file = cache.join(format!("{family}.nas"));
    let set = if set_file.exists() {
        ActiveSet::load(&set_file, &model)?
    } else {
        let known = match family {
            "pbte" => lead_telluride_known()?,
            "si" => silicon_known(&mut calculator)?,
            _ => alloy_known(&mut calculator)?,
        };
        let mut backend = BackendKind::Cpu.create()?;
        let features = Features::collect(&model, backend.as_mut(), &known)?;
        let (set, report) = ActiveSet::build(&model, &features, &BuildOptions::default())?;
        for element in &report.elements {
            if element.offered > 0 {
                eprintln!(
                    "{family}: {} environments of {}, rank {}",
                    element.offered, element.element, element.rank
                );
            }
        }
        set.save(&set_file)?;
        set
    };
    let parent_file = cache.join(format!("{name}.xyz"));
    if !parent_file.exists() {
        let parent = match name {
            "pbte" => lead_telluride(&mut calculator)?,
            "si-melt" => melt(&mut calculator, [6, 6, 6], 3)?,
            "si-slab" => slab(&mut calculator)?,
            _ => grain_boundary(&mut calculator)?,
        };
        xyz::write_frames(&parent_file, &[Frame::new(parent)])?;
    }
    let parent = xyz::read_frames(&parent_file)?.remove(0).structure;
    Ok(Material {
        model,
        set: Arc::new(set),
        parent,
    })
}

fn element(symbol: &str) -> Element {
    Element::from_symbol(symbol).expect("an element")
}

/// Constant-volume dynamics with a ramp; the structure at the end, and on the way every `keep` steps.
fn run(
    calculator: &mut Calculator,
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
    let mut md = Md::new(calculator, start, &options)?;
    let mut frames = Vec::new();
    md.run(calculator, steps, |md| {
        if md.steps_done() % keep == 0 {
            frames.push(md.state().structure.clone());
        }
    })?;
    Ok(frames)
}

/// Cell and atoms turned about two axes by angles that no lattice likes.
fn turned(structure: &Structure) -> Result<Structure> {
    let (s, c) = 0.43f64.sin_cos();
    let (u, v) = 0.71f64.sin_cos();
    let turn = |[x, y, z]: [f64; 3]| {
        let (x, y) = (c * x - s * y, s * x + c * y);
        [x, v * y - u * z, u * y + v * z]
    };
    let cell = Cell::new(
        structure.cell.vectors().map(turn),
        structure.cell.periodic(),
    )?;
    let positions = structure.positions.iter().map(|&r| turn(r)).collect();
    Structure::new(cell, structure.elements.clone(), positions)
}

/// The training structures of the PbTe model.
fn lead_telluride_known() -> Result<Vec<Structure>> {
    let name = "tests/data/pbte_nep_train/train.xyz.gz";
    let file = std::fs::File::open(systems::root().join(name))
        .map_err(|e| nepal::Error::Failed(format!("{name}: {e}")))?;
    let text = std::io::BufReader::new(flate2::read::GzDecoder::new(file));
    xyz::FrameReader::new(text, name)
        .map(|frame| frame.map(|f| f.structure))
        .collect()
}

/// Hot lead telluride with a dozen vacancies, turned against the axes.
fn lead_telluride(calculator: &mut Calculator) -> Result<Structure> {
    // The training cells' lattice constant: the model knows no other volume.
    let kinds = [element("Pb"), element("Te")];
    let mut crystal = generate::crystal("rocksalt", &kinds, 6.5704, [7, 7, 7])?;
    let n = crystal.len();
    let mut gone: Vec<usize> = (0..24).map(|k| (k * 7919 + 31) % n).collect();
    gone.sort_unstable();
    for k in gone.into_iter().rev() {
        crystal.positions.remove(k);
        crystal.elements.remove(k);
    }
    let hot = run(calculator, &crystal, (400.0, 400.0), 150, 150, 5)?.remove(0);
    turned(&hot)
}

/// Liquid silicon at 2000 K.
fn melt(calculator: &mut Calculator, cells: [usize; 3], seed: u64) -> Result<Structure> {
    let crystal = generate::crystal("diamond", &[element("Si")], 5.33, cells)?;
    let hot = run(calculator, &crystal, (5000.0, 2200.0), 1000, 1000, seed)?.remove(0);
    Ok(run(calculator, &hot, (2200.0, 2000.0), 500, 500, seed)?.remove(0))
}

fn silicon_slab(cells: [usize; 3]) -> Result<Structure> {
    let bulk = generate::crystal("diamond", &[element("Si")], 5.46, cells)?;
    let mut vectors = *bulk.cell.vectors();
    vectors[2] = [0.0, 0.0, vectors[2][2] + 15.0];
    Structure::new(
        Cell::new(vectors, [true, true, false])?,
        bulk.elements,
        bulk.positions,
    )
}

/// A silicon slab with (001) surfaces at 900 K.
fn slab(calculator: &mut Calculator) -> Result<Structure> {
    Ok(run(
        calculator,
        &silicon_slab([8, 8, 3])?,
        (900.0, 900.0),
        600,
        600,
        4,
    )?
    .remove(0))
}

/// What the silicon set knows: crystals in several cells, a little of the liquid, no surface.
fn silicon_known(calculator: &mut Calculator) -> Result<Vec<Structure>> {
    let mut known = Vec::new();
    for (k, a) in [5.3, 5.4, 5.5].into_iter().enumerate() {
        let crystal = generate::crystal("diamond", &[element("Si")], a, [2, 2, 2])?;
        known.extend(run(
            calculator,
            &crystal,
            (300.0, 1400.0),
            1500,
            75,
            k as u64,
        )?);
        if k == 0 {
            let hot = run(calculator, &crystal, (6000.0, 3000.0), 600, 600, 1)?.remove(0);
            known.extend(run(calculator, &hot, (3000.0, 1600.0), 3000, 75, 2)?);
        }
    }
    Ok(known)
}

/// Lattice constant of the copper-nickel alloy, Å.
const ALLOY: f64 = 3.60;

/// Copper and nickel at random on the sites of a structure.
fn mixed(mut structure: Structure, seed: u64) -> Structure {
    let (cu, ni) = (element("Cu"), element("Ni"));
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 12345;
    for e in &mut structure.elements {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        // The top bit is the best one of this generator.
        *e = if state >> 63 == 0 { cu } else { ni };
    }
    structure
}

/// What the alloy's set knows: crystals, strained and with vacancies; no other defect, no liquid.
fn alloy_known(calculator: &mut Calculator) -> Result<Vec<Structure>> {
    let mut known = Vec::new();
    for k in 0..8u64 {
        let a = ALLOY * (0.98 + 0.005 * k as f64);
        let crystal = generate::crystal("fcc", &[element("Cu")], a, [3, 3, 3])?;
        let distortion = generate::Distortion {
            strain: 0.02,
            vacancies: (k % 4) as usize,
            ..generate::Distortion::default()
        };
        let start = mixed(generate::distort(&crystal, &distortion, k)?, k);
        known.extend(run(calculator, &start, (300.0, 900.0), 1200, 80, k)?);
    }
    Ok(known)
}

/// A Σ5 (210)[001] grain boundary pair in the alloy at 700 K.
fn grain_boundary(calculator: &mut Calculator) -> Result<Structure> {
    let a = ALLOY;
    let unit = a * 5f64.sqrt();
    let lengths = [4.0 * unit, 6.0 * unit, 7.0 * a];
    let cell = Cell::orthorhombic(lengths)?;
    let mut positions: Vec<[f64; 3]> = Vec::new();
    let (s, c) = (0.5f64.atan()).sin_cos();
    for grain in 0..2 {
        let s = if grain == 0 { s } else { -s };
        for i in -40i32..=40 {
            for j in -40i32..=40 {
                for k in 0..14 {
                    if (i + j + k) % 2 != 0 {
                        continue;
                    }
                    let [x, y, z] = [i, j, k].map(|m| 0.5 * a * f64::from(m));
                    let r = [c * x - s * y + 0.01, s * x + c * y + 0.01, z + 0.01];
                    let half = 0.5 * lengths[1];
                    let low = grain as f64 * half;
                    let inside = (0.0..lengths[0]).contains(&r[0])
                        && (low..low + half).contains(&r[1])
                        && (0.0..lengths[2]).contains(&r[2]);
                    if inside {
                        positions.push(r);
                    }
                }
            }
        }
    }
    // Atoms of both grains on nearly the same place: one goes.
    let mut kept: Vec<[f64; 3]> = Vec::new();
    for r in positions {
        let clash = kept.iter().any(|q| {
            let d: f64 = (0..3)
                .map(|x| {
                    let d = r[x] - q[x];
                    (d - lengths[x] * (d / lengths[x]).round()).powi(2)
                })
                .sum();
            d < (0.55 * a).powi(2)
        });
        if !clash {
            kept.push(r);
        }
    }
    let n = kept.len();
    let start = mixed(Structure::new(cell, vec![element("Cu"); n], kept)?, 90);
    Ok(run(calculator, &start, (700.0, 700.0), 600, 600, 6)?.remove(0))
}
