//! Eight atoms at a time: the number type of the training kernels.
//!
//! Plain arrays that the compiler turns into vector instructions; `F` says whether the machine has
//! a fused multiply-add, which must not be used where it would become a library call.

use nepal::nep::scalar::Scalar;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// Atoms in a block.
pub(crate) const LANES: usize = 8;

/// One number for each atom of a block.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Lanes<const F: bool>(pub [f64; LANES]);

/// What can be read as [`Lanes`]: themselves, and the single-precision caches.
pub(crate) trait Load<const F: bool>: Copy {
    fn load(self) -> Lanes<F>;
}

impl<const F: bool> Load<F> for Lanes<F> {
    #[inline(always)]
    fn load(self) -> Lanes<F> {
        self
    }
}

impl<const F: bool> Load<F> for [f32; LANES] {
    #[inline(always)]
    fn load(self) -> Lanes<F> {
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            out[i] = f64::from(self[i]);
        }
        Lanes(out)
    }
}

impl<const F: bool> Lanes<F> {
    pub const ZERO: Self = Self([0.0; LANES]);

    #[inline(always)]
    pub fn splat(x: f64) -> Self {
        Self([x; LANES])
    }

    /// `self + a b`.
    #[inline(always)]
    pub fn add_product(self, a: Self, b: Self) -> Self {
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            out[i] = if F {
                a.0[i].mul_add(b.0[i], self.0[i])
            } else {
                a.0[i] * b.0[i] + self.0[i]
            };
        }
        Self(out)
    }

    /// `self + a b` with one number for all atoms.
    #[inline(always)]
    pub fn add_scaled(self, a: Self, b: f64) -> Self {
        self.add_product(a, Self::splat(b))
    }

    #[inline(always)]
    pub fn sum(self) -> f64 {
        let x = self.0;
        ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]))
    }

    /// exp, for arguments between -700 and 700.
    #[inline(always)]
    fn exp(self) -> Self {
        // Adding this leaves the rounded integer plus the exponent's bias in the low bits.
        const MAGIC: f64 = 6_755_399_441_055_744.0 + 1023.0;
        const LN2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
        // Taylor series: the 14th term is below 1e-17 for |r| <= ln(2)/2.
        const TERMS: [f64; 14] = [
            1.0,
            1.0,
            1.0 / 2.0,
            1.0 / 6.0,
            1.0 / 24.0,
            1.0 / 120.0,
            1.0 / 720.0,
            1.0 / 5040.0,
            1.0 / 40320.0,
            1.0 / 362_880.0,
            1.0 / 3_628_800.0,
            1.0 / 39_916_800.0,
            1.0 / 479_001_600.0,
            1.0 / 6_227_020_800.0,
        ];
        let mut shifted = [0.0; LANES];
        for i in 0..LANES {
            shifted[i] = self.0[i] * std::f64::consts::LOG2_E + MAGIC;
        }
        let mut n = [0.0; LANES];
        let mut power = [0.0; LANES];
        for i in 0..LANES {
            n[i] = shifted[i] - MAGIC;
            power[i] = f64::from_bits(shifted[i].to_bits() << 52);
        }
        let r = self
            .add_scaled(Self(n), -LN2[0])
            .add_scaled(Self(n), -LN2[1]);
        let mut sum = Self::splat(TERMS[13]);
        for k in (0..13).rev() {
            sum = Self::splat(TERMS[k]).add_product(sum, r);
        }
        sum * Self(power)
    }
}

impl<const F: bool> Default for Lanes<F> {
    #[inline(always)]
    fn default() -> Self {
        Self::ZERO
    }
}

macro_rules! elementwise {
    ($trait:ident, $method:ident, $op:tt) => {
        impl<const F: bool> $trait for Lanes<F> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let mut out = [0.0; LANES];
                for i in 0..LANES {
                    out[i] = self.0[i] $op other.0[i];
                }
                Self(out)
            }
        }
    };
}

elementwise!(Add, add, +);
elementwise!(Sub, sub, -);
elementwise!(Mul, mul, *);

impl<const F: bool> Neg for Lanes<F> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl<const F: bool> AddAssign for Lanes<F> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<const F: bool> Scalar for Lanes<F> {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        Self::splat(x)
    }

    #[inline(always)]
    fn scale(self, factor: f64) -> Self {
        self * Self::splat(factor)
    }

    /// Accurate to 2e-16 absolute, not relative.
    #[inline(always)]
    fn tanh(self) -> Self {
        let mut clamped = [0.0; LANES];
        for i in 0..LANES {
            clamped[i] = (2.0 * self.0[i]).clamp(-40.0, 40.0);
        }
        let e = Self(clamped).exp();
        let mut out = [0.0; LANES];
        for i in 0..LANES {
            out[i] = 1.0 - 2.0 / (e.0[i] + 1.0);
        }
        Self(out)
    }
}

/// A value and its derivative along one direction, for each atom of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DualLanes<const F: bool> {
    pub value: Lanes<F>,
    pub slope: Lanes<F>,
}

impl<const F: bool> DualLanes<F> {
    #[inline(always)]
    pub fn new(value: Lanes<F>, slope: Lanes<F>) -> Self {
        Self { value, slope }
    }
}

impl<const F: bool> Add for DualLanes<F> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::new(self.value + other.value, self.slope + other.slope)
    }
}

impl<const F: bool> Sub for DualLanes<F> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::new(self.value - other.value, self.slope - other.slope)
    }
}

impl<const F: bool> Mul for DualLanes<F> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let slope = self.value * other.slope;
        Self::new(
            self.value * other.value,
            slope.add_product(self.slope, other.value),
        )
    }
}

impl<const F: bool> Neg for DualLanes<F> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self::new(-self.value, -self.slope)
    }
}

impl<const F: bool> AddAssign for DualLanes<F> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<const F: bool> Scalar for DualLanes<F> {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        Self::new(Lanes::splat(x), Lanes::ZERO)
    }

    #[inline(always)]
    fn scale(self, factor: f64) -> Self {
        Self::new(self.value.scale(factor), self.slope.scale(factor))
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        let t = self.value.tanh();
        Self::new(t, (Lanes::splat(1.0) - t * t) * self.slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_agrees_with_the_standard_library() {
        let mut x = -25.0f64;
        while x < 25.0 {
            let argument: [f64; LANES] = std::array::from_fn(|i| x + 0.013 * i as f64);
            let fused = Lanes::<true>(argument).tanh();
            let plain = Lanes::<false>(argument).tanh();
            for i in 0..LANES {
                let expected = argument[i].tanh();
                assert!((fused.0[i] - expected).abs() < 5e-16, "{}", argument[i]);
                assert!((plain.0[i] - expected).abs() < 5e-16, "{}", argument[i]);
            }
            x += 0.11;
        }
    }
}
