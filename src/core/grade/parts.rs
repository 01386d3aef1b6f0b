//! What a device that grades needs of an active set.

use super::ridge::RidgeSet;
use super::{ActiveSet, Sets};
use crate::error::Result;

/// A set of one type, as matrices.
pub enum Parts<'a> {
    /// The compatibility form: the inverse, `[n][n]`.
    Compat(&'a [f64]),
    /// The ridge form.
    Ridge(RidgeParts<'a>),
    /// A type about which nothing is known: its grades are infinite.
    Unknown,
}

/// The parts of a ridge set of K rows, in the order of its factor L. The set's module says what they are.
#[derive(Clone, Copy)]
pub struct RidgeParts<'a>(&'a RidgeSet);

impl<'a> RidgeParts<'a> {
    /// What a descriptor is multiplied with. Shape `[D]`.
    pub fn units(self) -> &'a [f64] {
        &self.0.units
    }

    /// H, hidden neurons of a network.
    pub fn neurons(self) -> usize {
        self.0.neurons
    }

    /// λ.
    pub fn lambda(self) -> f64 {
        self.0.lambda
    }

    /// K.
    pub fn rows(self) -> usize {
        self.0.rows()
    }

    /// ŝ and q̃ of the rows, a 1 behind each. Shapes `[K][H + 1]`, `[K][D + 1]`.
    pub fn sides(self) -> [Vec<f64>; 2] {
        self.0.ordered()
    }

    /// L⁻¹, which is lower triangular. Shape `[K][K]`.
    pub fn inverse(self) -> Vec<f64> {
        self.0.inverse()
    }
}

impl ActiveSet {
    /// The set of a type.
    ///
    /// **Errors**: [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a type that an `.asi` file lacks.
    pub fn parts(&self, t: usize) -> Result<Parts<'_>> {
        match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Ok(Parts::Compat(&set.inverse)),
                None => Err(self.no_set(t)),
            },
            Sets::Ridge(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) if set.rows() > 0 => Parts::Ridge(RidgeParts(set)),
                _ => Parts::Unknown,
            }),
        }
    }
}
