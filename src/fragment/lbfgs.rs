//! Limited-memory BFGS, for objectives of a few hundred variables that cost a force call each.
//!
//! Source: Nocedal & Wright, Numerical Optimization, 2nd edition, algorithm 7.4; backtracking with
//! quadratic interpolation, pairs without positive curvature left out.

use crate::error::Result;
use std::collections::VecDeque;

/// When to stop and how far to go.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Largest number of iterations.
    pub iterations: usize,
    /// Largest change of a variable in one iteration.
    pub max_step: f64,
    /// Stops when no component of the gradient is larger.
    pub gradient: f64,
}

/// A step, the change of the gradient along it, and one over their product.
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
}

const MEMORY: usize = 12;
const ARMIJO: f64 = 1e-4;
const BACKTRACKS: usize = 12;

/// Minimises from `x` in place; returns the number of iterations. `value` fills the gradient; an
/// infinite or NaN value marks a place not to be entered. `stop` sees each iterate.
///
/// **Errors**: those of `value`.
pub fn minimise(
    x: &mut [f64],
    settings: Settings,
    mut value: impl FnMut(&[f64], &mut [f64]) -> Result<f64>,
    mut stop: impl FnMut(usize, &[f64]) -> Result<bool>,
) -> Result<usize> {
    let n = x.len();
    let mut gradient = vec![0.0; n];
    let mut f = value(x, &mut gradient)?;
    let mut history: VecDeque<Pair> = VecDeque::new();
    let mut trial = vec![0.0; n];
    let mut trial_gradient = vec![0.0; n];
    for iteration in 0..settings.iterations {
        let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        if !f.is_finite() || largest <= settings.gradient || stop(iteration, x)? {
            return Ok(iteration);
        }
        let mut direction = direction(&gradient, &history);
        let mut slope = inner(&gradient, &direction);
        if slope >= 0.0 {
            history.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -inner(&gradient, &gradient);
        }
        let longest = direction.iter().fold(0.0f64, |m, d| m.max(d.abs()));
        // Without curvature yet, the first step is a tenth of the largest one.
        let cap = settings.max_step / longest;
        let mut step = if history.is_empty() {
            0.1 * cap
        } else {
            cap.min(1.0)
        };
        let mut accepted = None;
        for _ in 0..BACKTRACKS {
            for k in 0..n {
                trial[k] = x[k] + step * direction[k];
            }
            let f_trial = value(&trial, &mut trial_gradient)?;
            if f_trial.is_finite() && f_trial <= f + ARMIJO * step * slope {
                accepted = Some(f_trial);
                break;
            }
            let curvature = f_trial - f - step * slope;
            let quadratic = -0.5 * slope * step * step / curvature;
            step = if f_trial.is_finite() && curvature > 0.0 {
                quadratic.clamp(0.1 * step, 0.5 * step)
            } else {
                0.3 * step
            };
        }
        let Some(f_trial) = accepted else {
            if history.is_empty() {
                return Ok(iteration);
            }
            // The memory misleads: once more downhill.
            history.clear();
            continue;
        };
        let s: Vec<f64> = trial.iter().zip(&*x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = trial_gradient
            .iter()
            .zip(&gradient)
            .map(|(a, b)| a - b)
            .collect();
        let sy = inner(&s, &y);
        if sy > 1e-10 * (inner(&s, &s) * inner(&y, &y)).sqrt() {
            if history.len() == MEMORY {
                history.pop_front();
            }
            let rho = 1.0 / sy;
            history.push_back(Pair { s, y, rho });
        }
        x.copy_from_slice(&trial);
        gradient.copy_from_slice(&trial_gradient);
        f = f_trial;
    }
    Ok(settings.iterations)
}

/// The two-loop recursion: minus the approximate inverse Hessian times the gradient.
fn direction(gradient: &[f64], history: &VecDeque<Pair>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alpha = Vec::with_capacity(history.len());
    for Pair { s, y, rho } in history.iter().rev() {
        let a = rho * inner(s, &q);
        for (q, y) in q.iter_mut().zip(y) {
            *q -= a * y;
        }
        alpha.push(a);
    }
    if let Some(Pair { y, rho, .. }) = history.back() {
        let gamma = 1.0 / (rho * inner(y, y));
        for q in &mut q {
            *q *= gamma;
        }
    }
    for (Pair { s, y, rho }, a) in history.iter().zip(alpha.into_iter().rev()) {
        let b = rho * inner(y, &q);
        for (q, s) in q.iter_mut().zip(s) {
            *q += (a - b) * s;
        }
    }
    q
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrock_is_minimised() {
        let mut x = vec![-1.2, 1.0, -0.5, 0.8];
        let settings = Settings {
            iterations: 500,
            max_step: 1.0,
            gradient: 1e-8,
        };
        let steps = minimise(
            &mut x,
            settings,
            |x, g| {
                g.fill(0.0);
                let mut f = 0.0;
                for k in 0..x.len() - 1 {
                    let (a, b) = (1.0 - x[k], x[k + 1] - x[k] * x[k]);
                    f += a * a + 100.0 * b * b;
                    g[k] += -2.0 * a - 400.0 * x[k] * b;
                    g[k + 1] += 200.0 * b;
                }
                Ok(f)
            },
            |_, _| Ok(false),
        )
        .unwrap();
        assert!(steps < 500);
        for x in x {
            assert!((x - 1.0).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn walls_are_not_entered_and_steps_are_short() {
        // The minimum lies behind a wall at 1; from 0 no iterate may be beyond it.
        let mut x = vec![0.0];
        let settings = Settings {
            iterations: 50,
            max_step: 0.2,
            gradient: 1e-9,
        };
        let mut last = 0.0f64;
        minimise(
            &mut x,
            settings,
            |x, g| {
                g[0] = 2.0 * (x[0] - 2.0);
                Ok(if x[0] > 1.0 {
                    f64::INFINITY
                } else {
                    (x[0] - 2.0).powi(2)
                })
            },
            |_, x| {
                assert!((x[0] - last).abs() <= 0.2 + 1e-12);
                last = x[0];
                Ok(false)
            },
        )
        .unwrap();
        assert!(x[0] <= 1.0 && x[0] > 0.9);
    }
}
