//! How large lists are: the host hears it once they are made, or at the next call, and expects the next lists
//! to be as large. Kernels write no further than there is room, and lists that do not fit stay empty.

use super::super::driver::Device;
use super::super::memory::Buffer;
use super::super::signal::Signal;
use super::{Lists, NONE};
use nepal_core::error::{Error, Result};
use std::sync::Arc;

/// Words of `Sizes` in `kernels/args.cuh`.
pub(super) const WORDS: usize = 6;
/// Lists are expected to be larger than the last ones by one part in so many.
const MORE: usize = 16;
/// Nothing is expected where the number of atoms changed by more than one part in so many.
const ALIKE: usize = 32;

/// Images, slots of both lists.
pub(in super::super) type Counts = [usize; 3];

/// Sizes of the last lists.
#[derive(Debug)]
pub(in super::super) struct Sizes {
    pub found: Buffer<u64>,
    signal: Option<Signal<u64, WORDS>>,
    /// What lists that are being made, or were last, are for: local atoms, skin.
    of: (usize, f64),
    /// What there is room for in them.
    pub room: Counts,
    known: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    of: (usize, f64),
    counts: Counts,
    bounds: [[f64; 2]; 3],
}

impl Sizes {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            found: Buffer::new(device),
            signal: None,
            of: (0, 0.0),
            room: [0; 3],
            known: None,
        }
    }

    /// How large lists of so many local atoms with this skin probably are, if that is known.
    pub fn expected(&mut self, n_local: usize, skin: f64, new_types: bool) -> Option<Counts> {
        self.of = (n_local, skin);
        let alike = |known: &Known| {
            let (n, wider) = known.of;
            !new_types && skin > 0.0 && skin <= wider && n_local.abs_diff(n) <= n / ALIKE
        };
        let known = self.known.filter(alike)?;
        let counts = known.counts;
        Some(counts.map(|count| {
            let scaled = count as f64 * n_local as f64 / known.of.0.max(1) as f64;
            scaled as usize + count / MORE
        }))
    }

    /// Lowest and highest fractional coordinates of the atoms of the last lists.
    pub fn bounds(&self) -> Option<[[f64; 2]; 3]> {
        self.known.map(|known| known.bounds)
    }

    fn hear(&mut self, words: [u64; WORDS]) -> Result<bool> {
        let [images, slots_r, slots_a, rest @ ..] = words;
        check_slots(slots_r.max(slots_a))?;
        let mut halves = rest
            .iter()
            .flat_map(|word| [*word as u32, (word >> 32) as u32]);
        let mut three = || [(); 3].map(|()| unordered(halves.next().unwrap_or(0)));
        let (high, low) = (three(), three());
        let counts = [images, slots_r, slots_a].map(|count| count as usize);
        self.known = Some(Known {
            of: self.of,
            counts,
            bounds: std::array::from_fn(|d| [-low[d], high[d]]),
        });
        Ok(counts
            .iter()
            .zip(self.room)
            .all(|(&count, room)| count <= room))
    }
}

impl Lists {
    /// Waits to hear whether there was room for the lists that are made.
    pub(super) fn fit(&mut self) -> Result<bool> {
        let mut words = [0; WORDS];
        self.sizes.found.download(&mut words)?;
        self.sizes.hear(words)
    }

    /// Has the next call hear it.
    pub(super) fn fit_later(&mut self) -> Result<()> {
        let signal = match self.sizes.signal.take() {
            Some(signal) => signal,
            None => Signal::new(&self.device)?,
        };
        self.sizes.signal.insert(signal).send(&self.sizes.found)
    }

    /// Hears what the last call that did not wait has found, if its lists were not given up.
    ///
    /// **Errors**: [`Error::Backend`] if there was no room for them.
    pub(super) fn heard_sizes(&mut self, made: bool) -> Result<()> {
        let words = match &mut self.sizes.signal {
            Some(signal) => signal.take()?,
            None => None,
        };
        match words {
            Some(words) if made && !self.sizes.hear(words)? => Err(Error::Backend(
                "the neighbour lists of a call that did not wait were larger than those before by more than there was room for, so that its results are not right; take smaller steps or let the calls wait".into(),
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses more slots than their numbers count.
pub(super) fn check_slots(slots: u64) -> Result<usize> {
    if slots < u64::from(NONE) {
        return Ok(slots as usize);
    }
    Err(Error::Backend(format!(
        "the neighbour lists have {slots} entries, more than one device context holds ({NONE}); use fewer atoms or more devices"
    )))
}

/// A float from bits that are in the order of the floats.
fn unordered(bits: u32) -> f64 {
    let sign = 1 << 31;
    let bits = if bits & sign == 0 { !bits } else { bits ^ sign };
    f64::from(f32::from_bits(bits))
}
