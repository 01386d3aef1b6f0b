//! What a frame says beside energy, forces and virial: tensors, temperature, charges.

use nepal::backend::Conditions;
use nepal::error::{Error, Result};
use nepal::model::Kind;
use nepal::system::Frame;

/// The key and the number of values of a tensor in the comment line.
pub(crate) fn key(kind: Kind) -> Option<(&'static str, usize)> {
    match kind {
        Kind::Dipole => Some(("dipole", 3)),
        Kind::Polarizability => Some(("pol", 9)),
        _ => None,
    }
}

/// Numbers of the comment line under a key, whose case does not matter.
///
/// **Errors**: what is wrong with them, in words.
fn numbers(
    frame: &Frame,
    key: &str,
    count: usize,
) -> std::result::Result<Option<Vec<f64>>, String> {
    let found = frame.info.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
    let Some((_, text)) = found else {
        return Ok(None);
    };
    let values: Option<Vec<f64>> = (text.split_whitespace())
        .map(|word| word.parse().ok().filter(|x: &f64| x.is_finite()))
        .collect();
    match values.filter(|v| v.len() == count) {
        Some(values) => Ok(Some(values)),
        None => Err(format!("{key} takes {count} number(s), found {text:?}")),
    }
}

/// The tensor that a frame has for a kind of model: three numbers of a dipole, xx yy zz xy yz zx of a
/// polarizability; of the whole cell.
///
/// **Errors**: what is wrong with it, in words.
pub(crate) fn tensor(frame: &Frame, kind: Kind) -> std::result::Result<Option<Vec<f64>>, String> {
    let Some((key, count)) = key(kind) else {
        return Ok(None);
    };
    let symmetric = |v: Vec<f64>| {
        let pairs = [[0, 0], [4, 4], [8, 8], [1, 3], [5, 7], [6, 2]];
        pairs.map(|[a, b]| 0.5 * (v[a] + v[b])).to_vec()
    };
    let found = numbers(frame, key, count)?;
    Ok(found.map(|v| if count == 9 { symmetric(v) } else { v }))
}

/// A temperature in K.
///
/// **Errors**: what is wrong with it, in words.
pub(crate) fn temperature(frame: &Frame) -> std::result::Result<Option<f64>, String> {
    let found = numbers(frame, "temperature", 1)?.map(|v| v[0]);
    match found {
        Some(t) if t < 0.0 => Err(format!("temperature is {t}; expected at least 0 K")),
        found => Ok(found),
    }
}

/// What a frame is evaluated at by a kind of model.
///
/// **Errors**: [`Error::InvalidArgument`] for a comment line that cannot be read.
pub fn conditions(frame: &Frame, kind: Kind) -> Result<Conditions> {
    Ok(Conditions {
        temperature: match kind {
            Kind::Temperature => temperature(frame).map_err(Error::invalid)?,
            _ => None,
        },
        charge: match kind.electrostatics() {
            Some(_) => charge(frame).map_err(Error::invalid)?,
            None => 0.0,
        },
        ..Conditions::default()
    })
}

/// The total charge of a frame, e: zero if it does not say.
///
/// **Errors**: what is wrong with it, in words.
pub(crate) fn charge(frame: &Frame) -> std::result::Result<f64, String> {
    Ok(numbers(frame, "charge", 1)?.map_or(0.0, |v| v[0]))
}

/// The Born charges of a frame's atoms, e, if it has a column of them.
///
/// **Errors**: what is wrong with it, in words.
pub(crate) fn born_charges(frame: &Frame) -> std::result::Result<Option<Vec<[f64; 9]>>, String> {
    let column = frame
        .columns
        .iter()
        .find(|c| c.name.eq_ignore_ascii_case("bec"));
    let Some(column) = column else {
        return Ok(None);
    };
    match frame.real_column(&column.name) {
        Some((values, 9)) if values.iter().all(|x| x.is_finite()) => {
            let each = values.chunks_exact(9);
            Ok(Some(each.map(|z| std::array::from_fn(|c| z[c])).collect()))
        }
        _ => Err("bec is no column of nine finite numbers for each atom (bec:R:9)".into()),
    }
}

/// Why a frame lacks what a kind of model is trained on, if so.
pub(super) fn missing(frame: &Frame, kind: Kind) -> Option<String> {
    if let Some((key, count)) = key(kind) {
        return match tensor(frame, kind) {
            Ok(Some(_)) => None,
            Ok(None) => Some(format!(
                "no {key}=\"...\" ({count} numbers of the whole cell)"
            )),
            Err(why) => Some(why),
        };
    }
    if kind.electrostatics().is_some() {
        let periodic = frame.structure.cell.periodic() == [true; 3];
        return match (charge(frame), born_charges(frame)) {
            (Err(why), _) | (_, Err(why)) => Some(why),
            _ if !periodic => Some(
                "not three periodic directions, which sums over reciprocal space need: give it a cell with vacuum"
                    .into(),
            ),
            _ => None,
        };
    }
    if kind == Kind::Temperature {
        return match temperature(frame) {
            Ok(Some(_)) => None,
            Ok(None) => Some("no temperature=... (K)".into()),
            Err(why) => Some(why),
        };
    }
    None
}

/// The part of a frame that a model of tensors is trained on, with the tensor where the virial was.
pub(super) fn without_energies(frame: &Frame, kind: Kind) -> Frame {
    let padded = |t: Vec<f64>| std::array::from_fn(|c| t.get(c).copied().unwrap_or(0.0));
    Frame {
        energy: None,
        forces: None,
        virial: tensor(frame, kind).ok().flatten().map(padded),
        force_mask: None,
        ..frame.clone()
    }
}

/// A condition of a frame, once all are known to be readable.
pub(super) fn checked<T>(found: std::result::Result<T, String>) -> Result<T> {
    found.map_err(Error::Internal)
}
