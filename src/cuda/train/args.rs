//! What every kernel of training gets: the twin of `struct TrainArgs` in `kernels/train_args.cuh`,
//! where the fields are explained.

use crate::args::Address;
use crate::program::Arguments;

/// Sizes and addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrainArgs {
    pub positions: u64,
    pub structures: u64,
    pub parts: u64,
    pub outs: u64,
    pub strained: u64,
    pub center: Address,
    pub first_local: Address,
    pub local_types: Address,
    pub local_of: Address,
    pub range: [Address; 2],
    pub sums: [Address; 2],
    pub bonds: [Address; 2],
    pub index: [Address; 2],
    pub start: [Address; 2],
    pub incoming: [Address; 2],
    pub structure_of: Address,
    pub member_start: Address,
    pub members: Address,
    pub block: Address,
    pub base: Address,
    pub entry_base: Address,
    pub bond_shift: [Address; 2],
    pub first_structure: Address,
    pub structure: Address,
    pub structure_base: Address,
    pub part_start: Address,
    pub part_positions: Address,
    pub out_start: Address,
    pub parameters: Address,
    pub direction: Address,
    /// Coefficients and their direction, radial and angular.
    pub coefficients: [[Address; 2]; 2],
    pub scaler: Address,
    pub x: Address,
    pub s: Address,
    pub t1: Address,
    pub t2: Address,
    pub slope2: Address,
    pub back: Address,
    pub fp: Address,
    pub d: Address,
    pub p: Address,
    pub moved: [Address; 2],
    pub energies: Address,
    pub virials: Address,
    pub results: Address,
    pub slopes: Address,
    pub rate: [Address; 2],
    pub dx: Address,
    pub ds: Address,
    pub du: Address,
    pub du2: Address,
    pub alpha2: Address,
    pub beta2: Address,
    pub alpha: Address,
    pub beta: Address,
    pub qbar: Address,
    pub sbar: Address,
    pub partial: Address,
    pub gradient: Address,
}

// SAFETY: eight bytes a field, in the order of `kernels/train_args.cuh`.
unsafe impl Arguments for TrainArgs {}
