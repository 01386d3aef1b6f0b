//! What active sets must do whatever the features: made-up rows, the shape of a real model.

use super::*;

/// Rows of the model below have 144 features.
const WIDTH: usize = 144;

fn model() -> Model {
    let text = include_str!("../../../tests/data/active_set_pbte/nep.txt");
    Model::parse(text.as_bytes(), "nep.txt").unwrap()
}

pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in [-1, 1) (splitmix64).
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
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

/// B projections of environments whose descriptors are mixtures of `rank` patterns of this size.
fn environments(random: &mut Random, count: usize, rank: usize, size: f64) -> Vec<f64> {
    let model = model();
    let dim = model.dim();
    let mut rows = vec![0.0; count * WIDTH];
    let q = random.rows(count, rank, dim);
    for (q, row) in q.chunks_exact(dim).zip(rows.chunks_exact_mut(WIDTH)) {
        let q: Vec<f64> = q.iter().map(|x| size * x).collect();
        crate::nep::network::projection(&model.network(0), &q, row);
    }
    rows
}

#[test]
fn training_environments_are_inside_however_few_or_alike() {
    let mut random = Random::new(2);
    let cases = [
        ("one", environments(&mut random, 1, 6, 0.3)),
        ("two", environments(&mut random, 2, 6, 0.3)),
        ("low rank", environments(&mut random, 400, 3, 0.3)),
        ("many", environments(&mut random, 900, 10, 0.3)),
        (
            "duplicates",
            environments(&mut random, 20, 6, 0.3).repeat(15),
        ),
        (
            "one, many times",
            environments(&mut random, 1, 6, 0.3).repeat(40),
        ),
        ("free atoms", environments(&mut random, 5, 6, 0.0)),
    ];
    for (name, rows) in cases {
        let (set, report) = build(&rows, &BuildOptions::default());
        assert!(largest(&set, &rows) <= 1.0, "{name}\n{report}");
        assert!((1..=rows.len() / WIDTH).contains(&set.rank(0)), "{name}");
    }
}

#[test]
fn what_was_never_offered_is_infinite_and_said() {
    let rows = environments(&mut Random::new(3), 50, 6, 0.3);
    let (set, report) = build(&rows, &BuildOptions::default());
    assert_eq!(set.grade_rows(1, &rows[..WIDTH]).unwrap(), [Grade::UNKNOWN]);
    assert_eq!(set.grade_rows(7, &rows[..WIDTH]).unwrap(), [Grade::UNKNOWN]);
    assert!(
        report.elements[1].note.contains("no environment"),
        "{report}"
    );
    assert_eq!(report.elements[1].rank, 0);
}

#[test]
fn bad_features_are_graded_infinite_not_safe() {
    let rows = environments(&mut Random::new(3), 500, 6, 0.3);
    let (ridge, _) = build(&rows, &BuildOptions::default());
    let (compat, _) = build(&rows, &BuildOptions::compat());
    for bad in [f64::NAN, f64::INFINITY] {
        let mut probe = rows[..2 * WIDTH].to_vec();
        probe[WIDTH..].fill(bad);
        for set in [&ridge, &compat] {
            let grades = set.grade_rows(0, &probe).unwrap();
            assert!(grades[0].total <= 1.01);
            assert_eq!(grades[1].total, f64::INFINITY);
        }
    }
    let mut bad = rows.clone();
    bad[25 * WIDTH] = f64::NAN;
    let error = ActiveSet::build(&model(), &features(&bad), &BuildOptions::default());
    let message = error.unwrap_err().to_string();
    assert!(message.contains("structure 2, atom 5 (Te)"), "{message}");
}

#[test]
fn directions_never_seen_are_flagged_where_the_public_form_calls_them_safe() {
    let mut random = Random::new(4);
    let known = environments(&mut random, 500, 3, 0.3);
    let (compat, report) = build(&known, &BuildOptions::compat());
    let note = &report.elements[0].note;
    assert!(note.contains("of 144 directions"), "{note}");
    let (ridge, _) = build(&known, &BuildOptions::default());
    let novel = environments(&mut random, 50, 12, 0.3);
    let above = |set: &ActiveSet| {
        let grades = set.grade_rows(0, &novel).unwrap();
        grades.iter().filter(|g| g.total > 2.0).count()
    };
    assert!(above(&ridge) > 40, "{}", above(&ridge));
    assert!(compat.grade_rows(0, &known[..WIDTH]).unwrap()[0].total <= 1.01);
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
    let rows = environments(&mut random, 300, 3, 0.3);
    let (mut set, _) = build(&rows, &BuildOptions::default());
    let (mut compat, _) = build(&random.rows(300, 30, WIDTH), &BuildOptions::compat());
    let mut grown = 0;
    for atom in 0..40 {
        let row = environments(&mut random, 1, 3 + 5 * (atom as usize % 2), 0.6);
        let before = largest(&set, &row);
        let origin = Origin {
            structure: 99,
            atom,
        };
        match set.extend(0, &row, Some(origin)).unwrap() {
            Extension::Unchanged => assert!(before <= EDGE),
            Extension::Swapped(j) => panic!("row {j} was exchanged"),
            Extension::Grown(j) => {
                grown += 1;
                assert_eq!(set.origins(0)[j], Some(origin));
            }
        }
        let after = largest(&set, &row);
        assert!(after <= 1.0, "row {atom}: {before} became {after}");
        assert_eq!(set.extend(0, &row, None).unwrap(), Extension::Unchanged);
        let wild = random.rows(1, 40, WIDTH);
        compat.extend(0, &wild, None).unwrap();
        assert!(largest(&compat, &wild) <= 1.0 + 1e-9);
    }
    assert!((6..40).contains(&grown), "{grown}");
    // A first environment of an element that had none.
    assert_eq!(
        set.extend(1, &rows[..WIDTH], None).unwrap(),
        Extension::Grown(0)
    );
    assert!(set.grade_rows(1, &rows[..WIDTH]).unwrap()[0].total <= 1.0);
    assert!(compat.extend(1, &rows[..WIDTH], None).is_err());
    assert!(set.extend(0, &rows[..3], None).is_err());
    assert!(set.extend(0, &[f64::NAN; WIDTH], None).is_err());
}

#[test]
fn what_is_learnt_is_not_novel_any_more() {
    let mut random = Random::new(14);
    let (mut set, _) = build(
        &environments(&mut random, 300, 3, 0.3),
        &BuildOptions::default(),
    );
    let novel = environments(&mut random, 6, 12, 0.8);
    let known = environments(&mut random, 4, 3, 0.1);
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
    let rows = environments(&mut random, 300, 3, 0.3);
    let (set, _) = build(&rows, &BuildOptions::default());
    let mut candidates = Features::with_shape(2, WIDTH);
    let far = [0.5, 1.0].map(|size| environments(&mut random, 1, 12, size));
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
    let probes = random.rows(2, 30, WIDTH);
    let (set, _) = build(&rows, &BuildOptions::compat());
    let measures = [
        Measure::Gamma,
        Measure::Total,
        Measure::Smooth { p: 2.0 },
        Measure::Smooth { p: 6.0 },
    ];
    for measure in measures {
        let (values, gradient) = set.measure_rows(0, &probes, measure).unwrap();
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
    let (values, _) = set.measure_rows(0, &probes, Measure::Total).unwrap();
    // The smooth grade bounds γ from above and comes closer with p.
    let smooth = |p| {
        set.measure_rows(0, &probes, Measure::Smooth { p })
            .unwrap()
            .0
    };
    for ((low, high), total) in smooth(16.0).iter().zip(smooth(4.0)).zip(&values) {
        assert!(*low <= high * (1.0 + 1e-12) && *low >= total * (1.0 - 1e-12));
    }
    assert!(
        set.measure_rows(0, &probes, Measure::Smooth { p: 1.0 })
            .is_err()
    );
}

#[test]
fn own_files_come_back_whole_or_not_at_all() {
    let model = model();
    let rows = environments(&mut Random::new(9), 60, 6, 0.3);
    let (set, _) = build(&rows, &BuildOptions::default());
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
        let longer = [&whole[..], &whole[at..]].concat();
        assert!(load(&longer).is_err(), "bytes behind its end");
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
    let rows = environments(&mut Random::new(9), 6, 6, 0.3);
    let with = |change: fn(&mut BuildOptions)| {
        let mut options = BuildOptions::default();
        change(&mut options);
        ActiveSet::build(&model(), &features(&rows), &options)
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|o| o.tolerance = 1.0).is_err());
    assert!(with(|o| o.resolution = 0.5).is_err());
    assert!(with(|o| o.resolution = f64::NAN).is_err());
    assert!(with(|o| o.batch = 0).is_err());
}

/// One structure in twelve has an environment of its own: without it the set knows nothing of that.
#[test]
fn what_is_left_out_is_graded_by_the_others() {
    let mut random = Random::new(3);
    let usual = random.rows(120, 2, WIDTH);
    let odd = random.rows(1, 40, WIDTH);
    let options = BuildOptions::default();
    let unseen = |rows: &[f64]| unseen_grade(&model(), &features(rows), &options).unwrap();
    let calm = unseen(&usual).unwrap();
    let mut rows = usual.clone();
    rows[..WIDTH].copy_from_slice(&odd);
    // 0.1 % of 120 environments is none: the largest grade is told, which is the odd one's by the others.
    let strange = unseen(&rows).unwrap();
    let without: Vec<f64> = (10..120)
        .filter(|k| k / 10 % 10 != 0)
        .flat_map(|k| rows[k * WIDTH..][..WIDTH].to_vec())
        .collect();
    let (set, _) = build(&without, &options);
    assert!(
        (strange / largest(&set, &odd) - 1.0).abs() < 1e-9,
        "{strange}"
    );
    assert!(strange > 2.0 * calm.max(1.0), "{strange} {calm}");
    assert_eq!(unseen(&usual[..10 * WIDTH]), None);
}
