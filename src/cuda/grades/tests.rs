//! The first look's bounds, by the kernels' own text on the stand-in, where features are what a test
//! wants: many random ones, and ones made so that all roundings go one way.

use super::args::GradeArgs;
use super::look::{Look, Products};
use crate::Options;
use crate::driver::{Device, Driver};
use crate::memory::Buffer;
use crate::program::Program;
use crate::source::Shape;
use nepal_core::backend::Precision;
use nepal_core::grade::FirstLook;
use std::sync::Arc;

#[path = "../../../tests/device/stand_in.rs"]
mod stand_in;

/// Splitmix64, and what is drawn from it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn signed(&mut self) -> f64 {
        2.0 * self.uniform() - 1.0
    }

    /// A size of any of the decades, with a sign.
    fn decades(&mut self, from: f64, to: f64) -> f64 {
        let size = 10f64.powf(from + (to - from) * self.uniform());
        if self.next() & 1 == 0 { size } else { -size }
    }
}

/// A device with a first look at `n` features, the last but one of which is fixed and weighs nothing.
struct Bench {
    device: Arc<Device>,
    program: Program,
    look: Look,
    n: usize,
    columns: usize,
    weights: Vec<f64>,
    center: Vec<f64>,
    offsets: Vec<f64>,
}

/// What a row looks like, and whether it goes on.
struct Seen {
    gamma: f64,
    bound: f64,
    passed: bool,
}

impl Bench {
    /// `weights` are `[n][columns]`.
    fn new(n: usize, mut weights: Vec<f64>, mut center: Vec<f64>, products: Products) -> Self {
        let stand_in = stand_in::stand_in();
        let options = Options {
            driver: Some(stand_in.driver.clone()),
            nvrtc: Some(stand_in.nvrtc.clone()),
            cache: Some(stand_in.cache.clone()),
            device: 0,
        };
        let driver = Driver::open(options.driver.as_deref()).unwrap();
        let device = Device::new(&driver, 0).unwrap();
        let shape = Shape {
            precision: Precision::F64,
            n_radial: [1; 2],
            n_basis: [1; 2],
            l_max: 1,
            many_body: [false; 6],
            neurons: [1, 0],
            dim: n - 2,
            zbl: false,
            single: true,
        };
        let program = Program::new(&device, &shape.grade_source(), &options).unwrap();
        let columns = weights.len() / n;
        weights[(n - 2) * columns..][..columns].fill(0.0);
        center[n - 2] = -1.0;
        let offsets: Vec<f64> = (0..columns)
            .map(|c| (0..n).map(|j| center[j] * weights[j * columns + c]).sum())
            .collect();
        let single: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
        let units = vec![1.0; n];
        let first = FirstLook {
            weights: &single,
            columns,
            probes: 0,
            units: &units,
            center: &center,
            offsets: &offsets,
            probe_length: 0.0,
            margin: 0.5,
        };
        let look = Look::new(&device, &first, n, products, 4e-16 * n as f64).unwrap();
        Self {
            device,
            program,
            look,
            n,
            columns,
            weights,
            center,
            offsets,
        }
    }

    /// The largest |coefficient| of a row, in f64.
    fn exact(&self, z: &[f64]) -> f64 {
        let mut c = self.offsets.clone();
        for (j, (z, center)) in z.iter().zip(&self.center).enumerate() {
            let z = z - center;
            for (c, w) in c.iter_mut().zip(&self.weights[j * self.columns..]) {
                *c += z * w;
            }
        }
        c.iter().fold(0.0, |m, x| x.abs().max(m))
    }

    /// Rows of features, `[rows][n]`, through the kernels.
    fn look(&self, z: &[f64], threshold: f64) -> Vec<Seen> {
        let n = self.n;
        let rows = z.len() / n;
        let d = &self.device;
        // One neuron of slope 1: the features are the descriptors, -1, the neuron.
        let q: Vec<f64> = z
            .chunks_exact(n)
            .flat_map(|z| z[..n - 2].to_vec())
            .collect();
        let x: Vec<f64> = z.chunks_exact(n).map(|z| z[n - 1]).collect();
        let list: Vec<u32> = (0..rows as u32).collect();
        let padded = rows.next_multiple_of(32);
        let tiles = self.look.tiles;
        let column_tiles = self.look.column_tiles[0];
        let (q, x) = (
            Buffer::from_slice(d, &q).unwrap(),
            Buffer::from_slice(d, &x).unwrap(),
        );
        let slope = Buffer::from_slice(d, &vec![1.0; rows]).unwrap();
        let list = Buffer::from_slice(d, &list).unwrap();
        let mut lengths = Buffer::<f64>::new(d);
        let [mut high, mut low] = [0; 2].map(|_| Buffer::<[u32; 4]>::new(d));
        let mut partial = Buffer::<f64>::new(d);
        let [mut gamma, mut rho, mut grade] = [0; 3].map(|_| Buffer::<f64>::new(d));
        let [mut passed, mut count] = [0; 2].map(|_| Buffer::<u32>::new(d));
        let mut args = GradeArgs {
            rows: padded as u64,
            total: rows as u64,
            list: list.address(),
            q: q.address(),
            x: x.address(),
            slope: slope.address(),
            residual_scale: 1.0,
            kappa: 1.0,
            rounding: [4e-16 * n as f64; 2],
            lengths: lengths.reserve(2 * padded).unwrap(),
            high: high.reserve(2 * padded * tiles).unwrap(),
            low: low.reserve(2 * padded * tiles).unwrap(),
            partial: partial.reserve(padded * column_tiles * 8).unwrap(),
            gamma: gamma.reserve(rows).unwrap(),
            rho: rho.reserve(rows).unwrap(),
            grade: grade.reserve(rows).unwrap(),
            passed: passed.reserve(rows).unwrap(),
            passed_count: count.zero(1).unwrap(),
            ..GradeArgs::default()
        };
        self.look.enter(&mut args, threshold);
        let (kernel, _) = self.look.kernel();
        for (name, threads) in [
            ("nepal_screen_lengths", rows),
            ("nepal_screen_features", 2 * padded * tiles),
            (kernel, padded * column_tiles),
            ("nepal_screen_end", rows),
        ] {
            self.program.launch(name, threads as u64, &args).unwrap();
        }
        let mut number = [0];
        count.download(&mut number).unwrap();
        let mut going = vec![0; number[0] as usize];
        passed.download(&mut going).unwrap();
        let mut parts = vec![0.0; rows * column_tiles * 8];
        partial.download(&mut parts).unwrap();
        let mut seen: Vec<Seen> = parts
            .chunks_exact(column_tiles * 8)
            .map(|parts| Seen {
                gamma: parts.iter().step_by(2).copied().fold(0.0, f64::max),
                bound: parts.iter().skip(1).step_by(2).copied().fold(0.0, f64::max),
                passed: false,
            })
            .collect();
        for k in going {
            seen[k as usize].passed = true;
        }
        seen
    }

    /// Checks rows against f64; gives the largest part of the bound that an error takes up, where the
    /// row and its column are told: with one column.
    fn check(&self, z: &[f64], threshold: f64) -> Vec<f64> {
        let seen = self.look(z, threshold);
        z.chunks_exact(self.n)
            .zip(seen)
            .map(|(z, seen)| {
                let exact = self.exact(z);
                assert!(
                    exact <= seen.bound,
                    "{exact} is above the bound {} of {}: {z:?}",
                    seen.bound,
                    seen.gamma
                );
                assert!(seen.passed || exact <= threshold, "{exact}");
                assert!(seen.passed != (seen.bound <= threshold));
                (exact - seen.gamma).abs() / (seen.bound - seen.gamma)
            })
            .collect()
    }
}

const KINDS: [Products; 2] = [Products::Single, Products::Pairs];

/// Features of all sorts, scaled so that f64 has them within 1e-7 to 1e-2 of the threshold: none that
/// is above it is held back.
fn random_rows(rows: usize) {
    for products in KINDS {
        for (n, columns, center) in [(96, 40, 0.0), (35, 5, 1.0), (210, 70, 3.0)] {
            let mut random = Random(n as u64);
            let sizes: Vec<f64> = (0..columns).map(|_| random.decades(-3.0, 3.0)).collect();
            let mut weights: Vec<f64> = (0..n * columns)
                .map(|k| sizes[k % columns] * random.signed() * random.uniform().powi(3))
                .collect();
            let center: Vec<f64> = (0..n).map(|_| center * random.signed()).collect();
            // The center itself is below the threshold.
            let offset = |c| {
                (0..n)
                    .map(|j| center[j] * weights[j * columns + c])
                    .sum::<f64>()
            };
            let largest = (0..columns)
                .map(offset)
                .fold(1.0, |m: f64, x| m.max(x.abs()));
            weights.iter_mut().for_each(|w| *w /= largest);
            let bench = Bench::new(n, weights, center, products);
            let threshold = 2.0;
            let (mut done, mut held, mut near) = (0, 0, 0);
            while done < rows / 6 {
                let mut z = Vec::new();
                for row in 0..2048 {
                    let kind = random.next() % 3;
                    let column = random.next() as usize % columns;
                    let mut d: Vec<f64> = (0..n)
                        .map(|j| match kind {
                            0 => random.signed(),
                            1 => random.decades(-7.0, 1.0),
                            // Along a column: as little cancels as can be.
                            _ => {
                                bench.weights[j * columns + column] * (1.0 + 0.1 * random.signed())
                            }
                        })
                        .collect();
                    d[n - 2] = 0.0;
                    // |o + t w·d| of the first column to reach the target.
                    let size = match row % 8 {
                        7 => 10f64.powf(-2.0 + 1.9 * random.uniform()),
                        _ => 10f64.powf(-7.0 + 5.0 * random.uniform()),
                    };
                    let sign = if random.next() & 1 == 0 { -1.0 } else { 1.0 };
                    let target = threshold * (1.0 + sign * size);
                    let mut t = f64::INFINITY;
                    for c in 0..columns {
                        let along: f64 =
                            (0..n).map(|j| d[j] * bench.weights[j * columns + c]).sum();
                        for s in [-1.0, 1.0] {
                            let reach = (s * target - bench.offsets[c]) / along;
                            if reach > 0.0 && bench.offsets[c].abs() < target {
                                t = t.min(reach);
                            }
                        }
                    }
                    if !t.is_finite() {
                        t = 1.0;
                    }
                    z.extend((0..n).map(|j| match j == n - 2 {
                        true => -1.0,
                        false => bench.center[j] + t * d[j],
                    }));
                }
                bench.check(&z, threshold);
                for (z, seen) in z.chunks_exact(n).zip(bench.look(&z, threshold)) {
                    held += usize::from(!seen.passed);
                    near += usize::from((bench.exact(z) / threshold - 1.0).abs() < 1e-2);
                }
                done += 2048;
            }
            println!("{products:?} {n} x {columns}: {done} rows, {near} near, {held} held back");
        }
    }
}

#[test]
fn rows_near_a_threshold_are_held_back_only_below_it() {
    random_rows(24_000);
}

#[test]
#[ignore = "takes minutes; --nocapture tells the numbers"]
fn millions_of_rows_near_a_threshold_are_held_back_only_below_it() {
    random_rows(2_400_000);
}

/// Numbers just below halfway between halves, and the like: how much of the bound they take up.
fn made_to_break(products: Products) -> f64 {
    let n = 96;
    let mut worst = 0.0f64;
    let up = 2f64.powi(-11);
    // What rounding a half, or a pair of them, leaves at most.
    let left = match products {
        Products::Single => up,
        Products::Pairs => 2f64.powi(-22),
    };
    for way in [-1.0, 1.0] {
        // All weights and features lie as far from a half as they can, on the same side.
        let off = 1.0 + way * left * (1.0 - 1e-3);
        let base = match (products, way > 0.0) {
            (Products::Single, true) => 1.0,
            (Products::Single, false) => 1.0 + 2.0 * up,
            // What is left over is itself of the largest that a half leaves.
            (Products::Pairs, _) => 1.0 + up * (1.0 - 2.0 * up),
        };
        let bench = Bench::new(n, vec![base * off; n], vec![0.0; n], products);
        for size in [2f64.powi(-20), 2f64.powi(-15), 1.0, 2f64.powi(10), 7e4] {
            let mut z = vec![base * off * size; n];
            z[n - 2] = -1.0;
            worst = worst.max(bench.check(&z, 1.0)[0]);
        }
    }
    // Rows of any digits, changed where that adds to the error.
    let mut random = Random(77);
    let weights: Vec<f64> = (0..n).map(|_| 0.5 + random.uniform()).collect();
    let bench = Bench::new(n, weights, vec![0.0; n], products);
    let many = 256;
    let mut best: Vec<f64> = (0..n).map(|_| random.signed()).collect();
    best[n - 2] = -1.0;
    let mut most = 0.0;
    for _ in 0..60 {
        let mut rows = Vec::with_capacity(many * n);
        for _ in 0..many {
            let mut row = best.clone();
            for _ in 0..1 + random.next() % 6 {
                let j = random.next() as usize % n;
                if j != n - 2 {
                    row[j] = match random.next() % 3 {
                        0 => random.signed(),
                        1 => row[j] * (1.0 + 1e-3 * random.signed()),
                        // Just below or above halfway between two halves.
                        _ => {
                            let half = super::half::value(super::half::bits(row[j]));
                            half * (1.0 + up * random.signed())
                        }
                    };
                }
            }
            rows.extend(row);
        }
        for (row, part) in rows.chunks_exact(n).zip(bench.check(&rows, 1.0)) {
            if part > most {
                most = part;
                best.copy_from_slice(row);
            }
        }
    }
    println!("{products:?}: {worst:.3} of the bound by design, {most:.3} by search");
    worst.max(most)
}

#[test]
fn no_row_made_to_break_the_bound_does() {
    // All roundings of halves can go one way, so that the bound is used up but for its hundredth; what
    // is left of pairs is bounded together with sums that seldom lose as much as they may.
    for (products, least) in KINDS.into_iter().zip([0.9, 0.02]) {
        let part = made_to_break(products);
        assert!(
            part > least,
            "{products:?}: the search found no more than {part}"
        );
    }
    // Where nothing is left, too much, or no number, rows go on.
    let n = 20;
    for products in KINDS {
        let bench = Bench::new(n, vec![1.0; n], vec![0.0; n], products);
        let mut z = vec![0.0; n];
        z[n - 2] = -1.0;
        assert!(!bench.look(&z, 1.0)[0].passed);
        for bad in [1e6, 1e300, f64::INFINITY, f64::NAN] {
            let mut z = z.clone();
            z[3] = bad;
            assert!(bench.look(&z, 1.0)[0].passed, "{bad}");
            z[4] = -bad;
            assert!(bench.look(&z, 1.0)[0].passed, "{bad}");
        }
    }
}

/// The same with tensor cores that cut off what f32 cannot hold instead of rounding.
#[test]
fn bounds_hold_for_sums_that_are_truncated() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.arg("--exact");
    for test in [
        "no_row_made_to_break_the_bound_does",
        "rows_near_a_threshold_are_held_back_only_below_it",
    ] {
        command.arg(format!("grades::tests::{test}"));
    }
    command.arg("--nocapture").env("FAKE_MMA", "truncate");
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("2 passed"), "{text}");
}
