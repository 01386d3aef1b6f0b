//! tanh without branches, for loops over neurons.

/// 1/n!: the exponential less one, over the exponent, to rounding within half a power of two.
const EXPONENTIAL: [f64; 13] = {
    let mut table = [1.0; 13];
    let mut n = 1;
    while n < 13 {
        table[n] = table[n - 1] / (n + 1) as f64;
        n += 1;
    }
    table
};

/// tanh to two units in the last place. `FUSED` for machines that multiply and add at once.
#[inline(always)]
pub(super) fn double<const FUSED: bool>(x: f64) -> f64 {
    // Adding 1.5 2^52 rounds to an integer and leaves it in the last bits.
    const ROUND: f64 = 6755399441055744.0;
    // ln 2 in two parts, the first with zeros at its end: its multiples are exact.
    const LN2: [f64; 2] = [0.6931471803691238, 1.9082149292705877e-10];
    let y = (2.0 * x).clamp(-50.0, 50.0);
    let shifted = y * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = y - n * LN2[0] - n * LN2[1];
    let mut p = EXPONENTIAL[12];
    for &c in EXPONENTIAL[..12].iter().rev() {
        p = if FUSED { p.mul_add(r, c) } else { p * r + c };
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1f64.to_bits()));
    // e^y - 1 without losing the digits of a small one.
    let e = power * (p * r) + (power - 1.0);
    e / (e + 2.0)
}

/// The same in single precision.
#[inline(always)]
pub(super) fn single<const FUSED: bool>(x: f32) -> f32 {
    // 1.5 2^23.
    const ROUND: f32 = 12582912.0;
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const TERMS: usize = 7;
    let y = (2.0 * x).clamp(-20.0, 20.0);
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = y - n * LN2[0] - n * LN2[1];
    let mut p = EXPONENTIAL[TERMS] as f32;
    for &c in EXPONENTIAL[..TERMS].iter().rev() {
        p = if FUSED {
            p.mul_add(r, c as f32)
        } else {
            p * r + c as f32
        };
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()));
    let e = power * (p * r) + (power - 1.0);
    e / (e + 2.0)
}

#[cfg(test)]
mod tests {
    use super::{double, single};

    #[test]
    fn tanh_agrees_with_the_library() {
        in_double::<false>();
        in_double::<true>();
    }

    fn in_double<const FUSED: bool>() {
        for i in -40_000..=40_000 {
            let x = f64::from(i) * 1e-3 + 1e-7;
            assert!(
                (double::<FUSED>(x) - x.tanh()).abs() <= 1e-15 * x.abs().min(1.0),
                "{x}"
            );
        }
        for x in [0.0, 1e-300, 1e-12, 20.0, 1e5, f64::MAX, f64::INFINITY] {
            assert!(
                (double::<FUSED>(x) - x.tanh()).abs() <= 1e-15 * x.tanh(),
                "{x}"
            );
            assert!(
                (double::<FUSED>(-x) + x.tanh()).abs() <= 1e-15 * x.tanh(),
                "{x}"
            );
        }
        assert!(double::<FUSED>(f64::NAN).is_nan());
    }

    #[test]
    fn tanh_in_single_precision_is_good_to_its_digits() {
        in_single::<false>();
        in_single::<true>();
    }

    fn in_single<const FUSED: bool>() {
        for i in -40_000..=40_000 {
            let x = i as f32 * 1e-3 + 1e-6;
            let exact = f64::from(x).tanh();
            let error = (f64::from(single::<FUSED>(x)) - exact).abs();
            assert!(error <= 3e-7 * exact.abs(), "{x}: {error:e}");
        }
        for x in [0.0, 1e-30, 1e-12, 20.0, 1e5, f32::MAX, f32::INFINITY] {
            assert!(
                (single::<FUSED>(x) - x.tanh()).abs() <= 3e-7 * x.tanh(),
                "{x}"
            );
            assert!(
                (single::<FUSED>(-x) + x.tanh()).abs() <= 3e-7 * x.tanh(),
                "{x}"
            );
        }
        assert!(single::<FUSED>(f32::NAN).is_nan());
    }
}
