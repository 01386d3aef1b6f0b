//! Neighbours found on the device: atoms wrapped into the cell and put in the order of bins, with
//! their images near the cell, all in bins of half the reach.

use super::{Counts, ListRequest, Lists, flat};
use crate::args::Args;
use crate::driver::Device;
use crate::memory::Buffer;
use crate::program::Program;
use nepal_core::error::{Error, Result};
use nepal_core::system::Cell;
use std::sync::Arc;

/// Bins of an empty box, at most, and for each place.
const FEW_BINS: usize = 4096;
const BINS_PER_PLACE: usize = 4;

/// Bins and what is needed to make places.
#[derive(Debug)]
pub(super) struct Bins {
    wrap: Buffer<[i32; 3]>,
    place_bin: Buffer<u32>,
    count: Buffer<u32>,
    start: Buffer<u64>,
    places: Buffer<u32>,
    image_start: Buffer<u64>,
}

impl Bins {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            wrap: Buffer::new(device),
            place_bin: Buffer::new(device),
            count: Buffer::new(device),
            start: Buffer::new(device),
            places: Buffer::new(device),
            image_start: Buffer::new(device),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.wrap.bytes()
            + self.place_bin.bytes()
            + self.count.bytes()
            + self.start.bytes()
            + self.places.bytes()
            + self.image_start.bytes()
    }
}

/// Fractional bounds of the atoms along each direction.
fn bounds(cell: &Cell, positions: &[[f64; 3]]) -> [[f64; 2]; 3] {
    let mut bounds = [[f64::INFINITY, f64::NEG_INFINITY]; 3];
    for &r in positions {
        for (bound, s) in bounds.iter_mut().zip(cell.fractional(r)) {
            *bound = [bound[0].min(s), bound[1].max(s)];
        }
    }
    bounds
}

/// Enters the geometry of an ordinary cell, images and bins; gives the number of bins.
///
/// Without bounds the positions are looked at. Any bounds will do: atoms beyond them are in the outermost bins.
fn geometry(
    args: &mut Args,
    sight: &ListRequest<'_>,
    known: Option<[[f64; 2]; 3]>,
) -> Result<usize> {
    let reach = sight.cutoff + args.skin;
    let cell = sight.cell;
    let (thickness, periodic) = (cell.thickness(), cell.periodic());
    args.cell = flat(cell.vectors());
    let unit = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    args.inverse = flat(&unit.map(|e| cell.fractional(e)));
    args.reach = reach;
    // Only directions that are not periodic need the atoms' bounds.
    let bounds = match known {
        _ if periodic == [true; 3] => [[0.0, 1.0]; 3],
        Some(known) => known,
        None => bounds(cell, &sight.positions.fetch()?),
    };
    let mut images = 1.0;
    let mut length = [0.0; 3];
    for d in 0..3 {
        args.image_range[d] = u64::from(periodic[d]);
        // A little more than the reach: rounding must not lose a neighbour.
        args.margin[d] = reach / thickness[d] * (1.0 + 1e-6) + 1e-9;
        let [low, high] = if periodic[d] {
            images *= 2.0 * args.margin[d] + 1.0;
            [-args.margin[d], 1.0 + args.margin[d]]
        } else {
            bounds[d]
        };
        args.origin[d] = low;
        length[d] = (high - low).max(1e-9);
    }
    let limit = FEW_BINS + (sight.n_total as f64 * images) as usize * BINS_PER_PLACE;
    let mut bins = [0u64; 3];
    for d in 0..3 {
        let most = length[d] * thickness[d] / (0.5 * reach * (1.0 + 1e-6));
        bins[d] = most.clamp(1.0, 1e6) as u64;
    }
    while bins.iter().product::<u64>() > limit as u64 {
        let widest = (0..3).max_by_key(|&d| bins[d]).unwrap_or(0);
        bins[widest] = bins[widest].div_ceil(2);
    }
    args.bins = bins;
    for d in 0..3 {
        args.per_unit[d] = bins[d] as f64 / length[d];
    }
    Ok(bins.iter().product::<u64>() as usize)
}

/// Makes places from the atoms: order, images, positions, bins.
pub(super) fn place(
    lists: &mut Lists,
    program: &Program,
    args: &mut Args,
    sight: &ListRequest<'_>,
    expected: Option<Counts>,
) -> Result<()> {
    let n = sight.n_total;
    if let Some([images, ..]) = expected {
        reserve(lists, args, n + images)?;
    }
    let bounds = expected.and_then(|_| lists.sizes.bounds());
    let n_bins = geometry(args, sight, bounds)?;
    args.shift_out = lists.bins.wrap.reserve(n)?;
    args.place_bin = lists.bins.place_bin.reserve(n)?;
    program.launch("nepal_wrap", n as u64, args)?;
    args.n_places = n as u64;
    sort(lists, program, args, n_bins)?;

    args.shift = lists.bins.wrap.address();
    args.scan = lists.bins.image_start.reserve(n + 1)?;
    reserve(lists, args, n)?;
    program.launch("nepal_order", n as u64, args)?;
    lists.scan.run(program, args, n)?;
    let n_places = if let Some([images, ..]) = expected {
        (n + images) as u64
    } else {
        let mut images = [0];
        lists.bins.image_start.download_from(n, &mut images)?;
        n as u64 + images[0]
    };
    if n_places > u64::from(u32::MAX / 2) {
        return Err(Error::Backend(format!(
            "{n_places} atoms and images are more than one device context holds; use more devices"
        )));
    }
    let room = lists.atom.capacity().min(lists.source.capacity());
    let grows = room.min(lists.shift.capacity()) < n_places as usize;
    reserve(lists, args, n_places as usize)?;
    if grows {
        // Room for the images was had at the price of the content.
        let counts = args.scan;
        args.scan = lists.bins.start.reserve(n + 1)?;
        program.launch("nepal_order", n as u64, args)?;
        args.scan = counts;
    }
    args.n_images = lists.bins.image_start.address() + (n * size_of::<u64>()) as u64;
    args.n_places = n_places;
    program.launch("nepal_images", n as u64, args)?;
    args.atom = args.atom_out;
    args.source = args.source_out;
    args.shift = args.shift_out;
    args.places = lists.reserve_places(n_places as usize)?;
    program.launch("nepal_places", n_places, args)?;
    args.place_bin = lists.bins.place_bin.reserve(n_places as usize)?;
    program.launch("nepal_bins", n_places, args)?;
    sort(lists, program, args, n_bins)
}

fn reserve(lists: &mut Lists, args: &mut Args, n: usize) -> Result<()> {
    args.atom_out = lists.atom.reserve(n)?;
    args.source_out = lists.source.reserve(n)?;
    args.shift_out = lists.shift.reserve(n)?;
    Ok(())
}

/// Sorts places into bins.
fn sort(lists: &mut Lists, program: &Program, args: &mut Args, n_bins: usize) -> Result<()> {
    let bins = &mut lists.bins;
    args.bin_count = bins.count.zero(n_bins)?;
    args.bin_start = bins.start.reserve(n_bins + 1)?;
    args.bin_places = bins.places.reserve(args.n_places as usize)?;
    program.launch("nepal_bin_count", args.n_places, args)?;
    let mut own = *args;
    own.scan = args.bin_start;
    own.scratch_u32 = args.bin_count;
    own.rows = n_bins as u64;
    program.launch("nepal_widen", own.rows, &own)?;
    lists.scan.run(program, &own, n_bins)?;
    lists.bins.count.zero(n_bins)?;
    program.launch("nepal_bin_fill", args.n_places, args)?;
    program.launch("nepal_bin_sort", own.rows, &own)
}
