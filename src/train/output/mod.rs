//! Result files in GPUMD's formats.

mod read;
#[cfg(test)]
mod tests;

pub(crate) use read::record;
pub use read::{read_errors, read_loss};

use super::errors::Prediction;
use super::outcome::Record;
use nepal::error::Result;
use nepal::files::write_atomically;
use nepal::system::Frame;
use nepal::units::EV_PER_A3_IN_GPA;
use std::fmt::Write;
use std::path::Path;

/// What GPUMD writes for a target that a frame does not have.
const MISSING: f64 = -1e6;
/// Six of the nine components of a virial, in the order of GPUMD's files.
const COMPONENTS: [usize; 6] = [0, 4, 8, 1, 5, 6];

/// Writes a `loss.out`: epoch, total loss, L1, L2, then the root mean square errors of energy
/// (eV/atom), force (eV/Å) and virial (eV/atom) in training, and the same on the test set (0
/// without one).
///
/// **Errors**: [`nepal::Error::Io`].
pub fn write_loss(path: impl AsRef<Path>, history: &[Record]) -> Result<()> {
    let mut text = String::new();
    for r in history {
        let test = r.test.unwrap_or_default();
        let values = [r.loss, r.l1, r.l2].into_iter().chain(r.train).chain(test);
        // Writing to a string cannot fail. The blanks keep long numbers apart.
        let _ = write!(text, "{:<7} ", r.epoch);
        for value in values {
            let _ = write!(text, "{value:<12.7} ");
        }
        text.push('\n');
    }
    write_atomically(path.as_ref(), text.as_bytes())
}

/// Writes `energy_<set>.out`, `force_<set>.out`, `virial_<set>.out` and `stress_<set>.out` into a
/// directory: prediction, then target.
///
/// One line a frame, or an atom for forces, in the order of the frames. A missing target is -1e6,
/// as is that of an atom which the force mask leaves out, and the prediction of a frame that has
/// none. Stresses have the sign of the virial, as GPUMD's.
///
/// **Units**: energies and virials eV/atom, forces eV/Å, stresses GPa; virials and stresses
/// xx yy zz xy yz zx.
/// **Shapes**: `predictions` and `frames` of one length. **Errors**: [`nepal::Error::Io`].
pub fn write_predictions(
    directory: impl AsRef<Path>,
    set: &str,
    predictions: &[Prediction],
    frames: &[Frame],
) -> Result<()> {
    let mut texts = [const { String::new() }; 4];
    for (p, frame) in predictions.iter().zip(frames) {
        let n = frame.len().max(1) as f64;
        let known = p.forces.len() == frame.len();
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
            let predicted = COMPONENTS.map(|c| if known { p.virial[c] * factor } else { MISSING });
            let target = COMPONENTS.map(|c| frame.virial.map_or(MISSING, |w| w[c] * factor));
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
    }
    for (name, text) in ["energy", "force", "virial", "stress"].iter().zip(texts) {
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
