//! Quantum ESPRESSO's `pw.x`.

use super::dialect::{Dialect, Input, last_after, species, triple};
use crate::label::{Fault, Label};
use nepal::error::Result;
use nepal::system::Structure;
use nepal::units::{BOHR, HARTREE};
use std::collections::BTreeMap;
use std::fmt::Write;

const RYDBERG: f64 = 0.5 * HARTREE;

pub(super) struct Qe;

impl Dialect for Qe {
    fn name(&self) -> &'static str {
        "qe"
    }

    fn program(&self) -> &'static str {
        "pw.x"
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["-in", "label.in"]
    }

    fn output(&self) -> &'static str {
        super::LOG
    }

    fn template(&self, name: &str) -> Option<&'static str> {
        match name {
            "metal" => Some(include_str!("templates/metal.pw")),
            "insulator" => Some(include_str!("templates/insulator.pw")),
            _ => None,
        }
    }

    /// `Program PWSCF v.6.7MaX starts on 21Nov2026 ...`: the time is not part of the version.
    fn version(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|w| *w == "PWSCF")?;
        words.get(at + 1).map(|v| format!("PWSCF {v}"))
    }

    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>> {
        let structure = input.structure;
        let kinds = species(structure);
        let mut list = String::from("ATOMIC_SPECIES");
        for &kind in &kinds {
            let file = input.pseudopotential(kind);
            let _ = write!(list, "\n{} {} {file}", kind.symbol(), kind.mass());
        }
        let mut cell = String::from("CELL_PARAMETERS angstrom");
        for v in structure.cell.vectors() {
            let _ = write!(cell, "\n{:.12} {:.12} {:.12}", v[0], v[1], v[2]);
        }
        let mut atoms = String::from("ATOMIC_POSITIONS angstrom");
        for (element, r) in structure.elements.iter().zip(&structure.positions) {
            let _ = write!(atoms, "\n{element} {:.12} {:.12} {:.12}", r[0], r[1], r[2]);
        }
        let mesh = input.mesh;
        let kpoints = if mesh == [1; 3] {
            // Γ alone has a code path of its own, twice as fast.
            "K_POINTS gamma".to_owned()
        } else {
            let [a, b, c] = mesh;
            format!("K_POINTS automatic\n{a} {b} {c} 0 0 0")
        };
        let own = [
            ("NAT", structure.len().to_string()),
            ("NTYP", kinds.len().to_string()),
            ("SPECIES", list),
            ("CELL", cell),
            ("COORD", atoms),
            ("KPOINTS", kpoints),
        ];
        let mut defaults = vec![
            ("CONV_THR", "1e-8".to_owned()),
            ("MAX_SCF", "100".to_owned()),
            ("MIXING", "0.4".to_owned()),
            ("SMEARING", "mv".to_owned()),
            ("DEGAUSS", "0.01".to_owned()),
        ];
        let cutoff: Option<f64> = input.values.get("ECUTWFC").and_then(|x| x.parse().ok());
        if let Some(cutoff) = cutoff {
            // Enough for ultrasoft and PAW data sets too.
            let density = 8.0 * cutoff;
            defaults.push(("ECUTRHO", density.to_string()));
        }
        let text = input.fill("qe", &own, &defaults)?;
        Ok(vec![("label.in".to_owned(), text)])
    }

    fn threshold(&self) -> (&'static str, &'static str) {
        ("CONV_THR", "1e-8")
    }

    fn ladder(&self) -> &'static [&'static str] {
        &[
            "values = { MIXING = '0.2', MAX_SCF = '300' }",
            "values = { MIXING = '0.05', MAX_SCF = '600' }",
        ]
    }

    fn read(
        &self,
        output: &str,
        _log: &str,
        structure: &Structure,
    ) -> std::result::Result<Label, Fault> {
        if let Some(at) = output.find("Error in routine") {
            let message: Vec<&str> = output[at..].lines().take(2).map(str::trim).collect();
            return Err(format!("pw.x stopped: {}", message.join(" ")).into());
        }
        if output.contains("convergence NOT achieved") {
            return Err(Fault::unconverged(
                "the SCF did not converge (raise MAX_SCF, lower MIXING, or use smearing and k-points)",
            ));
        }
        if !output.contains("JOB DONE") {
            return Err(Fault::cut(
                "the output stops before pw.x's end: killed, out of memory or disk",
            ));
        }
        let steps = last_after(output, "convergence has been achieved in")
            .and_then(|tail| tail.split_whitespace().next())
            .ok_or("the output never says that the SCF converged")?;
        // With smearing this is the free energy, which the forces belong to.
        let energy = last_after(output, "\n!    total energy")
            .and_then(|tail| tail.split('=').nth(1))
            .and_then(|tail| tail.split_whitespace().next())
            .and_then(super::dialect::finite)
            .ok_or("the output has no total energy")?;
        let block = last_after(output, "Forces acting on atoms")
            .ok_or("the output has no forces (is tprnfor set?)")?;
        let mut forces = Vec::with_capacity(structure.len());
        // Contributions to the forces may follow in the same layout: the first table is the sum.
        let rows = block
            .lines()
            .skip_while(|l| !l.contains("force ="))
            .take_while(|l| l.contains("force ="));
        for line in rows {
            let words: Vec<&str> = line
                .split("force =")
                .nth(1)
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let force = triple(&words)
                .ok_or_else(|| format!("a row of the forces is not legible: {:?}", line.trim()))?;
            forces.push(force.map(|x| x * RYDBERG / BOHR));
        }
        let mut info = BTreeMap::from([
            ("program".to_owned(), "qe".to_owned()),
            ("scf_steps".to_owned(), steps.to_owned()),
        ]);
        if let Some(version) = output.lines().find_map(|l| self.version(l)) {
            info.insert("program_version".to_owned(), version);
        }
        Ok(Label {
            energy: energy * RYDBERG,
            forces,
            virial: pressure(output)?.map(|p| {
                // Positive when compressed, like our virial.
                p.map(|x| x * RYDBERG / BOHR.powi(3) * structure.cell.volume())
            }),
            info,
        })
    }

    fn distrusts_stress(
        &self,
        pseudopotentials: &BTreeMap<String, String>,
    ) -> Option<&'static str> {
        let gth = |file: &String| file.to_ascii_lowercase().ends_with(".gth");
        // Version 6.7: -8.1 kbar where a finite strain gives -22.6.
        (pseudopotentials.values().any(gth))
            .then_some("pw.x's stress is wrong with GTH potentials; use UPF files")
    }
}

/// The last stress tensor in Ry/bohr³, if there is one.
fn pressure(output: &str) -> std::result::Result<Option<[f64; 9]>, String> {
    let Some(block) = last_after(output, "total   stress  (Ry/bohr**3)") else {
        return Ok(None);
    };
    let mut tensor = [0.0; 9];
    let mut lines = block.lines().skip(1);
    for row in tensor.chunks_exact_mut(3) {
        let words: Vec<&str> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        row.copy_from_slice(&triple(&words).ok_or("the stress tensor is not legible")?);
    }
    Ok(Some(tensor))
}
