//! The entries that take bytes from anywhere: what the fuzzer calls, and what the tests call with
//! mutated inputs.
//!
//! Each returns whether the bytes were accepted. Besides not panicking, what was accepted must
//! survive being written and read again.

use nepal::system::xyz::{self, FrameReader};
use nepal::{ActiveSet, Error, Model};
use std::sync::LazyLock;

/// A message for people names the place and stays short, whatever the file holds.
fn check_error(error: &Error) {
    let message = error.to_string();
    assert!(message.starts_with("input"), "{message}");
    assert!(message.len() < 2000, "{message}");
    if let Error::Parse { line, .. } = error {
        assert!(*line > 0, "{message}");
    }
}

/// A model file.
pub fn nep_txt(bytes: &[u8]) -> bool {
    match Model::parse(bytes, "input") {
        Ok(model) => {
            let text = model.to_text();
            let again = Model::parse(text.as_bytes(), "written").expect("what was written is read");
            assert!(again.to_text() == text, "writing twice gives the same text");
            true
        }
        Err(error) => {
            check_error(&error);
            false
        }
    }
}

/// An extended XYZ file, frame by frame.
pub fn extended_xyz(bytes: &[u8]) -> bool {
    let mut frames = Vec::new();
    let mut good = true;
    for frame in FrameReader::new(bytes, "input") {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => {
                check_error(&error);
                good = false;
            }
        }
    }
    let text: String = frames.iter().map(xyz::to_text).collect();
    let again: Result<Vec<_>, _> = FrameReader::new(text.as_bytes(), "written").collect();
    let again = again.unwrap_or_else(|e| panic!("what was written is read: {e}\n{text}"));
    // Text, not frames, is compared: a NaN grade differs from itself.
    let twice: String = again.iter().map(xyz::to_text).collect();
    assert!(
        twice == text,
        "writing twice gives the same text:\n{text}\n{twice}"
    );
    good
}

/// An active set, public or native, for a tiny model.
pub fn asi(bytes: &[u8]) -> bool {
    let model = &*TINY;
    match ActiveSet::read(bytes, "input", model) {
        Ok(set) => {
            set.check_model(model).expect("the set is for this model");
            let rows = vec![0.5; set.width()];
            for t in 0..set.elements().len() {
                // A missing element is an error in one form; neither may panic.
                let _ = set.grade_rows(t, &rows);
            }
            true
        }
        Err(error) => {
            if !matches!(error, Error::InvalidArgument(_)) {
                check_error(&error);
            }
            false
        }
    }
}

/// Two elements, one neuron, a descriptor of length 2: features of length 4.
pub static TINY: LazyLock<Model> = LazyLock::new(|| {
    let mut text = String::from(
        "nep4 2 Te Pb\ncutoff 5 4 50 20\nn_max 0 0\nbasis_size 0 0\nl_max 1 0 0\nANN 1 0\n",
    );
    for k in 0..19 {
        text.push_str(&format!("{}\n", 0.1 * f64::from(k) - 0.7));
    }
    Model::parse(text.as_bytes(), "tiny").expect("nineteen numbers are right")
});
