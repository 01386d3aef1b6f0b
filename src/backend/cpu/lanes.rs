//! A few numbers at once: a readable face for the vectors of `pulp`, and the buffers they come from.

use pulp::Simd;
use std::ops::{Add, Deref, DerefMut, Mul, Sub};

/// Buffers have a multiple of this length: the widest vector.
pub(super) const PAD: usize = 8;

/// `n` rounded up to whole vectors.
pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(PAD)
}

/// A vector of f64, with the proof that the machine has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Lanes<S: Simd>(S, S::f64s);

impl<S: Simd> Lanes<S> {
    /// Numbers in a vector.
    pub(super) const N: usize = S::F64_LANES;

    #[inline(always)]
    pub(super) fn splat(simd: S, x: f64) -> Self {
        Self(simd, simd.splat_f64s(x))
    }

    /// The numbers from `at` on.
    #[inline(always)]
    pub(super) fn load(simd: S, from: &[f64], at: usize) -> Self {
        Self(simd, S::as_simd_f64s(&from[at..at + Self::N]).0[0])
    }

    /// The numbers from `at` on of three arrays. Closures, as in `array::map`, may be left outside
    /// the code compiled for the instruction set.
    #[inline(always)]
    pub(super) fn load3(simd: S, from: [&[f64]; 3], at: usize) -> [Self; 3] {
        [
            Self::load(simd, from[0], at),
            Self::load(simd, from[1], at),
            Self::load(simd, from[2], at),
        ]
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [f64], at: usize) {
        S::as_mut_simd_f64s(&mut to[at..at + Self::N]).0[0] = self.1;
    }

    /// `self * factor + term`, in one rounding where the machine can.
    #[inline(always)]
    pub(super) fn fma(self, factor: Self, term: Self) -> Self {
        Self(self.0, self.0.mul_add_e_f64s(self.1, factor.1, term.1))
    }

    /// `self * factor - term`.
    #[inline(always)]
    pub(super) fn fms(self, factor: Self, term: Self) -> Self {
        Self(
            self.0,
            self.0
                .mul_add_e_f64s(self.1, factor.1, self.0.neg_f64s(term.1)),
        )
    }

    /// `self + a * b`.
    #[inline(always)]
    pub(super) fn add_product(self, a: Self, b: Self) -> Self {
        a.fma(b, self)
    }

    /// `self - a * b`.
    #[inline(always)]
    pub(super) fn sub_product(self, a: Self, b: Self) -> Self {
        Self(self.0, self.0.negate_mul_add_e_f64s(a.1, b.1, self.1))
    }

    #[inline(always)]
    pub(super) fn sqrt(self) -> Self {
        Self(self.0, self.0.sqrt_f64s(self.1))
    }

    #[inline(always)]
    pub(super) fn inverse(self) -> Self {
        Self(self.0, self.0.div_f64s(self.0.splat_f64s(1.0), self.1))
    }

    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        Self(self.0, self.0.max_f64s(self.1, other.1))
    }

    /// Sum over the vector.
    #[inline(always)]
    pub(super) fn sum(self) -> f64 {
        self.0.reduce_sum_f64s(self.1)
    }
}

impl<S: Simd> Add for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0, self.0.add_f64s(self.1, other.1))
    }
}

impl<S: Simd> Sub for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0, self.0.sub_f64s(self.1, other.1))
    }
}

impl<S: Simd> Mul for Lanes<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0, self.0.mul_f64s(self.1, other.1))
    }
}

/// Numbers that begin at a cache line, so that no vector straddles two.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    data: Vec<f64>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn zeros(len: usize) -> Self {
        let mut buffer = Self::default();
        buffer.resize(len);
        buffer
    }

    /// Holds at least `len` numbers; the contents are lost when it grows.
    pub(super) fn resize(&mut self, len: usize) {
        if len > self.len {
            self.data = vec![0.0; len + PAD];
            // `align_offset` may decline, by a huge number: then any start will do.
            let offset = self.data.as_ptr().align_offset(64);
            self.start = if offset < PAD { offset } else { 0 };
            self.len = len;
        }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Buffer {
    type Target = [f64];

    #[inline(always)]
    fn deref(&self) -> &[f64] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.data[self.start..self.start + self.len]
    }
}
