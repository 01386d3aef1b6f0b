//! Atoms sorted into slabs of the cell, for building neighbour lists.

use super::cell::{Cell, sub};
use crate::error::{Error, Result};

/// Entries are refused above this number rather than exhausting memory: 2^31 is beyond any real list.
pub(super) const MAX_ENTRIES: usize = 1 << 31;

/// Atoms sorted by bin, wrapped into the cell along the periodic directions.
pub(super) struct Bins {
    count: [usize; 3],
    /// How many bins away a neighbour can be, per direction.
    reach: [i64; 3],
    periodic: [bool; 3],
    /// First place of each bin in `atoms`, and the end.
    start: Vec<u32>,
    /// Atoms in the order of the bins, ascending in each.
    atoms: Vec<u32>,
    /// Wrapped Cartesian positions in the order of `atoms`.
    sorted: [Vec<f64>; 3],
    /// Bin of each atom.
    bin: Vec<[u32; 3]>,
    /// Wrapped Cartesian positions, by atom.
    wrapped: Vec<[f64; 3]>,
    /// Lattice translation removed from each atom.
    pub(super) wrap: Vec<[i32; 3]>,
    /// All translations a neighbour can have after wrapping, in lexicographic order.
    pub(super) cells: Vec<[i32; 3]>,
    /// The same in Å.
    translations: Vec<[f64; 3]>,
    /// Largest translation per direction.
    extent: [i64; 3],
}

/// Neighbours of a range of centres.
#[derive(Default)]
pub(super) struct Part {
    pub(super) counts: Vec<usize>,
    pub(super) index: Vec<u32>,
    pub(super) code: Vec<u32>,
}

impl Bins {
    pub(super) fn new(cell: &Cell, positions: &[[f64; 3]], cutoff: f64) -> Result<Self> {
        let thickness = cell.thickness();
        let periodic = cell.periodic();
        let mut fractional: Vec<[f64; 3]> = positions.iter().map(|&r| cell.fractional(r)).collect();
        let mut wrap = vec![[0i32; 3]; positions.len()];
        let mut count = [1usize; 3];
        let mut low = [0.0; 3];
        let mut width = [1.0; 3];
        let mut reach = [0i64; 3];
        for d in 0..3 {
            let mut extent = 1.0;
            if periodic[d] {
                for (s, shift) in fractional.iter_mut().zip(&mut wrap) {
                    let whole = s[d].floor();
                    s[d] -= whole;
                    shift[d] = whole as i32;
                }
            } else if !positions.is_empty() {
                let values = || fractional.iter().map(|s| s[d]);
                low[d] = values().fold(f64::INFINITY, f64::min);
                extent = values().fold(f64::NEG_INFINITY, f64::max) - low[d];
            }
            // No more bins than atoms: an atom far out must not cost memory.
            let limit = (positions.len().max(1) as f64).cbrt().ceil() * 2.0 + 1.0;
            // Bins of half the cutoff: fewer candidates than with whole ones.
            let fit = (2.0 * extent * thickness[d] / cutoff).floor();
            count[d] = fit.clamp(1.0, limit) as usize;
            width[d] = if extent > 0.0 {
                extent / count[d] as f64
            } else {
                1.0
            };
            let needed = (cutoff / (width[d] * thickness[d])).ceil() as i64;
            reach[d] = if periodic[d] {
                needed
            } else {
                needed.min(count[d] as i64 - 1)
            };
        }
        let extent: [i64; 3] = std::array::from_fn(|d| {
            if periodic[d] {
                (reach[d] as u64).div_ceil(count[d] as u64) as i64
            } else {
                0
            }
        });
        let images = extent.iter().map(|&m| (2 * m + 1) as f64).product::<f64>();
        if images > MAX_ENTRIES as f64 / 16.0 {
            return Err(Error::invalid(format!(
                "the cell has {images:.0} images within {cutoff} Å; is it flat, or in other units than Å?"
            )));
        }
        let mut cells = Vec::with_capacity(images as usize);
        for a in -extent[0]..=extent[0] {
            for b in -extent[1]..=extent[1] {
                for c in -extent[2]..=extent[2] {
                    cells.push([a as i32, b as i32, c as i32]);
                }
            }
        }
        let bin: Vec<[u32; 3]> = fractional
            .iter()
            .map(|s| {
                std::array::from_fn(|d| {
                    (((s[d] - low[d]) / width[d]) as usize).min(count[d] - 1) as u32
                })
            })
            .collect();
        let wrapped: Vec<[f64; 3]> = positions
            .iter()
            .zip(&wrap)
            .map(|(&r, &w)| sub(r, cell.translation(w)))
            .collect();
        let mut bins = Self {
            count,
            reach,
            periodic,
            start: Vec::new(),
            atoms: vec![0; positions.len()],
            sorted: std::array::from_fn(|_| vec![0.0; positions.len()]),
            bin,
            wrapped,
            wrap,
            translations: cells.iter().map(|&c| cell.translation(c)).collect(),
            cells,
            extent,
        };
        bins.sort();
        Ok(bins)
    }

    /// Fills `start`, `atoms` and `sorted` by counting.
    fn sort(&mut self) {
        let number = |b: [u32; 3]| {
            (b[0] as usize * self.count[1] + b[1] as usize) * self.count[2] + b[2] as usize
        };
        let total = self.count.iter().product::<usize>();
        let mut start = vec![0u32; total + 1];
        for &b in &self.bin {
            start[number(b) + 1] += 1;
        }
        for b in 0..total {
            start[b + 1] += start[b];
        }
        let mut next = start.clone();
        for (atom, &b) in self.bin.iter().enumerate() {
            let place = next[number(b)] as usize;
            next[number(b)] += 1;
            self.atoms[place] = atom as u32;
            for d in 0..3 {
                self.sorted[d][place] = self.wrapped[atom][d];
            }
        }
        self.start = start;
    }

    /// The neighbours of some centres, each centre's sorted by atom and translation.
    pub(super) fn part(&self, centers: std::ops::Range<usize>, cutoff: f64) -> Result<Part> {
        let mut part = Part::default();
        let mut found: Vec<u64> = Vec::new();
        for center in centers {
            let n = self.neighbors_of(center, cutoff * cutoff, &mut found);
            let entries = &mut found[..n];
            entries.sort_unstable();
            if part.index.len() + n > MAX_ENTRIES {
                return Err(too_many(cutoff));
            }
            part.index.extend(entries.iter().map(|e| (e >> 32) as u32));
            part.code.extend(entries.iter().map(|&e| e as u32));
            part.counts.push(n);
        }
        Ok(part)
    }

    /// Writes `atom << 32 | translation` of each neighbour to `found`; returns how many.
    fn neighbors_of(&self, center: usize, square: f64, found: &mut Vec<u64>) -> usize {
        let bin = self.bin[center].map(i64::from);
        let here = self.wrapped[center];
        let own = (center as u64) << 32 | self.code([0; 3]);
        let mut n = 0;
        for i in -self.reach[0]..=self.reach[0] {
            let Some((bi, si)) = self.target(0, bin[0] + i) else {
                continue;
            };
            for j in -self.reach[1]..=self.reach[1] {
                let Some((bj, sj)) = self.target(1, bin[1] + j) else {
                    continue;
                };
                let row = (bi * self.count[1] + bj) * self.count[2];
                let last = self.count[2] as i64;
                let (mut low, mut high) = (bin[2] - self.reach[2], bin[2] + self.reach[2]);
                if !self.periodic[2] {
                    (low, high) = (low.max(0), high.min(last - 1));
                }
                // The bins of a row lie side by side; the row is cut where it leaves the cell.
                let mut k = low;
                while k <= high {
                    let sk = k.div_euclid(last);
                    let end = high.min(sk * last + last - 1);
                    let first = row + (k - sk * last) as usize;
                    let range = self.start[first] as usize
                        ..self.start[row + (end - sk * last) as usize + 1] as usize;
                    k = end + 1;
                    let code = self.code([si, sj, sk]);
                    let origin = sub(here, self.translations[code as usize]);
                    if found.len() < n + range.len() {
                        found.resize(n + range.len() + 64, 0);
                    }
                    let [x, y, z] = [0, 1, 2].map(|d| &self.sorted[d][range.clone()]);
                    let atoms = &self.atoms[range];
                    for (((&x, &y), &z), &atom) in x.iter().zip(y).zip(z).zip(atoms) {
                        let (dx, dy, dz) = (x - origin[0], y - origin[1], z - origin[2]);
                        let entry = (atom as u64) << 32 | code;
                        found[n] = entry;
                        let near = dx * dx + dy * dy + dz * dz < square;
                        n += usize::from(near & (entry != own));
                    }
                }
            }
        }
        n
    }

    /// The bin at a place of the unfolded grid, and how many cells away it lies.
    fn target(&self, d: usize, place: i64) -> Option<(usize, i64)> {
        let n = self.count[d] as i64;
        if self.periodic[d] {
            Some((place.rem_euclid(n) as usize, place.div_euclid(n)))
        } else {
            (0..n).contains(&place).then_some((place as usize, 0))
        }
    }

    /// Place of a translation in `cells`.
    fn code(&self, cells: [i64; 3]) -> u64 {
        let m = self.extent;
        let size = m.map(|m| 2 * m + 1);
        (((cells[0] + m[0]) * size[1] + cells[1] + m[1]) * size[2] + cells[2] + m[2]) as u64
    }
}

pub(super) fn too_many(cutoff: f64) -> Error {
    Error::invalid(format!(
        "more than 2^31 neighbours within {cutoff} Å; are atoms on top of one another?"
    ))
}
