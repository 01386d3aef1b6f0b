//! Screened charges in real space: pairs inside the radial cutoff.

use super::long_range::{Field, Source};
use crate::backend::System;
use crate::model::Electrostatics;
use crate::nep::long_range::screened_pair;
use crate::system::cell::{dot, sub};
use rayon::prelude::*;

/// Adds half of each pair to its centre. **Shapes**: `packed` `[places]`, positions as the engine
/// packs them.
pub(super) fn add(
    packed: &[[f64; 4]],
    system: &System<'_>,
    source: Source<'_>,
    (how, cutoff): (Electrostatics, f64),
    field: &mut Field,
) {
    let entries = system.neighbors.raw();
    let charge_of = |place: usize| match entries.source.is_empty() {
        true => source.strengths[place],
        false => source.strengths[entries.source[place] as usize],
    };
    let at = |place: usize| {
        let [x, y, z, _] = packed[place];
        [x, y, z]
    };
    let rows = field.rows().enumerate().with_min_len(64);
    let virials = rows.map(|(i, row)| {
        let origin = at(entries.local(i));
        let own = source.strengths[i];
        let mut total = [0.0; 9];
        for &j in &entries.index[entries.offsets[i]..entries.offsets[i + 1]] {
            let vector = sub(at(j as usize), origin);
            let square = dot(vector, vector);
            if square >= cutoff * cutoff {
                continue;
            }
            let r = square.sqrt();
            let (phi, dphi) = screened_pair(r, source.alpha, cutoff, how);
            let other = charge_of(j as usize);
            *row.energy += 0.5 * own * other * phi;
            *row.slope += other * phi;
            let scale = own * other * dphi / r;
            for a in 0..3 {
                // f_ij - f_ji of the two halves.
                row.force[a] += scale * vector[a];
                for b in 0..3 {
                    total[3 * a + b] -= 0.5 * scale * vector[a] * vector[b];
                }
            }
        }
        if let Some(virial) = row.virial {
            virial.iter_mut().zip(total).for_each(|(to, w)| *to += w);
        }
        total
    });
    // In the order of the atoms, so that a run repeats to the last bit.
    let virials: Vec<[f64; 9]> = virials.collect();
    for w in virials {
        field.virial.iter_mut().zip(w).for_each(|(to, w)| *to += w);
    }
}
