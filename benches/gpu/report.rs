//! Tables of results.

use super::floor::{self, Floor};
use super::systems::System;
use super::training::Trained;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

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
    /// Share of the atoms that was graded in f64, where there were grades.
    pub exact: f64,
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
            let of_grades = [
                "nepal_grade",
                "nepal_screen",
                "nepal_prefilter",
                "nepal_features",
            ];
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

/// Writes `gpu.json` and `gpu.md`.
pub fn write(
    folder: &Path,
    device: &str,
    checks: &[String],
    peaks: [f64; 2],
    rows: &[Row],
    trained: &Trained,
) {
    let [bandwidth, operations] = peaks;
    let commit = option_env!("NEPAL_COMMIT").unwrap_or("unknown");
    let mut text = format!(
        "# nepal on {device}\n\nMeasured by `gpu` itself, commit {commit}: copies at {:.0} GB/s, f32 multiply-adds at {:.1} Tflop/s. \
         Atoms times steps per second count the kernels of a force step; the bound is the larger of floor operations \
         and floor bytes at these rates.\n\n",
        bandwidth * 1e-9,
        operations * 1e-12
    );
    for line in checks {
        let _ = writeln!(text, "- {line}");
    }
    text += "\n| system | atoms | mode | atoms·steps/s | of the bound | lists / step | grades / step | in f64 | with copies, atoms·steps/s | bytes an atom |\n|---|---|---|---|---|---|---|---|---|---|\n";
    let mut json_rows = Vec::new();
    for row in rows {
        let [step, lists, grades] = row.split();
        let speed = row.atoms as f64 / (step * 1e-3);
        let bound = 1.0 / (row.floor.operations / operations).max(row.floor.bytes / bandwidth);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {speed:.3e} | {:.0} % | {:.1} % | {:.1} % | {:.2} % | {:.3e} | {} |",
            row.system,
            row.atoms,
            row.mode(),
            100.0 * speed / bound,
            100.0 * lists / step,
            100.0 * grades / step,
            100.0 * row.exact,
            row.atoms as f64 / row.mean_wall,
            row.bytes / row.atoms
        );
        json_rows.push(json!({
            "system": row.system, "atoms": row.atoms, "kernels_ms": row.kernels,
            "grades_every": row.every, "step_ms": step, "lists_ms": lists, "grades_ms": grades,
            "share_in_f64": row.exact, "wall_median_s": row.wall, "wall_mean_s": row.mean_wall, "device_bytes": row.bytes,
            "atoms_steps_per_s": speed, "bound": bound,
            "floor": {"operations": row.floor.operations, "bytes": row.floor.bytes, "neighbors": row.floor.neighbors},
        }));
    }
    text += "\nMilliseconds a step by kernel, for the largest system of each model and mode:\n\n";
    let mut largest: BTreeMap<(&str, usize), &Row> = BTreeMap::new();
    for row in rows {
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
    text += "\n";
    text += &trained.text();
    let all = json!({
        "device": device, "version": env!("CARGO_PKG_VERSION"), "commit": commit, "checks": checks,
        "bandwidth_bytes_per_s": bandwidth, "f32_operations_per_s": operations, "rows": json_rows,
        "training": trained.json(),
    });
    let content = serde_json::to_string_pretty(&all).expect("numbers and strings");
    for (name, content) in [("gpu.json", content), ("gpu.md", text)] {
        let file = folder.join(name);
        std::fs::write(&file, content).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        println!("wrote {}", file.display());
    }
}
