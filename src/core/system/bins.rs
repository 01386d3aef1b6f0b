//! Atoms and their images sorted into slabs of the cell, for building neighbour lists.

use super::cell::{Cell, add, sub};
use super::images::{Images, far_out, more_room, most_neighbors, room};
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
///
/// **Errors**: [`Error::InvalidArgument`] for an atom too far out to be counted.
pub(super) fn wrapped(
    cell: &Cell,
    positions: &[[f64; 3]],
) -> Result<(Vec<[f64; 3]>, Vec<[i32; 3]>)> {
    // With more cells between, rounding would be seen.
    const FARTHEST: f64 = 1e9;
    let periodic = cell.periodic();
    let (mut fractional, mut wraps) = (room(positions.len())?, room(positions.len())?);
    for &r in positions {
        let mut s = cell.fractional(r);
        let mut wrap = [0; 3];
        for d in 0..3 {
            if periodic[d] {
                let whole = s[d].floor();
                if !(whole.abs() < FARTHEST) {
                    return Err(far_out());
                }
                s[d] -= whole;
                wrap[d] = whole as i32;
            }
        }
        fractional.push(s);
        wraps.push(wrap);
    }
    Ok((fractional, wraps))
}

/// `n` times a number.
fn filled<T: Clone>(n: usize, value: T) -> Result<Vec<T>> {
    let mut vector = room(n)?;
    vector.resize(n, value);
    Ok(vector)
}

impl Bins {
    /// Sorts the atoms and their images; `fractional` are the atoms' wrapped coordinates.
    pub(super) fn new(
        cell: &Cell,
        positions: &[[f64; 3]],
        fractional: &[[f64; 3]],
        images: &Images,
        cutoff: f64,
    ) -> Result<Self> {
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
        let mut start = filled(count.iter().product::<usize>() + 1, 0u32)?;
        for s in (0..n).map(at) {
            start[number(s) + 1] += 1;
        }
        for b in 1..start.len() {
            start[b] += start[b - 1];
        }
        let mut next = room(start.len())?;
        next.extend_from_slice(&start);
        let mut bins = Self {
            count,
            reach,
            start,
            places: filled(n, 0)?,
            sorted: [filled(n, 0.0)?, filled(n, 0.0)?, filled(n, 0.0)?],
            slot: filled(positions.len(), 0)?,
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
        Ok(bins)
    }

    /// The neighbours of some centres, each centre's in ascending order.
    pub(super) fn part(&self, centers: std::ops::Range<usize>, cutoff: f64) -> Result<Part> {
        // Compiled for what the machine has: the distances are a loop over vectors.
        #[cfg(feature = "cpu")]
        return pulp::Arch::new().dispatch(PartOf {
            bins: self,
            centers,
            cutoff,
        });
        #[cfg(not(feature = "cpu"))]
        self.part_here(centers, cutoff)
    }

    #[inline(always)]
    fn part_here(&self, centers: std::ops::Range<usize>, cutoff: f64) -> Result<Part> {
        let mut part = Part::default();
        let mut marks = Marks::new(self.places.len());
        let most = most_neighbors(cutoff);
        for center in centers {
            let own = self.slot[center] as usize;
            let found = self.mark_neighbors(own, cutoff * cutoff, &mut marks);
            if found > most || part.index.len() + found > MAX_ENTRIES {
                return Err(too_many(found, cutoff));
            }
            more_room(&mut part.index, found)?;
            marks.take(&mut part.index);
            part.counts.push(found);
        }
        Ok(part)
    }

    /// Marks the neighbours of what is at `own` in the sorted arrays; gives their number.
    #[inline(always)]
    fn mark_neighbors(&self, own: usize, square: f64, marks: &mut Marks) -> usize {
        let mut found = 0;
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
        for i in low[0]..=high[0] {
            for j in low[1]..=high[1] {
                // The bins of a row lie side by side.
                let row = (i * self.count[1] + j) * self.count[2];
                let all = self.start[row + low[2]] as usize..self.start[row + high[2] + 1] as usize;
                for start in all.clone().step_by(64) {
                    let end = all.end.min(start + 64);
                    let mut near = self.near(here, square, start..end);
                    if (start..end).contains(&own) {
                        near &= !(1 << (own - start));
                    }
                    found += near.count_ones() as usize;
                    let places = &self.places[start..end];
                    while near != 0 {
                        marks.set(places[near.trailing_zeros() as usize]);
                        near &= near - 1;
                    }
                }
            }
        }
        found
    }

    /// Which of up to 64 sorted positions are near, as bits.
    #[inline(always)]
    fn near(&self, here: [f64; 3], square: f64, some: std::ops::Range<usize>) -> u64 {
        let [x, y, z] = [0, 1, 2].map(|d| &self.sorted[d][some.clone()]);
        let mut near = 0;
        for (m, ((x, y), z)) in x.iter().zip(y).zip(z).enumerate() {
            let (dx, dy, dz) = (x - here[0], y - here[1], z - here[2]);
            near |= u64::from(dx * dx + dy * dy + dz * dz < square) << m;
        }
        near
    }
}

/// [`Bins::part_here`] to be compiled for an instruction set.
#[cfg(feature = "cpu")]
struct PartOf<'a> {
    bins: &'a Bins,
    centers: std::ops::Range<usize>,
    cutoff: f64,
}

#[cfg(feature = "cpu")]
impl pulp::WithSimd for PartOf<'_> {
    type Output = Result<Part>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Result<Part> {
        self.bins.part_here(self.centers, self.cutoff)
    }
}

/// A set of places with the words that are in use, for sorting small sets out of many places.
struct Marks {
    words: Vec<u64>,
    used: Vec<u64>,
    /// All marked places lie between.
    range: [u32; 2],
}

impl Marks {
    fn new(n: usize) -> Self {
        let words = n.div_ceil(64);
        Self {
            words: vec![0; words],
            used: vec![0; words.div_ceil(64)],
            range: [u32::MAX, 0],
        }
    }

    #[inline(always)]
    fn set(&mut self, place: u32) {
        let word = place as usize / 64;
        self.words[word] |= 1 << (place % 64);
        self.used[word / 64] |= 1 << (word % 64);
        self.range = [self.range[0].min(place), self.range[1].max(place)];
    }

    /// Appends the marked places to `out` in ascending order, and forgets them.
    #[inline(always)]
    fn take(&mut self, out: &mut Vec<u32>) {
        let [first, last] = std::mem::replace(&mut self.range, [u32::MAX, 0]);
        if first > last {
            return;
        }
        for group in first as usize / 4096..=last as usize / 4096 {
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

pub(super) fn too_many(found: usize, cutoff: f64) -> Error {
    let most = most_neighbors(cutoff);
    let what = match found > most {
        true => format!("an atom has {found} neighbours within {cutoff} Å, and at most {most}"),
        false => format!("more than 2^31 neighbours within {cutoff} Å, which"),
    };
    Error::invalid(format!(
        "{what} can be meant; are atoms on top of one another, or in other units than Å?"
    ))
}
