//! Grades of atoms from their descriptors: the B projections are made block by block and not kept.

use super::linalg::{blockwise, multiply, rows};
use super::{ActiveSet, Grade, Sets, gather};
use crate::error::{Error, Result};
use crate::model::{Model, Network};
use std::sync::Arc;

/// How much is done to grade atoms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Effort {
    /// Exact grades of all atoms.
    #[default]
    Full,
    /// Exact grades of all atoms whose Γ is above a threshold.
    ///
    /// An atom is above the threshold in the result if and only if it is. The others, all at most the
    /// threshold, get a bound of Γ from few active rows, for γ and ρ too.
    Above(f64),
}

/// Where the grades of atoms go. Shapes `[n_atoms]`.
pub struct GradeColumns<'a> {
    /// γ.
    pub gamma: &'a mut Vec<f64>,
    /// ρ.
    pub rho: &'a mut Vec<f64>,
    /// The reported grade Γ.
    pub grade: &'a mut Vec<f64>,
}

/// A machine that grades the atoms it evaluated last.
pub trait Grader {
    /// Grades of those atoms, which have these types.
    ///
    /// **Errors**: as [`ActiveSet::grade_atoms`], and those of the machine.
    fn grade(
        &mut self,
        model: &Model,
        types: &[u32],
        set: &Arc<ActiveSet>,
        effort: Effort,
        out: GradeColumns<'_>,
    ) -> Result<()>;
}

impl ActiveSet {
    /// Grades of atoms, which have these types, from their scaled descriptors and, to spare making them,
    /// their hidden neurons. In the compatibility form all are exact.
    ///
    /// **Shapes**: `types` `[n_atoms]`, `descriptors` `[n_atoms][dim]`, `neurons` empty or
    /// `[n_atoms][neurons]`. **Errors**: [`Error::InvalidArgument`] for descriptors of the wrong
    /// length and for an atom of an element that an `.asi` file lacks.
    pub fn grade_atoms(
        &self,
        model: &Model,
        types: &[u32],
        effort: Effort,
        (descriptors, neurons): (&[f64], &[f64]),
        out: GradeColumns<'_>,
    ) -> Result<()> {
        let neurons = (!neurons.is_empty()).then_some(neurons);
        let grades = self.grade_parts(model, types, (descriptors, neurons), effort)?;
        let fill = |column: &mut Vec<f64>, pick: fn(&Grade) -> f64| {
            column.clear();
            column.extend(grades.iter().map(pick));
        };
        fill(out.gamma, |g| g.gamma);
        fill(out.rho, |g| g.rho);
        fill(out.grade, |g| g.total);
        Ok(())
    }

    /// Grades of atoms from their scaled descriptors. In the compatibility form all are exact.
    ///
    /// **Shapes**: `types` and the result `[n_atoms]`, `descriptors` `[n_atoms][dim]`.
    /// **Errors**: as [`ActiveSet::grade_rows`]; for arrays of the wrong length.
    pub fn grade_descriptors(
        &self,
        model: &Model,
        types: &[u32],
        descriptors: &[f64],
        effort: Effort,
    ) -> Result<Vec<Grade>> {
        self.grade_parts(model, types, (descriptors, None), effort)
    }

    /// [`ActiveSet::grade_descriptors`] with the hidden neurons, if they are known.
    fn grade_parts(
        &self,
        model: &Model,
        types: &[u32],
        (descriptors, known): (&[f64], Option<&[f64]>),
        effort: Effort,
    ) -> Result<Vec<Grade>> {
        super::check_width(self.width, model)?;
        check_descriptors(model, types, descriptors)?;
        let (dim, h) = (model.dim(), model.header().neurons[0]);
        if known.is_some_and(|x| x.len() != types.len() * h) {
            return Err(Error::Internal(format!(
                "not {h} hidden neurons for each of {} atoms",
                types.len()
            )));
        }
        let threshold = match effort {
            Effort::Full => None,
            Effort::Above(threshold) => Some(threshold),
        };
        let mut grades = vec![Grade::UNKNOWN; types.len()];
        for t in 0..model.elements().len() {
            let of_type = |&i: &usize| types[i] as usize == t;
            let atoms: Vec<usize> = (0..types.len()).filter(of_type).collect();
            if atoms.is_empty() {
                continue;
            }
            let net = model.network(t);
            let own = |data: &[f64]| gather(data, dim, &atoms);
            let found = match &self.sets {
                Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                    Some(set) => blockwise(&own(descriptors), dim, |q| {
                        set.grade(&projections(&net, q, dim, self.width), self.width)
                    }),
                    None => return Err(self.no_set(t)),
                },
                Sets::Ridge(sets) => match (sets.get(t).and_then(Option::as_ref), known) {
                    (Some(set), Some(x)) => set.grade_of((descriptors, x), &atoms, threshold),
                    (Some(set), None) => {
                        let q = own(descriptors);
                        let x = blockwise(&q, dim, |q| neurons(&net, q, dim));
                        let all: Vec<usize> = (0..atoms.len()).collect();
                        set.grade_of((&q, &x), &all, threshold)
                    }
                    (None, _) => continue,
                },
            };
            for (&i, g) in atoms.iter().zip(found) {
                grades[i] = g;
            }
        }
        Ok(grades)
    }
}

/// Refuses arrays that do not fit the model.
pub(super) fn check_descriptors(model: &Model, types: &[u32], descriptors: &[f64]) -> Result<()> {
    let dim = model.dim();
    if descriptors.len() != types.len() * dim {
        return Err(Error::invalid(format!(
            "{} descriptor values were given for {} atoms of {dim} each; ask for descriptors",
            descriptors.len(),
            types.len()
        )));
    }
    let n_types = model.elements().len();
    if types.iter().any(|&t| t as usize >= n_types) {
        return Err(Error::invalid(format!(
            "a type is above the last of the model, {}",
            n_types - 1
        )));
    }
    Ok(())
}

/// B projections of atoms of one type.
pub(super) fn projections(net: &Network<'_>, q: &[f64], dim: usize, width: usize) -> Vec<f64> {
    from_neurons(net, q, &neurons(net, q, dim), dim, width)
}

/// Hidden neurons of atoms of one type.
pub(super) fn neurons(net: &Network<'_>, q: &[f64], dim: usize) -> Vec<f64> {
    let h = net.b0.len();
    let count = q.len() / dim;
    let mut x = multiply(rows(q, count, dim), rows(net.w0, h, dim).transpose());
    for row in x.chunks_exact_mut(h) {
        for (x, b) in row.iter_mut().zip(net.b0) {
            *x = (*x - b).tanh();
        }
    }
    x
}

/// [`network::projection`](crate::nep::network::projection) from descriptors and hidden neurons.
fn from_neurons(net: &Network<'_>, q: &[f64], x: &[f64], dim: usize, width: usize) -> Vec<f64> {
    let h = net.b0.len();
    let mut b = Vec::with_capacity(q.len() / dim * width);
    for (q, x) in q.chunks_exact(dim).zip(x.chunks_exact(h)) {
        for (x, w) in x.iter().zip(net.w1) {
            let slope = w * (1.0 - x * x);
            b.extend(q.iter().map(|q| slope * q));
            b.extend([-slope, *x]);
        }
    }
    b
}
