//! What every kernel of the grades gets: the twin of `struct GradeArgs` in
//! `kernels/grade_args.cuh`, where the fields are explained.

use super::super::args::Address;
use super::super::program::Arguments;

/// Sizes and addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GradeArgs {
    pub first: u64,
    pub rows: u64,
    pub total: u64,
    pub count: Address,
    pub list: Address,
    pub q: Address,
    pub w0t: Address,
    pub b0: Address,
    pub w1: Address,
    pub k: u64,
    pub c: Address,
    pub x: Address,
    pub slope: Address,
    pub z: Address,
    pub units: Address,
    pub h: u64,
    pub d: u64,
    pub s: Address,
    pub t: Address,
    pub p: Address,
    pub left: Address,
    pub need: Address,
    pub lambda: f64,
    pub a: Address,
    pub b: Address,
    pub out: Address,
    pub inner: u64,
    pub columns: u64,
    pub flags: u64,
    pub limit: f64,
    pub passed_count: Address,
    pub passed: Address,
    pub gamma: Address,
    pub rho: Address,
    pub grade: Address,
    pub fill: f64,
    pub near: Address,
    pub near_count: Address,
    pub near_share: f64,
    pub rounding: [f64; 2],
}

// SAFETY: eight bytes a field, in the order of `kernels/grade_args.cuh`.
unsafe impl Arguments for GradeArgs {}

/// Bits of `GradeArgs::flags`, as in `kernels/grade_args.cuh`.
pub(super) mod flags {
    pub const MULTIPLY: u64 = 1;
    pub const UP_TO: u64 = 2;
    pub const FROM: u64 = 4;
    pub const LOOK: u64 = 8;
}
