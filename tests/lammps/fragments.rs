//! Fragments from a running LAMMPS.

use crate::host::{Run, lammps};
use crate::sample::Sample;
use crate::support::close::assert_close;
use nepal::system::{Frame, xyz};
use nepal::{Request, Structure};

/// Silicon with one atom far off its place.
fn defective(n: usize, periodic: [bool; 3]) -> Sample {
    let mut sample = Sample::silicon([n, n, n], 0.04, periodic);
    let atom = DEFECT - 1;
    sample.structure.positions[atom][0] += 0.90;
    sample.structure.positions[atom][1] += 0.40;
    sample
}

/// LAMMPS' name of the atom that is off its place.
const DEFECT: usize = 5;

/// The fragments of all ranks, by target.
fn fragments(run: &Run, ranks: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for rank in 0..ranks {
        let path = run.folder().join(format!("frags/fragments.{rank}.xyz"));
        if path.exists() {
            frames.extend(xyz::read_frames(&path).unwrap_or_else(|e| panic!("{e}")));
        }
    }
    frames.sort_by_key(|frame| number(frame, "parent_atom") as i64);
    frames
}

fn number(frame: &Frame, key: &str) -> f64 {
    frame.info[key].parse().expect("a number")
}

/// Descriptors of an atom.
fn descriptors(sample: &Sample, structure: &Structure, atom: usize) -> Vec<f64> {
    let mut calculator = sample.calculator();
    let found = calculator
        .compute(structure, Request::DESCRIPTORS)
        .unwrap_or_else(|e| panic!("{e}"));
    let dim = sample.model.dim();
    found.descriptors[atom * dim..][..dim].to_vec()
}

#[test]
fn fragments_do_not_depend_on_the_number_of_ranks() {
    let lammps = lammps();
    let sample = defective(4, [true; 3]);
    let mut first: Vec<Frame> = Vec::new();
    for ranks in [1, 2, 4] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}comm_modify cutoff 18\ncompute p all pair nepal\n\
             thermo_style custom step pe c_p[*]\n{}",
            sample.pair("fragments frags every 10 save 2 break 1000"),
            "run 0\n".repeat(8)
        );
        let run = lammps.run_in(folder, ranks, &script).ok();
        let found = fragments(&run, ranks);
        let rows = run.thermo();
        assert!(rows[0][2] > 2.0, "{rows:?}");
        assert_eq!(rows[7][5], found.len() as f64, "{}", run.text);
        // What was cut is known from then on.
        assert!(rows[7][2] <= 2.0, "{rows:?}");
        assert!(!found.is_empty(), "{}", run.text);
        for frame in &found {
            let parent = number(frame, "parent_atom") as usize - 1;
            let target = number(frame, "target") as usize;
            assert_close(
                "descriptors of the target",
                &descriptors(&sample, &frame.structure, target),
                &descriptors(&sample, &sample.structure, parent),
                1e-6,
            );
            assert!(frame.structure.len() < sample.types.len() / 2);
            assert!(number(frame, "target_grade") > 2.0);
        }
        if ranks == 1 {
            assert!(
                found
                    .iter()
                    .any(|f| number(f, "parent_atom") == DEFECT as f64)
            );
            first = found;
            continue;
        }
        assert_eq!(found.len(), first.len());
        for (a, b) in found.iter().zip(&first) {
            assert_eq!(a.info["parent_atom"], b.info["parent_atom"]);
            assert_eq!(a.structure.elements, b.structure.elements);
            assert_eq!(a.columns, b.columns);
            for (x, y) in a.structure.positions.iter().zip(&b.structure.positions) {
                assert_close("positions", x, y, 1e-9);
            }
        }
    }
}

#[test]
fn the_ghost_cutoff_is_asked_for() {
    let lammps = lammps();
    let sample = defective(4, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let pair = sample.pair("fragments frags save 2");
    let run = lammps.run_in(folder, 2, &format!("{read}{pair}run 0\n"));
    assert!(!run.success);
    let told = run
        .text
        .split("say '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap_or_else(|| panic!("no advice:\n{}", run.text));
    assert!(told.starts_with("comm_modify cutoff "), "{told}");
    // What is told helps.
    let script = format!("{read}{told}\n{pair}run 0\n");
    let run = lammps.run_in(run.into_folder(), 2, &script).ok();
    assert!(!fragments(&run, 2).is_empty());
}

#[test]
fn surfaces_are_served() {
    let lammps = lammps();
    let mut sample = Sample::silicon([4, 4, 4], 0.02, [true, true, false]);
    // The top of the slab: an atom pulled out.
    let top = (0..sample.types.len())
        .max_by(|&a, &b| {
            let z = |i: usize| sample.structure.positions[i][2];
            z(a).total_cmp(&z(b))
        })
        .expect("an atom");
    sample.structure.positions[top][2] += 0.4;
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}comm_modify cutoff 18\nrun 0\n",
        sample.pair("fragments frags save 2 max_fragments 4")
    );
    let run = lammps.run_in(folder, 1, &script).ok();
    let found = fragments(&run, 1);
    assert!(!found.is_empty(), "{}", run.text);
    for frame in &found {
        let parent = number(frame, "parent_atom") as usize - 1;
        let target = number(frame, "target") as usize;
        assert_close(
            "descriptors of the target",
            &descriptors(&sample, &frame.structure, target),
            &descriptors(&sample, &sample.structure, parent),
            1e-6,
        );
    }
}

#[test]
fn an_optimised_fragment_ends_within_the_active_set() {
    let lammps = lammps();
    let sample = Sample::silicon([4, 4, 4], 0.2, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}comm_modify cutoff 18\nrun 0\n",
        sample.pair("fragments frags save 2 optimise yes max_fragments 2 max_atoms 250")
    );
    let run = lammps.run_in(folder, 2, &script).ok();
    let found = fragments(&run, 2);
    assert!(!found.is_empty(), "{}", run.text);
    let frame = &found[0];
    assert!(frame.structure.len() <= 250);
    let (grades, _) = frame.real_column("grade").expect("grades of the atoms");
    assert_eq!(grades.len(), frame.structure.len());
    assert!(number(frame, "grade_after") < number(frame, "target_grade"));
    let parent = number(frame, "parent_atom") as usize - 1;
    let target = number(frame, "target") as usize;
    assert_close(
        "descriptors of the target",
        &descriptors(&sample, &frame.structure, target),
        &descriptors(&sample, &sample.structure, parent),
        1e-6,
    );
}
