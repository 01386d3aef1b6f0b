//! The buffers of one thread, and the neighbours of one atom in them.

use super::lanes::{Buffer, PAD, padded};
use super::plan::Plan;
use crate::system::neighbors::Entries;

/// Positions and neighbours in the form the loops read.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Positions, wrapped as the list wants them. Shape `[n_total]`.
    pub(super) positions: &'a [[f64; 3]],
    pub(super) types: &'a [u32],
    pub(super) entries: Entries<'a>,
    /// Translations of the list in Å.
    pub(super) translations: &'a [[f64; 3]],
}

/// Neighbours of one type, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) kind: usize,
    pub(super) start: usize,
    /// End of the neighbours; whole vectors follow up to `padded(end)`.
    pub(super) end: usize,
}

impl Bucket {
    pub(super) fn padded_end(&self) -> usize {
        padded(self.end)
    }
}

/// Buffers of one thread. They grow and are never shrunk.
#[derive(Default)]
pub(super) struct Scratch {
    raw: [Buffer; 4],
    raw_j: Vec<u32>,
    count: Vec<usize>,
    pub(super) buckets: Vec<Bucket>,
    /// Neighbours by type: vector, squared distance, atom.
    pub(super) x: Buffer,
    pub(super) y: Buffer,
    pub(super) z: Buffer,
    pub(super) r2: Buffer,
    pub(super) j: Vec<u32>,
    /// Radial part: 1/r, x of the Chebyshev polynomials, f_c, f_c', f_c x'.
    pub(super) inverse: Buffer,
    pub(super) cheb: Buffer,
    pub(super) fc: Buffer,
    pub(super) dfc: Buffer,
    pub(super) fcdx: Buffer,
    /// Partial forces.
    pub(super) fx: Buffer,
    pub(super) fy: Buffer,
    pub(super) fz: Buffer,
    /// Sums of f_c T_k, vector by vector and then in all.
    pub(super) moments: Buffer,
    pub(super) moment: Buffer,
    pub(super) series: Buffer,
    pub(super) slopes: Buffer,
    /// Angular part: where in the arrays above a neighbour is, its type, unit vector, 1/r,
    /// 1 - r/r_c, 1/r_c.
    pub(super) n_angular: usize,
    pub(super) source: Vec<u32>,
    pub(super) kind: Vec<u32>,
    pub(super) ux: Buffer,
    pub(super) uy: Buffer,
    pub(super) uz: Buffer,
    pub(super) ui: Buffer,
    pub(super) w: Buffer,
    pub(super) irc: Buffer,
    /// Chebyshev polynomials of one vector of neighbours, f_c, f_c', f_c x'. Shape `[k + 3][PAD]`.
    pub(super) basis: Buffer,
    /// g_n and g_n'. Shape `[n][stride]`.
    pub(super) g: Buffer,
    pub(super) dg: Buffer,
    /// Angular functions. Shape `[lm_rows][stride]`.
    pub(super) s: Buffer,
    pub(super) stride: usize,
    /// Gradients with respect to s of one vector of neighbours. Shape `[lm_rows][PAD]`.
    pub(super) h: Buffer,
    /// s_nlm and the energy's gradient. Shape `[lm_rows][n_pad]`.
    pub(super) sums: Buffer,
    pub(super) gradient: Buffer,
    /// Invariants and the gradient with respect to them. Shape `[blocks][n_pad]`.
    pub(super) blocks: Buffer,
    /// Scaled descriptor, the gradient with respect to it, hidden neurons and their slopes.
    pub(super) q: Buffer,
    pub(super) fp: Buffer,
    pub(super) hidden: Buffer,
    pub(super) slope: Buffer,
}

impl Scratch {
    /// Makes room for the fixed sizes of a model.
    pub(super) fn fit(&mut self, plan: &Plan) {
        self.count.resize(plan.n_types, 0);
        self.moments.resize(plan.k_pad[0] * PAD);
        self.moment.resize(plan.k_pad[0]);
        self.series.resize(plan.k_pad[0]);
        self.slopes.resize(plan.k_pad[0]);
        self.basis.resize((plan.k[1] + 3) * PAD);
        self.h.resize(plan.lm_rows * PAD);
        self.sums.resize(plan.lm_rows * plan.n_pad[1]);
        self.gradient.resize(plan.lm_rows * plan.n_pad[1]);
        self.blocks.resize(plan.invariants.len() * plan.n_pad[1]);
        self.q.resize(padded(plan.dim) + padded(plan.n[0]));
        self.fp.resize(padded(plan.dim));
        let neurons = plan.networks.iter().map(|n| n.n1_pad).max().unwrap_or(0);
        self.hidden.resize(neurons);
        self.slope.resize(neurons);
        // Another model may have left numbers where this one has padding.
        for buffer in [&mut self.sums, &mut self.gradient, &mut self.q] {
            buffer.fill(0.0);
        }
        self.stride = 0;
    }

    /// Makes room for so many neighbours.
    fn reserve(&mut self, n: usize, n_types: usize) {
        let n = padded(n + 1) + PAD * n_types;
        if n <= self.x.len() {
            return;
        }
        let n = n + n / 4 + PAD;
        for buffer in [
            &mut self.x,
            &mut self.y,
            &mut self.z,
            &mut self.r2,
            &mut self.inverse,
            &mut self.cheb,
            &mut self.fc,
            &mut self.dfc,
            &mut self.fcdx,
            &mut self.fx,
            &mut self.fy,
            &mut self.fz,
        ] {
            buffer.resize(n);
        }
        for buffer in &mut self.raw {
            buffer.resize(n);
        }
        self.j.resize(n, 0);
        self.raw_j.resize(n, 0);
        self.source.resize(n, 0);
        self.kind.resize(n, 0);
    }

    /// Makes room for so many angular neighbours.
    fn reserve_angular(&mut self, n: usize, plan: &Plan) {
        let n = padded(n);
        if n <= self.stride {
            return;
        }
        self.stride = n + PAD;
        for buffer in [
            &mut self.ux,
            &mut self.uy,
            &mut self.uz,
            &mut self.ui,
            &mut self.w,
            &mut self.irc,
        ] {
            buffer.resize(self.stride);
        }
        self.g.resize(self.stride * plan.n[1]);
        self.dg.resize(self.stride * plan.n[1]);
        self.s.resize(self.stride * plan.lm_rows);
        // The rows beyond the last function are read and must be zero.
        self.s.fill(0.0);
    }

    /// Collects the neighbours of atom `i` inside the longest cutoff of its type, by type.
    #[inline(always)]
    pub(super) fn gather(&mut self, plan: &Plan, view: &View<'_>, i: usize) {
        let range = view.entries.offsets[i]..view.entries.offsets[i + 1];
        self.reserve(range.len(), plan.n_types);
        let center = view.types[i] as usize;
        let several = plan.n_types > 1;
        let n = if several {
            let [x, y, z, r2] = &mut self.raw;
            collect(view, i, plan.reach2[center], (x, y, z, r2), &mut self.raw_j)
        } else {
            let (x, y, z, r2) = (&mut self.x, &mut self.y, &mut self.z, &mut self.r2);
            collect(view, i, plan.reach2[center], (x, y, z, r2), &mut self.j)
        };
        self.buckets.clear();
        if several {
            self.sort(view, n);
        } else {
            self.buckets.push(Bucket {
                kind: 0,
                start: 0,
                end: n,
            });
        }
        // What fills the last vector of a bucket is far away and pushes nobody.
        for bucket in &self.buckets {
            let rest = bucket.end..bucket.padded_end();
            self.x[rest.clone()].fill(0.0);
            self.y[rest.clone()].fill(0.0);
            self.z[rest.clone()].fill(0.0);
            self.r2[rest].fill(1e30);
        }
    }

    /// Sorts the raw neighbours into buckets.
    #[inline(always)]
    fn sort(&mut self, view: &View<'_>, n: usize) {
        self.count.fill(0);
        for &j in &self.raw_j[..n] {
            self.count[view.types[j as usize] as usize] += 1;
        }
        let mut start = 0;
        for (kind, count) in self.count.iter_mut().enumerate() {
            if *count > 0 {
                let bucket = Bucket {
                    kind,
                    start,
                    end: start + *count,
                };
                self.buckets.push(bucket);
                *count = start;
                start = bucket.padded_end();
            }
        }
        for a in 0..n {
            let j = self.raw_j[a];
            let next = &mut self.count[view.types[j as usize] as usize];
            let place = *next;
            *next += 1;
            self.x[place] = self.raw[0][a];
            self.y[place] = self.raw[1][a];
            self.z[place] = self.raw[2][a];
            self.r2[place] = self.raw[3][a];
            self.j[place] = j;
        }
    }

    /// Picks the angular neighbours out of the buckets. Needs `inverse`.
    #[inline(always)]
    pub(super) fn select_angular(&mut self, plan: &Plan, center: usize) {
        let mut n = 0;
        for bucket in &self.buckets {
            let rc = plan.pairs[center * plan.n_types + bucket.kind].cutoff[1];
            let square = rc * rc;
            let r2 = &self.r2[bucket.start..bucket.end];
            let begin = n;
            for (a, &r2) in r2.iter().enumerate() {
                self.source[n] = (bucket.start + a) as u32;
                n += usize::from(r2 < square);
            }
            self.kind[begin..n].fill(bucket.kind as u32);
        }
        self.n_angular = n;
        self.reserve_angular(n, plan);
        let mut inverse_rc = 1.0;
        let mut kind = u32::MAX;
        for a in 0..n {
            let source = self.source[a] as usize;
            if self.kind[a] != kind {
                kind = self.kind[a];
                inverse_rc = 1.0 / plan.pairs[center * plan.n_types + kind as usize].cutoff[1];
            }
            let inverse = self.inverse[source];
            self.ux[a] = self.x[source] * inverse;
            self.uy[a] = self.y[source] * inverse;
            self.uz[a] = self.z[source] * inverse;
            self.ui[a] = inverse;
            self.w[a] = (1.0 - self.r2[source] * inverse * inverse_rc).max(0.0);
            self.irc[a] = inverse_rc;
        }
        let rest = n..padded(n);
        self.kind[rest.clone()].fill(kind);
        for buffer in [
            &mut self.ux,
            &mut self.uy,
            &mut self.uz,
            &mut self.ui,
            &mut self.w,
            &mut self.irc,
        ] {
            buffer[rest.clone()].fill(0.0);
        }
    }
}

/// Writes vector, squared distance and index of the neighbours inside a squared cutoff.
#[inline(always)]
fn collect(
    view: &View<'_>,
    i: usize,
    square: f64,
    (x, y, z, r2): (&mut [f64], &mut [f64], &mut [f64], &mut [f64]),
    index: &mut [u32],
) -> usize {
    let range = view.entries.offsets[i]..view.entries.offsets[i + 1];
    let origin = view.positions[i];
    let list = &view.entries.index[range.clone()];
    let host = view.entries.code.is_empty();
    let codes = if host {
        list
    } else {
        &view.entries.code[range]
    };
    // All ends are the same, so that one comparison serves for all.
    let end = list.len() + 1;
    let (x, y, z, r2) = (&mut x[..end], &mut y[..end], &mut z[..end], &mut r2[..end]);
    let index = &mut index[..end];
    let mut n = 0;
    for (&j, &code) in list.iter().zip(codes) {
        let r = view.positions[j as usize];
        let shift = if host {
            [0.0; 3]
        } else {
            view.translations[code as usize]
        };
        let d: [f64; 3] = std::array::from_fn(|a| r[a] - origin[a] + shift[a]);
        let square_j = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        // Always written, kept only if near: no branch to mispredict.
        x[n] = d[0];
        y[n] = d[1];
        z[n] = d[2];
        r2[n] = square_j;
        index[n] = j;
        n += usize::from(square_j < square);
    }
    n
}
