//! Structures with labels: one frame of a data set.

use super::structure::Structure;
use std::collections::BTreeMap;

/// A structure with reference results, weights and provenance, as one frame of an extended XYZ
/// file holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The atoms.
    pub structure: Structure,
    /// Total energy in eV.
    pub energy: Option<f64>,
    /// Forces in eV/Å.
    pub forces: Option<Vec<[f64; 3]>>,
    /// Virial of the whole cell in eV, `xx xy xz yx yy yz zx zy zz`, `-dE/d(strain)`: positive in
    /// compression.
    pub virial: Option<[f64; 9]>,
    /// Weight of the whole structure in the training loss.
    pub weight: f64,
    /// Additional weight of the squared energy error.
    pub energy_weight: f64,
    /// Per-atom weight of the force error: 0 leaves an atom out.
    pub force_mask: Option<Vec<f64>>,
    /// All other `key=value` pairs of the comment line, unquoted.
    pub info: BTreeMap<String, String>,
    /// Pairs of `info` as they stood in the file, where nepal would write them otherwise: they are
    /// written again as they were, unless their value has changed.
    pub spelling: BTreeMap<String, String>,
    /// All other per-atom columns, in file order.
    pub columns: Vec<Column>,
}

/// A per-atom column group of an extended XYZ file, `name:kind:width`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name in the `Properties` list.
    pub name: String,
    /// Values of all atoms.
    pub data: ColumnData,
}

/// Values of a [`Column`], `width` per atom, atom-major.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnData {
    /// Kind `R`.
    Real {
        /// Values per atom.
        width: usize,
        /// `n_atoms * width` numbers.
        values: Vec<f64>,
    },
    /// Kind `I`.
    Integer {
        /// Values per atom.
        width: usize,
        /// `n_atoms * width` numbers.
        values: Vec<i64>,
    },
    /// Kinds `S` and `L`, kept as text.
    Text {
        /// Values per atom.
        width: usize,
        /// `S` or `L`.
        kind: char,
        /// `n_atoms * width` words.
        values: Vec<String>,
    },
}

impl Frame {
    /// An unlabelled frame with unit weights.
    pub fn new(structure: Structure) -> Self {
        Self {
            structure,
            energy: None,
            forces: None,
            virial: None,
            weight: 1.0,
            energy_weight: 1.0,
            force_mask: None,
            info: BTreeMap::new(),
            spelling: BTreeMap::new(),
            columns: Vec::new(),
        }
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.structure.len()
    }

    /// True without atoms.
    pub fn is_empty(&self) -> bool {
        self.structure.is_empty()
    }

    /// The real-valued column with this name and its width, if the frame has one.
    pub fn real_column(&self, name: &str) -> Option<(&[f64], usize)> {
        self.columns.iter().find_map(|c| match &c.data {
            ColumnData::Real { width, values } if c.name == name => {
                Some((values.as_slice(), *width))
            }
            _ => None,
        })
    }

    /// Adds or replaces a real-valued column of `width` values per atom.
    pub fn set_real_column(&mut self, name: &str, width: usize, values: Vec<f64>) {
        debug_assert_eq!(values.len(), width * self.len());
        self.columns.retain(|c| c.name != name);
        self.columns.push(Column {
            name: name.to_owned(),
            data: ColumnData::Real { width, values },
        });
    }
}
