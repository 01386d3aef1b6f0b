//! What each thread adds up for all atoms, and the sum over threads.

use super::kernel::MAX_LANES;
use crate::system::neighbors::Entries;
use rayon::prelude::*;

/// Places that are zeroed and summed together.
const BLOCK: usize = 1024;
/// Below this number of places a thread's share is treated as a whole.
const SMALL: usize = 64 * BLOCK;

/// A thread's sums for all places of a list: atoms and their images.
///
/// Blocks that a thread never touches are never written, so that the system does not back them with
/// memory: shares of many threads cost what the threads' regions overlap.
#[derive(Default)]
pub(super) struct Share<const N: usize> {
    sums: Vec<[f64; N]>,
    touched: Vec<bool>,
}

impl<const N: usize> Share<N> {
    /// Zeros for `n` places, of which only those of `touched` blocks will be used.
    pub(super) fn prepare(&mut self, n: usize, touched: &[bool]) {
        if self.sums.len() < n {
            self.sums = vec![[0.0; N]; n];
        } else {
            let blocks = self.sums.chunks_mut(BLOCK).zip(&self.touched);
            for (block, _) in blocks.filter(|(_, touched)| **touched) {
                block.fill([0.0; N]);
            }
        }
        self.touched.clear();
        self.touched.extend_from_slice(touched);
    }

    #[inline(always)]
    pub(super) fn places(&mut self) -> &mut [[f64; N]] {
        &mut self.sums
    }

    /// The sums of one place, if this thread has any.
    #[inline(always)]
    fn get(&self, place: usize) -> Option<&[f64; N]> {
        self.touched[place / BLOCK].then(|| &self.sums[place])
    }
}

/// Which blocks some centres and their neighbours lie in, of `n` places; the last ones are nowhere.
pub(super) fn touched(
    entries: &Entries<'_>,
    centers: std::ops::Range<usize>,
    n: usize,
) -> Vec<bool> {
    let mut touched = vec![n <= SMALL; n.div_ceil(BLOCK)];
    if n > SMALL {
        for i in centers.clone() {
            touched[entries.local(i) / BLOCK] = true;
        }
        let (start, end) = (entries.offsets[centers.start], entries.offsets[centers.end]);
        for &j in &entries.index[start..end] {
            touched[j as usize / BLOCK] = true;
        }
        // Where lanes without a neighbour put their zeros.
        touched[(n - 1) / BLOCK] = true;
        touched[(n - MAX_LANES) / BLOCK] = true;
    }
    touched
}

/// Sums the threads' shares, in the order of the threads, and the images onto their atoms.
pub(super) fn sum<const N: usize, const M: usize>(
    shares: &[&Share<N>],
    entries: &Entries<'_>,
    n_atoms: usize,
    out: &mut Vec<[f64; M]>,
) {
    out.clear();
    out.resize(n_atoms, [0.0; M]);
    let fold = |(block, out): (usize, &mut [[f64; M]])| {
        for (atom, out) in out.iter_mut().enumerate() {
            for place in entries.places(block * BLOCK + atom) {
                for share in shares {
                    if let Some(sums) = share.get(place) {
                        for (out, sum) in out.iter_mut().zip(sums) {
                            *out += sum;
                        }
                    }
                }
            }
        }
    };
    if shares.len() == 1 {
        out.chunks_mut(BLOCK).enumerate().for_each(fold);
    } else {
        out.par_chunks_mut(BLOCK).enumerate().for_each(fold);
    }
}
