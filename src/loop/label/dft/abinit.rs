//! ABINIT.

use super::dialect::{Dialect, Input, finite, last_after, species, triple};
use crate::label::{Fault, Label};
use nepal::error::Result;
use nepal::system::Structure;
use nepal::units::{BOHR, HARTREE};
use std::collections::BTreeMap;
use std::fmt::Write;

pub(super) struct Abinit;

impl Dialect for Abinit {
    fn name(&self) -> &'static str {
        "abinit"
    }

    fn program(&self) -> &'static str {
        "abinit"
    }

    fn arguments(&self) -> &'static [&'static str] {
        &["label.abi"]
    }

    fn output(&self) -> &'static str {
        "label.abo"
    }

    fn template(&self, name: &str) -> Option<&'static str> {
        match name {
            "metal" => Some(include_str!("templates/metal.abi")),
            "insulator" => Some(include_str!("templates/insulator.abi")),
            _ => None,
        }
    }

    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>> {
        let structure = input.structure;
        let kinds = species(structure);
        let list = |of: &mut dyn Iterator<Item = String>| of.collect::<Vec<_>>().join(" ");
        let numbers = list(&mut kinds.iter().map(|k| k.number().to_string()));
        let types = list(&mut structure.elements.iter().map(|element| {
            let kind = kinds.iter().position(|k| k == element);
            (kind.unwrap_or(0) + 1).to_string()
        }));
        let files: Vec<String> = kinds.iter().map(|&k| input.pseudopotential(k)).collect();
        // Lengths in bohr: ABINIT's own Å differs in the ninth digit.
        let rows = |rows: &mut dyn Iterator<Item = [f64; 3]>| {
            let mut text = String::new();
            for r in rows {
                let [x, y, z] = r.map(|x| x / BOHR);
                let _ = write!(text, "\n{x:.12} {y:.12} {z:.12}");
            }
            text
        };
        let [a, b, c] = input.mesh;
        let own = [
            (
                "SPECIES",
                format!(
                    "ntypat {}\nznucl {numbers}\nnatom {}\ntypat {types}\npp_dirpath \".\"\npseudos \"{}\"",
                    kinds.len(),
                    structure.len(),
                    files.join(", ")
                ),
            ),
            (
                "CELL",
                format!(
                    "acell 3*1.0\nrprim{}",
                    rows(&mut structure.cell.vectors().iter().copied())
                ),
            ),
            (
                "COORD",
                format!("xcart{}", rows(&mut structure.positions.iter().copied())),
            ),
            (
                "KPOINTS",
                // Time reversal is the only symmetry of a structure from dynamics.
                format!("kptopt 2\nngkpt {a} {b} {c}\nnshiftk 1\nshiftk 0 0 0"),
            ),
        ];
        let defaults = [
            ("TOLVRS", "1.0d-8"),
            ("MAX_SCF", "100"),
            ("IXC", "11"),
            ("OCCOPT", "3"),
            ("TSMEAR", "0.005"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let text = input.fill("abinit", &own, &defaults)?;
        Ok(vec![("label.abi".to_owned(), text)])
    }

    fn threshold(&self) -> (&'static str, &'static str) {
        ("TOLVRS", "1.0d-8")
    }

    fn ladder(&self) -> &'static [&'static str] {
        &["values = { MAX_SCF = '400' }"]
    }

    fn read(
        &self,
        output: &str,
        log: &str,
        structure: &Structure,
    ) -> std::result::Result<Label, Fault> {
        for text in [output, log] {
            if let Some(error) = last_after(text, "--- !ERROR") {
                let message = error.split("message: |").nth(1).unwrap_or(error);
                let lines: Vec<&str> = message.lines().map(str::trim).collect();
                let lines = lines.iter().filter(|l| !l.is_empty()).take(3);
                let told: Vec<&str> = lines.copied().collect();
                return Err(format!("ABINIT aborted: {}", told.join(" ")).into());
            }
        }
        if output.contains("was not enough SCF cycles to converge") {
            return Err(Fault::unconverged(
                "the SCF did not converge (raise MAX_SCF, or use smearing and k-points)",
            ));
        }
        if !output.contains("Calculation completed") {
            return Err(Fault::cut(
                "the output stops before ABINIT's end: killed, out of memory or disk",
            ));
        }
        let verdict = last_after(output, "At SCF step")
            .ok_or("the output never says that the SCF converged")?;
        let steps = verdict
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .trim_end_matches(',');
        if !verdict
            .lines()
            .take(3)
            .any(|line| line.contains("converged"))
        {
            return Err("the output never says that the SCF converged".into());
        }
        let after = last_after(output, "after computation").unwrap_or(output);
        let energy = after
            .lines()
            .find_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    ["etotal" | "etotal1", value, ..] => finite(value),
                    _ => None,
                }
            })
            .ok_or("the output has no total energy")?;
        let block = last_after(output, "cartesian forces (hartree/bohr) at end:")
            .ok_or("the output has no forces (is optforces set?)")?;
        let mut forces = Vec::with_capacity(structure.len());
        for line in block.lines().skip(1).take(structure.len()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let force = words.get(1..).and_then(triple);
            let index = words.first().and_then(|w| w.parse::<usize>().ok());
            match (index, force) {
                (Some(index), Some(force)) if index == forces.len() + 1 => {
                    forces.push(force.map(|x| x * HARTREE / BOHR));
                }
                _ => break,
            }
        }
        let scale = HARTREE / BOHR.powi(3) * structure.cell.volume();
        let mut info = BTreeMap::from([
            ("program".to_owned(), "abinit".to_owned()),
            ("scf_steps".to_owned(), steps.to_owned()),
        ]);
        if let Some(version) = output
            .lines()
            .find_map(|l| l.trim_start_matches('.').trim().strip_prefix("Version"))
            .and_then(|tail| tail.split_whitespace().next())
        {
            info.insert("program_version".to_owned(), version.to_owned());
        }
        Ok(Label {
            energy: energy * HARTREE,
            forces,
            // Printed is +(1/V) dE/d(strain), positive when stretched.
            virial: sigma(output)?.map(|s| s.map(|x| -x * scale)),
            info,
        })
    }
}

/// The last stress tensor in Ha/bohr³, if there is one.
fn sigma(output: &str) -> std::result::Result<Option<[f64; 9]>, String> {
    let Some(block) = last_after(
        output,
        "Cartesian components of stress tensor (hartree/bohr^3)",
    ) else {
        return Ok(None);
    };
    let value = |name: &str| {
        let at = block.find(name)? + name.len();
        finite(block[at..].split_whitespace().next()?)
    };
    let parts = [
        "sigma(1 1)=",
        "sigma(2 2)=",
        "sigma(3 3)=",
        "sigma(3 2)=",
        "sigma(3 1)=",
        "sigma(2 1)=",
    ]
    .map(value);
    match parts {
        [Some(xx), Some(yy), Some(zz), Some(yz), Some(xz), Some(xy)] => {
            Ok(Some([xx, xy, xz, xy, yy, yz, xz, yz, zz]))
        }
        _ => Err("the stress tensor is not legible: the output was cut".to_owned()),
    }
}
