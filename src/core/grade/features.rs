//! Features of many atoms: what active sets are built from.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::system::Structure;

/// Where a feature row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Number of the structure, as the caller counts them.
    pub structure: u32,
    /// Index of the atom in it, from 0.
    pub atom: u32,
}

/// What gives the feature rows of a structure's atoms: a backend, a calculator.
pub trait FeatureSource {
    /// Puts the B projections of all atoms into `rows`: those of the energy, also where a network has
    /// heads for charges and C6 (which share its neurons), and of tensors those of the network of the
    /// tensor. A temperature is a descriptor like others, so that one out of the trained range is
    /// graded.
    ///
    /// **Shapes**: `types` `[n_atoms]`, `rows` `[n_atoms][width]`. **Errors**: those of the evaluation.
    fn features(
        &mut self,
        model: &Model,
        structure: &Structure,
        types: &[u32],
        rows: &mut Vec<f64>,
    ) -> Result<()>;
}

/// Feature rows (B projections) of many atoms, by type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    width: usize,
    rows: Vec<Vec<f64>>,
    origins: Vec<Vec<Origin>>,
}

impl Features {
    /// No rows yet, for the features of a model.
    pub fn new(model: &Model) -> Self {
        Self::with_shape(model.elements().len(), model.layout().projection_len())
    }

    /// No rows yet, for a number of types and a length of the rows.
    pub fn with_shape(n_types: usize, width: usize) -> Self {
        Self {
            width,
            rows: vec![Vec::new(); n_types],
            origins: vec![Vec::new(); n_types],
        }
    }

    /// Evaluates structures and collects the rows of all their atoms. Structures are numbered
    /// from 0.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an element that the model does not know or
    /// positions that are not finite; what the source says.
    pub fn collect<'a>(
        model: &Model,
        source: &mut (impl FeatureSource + ?Sized),
        structures: impl IntoIterator<Item = &'a Structure>,
    ) -> Result<Self> {
        let mut features = Self::new(model);
        let mut rows = Vec::new();
        for (number, structure) in structures.into_iter().enumerate() {
            let mut evaluated = || {
                structure.validate()?;
                let types = model.types_of(&structure.elements)?;
                source.features(model, structure, &types, &mut rows)?;
                Ok(types)
            };
            let types =
                evaluated().map_err(|e: Error| e.within(&format!("structure {}", number + 1)))?;
            features.push_atoms(number as u32, &types, &rows)?;
        }
        Ok(features)
    }

    /// Adds the rows of all atoms of an evaluated structure.
    ///
    /// **Shapes**: `types` `[n_local]`, `projections` `[n_local][width]`.
    /// **Errors**: [`Error::InvalidArgument`] if the lengths do not fit or a type is unknown.
    pub fn push_atoms(&mut self, structure: u32, types: &[u32], projections: &[f64]) -> Result<()> {
        if projections.len() != types.len() * self.width {
            return Err(Error::invalid(format!(
                "{} feature values were given for {} atoms of {} each",
                projections.len(),
                types.len(),
                self.width
            )));
        }
        for (atom, (&t, row)) in types
            .iter()
            .zip(projections.chunks_exact(self.width.max(1)))
            .enumerate()
        {
            let atom = atom as u32;
            self.push(t as usize, row, Origin { structure, atom })?;
        }
        Ok(())
    }

    /// Adds one row.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an unknown type or a row of another length.
    pub fn push(&mut self, t: usize, row: &[f64], origin: Origin) -> Result<()> {
        if t >= self.rows.len() || row.len() != self.width {
            return Err(Error::invalid(format!(
                "a row of length {} and type {t} does not fit features of length {} and {} types",
                row.len(),
                self.width,
                self.rows.len()
            )));
        }
        self.rows[t].extend_from_slice(row);
        self.origins[t].push(origin);
        Ok(())
    }

    /// Length of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of types.
    pub fn n_types(&self) -> usize {
        self.rows.len()
    }

    /// Number of rows of a type.
    pub fn count(&self, t: usize) -> usize {
        self.origins[t].len()
    }

    /// Rows of a type. Shape `[count][width]`.
    pub fn rows(&self, t: usize) -> &[f64] {
        &self.rows[t]
    }

    /// Where the rows of a type come from. Shape `[count]`.
    pub fn origins(&self, t: usize) -> &[Origin] {
        &self.origins[t]
    }
}
