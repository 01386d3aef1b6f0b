//! Tables of results.

use super::floor::{self, Floor};
use super::selection::Chosen;
use super::systems::System;
use super::training::Trained;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A system of a size, timed.
pub struct Row {
    pub system: &'static str,
    pub atoms: usize,
    /// Steps between grades; 0 without.
    pub every: usize,
    /// Milliseconds a step of each kernel.
    pub kernels: BTreeMap<&'static str, f64>,
    /// Seconds a step, copies from and to the host included; the median.
    pub wall: f64,
    /// The mean.
    pub mean_wall: f64,
    /// Held on the device.
    pub bytes: usize,
    pub floor: Floor,
}

/// Kernels that run in every step; the others make lists.
const STEP: [&str; 6] = [
    "nepal_moved",
    "nepal_places",
    "nepal_descriptor",
    "nepal_network",
    "nepal_partial",
    "nepal_forces",
];

impl Row {
    /// Milliseconds a step in the kernels of a force step, in making lists, and in grades.
    fn split(&self) -> [f64; 3] {
        let (mut step, mut lists, mut grades) = (0.0, 0.0, 0.0);
        for (name, ms) in &self.kernels {
            let of_grades = ["nepal_grade", "nepal_features"];
            if STEP.contains(name) {
                step += ms;
            } else if of_grades.iter().any(|start| name.starts_with(start)) {
                grades += ms;
            } else {
                lists += ms;
            }
        }
        [step, lists, grades]
    }

    fn mode(&self) -> String {
        match self.every {
            0 => "force".into(),
            1 => "force + grade".into(),
            n => format!("force + grade every {n}"),
        }
    }

    pub fn line(&self) -> String {
        let [step, lists, grades] = self.split();
        format!(
            "{}, {} atoms, {}: {step:.3} ms a force step on the device, {lists:.3} ms for lists, {grades:.3} ms for grades, {:.3} ms with copies",
            self.system,
            self.atoms,
            self.mode(),
            1e3 * self.wall
        )
    }
}

/// What a step has to compute and to move; computed, not measured.
pub fn floors(systems: &[System]) -> String {
    let mut text = String::from(
        "| system | radial, angular neighbours | operations an atom | bytes an atom |\n|---|---|---|---|\n",
    );
    for system in systems {
        let floor = floor::of(system);
        let [radial, angular] = floor.neighbors;
        let _ = writeln!(
            text,
            "| {} | {radial:.1}, {angular:.1} | {:.0} | {:.0} |",
            system.name, floor.operations, floor.bytes
        );
    }
    text
}

/// What is known so far; written after every addition.
pub struct Report {
    folder: PathBuf,
    device: String,
    checks: Vec<String>,
    failures: Vec<String>,
    wrong: bool,
    peaks: [f64; 2],
    rows: Vec<Row>,
    selections: Vec<Chosen>,
    trained: Option<Trained>,
}

impl Report {
    pub fn new(folder: &Path, device: String) -> Self {
        Self {
            folder: folder.to_owned(),
            device,
            checks: Vec::new(),
            failures: Vec::new(),
            wrong: false,
            peaks: [f64::NAN; 2],
            rows: Vec::new(),
            selections: Vec::new(),
            trained: None,
        }
    }

    pub fn check(&mut self, found: Result<String, String>) {
        let line = match found {
            Ok(line) => line,
            Err(why) => {
                self.wrong = true;
                format!("**FAILED**: {why}")
            }
        };
        println!("{line}");
        self.checks.push(line);
        self.write();
    }

    pub fn peaks(&mut self, peaks: [f64; 2]) {
        self.peaks = peaks;
        self.write();
    }

    pub fn trained(&mut self, trained: Trained) {
        println!("{}", trained.text());
        self.trained = Some(trained);
        self.write();
    }

    pub fn row(&mut self, row: Row) {
        println!("{}", row.line());
        self.rows.push(row);
        self.write();
    }

    pub fn selection(&mut self, chosen: Chosen) {
        println!("{}", chosen.line());
        self.wrong |= !chosen.same;
        self.selections.push(chosen);
        self.write();
    }

    pub fn failed(&mut self, what: String) {
        println!("NOT MEASURED: {what}");
        self.failures.push(what);
        self.write();
    }

    /// Whether a check failed.
    pub fn wrong(&self) -> bool {
        self.wrong
    }

    /// Says where the results are.
    pub fn told(&self) {
        println!("wrote gpu.json and gpu.md to {}", self.folder.display());
    }

    /// Writes `gpu.json` and `gpu.md`. What cannot be written is told and does not stop the run.
    pub fn write(&self) {
        let (json, text) = self.content();
        for (name, content) in [("gpu.json", json), ("gpu.md", text)] {
            let file = self.folder.join(name);
            if let Err(e) = std::fs::write(&file, content) {
                eprintln!("{}: {e}", file.display());
            }
        }
    }

    fn content(&self) -> (String, String) {
        let [bandwidth, operations] = self.peaks;
        let commit = option_env!("NEPAL_COMMIT").unwrap_or("unknown");
        let mut text = format!(
            "# nepal on {}\n\nMeasured by `gpu` itself, commit {commit}: copies at {:.0} GB/s, f32 multiply-adds at {:.1} Tflop/s. \
         Atoms times steps per second count the kernels of a force step; the bound is the larger of floor operations \
         and floor bytes at these rates.\n\n",
            self.device,
            bandwidth * 1e-9,
            operations * 1e-12
        );
        for line in &self.checks {
            let _ = writeln!(text, "- {line}");
        }
        text += "\n| system | atoms | mode | atoms·steps/s | of the bound | lists / step | grades / step | with copies, atoms·steps/s | bytes an atom |\n|---|---|---|---|---|---|---|---|---|\n";
        let mut json_rows = Vec::new();
        for row in &self.rows {
            let [step, lists, grades] = row.split();
            let speed = row.atoms as f64 / (step * 1e-3);
            let bound = 1.0 / (row.floor.operations / operations).max(row.floor.bytes / bandwidth);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {speed:.3e} | {:.0} % | {:.1} % | {:.1} % | {:.3e} | {} |",
                row.system,
                row.atoms,
                row.mode(),
                100.0 * speed / bound,
                100.0 * lists / step,
                100.0 * grades / step,
                row.atoms as f64 / row.mean_wall,
                row.bytes / row.atoms
            );
            json_rows.push(json!({
            "system": row.system, "atoms": row.atoms, "kernels_ms": row.kernels,
            "grades_every": row.every, "step_ms": step, "lists_ms": lists, "grades_ms": grades,
            "wall_median_s": row.wall, "wall_mean_s": row.mean_wall, "device_bytes": row.bytes,
            "atoms_steps_per_s": speed, "bound": bound,
            "floor": {"operations": row.floor.operations, "bytes": row.floor.bytes, "neighbors": row.floor.neighbors},
        }));
        }
        text +=
            "\nMilliseconds a step by kernel, for the largest system of each model and mode:\n\n";
        let mut largest: BTreeMap<(&str, usize), &Row> = BTreeMap::new();
        for row in &self.rows {
            largest.insert((row.system, row.every), row);
        }
        for row in largest.values() {
            let _ = writeln!(
                text,
                "- {} ({} atoms, {})",
                row.system,
                row.atoms,
                row.mode()
            );
            for (name, ms) in &row.kernels {
                let _ = writeln!(text, "  - {name}: {ms:.4}");
            }
        }
        if !self.selections.is_empty() {
            text += "\nRows of largest volume, on the CPU and with the device; the rows are the same:\n\n| pool | rows x columns | chosen | exchanges | CPU, s | with the device, s | kernels, ms | floor of the kernels, ms |\n|---|---|---|---|---|---|---|---|\n";
        }
        for chosen in &self.selections {
            let _ = writeln!(text, "{}", chosen.table_row(bandwidth));
        }
        if let Some(trained) = &self.trained {
            let _ = write!(text, "\n{}", trained.text());
        }
        if !self.failures.is_empty() {
            text += "\nNot measured:\n\n";
        }
        for line in &self.failures {
            let _ = writeln!(text, "- {line}");
        }
        let selections: Vec<_> = self.selections.iter().map(Chosen::json).collect();
        let all = json!({
            "device": self.device, "version": env!("CARGO_PKG_VERSION"), "commit": commit, "checks": self.checks,
            "bandwidth_bytes_per_s": bandwidth, "f32_operations_per_s": operations, "rows": json_rows,
            "selections": selections, "training": self.trained.as_ref().map(Trained::json), "not_measured": self.failures,
        });
        (
            serde_json::to_string_pretty(&all).expect("numbers and strings"),
            text,
        )
    }
}
