use super::super::{Wanted, dialect, judge};
use super::*;
use crate::label::{Label, Verdict};
use nepal::element::Element;
use nepal::system::Cell;
use serde_json::Value;
use std::f64::consts::TAU;
use std::path::PathBuf;

/// The verdict on an output, and on files of their own for forces and stress.
fn parse(
    output: &str,
    forces: Option<&str>,
    stress: Option<&str>,
    structure: &Structure,
) -> Verdict {
    let files = [(OUTPUT, Some(output)), (FORCES, forces), (STRESS, stress)];
    let files = files.map(|(name, text)| (name, text.unwrap_or_default().to_owned()));
    judge(
        &Cp2k,
        &Printed(files.into()),
        structure,
        &Wanted::default(),
        None,
    )
}

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
        let numbers =
            |from: usize| -> [f64; 3] { std::array::from_fn(|d| words[from + d].parse().unwrap()) };
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
    parse(&data(&format!("cp2k/{stem}.out")), None, None, &structure)
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
    let limits = crate::label::Limits::default();
    let sodium = structure(&data("cp2k/na16_metal_k222_ok.inp"));
    let reason = limits.violation(&label, &sodium).unwrap();
    assert!(reason.contains("net force"), "{reason}");
    let good = accepted(verdict("na16_metal_k222_ok"));
    assert_eq!(limits.violation(&good, &sodium), None);
}

#[test]
fn files_of_their_own_are_read() {
    let structure = structure(&data("cp2k/si8_low.inp"));
    let output = data("cp2k/si8_low.out");
    let (forces, stress) = (data("cp2k/si8_low.frc"), data("cp2k/si8_low.stress"));
    let low = parse(&output, Some(&forces), Some(&stress), &structure);
    let medium = accepted(verdict("si8_k222_ok"));
    let low = accepted(low);
    assert_eq!(
        (low.energy, &low.forces, low.virial),
        (medium.energy, &medium.forces, medium.virial)
    );
    let without = parse(&output, None, None, &structure);
    assert!(reason(without).contains("no forces"));
}

#[test]
fn an_output_cut_anywhere_is_never_accepted_with_other_values() {
    let structure = structure(&data("cp2k/si8_k222_ok.inp"));
    let output = data("cp2k/si8_k222_ok.out");
    let whole = accepted(parse(&output, None, None, &structure));
    let end = output.find("PROGRAM ENDED AT").unwrap();
    for at in (0..output.len()).step_by(97) {
        let Some(cut) = output.get(..at) else {
            continue;
        };
        match parse(cut, None, None, &structure) {
            Verdict::Accepted(label) => assert!(at > end && label == whole),
            Verdict::Rejected { .. } => assert!(at < end + 20),
        }
    }
    // Another structure's output.
    let mut fewer = structure.clone();
    fewer.elements.pop();
    fewer.positions.pop();
    assert!(reason(parse(&output, None, None, &fewer)).contains("8 atoms"));
    let mut other = structure.clone();
    other.elements[2] = Element::from_symbol("C").unwrap();
    assert!(reason(parse(&output, None, None, &other)).contains("atom 2 was computed as Si"));
    let stars = output.replace("-0.03828598", "***********");
    assert!(reason(parse(&stars, None, None, &structure)).contains("not legible"));
    let nan = output.replace("-0.03828598", "        NaN");
    assert!(reason(parse(&nan, None, None, &structure)).contains("not legible"));
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
    let label = accepted(parse(RECENT, None, None, &structure));
    assert!((label.energy + 3.701430592573918 * HARTREE).abs() < 1e-12);
    assert!((label.forces[0][0] + 0.1028441350).abs() < 1e-9);
    let virial = label.virial.unwrap();
    assert!((virial[4] - 0.7 * 64.0 / 160.2176634).abs() < 1e-12);
    assert!((virial[1] - 0.01 * 64.0 / 160.2176634).abs() < 1e-12);
}

/// The layouts until release 8 and of a numerical stress, and none at all.
#[test]
fn the_stress_of_every_layout_is_read_and_a_missing_one_told() {
    let sodium = Element::from_symbol("Na").unwrap();
    let cell = Cell::orthorhombic([4.0; 3]).unwrap();
    let structure = Structure::new(cell, vec![sodium; 2], vec![[0.0; 3], [2.0; 3]]).unwrap();
    let (head, tail) = RECENT.split_once(" STRESS| Analytical").unwrap();
    let end = &tail[tail.find("  ****").unwrap()..];
    let old = "\n STRESS TENSOR [GPa]\n\n            X               Y               Z\n\
        \x20 X       0.60000000      0.01000000      0.00000000\n\
        \x20 Y       0.01000000      0.70000000     -0.00000000\n\
        \x20 Z       0.00000000      0.00000000      0.80000000\n\n\
        \x20 1/3 Trace(stress tensor):    0.7\n";
    let numerical = format!(" STRESS| Numerical{tail}");
    for block in [
        old,
        &old.replace(" STRESS", " NUMERICAL STRESS"),
        &numerical,
    ] {
        let label = accepted(parse(
            &format!("{head}{block}{end}"),
            None,
            None,
            &structure,
        ));
        let virial = label.virial.expect(block);
        assert!(
            (virial[4] - 0.7 * 64.0 / 160.2176634).abs() < 1e-9,
            "{block}"
        );
        assert!(
            (virial[1] - 0.01 * 64.0 / 160.2176634).abs() < 1e-9,
            "{block}"
        );
    }
    let none = accepted(parse(&format!("{head}{end}"), None, None, &structure));
    assert!(none.virial.is_none() && none.info["no_virial"].contains("STRESS_TENSOR"));
    let cut = old.replace("0.80000000", "****");
    let verdict = parse(&format!("{head}{cut}{end}"), None, None, &structure);
    assert!(reason(verdict).contains("not legible"));
}

#[test]
fn an_output_of_another_calculation_is_refused() {
    let structure = structure(&data("cp2k/nacl8_gamma_ok.inp"));
    let output = data("cp2k/nacl8_gamma_ok.out");
    let refused = |output: &str, s: &Structure| reason(parse(output, None, None, s));
    let mut stretched = structure.clone();
    stretched.cell = Cell::orthorhombic([5.7, 5.7, 5.72]).unwrap();
    assert!(refused(&output, &stretched).contains("another cell"));
    let mut moved = structure.clone();
    moved.positions[3][1] += 0.01;
    assert!(refused(&output, &moved).contains("atom 3"));
    let mut swapped = structure.clone();
    swapped.positions.swap(0, 2);
    assert!(refused(&output, &swapped).contains("other positions"));
    let mut slab = structure.clone();
    slab.cell = Cell::new(*structure.cell.vectors(), [true, true, false]).unwrap();
    assert!(refused(&output, &slab).contains("periodic along a b c"));
    let relaxed = output.replace("ENERGY_FORCE", "GEO_OPT");
    assert!(refused(&relaxed, &structure).contains("GEO_OPT"));
    let at = output.find(" ATOMIC FORCES in").unwrap();
    let twice = format!("{}{}", &output[..at], &output[at..].repeat(2));
    assert!(refused(&twice, &structure).contains("2 ionic steps"));
    // 300 Ry.
    let printed = Printed([(OUTPUT, output.clone())].into());
    let with = |cutoff| {
        let wanted = Wanted {
            cutoff: Some(cutoff),
            ..Wanted::default()
        };
        judge(&Cp2k, &printed, &structure, &wanted, None)
    };
    accepted(with(300.0));
    assert!(reason(with(280.0)).contains("cutoff"));
}

fn salt() -> Structure {
    let element = |s| Element::from_symbol(s).unwrap();
    Structure::new(
        Cell::new(
            [[4.0, 0.0, 0.0], [0.0, 8.0, 0.0], [0.0, 0.0, 20.0]],
            [true, true, false],
        )
        .unwrap(),
        vec![element("Na"), element("Cl")],
        vec![[0.0; 3], [1.0 / 3.0, -2.0, 0.5]],
    )
    .unwrap()
}

fn settings(more: &str) -> DftSettings {
    let kind = |e: &str| format!("kinds.{e} = {{ basis = 'BASIS-{e}', potential = 'POT-{e}' }}");
    let text = format!("template = 'x'\n{}\n{}\n{more}", kind("Na"), kind("Cl"));
    toml::from_str(&text).unwrap()
}

fn input(template: &str, settings: &DftSettings) -> Result<String> {
    let structure = &salt();
    let input = dialect::Input {
        template,
        structure,
        settings,
    };
    Ok(Cp2k.files(&input)?.remove(0).1)
}

#[test]
fn meshes_follow_the_spacing() {
    let mesh = |spacing: f64| settings(&format!("kspacing = {spacing:?}")).mesh(&salt());
    assert_eq!(mesh(0.4), [4, 2, 1]);
    assert_eq!(mesh(10.0), [1, 1, 1]);
    // 2π/8 asks for exactly one point along 8 Å.
    assert_eq!(mesh(TAU / 8.0), [2, 1, 1]);
}

#[test]
fn placeholders_are_filled_and_cp2k_directives_left() {
    let template = "@SET X 1\n@CELL@\n@COORD@\n@KINDS@\n@KPOINTS@\nCUTOFF @CUTOFF@ ${X}\n";
    let text = input(template, &settings("cutoff = 150\nkpoints = [4, 2, 1]")).unwrap();
    assert!(text.starts_with("@SET X 1\n      A [angstrom] 4.000000000000 0"));
    assert!(text.contains("PERIODIC XY\n      UNIT angstrom\n      Na 0.0"));
    assert!(text.contains("      Cl 0.333333333333 -2.0"));
    assert!(text.contains("&KIND Na\n      BASIS_SET BASIS-Na\n      POTENTIAL POT-Na\n"));
    assert!(text.contains("MONKHORST-PACK 4 2 1"));
    assert!(text.ends_with("CUTOFF 150 ${X}\n"));
    let gamma = input(template, &settings("")).unwrap();
    assert!(!gamma.contains("KPOINTS") && gamma.ends_with("CUTOFF 400 ${X}\n"));
}

#[test]
fn what_an_input_lacks_is_named() {
    let error =
        |template: &str, settings: &DftSettings| input(template, settings).unwrap_err().to_string();
    let mut settings = settings("");
    assert!(error("@CELL@ @COORD@ @CUTOF@", &settings).contains("@CUTOF@"));
    settings.kinds.remove("Cl");
    assert!(error("@CELL@ @COORD@ @KINDS@", &settings).contains("Cl"));
    assert!(input("@CELL@ @COORD@", &settings).is_ok());
}
