//! DFT-D3 of a system: the same on every backend, in f64.
//!
//! Each atom gathers what its pairs do to it, from coordination numbers and derivatives of all atoms, so that
//! nothing is scattered and ghosts get no forces.

use super::{Evaluation, Request, System};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::nep::d3::{D3, Kind, MOST};
use crate::system::cell::norm;

/// What a pass gives for an atom.
#[derive(Clone, Copy, Default)]
struct Row {
    energy: f64,
    /// Derivative of all energy with respect to the atom's coordination number.
    slope: f64,
    force: [f64; 3],
    virial: [f64; 9],
}

/// Energies, forces and virials of D3 alone; those of ghosts are zero. `elements` are those of the types.
///
/// **Errors**: [`Error::Unsupported`] for an element beyond the tables, and for ghosts of which nobody says
/// whose they are; those of other processes.
pub fn evaluate(
    d3: &D3,
    elements: &[Element],
    system: &System<'_>,
    request: Request,
    out: &mut Evaluation,
) -> Result<()> {
    if system.has_strangers() {
        return Err(Error::Unsupported(
            "D3 needs to know whose atoms the ghosts are; hand over a cell with its atoms and let nepal find the \
             neighbours"
                .into(),
        ));
    }
    let kinds = elements
        .iter()
        .map(|&e| Kind::new(e))
        .collect::<Result<Vec<_>>>()?;
    let c6: Vec<Vec<_>> = (kinds.iter())
        .map(|a| kinds.iter().map(|b| a.c6_with(b)).collect())
        .collect();
    let kind = |j: usize| &kinds[system.types[j] as usize];
    let pairs = |i: usize| {
        let all = system.neighbors.vectors(i, system.cell, system.positions);
        all.map(move |(j, v)| (j, v, norm(v)))
    };
    let counts = rows(system.n_local(), |i| {
        pairs(i)
            .map(|(j, _, r)| d3.count([kind(i), kind(j)], r).0)
            .sum()
    });
    let counts: Vec<f64> = system.with_ghosts(&counts)?;
    let weights = rows(counts.len(), |i| kind(i).weights(counts[i]));
    let mut found: Vec<Row> = rows(system.n_local(), |i| {
        // C6 with each system of each type, once for all neighbours.
        let (w, dw) = &weights[i];
        let of_types: Vec<([f64; MOST], [f64; MOST])> = c6[system.types[i] as usize]
            .iter()
            .map(|c6| {
                let with = |w: &[f64; MOST]| {
                    std::array::from_fn(|b| (0..MOST).map(|a| w[a] * c6[a][b]).sum())
                };
                (with(w), with(dw))
            })
            .collect();
        let mut row = Row::default();
        for (j, vector, r) in pairs(i) {
            let (value, slope) = d3.damped([kind(i), kind(j)], r);
            if value == 0.0 {
                continue;
            }
            let (own, of_own) = &of_types[system.types[j] as usize];
            let other = &weights[j].0;
            let c6: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
            let dc6: f64 = of_own.iter().zip(other).map(|(a, b)| a * b).sum();
            row.energy += 0.5 * c6 * value;
            row.slope += dc6 * value;
            row.add(vector, c6 * slope / r, 0.5);
        }
        row
    });
    let slopes: Vec<f64> = found.iter().map(|row| row.slope).collect();
    let slopes = system.with_ghosts(&slopes)?;
    let counted: Vec<Row> = rows(system.n_local(), |i| {
        let mut row = Row::default();
        for (j, vector, r) in pairs(i) {
            let slope = d3.count([kind(i), kind(j)], r).1;
            if slope != 0.0 {
                let both = slopes[i] + slopes[j];
                row.add(vector, both * slope / r, 0.5);
            }
        }
        row
    });
    for (row, more) in found.iter_mut().zip(&counted) {
        (0..3).for_each(|a| row.force[a] += more.force[a]);
        (0..9).for_each(|a| row.virial[a] += more.virial[a]);
    }
    *out = Evaluation {
        energies: found.iter().map(|row| row.energy).collect(),
        virial: std::array::from_fn(|c| found.iter().map(|row| row.virial[c]).sum()),
        ..Evaluation::default()
    };
    out.energy = out.energies.iter().sum();
    if request.contains(Request::FORCES) {
        out.forces = found.iter().map(|row| row.force).collect();
        out.forces.resize(system.n_total(), [0.0; 3]);
    }
    if request.contains(Request::VIRIALS) {
        out.virials = found.iter().map(|row| row.virial).collect();
        out.virials.resize(system.n_total(), [0.0; 9]);
    }
    Ok(())
}

impl Row {
    /// A pair of which this atom has a share of the virial; `scale` is the derivative of its energy over r.
    fn add(&mut self, vector: [f64; 3], scale: f64, share: f64) {
        for a in 0..3 {
            self.force[a] += scale * vector[a];
            for b in 0..3 {
                self.virial[3 * a + b] -= share * scale * vector[a] * vector[b];
            }
        }
    }
}

/// A number of rows, on the threads where there are some.
fn rows<T: Send>(n: usize, row: impl Fn(usize) -> T + Sync) -> Vec<T> {
    #[cfg(feature = "cpu")]
    {
        use rayon::prelude::*;
        (0..n).into_par_iter().with_min_len(16).map(&row).collect()
    }
    #[cfg(not(feature = "cpu"))]
    (0..n).map(&row).collect()
}
