//! The work of one thread: a range of centres, from neighbours to forces.

use super::lanes::{Lanes, padded};
use super::plan::Plan;
use super::scratch::{Scratch, View};
use super::{angular, invariants, network, radial};
use crate::backend::Request;
use crate::model::Model;
use crate::nep;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// What one thread gets and where it puts its results.
pub(super) struct Task<'a> {
    pub(super) model: &'a Model,
    pub(super) plan: &'a Plan,
    pub(super) view: View<'a>,
    pub(super) request: Request,
    pub(super) centers: Range<usize>,
    /// dΦ/dq of these centres, in place of the energy. Shape `[centers][dim]`.
    pub(super) phi: Option<&'a [f64]>,
    /// Outputs of these centres; empty if not wanted.
    pub(super) energies: &'a mut [f64],
    pub(super) descriptors: &'a mut [f64],
    pub(super) projections: &'a mut [f64],
    pub(super) own: &'a mut Thread,
}

/// What a thread keeps between calls, and its share of the sums over all atoms.
#[derive(Default)]
pub(super) struct Thread {
    pub(super) scratch: Scratch,
    pub(super) forces: Vec<[f64; 3]>,
    pub(super) virials: Vec<[f64; 9]>,
    pub(super) virial: [f64; 9],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let n_total = self.view.positions.len();
        let wants = |r: Request| self.request.contains(r);
        self.own.virial = [0.0; 9];
        self.own.forces.clear();
        self.own.virials.clear();
        if wants(Request::FORCES) {
            self.own.forces.resize(n_total, [0.0; 3]);
        }
        if wants(Request::VIRIALS) {
            self.own.virials.resize(n_total, [0.0; 9]);
        }
        self.own.scratch.fit(self.plan);
        for row in 0..self.centers.len() {
            self.center(simd, row);
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn center<S: Simd>(&mut self, simd: S, row: usize) {
        let plan = self.plan;
        let i = self.centers.start + row;
        let kind = self.view.types[i] as usize;
        let pairwise = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
        let slope = self.request.intersects(pairwise);
        let scratch = &mut self.own.scratch;
        scratch.gather(plan, &self.view, i);
        radial::descriptors(simd, plan, kind, scratch, slope);
        scratch.select_angular(plan, kind);
        angular::sums(simd, plan, kind, scratch, slope);
        invariants::values(simd, plan, scratch);
        scale_descriptor(plan, scratch);
        if !self.descriptors.is_empty() {
            self.descriptors[row * plan.dim..][..plan.dim].copy_from_slice(&scratch.q[..plan.dim]);
        }
        match self.phi {
            Some(phi) => {
                scratch.fp[..plan.dim].copy_from_slice(&phi[row * plan.dim..][..plan.dim]);
            }
            None => self.energies[row] = self.energy(simd, row, kind, slope),
        }
        if slope {
            let scratch = &mut self.own.scratch;
            unscale_gradient(plan, scratch);
            invariants::gradients(simd, plan, scratch);
            radial::forces(simd, plan, kind, scratch);
            angular::forces(simd, plan, scratch);
        }
        if plan.has_zbl && self.phi.is_none() {
            self.energies[row] += repulsion(plan, kind, &mut self.own.scratch, slope);
        }
        if slope {
            self.spread(simd, i);
        }
    }

    /// The network's energy; its gradient to `fp` if `slope`; the projection if wanted.
    #[inline(always)]
    fn energy<S: Simd>(&mut self, simd: S, row: usize, kind: usize, slope: bool) -> f64 {
        let plan = self.plan;
        let scratch = &mut self.own.scratch;
        let net = &plan.networks[plan.network_of[kind]];
        if net.two_layers {
            return nep::network::energy_and_gradient(
                &self.model.network(kind),
                &scratch.q[..plan.dim],
                &mut scratch.fp[..plan.dim],
            );
        }
        let energy = network::energy(simd, net, plan.dim, scratch);
        if slope || !self.projections.is_empty() {
            network::slopes(simd, net, scratch);
        }
        if slope {
            network::gradient(simd, net, scratch);
        }
        if !self.projections.is_empty() {
            let dim = plan.dim;
            let len = net.n1 * (dim + 2);
            let out = &mut self.projections[row * len..][..len];
            let neurons = scratch.slope.iter().zip(scratch.hidden.iter());
            for (out, (&slope, &x)) in out.chunks_exact_mut(dim + 2).zip(neurons) {
                for (out, q) in out.iter_mut().zip(&scratch.q[..dim]) {
                    *out = slope * q;
                }
                out[dim] = -slope;
                out[dim + 1] = x;
            }
        }
        energy
    }

    /// Adds the partial forces to the atoms and the virials.
    #[inline(always)]
    fn spread<S: Simd>(&mut self, simd: S, i: usize) {
        let scratch = &self.own.scratch;
        if self.request.contains(Request::VIRIAL) {
            let mut w = [Lanes::splat(simd, 0.0); 9];
            for bucket in &scratch.buckets {
                for at in (bucket.start..bucket.padded_end()).step_by(Lanes::<S>::N) {
                    let r = Lanes::load3(simd, [&scratch.x, &scratch.y, &scratch.z], at);
                    let f = Lanes::load3(simd, [&scratch.fx, &scratch.fy, &scratch.fz], at);
                    for a in 0..3 {
                        for b in 0..3 {
                            w[3 * a + b] = r[a].fma(f[b], w[3 * a + b]);
                        }
                    }
                }
            }
            for (virial, w) in self.own.virial.iter_mut().zip(w) {
                *virial -= w.sum();
            }
        }
        let mut own = [0.0; 3];
        for bucket in &scratch.buckets {
            let range = bucket.start..bucket.end;
            let fx = &scratch.fx[range.clone()];
            let fy = &scratch.fy[range.clone()];
            let fz = &scratch.fz[range.clone()];
            let j = &scratch.j[range.clone()];
            if self.request.contains(Request::FORCES) {
                for (((&fx, &fy), &fz), &j) in fx.iter().zip(fy).zip(fz).zip(j) {
                    let f = &mut self.own.forces[j as usize];
                    f[0] -= fx;
                    f[1] -= fy;
                    f[2] -= fz;
                    own[0] += fx;
                    own[1] += fy;
                    own[2] += fz;
                }
            }
            if self.request.contains(Request::VIRIALS) {
                for (m, &j) in range.zip(j) {
                    let r = [scratch.x[m], scratch.y[m], scratch.z[m]];
                    let f = [scratch.fx[m], scratch.fy[m], scratch.fz[m]];
                    let w = &mut self.own.virials[j as usize];
                    for a in 0..3 {
                        for b in 0..3 {
                            w[3 * a + b] -= r[a] * f[b];
                        }
                    }
                }
            }
        }
        if self.request.contains(Request::FORCES) {
            for (f, own) in self.own.forces[i].iter_mut().zip(own) {
                *f += own;
            }
        }
    }
}

/// Puts the invariants behind the radial descriptors and brings all to the network's scale.
#[inline(always)]
fn scale_descriptor(plan: &Plan, scratch: &mut Scratch) {
    let (n, n_pad) = (plan.n[1], plan.n_pad[1]);
    let mut at = plan.n[0];
    for block in scratch.blocks[..plan.invariants.len() * n_pad].chunks_exact(n_pad) {
        scratch.q[at..at + n].copy_from_slice(&block[..n]);
        at += n;
    }
    for (q, scale) in scratch.q.iter_mut().zip(&plan.q_scaler) {
        *q *= scale;
    }
    scratch.q[plan.dim..padded(plan.dim)].fill(0.0);
}

/// Turns `fp` into the gradient of the unscaled descriptor, its angular part also in blocks.
#[inline(always)]
fn unscale_gradient(plan: &Plan, scratch: &mut Scratch) {
    let (n, n_pad) = (plan.n[1], plan.n_pad[1]);
    for (f, scale) in scratch.fp.iter_mut().zip(&plan.q_scaler) {
        *f *= scale;
    }
    let rows = scratch.fp[plan.n[0]..plan.dim].chunks_exact(n);
    for (block, row) in scratch.blocks.chunks_exact_mut(n_pad).zip(rows) {
        block[..n].copy_from_slice(row);
        block[n..].fill(0.0);
    }
}

/// Half of the repulsion of each pair, eV; its partial forces if `slope`.
fn repulsion(plan: &Plan, center: usize, scratch: &mut Scratch, slope: bool) -> f64 {
    let mut energy = 0.0;
    for a in 0..scratch.n_angular {
        let pair = &plan.pairs[center * plan.n_types + scratch.kind[a] as usize];
        let Some(zbl) = &pair.zbl else { continue };
        let source = scratch.source[a] as usize;
        let outer = zbl.outer();
        if scratch.r2[source] >= outer * outer {
            continue;
        }
        let (e, de) = zbl.energy(scratch.r2[source].sqrt());
        energy += 0.5 * e;
        if slope {
            scratch.fx[source] += 0.5 * de * scratch.ux[a];
            scratch.fy[source] += 0.5 * de * scratch.uy[a];
            scratch.fz[source] += 0.5 * de * scratch.uz[a];
        }
    }
    energy
}
