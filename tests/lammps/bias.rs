//! `fix nepal/bias`: its forces and pressure are derivatives of its energy, which is accounted for.

use crate::host::{columns, lammps};
use crate::sample::Sample;
use crate::support::close::assert_close;

const BIAS: &str = "fix b all nepal/bias push 2.0 3.0 wall 0.7 2.0 exponent 6\n";

#[test]
fn forces_and_pressure_are_derivatives_of_the_energy() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.25, [true; 3]);
    let h = 3e-5;
    for (before, ranks) in [("", 1), ("", 2), ("newton off\n", 2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        // The model itself contributes nothing but its list: the forces are those of the bias.
        let mut script = format!(
            "{before}atom_modify map array\n{read}{}{BIAS}compute p all pressure NULL fix\n\
             variable f1 equal fx[5]\nvariable f2 equal fz[31]\n\
             thermo_style custom step f_b c_p vol pe v_f1 v_f2\nthermo_modify format float %.17g\n\
             group one id 5\ngroup two id 31\nrun 0\n\
             fix_modify b energy no virial no\nrun 0\n",
            sample.pair("")
        );
        // Forces without the bias, to take them off; then displacements and strains.
        script += "unfix b\nthermo_style custom step pe pe vol pe v_f1 v_f2\n\
             thermo_modify format float %.17g\nrun 0\n";
        script += BIAS;
        script += "thermo_style custom step f_b c_p vol pe v_f1 v_f2\n\
             thermo_modify format float %.17g\n";
        for (group, axes) in [("one", [1.0, 0.0, 0.0]), ("two", [0.0, 0.0, 1.0])] {
            for shift in [h, -2.0 * h, h] {
                let [x, y, z] = axes.map(|a: f64| a * shift);
                script += &format!("displace_atoms {group} move {x} {y} {z} units box\nrun 0\n");
            }
        }
        let s = 1e-5;
        for scale in [1.0 + s, (1.0 - s) / (1.0 + s)] {
            script += &format!(
                "change_box all x scale {scale} y scale {scale} z scale {scale} remap\nrun 0\n"
            );
        }
        let rows = lammps.run_in(folder, ranks, &script).ok().thermo();
        assert_eq!(rows.len(), 11);
        let energy = |k: usize| rows[k][1];
        assert!(energy(0).abs() > 1.0, "{rows:?}");
        // Part of the potential energy unless told otherwise.
        let account = rows[0][4] - rows[1][4];
        assert_close("energy", &[account], &[energy(0)], 1e-10);
        for (k, column) in [(3, 5), (6, 6)] {
            let force = rows[0][column] - rows[2][column];
            let difference = -(energy(k) - energy(k + 1)) / (2.0 * h);
            assert!(force.abs() > 1e-3, "{force}");
            assert_close("force", &[force], &[difference], 1e-6);
        }
        // In bar; volumes and energies at both strains.
        let pressure = -(energy(9) - energy(10)) / (rows[9][3] - rows[10][3]) * 1.6021765e6;
        assert!(pressure.abs() > 100.0, "{pressure}");
        assert_close("pressure", &[rows[0][2]], &[pressure], 1e-6);
    }
}

/// A wall alone looks closely at the atoms beyond it only; a well of no depth beside it has all of them looked at.
#[test]
fn a_wall_alone_is_that_beside_a_well() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.25, [true; 3]);
    let mut found = Vec::new();
    for bias in ["wall 0.7 2.0", "push 1e-300 1.0 wall 0.7 2.0"] {
        for ranks in [1, 2] {
            let folder = tempfile::tempdir().expect("a folder");
            let read = sample.write(folder.path());
            let script = format!(
                "{read}{}fix b all nepal/bias {bias}\ncompute g all reduce max f_b\n\
                 variable near equal c_near\nvariable a atom f_b<=2.0\ncompute near all reduce sum v_a\n\
                 thermo_style custom step pe f_b f_b[2] c_g press v_near\nthermo_modify format float %.17g\n\
                 dump d all custom 1 out.dump id fx fy fz\ndump_modify d format float %.17g\nrun 0\n",
                sample.pair("")
            );
            let run = lammps.run_in(folder, ranks, &script).ok();
            let last = run.last();
            assert!(last[2] > 0.5 && last[6] > 0.0 && last[6] < 64.0, "{last:?}");
            let forces = run.dump("out.dump").concat();
            found.push([&last[1..6], &forces].concat());
        }
    }
    for other in &found[1..] {
        assert_close("wall", other, &found[0], 1e-9);
    }
    // None is beyond: nothing is added.
    let mut found = Vec::new();
    for bias in ["", "fix b all nepal/bias wall 0.7 1000.0\n"] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}{bias}thermo_style custom step pe press\nthermo_modify format float %.17g\n\
             dump d all custom 1 out.dump id fx fy fz\ndump_modify d format float %.17g\nrun 0\n",
            sample.pair("")
        );
        let run = lammps.run_in(folder, 2, &script).ok();
        found.push([run.last(), run.dump("out.dump").concat()].concat());
    }
    assert_eq!(found[0], found[1]);
}

/// Of the total energy's deviation, on one rank and on two; energies are conserved as in `grades`.
#[test]
fn sigma_drives_as_its_derivative_says() {
    let lammps = lammps();
    let data = crate::support::root().join("examples/data");
    let posterior = data.join("posterior.json").display().to_string();
    let sample = Sample::silicon([2, 2, 2], 0.25, [true; 3]);
    let mut all = Vec::new();
    for ranks in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let h = 3e-5;
        let mut script = format!(
            "atom_modify map array\n{read}{}fix b all nepal/bias sigma 3.0\n\
             variable f1 equal fx[5]\nthermo_style custom step f_b v_f1 f_b[2]\n\
             thermo_modify format float %.17g\ngroup one id 5\nrun 0\n",
            sample.pair(&format!(" posterior {posterior}"))
        );
        for shift in [h, -2.0 * h, h] {
            script += &format!("displace_atoms one move {shift} 0 0 units box\nrun 0\n");
        }
        script += "unfix b\nthermo_style custom step pe v_f1 pe\n\
             thermo_modify format float %.17g\nrun 0\n";
        let rows = lammps.run_in(folder, ranks, &script).ok().thermo();
        let force = rows[0][2] - rows[4][2];
        let difference = -(rows[1][1] - rows[2][1]) / (2.0 * h);
        assert!(force.abs() > 1e-4 && rows[0][3] > 0.0, "{rows:?}");
        assert_close("force", &[force], &[difference], 1e-5);
        assert_close("energy", &[rows[0][1]], &[-3.0 * rows[0][3]], 1e-12);
        all.push([rows[0][1], force]);
    }
    assert_close("on two ranks", &all[1], &all[0], 1e-9);
}

/// Nothing in the first steps, then a bias whose mean force is about the wanted part of the model's; the same on two ranks.
#[test]
fn a_relative_bias_finds_its_size() {
    let lammps = lammps();
    let data = crate::support::root().join("examples/data");
    let posterior = data.join("posterior.json").display().to_string();
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let mut all = Vec::new();
    for ranks in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}fix before all store/force\nfix b all nepal/bias sigma 0.2 relative 5\n\
             velocity all create 300 5\nfix i all nve\ntimestep 0.0005\n\
             variable f0 atom sqrt(f_before[1]^2+f_before[2]^2+f_before[3]^2)\n\
             variable b atom sqrt((fx-f_before[1])^2+(fy-f_before[2])^2+(fz-f_before[3])^2)\n\
             compute m all reduce ave v_f0 v_b\n\
             thermo 1\nthermo_style custom step f_b[2] f_b[3] c_m[1] c_m[2] f_b\n\
             thermo_modify format float %.17g\nrun 30\n",
            sample.pair(&format!(" posterior {posterior}"))
        );
        let rows = lammps.run_in(folder, ranks, &script).ok().thermo();
        for row in &rows {
            let [step, sigma, tau, model, bias, energy] = row[..] else {
                panic!("{row:?}")
            };
            assert_close("energy", &[energy], &[-tau * sigma], 1e-10);
            if step < 6.5 {
                assert!(tau == 0.0 && bias < 1e-10 * model, "{row:?}");
            } else {
                let part = bias / model;
                assert!((0.08..=0.3).contains(&part), "{part} at step {step}");
            }
        }
        all.push(columns(&rows, 1..6));
    }
    assert_close("on two ranks", &all[1], &all[0], 1e-6);
}

#[test]
fn biased_dynamics_conserves_what_it_should_and_explores() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let mut reached = Vec::new();
    for bias in ["", "fix b all nepal/bias push 0.2 2.0\n"] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}fix g all pair 10 nepal grade 1\ncompute p all pair nepal\n\
             velocity all create 300 5\nfix i all nve\ntimestep 0.0005\n{bias}\
             thermo 10\nthermo_style custom step etotal c_p[1] pe\n\
             thermo_modify format float %.17g\nrun 200\n",
            sample.pair("")
        );
        let rows = lammps.run_in(folder, 1, &script).ok().thermo();
        let energies = columns(&rows, 1..2);
        let span = energies.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            - energies.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(span / 64.0 < 1e-4, "{span} eV of 64 atoms");
        reached.push(columns(&rows, 2..3).into_iter().fold(0.0, f64::max));
    }
    assert!(reached[1] > 1.3 * reached[0], "{reached:?}");
}

/// Steps that nobody looks at take one way back for energy and bias; a fix in front that may read the forces keeps them apart.
#[test]
fn steps_that_nobody_sees_are_those_that_are_seen() {
    let lammps = lammps();
    let posterior = crate::support::root().join("examples/data/posterior.json");
    let posterior = format!(" posterior {}", posterior.display());
    let sample = Sample::silicon([2, 2, 2], 0.2, [true; 3]);
    for (bias, keywords, joins) in [
        ("push 0.2 2.0 wall 0.7 2.0", "", true),
        ("sigma 3.0", &posterior[..], true),
        // Not of the descriptors alone.
        ("push 0.2 2.0", " dftd3 pbe 12 6", false),
    ] {
        for (before, ranks) in [("", 1), ("", 2), ("newton off\n", 2)] {
            let mut found = Vec::new();
            for reader in ["", "fix before all store/force\n"] {
                let folder = tempfile::tempdir().expect("a folder");
                let read = sample.write(folder.path());
                let script = format!(
                    "{before}{read}{}{reader}fix b all nepal/bias {bias}\n\
                     velocity all create 600 5\nfix i all nve\ntimestep 0.001\n\
                     compute g all reduce max f_b\n\
                     thermo 25\nthermo_style custom step pe f_b f_b[2] c_g etotal\n\
                     thermo_modify format float %.17g\n\
                     dump d all custom 25 out.dump id x y z vx vy vz\ndump_modify d format float %.17g\n\
                     run 25\n",
                    sample.pair(keywords)
                );
                let run = lammps.run_in(folder, ranks, &script).ok();
                found.push([run.last(), run.dump("out.dump").concat()].concat());
            }
            assert_close(bias, &found[0], &found[1], 1e-7);
            // To the last bit they differ where sums are in another order.
            assert_eq!(found[0] != found[1], joins, "{bias}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.02, [true; 3]);
    let bare = Sample {
        active_set: None,
        ..Sample::silicon([2, 2, 2], 0.02, [true; 3])
    };
    for (sample, fix, word) in [
        (&sample, "", "does nothing"),
        (&sample, "push 1", "push takes 2 numbers"),
        (&sample, "pull 1 2", "unknown keyword pull"),
        (&sample, "push 1 -2", "must be positive; found -2"),
        (&sample, "push 1 2 exponent 1", "at least 2"),
        (&bare, "push 1 2", "needs an active set"),
        (&sample, "sigma 1", "sigma needs a posterior"),
        (&sample, "sigma 1 push 1 2", "give it alone"),
        (&sample, "sigma 1 relative 2.5", "a whole number of steps"),
        (&sample, "push 1 2 relative 5", "give sigma t, too"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}fix b all nepal/bias {fix}\nrun 0\n",
            sample.pair("")
        );
        let run = lammps.run_in(folder, 1, &script);
        assert!(
            !run.success && run.text.contains(word),
            "{word}: {}",
            run.text
        );
    }
}
