//! Reading GPUMD's result files, whoever wrote them.

use super::MISSING;
use crate::errors::{Errors, Tally};
use crate::outcome::{Method, Record};
use crate::targets::TERMS;
use nepal::error::{Error, Result};
use std::path::Path;

/// The rows of a file of numbers, all of the first of the `widths` that fits the first line.
fn rows(path: &Path, widths: &[usize]) -> Result<Vec<Vec<f64>>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let mut rows = Vec::new();
    let first = text
        .lines()
        .next()
        .map_or(0, |l| l.split_whitespace().count());
    let width = *widths.iter().find(|w| **w == first).unwrap_or(&widths[0]);
    for (index, line) in text.lines().enumerate() {
        let values: Vec<f64> = line
            .split_whitespace()
            .map_while(|w| w.parse().ok().filter(|x: &f64| x.is_finite()))
            .collect();
        if values.len() != line.split_whitespace().count() || values.len() != width {
            return Err(Error::parse(
                path.display().to_string(),
                index + 1,
                format!("expected {width} numbers, found {:?}", line.trim()),
            ));
        }
        rows.push(values);
    }
    Ok(rows)
}

/// Reads a `loss.out` of any kind of model, as GPUMD's `nep` writes it: by evolution; the wall clock,
/// which it does not hold, is 0. Test errors are absent where all are 0.
///
/// **Errors**: [`Error::Io`]; [`Error::Parse`] with the line.
pub fn read_loss(path: impl AsRef<Path>) -> Result<Vec<Record>> {
    let rows = rows(path.as_ref(), &LOSS)?;
    Ok(rows.iter().map(|r| record(r)).collect())
}

/// Numbers in a line of a `loss.out`: of a potential, a tensor, a potential with charges.
pub(crate) const LOSS: [usize; 3] = [10, 6, 14];

/// A line of a `loss.out`, of one of these lengths.
pub(crate) fn record(r: &[f64]) -> Record {
    // A tensor's errors stand where the virial's do.
    let (n, first) = ((r.len() - 4) / 2, if r.len() == 6 { 2 } else { 0 });
    let errors = |values: &[f64]| {
        let mut all = [0.0; TERMS];
        all[first..first + n].copy_from_slice(values);
        all
    };
    let test = errors(&r[4 + n..4 + 2 * n]);
    Record {
        epoch: r[0].max(0.0) as usize,
        method: Method::Evolution,
        seconds: 0.0,
        loss: r[1],
        l1: r[2],
        l2: r[3],
        train: errors(&r[4..4 + n]),
        test: (test != [0.0; TERMS]).then_some(test),
    }
}

/// The errors that the `energy_`, `force_` and `virial_<set>.out` of a directory stand for.
///
/// **Errors**: [`Error::Io`]; [`Error::Parse`] with the line.
pub fn read_errors(directory: impl AsRef<Path>, set: &str) -> Result<Errors> {
    let [mut energy, mut force, mut virial] = [const { Tally::new() }; 3];
    let mut counts = [0; 2];
    let files = [("energy", 1), ("force", 3), ("virial", 6)];
    for ((name, width), tally) in files
        .into_iter()
        .zip([&mut energy, &mut force, &mut virial])
    {
        let path = directory.as_ref().join(format!("{name}_{set}.out"));
        for row in rows(&path, &[2 * width])? {
            if row[width] == MISSING || row[0] == MISSING {
                continue;
            }
            match name {
                "force" => counts[0] += 1,
                "virial" => counts[1] += 1,
                _ => {}
            }
            for c in 0..width {
                tally.add(row[c] - row[width + c]);
            }
        }
    }
    Ok(Errors::from_tallies(&energy, &force, &virial, counts))
}
