//! Small projects of each kind, written as their programs write them.

use super::*;
use std::path::Path;

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A labelled frame of two sodium atoms as nep_maker's writer has it.
fn frame(x: f64, fx: f64) -> String {
    format!(
        "2\nEnergy=-2.5 pbc=\"T T T\" Lattice=\"4 0 0 0 4 0 0 0 4\" Virial=\"1 0 0 0 1 0 0 0 1\" Properties=species:S:1:pos:R:3:forces:R:3\nNa 0 0 0 {fx} 0 0\nNa {x} 2 2 -{fx} 0 0\n"
    )
}

#[test]
fn a_nep_maker_project_comes_with_its_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let p = dir.path();
    let (a, b, c) = (frame(2.0, 0.1), frame(2.1, 0.2), frame(2.2, 300.0));
    let d = frame(2.3, 0.3);
    write(
        p,
        "train.xyz",
        [a.clone(), b.clone(), c, d.clone(), a.clone()].concat(),
    );
    write(p, "init_structures.xyz", &a);
    std::fs::create_dir(p.join("iter_0")).unwrap();
    write(p, "iter_1/scf.xyz", [b, d.clone()].concat());
    write(p, "iter_2/scf.xyz", d);
    write(p, "iter_2/nep.txt", "not a model\n");
    write(p, "input/nep.in", "type 1 Na\n");
    assert_eq!(Project::recognise(p).unwrap(), Project::NepMaker);
    let found = import(
        Project::NepMaker,
        p,
        None,
        &LabelKeys::default(),
        &Limits::default(),
    )
    .unwrap();
    let rounds: Vec<&str> = found
        .frames
        .iter()
        .map(|f| f.info["imported_round"].as_str())
        .collect();
    // The third has a force beyond all reason, the last is the first again.
    assert_eq!(rounds, ["0", "0", "1"]);
    assert_eq!(found.refused.len(), 2);
    assert_eq!(found.reasons.get("the same structure twice"), Some(&1));
    assert!(
        found.refused[0].info["refused"].contains("force"),
        "{:?}",
        found.refused[0].info
    );
    assert_eq!(found.nep_in.as_deref(), Some("type 1 Na\n"));
    assert!(found.model.is_none() && found.notes.iter().any(|n| n.contains("nep.txt")));
    assert!(
        found
            .frames
            .iter()
            .all(|f| f.info["label_source"] == "file")
    );
}

#[test]
fn a_dp_gen_project_comes_with_its_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let p = dir.path();
    let system = |name: &str, frames: usize, single: bool| {
        let set = |what: &str| format!("{name}/set.000/{what}.npy");
        let many = |one: &[f64]| -> Vec<f64> {
            (0..frames)
                .flat_map(|k| one.iter().map(move |x| x + 0.125 * k as f64))
                .collect()
        };
        let put = |what: &str, width: usize, one: &[f64]| {
            write(
                p,
                &set(what),
                npy::bytes(&[frames, width], &many(one), single),
            );
        };
        put("coord", 6, &[0.0, 0.0, 0.0, 1.5, 1.5, 1.5 + frames as f64]);
        put("force", 6, &[0.25, 0.0, 0.0, -0.25, 0.0, 0.0]);
        put("box", 9, &[8.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 8.0]);
        put("virial", 9, &[1.0, 2.0, 3.0, 2.0, 5.0, 6.0, 3.0, 6.0, 9.0]);
        write(
            p,
            &set("energy"),
            npy::bytes(&[frames], &many(&[-3.0]), single),
        );
        write(p, &format!("{name}/type.raw"), "1\n0\n");
        write(p, &format!("{name}/type_map.raw"), "Cl\nNa\n");
    };
    system("init/first/deepmd", 1, false);
    system("iter.000000/02.fp/data.000", 2, true);
    write(p, "iter.000001/00.train/nothing", "");
    write(
        p,
        "param.json",
        r#"{"init_data_prefix": "init", "init_data_sys": ["first", "second"]}"#,
    );
    assert_eq!(Project::recognise(p).unwrap(), Project::DpGen);
    let loose = Limits {
        max_net_force: 1.0,
        ..Limits::default()
    };
    let found = import(Project::DpGen, p, None, &LabelKeys::default(), &loose).unwrap();
    let rounds: Vec<&str> = found
        .frames
        .iter()
        .map(|f| f.info["imported_round"].as_str())
        .collect();
    assert_eq!(rounds, ["0", "1", "1"]);
    let last = &found.frames[2];
    assert_eq!(last.structure.elements[0].symbol(), "Na");
    assert_eq!(last.energy, Some(-2.875));
    assert_eq!(last.virial.unwrap()[1], 2.125);
    assert_eq!(last.structure.positions[1], [1.625, 1.625, 3.625]);
    assert_eq!(last.structure.cell.vectors()[0], [8.125, 0.125, 0.125]);
    assert_eq!(last.info["origin"], "iter.000000/02.fp/data.000");
    assert!(
        found.notes.iter().any(|n| n.contains("second")),
        "{:?}",
        found.notes
    );
    // The net force of the second frame is beyond the usual limit.
    let strict = import(
        Project::DpGen,
        p,
        None,
        &LabelKeys::default(),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!((strict.frames.len(), strict.refused.len()), (2, 1));

    let file = p.join("iter.000000/02.fp/data.000/set.000/energy.npy");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.pop();
    std::fs::write(&file, bytes).unwrap();
    let message = import(Project::DpGen, p, None, &LabelKeys::default(), &loose)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("energy.npy") && message.contains("bytes"),
        "{message}"
    );
}

#[test]
fn plain_files_need_labels() {
    let dir = tempfile::tempdir().unwrap();
    let p = dir.path();
    assert!(
        Project::recognise(p)
            .unwrap_err()
            .to_string()
            .contains("iter_0")
    );
    write(p, "train.xyz", frame(2.0, 0.1));
    write(
        p,
        "bare.xyz",
        "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3\nNa 0 0 0\n",
    );
    assert_eq!(Project::recognise(p).unwrap(), Project::Plain);
    let found = import(
        Project::Plain,
        p,
        None,
        &LabelKeys::default(),
        &Limits::default(),
    )
    .unwrap();
    assert_eq!((found.frames.len(), found.model), (1, None));
    let bare = p.join("bare.xyz");
    let message = import(
        Project::Plain,
        &bare,
        None,
        &LabelKeys::default(),
        &Limits::default(),
    )
    .unwrap_err()
    .to_string();
    assert!(message.contains("no energy"), "{message}");
    let missing = p.join("none.txt");
    assert!(
        import(
            Project::Plain,
            p,
            Some(&missing),
            &LabelKeys::default(),
            &Limits::default()
        )
        .is_err()
    );
}

/// A folder of DeePMD data: the arrays of each set, by name, shape and values.
type Set<'a> = (&'a str, &'a [(&'a str, &'a [usize], &'a [f64])]);

fn deepmd(folder: &Path, types: &str, sets: &[Set<'_>]) {
    write(folder, "type.raw", types);
    write(folder, "type_map.raw", "Na Cl\n");
    for (set, arrays) in sets {
        for (name, shape, values) in *arrays {
            let file = format!("{set}/{name}.npy");
            write(folder, &file, npy::bytes(shape, values, false));
        }
    }
}

const BOX: (&str, &[usize], &[f64]) = (
    "box",
    &[1, 9],
    &[9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0],
);
const COORD: (&str, &[usize], &[f64]) = ("coord", &[1, 6], &[0.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
const FORCE: (&str, &[usize], &[f64]) = ("force", &[1, 6], &[0.1, 0.0, 0.0, -0.1, 0.0, 0.0]);
const ENERGY: (&str, &[usize], &[f64]) = ("energy", &[1], &[-3.0]);

fn taken(path: &Path) -> Result<Imported> {
    let project = Project::recognise(path)?;
    import(
        project,
        path,
        None,
        &LabelKeys::default(),
        &Limits::default(),
    )
}

#[test]
fn deepmd_data_need_no_project_and_no_set_000() {
    let dir = tempfile::tempdir().unwrap();
    let moved = (
        "coord",
        &[1usize, 6][..],
        &[0.0, 0.0, 0.0, 2.0, 2.0, 2.5][..],
    );
    let sets: [Set<'_>; 2] = [
        ("set.010", &[BOX, COORD, FORCE, ENERGY]),
        (
            "set.2",
            &[
                BOX,
                moved,
                FORCE,
                ENERGY,
                ("atom_ener", &[1, 2], &[0.0, 0.0]),
            ],
        ),
    ];
    deepmd(&dir.path().join("data/a"), "0\n1\n", &sets);
    let found = taken(dir.path()).unwrap();
    assert_eq!(found.frames.len(), 2);
    assert_eq!(found.frames[0].structure.positions[1][2], 2.5);
    assert_eq!(found.frames[0].info["origin"], "data/a");
    assert!(
        found.notes.iter().any(|n| n.contains("atom_ener.npy")),
        "{:?}",
        found.notes
    );
}

#[test]
fn deepmd_data_that_are_not_read_are_told() {
    let dir = tempfile::tempdir().unwrap();
    deepmd(
        &dir.path().join("a"),
        "0 1",
        &[("set.000", &[BOX, COORD, FORCE, ENERGY])],
    );
    write(dir.path(), "b/type.raw", "0 1");
    write(dir.path(), "b/coord.raw", "0 0 0 2 2 2");
    let elsewhere = tempfile::tempdir().unwrap();
    deepmd(
        elsewhere.path(),
        "0 1",
        &[("set.000", &[BOX, COORD, FORCE, ENERGY])],
    );
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("c")).unwrap();
    let found = taken(dir.path()).unwrap();
    assert_eq!(found.frames.len(), 1);
    for (folder, word) in [("/b:", "set.*"), ("/c:", "link")] {
        let told = found
            .notes
            .iter()
            .any(|n| n.contains(folder) && n.contains(word));
        assert!(told, "{folder} {:?}", found.notes);
    }
}

#[test]
fn deepmd_mixed_types_give_each_frame_its_elements() {
    let dir = tempfile::tempdir().unwrap();
    let types = |t: &'static [f64]| ("real_atom_types", &[1usize, 2][..], t);
    let moved = (
        "coord",
        &[1usize, 6][..],
        &[0.0, 0.0, 0.0, 2.0, 2.0, 2.5][..],
    );
    let none = ("force", &[1usize, 6][..], &[0.0; 6][..]);
    deepmd(
        dir.path(),
        "0 0",
        &[
            ("set.000", &[BOX, COORD, FORCE, ENERGY, types(&[1.0, 0.0])]),
            ("set.001", &[BOX, moved, none, ENERGY, types(&[1.0, -1.0])]),
        ],
    );
    let found = taken(dir.path()).unwrap();
    let symbols =
        |f: &Frame| -> String { f.structure.elements.iter().map(|e| e.symbol()).collect() };
    assert_eq!(symbols(&found.frames[0]), "ClNa");
    assert_eq!(symbols(&found.frames[1]), "Cl");
    assert_eq!(found.frames[1].forces.as_ref().unwrap().len(), 1);
    deepmd(dir.path(), "0 0", &[("set.000", &[types(&[2.0, 0.0])])]);
    let message = taken(dir.path()).unwrap_err().to_string();
    assert!(message.contains("real_atom_types.npy: type 2"), "{message}");
}

#[test]
fn deepmd_data_without_a_box_are_told_from_molecules() {
    let dir = tempfile::tempdir().unwrap();
    deepmd(dir.path(), "0 1", &[("set.000", &[COORD, FORCE, ENERGY])]);
    let message = taken(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("box.npy") && message.contains("nopbc"),
        "{message}"
    );
    write(dir.path(), "nopbc", "");
    let found = taken(dir.path()).unwrap();
    assert_eq!(found.frames[0].structure.cell.periodic(), [false; 3]);
}

#[test]
fn deepmd_shapes_that_promise_too_much_are_refused_cheaply() {
    let dir = tempfile::tempdir().unwrap();
    for (types, shape) in [
        ("0 1", [10_000_000, 6]),
        ("", [10_000_000, 0]),
        ("0 1", [usize::MAX, usize::MAX]),
    ] {
        deepmd(
            dir.path(),
            types,
            &[("set.000", &[("coord", &shape, &[]), BOX])],
        );
        assert!(taken(dir.path()).is_err(), "{shape:?}");
    }
}
