//! Arrays of NumPy's `npy` format, as far as DeePMD data use it: numbers in C order.
//!
//! The size of the file is compared with the shape before anything is allocated.

use nepal::error::{Error, Result};
use std::path::Path;

/// An array of any number of dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    /// In C order.
    pub values: Vec<f64>,
}

impl Array {
    /// Reads a file of little-endian numbers of 4 or 8 bytes.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        parse(&bytes).map_err(|what| {
            Error::Failed(format!(
                "{}: expected an npy file of little-endian numbers in C order, {what}",
                path.display()
            ))
        })
    }
}

fn parse(bytes: &[u8]) -> std::result::Result<Array, String> {
    let magic = bytes.get(..8).ok_or("found a truncated file")?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("found another kind of file".into());
    }
    // Version 1 has two bytes for the length of the header, later ones four.
    let (start, length): (usize, usize) = match (magic[6], bytes.get(8..12)) {
        (1, Some(b)) => (10, usize::from(u16::from_le_bytes([b[0], b[1]]))),
        (2 | 3, Some(b)) => (12, u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize),
        _ => return Err(format!("found version {}", magic[6])),
    };
    let header = bytes
        .get(start..start.saturating_add(length))
        .and_then(|b| std::str::from_utf8(b).ok())
        .ok_or("found a truncated header")?;
    if header.contains("'fortran_order': True") {
        return Err("found Fortran order".into());
    }
    const KINDS: [(&str, usize, fn(&[u8]) -> f64); 4] = [
        ("'<f8'", 8, |b| {
            f64::from_le_bytes(b.try_into().unwrap_or_default())
        }),
        ("'<f4'", 4, |b| {
            f32::from_le_bytes(b.try_into().unwrap_or_default()).into()
        }),
        // Types of atoms are small.
        ("'<i8'", 8, |b| {
            i64::from_le_bytes(b.try_into().unwrap_or_default()) as f64
        }),
        ("'<i4'", 4, |b| {
            i32::from_le_bytes(b.try_into().unwrap_or_default()).into()
        }),
    ];
    let Some(&(_, size, number)) = KINDS.iter().find(|k| header.contains(k.0)) else {
        return Err(format!("found {}", header.trim()));
    };
    let shape = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'))
        .ok_or("found no shape")?
        .0;
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(|n| n.parse().map_err(|_| format!("found the shape ({shape})")))
        .collect::<std::result::Result<_, String>>()?;
    let count = shape
        .iter()
        .try_fold(1usize, |a, &b| a.checked_mul(b))
        .ok_or("found a shape that is too large")?;
    let data = &bytes[start + length..];
    if count.checked_mul(size) != Some(data.len()) {
        return Err(format!(
            "found {} bytes for the shape {shape:?}",
            data.len()
        ));
    }
    let values = data.chunks_exact(size).map(number).collect();
    Ok(Array { shape, values })
}

/// The bytes of an array, for tests.
#[cfg(test)]
pub(super) fn bytes(shape: &[usize], values: &[f64], single: bool) -> Vec<u8> {
    let list: Vec<String> = shape.iter().map(|n| format!("{n},")).collect();
    let kind = if single { "<f4" } else { "<f8" };
    let mut header = format!(
        "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}",
        list.join(" ")
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    for &x in values {
        if single {
            out.extend((x as f32).to_le_bytes());
        } else {
            out.extend(x.to_le_bytes());
        }
    }
    out
}
