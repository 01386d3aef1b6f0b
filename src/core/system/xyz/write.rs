//! Writing extended XYZ without losing a digit.

use super::comment::{self, quoted};
use crate::system::cell::Cell;
use crate::system::frame::{ColumnData, Frame};
use std::fmt::Write;

/// The text of one frame; reading it gives the same frame, to the last bit.
pub fn to_text(frame: &Frame) -> String {
    let structure = &frame.structure;
    let n_atoms = structure.len();
    let mut head = Vec::new();
    // Where a word of the title is a key of ours, the last one counts for other programs.
    let (ours, others): (Vec<_>, Vec<_>) =
        (frame.info.iter()).partition(|(key, _)| super::head::is_understood(key));
    head.extend(ours.into_iter().map(|(k, v)| pair(frame, k, v)));
    if structure.cell != Cell::isolated() {
        let vectors = join(structure.cell.vectors().iter().flatten());
        head.push(format!("Lattice=\"{vectors}\""));
        let flags = structure.cell.periodic().map(|p| if p { "T" } else { "F" });
        head.push(format!("pbc=\"{}\"", flags.join(" ")));
    }
    let mut properties = String::from("species:S:1:pos:R:3");
    if frame.forces.is_some() {
        properties.push_str(":forces:R:3");
    }
    if frame.force_mask.is_some() {
        properties.push_str(":mask:R:1");
    }
    for column in &frame.columns {
        let (kind, width) = match &column.data {
            ColumnData::Real { width, .. } => ('R', *width),
            ColumnData::Integer { width, .. } => ('I', *width),
            ColumnData::Text { width, kind, .. } => (*kind, *width),
        };
        let _ = write!(properties, ":{}:{kind}:{width}", column.name);
    }
    head.push(format!("Properties={}", quoted(&properties)));
    if let Some(energy) = frame.energy {
        head.push(format!("energy={}", number(energy)));
    }
    if let Some(virial) = &frame.virial {
        head.push(format!("virial=\"{}\"", join(virial.iter())));
    }
    if frame.weight != 1.0 {
        head.push(format!("weight={}", number(frame.weight)));
    }
    if frame.energy_weight != 1.0 {
        head.push(format!("energy_weight={}", number(frame.energy_weight)));
    }
    head.extend(others.into_iter().map(|(k, v)| pair(frame, k, v)));
    let mut text = format!("{n_atoms}\n{}\n", head.join(" "));
    for atom in 0..n_atoms {
        text.push_str(structure.elements[atom].symbol());
        push_reals(&mut text, &structure.positions[atom]);
        if let Some(forces) = &frame.forces {
            push_reals(&mut text, &forces[atom]);
        }
        if let Some(mask) = &frame.force_mask {
            push_reals(&mut text, &mask[atom..=atom]);
        }
        for column in &frame.columns {
            match &column.data {
                ColumnData::Real { width, values } => {
                    push_reals(&mut text, &values[atom * width..][..*width]);
                }
                ColumnData::Integer { width, values } => {
                    for value in &values[atom * width..][..*width] {
                        let _ = write!(text, " {value}");
                    }
                }
                ColumnData::Text { width, values, .. } => {
                    for value in &values[atom * width..][..*width] {
                        let _ = write!(text, " {value}");
                    }
                }
            }
        }
        text.push('\n');
    }
    text
}

/// A pair as it was read, unless its value is another by now.
fn pair(frame: &Frame, key: &str, value: &str) -> String {
    let same = |text: &&String| {
        comment::pairs(text)
            .is_ok_and(|p| matches!(&p[..], [pair] if pair.key == key && pair.told() == value))
    };
    match frame.spelling.get(key).filter(same) {
        Some(text) => text.clone(),
        None => comment::told(key, value),
    }
}

fn push_reals(text: &mut String, values: &[f64]) {
    for &value in values {
        text.push(' ');
        text.push_str(&number(value));
    }
}

fn join<'a>(values: impl Iterator<Item = &'a f64>) -> String {
    let words: Vec<String> = values.map(|&x| number(x)).collect();
    words.join(" ")
}

/// The shortest text that reads back as the same number.
fn number(x: f64) -> String {
    if x != 0.0 && x.is_finite() && !(1e-5..1e16).contains(&x.abs()) {
        format!("{x:e}")
    } else if x.is_infinite() {
        if x > 0.0 { "inf".into() } else { "-inf".into() }
    } else if x.is_nan() {
        "nan".into()
    } else {
        format!("{x}")
    }
}
