use super::curve::fit;
use super::*;
use nepal::model::Cutoff;
use std::path::Path;

fn silent(_: &str, _: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

const SETTINGS: &str = "type 2 Te Pb\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\nl_max 3 1\nneuron 5\n";

fn frames() -> Vec<Frame> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data/gnep_trace/train.xyz");
    let some = nepal::system::xyz::read_frames(path).unwrap();
    // More frames of the same kind, labelled by a model.
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data/gnep_trace/nep.txt");
    let model = Model::load(model).unwrap();
    let mut frames: Vec<Frame> = Vec::new();
    for k in 0..16 {
        let mut frame = Frame::new(some[k % some.len()].structure.clone());
        for (i, r) in frame.structure.positions.iter_mut().enumerate() {
            r[k % 3] += 0.02 * ((7 * i + 3 * k) % 11) as f64;
        }
        frames.push(frame);
    }
    let found = nepal_train::predict(&model, &frames, nepal::BackendKind::Cpu).unwrap();
    for (frame, p) in frames.iter_mut().zip(found) {
        frame.energy = Some(p.energy);
        frame.forces = Some(p.forces);
    }
    frames
}

#[test]
fn a_power_law_is_found_from_its_points() {
    for (a, b, c) in [(0.8, 0.5, 0.0), (2.0, 0.9, 0.05), (0.3, 0.25, 0.02)] {
        let points: Vec<(f64, f64)> = [12.0, 25.0, 50.0, 100.0, 200.0]
            .iter()
            .map(|&n: &f64| (n, a * n.powf(-b) + c))
            .collect();
        let law = fit(&points).unwrap();
        let (last, twice) = (points[4].1, a * 400f64.powf(-b) + c);
        assert!(
            (law.gain_of_doubling - (1.0 - twice / last)).abs() < 0.01,
            "{law:?}"
        );
        assert!(law.deviation < 0.01, "{law:?}");
        assert!(
            (law.b - b).abs() < 0.1 && (law.c - c).abs() < 0.01,
            "{law:?}"
        );
    }
    assert!(fit(&[(1.0, 1.0), (2.0, 0.5)]).is_none());
    // Errors that rise with data follow no such law.
    assert!(fit(&[(1.0, 1.0), (2.0, 1.1), (4.0, 1.3)]).is_none());
}

#[test]
fn a_curve_has_all_its_points_and_falls() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let options = LearningCurveOptions {
        fractions: vec![0.25, 0.5, 1.0],
        seeds: 2,
        seed: 5,
        effort: Effort::Epochs(60),
        threads: Some(1),
    };
    let found = learning_curve(&config, &frames[..12], &frames[12..], &options, &mut silent);
    let found = found.unwrap();
    assert_eq!(found.points.len(), 6);
    let sizes: Vec<usize> = found.points.iter().map(|p| p.frames).collect();
    assert_eq!(sizes, [3, 6, 12, 3, 6, 12]);
    let mean = |n: usize| {
        let some = found.points.iter().filter(|p| p.frames == n);
        some.map(|p| p.test.force_rmse.unwrap()).sum::<f64>()
    };
    assert!(mean(12) < mean(3), "{} {}", mean(12), mean(3));
    assert!(found.table().lines().count() == 10);
    let svg = found.svg().unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.contains("--c0:#"),
        "{}",
        &svg[..200]
    );
    assert!(found.points.iter().all(|p| p.settled));
    let mut ended = |_: &str, _: f64| ControlFlow::Break(());
    let none = learning_curve(&config, &frames, &frames, &options, &mut ended).unwrap();
    assert!(none.points.is_empty() && none.force.is_none() && none.svg().is_none());
    assert!(learning_curve(&config, &frames, &[], &options, &mut silent).is_err());
}

#[test]
fn a_search_halves_and_keeps_what_is_best_at_its_cost() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let options = SearchOptions {
        candidates: Some(4),
        effort: Effort::Epochs(8),
        seed: 3,
        threads: Some(1),
    };
    let found = search(&config, &frames[..12], &frames[12..], &options, &mut silent).unwrap();
    assert!(found.complete);
    let rounds: Vec<usize> = found.candidates.iter().map(|c| c.rounds).collect();
    assert_eq!(rounds, [2, 2, 1, 1]);
    let best = found.best().unwrap();
    assert!(best.pareto && best.score <= found.candidates[1].score);
    for c in &found.candidates {
        assert!(c.cost > 0.0 && c.parameters > 0 && c.score.is_finite());
        let again = NepIn::parse(&c.nep_in, "nep.in").unwrap();
        assert_eq!(again.n_max, c.n_max);
        let Cutoff::Uniform(cutoff) = again.cutoff else {
            panic!("another kind of cutoff");
        };
        assert_eq!(cutoff, c.cutoff);
        // Nothing of as many rounds is better and cheaper than what is marked.
        let beaten = found
            .candidates
            .iter()
            .any(|o| o.rounds >= c.rounds && o.score < c.score && o.cost < c.cost);
        assert!(!(c.pareto && beaten));
    }
    assert_eq!(found.table().lines().count(), 5);
    assert!(found.svg().unwrap().contains("best at its cost"));
    let one = SearchOptions {
        candidates: Some(1),
        ..options
    };
    assert!(search(&config, &frames, &frames, &one, &mut silent).is_err());
}

/// A clock that is long enough changes nothing: small and large parts settle by the same measure. A short one is told.
#[test]
fn parts_settle_alike_and_what_is_cut_short_is_no_point_of_the_law() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let mut options = LearningCurveOptions {
        fractions: vec![0.25, 0.5, 1.0],
        seeds: 1,
        seed: 5,
        effort: Effort::Budget(Duration::from_secs(3600)),
        threads: Some(1),
    };
    let (train, test) = frames.split_at(8);
    let long = learning_curve(&config, train, test, &options, &mut silent).unwrap();
    let passes: Vec<usize> = long.points.iter().map(|p| p.epochs).collect();
    assert!(long.points.iter().all(|p| p.settled), "{passes:?}");
    assert!(!long.table().contains("cut short") && long.table().contains("more data can take"));
    options.effort = Effort::Budget(Duration::from_secs(7200));
    let longer = learning_curve(&config, train, test, &options, &mut silent).unwrap();
    for (a, b) in long.points.iter().zip(&longer.points) {
        assert_eq!((a.epochs, a.test), (b.epochs, b.test));
    }
    options.effort = Effort::Budget(Duration::from_millis(30));
    let short = learning_curve(&config, train, test, &options, &mut silent).unwrap();
    assert!(short.points.iter().all(|p| !p.settled) && short.force.is_none());
    assert!(
        short.table().contains("3 of 3 fits were cut short"),
        "{}",
        short.table()
    );
    let svg = short.svg().unwrap();
    assert!(svg.contains("fit: trained on, cut short"));
}
