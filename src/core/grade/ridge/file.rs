//! Ridge sets in nepal's own format, version 3.
//!
//! Header lines: `nepal-active-set 3`; `model` and its fingerprint; `features ridge` and the length of the
//! projections; per element `set` with active rows, λ and environments offered, or `none`; `data` with the
//! payload's length and the checksum of all before and after this line. Payload per set: ŝ and q̃ of the
//! rows, without the 1 behind each, then origins (two u32, all ones if unknown). The units follow from the
//! model.

use super::{Kept, RidgeSet, units};
use crate::error::{Result, shorten};
use crate::grade::file::{Lines, MAGIC, checksum, take_f64, take_origins};
use crate::grade::{ActiveSet, Sets};
use crate::model::Model;
use std::fmt::Write;
use std::io::BufRead;

/// More active rows than a set can have.
const MOST_ROWS: usize = 1 << 20;

/// The content of a file.
pub(in crate::grade) fn bytes(set: &ActiveSet, sets: &[Option<RidgeSet>]) -> Vec<u8> {
    let mut header = String::new();
    let mut payload = Vec::new();
    // Writing to a string cannot fail.
    let _ = writeln!(header, "{MAGIC} 3");
    let _ = writeln!(header, "model {:016x}", set.fingerprint.unwrap_or(0));
    let _ = writeln!(header, "features ridge {}", set.width);
    for (element, set) in set.elements.iter().zip(sets) {
        let Some(s) = set else {
            let _ = writeln!(header, "none {element}");
            continue;
        };
        let (h1, d1) = (s.neurons + 1, s.units.len() + 1);
        let (rows, lambda, offered) = (s.rows(), s.lambda, s.offered);
        let _ = writeln!(header, "set {element} {rows} {lambda:e} {offered}");
        for (data, width) in [(&s.s, h1), (&s.q, d1)] {
            for x in data.chunks_exact(width).flat_map(|row| &row[..width - 1]) {
                payload.extend(x.to_le_bytes());
            }
        }
        for origin in &s.origins {
            let (structure, atom) = origin.map_or((u32::MAX, u32::MAX), |o| (o.structure, o.atom));
            payload.extend(structure.to_le_bytes());
            payload.extend(atom.to_le_bytes());
        }
    }
    let checksum = checksum(header.as_bytes(), &payload);
    let _ = writeln!(header, "data {} {checksum:016x}", payload.len());
    let mut out = header.into_bytes();
    out.extend(payload);
    out
}

/// Reads what follows the line of the version.
pub(in crate::grade) fn read(
    lines: &mut Lines<'_, impl BufRead>,
    model: &Model,
) -> Result<ActiveSet> {
    let fingerprint = lines.fingerprint(model)?;
    let width = lines.width("ridge", model)?;
    let (h, dim) = (model.header().neurons[0], model.dim());
    let mut shapes = Vec::new();
    for element in model.elements() {
        let words = lines.next()?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let shape = match words.as_slice() {
            ["none", name] if *name == element.symbol() => Some(None),
            ["set", name, rows, lambda, offered] if *name == element.symbol() => {
                let parsed = || {
                    let rows: usize = rows.parse().ok()?;
                    let lambda: f64 = lambda.parse().ok()?;
                    let sound = rows <= MOST_ROWS && lambda > 0.0 && lambda.is_finite();
                    sound.then_some((rows, lambda, offered.parse::<u64>().ok()?))
                };
                parsed().map(Some)
            }
            _ => None,
        };
        let Some(shape) = shape else {
            return Err(lines.error(format!(
                "expected `set {element}` with rows, λ and environments, or `none {element}`; found {:?}",
                shorten(&words.join(" "))
            )));
        };
        shapes.push(shape);
    }
    let rows = shapes.iter().flatten().map(|s| s.0).sum::<usize>();
    let payload = lines.payload(8 * rows * (h + dim + 1))?;
    let mut bytes = payload.as_slice();
    let mut sets = Vec::new();
    for (t, shape) in shapes.into_iter().enumerate() {
        let Some((rows, lambda, offered)) = shape else {
            sets.push(None);
            continue;
        };
        let mut side = |width: usize| -> Vec<f64> {
            let data = take_f64(&mut bytes, rows * width);
            let with_one = |row: &[f64]| row.iter().copied().chain([1.0]).collect::<Vec<_>>();
            data.chunks_exact(width).flat_map(with_one).collect()
        };
        let (s, q) = (side(h), side(dim));
        if s.iter().chain(&q).any(|x| !x.is_finite()) {
            return Err(lines.error("the data hold numbers that are not finite".into()));
        }
        sets.push(Some(RidgeSet {
            units: units(&model.network(t)),
            neurons: h,
            lambda,
            s,
            q,
            origins: take_origins(&mut bytes, rows),
            offered,
            solver: Kept::default(),
        }));
    }
    Ok(ActiveSet {
        elements: model.elements().to_vec(),
        width,
        fingerprint: Some(fingerprint),
        sets: Sets::Ridge(sets),
    })
}
