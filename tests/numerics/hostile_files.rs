//! Files that are no models at all: refused quickly, with little read and nothing allocated for
//! what the file merely promises.

use crate::support;
use nepal::{Error, Model};
use std::cell::Cell;
use std::io::{BufReader, Read};
use std::time::{Duration, Instant};

/// Repeats a pattern for ever after a beginning, counting what was taken.
struct Endless<'a> {
    beginning: &'a [u8],
    pattern: &'a [u8],
    taken: &'a Cell<usize>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            let at = self.taken.get();
            *byte = match self.beginning.get(at) {
                Some(&b) => b,
                None => self.pattern[(at - self.beginning.len()) % self.pattern.len()],
            };
            self.taken.set(at + 1);
        }
        Ok(buffer.len())
    }
}

#[track_caller]
fn refuse_endless(beginning: &str, pattern: &str, limit: usize, place: &str) {
    let taken = Cell::new(0);
    let reader = Endless {
        beginning: beginning.as_bytes(),
        pattern: pattern.as_bytes(),
        taken: &taken,
    };
    let error = Model::parse(BufReader::new(reader), "endless").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(place), "{message}");
    assert!(message.len() < 500, "a message for people: {message}");
    let allowed = beginning.len() + limit;
    assert!(
        taken.get() <= allowed,
        "{} bytes were read, {allowed} allowed",
        taken.get()
    );
}

#[test]
fn endless_files_are_refused_after_a_bounded_number_of_bytes() {
    let line = 1 << 17;
    refuse_endless("", "1", line, "endless:1: ");
    refuse_endless("", "\n", line, "endless:1: ");
    refuse_endless("", "nep4 ", line, "endless:1: ");
    refuse_endless("nep4 ", "Si ", line, "endless:1: ");
    refuse_endless("nep4 1 Si\ncutoff ", "5 ", line, "endless:2: ");
    refuse_endless("nep4 1 Si\n", "cutoff 5 4 9 9\n", line, "endless:3: ");
    refuse_endless(
        "nep4 1 Si\ncutoff 5 4 9 9\nn_max ",
        "9",
        line,
        "endless:3: ",
    );
    let small = support::read_text("synthetic_variants/nep4_minimal/nep.txt");
    let lines = small.lines().count();
    refuse_endless(&small, "1.0\n", line, &format!("endless:{}: ", lines + 1));
    refuse_endless(&small, "1.0 ", line, &format!("endless:{}: ", lines + 1));
    let header: String = small.lines().take(6).map(|l| format!("{l}\n")).collect();
    refuse_endless(&header, "1", line, "endless:7: ");
    refuse_endless(&header, "x\n", line, "endless:7: ");
}

/// The largest header that is legal asks for a hundred million numbers; none is given.
#[test]
fn promises_of_many_numbers_cost_nothing() {
    let symbols: Vec<String> = (1..=94)
        .map(|z| nepal::Element::from_number(z).unwrap().to_string())
        .collect();
    let text = format!(
        "nep4 94 {}\ncutoff 8 5 1000 500\nn_max 32 32\nbasis_size 32 32\nl_max 8 1 1 1 1 1 1\nANN 2000 0\n1\n2\n",
        symbols.join(" ")
    );
    let start = Instant::now();
    let message = Model::parse(text.as_bytes(), "large")
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("large:9: "), "{message}");
    assert!(message.contains("end of the file after 2"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_is_not_text_is_refused() {
    let mut random = support::gas::Uniform(99);
    let garbage: Vec<u8> = (0..4096).map(|_| (random.next() * 256.0) as u8).collect();
    for bytes in [
        garbage.as_slice(),
        b"\xff\xfe\x00nep4",
        b"\x7fELF\x02\x01\x01",
        &[0; 4096],
    ] {
        let error = Model::parse(bytes, "binary").unwrap_err();
        assert!(error.to_string().starts_with("binary:1: "), "{error}");
        assert!(matches!(error, Error::Parse { .. }), "{error}");
    }
    // Garbage behind a good header.
    let small = support::read_text("synthetic_variants/nep4_minimal/nep.txt");
    let header: String = small.lines().take(6).map(|l| format!("{l}\n")).collect();
    let mut bytes = header.into_bytes();
    bytes.extend_from_slice(b"1.0\n\xc3\x28\n");
    let error = Model::parse(bytes.as_slice(), "binary")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("binary:8: "), "{error}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.txt");
    for path in [folder.path(), &missing] {
        let error = Model::load(path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let shown = path.display().to_string();
        assert!(error.to_string().contains(&shown), "{error}");
    }
    let empty = folder.path().join("empty.txt");
    std::fs::write(&empty, "").unwrap();
    let error = Model::load(&empty).unwrap_err().to_string();
    assert_eq!(
        error
            .strip_prefix(&empty.display().to_string())
            .unwrap()
            .split(' ')
            .next(),
        Some(":1:")
    );
    assert!(error.contains("empty file"), "{error}");
}

/// A gigabyte of zeros that takes no space on the disk.
#[test]
fn a_huge_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.txt");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    let start = Instant::now();
    let error = Model::load(&path).unwrap_err().to_string();
    assert!(error.contains("huge.txt:1: "), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

/// A file that fails while it is read is an error of the file, not a short file.
#[test]
fn failures_of_the_reader_are_reported() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is on fire"))
        }
    }
    let text = "nep4 1 Si\ncutoff 5 4 9 9\n";
    let error = Model::parse(BufReader::new(text.as_bytes().chain(Broken)), "broken").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("broken") && message.contains("on fire"),
        "{message}"
    );
}
