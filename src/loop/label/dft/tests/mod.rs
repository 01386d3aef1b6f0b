//! Stored outputs, each held against the structure it is of, and against others.

mod cp2k;
mod programs;

use super::vasp::Vasp;
use super::*;
use flate2::read::GzDecoder;
use nepal::element::Element;
use nepal::system::Cell;
use nepal::units::{BOHR, EV_PER_A3_IN_GPA, HARTREE};
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;

fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/data/labeller-outputs")
}

fn output(name: &str) -> String {
    let path = folder().join(name);
    let bytes = std::fs::read(&path).unwrap();
    let mut text = Vec::new();
    if name.ends_with(".gz") {
        GzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
    } else {
        text = bytes;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn expected(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[name].clone()
}

fn structure(cell: [[f64; 3]; 3], symbols: &[(&str, usize)]) -> Structure {
    let mut elements = Vec::new();
    for (symbol, n) in symbols {
        elements.extend(vec![Element::from_symbol(symbol).unwrap(); *n]);
    }
    // Where the atoms are does not matter to a parser.
    let positions = (0..elements.len())
        .map(|i| [0.1 * i as f64, 0.0, 0.0])
        .collect();
    Structure::new(Cell::new(cell, [true; 3]).unwrap(), elements, positions).unwrap()
}

fn cube(a: f64, symbols: &[(&str, usize)]) -> Structure {
    structure([[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]], symbols)
}

fn accepted(verdict: Verdict) -> crate::label::Label {
    match verdict {
        Verdict::Accepted(label) => label,
        Verdict::Rejected { reason, .. } => panic!("rejected: {reason}"),
    }
}

fn rejected(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accepted(_) => panic!("accepted"),
        Verdict::Rejected { reason, .. } => reason,
    }
}

fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() <= tolerance,
        "{found} instead of {wanted}"
    );
}

/// The verdict on one output.
fn parse(code: Code, output: &str, structure: &Structure) -> Verdict {
    let dialect = code.dialect();
    judge(
        dialect,
        &printed(dialect, output),
        structure,
        &Wanted::default(),
        None,
    )
}

fn printed(dialect: &dyn Dialect, output: &str) -> Printed {
    let facts = dialect.facts();
    let name = match facts.name {
        // Its other outputs are files for forces and stress.
        "cp2k" => facts.log,
        _ => facts.outputs.first().copied().unwrap_or(facts.log),
    };
    Printed([(name, output.to_owned())].into())
}

/// The structure whose cell and positions an output says it is of.
fn echoed(code: Code, output: &str, asked: &Structure) -> Structure {
    let dialect = code.dialect();
    let read = dialect.read(&printed(dialect, output), asked);
    let echo = read.map_err(|fault| fault.reason).unwrap().echo;
    let elements = echo.elements.unwrap();
    let elements = elements.iter().map(|e| Element::from_symbol(e).unwrap());
    let cell = Cell::new(echo.cell.unwrap(), [true; 3]).unwrap();
    Structure::new(cell, elements.collect(), echo.positions.unwrap()).unwrap()
}

fn check(
    code: Code,
    name: &str,
    asked: &Structure,
    unit: f64,
    energy: &str,
    forces: &str,
) -> Structure {
    let wanted = expected(name);
    let structure = echoed(code, &output(name), asked);
    assert_eq!(structure.elements, asked.elements, "{name}");
    let lengths = structure.cell.vectors().iter().zip(asked.cell.vectors());
    for (found, wanted) in lengths {
        (0..3).for_each(|d| close(found[d], wanted[d], 1e-5));
    }
    let label = accepted(parse(code, &output(name), &structure));
    close(label.energy, wanted[energy].as_f64().unwrap() * unit, 1e-9);
    for (found, wanted) in label.forces.iter().zip(wanted[forces].as_array().unwrap()) {
        for d in 0..3 {
            close(found[d], wanted[d].as_f64().unwrap() * unit / BOHR, 1e-9);
        }
    }
    assert_eq!(label.forces.len(), structure.len());
    assert!(label.info["program_version"].len() > 2, "{:?}", label.info);
    structure
}

#[test]
fn quantum_espresso_is_read_to_the_last_digit() {
    let ry = 0.5 * HARTREE;
    for (name, structure) in [
        ("qe/si8_upf_k222_ok.out", cube(5.47, &[("Si", 8)])),
        ("qe/na16_smear_k222_ok.out", cube(8.4, &[("Na", 16)])),
        (
            "qe/nacl8_gamma_ok.out",
            cube(5.7, &[("Na", 1), ("Cl", 1)].repeat(4)),
        ),
    ] {
        let structure = check(
            Code::Qe,
            name,
            &structure,
            ry,
            "energy_Ry",
            "forces_Ry_bohr",
        );
        let label = accepted(parse(Code::Qe, &output(name), &structure));
        let stress = &expected(name)["printed_stress_kbar"];
        let volume = structure.cell.volume();
        for a in 0..3 {
            for b in 0..3 {
                let kbar = label.virial.unwrap()[3 * a + b] / volume * EV_PER_A3_IN_GPA * 10.0;
                close(kbar, stress[a][b].as_f64().unwrap(), 6e-3);
            }
        }
    }
}

#[test]
fn abinit_is_read_to_the_last_digit() {
    let name = "abinit/si8_k222_ok.abo";
    let structure = cube(5.47, &[("Si", 8)]);
    let structure = check(
        Code::Abinit,
        name,
        &structure,
        HARTREE,
        "energy_Ha",
        "forces_Ha_bohr",
    );
    let virial = accepted(parse(Code::Abinit, &output(name), &structure))
        .virial
        .unwrap();
    let sigma = &expected(name)["sigma_Ha_bohr3_xx_yy_zz_yz_xz_xy"];
    let volume = structure.cell.volume() / BOHR.powi(3);
    for (component, index) in [0, 4, 8, 5, 2, 1].into_iter().enumerate() {
        let wanted = -sigma[component].as_f64().unwrap() * volume * HARTREE;
        close(virial[index], wanted, 1e-9);
    }
}

#[test]
fn vasp_is_read_with_atoms_in_the_order_of_the_structure() {
    for (name, atoms, steps) in [
        ("vasp/Cu_single-point.OUTCAR.gz", vec![("Cu", 2)], 1),
        ("vasp/case_1.OUTCAR.gz", vec![("C", 60)], 1),
        ("vasp/diamond_relax.OUTCAR.gz", vec![("C", 8)], 3),
        ("vasp/WH-AIMD.OUTCAR.gz", vec![("W", 223), ("H", 168)], 3),
        ("vasp/Water_BEC.OUTCAR.gz", vec![("H", 128), ("O", 64)], 1),
    ] {
        let text = output(name);
        let structure = echoed(Code::Vasp, &text, &cube(20.0, &atoms));
        let reading = Vasp.read(&printed(&Vasp, &text), &structure);
        let reading = reading.map_err(|fault| fault.reason).unwrap();
        let frames = expected(name)["frames"].as_array().unwrap().clone();
        let last = frames.last().unwrap();
        close(
            reading.energy,
            last["free_energy_eV"].as_f64().unwrap(),
            1e-8,
        );
        let forces = reading.forces.as_flattened().iter();
        let largest = forces.fold(0.0, |m: f64, x| m.max(x.abs()));
        close(largest, last["max_abs_force_eV_A"].as_f64().unwrap(), 1e-6);
        for (component, index) in [0, 4, 8, 5, 2, 1].into_iter().enumerate() {
            // ASE's sign: positive when stretched.
            let stress = last["stress_eV_A3_voigt"][component].as_f64().unwrap();
            close(reading.pressure.unwrap()[index], -stress, 1e-7);
        }
        let verdict = parse(Code::Vasp, &text, &structure);
        match steps {
            1 => drop(accepted(verdict)),
            // A relaxation or dynamics: its last step is not what was asked for.
            _ => assert!(rejected(verdict).contains(&format!("{steps} ionic steps"))),
        }
        let mut wrong = structure.clone();
        wrong.elements.pop();
        wrong.positions.pop();
        assert!(rejected(parse(Code::Vasp, &text, &wrong)).contains("another number"));
    }
}

/// Each code's output, held against structures that it is not of.
#[test]
fn an_output_of_another_structure_is_refused() {
    for (code, name, atoms) in [
        (
            Code::Qe,
            "qe/nacl8_gamma_ok.out",
            [("Na", 1), ("Cl", 1)].repeat(4),
        ),
        (Code::Abinit, "abinit/si8_k222_ok.abo", vec![("Si", 8)]),
        (
            Code::Vasp,
            "vasp/Water_BEC.OUTCAR.gz",
            vec![("H", 128), ("O", 64)],
        ),
    ] {
        let text = output(name);
        let right = echoed(code, &text, &cube(10.0, &atoms));
        accepted(parse(code, &text, &right));
        let refused = |change: &dyn Fn(&mut Structure)| {
            let mut other = right.clone();
            change(&mut other);
            rejected(parse(code, &text, &other))
        };
        let stretched = refused(&|s| {
            let vectors = s.cell.vectors().map(|v| v.map(|x| 1.001 * x));
            s.cell = Cell::new(vectors, [true; 3]).unwrap();
        });
        assert!(stretched.contains("another cell"), "{name}: {stretched}");
        let moved = refused(&|s| s.positions[1][2] += 0.002);
        assert!(moved.contains("atom 1"), "{name}: {moved}");
        let swapped = refused(&|s| s.positions.swap(0, 2));
        assert!(swapped.contains("other positions"), "{name}: {swapped}");
        let potassium = Element::from_symbol("K").unwrap();
        let other = refused(&|s| s.elements[0] = potassium);
        assert!(other.contains("structure"), "{name}: {other}");
        let twice = format!("{text}{text}");
        let dialect = code.dialect();
        let twice = judge(
            dialect,
            &printed(dialect, &twice),
            &right,
            &Wanted::default(),
            None,
        );
        assert!(rejected(twice).contains("2 ionic steps"), "{name}");
        let (cutoff, printed) = match code {
            Code::Qe => (60.0, printed(dialect, &text)),
            Code::Abinit => (20.0, printed(dialect, &text)),
            _ => (800.0, printed(dialect, &text)),
        };
        let wanted = |cutoff, mesh| Wanted {
            cutoff: Some(cutoff),
            mesh,
        };
        let by = |wanted: Wanted| judge(dialect, &printed, &right, &wanted, None);
        let with = |cutoff| by(wanted(cutoff, None));
        let mesh = match code {
            Code::Qe => [1, 1, 1],
            Code::Abinit => [2, 2, 2],
            _ => [1, 1, 2],
        };
        accepted(by(wanted(cutoff, Some(mesh))));
        let other = rejected(by(wanted(cutoff, Some([3, 1, 1]))));
        assert!(other.contains("k-points"), "{name}: {other}");
        accepted(with(cutoff));
        assert!(rejected(with(cutoff + 5.0)).contains("cutoff"), "{name}");
    }
    // The elements that the pseudopotentials say they are for.
    let text = output("qe/nacl8_gamma_ok.out");
    let salt = cube(5.7, &[("Na", 1), ("Cl", 1)].repeat(4));
    let right = echoed(Code::Qe, &text, &salt);
    let swapped = text.replace("Na( 1.00)", "K ( 1.00)");
    assert_ne!(swapped, text);
    assert!(rejected(parse(Code::Qe, &swapped, &right)).contains("computed as K"));
    let text = output("vasp/Water_BEC.OUTCAR.gz");
    let water = cube(12.429, &[("H", 128), ("O", 64)]);
    let right = echoed(Code::Vasp, &text, &water);
    let swapped = text.replace("VRHFIN =H:", "VRHFIN =F:");
    assert!(rejected(parse(Code::Vasp, &swapped, &right)).contains("computed as F"));
}

/// What an output says of its structure is compared, or the output is refused.
#[test]
fn an_echo_that_is_there_must_be_legible() {
    let salt = [("Na", 1), ("Cl", 1)].repeat(4);
    for (code, name, atoms, damage) in [
        (
            Code::Qe,
            "qe/nacl8_gamma_ok.out",
            &salt[..],
            ("celldm(1)=", "celldm(1):"),
        ),
        (
            Code::Qe,
            "qe/nacl8_gamma_ok.out",
            &salt[..],
            ("a(2) = (", "a(2) ( "),
        ),
        (
            Code::Abinit,
            "abinit/si8_k222_ok.abo",
            &[("Si", 8)],
            ("R(2)=", "R(2) "),
        ),
        (
            Code::Abinit,
            "abinit/si8_k222_ok.abo",
            &[("Si", 8)],
            ("znucl       14.0", "znucl       xx.0"),
        ),
        (
            Code::Vasp,
            "vasp/Cu_single-point.OUTCAR.gz",
            &[("Cu", 2)],
            (
                "ions per type =               2",
                "ions per type =               7",
            ),
        ),
        (
            Code::Vasp,
            "vasp/Cu_single-point.OUTCAR.gz",
            &[("Cu", 2)],
            ("0.648871474", "***********"),
        ),
    ] {
        let text = output(name);
        let right = echoed(code, &text, &cube(10.0, atoms));
        let damaged = text.replace(damage.0, damage.1);
        assert_ne!(damaged, text, "{name}: {damage:?}");
        let reason = rejected(parse(code, &damaged, &right));
        assert!(
            reason.contains("not legible")
                || reason.contains("the structure has")
                || reason.contains("killed"),
            "{name}, {damage:?}: {reason}"
        );
    }
    // The same of CP2K.
    let text = output("cp2k/nacl8_gamma_ok.out");
    let right = echoed(Code::Cp2k, &text, &cube(5.7, &salt));
    for (mark, damage) in [
        ("CELL| Vector b", "CELL| Vector ?"),
        ("COORDINATES IN ANGSTROM", "COORDINATES IN PARSEC"),
    ] {
        let damaged = text.replace(mark, damage);
        assert_ne!(damaged, text, "{mark}");
        let reason = rejected(parse(Code::Cp2k, &damaged, &right));
        assert!(reason.contains("not legible"), "{mark}: {reason}");
    }
}

/// An OUTCAR without counts still tells its potentials.
#[test]
fn potentials_are_compared_without_counts() {
    let text = output("vasp/Water_BEC.OUTCAR.gz");
    let right = echoed(Code::Vasp, &text, &cube(12.429, &[("H", 128), ("O", 64)]));
    let without = text.replace("ions per type =", "");
    accepted(parse(Code::Vasp, &without, &right));
    let swapped = without.replace("VRHFIN =H:", "VRHFIN =F:");
    assert!(rejected(parse(Code::Vasp, &swapped, &right)).contains("computed as F"));
}

#[test]
fn a_missing_stress_is_told() {
    let without = |code, name: &str, marker: &str, atoms: &[(&str, usize)]| {
        let text = output(name);
        let right = echoed(code, &text, &cube(10.0, atoms));
        let text = text.replace(marker, "");
        let label = accepted(parse(code, &text, &right));
        assert!(label.virial.is_none(), "{name}");
        label.info["no_virial"].clone()
    };
    let si8 = [("Si", 8)];
    let qe = without(Code::Qe, "qe/si8_upf_k222_ok.out", "total   stress", &si8);
    assert!(qe.contains("tstress"), "{qe}");
    let cu = "vasp/Cu_single-point.OUTCAR.gz";
    let vasp = without(Code::Vasp, cu, "in kB", &[("Cu", 2)]);
    assert!(vasp.contains("ISIF"), "{vasp}");
    let marker = "Cartesian components of stress tensor (hartree/bohr^3)";
    let abinit = without(Code::Abinit, "abinit/si8_k222_ok.abo", marker, &si8);
    assert!(abinit.contains("optstress"), "{abinit}");
}

#[test]
fn what_did_not_converge_is_never_a_label() {
    let si8 = cube(5.47, &[("Si", 8)]);
    let na16 = cube(8.4, &[("Na", 16)]);
    let reason = |code, name: &str, s: &Structure| rejected(parse(code, &output(name), s));
    for name in [
        "abinit/si8_nstep3_notconverged.abo",
        "abinit/si8_tolvrs_notconverged.abo",
    ] {
        assert!(reason(Code::Abinit, name, &si8).contains("did not converge"));
    }
    assert!(
        reason(Code::Qe, "qe/si8_maxstep3_notconverged.out", &si8).contains("did not converge")
    );
    assert!(
        reason(Code::Qe, "qe/na16_smear_gamma_notconverged.out", &na16)
            .contains("did not converge")
    );
    assert!(reason(Code::Qe, "qe/si8_missing_pseudo_abort.out", &si8).contains("Missing.UPF"));
    assert!(reason(Code::Abinit, "abinit/si8_missing_pseudo_abort.log", &si8).contains("Nope.psp"));
    // The SCF of the last ionic step did not end well, whatever those before it did.
    let relax = output("vasp/diamond_relax.OUTCAR.gz");
    let at = relax
        .rfind("aborting loop because EDIFF is reached")
        .unwrap();
    let spoilt = format!("{}{}", &relax[..at], &relax[at + 20..]);
    let c8 = cube(3.56, &[("C", 8)]);
    assert!(rejected(parse(Code::Vasp, &spoilt, &c8)).contains("did not converge"));
    // VASP 5 says that EDIFF is reached where NELM was.
    let ran_out = relax.replace("NELM   =     60;", "NELM   =      4;");
    assert!(rejected(parse(Code::Vasp, &ran_out, &c8)).contains("did not converge"));
    let newer = ran_out.replacen("vasp.5.4.4", "vasp.6.4.2", 1);
    assert!(rejected(parse(Code::Vasp, &newer, &c8)).contains("ionic steps"));
}

#[test]
fn forces_without_van_der_waals_terms_may_follow() {
    let text = output("vasp/Cu_single-point.OUTCAR.gz");
    let cu = echoed(Code::Vasp, &text, &cube(3.2, &[("Cu", 2)]));
    let whole = accepted(parse(Code::Vasp, &text, &cu));
    let (before, table) = text.split_once("TOTAL-FORCE (eV/Angst)").unwrap();
    let widen = |line: &str| match line.split_whitespace().count() {
        6 => format!("{line}   0.1 0.2 0.3\n"),
        _ => format!("{line}\n"),
    };
    let (rows, rest) = table.split_at(table.find("total drift").unwrap());
    let wide: String = rows.lines().map(widen).collect();
    let wide = format!("{before}TOTAL-FORCE (eV/Angst){wide}{rest}");
    let both = accepted(parse(Code::Vasp, &wide, &cu));
    assert_eq!(both.forces, whole.forces);
}

#[test]
fn steps_of_a_machine_learned_force_field_are_no_labels() {
    let text = output("vasp/Cu_single-point.OUTCAR.gz");
    let cu = echoed(Code::Vasp, &text, &cube(3.2, &[("Cu", 2)]));
    accepted(parse(Code::Vasp, &text, &cu));
    // All steps learnt, the last one, the same but for the forces, and a run that says no more than what it was.
    let learnt = |text: &str| {
        text.replace("TOTAL-FORCE (eV/Angst)", "TOTAL-FORCE (eV/Angst) (ML)")
            .replace("free  energy   TOTEN", "free  energy ML TOTEN")
    };
    let at = text.find("TOTAL-FORCE").unwrap() - 100;
    let (setup, step) = (&text[..at], &text[at..]);
    for text in [
        learnt(&text),
        format!("{text}{}", learnt(step)),
        text.replace("energy  without entropy", "ML energy  without entropy"),
        format!("{setup}\n   ML_LMLFF = .TRUE.\n{step}"),
        format!("{setup}\n   ML_LMLFF      =      T    machine learning\n{step}"),
    ] {
        let reason = rejected(parse(Code::Vasp, &text, &cu));
        assert!(reason.contains("machine-learned"), "{reason}");
    }
    let off = format!("{setup}\n   ML_LMLFF = F\n{step}");
    accepted(parse(Code::Vasp, &off, &cu));
}

#[test]
fn a_cut_output_is_never_a_label() {
    let cases = [
        (Code::Qe, "qe/si8_upf_k222_ok.out", cube(5.47, &[("Si", 8)])),
        (
            Code::Abinit,
            "abinit/si8_k222_ok.abo",
            cube(5.47, &[("Si", 8)]),
        ),
        (
            Code::Vasp,
            "vasp/Cu_single-point.OUTCAR.gz",
            cube(3.2, &[("Cu", 2)]),
        ),
    ];
    for (code, name, structure) in cases {
        let text = output(name);
        let structure = echoed(code, &text, &structure);
        let whole = accepted(parse(code, &text, &structure));
        let mut rejections = 0;
        for part in 0..200 {
            let mut end = text.len() * part / 200;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            match parse(code, &text[..end], &structure) {
                // What comes after the results adds nothing to them.
                Verdict::Accepted(label) => assert_eq!(label, whole, "{name} cut at {end}"),
                Verdict::Rejected { .. } => rejections += 1,
            }
        }
        assert!(rejections > 100, "{name}: {rejections}");
    }
}

#[test]
fn a_stress_known_to_be_wrong_is_left_out() {
    let text = output("qe/si8_gth_k222_ok.out");
    let si8 = cube(5.47, &[("Si", 8)]);
    let qe = Code::Qe.dialect();
    let si8 = echoed(Code::Qe, &text, &si8);
    let settings = "template = 'metal'\npseudopotentials.Si = 'Si.pbe.gth'";
    let why = qe.distrusts_stress(&toml::from_str(settings).unwrap());
    let verdict = judge(qe, &printed(qe, &text), &si8, &Wanted::default(), why);
    let label = accepted(verdict);
    assert!(label.virial.is_none() && label.info["no_virial"].contains("GTH"));
    assert!(accepted(parse(Code::Qe, &text, &si8)).virial.is_some());
}

#[test]
fn a_second_look_is_tighter() {
    for (code, name, threshold) in [
        (Code::Qe, "CONV_THR", 1e-9),
        (Code::Vasp, "EDIFF", 1e-7),
        (Code::Abinit, "TOLVRS", 1e-9),
    ] {
        let dialect = code.dialect();
        let base: DftSettings =
            toml::from_str("template = 'metal'\nkspacing = 0.4\npseudopotentials = { Si = 'x' }\nvalues = { A = '1' }").unwrap();
        let table = base.tight(dialect).expect("settings");
        let ladder = Ladder::new(dialect.facts().name, &base, &[], Some(table), Ok).unwrap();
        let tight = ladder.at(1);
        assert!((tight.kspacing.unwrap() - 0.3).abs() < 1e-12);
        let found: f64 = tight.values[name].parse().unwrap();
        assert!((found / threshold - 1.0).abs() < 1e-9, "{name} {found}");
        assert_eq!(tight.values["A"], "1");
        let (own, default) = dialect.facts().threshold;
        assert_eq!(own, name);
        let (_, template) = dialect.facts().templates[0];
        assert!(template.contains(&format!("@{own}@")), "{default}");
        assert!(template.contains(&format!("@{}@", dialect.facts().cutoff)));
    }
}
