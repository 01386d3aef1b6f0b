//! Neighbour lists on the device: from a host's list, or from bins of our own.

mod bins;
mod build;
mod motion;
mod sizes;

use super::args::Args;
use super::arrays::DeviceList;
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use super::scan::Scan;
use super::signal::Signal;
use nepal_core::error::Result;
use nepal_core::system::{Cell, NeighborList};
use std::borrow::Cow;
use std::sync::Arc;

pub(super) use sizes::Counts;

/// Atoms of a slice of a list, as `SLICE` in `kernels/dialect.cuh`.
pub(super) const SLICE: usize = 32;
/// How far (Å) lists reach beyond the cutoff once a trajectory is recognised.
const SKIN: f64 = 0.6;
/// Atoms that moved less than this (Å) since the lists were made belong to a trajectory.
const STEP: f64 = 2.0;
/// No place, as in `kernels/dialect.cuh`.
const NONE: u32 = u32::MAX;

/// Places and lists, and what they were made from.
#[derive(Debug)]
pub(super) struct Lists {
    device: Arc<Device>,
    pub(super) atom: Buffer<u32>,
    pub(super) source: Buffer<u32>,
    pub(super) shift: Buffer<[i32; 3]>,
    /// 32 bytes each in single precision and in double.
    places: Buffer<[f64; 4]>,
    start: [Buffer<u64>; 2],
    count: [Buffer<u32>; 2],
    list: [Buffer<u32>; 2],
    reverse: Buffer<u32>,
    /// Four numbers by slot, in single precision or in double.
    partial: Buffer<[f64; 2]>,
    offsets: Buffer<u64>,
    index: Buffer<u32>,
    ghost_start: Buffer<u64>,
    ghost_cursor: Buffer<u32>,
    ghost_list: Buffer<u32>,
    reference: Buffer<[f64; 3]>,
    motion: motion::Motion,
    moved: Buffer<u32>,
    signal: Option<Signal<u32, 1>>,
    pub(super) sizes: sizes::Sizes,
    pub(super) scan: Scan,
    bins: bins::Bins,
    made: Option<ListOrigin>,
}

/// What the lists were made from.
#[derive(Debug)]
struct ListOrigin {
    cell: Cell,
    n_total: usize,
    cutoff: f64,
    skin: f64,
    from: Known,
}

/// Where the candidates came from.
#[derive(Debug)]
enum Known {
    Bins,
    List(NeighborList),
    /// The number of a list on the device, 0 for one that has none.
    Numbered(u64),
}

impl Known {
    fn is(&self, origin: Origin<'_>) -> bool {
        match (self, origin) {
            (Self::Bins, Origin::Bins) => true,
            (Self::List(list), Origin::Host(now)) => list == now,
            (Self::Numbered(number), Origin::Device(now)) => {
                *number != 0 && *number == now.generation
            }
            _ => false,
        }
    }
}

/// Where the neighbours come from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Host(&'a NeighborList),
    Device(&'a DeviceList),
    Bins,
}

impl Origin<'_> {
    /// Whether the host code sees to ghosts, and to when its list is too old.
    fn is_hosts(self) -> bool {
        match self {
            Self::Host(list) => list.raw().source.is_empty(),
            Self::Device(_) => true,
            Self::Bins => false,
        }
    }
}

/// Positions as they came; the device has them in any case.
#[derive(Clone, Copy)]
pub(super) enum Positions<'a> {
    Host(&'a [[f64; 3]]),
    /// The first of a buffer.
    Device(&'a Buffer<[f64; 3]>, usize),
}

impl<'a> Positions<'a> {
    /// The positions on the host.
    pub fn fetch(&self) -> Result<Cow<'a, [[f64; 3]]>> {
        match self {
            Self::Host(positions) => Ok(Cow::Borrowed(positions)),
            Self::Device(buffer, len) => {
                let mut positions = vec![[0.0; 3]; *len];
                buffer.download(&mut positions)?;
                Ok(Cow::Owned(positions))
            }
        }
    }
}

/// What lists are made of.
#[derive(Clone, Copy)]
pub(super) struct ListRequest<'a> {
    pub cell: &'a Cell,
    pub positions: Positions<'a>,
    /// Atoms, ghosts included.
    pub n_total: usize,
    /// No atom moved half the skin since the caller's last call without this, by the caller's word.
    pub still: bool,
    /// The host does not wait to hear how far they moved, but goes by what the call before found.
    pub ahead: bool,
    /// Largest cutoff, Å.
    pub cutoff: f64,
    pub origin: Origin<'a>,
    /// The types are not those of the last call.
    pub new_types: bool,
    pub double: bool,
}

impl Lists {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            device: Arc::clone(device),
            atom: Buffer::new(device),
            source: Buffer::new(device),
            shift: Buffer::new(device),
            places: Buffer::new(device),
            start: [0; 2].map(|_| Buffer::new(device)),
            count: [0; 2].map(|_| Buffer::new(device)),
            list: [0; 2].map(|_| Buffer::new(device)),
            reverse: Buffer::new(device),
            partial: Buffer::new(device),
            offsets: Buffer::new(device),
            index: Buffer::new(device),
            ghost_start: Buffer::new(device),
            ghost_cursor: Buffer::new(device),
            ghost_list: Buffer::new(device),
            reference: Buffer::new(device),
            moved: Buffer::new(device),
            motion: motion::Motion::default(),
            signal: None,
            sizes: sizes::Sizes::new(device),
            scan: Scan::new(device),
            bins: bins::Bins::new(device),
            made: None,
        }
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> usize {
        let lists = self.start.iter().map(Buffer::bytes).sum::<usize>()
            + self
                .count
                .iter()
                .chain(&self.list)
                .map(Buffer::bytes)
                .sum::<usize>();
        lists
            + self.atom.bytes()
            + self.source.bytes()
            + self.shift.bytes()
            + self.places.bytes()
            + self.reverse.bytes()
            + self.partial.bytes()
            + self.offsets.bytes()
            + self.index.bytes()
            + self.ghost_start.bytes()
            + self.ghost_cursor.bytes()
            + self.ghost_list.bytes()
            + self.reference.bytes()
            + self.scan.bytes()
            + self.bins.bytes()
    }

    /// Forgets what was made; the next call makes it anew.
    pub fn forget(&mut self) {
        self.made = None;
    }

    /// Brings places and lists up to date with the positions, which `args.positions` has, and
    /// enters them in `args`. Lists stay as long as the motion of atoms and cell loses no neighbour.
    pub fn update(
        &mut self,
        program: &Program,
        args: &mut Args,
        sight: ListRequest<'_>,
    ) -> Result<()> {
        // Cells whose images bins would not hold: the processor finds the same, or says what is wrong.
        let found;
        let mut sight: ListRequest<'_> = sight;
        if matches!(sight.origin, Origin::Bins)
            && !NeighborList::is_ordinary(sight.cell, sight.n_total, sight.cutoff + SKIN)
        {
            found = NeighborList::build(sight.cell, &sight.positions.fetch()?, sight.cutoff)?;
            sight.origin = Origin::Host(&found);
        }
        let made = self.made.take();
        self.heard(made.as_ref())?;
        self.heard_sizes(made.is_some())?;
        let n_total = sight.n_total;
        args.n_total = n_total as u64;
        args.cell = flat(sight.cell.vectors());
        let moved = match &made {
            Some(made) if made.near(&sight) && made.may_stay(&sight) => {
                self.moved(program, args, made, &sight)?
            }
            _ => f64::INFINITY,
        };
        let kept = made.as_ref().filter(|made| {
            !sight.new_types && moved <= made.room(sight.cell) && made.from.is(sight.origin)
        });
        self.motion.count_promises(kept, moved, &sight);
        if kept.is_some() {
            self.enter(args);
            program.launch("nepal_places", args.n_places, args)?;
            self.made = made;
            return Ok(());
        }
        // A host's list after another is that of a trajectory, whose atoms may be others.
        let follows = made
            .as_ref()
            .is_some_and(|made| !matches!(made.from, Known::Bins))
            && sight.origin.is_hosts();
        let skin = if moved < STEP || follows { SKIN } else { 0.0 };
        args.skin = skin;
        let from = match (sight.origin, made.map(|made| made.from)) {
            (Origin::Bins, _) => Known::Bins,
            (Origin::Host(list), Some(known)) if known.is(Origin::Host(list)) => known,
            (Origin::Host(list), _) => {
                self.upload(program, args, list)?;
                Known::List(list.clone())
            }
            (Origin::Device(list), _) => {
                self.host_places(program, args)?;
                Known::Numbered(list.generation)
            }
        };
        let n_local = args.n_local as usize;
        let expected = self.sizes.expected(n_local, skin, sight.new_types);
        self.make(program, args, &sight, expected)?;
        if expected.is_some() && sight.ahead {
            self.fit_later()?;
        } else if !self.fit()? {
            self.make(program, args, &sight, None)?;
        }
        self.made = Some(ListOrigin {
            cell: sight.cell.clone(),
            n_total,
            cutoff: sight.cutoff,
            skin,
            from,
        });
        // The positions now, to compare later ones with.
        let mut own = *args;
        own.rows = 3 * n_total as u64;
        own.input = args.positions;
        own.out = self.reference.reserve(n_total)?;
        program.launch("nepal_copy", own.rows, &own)
    }

    /// Makes places and lists, which are expected to be of some size; without, the host waits to hear it.
    fn make(
        &mut self,
        program: &Program,
        args: &mut Args,
        sight: &ListRequest<'_>,
        expected: Option<Counts>,
    ) -> Result<()> {
        args.sizes = self.sizes.found.zero(sizes::WORDS)?;
        args.n_images = 0;
        match sight.origin {
            Origin::Host(_) | Origin::Device(_) => {
                args.from_bins = 0;
                if let Origin::Device(list) = sight.origin {
                    args.from_bins = 2;
                    args.host_counts = list.counts;
                    args.host_list = list.neighbors.address;
                    [args.host_row, args.host_entry] = list.neighbors.strides.map(|s| s as u64);
                    args.host_mask = u64::from(list.mask);
                }
                self.sizes.room[0] = 0;
                self.enter(args);
                args.places = self.places.reserve(args.n_places as usize)?;
                program.launch("nepal_places", args.n_places, args)?;
            }
            Origin::Bins => {
                args.from_bins = 1;
                bins::place(self, program, args, sight, expected)?;
                self.sizes.room[0] = (args.n_places - args.n_local) as usize;
            }
        }
        self.build(program, args, sight, expected)
    }

    /// Room for the places, and where they will be.
    pub fn reserve_places(&mut self, n_places: usize) -> Result<u64> {
        self.places.reserve(n_places)
    }

    fn enter(&self, args: &mut Args) {
        args.atom = self.atom.address();
        args.source = self.source.address();
        args.shift = self.shift.address();
        args.places = self.places.address();
        args.start_r = self.start[0].address();
        args.start_a = self.start[1].address();
        args.count_r = self.count[0].address();
        args.count_a = self.count[1].address();
        args.list_r = self.list[0].address();
        args.list_a = self.list[1].address();
        args.reverse = self.reverse.address();
        args.partial = self.partial.address();
        args.offsets = self.offsets.address();
        args.index = self.index.address();
        args.ghost_start = self.ghost_start.address();
        args.ghost_cursor = self.ghost_cursor.address();
        args.ghost_list = self.ghost_list.address();
    }
}

/// Rows of a matrix one after another.
pub(super) fn flat(rows: &[[f64; 3]; 3]) -> [f64; 9] {
    std::array::from_fn(|k| rows[k / 3][k % 3])
}
