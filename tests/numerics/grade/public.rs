//! The public form, held against the public scripts' selection, matrix and grades.

use super::{features, list, reference, structure, train};
use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{Machine, backends, calculator, data, model, read_text};
use nepal::grade::{ActiveSet, BuildOptions, GradeKind, Measure};
use nepal::{BackendKind, Model, Request};
use std::path::Path;
use std::sync::Arc;

/// γ and its gradients were computed in double precision with another order of summation; the
/// condition of the active matrices is 7e7.
fn tolerance(machine: Machine) -> f64 {
    match machine.is_single() {
        // Descriptors from pairs in single precision.
        true => 1e-4,
        false => 1e-6,
    }
}

fn public_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("active_set.asi");
    let text = ["Te", "Pb"].map(|e| read_text(&format!("active_set_pbte/active_set_{e}.asi")));
    std::fs::write(&path, text.concat()).unwrap();
    path
}

fn load(model: &Model) -> ActiveSet {
    let folder = tempfile::tempdir().unwrap();
    ActiveSet::load(public_file(folder.path()), model).unwrap()
}

fn check_gammas(set: &Arc<ActiveSet>, model: &Arc<Model>) {
    for backend in backends() {
        let mut calculator = calculator(model, backend);
        calculator.set_active_set(Some(Arc::clone(set))).unwrap();
        for frame in list(&reference()["frames"]) {
            let expected: Vec<f64> = list(&frame["gamma"]).map(|x| x.as_f64().unwrap()).collect();
            let found = calculator
                .compute(&structure(frame), Request::GRADES)
                .unwrap();
            let name = frame["name"].as_str().unwrap();
            assert_close(name, &found.gamma, &expected, tolerance(backend));
            assert_eq!(found.grade, found.gamma);
            assert!(found.rho.iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn the_public_file_gives_the_public_grades() {
    let model = model("active_set_pbte");
    let set = load(&model);
    assert_eq!(set.kind(), GradeKind::Compat);
    check_gammas(&Arc::new(set), &model);
}

#[test]
fn the_public_selection_is_reproduced_row_by_row() {
    let model = model("active_set_pbte");
    let structures = train();
    let reference = reference();
    let options = BuildOptions {
        batch: 1000,
        ..BuildOptions::public_scripts()
    };
    let (set, report) = ActiveSet::build(&model, &features(&model, &structures), &options).unwrap();
    for (t, element) in model.elements().iter().enumerate() {
        let info = &reference["info"][element.symbol()];
        let expected: Vec<[u32; 2]> = list(&reference["active_set"][element.symbol()])
            .map(|row| std::array::from_fn(|k| row[k].as_u64().unwrap() as u32))
            .collect();
        let found: Vec<[u32; 2]> = set
            .origins(t)
            .iter()
            .map(|o| o.map(|o| [o.structure, o.atom]).unwrap())
            .collect();
        assert_eq!(found, expected, "{element}");
        let report = &report.elements[t];
        assert_eq!(report.offered, 3125);
        let iterations: Vec<usize> = list(&info["maxvol_iterations_per_batch"])
            .map(|x| x.as_u64().unwrap() as usize)
            .collect();
        assert_eq!(report.iterations, iterations, "{element}");
        assert_close(
            "largest gamma of the candidates",
            &[report.max_gamma],
            &[info["max_gamma_over_selection_set"].as_f64().unwrap()],
            tolerance(BackendKind::Reference.into()),
        );
        let condition = info["condition_number"].as_f64().unwrap();
        assert_close(
            "condition",
            &[report.condition / condition],
            &[1.0],
            tolerance(BackendKind::Reference.into()),
        );
        assert!(report.note.contains("no final pass"), "{}", report.note);
    }
    check_gammas(&Arc::new(set.clone()), &model);

    // Written and read again it is the same set, to the last digit.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.asi");
    set.save(&path).unwrap();
    let again = ActiveSet::load(&path, &model).unwrap();
    let probe = features(&model, &structures[3..4]);
    for t in 0..2 {
        assert_eq!(
            format!("{:?}", set.grade_rows(t, probe.rows(t)).unwrap()),
            format!("{:?}", again.grade_rows(t, probe.rows(t)).unwrap())
        );
    }
}

#[test]
fn the_final_pass_leaves_no_training_atom_above_the_tolerance() {
    let model = model("active_set_pbte");
    let features = features(&model, &train());
    let batched = BuildOptions {
        batch: 1000,
        ..BuildOptions::compat()
    };
    for options in [BuildOptions::compat(), batched] {
        let (_, report) = ActiveSet::build(&model, &features, &options).unwrap();
        for element in &report.elements {
            assert!(element.max_gamma <= options.tolerance + 1e-6, "{report}");
            assert_eq!(element.note, "");
        }
    }
}

#[test]
fn gradients_of_gamma_agree_with_the_reference() {
    let model = model("active_set_pbte");
    let set = load(&model);
    for backend in backends() {
        let mut calculator = calculator(&model, backend);
        for frame in list(&reference()["frames"]) {
            let structure = structure(frame);
            let types = model.types_of(&structure.elements).unwrap();
            let descriptors = calculator
                .compute(&structure, Request::DESCRIPTORS)
                .unwrap()
                .descriptors
                .clone();
            let mut gradient = |i: usize| -> Vec<[f64; 3]> {
                let of_one = |values: &[f64]| -> Vec<f64> {
                    (0..values.len()).map(|k| f64::from(k == i)).collect()
                };
                let g = set
                    .gradient_of_grade(&model, &types, (&descriptors, &[]), Measure::Gamma, of_one)
                    .unwrap();
                let c = calculator.contract(&structure, &g.gradient).unwrap();
                c.forces.iter().map(|f| f.map(|x| -x)).collect()
            };
            let rows = |json: &serde_json::Value| -> Vec<[f64; 3]> {
                list(json)
                    .map(|row| std::array::from_fn(|k| row[k].as_f64().unwrap()))
                    .collect()
            };
            let atom = frame["argmax_atom"].as_u64().unwrap() as usize;
            assert_rows_close(
                frame["name"].as_str().unwrap(),
                &gradient(atom),
                &rows(&frame["gradient_of_gamma_of_argmax_atom"]),
                tolerance(backend),
            );
            if let Some(all) = frame["gradient_all"].as_array() {
                for (i, expected) in all.iter().enumerate() {
                    let name = format!("{} atom {i}", frame["name"]);
                    assert_rows_close(&name, &gradient(i), &rows(expected), tolerance(backend));
                }
            }
        }
    }
}

#[test]
fn damaged_public_files_are_refused_with_the_line() {
    let model = model("active_set_pbte");
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read_to_string(public_file(folder.path())).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let one = 1 + 144 * 144;
    let replaced = |k: usize, with: &str| {
        let mut lines = lines.clone();
        lines[k] = with;
        lines.join("\n")
    };
    let cases = [
        (lines[..100].join("\n"), "bad.asi:100: ", "cut off"),
        (replaced(5, "nan"), "bad.asi:6: ", "row 1, column 5"),
        (replaced(5, "1.0x"), "bad.asi:6: ", "1.0x"),
        (replaced(0, "Te 143 144"), "bad.asi:1: ", "143 rows"),
        (replaced(0, "Te 99999999999 144"), "bad.asi:1: ", "rows"),
        (
            replaced(one, "Te 144 144"),
            "bad.asi:20738: ",
            "second matrix",
        ),
        (
            replaced(one, "Si 144 144"),
            "bad.asi:20738: ",
            "does not know Si",
        ),
        (format!("{whole}7.0\n"), "bad.asi:41475: ", "\"7.0\""),
        (String::new(), "bad.asi:1: ", "no matrix"),
        ("x".repeat(100_000), "bad.asi:1: ", "longer than"),
    ];
    for (text, place, what) in cases {
        let path = folder.path().join("bad.asi");
        std::fs::write(&path, text).unwrap();
        let message = ActiveSet::load(&path, &model).unwrap_err().to_string();
        assert!(
            message.contains(place) && message.contains(what),
            "{message}"
        );
    }
    assert!(ActiveSet::load(data("nowhere.asi"), &model).is_err());
}

#[test]
fn an_element_that_the_file_lacks_is_an_error_only_where_it_occurs() {
    let model = model("active_set_pbte");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("te.asi");
    std::fs::write(&path, read_text("active_set_pbte/active_set_Te.asi")).unwrap();
    let set = ActiveSet::load(&path, &model).unwrap();
    let features = features(&model, &train()[..1]);
    assert!(set.grade_rows(0, features.rows(0)).is_ok());
    let message = set.grade_rows(1, features.rows(1)).unwrap_err().to_string();
    assert!(message.contains("no matrix for Pb"), "{message}");
}
