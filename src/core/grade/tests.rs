//! What active sets must do whatever the features: made-up rows, the shape of a real model.

use super::calibrate::SplitMix;
use super::*;

/// Rows of the model below have 144 features.
const WIDTH: usize = 144;

fn model() -> Model {
    let text = include_str!("../../../tests/data/active_set_pbte/nep.txt");
    Model::parse(text.as_bytes(), "nep.txt").unwrap()
}

struct Random(SplitMix);

impl Random {
    fn new(seed: u64) -> Self {
        Self(SplitMix(seed))
    }

    /// Uniform in [-1, 1).
    fn next(&mut self) -> f64 {
        (self.0.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// `count` rows that are random mixtures of `rank` fixed patterns.
    fn rows(&mut self, count: usize, rank: usize, n: usize) -> Vec<f64> {
        let mut patterns = Self::new(1);
        let patterns: Vec<f64> = (0..rank * n).map(|_| patterns.next()).collect();
        let weights: Vec<f64> = (0..count * rank).map(|_| self.next()).collect();
        linalg::multiply(
            linalg::rows(&weights, count, rank),
            linalg::rows(&patterns, rank, n),
        )
    }
}

/// Rows of type 0, ten atoms a structure.
fn features(rows: &[f64]) -> Features {
    let mut features = Features::with_shape(2, WIDTH);
    for (k, row) in rows.chunks_exact(WIDTH).enumerate() {
        let origin = Origin {
            structure: k as u32 / 10,
            atom: k as u32 % 10,
        };
        features.push(0, row, origin).unwrap();
    }
    features
}

fn build(rows: &[f64], options: &BuildOptions) -> (ActiveSet, BuildReport) {
    ActiveSet::build(&model(), &features(rows), options).unwrap()
}

fn largest(set: &ActiveSet, rows: &[f64]) -> f64 {
    let grades = set.grade_rows(0, rows).unwrap();
    assert!(grades.iter().all(|g| !g.total.is_nan()));
    grades.iter().fold(0.0, |m, g| m.max(g.total))
}

#[test]
fn training_environments_are_inside_however_few_or_alike() {
    let mut random = Random::new(2);
    let zero_columns = {
        let mut rows = random.rows(300, 60, WIDTH);
        for row in rows.chunks_exact_mut(WIDTH) {
            row[..30].fill(0.0);
        }
        rows
    };
    let duplicates = random.rows(20, 20, WIDTH).repeat(15);
    let cases = [
        ("one", random.rows(1, 50, WIDTH)),
        ("two", random.rows(2, 50, WIDTH)),
        ("fewer than features", random.rows(90, 120, WIDTH)),
        ("low rank", random.rows(400, 40, WIDTH)),
        ("full rank", random.rows(600, WIDTH, WIDTH)),
        ("zero columns", zero_columns),
        ("duplicates", duplicates),
        ("one, many times", random.rows(1, 50, WIDTH).repeat(40)),
    ];
    for (name, rows) in cases {
        for tau in [BuildOptions::TAU_SINGLE, BuildOptions::TAU_DOUBLE] {
            for batch in [10_000, 150] {
                let options = BuildOptions {
                    tau,
                    batch,
                    ..BuildOptions::two_part()
                };
                let (set, report) = build(&rows, &options);
                let largest = largest(&set, &rows);
                assert!(
                    largest <= options.tolerance + 1e-9,
                    "{name}, tau {tau}, batch {batch}: {largest}\n{report}"
                );
                assert!(set.rank(0) <= rows.len() / WIDTH);
            }
        }
    }
}

#[test]
fn what_was_never_offered_is_infinite_and_said() {
    let rows = Random::new(3).rows(50, 20, WIDTH);
    let (set, report) = build(&rows, &BuildOptions::two_part());
    assert_eq!(set.grade_rows(1, &rows[..WIDTH]).unwrap(), [Grade::UNKNOWN]);
    assert_eq!(set.grade_rows(7, &rows[..WIDTH]).unwrap(), [Grade::UNKNOWN]);
    assert!(
        report.elements[1].note.contains("no environment"),
        "{report}"
    );
    assert_eq!(report.elements[1].rank, 0);

    let (set, report) = build(&vec![0.0; 5 * WIDTH], &BuildOptions::two_part());
    assert!(report.elements[0].note.contains("all features are zero"));
    assert_eq!(set.grade_rows(0, &rows[..WIDTH]).unwrap(), [Grade::UNKNOWN]);
}

#[test]
fn bad_features_are_graded_infinite_not_safe() {
    let rows = Random::new(3).rows(500, 20, WIDTH);
    let (two_part, _) = build(&rows, &BuildOptions::two_part());
    let (compat, _) = build(&rows, &BuildOptions::compat());
    for bad in [f64::NAN, f64::INFINITY] {
        let mut probe = rows[..2 * WIDTH].to_vec();
        probe[WIDTH + 5] = bad;
        for set in [&two_part, &compat] {
            let grades = set.grade_rows(0, &probe).unwrap();
            assert!(grades[0].total <= 1.01);
            assert_eq!(grades[1].total, f64::INFINITY);
        }
    }
    let mut bad = rows.clone();
    bad[25 * WIDTH] = f64::NAN;
    let error = ActiveSet::build(&model(), &features(&bad), &BuildOptions::two_part());
    let message = error.unwrap_err().to_string();
    assert!(message.contains("structure 2, atom 5 (Te)"), "{message}");
}

#[test]
fn directions_never_seen_are_flagged_where_the_public_form_calls_them_safe() {
    let mut random = Random::new(4);
    let mut rows = random.rows(500, WIDTH, WIDTH);
    for row in rows.chunks_exact_mut(WIDTH) {
        row[100..].fill(0.0);
    }
    let mut novel = vec![0.0; WIDTH];
    for x in &mut novel[100..] {
        *x = random.next();
    }
    let (compat, report) = build(&rows, &BuildOptions::compat());
    assert!(compat.grade_rows(0, &novel).unwrap()[0].total < 1e-6);
    let note = &report.elements[0].note;
    assert!(note.contains("span only 100 of 144"), "{note}");
    let (two_part, report) = build(&rows, &BuildOptions::two_part());
    let note = &report.elements[0].note;
    assert!(
        note.contains("44 of 144 features were never seen"),
        "{note}"
    );
    let grade = two_part.grade_rows(0, &novel).unwrap()[0];
    assert!(grade.total > 10.0, "{grade:?}");
    // A known environment with a little of the unknown in it, as well.
    let mut mixed = rows[..WIDTH].to_vec();
    mixed[120] += 0.5;
    let grade = two_part.grade_rows(0, &mixed).unwrap()[0];
    assert!(grade.total > 1.0 && grade.gamma < 1.02, "{grade:?}");
}

/// Environments of a model: descriptors that mix few patterns, as B projections.
fn environments(model: &Model, random: &mut Random, count: usize, faint: f64) -> Vec<f64> {
    let dim = model.dim();
    let mut rows = vec![0.0; count * WIDTH];
    let q = random.rows(count, 6, dim);
    for (q, row) in q.chunks_exact(dim).zip(rows.chunks_exact_mut(WIDTH)) {
        let mut q: Vec<f64> = q.iter().map(|x| 0.3 * x).collect();
        q[dim - 1] *= faint;
        crate::nep::network::projection(&model.network(0), &q, row);
    }
    rows
}

#[test]
fn neurons_switched_off_and_faint_descriptors_make_nothing_novel() {
    let model = model();
    for (weight, faint) in [(1.0, 1.0), (2e-8, 1e-5), (1e-14, 1e-9), (0.0, 0.0)] {
        let mut parameters = model.parameters().to_vec();
        let weights = model.network(0).w1.as_ptr() as usize - model.parameters().as_ptr() as usize;
        parameters[weights / size_of::<f64>()] *= weight;
        let model = Model::new(
            model.header().clone(),
            parameters,
            model.q_scaler().to_vec(),
        )
        .unwrap();
        let mut random = Random::new(12);
        let known = environments(&model, &mut random, 800, faint);
        let (set, report) =
            ActiveSet::build(&model, &features(&known), &BuildOptions::two_part()).unwrap();
        assert!(
            largest(&set, &known) <= 1.01 + 1e-9,
            "{weight} {faint}\n{report}"
        );
        // As many outside as with all neurons and descriptors at work.
        let new = environments(&model, &mut random, 800, faint);
        let outside = set
            .grade_rows(0, &new)
            .unwrap()
            .iter()
            .filter(|g| g.total > 2.0)
            .count();
        assert!(
            outside < 40,
            "{weight} {faint}: {outside} outside\n{report}"
        );
        // A descriptor that was faint and is not any more is novel.
        let mut q = random.rows(1, 6, model.dim());
        q[model.dim() - 1] = 0.3;
        let mut row = vec![0.0; WIDTH];
        crate::nep::network::projection(&model.network(0), &q, &mut row);
        if faint < 1.0 {
            let grade = set.grade_rows(0, &row).unwrap()[0];
            assert!(grade.total > 5.0, "{weight} {faint}: {grade:?}");
            // But once: with such environments in the training set it is known.
            let mut known = known;
            let few = environments(&model, &mut random, 100, 1.0);
            known.extend(few);
            let (set, _) =
                ActiveSet::build(&model, &features(&known), &BuildOptions::two_part()).unwrap();
            let again = environments(&model, &mut random, 800, 1.0);
            let outside = set.grade_rows(0, &again).unwrap();
            let outside = outside.iter().filter(|g| g.total > 3.0).count();
            assert!(outside < 40, "{weight} {faint}: {outside} outside");
        }
    }
}

#[test]
fn the_public_form_needs_as_many_environments_as_features() {
    let rows = Random::new(5).rows(WIDTH - 1, WIDTH, WIDTH);
    let error = ActiveSet::build(&model(), &features(&rows), &BuildOptions::compat());
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("Te: ") && message.contains("144"),
        "{message}"
    );
}

#[test]
fn an_environment_that_extends_the_set_is_inside_it_at_once() {
    let mut random = Random::new(6);
    let rows = random.rows(300, 30, WIDTH);
    let (mut set, _) = build(&rows, &BuildOptions::two_part());
    let (mut compat, _) = build(&rows, &BuildOptions::compat());
    let (mut swapped, mut grown) = (0, 0);
    for k in 0..40 {
        // Inside the subspace but far out; outside it; both.
        let mut row = random.rows(1, if k % 2 == 0 { 30 } else { 45 }, WIDTH);
        for x in &mut row {
            *x *= 3.0;
        }
        let before = largest(&set, &row);
        let origin = Origin {
            structure: 99,
            atom: k,
        };
        match set.extend(0, &row, Some(origin)).unwrap() {
            Extension::Unchanged => assert!(before <= EDGE),
            Extension::Swapped(j) => {
                swapped += 1;
                assert_eq!(set.origins(0)[j], Some(origin));
            }
            Extension::Grown(j) => {
                grown += 1;
                assert_eq!(set.origins(0)[j], Some(origin));
            }
        }
        let after = largest(&set, &row);
        assert!(after <= 1.0 + 1e-9, "row {k}: {before} became {after}");
        assert_eq!(
            set.extend(0, &row, None).unwrap(),
            Extension::Unchanged,
            "row {k}: {after}"
        );
        compat.extend(0, &row, None).unwrap();
        assert!(largest(&compat, &row) <= 1.0 + 1e-9);
    }
    assert!(swapped > 3 && grown > 3, "{swapped} {grown}");
    assert!(set.rank(0) <= WIDTH);
    // A first environment of an element that had none.
    assert_eq!(
        set.extend(1, &rows[..WIDTH], None).unwrap(),
        Extension::Grown(0)
    );
    assert!(set.grade_rows(1, &rows[..WIDTH]).unwrap()[0].total <= 1.0 + 1e-12);
    assert!(set.grade_rows(1, &rows[WIDTH..2 * WIDTH]).unwrap()[0].total > 1.0);
    assert!(compat.extend(1, &rows[..WIDTH], None).is_err());
    assert!(set.extend(0, &rows[..3], None).is_err());
    assert!(set.extend(0, &[f64::NAN; WIDTH], None).is_err());
}

#[test]
fn rectangular_sets_grade_by_leverage() {
    let mut random = Random::new(13);
    let rows = random.rows(500, 30, WIDTH);
    let options = BuildOptions {
        length: Some(1.0),
        ..BuildOptions::two_part()
    };
    let (mut set, report) = build(&rows, &options);
    assert!(set.rank(0) > 30, "{report}");
    assert!(largest(&set, &rows) <= 1.0 + 1e-9);
    // The length of c is the smooth measure with exponent 2, but for ρ.
    let probes = random.rows(3, 30, WIDTH);
    let grades = set.grade_rows(0, &probes).unwrap();
    let smooth = set
        .measure_rows(0, &probes, Measure::Smooth { p: 2.0 })
        .unwrap()
        .0;
    for (grade, smooth) in grades.iter().zip(smooth) {
        assert!(
            (grade.gamma - smooth).abs() < 1e-3 * smooth,
            "{grade:?} {smooth}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("active_set");
    set.save(&path).unwrap();
    assert_eq!(ActiveSet::load(&path, &model()).unwrap(), set);
    let far: Vec<f64> = random.rows(1, 45, WIDTH).iter().map(|x| 3.0 * x).collect();
    assert!(largest(&set, &far) > 1.0);
    let before = set.rank(0);
    set.extend(0, &far, None).unwrap();
    assert!(set.rank(0) > before);
    assert!(largest(&set, &far) <= 1.0 + 1e-9);
    let inside: Vec<f64> = random.rows(1, 30, WIDTH).iter().map(|x| 4.0 * x).collect();
    assert!(largest(&set, &inside) > 1.0);
    set.extend(0, &inside, None).unwrap();
    assert!(largest(&set, &inside) <= 1.0 + 1e-9);
}

#[test]
fn clusters_do_not_call_known_what_lies_between_them() {
    let model = model();
    let dim = model.dim();
    let mut random = Random::new(15);
    // Two materials: descriptors around two centers, each with its own few patterns.
    let mut make = |center: f64, count: usize| -> Vec<f64> {
        let mut rows = vec![0.0; count * WIDTH];
        let q = random.rows(count, 5, dim);
        for (q, row) in q.chunks_exact(dim).zip(rows.chunks_exact_mut(WIDTH)) {
            let q: Vec<f64> = q.iter().map(|x| center + 0.1 * x).collect();
            crate::nep::network::projection(&model.network(0), &q, row);
        }
        rows
    };
    let known = [make(-0.6, 300), make(0.6, 300)].concat();
    let between = make(0.0, 50);
    let options = BuildOptions {
        clusters: 2,
        ..BuildOptions::two_part()
    };
    let (one, _) = build(&known, &BuildOptions::two_part());
    let (mut two, report) = build(&known, &options);
    assert!(largest(&two, &known) <= 1.01 + 1e-9, "{report}");
    assert_eq!(two.rank(0), two.origins(0).len());
    let smallest = |set: &ActiveSet, rows: &[f64]| {
        let grades = set.grade_rows(0, rows).unwrap();
        grades.iter().fold(f64::INFINITY, |m, g| m.min(g.total))
    };
    assert!(smallest(&two, &between) > smallest(&one, &between));
    assert!(
        smallest(&two, &between) > 2.0,
        "{}",
        smallest(&two, &between)
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("active_set");
    two.save(&path).unwrap();
    assert_eq!(ActiveSet::load(&path, &model).unwrap(), two);
    let whole = std::fs::read(&path).unwrap();
    for bad in [&whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
        std::fs::write(&path, bad).unwrap();
        assert!(ActiveSet::load(&path, &model).is_err());
    }
    let (values, _) = two.measure_rows(0, &between, Measure::Total).unwrap();
    assert!((values[0] - two.grade_rows(0, &between).unwrap()[0].total).abs() < 1e-9 * values[0]);
    assert_ne!(
        two.extend(0, &between[..WIDTH], None).unwrap(),
        Extension::Unchanged
    );
    assert!(largest(&two, &between[..WIDTH]) <= 1.0 + 1e-9);
    assert_eq!(
        two.grade_rows(1, &known[..WIDTH]).unwrap(),
        [Grade::UNKNOWN]
    );
}

#[test]
fn what_is_learnt_is_not_novel_any_more() {
    let mut random = Random::new(14);
    let (mut set, _) = build(&random.rows(300, 30, WIDTH), &BuildOptions::two_part());
    let novel: Vec<f64> = random.rows(6, 50, WIDTH).iter().map(|x| 5.0 * x).collect();
    let known = random.rows(4, 30, WIDTH).iter().map(|x| 0.1 * x).collect();
    let rows = [novel, known].concat();
    assert!(largest(&set, &rows) > 2.0);
    let learnt = set.learn(&[0; 10], &rows, 2.0).unwrap();
    assert!((1..=6).contains(&learnt), "{learnt}");
    assert!(largest(&set, &rows) <= 2.0);
    assert_eq!(set.learn(&[0; 10], &rows, 2.0).unwrap(), 0);
    assert!(set.learn(&[0; 9], &rows, 2.0).is_err());
}

#[test]
fn selection_does_not_take_near_duplicates() {
    let mut random = Random::new(7);
    let rows = random.rows(300, 30, WIDTH);
    let (set, _) = build(&rows, &BuildOptions::two_part());
    let mut candidates = Features::with_shape(2, WIDTH);
    let far: Vec<Vec<f64>> = [3.0, 6.0]
        .iter()
        .map(|f| random.rows(1, 50, WIDTH).iter().map(|x| f * x).collect())
        .collect();
    // Structures 10 to 14 are nearly the same, so are 20 to 24; 30 is a known one.
    for copy in 0..5 {
        for (kind, row) in far.iter().enumerate() {
            let near: Vec<f64> = row
                .iter()
                .map(|x| x * (1.0 + 1e-6 * random.next()))
                .collect();
            let origin = Origin {
                structure: 10 * (kind as u32 + 1) + copy,
                atom: 3,
            };
            candidates.push(0, &near, origin).unwrap();
        }
    }
    let known = Origin {
        structure: 30,
        atom: 0,
    };
    candidates.push(0, &rows[..WIDTH], known).unwrap();
    let chosen = select_above(&set, &candidates, 10, 1.05).unwrap();
    let kinds: Vec<u32> = chosen.iter().map(|s| s.structure / 10).collect();
    assert_eq!(chosen.len(), 2, "{chosen:?}");
    assert_ne!(kinds[0], kinds[1]);
    assert!(chosen[0].grade >= chosen[1].first_grade.min(chosen[0].first_grade));
    assert_eq!(chosen[0].grade, chosen[0].first_grade);
    assert_eq!((chosen[0].atom, chosen[0].added), (3, 1));
    assert_eq!(select(&set, &candidates, 1).unwrap().len(), 1);
    assert!(select_above(&set, &candidates, 1, 0.5).is_err());
}

#[test]
fn row_gradients_agree_with_finite_differences() {
    let mut random = Random::new(8);
    let rows = random.rows(400, 30, WIDTH);
    let mut probes = random.rows(2, 30, WIDTH);
    probes.extend(random.rows(2, 60, WIDTH).iter().map(|x| 2.0 * x));
    let (two_part, _) = build(&rows, &BuildOptions::two_part());
    let (compat, _) = build(&rows, &BuildOptions::compat());
    let length = BuildOptions {
        length: Some(1.0),
        ..BuildOptions::two_part()
    };
    let (rectangular, _) = build(&rows, &length);
    let measures = [
        Measure::Gamma,
        Measure::Rho,
        Measure::Total,
        Measure::Smooth { p: 2.0 },
        Measure::Smooth { p: 6.0 },
    ];
    for (set, probes) in [
        (&two_part, &probes[..]),
        (&rectangular, &probes[..]),
        (&compat, &probes[..2 * WIDTH]),
    ] {
        for measure in measures {
            // Inside the subspace ρ is rounding; the compatibility form has none.
            let probes = match measure {
                Measure::Rho if set.kind() == GradeKind::Compat => continue,
                Measure::Rho => &probes[2 * WIDTH..],
                _ => probes,
            };
            let (values, gradient) = set.measure_rows(0, probes, measure).unwrap();
            for (k, row) in probes.chunks_exact(WIDTH).enumerate() {
                for j in (0..WIDTH).step_by(17) {
                    let at = |h: f64| {
                        let mut row = row.to_vec();
                        row[j] += h;
                        set.measure_rows(0, &row, measure).unwrap().0[0]
                    };
                    let h = 1e-6;
                    let expected = (at(h) - at(-h)) / (2.0 * h);
                    let found = gradient[k * WIDTH + j];
                    assert!(
                        (found - expected).abs() <= 1e-5 * expected.abs().max(values[k].max(1.0)),
                        "{measure:?} row {k} feature {j}: {found} {expected}"
                    );
                }
            }
        }
    }
    let gammas = two_part.grade_rows(0, &probes).unwrap();
    let (values, _) = two_part.measure_rows(0, &probes, Measure::Total).unwrap();
    for (grade, value) in gammas.iter().zip(&values) {
        assert!((grade.total - value).abs() < 1e-12 * value);
    }
    // The smooth grade bounds Γ from above and comes closer with p.
    let smooth = |p| {
        two_part
            .measure_rows(0, &probes, Measure::Smooth { p })
            .unwrap()
            .0
    };
    for ((low, high), total) in smooth(16.0).iter().zip(smooth(4.0)).zip(&values) {
        assert!(*low <= high * (1.0 + 1e-12) && *low >= total * (1.0 - 1e-12));
    }
    assert!(
        two_part
            .measure_rows(0, &probes, Measure::Smooth { p: 1.0 })
            .is_err()
    );
}

#[test]
fn own_files_come_back_whole_or_not_at_all() {
    let model = model();
    let rows = Random::new(9).rows(60, 20, WIDTH);
    let (set, _) = build(&rows, &BuildOptions::two_part());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("active_set");
    set.save(&path).unwrap();
    assert_eq!(ActiveSet::load(&path, &model).unwrap(), set);

    let whole = std::fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        ActiveSet::load(&path, &model)
    };
    let header = whole.windows(5).position(|w| w == b"\ndata").unwrap() + 40;
    for length in (0..header).chain([whole.len() / 2, whole.len() - 1]) {
        assert!(load(&whole[..length]).is_err(), "cut at {length}");
    }
    for at in (0..whole.len()).step_by(whole.len() / 150).chain(0..header) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x04;
        assert!(load(&damaged).is_err(), "damaged at {at}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(load(&longer).is_err());

    let mut parameters = model.parameters().to_vec();
    parameters[0] += 1e-3;
    let other = Model::new(
        model.header().clone(),
        parameters,
        model.q_scaler().to_vec(),
    )
    .unwrap();
    std::fs::write(&path, &whole).unwrap();
    for result in [
        ActiveSet::load(&path, &other).err(),
        set.check_model(&other).err(),
    ] {
        let message = result.unwrap().to_string();
        assert!(message.contains("another model"), "{message}");
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let rows = Random::new(9).rows(6, 20, WIDTH);
    let with = |change: fn(&mut BuildOptions)| {
        let mut options = BuildOptions::two_part();
        change(&mut options);
        ActiveSet::build(&model(), &features(&rows), &options)
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|o| o.tolerance = 1.0).is_err());
    assert!(with(|o| o.tau = 1e-9).is_err());
    assert!(with(|o| o.tau = f64::NAN).is_err());
    assert!(with(|o| o.batch = 0).is_err());
}
