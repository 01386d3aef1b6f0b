//! The CPU backend against the reference backend.

use super::Cpu;
use crate::backend::reference::Reference;
use crate::backend::{Backend, Contraction, Evaluation, Precision, Request, System, available};
use crate::model::{Layout, Model};
use crate::system::{Cell, NeighborList};

const VARIANTS: [&str; 13] = [
    "nep3_zbl",
    "nep4_1111_without_222",
    "nep4_222_112_233_gpumd_style",
    "nep4_all_higher_body",
    "nep4_lmax8",
    "nep4_maximal_dim",
    "nep4_minimal",
    "nep4_two_hidden_layers",
    "nep4_typewise_cutoffs",
    "nep4_zbl_flexible",
    "nep4_zbl_typewise",
    "nep5",
    "nep5_zbl",
];

/// Both sum the same terms in another order; what is left is rounding.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F64 => 1e-11,
        // Random weights and close pairs: sums of large terms that cancel.
        Precision::Mixed => 1e-4,
    }
}

fn model(name: &str) -> Model {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/synthetic_variants"
    );
    Model::load(format!("{folder}/{name}/nep.txt")).unwrap()
}

/// A model beyond what GPUMD reads.
fn wide() -> Model {
    let mut header = model("nep4_maximal_dim").header().clone();
    header.n_max = [20, 14];
    header.basis_size = [25, 20];
    header.l_max = 8;
    let layout = Layout::new(&header);
    let mut state = 3;
    let values = (0..layout.len()).map(|_| 0.4 * (random(&mut state) - 0.5));
    Model::new(header, values.collect(), vec![0.05; layout.dim]).unwrap()
}

/// Numbers in [0, 1).
fn random(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

struct Case {
    cell: Cell,
    positions: Vec<[f64; 3]>,
    types: Vec<u32>,
    neighbors: NeighborList,
}

impl Case {
    /// Atoms on a jittered grid in a cell, some of them outside it.
    fn new(vectors: [[f64; 3]; 3], periodic: [bool; 3], n: [usize; 3], model: &Model) -> Self {
        let cell = Cell::new(vectors, periodic).unwrap();
        let mut state = 7;
        let mut positions = Vec::new();
        let mut types = Vec::new();
        let n_types = model.elements().len() as f64;
        for a in 0..n[0] {
            for b in 0..n[1] {
                for c in 0..n[2] {
                    let mut place = |i: usize, n: usize| {
                        let jump = (random(&mut state) * 3.0).floor() - 1.0;
                        (i as f64 + 0.3 * random(&mut state)) / n as f64 + jump
                    };
                    let mut s = [place(a, n[0]), place(b, n[1]), place(c, n[2])];
                    for d in 0..3 {
                        if !periodic[d] {
                            s[d] -= s[d].floor();
                        }
                    }
                    positions.push(cell.cartesian(s));
                    types.push((random(&mut state) * n_types) as u32);
                }
            }
        }
        let neighbors = NeighborList::build(&cell, &positions, model.cutoff()).unwrap();
        Self {
            cell,
            positions,
            types,
            neighbors,
        }
    }

    /// The first atoms as centres, every atom within a generous distance as neighbour.
    fn as_host(&self, n_local: usize, cutoff: f64) -> Self {
        let cell = Cell::isolated();
        let list = NeighborList::build(&cell, &self.positions, cutoff + 1.5).unwrap();
        let mut index = Vec::new();
        let mut counts = Vec::new();
        for i in 0..n_local {
            counts.push(list.count(i));
            index.extend(list.of(i).map(|(j, _)| j as u32));
        }
        Self {
            neighbors: NeighborList::from_host(&counts, index, self.positions.len()).unwrap(),
            cell,
            positions: self.positions.clone(),
            types: self.types.clone(),
        }
    }

    fn system(&self) -> System<'_> {
        System {
            cell: &self.cell,
            positions: &self.positions,
            types: &self.types,
            neighbors: &self.neighbors,
            whole: None,
        }
    }
}

fn cases(model: &Model) -> Vec<Case> {
    let skewed = [[9.1, 0.2, 0.0], [2.9, 8.3, 0.1], [-1.4, 2.2, 10.0]];
    let tiny = [[3.1, 0.2, 0.0], [1.1, 2.9, 0.1], [-0.4, 0.6, 3.0]];
    let large = [[15.0, 0.0, 0.0], [0.0, 16.0, 0.0], [0.0, 0.0, 14.0]];
    let ghosts = Case::new(large, [false; 3], [6, 6, 5], model).as_host(50, model.cutoff());
    vec![
        Case::new(skewed, [true; 3], [3, 3, 4], model),
        Case::new(tiny, [true; 3], [1, 1, 1], model),
        Case::new(tiny, [true, false, true], [1, 1, 1], model),
        Case::new(skewed, [false, true, false], [4, 3, 3], model),
        Case::new(large, [true; 3], [6, 6, 5], model),
        ghosts,
        Case::new(large, [false; 3], [1, 1, 1], model),
        Case::new(large, [true; 3], [0, 0, 0], model),
    ]
}

fn close(name: &str, precision: Precision, found: &[f64], expected: &[f64]) {
    let tolerance = tolerance(precision);
    assert_eq!(found.len(), expected.len(), "{name}");
    // Sums of terms that cancel: rounding is that of the largest.
    let scale = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (m, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{name}[{m}]: {a} {b}");
    }
}

fn compare(name: &str, backend: &mut Cpu, model: &Model, case: &Case, request: Request) {
    let (mut found, mut expected) = (Evaluation::default(), Evaluation::default());
    // What an earlier call left behind must go.
    found.forces.push([f64::NAN; 3]);
    found.projections.push(f64::NAN);
    found.neurons.push(f64::NAN);
    found.virials.push([f64::NAN; 9]);
    let system = case.system();
    let precision = backend.precision();
    let close = |found: &[f64], expected: &[f64]| close(name, precision, found, expected);
    backend
        .evaluate(model, &system, request, &mut found)
        .unwrap();
    let mut reference = Reference::default();
    reference
        .evaluate(model, &system, request, &mut expected)
        .unwrap();
    close(&[found.energy], &[expected.energy]);
    close(&found.energies, &expected.energies);
    close(found.forces.as_flattened(), expected.forces.as_flattened());
    close(&found.virial, &expected.virial);
    close(
        found.virials.as_flattened(),
        expected.virials.as_flattened(),
    );
    close(&found.descriptors, &expected.descriptors);
    close(&found.projections, &expected.projections);
    close(&found.neurons, &expected.neurons);
}

/// All instruction sets that this machine has.
fn backends() -> Vec<Cpu> {
    let mut all = Vec::new();
    for precision in [Precision::F64, Precision::Mixed] {
        for (_, arch) in crate::simd::known() {
            all.push(Cpu::on(arch, precision));
        }
    }
    all
}

#[test]
fn every_variant_agrees_with_the_reference() {
    for backend in &mut backends() {
        let named = VARIANTS.iter().map(|&name| (name, model(name)));
        for (name, model) in named.chain([("wide", wide())]) {
            let everything = available(&model);
            for (c, case) in cases(&model).iter().enumerate() {
                let label = format!("{name}, case {c}, {backend:?}");
                compare(&label, backend, &model, case, everything);
            }
        }
    }
}

#[test]
fn each_request_is_filled_alone() {
    let mut backend = Cpu::default();
    let model = model("nep4_all_higher_body");
    let case = &cases(&model)[0];
    for request in available(&model).iter().chain([Request::empty()]) {
        compare(&format!("{request:?}"), &mut backend, &model, case, request);
    }
}

#[test]
fn contraction_agrees_with_the_reference() {
    for backend in &mut backends() {
        for name in VARIANTS {
            let model = model(name);
            for case in cases(&model) {
                let system = case.system();
                let mut state = 3;
                let gradient: Vec<f64> = (0..system.n_local() * model.dim())
                    .map(|_| random(&mut state) - 0.5)
                    .collect();
                let (mut found, mut expected) = (Contraction::default(), Contraction::default());
                backend
                    .contract(&model, &system, &gradient, &mut found)
                    .unwrap();
                Reference::default()
                    .contract(&model, &system, &gradient, &mut expected)
                    .unwrap();
                close(
                    name,
                    backend.precision(),
                    found.forces.as_flattened(),
                    expected.forces.as_flattened(),
                );
                close(name, backend.precision(), &found.virial, &expected.virial);
            }
        }
    }
}

#[test]
fn threads_change_nothing_but_the_order_of_sums() {
    let model = model("nep4_all_higher_body");
    let large = [[22.0, 0.0, 0.0], [0.0, 23.0, 0.0], [0.0, 0.0, 22.0]];
    let case = Case::new(large, [true; 3], [9, 9, 9], &model);
    assert!(case.neighbors.entries() > 3 * super::engine::ENTRIES_PER_THREAD);
    let everything = available(&model);
    for n in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .unwrap();
        pool.install(|| {
            let mut backend = Cpu::default();
            compare(
                &format!("{n} threads"),
                &mut backend,
                &model,
                &case,
                everything,
            );
            let mut again = [Evaluation::default(), Evaluation::default()];
            for out in &mut again {
                backend
                    .evaluate(&model, &case.system(), everything, out)
                    .unwrap();
            }
            assert_eq!(again[0].forces, again[1].forces);
            assert_eq!(again[0].virials, again[1].virials);
        });
    }
}

#[test]
fn a_new_model_is_noticed() {
    let mut backend = Cpu::default();
    for name in [
        "nep4_lmax8",
        "nep4_minimal",
        "nep4_maximal_dim",
        "nep4_minimal",
    ] {
        let model = model(name);
        let case = &cases(&model)[0];
        compare(name, &mut backend, &model, case, Request::FORCES);
        let mut parameters = model.parameters().to_vec();
        parameters.iter_mut().for_each(|p| *p *= 0.9);
        let scaler = model.q_scaler().to_vec();
        let changed = Model::new(model.header().clone(), parameters, scaler).unwrap();
        compare(name, &mut backend, &changed, case, Request::FORCES);
    }
}
