//! Grades through LAMMPS' own commands: `fix pair`, `compute pair`, `fix halt`, `dump_modify`.

use crate::host::{columns, lammps};
use crate::sample::Sample;
use crate::support::close::assert_close;
use crate::support::read_text;

/// Small singular values of the active set magnify rounding.
const TOLERANCE: f64 = 1e-7;

#[test]
fn fix_pair_has_the_grades_of_the_reference() {
    let lammps = lammps();
    let sample = Sample::silicon([3, 3, 3], 0.25, [true; 3]);
    let expected = sample.expected();
    assert!(expected.grade.iter().any(|&g| g > 2.0));
    for (before, ranks) in [("", 1), ("", 2), ("newton off\n", 2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{before}{read}{}fix g all pair 1 nepal gamma 1 rho 1 grade 1\n\
             dump d all custom 1 out.dump id f_g[*]\ndump_modify d format float %.17g\n\
             compute p all pair nepal\nthermo_style custom step pe c_p[*]\n\
             thermo_modify format float %.17g\nrun 0\n",
            sample.pair("")
        );
        let run = lammps.run_in(folder, ranks, &script).ok();
        let rows = run.dump("out.dump");
        assert_close("gamma", &columns(&rows, 0..1), &expected.gamma, TOLERANCE);
        assert_close("rho", &columns(&rows, 1..2), &expected.rho, TOLERANCE);
        assert_close("grade", &columns(&rows, 2..3), &expected.grade, TOLERANCE);
        let largest = |x: &[f64]| x.iter().copied().fold(0.0, f64::max);
        let worst = [
            largest(&expected.grade),
            largest(&expected.gamma),
            largest(&expected.rho),
            0.0,
            0.0,
        ];
        assert_close("compute pair", &run.last()[2..7], &worst, TOLERANCE);
    }
}

#[test]
fn an_asi_file_serves_as_well() {
    let lammps = lammps();
    let folder = tempfile::tempdir().expect("a folder");
    let text = ["Te", "Pb"].map(|e| read_text(&format!("active_set_pbte/active_set_{e}.asi")));
    let set = folder.path().join("set.asi");
    std::fs::write(&set, text.concat()).expect("written");
    let mut sample = Sample::telluride([5, 4, 4], [true; 3]);
    sample.model_file = crate::support::data("active_set_pbte/nep.txt");
    sample.model = crate::support::model("active_set_pbte");
    sample.active_set = Some(set);
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}fix g all pair 10 nepal gamma 1\n\
         dump d all custom 1 out.dump id f_g\ndump_modify d format float %.17g\nrun 0\n",
        sample.pair("")
    );
    let run = lammps.run_in(folder, 2, &script).ok();
    let expected = sample.expected().gamma;
    assert_close(
        "gamma",
        &columns(&run.dump("out.dump"), 0..1),
        &expected,
        TOLERANCE,
    );
    let refused = format!(
        "{read}{}fix g all pair 10 nepal rho 1\nrun 0\n",
        sample.pair("")
    );
    let run = lammps.run_in(run.into_folder(), 1, &refused);
    assert!(
        !run.success && run.text.contains("has no rho"),
        "{}",
        run.text
    );
}

#[test]
fn grades_are_computed_on_the_steps_when_asked() {
    let lammps = lammps();
    let sample = Sample::silicon([2, 2, 2], 0.1, [true; 3]);
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}fix g all pair 4 nepal grade 1\ncompute p all pair nepal\n\
         velocity all create 900 8\nfix i all nve\nthermo 1\n\
         thermo_style custom step pe c_p[1]\nrun 12\n",
        sample.pair("")
    );
    let rows = lammps.run_in(folder, 1, &script).ok().thermo();
    assert_eq!(rows.len(), 13);
    for row in rows.windows(2) {
        let changed = row[1][2] != row[0][2];
        assert_eq!(changed, row[1][0] % 4.0 == 0.0, "step {}", row[1][0]);
    }
}

#[test]
fn a_run_halts_above_a_grade() {
    let lammps = lammps();
    let sample = Sample::silicon([3, 3, 3], 0.02, [true; 3]);
    for (ranks, watch, word) in [
        (
            1,
            "fix g all pair 5 nepal grade 1\ncompute m all reduce max f_g\nvariable v equal c_m\n\
             fix h all halt 5 v_v > 3 error soft\n",
            "Fix halt condition",
        ),
        (2, "", "above break 3: the run ends here"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let keywords = if watch.is_empty() {
            "every 5 break 3"
        } else {
            ""
        };
        let script = format!(
            "{read}{}{watch}velocity all create 3000 8\nfix i all nve\ncompute p all pair nepal\n\
             thermo 5\nthermo_style custom step pe c_p[1]\nrun 2000\nprint \"the end\"\n",
            sample.pair(keywords)
        );
        let run = lammps.run_in(folder, ranks, &script).ok();
        assert!(run.text.contains(word), "{}", run.text);
        assert!(run.text.contains("the end"), "{}", run.text);
        let last = run.last();
        assert!(last[0] < 500.0 && last[2] > 3.0, "{last:?}");
        let rows = run.thermo();
        let before = &rows[rows.len() - 3];
        assert!(before[2] <= 3.0, "{before:?} did not stop the run");
    }
}

/// With `rewinds` a heated crystal goes back, at any number of ranks to the same frames and velocities, and what was
/// cut is known at once.
#[test]
fn a_run_goes_back_and_learns() {
    let lammps = lammps();
    let sample = Sample::silicon([4, 4, 4], 0.02, [true; 3]);
    let mut first: Option<(Vec<String>, Vec<Vec<f64>>)> = None;
    for ranks in [1, 2, 4] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let keywords = "every 5 break 2.2 rewinds 2 save 1.6 fragments frags";
        let script = format!(
            "{read}{}comm_modify cutoff 18\nvelocity all create 3000 8\nfix i all npt temp 2500 2500 0.1 iso 0 0 1\n\
             compute p all pair nepal\nthermo 1\nthermo_style custom step pe temp vol c_p[1] c_p[4]\n\
             thermo_modify format float %.17g\n\
             dump d all custom 1 all.dump id xu yu zu vx vy vz\ndump_modify d format float %.17g\nrun 42\n",
            sample.pair(keywords)
        );
        let run = lammps.run_in(folder, ranks, &script).ok();
        let backs: Vec<String> = (run.text.lines())
            .filter(|line| line.contains("back to the atoms of"))
            .map(str::to_owned)
            .collect();
        let rows = run.thermo();
        let at = |step: usize| &rows[step];
        assert_eq!(backs.len(), 2, "{}", run.text);
        let frames = run.frames("all.dump");
        for line in &backs {
            let number = |before: &str| -> usize {
                let rest = line.split(before).nth(1).expect(before);
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                digits.and_then(|d| d.parse().ok()).expect("a number")
            };
            let (step, safe) = (number("at step "), number("atoms of step "));
            assert!(
                safe < step && at(safe)[4] < 1.6 && at(step)[4] > 2.2,
                "{line}"
            );
            // The atoms and their box are those of the safe frame; the velocities are not.
            let (there, back) = (&frames[safe], &frames[step + 1]);
            for (a, b) in there.iter().zip(back) {
                assert_close("positions", &a[..3], &b[..3], 1e-9);
            }
            assert!(
                (at(safe)[3] / at(step + 1)[3] - 1.0).abs() < 1e-12,
                "{line}"
            );
            assert!((at(safe)[1] - at(step + 1)[1]).abs() < 1e-6, "{line}");
            let moved = |a: &[f64], b: &[f64]| (3..6).any(|d| (a[d] - b[d]).abs() > 0.5);
            assert!(there.iter().zip(back).filter(|(a, b)| moved(a, b)).count() > 100);
            assert!((at(safe)[2] / at(step + 1)[2] - 1.0).abs() < 0.1, "{line}");
        }
        assert!(
            rows[rows.len() - 1][5] > 0.0,
            "nothing was cut\n{}",
            run.text
        );
        if let Some((lines, before)) = &first {
            assert_eq!(lines, &backs);
            assert_close("energies", &before[30], &rows[30], 1e-6);
        }
        first.get_or_insert((backs, rows));
    }
}

/// On ranks and without the flag, too.
#[test]
fn fix_pair_has_the_deviations_of_the_reference() {
    let lammps = lammps();
    let sample = Sample::silicon([3, 3, 3], 0.1, [true; 3]);
    let file = crate::support::root().join("examples/data/posterior.json");
    let posterior = nepal::posterior::Posterior::load(&file, &sample.model).expect("a posterior");
    let mut calculator = sample.calculator();
    calculator
        .set_posterior(Some(std::sync::Arc::new(posterior)))
        .expect("of this model");
    let expected = calculator
        .compute(&sample.structure, nepal::Request::SIGMA)
        .expect("deviations")
        .sigma
        .clone();
    assert!(expected.iter().all(|&s| s > 0.0));
    let words = format!(" posterior {}", file.display());
    for (flag, ranks) in [(1, 1), (0, 1), (1, 2)] {
        let folder = tempfile::tempdir().expect("a folder");
        let read = sample.write(folder.path());
        let script = format!(
            "{read}{}fix s all pair 1 nepal sigma {flag}\n\
             dump d all custom 1 out.dump id f_s\ndump_modify d format float %.17g\nrun 0\n",
            sample.pair(&words)
        );
        let run = lammps.run_in(folder, ranks, &script).ok();
        let found = columns(&run.dump("out.dump"), 0..1);
        assert_close("sigma", &found, &expected, 1e-7);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let script = format!(
        "{read}{}fix s all pair 1 nepal sigma 1\nrun 0\n",
        sample.pair("")
    );
    let run = lammps.run_in(folder, 1, &script);
    assert!(
        !run.success && run.text.contains("sigma needs a posterior"),
        "{}",
        run.text
    );
}
