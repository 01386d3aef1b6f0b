//! Extrapolation grades: active sets, MaxVol, γ and ρ and their gradients.
//!
//! Three forms. The *ridge* form is the default; its module says what it is. The *compatibility* form is the public one, digit for digit: γ = max|B·A⁻¹| with the
//! `.asi` file's inverse; it calls directions never seen in training safe. The *two-part* form
//! scales and reduces the features first, so that γ = 1 means the edge of the training set again,
//! and reports what lies outside the subspace as ρ. Knows nothing of where structures come from.

mod asi;
mod atoms;
mod build;
mod calibrate;
mod clusters;
mod compat;
mod coordinates;
mod features;
mod file;
mod gradient;
mod linalg;
mod maxvol;
mod parts;
mod prefilter;
mod reduce;
mod report;
mod ridge;
mod scales;
mod screen;
mod select;
mod two_part;

#[cfg(test)]
mod tests;

pub use atoms::{Effort, GradeColumns, Grader};
pub use build::BuildOptions;
pub use calibrate::HeldOut;
pub use features::{FeatureSource, Features, Origin};
pub use gradient::{GradeGradient, Measure};
pub use maxvol::rectangular;
pub use maxvol::{Help, Swap, VolumeDevice};
pub use maxvol::{Maxvol, MaxvolOptions, Offered, Stream};
pub use maxvol::{maxvol, maxvol_streaming, maxvol_streaming_with, maxvol_with};
pub use parts::{Parts, RidgeParts};
pub use report::{BuildReport, ElementReport};
pub use select::{Selection, select, select_above};

use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use compat::CompatSet;
use ridge::RidgeSet;
use scales::Shape;
use std::io::BufRead;
use std::path::Path;
use two_part::TwoPartSet;

/// The forms of the grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GradeKind {
    /// γ of the public scripts and of GPUMD; there is no ρ (NaN).
    Compat,
    /// γ in the scaled, reduced subspace, and ρ for what lies outside it.
    TwoPart,
    /// One formula for known and unknown directions, in units of the model.
    Ridge,
}

impl std::fmt::Display for GradeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Compat => "compat",
            Self::TwoPart => "two-part",
            Self::Ridge => "ridge",
        })
    }
}

impl std::str::FromStr for GradeKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "compat" => Ok(Self::Compat),
            "two-part" => Ok(Self::TwoPart),
            "ridge" => Ok(Self::Ridge),
            other => Err(Error::invalid(format!(
                "unknown kind of grade {other:?}; expected ridge, two-part or compat"
            ))),
        }
    }
}

/// How far an atom is outside what the model was trained on. 1 is the edge, infinity unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grade {
    /// γ, the largest |c| of the features in terms of the active rows.
    pub gamma: f64,
    /// ρ, the part of the features outside the subspace in units of the training atoms' 99 %
    /// quantile; NaN in the compatibility form.
    pub rho: f64,
    /// Γ = max(γ, ρ/κ); γ in the compatibility form.
    pub total: f64,
}

impl Grade {
    /// The grade of an atom about which nothing is known.
    pub const UNKNOWN: Self = Self {
        gamma: f64::INFINITY,
        rho: f64::INFINITY,
        total: f64::INFINITY,
    };

    /// The grade of an atom that is in the middle of what is known.
    const NONE: Self = Self {
        gamma: 0.0,
        rho: 0.0,
        total: 0.0,
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
    /// The environment took the place of this active row.
    Swapped(usize),
    /// The subspace got a new direction; the environment is this active row.
    Grown(usize),
}

/// Active sets of a model, one per element, in one of the two forms.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveSet {
    elements: Vec<Element>,
    width: usize,
    /// Of the model whose features these are; `.asi` files do not tell.
    fingerprint: Option<u64>,
    /// Output weights of the model's neurons, by type.
    weights: Vec<Vec<f64>>,
    sets: Sets,
}

#[derive(Clone, Debug, PartialEq)]
enum Sets {
    Compat(Vec<Option<CompatSet>>),
    TwoPart(Vec<Option<TwoPartSet>>),
    Ridge(Vec<Option<RidgeSet>>),
    /// Two-part sets of parts of the data.
    Clustered(Vec<ActiveSet>),
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
            Sets::TwoPart(sets) => file::bytes(self, sets),
            Sets::Ridge(sets) => ridge::file::bytes(self, sets),
            Sets::Clustered(sets) => file::joined(sets),
        };
        crate::files::write_atomically(path.as_ref(), &content)
    }

    /// Which form the grades of this set have.
    pub fn kind(&self) -> GradeKind {
        match &self.sets {
            Sets::Compat(_) => GradeKind::Compat,
            Sets::TwoPart(_) | Sets::Clustered(_) => GradeKind::TwoPart,
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
            Sets::TwoPart(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or(0, TwoPartSet::rows),
            Sets::Ridge(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or(0, RidgeSet::rows),
            Sets::Clustered(sets) => sets.iter().map(|set| set.rank(t)).sum(),
        }
    }

    /// Where the active rows of a type come from, where that is known.
    pub fn origins(&self, t: usize) -> Vec<Option<Origin>> {
        match &self.sets {
            Sets::Compat(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or_else(Vec::new, |s| s.origins.clone()),
            Sets::TwoPart(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or_else(Vec::new, |s| s.origins.clone()),
            Sets::Ridge(sets) => sets
                .get(t)
                .and_then(Option::as_ref)
                .map_or_else(Vec::new, |s| s.origins.clone()),
            Sets::Clustered(sets) => sets.iter().flat_map(|set| set.origins(t)).collect(),
        }
    }

    /// Refuses a model of another shape, or in the two-part form with other parameters.
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
    /// In the two-part form a type without a set has infinite grades.
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
            Sets::TwoPart(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => set.grade(rows),
                None => vec![Grade::UNKNOWN; rows.len() / self.width],
            }),
            Sets::Ridge(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => set.grade(&set.sides_of_rows(rows), None),
                None => vec![Grade::UNKNOWN; rows.len() / self.width],
            }),
            Sets::Clustered(sets) => smallest(sets, |set| set.grade_rows(t, rows)),
        }
    }

    /// Takes a selected environment into the set at once, so that it is not above 1 any more.
    ///
    /// γ above 1 is met by exchanging the active row whose coefficient is largest; ρ above κ by a
    /// new direction with this row's amplitude. Training atoms may then be slightly above 1 (at
    /// most doubled by each exchange); building the set afresh restores the bound.
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
            Sets::TwoPart(sets) => match &mut sets[t] {
                Some(set) => Ok(set.extend(row, origin)),
                None => {
                    sets[t] = TwoPartSet::single(row, shape(&self.weights[t], row.len()), origin);
                    Ok(match sets[t] {
                        Some(_) => Extension::Grown(0),
                        None => Extension::Unchanged,
                    })
                }
            },
            Sets::Ridge(sets) => match &mut sets[t] {
                Some(set) => Ok(set.extend(&set.sides_of_rows(row), origin)),
                None => Ok(Extension::Unchanged),
            },
            Sets::Clustered(sets) => {
                // The cluster that knows most of it.
                let mut best = (0, f64::INFINITY);
                for (k, set) in sets.iter().enumerate() {
                    let grade = set.grade_rows(t, row)?[0].total;
                    if grade < best.1 {
                        best = (k, grade);
                    }
                }
                let before: usize = sets[..best.0].iter().map(|set| set.rank(t)).sum();
                Ok(match sets[best.0].extend(t, row, origin)? {
                    Extension::Unchanged => Extension::Unchanged,
                    Extension::Swapped(j) => Extension::Swapped(before + j),
                    Extension::Grown(j) => Extension::Grown(before + j),
                })
            }
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

/// The smallest of the grades that several sets give.
fn smallest(
    sets: &[ActiveSet],
    grade: impl Fn(&ActiveSet) -> Result<Vec<Grade>>,
) -> Result<Vec<Grade>> {
    let mut best: Vec<Grade> = Vec::new();
    for set in sets {
        let grades = grade(set)?;
        if best.is_empty() {
            best = grades;
            continue;
        }
        for (best, grade) in best.iter_mut().zip(grades) {
            if grade.total < best.total {
                *best = grade;
            }
        }
    }
    Ok(best)
}

/// Output weights of the neurons, by type.
fn output_weights(model: &Model) -> Vec<Vec<f64>> {
    (0..model.elements().len())
        .map(|t| model.network(t).w1.to_vec())
        .collect()
}

/// How features of a length are made up.
fn shape(weights: &[f64], width: usize) -> Shape<'_> {
    Shape {
        dim: (width / weights.len().max(1)).saturating_sub(2),
        weights,
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
