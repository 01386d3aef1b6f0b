//! CP2K: Gaussians and plane waves.

mod blocks;

use super::dialect::{
    Dialect, Facts, Input, Printed, Reading, finite, last_after, rows, word_after,
};
use super::settings::DftSettings;
use crate::label::{Fault, fill};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::units::{BOHR, EV_PER_A3_IN_GPA, HARTREE};
use std::collections::{BTreeMap, BTreeSet};

const OUTPUT: &str = "label.out";
/// Files of their own that an input may send forces and stress to.
const FORCES: &str = "label.frc";
const STRESS: &str = "label.stress";

/// Settings that no other code has.
pub(super) const KEYS: &[&str] = &[
    "kinds",
    "basis_files",
    "potential_file",
    "functional",
    "cutoff",
    "rel_cutoff",
    "eps_scf",
    "max_scf",
    "mixing",
    "added_mos",
    "electronic_temperature",
];

static FACTS: Facts = Facts {
    name: "cp2k",
    program: "cp2k.psmp",
    arguments: &["-i", "label.inp"],
    log: OUTPUT,
    outputs: &[FORCES, STRESS],
    // For metals (smeared occupations, diagonalisation, Broyden mixing), for systems with a gap, and for the
    // latter by orbital transformation, which always goes downhill but knows Γ only.
    templates: &[
        ("metal", include_str!("../templates/metal.inp")),
        ("insulator", include_str!("../templates/insulator.inp")),
        (
            "insulator-ot",
            include_str!("../templates/insulator-ot.inp"),
        ),
    ],
    needs: &["CELL", "COORD"],
    foreign: &["pseudopotentials"],
    threshold: ("EPS_SCF", "1e-6"),
    cutoff: "CUTOFF",
    stress_key: "STRESS_TENSOR ANALYTICAL in &FORCE_EVAL, and &STRESS_TENSOR printed",
};

pub(super) struct Cp2k;

impl Cp2k {
    const EPS_SCF: f64 = 1e-6;
    const MAX_SCF: usize = 60;
    const MIXING: f64 = 0.3;
}

impl Dialect for Cp2k {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn takes_open_boundaries(&self, built_in: bool) -> bool {
        !built_in
    }

    fn values(&self, settings: &DftSettings) -> BTreeMap<String, String> {
        let basis = settings.basis_files.clone();
        let basis = basis.unwrap_or_else(|| vec!["BASIS_MOLOPT".to_owned()]);
        let mut files: Vec<String> = basis
            .iter()
            .map(|file| format!("    BASIS_SET_FILE_NAME {file}"))
            .collect();
        let potentials = settings.potential_file.as_deref();
        let potentials = potentials.unwrap_or("GTH_POTENTIALS");
        files.push(format!("    POTENTIAL_FILE_NAME {potentials}"));
        let number = |value: Option<f64>, default: f64| value.unwrap_or(default).to_string();
        let count = |value: Option<usize>, default: usize| value.unwrap_or(default).to_string();
        let mut values = BTreeMap::from(
            [
                ("NAME", "label".to_owned()),
                ("DATA_FILES", files.join("\n")),
                (
                    "FUNCTIONAL",
                    settings.functional.clone().unwrap_or("PBE".to_owned()),
                ),
                ("CUTOFF", number(settings.cutoff, 400.0)),
                ("REL_CUTOFF", number(settings.rel_cutoff, 40.0)),
                (
                    "EPS_SCF",
                    format!("{:e}", settings.eps_scf.unwrap_or(Self::EPS_SCF)),
                ),
                ("MAX_SCF", count(settings.max_scf, Self::MAX_SCF)),
                ("MIXING", number(settings.mixing, Self::MIXING)),
                ("ADDED_MOS", count(settings.added_mos, 10)),
                (
                    "ELECTRONIC_TEMPERATURE",
                    number(settings.electronic_temperature, 300.0),
                ),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        values.extend(settings.values.clone());
        values
    }

    fn potentials(&self, settings: &DftSettings) -> String {
        format!("kinds {:?}", settings.kinds)
    }

    /// `@CELL@`, `@COORD@` and `@KINDS@` become the lines of a structure, `@KPOINTS@` a section, or nothing for the
    /// Γ point alone.
    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>> {
        let structure = input.structure;
        let names = ["A", "B", "C"].map(|name| format!("      {name} [angstrom] "));
        let cell = rows(names.into_iter().zip(structure.cell.vectors()), 1.0);
        let axes = ["X", "Y", "Z"].iter().zip(structure.cell.periodic());
        let periodic: String = axes.filter_map(|(axis, on)| on.then_some(*axis)).collect();
        let periodic = match periodic.is_empty() {
            true => "NONE",
            false => &periodic,
        };
        let symbols = structure.elements.iter().map(|e| format!("      {e} "));
        let atoms = rows(symbols.zip(&structure.positions), 1.0);
        let kinds = match fill::uses(input.template, "KINDS") {
            true => kind_sections(structure, input.settings)?,
            false => String::new(),
        };
        let kpoints = match input.settings.mesh(structure) {
            // Γ alone is another, faster code path, chosen by leaving the section out.
            [1, 1, 1] => String::new(),
            [a, b, c] => {
                format!("    &KPOINTS\n      SCHEME MONKHORST-PACK {a} {b} {c}\n    &END KPOINTS")
            }
        };
        let own = [
            (
                "CELL",
                format!("{}\n      PERIODIC {periodic}", &cell["\n".len()..]),
            ),
            ("COORD", format!("      UNIT angstrom{atoms}")),
            ("KINDS", kinds),
            ("KPOINTS", kpoints),
        ];
        let text = input.fill(self, &own, &[])?;
        Ok(vec![("label.inp".to_owned(), text)])
    }

    fn ladder(&self, settings: &DftSettings) -> Vec<String> {
        let slower = |factor: f64, steps: usize| {
            let mixing = settings.mixing.unwrap_or(Self::MIXING) * factor;
            let max_scf = settings.max_scf.unwrap_or(Self::MAX_SCF);
            let max_scf = max_scf.saturating_mul(steps);
            format!("mixing = {mixing:.6}\nmax_scf = {max_scf}")
        };
        let mut rungs = vec![slower(1.0 / 3.0, 4), slower(0.1, 8)];
        // Other meshes than Γ are not for orbital transformation.
        let gamma = settings.kpoints.is_none() && settings.kspacing.is_none();
        if settings.template == "insulator" && gamma {
            rungs.push("template = 'insulator-ot'\nmax_scf = 50".to_owned());
        }
        rungs
    }

    fn tight(&self, settings: &DftSettings) -> String {
        let eps_scf = settings.eps_scf.unwrap_or(Self::EPS_SCF) / 10.0;
        let max_scf = settings.max_scf.unwrap_or(Self::MAX_SCF);
        let max_scf = max_scf.saturating_mul(2);
        format!("eps_scf = {eps_scf:e}\nmax_scf = {max_scf}\n")
    }

    /// CP2K 2023 ends with status 0 and prints all values also when the SCF did not converge: only what it says
    /// about the SCF counts.
    ///
    /// Reads the layouts of 6 to 8 and of 2025-2026 (from published outputs) and of 2023-2024 (checked with 2023.1).
    fn read(
        &self,
        printed: &Printed,
        _structure: &Structure,
    ) -> std::result::Result<Reading, Fault> {
        let output = printed.text(OUTPUT);
        let own = |name: &str| Some(printed.text(name)).filter(|text| !text.is_empty());
        if let Some(message) = blocks::abort_message(output) {
            return Err(format!("CP2K aborted: {message}").into());
        }
        if output.contains("SCF run NOT converged") {
            let why = match output.contains("exceeded requested execution time") {
                true => "CP2K's WALLTIME was reached",
                false => "raise max_scf, lower mixing, or use smearing and k-points",
            };
            return Err(Fault::unconverged(format!(
                "the SCF did not converge ({why})"
            )));
        }
        if !output.contains("PROGRAM ENDED AT") {
            return Err(Fault::cut(
                "the output stops before CP2K's end: killed, out of memory or disk",
            ));
        }
        if let Some(run) = word_after(output, "GLOBAL| Run type")
            && !run.starts_with("ENERGY")
        {
            return Err(format!("CP2K ran {run}; a label needs RUN_TYPE ENERGY_FORCE").into());
        }
        let steps = word_after(output, "SCF run converged in")
            .ok_or("the output never says that the SCF converged")?;
        // `ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:  -3.6`, `(a.u.):` or `[hartree]`: the last one, in hartree.
        let energy = last_after(output, "ENERGY| Total FORCE_EVAL")
            .and_then(|tail| finite(tail.lines().next()?.split_whitespace().last()?))
            .ok_or("the output has no total energy")?;
        let (symbols, forces, ionic_steps) = blocks::forces(own(FORCES).unwrap_or(output))?;
        let pressure = blocks::stress(own(STRESS).unwrap_or(output))?;
        let version = last_after(output, "CP2K| version string:").map(|tail| {
            let line = tail.lines().next().unwrap_or_default();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        let mut echo = blocks::echo(output)?;
        echo.ionic_steps = Some(ionic_steps);
        echo.elements = echo.elements.or(symbols);
        Ok(Reading {
            energy: energy * HARTREE,
            forces: forces
                .into_iter()
                .map(|f| f.map(|x| x * HARTREE / BOHR))
                .collect(),
            // Printed is -(1/V) dE/d(strain), positive when compressed, like our virial.
            pressure: pressure.map(|p| p.map(|x| x / EV_PER_A3_IN_GPA)),
            scf_steps: Some(steps.to_owned()),
            version,
            echo,
        })
    }
}

fn kind_sections(structure: &Structure, settings: &DftSettings) -> Result<String> {
    let elements: BTreeSet<&str> = structure.elements.iter().map(|e| e.symbol()).collect();
    let section = |element: &&str| {
        let kind = settings.kinds.get(*element).ok_or_else(|| {
            Error::invalid(format!(
                "the cp2k labeller has no basis and potential for {element}; add it to the table `kinds`"
            ))
        })?;
        Ok(format!(
            "    &KIND {element}\n      BASIS_SET {}\n      POTENTIAL {}\n    &END KIND",
            kind.basis, kind.potential
        ))
    };
    let sections: Result<Vec<String>> = elements.iter().map(section).collect();
    Ok(sections?.join("\n"))
}

#[cfg(test)]
mod tests;
