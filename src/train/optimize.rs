//! The optimiser: Adam on variables in which the loss is better conditioned.

use super::kernel::Spread;
use nepal::error::{Error, Result};
use nepal::model::Layout;
use std::ops::Range;

/// Default of `learning_rate`.
pub(super) const LEARNING_RATE: f64 = 0.01;

/// A part of a model that training may leave as it is: `freeze` in `nep.in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The coefficients of the radial functions: what atoms see of their neighbours.
    Descriptors,
    /// Weights and biases of the hidden layers.
    Hidden,
    /// Weights of the output layer. Its bias always moves.
    Output,
}

impl Layer {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Descriptors, Self::Hidden, Self::Output];

    /// The word of the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Hidden => "hidden",
            Self::Output => "output",
        }
    }
}

impl std::str::FromStr for Layer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|l| l.word() == text);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "unknown layer {text:?}; expected descriptors, hidden or output"
            ))
        })
    }
}

/// The networks of a model: where their parameters lie behind those of the first kind of network, and
/// the type (or the one network for all) that they serve.
pub(super) fn networks(layout: &Layout) -> impl Iterator<Item = (usize, usize)> {
    let n = layout.n_networks;
    let offsets = std::iter::once(0).chain(layout.scalar());
    offsets.flat_map(move |offset| (0..n).map(move |t| (offset, t)))
}

/// Parameters that belong to no type and are not regularised.
pub(super) fn common(layout: &Layout) -> Vec<usize> {
    let bias = layout.common_bias();
    let scalar = layout.scalar().map(|offset| offset + bias);
    [Some(bias), scalar, layout.dielectric()]
        .into_iter()
        .flatten()
        .collect()
}

/// A linear change of variables, parameters z from variables y.
///
/// Descriptors are neither centred nor of unit spread, so a first-layer weight moves its neuron
/// mostly like the bias does. The variables are the weights per standard deviation of each
/// descriptor, and the biases at its mean.
pub(super) struct Variables {
    layout: Layout,
    /// Mean and standard deviation of each scaled descriptor, by network.
    statistics: Vec<Vec<[f64; 2]>>,
    /// Parameters that stay as they are, and their values.
    frozen: Vec<(Range<usize>, Vec<f64>)>,
}

impl Variables {
    /// From statistics of the scaled descriptors by type.
    pub fn new(layout: &Layout, spread: &[Vec<Spread>]) -> Self {
        let statistics = (0..layout.n_networks)
            .map(|network| {
                (0..layout.dim)
                    .map(|d| {
                        let mut all = Spread::default();
                        if layout.n_networks == 1 {
                            spread.iter().for_each(|s| all.merge(&s[d]));
                        } else {
                            all.merge(&spread[network][d]);
                        }
                        // A descriptor that hardly varies must not get a huge weight.
                        [all.mean(), all.deviation().max(0.02)]
                    })
                    .collect()
            })
            .collect();
        Self {
            layout: layout.clone(),
            statistics,
            frozen: Vec::new(),
        }
    }

    /// The same with layers that stay as they are in `parameters`: no gradient leads along their variables.
    pub fn with_frozen(mut self, layers: &[Layer], parameters: &[f64]) -> Self {
        let layout = &self.layout;
        let kept = |range: Range<usize>| (range.clone(), parameters[range].to_vec());
        let [n1, n2] = layout.neurons;
        for layer in layers {
            if *layer == Layer::Descriptors {
                self.frozen.push(kept(layout.coefficients(0)..layout.len()));
                continue;
            }
            for (offset, t) in networks(layout) {
                let (output, count) = match n2 {
                    0 => (offset + layout.w1(t), n1 * layout.n_outputs),
                    _ => (offset + layout.w2(t), n2),
                };
                self.frozen.push(kept(match layer {
                    Layer::Hidden => offset + layout.w0(t, 0)..output,
                    _ => output..output + count,
                }));
            }
        }
        self
    }

    /// Diagonal, in the variables, of a matrix that is diagonal in the parameters.
    pub fn diagonal_of(&self, z: &[f64]) -> Vec<f64> {
        let mut y = z.to_vec();
        self.each_neuron(|w0, b0, statistics| {
            for (d, [mean, deviation]) in statistics.iter().enumerate() {
                y[w0 + d] = (z[w0 + d] + z[b0] * mean * mean) / (deviation * deviation);
            }
        });
        y
    }

    fn each_neuron(&self, mut visit: impl FnMut(usize, usize, &[[f64; 2]])) {
        for (offset, t) in networks(&self.layout) {
            for mu in 0..self.layout.neurons[0] {
                let (w0, b0) = (self.layout.w0(t, mu), self.layout.b0(t) + mu);
                visit(offset + w0, offset + b0, &self.statistics[t]);
            }
        }
    }

    /// Variables of some parameters.
    pub fn of_parameters(&self, z: &[f64]) -> Vec<f64> {
        let mut y = z.to_vec();
        self.each_neuron(|w0, b0, statistics| {
            for (d, [mean, deviation]) in statistics.iter().enumerate() {
                y[b0] -= z[w0 + d] * mean;
                y[w0 + d] = z[w0 + d] * deviation;
            }
        });
        y
    }

    /// Parameters of some variables.
    pub fn to_parameters(&self, y: &[f64], z: &mut [f64]) {
        z.copy_from_slice(y);
        self.each_neuron(|w0, b0, statistics| {
            for (d, [mean, deviation]) in statistics.iter().enumerate() {
                z[w0 + d] = y[w0 + d] / deviation;
                z[b0] += z[w0 + d] * mean;
            }
        });
    }

    /// Parameters of some variables that are a point, not a direction: what is frozen has no rounding of there and back.
    pub fn to_point(&self, y: &[f64], z: &mut [f64]) {
        self.to_parameters(y, z);
        for (range, values) in &self.frozen {
            z[range.clone()].copy_from_slice(values);
        }
    }

    /// Turns a gradient with respect to parameters into one with respect to variables.
    pub fn pull_back(&self, gradient: &mut [f64]) {
        self.each_neuron(|w0, b0, statistics| {
            for (d, [mean, deviation]) in statistics.iter().enumerate() {
                gradient[w0 + d] = (gradient[w0 + d] + gradient[b0] * mean) / deviation;
            }
        });
        for (range, _) in &self.frozen {
            gradient[range.clone()].fill(0.0);
        }
    }
}

/// Adam. Source: Kingma & Ba, arXiv:1412.6980.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

const BETA: [f64; 2] = [0.9, 0.99];

impl Adam {
    pub fn new(len: usize) -> Self {
        Self {
            first: vec![0.0; len],
            second: vec![0.0; len],
            steps: 0,
        }
    }

    /// One step of size `rate` down the gradient.
    pub fn step(&mut self, y: &mut [f64], gradient: &[f64], rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let [c1, c2] = BETA.map(|b| 1.0 - b.powi(self.steps));
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((y, &g), (m, v)) in y.iter_mut().zip(gradient).zip(moments) {
            *m += (1.0 - BETA[0]) * (g - *m);
            *v += (1.0 - BETA[1]) * (g * g - *v);
            *y -= rate * (*m / c1) / ((*v / c2).sqrt() + 1e-12);
        }
    }
}

/// The step size at a fraction of the run: a short linear rise, then a cosine to nearly zero.
pub(super) fn schedule(fraction: f64) -> f64 {
    const RISE: f64 = 0.02;
    let fraction = fraction.clamp(0.0, 1.0);
    if fraction < RISE {
        return (fraction / RISE).max(0.02);
    }
    let x = (fraction - RISE) / (1.0 - RISE);
    0.5 * (1.0 + (std::f64::consts::PI * x).cos()) + 1e-3
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;

    #[test]
    fn variables_are_a_consistent_change() {
        let header = super::super::NepIn::new(vec![Element::from_symbol("Te").unwrap()]).header();
        let layout = Layout::new(&header);
        let mut spread = vec![vec![Spread::default(); layout.dim]];
        for (d, s) in spread[0].iter_mut().enumerate() {
            for x in [0.3, 1.0 + d as f64, 2.0] {
                s.add(x);
            }
        }
        let variables = Variables::new(&layout, &spread);
        let z: Vec<f64> = (0..layout.len()).map(|i| (i as f64).sin()).collect();
        let y = variables.of_parameters(&z);
        let mut back = z.clone();
        variables.to_parameters(&y, &mut back);
        assert!(z.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-12));
        // A linear function a·z has the gradient a in z.
        let a: Vec<f64> = (0..layout.len()).map(|i| (0.7 * i as f64).cos()).collect();
        let mut gradient = a.clone();
        variables.pull_back(&mut gradient);
        for index in [0, layout.dim + 3, layout.b0(0) + 2, layout.w1(0), 900] {
            let mut moved = y.clone();
            moved[index] += 1.0;
            variables.to_parameters(&moved, &mut back);
            let change: f64 = (0..z.len()).map(|i| a[i] * (back[i] - z[i])).sum();
            assert!((change - gradient[index]).abs() < 1e-9, "{index}");
        }
    }
}
