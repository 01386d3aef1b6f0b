//! Model files: what is read, written and refused, with the place in the file.

use crate::support::close::assert_close;
use crate::support::{self, gas};
use nepal::model::{Cutoff, ManyBody, Version, Zbl};
use nepal::{BackendKind, Error, Model, Request};
use std::sync::Arc;

fn parse(text: &str) -> nepal::Result<Model> {
    Model::parse(text.as_bytes(), "nep.txt")
}

/// A small model with all lines of the header.
const SMALL: &str = "synthetic_variants/nep3_zbl";

fn all() -> impl Iterator<Item = &'static str> {
    let lists = support::POTENTIALS.iter().chain(&support::EXTENDED);
    lists.chain(&support::TENSORS).copied()
}

/// Asserts a parse error at a line whose message has the words.
#[track_caller]
fn assert_refused(text: &str, line: usize, words: &[&str]) {
    let error = parse(text).expect_err("the file should be refused");
    let message = error.to_string();
    let place = format!("nep.txt:{line}: ");
    assert!(matches!(error, Error::Parse { .. }), "{message}");
    assert!(
        message.starts_with(&place),
        "expected {place:?} in {message:?}"
    );
    for word in words {
        assert!(message.contains(word), "expected {word:?} in {message:?}");
    }
}

#[test]
fn writing_and_reading_gives_the_same_model_and_the_same_text() {
    for folder in all() {
        let model = support::model(folder);
        let text = model.to_text();
        let again = parse(&text).unwrap_or_else(|e| panic!("{folder}: {e}"));
        assert!(again == *model, "{folder}");
        assert!(again.to_text() == text, "{folder}");
        assert_eq!(again.fingerprint(), model.fingerprint());
    }
}

#[test]
fn files_of_gpumd_are_written_back_byte_for_byte() {
    for folder in ["pbte_nep_train", "unep_v1_16_metals", "water_qnep_mode1"] {
        let original = support::read_text(&format!("{folder}/nep.txt"));
        let written = support::model(folder).to_text();
        let differing = original
            .lines()
            .zip(written.lines())
            .position(|(a, b)| a != b);
        assert_eq!(differing, None, "{folder}: first differing line, from 0");
        assert!(original == written, "{folder}");
    }
}

#[test]
fn the_part_of_some_elements_says_the_same_of_them() {
    for (folder, order) in [
        ("unep_v1_16_metals", ["Cu", "Ag", "Al"].as_slice()),
        ("synthetic_variants/nep3_zbl", &[]),
        ("pbte_nep_train", &["Pb", "Te"]),
        ("synthetic_variants/nep4_charge_vdw", &["O", "Ba"]),
        ("synthetic_variants/nep4_zbl_temperature", &["O"]),
    ] {
        let whole = support::model(folder);
        let mut elements: Vec<_> = (order.iter())
            .map(|s| nepal::Element::from_symbol(s).unwrap())
            .collect();
        if elements.is_empty() {
            elements = whole.elements().iter().rev().copied().collect();
        }
        let part = Arc::new(whole.restricted_to(&elements).unwrap());
        let periodic = [true, true, whole.kind().is_long_ranged()];
        let structure = gas::rattled(&elements, [3, 3, 3], 2.6, periodic);
        let [a, b] = [&whole, &part].map(|model| {
            let mut calculator = support::calculator(model, BackendKind::Reference);
            let found = calculator.compute(&structure, Request::FORCES).unwrap();
            (found.energy, found.forces.clone())
        });
        assert!((a.0 - b.0).abs() < 1e-10 * a.0.abs(), "{folder}");
        for (f, g) in a.1.iter().flatten().zip(b.1.iter().flatten()) {
            assert!((f - g).abs() < 1e-9, "{folder}: {f} {g}");
        }
        let twice = [elements[0], elements[0]];
        assert!(part.restricted_to(&twice).is_err() && part.restricted_to(&[]).is_err());
    }
}

#[test]
fn a_saved_file_gives_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.txt");
    for name in support::POTENTIALS {
        let model = support::model(name);
        model.save(&path).unwrap();
        let loaded = Arc::new(Model::load(&path).unwrap());
        let structure = gas::rattled(model.elements(), [2, 2, 1], 3.0, [true; 3]);
        let [mut first, mut second] =
            [model, loaded].map(|m| support::calculator(&m, BackendKind::Reference));
        let a = first.compute(&structure, Request::FORCES).unwrap();
        let b = second.compute(&structure, Request::FORCES).unwrap();
        assert_eq!(a.energies, b.energies, "{name}");
        assert_eq!(a.forces, b.forces, "{name}");
    }
    // Nothing but the file is left behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn headers_are_understood() {
    let header = |name: &str| support::model(name).header().clone();
    let h = header("c_2022_nep3_dftd3");
    assert_eq!(
        (h.version, h.n_types(), h.neurons),
        (Version::Nep3, 1, [100, 0])
    );
    assert_eq!(h.cutoff, Cutoff::Uniform([4.2, 3.7]));
    assert_eq!(h.max_neighbors, [80, 47]);
    assert_eq!((h.n_max, h.basis_size, h.l_max), ([10, 8], [10, 8], 4));
    let expected = ManyBody {
        f222: true,
        f1111: true,
        ..ManyBody::default()
    };
    assert_eq!(h.many_body, expected);
    assert_eq!(h.zbl, None);
    assert_eq!(h.dim(), 11 + 9 * 6);

    let h = header("synthetic_variants/nep4_222_112_233_gpumd_style");
    let expected = ManyBody {
        f222: true,
        f112: true,
        f233: true,
        ..ManyBody::default()
    };
    assert_eq!(h.many_body, expected);
    let h = header("synthetic_variants/nep4_1111_without_222");
    assert_eq!(
        h.many_body,
        ManyBody {
            f1111: true,
            ..ManyBody::default()
        }
    );
    let h = header("synthetic_variants/nep4_two_hidden_layers");
    assert_eq!(h.neurons, [6, 5]);
    let h = header("synthetic_variants/nep4_zbl_typewise");
    assert!(
        matches!(h.zbl, Some(Zbl::Typewise { factor: 0.7, .. })),
        "{:?}",
        h.zbl
    );
    let h = header("synthetic_variants/nep4_zbl_flexible");
    assert!(
        matches!(&h.zbl, Some(Zbl::Flexible(rows)) if rows.len() == 6),
        "{:?}",
        h.zbl
    );
    let h = header("synthetic_variants/nep4_typewise_cutoffs");
    assert!(
        matches!(&h.cutoff, Cutoff::PerType(rows) if rows.len() == 3),
        "{:?}",
        h.cutoff
    );
    assert_eq!(
        header("unep_v1_16_metals").zbl,
        Some(Zbl::Universal {
            inner: 1.0,
            outer: 2.0
        })
    );
    assert_eq!(header("synthetic_variants/nep5").version, Version::Nep5);
    assert_eq!(header("synthetic_variants/nep4_maximal_dim").dim(), 103);
}

/// The `l_max` line in all its spellings: three-body only, 0/1 flags, GPUMD's 2.
#[test]
fn many_body_flags_are_written_so_that_every_program_reads_them_alike() {
    let lines = [
        ("c_2024_nep4", "l_max 4 2 1"),
        ("si_2022_nep4_3body", "l_max 4 0 0"),
        ("synthetic_variants/nep4_1111_without_222", "l_max 4 0 1"),
        (
            "synthetic_variants/nep4_222_112_233_gpumd_style",
            "l_max 4 1 0 1 0 1",
        ),
        (
            "synthetic_variants/nep4_all_higher_body",
            "l_max 4 1 1 1 1 1 1",
        ),
    ];
    for (folder, expected) in lines {
        let text = support::model(folder).to_text();
        let line = text.lines().find(|line| line.starts_with("l_max")).unwrap();
        assert_eq!(line, expected, "{folder}");
    }
    // One number, and two, as old files have it.
    let text = support::read_text("si_2022_nep4_3body/nep.txt");
    for short in ["l_max 4", "l_max 4 0"] {
        let old = text.replacen("l_max 4 0 0", short, 1);
        assert_ne!(old, text);
        assert!(parse(&old).unwrap() == *support::model("si_2022_nep4_3body"));
    }
}

#[test]
fn unofficial_members_of_the_family_are_refused_by_name() {
    let text = support::read_text(&format!("{SMALL}/nep.txt"));
    for (token, words) in [
        ("nep4_spin", "third party"),
        ("nep4_zbl_spin2", "third party"),
        ("nep2", "train it anew"),
        ("nep5_charge1", "train it anew"),
        ("nep4_zbl_dipole", "train it anew"),
        ("nep4_charge4", "train it anew"),
        ("nep4_magic", "train it anew"),
    ] {
        let error = parse(&text.replacen("nep3_zbl", token, 1)).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Unsupported(_)), "{message}");
        assert!(
            message.starts_with(&format!("nep.txt:1: '{token}'")),
            "{message}"
        );
        assert!(
            message.contains(words) && message.contains("_charge_vdw"),
            "{message}"
        );
    }
    // Two layers and several cutoffs have no place in models with charges.
    let charged = support::read_text("water_qnep_mode1/nep.txt");
    assert_refused(
        &charged.replacen("ANN 30 0", "ANN 30 4", 1),
        6,
        &["two hidden layers"],
    );
    let several = charged.replacen("cutoff 4 4 39 39", "cutoff 4 4 5 4 39 39", 1);
    assert_refused(&several, 6, &["one radial cutoff"]);
}

#[test]
fn files_cut_off_at_any_line_of_the_header_say_what_is_missing() {
    let text = support::read_text(&format!("{SMALL}/nep.txt"));
    let lines: Vec<&str> = text.lines().collect();
    let next = ["", "zbl", "cutoff", "n_max", "basis_size", "l_max", "ANN"];
    assert_refused("", 1, &["empty file"]);
    for kept in 1..next.len() {
        let cut = lines[..kept].join("\n");
        assert_refused(&cut, kept + 1, &[next[kept], "end of the file"]);
        // The next line is there, but is not what it must be.
        let swapped = format!("{cut}\nsomething else\n");
        assert_refused(&swapped, kept + 1, &[next[kept], "something else"]);
        // Only the keyword is there.
        let bare = format!("{cut}\n{}\n", next[kept]);
        assert_refused(&bare, kept + 1, &[next[kept], "found 0"]);
    }
    let header = lines[..7].join("\n");
    let wanted = lines.len() - 7;
    let words = [
        format!("{wanted} numbers"),
        "end of the file after 0".to_owned(),
    ];
    assert_refused(&header, 8, &[&words[0], &words[1]]);
}

#[test]
fn too_few_and_too_many_numbers_are_refused() {
    let text = support::read_text(&format!("{SMALL}/nep.txt"));
    let lines: Vec<&str> = text.lines().collect();
    let wanted = lines.len() - 7;
    for kept in [8, lines.len() / 2, lines.len() - 1] {
        let cut = lines[..kept].join("\n");
        assert_refused(&cut, kept + 1, &[&format!("after {}", kept - 7)]);
    }
    let more = format!("{text}  1.0\n");
    assert_refused(
        &more,
        lines.len() + 1,
        &[&format!("{wanted} numbers"), "more follow"],
    );
    // Blank lines at the end and several numbers in a line are harmless.
    assert!(parse(&format!("{text}\n  \n")).is_ok());
    let joined = format!("{}\n{}\n", lines[..7].join("\n"), lines[7..].join(" "));
    assert!(parse(&joined).is_ok());
}

#[test]
fn words_that_are_not_finite_numbers_are_refused() {
    let text = support::read_text(&format!("{SMALL}/nep.txt"));
    let lines: Vec<&str> = text.lines().collect();
    for word in [
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "1e999",
        "abc",
        "1.0.0",
        "0x10",
        "1,5",
        "--1",
    ] {
        for line in [7, lines.len() / 2, lines.len() - 1] {
            let mut changed = lines.clone();
            changed[line] = word;
            assert_refused(&changed.join("\n"), line + 1, &["finite number", word]);
        }
        let mut changed = lines.clone();
        let cutoff = format!("cutoff {word} 4 50 50");
        changed[2] = &cutoff;
        assert_refused(&changed.join("\n"), 3, &["finite number", word]);
    }
}

#[test]
fn wrong_headers_are_refused_with_line_and_reason() {
    let text = support::read_text(&format!("{SMALL}/nep.txt"));
    let cases: [(usize, &str, &[&str]); 31] = [
        (1, "", &["empty line"]),
        (1, "nep4", &["found only"]),
        (1, "nep9 1 Si", &["nep9"]),
        (1, "NEP4 1 Si", &["NEP4"]),
        (
            1,
            "nep3_zbl 2 Ba Ti O",
            &["announces 2 elements", "found 3"],
        ),
        (
            1,
            "nep3_zbl 4 Ba Ti O",
            &["announces 4 elements", "found 3"],
        ),
        (1, "nep3_zbl -3 Ba Ti O", &["whole number", "-3"]),
        (1, "nep3_zbl 99999999999999999999 Ba", &["whole number"]),
        (1, "nep3_zbl 3 Ba Ti Xx", &["Xx"]),
        (7, "nep3_zbl 3 Ba Ti Ba", &["Ba appears twice"]),
        (7, "nep3_zbl 0", &["at least one element"]),
        (2, "zbl 1", &["2 or 3 numbers", "found 1"]),
        (2, "zbl 1 2 3 4", &["2 or 3 numbers", "found 4"]),
        (7, "zbl 2 1", &["zbl"]),
        (7, "zbl -1 1", &["zbl"]),
        (3, "cutoff 5", &["found 1"]),
        (3, "cutoff 5 4 3", &["found 3"]),
        (3, "cutoff 5 4 3 2 1", &["found 5"]),
        (3, "cutoff 5 4 1.5 10", &["number of neighbours", "1.5"]),
        (3, "cutoff 5 4 -1 10", &["number of neighbours", "-1"]),
        (7, "cutoff 0 4 10 10", &["cutoffs of Ba"]),
        (7, "cutoff -5 4 10 10", &["cutoffs of Ba"]),
        (7, "cutoff 1e9 4 10 10", &["cutoffs of Ba"]),
        (4, "n_max 4", &["2 numbers", "found 1"]),
        (4, "n_max 4.0 4", &["whole number", "4.0"]),
        (7, "n_max 1000000000 4", &["n_max"]),
        (7, "basis_size 8 1000000000", &["basis_size"]),
        (6, "l_max 4 2 1 0 0 0 0 1", &["1 to 7 numbers", "found 8"]),
        (7, "l_max 9", &["l_max", "9"]),
        (7, "l_max 1 2 0", &["l_max of at least 2"]),
        (7, "ANN 0 0", &["neurons"]),
    ];
    for (line, wrong, words) in cases {
        let mut lines: Vec<&str> = text.lines().collect();
        let keyword = wrong.split(' ').next().unwrap();
        let place = lines
            .iter()
            .take(7)
            .position(|l| l.split(' ').next() == Some(keyword))
            .unwrap_or(0);
        lines[place] = wrong;
        assert_refused(&lines.join("\n"), line, words);
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines[6] = "ANN 1000000000 0";
    assert_refused(&lines.join("\n"), 7, &["neurons"]);
    lines[6] = "ANN 4 4";
    assert_refused(&lines.join("\n"), 7, &["two hidden layers"]);
}

/// The form of GPUMD from 2024 to 2025: factors for typewise cutoffs at the end of the line.
#[test]
fn typewise_cutoffs_of_2024_are_read_and_written() {
    let text = support::read_text(&format!("{SMALL}/nep.txt"));
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "zbl 0.9 1.8";
    lines[2] = "cutoff 6 5 40 30 1.5 1.25 0.65";
    let model = parse(&lines.join("\n")).unwrap();
    let h = model.header();
    let outer = Zbl::Typewise {
        inner: 0.9,
        outer: 1.8,
        factor: 0.65,
    };
    assert_eq!(h.zbl, Some(outer));
    let radius = |t: usize| h.elements[t].covalent_radius();
    let [radial, angular] = h.pair_cutoff(1, 2);
    assert_close(
        "cutoffs",
        &[radial, angular],
        &[
            1.5 * (radius(1) + radius(2)),
            1.25 * (radius(1) + radius(2)),
        ],
        1e-15,
    );
    // Ba is large: the global cutoff is the smaller one.
    assert_eq!(h.pair_cutoff(0, 0), [6.0, 5.0]);
    assert!(parse(&model.to_text()).unwrap() == model);
    // A factor in the zbl line wins over, and survives beside, the one in the cutoff line.
    lines[1] = "zbl 0.9 1.8 0.7";
    let model = parse(&lines.join("\n")).unwrap();
    let outer = Zbl::Typewise {
        inner: 0.9,
        outer: 1.8,
        factor: 0.7,
    };
    assert_eq!(model.header().zbl, Some(outer));
    assert!(parse(&model.to_text()).unwrap() == model);
}

#[test]
fn parts_that_do_not_fit_make_no_model() {
    let model = support::model(SMALL);
    let (header, parameters, scaler) = (
        model.header().clone(),
        model.parameters().to_vec(),
        model.q_scaler().to_vec(),
    );
    assert!(Model::new(header.clone(), parameters.clone(), scaler.clone()).is_ok());
    let mut short = parameters.clone();
    short.pop();
    let error = Model::new(header.clone(), short, scaler.clone())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("{} parameters", parameters.len())),
        "{error}"
    );
    assert!(Model::new(header.clone(), parameters.clone(), Vec::new()).is_err());
    let mut bad = parameters.clone();
    bad[5] = f64::NAN;
    assert!(Model::new(header.clone(), bad, scaler.clone()).is_err());
    let mut none = header;
    none.elements.clear();
    assert!(Model::new(none, parameters, scaler).is_err());
}
