//! What training asks of a device: gradients and products with the Jacobian of the PbTe training set
//! (25 structures of 250 atoms), and of 16 rattled copies of it, beside the processor and the floor.

use super::systems::{Random, System};
use nepal::system::xyz::FrameReader;
use nepal::{Frame, Model, NeighborList, Precision};
use nepal_cuda::{Cuda, Options};
use nepal_train::{Device, LeastSquares, NepIn};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Instant;

const SETTINGS: &str = "type 2 Te Pb\n";
/// Copies of the training set.
const COPIES: [usize; 2] = [1, 16];
const REPEATS: usize = 20;
const OPERATIONS: [&str; 3] = ["gradient", "J v", "Jᵀ y"];

/// One size of the set.
struct Row {
    atoms: usize,
    /// Median seconds on the device and the processor, by operation.
    device: [f64; 3],
    processor: [f64; 3],
    /// Milliseconds of each kernel of a gradient.
    kernels: BTreeMap<&'static str, f64>,
    /// Largest difference of the two, relative to the largest number, by operation.
    difference: [f64; 3],
}

/// All that was measured.
pub struct Trained {
    threads: usize,
    /// Operations and bytes of a gradient, an atom.
    floor: [f64; 2],
    /// f64 multiply-adds and copied bytes a second.
    peaks: [f64; 2],
    rows: Vec<Row>,
    failure: Option<String>,
}

fn frames() -> Vec<Frame> {
    let packed: &[u8] = include_bytes!("../../tests/data/pbte_nep_train/train.xyz.gz");
    let text = std::io::BufReader::new(flate2::read::GzDecoder::new(packed));
    let frames = FrameReader::new(text, "train.xyz").collect::<Result<_, _>>();
    frames.expect("a file of the tests")
}

/// The frames again with other positions: equal ones would be left out.
fn copies(frames: &[Frame], count: usize) -> Vec<Frame> {
    let mut random = Random(11);
    let mut all = Vec::new();
    for copy in 0..count {
        for frame in frames {
            let mut frame = frame.clone();
            if copy > 0 {
                for x in frame.structure.positions.as_flattened_mut() {
                    *x += 0.02 * (random.next() - 0.5);
                }
            }
            all.push(frame);
        }
    }
    all
}

/// Median seconds of a call, and what it gave.
fn time(repeats: usize, mut call: impl FnMut() -> Vec<f64>) -> (f64, Vec<f64>) {
    let out = call();
    let mut seconds: Vec<f64> = (0..repeats)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[repeats / 2], out)
}

/// Seconds of each operation, and what they gave.
fn times(set: &LeastSquares, model: &Model, repeats: usize) -> ([f64; 3], [Vec<f64>; 3]) {
    let (p, q) = (model.parameters(), model.q_scaler());
    let wave = |len: usize| -> Vec<f64> { (0..len).map(|i| (0.7 * i as f64).sin()).collect() };
    let v = wave(p.len());
    let y = wave(set.residuals(p, q).len());
    let runs = [
        time(repeats, || set.gradient(p, q).1),
        time(repeats, || set.push(p, q, &v)),
        time(repeats, || set.pull(p, q, &y)),
    ];
    let seconds = [0, 1, 2].map(|k| runs[k].0);
    (seconds, runs.map(|run| run.1))
}

/// Checks and measures; what cannot be measured is told.
pub fn measure(system: &System, quick: bool) -> Trained {
    let config = NepIn::parse(SETTINGS, "nep.in").expect("settings");
    let text = include_bytes!("../../tests/data/pbte_nep_train/nep.txt");
    let model = Model::parse(&text[..], "PbTe").expect("a model of the tests");
    let frames = frames();
    let mut trained = Trained {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        floor: floor(&model, &frames[0]),
        peaks: [f64::NAN; 2],
        rows: Vec::new(),
        failure: None,
    };
    if let Err(e) = fill(&mut trained, system, &config, &model, &frames, quick) {
        trained.failure = Some(e.to_string());
    }
    trained
}

fn fill(
    trained: &mut Trained,
    system: &System,
    config: &NepIn,
    model: &Model,
    frames: &[Frame],
    quick: bool,
) -> nepal::Result<()> {
    let mut cuda = Cuda::new(Options::from_environment(0), Precision::F64)?;
    let [bytes, operations] = super::peaks(&mut cuda, system, quick);
    trained.peaks = [operations, bytes];
    for count in if quick { &COPIES[..1] } else { &COPIES[..] } {
        let repeats = if quick { 1 } else { REPEATS };
        let frames = copies(frames, *count);
        let new = |device| LeastSquares::new(config, &frames, [1.0, 1.0, 0.1], device);
        let (mut device, processor) = (new(Device::Number(0))?, new(Device::None)?);
        let (own, found) = times(&device, model, repeats);
        let (other, expected) = times(&processor, model, repeats.min(3));
        let difference = std::array::from_fn(|k| {
            let scale = expected[k].iter().fold(0.0f64, |m, x| m.max(x.abs()));
            let errors = found[k].iter().zip(&expected[k]);
            errors.fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / scale
        });
        let again = device.gradient(model.parameters(), model.q_scaler()).1;
        assert_eq!(again, found[0], "a repeat of the gradient differs");
        for (k, tolerance) in [1e-9, 1e-5, 1e-9].into_iter().enumerate() {
            assert!(
                difference[k] < tolerance,
                "training, {}: {difference:?}",
                OPERATIONS[k]
            );
        }
        device.time_kernels(true);
        device.gradient(model.parameters(), model.q_scaler());
        let mut kernels = BTreeMap::new();
        for (name, ms) in device.kernel_times() {
            *kernels.entry(name).or_default() += ms;
        }
        if let Some(warning) = device.warnings().iter().find(|w| w.contains("GPU")) {
            return Err(nepal::Error::Backend(warning.clone()));
        }
        trained.rows.push(Row {
            atoms: device.n_atoms(),
            device: own,
            processor: other,
            kernels,
            difference,
        });
    }
    Ok(())
}

/// Operations and bytes of a gradient, an atom: sums, networks and bonds once forward and once back,
/// a multiply-add as two; the geometry is read in both passes, partial forces and rates of bonds are
/// written once and read by both atoms.
fn floor(model: &Model, frame: &Frame) -> [f64; 2] {
    let (header, layout) = (model.header(), model.layout());
    let structure = &frame.structure;
    let list = NeighborList::build(&structure.cell, &structure.positions, model.cutoff())
        .expect("a structure of the tests");
    let mut bonds = [0.0; 2];
    for i in 0..structure.len() {
        for (_, r) in list.vectors(i, &structure.cell, &structure.positions) {
            let length = r.iter().map(|x| x * x).sum::<f64>().sqrt();
            for (count, cutoff) in bonds.iter_mut().zip(header.pair_cutoff(0, 1)) {
                *count += f64::from(u8::from(length < cutoff)) / structure.len() as f64;
            }
        }
    }
    let [n_r, n_a] = layout.n_radial.map(|n| n as f64);
    let [k_r, k_a] = layout.n_basis.map(|k| k as f64);
    let lm = (header.l_max * (header.l_max + 2)) as f64;
    let (dim, n1) = (layout.dim as f64, layout.neurons[0] as f64);
    let types = layout.n_types as f64;
    let sums = types * (n_r * k_r + n_a * k_a * lm);
    let network = n1 * dim;
    let forward = 2.0 * sums
        + 2.0 * types * n_r * k_r
        + 4.0 * network
        + 24.0 * n1
        + 8.0 * n_a * lm
        + bonds[0] * (2.0 * k_r + 15.0)
        + bonds[1] * (4.0 * n_a * (k_a + lm) + 16.0 * lm + 30.0);
    let reverse = 2.0 * sums
        + 4.0 * sums
        + 8.0 * network
        + 24.0 * n_a * lm
        + (bonds[0] + bonds[1]) * 20.0
        + bonds[0] * 2.0 * k_r
        + bonds[1] * (12.0 * lm + 4.0 * k_a * lm);
    let rows = bonds[0] * (k_r + 6.0) + bonds[1] * (2.0 * k_a + 6.0);
    let moved = (bonds[0] + bonds[1]) * 32.0;
    let bytes = 2.0 * 4.0 * (rows + types * (k_r + k_a * lm)) + 5.0 * moved + 2.0 * 8.0 * 3.0;
    [forward + reverse, bytes]
}

impl Trained {
    /// Seconds that an atom's gradient takes at least.
    fn bound(&self) -> f64 {
        (self.floor[0] / self.peaks[0]).max(self.floor[1] / self.peaks[1])
    }

    /// A section of `gpu.md`.
    pub fn text(&self) -> String {
        let mut text = format!(
            "Training, PbTe (f64): a gradient is at least {:.0} operations and {:.0} bytes an atom; f64 multiply-adds at {:.1} Tflop/s. \
             Copies from and to the host are in the times; the processor has {} threads.\n\n\
             | atoms | operation | device, ms | processor, ms | ratio | of the bound | largest difference |\n|---|---|---|---|---|---|---|\n",
            self.floor[0],
            self.floor[1],
            self.peaks[0] * 1e-12,
            self.threads
        );
        for row in &self.rows {
            for (k, name) in OPERATIONS.into_iter().enumerate() {
                let share = if k == 0 {
                    let kernels: f64 = row.kernels.values().sum();
                    format!(
                        "{:.0} %",
                        100.0 * self.bound() * row.atoms as f64 / (1e-3 * kernels)
                    )
                } else {
                    "-".into()
                };
                let _ = writeln!(
                    text,
                    "| {} | {name} | {:.3} | {:.1} | {:.1} | {share} | {:.1e} |",
                    row.atoms,
                    1e3 * row.device[k],
                    1e3 * row.processor[k],
                    row.processor[k] / row.device[k],
                    row.difference[k]
                );
            }
        }
        if let Some(row) = self.rows.last() {
            let _ = writeln!(
                text,
                "\nMilliseconds of a gradient of {} atoms by kernel:\n",
                row.atoms
            );
            for (name, ms) in &row.kernels {
                let _ = writeln!(text, "- {name}: {ms:.4}");
            }
        }
        if let Some(failure) = &self.failure {
            let _ = writeln!(text, "\nTraining: NOT MEASURED: {failure}");
        }
        text
    }

    /// The same as numbers.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = (self.rows.iter())
            .map(|row| {
                json!({
                    "atoms": row.atoms, "device_s": row.device, "processor_s": row.processor,
                    "kernels_ms": row.kernels, "difference": row.difference,
                })
            })
            .collect();
        json!({
            "operations": OPERATIONS, "threads": self.threads, "failure": self.failure,
            "floor": {"operations": self.floor[0], "bytes": self.floor[1]},
            "f64_operations_per_s": self.peaks[0], "rows": rows,
        })
    }
}
