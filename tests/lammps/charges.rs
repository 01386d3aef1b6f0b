//! Models with charges and dispersion on any number of ranks, and models at a temperature.

use crate::forces::{EVERYTHING, compare_to};
use crate::host::{Run, columns, lammps};
use crate::sample::Sample;
use crate::support::calculator;
use crate::support::close::assert_close;
use nepal::backend::available;
use nepal::{BackendKind, Evaluation, Request};

/// LAMMPS sums in another order, and prints 17 digits.
const TOLERANCE: f64 = 1e-10;

const CHARGES: &str = "fix q all pair 1 nepal charge 1
dump q all custom 1 q.dump id f_q
dump_modify q format float %.17g
";

fn expected(sample: &Sample) -> Evaluation {
    let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS | Request::CHARGES;
    calculator(&sample.model, BackendKind::Reference)
        .compute(&sample.structure, wanted & available(&sample.model))
        .unwrap_or_else(|e| panic!("{e}"))
        .clone()
}

fn run(sample: &Sample, ranks: usize, before: &str, keywords: &str, after: &str) -> Run {
    let folder = tempfile::tempdir().expect("a folder");
    let read = sample.write(folder.path());
    let pair = sample.pair(keywords);
    lammps().run_in(folder, ranks, &format!("{before}{read}{pair}{after}"))
}

#[test]
fn charges_and_dispersion_on_any_number_of_ranks() {
    let water = Sample::of("water_qnep_mode1", &["O", "H"], [4, 4, 3]);
    let oxide = Sample::of(
        "synthetic_variants/nep4_charge_vdw",
        &["Ba", "O"],
        [4, 3, 3],
    );
    for (sample, ranks, newton) in [
        (&water, 1, "on"),
        (&water, 2, "on"),
        (&water, 4, "on"),
        (&water, 2, "off"),
        (&oxide, 1, "on"),
        (&oxide, 4, "on"),
    ] {
        let expected = expected(sample);
        let before = format!("newton {newton}\n");
        for (keywords, tolerance) in [("mesh_error ewald", TOLERANCE), ("mesh_error 1e-10", 1e-8)] {
            let after = format!("{CHARGES}{EVERYTHING}");
            let run = run(sample, ranks, &before, keywords, &after).ok();
            compare_to(&run, &expected, tolerance);
            let found = columns(&run.dump("q.dump"), 0..1);
            assert_close("charges", &found, &expected.charges, tolerance);
        }
    }
}

#[test]
fn a_moving_box_of_charges_keeps_its_energy() {
    let water = Sample::of("water_qnep_mode1", &["O", "H"], [4, 4, 4]);
    let after = "mass 1 16.0\nmass 2 1.0\nvelocity all create 50 7\nfix n all nve\ntimestep 0.0001\nthermo 20\n\
                 thermo_style custom step etotal ke\nthermo_modify format float %.12g norm no\n\
                 minimize 0 0 30 100\nrun 60\n";
    let run = run(&water, 2, "", "", after).ok();
    let rows = run.thermo();
    let moving = &rows[rows.len() - 4..];
    let kinetic: Vec<f64> = moving.iter().map(|row| row[2]).collect();
    let drift = moving.iter().map(|row| (row[1] - moving[0][1]).abs());
    let most = drift.fold(0.0, f64::max);
    let turned = (kinetic[3] - kinetic[0]).abs();
    assert!(most < 0.01 * turned, "{most} of {turned}: {}", run.text);
}

#[test]
fn the_temperature_of_the_electrons_is_a_number_or_a_variable() {
    let sample = Sample::of(
        "synthetic_variants/nep4_temperature",
        &["Ba", "O"],
        [3, 3, 3],
    );
    // That of the support's calculators is 700 K.
    let expected = expected(&sample);
    for (variable, keywords) in [
        ("", "temperature 700"),
        ("variable te equal 7*(100+step)\n", "temperature v_te"),
    ] {
        let run = run(&sample, 1, variable, keywords, EVERYTHING).ok();
        compare_to(&run, &expected, TOLERANCE);
    }
    for (variable, keywords, words) in [
        ("", "", "keyword temperature"),
        ("variable te atom x\n", "temperature v_te", "equal-style"),
        ("variable te equal -1\n", "temperature v_te", "is -1"),
    ] {
        let run = run(&sample, 1, variable, keywords, EVERYTHING);
        assert!(!run.success && run.text.contains(words), "{}", run.text);
    }
}

#[test]
fn what_a_model_does_not_have_is_refused() {
    let mut water = Sample::of("water_qnep_mode1", &["O", "H"], [3, 3, 3]);
    let potential = Sample::telluride([3, 3, 3], [true; 3]);
    let temperature = run(&potential, 1, "", "temperature 300", EVERYTHING);
    assert!(
        temperature.text.contains("no use for"),
        "{}",
        temperature.text
    );
    let charges = run(&potential, 1, "", "", CHARGES);
    assert!(charges.text.contains("has no charges"), "{}", charges.text);
    let vectors = *water.structure.cell.vectors();
    water.structure.cell = nepal::Cell::new(vectors, [true, true, false]).expect("a slab");
    let slab = run(&water, 2, "", "", EVERYTHING);
    assert!(
        !slab.success && slab.text.contains("three directions"),
        "{}",
        slab.text
    );
}

#[test]
fn d3_on_any_number_of_ranks() {
    let sample = Sample::telluride([5, 4, 4], [true, true, false]);
    let mut reference = calculator(&sample.model, BackendKind::Reference);
    reference
        .set_dispersion(Some("pbe,9,7".parse().expect("D3")))
        .expect("lead");
    let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
    let expected = reference
        .compute(&sample.structure, wanted)
        .unwrap_or_else(|e| panic!("{e}"))
        .clone();
    for (ranks, newton) in [(1, "on"), (2, "off"), (4, "on")] {
        let before = format!("newton {newton}\n");
        let run = run(&sample, ranks, &before, "dftd3 pbe 9 7", EVERYTHING).ok();
        compare_to(&run, &expected, TOLERANCE);
    }
    let unknown = run(&sample, 1, "", "dftd3 pbee 9 7", EVERYTHING);
    assert!(
        unknown.text.contains("functional \"pbee\""),
        "{}",
        unknown.text
    );
}
