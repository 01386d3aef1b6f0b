//! Extrapolation grades: active sets, their grades and gradients, and MaxVol.
//!
//! Two forms. The *ridge* form is nepal's own: one formula for known and unknown directions; its module
//! says which. The *compatibility* form is the public one, digit for digit: γ = max|B·A⁻¹| with the
//! `.asi` file's inverse; it calls directions never seen in training safe. Knows nothing of where
//! structures come from.

mod asi;
mod atoms;
mod build;
mod compat;
mod coordinates;
mod features;
mod file;
mod gradient;
mod linalg;
mod maxvol;
mod parts;
mod report;
mod ridge;
mod select;
mod unseen;

#[cfg(test)]
mod tests;

pub use atoms::{Effort, GradeColumns, Grader};
pub use build::BuildOptions;
pub use features::{FeatureSource, Features, Origin};
pub use gradient::{GradeGradient, Measure};
pub use maxvol::{Help, Swap, VolumeDevice};
pub use maxvol::{Maxvol, MaxvolOptions, maxvol, maxvol_with};
pub use parts::{Parts, RidgeParts};
pub use report::{BuildReport, ElementReport};
pub use select::{Selection, select, select_above};
pub use unseen::unseen_grade;

use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use compat::CompatSet;
use ridge::RidgeSet;
use std::io::BufRead;
use std::path::Path;

/// The forms of the grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GradeKind {
    /// γ of the public scripts and of GPUMD; there is no ρ (NaN).
    Compat,
    /// One formula for known and unknown directions, in units of the model.
    Ridge,
}

impl std::fmt::Display for GradeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Compat => "compat",
            Self::Ridge => "ridge",
        })
    }
}

impl std::str::FromStr for GradeKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "compat" => Ok(Self::Compat),
            "ridge" => Ok(Self::Ridge),
            "two-part" => Err(Error::invalid(
                "the two-part grade of version 0.1 is gone; take ridge, which has one scale for all elements",
            )),
            other => Err(Error::invalid(format!(
                "unknown kind of grade {other:?}; expected ridge or compat"
            ))),
        }
    }
}

/// How far an atom is outside what the model was trained on. 1 is the edge, infinity unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grade {
    /// γ, the length of the features' coefficients c in terms of the active rows; in the compatibility form
    /// the largest |c|.
    pub gamma: f64,
    /// ρ, the part of the features that the active rows do not span; NaN in the compatibility form.
    pub rho: f64,
    /// Γ = √(γ² + ρ²); γ in the compatibility form.
    pub total: f64,
}

impl Grade {
    /// The grade of an atom about which nothing is known.
    pub const UNKNOWN: Self = Self {
        gamma: f64::INFINITY,
        rho: f64::INFINITY,
        total: f64::INFINITY,
    };
}

/// Grades up to here are at the edge, not beyond: a row that is in the set has a γ of 1 up to
/// rounding.
const EDGE: f64 = 1.0 + 1e-6;

/// What [`ActiveSet::extend`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Nothing: the environment is inside the set already.
    Unchanged,
    /// The environment took the place of this active row (compatibility form).
    Swapped(usize),
    /// The environment became this active row.
    Grown(usize),
}

/// Active sets of a model, one per element, in one of the two forms.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveSet {
    elements: Vec<Element>,
    width: usize,
    /// Of the model whose features these are; `.asi` files do not tell.
    fingerprint: Option<u64>,
    sets: Sets,
}

#[derive(Clone, Debug, PartialEq)]
enum Sets {
    Compat(Vec<Option<CompatSet>>),
    Ridge(Vec<Option<RidgeSet>>),
}

impl ActiveSet {
    /// Reads an active set in either format: the public `.asi` text or nepal's own.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Parse`] with the line for a file that does not follow
    /// its format, is truncated or damaged; [`Error::InvalidArgument`] for a set that was made for
    /// another model.
    pub fn load(path: impl AsRef<Path>, model: &Model) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
        let name = path.display().to_string();
        Self::read(std::io::BufReader::new(file), &name, model)
    }

    /// Reads an active set as [`ActiveSet::load`] does; `name` stands for the file in error
    /// messages.
    ///
    /// **Errors**: as [`ActiveSet::load`].
    pub fn read(mut reader: impl BufRead, name: &str, model: &Model) -> Result<Self> {
        if file::is_native(&mut reader).map_err(|e| Error::io("read", name, e))? {
            file::read(&mut reader, name, model)
        } else {
            asi::read(reader, name, model)
        }
    }

    /// Writes the set in one step: `.asi` text in the compatibility form, nepal's own format
    /// otherwise.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let content = match &self.sets {
            Sets::Compat(sets) => asi::text(&self.elements, sets).into_bytes(),
            Sets::Ridge(sets) => ridge::file::bytes(self, sets),
        };
        crate::files::write_atomically(path.as_ref(), &content)
    }

    /// Which form the grades of this set have.
    pub fn kind(&self) -> GradeKind {
        match &self.sets {
            Sets::Compat(_) => GradeKind::Compat,
            Sets::Ridge(_) => GradeKind::Ridge,
        }
    }

    /// Elements in the order of the model's types.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Length of a feature row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of active rows of a type; 0 without a set.
    pub fn rank(&self, t: usize) -> usize {
        match &self.sets {
            Sets::Compat(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or(0, |_| self.width),
            Sets::Ridge(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or(0, RidgeSet::rows),
        }
    }

    /// Where the active rows of a type come from, where that is known.
    pub fn origins(&self, t: usize) -> Vec<Option<Origin>> {
        match &self.sets {
            Sets::Compat(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or_else(Vec::new, |s| s.origins.clone()),
            Sets::Ridge(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or_else(Vec::new, |s| s.origins.clone()),
        }
    }

    /// Refuses a model of another shape, or in the ridge form with other parameters.
    ///
    /// **Errors**: [`Error::InvalidArgument`] saying what differs.
    pub fn check_model(&self, model: &Model) -> Result<()> {
        if self.elements != model.elements() {
            let names = |list: &[Element]| {
                let symbols: Vec<_> = list.iter().map(|e| e.symbol()).collect();
                symbols.join(" ")
            };
            return Err(Error::invalid(format!(
                "the active set is for the elements {}, the model for {}; build the set with this model",
                names(&self.elements),
                names(model.elements())
            )));
        }
        check_width(self.width, model)?;
        match self.fingerprint {
            Some(f) if f != model.fingerprint() => Err(other_model(f, model)),
            _ => Ok(()),
        }
    }

    /// Grades of feature rows of one type.
    ///
    /// In the ridge form a type without a set has infinite grades.
    ///
    /// **Shapes**: `rows` `[N][width]`, the result `[N]`. **Errors**: [`Error::InvalidArgument`]
    /// for a length that is not a multiple of the width, or a type that an `.asi` file lacks.
    pub fn grade_rows(&self, t: usize, rows: &[f64]) -> Result<Vec<Grade>> {
        if !rows.len().is_multiple_of(self.width) {
            return Err(Error::invalid(format!(
                "{} feature values are not a whole number of rows of {}",
                rows.len(),
                self.width
            )));
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Ok(set.grade(rows, self.width)),
                None => Err(self.no_set(t)),
            },
            Sets::Ridge(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => set.grade(&set.sides_of_rows(rows), None),
                None => vec![Grade::UNKNOWN; rows.len() / self.width],
            }),
        }
    }

    /// Takes a selected environment into the set at once, so that it is not above 1 any more.
    ///
    /// In the ridge form it becomes an active row, which raises no other grade. In the compatibility form it
    /// takes the place of the row whose coefficient is largest: training atoms may then be slightly above 1
    /// (at most doubled by each exchange); building the set afresh restores the bound.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a row of another width or with a number that is
    /// not finite, or a type that an `.asi` file lacks.
    pub fn extend(&mut self, t: usize, row: &[f64], origin: Option<Origin>) -> Result<Extension> {
        if row.len() != self.width || row.iter().any(|x| !x.is_finite()) {
            return Err(Error::invalid(format!(
                "an active set is extended by rows of {} finite numbers; found {} numbers{}",
                self.width,
                row.len(),
                if row.len() == self.width {
                    ", not all finite"
                } else {
                    ""
                }
            )));
        }
        if t >= self.elements.len() {
            return Err(self.no_set(t));
        }
        let missing = self.no_set(t);
        match &mut self.sets {
            Sets::Compat(sets) => match &mut sets[t] {
                Some(set) => Ok(set.extend(row, origin)),
                None => Err(missing),
            },
            Sets::Ridge(sets) => match &mut sets[t] {
                Some(set) => Ok(set.extend(&set.sides_of_rows(row), origin)),
                None => Ok(Extension::Unchanged),
            },
        }
    }

    fn no_set(&self, t: usize) -> Error {
        match self.elements.get(t) {
            Some(element) => Error::invalid(format!(
                "the .asi active set has no matrix for {element}, so its atoms cannot be graded; \
                 build the set from structures that contain {element}"
            )),
            None => Error::invalid(format!(
                "type {t} is not among the {} types of the active set",
                self.elements.len()
            )),
        }
    }
}

fn check_width(width: usize, model: &Model) -> Result<()> {
    let expected = model.layout().projection_len();
    if width != expected {
        return Err(Error::invalid(format!(
            "the active set is for features of length {width}; those of the model have length \
             {expected}; build the set with this model"
        )));
    }
    Ok(())
}

fn other_model(found: u64, model: &Model) -> Error {
    Error::invalid(format!(
        "the active set was made with another model (fingerprint {found:016x}, this model has \
         {:016x}); features depend on the weights, so build the set again",
        model.fingerprint()
    ))
}

/// Some rows of a row-major matrix, copied.
fn gather(data: &[f64], width: usize, indices: &[usize]) -> Vec<f64> {
    let mut out = Vec::with_capacity(indices.len() * width);
    for &k in indices {
        out.extend_from_slice(&data[k * width..][..width]);
    }
    out
}
