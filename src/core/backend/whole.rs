//! What a part of a system, on one of many processes, needs of the others: sums over all atoms.

use super::System;
use crate::error::Result;
use crate::system::Cell;

/// The processes that share a system. All of them make the same calls in the same order.
pub trait Peers: Sync {
    /// How many there are, this one included.
    fn count(&self) -> usize;

    /// The sums of all processes' numbers, the same on all of them.
    ///
    /// **Errors**: those of any process, on all of them.
    fn sum(&self, numbers: Vec<f64>) -> Result<Vec<f64>>;

    /// Numbers of the local atoms, with those of the ghosts appended. **Shapes**: `[n_local]` to `[n_total]`.
    ///
    /// **Errors**: as [`Peers::sum`]; for a ghost of which no process has the atom.
    fn with_ghosts(&self, numbers: Vec<f64>) -> Result<Vec<f64>>;
}

/// The whole that the local atoms of a host's list are a part of.
#[derive(Clone, Copy)]
pub struct Whole<'a> {
    /// The cell in which all local atoms of all processes together repeat, if they do.
    pub cell: Option<&'a Cell>,
    /// Who has them.
    pub peers: &'a dyn Peers,
}

impl std::fmt::Debug for Whole<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Whole")
            .field("cell", &self.cell)
            .field("processes", &self.peers.count())
            .finish()
    }
}

impl<'a> System<'a> {
    /// The cell that sums over all atoms belong to.
    pub(crate) fn repeating_cell(&self) -> &'a Cell {
        self.whole.and_then(|w| w.cell).unwrap_or(self.cell)
    }

    /// Whether there are ghosts of which nobody says whose they are.
    pub(crate) fn has_strangers(&self) -> bool {
        self.n_total() > self.n_local() && self.whole.is_none()
    }

    /// Numbers of this process summed over all processes.
    ///
    /// **Errors**: those of [`Peers::sum`].
    pub(crate) fn sum(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        match self.whole {
            Some(whole) => whole.peers.sum(numbers),
            None => Ok(numbers),
        }
    }

    /// What this process counts of a number that all processes have alike.
    #[cfg(feature = "cpu")]
    pub(crate) fn share(&self) -> f64 {
        self.whole.map_or(1.0, |w| 1.0 / w.peers.count() as f64)
    }

    /// Numbers of the local atoms, with those of the ghosts appended.
    ///
    /// **Errors**: those of [`Peers::with_ghosts`].
    pub(crate) fn with_ghosts(&self, numbers: &[f64]) -> Result<Vec<f64>> {
        let numbers = numbers.to_vec();
        match self.whole {
            Some(whole) => whole.peers.with_ghosts(numbers),
            None => Ok(numbers),
        }
    }

    /// Adds to the numbers of all atoms, in equal parts, until they add up to a total.
    ///
    /// **Errors**: those of [`Peers::sum`].
    pub(crate) fn neutralize(&self, numbers: &mut [f64], total: f64) -> Result<()> {
        let sums = self.sum(vec![numbers.iter().sum(), numbers.len() as f64])?;
        let share = (total - sums[0]) / sums[1].max(1.0);
        numbers.iter_mut().for_each(|q| *q += share);
        Ok(())
    }
}
