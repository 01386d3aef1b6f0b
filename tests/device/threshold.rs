//! Atoms as near to a threshold as one likes, by the million: those reported above it are those that
//! the processor puts there.

use crate::support::gas::Uniform;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::{BackendKind, Model, Precision, Request, Structure};
use std::sync::Arc;

const THRESHOLD: f64 = 2.0;
/// Vectors on each line, near where it crosses the threshold.
const ON_LINE: usize = 16;
/// Lines at a time.
const LINES: usize = 1024;

/// Environments of random crystals of one element, and their descriptors.
struct Pool {
    model: Arc<Model>,
    structures: Vec<Structure>,
    descriptors: Vec<f64>,
}

impl Pool {
    fn new() -> Self {
        let model = support::model("synthetic_variants/nep4_1111_without_222");
        let one = &model.elements()[..1];
        let structures: Vec<Structure> = (0..6)
            .map(|k| gas::rattled(one, [4, 4, 4 + k], 2.7 + 0.1 * k as f64, [true; 3]))
            .collect();
        let mut cpu = support::calculator(&model, BackendKind::default_for_build());
        let mut descriptors = Vec::new();
        for structure in &structures {
            let found = cpu.compute(structure, Request::DESCRIPTORS).unwrap();
            descriptors.extend_from_slice(&found.descriptors);
        }
        Self {
            model,
            structures,
            descriptors,
        }
    }

    fn set(&self, options: &BuildOptions) -> Arc<ActiveSet> {
        let mut cpu = BackendKind::default_for_build().create().unwrap();
        let features = Features::collect(&self.model, cpu.as_mut(), &self.structures).unwrap();
        Arc::new(ActiveSet::build(&self.model, &features, options).unwrap().0)
    }

    fn grades(&self, set: &ActiveSet, q: &[f64]) -> Vec<f64> {
        let types = vec![0; q.len() / self.model.dim()];
        let found = set.grade_descriptors(&self.model, &types, q, Effort::Full);
        found.unwrap().iter().map(|g| g.total).collect()
    }

    /// Descriptors on lines through a known environment, at grades of the threshold times 1 ± 1e-7 to
    /// 1e-2, every eighth up to 0.5.
    fn near(&self, set: &ActiveSet, random: &mut Uniform) -> Vec<f64> {
        let dim = self.model.dim();
        let count = self.descriptors.len() / dim;
        let pick = |random: &mut Uniform| {
            let k = ((random.next() * count as f64) as usize).min(count - 1);
            &self.descriptors[k * dim..][..dim]
        };
        let mut from = Vec::with_capacity(LINES * dim);
        let mut along = Vec::with_capacity(LINES * dim);
        for _ in 0..LINES {
            let (a, b) = (pick(random), pick(random));
            let bend = 0.3 * random.next();
            from.extend_from_slice(a);
            for (a, b) in a.iter().zip(b) {
                along.push((b - a) + bend * (2.0 * random.next() - 1.0) * (a.abs() + 0.1));
            }
        }
        let at = |t: &[f64]| -> Vec<f64> {
            let rows = from.chunks_exact(dim).zip(along.chunks_exact(dim)).zip(t);
            rows.flat_map(|((from, along), t)| from.iter().zip(along).map(move |(a, d)| a + t * d))
                .collect()
        };
        // Out until all are above, then in by halves and by chords.
        let mut high = vec![1.0; LINES];
        for _ in 0..12 {
            let grades = self.grades(set, &at(&high));
            for (t, g) in high.iter_mut().zip(grades) {
                if g <= THRESHOLD {
                    *t *= 1.7;
                }
            }
        }
        let mut low = vec![0.0; LINES];
        let mut ends = [self.grades(set, &at(&low)), self.grades(set, &at(&high))];
        let mut slope = vec![0.0; LINES];
        for round in 0..14 {
            let t: Vec<f64> = (0..LINES)
                .map(|k| {
                    let share = (THRESHOLD - ends[0][k]) / (ends[1][k] - ends[0][k]);
                    let share = if round % 3 == 2 { 0.5 } else { share };
                    low[k] + share.clamp(0.01, 0.99) * (high[k] - low[k])
                })
                .collect();
            for (k, g) in self.grades(set, &at(&t)).into_iter().enumerate() {
                if g > THRESHOLD {
                    (high[k], ends[1][k]) = (t[k], g);
                } else {
                    (low[k], ends[0][k]) = (t[k], g);
                }
                slope[k] = (ends[1][k] - ends[0][k]) / (high[k] - low[k]);
            }
        }
        let mut out = Vec::with_capacity(LINES * ON_LINE * dim);
        for n in 0..ON_LINE {
            let t: Vec<f64> = (0..LINES)
                .map(|k| {
                    let size = match n % 8 {
                        7 => 10f64.powf(-2.0 + 1.7 * random.next()),
                        _ => 10f64.powf(-7.0 + 5.0 * random.next()),
                    };
                    let sign = if random.next() < 0.5 { -1.0 } else { 1.0 };
                    let middle = low[k] + (THRESHOLD - ends[0][k]) / slope[k];
                    middle + sign * size * THRESHOLD / slope[k]
                })
                .collect();
            out.extend(at(&t));
        }
        out
    }
}

/// What became of the vectors at a distance from the threshold.
#[derive(Clone, Default)]
struct Tally {
    vectors: usize,
    above: usize,
}

/// Grades so many vectors with each kind of set, and prints a table.
fn compare(vectors: usize) {
    let mut cuda = backend(Precision::F64);
    let pool = Pool::new();
    let mut text = String::from(
        "| set | vectors | above, device and processor alike | nearer than 1e-6 | to 1e-5 | to 1e-4 | to 1e-3 | to 1e-2 | beyond | by itself |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, options) in [
        ("ridge", BuildOptions::default()),
        ("compatibility", BuildOptions::compat()),
    ] {
        let set = pool.set(&options);
        let mut random = Uniform(23);
        let mut tallies = vec![Tally::default(); 6];
        let (mut done, mut alone) = (0, 0);
        while done < vectors / 2 {
            let q = pool.near(&set, &mut random);
            let full = pool.grades(&set, &q);
            let types = vec![0; full.len()];
            let found = cuda
                .grade_descriptors(&pool.model, &set, &types, &q, Effort::Above(THRESHOLD))
                .unwrap();
            done += full.len();
            for (k, (found, full)) in found.iter().zip(&full).enumerate() {
                let mut full = *full;
                if (full / THRESHOLD - 1.0).abs() < 1e-7 {
                    // So near, the CPU's result depends on the rows that are multiplied together: an atom
                    // counts as it is by itself.
                    full = pool.grades(&set, &q[k * pool.model.dim()..][..pool.model.dim()])[0];
                    alone += 1;
                }
                assert_eq!(
                    found.total > THRESHOLD,
                    full > THRESHOLD,
                    "{name}, vector {k}: {found:?}, processor {full}"
                );
                let far = (full / THRESHOLD - 1.0).abs();
                let place = (far.log10() + 7.0).floor().clamp(0.0, 5.0) as usize;
                tallies[place].vectors += 1;
                tallies[place].above += usize::from(full > THRESHOLD);
            }
        }
        let above: usize = tallies.iter().map(|t| t.above).sum();
        let cells: Vec<String> = tallies.iter().map(|t| t.vectors.to_string()).collect();
        text += &format!(
            "| {name} | {done} | {above} | {} | {alone} |\n",
            cells.join(" | ")
        );
        // The vectors are where they should be, on both sides.
        let near: usize = tallies[..5].iter().map(|t| t.vectors).sum();
        assert!(near * 10 > done * 7, "{text}");
        assert!(above * 4 > done && above * 4 < 3 * done, "{text}");
    }
    println!("{text}");
}

#[test]
fn vectors_near_a_threshold_are_on_the_side_where_the_processor_has_them() {
    compare(60_000);
}

/// `cargo test --test device millions -- --ignored --nocapture` tells how many were where.
#[test]
#[ignore = "takes minutes"]
fn millions_of_vectors_near_a_threshold_are_where_the_processor_has_them() {
    compare(2_100_000);
}
