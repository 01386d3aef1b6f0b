//! What one unit of each feature is.

/// Features of a neuron count as at least this fraction of what an unsaturated one would give:
/// 1 - tanh² of a saturated neuron is rounding.
const SATURATED: f64 = 1e-2;

/// Descriptors count as at least this fraction of the largest one: fainter ones are what angular
/// sums leave where symmetry cancels them.
const FAINT: f64 = 1e-4;

/// Fraction of its unit below which a feature is reported as never seen.
const NEVER_SEEN: f64 = 1e-6;

/// How the B projection of a type is laid out, and how large its parts can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'a> {
    /// Length of the descriptor.
    pub dim: usize,
    /// Output weights of the neurons.
    pub weights: &'a [f64],
}

impl Shape<'_> {
    /// The hidden neurons in a feature row.
    pub fn neurons<'a>(&self, row: &'a [f64]) -> impl Iterator<Item = f64> + use<'a> {
        let width = self.dim + 2;
        row.chunks_exact(width).map(move |block| block[width - 1])
    }
}

/// Units of the features of one type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Units {
    /// Root mean squares, or the floor where that is larger. Shape `[n]`.
    pub scale: Vec<f64>,
    /// Features that are zero in all environments, but for rounding.
    pub unseen: Vec<u32>,
}

/// Units from feature rows; `None` if all features are zero.
///
/// A feature is (neuron, descriptor). Its output weight divides out, so that a neuron that
/// regularisation has switched off says as much about an environment as any other. A feature that
/// training environments hardly have, because its neuron is saturated or its descriptor vanishes
/// by symmetry, gets a floor for a unit: it counts when it appears, and rounding in it does not.
pub(super) fn units(data: &[f64], shape: Shape<'_>) -> Option<Units> {
    let (dim, weights) = (shape.dim, shape.weights);
    let width = dim + 2;
    let n = weights.len() * width;
    let mut scale = root_mean_squares(data, n);
    let largest = scale.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return None;
    }
    let slopes: Vec<f64> = scale
        .chunks_exact(width)
        .zip(weights)
        .map(|(s, w)| s[dim].max(SATURATED * w.abs()))
        .collect();
    // The descriptors' own size, from the neurons that show them best.
    let mut descriptors = vec![0.0f64; dim];
    for (s, &slope) in scale.chunks_exact(width).zip(&slopes) {
        for (q, s) in descriptors.iter_mut().zip(s) {
            if slope > 0.0 {
                *q = q.max(s / slope);
            }
        }
    }
    let strongest = descriptors.iter().copied().fold(0.0, f64::max);
    let mut unseen = Vec::new();
    for (mu, (s, &slope)) in scale.chunks_exact_mut(width).zip(&slopes).enumerate() {
        let free = SATURATED * weights[mu].abs();
        for (j, s) in s.iter_mut().enumerate() {
            let floor = match j {
                _ if j == dim + 1 => FAINT,
                _ if j == dim => free,
                _ => (free * descriptors[j]).max(FAINT * slope * strongest),
            };
            if *s < NEVER_SEEN * floor {
                unseen.push((mu * width + j) as u32);
            }
            *s = s.max(floor);
            // Without an output weight these features are zero whatever the environment.
            if *s == 0.0 {
                *s = largest;
            }
        }
    }
    Some(Units { scale, unseen })
}

fn root_mean_squares(data: &[f64], n: usize) -> Vec<f64> {
    let mut squares = vec![0.0f64; n];
    for row in data.chunks_exact(n) {
        for (s, x) in squares.iter_mut().zip(row) {
            *s += x * x;
        }
    }
    let count = (data.len() / n) as f64;
    for s in &mut squares {
        *s = (*s / count).sqrt();
    }
    squares
}
