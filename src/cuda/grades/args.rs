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
    pub x: Address,
    pub slope: Address,
    pub scale: Address,
    pub n: u64,
    pub r: u64,
    pub k: u64,
    pub z: Address,
    pub y: Address,
    pub c: Address,
    pub length: Address,
    pub inside: Address,
    pub need: Address,
    pub flags: u64,
    pub residual_scale: f64,
    pub kappa: f64,
    pub a: Address,
    pub b: Address,
    pub out: Address,
    pub inner: u64,
    pub columns: u64,
    pub subtract: u64,
    pub mean: Address,
    pub whitening: Address,
    pub level: f64,
    pub units: Address,
    pub center: Address,
    pub lengths: Address,
    pub high: Address,
    pub low: Address,
    pub tiles: u64,
    pub weights: Address,
    pub weights_low: Address,
    pub probes_high: Address,
    pub probes_low: Address,
    pub column_scale: Address,
    pub column_offset: Address,
    pub column_size: Address,
    pub column_tiles: u64,
    pub probe_tiles: u64,
    pub partial: Address,
    pub probe_partial: Address,
    pub error: f64,
    pub tiny: f64,
    pub all_size: f64,
    pub probe_error: f64,
    pub probe_tiny: f64,
    pub threshold: f64,
    pub residual_limit: f64,
    pub passed_count: Address,
    pub passed: Address,
    pub gamma: Address,
    pub rho: Address,
    pub grade: Address,
    pub best_gamma: Address,
    pub best_rho: Address,
    pub best_grade: Address,
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
    pub const TWO_PART: u64 = 1;
    pub const LENGTH: u64 = 2;
    pub const FIRST_SET: u64 = 4;
}
