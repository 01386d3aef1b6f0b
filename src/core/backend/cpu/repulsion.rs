//! The screened nuclear repulsion: rare, so neighbour by neighbour.

use super::kernel::MAX_LANES;
use super::plan::Plan;
use super::scratch::{FORCE, GEOMETRY, Scratch};
use super::vector::{Real, Vector};

/// A square that is not below this times the square of a reach is beyond the reach, in f32 too.
const ROUNDED: f64 = 1.0 + 1e-6;

/// Adds half of the repulsion of each near pair to the lanes' energies (eV), and to the partial
/// forces if `slope`.
#[inline(always)]
pub(super) fn add<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    center: usize,
    scratch: &mut Scratch<V::Real>,
    slope: bool,
    energies: &mut [f64],
) {
    let outer = plan.zbl_outer;
    if nearest::<V>(simd, scratch) >= outer * outer {
        return;
    }
    for kind in 0..plan.n_types {
        let Some(zbl) = &plan.pair(center, kind).zbl else {
            continue;
        };
        let limit = V::Real::of(zbl.outer() * zbl.outer() * ROUNDED);
        for slot in scratch.classes[kind].clone() {
            let row = &scratch.geometry[slot * GEOMETRY * V::N..][..GEOMETRY * V::N];
            let squares = &row[3 * V::N..];
            if !squares.iter().fold(false, |any, r2| any | (*r2 < limit)) {
                continue;
            }
            for lane in 0..V::N {
                let r = squares[lane].wide().sqrt();
                if r >= zbl.outer() {
                    continue;
                }
                let (e, de) = zbl.energy(r);
                energies[lane] += 0.5 * e;
                if slope {
                    let force = &mut scratch.force[slot * FORCE * V::N..][..FORCE * V::N];
                    for a in 0..3 {
                        let f = 0.5 * de / r * row[a * V::N + lane].wide();
                        let place = &mut force[a * V::N + lane];
                        *place = V::Real::of(place.wide() + f);
                    }
                }
            }
        }
    }
}

/// The smallest squared distance of all near slots.
#[inline(always)]
fn nearest<V: Vector>(simd: V::Simd, scratch: &Scratch<V::Real>) -> f64 {
    let mut least = V::constant(simd, f64::from(f32::MAX));
    let rows = &V::rows(&scratch.geometry)[..scratch.n_near * GEOMETRY];
    for row in rows.chunks_exact(GEOMETRY) {
        least = least.min(V::get(simd, &row[3]));
    }
    let mut lanes = [V::Real::default(); MAX_LANES];
    least.put(&mut V::rows_mut(&mut lanes)[0]);
    let lanes = lanes[..V::N].iter().map(|x| x.wide());
    lanes.fold(f64::INFINITY, f64::min)
}
