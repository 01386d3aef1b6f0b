//! `pair_style nepal/kk` in a LAMMPS with Kokkos: its arrays are handed to the stand-in, for which the memory of
//! the host is that of a device. `-sf kk` makes one of the scripts for `nepal`.

use crate::forces::{EVERYTHING, compare_to};
use crate::host::{Run, lammps_kokkos};
use crate::sample::Sample;
use crate::stand_in::stand_in;
use crate::support::close::assert_close;
use std::path::Path;

/// A script with this pair style, after some words and before others.
fn run(sample: &Sample, ranks: usize, before: &str, keywords: &str, rest: &str) -> Run {
    let stand_in = stand_in();
    let environment: [(&str, &Path); 3] = [
        ("NEPAL_CUDA_DRIVER", &stand_in.driver),
        ("NEPAL_NVRTC", &stand_in.nvrtc),
        ("NEPAL_KERNEL_CACHE", &stand_in.cache),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!("{before}{read}{}{rest}", sample.pair(keywords));
    lammps_kokkos().run_with(folder, ranks, &script, &environment)
}

const F64: &str = "device auto precision f64";

#[test]
#[needs(Lammps, LammpsKokkos, Cxx)]
fn atoms_that_kokkos_has_get_what_the_reference_gives() {
    let sample = Sample::telluride([5, 4, 4], [true; 3]);
    let expected = sample.expected();
    for (newton, ranks, keywords, close) in [
        ("on", 1, F64, 1e-10),
        ("on", 2, F64, 1e-10),
        ("off", 1, F64, 1e-10),
        ("off", 2, F64, 1e-10),
        ("on", 2, "device auto", 1e-4),
        // Not on a device: atoms and list are brought to the host.
        ("off", 2, "backend cpu", 1e-10),
    ] {
        let lists = if newton == "on" { "half" } else { "full" };
        let before = format!("package kokkos newton {newton} neigh {lists}\n");
        let found = run(&sample, ranks, &before, keywords, EVERYTHING);
        assert!(found.success, "{newton} {ranks} {keywords}: {}", found.text);
        compare_to(&found, &expected, close);
    }
}

/// Dynamics with new lists and ranks that atoms leave; grades in steps and by fix pair; a change of types that no
/// list is made for.
#[test]
#[needs(Lammps, LammpsKokkos, Cxx)]
fn trajectories_and_grades_are_those_of_the_processor() {
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let rest = "velocity all create 2000 7\nfix i all nve\nneigh_modify every 3 delay 0 check yes\n\
                fix g all pair 6 nepal grade 0\ncompute w all reduce max f_g\ncompute p all pair nepal\n\
                thermo 6\nthermo_style custom step pe press c_w c_p[1]\nthermo_modify format float %.17g\n\
                run 30\n";
    let rows = |ranks: usize, keywords: &str| {
        let found = run(&sample, ranks, "", keywords, rest);
        assert!(found.success, "{keywords}: {}", found.text);
        found.thermo().concat()
    };
    let expected = rows(1, "every 6 backend reference");
    for ranks in [1, 2] {
        assert_close(
            "thermo",
            &rows(ranks, &format!("every 6 {F64}")),
            &expected,
            1e-8,
        );
    }
}

#[test]
#[needs(Lammps, LammpsKokkos, Cxx)]
fn a_failure_names_its_atoms() {
    // A failure names atoms by their ids and the closest pair, from a list that is on the device.
    let silicon = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let same = "variable x atom x[2]\nvariable y atom y[2]\nvariable z atom z[2]\n\
                set atom 1 x v_x y v_y z v_z\nrun 0\n";
    let failed = run(&silicon, 1, "atom_modify map array\n", F64, same);
    assert!(!failed.success, "{}", failed.text);
    assert!(failed.text.contains("nepal: forces:"), "{}", failed.text);
}
