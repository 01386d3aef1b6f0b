//! Quantum ESPRESSO's `pw.x`.

use super::dialect::{
    Dialect, Facts, Input, Printed, Reading, last_after, legible, matrix, rows, species, triple,
    word_after,
};
use super::pseudopotential::symbol;
use super::settings::DftSettings;
use crate::label::Fault;
use crate::label::checks::Echo;
use nepal::error::Result;
use nepal::system::Structure;
use nepal::units::{BOHR, HARTREE};
use std::collections::BTreeMap;

const RYDBERG: f64 = 0.5 * HARTREE;

static FACTS: Facts = Facts {
    name: "qe",
    program: "pw.x",
    arguments: &["-in", "label.in"],
    log: "label.log",
    outputs: &[],
    templates: &[
        ("metal", include_str!("templates/metal.pw")),
        ("insulator", include_str!("templates/insulator.pw")),
    ],
    needs: &["CELL", "COORD"],
    foreign: super::cp2k::KEYS,
    threshold: ("CONV_THR", "1e-8"),
    cutoff: "ECUTWFC",
    stress_key: "tstress=.true. in &control",
};

pub(super) struct Qe;

impl Dialect for Qe {
    fn facts(&self) -> &'static Facts {
        &FACTS
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
        let copies = input.copies(self, &kinds)?;
        let list = kinds.iter().zip(copies);
        let list = list.map(|(kind, file)| format!("\n{kind} {} {file}", kind.mass()));
        let list: String = list.collect();
        let cell = rows(structure.cell.vectors().iter().map(|v| ("", v)), 1.0);
        let symbols = structure.elements.iter().map(|e| format!("{e} "));
        let atoms = rows(symbols.zip(&structure.positions), 1.0);
        let kpoints = match input.settings.mesh(structure) {
            // Γ alone has a code path of its own, twice as fast.
            [1, 1, 1] => "K_POINTS gamma".to_owned(),
            [a, b, c] => format!("K_POINTS automatic\n{a} {b} {c} 0 0 0"),
        };
        let own = [
            ("NAT", structure.len().to_string()),
            ("NTYP", kinds.len().to_string()),
            ("SPECIES", format!("ATOMIC_SPECIES{list}")),
            ("CELL", format!("CELL_PARAMETERS angstrom{cell}")),
            ("COORD", format!("ATOMIC_POSITIONS angstrom{atoms}")),
            ("KPOINTS", kpoints),
        ];
        let cutoff = input.settings.values.get("ECUTWFC");
        let cutoff: Option<f64> = cutoff.and_then(|x| x.parse().ok());
        // Enough for ultrasoft and PAW data sets too.
        let density = cutoff.map(|cutoff| (8.0 * cutoff).to_string());
        let mut defaults = vec![
            ("CONV_THR", "1e-8"),
            ("MAX_SCF", "100"),
            ("MIXING", "0.4"),
            ("SMEARING", "mv"),
            ("DEGAUSS", "0.01"),
        ];
        defaults.extend(density.as_deref().map(|density| ("ECUTRHO", density)));
        let text = input.fill(self, &own, &defaults)?;
        Ok(vec![("label.in".to_owned(), text)])
    }

    fn ladder(&self, _settings: &DftSettings) -> Vec<String> {
        [
            "values = { MIXING = '0.2', MAX_SCF = '300' }",
            "values = { MIXING = '0.05', MAX_SCF = '600' }",
        ]
        .map(str::to_owned)
        .into()
    }

    fn read(
        &self,
        printed: &Printed,
        structure: &Structure,
    ) -> std::result::Result<Reading, Fault> {
        let output = printed.text(FACTS.log);
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
        let steps = word_after(output, "convergence has been achieved in")
            .ok_or("the output never says that the SCF converged")?;
        // With smearing this is the free energy, which the forces belong to.
        let energy = last_after(output, "\n!    total energy")
            .and_then(|tail| word_after(tail.lines().next()?, "="))
            .and_then(super::dialect::finite)
            .ok_or("the output has no total energy")?;
        let block =
            last_after(output, FORCES).ok_or("the output has no forces (is tprnfor set?)")?;
        let mut forces = Vec::with_capacity(structure.len());
        // Contributions to the forces may follow in the same layout: the first table is the sum.
        let rows = block
            .lines()
            .skip_while(|l| !l.contains("force ="))
            .map_while(|l| Some((l, l.split_once("force =")?.1)));
        for (line, row) in rows {
            let force = triple(row)
                .ok_or_else(|| format!("a row of the forces is not legible: {:?}", line.trim()))?;
            forces.push(force.map(|x| x * RYDBERG / BOHR));
        }
        let pressure = match last_after(output, "total   stress  (Ry/bohr**3)") {
            None => None,
            // Positive when compressed, like our virial.
            Some(block) => {
                Some(matrix(block.lines().skip(1)).ok_or("the stress tensor is not legible")?)
            }
        };
        let scale = RYDBERG / BOHR.powi(3);
        let mut echo = echo(output)?;
        echo.ionic_steps = Some(output.matches(FORCES).count());
        Ok(Reading {
            energy: energy * RYDBERG,
            forces,
            pressure: pressure.map(|p| std::array::from_fn(|k| p[k / 3][k % 3] * scale)),
            scf_steps: Some(steps.to_owned()),
            version: output.lines().find_map(|l| self.version(l)),
            echo,
        })
    }

    fn distrusts_stress(&self, settings: &DftSettings) -> Option<&'static str> {
        let gth = |file: &String| file.to_ascii_lowercase().ends_with(".gth");
        // Version 6.7: -8.1 kbar where a finite strain gives -22.6.
        (settings.pseudopotentials.values().any(gth))
            .then_some("pw.x's stress is wrong with GTH potentials; use UPF files")
    }
}

const FORCES: &str = "Forces acting on atoms";
const AXES: &str = "crystal axes:";
const POSITIONS: &str = "positions (alat units)";

/// What `pw.x` says of its input. Lengths are in units of the first lattice vector's.
fn echo(output: &str) -> std::result::Result<Echo, String> {
    let unit = output.split_once("celldm(1)=").and_then(|(_, tail)| {
        let bohr: f64 = tail.split_whitespace().next()?.parse().ok()?;
        Some(bohr * BOHR)
    });
    let scaled = |r: [f64; 3]| Some(r.map(|x| x * unit.unwrap_or(f64::NAN)));
    let cell = output.split_once(AXES).and_then(|(_, block)| {
        let rows = block.lines().skip(1).take(3);
        let rows = rows.map(|l| l.split_once("= (").map_or("", |(_, row)| row));
        let [a, b, c] = matrix(rows)?;
        Some([scaled(a)?, scaled(b)?, scaled(c)?])
    });
    // The table of species ends with the element that the file of each says it is for.
    let species = output
        .split_once("atomic species   valence")
        .map(|(_, block)| {
            let rows = block.lines().skip(1).map_while(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                Some((*words.first()?, words.get(3)?.trim_end_matches('(')))
            });
            rows.collect::<BTreeMap<&str, &str>>()
        });
    let atoms: Option<Vec<(String, [f64; 3])>> = output.split_once(POSITIONS).map(|(_, block)| {
        let rows = block.lines().skip(1).map_while(|line| {
            let (head, row) = line.split_once("tau(")?;
            let label = head.split_whitespace().nth(1)?;
            let told = species.as_ref().and_then(|s| symbol(s.get(label)?));
            let element = told.map_or(label, |element| element.symbol());
            Some((
                element.to_owned(),
                scaled(triple(row.split_once("= (")?.1)?)?,
            ))
        });
        rows.collect()
    });
    let (elements, positions) = atoms.unwrap_or_default().into_iter().unzip();
    let positions = Some(positions).filter(|all: &Vec<[f64; 3]>| unit.is_some() && !all.is_empty());
    let cell = cell.filter(|_| unit.is_some());
    Ok(Echo {
        elements: Some(elements).filter(|all: &Vec<String>| !all.is_empty()),
        positions: legible(output.contains(POSITIONS), "positions", positions)?,
        cell: legible(output.contains(AXES), "cell", cell)?,
        // Of other meshes only the points that differ by symmetry are counted.
        mesh: output
            .contains("gamma-point specific algorithms")
            .then_some([1; 3]),
        cutoff: output
            .split_once("kinetic-energy cutoff     =")
            .and_then(|(_, tail)| tail.split_whitespace().next()?.parse().ok()),
        ..Echo::default()
    })
}
