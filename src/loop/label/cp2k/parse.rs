//! CP2K's output: what it computed, and whether to believe it.

use crate::label::{Fault, Label, Verdict};
use nepal::error::Result;
use nepal::system::Structure;
use nepal::units::{BOHR, EV_PER_A3_IN_GPA, HARTREE};
use std::collections::BTreeMap;

/// The verdict on an output.
///
/// `forces` and `stress` are the files of their own that `FILENAME` asks for; where they are missing
/// the blocks are looked for in the output itself. CP2K 2023 ends with status 0 and prints all
/// values also when the SCF did not converge: only what it says about the SCF counts.
///
/// Reads the layouts of 2023-2024 (checked with 2023.1) and of 2025-2026 (from published outputs).
pub fn parse(
    output: &str,
    forces: Option<&str>,
    stress: Option<&str>,
    structure: &Structure,
) -> Result<Verdict> {
    Ok(match label(output, forces, stress, structure) {
        Ok(label) => Verdict::Accepted(label),
        Err(fault) => fault.into(),
    })
}

fn label(
    output: &str,
    forces: Option<&str>,
    stress: Option<&str>,
    structure: &Structure,
) -> std::result::Result<Label, Fault> {
    if let Some(message) = abort_message(output) {
        return Err(format!("CP2K aborted: {message}").into());
    }
    if output.contains("SCF run NOT converged") {
        let why = if output.contains("exceeded requested execution time") {
            "CP2K's WALLTIME was reached"
        } else {
            "raise max_scf, lower mixing, or use smearing and k-points"
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
    let steps = last_after(output, "SCF run converged in")
        .and_then(|tail| tail.split_whitespace().next())
        .ok_or("the output never says that the SCF converged")?;
    let energy = energy(output).ok_or("the output has no total energy")?;
    let forces = forces_block(forces.unwrap_or(output))?;
    let n = structure.len();
    if forces.len() != n {
        return Err(format!(
            "the output has forces on {} atoms; the structure has {n} (is &FORCES on?)",
            forces.len()
        )
        .into());
    }
    for (atom, (symbol, _)) in forces.iter().enumerate() {
        let expected = structure.elements[atom].symbol();
        if symbol.as_deref().is_some_and(|s| s != expected) {
            return Err(format!(
                "atom {atom} is {} in the output, {expected} in the structure",
                symbol.as_deref().unwrap_or_default()
            )
            .into());
        }
    }
    let pressure = stress_block(stress.unwrap_or(output))?;
    let volume = structure.cell.volume();
    let mut info = BTreeMap::from([
        ("program".to_owned(), "cp2k".to_owned()),
        ("scf_steps".to_owned(), steps.to_owned()),
    ]);
    if let Some(version) = last_after(output, "CP2K| version string:") {
        let line = version.lines().next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        info.insert("program_version".to_owned(), words.join(" "));
    }
    Ok(Label {
        energy: energy * HARTREE,
        forces: forces
            .into_iter()
            .map(|(_, f)| f.map(|x| x * HARTREE / BOHR))
            .collect(),
        // Printed is -(1/V) dE/d(strain), positive when compressed, like our virial.
        virial: pressure.map(|p| p.map(|x| x / EV_PER_A3_IN_GPA * volume)),
        info,
    })
}

/// The text after the last occurrence of `marker`.
fn last_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.rfind(marker).map(|at| &text[at + marker.len()..])
}

/// `ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:  -3.6` or `... [hartree]  -3.6`, the last one, hartree.
fn energy(output: &str) -> Option<f64> {
    let line = last_after(output, "ENERGY| Total FORCE_EVAL")?
        .lines()
        .next()?;
    finite(line.split_whitespace().last()?)
}

fn finite(word: &str) -> Option<f64> {
    word.parse().ok().filter(|x: &f64| x.is_finite())
}

/// Element (where printed) and force, hartree/bohr, of each row of the last block.
type ForceRow = (Option<String>, [f64; 3]);

fn forces_block(text: &str) -> std::result::Result<Vec<ForceRow>, String> {
    let old = last_after(text, "ATOMIC FORCES in [a.u.]");
    let new = last_after(text, "FORCES| Atomic forces [hartree/bohr]");
    let (block, closing) = match (old, new) {
        (Some(block), _) => (block, "SUM OF ATOMIC FORCES"),
        (None, Some(block)) => (block, "FORCES| Sum"),
        (None, None) => return Err("the output has no forces (is &FORCES on?)".to_owned()),
    };
    let end = block
        .find(closing)
        .ok_or("the table of forces has no end: the output was cut")?;
    let mut rows = Vec::new();
    for line in block[..end].lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Old: index, kind, element, x, y, z. New: FORCES|, index, x, y, z, norm. Both six words.
        let (index, symbol, first) = match words.as_slice() {
            [] => continue,
            ["#", ..] | ["FORCES|", "Atom", ..] => continue,
            ["FORCES|", index, _, _, _, _] => (*index, None, 2),
            [index, _, symbol, _, _, _] => (*index, Some((*symbol).to_owned()), 3),
            _ => {
                return Err(format!(
                    "a row of the forces is not legible: {:?}",
                    line.trim()
                ));
            }
        };
        let numbers: Option<Vec<f64>> = words[first..first + 3].iter().map(|w| finite(w)).collect();
        match (index.parse::<usize>(), numbers.as_deref()) {
            (Ok(index), Some(&[x, y, z])) if index == rows.len() + 1 => {
                rows.push((symbol, [x, y, z]));
            }
            _ => {
                return Err(format!(
                    "a row of the forces is not legible: {:?}",
                    line.trim()
                ));
            }
        }
    }
    Ok(rows)
}

/// The last stress tensor in GPa, positive when compressed; `None` if there is none.
fn stress_block(text: &str) -> std::result::Result<Option<[f64; 9]>, String> {
    let Some(block) = last_after(text, "STRESS| Analytical stress tensor [") else {
        return Ok(None);
    };
    let illegible = || "the stress tensor is not legible: the output was cut".to_owned();
    let (unit, block) = block.split_once(']').ok_or_else(illegible)?;
    let scale = match unit {
        "GPa" => 1.0,
        "kbar" => 0.1,
        "bar" => 1e-4,
        "MPa" => 1e-3,
        "Pa" => 1e-9,
        other => {
            return Err(format!(
                "the stress is in {other:?}; expected GPa, kbar, bar, MPa or Pa"
            ));
        }
    };
    let mut tensor = [0.0; 9];
    // The first line is the rest of the heading, the second the column names.
    let mut lines = block.lines().skip(2);
    for (row, axis) in ["x", "y", "z"].iter().enumerate() {
        let words: Vec<&str> = lines
            .next()
            .map(|line| line.split_whitespace().collect())
            .unwrap_or_default();
        if words.len() != 5 || words[0] != "STRESS|" || words[1] != *axis {
            return Err(illegible());
        }
        for column in 0..3 {
            tensor[3 * row + column] = scale * finite(words[2 + column]).ok_or_else(illegible)?;
        }
    }
    Ok(Some(tensor))
}

/// The text of CP2K's `[ABORT]` box.
fn abort_message(output: &str) -> Option<String> {
    let at = output.find("[ABORT]")?;
    // A figure of nine columns stands left of the text, a frame of asterisks around both.
    let text: Vec<String> = output[at..]
        .lines()
        .skip(1)
        .take(20)
        .take_while(|line| !line.trim().starts_with("***"))
        .map(|line| line.chars().skip(9).collect::<String>())
        .map(|line| line.trim().trim_end_matches('*').trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    Some(text.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::Cell;
    use serde_json::Value;
    use std::path::PathBuf;

    fn data(name: &str) -> String {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .join("tests/data/labeller-outputs");
        std::fs::read_to_string(folder.join(name)).unwrap()
    }

    /// The structure of a CP2K input.
    fn structure(input: &str) -> Structure {
        let mut vectors = Vec::new();
        let (mut elements, mut positions) = (Vec::new(), Vec::new());
        let mut coordinates = false;
        for line in input.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let numbers = |from: usize| -> [f64; 3] {
                std::array::from_fn(|d| words[from + d].parse().unwrap())
            };
            match words.as_slice() {
                ["&COORD"] => coordinates = true,
                ["&END", "COORD"] => coordinates = false,
                ["A" | "B" | "C", "[angstrom]", ..] => vectors.push(numbers(2)),
                [symbol, _, _, _] if coordinates => {
                    elements.push(Element::from_symbol(symbol).unwrap());
                    positions.push(numbers(1));
                }
                _ => {}
            }
        }
        let cell = Cell::new(vectors.try_into().unwrap(), [true; 3]).unwrap();
        Structure::new(cell, elements, positions).unwrap()
    }

    fn verdict(stem: &str) -> Verdict {
        let structure = structure(&data(&format!("cp2k/{stem}.inp")));
        parse(&data(&format!("cp2k/{stem}.out")), None, None, &structure).unwrap()
    }

    fn reason(verdict: Verdict) -> String {
        match verdict {
            Verdict::Rejected { reason, .. } => reason,
            Verdict::Accepted(label) => panic!("accepted {label:?}"),
        }
    }

    fn accepted(verdict: Verdict) -> Label {
        match verdict {
            Verdict::Accepted(label) => label,
            Verdict::Rejected { reason, .. } => panic!("{reason}"),
        }
    }

    #[test]
    fn stored_outputs_have_the_expected_verdicts_and_values() {
        let expected: Value = serde_json::from_str(&data("expected.json")).unwrap();
        let mut seen = 0;
        for (name, values) in expected.as_object().unwrap() {
            let Some(stem) = name
                .strip_prefix("cp2k/")
                .and_then(|n| n.strip_suffix(".out"))
            else {
                continue;
            };
            if stem == "si8_low" {
                continue;
            }
            seen += 1;
            let found = verdict(stem);
            if values["converged"] != true || values["finished"] != true {
                reason(found);
                continue;
            }
            let label = accepted(found);
            let volume = structure(&data(&format!("cp2k/{stem}.inp"))).cell.volume();
            let number = |v: &Value| v.as_f64().unwrap();
            assert_eq!(label.energy, number(&values["energy_Ha"]) * 27.211386245988);
            for (atom, force) in label.forces.iter().enumerate() {
                for (a, f) in force.iter().enumerate() {
                    let expected = number(&values["forces_Ha_bohr"][atom][a]) * 51.4220675;
                    assert!((f - expected).abs() < 1e-8, "{name}");
                }
            }
            let virial = label.virial.unwrap();
            for (k, w) in virial.iter().enumerate() {
                let printed = number(&values["printed_stress_GPa"][k / 3][k % 3]);
                assert!((w - printed * volume / 160.21766).abs() < 1e-6, "{name}");
            }
            assert!(label.info["program_version"].contains("2023.1"));
        }
        assert_eq!(seen, 11);
    }

    #[test]
    fn reasons_say_what_happened() {
        assert!(reason(verdict("si8_gamma_notconverged")).contains("did not converge"));
        assert!(reason(verdict("na16_notconv_stopall_exit0")).contains("did not converge"));
        assert!(reason(verdict("si64_walltime_notconverged")).contains("WALLTIME"));
        assert!(reason(verdict("si8_killed_truncated")).contains("killed"));
        let basis = reason(verdict("si8_bad_basis_abort"));
        assert!(
            basis.contains("basis set <NOSUCH-BASIS-q4> for element <Si> was not found in"),
            "{basis}"
        );
        assert!(reason(verdict("si8_bad_keyword_abort")).contains("keyword EPS_DEFALT"));
    }

    #[test]
    fn a_converged_run_with_a_poor_grid_fails_the_limits() {
        let label = accepted(verdict("na16_semicore_low_cutoff_netforce"));
        let reason = crate::label::Limits::default()
            .violation(&label, 16)
            .unwrap();
        assert!(reason.contains("net force"), "{reason}");
        let good = accepted(verdict("na16_metal_k222_ok"));
        assert_eq!(crate::label::Limits::default().violation(&good, 16), None);
    }

    #[test]
    fn files_of_their_own_are_read() {
        let structure = structure(&data("cp2k/si8_low.inp"));
        let output = data("cp2k/si8_low.out");
        let (forces, stress) = (data("cp2k/si8_low.frc"), data("cp2k/si8_low.stress"));
        let low = parse(&output, Some(&forces), Some(&stress), &structure).unwrap();
        let medium = accepted(verdict("si8_k222_ok"));
        let low = accepted(low);
        assert_eq!(
            (low.energy, &low.forces, low.virial),
            (medium.energy, &medium.forces, medium.virial)
        );
        let without = parse(&output, None, None, &structure).unwrap();
        assert!(reason(without).contains("no forces"));
    }

    #[test]
    fn an_output_cut_anywhere_is_never_accepted_with_other_values() {
        let structure = structure(&data("cp2k/si8_k222_ok.inp"));
        let output = data("cp2k/si8_k222_ok.out");
        let whole = accepted(parse(&output, None, None, &structure).unwrap());
        let end = output.find("PROGRAM ENDED AT").unwrap();
        for at in (0..output.len()).step_by(97) {
            let Some(cut) = output.get(..at) else {
                continue;
            };
            match parse(cut, None, None, &structure).unwrap() {
                Verdict::Accepted(label) => assert!(at > end && label == whole),
                Verdict::Rejected { .. } => assert!(at < end + 20),
            }
        }
        // Another structure's output.
        let mut fewer = structure.clone();
        fewer.elements.pop();
        fewer.positions.pop();
        assert!(reason(parse(&output, None, None, &fewer).unwrap()).contains("8 atoms"));
        let mut other = structure.clone();
        other.elements[2] = Element::from_symbol("C").unwrap();
        assert!(reason(parse(&output, None, None, &other).unwrap()).contains("atom 2 is Si"));
        let stars = output.replace("-0.03828598", "***********");
        assert!(reason(parse(&stars, None, None, &structure).unwrap()).contains("not legible"));
        let nan = output.replace("-0.03828598", "        NaN");
        assert!(reason(parse(&nan, None, None, &structure).unwrap()).contains("not legible"));
    }

    /// The layout of releases from 2025 on, put together from published outputs.
    const RECENT: &str = "\
 CP2K| version string:                                       CP2K version 2025.1
  *** SCF run converged in    11 steps ***
 ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]             -3.701430592573918

 FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1 -2.00000000E-03  1.00000000E-03  0.00000000E+00   2.23606798E-03
 FORCES|      2  2.00000000E-03 -1.00000000E-03  0.00000000E+00   2.23606798E-03
 FORCES| Sum     0.00000000E+00  0.00000000E+00  0.00000000E+00
 FORCES| Total atomic force      0.00000000E+00

 STRESS| Analytical stress tensor [bar]
 STRESS|                        x                   y                   z
 STRESS|      x        6.00000000000E+03   1.00000000000E+02   0.00000000000E+00
 STRESS|      y        1.00000000000E+02   7.00000000000E+03   0.00000000000E+00
 STRESS|      z        0.00000000000E+00   0.00000000000E+00   8.00000000000E+03
  **** **** ******  **  PROGRAM ENDED AT                 2025-11-21 03:12:02.016
";

    #[test]
    fn the_layout_of_2025_is_read() {
        let sodium = Element::from_symbol("Na").unwrap();
        let cell = Cell::orthorhombic([4.0; 3]).unwrap();
        let structure = Structure::new(cell, vec![sodium; 2], vec![[0.0; 3], [2.0; 3]]).unwrap();
        let label = accepted(parse(RECENT, None, None, &structure).unwrap());
        assert!((label.energy + 3.701430592573918 * HARTREE).abs() < 1e-12);
        assert!((label.forces[0][0] + 0.1028441350).abs() < 1e-9);
        let virial = label.virial.unwrap();
        assert!((virial[4] - 0.7 * 64.0 / 160.2176634).abs() < 1e-12);
        assert!((virial[1] - 0.01 * 64.0 / 160.2176634).abs() < 1e-12);
    }
}
