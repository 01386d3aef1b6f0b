//! GPUMD's `nep` as the trainer, played by a stand-in that checks what it is given.

use crate::support::{data, root};
use nepal::system::xyz;
use nepal::{BackendKind, Cell, Frame, Model};
use nepal_train::{
    ExternalOptions, NepIn, Progress, Restart, Stop, TrainOptions, errors, train, train_with_gpumd,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

const SETTINGS: &str = "type 2 Te Pb # elements\nversion 4\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\n\
    l_max 3 1\nneuron 4\ngeneration 1000\npopulation 30\nepochs 7\nlearning_rate 0.02\nbad_data drop\n";

/// The program's folder, its command, and frames it can use.
fn setup() -> (tempfile::TempDir, Vec<String>, Vec<Frame>) {
    let dir = tempfile::tempdir().unwrap();
    let script = root().join("tests/support/fake_nep.py");
    let program = dir.path().join("nep.py");
    std::fs::copy(script, &program).unwrap();
    let config = NepIn::parse(SETTINGS, "nep.in").unwrap();
    let frames = xyz::read_frames(data("gnep_trace/train.xyz")).unwrap();
    let options = TrainOptions {
        epochs: Some(5),
        threads: Some(1),
        ..Default::default()
    };
    let model = train(&config, &frames, &[], options).unwrap();
    model.model.save(dir.path().join("model.txt")).unwrap();
    let command = vec!["python3".into(), program.display().to_string()];
    (dir, command, frames)
}

fn options<'a>(folder: &Path, program: &[String]) -> ExternalOptions<'a> {
    ExternalOptions {
        program: program.to_vec(),
        folder: folder.join("work"),
        init: None,
        budget: None,
        progress: None,
    }
}

#[test]
#[needs(Python3)]
fn inputs_are_what_gpumd_reads_and_its_model_is_taken() {
    let (dir, program, mut frames) = setup();
    // A cluster, which GPUMD does not know.
    let cell = frames[1].structure.cell.clone();
    frames[1].structure.cell = Cell::new(*cell.vectors(), [false; 3]).unwrap();
    let mut generations = Vec::new();
    let mut progress = |p: &Progress| {
        generations.push((p.epoch, p.fraction));
        ControlFlow::Continue(())
    };
    let given = ExternalOptions {
        progress: Some(&mut progress),
        ..options(dir.path(), &program)
    };
    let trained = train_with_gpumd(SETTINGS, &frames, &frames[..2], given).unwrap();
    let kept = Model::load(dir.path().join("model.txt")).unwrap();
    assert_eq!(trained.model, kept);
    assert_eq!((trained.stop, trained.epochs), (Stop::Epochs, 1000));
    assert_eq!(trained.history.len(), 10);
    assert_eq!(trained.history[9].train[1], 0.01);
    assert_eq!(trained.history[9].test.unwrap()[1], 0.02);
    let expected = errors(&kept, &frames, BackendKind::Reference).unwrap();
    let (a, b) = (trained.train.force_rmse, expected.force_rmse);
    assert!((a.unwrap() - b.unwrap()).abs() < 1e-9);
    let work = dir.path().join("work");
    let text = std::fs::read_to_string(work.join("nep.in")).unwrap();
    assert!(
        text.contains("population 30") && !text.contains("epochs"),
        "{text}"
    );
    let log = std::fs::read_to_string(work.join("nep.log")).unwrap();
    assert!(
        log.contains("5 structures, 2 test structures, restart 0"),
        "{log}"
    );

    // Going on from a model: GPUMD finds its restart file.
    let given = ExternalOptions {
        init: Some(&kept),
        ..options(dir.path(), &program)
    };
    train_with_gpumd(SETTINGS, &frames, &[], given).unwrap();
    let log = std::fs::read_to_string(work.join("nep.log")).unwrap();
    assert!(log.contains("0 test structures, restart 1"), "{log}");
    let restart = Restart::load(work.join("nep.restart")).unwrap();
    assert_eq!(restart.mean.len(), kept.parameters().len());
}

#[test]
#[needs(Python3)]
fn it_ends_when_asked_and_at_the_budget_with_the_last_model() {
    let (dir, program, frames) = setup();
    let long = SETTINGS.replace("generation 1000", "generation 10000000");
    let mut progress = |_: &Progress| ControlFlow::Break(());
    let given = ExternalOptions {
        progress: Some(&mut progress),
        ..options(dir.path(), &program)
    };
    let trained = train_with_gpumd(&long, &frames, &[], given).unwrap();
    assert_eq!(trained.stop, Stop::Caller);
    let given = ExternalOptions {
        budget: Some(Duration::from_millis(1500)),
        ..options(dir.path(), &program)
    };
    let start = Instant::now();
    let trained = train_with_gpumd(&long, &frames, &[], given).unwrap();
    assert_eq!(trained.stop, Stop::Budget);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(trained.epochs > 100);
}

#[test]
#[needs(Python3)]
fn what_gpumd_cannot_do_and_its_failures_are_told() {
    let (dir, program, frames) = setup();
    let told = |text: &str, frames: &[Frame], program: &[String]| {
        train_with_gpumd(text, frames, &[], options(dir.path(), program))
            .unwrap_err()
            .to_string()
    };
    let mut masked = frames.clone();
    masked[2].force_mask = Some(vec![0.0; masked[2].len()]);
    let error = told(SETTINGS, &masked, &program);
    assert!(
        error.contains("training frame 3") && error.contains("mask"),
        "{error}"
    );
    let error = told(
        &SETTINGS.replace("version 4", "version 5"),
        &frames,
        &program,
    );
    assert!(error.contains("version 4 only"), "{error}");
    let error = told(SETTINGS, &frames, &["no-such-nep".into()]);
    assert!(error.contains("cannot start \"no-such-nep\""), "{error}");
    let broken = vec![
        "python3".to_owned(),
        "-c".into(),
        "print('CUDA Error: no device'); raise SystemExit(1)".into(),
    ];
    let error = told(SETTINGS, &frames, &broken);
    assert!(error.contains("CUDA Error: no device"), "{error}");
    let nothing = vec!["python3".to_owned(), "-c".into(), "pass".into()];
    let error = told(SETTINGS, &frames, &nothing);
    assert!(error.contains("left no model"), "{error}");
}
