//! A few whole structures, laid out for the training kernels.
//!
//! Atoms are sorted by type into blocks of [`LANES`]. Everything about their neighbours that does not
//! depend on the parameters is computed once, and kept in single precision where memory allows; else
//! only the vectors to the neighbours are ([`Sites`]), a quarter of it, of which the rest is made anew.
//! It is the same either way: the energies and forces of training are those of the rounded geometry.

use super::bonds::AddBonds;
use super::lanes::LANES;
use super::long_range::LongRange;
use nepal::error::Result;
use nepal::model::{Header, Kind, Layout};
use nepal::nep::{angular, invariants::Invariants};
use nepal::system::cell::norm;
use nepal::system::{NeighborList, Structure};
use std::mem::size_of;

/// Sizes that the kernels need.
pub(crate) struct Shape {
    pub kind: Kind,
    /// Output weights of a neuron of the only hidden layer.
    pub outputs: usize,
    /// Radial functions, radial and angular part.
    pub n: [usize; 2],
    /// Basis functions, radial and angular part.
    pub k: [usize; 2],
    pub l_max: usize,
    /// Number of angular functions.
    pub lm: usize,
    pub dim: usize,
    pub neurons: [usize; 2],
    pub n_types: usize,
    pub invariants: Invariants,
}

impl Shape {
    pub fn new(header: &Header) -> Self {
        Self {
            kind: header.kind,
            outputs: Layout::new(header).n_outputs,
            n: header.n_max.map(|n| n + 1),
            k: header.basis_size.map(|k| k + 1),
            l_max: header.l_max,
            lm: angular::count(header.l_max),
            dim: header.dim(),
            neurons: header.neurons,
            n_types: header.n_types(),
            invariants: Invariants::new(header),
        }
    }

    /// Rows of a radial (0) or angular (1) bond: the basis (angular only), its derivative, unit
    /// vector, distance.
    pub fn bond_rows(&self, part: usize) -> usize {
        self.k[part] * (part + 1) + 4
    }
}

/// One number of each atom of a block, as cached.
pub(crate) type Row = [f32; LANES];

/// Neighbours of all atoms, one slot for each neighbour of each atom of a block.
#[derive(Default)]
pub(crate) struct Bonds {
    /// Rows of all slots, `Shape::bond_rows` each.
    pub rows: Vec<Row>,
    /// As in [`Sites`].
    pub index: Vec<[u32; LANES]>,
    pub ranges: Vec<(usize, usize)>,
}

/// Where the neighbours of one part are, slots as in [`Bonds`].
#[derive(Default)]
pub(crate) struct Sites {
    /// Slot of the neighbour; the atom itself where a slot is not used.
    pub index: Vec<[u32; LANES]>,
    /// Vector to the neighbour, Å; zero where a slot is not used.
    pub vectors: Vec<[Row; 3]>,
    /// First and last slot by block and local neighbour type.
    pub ranges: Vec<(usize, usize)>,
}

impl Sites {
    /// Size in memory, bytes.
    pub fn bytes(&self) -> f64 {
        (self.index.len() * (size_of::<[u32; LANES]>() + size_of::<[Row; 3]>())) as f64
    }

    /// The same without room to grow.
    pub fn shrunk(mut self) -> Self {
        self.index.shrink_to_fit();
        self.vectors.shrink_to_fit();
        self.ranges.shrink_to_fit();
        self
    }
}

/// What depends on positions only.
#[derive(Default)]
pub(crate) struct Geometry {
    /// Σ_j f_k by block, local neighbour type, k.
    pub radial: Vec<Row>,
    /// Σ_j f_k S_lm by block, local neighbour type, k, lm.
    pub angular: Vec<Row>,
    /// Radial and angular bonds.
    pub bonds: [Bonds; 2],
}

impl Geometry {
    /// Size in memory, bytes.
    pub fn bytes(&self) -> f64 {
        let bonds = self.bonds.iter().map(|b| b.rows.len() + b.index.len());
        let rows = self.radial.len() + self.angular.len() + bonds.sum::<usize>();
        (rows * size_of::<Row>()) as f64
    }
}

/// Where the atoms of a chunk are.
pub(crate) struct Chunk {
    /// Types of the model that occur here.
    pub types: Vec<usize>,
    /// Type of each block.
    pub blocks: Vec<usize>,
    /// Structure of each slot, counted in the chunk; zero where `atom` is `None`.
    pub structure: Vec<u32>,
    /// Atom of each slot.
    pub atom: Vec<Option<u32>>,
    /// Number of structures.
    pub n_structures: usize,
    /// Temperature of each structure in K, for models that take it; else zero.
    pub temperature: Vec<f64>,
    /// What the interactions of charges, then of C6 coefficients, take; empty for others.
    pub long_range: Vec<LongRange>,
    /// Number of atoms.
    pub n_atoms: usize,
}

/// Neighbours of a chunk's atoms, radial and angular, by slot and local type: what making its sites takes, kept from
/// chunk to chunk. Each is a slot and the vector to it.
#[derive(Default)]
pub(crate) struct Near([Vec<Vec<(u32, [f32; 3])>>; 2]);

impl Chunk {
    /// Sorts the atoms of some structures into blocks.
    pub fn new(parts: &[(&Structure, &[u32])]) -> Self {
        let mut atoms: Vec<(u32, u32, u32)> = Vec::new();
        for (s, (_, types)) in parts.iter().enumerate() {
            atoms.extend(
                types
                    .iter()
                    .enumerate()
                    .map(|(i, &t)| (t, s as u32, i as u32)),
            );
        }
        atoms.sort_unstable();
        let mut chunk = Self {
            types: Vec::new(),
            blocks: Vec::new(),
            structure: Vec::new(),
            atom: Vec::new(),
            n_structures: parts.len(),
            temperature: vec![0.0; parts.len()],
            long_range: Vec::new(),
            n_atoms: atoms.len(),
        };
        for same in atoms.chunk_by(|a, b| a.0 == b.0) {
            chunk.types.push(same[0].0 as usize);
            for block in same.chunks(LANES) {
                chunk.blocks.push(block[0].0 as usize);
                for lane in 0..LANES {
                    let atom = block.get(lane);
                    chunk.structure.push(atom.map_or(0, |a| a.1));
                    chunk.atom.push(atom.map(|a| a.2));
                }
            }
        }
        chunk
    }

    /// Finds the neighbours, and gives the largest numbers of radial and angular ones.
    ///
    /// **Errors**: as [`NeighborList::build`].
    pub fn sites(
        &self,
        header: &Header,
        cutoff: f64,
        parts: &[(&Structure, &[u32])],
        (near, sites): (&mut Near, &mut [Sites; 2]),
    ) -> Result<[usize; 2]> {
        let slots = self.slots(parts);
        let n_types = self.types.len();
        for lists in &mut near.0 {
            lists.resize_with(lists.len().max(self.atom.len() * n_types), Vec::new);
            lists.iter_mut().for_each(Vec::clear);
        }
        let mut largest = [0usize; 2];
        for (s, (structure, types)) in parts.iter().enumerate() {
            let list = NeighborList::build(&structure.cell, &structure.positions, cutoff)?;
            for i in 0..structure.len() {
                let own = slots[s][i] * n_types;
                let mut counts = [0usize; 2];
                for (j, vector) in list.vectors(i, &structure.cell, &structure.positions) {
                    let r = norm(vector);
                    let rc = header.pair_cutoff(types[i] as usize, types[j] as usize);
                    let local = self.local(types[j] as usize);
                    // Atoms on top of one another have no direction: the loss must not be a number.
                    let vector = vector.map(|x| if r > 0.0 { x as f32 } else { f32::NAN });
                    for part in 0..2 {
                        if r < rc[part] {
                            counts[part] += 1;
                            near.0[part][own + local].push((slots[s][j] as u32, vector));
                        }
                    }
                }
                for part in 0..2 {
                    largest[part] = largest[part].max(counts[part]);
                }
            }
        }
        for (sites, near) in sites.iter_mut().zip(&near.0) {
            sites.index.clear();
            sites.vectors.clear();
            sites.ranges.clear();
            for block in 0..self.blocks.len() {
                for local in 0..n_types {
                    let first = sites.index.len();
                    let lanes: [&[_]; LANES] = std::array::from_fn(|lane| {
                        near[(block * LANES + lane) * n_types + local].as_slice()
                    });
                    let count = lanes.iter().map(|l| l.len()).max().unwrap_or(0);
                    for m in 0..count {
                        let mut index = std::array::from_fn(|lane| (block * LANES + lane) as u32);
                        let mut vector = [[0.0; LANES]; 3];
                        for lane in 0..LANES {
                            if let Some(&(j, v)) = lanes[lane].get(m) {
                                index[lane] = j;
                                (0..3).for_each(|c| vector[c][lane] = v[c]);
                            }
                        }
                        sites.index.push(index);
                        sites.vectors.push(vector);
                    }
                    sites.ranges.push((first, sites.index.len()));
                }
            }
        }
        Ok(largest)
    }

    /// Makes the geometry anew from where the neighbours are.
    pub fn geometry(
        &self,
        shape: &Shape,
        header: &Header,
        sites: &[Sites; 2],
        geometry: &mut Geometry,
    ) {
        geometry.radial.clear();
        geometry.angular.clear();
        for (part, sites) in sites.iter().enumerate() {
            let bonds = &mut geometry.bonds[part];
            bonds.index.clone_from(&sites.index);
            bonds.ranges.clone_from(&sites.ranges);
            bonds.rows.clear();
            let rows = sites.index.len() * shape.bond_rows(part);
            bonds.rows.reserve_exact(rows);
            let pairs = (self.blocks.iter()).flat_map(|&t| self.types.iter().map(move |&o| (t, o)));
            for ((center, other), range) in pairs.zip(&sites.ranges) {
                let add = AddBonds {
                    shape,
                    part,
                    cutoff: header.pair_cutoff(center, other)[part],
                    vectors: &sites.vectors[range.0..range.1],
                    rows: &mut bonds.rows,
                    sums: match part {
                        0 => &mut geometry.radial,
                        _ => &mut geometry.angular,
                    },
                };
                add.run();
            }
        }
    }

    /// Index of a type in `types`.
    fn local(&self, t: usize) -> usize {
        self.types.iter().position(|&x| x == t).unwrap_or(0)
    }

    /// Slot of each atom of each structure.
    pub fn slots(&self, parts: &[(&Structure, &[u32])]) -> Vec<Vec<usize>> {
        let mut slots: Vec<Vec<usize>> = parts.iter().map(|p| vec![0; p.0.len()]).collect();
        for (slot, (atom, &s)) in self.atom.iter().zip(&self.structure).enumerate() {
            if let Some(atom) = atom {
                slots[s as usize][*atom as usize] = slot;
            }
        }
        slots
    }
}
