//! One scale: the same probes graded by the sets of growing data. PbTe frames of
//! GPUMD's example with its model, and a BaZrO3 model in a world of its own rattles and strains.
//!
//! `cargo bench --bench grade_rounds -- [resolution ...]` prints the tables that `results/scale.md` has.

use flate2::read::GzDecoder;
use nepal::grade::{BuildOptions, Features};
use nepal::system::xyz::FrameReader;
use nepal::{ActiveSet, BackendKind, Calculator, Cell, Element, Model, Request, Structure};
use std::io::Read;
use std::sync::Arc;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

type Any<T> = Result<T, Box<dyn std::error::Error>>;

fn text(name: &str) -> Any<String> {
    let plain = format!("{DATA}/{name}");
    if let Ok(text) = std::fs::read_to_string(&plain) {
        return Ok(text);
    }
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(format!("{plain}.gz"))?).read_to_string(&mut text)?;
    Ok(text)
}

/// Uniform numbers from −1 to 1 (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64) - 1.0
    }
}

fn rattled(structure: &Structure, size: f64, strain: f64, random: &mut Random) -> Any<Structure> {
    let mut by = [[0.0; 3]; 3];
    for (a, row) in by.iter_mut().enumerate() {
        row[a] = strain * random.next();
    }
    let mut moved = structure.strained(&by)?;
    for r in &mut moved.positions {
        for x in r {
            *x += size * random.next();
        }
    }
    Ok(moved)
}

/// Data round by round, held-out structures, and probes with their names.
struct World {
    name: &'static str,
    model: Arc<Model>,
    rounds: Vec<Vec<Structure>>,
    held_out: Vec<Structure>,
    /// Whether a structure was held out of each round.
    by_round: bool,
    probes: Vec<(String, Structure)>,
}

fn isotropic(structure: &Structure, strain: f64) -> Any<Structure> {
    let mut by = [[0.0; 3]; 3];
    for (a, row) in by.iter_mut().enumerate() {
        row[a] = strain;
    }
    Ok(structure.strained(&by)?)
}

fn far_probes(model: &Model) -> Any<Vec<(String, Structure)>> {
    let mut all = Vec::new();
    for &element in model.elements() {
        let alone = Structure::new(Cell::isolated(), vec![element], vec![[0.0; 3]])?;
        all.push((format!("gas {element}"), alone));
    }
    let (first, last) = (
        model.elements()[0],
        *model.elements().last().unwrap_or(&model.elements()[0]),
    );
    for (a, b, r) in [(first, first, 2.4), (last, last, 2.4), (first, last, 1.8)] {
        let pair = Structure::new(Cell::isolated(), vec![a, b], vec![[0.0; 3], [r, 0.0, 0.0]])?;
        all.push((format!("{a}-{b} {r} Å"), pair));
    }
    Ok(all)
}

fn near_probes(crystal: &Structure) -> Any<Vec<(String, Structure)>> {
    let mut all = vec![("ideal crystal".to_owned(), crystal.clone())];
    for percent in [3.0, 6.0, 10.0] {
        let squeezed = isotropic(crystal, -0.01 * percent)?;
        all.push((format!("compressed {percent} %"), squeezed));
    }
    let mut vacancy = crystal.clone();
    vacancy.elements.pop();
    vacancy.positions.pop();
    all.push(("vacancy".to_owned(), vacancy));
    let mut swapped = crystal.clone();
    let other = swapped
        .elements
        .iter()
        .position(|e| *e != swapped.elements[0]);
    if let Some(other) = other {
        swapped.elements.swap(0, other);
        all.push(("antisite pair".to_owned(), swapped));
    }
    Ok(all)
}

fn lead_telluride() -> Any<World> {
    let model = Arc::new(Model::parse(
        text("pbte_nep_train/nep.txt")?.as_bytes(),
        "nep.txt",
    )?);
    let frames = text("pbte_nep_train/train.xyz")?;
    let frames: Vec<Structure> = FrameReader::new(frames.as_bytes(), "train.xyz")
        .map(|frame| frame.map(|f| f.structure))
        .collect::<Result<_, _>>()?;
    let rock_salt = |a: Element, b: Element| -> Any<Structure> {
        let sites = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
        let lattice = 6.56;
        let at = |shift: f64| {
            sites.map(|s| std::array::from_fn(|d| lattice * (s[d] + shift * f64::from(d == 0))))
        };
        let positions = [at(0.0), at(0.5)].concat();
        let elements = [[a; 4], [b; 4]].concat();
        let cell = Structure::new(Cell::orthorhombic([lattice; 3])?, elements, positions)?;
        Ok(cell.repeated([3, 3, 3])?)
    };
    let crystal = rock_salt(model.elements()[0], model.elements()[1])?;
    let mut probes = near_probes(&crystal)?;
    probes.extend(far_probes(&model)?);
    let cuts = [0, 1, 2, 5, 10, 20];
    Ok(World {
        name: "PbTe (GPUMD's model; its frames 1, 2, 5, 10, 20; 21 to 25 held out)",
        rounds: cuts
            .windows(2)
            .map(|w| frames[w[0]..w[1]].to_vec())
            .collect(),
        held_out: frames[20..].to_vec(),
        by_round: false,
        probes,
        model,
    })
}

fn perovskite() -> Any<World> {
    let model = Arc::new(Model::parse(
        text("bazro3_nep4/nep.txt")?.as_bytes(),
        "nep.txt",
    )?);
    let element = |symbol: &str| Element::from_symbol(symbol);
    let (ba, zr, o) = (element("Ba")?, element("Zr")?, element("O")?);
    let lattice = 4.19;
    let sites = [
        [0.0; 3],
        [0.5; 3],
        [0.5, 0.5, 0.0],
        [0.5, 0.0, 0.5],
        [0.0, 0.5, 0.5],
    ];
    let positions = sites.map(|s| s.map(|x| lattice * x)).to_vec();
    let cell = Cell::orthorhombic([lattice; 3])?;
    let crystal = Structure::new(cell, vec![ba, zr, o, o, o], positions)?.repeated([3, 3, 3])?;
    let mut random = Random(7);
    // Amplitude of rattles (Å) and of strains.
    let steps = [
        (0.05, 0.0),
        (0.1, 0.0),
        (0.15, 0.01),
        (0.2, 0.02),
        (0.3, 0.03),
        (0.3, 0.06),
    ];
    let mut rounds = Vec::new();
    let mut held_out = Vec::new();
    for (size, strain) in steps {
        let made = |random: &mut Random| rattled(&crystal, size, strain, random);
        rounds.push((0..4).map(|_| made(&mut random)).collect::<Any<Vec<_>>>()?);
        held_out.push(made(&mut random)?);
    }
    let mut probes = near_probes(&crystal)?;
    probes.extend(far_probes(&model)?);
    Ok(World {
        name: "BaZrO3 (published model; rattles of 0.05 to 0.3 Å, strains up to 6 %; one more of each so far held out)",
        model,
        rounds,
        held_out,
        by_round: true,
        probes,
    })
}

fn largest(model: &Arc<Model>, set: &Arc<ActiveSet>, structure: &Structure) -> Any<Vec<f64>> {
    let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
    calculator.set_active_set(Some(Arc::clone(set)))?;
    Ok(calculator
        .compute(structure, Request::GRADES)?
        .grade
        .clone())
}

fn main() -> Any<()> {
    let asked: Vec<f64> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let usual = vec![BuildOptions::default().resolution];
    let resolutions = if asked.is_empty() { usual } else { asked };
    for world in [lead_telluride()?, perovskite()?] {
        println!("\n## {}\n", world.name);
        let count = world.rounds.len();
        for &resolution in &resolutions {
            let options = &BuildOptions {
                resolution,
                ..BuildOptions::default()
            };
            let mut table: Vec<(String, Vec<f64>)> = vec![
                ("held out, 99.9 %".into(), Vec::new()),
                ("held out, median".into(), Vec::new()),
            ];
            table.extend(world.probes.iter().map(|p| (p.0.clone(), Vec::new())));
            let (mut rows, mut seconds) = (Vec::new(), Vec::new());
            for round in 0..count {
                let known: Vec<Structure> = world.rounds[..=round].concat();
                let mut backend = BackendKind::Cpu.create()?;
                let features = Features::collect(&world.model, backend.as_mut(), &known)?;
                let start = std::time::Instant::now();
                let (set, report) = ActiveSet::build(&world.model, &features, options)?;
                seconds.push(start.elapsed().as_secs_f64());
                rows.push(report.elements.iter().map(|e| e.rank).sum::<usize>());
                let set = Arc::new(set);
                // What is held out comes from the same distributions as the data so far.
                let held_out = match world.by_round {
                    true => &world.held_out[..=round],
                    false => &world.held_out[..],
                };
                let mut all = Vec::new();
                for structure in held_out {
                    all.extend(largest(&world.model, &set, structure)?);
                }
                all.sort_by(f64::total_cmp);
                let at = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
                table[0].1.push(at(0.999));
                table[1].1.push(at(0.5));
                for ((_, probe), line) in world.probes.iter().zip(&mut table[2..]) {
                    let grades = largest(&world.model, &set, probe)?;
                    line.1.push(grades.into_iter().fold(0.0, f64::max));
                }
            }
            println!("resolution {resolution}: active rows {rows:?}, building {seconds:.2?} s\n");
            println!(
                "| probe (largest grade of its atoms) |{} largest rise |",
                " |".repeat(count)
            );
            println!("| --- |{}", " --- |".repeat(count + 1));
            for (name, values) in &table {
                let rise = values.windows(2).map(|w| w[1] / w[0]).fold(0.0, f64::max);
                let cells: String = values.iter().map(|v| format!(" {v:.2} |")).collect();
                println!("| {name} |{cells} x {rise:.2} |");
            }
            println!();
        }
    }
    Ok(())
}
