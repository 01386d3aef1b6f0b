//! What of a set of structures does not depend on the parameters, and what a launch works on.

use crate::driver::Device;
use crate::memory::Buffer;
use nepal_core::error::Result;
use std::sync::Arc;

/// Atoms of a block.
pub const EIGHT: usize = 8;

/// Some structures, block by block, as `kernels/train_args.cuh` explains.
#[derive(Debug, Default)]
pub struct Page {
    pub center: Vec<u32>,
    pub first_local: Vec<u32>,
    pub local_types: Vec<u32>,
    pub local_of: Vec<u32>,
    /// Sums over neighbours, radial and angular part.
    pub sums: [Vec<f32>; 2],
    pub parts: [Bonds; 2],
    pub structure_of: Vec<u32>,
    pub member_start: Vec<u32>,
    pub members: Vec<u32>,
}

/// Bonds of a part.
#[derive(Debug, Default)]
pub struct Bonds {
    pub range: Vec<u32>,
    pub rows: Vec<f32>,
    pub index: Vec<u32>,
    pub start: Vec<u32>,
    pub incoming: Vec<u32>,
}

/// A page on a device.
#[derive(Debug)]
pub(super) struct Resident {
    pub center: Buffer<u32>,
    pub first_local: Buffer<u32>,
    pub local_types: Buffer<u32>,
    pub local_of: Buffer<u32>,
    pub sums: [Buffer<f32>; 2],
    pub range: [Buffer<u32>; 2],
    pub rows: [Buffer<f32>; 2],
    pub index: [Buffer<u32>; 2],
    pub start: [Buffer<u32>; 2],
    pub incoming: [Buffer<u32>; 2],
    pub structure_of: Buffer<u32>,
    pub member_start: Buffer<u32>,
    pub members: Buffer<u32>,
}

impl Resident {
    pub fn new(device: &Arc<Device>) -> Self {
        let whole = || Buffer::new(device);
        let pair = || [Buffer::new(device), Buffer::new(device)];
        let floats = || [Buffer::new(device), Buffer::new(device)];
        Self {
            center: whole(),
            first_local: whole(),
            local_types: whole(),
            local_of: whole(),
            sums: floats(),
            range: pair(),
            rows: floats(),
            index: pair(),
            start: pair(),
            incoming: pair(),
            structure_of: whole(),
            member_start: whole(),
            members: whole(),
        }
    }

    /// Takes the place of the page before.
    pub fn upload(&mut self, page: &Page) -> Result<()> {
        self.center.upload(&page.center)?;
        self.first_local.upload(&page.first_local)?;
        self.local_types.upload(&page.local_types)?;
        self.local_of.upload(&page.local_of)?;
        for (k, part) in page.parts.iter().enumerate() {
            self.sums[k].upload(&page.sums[k])?;
            self.range[k].upload(&part.range)?;
            self.rows[k].upload(&part.rows)?;
            self.index[k].upload(&part.index)?;
            self.start[k].upload(&part.start)?;
            self.incoming[k].upload(&part.incoming)?;
        }
        self.structure_of.upload(&page.structure_of)?;
        self.member_start.upload(&page.member_start)?;
        self.members.upload(&page.members)
    }
}

/// What a launch works on: blocks of the page, its structures, and whose gradients are summed.
#[derive(Debug, Default)]
pub struct Launch {
    pub block: Vec<u64>,
    pub base: Vec<u64>,
    pub entry_base: Vec<u64>,
    pub bond_shift: [Vec<u64>; 2],
    pub first_structure: Vec<u64>,
    pub structure: Vec<u64>,
    pub structure_base: Vec<u64>,
    pub part_start: Vec<u64>,
    pub part_positions: Vec<u64>,
    pub out_start: Vec<u64>,
    /// Local entries and bonds of all blocks.
    pub entries: usize,
    pub bonds: [usize; 2],
}

impl Launch {
    pub fn positions(&self) -> usize {
        self.block.len()
    }

    pub fn structures(&self) -> usize {
        self.structure.len()
    }

    pub fn parts(&self) -> usize {
        self.part_start.len().saturating_sub(1)
    }

    pub fn outs(&self) -> usize {
        self.out_start.len().saturating_sub(1)
    }

    /// All tables, in the order of the arguments.
    pub fn tables(&self) -> [&[u64]; 11] {
        [
            &self.block,
            &self.base,
            &self.entry_base,
            &self.bond_shift[0],
            &self.bond_shift[1],
            &self.first_structure,
            &self.structure,
            &self.structure_base,
            &self.part_start,
            &self.part_positions,
            &self.out_start,
        ]
    }
}
