//! The work of one thread: a range of centres, from neighbours to forces.

use super::gather::{View, gather};
use super::plan::Plan;
use super::scratch::Scratch;
use super::share::{Share, touched};
use super::vector::{Real, Vector, row_of_lane};
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

/// What is summed for places as vectors and as tensors, at most one of each in a call.
const VECTORS: Request = Request::FORCES.union(Request::DIPOLE);
const TENSORS: Request = Request::VIRIALS
    .union(Request::BORN_CHARGES)
    .union(Request::POLARIZABILITY);

/// What one thread gets and where it puts its results.
pub(super) struct Task<'a, T: Real> {
    pub(super) model: &'a Model,
    pub(super) plan: &'a Plan<T>,
    pub(super) view: View<'a>,
    pub(super) request: Request,
    pub(super) centers: Range<usize>,
    /// dΦ/dq of these centres, in place of the energy. Shape `[centers][dim]`.
    pub(super) phi: Option<&'a [f64]>,
    /// Factors of the heads' gradients in place of the energy's. Shape `[centers][3]`.
    pub(super) factors: Option<&'a [[f64; 3]]>,
    /// K; an input of some models.
    pub(super) temperature: f64,
    /// Outputs of these centres; empty if not wanted. Energies, which are those of the scalar networks
    /// in models of polarizabilities, have the repulsion in them.
    pub(super) energies: &'a mut [f64],
    /// What the heads beside the first one give. Shape `[centers][heads]`.
    pub(super) heads: &'a mut [f64],
    pub(super) descriptors: &'a mut [f64],
    pub(super) projections: &'a mut [f64],
    pub(super) neurons: &'a mut [f64],
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
        if self.request.intersects(VECTORS) {
            self.own.forces.prepare(n_places, &touched);
        }
        if self.request.intersects(TENSORS) {
            self.own.virials.prepare(n_places, &touched);
        }
        let lanes = <T::Vector<S> as Vector>::N;
        self.own.scratch.fit(self.plan, lanes);
        self.own.scratch.rows = row_of_lane::<T::Vector<S>>(simd);
        group(&self.view, self.plan, self.centers.clone(), lanes, self.own);
        let mut start = 0;
        for number in 0..self.own.groups.len() {
            let end = start + self.own.groups[number];
            let mut centers = [0; MAX_LANES];
            let centers = &mut centers[..end - start];
            centers.copy_from_slice(&self.own.order[start..end]);
            self.group(simd, centers);
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
    fn group<S: Simd>(&mut self, simd: S, centers: &[u32]) {
        let kind = self.view.types[centers[0] as usize] as usize;
        let slope = self.request.intersects(VECTORS | TENSORS | Request::VIRIAL);
        let mut energies = [0.0; MAX_LANES];
        let energies = &mut energies;
        macro_rules! step {
            ($part:expr) => {
                simd.vectorize(Step::<T, { $part }> {
                    task: &mut *self,
                    centers,
                    kind,
                    slope,
                    energies: &mut *energies,
                });
            };
        }
        step!(GATHER);
        step!(RADIAL);
        step!(ANGULAR);
        step!(NETWORK);
        if slope {
            step!(GRADIENT);
            step!(RADIAL_FORCES);
            step!(ANGULAR_FORCES);
        }
        step!(RESULTS);
    }
}

const GATHER: u8 = 0;
const RADIAL: u8 = 1;
const ANGULAR: u8 = 2;
const NETWORK: u8 = 3;
const GRADIENT: u8 = 4;
const RADIAL_FORCES: u8 = 5;
const ANGULAR_FORCES: u8 = 6;
const RESULTS: u8 = 7;

/// A part of the work on a group, a function of its own that is compiled for the instruction set:
/// one function with everything in it would take the compiler minutes.
struct Step<'a, 'b, T: Real, const PART: u8> {
    task: &'a mut Task<'b, T>,
    centers: &'a [u32],
    kind: usize,
    slope: bool,
    energies: &'a mut [f64; MAX_LANES],
}

impl<T: Real, const PART: u8> WithSimd for Step<'_, '_, T, PART> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            task,
            centers,
            kind,
            slope,
            energies,
        } = self;
        let energies = &mut energies[..<T::Vector<S> as Vector>::N];
        let plan = task.plan;
        let scratch = &mut task.own.scratch;
        match PART {
            GATHER => gather::<T::Vector<S>>(simd, plan, &task.view, centers, kind, scratch),
            RADIAL => radial::descriptors::<T::Vector<S>>(simd, plan, kind, scratch, slope),
            ANGULAR => angular::sums::<T::Vector<S>>(simd, plan, kind, scratch, slope),
            NETWORK => {
                if let Some(phi) = task.phi {
                    return task.read_gradient::<T::Vector<S>>(phi, centers);
                }
                invariants::values::<T::Vector<S>>(simd, plan, scratch);
                if plan.has_temperature {
                    let lanes = <T::Vector<S> as Vector>::N;
                    scratch.q[(plan.dim - 1) * lanes..][..lanes].fill(T::of(task.temperature));
                }
                task.write_descriptors::<T::Vector<S>>(centers);
                task.network::<T::Vector<S>>(simd, centers, kind, slope, energies);
            }
            GRADIENT => invariants::gradients::<T::Vector<S>>(simd, plan, scratch),
            RADIAL_FORCES => radial::forces::<T::Vector<S>>(simd, plan, kind, scratch),
            ANGULAR_FORCES => angular_forces::forces::<T::Vector<S>>(simd, plan, scratch),
            _ => task.results::<T::Vector<S>>(simd, centers, kind, slope, energies),
        }
    }
}

impl<T: Real> Task<'_, T> {
    /// Energies of the group and, if `slope`, its forces and virials to where they belong.
    #[inline(always)]
    fn results<V: Vector<Real = T>>(
        &mut self,
        simd: V::Simd,
        centers: &[u32],
        kind: usize,
        slope: bool,
        energies: &mut [f64],
    ) {
        let own = &mut *self.own;
        if !self.energies.is_empty() {
            if self.plan.zbl_outer > 0.0 {
                repulsion::add::<V>(simd, self.plan, kind, &mut own.scratch, slope, energies);
            }
            for (&i, &energy) in centers.iter().zip(energies.iter()) {
                self.energies[i as usize - self.centers.start] = energy;
            }
        }
        if !slope {
            return;
        }
        if self.request.contains(Request::VIRIAL) {
            spread::virial::<V>(simd, &own.scratch, &mut own.virial);
        }
        if self.request.contains(Request::FORCES) {
            let forces = own.forces.places();
            spread::forces::<V>(simd, &own.scratch, &self.view, centers, forces);
        }
        if (self.request).intersects(Request::VIRIALS | Request::POLARIZABILITY) {
            spread::virials::<V>(&own.scratch, own.virials.places());
        }
        if self.request.contains(Request::BORN_CHARGES) {
            let born = own.virials.places();
            spread::born_charges::<V>(&own.scratch, &self.view, centers, born);
        }
        if self.request.contains(Request::DIPOLE) {
            spread::dipoles::<V>(&own.scratch, own.forces.places());
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
        let energy = plan.scalars.get(plan.network_of[kind]).unwrap_or(net);
        network::hidden::<V>(simd, energy, plan.dim, scratch);
        network::output::<V>(&energy.w1, energy.bias, energy.n1, scratch, energies);
        if !plan.scalars.is_empty() {
            network::hidden::<V>(simd, net, plan.dim, scratch);
        }
        if !self.heads.is_empty() {
            let n_heads = net.heads.len();
            for (number, head) in net.heads.iter().enumerate() {
                let mut lanes = [0.0; MAX_LANES];
                network::output::<V>(head, 0.0, net.n1, scratch, &mut lanes[..V::N]);
                for (&i, x) in centers.iter().zip(lanes) {
                    self.heads[(i as usize - self.centers.start) * n_heads + number] = x;
                }
            }
        }
        if slope {
            match self.factors {
                None => network::slopes::<V>(simd, net, scratch),
                Some(factors) => {
                    let mut lanes = [T::default(); 3 * MAX_LANES];
                    for (lane, &i) in centers.iter().enumerate() {
                        let row = factors[i as usize - self.centers.start];
                        for (head, factor) in row.into_iter().enumerate() {
                            lanes[head * V::N + lane] = T::of(factor);
                        }
                    }
                    network::slopes_of_heads::<V>(simd, net, &lanes[..3 * V::N], scratch);
                }
            }
            network::gradient::<V>(simd, net, plan.dim, scratch);
        }
        if !self.neurons.is_empty() {
            for (lane, &i) in centers.iter().enumerate() {
                let row = i as usize - self.centers.start;
                let row = &mut self.neurons[row * net.n1..][..net.n1];
                let column = self.own.scratch.hidden.iter().skip(lane).step_by(V::N);
                for (out, x) in row.iter_mut().zip(column) {
                    *out = x.wide();
                }
            }
        }
        if !self.projections.is_empty() {
            self.write_projections::<V>(centers, kind);
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
            let scalar = self.model.scalar_network(kind);
            let scalar =
                scalar.map(|net| nep::network::energy_and_gradient(&net, &q, &mut gradient));
            let own = nep::network::energy_and_gradient(&net, &q, &mut gradient);
            energies[lane] = scalar.unwrap_or(own);
            if !self.neurons.is_empty() {
                let row = centers[lane] as usize - self.centers.start;
                let row = &mut self.neurons[row * net.b0.len()..][..net.b0.len()];
                for (out, x) in row.iter_mut().zip(nep::network::hidden(&net, &q)) {
                    *out = x;
                }
            }
            let column = self.own.scratch.fp.iter_mut().skip(lane).step_by(V::N);
            for ((out, g), scale) in column.zip(&gradient).zip(&self.plan.q_scaler) {
                *out = T::of(g * scale);
            }
        }
    }

    /// From the descriptors, in f64: grades divide by small numbers and would show the rounding of a
    /// network in f32.
    fn write_projections<V: Vector<Real = T>>(&mut self, centers: &[u32], kind: usize) {
        let net = self.model.network(kind);
        let dim = self.plan.dim;
        let len = net.b0.len() * (dim + 2);
        let out = std::mem::take(&mut self.projections);
        for (lane, &i) in centers.iter().enumerate() {
            let rows = &mut out[(i as usize - self.centers.start) * len..][..len];
            let q: Vec<f64> = self.scaled::<V>(lane).collect();
            nep::network::projection(&net, &q, rows);
        }
        self.projections = out;
    }
}
