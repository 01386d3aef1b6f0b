//! The end game: Levenberg–Marquardt with conjugate gradients.
//!
//! At each point the loss is bounded by a quadratic: a root mean square error by the square over
//! twice its value, |x| by x²/(2|x₀|). Its Gauss–Newton step is solved for by conjugate gradients
//! with products of the Jacobian, preconditioned by a sketch of it, and taken if the loss falls.
//! Source: Levenberg, Q. Appl. Math. 2, 164 (1944); damping as in Nielsen, IMM-REP-1999-05.

use super::Run;
use super::limits::Limits;
use crate::precondition::Preconditioner;
use crate::residuals::Point;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Most conjugate gradients in a step.
const INNER: usize = 40;
/// Where they end: the residual in the norm of the preconditioner, to that of the start.
const TOLERANCE: f64 = 0.1;
/// Lengths of a step that are tried.
const TRIALS: usize = 4;
/// Steps after which the sketch is made again.
const REFRESH: usize = 25;
/// Atoms beyond which the products of the Jacobian are those of a random share of the data.
const ATOMS: usize = 30_000;
/// Passes over the data, about, that a product with JᵀJ and an evaluation of the loss cost.
const PASSES: [f64; 2] = [1.6, 0.3];
/// The loss has converged if it falls by less than this share in the life of a sketch.
const FALL: f64 = 3e-4;
/// Damping at the start, in units of the diagonal.
const DAMPING: f64 = 1e-2;
/// Smallest entry of the damping's metric, in units of the largest.
const SMALLEST: f64 = 1e-9;

/// State between steps.
#[derive(Serialize, Deserialize)]
pub(super) struct Newton {
    damping: f64,
    growth: f64,
    #[serde(skip)]
    preconditioner: Option<Preconditioner>,
    /// Groups whose Jacobian is used.
    #[serde(skip)]
    groups: Vec<usize>,
    /// Steps with this sketch, and the loss when it was made.
    age: usize,
    loss_at_refresh: Option<f64>,
    converged: bool,
    /// Passes that a sketch costs, and those not yet counted.
    sketch_cost: f64,
    owed: f64,
}

impl Newton {
    pub fn new(sketch_cost: f64) -> Self {
        Self {
            damping: DAMPING,
            growth: 2.0,
            preconditioner: None,
            groups: Vec::new(),
            age: 0,
            loss_at_refresh: None,
            converged: false,
            sketch_cost,
            owed: 0.0,
        }
    }

    /// Whether the next step makes a new sketch: what was before it needs no part of the old one.
    pub fn is_between_sketches(&self) -> bool {
        self.preconditioner.is_none() || self.age >= REFRESH
    }

    /// The state without its sketch.
    pub fn without_sketch(&self) -> Self {
        Self {
            preconditioner: None,
            groups: Vec::new(),
            ..*self
        }
    }

    /// Whether the last sketch brought nothing.
    pub fn converged(&self) -> bool {
        self.converged
    }

    /// Damping for the next step from the ratio of the real to the expected gain of the last.
    fn adapt(&mut self, gain: f64) {
        if gain > 0.0 {
            self.damping *= (1.0 - (2.0 * gain - 1.0).powi(3)).clamp(1.0 / 3.0, 2.0);
            self.growth = 2.0;
        } else {
            self.damping *= self.growth;
            self.growth = (2.0 * self.growth).min(16.0);
        }
    }
}

/// The quadratic whose minimum is the step.
struct Quadratic<'a> {
    run: &'a Run<'a>,
    groups: &'a [usize],
    at: Point<'a>,
    /// Data over the share of them that is used.
    scale: f64,
    /// Curvature of the regularisation, by parameter.
    curvature: Vec<f64>,
    /// Damping times its metric, by variable.
    damping: Vec<f64>,
}

impl Quadratic<'_> {
    /// (2 JᵀJ + regularisation + damping) v in the variables.
    fn apply(&self, v: &[f64]) -> Vec<f64> {
        let run = self.run;
        let mut direction = vec![0.0; v.len()];
        run.variables.to_parameters(v, &mut direction);
        let pushed = run.train.push(self.groups, &self.at, &direction);
        let mut out = run.train.pull(self.groups, &self.at, &pushed);
        for ((o, d), c) in out.iter_mut().zip(&direction).zip(&self.curvature) {
            *o = 2.0 * self.scale * *o + c * d;
        }
        run.variables.pull_back(&mut out);
        for ((o, v), s) in out.iter_mut().zip(v).zip(&self.damping) {
            *o += s * v;
        }
        out
    }
}

/// Step of the conjugate gradients.
struct Step {
    p: Vec<f64>,
    /// Fall of the quadratic, without the damping.
    expected: f64,
    iterations: usize,
}

/// Conjugate gradients for the minimum of a quadratic with a slope, from zero.
fn minimum(
    slope: &[f64],
    quadratic: &Quadratic<'_>,
    precondition: impl Fn(&[f64]) -> Vec<f64>,
    expired: impl Fn() -> bool,
) -> Step {
    let n = slope.len();
    let mut p = vec![0.0; n];
    let mut r: Vec<f64> = slope.iter().map(|g| -g).collect();
    let mut s = precondition(&r);
    let mut d = s.clone();
    let start = dot(&r, &s);
    let mut rs = start;
    let mut iterations = 0;
    while iterations < INNER && rs > TOLERANCE * TOLERANCE * start && !expired() {
        let ad = quadratic.apply(&d);
        let bend = dot(&d, &ad);
        if !(bend > 0.0) {
            break;
        }
        let a = rs / bend;
        for i in 0..n {
            p[i] += a * d[i];
            r[i] -= a * ad[i];
        }
        s = precondition(&r);
        let next = dot(&r, &s);
        let b = next / rs;
        rs = next;
        for i in 0..n {
            d[i] = s[i] + b * d[i];
        }
        iterations += 1;
    }
    // pᵀAp follows from what is left of the equations.
    let damped: f64 = p
        .iter()
        .zip(&quadratic.damping)
        .map(|(p, s)| s * p * p)
        .sum();
    let curvature = -dot(slope, &p) - dot(&r, &p) - damped;
    Step {
        expected: -dot(slope, &p) - 0.5 * curvature,
        p,
        iterations,
    }
}

impl Run<'_> {
    /// One step, taken or not. Returns whether it was.
    pub(super) fn refine(&mut self, state: &mut Newton, limits: &Limits) -> bool {
        let all: Vec<usize> = (0..self.train.groups.len()).collect();
        let z = self.parameters();
        self.touch(&z);
        let (loss, sums) = self.loss_at(&z);
        let counts = sums.counts();
        let q_scaler = self.q_scaler.clone();
        let at = Point {
            parameters: &z,
            q_scaler: &q_scaler,
            factors: self.factors(sums.weighted(sums.shift()), counts),
        };
        let residuals = self.train.residuals(&all, &at, true);
        let mut slope = self.train.pull(&all, &at, &residuals);
        slope.iter_mut().for_each(|g| *g *= 2.0);
        self.add_regularisation(&z, &mut slope);
        self.variables.pull_back(&mut slope);
        state.owed += 1.3 + PASSES[1];
        if state.is_between_sketches() {
            state.converged = (state.loss_at_refresh).is_some_and(|old| old - loss < FALL * loss);
            if state.converged || limits.expired(self.clock.elapsed()) {
                return false;
            }
            state.groups = self.some_groups(&all);
            state.preconditioner = Some(Preconditioner::new(
                &self.train,
                &self.variables,
                &all,
                &at,
                &mut self.rng,
            ));
            state.owed += state.sketch_cost;
            state.loss_at_refresh = Some(loss);
            state.age = 0;
        }
        let Some(preconditioner) = state.preconditioner.as_mut() else {
            return false;
        };
        let curvature = self.regularisation_curvature(&z);
        let own = self.variables.diagonal_of(&curvature);
        let metric: Vec<f64> = preconditioner
            .diagonal
            .iter()
            .zip(&own)
            .map(|(a, b)| a + b)
            .collect();
        let least = SMALLEST * metric.iter().copied().fold(0.0, f64::max);
        let damping: Vec<f64> = metric
            .iter()
            .map(|s| state.damping * s.max(least))
            .collect();
        let extra: Vec<f64> = own.iter().zip(&damping).map(|(o, d)| o + d).collect();
        preconditioner.damp(&extra, state.damping);
        let members = |groups: &[usize]| -> f64 {
            groups
                .iter()
                .map(|&g| self.train.groups[g].chunk.n_atoms as f64)
                .sum()
        };
        let scale = members(&all) / members(&state.groups);
        let quadratic = Quadratic {
            run: self,
            groups: &state.groups,
            at,
            scale,
            curvature,
            damping,
        };
        let step = minimum(
            &slope,
            &quadratic,
            |v| preconditioner.solve(v, &extra),
            || limits.expired(self.clock.elapsed()),
        );
        state.owed += PASSES[0] * step.iterations as f64 / scale;
        let (moved, after, gain) = self.search(loss, &slope, &step, &mut state.owed);
        state.adapt(gain);
        state.age += 1;
        self.epochs += state.owed as usize;
        state.owed = state.owed.fract();
        let taken = after < loss;
        if taken {
            self.y = moved;
        }
        taken
    }

    /// Tries a step and shorter ones. Returns the last point, its loss, and what the whole step
    /// gained, to what was expected of it.
    fn search(
        &self,
        loss: f64,
        slope: &[f64],
        step: &Step,
        owed: &mut f64,
    ) -> (Vec<f64>, f64, f64) {
        let slope = dot(slope, &step.p);
        let mut share = 1.0;
        let mut gain = None;
        let mut parameters = vec![0.0; step.p.len()];
        loop {
            let moved: Vec<f64> = self
                .y
                .iter()
                .zip(&step.p)
                .map(|(y, p)| y + share * p)
                .collect();
            self.variables.to_point(&moved, &mut parameters);
            let after = self.loss_at(&parameters).0;
            *owed += PASSES[1];
            let full = *gain.get_or_insert((loss - after) / step.expected.max(f64::MIN_POSITIVE));
            if after < loss || share < 0.1f64.powi(TRIALS as i32 - 1) {
                return (moved, after, full);
            }
            // The parabola through the loss and slope here and the loss there.
            let bend = (after - loss) / share - slope;
            let best = -0.5 * slope * share / bend;
            share = if best.is_finite() {
                best.clamp(0.1 * share, 0.5 * share)
            } else {
                0.1 * share
            };
        }
    }

    /// Groups with about [`ATOMS`] atoms.
    fn some_groups(&mut self, all: &[usize]) -> Vec<usize> {
        let mut order = all.to_vec();
        order.shuffle(&mut self.rng);
        let mut atoms = 0;
        let mut some: Vec<usize> = order
            .into_iter()
            .take_while(|&g| {
                let enough = atoms >= ATOMS;
                atoms += self.train.groups[g].chunk.n_atoms;
                !enough
            })
            .collect();
        some.sort_unstable();
        some
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
