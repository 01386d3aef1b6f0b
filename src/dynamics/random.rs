//! Reproducible random numbers: everything in exploration draws from one seeded generator.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{ChiSquared, Distribution, StandardNormal};

/// A generator that depends on the seed and the stream alone, on every machine.
///
/// Streams keep uses apart that must not share numbers, such as replicas of one scenario.
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

/// A standard normal number.
pub fn gaussian(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Three independent standard normal numbers.
pub fn gaussian_vector(rng: &mut impl Rng) -> [f64; 3] {
    std::array::from_fn(|_| gaussian(rng))
}

/// The sum of the squares of `n` independent standard normal numbers.
pub fn sum_of_squares(n: usize, rng: &mut impl Rng) -> f64 {
    match ChiSquared::new(n as f64) {
        Ok(distribution) => distribution.sample(rng),
        // Only n = 0 has no distribution; its sum is empty.
        Err(_) => 0.0,
    }
}
