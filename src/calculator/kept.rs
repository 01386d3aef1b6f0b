//! What one call leaves for the next: the only place that decides about lists, skins and orders.

use super::order;
use super::verlet::VerletList;
use super::view::View;
use crate::backend::{Atoms, System, check_types};
use crate::element::Element;
use crate::error::Result;
use crate::model::Model;
use crate::system::Cell;
use crate::system::structure::check_finite;

/// What one structure leaves for the next, which in a trajectory is nearly the same.
#[derive(Default)]
pub(super) struct Kept {
    neighbors: VerletList,
    /// Elements of the last structure, if it was one.
    elements: Vec<Element>,
    /// Types as the caller counts the atoms.
    given: Vec<u32>,
    /// Types in the order of `order`.
    types: Vec<u32>,
    /// Atoms in the order in which they are evaluated; empty if that is the caller's.
    order: Vec<u32>,
    /// Positions in that order; empty if it is the caller's.
    positions: Vec<[f64; 3]>,
}

/// Atoms that are ready for a backend.
pub(super) enum Ready<'a> {
    /// The backend finds the neighbours.
    Atoms(Atoms<'a>),
    /// With a list; the atoms are in an order, which is empty if it is the caller's.
    Listed(System<'a>, &'a [u32]),
}

impl Ready<'_> {
    /// Types of the local atoms, in the order of evaluation.
    pub fn types(&self) -> &[u32] {
        match self {
            Self::Atoms(atoms) => atoms.types,
            Self::Listed(system, _) => &system.types[..system.n_local()],
        }
    }

    /// The order of evaluation; empty if it is the caller's.
    pub fn order(&self) -> &[u32] {
        match self {
            Self::Atoms(_) => &[],
            Self::Listed(_, order) => order,
        }
    }
}

impl Kept {
    /// Gets atoms ready for a backend, which may find neighbours itself; a list reaches so far (Å).
    ///
    /// **Errors**: [`Error::InvalidArgument`](crate::Error::InvalidArgument) for atoms that do not fit
    /// the model, positions that are not finite, a flat cell.
    pub fn ready<'a>(
        &'a mut self,
        model: &Model,
        reach: f64,
        finds: bool,
        view: View<'a>,
    ) -> Result<Ready<'a>> {
        let (cell, positions) = match view {
            View::Listed(system) => {
                system.validate(model)?;
                return Ok(Ready::Listed(system, &[]));
            }
            View::Atoms(atoms) => {
                check_types(model, atoms.types, atoms.positions.len())?;
                if self.given != atoms.types {
                    self.elements.clear();
                    self.given = atoms.types.to_vec();
                    self.start_anew();
                }
                (atoms.cell, atoms.positions)
            }
            View::Structure(structure) => {
                structure.validate()?;
                if self.elements != structure.elements {
                    let types = model.types_of(&structure.elements)?;
                    self.elements.clone_from(&structure.elements);
                    if self.given != types {
                        self.given = types;
                        self.start_anew();
                    }
                }
                (&structure.cell, &structure.positions[..])
            }
        };
        if finds {
            return Ok(Ready::Atoms(Atoms {
                cell,
                positions,
                types: &self.given,
            }));
        }
        self.update(reach, cell, positions)?;
        let system = System {
            cell,
            positions: in_order(&self.order, &self.positions, positions),
            types: &self.types,
            neighbors: self.neighbors.list(),
            whole: None,
        };
        Ok(Ready::Listed(system, &self.order))
    }

    /// Other atoms: lists and orders are of no use.
    fn start_anew(&mut self) {
        self.types.clear();
        self.order.clear();
        self.neighbors.forget();
    }

    /// Brings order and list up to date.
    fn update(&mut self, reach: f64, cell: &Cell, positions: &[[f64; 3]]) -> Result<()> {
        if self.types.len() != positions.len() {
            check_finite(positions)?;
            self.types.clone_from(&self.given);
            self.sort(reach, cell, positions);
        }
        self.list(reach, cell, positions)?;
        // Atoms that diffuse lose their order, which is noticed when a list is made.
        if self.neighbors.is_new() && self.sort(reach, cell, positions) {
            self.neighbors.forget();
            self.list(reach, cell, positions)?;
        }
        Ok(())
    }

    /// Brings positions into order and the list up to date.
    fn list(&mut self, reach: f64, cell: &Cell, positions: &[[f64; 3]]) -> Result<()> {
        self.positions = order::gather(&self.order, positions, 1);
        let sorted = in_order(&self.order, &self.positions, positions);
        self.neighbors.update(cell, sorted, reach)?;
        Ok(())
    }

    /// Changes the order if it is bad; says whether.
    fn sort(&mut self, reach: f64, cell: &Cell, positions: &[[f64; 3]]) -> bool {
        self.positions = order::gather(&self.order, positions, 1);
        let sorted = in_order(&self.order, &self.positions, positions);
        let Some(better) = order::of_places(cell, sorted, reach) else {
            return false;
        };
        self.types = order::gather(&better, &self.types, 1);
        self.order = match self.order.is_empty() {
            true => better,
            false => order::gather(&better, &self.order, 1),
        };
        true
    }
}

/// The positions that are evaluated.
fn in_order<'a>(order: &[u32], sorted: &'a [[f64; 3]], given: &'a [[f64; 3]]) -> &'a [[f64; 3]] {
    match order.is_empty() {
        true => given,
        false => sorted,
    }
}
