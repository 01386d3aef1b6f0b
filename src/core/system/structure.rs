//! Atoms in a cell.

use super::cell::{Cell, strain_vector};
use crate::element::Element;
use crate::error::{Error, Result};

/// Atoms in a cell: what a potential is evaluated on.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    /// The cell.
    pub cell: Cell,
    /// Element of each atom.
    pub elements: Vec<Element>,
    /// Cartesian position of each atom in Å; may lie outside the cell.
    pub positions: Vec<[f64; 3]>,
}

impl Structure {
    /// A structure whose arrays agree and whose positions are finite.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if the lengths differ or a coordinate is NaN or infinite.
    pub fn new(cell: Cell, elements: Vec<Element>, positions: Vec<[f64; 3]>) -> Result<Self> {
        let structure = Self {
            cell,
            elements,
            positions,
        };
        structure.validate()?;
        Ok(structure)
    }

    /// Checks what [`Structure::new`] promises.
    ///
    /// **Errors**: as [`Structure::new`].
    pub fn validate(&self) -> Result<()> {
        if self.elements.len() != self.positions.len() {
            return Err(Error::invalid(format!(
                "the structure has {} elements but {} positions",
                self.elements.len(),
                self.positions.len()
            )));
        }
        check_finite(&self.positions)
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// True without atoms.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The structure under the homogeneous deformation `r -> r (1 + strain)`.
    ///
    /// **Errors**: as [`Cell::new`], when the strain flattens the cell.
    pub fn strained(&self, strain: &[[f64; 3]; 3]) -> Result<Self> {
        Ok(Self {
            cell: self.cell.strained(strain)?,
            elements: self.elements.clone(),
            positions: self
                .positions
                .iter()
                .map(|&r| strain_vector(r, strain))
                .collect(),
        })
    }

    /// The structure repeated `n[d]` times along each lattice vector; the copies follow one another.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if a count is zero, or above one along a
    /// non-periodic direction.
    pub fn repeated(&self, n: [usize; 3]) -> Result<Self> {
        for d in 0..3 {
            if n[d] == 0 || (n[d] > 1 && !self.cell.periodic()[d]) {
                return Err(Error::invalid(format!(
                    "cannot repeat the structure {n:?} times: counts start at 1 and only periodic directions repeat"
                )));
            }
        }
        let mut vectors = *self.cell.vectors();
        for d in 0..3 {
            vectors[d] = vectors[d].map(|x| x * n[d] as f64);
        }
        let copies = n[0] * n[1] * n[2];
        let mut elements = Vec::with_capacity(copies * self.len());
        let mut positions = Vec::with_capacity(copies * self.len());
        for i in 0..n[0] {
            for j in 0..n[1] {
                for k in 0..n[2] {
                    let t = self.cell.translation([i as i32, j as i32, k as i32]);
                    elements.extend_from_slice(&self.elements);
                    positions.extend(self.positions.iter().map(|&r| super::cell::add(r, t)));
                }
            }
        }
        Self::new(
            Cell::new(vectors, self.cell.periodic())?,
            elements,
            positions,
        )
    }
}

/// Refuses NaN and infinite coordinates, naming the first atom (counted from 0).
pub fn check_finite(positions: &[[f64; 3]]) -> Result<()> {
    match positions
        .iter()
        .position(|r| r.iter().any(|x| !x.is_finite()))
    {
        None => Ok(()),
        Some(atom) => Err(Error::invalid(format!(
            "atom {atom} has the position {:?}; expected finite coordinates in Å (did the simulation blow up?)",
            positions[atom]
        ))),
    }
}
