//! Materials whose truth is cheap and known.

use flate2::read::GzDecoder;
use nepal::system::cell::norm;
use nepal::{
    BackendKind, Calculator, Cell, Element, Error, Frame, Model, NeighborList, Potential, Result,
    Structure,
};
use nepal_loop::explore::crystal::relax;
use nepal_loop::explore::generate::{Distortion, crystal, distort};
use nepal_loop::explore::random::generator;
use nepal_loop::explore::{Ensemble, Md, MdOptions};
use nepal_loop::label::StillingerWeber;
use rand::seq::SliceRandom;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

pub const NAMES: [&str; 5] = ["silicon", "alloy", "bazro3", "hidden", "nacl"];

/// A material: what is known of it at the start, where it is explored and where the model has to be right.
pub struct World {
    pub name: &'static str,
    pub network: &'static str,
    pub truth: Box<dyn Potential>,
    /// The cell that initial labels are distorted from.
    rest: Structure,
    /// Where exploration starts, one for each walker in turn.
    pub starts: Vec<Structure>,
    /// Temperatures of exploration, K.
    pub temperature: (f64, f64),
    /// Conditions at which the model is used: start, temperature of melting before it, or none, and temperature, K.
    targets: Vec<(Structure, Option<f64>, f64)>,
    pub timestep: f64,
    /// A metastable state, and its energy above the rest's, eV.
    hidden: Option<(Structure, f64)>,
}

fn elements(symbols: &[&str]) -> Result<Vec<Element>> {
    symbols.iter().map(|s| Element::from_symbol(s)).collect()
}

fn data(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn teacher(path: &str) -> Result<Box<dyn Potential>> {
    let path = data(path);
    let name = path.display().to_string();
    let file = std::fs::File::open(&path).map_err(|e| Error::Failed(format!("{name}: {e}")))?;
    let model = match path.extension().is_some_and(|e| e == "gz") {
        true => Model::parse(BufReader::new(GzDecoder::new(file)), &name)?,
        false => Model::parse(BufReader::new(file), &name)?,
    };
    Ok(Box::new(Calculator::new(
        Arc::new(model),
        BackendKind::Cpu,
    )?))
}

impl World {
    pub fn new(name: &str) -> Result<Self> {
        match name {
            "silicon" => silicon(),
            "alloy" => alloy(),
            "bazro3" => bazro3(),
            "hidden" => hidden(),
            "nacl" => nacl(),
            _ => Err(Error::Failed(format!(
                "unknown world {name:?}; expected {}",
                NAMES.join(", ")
            ))),
        }
    }

    /// Labels of the truth.
    pub fn label(&mut self, structure: &Structure) -> Result<Frame> {
        let (energy, forces, virial) = self.truth.energy_forces_virial(structure)?;
        let mut frame = Frame::new(structure.clone());
        (frame.energy, frame.forces, frame.virial) = (Some(energy), Some(forces), Some(virial));
        Ok(frame)
    }

    /// The first labels: the crystal, strained and rattled.
    pub fn initial(&mut self, count: usize, seed: u64) -> Result<Vec<Frame>> {
        let distortion = Distortion {
            volume_strain: 0.04,
            strain: 0.02,
            rattle: 0.06,
            vacancies: 0,
        };
        let made: Vec<Structure> = (0..count as u64)
            .map(|k| distort(&self.rest, &distortion, 1000 * seed + k))
            .collect::<Result<_>>()?;
        made.iter().map(|s| self.label(s)).collect()
    }

    /// The unknown: frames of the truth's own dynamics at the conditions of use.
    pub fn unknown(&mut self, steps: usize) -> Result<Vec<Frame>> {
        let mut structures = Vec::new();
        for (k, (start, melt, temperature)) in self.targets.clone().into_iter().enumerate() {
            let mut md = |start: &Structure, temperature: f64, keep: bool| -> Result<Structure> {
                let options = MdOptions {
                    ensemble: Ensemble::svr(0.05),
                    temperature: (temperature, temperature),
                    pressure: (0.0, 0.0),
                    timestep: self.timestep,
                    steps,
                    seed: 77 + k as u64,
                };
                let mut md = Md::new(&mut *self.truth, start, &options)?;
                let every = (steps / 20).max(1);
                md.run(&mut *self.truth, steps, |md| {
                    if keep && md.steps_done() > steps / 2 && md.steps_done() % every == 0 {
                        structures.push(md.state().structure.clone());
                    }
                })?;
                Ok(md.state().structure.clone())
            };
            let start = match melt {
                Some(hot) => md(&start, hot, false)?,
                None => start,
            };
            md(&start, temperature, true)?;
        }
        structures.iter().map(|s| self.label(s)).collect()
    }

    /// Where stability is asked for: start and temperature.
    pub fn hardest(&self) -> (&Structure, f64) {
        let (start, _, temperature) = &self.targets[self.targets.len() - 1];
        (start, *temperature)
    }

    /// Whether a potential has the metastable state: its atoms stay together, at about its energy. One that was never told of
    /// it may hold them by chance.
    pub fn has_hidden(&self, potential: &mut dyn Potential) -> Result<Option<bool>> {
        let Some((state, gap)) = &self.hidden else {
            return Ok(None);
        };
        let mut now = state.clone();
        let rested = relax(potential, &mut now, 0.01, 500).is_ok();
        let above =
            potential.energy_forces_virial(&now)?.0 - potential.energy_forces_virial(&self.rest)?.0;
        let there = (closest(&now) - closest(state)).abs() < 0.15 && (above - gap).abs() < 0.2;
        Ok(Some(rested && there))
    }
}

fn closest(s: &Structure) -> f64 {
    let Ok(list) = NeighborList::build(&s.cell, &s.positions, 4.0) else {
        return f64::INFINITY;
    };
    let pairs = (0..s.len()).flat_map(|i| list.vectors(i, &s.cell, &s.positions));
    pairs.map(|(_, r)| norm(r)).fold(f64::INFINITY, f64::min)
}

/// Stillinger-Weber silicon, from the crystal to the melt.
fn silicon() -> Result<World> {
    let rest = crystal("diamond", &elements(&["Si"])?, 5.431, [2; 3])?;
    Ok(World {
        name: "silicon",
        network: "type 1 Si\ncutoff 5 4\nn_max 5 4\nbasis_size 8 8\nl_max 4 0 0\nneuron 16\n",
        truth: Box::new(StillingerWeber),
        starts: vec![rest.clone()],
        temperature: (600.0, 3000.0),
        targets: vec![
            (rest.clone(), None, 1200.0),
            (rest.clone(), Some(4000.0), 2200.0),
        ],
        rest,
        timestep: 0.001,
        hidden: None,
    })
}

/// Copper and gold in all proportions, by the general model of sixteen metals; known at the start is the ordered cell.
fn alloy() -> Result<World> {
    let pair = elements(&["Cu", "Au"])?;
    let mixed = |gold: usize, seed: u64| -> Result<Structure> {
        // Vegard's law between 3.61 and 4.08 Å.
        let a = 3.61 + 0.47 * gold as f64 / 32.0;
        let mut s = crystal("fcc", &pair[..1], a, [2; 3])?;
        let mut sites: Vec<usize> = (0..s.len()).collect();
        sites.shuffle(&mut generator(seed, 40));
        sites[..gold].iter().for_each(|&i| s.elements[i] = pair[1]);
        Ok(s)
    };
    let mut rest = crystal("fcc", &pair[..1], 3.87, [2; 3])?;
    // L1₀: alternating layers.
    for i in 0..rest.len() {
        if (rest.positions[i][2] / (3.87 / 2.0)).round() as i64 % 2 == 1 {
            rest.elements[i] = pair[1];
        }
    }
    Ok(World {
        name: "alloy",
        network: "type 2 Cu Au\ncutoff 6 5\nn_max 4 4\nbasis_size 8 8\nl_max 4 0 0\nneuron 16\n",
        truth: teacher("tests/data/unep_v1_16_metals/nep.txt.gz")?,
        starts: [4, 12, 20, 28]
            .into_iter()
            .map(|n| mixed(n, n as u64))
            .collect::<Result<_>>()?,
        temperature: (300.0, 1400.0),
        targets: [8, 16, 24]
            .into_iter()
            .map(|n| Ok((mixed(n, 100 + n as u64)?, None, 1000.0)))
            .collect::<Result<_>>()?,
        rest,
        timestep: 0.002,
        hidden: None,
    })
}

/// An oxide with a soft mode.
fn bazro3() -> Result<World> {
    let symbols = elements(&["Ba", "Zr", "O", "O", "O"])?;
    let cell = Cell::orthorhombic([4.2; 3])?;
    let sites = [
        [0.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.5, 0.5, 0.0],
        [0.5, 0.0, 0.5],
        [0.0, 0.5, 0.5],
    ];
    let positions = sites.map(|s| cell.cartesian(s)).to_vec();
    let rest = Structure::new(cell, symbols, positions)?.repeated([2; 3])?;
    Ok(World {
        name: "bazro3",
        network: "type 3 Ba Zr O\ncutoff 6 4\nn_max 4 4\nbasis_size 8 8\nl_max 4 0 0\nneuron 16\n",
        truth: teacher("tests/data/bazro3_nep4/nep.txt")?,
        starts: vec![rest.clone()],
        temperature: (300.0, 1500.0),
        targets: vec![(rest.clone(), None, 300.0), (rest.clone(), None, 1200.0)],
        rest,
        timestep: 0.001,
        hidden: None,
    })
}

/// An ionic crystal and its melt, by the model of examples/nacl-tblite, which was trained on labels by GFN1-xTB of both.
fn nacl() -> Result<World> {
    let rest = crystal("rocksalt", &elements(&["Na", "Cl"])?, 5.64, [2; 3])?;
    // The melt has a fifth more volume.
    let wide = crystal("rocksalt", &elements(&["Na", "Cl"])?, 6.0, [2; 3])?;
    Ok(World {
        name: "nacl",
        network: "type 2 Na Cl\ncutoff 6 5\nn_max 4 4\nbasis_size 8 8\nl_max 4 0 0\nneuron 16\n",
        truth: teacher("examples/nacl-tblite/result/nep.txt")?,
        starts: vec![rest.clone(), wide.clone()],
        temperature: (300.0, 1800.0),
        targets: vec![(rest.clone(), None, 800.0), (wide, Some(2500.0), 1400.0)],
        rest,
        timestep: 0.002,
        hidden: None,
    })
}

/// A crystal of pairs with a second, inner well behind a barrier of about half an eV: atoms that came close stay
/// together, and dynamics at the temperatures of exploration never brings them there.
struct SecondWell;

impl SecondWell {
    const CUTOFF: f64 = 6.0;

    /// Energy and slope of a pair: a Morse well at 2.9 Å, a narrow one at 1.9 Å, taken smoothly to zero.
    fn pair(r: f64) -> (f64, f64) {
        let morse = (-1.4 * (r - 2.9)).exp();
        let x = (r - 1.9) / 0.12;
        let narrow = 1.9 * (-0.5 * x * x).exp();
        let energy = 0.2 * (morse * morse - 2.0 * morse) - narrow;
        let slope = 0.2 * 2.8 * (morse - morse * morse) + narrow * x / 0.12;
        let phase = std::f64::consts::PI * r / Self::CUTOFF;
        let (cut, fall) = (
            0.5 * (1.0 + phase.cos()),
            -0.5 * std::f64::consts::PI / Self::CUTOFF * phase.sin(),
        );
        (energy * cut, slope * cut + energy * fall)
    }
}

impl Potential for SecondWell {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let list = NeighborList::build(&s.cell, &s.positions, Self::CUTOFF)?;
        let (mut energy, mut forces, mut virial) = (0.0, vec![[0.0; 3]; s.len()], [0.0; 9]);
        for (i, force) in forces.iter_mut().enumerate() {
            for (_, d) in list.vectors(i, &s.cell, &s.positions) {
                let r = norm(d);
                let (e, slope) = Self::pair(r);
                energy += 0.5 * e;
                for a in 0..3 {
                    force[a] += slope * d[a] / r;
                    for b in 0..3 {
                        virial[3 * a + b] -= 0.5 * slope * d[a] * d[b] / r;
                    }
                }
            }
        }
        Ok((energy, forces, virial))
    }
}

fn hidden() -> Result<World> {
    let rest = crystal("fcc", &elements(&["Al"])?, 3.9, [2; 3])?;
    let mut state = rest.clone();
    // The first atom and its nearest neighbour, moved to each other.
    let near = (1..state.len())
        .find(|&j| (norm(state.positions[j]) - 3.9 / 2f64.sqrt()).abs() < 1e-6)
        .ok_or_else(|| Error::Failed("no neighbour in the crystal".into()))?;
    let [a, b] = [state.positions[0], state.positions[near]];
    let part = 0.5 * (1.0 - 1.9 / norm(b));
    for c in 0..3 {
        state.positions[0][c] = a[c] + part * (b[c] - a[c]);
        state.positions[near][c] = b[c] - part * (b[c] - a[c]);
    }
    relax(&mut SecondWell, &mut state, 0.001, 5000)?;
    if closest(&state) > 2.1 {
        return Err(Error::Failed(
            "the world `hidden` has lost its second well".into(),
        ));
    }
    let energy = |s: &Structure| SecondWell.energy_forces_virial(s).map(|found| found.0);
    let gap = energy(&state)? - energy(&rest)?;
    Ok(World {
        name: "hidden",
        network: "type 1 Al\ncutoff 5 4\nn_max 8 6\nbasis_size 10 8\nl_max 4 0 0\nneuron 20\n",
        truth: Box::new(SecondWell),
        starts: vec![rest.clone()],
        temperature: (300.0, 600.0),
        targets: vec![(rest.clone(), None, 300.0), (state.clone(), None, 300.0)],
        rest,
        timestep: 0.002,
        hidden: Some((state, gap)),
    })
}
