//! VASP.

use super::dialect::{Dialect, Input, file_name, finite, last_after, species, triple};
use crate::label::{Fault, Label};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::units::EV_PER_A3_IN_GPA;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

const CONVERGED: &str = "aborting loop because EDIFF is reached";
const FORCES: &str = "TOTAL-FORCE (eV/Angst)";

pub(super) struct Vasp;

impl Dialect for Vasp {
    fn name(&self) -> &'static str {
        "vasp"
    }

    fn program(&self) -> &'static str {
        "vasp_std"
    }

    fn arguments(&self) -> &'static [&'static str] {
        &[]
    }

    fn output(&self) -> &'static str {
        "OUTCAR"
    }

    fn template(&self, name: &str) -> Option<&'static str> {
        match name {
            "metal" => Some(include_str!("templates/metal.incar")),
            "insulator" => Some(include_str!("templates/insulator.incar")),
            _ => None,
        }
    }

    /// Cell and atoms have a file of their own.
    fn needs(&self) -> &'static [&'static str] {
        &[]
    }

    /// VASP has no option that tells it.
    fn version(&self, _line: &str) -> Option<String> {
        None
    }

    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>> {
        let structure = input.structure;
        let kinds = species(structure);
        let order = order(structure, &kinds);
        let count = |kind: &Element| structure.elements.iter().filter(|e| *e == kind).count();
        let symbols: Vec<&str> = kinds.iter().map(|k| k.symbol()).collect();
        let counts: Vec<String> = kinds.iter().map(|k| count(k).to_string()).collect();
        let mut poscar = String::from("nepal\n1.0\n");
        for v in structure.cell.vectors() {
            let _ = writeln!(poscar, "{:.12} {:.12} {:.12}", v[0], v[1], v[2]);
        }
        let _ = writeln!(
            poscar,
            "{}\n{}\nCartesian",
            symbols.join(" "),
            counts.join(" ")
        );
        for &atom in &order {
            let r = structure.positions[atom];
            let _ = writeln!(poscar, "{:.12} {:.12} {:.12}", r[0], r[1], r[2]);
        }
        let [a, b, c] = input.mesh;
        let kpoints = format!("nepal\n0\nGamma\n{a} {b} {c}\n0 0 0\n");
        let defaults = [
            ("EDIFF", "1E-6"),
            ("ALGO", "Normal"),
            ("NELM", "100"),
            ("SIGMA", "0.05"),
            ("GGA", "PE"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let incar = input.fill("vasp", &[], &defaults)?;
        Ok([("INCAR", incar), ("POSCAR", poscar), ("KPOINTS", kpoints)]
            .map(|(name, text)| (name.to_owned(), text))
            .into())
    }

    /// Joins the POTCARs of the elements in the order of the POSCAR.
    fn finish(
        &self,
        pseudopotentials: &BTreeMap<String, String>,
        structure: &Structure,
        workdir: &Path,
    ) -> Result<()> {
        let mut joined = Vec::new();
        for kind in species(structure) {
            let Some(file) = pseudopotentials.get(kind.symbol()) else {
                continue;
            };
            let path = workdir.join(file_name(file));
            let text = std::fs::read(&path).map_err(|e| Error::io("read", path, e))?;
            joined.extend(text);
        }
        let path = workdir.join("POTCAR");
        std::fs::write(&path, joined).map_err(|e| Error::io("write", path, e))
    }

    fn threshold(&self) -> (&'static str, &'static str) {
        ("EDIFF", "1E-6")
    }

    fn ladder(&self) -> &'static [&'static str] {
        &[
            "values = { ALGO = 'All', NELM = '200' }",
            "values = { ALGO = 'Damped', NELM = '500' }",
        ]
    }

    fn read(
        &self,
        output: &str,
        log: &str,
        structure: &Structure,
    ) -> std::result::Result<Label, Fault> {
        let Some(at) = output.rfind(FORCES) else {
            let mut lines = log.lines().rev().map(str::trim).filter(|l| !l.is_empty());
            let said = lines.next().unwrap_or("nothing");
            return Err(Fault::cut(format!(
                "the OUTCAR has no forces: VASP was killed or stopped; it said last: {said}"
            )));
        };
        // An ionic step's own SCF lies between the forces of the step before and its own.
        let (before, tail) = (&output[..at], &output[at..]);
        let step = last_after(before, FORCES).unwrap_or(before);
        if !step.contains(CONVERGED) {
            return Err(Fault::unconverged(
                "the SCF did not converge: EDIFF was not reached within NELM steps (raise NELM, or try \
                 another ALGO or mixing)",
            ));
        }
        let energy = tail
            .split_once("free  energy   TOTEN")
            .and_then(|(_, rest)| rest.split_whitespace().nth(1))
            .and_then(finite)
            .ok_or_else(|| Fault::cut("the OUTCAR ends before the energy: it was cut"))?;
        let kinds = species(structure);
        let order = order(structure, &kinds);
        let mut forces = vec![[0.0; 3]; structure.len()];
        let mut rows = tail.lines().skip(2);
        for &atom in &order {
            let line = rows.next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            forces[atom] = words
                .get(3..)
                .and_then(triple)
                .ok_or_else(|| format!("a row of the forces is not legible: {:?}", line.trim()))?;
        }
        if !rows.next().is_some_and(|l| l.contains("-----")) {
            return Err("the OUTCAR has forces on another number of atoms".into());
        }
        let mut info = BTreeMap::from([("program".to_owned(), "vasp".to_owned())]);
        if let Some(version) = output.split_whitespace().next() {
            info.insert("program_version".to_owned(), version.to_owned());
        }
        let virial = last_after(step, "in kB").map(|block| {
            let words: Vec<&str> = block
                .lines()
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            let diagonal = triple(&words)?;
            let [xy, yz, zx] = triple(words.get(3..)?)?;
            let [xx, yy, zz] = diagonal;
            // kB is kbar; positive when compressed, like our virial.
            let scale = 0.1 / EV_PER_A3_IN_GPA * structure.cell.volume();
            Some([xx, xy, zx, xy, yy, yz, zx, yz, zz].map(|x| x * scale))
        });
        let virial = match virial {
            Some(None) => return Err("the stress tensor is not legible".into()),
            other => other.flatten(),
        };
        Ok(Label {
            energy,
            forces,
            virial,
            info,
        })
    }
}

/// Atoms in the order of the POSCAR: one block for each element.
fn order(structure: &Structure, kinds: &[Element]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..structure.len()).collect();
    order.sort_by_key(|&atom| kinds.iter().position(|k| *k == structure.elements[atom]));
    order
}
