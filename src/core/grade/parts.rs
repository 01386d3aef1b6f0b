//! What a device that grades needs of an active set.

use super::{ActiveSet, Sets};
use crate::error::Result;

/// A set of one type, as matrices.
pub enum Parts<'a> {
    /// The compatibility form: the inverse, `[n][n]`.
    Compat(&'a [f64]),
    /// A type about which nothing is known: its grades are infinite.
    Unknown,
}

impl ActiveSet {
    /// The set of a type.
    ///
    /// **Errors**: [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a type that an
    /// `.asi` file lacks.
    pub fn parts(&self, t: usize) -> Result<Parts<'_>> {
        match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Ok(Parts::Compat(&set.inverse)),
                None => Err(self.no_set(t)),
            },
            Sets::Ridge(_) => Ok(Parts::Unknown),
        }
    }
}
