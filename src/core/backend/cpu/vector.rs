//! Vectors of f64 or f32 behind one face, and the buffers they come from.
//!
//! The loops are written once over [`Vector`]; `pulp` compiles them for each instruction set, and
//! [`Real`] says which numbers fill the vectors.

use super::kernel::MAX_LANES;
use pulp::Simd;
use std::fmt::Debug;
use std::ops::{Add, Deref, DerefMut, Mul, Sub};

/// Numbers that fill vectors.
pub(super) trait Real:
    Copy + Default + Debug + PartialOrd + Send + Sync + 'static + Sub<Output = Self>
{
    /// Vectors of this number on a machine.
    type Vector<S: Simd>: Vector<Simd = S, Real = Self>;

    /// Rounded from f64.
    fn of(x: f64) -> Self;

    /// As f64, exactly.
    fn wide(self) -> f64;

    /// A number of ordinary size that holds a type, also after it was rounded to `Self`.
    fn with_type(kind: u32) -> f64;

    /// The type in such a number.
    fn type_in(number: f64) -> usize;

    /// tanh of each number, without branches, so that the loop becomes vectors;
    /// `FUSED` where the machine multiplies and adds at once.
    fn tanh_all<const FUSED: bool>(numbers: &mut [Self]);
}

/// A vector, with the proof that the machine has the instructions.
pub(super) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self>
{
    /// The instruction set.
    type Simd: Simd;
    /// What it holds.
    type Real: Real;
    /// How it lies in memory.
    type Raw: Copy;
    /// Numbers in a vector.
    const N: usize;
    /// Whether the machine has 32 registers of them, not 16: sums in blocks are as large as fit.
    const MANY: bool = Self::Simd::REGISTER_COUNT >= 32;

    /// The whole vectors in a slice.
    fn rows(numbers: &[Self::Real]) -> &[Self::Raw];
    fn rows_mut(numbers: &mut [Self::Real]) -> &mut [Self::Raw];
    fn get(simd: Self::Simd, raw: &Self::Raw) -> Self;
    fn put(self, raw: &mut Self::Raw);
    fn splat(simd: Self::Simd, x: Self::Real) -> Self;
    /// `self * factor + term`, in one rounding where the machine can.
    fn fma(self, factor: Self, term: Self) -> Self;
    /// `self * factor - term`.
    fn fms(self, factor: Self, term: Self) -> Self;
    /// `self - a * b`.
    fn sub_product(self, a: Self, b: Self) -> Self;
    fn sqrt(self) -> Self;
    fn inverse(self) -> Self;
    fn min(self, other: Self) -> Self;
    /// The columns of a row of four numbers for each lane, and the rows of four columns; lane `p` of
    /// a column belongs to row `p` of [`row_of_lane`].
    fn columns(simd: Self::Simd, rows: [Self; 4]) -> [Self; 4];
    fn rows_of_four(simd: Self::Simd, columns: [Self; 4]) -> [Self; 4];

    #[inline(always)]
    fn constant(simd: Self::Simd, x: f64) -> Self {
        Self::splat(simd, Self::Real::of(x))
    }
}

/// Which row of four numbers [`Vector::columns`] takes to each lane: machines transpose within parts
/// of their vectors.
#[inline(always)]
pub(super) fn row_of_lane<V: Vector>(simd: V::Simd) -> [usize; MAX_LANES] {
    let mut numbers = [V::Real::default(); 4 * MAX_LANES];
    for (row, numbers) in numbers.chunks_exact_mut(4).enumerate() {
        numbers.fill(V::Real::of(row as f64));
    }
    let rows = V::rows(&numbers);
    let [column, ..] = V::columns(simd, [0, 1, 2, 3].map(|i| V::get(simd, &rows[i])));
    column.put(&mut V::rows_mut(&mut numbers)[0]);
    std::array::from_fn(|lane| numbers[lane].wide() as usize)
}

macro_rules! vector {
    ($name:ident, $real:ty, $raw:ident, $lanes:ident, $rows:ident, $rows_mut:ident, $splat:ident, $fma:ident,
     $negate_fma:ident, $neg:ident, $sqrt:ident, $div:ident, $min:ident, $add:ident, $sub:ident,
     $mul:ident, $columns:ident, $rows_of_four:ident) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name<S: Simd>(S, S::$raw);

        impl<S: Simd> Vector for $name<S> {
            type Simd = S;
            type Real = $real;
            type Raw = S::$raw;
            const N: usize = S::$lanes;

            #[inline(always)]
            fn rows(numbers: &[$real]) -> &[S::$raw] {
                S::$rows(numbers).0
            }

            #[inline(always)]
            fn rows_mut(numbers: &mut [$real]) -> &mut [S::$raw] {
                S::$rows_mut(numbers).0
            }

            #[inline(always)]
            fn get(simd: S, raw: &S::$raw) -> Self {
                Self(simd, *raw)
            }

            #[inline(always)]
            fn put(self, raw: &mut S::$raw) {
                *raw = self.1;
            }

            #[inline(always)]
            fn splat(simd: S, x: $real) -> Self {
                Self(simd, simd.$splat(x))
            }

            #[inline(always)]
            fn fma(self, factor: Self, term: Self) -> Self {
                Self(self.0, self.0.$fma(self.1, factor.1, term.1))
            }

            #[inline(always)]
            fn fms(self, factor: Self, term: Self) -> Self {
                let term = self.0.$neg(term.1);
                Self(self.0, self.0.$fma(self.1, factor.1, term))
            }

            #[inline(always)]
            fn sub_product(self, a: Self, b: Self) -> Self {
                Self(self.0, self.0.$negate_fma(a.1, b.1, self.1))
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(self.0, self.0.$sqrt(self.1))
            }

            #[inline(always)]
            fn inverse(self) -> Self {
                Self(self.0, self.0.$div(self.0.$splat(1.0), self.1))
            }

            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self(self.0, self.0.$min(self.1, other.1))
            }

            #[inline(always)]
            fn columns(simd: S, rows: [Self; 4]) -> [Self; 4] {
                simd.$columns(rows.map(|v| v.1)).map(|v| Self(simd, v))
            }

            #[inline(always)]
            fn rows_of_four(simd: S, columns: [Self; 4]) -> [Self; 4] {
                simd.$rows_of_four(columns.map(|v| v.1))
                    .map(|v| Self(simd, v))
            }
        }

        impl<S: Simd> Add for $name<S> {
            type Output = Self;

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(self.0, self.0.$add(self.1, other.1))
            }
        }

        impl<S: Simd> Sub for $name<S> {
            type Output = Self;

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Self(self.0, self.0.$sub(self.1, other.1))
            }
        }

        impl<S: Simd> Mul for $name<S> {
            type Output = Self;

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                Self(self.0, self.0.$mul(self.1, other.1))
            }
        }
    };
}

vector!(
    F64,
    f64,
    f64s,
    F64_LANES,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    mul_add_e_f64s,
    negate_mul_add_e_f64s,
    neg_f64s,
    sqrt_f64s,
    div_f64s,
    min_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    deinterleave_shfl_f64s,
    interleave_shfl_f64s
);
vector!(
    F32,
    f32,
    f32s,
    F32_LANES,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    mul_add_e_f32s,
    negate_mul_add_e_f32s,
    neg_f32s,
    sqrt_f32s,
    div_f32s,
    min_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    deinterleave_shfl_f32s,
    interleave_shfl_f32s
);

impl Real for f64 {
    type Vector<S: Simd> = F64<S>;

    #[inline(always)]
    fn with_type(kind: u32) -> f64 {
        // 2^52: the last bits of the significand count ones.
        (1u64 << 52) as f64 + f64::from(kind)
    }

    #[inline(always)]
    fn type_in(number: f64) -> usize {
        usize::from(number.to_bits() as u16)
    }

    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }

    #[inline(always)]
    fn tanh_all<const FUSED: bool>(numbers: &mut [Self]) {
        for x in numbers {
            *x = super::tanh::double::<FUSED>(*x);
        }
    }
}

impl Real for f32 {
    type Vector<S: Simd> = F32<S>;

    #[inline(always)]
    fn with_type(kind: u32) -> f64 {
        // 2^23: the last bits of the significand count ones.
        (1u64 << 23) as f64 + f64::from(kind)
    }

    #[inline(always)]
    fn type_in(number: f64) -> usize {
        usize::from((number.to_bits() >> (52 - 23)) as u16)
    }

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn tanh_all<const FUSED: bool>(numbers: &mut [Self]) {
        for x in numbers {
            *x = super::tanh::single::<FUSED>(*x);
        }
    }
}

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// Numbers that begin at a cache line, so that no vector straddles two.
#[derive(Debug, Default)]
pub(super) struct Buffer<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Buffer<T> {
    /// Holds at least `len` numbers; when it grows, all are zero.
    pub(super) fn resize(&mut self, len: usize) {
        if len > self.len {
            let spare = LINE / size_of::<T>();
            self.data = vec![T::default(); len + spare];
            // `align_offset` may decline, by a huge number: then any start will do.
            let offset = self.data.as_ptr().align_offset(LINE);
            self.start = if offset < spare { offset } else { 0 };
            self.len = len;
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}
