//! The work of one thread: a range of centres, from neighbours to forces.

use super::gather::{View, gather};
use super::plan::Plan;
use super::scratch::Scratch;
use super::share::{Share, touched};
use super::vector::{Real, Vector};
use super::{angular, angular_forces, invariants, network, radial, repulsion, spread};
use crate::backend::Request;
use crate::model::Model;
use crate::nep;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The widest vector has so many lanes.
pub(super) const MAX_LANES: usize = 16;
/// Centres that are sorted by type together: enough to fill groups, few enough to stay near.
const SORTED: usize = 4096;

/// What one thread gets and where it puts its results.
pub(super) struct Task<'a, T: Real> {
    pub(super) model: &'a Model,
    pub(super) plan: &'a Plan<T>,
    pub(super) view: View<'a>,
    pub(super) request: Request,
    pub(super) centers: Range<usize>,
    /// dΦ/dq of these centres, in place of the energy. Shape `[centers][dim]`.
    pub(super) phi: Option<&'a [f64]>,
    /// Outputs of these centres; empty if not wanted.
    pub(super) energies: &'a mut [f64],
    pub(super) descriptors: &'a mut [f64],
    pub(super) projections: &'a mut [f64],
    pub(super) own: &'a mut Thread<T>,
}

/// What a thread keeps between calls, and its share of the sums over all atoms.
#[derive(Default)]
pub(super) struct Thread<T> {
    scratch: Scratch<T>,
    /// Centres by type, and how many of them each group has.
    order: Vec<u32>,
    groups: Vec<usize>,
    pub(super) forces: Share<4>,
    pub(super) virials: Share<9>,
    pub(super) virial: [f64; 9],
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let n_places = self.view.packed.len();
        self.own.virial = [0.0; 9];
        let touched = touched(&self.view.entries, self.centers.clone(), n_places);
        if self.request.contains(Request::FORCES) {
            self.own.forces.prepare(n_places, &touched);
        }
        if self.request.contains(Request::VIRIALS) {
            self.own.virials.prepare(n_places, &touched);
        }
        let lanes = <T::Vector<S> as Vector>::N;
        self.own.scratch.fit(self.plan, lanes);
        group(&self.view, self.plan, self.centers.clone(), lanes, self.own);
        let mut start = 0;
        for number in 0..self.own.groups.len() {
            let end = start + self.own.groups[number];
            let mut centers = [0; MAX_LANES];
            let centers = &mut centers[..end - start];
            centers.copy_from_slice(&self.own.order[start..end]);
            self.group::<T::Vector<S>>(simd, centers);
            start = end;
        }
    }
}

/// Sorts centres by type and cuts them into groups of one type, `lanes` at most.
fn group<T: Real>(
    view: &View<'_>,
    plan: &Plan<T>,
    centers: Range<usize>,
    lanes: usize,
    own: &mut Thread<T>,
) {
    own.order.clear();
    own.groups.clear();
    own.order.extend(centers.map(|i| i as u32));
    for block in own.order.chunks_mut(SORTED) {
        if plan.n_types > 1 {
            block.sort_by_key(|&i| view.types[i as usize]);
        }
        for same in block.chunk_by(|&a, &b| view.types[a as usize] == view.types[b as usize]) {
            own.groups.extend(same.chunks(lanes).map(<[u32]>::len));
        }
    }
}

impl<T: Real> Task<'_, T> {
    /// Evaluates centres of one type, one in each lane.
    #[inline(always)]
    fn group<V: Vector<Real = T>>(&mut self, simd: V::Simd, centers: &[u32]) {
        let plan = self.plan;
        let kind = self.view.types[centers[0] as usize] as usize;
        let pairwise = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
        let slope = self.request.intersects(pairwise);
        let scratch = &mut self.own.scratch;
        gather::<V>(plan, &self.view, centers, kind, scratch);
        radial::descriptors::<V>(simd, plan, kind, scratch, slope);
        angular::sums::<V>(simd, plan, kind, scratch, slope);
        invariants::values::<V>(simd, plan, scratch);
        let mut energies = [0.0; MAX_LANES];
        let energies = &mut energies[..V::N];
        self.write_descriptors::<V>(centers);
        match self.phi {
            Some(phi) => self.read_gradient::<V>(phi, centers),
            None => self.network::<V>(simd, centers, kind, slope, energies),
        }
        let scratch = &mut self.own.scratch;
        if slope {
            invariants::gradients::<V>(simd, plan, scratch);
            radial::forces::<V>(simd, plan, kind, scratch);
            angular_forces::forces::<V>(simd, plan, scratch);
        }
        if self.phi.is_none() {
            if plan.zbl_outer > 0.0 {
                repulsion::add::<V>(simd, plan, kind, scratch, slope, energies);
            }
            for (&i, &energy) in centers.iter().zip(energies.iter()) {
                self.energies[i as usize - self.centers.start] = energy;
            }
        }
        if slope {
            let own = &mut *self.own;
            if self.request.contains(Request::VIRIAL) {
                spread::virial::<V>(simd, &own.scratch, &mut own.virial);
            }
            if self.request.contains(Request::FORCES) {
                let forces = own.forces.places();
                spread::forces::<V>(&own.scratch, &self.view, centers, forces);
            }
            if self.request.contains(Request::VIRIALS) {
                spread::virials::<V>(&own.scratch, centers, own.virials.places());
            }
        }
    }

    /// The scaled descriptor of a lane.
    #[inline(always)]
    fn scaled<V: Vector<Real = T>>(&self, lane: usize) -> impl Iterator<Item = f64> + '_ {
        let column = self.own.scratch.q.iter().skip(lane).step_by(V::N);
        let scales = &self.plan.q_scaler;
        column.zip(scales).map(|(q, scale)| q.wide() * scale)
    }

    #[inline(always)]
    fn write_descriptors<V: Vector<Real = T>>(&mut self, centers: &[u32]) {
        if self.descriptors.is_empty() {
            return;
        }
        let dim = self.plan.dim;
        let out = std::mem::take(&mut self.descriptors);
        for (lane, &i) in centers.iter().enumerate() {
            let row = &mut out[(i as usize - self.centers.start) * dim..][..dim];
            for (out, q) in row.iter_mut().zip(self.scaled::<V>(lane)) {
                *out = q;
            }
        }
        self.descriptors = out;
    }

    /// Takes the gradient with respect to the scaled descriptors from outside.
    #[inline(always)]
    fn read_gradient<V: Vector<Real = T>>(&mut self, phi: &[f64], centers: &[u32]) {
        let dim = self.plan.dim;
        for (lane, &i) in centers.iter().enumerate() {
            let row = &phi[(i as usize - self.centers.start) * dim..][..dim];
            let column = self.own.scratch.fp.iter_mut().skip(lane).step_by(V::N);
            for ((out, phi), scale) in column.zip(row).zip(&self.plan.q_scaler) {
                *out = T::of(phi * scale);
            }
        }
    }

    /// The network's energies; their gradient to `fp` if `slope`; projections if wanted.
    #[inline(always)]
    fn network<V: Vector<Real = T>>(
        &mut self,
        simd: V::Simd,
        centers: &[u32],
        kind: usize,
        slope: bool,
        energies: &mut [f64],
    ) {
        let plan = self.plan;
        let net = &plan.networks[plan.network_of[kind]];
        if net.two_layers {
            return self.plain_network::<V>(centers, kind, energies);
        }
        let scratch = &mut self.own.scratch;
        network::hidden::<V>(simd, net, plan.dim, scratch);
        network::energies::<V>(net, scratch, energies);
        if slope || !self.projections.is_empty() {
            network::slopes::<V>(simd, net, scratch);
        }
        if slope {
            network::gradient::<V>(simd, net, plan.dim, scratch);
        }
        if !self.projections.is_empty() {
            self.write_projections::<V>(centers, net.n1);
        }
    }

    /// Two hidden layers: one centre after the other, as the reference backend does.
    fn plain_network<V: Vector<Real = T>>(
        &mut self,
        centers: &[u32],
        kind: usize,
        energies: &mut [f64],
    ) {
        let net = self.model.network(kind);
        let mut gradient = vec![0.0; self.plan.dim];
        for lane in 0..centers.len() {
            let q: Vec<f64> = self.scaled::<V>(lane).collect();
            energies[lane] = nep::network::energy_and_gradient(&net, &q, &mut gradient);
            let column = self.own.scratch.fp.iter_mut().skip(lane).step_by(V::N);
            for ((out, g), scale) in column.zip(&gradient).zip(&self.plan.q_scaler) {
                *out = T::of(g * scale);
            }
        }
    }

    #[inline(always)]
    fn write_projections<V: Vector<Real = T>>(&mut self, centers: &[u32], n1: usize) {
        let dim = self.plan.dim;
        let len = n1 * (dim + 2);
        let out = std::mem::take(&mut self.projections);
        for (lane, &i) in centers.iter().enumerate() {
            let rows = &mut out[(i as usize - self.centers.start) * len..][..len];
            for (mu, row) in rows.chunks_exact_mut(dim + 2).enumerate() {
                let slope = self.own.scratch.slope[mu * V::N + lane].wide();
                for (out, q) in row.iter_mut().zip(self.scaled::<V>(lane)) {
                    *out = slope * q;
                }
                row[dim] = -slope;
                row[dim + 1] = self.own.scratch.hidden[mu * V::N + lane].wide();
            }
        }
        self.projections = out;
    }
}
