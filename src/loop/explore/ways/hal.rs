//! Hyperactive learning: dynamics that are pushed to where the model is not sure of itself.
//!
//! On the energy E - τ σ the atoms move; τ is such that the mean force of the bias is a given part of the model's
//! own. **Source**: van der Oord et al., npj Comput. Mater. 9, 168 (2023). The saturating form: Kulichenko et al.,
//! Nat. Comput. Sci. 3, 230 (2023).

use super::super::run::ExploreOptions;
use super::{GradedPotential, Guide, Labels, Signal, Snapshot, Verdict};
use nepal::error::{Error, Result};
use nepal::system::cell::norm;
use serde::{Deserialize, Serialize};

/// A number, or one at the start and one at the end; linear in between.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ramp {
    /// The same all along.
    Constant(f64),
    /// From start to end.
    Linear([f64; 2]),
}

impl Ramp {
    /// At the start and at the end.
    pub fn ends(self) -> [f64; 2] {
        match self {
            Self::Constant(x) => [x; 2],
            Self::Linear(ends) => ends,
        }
    }

    fn at(self, part: f64) -> f64 {
        let [start, end] = self.ends();
        start + (end - start) * part.min(1.0)
    }
}

/// Which number of a frame is held against the tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The largest f of an atom.
    Largest,
    /// The largest exp(f) over the sum of all: one atom that stands out, rather than all at once.
    Softmax,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// With the first frame beyond the tolerance.
    First,
    /// With its last step; the first frame beyond the tolerance is kept.
    End,
}

/// The form of a bias that ends where all is uncertain: A (exp(-σ²/(N w²)) - 1) of N atoms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saturate {
    /// A, eV.
    pub height: f64,
    /// w, in units of the signal: eV for σ.
    pub width: f64,
}

/// Options of the way `hal`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hal {
    /// `sigma`, the deviation of the energy by the posterior; `committee`, that over models of other seeds; or `grade`, the
    /// sum of the smooth grades.
    pub signal: Signal,
    /// Mean force of the bias over the mean force of the model.
    pub tau: Ramp,
    /// Steps that the means of forces go back, and before there is any bias, or a frame ends the run.
    pub history: usize,
    /// Added to the force in the relative deviation f = σ/(|F| + this), eV/Å.
    pub regulariser: f64,
    /// What is held against `tolerance`.
    pub trigger: Trigger,
    /// The relative deviation of an atom's force beyond which a frame is kept. With `signal = "grade"` it is the
    /// grade that decides, by the threshold `save`.
    pub tolerance: f64,
    /// `first` or `end`.
    pub stop: Stop,
    /// The form that saturates, in place of -τ σ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturate: Option<Saturate>,
    /// The bias on an atom is at most this times the force of the model.
    pub cap: f64,
}

impl Default for Hal {
    /// τ = 0.2 over 100 steps, f beyond 0.3 with 0.2 eV/Å: what ACEHAL's authors recommend.
    fn default() -> Self {
        Self {
            signal: Signal::Sigma,
            tau: Ramp::Constant(0.2),
            history: 100,
            regulariser: 0.2,
            trigger: Trigger::Largest,
            tolerance: 0.3,
            stop: Stop::First,
            saturate: None,
            cap: 1.0,
        }
    }
}

impl Hal {
    pub(super) fn validate(&self) -> Result<()> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let [start, end] = self.tau.ends();
        let saturate = self
            .saturate
            .is_none_or(|s| positive(s.height) && positive(s.width));
        let fine = [start, end].iter().all(|t| (0.0..=10.0).contains(t))
            && self.history > 0
            && [self.regulariser, self.tolerance, self.cap]
                .into_iter()
                .all(positive)
            && saturate;
        if fine {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the way hal: expected tau from 0 to 10, history of at least 1, and positive regulariser, tolerance, cap, height and width; found {self:?}"
        )))
    }

    /// Checks that it is what `fix nepal/bias` of LAMMPS does.
    ///
    /// **Errors**: [`Error::InvalidArgument`].
    pub fn check_for_lammps(&self) -> Result<()> {
        let same = self.signal == Signal::Sigma
            && matches!(self.tau, Ramp::Constant(tau) if tau > 0.0)
            && self.trigger == Trigger::Largest
            && self.saturate.is_none()
            && self.cap == 1.0;
        if same {
            return Ok(());
        }
        Err(Error::invalid(
            "the way hal in LAMMPS has signal = \"sigma\", one tau above 0, trigger = \"largest\", cap = 1 and no saturate; \
             drop `engine` for the others",
        ))
    }

    pub(super) fn guide(self, options: &ExploreOptions) -> Guided {
        Guided {
            hal: self,
            steps: options.md.steps,
            save: options.save,
            tau: 0.0,
            means: [0.0; 2],
            seen: 0,
            triggered: false,
            last: Seen::default(),
            worst: 0.0,
        }
    }
}

/// The bias of a run.
pub(super) struct Guided {
    hal: Hal,
    steps: usize,
    save: f64,
    /// Of the evaluations to come; in units of energy over the signal's.
    tau: f64,
    /// Of the sizes of the model's forces and of the signal's gradient.
    means: [f64; 2],
    /// Steps that the means are of.
    seen: usize,
    triggered: bool,
    last: Seen,
    /// What the last judged frame has to hold against the tolerance.
    worst: f64,
}

/// The last evaluation.
#[derive(Default)]
struct Seen {
    /// Those of the model.
    forces: Vec<[f64; 3]>,
    signal: f64,
    /// Mean sizes of the model's forces, the signal's gradient and the bias.
    sizes: [f64; 3],
}

fn mean_size(vectors: &[[f64; 3]]) -> f64 {
    vectors.iter().map(|v| norm(*v)).sum::<f64>() / vectors.len().max(1) as f64
}

impl Guided {
    /// The bias at a value of the signal, and its derivative.
    fn energy(&self, signal: f64, n_atoms: usize) -> (f64, f64) {
        match self.hal.saturate {
            None => (-self.tau * signal, -self.tau),
            // Begins with the rest, so that a run without a past is not pushed.
            Some(_) if self.seen <= self.hal.history => (0.0, 0.0),
            Some(Saturate { height, width }) => {
                let scale = n_atoms.max(1) as f64 * width * width;
                let gauss = (-signal * signal / scale).exp();
                (
                    height * (gauss - 1.0),
                    -2.0 * height * signal / scale * gauss,
                )
            }
        }
    }

    fn measure_of(&self, sigma: &[f64]) -> f64 {
        let f: Vec<f64> = sigma
            .iter()
            .zip(&self.last.forces)
            .map(|(s, force)| s / (norm(*force) + self.hal.regulariser))
            .collect();
        let largest = f.iter().copied().fold(0.0, f64::max);
        match self.hal.trigger {
            Trigger::Largest => largest,
            // An element without deviations stands out, however many atoms it has.
            Trigger::Softmax if largest.is_infinite() => largest,
            Trigger::Softmax => f.iter().map(|f| (f - largest).exp()).sum::<f64>().recip(),
        }
    }
}

impl Guide for Guided {
    fn signal(&self) -> Option<Signal> {
        Some(self.hal.signal)
    }

    fn bend(&mut self, (signal, along, virial): Labels, labels: &mut Labels) {
        let (energy, slope) = self.energy(signal, along.len());
        let [mut wanted, mut given] = [0.0; 2];
        let sizes = [mean_size(&labels.1), mean_size(&along)];
        self.last.forces.clone_from(&labels.1);
        for (force, along) in labels.1.iter_mut().zip(&along) {
            let bias = along.map(|x| slope * x);
            let size = norm(bias);
            let part = match self.hal.cap * norm(*force) {
                limit if size > limit => limit / size,
                _ => 1.0,
            };
            wanted += size;
            given += part * size;
            force.iter_mut().zip(bias).for_each(|(f, b)| *f += part * b);
        }
        labels.0 += energy;
        // What is held back of the forces is held back of the pressure.
        let part = if wanted > 0.0 { given / wanted } else { 1.0 };
        for (w, along) in labels.2.iter_mut().zip(virial) {
            *w += part * slope * along;
        }
        let [model, gradient] = sizes;
        self.last.signal = signal;
        self.last.sizes = [model, gradient, given / along.len().max(1) as f64];
    }

    fn stepped(&mut self, step: usize) {
        self.seen += 1;
        let mixing = 1.0 / self.seen.min(self.hal.history) as f64;
        for (mean, now) in self.means.iter_mut().zip(self.last.sizes) {
            *mean += mixing * (now - *mean);
        }
        let wanted = self.hal.tau.at(step as f64 / self.steps.max(1) as f64);
        let [force, gradient] = self.means;
        self.tau = match self.seen > self.hal.history && gradient > 0.0 {
            true => wanted * force / gradient,
            false => 0.0,
        };
    }

    fn judge(&mut self, potential: &mut dyn GradedPotential, frame: &Snapshot) -> Result<Verdict> {
        let limit;
        (self.worst, limit) = match self.hal.signal {
            Signal::Grade => (frame.max_grade(), self.save),
            signal => {
                let sigma = potential.deviations(&frame.state.structure, signal)?;
                (self.measure_of(&sigma), self.hal.tolerance)
            }
        };
        // Before there is a bias a frame is a neighbour of the start, which every round has again.
        let young = self.seen < self.hal.history;
        if self.triggered || young || self.worst <= limit {
            return Ok(Verdict::default());
        }
        self.triggered = true;
        Ok(Verdict {
            keep: Some("beyond the tolerance"),
            stop: self.hal.stop == Stop::First,
        })
    }

    fn keeps_last(&self) -> bool {
        !self.triggered
    }

    fn notes(&self) -> Vec<(&'static str, f64)> {
        let [force, _, bias] = self.last.sizes;
        let name = match self.hal.signal {
            Signal::Sigma | Signal::Committee => "largest f",
            Signal::Grade => "largest grade",
        };
        vec![
            ("tau", self.tau),
            ("sigma", self.last.signal),
            (name, self.worst),
            (
                "bias over force",
                if force > 0.0 { bias / force } else { 0.0 },
            ),
        ]
    }

    fn restarted(&mut self) {
        // The bias begins anew: it may be what went wrong.
        (self.seen, self.tau) = (0, 0.0);
    }
}

#[cfg(test)]
mod tests;
