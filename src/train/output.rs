//! Result files in GPUMD's formats.

use super::errors::Prediction;
use super::outcome::Record;
use crate::error::Result;
use crate::files::write_atomically;
use crate::system::Frame;
use std::fmt::Write;
use std::path::Path;

/// What GPUMD writes for a target that a frame does not have.
const MISSING: f64 = -1e6;

/// Writes a `loss.out`: epoch, total loss, L1, L2, then the root mean square errors of energy
/// (eV/atom), force (eV/Å) and virial (eV/atom) in training, and the same on the test set (0
/// without one).
///
/// **Errors**: [`crate::Error::Io`].
pub fn write_loss(path: impl AsRef<Path>, history: &[Record]) -> Result<()> {
    let mut text = String::new();
    for r in history {
        let test = r.test.unwrap_or_default();
        let values = [r.loss, r.l1, r.l2].into_iter().chain(r.train).chain(test);
        let _ = write!(text, "{:<8}", r.epoch);
        for value in values {
            let _ = write!(text, "{value:<13.7}");
        }
        text.push('\n');
    }
    write_atomically(path.as_ref(), text.as_bytes())
}

/// Writes `energy_<set>.out`, `force_<set>.out` and `virial_<set>.out` into a directory:
/// prediction, then target; energies and virials per atom, virials xx yy zz xy yz zx, a missing
/// target as -1e6.
///
/// **Shapes**: `predictions` and `frames` of one length. **Errors**: [`crate::Error::Io`].
pub fn write_predictions(
    directory: impl AsRef<Path>,
    set: &str,
    predictions: &[Prediction],
    frames: &[Frame],
) -> Result<()> {
    let (mut energy, mut force, mut virial) = (String::new(), String::new(), String::new());
    // Writing to a string cannot fail.
    for (p, frame) in predictions.iter().zip(frames) {
        let n = frame.len().max(1) as f64;
        let target = frame.energy.map_or(MISSING, |e| e / n);
        let _ = writeln!(energy, "{} {}", p.energy / n, target);
        for (i, f) in p.forces.iter().enumerate() {
            let t = frame.forces.as_ref().map_or([MISSING; 3], |list| list[i]);
            let _ = writeln!(
                force,
                "{} {} {} {} {} {}",
                f[0], f[1], f[2], t[0], t[1], t[2]
            );
        }
        let components = [0, 4, 8, 1, 5, 6];
        let row: Vec<String> = components
            .iter()
            .map(|&c| p.virial[c] / n)
            .chain(components.map(|c| frame.virial.map_or(MISSING, |w| w[c] / n)))
            .map(|x| x.to_string())
            .collect();
        let _ = writeln!(virial, "{}", row.join(" "));
    }
    for (name, text) in [("energy", energy), ("force", force), ("virial", virial)] {
        let path = directory.as_ref().join(format!("{name}_{set}.out"));
        write_atomically(&path, text.as_bytes())?;
    }
    Ok(())
}
