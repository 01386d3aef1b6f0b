//! Atoms in memory: cells, structures, labelled frames, extended XYZ and neighbour lists.
//!
//! Knows nothing of potentials. Only [`neighbors`] knows periodic images.

mod bins;
pub mod cell;
pub mod frame;
mod images;
pub mod neighbors;
pub mod structure;
pub mod xyz;

pub use cell::Cell;
pub use frame::Frame;
pub use neighbors::NeighborList;
pub use structure::Structure;
