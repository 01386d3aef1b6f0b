//! What trainers read.

use super::core::TINY;
use super::{check_message, data, pack, unpack};
use nepal::{Cell, Element, Frame, Structure};
use nepal_train::posterior::{Posterior, PosteriorOptions};
use nepal_train::{NepIn, Restart, read_errors, read_loss};
use std::sync::LazyLock;

pub fn nep_in_seeds() -> Vec<Vec<u8>> {
    let more = "type 2 Te Pb # elements\nversion 4\nzbl 2\ncutoff 8 4\nn_max 4 4\nbasis_size 8 8\nl_max 4 2 1\nneuron 30\n\
                lambda_1 0.05\nlambda_e 1\nlambda_f 1\nlambda_v 0.1\nbatch 1000\npopulation 50\ngeneration 1000\n\
                type_weight 1 0.5\nforce_delta 1\n";
    vec![data("pbte_nep_train/nep.in"), more.as_bytes().to_vec()]
}

/// `nep.in`: written and read again it is the same.
pub fn nep_in(bytes: &[u8]) -> bool {
    match NepIn::parse(&String::from_utf8_lossy(bytes), "input") {
        Ok(config) => {
            let text = config.to_text();
            let again = NepIn::parse(&text, "written");
            let again = again.unwrap_or_else(|e| panic!("what was written is read: {e}\n{text}"));
            assert_eq!(again.to_text(), text);
            true
        }
        Err(error) => {
            check_message(&error.to_string());
            false
        }
    }
}

pub fn restart_seeds() -> Vec<Vec<u8>> {
    vec![b"0.5 0.1\n-1.25e-3 0.05\n\n0 0\n".to_vec()]
}

/// `nep.restart`.
pub fn restart(bytes: &[u8]) -> bool {
    let Ok(state) = Restart::parse(&String::from_utf8_lossy(bytes), "input") else {
        return false;
    };
    let mut numbers = state.mean.iter().chain(&state.sigma);
    assert!(numbers.all(|x| x.is_finite()) && state.mean.len() == state.sigma.len());
    let again = Restart::parse(&state.to_text(), "written").expect("what was written is read");
    assert_eq!(again.mean.len(), state.mean.len());
    true
}

static POSTERIOR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let elements = ["Te", "Pb"].map(|s| Element::from_symbol(s).expect("an element"));
    let frames: Vec<Frame> = (0..6)
        .map(|k| {
            let x = 2.0 + 0.1 * f64::from(k);
            let cell = Cell::orthorhombic([5.0, 5.5, 6.0]).expect("a cell");
            let places = vec![[0.0; 3], [x, 2.1, 1.9]];
            let structure = Structure::new(cell, elements.into(), places).expect("a structure");
            Frame {
                energy: Some(-3.0 + 0.01 * x),
                forces: Some(vec![[0.1 * x, 0.0, 0.1], [-0.1 * x, 0.0, -0.1]]),
                ..Frame::new(structure)
            }
        })
        .collect();
    let fitted = Posterior::fit(&TINY, &frames, &PosteriorOptions::default()).expect("a fit");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("posterior.json");
    fitted.save(&path).expect("a file");
    std::fs::read(path).expect("a file")
});

/// The sealed file, and its content with a seal made anew for each input, so that what is behind the seal is reached.
pub fn posterior_seeds() -> Vec<Vec<u8>> {
    let value: serde_json::Value = nepal::sealed::open(&POSTERIOR).expect("a sealed file");
    vec![POSTERIOR.clone(), value.to_string().into_bytes()]
}

/// A posterior of the tiny model.
pub fn posterior(bytes: &[u8]) -> bool {
    let sealed = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let sealed = sealed.filter(|value| nepal::sealed::intact(bytes).is_none() && value.is_object());
    let sealed = sealed.and_then(|value| nepal::sealed::seal(&value).ok());
    let bytes = sealed.as_deref().map_or(bytes, str::as_bytes);
    match nepal::posterior::Posterior::read(bytes, "input", &TINY) {
        Ok(posterior) => {
            let factor = posterior.factor();
            let finite = |k: usize| factor[(k / factor.ncols(), k % factor.ncols())].is_finite();
            assert!((0..factor.nrows() * factor.ncols()).all(finite));
            true
        }
        Err(error) => {
            check_message(&error.to_string());
            false
        }
    }
}

pub fn output_seeds() -> Vec<Vec<u8>> {
    let loss = b"100 0.5 0.01 0.02 0.001 0.1 0.01 0.002 0.2 0.02\n200 0.4 0.01 0.02 0.001 0.1 0.01 0 0 0\n";
    let energy = b"-3.5 -3.4\n-3.6 -3.61\n";
    let force = b"0.1 0.2 0.3 0.1 0.2 0.31\n-0.1 0 0 -0.1 0 0\n";
    let virial = b"1 2 3 4 5 6 1 2 3 4 5 6\n-1 0 0 0 0 0 -1 0 0 0 0 0\n";
    let files: [(&str, &[u8]); 4] = [
        ("loss.out", loss),
        ("energy_train.out", energy),
        ("force_train.out", force),
        ("virial_train.out", virial),
    ];
    vec![pack(&files)]
}

/// `loss.out` and the files of predictions beside it.
pub fn outputs(bytes: &[u8]) -> bool {
    let folder = unpack(bytes);
    let loss = read_loss(folder.path().join("loss.out"));
    let errors = read_errors(folder.path(), "train");
    if let Ok(loss) = &loss {
        assert!(
            loss.iter().all(|record| record.loss.is_finite()),
            "{loss:?}"
        );
    }
    for message in [loss.as_ref().err(), errors.as_ref().err()]
        .into_iter()
        .flatten()
    {
        check_message(&message.to_string());
    }
    loss.is_ok() && errors.is_ok()
}
