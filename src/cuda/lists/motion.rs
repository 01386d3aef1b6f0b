//! How far atoms moved since the lists were made, now or at the call before.

use super::super::args::Args;
use super::super::program::Program;
use super::super::signal::Signal;
use super::Lists;
use nepal_core::error::{Error, Result};

/// Part of what the lists are good for from which a call that does not wait makes new ones.
const AHEAD: f64 = 0.75;

impl Lists {
    /// How far (Å) an atom moved at most since the lists were made.
    pub(super) fn moved(&mut self, program: &Program, args: &mut Args) -> Result<f64> {
        args.moved = self.moved.zero(1)?;
        args.reference = self.reference.address();
        program.launch("nepal_moved", args.n_total, args)?;
        let mut bits = [0];
        self.moved.download(&mut bits)?;
        self.moved_before = distance(bits[0]);
        Ok(self.moved_before)
    }

    /// Whether the lists will do, from how far atoms had moved at the call before, with room for what
    /// they move in one; how far they have moved by now is for the next call to hear.
    pub(super) fn moved_ahead(
        &mut self,
        program: &Program,
        args: &mut Args,
        skin: f64,
    ) -> Result<f64> {
        self.heard(skin)?;
        if 2.0 * self.moved_before > AHEAD * skin {
            return Ok(skin);
        }
        args.moved = self.moved.zero(1)?;
        args.reference = self.reference.address();
        program.launch("nepal_moved", args.n_total, args)?;
        let signal = match self.signal.take() {
            Some(signal) => signal,
            None => Signal::new(&self.device)?,
        };
        self.signal.insert(signal).send(&self.moved)?;
        Ok(self.moved_before)
    }

    /// Hears what the last call that did not wait has found.
    ///
    /// **Errors**: [`Error::Backend`] if the lists with this skin were too old for it.
    pub(super) fn heard(&mut self, skin: f64) -> Result<()> {
        let Some(signal) = &mut self.signal else {
            return Ok(());
        };
        if let Some(bits) = signal.take()? {
            self.moved_before = distance(bits);
        }
        if 2.0 * self.moved_before > skin {
            return Err(Error::Backend(format!(
                "an atom had moved {:.3} Å from where the neighbour lists of a call that did not wait were made, more than the {:.3} Å they are good for, so that its results may lack neighbours; take smaller steps or let the calls wait",
                self.moved_before,
                0.5 * skin
            )));
        }
        Ok(())
    }

    /// Whether the lists of the last call that did not wait were right.
    ///
    /// **Errors**: [`Error::Backend`] if not.
    pub fn finish(&mut self) -> Result<()> {
        let skin = self.made.as_ref().map_or(f64::INFINITY, |made| made.skin);
        let done = self.heard(skin);
        if done.is_err() {
            self.made = None;
        }
        done
    }
}

/// A distance from the bits of its square.
fn distance(bits: u32) -> f64 {
    f64::from(f32::from_bits(bits)).sqrt()
}
