//! Half-precision numbers (IEEE 754 binary16), as bits.

/// The nearest half of a finite number, ties to even; infinity beyond the largest.
pub(super) fn bits(x: f64) -> u16 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let size = x.abs();
    // Halfway from the largest half, 65504, to the one that would follow.
    if size >= 65520.0 {
        return sign | 0x7c00;
    }
    let least_normal = 2f64.powi(-14);
    if size < least_normal {
        return sign | (size * 2f64.powi(24)).round_ties_even() as u16;
    }
    let exponent = (size.to_bits() >> 52) as i32 - 1023;
    let digits = (size * 2f64.powi(10 - exponent)).round_ties_even() as u16;
    // Digits of 2048 carry over into the exponent.
    sign | ((((exponent + 15) as u16) << 10) + (digits - 1024))
}

/// The number that a half stands for.
pub(super) fn value(bits: u16) -> f64 {
    let (exponent, digits) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => digits * 2f64.powi(-24),
        31 if digits == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + digits) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::{bits, value};

    #[test]
    fn all_halves_are_their_own_nearest_and_what_lies_between_goes_to_the_nearer() {
        for b in 0..0x7c00u16 {
            let (x, next) = (value(b), value(b + 1));
            assert_eq!(bits(x), b);
            assert_eq!(bits(-x), b | 0x8000);
            assert!(next > x);
            if next.is_finite() {
                assert_eq!(bits(x + 0.4999 * (next - x)), b);
                assert_eq!(bits(x + 0.5001 * (next - x)), b + 1);
                assert_eq!(bits(x + 0.5 * (next - x)) & 1, 0);
            }
        }
        assert_eq!(bits(65519.9), 0x7bff);
        assert_eq!(bits(65520.0), 0x7c00);
        assert!(value(0x7e00).is_nan());
    }
}
