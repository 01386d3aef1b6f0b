//! nepal's own files: a text header, then little-endian numbers; what the header of a set holds, its form
//! says (`ridge/file.rs`).

use super::{ActiveSet, Origin, check_width, other_model};
use crate::error::{Error, Result, shorten};
use crate::files::fnv1a;
use crate::model::Model;
use std::io::{BufRead, Read};

pub(super) const MAGIC: &str = "nepal-active-set";

/// No header line of a legal file is longer.
const LONGEST_LINE: u64 = 4096;

/// Whether a file starts like this format; consumes nothing.
pub(super) fn is_native(reader: &mut impl BufRead) -> std::io::Result<bool> {
    Ok(reader.fill_buf()?.starts_with(MAGIC.as_bytes()))
}

pub(super) fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    fnv1a(&[fnv1a(header).to_le_bytes(), fnv1a(payload).to_le_bytes()].concat())
}

/// Reads a file for a model.
pub(super) fn read(reader: &mut impl BufRead, name: &str, model: &Model) -> Result<ActiveSet> {
    let mut lines = Lines {
        reader,
        name,
        line: 0,
        header: Vec::new(),
    };
    let version = lines.next()?;
    if version != [MAGIC, "3"] {
        return Err(lines.error(format!(
            "expected `{MAGIC} 3`, found {:?}; the file comes from another version of nepal, which had \
             other grades: build it again with nepal-loop active-set",
            shorten(&version.join(" "))
        )));
    }
    let set = super::ridge::file::read(&mut lines, model)?;
    let rest = reader.fill_buf().map_err(|e| Error::io("read", name, e))?;
    if rest.is_empty() {
        return Ok(set);
    }
    Err(Error::invalid(format!(
        "{name}: something was appended to the active set; expected the end of the file"
    )))
}

/// The length of the payload was checked against the header before.
pub(super) fn take_f64(bytes: &mut &[u8], count: usize) -> Vec<f64> {
    let (head, tail) = bytes.split_at(8 * count);
    *bytes = tail;
    let number = |b: &[u8]| f64::from_le_bytes(std::array::from_fn(|k| b[k]));
    head.chunks_exact(8).map(number).collect()
}

pub(super) fn take_origins(bytes: &mut &[u8], count: usize) -> Vec<Option<Origin>> {
    (0..count)
        .map(|_| match (take_u32(bytes), take_u32(bytes)) {
            (u32::MAX, u32::MAX) => None,
            (structure, atom) => Some(Origin { structure, atom }),
        })
        .collect()
}

fn take_u32(bytes: &mut &[u8]) -> u32 {
    let (head, tail) = bytes.split_at(4);
    *bytes = tail;
    u32::from_le_bytes(std::array::from_fn(|k| head[k]))
}

/// Header lines with their numbers, and all bytes of them for the checksum.
pub(super) struct Lines<'a, R> {
    reader: &'a mut R,
    name: &'a str,
    line: usize,
    header: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    pub fn error(&self, message: String) -> Error {
        Error::parse(self.name, self.line, message)
    }

    fn raw(&mut self) -> Result<Vec<u8>> {
        self.line += 1;
        let mut bytes = Vec::new();
        self.reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes)
            .map_err(|e| Error::io("read", self.name, e))?;
        if bytes.last() != Some(&b'\n') {
            return Err(self.error("the header is cut off or damaged".into()));
        }
        Ok(bytes)
    }

    pub fn next(&mut self) -> Result<Vec<String>> {
        let bytes = self.raw()?;
        let words = self.words(&bytes)?;
        self.header.extend(bytes);
        Ok(words)
    }

    fn words(&self, bytes: &[u8]) -> Result<Vec<String>> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| self.error("the header is not text; is the file damaged?".into()))?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// The line of the model, which has to be this one; its fingerprint.
    pub fn fingerprint(&mut self, model: &Model) -> Result<u64> {
        let words = self.next()?;
        let found = match words.as_slice() {
            [key, value] if key == "model" => u64::from_str_radix(value, 16).ok(),
            _ => None,
        };
        match found {
            Some(found) if found == model.fingerprint() => Ok(found),
            Some(found) => Err(match other_model(found, model) {
                Error::InvalidArgument(text) => Error::invalid(format!("{}: {text}", self.name)),
                other => other,
            }),
            None => Err(self.error("expected `model` and its fingerprint".into())),
        }
    }

    /// The line of the features, which are of a kind and of the model's length.
    pub fn width(&mut self, kind: &str, model: &Model) -> Result<usize> {
        let words = self.next()?;
        let width = match words.as_slice() {
            [key, found, width] if key == "features" && found == kind => width.parse().ok(),
            _ => None,
        };
        let width = width
            .ok_or_else(|| self.error(format!("expected `features {kind}` and their length")))?;
        check_width(width, model).map_err(|e| self.error(e.to_string()))?;
        Ok(width)
    }

    /// The numbers after the header, whose length and checksum are right.
    pub fn payload(&mut self, expected: usize) -> Result<Vec<u8>> {
        let bytes = self.raw()?;
        let words = self.words(&bytes)?;
        let found = match words.as_slice() {
            [key, length, sum] if key == "data" => (length.parse::<usize>().ok())
                .zip(u64::from_str_radix(sum, 16).ok())
                // This line is not in the sum.
                .filter(|(length, sum)| bytes == format!("data {length} {sum:016x}\n").as_bytes()),
            _ => None,
        };
        let Some((length, sum)) = found else {
            return Err(self.error("expected `data` with length and checksum".into()));
        };
        if expected != length {
            return Err(self.error(format!(
                "the sets above take {expected} bytes of data, the file announces {length}"
            )));
        }
        let mut payload = Vec::new();
        self.reader
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut payload)
            .map_err(|e| Error::io("read", self.name, e))?;
        if payload.len() != length {
            return Err(self.error(format!(
                "expected {length} bytes of data after this line, found {}; the file is cut off",
                payload.len()
            )));
        }
        let rest = self
            .reader
            .fill_buf()
            .map_err(|e| Error::io("read", self.name, e))?;
        if checksum(&self.header, &payload) != sum || !rest.is_empty() {
            return Err(self.error("the checksum does not fit; the file is damaged".into()));
        }
        Ok(payload)
    }
}
