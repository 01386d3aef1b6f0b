//! What every kernel gets: the twin of `struct Args` in `kernels/args.cuh`, where the fields are
//! explained. All fields are eight bytes wide, so that the two agree without padding.

/// An address on the device.
pub(super) type Address = u64;

/// Sizes and addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Args {
    pub n_local: u64,
    pub n_places: u64,
    pub n_total: u64,
    pub n_types: u64,
    pub first: u64,
    pub count: u64,
    pub stride: u64,
    pub flags: u64,
    pub from_bins: u64,
    pub rows: u64,
    pub columns: u64,
    pub out_rows: u64,
    pub cell: [f64; 9],
    pub inverse: [f64; 9],
    pub reach: f64,
    pub skin: f64,
    pub origin: [f64; 3],
    pub per_unit: [f64; 3],
    pub bins: [u64; 3],
    pub image_range: [u64; 3],
    pub margin: [f64; 3],
    pub radial: Address,
    pub angular: Address,
    pub w0: Address,
    pub w0t: Address,
    pub b0: Address,
    pub w1: Address,
    pub b1: Address,
    pub w2: Address,
    pub bias: Address,
    pub scaler: Address,
    pub cutoffs: Address,
    pub zbl: Address,
    pub positions: Address,
    pub types: Address,
    pub atom: Address,
    pub source: Address,
    pub shift: Address,
    pub places: Address,
    pub start_r: Address,
    pub start_a: Address,
    pub count_r: Address,
    pub count_a: Address,
    pub list_r: Address,
    pub list_a: Address,
    pub reverse: Address,
    pub offsets: Address,
    pub index: Address,
    pub ghost_start: Address,
    pub ghost_cursor: Address,
    pub ghost_list: Address,
    pub sums: Address,
    pub q: Address,
    pub neurons: Address,
    pub slope: Address,
    pub fp: Address,
    pub radial_slope: Address,
    pub partial: Address,
    pub gradient: Address,
    pub out_energy: Address,
    pub out_forces: Address,
    pub out_virials: Address,
    pub out_descriptors: Address,
    pub out_neurons: Address,
    pub out_projections: Address,
    pub out_q: Address,
    pub input: Address,
    pub out: Address,
    pub scan: Address,
    pub scan_part: Address,
    pub bin_count: Address,
    pub bin_start: Address,
    pub bin_places: Address,
    pub place_bin: Address,
    pub atom_out: Address,
    pub source_out: Address,
    pub shift_out: Address,
    pub reference: Address,
    pub moved: Address,
    pub scratch_u32: Address,
    pub row_stride: u64,
    pub column_stride: u64,
    pub adding: u64,
    pub deformation: [f64; 9],
    pub order: u64,
    pub n_images: Address,
    pub room_r: u64,
    pub room_a: u64,
    pub sizes: Address,
}

/// Bits of `Args::flags`, as in `kernels/args.cuh`.
pub(super) mod flags {
    pub const WANT_VIRIAL: u64 = 1;
    pub const WANT_DESCRIPTORS: u64 = 2;
    pub const WANT_NEURONS: u64 = 4;
    pub const WANT_PROJECTIONS: u64 = 8;
    pub const CONTRACT: u64 = 16;
    pub const ENERGY_ONLY: u64 = 32;
    pub const WANT_GRADES: u64 = 64;
}
