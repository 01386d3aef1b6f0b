//! Whole molecules moved as rigid bodies: what resolves contacts without bending a bond.

use super::draft::Draft;
use super::lattice::{V, scale};
use crate::system::cell::{add, cross, dot, norm, sub};

/// One unit of a rotation variable turns by one radian over this length, Å: balances turns and
/// shifts for the optimiser.
const LEVER: f64 = 1.5;

/// A molecule, all of whose atoms are movable.
struct Body {
    /// Places in the list of movable atoms.
    atoms: Vec<usize>,
    middle: V,
    /// Positions relative to the middle.
    arms: Vec<V>,
}

/// The molecules of a draft at some positions of its movable atoms. Six variables each: a shift in
/// Å, and a rotation vector times [`LEVER`].
pub(super) struct Rigid {
    bodies: Vec<Body>,
    start: Vec<f64>,
}

impl Rigid {
    /// Bodies at the variables `z` of an objective; none without a molecule of several atoms.
    /// Molecules that reach into the core stay where they are.
    pub(super) fn new(draft: &Draft, z: &[f64]) -> Option<Self> {
        let n_groups = draft.group.iter().max().map_or(0, |&g| g as usize + 1);
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_groups];
        let mut frozen = vec![false; n_groups];
        let mut movable = 0;
        for i in 0..draft.len() {
            let g = draft.group[i] as usize;
            if draft.core[i] {
                frozen[g] = true;
            } else {
                members[g].push(movable);
                movable += 1;
            }
        }
        let at = |k: usize| -> V { [z[3 * k], z[3 * k + 1], z[3 * k + 2]] };
        let bodies: Vec<Body> = members
            .into_iter()
            .zip(frozen)
            .filter(|(atoms, frozen)| !atoms.is_empty() && !frozen)
            .map(|(atoms, _)| {
                let sum = atoms.iter().fold([0.0; 3], |sum, &k| add(sum, at(k)));
                let middle = scale(sum, 1.0 / atoms.len() as f64);
                let arms = atoms.iter().map(|&k| sub(at(k), middle)).collect();
                Body {
                    atoms,
                    middle,
                    arms,
                }
            })
            .collect();
        bodies.iter().any(|b| b.atoms.len() > 1).then(|| Self {
            bodies,
            start: z.to_vec(),
        })
    }

    /// Number of variables.
    pub(super) fn len(&self) -> usize {
        6 * self.bodies.len()
    }

    /// The variables of the objective at some of these.
    pub(super) fn place(&self, w: &[f64]) -> Vec<f64> {
        let mut z = self.start.clone();
        for (body, w) in self.bodies.iter().zip(w.chunks_exact(6)) {
            let (shift, turn) = split(w);
            let middle = add(body.middle, shift);
            for (&k, &arm) in body.atoms.iter().zip(&body.arms) {
                let r = add(middle, rotated(arm, turn));
                z[3 * k..3 * k + 3].copy_from_slice(&r);
            }
        }
        z
    }

    /// Carries the gradient of the objective to these variables.
    ///
    /// With R = exp\[θ\], d(R a) = (J dθ) × (R a) and J the left Jacobian of the rotation group.
    pub(super) fn pull_back(&self, w: &[f64], gradient: &[f64], out: &mut [f64]) {
        let variables = w.chunks_exact(6).zip(out.chunks_exact_mut(6));
        for (body, (w, out)) in self.bodies.iter().zip(variables) {
            let (_, turn) = split(w);
            let mut force = [0.0; 3];
            let mut torque = [0.0; 3];
            for (&k, &arm) in body.atoms.iter().zip(&body.arms) {
                let g = [gradient[3 * k], gradient[3 * k + 1], gradient[3 * k + 2]];
                force = add(force, g);
                torque = add(torque, cross(rotated(arm, turn), g));
            }
            out[..3].copy_from_slice(&force);
            let turned = jacobian_transposed(torque, turn);
            out[3..].copy_from_slice(&scale(turned, 1.0 / LEVER));
        }
    }
}

fn split(w: &[f64]) -> (V, V) {
    let turn = [w[3] / LEVER, w[4] / LEVER, w[5] / LEVER];
    ([w[0], w[1], w[2]], turn)
}

/// Below this angle series replace quotients, rad.
const SMALL: f64 = 1e-4;

/// sin θ / θ and (1 - cos θ) / θ².
fn factors(angle: f64) -> (f64, f64) {
    if angle < SMALL {
        (1.0 - angle * angle / 6.0, 0.5 - angle * angle / 24.0)
    } else {
        (angle.sin() / angle, (1.0 - angle.cos()) / (angle * angle))
    }
}

/// Rodrigues' formula.
fn rotated(v: V, turn: V) -> V {
    let (a, b) = factors(norm(turn));
    let once = cross(turn, v);
    add(v, add(scale(once, a), scale(cross(turn, once), b)))
}

/// Jᵀ v with J = 1 + (1 - cos θ)/θ² \[θ\] + (θ - sin θ)/θ³ \[θ\]².
fn jacobian_transposed(v: V, turn: V) -> V {
    let angle = norm(turn);
    let (a, b) = factors(angle);
    let c = if angle < SMALL {
        1.0 / 6.0
    } else {
        (1.0 - a) / dot(turn, turn)
    };
    let once = cross(turn, v);
    add(v, add(scale(once, -b), scale(cross(turn, once), c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_lengths_and_the_gradient_is_that_of_the_map() {
        let turn = [0.4, -0.7, 1.1];
        let v = [1.0, 2.0, -0.5];
        assert!((norm(rotated(v, turn)) - norm(v)).abs() < 1e-14);
        // A quarter turn about z.
        let quarter = rotated([1.0, 0.0, 0.0], [0.0, 0.0, std::f64::consts::FRAC_PI_2]);
        assert!(norm(sub(quarter, [0.0, 1.0, 0.0])) < 1e-14);
        let rigid = Rigid {
            bodies: vec![Body {
                atoms: vec![0, 2],
                middle: [1.0, 0.0, 0.5],
                arms: vec![v, [-0.3, 0.2, 0.9]],
            }],
            start: vec![0.0; 9],
        };
        let weights = [0.3, -0.2, 0.7, 0.0, 0.0, 0.0, -0.5, 0.9, 0.1];
        let value = |w: &[f64]| -> f64 {
            let z = rigid.place(w);
            z.iter().zip(&weights).map(|(x, g)| (x * x + x) * g).sum()
        };
        for turn in [[0.5, -0.9, 1.4], [1e-6, 0.0, -2e-6], [0.0; 3]] {
            let w = [0.1, 0.2, -0.3, turn[0], turn[1], turn[2]];
            let z = rigid.place(&w);
            let gradient: Vec<f64> = z
                .iter()
                .zip(&weights)
                .map(|(x, g)| (2.0 * x + 1.0) * g)
                .collect();
            let mut out = [0.0; 6];
            rigid.pull_back(&w, &gradient, &mut out);
            for k in 0..6 {
                let h = 1e-5;
                let at = |step: f64| {
                    let mut w = w;
                    w[k] += step;
                    value(&w)
                };
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                assert!((out[k] - numeric).abs() < 1e-8, "{k}: {} {numeric}", out[k]);
            }
        }
    }
}
