//! Inertial relaxation.

use nepal::system::cell::norm;

/// The optimiser of forces that need not be a gradient of anything.
///
/// **Source**: FIRE, Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
pub(super) struct Fire {
    dt: f64,
    alpha: f64,
    downhill: usize,
    velocity: Vec<f64>,
    max_move: f64,
}

impl Fire {
    /// At rest, for so many coordinates, of which no three move farther than `max_move` in a step.
    pub fn new(n: usize, max_move: f64) -> Self {
        Self {
            dt: 0.1,
            alpha: 0.1,
            downhill: 0,
            velocity: vec![0.0; n],
            max_move,
        }
    }

    /// Moves the coordinates along the forces. **Shapes**: `[n]` each.
    pub fn step(&mut self, x: &mut [f64], forces: &[f64]) {
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        if inner(&self.velocity, forces) > 0.0 {
            self.downhill += 1;
            if self.downhill > 5 {
                self.dt = f64::min(self.dt * 1.1, 1.0);
                self.alpha *= 0.99;
            }
        } else {
            (self.dt, self.alpha, self.downhill) = (self.dt * 0.5, 0.1, 0);
            self.velocity.fill(0.0);
        }
        let force = inner(forces, forces).sqrt();
        if force == 0.0 {
            return;
        }
        let mix = self.alpha * inner(&self.velocity, &self.velocity).sqrt() / force;
        let (alpha, dt) = (self.alpha, self.dt);
        for (v, f) in self.velocity.iter_mut().zip(forces) {
            *v = (1.0 - alpha) * *v + mix * f + dt * f;
        }
        for (x, v) in x.chunks_mut(3).zip(self.velocity.chunks(3)) {
            let three = std::array::from_fn(|a| v.get(a).copied().unwrap_or(0.0));
            let length = norm(three) * dt;
            let limit = if length > self.max_move {
                self.max_move / length
            } else {
                1.0
            };
            for (x, v) in x.iter_mut().zip(v) {
                *x += limit * dt * v;
            }
        }
    }
}
