//! How far atoms and cell moved since the lists were made, now or at the call before, and how far they may.
//!
//! With the deformation F of the cell and u = r - r₀ F, a pair vector was d₀ = (d + u_i - u_j) F⁻¹, so that
//! lists of all pairs within cutoff + skin lose nobody while |F⁻¹| (cutoff + 2 max|u|) ≤ cutoff + skin.

use super::super::args::Args;
use super::super::program::Program;
use super::super::signal::Signal;
use super::{ListOrigin, ListRequest, Lists, Origin, Positions, SKIN, STEP, flat};
use nepal_core::error::{Error, Result};
use nepal_core::system::Cell;

/// Part of what the lists are good for from which a call that does not wait makes new ones.
const AHEAD: f64 = 0.75;
/// How far (Å) an atom is at most from where it was at the last call without a promise, by the promise.
const PROMISED: f64 = 0.5 * SKIN;

/// What is known of the motion since the lists were made.
#[derive(Debug, Default)]
pub(super) struct Motion {
    /// How far (Å) atoms had moved at most at the last call that was asked, and how far they might have.
    before: f64,
    room: f64,
    /// How far (Å) atoms were at most from where the lists were made when the caller last called without a
    /// promise; none before such a call.
    drift: Option<f64>,
}

impl Motion {
    /// Notes where a promise of the next calls counts from. Only calls with positions on the device can
    /// promise; what others moved meanwhile is not known.
    pub fn count_promises(
        &mut self,
        kept: Option<&ListOrigin>,
        moved: f64,
        sight: &ListRequest<'_>,
    ) {
        self.drift = match (sight.positions, sight.still, kept) {
            (Positions::Host(_), ..) => self.drift.map(|_| f64::INFINITY),
            (_, true, Some(_)) => self.drift,
            // Lists are of atoms that may be that far from where the promise counts from.
            (_, true, None) => self.drift.map(|_| PROMISED),
            (_, false, Some(made)) if !sight.ahead && made.cell == *sight.cell => Some(moved),
            (_, false, Some(_)) => Some(f64::INFINITY),
            (_, false, None) => Some(0.0),
        };
        if kept.is_none() {
            self.before = 0.0;
        }
    }
}

impl ListOrigin {
    /// How far (Å) atoms may have moved, besides being carried by the cell. Negative for a cell that
    /// changed too much.
    pub fn room(&self, cell: &Cell) -> f64 {
        let stretch = cell.stretch(&self.cell);
        0.5 * (self.skin - (stretch - 1.0) * self.cutoff) / stretch
    }

    /// Whether it has to be known how far atoms moved: not where the list is another one, which is told.
    pub fn may_stay(&self, sight: &ListRequest<'_>) -> bool {
        !matches!(sight.origin, Origin::Device(_)) || self.from.is(sight.origin)
    }

    /// Whether these may be atoms of the same trajectory.
    pub fn near(&self, sight: &ListRequest<'_>) -> bool {
        self.n_total == sight.n_total
            && self.cell.periodic() == sight.cell.periodic()
            && (sight.cell.stretch(&self.cell) - 1.0) * self.cutoff < STEP
    }
}

impl Lists {
    /// How far (Å) an atom moved at most since the lists were made, as far as it has to be known.
    pub(super) fn moved(
        &mut self,
        program: &Program,
        args: &mut Args,
        made: &ListOrigin,
        sight: &ListRequest<'_>,
    ) -> Result<f64> {
        let room = made.room(sight.cell);
        if let (true, false, Some(drift)) = (sight.still, sight.ahead, self.motion.drift)
            && made.cell == *sight.cell
            && drift + PROMISED <= room
        {
            self.motion.before = drift + PROMISED;
            return Ok(self.motion.before);
        }
        let ahead = sight.ahead && made.skin > 0.0;
        if ahead && self.motion.before > AHEAD * room {
            return Ok(made.skin);
        }
        args.moved = self.moved.zero(1)?;
        args.reference = self.reference.address();
        args.deformation = flat(&made.cell.deformation(sight.cell));
        program.launch("nepal_moved", args.n_total, args)?;
        if ahead {
            // With room for what they move in one call; how far they have moved by now is for the next
            // call to hear.
            let signal = match self.signal.take() {
                Some(signal) => signal,
                None => Signal::new(&self.device)?,
            };
            self.signal.insert(signal).send(&self.moved)?;
            self.motion.room = room;
        } else {
            let mut bits = [0];
            self.moved.download(&mut bits)?;
            self.motion.before = distance(bits[0]);
        }
        Ok(self.motion.before)
    }

    /// Hears what the last call that did not wait has found. Nothing is said of lists that were given up,
    /// because their call failed.
    ///
    /// **Errors**: [`Error::Backend`] if the lists were too old for it.
    pub(super) fn heard(&mut self, made: Option<&ListOrigin>) -> Result<()> {
        let bits = match &mut self.signal {
            Some(signal) => signal.take()?,
            None => None,
        };
        let Some([bits]) = bits else {
            return Ok(());
        };
        let (moved, room) = (distance(bits), self.motion.room);
        self.motion.before = moved;
        if made.is_some() && moved > room {
            return Err(Error::Backend(format!(
                "an atom had moved {moved:.3} Å from where the neighbour lists of a call that did not wait were made, more than the {room:.3} Å they are good for, so that its results may lack neighbours; take smaller steps or let the calls wait"
            )));
        }
        Ok(())
    }

    /// Whether the lists of the last call that did not wait were right.
    ///
    /// **Errors**: [`Error::Backend`] if not.
    pub fn finish(&mut self) -> Result<()> {
        let made = self.made.take();
        self.heard(made.as_ref())?;
        self.heard_sizes(made.is_some())?;
        self.made = made;
        Ok(())
    }
}

/// A distance from the bits of its square.
fn distance(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits)).sqrt()
}
