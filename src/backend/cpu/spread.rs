//! Partial forces of a group to the atoms and virials.

use super::gather::View;
use super::kernel::MAX_LANES;
use super::scratch::{FORCE, GEOMETRY, Scratch};
use super::vector::{Real, Vector};

/// F_i += f_ij, F_j -= f_ij, in f64.
#[inline(always)]
pub(super) fn forces<V: Vector>(
    scratch: &Scratch<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    forces: &mut [[f64; 4]],
) {
    let n_classes = scratch.classes.len();
    for (lane, &i) in centers.iter().enumerate() {
        // The compiler sees from the mask that the lane is inside the row.
        let lane = lane & (V::N - 1);
        let mut own = [0.0; 3];
        let counts = &scratch.counts[lane * n_classes..][..n_classes];
        for (slots, &count) in scratch.classes.iter().zip(counts) {
            let (start, count) = (slots.start, count as usize);
            let rows = &scratch.force[start * FORCE * V::N..][..count * FORCE * V::N];
            let index = &scratch.index[start * V::N..][..count * V::N];
            let rows = rows.chunks_exact(FORCE * V::N);
            for (f, j) in rows.zip(index.chunks_exact(V::N)) {
                let to = &mut forces[j[lane] as usize];
                for a in 0..3 {
                    let f = f[a * V::N + lane].wide();
                    to[a] -= f;
                    own[a] += f;
                }
            }
        }
        let to = &mut forces[view.entries.local(i as usize)];
        for a in 0..3 {
            to[a] += own[a];
        }
    }
}

/// W_j -= r_ij ⊗ f_ij.
#[inline(always)]
pub(super) fn virials<V: Vector>(
    scratch: &Scratch<V::Real>,
    centers: &[u32],
    virials: &mut [[f64; 9]],
) {
    let n_classes = scratch.classes.len();
    for lane in 0..centers.len() {
        let lane = lane & (V::N - 1);
        let counts = &scratch.counts[lane * n_classes..][..n_classes];
        for (slots, &count) in scratch.classes.iter().zip(counts) {
            let (start, count) = (slots.start, count as usize);
            let forces = &scratch.force[start * FORCE * V::N..][..count * FORCE * V::N];
            let vectors = &scratch.geometry[start * GEOMETRY * V::N..][..count * GEOMETRY * V::N];
            let index = &scratch.index[start * V::N..][..count * V::N];
            let forces = forces.chunks_exact(FORCE * V::N);
            let vectors = vectors.chunks_exact(GEOMETRY * V::N);
            for ((f, r), j) in forces.zip(vectors).zip(index.chunks_exact(V::N)) {
                let to = &mut virials[j[lane] as usize];
                for a in 0..3 {
                    for b in 0..3 {
                        to[3 * a + b] -= r[a * V::N + lane].wide() * f[b * V::N + lane].wide();
                    }
                }
            }
        }
    }
}

/// W -= Σ r_ij ⊗ f_ij of all slots; lanes are added up in f64.
#[inline(always)]
pub(super) fn virial<V: Vector>(simd: V::Simd, scratch: &Scratch<V::Real>, virial: &mut [f64; 9]) {
    let mut w = [V::constant(simd, 0.0); 9];
    let forces = V::rows(&scratch.force);
    let geometry = V::rows(&scratch.geometry);
    for slots in &scratch.classes {
        let forces = &forces[slots.start * FORCE..slots.end * FORCE];
        let geometry = &geometry[slots.start * GEOMETRY..slots.end * GEOMETRY];
        for (f, r) in forces
            .chunks_exact(FORCE)
            .zip(geometry.chunks_exact(GEOMETRY))
        {
            for a in 0..3 {
                let r = V::get(simd, &r[a]);
                for b in 0..3 {
                    w[3 * a + b] = r.fma(V::get(simd, &f[b]), w[3 * a + b]);
                }
            }
        }
    }
    let mut lanes = [V::Real::default(); MAX_LANES];
    for (virial, w) in virial.iter_mut().zip(w) {
        w.put(&mut V::rows_mut(&mut lanes)[0]);
        *virial -= lanes[..V::N].iter().map(|x| x.wide()).sum::<f64>();
    }
}
