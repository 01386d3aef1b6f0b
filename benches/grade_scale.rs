//! What grades cost: active sets of many environments, and grading beside forces, for the PbTe model
//! (1,320 features). Prints Markdown.
//!
//! `cargo bench --bench grade_scale -- [environments of one element] [threads]`

use flate2::read::GzDecoder;
use nepal::grade::{BuildOptions, Effort, Features};
use nepal::system::xyz::FrameReader;
use nepal::{ActiveSet, BackendKind, Calculator, Cell, Model, Request, Structure};
use std::sync::Arc;
use std::time::Instant;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pbte_nep_train");
/// Atoms of each element in a frame.
const OF_TYPE: usize = 125;

fn frames() -> Vec<Structure> {
    let file = std::fs::File::open(format!("{DATA}/train.xyz.gz")).expect("in the repository");
    let reader = std::io::BufReader::new(GzDecoder::new(file));
    FrameReader::new(reader, "train.xyz")
        .map(|frame| frame.expect("it is sound").structure)
        .collect()
}

/// A frame stretched and rattled, differently each time.
fn varied(frame: &Structure, number: usize, random: &mut impl FnMut() -> f64) -> Structure {
    let stretch = 1.0 + 0.02 * random();
    let amplitude = 0.02 * (number / 25) as f64;
    let vectors = frame.cell.vectors().map(|v| v.map(|x| stretch * x));
    let cell = Cell::new(vectors, frame.cell.periodic()).expect("a little larger or smaller");
    let positions = frame
        .positions
        .iter()
        .map(|r| r.map(|x| stretch * x + amplitude * random()))
        .collect();
    Structure::new(cell, frame.elements.clone(), positions).expect("as many atoms as before")
}

/// Peak resident memory in MB, where the system tells.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
        .and_then(|n| n.trim().parse::<f64>().ok())
        .map_or(f64::NAN, |kb| kb / 1024.0)
}

/// Shortest of several runs, in µs an atom.
fn best(atoms: usize, mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..8 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    1e6 * best / atoms as f64
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let wanted = numbers.first().copied().unwrap_or(50_000);
    let threads = numbers.get(1).copied().unwrap_or(2);
    let model = Arc::new(Model::load(format!("{DATA}/nep.txt")).expect("in the repository"));
    let frames = frames();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = pool.build().expect("threads can be had");
    pool.install(|| {
        scale(&model, &frames, wanted, threads);
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
    pool.build()
        .expect("threads can be had")
        .install(|| cost(&model, &frames));
}

/// Building the active set of one element from many environments.
fn scale(model: &Model, frames: &[Structure], wanted: usize, threads: usize) {
    let mut features = Features::new(model);
    again(model, frames, wanted, &mut features);
    println!(
        "| environments x features | form | rank | rows | exchanges | largest γ | threads | s | peak MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (form, options) in [
        ("square", BuildOptions::two_part()),
        (
            "rectangular, length 1",
            BuildOptions {
                length: Some(1.0),
                ..BuildOptions::two_part()
            },
        ),
    ] {
        let start = Instant::now();
        let (set, report) = ActiveSet::build(model, &features, &options).expect("it builds");
        let e = &report.elements[0];
        println!(
            "| {} x {} | {form} | {} | {} | {} | {:.4} | {threads} | {:.1} | {:.0} |",
            features.count(0),
            features.width(),
            e.rank,
            set.rank(0),
            e.iterations.iter().sum::<usize>(),
            e.max_gamma,
            start.elapsed().as_secs_f64(),
            peak()
        );
        if options.length.is_some() {
            continue;
        }
        // The model after a little more training: other numbers, nearly the same environments.
        let mut parameters = model.parameters().to_vec();
        for (k, x) in parameters.iter_mut().enumerate() {
            *x *= 1.0 + 0.02 * (k as f64).sin();
        }
        let scaler = model.q_scaler().to_vec();
        let after = Model::new(model.header().clone(), parameters, scaler).expect("like before");
        let mut features = Features::new(&after);
        again(&after, frames, wanted, &mut features);
        for (name, previous) in [("anew", None), ("from the set before", Some(&set))] {
            let start = Instant::now();
            let (_, report) =
                ActiveSet::build_from(&after, &features, &options, previous).expect("it builds");
            let e = &report.elements[0];
            println!(
                "| the next model, {name} | {form} | {} | | {} | {:.4} | {threads} | {:.1} | |",
                e.rank,
                e.iterations.iter().sum::<usize>(),
                e.max_gamma,
                start.elapsed().as_secs_f64(),
            );
        }
    }
}

/// Features of as many environments of the first type, the same in every call.
fn again(model: &Model, frames: &[Structure], wanted: usize, features: &mut Features) {
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let mut backend = BackendKind::Cpu.create().expect("in this build");
    for number in 0..wanted.div_ceil(OF_TYPE) {
        let structure = varied(&frames[number % frames.len()], number, &mut random);
        let found = Features::collect(model, backend.as_mut(), [&structure]).expect("it evaluates");
        for (row, origin) in found
            .rows(0)
            .chunks_exact(found.width())
            .zip(found.origins(0))
        {
            let mut origin = *origin;
            origin.structure = number as u32;
            features.push(0, row, origin).expect("of this model");
        }
    }
}

/// Grading beside forces.
fn cost(model: &Arc<Model>, frames: &[Structure]) {
    let mut backend = BackendKind::Cpu.create().expect("in this build");
    let features =
        Features::collect(model, backend.as_mut(), &frames[..20]).expect("they evaluate");
    let (set, report) =
        ActiveSet::build(model, &features, &BuildOptions::two_part()).expect("it builds");
    let set = Arc::new(set);
    let mut calculator = Calculator::new(model.clone(), BackendKind::Cpu).expect("in this build");
    calculator
        .set_active_set(Some(set.clone()))
        .expect("the same model");
    let structure = frames[22].repeated([2, 2, 2]).expect("it is periodic");
    let n = structure.len();
    let forces = Request::FORCES | Request::VIRIAL;
    let alone = best(n, || {
        calculator
            .compute(&structure, forces)
            .expect("it evaluates");
    });
    println!(
        "\n| 2,000 atoms of a held-out frame, one thread | µs/atom | beside forces | every 10 steps |"
    );
    println!("| --- | --- | --- | --- |");
    println!("| forces and virial | {alone:.2} | | |");
    for (name, effort) in [
        ("all grades exact", Effort::Full),
        ("exact above 2", Effort::Above(2.0)),
        ("exact above 2, prefiltered", Effort::Likely(2.0)),
        ("exact above 5, prefiltered", Effort::Likely(5.0)),
    ] {
        calculator.set_grade_effort(effort);
        let both = best(n, || {
            calculator
                .compute(&structure, forces | Request::GRADES)
                .expect("it evaluates");
        });
        let ratio = (both - alone) / alone;
        println!(
            "| and grades, {name} | {both:.2} | {ratio:.2} | {:.0} % |",
            10.0 * ratio
        );
    }
    println!(
        "\n| frames | atoms | above 2 | reported otherwise by Above | missed by Likely | let pass |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, range, by) in [
        ("known", 0..20, 0.0),
        ("held out", 20..25, 0.0),
        ("held out, 1 % longer", 20..25, -0.01),
        ("held out, 1 % shorter", 20..25, 0.01),
        ("held out, 2 % shorter", 20..25, 0.02),
    ] {
        let mut counts = [0; 5];
        for frame in &frames[range] {
            let shrink = |v: [f64; 3]| v.map(|x| x * (1.0 - by));
            let cell = Cell::new(frame.cell.vectors().map(shrink), frame.cell.periodic());
            let positions = frame.positions.iter().map(|&r| shrink(r)).collect();
            let frame = Structure::new(
                cell.expect("a little smaller"),
                frame.elements.clone(),
                positions,
            );
            let frame = frame.expect("as many atoms as before");
            let [full, above, likely] = [Effort::Full, Effort::Above(2.0), Effort::Likely(2.0)]
                .map(|effort| {
                    calculator.set_grade_effort(effort);
                    let found = calculator.compute(&frame, Request::GRADES);
                    found.expect("it evaluates").grade.clone()
                });
            counts[0] += full.len();
            for ((full, above), likely) in full.iter().zip(&above).zip(&likely) {
                counts[1] += usize::from(*full > 2.0);
                counts[2] += usize::from((*full > 2.0) != (*above > 2.0));
                counts[3] += usize::from(*full > 2.0 && *likely <= 2.0);
                counts[4] += usize::from(*likely > 0.0);
            }
        }
        let [atoms, above, otherwise, missed, pass] = counts;
        println!("| {name} | {atoms} | {above} | {otherwise} | {missed} | {pass} |");
    }
    for e in &report.elements {
        if let Some(h) = &e.held_out {
            println!(
                "\n{}: {} environments held out in folds, {} with Γ above 2, of which the prefilter passes {:.1} % when it passes {:.1} % of all.",
                e.element,
                h.count,
                h.novel,
                100.0 * h.recall,
                100.0 * h.passing
            );
        }
    }
}
