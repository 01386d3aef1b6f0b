//! Result files in GPUMD's formats.

mod read;
#[cfg(test)]
mod tests;

pub(crate) use read::{LOSS, record};
pub use read::{read_errors, read_loss};

use super::conditions;
use super::errors::{Prediction, TENSOR};
use super::outcome::Record;
use nepal::error::Result;
use nepal::files::write_atomically;
use nepal::model::Kind;
use nepal::system::Frame;
use nepal::units::EV_PER_A3_IN_GPA;
use std::fmt::Write;
use std::path::Path;

/// What GPUMD writes for a target that a frame does not have.
const MISSING: f64 = -1e6;

/// The parts of the loss that a `loss.out` of a kind of model has.
fn parts(kind: Kind) -> std::ops::Range<usize> {
    match kind {
        Kind::Dipole | Kind::Polarizability => 2..3,
        _ if kind.electrostatics().is_some() => 0..5,
        _ => 0..3,
    }
}

/// Writes a `loss.out`: epoch, total loss, L1, L2, then the root mean square errors in training, and
/// the same on the test set (0 without one): of energy (eV/atom), force (eV/Å) and virial (eV/atom),
/// with charges also of the total charge (e/atom) and of Born charges (e); or of the tensor alone, per
/// atom.
///
/// **Errors**: [`nepal::Error::Io`].
pub fn write_loss(path: impl AsRef<Path>, kind: Kind, history: &[Record]) -> Result<()> {
    let mut text = String::new();
    for r in history {
        let test = &r.test.unwrap_or_default()[parts(kind)];
        let errors = r.train[parts(kind)].iter().chain(test);
        let values = [r.loss, r.l1, r.l2].into_iter().chain(errors.copied());
        // Writing to a string cannot fail. The blanks keep long numbers apart.
        let _ = write!(text, "{:<7} ", r.epoch);
        for value in values {
            let _ = write!(text, "{value:<12.7} ");
        }
        text.push('\n');
    }
    write_atomically(path.as_ref(), text.as_bytes())
}

/// The names of the files that [`write_predictions`] writes for a kind of model, without `_<set>.out`.
pub fn prediction_files(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Dipole => &["dipole"],
        Kind::Polarizability => &["polarizability"],
        _ if kind.electrostatics().is_some() => {
            &["energy", "force", "virial", "stress", "charge", "bec"]
        }
        _ => &["energy", "force", "virial", "stress"],
    }
}

/// Writes [`prediction_files`] into a directory: prediction, then target.
///
/// One line a frame, or an atom for forces, in the order of the frames. A missing target is -1e6,
/// as is that of an atom which the force mask leaves out, and the prediction of a frame that has
/// none. Stresses have the sign of the virial, as GPUMD's.
///
/// **Units**: energies and virials eV/atom, forces eV/Å, stresses GPa; virials, stresses and
/// polarizabilities xx yy zz xy yz zx; dipoles and polarizabilities per atom; charges, shifted to the
/// right sum, and Born charges (`xx xy xz yx yy yz zx zy zz`, target 0 if missing) in e.
/// **Shapes**: `predictions` and `frames` of one length. **Errors**: [`nepal::Error::Io`].
pub fn write_predictions(
    directory: impl AsRef<Path>,
    set: &str,
    kind: Kind,
    predictions: &[Prediction],
    frames: &[Frame],
) -> Result<()> {
    let mut texts = [const { String::new() }; 6];
    for (p, frame) in predictions.iter().zip(frames) {
        let n = frame.len().max(1) as f64;
        if kind.is_tensor() {
            let count = if kind == Kind::Dipole { 3 } else { 6 };
            let target = conditions::tensor(frame, kind).ok().flatten();
            let of = |values: &[f64]| -> Vec<f64> {
                let all = (0..count).map(|c| values.get(c).map_or(MISSING, |x| x / n));
                all.collect()
            };
            let both = of(&p.tensor)
                .into_iter()
                .chain(of(&target.unwrap_or_default()));
            row(&mut texts[0], both);
            continue;
        }
        let known = p.is_for(frame);
        let energy = if known { p.energy / n } else { MISSING };
        row(
            &mut texts[0],
            [energy, frame.energy.map_or(MISSING, |e| e / n)],
        );
        for i in 0..frame.len() {
            let masked = frame.force_mask.as_ref().is_some_and(|m| m[i] == 0.0);
            let target = match &frame.forces {
                Some(forces) if !masked => forces[i],
                _ => [MISSING; 3],
            };
            let predicted = if known { p.forces[i] } else { [MISSING; 3] };
            row(&mut texts[1], predicted.into_iter().chain(target));
        }
        let both = |factor: f64| {
            let predicted = TENSOR.map(|c| if known { p.virial[c] * factor } else { MISSING });
            let target = TENSOR.map(|c| frame.virial.map_or(MISSING, |w| w[c] * factor));
            predicted.into_iter().chain(target)
        };
        row(&mut texts[2], both(1.0 / n));
        // A cluster without a cell has no volume and so no stress.
        match frame.structure.cell.volume() {
            volume if volume > 0.0 && volume.is_finite() => {
                row(&mut texts[3], both(EV_PER_A3_IN_GPA / volume));
            }
            _ => row(&mut texts[3], [MISSING; 12]),
        }
        let target = conditions::born_charges(frame).ok().flatten();
        for (i, (charge, born)) in p.charges.iter().zip(&p.born).enumerate() {
            row(&mut texts[4], [*charge]);
            let target = target.as_ref().map_or([0.0; 9], |all| all[i]);
            row(&mut texts[5], born.iter().copied().chain(target));
        }
    }
    for (name, text) in prediction_files(kind).iter().zip(texts) {
        let path = directory.as_ref().join(format!("{name}_{set}.out"));
        write_atomically(&path, text.as_bytes())?;
    }
    Ok(())
}

/// A line of numbers, with the digits that give each back exactly.
fn row(text: &mut String, values: impl IntoIterator<Item = f64>) {
    for (index, x) in values.into_iter().enumerate() {
        let gap = if index == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = if x == MISSING {
            write!(text, "{gap}-1e+06")
        } else if x != 0.0 && x.abs() < 1e-4 {
            write!(text, "{gap}{x:e}")
        } else {
            write!(text, "{gap}{x}")
        };
    }
    text.push('\n');
}
