//! What counts as a step: trials of Monte Carlo, finite differences and line searches do not.

use crate::host::{Lammps, Run, lammps};
use crate::sample::Sample;

/// A run of rattled silicon, which is known well, in words of LAMMPS after the pair style.
#[track_caller]
fn quiet(lammps: &Lammps, ranks: usize, keywords: &str, rest: &str) -> Run {
    let sample = Sample::silicon([3, 3, 3], 0.02, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let read = read.replace("read_data", "atom_modify map yes\nread_data");
    let script = format!(
        "{read}{}compute p all pair nepal\nthermo 10\n\
         thermo_style custom step pe c_p[*]\nthermo_modify format float %.17g\n{rest}",
        sample.pair(keywords)
    );
    lammps.run_in(folder, ranks, &script)
}

#[test]
fn trials_neither_end_a_run_nor_are_cut_out() {
    let lammps = lammps();
    let keywords = "every 10 break 5 fragments frags save 4 max_fragments 2";
    let dynamics = "comm_modify cutoff 18\nvelocity all create 300 1\nfix i all nve\n";
    for trials in [
        // Displaces every atom by 0.7 Å, after the forces of the step.
        "fix t all numdiff 10 0.7\n",
        // Throws atoms in, on the steps that are looked at and on others.
        "group gas type 1\nfix t gas gcmc 5 20 0 1 29494 300 -4.0 0.1 full_energy\n",
    ] {
        let run = quiet(lammps, 1, keywords, &format!("{dynamics}{trials}run 20\n")).ok();
        assert!(!run.text.contains("the run ends here"), "{}", run.text);
        let rows = run.thermo();
        assert_eq!(rows.last().expect("rows")[0], 20.0, "{}", run.text);
        for row in rows {
            assert!(row[2] > 0.0 && row[2] < 4.0, "{row:?}\n{}", run.text);
            assert_eq!(row[5..7], [0.0, 0.0], "{row:?}");
        }
    }
}

#[test]
fn minimize_ends_with_the_grade_of_its_last_step() {
    let lammps = lammps();
    for style in ["cg", "fire"] {
        let rest =
            format!("min_style {style}\nreset_timestep 3\nminimize 0 1e-3 7 50\nrun 0\nrun 7\n");
        let rows = quiet(lammps, 2, "every 10 break 1000", &rest).ok().thermo();
        let at = rows.iter().rposition(|row| row[0] > 3.0 && row[0] <= 10.0);
        let zero = at.expect("the run of no steps");
        // The run of no steps evaluates the minimum anew.
        let (last, again) = (&rows[zero - 1], &rows[zero]);
        assert_eq!(last[0], again[0], "{rows:?}");
        assert!(
            (last[1] - again[1]).abs() < 1e-6 && last[1] < rows[0][1],
            "{rows:?}"
        );
        assert!((last[2] - again[2]).abs() < 1e-6, "{style}: {rows:?}");
        assert!((last[2] - rows[0][2]).abs() > 1e-6, "{style}: {rows:?}");
    }
}

#[test]
fn before_the_first_grade_there_is_none() {
    let lammps = lammps();
    let rest = "reset_timestep 3\nfix i all nve\nrun 4\n";
    let never = quiet(lammps, 2, "", rest).ok().last();
    assert!(never[2..5].iter().all(|g| g.is_nan()), "{never:?}");
    // With `every` the beginning of a run is graded, whichever step it is.
    let watched = quiet(lammps, 2, "every 10", rest).ok().thermo();
    assert!(watched[0][2] > 0.0, "{watched:?}");
}

#[test]
fn fix_pair_has_grades_without_its_flag() {
    let lammps = lammps();
    let worst = |flag: i32| {
        let rest = format!(
            "fix g all pair 5 nepal gamma {flag} grade {flag}\n\
             compute w all reduce max f_g[1] f_g[2]\nthermo 5\nvelocity all create 900 1\n\
             fix i all nve\nthermo_style custom step c_w[1] c_w[2]\n\
             thermo_modify format float %.17g\nrun 15\n"
        );
        quiet(lammps, 2, "", &rest).ok().thermo()
    };
    let (without, with) = (worst(0), worst(1));
    assert_eq!(without, with);
    assert!(with.iter().all(|row| row[1] > 0.0 && row[2] < 100.0));
}

#[test]
fn respa_keeps_watch_and_refuses_fix_pair() {
    let lammps = lammps();
    let respa = "velocity all create 900 1\nrun_style respa 2 2 pair 2\nfix i all nve\nrun 20\n";
    let rows = quiet(lammps, 1, "every 10 break 1000", respa).ok().thermo();
    let verlet = respa.replace("run_style respa 2 2 pair 2\n", "");
    let plain = quiet(lammps, 1, "every 10 break 1000", &verlet)
        .ok()
        .thermo();
    for (a, b) in rows.iter().zip(&plain) {
        assert!((a[2] - b[2]).abs() < 1e-6 * b[2], "{a:?} {b:?}");
    }
    let refused = quiet(
        lammps,
        1,
        "",
        &format!("fix g all pair 10 nepal grade 1\n{respa}"),
    );
    assert!(!refused.success, "{}", refused.text);
    assert!(
        refused.text.contains("use run_style verlet"),
        "{}",
        refused.text
    );
}

#[test]
fn exclusions_are_told_of_in_the_runs_that_have_them() {
    let lammps = lammps();
    let count = |rest: &str| {
        let run = quiet(lammps, 1, "", rest).ok();
        run.text.matches("exclude takes neighbors").count()
    };
    let exclude = "group a id 1:32\nneigh_modify exclude group a a\n";
    assert_eq!(count(&format!("{exclude}run 0\n")), 1);
    assert_eq!(
        count(&format!(
            "{exclude}run 0\nneigh_modify exclude none\nrun 0\n"
        )),
        1
    );
}

#[test]
fn fix_adapt_scales_energy_forces_and_pressure() {
    let lammps = lammps();
    for newton in ["on", "off"] {
        let values = |scale: &str| {
            let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
            let folder = tempfile::tempdir().expect("a folder");
            let read = sample.write(folder.path());
            let script = format!(
                "newton {newton}\n{read}{}{scale}compute s all stress/atom NULL virial\n\
                 compute t all reduce sum c_s[1]\nthermo_style custom step pe press fmax c_t\n\
                 thermo_modify format float %.17g\nrun 0\n",
                sample.pair("")
            );
            lammps.run_in(folder, 1, &script).ok().last()
        };
        let plain = values("");
        let half = values("variable s equal 0.5\nfix a all adapt 1 pair nepal scale * * v_s\n");
        for (a, b) in half[1..].iter().zip(&plain[1..]) {
            assert!((a - 0.5 * b).abs() < 1e-9 * b.abs(), "{half:?} {plain:?}");
        }
    }
}
