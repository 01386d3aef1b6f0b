//! Trajectories: the same on any number of ranks, conserved, continued, without leaks.

use crate::host::{columns, lammps};
use crate::sample::Sample;
use crate::support::close::assert_close;

/// Rounding, after a thousand steps of a system that magnifies it.
const ROUNDING: f64 = 1e-8;

#[test]
fn the_same_trajectory_on_any_number_of_ranks() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.02, [true; 3]);
    let mut first = Vec::new();
    for ranks in [1, 2, 4] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}velocity all create 600 87 loop all\nfix i all nve\n\
             dump d all custom 1000 out.dump id xu yu zu\ndump_modify d format float %.17g\n\
             thermo 10\nthermo_style custom step etotal\nthermo_modify format float %.17g\n\
             run 1000\n",
            sample.pair("")
        );
        let run = lammps.run_in(folder, ranks, &script).ok();
        let rows = columns(&run.dump("out.dump"), 0..3);
        let energy = run.thermo();
        // Verlet's energy oscillates; its mean must stay.
        let mean = |rows: &[Vec<f64>]| rows.iter().map(|r| r[1]).sum::<f64>() / rows.len() as f64;
        let drift = (mean(&energy[51..]) - mean(&energy[..50])) / 64.0;
        assert!(
            drift.abs() < 1e-5,
            "{drift:.2e} eV/atom in half a picosecond"
        );
        if ranks == 1 {
            first = rows;
        } else {
            assert_close("positions", &rows, &first, ROUNDING);
        }
    }
}

#[test]
fn a_restart_continues_the_trajectory() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.02, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let pair = sample.pair("");
    let dump = "dump d all custom 40 out.dump id xu yu zu\ndump_modify d format float %.17g\n";
    let script = format!(
        "{read}{pair}velocity all create 600 87\nfix i all nve\nneigh_modify every 1 delay 0 check no\n\
         run 20\nwrite_restart half.restart\n{dump}run 20\n"
    );
    let run = lammps.run_in(folder, 1, &script).ok();
    let expected = columns(&run.dump("out.dump"), 0..3);
    let script = format!(
        "read_restart half.restart\n{pair}fix i all nve\nneigh_modify every 1 delay 0 check no\n\
         {dump}run 20\n"
    );
    let run = lammps.run_in(run.into_folder(), 2, &script).ok();
    let found = columns(&run.dump("out.dump"), 0..3);
    assert_close("positions", &found, &expected, 1e-12);
}

#[test]
fn one_level_of_respa_is_plain_dynamics() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.02, [true; 3]);
    let mut rows = Vec::new();
    for style in ["verlet", "respa 2 1 pair 2"] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}velocity all create 600 87\nfix i all nve\nrun_style {style}\n\
             thermo_style custom step etotal pxx\nthermo_modify format float %.17g\nrun 20\n",
            sample.pair("")
        );
        rows.push(lammps.run_in(folder, 1, &script).ok().last());
    }
    assert_close("energy and pressure", &rows[1], &rows[0], 1e-10);
}

#[test]
fn the_heat_flux_is_the_motion_of_the_energy() {
    let lammps = lammps();
    // A cluster: J is the time derivative of the sum of r_i e_i.
    let sample = Sample::telluride([3, 3, 3], [false; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let step = 1e-5;
    let script = format!(
        "{read}{}velocity all create 400 5\nfix i all nve\ntimestep {step}\n\
         compute k all ke/atom\ncompute e all pe/atom\ncompute s all centroid/stress/atom NULL virial\n\
         compute j all heat/flux k e s\n\
         dump d all custom 1 out.dump id xu yu zu c_k c_e\ndump_modify d format float %.17g\n\
         thermo 1\nthermo_style custom step c_j[1] c_j[2] c_j[3]\nthermo_modify format float %.17g\n\
         run 2\n",
        sample.pair("")
    );
    for ranks in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        sample.write(folder.path());
        let run = lammps.run_in(folder, ranks, &script).ok();
        let moment = |frame: &[Vec<f64>], axis: usize| -> f64 {
            frame.iter().map(|row| row[axis] * (row[3] + row[4])).sum()
        };
        let frames = run.frames("out.dump");
        let flux = &run.thermo()[1][1..4];
        let expected: [f64; 3] = std::array::from_fn(|axis| {
            (moment(&frames[2], axis) - moment(&frames[0], axis)) / (2.0 * step)
        });
        // Bound atoms: an energy of zero would make the sums small and the test empty.
        assert!(expected.iter().any(|x| x.abs() > 10.0), "{expected:?}");
        assert_close("heat flux", flux, &expected, 1e-5);
    }
}

#[test]
fn memory_does_not_grow() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.02, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}fix g all pair 5 nepal grade 1\ncompute s all centroid/stress/atom NULL virial\n\
         compute m all reduce sum c_s[1]\nvelocity all create 300 5\nfix i all nve\nthermo 5\n\
         thermo_style custom step pe c_m\nrun 200\ninfo memory\nrun 1500\ninfo memory\n",
        sample.pair("")
    );
    let run = lammps.run_in(folder, 1, &script).ok();
    let sizes: Vec<f64> = run
        .text
        .lines()
        .filter(|line| line.starts_with("Maximum resident set size"))
        .filter_map(|line| line.split_whitespace().nth(4)?.parse().ok())
        .collect();
    assert_eq!(sizes.len(), 2, "{}", run.text);
    assert!(sizes[1] - sizes[0] < 1.0, "{sizes:?} MByte");
}

#[test]
fn minimisation_finds_the_crystal() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.15, [true; 3]);
    let crystal = Sample::silicon([2, 2, 2], 0.0, [true; 3]).expected().energy;
    for ranks in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}thermo_style custom step pe fmax\nthermo_modify format float %.17g\n\
             minimize 0 1e-6 200 2000\n",
            sample.pair("")
        );
        let last = lammps.run_in(folder, ranks, &script).ok().last();
        assert_close("energy", &[last[1]], &[crystal], 1e-9);
    }
}

#[test]
fn a_trajectory_is_graded_afterwards() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.05, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let watch = "fix g all pair 10 nepal grade 1\ncompute m all reduce max f_g\n\
        thermo 10\nthermo_style custom step pe c_m\nthermo_modify format float %.12g\n";
    let dump = "dump d all custom 10 all.dump id type x y z\ndump_modify d format float %.17g\n";
    let script = format!(
        "{read}{}{watch}{dump}velocity all create 900 8\nfix i all nve\nrun 30\nundump d\n\
         rerun all.dump dump x y z\n",
        sample.pair("")
    );
    let rows = lammps.run_in(folder, 2, &script).ok().thermo();
    assert_eq!(rows.len(), 8);
    for (run, rerun) in rows[..4].iter().zip(&rows[4..]) {
        assert_close("step, energy, grade", rerun, run, 1e-7);
    }
}
