//! Tables of results.

use super::floor::{self, Floor};
use super::systems::System;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A system of a size, timed.
pub struct Row {
    pub system: &'static str,
    pub atoms: usize,
    /// Milliseconds a step of each kernel.
    pub kernels: BTreeMap<&'static str, f64>,
    /// Seconds a step, copies from and to the host included; the median.
    pub wall: f64,
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
    /// Milliseconds a step in the kernels of a force step, and in making lists.
    fn split(&self) -> [f64; 2] {
        let (mut step, mut lists) = (0.0, 0.0);
        for (name, ms) in &self.kernels {
            if STEP.contains(name) {
                step += ms;
            } else {
                lists += ms;
            }
        }
        [step, lists]
    }

    pub fn line(&self) -> String {
        let [step, lists] = self.split();
        format!(
            "{}, {} atoms: {step:.3} ms a force step on the device, {lists:.3} ms for lists, {:.3} ms with copies",
            self.system,
            self.atoms,
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
pub fn write(folder: &Path, device: &str, checks: &[String], peaks: [f64; 2], rows: &[Row]) {
    let [bandwidth, operations] = peaks;
    let mut text = format!(
        "# nepal on {device}\n\nMeasured by `gpu` itself: copies at {:.0} GB/s, f32 multiply-adds at {:.1} Tflop/s. \
         Atoms times steps per second count the kernels of a force step; the bound is the larger of floor operations \
         and floor bytes at these rates.\n\n",
        bandwidth * 1e-9,
        operations * 1e-12
    );
    for line in checks {
        let _ = writeln!(text, "- {line}");
    }
    text += "\n| system | atoms | atoms·steps/s | of the bound | lists / step | with copies, atoms·steps/s | bytes an atom |\n|---|---|---|---|---|---|---|\n";
    let mut json_rows = Vec::new();
    for row in rows {
        let [step, lists] = row.split();
        let speed = row.atoms as f64 / (step * 1e-3);
        let bound = 1.0 / (row.floor.operations / operations).max(row.floor.bytes / bandwidth);
        let _ = writeln!(
            text,
            "| {} | {} | {speed:.3e} | {:.0} % | {:.1} % | {:.3e} | {} |",
            row.system,
            row.atoms,
            100.0 * speed / bound,
            100.0 * lists / step,
            row.atoms as f64 / row.wall,
            row.bytes / row.atoms
        );
        json_rows.push(json!({
            "system": row.system, "atoms": row.atoms, "kernels_ms": row.kernels,
            "step_ms": step, "lists_ms": lists, "wall_s": row.wall, "device_bytes": row.bytes,
            "atoms_steps_per_s": speed, "bound": bound,
            "floor": {"operations": row.floor.operations, "bytes": row.floor.bytes, "neighbors": row.floor.neighbors},
        }));
    }
    text += "\nMilliseconds a step by kernel, for the largest system of each model:\n\n";
    let mut largest: BTreeMap<&str, &Row> = BTreeMap::new();
    for row in rows {
        largest.insert(row.system, row);
    }
    for row in largest.values() {
        let _ = writeln!(text, "- {} ({} atoms)", row.system, row.atoms);
        for (name, ms) in &row.kernels {
            let _ = writeln!(text, "  - {name}: {ms:.4}");
        }
    }
    let all = json!({
        "device": device, "version": env!("CARGO_PKG_VERSION"), "checks": checks,
        "bandwidth_bytes_per_s": bandwidth, "f32_operations_per_s": operations, "rows": json_rows,
    });
    let content = serde_json::to_string_pretty(&all).expect("numbers and strings");
    for (name, content) in [("gpu.json", content), ("gpu.md", text)] {
        let file = folder.join(name);
        std::fs::write(&file, content).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        println!("wrote {}", file.display());
    }
}
