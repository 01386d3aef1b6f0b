//! The angular part of the forces.

use super::directions::gradient;
use super::plan::{Plan, TILE};
use super::scratch::{FORCE, GEOMETRY, RADIAL, Scratch};
use super::vector::Vector;

/// Adds the angular part to the partial forces, given dU/ds in `scratch.gradient`.
#[inline(always)]
pub(super) fn forces<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    scratch: &mut Scratch<V::Real>,
) {
    let mut slot = 0;
    while slot < scratch.n_near {
        if V::MANY && scratch.n_near - slot >= 2 {
            of_slots::<V, 2>(simd, plan, scratch, slot);
            slot += 2;
        } else {
            of_slots::<V, 1>(simd, plan, scratch, slot);
            slot += 1;
        }
    }
}

/// The angular forces of `M` slots.
#[inline(always)]
fn of_slots<V: Vector, const M: usize>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    scratch: &mut Scratch<V::Real>,
    slot: usize,
) {
    let (rows, n) = (plan.lm_rows, plan.n[1]);
    let zero = V::constant(simd, 0.0);
    let g = &V::rows(&scratch.g)[slot * n..][..M * n];
    let dg = &V::rows(&scratch.dg)[slot * n..][..M * n];
    let s = &V::rows(&scratch.s)[slot * rows..][..M * rows];
    let gradients = &V::rows(&scratch.gradient)[..n * rows];
    let h = &mut V::rows_mut(&mut scratch.h)[..M * rows];
    // h = Σ_n g_n dU/ds_n, and along the bond Σ_n g_n' dU/ds_n S.
    let mut along = [[zero; TILE]; M];
    for first in (0..rows).step_by(TILE) {
        let mut sum = [[zero; TILE]; M];
        let mut p = [[zero; TILE]; M];
        for (m, row) in gradients.chunks_exact(rows).enumerate() {
            let row = &row[first..][..TILE];
            for j in 0..TILE {
                let d = V::get(simd, &row[j]);
                for i in 0..M {
                    sum[i][j] = V::get(simd, &g[i * n + m]).fma(d, sum[i][j]);
                    p[i][j] = V::get(simd, &dg[i * n + m]).fma(d, p[i][j]);
                }
            }
        }
        for i in 0..M {
            let s = &s[i * rows + first..][..TILE];
            let h = &mut h[i * rows + first..][..TILE];
            for j in 0..TILE {
                along[i][j] = p[i][j].fma(V::get(simd, &s[j]), along[i][j]);
                sum[i][j].put(&mut h[j]);
            }
        }
    }
    let geometry = &V::rows(&scratch.geometry)[slot * GEOMETRY..][..M * GEOMETRY];
    let radial = &V::rows(&scratch.radial)[slot * RADIAL..][..M * RADIAL];
    let force = &mut V::rows_mut(&mut scratch.force)[slot * FORCE..][..M * FORCE];
    for i in 0..M {
        let inverse = V::get(simd, &radial[i * RADIAL]);
        let mut u = [zero; 3];
        for a in 0..3 {
            u[a] = V::get(simd, &geometry[i * GEOMETRY + a]) * inverse;
        }
        let v = gradient(simd, plan.l_max, u, &h[i * rows..][..rows]);
        let across = u[0].fma(v[0], u[1].fma(v[1], u[2] * v[2]));
        let sum = (along[i][0] + along[i][1]) + (along[i][2] + along[i][3]);
        let sum = sum.sub_product(across, inverse);
        for a in 0..3 {
            let place = &mut force[i * FORCE + a];
            let f = v[a].fma(inverse, V::get(simd, place));
            u[a].fma(sum, f).put(place);
        }
    }
}
