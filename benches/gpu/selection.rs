//! Choosing the rows of largest volume from large pools: by the CPU, and with the rows on the device.

use super::systems::Random;
use nepal::grade::{MaxvolOptions, maxvol};
use nepal::{Precision, Result};
use nepal_cuda::{Cuda, Options};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// A pool of random rows.
pub struct Case {
    pub name: &'static str,
    rows: usize,
    columns: usize,
}

pub fn cases(quick: bool) -> [Case; 1] {
    let shrink = if quick { 20 } else { 1 };
    [Case {
        name: "random rows",
        rows: 50_000 / shrink,
        columns: 660 / shrink,
    }]
}

/// What was chosen, and how long it took.
pub struct Chosen {
    name: &'static str,
    shape: [usize; 2],
    rank: usize,
    exchanges: usize,
    /// Passes over all rows.
    passes: usize,
    /// Seconds of the CPU alone and with the device.
    seconds: [f64; 2],
    /// Whether both chose the same.
    pub same: bool,
    /// Milliseconds and launches of each kernel.
    kernels: BTreeMap<&'static str, (f64, usize)>,
}

/// Times one case.
pub fn measure(case: &Case) -> Result<Chosen> {
    let mut cuda = Cuda::new(Options::from_environment(0), Precision::F64)?;
    cuda.time_kernels(true);
    let mut out = random(case, &mut cuda)?;
    for (name, ms) in cuda.kernel_times()? {
        let entry = out.kernels.entry(name).or_default();
        entry.0 += ms;
        entry.1 += 1;
    }
    Ok(out)
}

fn random(case: &Case, cuda: &mut Cuda) -> Result<Chosen> {
    let n = case.columns;
    let mut random = Random(11);
    let data: Vec<f64> = (0..case.rows * n)
        .map(|k| (2.0 * random.next() - 1.0) * 10f64.powf(-3.0 * (k % n) as f64 / n as f64))
        .collect();
    let options = MaxvolOptions {
        tolerance: 1.01,
        max_iterations: 100_000,
        batch: 10_000,
        final_pass: true,
        refresh: 200,
    };
    let start = Instant::now();
    let expected = maxvol(&data, n, &options)?;
    let cpu = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let found = cuda.maxvol(&data, n, &options)?;
    let device = start.elapsed().as_secs_f64();
    Ok(Chosen {
        name: case.name,
        shape: [case.rows, n],
        rank: n,
        exchanges: found.iterations.iter().sum(),
        passes: found.iterations.len(),
        seconds: [cpu, device],
        same: found.selected == expected.selected,
        kernels: BTreeMap::new(),
    })
}

impl Chosen {
    /// Bytes that the kernels have to move and operations in f64: each pass multiplies all rows with a
    /// square matrix, each exchange reads and writes the coefficients of the active rows and, at most,
    /// four times as many others.
    fn floor(&self) -> [f64; 2] {
        let (rows, n) = (self.shape[0] as f64, self.rank as f64);
        let passes = self.passes as f64;
        [
            passes * 8.0 * rows * n + self.exchanges as f64 * 16.0 * 2.0 * n * n,
            passes * 2.0 * rows * n * n,
        ]
    }

    fn kernels_ms(&self) -> f64 {
        self.kernels.values().map(|k| k.0).sum()
    }

    pub fn line(&self) -> String {
        format!(
            "{}, {} x {}: {} rows after {} exchanges, {:.2} s on the CPU, {:.2} s with the device ({:.1} ms in its kernels){}",
            self.name,
            self.shape[0],
            self.shape[1],
            self.rank,
            self.exchanges,
            self.seconds[0],
            self.seconds[1],
            self.kernels_ms(),
            if self.same { "" } else { ": NOT THE SAME ROWS" }
        )
    }

    /// A row of the table; the floor counts bytes at the measured bandwidth, as 2 n rows are exchanged on
    /// the average, and the operations at NVIDIA's number for f64 on an H200's tensor cores.
    pub fn table_row(&self, bandwidth: f64) -> String {
        const F64_PER_SECOND: f64 = 67e12;
        let [bytes, operations] = self.floor();
        format!(
            "| {}{} | {} x {} | {} | {} | {:.2} | {:.2} | {:.1} | {:.1} |",
            self.name,
            if self.same {
                ""
            } else {
                " (**NOT THE SAME ROWS**)"
            },
            self.shape[0],
            self.shape[1],
            self.rank,
            self.exchanges,
            self.seconds[0],
            self.seconds[1],
            self.kernels_ms(),
            1e3 * (bytes / bandwidth + operations / F64_PER_SECOND)
        )
    }

    pub fn json(&self) -> Value {
        let [bytes, operations] = self.floor();
        json!({
            "pool": self.name, "rows": self.shape[0], "columns": self.shape[1], "chosen": self.rank,
            "exchanges": self.exchanges, "passes": self.passes, "cpu_s": self.seconds[0],
            "with_device_s": self.seconds[1], "same_rows": self.same,
            "kernels": self.kernels.iter().map(|(name, (ms, launches))| json!({"name": name, "ms": ms, "launches": launches})).collect::<Vec<_>>(),
            "floor": {"bytes": bytes, "f64_operations": operations},
        })
    }
}
