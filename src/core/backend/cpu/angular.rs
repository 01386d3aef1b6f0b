//! The angular part: radial functions and directions of the near neighbours, their sums.

use super::cutoff::{arguments, cutoff};
use super::directions::functions;
use super::plan::{Pair, Plan, Series, TILE, tiled};
use super::scratch::{CHUNK, GEOMETRY, Scratch};
use super::vector::Vector;

/// Fills g (and g' if `slope`) and the angular functions of the near slots, and sums s_nlm.
#[inline(always)]
pub(super) fn sums<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    center: usize,
    scratch: &mut Scratch<V::Real>,
    slope: bool,
) {
    scratch.reserve_near(scratch.n_near, plan, V::N);
    scratch.sums[..plan.n[1] * plan.lm_rows * V::N].fill(V::Real::default());
    let mut done = 0;
    for kind in 0..plan.n_types {
        let pair = plan.pair(center, kind);
        let [slots, _] = scratch.of_kind(kind);
        let (mut slot, end) = (slots.start, slots.end);
        while slot < end {
            if end - slot >= 2 {
                radial_functions::<V, 2>(simd, plan, pair, scratch, slot, slope);
                slot += 2;
            } else {
                radial_functions::<V, 1>(simd, plan, pair, scratch, slot, slope);
                slot += 1;
            }
            if slot - done >= CHUNK {
                add::<V>(simd, plan, scratch, done, slot);
                done = slot;
            }
        }
    }
    if done < scratch.n_near {
        add::<V>(simd, plan, scratch, done, scratch.n_near);
    }
}

/// g_n, g_n' and the angular functions of `M` slots of one type.
#[inline(always)]
fn radial_functions<V: Vector, const M: usize>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    pair: &Pair<V::Real>,
    scratch: &mut Scratch<V::Real>,
    slot: usize,
    slope: bool,
) {
    let (n, k) = (plan.n[1], plan.k[1]);
    let (zero, one) = (V::constant(simd, 0.0), V::constant(simd, 1.0));
    let inverse_rc = V::constant(simd, 1.0 / pair.cutoff[1]);
    let step = V::constant(simd, -4.0 / pair.cutoff[1]);
    let geometry = &V::rows(&scratch.geometry)[slot * GEOMETRY..][..M * GEOMETRY];
    let basis = &mut V::rows_mut(&mut scratch.basis)[..2 * k];
    let (mut fc, mut dfc, mut fcdx) = ([zero; M], [zero; M], [zero; M]);
    for i in 0..M {
        let row = &geometry[i * GEOMETRY..][..GEOMETRY];
        let r2 = V::get(simd, &row[3]);
        let r = r2.sqrt();
        let inverse = r.inverse();
        let (w, x) = arguments(simd, r, inverse_rc);
        let (f, df) = cutoff(simd, w, slope);
        (fc[i], dfc[i], fcdx[i]) = (f, df * inverse_rc, f * step * w);
        let x2 = x + x;
        let (mut t0, mut t1) = (one, x);
        for row in basis.chunks_exact_mut(2) {
            t0.put(&mut row[i]);
            (t0, t1) = (t1, x2.fms(t1, t0));
        }
        let u = [
            V::get(simd, &row[0]) * inverse,
            V::get(simd, &row[1]) * inverse,
            V::get(simd, &row[2]) * inverse,
        ];
        let s = &mut V::rows_mut(&mut scratch.s)[(slot + i) * plan.lm_rows..][..plan.lm_rows];
        functions(simd, plan.l_max, u, s);
    }
    let near = Near {
        series: &pair.series[1],
        n,
        fc,
        dfc,
        fcdx,
        slope,
    };
    let basis = &basis[..];
    let g = &mut V::rows_mut(&mut scratch.g)[slot * n..][..M * n];
    let dg = &mut V::rows_mut(&mut scratch.dg)[slot * n..][..M * n];
    let mut first = 0;
    while first < n {
        first += match n - first {
            2 | 4 if !V::MANY => near.some::<2>(simd, basis, first, g, dg),
            3.. if !V::MANY => near.some::<3>(simd, basis, first, g, dg),
            1 => near.some::<1>(simd, basis, first, g, dg),
            2 => near.some::<2>(simd, basis, first, g, dg),
            3 => near.some::<3>(simd, basis, first, g, dg),
            5 => near.some::<5>(simd, basis, first, g, dg),
            _ => near.some::<4>(simd, basis, first, g, dg),
        };
    }
}

/// What the radial functions of `M` slots are made of: f_c, f_c' and f_c times the derivative of the
/// polynomials' argument.
struct Near<'a, V: Vector, const M: usize> {
    series: &'a Series<V::Real>,
    n: usize,
    fc: [V; M],
    dfc: [V; M],
    fcdx: [V; M],
    slope: bool,
}

impl<V: Vector, const M: usize> Near<'_, V, M> {
    /// Writes `K` functions, the first of which is `first`, of each slot to `g` and their slopes to
    /// `dg`, from the polynomials; returns `K`. **Shapes**: `basis` `[k][2]`, `g` `[M][n]`.
    #[inline(always)]
    fn some<const K: usize>(
        &self,
        simd: V::Simd,
        basis: &[V::Raw],
        first: usize,
        g: &mut [V::Raw],
        dg: &mut [V::Raw],
    ) -> usize {
        let n = self.n;
        let zero = V::constant(simd, 0.0);
        let tables = self.series.by_k.chunks_exact(tiled(n));
        let slopes = self.series.slope_by_k.chunks_exact(tiled(n));
        let (mut p, mut dp) = ([[zero; K]; M], [[zero; K]; M]);
        if self.slope {
            for ((t, a), d) in basis.chunks_exact(2).zip(tables).zip(slopes) {
                let (a, d) = (&a[first..][..K], &d[first..][..K]);
                for j in 0..K {
                    let (a, d) = (V::splat(simd, a[j]), V::splat(simd, d[j]));
                    for i in 0..M {
                        let t = V::get(simd, &t[i]);
                        p[i][j] = t.fma(a, p[i][j]);
                        dp[i][j] = t.fma(d, dp[i][j]);
                    }
                }
            }
        } else {
            for (t, a) in basis.chunks_exact(2).zip(tables) {
                let a = &a[first..][..K];
                for j in 0..K {
                    let a = V::splat(simd, a[j]);
                    for i in 0..M {
                        p[i][j] = V::get(simd, &t[i]).fma(a, p[i][j]);
                    }
                }
            }
        }
        for i in 0..M {
            for j in 0..K {
                (self.fc[i] * p[i][j]).put(&mut g[i * n + first + j]);
                if self.slope {
                    let d = self.dfc[i].fma(p[i][j], self.fcdx[i] * dp[i][j]);
                    d.put(&mut dg[i * n + first + j]);
                }
            }
        }
        K
    }
}

/// Adds the slots from `start` to `end` to the sums s_nlm.
#[inline(always)]
fn add<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    scratch: &mut Scratch<V::Real>,
    start: usize,
    end: usize,
) {
    let mut n = 0;
    while n < plan.n[1] {
        n += match plan.n[1] - n {
            2 | 4 if !V::MANY => tiles::<V, 2>(simd, plan, scratch, n, start, end),
            3.. if !V::MANY => tiles::<V, 3>(simd, plan, scratch, n, start, end),
            1 => tiles::<V, 1>(simd, plan, scratch, n, start, end),
            2 => tiles::<V, 2>(simd, plan, scratch, n, start, end),
            3 => tiles::<V, 3>(simd, plan, scratch, n, start, end),
            _ => tiles::<V, 4>(simd, plan, scratch, n, start, end),
        };
    }
}

/// The same for `M` radial functions from `n` on, four angular functions at a time; returns `M`.
#[inline(always)]
fn tiles<V: Vector, const M: usize>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    scratch: &mut Scratch<V::Real>,
    n: usize,
    start: usize,
    end: usize,
) -> usize {
    let (rows, n_all) = (plan.lm_rows, plan.n[1]);
    let g = &V::rows(&scratch.g)[start * n_all..end * n_all];
    let s = &V::rows(&scratch.s)[start * rows..end * rows];
    let sums = &mut V::rows_mut(&mut scratch.sums)[n * rows..][..M * rows];
    for first in (0..rows).step_by(TILE) {
        let mut sum = [[V::constant(simd, 0.0); TILE]; M];
        for i in 0..M {
            for j in 0..TILE {
                sum[i][j] = V::get(simd, &sums[i * rows + first + j]);
            }
        }
        for (g, s) in g.chunks_exact(n_all).zip(s.chunks_exact(rows)) {
            let (g, s) = (&g[n..][..M], &s[first..][..TILE]);
            for i in 0..M {
                let g = V::get(simd, &g[i]);
                for j in 0..TILE {
                    sum[i][j] = g.fma(V::get(simd, &s[j]), sum[i][j]);
                }
            }
        }
        for i in 0..M {
            for j in 0..TILE {
                sum[i][j].put(&mut sums[i * rows + first + j]);
            }
        }
    }
    M
}
