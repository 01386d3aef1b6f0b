//! Numbers and dual numbers: one formula gives a value or a value with its derivative.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// What the formulas of [`crate::nep`] compute with: `f64`, or [`Dual`] in training, where the
/// derivative along the force residual turns an energy gradient into a force gradient.
pub trait Scalar:
    Copy
    + Default
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// A constant.
    fn constant(x: f64) -> Self;
    /// Product with a constant.
    fn scale(self, factor: f64) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
}

impl Scalar for f64 {
    fn constant(x: f64) -> Self {
        x
    }

    fn scale(self, factor: f64) -> Self {
        self * factor
    }

    fn tanh(self) -> Self {
        self.tanh()
    }
}

/// A value and its derivative along one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dual {
    /// Value.
    pub value: f64,
    /// Derivative.
    pub slope: f64,
}

impl Dual {
    /// From value and derivative.
    pub fn new(value: f64, slope: f64) -> Self {
        Self { value, slope }
    }
}

impl Add for Dual {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.value + other.value, self.slope + other.slope)
    }
}

impl Sub for Dual {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.value - other.value, self.slope - other.slope)
    }
}

impl Mul for Dual {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(
            self.value * other.value,
            self.value * other.slope + self.slope * other.value,
        )
    }
}

impl Neg for Dual {
    type Output = Self;

    fn neg(self) -> Self {
        Self::new(-self.value, -self.slope)
    }
}

impl AddAssign for Dual {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Scalar for Dual {
    fn constant(x: f64) -> Self {
        Self::new(x, 0.0)
    }

    fn scale(self, factor: f64) -> Self {
        Self::new(self.value * factor, self.slope * factor)
    }

    fn tanh(self) -> Self {
        let t = self.value.tanh();
        Self::new(t, (1.0 - t * t) * self.slope)
    }
}
