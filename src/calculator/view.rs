//! Atoms as a caller has them.

use crate::backend::{Atoms, System};
use crate::system::Structure;

/// Borrowed atoms, in one of the forms that callers have them in. What is on a device already goes
/// through [`Calculator::compute_device`](super::Calculator::compute_device).
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// A structure; the calculator finds the neighbours and the types.
    Structure(&'a Structure),
    /// A cell, positions and types; the calculator finds the neighbours.
    Atoms(Atoms<'a>),
    /// Atoms with a neighbour list of the caller's, ghosts included. The list must hold at least all
    /// neighbours within [`Model::cutoff`](crate::Model::cutoff); farther ones are ignored.
    Listed(System<'a>),
}

impl<'a> From<&'a Structure> for View<'a> {
    fn from(structure: &'a Structure) -> Self {
        Self::Structure(structure)
    }
}

impl<'a> From<Atoms<'a>> for View<'a> {
    fn from(atoms: Atoms<'a>) -> Self {
        Self::Atoms(atoms)
    }
}

impl<'a> From<System<'a>> for View<'a> {
    fn from(system: System<'a>) -> Self {
        Self::Listed(system)
    }
}

impl<'a> From<&System<'a>> for View<'a> {
    fn from(system: &System<'a>) -> Self {
        Self::Listed(*system)
    }
}
