//! Lists from candidates, which are the host's or those of the bins.

use super::super::args::Args;
use super::super::memory::Buffer;
use super::super::program::Program;
use super::{Counts, ListRequest, Lists, NONE, SLICE, sizes};
use nepal_core::error::Result;
use nepal_core::system::NeighborList;

impl Lists {
    /// Copies a host's list, its places in our order: local atoms, then images or ghosts.
    pub(super) fn upload(
        &mut self,
        program: &Program,
        args: &mut Args,
        list: &NeighborList,
    ) -> Result<()> {
        let raw = list.raw();
        let n = list.len();
        let offsets: Vec<u64> = raw.offsets.iter().map(|&o| o as u64).collect();
        self.offsets.upload(&offsets)?;
        if raw.source.is_empty() {
            self.index.upload(raw.index)?;
            return self.host_places(program, args);
        }
        // Images of nepal's own list: all atoms are local.
        let mut number = vec![NONE; raw.source.len()];
        for (atom, &place) in raw.local.iter().enumerate() {
            number[place as usize] = atom as u32;
        }
        let mut next = n as u32;
        for number in &mut number {
            if *number == NONE {
                *number = next;
                next += 1;
            }
        }
        let mut source = vec![0; number.len()];
        let mut shift = vec![[0; 3]; number.len()];
        for (place, &new) in number.iter().enumerate() {
            let atom = raw.source[place] as usize;
            let cells = raw.cells[raw.code[place] as usize];
            source[new as usize] = atom as u32;
            shift[new as usize] = std::array::from_fn(|d| cells[d] - raw.wrap[atom][d]);
        }
        let index: Vec<u32> = raw.index.iter().map(|&p| number[p as usize]).collect();
        self.index.upload(&index)?;
        self.atom.upload(&source)?;
        self.source.upload(&source)?;
        self.shift.upload(&shift)?;
        args.n_places = number.len() as u64;
        Ok(())
    }

    /// Atoms and ghosts in the host's order as places.
    pub(super) fn host_places(&mut self, program: &Program, args: &mut Args) -> Result<()> {
        let n_total = args.n_total as usize;
        args.atom_out = self.atom.reserve(n_total)?;
        args.source_out = self.source.reserve(n_total)?;
        args.shift_out = self.shift.reserve(n_total)?;
        args.n_places = args.n_total;
        program.launch("nepal_host_places", args.n_total, args)
    }

    /// Lists from the candidates, which `args` has.
    pub(super) fn build(
        &mut self,
        program: &Program,
        args: &mut Args,
        sight: &ListRequest<'_>,
        expected: Option<Counts>,
    ) -> Result<()> {
        let n = args.n_local as usize;
        let slices = n.div_ceil(SLICE);
        // Of `partial`, for a slot.
        let pieces = if sight.double { 2 } else { 1 };
        for count in &mut self.count {
            count.reserve(n)?;
        }
        self.enter(args);
        program.launch("nepal_count", args.n_local, args)?;
        for part in 0..2 {
            let mut own = *args;
            own.count_r = self.count[part].address();
            own.scan = self.start[part].reserve(slices + 1)?;
            own.rows = slices as u64;
            program.launch("nepal_slices", own.rows, &own)?;
            self.scan.run(program, &own, slices)?;
            let slots = if let Some(expected) = expected {
                expected[1 + part]
            } else {
                let mut slots = [0];
                self.start[part].download_from(slices, &mut slots)?;
                sizes::check_slots(slots[0])?
            };
            self.list[part].reserve(slots)?;
            if part == 1 {
                self.reverse.reserve(slots)?;
                self.partial.reserve(slots * pieces)?;
            }
        }
        let [r, a] = [&self.list[0], &self.list[1]].map(Buffer::capacity);
        let a = a
            .min(self.reverse.capacity())
            .min(self.partial.capacity() / pieces);
        [self.sizes.room[1], self.sizes.room[2]] = [r, a];
        [args.room_r, args.room_a] = [r as u64, a as u64];
        self.enter(args);
        program.launch("nepal_fill", args.n_local, args)?;
        program.launch("nepal_reverse", args.n_local, args)?;
        self.ghosts(program, args)
    }

    /// The centres that see each ghost.
    fn ghosts(&mut self, program: &Program, args: &mut Args) -> Result<()> {
        let ghosts = (args.n_total - args.n_local) as usize;
        if ghosts == 0 {
            return Ok(());
        }
        args.ghost_cursor = self.ghost_cursor.zero(ghosts)?;
        args.ghost_start = self.ghost_start.reserve(ghosts + 1)?;
        program.launch("nepal_ghost_count", args.n_local, args)?;
        let mut own = *args;
        own.scan = args.ghost_start;
        own.scratch_u32 = args.ghost_cursor;
        own.rows = ghosts as u64;
        program.launch("nepal_widen", own.rows, &own)?;
        self.scan.run(program, &own, ghosts)?;
        // Not more than all entries.
        args.ghost_list = self.ghost_list.reserve(self.list[0].capacity())?;
        self.ghost_cursor.zero(ghosts)?;
        program.launch("nepal_ghost_fill", args.n_local, args)?;
        program.launch("nepal_ghost_sort", ghosts as u64, args)
    }
}
