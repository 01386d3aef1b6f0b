use super::*;
use crate::{Optimizer, errors};
use nepal::BackendKind;

const SETTINGS: &str = "type 2 Te Pb\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\nl_max 3 1\nneuron 4\n";

fn frames() -> Vec<Frame> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/gnep_trace/train.xyz"
    );
    nepal::system::xyz::read_frames(path).unwrap()
}

fn options<'a>(epochs: usize, threads: usize) -> TrainOptions<'a> {
    TrainOptions {
        epochs: Some(epochs),
        threads: Some(threads),
        ..TrainOptions::default()
    }
}

#[test]
fn training_lowers_the_errors_and_reports_those_of_its_model() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let trained = train(&config, &frames, &frames[..2], options(150, 1)).unwrap();
    let (first, last) = (&trained.history[0], trained.history.last().unwrap());
    assert!(last.train[1] < 0.7 * first.train[1], "{first:?} {last:?}");
    assert!(last.epoch == 150 && trained.stop == Stop::Epochs);
    let expected = errors(&trained.model, &frames, BackendKind::Reference).unwrap();
    let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-5;
    assert!(close(trained.train.energy_rmse, expected.energy_rmse));
    assert!(close(trained.train.force_rmse, expected.force_rmse));
    assert!(close(trained.train.virial_rmse, expected.virial_rmse));
    assert!(trained.test.is_some() && last.test.is_some());
    // The third frame has no lead and the fifth no weight on its energy: both still count.
    assert_eq!(trained.train.n_energies, 5);
}

#[test]
fn the_result_does_not_depend_on_the_threads() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let one = train(&config, &frames, &[], options(20, 1)).unwrap();
    let three = train(&config, &frames, &[], options(20, 3)).unwrap();
    assert_eq!(one.model, three.model);
    let other = TrainOptions {
        seed: 1,
        ..options(20, 1)
    };
    assert_ne!(
        train(&config, &frames, &[], other).unwrap().model,
        one.model
    );
}

#[test]
fn a_warm_start_goes_on_where_the_model_was() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let first = train(&config, &frames, &[], options(100, 1)).unwrap();
    let again = TrainOptions {
        init: Some(&first.model),
        ..options(5, 1)
    };
    let second = train(&config, &frames, &[], again).unwrap();
    let best = first
        .history
        .iter()
        .map(|r| r.loss)
        .fold(f64::MAX, f64::min);
    assert!((second.history[0].loss - best).abs() < 1e-6 * best);
    assert_eq!(second.model.q_scaler(), first.model.q_scaler());
    let other = NepIn::parse(&SETTINGS.replace("neuron 4", "neuron 5"), "nep.in").unwrap();
    let refused = TrainOptions {
        init: Some(&first.model),
        ..options(5, 1)
    };
    assert!(train(&other, &frames, &[], refused).is_err());
}

#[test]
fn bad_frames_are_named_and_the_caller_can_stop() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let mut list = frames();
    list[1].forces.as_mut().unwrap()[0][2] = f64::NAN;
    let message = train(&config, &list, &[], options(1, 1))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("1 training frame(s)") && message.contains("frame 2: the force on atom 1"),
        "{message}"
    );
    let mut list = frames();
    list[3].energy = None;
    list.push(list[0].clone());
    list.push(Frame::new(list[0].structure.clone()));
    let mut stop = |p: &Progress| {
        if p.epoch >= 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = TrainOptions {
        progress: Some(&mut stop),
        ..options(1000, 1)
    };
    let trained = train(&config, &list, &[], options).unwrap();
    assert_eq!((trained.stop, trained.epochs), (Stop::Caller, 3));
    for text in ["frames 4)", "repeat(s) an earlier", "frames 7)"] {
        assert!(
            trained.warnings.iter().any(|w| w.contains(text)),
            "{:?}",
            trained.warnings
        );
    }
    assert!(train(&config, &[], &[], TrainOptions::default()).is_err());
}

#[test]
fn refinement_goes_below_descent_for_the_same_passes() {
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = frames();
    let train_with = |optimizer, threads| {
        let config = NepIn {
            optimizer,
            ..config.clone()
        };
        train(&config, &frames, &[], options(3000, threads)).unwrap()
    };
    let descent = train_with(Optimizer::Adam, 1);
    let refined = train_with(Optimizer::Auto, 1);
    let lowest = |t: &Trained| t.history.iter().map(|r| r.loss).fold(f64::MAX, f64::min);
    assert!(
        refined
            .history
            .iter()
            .any(|r| r.method == Method::Refinement)
    );
    assert!(descent.history.iter().all(|r| r.method == Method::Descent));
    assert!(
        lowest(&refined) < 0.9 * lowest(&descent),
        "{} {}",
        lowest(&refined),
        lowest(&descent)
    );
    assert_eq!(refined.model, train_with(Optimizer::Auto, 3).model);
}

/// Stops a run at several moments, and continues it each time.
#[test]
fn a_continued_run_gives_the_same_model() {
    let frames = frames();
    let folder = tempfile::tempdir().unwrap();
    for optimizer in ["auto", "snes"] {
        let text = format!("{SETTINGS}optimizer {optimizer}\nbatch 3\npopulation 10\n");
        let config = NepIn::parse(&text, "nep.in").unwrap();
        let path = folder.path().join(optimizer);
        let whole = train(&config, &frames, &[], options(2000, 1)).unwrap();
        let (mut stops, mut left) = (0, None);
        let continued = loop {
            let mut calls = 0;
            let mut progress = |_: &Progress| {
                calls += 1;
                // Far enough to get past the last checkpoint, not to the end.
                if calls > 170 && stops < 3 {
                    stops += 1;
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            };
            let trained = train(
                &config,
                &frames,
                &[],
                TrainOptions {
                    checkpoint: Some(&path),
                    progress: Some(&mut progress),
                    ..options(2000, 1)
                },
            )
            .unwrap();
            assert_eq!(path.exists(), trained.stop == Stop::Caller);
            left = std::fs::read(&path).ok().or(left);
            if trained.stop != Stop::Caller {
                break trained;
            }
        };
        assert_eq!(stops, 3, "{optimizer}");
        assert!(continued.model == whole.model, "{optimizer}");
        let said = continued
            .warnings
            .iter()
            .any(|w| w.contains("checkpoint at epoch"));
        assert!(said, "{:?}", continued.warnings);
        // One that was spoilt, in a number of the model, is told and not used.
        let mut spoilt: Vec<u8> = left.unwrap();
        let place = spoilt.windows(5).position(|w| w == b"\"y\":[").unwrap() + 5;
        let digit = spoilt[place..].iter_mut().find(|c| c.is_ascii_digit());
        let digit = digit.unwrap();
        *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
        std::fs::write(&path, spoilt).unwrap();
        let again = TrainOptions {
            checkpoint: Some(&path),
            ..options(2000, 1)
        };
        let anew = train(&config, &frames, &[], again).unwrap();
        assert!(anew.model == whole.model, "{optimizer}");
        let told = |w: &String| w.contains("checksum does not fit") && w.contains("anew");
        assert!(anew.warnings.iter().any(told), "{:?}", anew.warnings);
    }
    // A checkpoint of something else is kept aside.
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let path = folder.path().join("other.json");
    std::fs::write(&path, "{}").unwrap();
    let trained = train(
        &config,
        &frames,
        &[],
        TrainOptions {
            checkpoint: Some(&path),
            ..options(2, 1)
        },
    )
    .unwrap();
    assert!(trained.warnings.iter().any(|w| w.contains("starts anew")));
    assert!(folder.path().join("other.old").exists());
}

/// A label whose forces are wrong spoils a fit of squares more than one of Cauchy's.
#[test]
fn robust_losses_and_group_weights_leave_wrong_labels_aside() {
    let frames = frames();
    let mut spoiled = frames.clone();
    for f in spoiled[1].forces.iter_mut().flatten() {
        f[0] += 15.0;
    }
    spoiled[1].info.insert("config_type".into(), "odd".into());
    let rest: Vec<Frame> = (frames.iter().enumerate())
        .filter(|(i, _)| *i != 1)
        .map(|(_, f)| f.clone())
        .collect();
    let error = |extra: &str| {
        let config = NepIn::parse(&format!("{SETTINGS}bad_data keep\n{extra}"), "nep.in").unwrap();
        let trained = train(&config, &spoiled, &[], options(300, 1)).unwrap();
        let errors = errors(&trained.model, &rest, BackendKind::Cpu).unwrap();
        errors.force_rmse.unwrap()
    };
    let plain = error("");
    for extra in [
        "force_loss cauchy 0.5",
        "force_loss cauchy 0.5\noptimizer lm",
        "group_weight odd 0",
    ] {
        let robust = error(extra);
        assert!(robust < 0.87 * plain, "{extra}: {robust} {plain}");
    }
    let config = NepIn::parse(&format!("{SETTINGS}group_weight none 2"), "nep.in").unwrap();
    let refused = train(&config, &frames, &[], options(1, 1)).unwrap_err();
    assert!(refused.to_string().contains("config_type=none"));
}

/// One energy that is half an electronvolt per atom off moves neither the others nor their constant.
#[test]
fn a_robust_loss_leaves_a_wrong_energy_aside() {
    let frames = frames();
    let mut spoiled = frames.clone();
    let atoms = spoiled[0].structure.len() as f64;
    *spoiled[0].energy.as_mut().unwrap() += 0.5 * atoms;
    let error = |extra: &str| {
        let config = NepIn::parse(&format!("{SETTINGS}bad_data keep\n{extra}"), "nep.in").unwrap();
        let trained = train(&config, &spoiled, &[], options(300, 1)).unwrap();
        let errors = errors(&trained.model, &frames[1..], BackendKind::Cpu).unwrap();
        errors.energy_rmse.unwrap()
    };
    let plain = error("");
    for extra in [
        "energy_loss cauchy 0.01",
        "energy_loss huber 0.01\noptimizer adam",
    ] {
        let robust = error(extra);
        assert!(robust < 0.3 * plain, "{extra}: {robust} {plain}");
    }
}

#[test]
fn a_training_ends_at_the_errors_asked_for() {
    let settings = format!("{SETTINGS}target_error 10 0.5\n");
    let config = NepIn::parse(&settings, "nep.in").unwrap();
    let trained = train(&config, &frames(), &[], options(100_000, 1)).unwrap();
    assert_eq!(trained.stop, Stop::Target);
    let last = trained.history.last().unwrap();
    assert!(
        last.train[1] <= 0.5 && trained.history.iter().filter(|r| r.train[1] <= 0.5).count() == 1
    );
}

/// Processes as threads, each with what `work` does as one of them.
fn together<R: Send>(size: usize, work: impl Fn(usize, Arc<Ranks>) -> R + Sync) -> Vec<R> {
    let folder = tempfile::tempdir().unwrap();
    let (file, work) = (&folder.path().join("x.ranks"), &work);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..size)
            .map(|k| scope.spawn(move || work(k, Arc::new(Ranks::meet((k, size), file).unwrap()))))
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// Enough frames for several groups.
fn many() -> Vec<Frame> {
    let mut all = Vec::new();
    for k in 0..8 {
        let mut some = frames();
        for frame in &mut some {
            for (i, r) in frame.structure.positions.iter_mut().enumerate() {
                r[i % 3] += 0.01 * f64::from(k);
            }
        }
        all.extend(some);
    }
    all
}

#[test]
fn the_model_does_not_depend_on_the_number_of_processes() {
    let frames = many();
    for more in [
        "optimizer adam",
        "optimizer lm",
        "optimizer lm\nforce_loss huber 0.5\nenergy_reference fit",
    ] {
        let config = NepIn::parse(&format!("{SETTINGS}bad_data keep\n{more}\n"), "nep.in").unwrap();
        let alone = train(&config, &frames, &frames[..2], options(60, 1)).unwrap();
        for size in [2, 3] {
            let all = together(size, |_, ranks| {
                let options = TrainOptions {
                    ranks: Some(ranks),
                    ..options(60, 1)
                };
                train(&config, &frames, &frames[..2], options).unwrap()
            });
            for trained in &all {
                assert_eq!(
                    trained.model.parameters(),
                    alone.model.parameters(),
                    "{more} {size}"
                );
            }
            assert_eq!(all[0].train_predictions, alone.train_predictions);
            assert!(all[1].train_predictions.is_empty());
        }
    }
}

#[test]
fn processes_go_on_from_the_checkpoint_of_the_first_and_end_together() {
    let frames = frames();
    let config = NepIn::parse(&format!("{SETTINGS}optimizer lm\n"), "nep.in").unwrap();
    let whole = train(&config, &frames, &[], options(400, 1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nep.checkpoint.json");
    let run = |most: usize| {
        together(2, |rank, ranks| {
            let mut calls = 0;
            let mut progress = |_: &Progress| {
                calls += 1;
                // Only one of them is asked to stop.
                match rank == 1 && calls > most {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            let options = TrainOptions {
                ranks: Some(ranks),
                checkpoint: Some(&path),
                progress: Some(&mut progress),
                ..options(400, 1)
            };
            train(&config, &frames, &[], options).unwrap()
        })
    };
    let cut = run(5);
    assert!(cut.iter().all(|t| t.stop == Stop::Caller) && path.exists());
    let done = run(usize::MAX);
    assert!(
        done[0]
            .warnings
            .iter()
            .any(|w| w.contains("went on from a checkpoint"))
    );
    assert_eq!(done[1].model, whole.model);
    // Other data on one of them, and what is not shared out.
    let said = together(2, |rank, ranks| {
        let options = TrainOptions {
            ranks: Some(ranks),
            ..options(2, 1)
        };
        let refused = train(&config, &frames[rank..], &[], options);
        refused.unwrap_err().to_string()
    });
    assert!(
        said.iter().all(|s| s.contains("other settings or data")),
        "{said:?}"
    );
    let said = together(2, |_, ranks| {
        let options = TrainOptions {
            ranks: Some(ranks),
            device: Device::Number(0),
            ..options(2, 1)
        };
        train(&config, &frames, &[], options)
            .unwrap_err()
            .to_string()
    });
    assert!(said[1].contains("train on processors"), "{said:?}");
}

#[test]
fn frozen_layers_stay_as_they_were() {
    let frames = frames();
    let config = |more: &str| NepIn::parse(&format!("{SETTINGS}{more}\n"), "nep.in").unwrap();
    let start = train(&config(""), &frames[..3], &[], options(40, 1))
        .unwrap()
        .model;
    let layout = nepal::model::Layout::new(start.header());
    let changed = |model: &Model, range: std::ops::Range<usize>| {
        model.parameters()[range.clone()] != start.parameters()[range]
    };
    for optimizer in ["adam", "lm"] {
        for frozen in ["descriptors", "descriptors hidden", "output"] {
            let config = config(&format!("optimizer {optimizer}\nfreeze {frozen}"));
            let options = TrainOptions {
                init: Some(&start),
                ..options(40, 1)
            };
            let trained = train(&config, &frames, &[], options).unwrap();
            assert!(trained.history.last().unwrap().loss < trained.history[0].loss);
            for t in 0..2 {
                let hidden = changed(&trained.model, layout.w0(t, 0)..layout.w1(t));
                assert_eq!(hidden, !frozen.contains("hidden"), "{optimizer} {frozen}");
                let output = changed(&trained.model, layout.w1(t)..layout.w1(t) + 4);
                assert_eq!(output, !frozen.contains("output"), "{optimizer} {frozen}");
            }
            let descriptors = changed(&trained.model, layout.coefficients(0)..layout.len());
            assert_eq!(
                descriptors,
                !frozen.contains("descriptors"),
                "{optimizer} {frozen}"
            );
        }
    }
    let refused = train(&config("freeze hidden"), &frames, &[], options(1, 1));
    assert!(refused.unwrap_err().to_string().contains("--init"));
}
