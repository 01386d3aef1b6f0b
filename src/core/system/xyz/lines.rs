//! Lines of bounded length, whatever ends them: LF, CR LF, or the CR of old Mac files.

use crate::error::{Error, Result};
use std::io::{BufRead, Read};

/// Longest line that is read.
const MAX_LINE: u64 = 1 << 20;

pub(super) struct Lines<R> {
    reader: R,
    /// Stands for the file in messages.
    pub name: String,
    /// The line that was read last, counted from 1.
    pub number: usize,
    /// What ends a line; known from the first one on.
    ending: Option<u8>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R, name: &str) -> Self {
        Self {
            reader,
            name: name.to_owned(),
            number: 0,
            ending: None,
        }
    }

    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::parse(self.name.clone(), self.number.max(1), message)
    }

    pub fn next(&mut self) -> Result<Option<String>> {
        let io = |e| Error::io("read", &self.name, e);
        let first = self.ending.is_none();
        let ending = match self.ending {
            Some(byte) => byte,
            None => line_end(self.reader.fill_buf().map_err(io)?),
        };
        self.ending = Some(ending);
        let mut bytes = Vec::new();
        let read = (&mut self.reader)
            .take(MAX_LINE)
            .read_until(ending, &mut bytes)
            .map_err(io)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if first && let Some(what) = foreign(&bytes) {
            return Err(self.error(format!("expected extended XYZ, found {what}")));
        }
        if read as u64 == MAX_LINE {
            return Err(self.error(format!(
                "the line is longer than {MAX_LINE} bytes; is this extended XYZ?"
            )));
        }
        let line = String::from_utf8(bytes)
            .map_err(|_| self.error("the line is not UTF-8 text; is this extended XYZ?"))?;
        let line = line.trim_end_matches(['\n', '\r']);
        if line.contains('\n') {
            return Err(self.error(
                "the first line ends with CR, this one has an LF inside; write all line ends alike",
            ));
        }
        // Editors on Windows put a mark before the first byte.
        let line = line
            .strip_prefix('\u{feff}')
            .filter(|_| first)
            .unwrap_or(line);
        Ok(Some(line.to_owned()))
    }
}

/// CR if the first line ends with one that no LF follows.
fn line_end(start: &[u8]) -> u8 {
    let after = start
        .iter()
        .skip_while(|b| !matches!(b, b'\n' | b'\r'))
        .find(|b| **b != b'\r');
    match after {
        Some(b'\n') | None => b'\n',
        Some(_) => b'\r',
    }
}

/// What a file is that begins with these bytes, if it is no text that can be read.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 6] = [
        (b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
        (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
        (b"\x1f\x8b", "a gzip archive: unpack it first"),
        (b"BZh", "a bzip2 archive: unpack it first"),
        (b"\xfd7zXZ", "an xz archive: unpack it first"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it first"),
    ];
    (KNOWN.iter().find(|(start, _)| bytes.starts_with(start))).map(|(_, what)| *what)
}
