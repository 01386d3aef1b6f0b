//! What grades cost: active sets of many environments, and grades of all atoms beside forces. Prints
//! Markdown.
//!
//! `cargo bench --bench grade_scale -- [environments of one element] [threads]`

#[path = "support/systems.rs"]
mod systems;

use faer::Mat;
use flate2::read::GzDecoder;
use nepal::grade::{BuildOptions, Effort, Features};
use nepal::posterior::{Columns, LocalDeviation, Posterior};
use nepal::system::xyz::FrameReader;
use nepal::{ActiveSet, BackendKind, Calculator, Cell, Model, Precision, Request, Structure};
use std::sync::Arc;
use std::time::Instant;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pbte_nep_train");
/// The threshold from which frames are kept.
const SAVE: f64 = 1.5;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let wanted = numbers.first().copied().unwrap_or(50_000);
    let threads = numbers.get(1).copied().unwrap_or(2);
    let with = |threads: usize, work: &(dyn Fn() + Sync)| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads can be had").install(work);
    };
    if wanted > 0 {
        with(threads, &|| build(wanted, threads));
    }
    println!(
        "\n| one thread | active rows | forces and virial, µs/atom | all exact | exact above {SAVE} | of them above | reported otherwise | σ of forces |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (system, folder, cells) in systems::SYSTEMS {
        let crystal = systems::smaller(&systems::frame(system).structure, cells, 6.0);
        let frames: Vec<Structure> = (0..24).map(|n| varied(&crystal, n)).collect();
        let model = systems::model(folder);
        with(1, &|| cost(system, &model, &frames, &varied(&crystal, 31)));
    }
    let frames = pbte();
    let model = Arc::new(Model::load(format!("{DATA}/nep.txt")).expect("in the repository"));
    let held_out = frames[22].repeated([2, 2, 2]).expect("it is periodic");
    with(1, &|| {
        cost("PbTe, its training data", &model, &frames[..20], &held_out)
    });
}

fn pbte() -> Vec<Structure> {
    let file = std::fs::File::open(format!("{DATA}/train.xyz.gz")).expect("in the repository");
    let reader = std::io::BufReader::new(GzDecoder::new(file));
    FrameReader::new(reader, "train.xyz")
        .map(|frame| frame.expect("it is sound").structure)
        .collect()
}

/// A structure stretched and rattled, differently for each number.
fn varied(structure: &Structure, number: usize) -> Structure {
    let mut state = number as u64 + 1;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    let stretch = 1.0 + 0.02 * random();
    let amplitude = 0.05 + 0.2 * (number % 10) as f64 / 10.0;
    let vectors = structure.cell.vectors().map(|v| v.map(|x| stretch * x));
    let cell = Cell::new(vectors, structure.cell.periodic()).expect("a little larger or smaller");
    let mut moved = |r: &[f64; 3]| r.map(|x| stretch * x + amplitude * random());
    let positions = structure.positions.iter().map(&mut moved).collect();
    Structure::new(cell, structure.elements.clone(), positions).expect("as many atoms as before")
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

/// Building active sets from many environments.
fn build(wanted: usize, threads: usize) {
    let model = Model::load(format!("{DATA}/nep.txt")).expect("in the repository");
    let frames = pbte();
    let mut backend = BackendKind::Cpu.create().expect("in this build");
    let of_type = frames[0].len() / 2;
    let varied: Vec<Structure> = (0..wanted.div_ceil(of_type))
        .map(|n| varied(&frames[n % frames.len()], n))
        .collect();
    let start = Instant::now();
    let features = Features::collect(&model, backend.as_mut(), &varied).expect("they evaluate");
    println!(
        "features of {} environments: {:.1} s\n",
        features.count(0) + features.count(1),
        start.elapsed().as_secs_f64()
    );
    println!("| form | active rows | threads | building, s | largest grade |");
    println!("| --- | --- | --- | --- | --- |");
    for options in [BuildOptions::default(), BuildOptions::compat()] {
        let start = Instant::now();
        let (set, report) = ActiveSet::build(&model, &features, &options).expect("it builds");
        println!(
            "| {} | {} and {} | {threads} | {:.1} | {:.3} |",
            options.kind,
            set.rank(0),
            set.rank(1),
            start.elapsed().as_secs_f64(),
            report
                .elements
                .iter()
                .map(|e| e.max_gamma)
                .fold(0.0, f64::max),
        );
    }
}

/// A posterior of the size that training makes, which says nothing.
fn posterior(model: &Model) -> Posterior {
    let (dim, neurons) = (model.dim(), 16);
    let local = LocalDeviation {
        mean: vec![0.0; dim],
        scale: vec![1.0; dim],
        metric: vec![0.01; dim * dim],
        w0: vec![0.1; neurons * dim],
        b0: vec![0.0; neurons],
        w1: vec![0.1; neurons],
        level: -3.0,
        range: [-5.0, -1.0],
        factor: 1.0,
        at_95: 2.0,
    };
    let columns = Columns::new(model).len();
    let forces = vec![Some(local); model.elements().len()];
    Posterior::new(model, Mat::identity(columns, columns), [1.0, 2.0], forces).expect("it fits")
}

/// Grading beside forces, in both precisions.
fn cost(name: &str, model: &Arc<Model>, frames: &[Structure], structure: &Structure) {
    let mut backend = BackendKind::Cpu.create().expect("in this build");
    let features = Features::collect(model, backend.as_mut(), frames).expect("they evaluate");
    let options = BuildOptions::default();
    let (set, _) = ActiveSet::build(model, &features, &options).expect("it builds");
    let rows: Vec<String> = (0..model.elements().len())
        .map(|t| set.rank(t))
        .filter(|&rows| rows > 0)
        .map(|rows| rows.to_string())
        .collect();
    let set = Arc::new(set);
    let posterior = Arc::new(posterior(model));
    let forces = Request::FORCES | Request::VIRIAL;
    for (precision, what) in [(Precision::F64, "f64"), (Precision::Mixed, "mixed")] {
        let mut calculator =
            Calculator::with_precision(model.clone(), BackendKind::Cpu, precision).expect("built");
        calculator
            .set_active_set(Some(set.clone()))
            .expect("the same model");
        calculator
            .set_posterior(Some(posterior.clone()))
            .expect("the same model");
        let mut with = |request: Request, effort: Effort| {
            calculator.set_grade_effort(effort);
            let time = best(structure.len(), || {
                calculator
                    .compute(structure, request)
                    .expect("it evaluates");
            });
            let found = calculator
                .compute(structure, request)
                .expect("it evaluates");
            (time, found.grade.clone())
        };
        let (alone, _) = with(forces, Effort::Full);
        let (full, exact) = with(forces | Request::GRADES, Effort::Full);
        let (above, cut) = with(forces | Request::GRADES, Effort::Above(SAVE));
        let (deviations, _) = with(forces | Request::SIGMA, Effort::Full);
        let novel = exact.iter().filter(|&&g| g > SAVE).count();
        let other = exact
            .iter()
            .zip(&cut)
            .filter(|(e, c)| (**e > SAVE) != (**c > SAVE));
        println!(
            "| {name}, {} atoms, {what} | {} | {alone:.2} | + {:.2} | + {:.2} | {novel} | {} | + {:.2} |",
            structure.len(),
            rows.join(" "),
            full / alone - 1.0,
            above / alone - 1.0,
            other.count(),
            deviations / alone - 1.0
        );
    }
}
