//! Partial forces of a group to the atoms and virials.

use super::gather::View;
use super::kernel::MAX_LANES;
use super::scratch::{FORCE, GEOMETRY, Scratch};
use super::vector::{Real, Vector};

/// F_i += f_ij, F_j -= f_ij, in f64.
#[inline(always)]
pub(super) fn forces<V: Vector>(
    simd: V::Simd,
    scratch: &Scratch<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    forces: &mut [[f64; 4]],
) {
    let mut own = [[0.0; 4]; MAX_LANES];
    let mut rows = [V::Real::default(); 4 * MAX_LANES];
    for slots in scratch.used() {
        let index = &scratch.index[slots.start * V::N..slots.end * V::N];
        let all = &V::rows(&scratch.force)[slots.start * FORCE..slots.end * FORCE];
        for slot in 0..slots.len() {
            let index = &index[slot * V::N..][..V::N];
            let f = &all[slot * FORCE..][..FORCE];
            let [x, y, z] = [0, 1, 2].map(|a| V::get(simd, &f[a]));
            let four = V::rows_of_four(simd, [x, y, z, V::constant(simd, 0.0)]);
            let out = &mut V::rows_mut(&mut rows)[..4];
            for i in 0..4 {
                four[i].put(&mut out[i]);
            }
            for i in 0..V::N {
                let f = [0, 1, 2, 3].map(|a| rows[4 * i + a].wide());
                let to = &mut forces[index[i] as usize];
                for a in 0..4 {
                    to[a] -= f[a];
                }
                for a in 0..4 {
                    own[i][a] += f[a];
                }
            }
        }
    }
    for (&row, &i) in scratch.rows.iter().zip(centers) {
        let to = &mut forces[view.entries.local(i as usize)];
        for a in 0..3 {
            to[a] += own[row][a];
        }
    }
}

/// Does something with lane, place of the neighbour, r_ij and f_ij of each slot.
#[inline(always)]
fn each<V: Vector>(
    scratch: &Scratch<V::Real>,
    mut act: impl FnMut(usize, usize, [f64; 3], [f64; 3]),
) {
    for slots in scratch.used() {
        let index = &scratch.index[slots.start * V::N..slots.end * V::N];
        let forces = &scratch.force[slots.start * FORCE * V::N..slots.end * FORCE * V::N];
        let vectors = &scratch.geometry[slots.start * GEOMETRY * V::N..slots.end * GEOMETRY * V::N];
        let forces = forces.chunks_exact(FORCE * V::N);
        let vectors = vectors.chunks_exact(GEOMETRY * V::N);
        for ((f, r), index) in forces.zip(vectors).zip(index.chunks_exact(V::N)) {
            for lane in 0..V::N {
                let of = |rows: &[V::Real]| [0, 1, 2].map(|a| rows[a * V::N + lane].wide());
                act(lane, index[scratch.rows[lane]] as usize, of(r), of(f));
            }
        }
    }
}

/// W_j -= r_ij ⊗ f_ij.
#[inline(always)]
pub(super) fn virials<V: Vector>(scratch: &Scratch<V::Real>, virials: &mut [[f64; 9]]) {
    each::<V>(scratch, |_, j, r, f| {
        for a in 0..3 {
            for b in 0..3 {
                virials[j][3 * a + b] -= r[a] * f[b];
            }
        }
    });
}

/// Half of r_ij ⊗ h_ij to the centre and off the neighbour.
#[inline(always)]
pub(super) fn born_charges<V: Vector>(
    scratch: &Scratch<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    born: &mut [[f64; 9]],
) {
    let mut own = [[0.0; 9]; MAX_LANES];
    each::<V>(scratch, |lane, j, r, h| {
        for a in 0..3 {
            for b in 0..3 {
                let half = 0.5 * r[a] * h[b];
                born[j][3 * a + b] -= half;
                own[lane][3 * a + b] += half;
            }
        }
    });
    for (own, &i) in own.iter().zip(centers) {
        let to = &mut born[view.entries.local(i as usize)];
        for (to, own) in to.iter_mut().zip(own) {
            *to += own;
        }
    }
}

/// μ_j -= r_ij² f_ij.
#[inline(always)]
pub(super) fn dipoles<V: Vector>(scratch: &Scratch<V::Real>, dipoles: &mut [[f64; 4]]) {
    each::<V>(scratch, |_, j, r, f| {
        let square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
        for a in 0..3 {
            dipoles[j][a] -= square * f[a];
        }
    });
}

/// W -= Σ r_ij ⊗ f_ij of all slots; lanes are added up in f64.
#[inline(always)]
pub(super) fn virial<V: Vector>(simd: V::Simd, scratch: &Scratch<V::Real>, virial: &mut [f64; 9]) {
    let mut w = [V::constant(simd, 0.0); 9];
    let forces = V::rows(&scratch.force);
    let geometry = V::rows(&scratch.geometry);
    for slots in scratch.used() {
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
