//! VASP.

use super::dialect::{
    Dialect, Facts, Input, Printed, Reading, finite, last_after, legible, matrix, mesh, numbers,
    rows, species,
};
use super::settings::DftSettings;
use crate::label::Fault;
use crate::label::checks::Echo;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::units::EV_PER_A3_IN_GPA;
use std::path::Path;

const OUTPUT: &str = "OUTCAR";
const CONVERGED: &str = "aborting loop because EDIFF is reached";
const FORCES: &str = "TOTAL-FORCE (eV/Angst)";
const LATTICE: &str = "direct lattice vectors";
const COUNTS: &str = "ions per type =";

/// What VASP prints of a step that its machine-learned force field made.
const LEARNT: [&str; 3] = [
    "TOTAL-FORCE (eV/Angst) (ML)",
    "energy ML TOTEN",
    "ML energy  without entropy",
];

static FACTS: Facts = Facts {
    name: "vasp",
    program: "vasp_std",
    arguments: &[],
    log: "label.log",
    outputs: &[OUTPUT],
    templates: &[
        ("metal", include_str!("templates/metal.incar")),
        ("insulator", include_str!("templates/insulator.incar")),
    ],
    // Cell and atoms have a file of their own.
    needs: &[],
    foreign: super::cp2k::KEYS,
    threshold: ("EDIFF", "1E-6"),
    cutoff: "ENCUT",
    stress_key: "ISIF = 2 in the INCAR",
};

pub(super) struct Vasp;

impl Dialect for Vasp {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    /// VASP has no option that tells it.
    fn version(&self, _line: &str) -> Option<String> {
        None
    }

    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>> {
        let structure = input.structure;
        let kinds = species(structure);
        input.copies(self, &kinds)?;
        let count = |kind: &Element| structure.elements.iter().filter(|e| *e == kind).count();
        let symbols: Vec<&str> = kinds.iter().map(|k| k.symbol()).collect();
        let counts: Vec<String> = kinds.iter().map(|k| count(k).to_string()).collect();
        let order = order(structure);
        let poscar = format!(
            "nepal\n1.0{}\n{}\n{}\nCartesian{}\n",
            rows(structure.cell.vectors().iter().map(|v| ("", v)), 1.0),
            symbols.join(" "),
            counts.join(" "),
            rows(
                order.iter().map(|&atom| ("", &structure.positions[atom])),
                1.0
            )
        );
        let [a, b, c] = input.settings.mesh(structure);
        let kpoints = format!("nepal\n0\nGamma\n{a} {b} {c}\n0 0 0\n");
        let defaults = [
            ("EDIFF", "1E-6"),
            ("ALGO", "Normal"),
            ("NELM", "100"),
            ("SIGMA", "0.05"),
            ("GGA", "PE"),
        ];
        let incar = input.fill(self, &[], &defaults)?;
        if let Some(wrong) = no_single_point(&incar) {
            return Err(Error::invalid(format!(
                "labeller vasp: the INCAR has {wrong}"
            )));
        }
        Ok([("INCAR", incar), ("POSCAR", poscar), ("KPOINTS", kpoints)]
            .map(|(name, text)| (name.to_owned(), text))
            .into())
    }

    /// Joins the POTCARs of the elements in the order of the POSCAR.
    fn finish(&self, input: &Input<'_>, workdir: &Path) -> Result<()> {
        let mut joined = Vec::new();
        for name in input.copies(self, &species(input.structure))? {
            let path = workdir.join(name);
            joined.extend(std::fs::read(&path).map_err(|e| Error::io("read", path, e))?);
        }
        let path = workdir.join("POTCAR");
        std::fs::write(&path, joined).map_err(|e| Error::io("write", path, e))
    }

    fn ladder(&self, _settings: &DftSettings) -> Vec<String> {
        [
            "values = { ALGO = 'All', NELM = '200' }",
            "values = { ALGO = 'Damped', NELM = '500' }",
        ]
        .map(str::to_owned)
        .into()
    }

    fn read(
        &self,
        printed: &Printed,
        structure: &Structure,
    ) -> std::result::Result<Reading, Fault> {
        let output = printed.text(OUTPUT);
        if LEARNT.iter().any(|mark| output.contains(mark)) || is_on(tag(output, "ML_LMLFF")) {
            return Err("the output has steps of a machine-learned force field (ML_LMLFF), which are no labels; expected \
                        VASP's own forces alone: leave ML_LMLFF out of the INCAR"
                .into());
        }
        let Some(at) = output.rfind(FORCES) else {
            let lines = printed.text(FACTS.log).lines().rev().map(str::trim);
            let said = lines.into_iter().find(|l| !l.is_empty());
            return Err(Fault::cut(format!(
                "the OUTCAR has no forces: VASP was killed or stopped; it said last: {}",
                said.unwrap_or("nothing")
            )));
        };
        // An ionic step's own SCF lies between the forces of the step before and its own.
        let (before, tail) = (&output[..at], &output[at..]);
        let step = last_after(before, FORCES).unwrap_or(before);
        if !step.contains(CONVERGED) || ran_out(output, step) {
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
        let order = order(structure);
        let mut forces = vec![[0.0; 3]; structure.len()];
        let mut positions = forces.clone();
        let mut rows = tail.lines().skip(2);
        for &atom in &order {
            let line = rows.next().unwrap_or_default();
            let row = numbers(line);
            // With van der Waals terms the forces without them follow.
            let [x, y, z, fx, fy, fz, ..] = row[..] else {
                return Err(match line.contains("-----") {
                    true => "the OUTCAR has forces on another number of atoms".into(),
                    false => {
                        format!("a row of the forces is not legible: {:?}", line.trim()).into()
                    }
                });
            };
            positions[atom] = [x, y, z];
            forces[atom] = [fx, fy, fz];
        }
        if !rows.next().is_some_and(|l| l.contains("-----")) {
            return Err("the OUTCAR has forces on another number of atoms".into());
        }
        let pressure = match last_after(step, "in kB").map(numbers_of_line) {
            None => None,
            Some(Some([xx, yy, zz, xy, yz, zx])) => {
                // kB is kbar; positive when compressed, like our virial.
                let tensor = [xx, xy, zx, xy, yy, yz, zx, yz, zz];
                Some(tensor.map(|x| 0.1 / EV_PER_A3_IN_GPA * x))
            }
            Some(None) => return Err("the stress tensor is not legible".into()),
        };
        let cell = last_after(before, LATTICE).and_then(|block| matrix(block.lines().skip(1)));
        Ok(Reading {
            energy,
            forces,
            pressure,
            scf_steps: None,
            version: output.split_whitespace().next().map(str::to_owned),
            echo: Echo {
                elements: elements(output, structure, &order)?,
                cell: legible(output.contains(LATTICE), "cell", cell)?,
                positions: Some(positions),
                ionic_steps: Some(output.matches(FORCES).count()),
                mesh: last_after(output, "generate k-points for:").and_then(mesh),
                cutoff: last_after(output, "   ENCUT  =")
                    .and_then(|tail| tail.split_whitespace().next())
                    .and_then(finite),
                ..Echo::default()
            },
        })
    }
}

/// Whether an SCF went to its last step: before release 6 VASP says that EDIFF is reached then, too.
fn ran_out(output: &str, step: &str) -> bool {
    let release = output.trim_start().strip_prefix("vasp.");
    let old = release.is_some_and(|r| r.starts_with(|c| ('1'..='5').contains(&c)));
    let whole = |text: &str| text.split([')', ';']).next()?.trim().parse::<usize>().ok();
    let most = tag(output, "NELM").and_then(whole);
    let last = step.rsplit_once(" Iteration ");
    let last = last.and_then(|(_, tail)| whole(tail.split_once('(')?.1));
    old && most.is_some_and(|most| last >= Some(most))
}

/// The value of a tag of an INCAR, or of what VASP prints of one; the first that is given counts.
fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut given = text
        .lines()
        .map(|line| line.split(['#', '!']).next().unwrap_or(line))
        .flat_map(|line| line.split(';'))
        .filter_map(|part| part.split_once('='));
    let (_, value) = given.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    value.split_whitespace().next()
}

/// Whether a logical value is true, as VASP reads it: `.TRUE.`, `T`.
fn is_on(value: Option<&str>) -> bool {
    value.is_some_and(|v| v.trim_start_matches('.').starts_with(['T', 't']))
}

/// What in an INCAR asks for something else than VASP's own energy and forces of the structure, and what to do.
fn no_single_point(incar: &str) -> Option<String> {
    if is_on(tag(incar, "ML_LMLFF")) {
        return Some(
            "ML_LMLFF on: forces of a machine-learned force field are no labels; remove it".into(),
        );
    }
    let steps = tag(incar, "NSW").and_then(finite).unwrap_or(0.0);
    let moves = tag(incar, "IBRION").is_none_or(|value| value != "-1");
    (steps > 1.0 && moves).then(|| {
        format!("NSW = {steps}, so that atoms would move; expected NSW = 0 and IBRION = -1, a single point")
    })
}

fn numbers_of_line(text: &str) -> Option<[f64; 6]> {
    numbers(text.lines().next()?).first_chunk().copied()
}

/// The element of each atom, by the POTCARs that VASP read and the counts of the POSCAR; ours, where it tells none.
fn elements(
    output: &str,
    structure: &Structure,
    order: &[usize],
) -> std::result::Result<Option<Vec<String>>, String> {
    let mut known = super::pseudopotential::elements(output);
    let told = output.contains("VRHFIN") || output.contains("TITEL");
    if known.is_empty() {
        return legible(told, "POTCAR", None);
    }
    let counts = match last_after(output, COUNTS) {
        Some(tail) => numbers(tail.lines().next().unwrap_or_default()),
        None => {
            let of = |kind: &Element| structure.elements.iter().filter(|e| *e == kind).count();
            species(structure)
                .iter()
                .map(|kind| of(kind) as f64)
                .collect()
        }
    };
    // Outputs of two runs, one behind the other: another check says so.
    if let Some(twice) = known.len().checked_div(2)
        && twice >= counts.len()
        && known[..twice] == known[twice..]
    {
        known.truncate(twice);
    }
    let whole = counts.iter().all(|n| n.fract() == 0.0 && *n >= 1.0);
    let total = counts.iter().sum::<f64>();
    if known.len() != counts.len() || !whole || total != order.len() as f64 {
        return Err(format!(
            "the output is of {} elements with {counts:?} atoms, the structure has {} of {} elements",
            known.len(),
            order.len(),
            species(structure).len()
        ));
    }
    let listed = known.iter().zip(counts);
    let listed = listed.flat_map(|(element, n)| vec![element.symbol(); n as usize]);
    let mut elements = vec![String::new(); order.len()];
    for (&atom, element) in order.iter().zip(listed) {
        elements[atom] = element.to_owned();
    }
    Ok(Some(elements))
}

/// Atoms in the order of the POSCAR: one block for each element.
fn order(structure: &Structure) -> Vec<usize> {
    let kinds = species(structure);
    let mut order: Vec<usize> = (0..structure.len()).collect();
    order.sort_by_key(|&atom| kinds.iter().position(|k| *k == structure.elements[atom]));
    order
}
