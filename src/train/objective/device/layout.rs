//! Groups of structures as the device reads them.

use super::Job;
use crate::kernel::Geometry;
use crate::objective::{Group, Objective};
use nepal_cuda::train::{EIGHT, Launch, Page, TrainShape, Trainer};

/// Blocks whose gradients are summed together: parts of a launch, about.
const PARTS: usize = 1024;

/// Where a group lies in a page.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub first_block: usize,
    pub blocks: usize,
    pub entries: usize,
    pub first_bond: [usize; 2],
    pub bonds: [usize; 2],
    pub first_structure: usize,
    pub structures: usize,
}

impl Place {
    /// Bytes of scratch that a launch on the group takes.
    pub fn scratch(&self, shape: &TrainShape) -> usize {
        Trainer::scratch_bytes(shape, self.entries, self.bonds, self.blocks)
    }
}

/// A page that grows by groups.
#[derive(Default)]
pub(crate) struct Builder {
    pub page: Page,
    structures: usize,
}

impl Builder {
    /// Bytes of the page on the device.
    pub fn bytes(&self) -> usize {
        let page = &self.page;
        let parts = page.parts.iter().zip(&page.sums).map(|(p, sums)| {
            let bonds = p.rows.len() + p.index.len() + p.start.len() + p.incoming.len();
            bonds + p.range.len() + sums.len()
        });
        let rest = page.local_types.len() + page.local_of.len() + page.structure_of.len();
        4 * (parts.sum::<usize>() + rest + page.members.len() + 2 * page.center.len())
    }

    /// Adds a group.
    pub fn add(&mut self, objective: &Objective, group: &Group, geometry: &Geometry) -> Place {
        let (chunk, shape) = (&group.chunk, &objective.shape);
        let page = &mut self.page;
        let n_local = chunk.types.len();
        let first_block = page.center.len();
        let mut place = Place {
            first_block,
            blocks: chunk.blocks.len(),
            entries: chunk.blocks.len() * n_local,
            first_structure: self.structures,
            structures: chunk.n_structures,
            ..Place::default()
        };
        if page.first_local.is_empty() {
            page.first_local.push(0);
            page.member_start.push(0);
        }
        for &center in &chunk.blocks {
            page.center.push(center as u32);
            page.local_types
                .extend(chunk.types.iter().map(|&t| t as u32));
            page.first_local.push(page.local_types.len() as u32);
            page.local_of.extend((0..shape.n_types).map(|t| {
                let local = chunk.types.iter().position(|&x| x == t);
                local.map_or(u32::MAX, |local| local as u32)
            }));
        }
        page.sums[0].extend(geometry.radial.as_flattened());
        page.sums[1].extend(geometry.angular.as_flattened());
        let slots = chunk.atom.len();
        for part in 0..2 {
            let (bonds, own) = (&geometry.bonds[part], &mut page.parts[part]);
            let first = own.index.len() / EIGHT;
            place.first_bond[part] = first;
            place.bonds[part] = bonds.index.len();
            let ranges = bonds.ranges.iter();
            own.range
                .extend(ranges.flat_map(|&(a, b)| [(first + a) as u32, (first + b) as u32]));
            own.rows.extend(bonds.rows.as_flattened());
            own.index.extend(bonds.index.as_flattened());
            let mut to = vec![Vec::new(); slots];
            let rows = shape.bond_rows(part);
            for (bond, index) in bonds.index.iter().enumerate() {
                let unit = &bonds.rows[(bond + 1) * rows - 4..][..3];
                for (lane, &other) in index.iter().enumerate() {
                    // Places that are not used have no direction.
                    if unit.iter().any(|u| u[lane] != 0.0) {
                        to[other as usize].push(((first + bond) * EIGHT + lane) as u32);
                    }
                }
            }
            if own.start.is_empty() {
                own.start.push(0);
            }
            for list in to {
                own.incoming.extend(list);
                own.start.push(own.incoming.len() as u32);
            }
        }
        let mut members = vec![Vec::new(); chunk.n_structures];
        for (slot, atom) in chunk.atom.iter().enumerate() {
            let structure = chunk.structure[slot];
            page.structure_of
                .push(if atom.is_some() { structure } else { u32::MAX });
            if atom.is_some() {
                members[structure as usize].push(slot as u32);
            }
        }
        for list in members {
            page.members.extend(list);
            page.member_start.push(page.members.len() as u32);
        }
        self.structures += chunk.n_structures;
        place
    }
}

/// The tables of a launch on some jobs, whose groups lie at `places`; and the row and type of each of
/// its results.
pub(crate) fn launch(
    objective: &Objective,
    jobs: &[Job],
    places: &[Place],
) -> (Launch, Vec<(usize, usize)>) {
    let mut launch = Launch::default();
    let mut owners: Vec<(usize, usize, u64)> = Vec::new();
    for (job, place) in jobs.iter().zip(places) {
        let base = launch.block.len() as u64;
        let chunk = &objective.groups[job.group].chunk;
        for (b, &center) in chunk.blocks.iter().enumerate() {
            launch.block.push((place.first_block + b) as u64);
            launch.base.push(base);
            let entries = launch.entries + b * chunk.types.len();
            launch.entry_base.push(entries as u64);
            for part in 0..2 {
                let shift = launch.bonds[part].wrapping_sub(place.first_bond[part]);
                launch.bond_shift[part].push(shift as u64);
            }
            launch.first_structure.push(launch.structure.len() as u64);
            owners.push((job.row, center, base + b as u64));
        }
        launch.entries += place.entries;
        for part in 0..2 {
            launch.bonds[part] += place.bonds[part];
        }
        for s in 0..place.structures {
            launch.structure.push((place.first_structure + s) as u64);
            launch.structure_base.push(base);
        }
    }
    owners.sort_unstable();
    let together = owners.len().div_ceil(PARTS).max(1);
    let mut results = Vec::new();
    for own in owners.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        results.push((own[0].0, own[0].1));
        launch.out_start.push(launch.part_start.len() as u64);
        for part in own.chunks(together) {
            launch.part_start.push(launch.part_positions.len() as u64);
            launch.part_positions.extend(part.iter().map(|o| o.2));
        }
    }
    launch.out_start.push(launch.part_start.len() as u64);
    launch.part_start.push(launch.part_positions.len() as u64);
    (launch, results)
}
