//! nepal's own format of two-part sets: a text header, then little-endian numbers.
//!
//! Header lines: `nepal-active-set 2`; `model` and its fingerprint; `features` and their kind and
//! length; per element `set` with rank, active rows, `largest` or
//! `length`, environments offered, tau, residual scale,
//! kappa, and the neurons and level of the prefilter, or `none`; `data` with the payload's length and the checksum of all
//! before and after this line. Several sets, of clusters, are a line `nepal-active-sets` with their
//! number, then each of them whole. Payload per set: scales, center, directions, inverse, the
//! prefilter's mean and whitening, origins (two u32, all ones if unknown).

use super::prefilter::Prefilter;
use super::two_part::{Kept, Size, TwoPartSet};
use super::{ActiveSet, Origin, Sets, check_width, other_model};
use crate::error::{Error, Result, shorten};
use crate::files::fnv1a;
use crate::model::Model;
use std::fmt::Write;
use std::io::{BufRead, Read};

pub(super) const MAGIC: &str = "nepal-active-set";
const VERSION: u32 = 2;

/// Starts a file of several sets: this and their number, then each set whole.
const MAGIC_JOINED: &str = "nepal-active-sets";

/// More sets than anybody builds.
const MOST_SETS: usize = 10_000;

/// No header line of a legal file is longer.
const LONGEST_LINE: u64 = 4096;

/// More active rows than a set can have.
const MOST_ROWS: usize = 1 << 24;

/// Whether a file starts like this format; consumes nothing.
pub(super) fn is_native(reader: &mut impl BufRead) -> std::io::Result<bool> {
    Ok(reader.fill_buf()?.starts_with(MAGIC.as_bytes()))
}

/// The content of a file.
pub(super) fn bytes(set: &ActiveSet, sets: &[Option<TwoPartSet>]) -> Vec<u8> {
    let mut header = String::new();
    let mut payload = Vec::new();
    // Writing to a string cannot fail.
    let _ = writeln!(header, "{MAGIC} {VERSION}");
    let _ = writeln!(header, "model {:016x}", set.fingerprint.unwrap_or(0));
    let _ = writeln!(header, "features projection {}", set.width);
    for (element, set) in set.elements.iter().zip(sets) {
        match set {
            None => {
                let _ = writeln!(header, "none {element}");
            }
            Some(s) => {
                let _ = writeln!(
                    header,
                    "set {element} {} {} {} {} {:e} {:e} {:e} {} {:e}",
                    s.rank(),
                    s.rows(),
                    size_name(s.size),
                    s.offered,
                    s.tau,
                    s.residual_scale,
                    s.kappa,
                    s.prefilter.as_ref().map_or(0, |p| p.mean.len()),
                    s.prefilter.as_ref().map_or(0.0, |p| p.level)
                );
                push_payload(&mut payload, s);
            }
        }
    }
    let checksum = checksum(header.as_bytes(), &payload);
    let _ = writeln!(header, "data {} {checksum:016x}", payload.len());
    let mut out = header.into_bytes();
    out.extend(payload);
    out
}

/// The content of a file of several sets.
pub(super) fn joined(sets: &[ActiveSet]) -> Vec<u8> {
    let mut out = format!("{MAGIC_JOINED} {}\n", sets.len()).into_bytes();
    for set in sets {
        if let Sets::TwoPart(parts) = &set.sets {
            out.extend(bytes(set, parts));
        }
    }
    out
}

fn size_name(size: Size) -> &'static str {
    match size {
        Size::Largest => "largest",
        Size::Length => "length",
    }
}

pub(super) fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    fnv1a(&[fnv1a(header).to_le_bytes(), fnv1a(payload).to_le_bytes()].concat())
}

fn push_payload(out: &mut Vec<u8>, set: &TwoPartSet) {
    let floats = |out: &mut Vec<u8>, values: &[f64]| {
        for x in values {
            out.extend(x.to_le_bytes());
        }
    };
    floats(out, &set.scale);
    floats(out, &set.center);
    floats(out, &set.directions);
    floats(out, &set.inverse);
    if let Some(prefilter) = &set.prefilter {
        floats(out, &prefilter.mean);
        floats(out, &prefilter.whitening);
    }
    for origin in &set.origins {
        let (structure, atom) = origin.map_or((u32::MAX, u32::MAX), |o| (o.structure, o.atom));
        out.extend(structure.to_le_bytes());
        out.extend(atom.to_le_bytes());
    }
}

/// The header line of one set.
struct Shape {
    rank: usize,
    rows: usize,
    size: Size,
    offered: u64,
    tau: f64,
    residual_scale: f64,
    kappa: f64,
    neurons: usize,
    level: f64,
}

impl Shape {
    fn bytes(&self, n: usize) -> usize {
        8 * (2 * n + self.rank * (n + self.rows) + self.neurons * (self.neurons + 1) + self.rows)
    }
}

/// Reads a file for a model.
pub(super) fn read(reader: &mut impl BufRead, name: &str, model: &Model) -> Result<ActiveSet> {
    let several = reader
        .fill_buf()
        .map_err(|e| Error::io("read", name, e))?
        .starts_with(MAGIC_JOINED.as_bytes());
    if !several {
        let set = read_one(reader, name, model)?;
        return end(reader, name).map(|()| set);
    }
    let mut lines = Lines {
        reader,
        name,
        line: 0,
        header: Vec::new(),
    };
    let words = lines.next()?;
    let count = words.get(1).and_then(|w| w.parse::<usize>().ok());
    let count = count
        .filter(|&n| words.len() == 2 && (1..=MOST_SETS).contains(&n))
        .ok_or_else(|| lines.error(format!("expected `{MAGIC_JOINED}` and their number")))?;
    let sets = (0..count)
        .map(|_| read_one(reader, name, model))
        .collect::<Result<Vec<_>>>()?;
    end(reader, name)?;
    Ok(ActiveSet {
        elements: model.elements().to_vec(),
        width: model.layout().projection_len(),
        fingerprint: Some(model.fingerprint()),
        weights: super::output_weights(model),
        sets: Sets::Clustered(sets),
    })
}

/// Refuses anything after the last set.
fn end(reader: &mut impl BufRead, name: &str) -> Result<()> {
    let rest = reader.fill_buf().map_err(|e| Error::io("read", name, e))?;
    if rest.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name}: something was appended to the active set; expected the end of the file"
    )))
}

/// Reads one set and leaves what follows it.
fn read_one(reader: &mut impl BufRead, name: &str, model: &Model) -> Result<ActiveSet> {
    let mut lines = Lines {
        reader,
        name,
        line: 0,
        header: Vec::new(),
    };
    let version = lines.next()?;
    match version.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [MAGIC, "2"] => {}
        [MAGIC, "3"] => return super::ridge::file::read(&mut lines, model),
        _ => {
            return Err(lines.error(format!(
                "expected `{MAGIC}` 2 or 3, found {:?}; the file comes from another version of nepal, build it again",
                shorten(&version.join(" "))
            )));
        }
    }
    let fingerprint = lines.fingerprint(model)?;
    let width = lines.width("projection", model)?;
    let mut shapes = Vec::new();
    for element in model.elements() {
        let words = lines.next()?;
        let shape = shape(&words, element.symbol(), width).ok_or_else(|| {
            lines.error(format!(
                "expected `set {element}` with rank, rows, `largest` or `length`, environments, tau, residual scale, kappa, \
                 neurons and level, or `none {element}`; found {:?}",
                shorten(&words.join(" "))
            ))
        })?;
        shapes.push(shape);
    }
    let payload = lines.payload(shapes.iter().flatten().map(|s| s.bytes(width)).sum())?;
    let mut bytes = payload.as_slice();
    let mut sets = Vec::new();
    for shape in &shapes {
        let set = shape
            .as_ref()
            .map(|shape| take_set(&mut bytes, shape, width));
        if set.as_ref().is_some_and(|s| !is_sound(s)) {
            return Err(lines.error("the data hold numbers that are not finite".into()));
        }
        sets.push(set);
    }
    Ok(ActiveSet {
        elements: model.elements().to_vec(),
        width,
        fingerprint: Some(fingerprint),
        weights: super::output_weights(model),
        sets: Sets::TwoPart(sets),
    })
}

/// `None` for a line that does not follow the format, `Some(None)` for an element without a set.
fn shape(words: &[String], symbol: &str, width: usize) -> Option<Option<Shape>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["none", element] if *element == symbol => Some(None),
        [
            "set",
            element,
            rank,
            rows,
            size,
            offered,
            tau,
            scale,
            kappa,
            neurons,
            level,
        ] if *element == symbol => {
            let shape = Shape {
                rank: rank.parse().ok()?,
                rows: rows.parse().ok()?,
                size: [Size::Largest, Size::Length]
                    .into_iter()
                    .find(|&s| size_name(s) == *size)?,
                offered: offered.parse().ok()?,
                tau: tau.parse().ok()?,
                residual_scale: scale.parse().ok()?,
                kappa: kappa.parse().ok()?,
                neurons: neurons.parse().ok()?,
                level: level.parse().ok()?,
            };
            let positive = |x: f64| x > 0.0 && x.is_finite();
            ((1..=width).contains(&shape.rank)
                && (shape.rank..=MOST_ROWS).contains(&shape.rows)
                && shape.neurons <= width
                && shape.level >= 0.0
                && shape.tau >= 0.0
                && shape.tau < 1.0
                && positive(shape.residual_scale)
                && positive(shape.kappa))
            .then_some(Some(shape))
        }
        _ => None,
    }
}

fn take_set(bytes: &mut &[u8], shape: &Shape, n: usize) -> TwoPartSet {
    let r = shape.rank;
    let scale = take_f64(bytes, n);
    let center = take_f64(bytes, n);
    let directions = take_f64(bytes, r * n);
    let inverse = take_f64(bytes, r * shape.rows);
    let prefilter = (shape.neurons > 0).then(|| Prefilter {
        mean: take_f64(bytes, shape.neurons),
        whitening: take_f64(bytes, shape.neurons * shape.neurons),
        level: shape.level,
    });
    let origins = take_origins(bytes, shape.rows);
    TwoPartSet {
        scale,
        center,
        directions,
        inverse,
        size: shape.size,
        residual_scale: shape.residual_scale,
        kappa: shape.kappa,
        origins,
        tau: shape.tau,
        offered: shape.offered,
        prefilter,
        screen: Kept::default(),
    }
}

fn is_sound(set: &TwoPartSet) -> bool {
    let finite = |values: &[f64]| values.iter().all(|x| x.is_finite());
    set.scale.iter().all(|&s| s > 0.0 && s.is_finite())
        && finite(&set.center)
        && finite(&set.directions)
        && finite(&set.inverse)
        && set
            .prefilter
            .as_ref()
            .is_none_or(|p| finite(&p.mean) && finite(&p.whitening))
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
        let (length, sum) = match words.as_slice() {
            [key, length, sum] if key == "data" => (
                length.parse::<usize>().ok(),
                u64::from_str_radix(sum, 16).ok(),
            ),
            _ => (None, None),
        };
        let (Some(length), Some(sum)) = (length, sum) else {
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
        if checksum(&self.header, &payload) != sum {
            return Err(self.error("the checksum does not fit; the file is damaged".into()));
        }
        Ok(payload)
    }
}
