//! ABINIT.

use super::dialect::{
    Dialect, Facts, Input, Printed, Reading, counted_rows, finite, last_after, legible, matrix,
    mesh, numbers, rows, species,
};
use super::settings::DftSettings;
use crate::label::Fault;
use crate::label::checks::Echo;
use nepal::element::Element;
use nepal::error::Result;
use nepal::system::Structure;
use nepal::units::{BOHR, HARTREE};

const OUTPUT: &str = "label.abo";

static FACTS: Facts = Facts {
    name: "abinit",
    program: "abinit",
    arguments: &["label.abi"],
    log: "label.log",
    outputs: &[OUTPUT],
    templates: &[
        ("metal", include_str!("templates/metal.abi")),
        ("insulator", include_str!("templates/insulator.abi")),
    ],
    needs: &["CELL", "COORD"],
    foreign: super::cp2k::KEYS,
    threshold: ("TOLVRS", "1.0d-8"),
    cutoff: "ECUT",
    stress_key: "optstress 1",
};

pub(super) struct Abinit;

impl Dialect for Abinit {
    fn facts(&self) -> &'static Facts {
        &FACTS
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
        // Lengths in bohr: ABINIT's own Å differs in the ninth digit.
        let lengths = |vectors: &[[f64; 3]]| rows(vectors.iter().map(|v| ("", v)), BOHR);
        let [a, b, c] = input.settings.mesh(structure);
        let own = [
            (
                "SPECIES",
                format!(
                    "ntypat {}\nznucl {numbers}\nnatom {}\ntypat {types}\npp_dirpath \".\"\npseudos \"{}\"",
                    kinds.len(),
                    structure.len(),
                    input.copies(self, &kinds)?.join(", ")
                ),
            ),
            (
                "CELL",
                format!("acell 3*1.0\nrprim{}", lengths(structure.cell.vectors())),
            ),
            ("COORD", format!("xcart{}", lengths(&structure.positions))),
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
        ];
        let text = input.fill(self, &own, &defaults)?;
        Ok(vec![("label.abi".to_owned(), text)])
    }

    fn ladder(&self, _settings: &DftSettings) -> Vec<String> {
        vec!["values = { MAX_SCF = '400' }".to_owned()]
    }

    fn read(
        &self,
        printed: &Printed,
        _structure: &Structure,
    ) -> std::result::Result<Reading, Fault> {
        let output = printed.text(OUTPUT);
        for text in [output, printed.text(FACTS.log)] {
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
        let forces = counted_rows(block.split_once('\n').map_or("", |(_, rows)| rows));
        let version = output
            .lines()
            .find_map(|l| l.trim_start_matches('.').trim().strip_prefix("Version"))
            .and_then(|tail| tail.split_whitespace().next());
        let scale = HARTREE / BOHR.powi(3);
        Ok(Reading {
            energy: energy * HARTREE,
            forces: forces
                .into_iter()
                .map(|f| f.map(|x| x * HARTREE / BOHR))
                .collect(),
            // Printed is +(1/V) dE/d(strain), positive when stretched.
            pressure: sigma(output)?.map(|s| s.map(|x| -x * scale)),
            scf_steps: Some(steps.to_owned()),
            version: version.map(str::to_owned),
            echo: echo(output)?,
        })
    }
}

/// What ABINIT says of its input.
fn echo(output: &str) -> std::result::Result<Echo, String> {
    let section = output.split_once("echo values of preprocessed input variables");
    let section = section.map_or("", |(_, tail)| tail);
    // A value may go on in lines that begin with a number.
    let values = |name: &str| {
        let mut lines = section.lines().skip_while(|line| {
            let mut words = line.split_whitespace();
            let first = words.next();
            first != Some(name) && !(first == Some("-") && words.next() == Some(name))
        });
        let first = lines.next().and_then(|line| line.split_once(name));
        let mut all = numbers(first.map_or("", |(_, tail)| tail));
        for row in lines.map(numbers).take_while(|row| !row.is_empty()) {
            all.extend(row);
        }
        all
    };
    let charges = values("znucl");
    let mut types = values("typat");
    if types.is_empty() && charges.len() == 1 {
        types = vec![1.0; values("natom").first().map_or(1, |&n| n as usize)];
    }
    let elements: Option<Vec<String>> = (!types.is_empty()).then_some(&types).and_then(|types| {
        types
            .iter()
            .map(|&t| {
                let z = charges.get((t as usize).checked_sub(1)?)?;
                let element = Element::from_number(z.round() as usize).ok()?;
                Some(element.symbol().to_owned())
            })
            .collect()
    });
    let names = ["R(1)=", "R(2)=", "R(3)="];
    let cell = matrix(
        names
            .map(|name| last_after(output, name).unwrap_or(""))
            .into_iter(),
    );
    let cell = legible(names.iter().any(|name| output.contains(name)), "cell", cell)?;
    let positions = last_after(output, "cartesian coordinates (angstrom) at end:");
    let positions = positions.map(|block| counted_rows(block.split_once('\n').map_or("", |b| b.1)));
    Ok(Echo {
        elements: legible(output.contains(" znucl "), "elements", elements)?,
        cell: cell.map(|cell| cell.map(|v| v.map(|x| x * BOHR))),
        positions,
        ionic_steps: Some(output.matches("At SCF step").count()),
        // Another lattice of k-points than one along the cell's vectors is no mesh of ours.
        mesh: match values("kptrlatt")[..] {
            [a, 0.0, 0.0, 0.0, b, 0.0, 0.0, 0.0, c] => mesh(&format!("{a} {b} {c}")),
            _ => None,
        },
        cutoff: values("ecut").first().copied(),
        ..Echo::default()
    })
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
