//! Energy, forces, virials and per-atom numbers against nepal's reference backend.

use crate::host::{Run, columns, lammps};
use crate::sample::{BAR, Sample};
use crate::stand_in::stand_in;
use crate::support::close::assert_close;
use nepal::Evaluation;

/// LAMMPS sums in another order, and prints 17 digits.
const TOLERANCE: f64 = 1e-10;

/// Prints everything that a pair style gives.
pub const EVERYTHING: &str = "\
compute e all pe/atom
compute s all stress/atom NULL virial
compute c all centroid/stress/atom NULL virial
dump d all custom 1 out.dump id fx fy fz c_e c_s[*] c_c[*]
dump_modify d format float %.17g
thermo_style custom step pe pxx pyy pzz pxy pxz pyz vol
thermo_modify format float %.17g norm no
run 0
";

/// Compares a run of [`EVERYTHING`] with the reference.
fn compare(run: &Run, expected: &Evaluation) {
    compare_to(run, expected, TOLERANCE);
}

/// [`compare`] with a tolerance of its own.
pub fn compare_to(run: &Run, expected: &Evaluation, tolerance: f64) {
    let thermo = run.last();
    assert_close("energy", &[thermo[1]], &[expected.energy], tolerance);
    let volume = thermo[8];
    let w = &expected.virial;
    let virial: Vec<f64> = thermo[2..8].iter().map(|p| p * volume / BAR).collect();
    let symmetric = |w: &[f64; 9]| {
        [
            w[0],
            w[4],
            w[8],
            0.5 * (w[1] + w[3]),
            0.5 * (w[2] + w[6]),
            0.5 * (w[5] + w[7]),
        ]
    };
    assert_close("virial", &virial, &symmetric(w), tolerance);
    let rows = run.dump("out.dump");
    let forces = columns(&rows, 0..3);
    assert_close("forces", &forces, expected.forces.as_flattened(), tolerance);
    assert_close(
        "pe/atom",
        &columns(&rows, 3..4),
        &expected.energies,
        tolerance,
    );
    let stress: Vec<f64> = columns(&rows, 4..10).iter().map(|s| -s / BAR).collect();
    let virials: Vec<f64> = expected.virials.iter().flat_map(symmetric).collect();
    assert_close("stress/atom", &stress, &virials, tolerance);
    let stress: Vec<f64> = columns(&rows, 10..19).iter().map(|s| -s / BAR).collect();
    let order = [0, 4, 8, 1, 2, 5, 3, 6, 7];
    let virials: Vec<f64> = expected
        .virials
        .iter()
        .flat_map(|w| order.map(|k| w[k]))
        .collect();
    assert_close("centroid/stress/atom", &stress, &virials, tolerance);
}

fn check(sample: &Sample, before: &str, ranks: &[usize]) {
    check_with(sample, before, "", ranks);
}

fn check_with(sample: &Sample, before: &str, keywords: &str, ranks: &[usize]) {
    let lammps = lammps();
    let expected = sample.expected();
    for &ranks in ranks {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!("{before}{read}{}{EVERYTHING}", sample.pair(keywords));
        let run = lammps.run_in(folder, ranks, &script).ok();
        compare(&run, &expected);
    }
}

#[test]
fn a_triclinic_crystal_on_any_number_of_ranks() {
    let sample = Sample::telluride([6, 5, 4], [true; 3]);
    check(&sample, "", &[1, 2, 4]);
}

#[test]
fn newton_off() {
    let sample = Sample::telluride([6, 5, 4], [true; 3]);
    check(&sample, "newton off\n", &[1, 2]);
}

#[test]
fn a_slab_and_a_cluster() {
    for periodic in [[true, true, false], [false; 3]] {
        check(&Sample::telluride([4, 4, 4], periodic), "", &[1, 2]);
    }
}

#[test]
fn a_cell_smaller_than_the_cutoff() {
    check(&Sample::telluride([2, 2, 2], [true; 3]), "", &[1]);
}

#[test]
fn part_of_hybrid() {
    let lammps = lammps();
    // Every seventh atom is of a third kind that nepal does not see.
    let all = Sample::telluride([5, 5, 4], [true; 3]);
    let stranger = |i: usize| i % 7 == 3;
    let kept: Vec<usize> = (0..all.types.len()).filter(|&i| !stranger(i)).collect();
    let seen = Sample {
        structure: nepal::Structure::new(
            all.structure.cell.clone(),
            kept.iter().map(|&i| all.structure.elements[i]).collect(),
            kept.iter().map(|&i| all.structure.positions[i]).collect(),
        )
        .expect("a structure"),
        types: kept.iter().map(|&i| all.types[i]).collect(),
        ..Sample::telluride([1, 1, 1], [true; 3])
    };
    let part = seen.expected();
    let mut expected = Evaluation {
        energy: part.energy,
        energies: vec![0.0; all.types.len()],
        forces: vec![[0.0; 3]; all.types.len()],
        virial: part.virial,
        virials: vec![[0.0; 9]; all.types.len()],
        ..Evaluation::default()
    };
    for (k, &i) in kept.iter().enumerate() {
        expected.energies[i] = part.energies[k];
        expected.forces[i] = part.forces[k];
        expected.virials[i] = part.virials[k];
    }
    let model = all.model_file.display().to_string();
    let zero = "pair_coeff * * zero";
    for (before, ranks, styles) in [
        (
            "",
            1,
            format!(
                "hybrid/overlay nepal zero 5.0\npair_coeff * * nepal {model} Te Pb NULL\n{zero}"
            ),
        ),
        (
            "",
            2,
            format!(
                "hybrid nepal zero 5.0\npair_coeff * * nepal {model} Te Pb NULL\npair_coeff 1*2 3 zero\npair_coeff 3 3 zero"
            ),
        ),
        (
            "newton off\n",
            2,
            format!(
                "hybrid/overlay nepal zero 5.0\npair_coeff * * nepal {model} Te Pb NULL\n{zero}"
            ),
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sample = Sample {
            types: all.types.clone(),
            structure: all.structure.clone(),
            elements: vec!["Te", "Pb", "NULL"],
            ..Sample::telluride([1, 1, 1], [true; 3])
        };
        for i in 0..sample.types.len() {
            if stranger(i) {
                sample.types[i] = 3;
            }
        }
        let read = sample.write(folder.path());
        let script = format!("{before}{read}pair_style {styles}\n{EVERYTHING}");
        let run = lammps.run_in(folder, ranks, &script).ok();
        compare(&run, &expected);
    }
}

#[test]
fn threads_and_the_reference_backend() {
    let sample = Sample::telluride([5, 5, 5], [true; 3]);
    check_with(&sample, "", "threads 2", &[1, 2]);
    check_with(&sample, "", "backend reference", &[1]);
}

#[test]
fn ranks_without_atoms() {
    let lammps = lammps();
    let sample = Sample::telluride([2, 2, 2], [false; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    // A large box with the cluster in one corner.
    let read = read.replace("boundary m m m", "boundary f f f").replace(
        "mass",
        "change_box all boundary f f f x final 0 60 y final 0 60\nmass",
    );
    let script = format!("processors 2 2 1\n{read}{}{EVERYTHING}", sample.pair(""));
    let run = lammps.run_in(folder, 4, &script).ok();
    assert!(run.text.contains("2 by 2 by 1"), "{}", run.text);
    compare(&run, &sample.expected());
}

#[test]
fn mixed_precision_is_near() {
    let lammps = lammps();
    let sample = Sample::telluride([6, 5, 4], [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!("{read}{}{EVERYTHING}", sample.pair("precision mixed"));
    let run = lammps.run_in(folder, 2, &script).ok();
    let expected = sample.expected();
    // Single precision has seven digits, of which sums lose a few.
    compare_to(&run, &expected, 1e-4);
    let rows = run.dump("out.dump");
    let pairs = rows.iter().zip(&expected.forces);
    let largest = pairs.fold(0.0f64, |most, (row, f)| most.max((row[0] - f[0]).abs()));
    assert!(largest > 1e-12, "the keyword changes nothing");
}

/// The CUDA backend behind the pair style, on stand-ins for driver and compiler: ghosts of LAMMPS,
/// and ranks that are dealt two devices.
#[test]
fn devices_are_dealt_to_ranks() {
    let (lammps, stand_in) = (lammps(), stand_in());
    let sample = Sample::telluride([3, 3, 3], [true; 3]);
    // Without a word a device works in mixed precision.
    for (keywords, ranks, close) in [
        ("device 1 precision f64", 1, TOLERANCE),
        ("device auto", 3, 1e-4),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!("{read}{}{EVERYTHING}", sample.pair(keywords));
        let environment = [
            ("NEPAL_CUDA_DRIVER", stand_in.driver.as_path()),
            ("NEPAL_NVRTC", stand_in.nvrtc.as_path()),
            ("NEPAL_KERNEL_CACHE", stand_in.cache.as_path()),
        ];
        let run = lammps.run_with(folder, ranks, &script, &environment).ok();
        compare_to(&run, &sample.expected(), close);
    }
}
