//! Settings that are drawn at random around others.

use nepal::model::Cutoff;
use nepal_train::NepIn;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random settings around those given, which come first.
pub(super) fn draw(config: &NepIn, count: usize, seed: u64) -> Vec<NepIn> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = vec![config.clone()];
    let mut tries = 0;
    while all.len() < count && tries < 100 * count {
        tries += 1;
        let mut c = config.clone();
        let factors = [0.75, 0.85, 1.0, 1.15, 1.3];
        let mut factor = || factors[rng.random_range(0..factors.len())];
        let (radial, angular) = (factor(), factor());
        let scaled = |[r, a]: [f64; 2]| {
            let round = |x: f64| (4.0 * x).round() / 4.0;
            let r = round(r * radial).clamp(3.0, 12.0);
            [r, round(a * angular).clamp(3.0, r)]
        };
        c.cutoff = match &config.cutoff {
            Cutoff::PerType(rows) => Cutoff::PerType(rows.iter().map(|&r| scaled(r)).collect()),
            Cutoff::Uniform(rc) | Cutoff::Typewise { global: rc, .. } => {
                Cutoff::Uniform(scaled(*rc))
            }
        };
        let mut near = |value: usize, low: usize, high: usize, steps: &[isize]| {
            let step = steps.choose(&mut rng).copied().unwrap_or(0);
            value.saturating_add_signed(step).clamp(low, high)
        };
        c.n_max = [
            near(config.n_max[0], 2, 12, &[-3, -2, 0, 2, 3]),
            near(config.n_max[1], 2, 8, &[-3, -2, 0, 2, 3]),
        ];
        c.basis_size = [
            near(config.basis_size[0], 4, 16, &[-2, 0, 2, 4]),
            near(config.basis_size[1], 4, 12, &[-2, 0, 2, 4]),
        ];
        let lowest = config.many_body.required_l().max(2);
        c.l_max = near(config.l_max, lowest, 8, &[-1, 0, 0, 1]);
        c.neurons[0] = near(config.neurons[0], 5, 120, &[-20, -10, 0, 10, 20, 40]);
        if !all.contains(&c) {
            all.push(c);
        }
    }
    all
}
