//! Atoms and their images sorted into slabs of the cell, for building neighbour lists.

use super::cell::{Cell, add, sub};
use super::images::Images;
use crate::error::{Error, Result};

/// Entries are refused above this number rather than exhausting memory: 2^31 is beyond any real list.
pub(super) const MAX_ENTRIES: usize = 1 << 31;

/// Atoms and images sorted by bin.
pub(super) struct Bins {
    count: [usize; 3],
    /// How many bins away a neighbour can be, per direction.
    reach: [usize; 3],
    /// First entry of each bin in `sorted`, and the end.
    start: Vec<u32>,
    /// Places in the order of the bins.
    places: Vec<u32>,
    /// Cartesian positions in the order of `places`.
    sorted: [Vec<f64>; 3],
    /// Where each atom itself is in `sorted`.
    slot: Vec<u32>,
}

/// Neighbours of a range of centres.
#[derive(Default)]
pub(super) struct Part {
    pub(super) counts: Vec<usize>,
    pub(super) index: Vec<u32>,
}

/// Fractional coordinates from 0 on along periodic directions, and the whole cells removed.
pub(super) fn wrapped(cell: &Cell, positions: &[[f64; 3]]) -> (Vec<[f64; 3]>, Vec<[i32; 3]>) {
    let periodic = cell.periodic();
    positions
        .iter()
        .map(|&r| {
            let mut s = cell.fractional(r);
            let mut wrap = [0; 3];
            for d in 0..3 {
                if periodic[d] {
                    let whole = s[d].floor();
                    s[d] -= whole;
                    wrap[d] = whole as i32;
                }
            }
            (s, wrap)
        })
        .unzip()
}

impl Bins {
    /// Sorts the atoms and their images; `fractional` are the atoms' wrapped coordinates.
    pub(super) fn new(
        cell: &Cell,
        positions: &[[f64; 3]],
        fractional: &[[f64; 3]],
        images: &Images,
        cutoff: f64,
    ) -> Self {
        let thickness = cell.thickness();
        let at = |place: usize| -> [f64; 3] {
            let s = fractional[images.source[place] as usize];
            let c = images.cells[images.code[place] as usize];
            std::array::from_fn(|d| s[d] + f64::from(c[d]))
        };
        let n = images.source.len();
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for s in (0..n).map(at) {
            for d in 0..3 {
                low[d] = low[d].min(s[d]);
                high[d] = high[d].max(s[d]);
            }
        }
        // No more bins than atoms: an atom far out must not cost memory.
        let limit = (n.max(1) as f64).cbrt().ceil() * 2.0 + 1.0;
        let mut count = [1; 3];
        let mut reach = [0; 3];
        let mut scale = [0.0; 3];
        for d in 0..3 {
            let extent = high[d] - low[d];
            if extent > 0.0 {
                // Bins of half the cutoff: fewer candidates than with whole ones.
                let fit = (2.0 * extent * thickness[d] / cutoff).floor();
                count[d] = fit.clamp(1.0, limit) as usize;
                let width = extent / count[d] as f64;
                scale[d] = 1.0 / width;
                let needed = (cutoff / (width * thickness[d])).ceil();
                reach[d] = needed.min(count[d] as f64 - 1.0) as usize;
            }
        }
        let number = |s: [f64; 3]| {
            let b: [usize; 3] =
                std::array::from_fn(|d| (((s[d] - low[d]) * scale[d]) as usize).min(count[d] - 1));
            (b[0] * count[1] + b[1]) * count[2] + b[2]
        };
        let mut start = vec![0u32; count.iter().product::<usize>() + 1];
        for s in (0..n).map(at) {
            start[number(s) + 1] += 1;
        }
        for b in 1..start.len() {
            start[b] += start[b - 1];
        }
        let mut next = start.clone();
        let mut bins = Self {
            count,
            reach,
            start,
            places: vec![0; n],
            sorted: std::array::from_fn(|_| vec![0.0; n]),
            slot: vec![0; positions.len()],
        };
        let translations: Vec<_> = images.cells.iter().map(|&c| cell.translation(c)).collect();
        for place in 0..n {
            let next = &mut next[number(at(place))];
            let slot = *next as usize;
            *next += 1;
            let atom = images.source[place] as usize;
            let home = sub(positions[atom], cell.translation(images.wrap[atom]));
            let r = add(home, translations[images.code[place] as usize]);
            bins.places[slot] = place as u32;
            for d in 0..3 {
                bins.sorted[d][slot] = r[d];
            }
            if images.local[atom] as usize == place {
                bins.slot[atom] = slot as u32;
            }
        }
        bins
    }

    /// The neighbours of some centres, each centre's in ascending order.
    pub(super) fn part(&self, centers: std::ops::Range<usize>, cutoff: f64) -> Result<Part> {
        let mut part = Part::default();
        let mut found: Vec<u32> = Vec::new();
        let mut marks = Marks::new(self.places.len());
        for center in centers {
            let n = self.neighbors_of(self.slot[center] as usize, cutoff * cutoff, &mut found);
            if part.index.len() + n > MAX_ENTRIES {
                return Err(too_many(cutoff));
            }
            marks.sort(&found[..n], &mut part.index);
            part.counts.push(n);
        }
        Ok(part)
    }

    /// Writes the neighbours of what is at `own` in the sorted arrays to `found`; returns how many.
    fn neighbors_of(&self, own: usize, square: f64, found: &mut Vec<u32>) -> usize {
        let here = [0, 1, 2].map(|d| self.sorted[d][own]);
        // The bin that the centre was sorted into.
        let number = self.start.partition_point(|&start| start as usize <= own) - 1;
        let bin = [
            number / (self.count[1] * self.count[2]),
            number / self.count[2] % self.count[1],
            number % self.count[2],
        ];
        let low: [usize; 3] = std::array::from_fn(|d| bin[d].saturating_sub(self.reach[d]));
        let high: [usize; 3] =
            std::array::from_fn(|d| (bin[d] + self.reach[d]).min(self.count[d] - 1));
        let mut n = 0;
        for i in low[0]..=high[0] {
            for j in low[1]..=high[1] {
                // The bins of a row lie side by side.
                let row = (i * self.count[1] + j) * self.count[2];
                let start = self.start[row + low[2]] as usize;
                let end = self.start[row + high[2] + 1] as usize;
                if found.len() < n + (end - start) {
                    found.resize(n + (end - start) + 64, 0);
                }
                let [x, y, z] = [0, 1, 2].map(|d| &self.sorted[d][start..end]);
                let out = &mut found[n..][..end - start];
                let mut kept = 0;
                let places = &self.places[start..end];
                for (m, (((&x, &y), &z), &place)) in x.iter().zip(y).zip(z).zip(places).enumerate()
                {
                    let (dx, dy, dz) = (x - here[0], y - here[1], z - here[2]);
                    // Always written, kept only if near: no branch to mispredict.
                    out[kept] = place;
                    let near = dx * dx + dy * dy + dz * dz < square;
                    kept += usize::from(near & (start + m != own));
                }
                n += kept;
            }
        }
        n
    }
}

/// A set of places with the words that are in use, for sorting small sets out of many places.
struct Marks {
    words: Vec<u64>,
    used: Vec<u64>,
}

impl Marks {
    fn new(n: usize) -> Self {
        let words = n.div_ceil(64);
        Self {
            words: vec![0; words],
            used: vec![0; words.div_ceil(64)],
        }
    }

    /// Appends different `places` to `out` in ascending order.
    fn sort(&mut self, places: &[u32], out: &mut Vec<u32>) {
        let (mut first, mut last) = (self.used.len(), 0);
        for &place in places {
            let word = place as usize / 64;
            self.words[word] |= 1 << (place % 64);
            self.used[word / 64] |= 1 << (word % 64);
            first = first.min(word / 64);
            last = last.max(word / 64 + 1);
        }
        for group in first..last {
            let mut used = std::mem::take(&mut self.used[group]);
            while used != 0 {
                let word = group * 64 + used.trailing_zeros() as usize;
                used &= used - 1;
                let mut bits = std::mem::take(&mut self.words[word]);
                while bits != 0 {
                    out.push((word * 64) as u32 + bits.trailing_zeros());
                    bits &= bits - 1;
                }
            }
        }
    }
}

pub(super) fn too_many(cutoff: f64) -> Error {
    Error::invalid(format!(
        "more than 2^31 neighbours within {cutoff} Å; are atoms on top of one another?"
    ))
}
