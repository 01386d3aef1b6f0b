//! Grades of atoms from their descriptors: the B projections are made block by block and not kept.

use super::linalg::blockwise;
use super::scales::Shape;
use super::two_part::TwoPartSet;
use super::{ActiveSet, Grade, Sets, gather};
use crate::backend::{Evaluation, System};
use crate::error::{Error, Result};
use crate::model::{Model, Network};
use crate::nep::network;

/// How much is done to grade atoms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Effort {
    /// Exact grades of all atoms.
    #[default]
    Full,
    /// Exact grades of all atoms whose Γ is above a threshold.
    ///
    /// An atom is above the threshold in the result if and only if it is. The Γ of the others, all
    /// at most the threshold, come from single precision: γ is good to at least four digits of the
    /// threshold, ρ is an estimate with a standard deviation of 9 %. (An atom above the threshold
    /// in ρ alone is missed with a probability of 1.3e-10.)
    Above(f64),
    /// As [`Effort::Above`], but only for the fifth of ordinary atoms whose hidden neurons are
    /// farthest from their mean; the grades of the others are 0.
    ///
    /// Atoms whose Γ is above the threshold but whose neurons are ordinary are missed:
    /// [`HeldOut::recall`](super::HeldOut::recall) tells how many of a hundred are not.
    Likely(f64),
}

impl ActiveSet {
    /// Fills `gamma`, `rho` and `grade` of the local atoms from their `descriptors`.
    ///
    /// **Errors**: [`Error::Internal`] if the descriptors are missing;
    /// [`Error::InvalidArgument`] for an atom of an element that an `.asi` file lacks.
    pub fn grade_atoms(
        &self,
        model: &Model,
        system: &System<'_>,
        effort: Effort,
        results: &mut Evaluation,
    ) -> Result<()> {
        let count = system.n_local();
        if results.descriptors.len() != count * model.dim() {
            return Err(Error::Internal(format!(
                "{} descriptor values for {count} atoms of {} each",
                results.descriptors.len(),
                model.dim()
            )));
        }
        let types = &system.types[..count];
        let grades = self.grade_descriptors(model, types, &results.descriptors, effort)?;
        results.gamma.clear();
        results.gamma.extend(grades.iter().map(|g| g.gamma));
        results.rho.clear();
        results.rho.extend(grades.iter().map(|g| g.rho));
        results.grade.clear();
        results.grade.extend(grades.iter().map(|g| g.total));
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
        let (dim, width) = (model.dim(), self.width);
        self.by_type(model, types, descriptors, |t, net, q| match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Ok(blockwise(q, dim, |q| {
                    set.grade(&projections(net, q, dim, width), width)
                })),
                None => Err(self.no_set(t)),
            },
            Sets::TwoPart(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => blockwise(q, dim, |q| {
                    let b = projections(net, q, dim, width);
                    match effort {
                        Effort::Full => set.grade(&b),
                        Effort::Above(threshold) => above(set, &b, threshold),
                        Effort::Likely(threshold) => {
                            let shape = Shape {
                                dim,
                                weights: net.w1,
                            };
                            likely(set, &b, shape, threshold)
                        }
                    }
                }),
                None => vec![Grade::UNKNOWN; q.len() / dim],
            }),
        })
    }

    /// Applies a function to the descriptors of each type and puts what it gives in order.
    fn by_type(
        &self,
        model: &Model,
        types: &[u32],
        descriptors: &[f64],
        grade: impl Fn(usize, &Network<'_>, &[f64]) -> Result<Vec<Grade>>,
    ) -> Result<Vec<Grade>> {
        super::check_width(self.width, model)?;
        check_descriptors(model, types, descriptors)?;
        let mut grades = vec![Grade::UNKNOWN; types.len()];
        for t in 0..model.elements().len() {
            let atoms: Vec<usize> = (0..types.len())
                .filter(|&i| types[i] as usize == t)
                .collect();
            if atoms.is_empty() {
                continue;
            }
            let q = gather(descriptors, model.dim(), &atoms);
            for (&i, g) in atoms.iter().zip(grade(t, &model.network(t), &q)?) {
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
    let mut b = vec![0.0; q.len() / dim * width];
    for (q, b) in q.chunks_exact(dim).zip(b.chunks_exact_mut(width)) {
        network::projection(net, q, b);
    }
    b
}

/// Grades of feature rows, exact above a threshold.
fn above(set: &TwoPartSet, b: &[f64], threshold: f64) -> Vec<Grade> {
    let width = set.scale.len();
    let mut z = vec![0.0f32; b.len()];
    let lengths: Vec<f64> = b
        .chunks_exact(width)
        .zip(z.chunks_exact_mut(width))
        .map(|(b, z)| set.single_precision(b, z))
        .collect();
    let estimates = set.screen().estimate(&z, &lengths);
    let limit = threshold * set.kappa * set.residual_scale;
    let close: Vec<usize> = (0..estimates.len())
        .filter(|&k| estimates[k].may_exceed(threshold, limit))
        .collect();
    let mut grades: Vec<Grade> = estimates
        .iter()
        .map(|e| set.combine(e.gamma, e.residual))
        .collect();
    if !close.is_empty() {
        for (&k, grade) in close.iter().zip(set.grade(&gather(b, width, &close))) {
            grades[k] = grade;
        }
    }
    grades
}

/// Grades of feature rows that pass the prefilter, exact above a threshold; 0 of the others.
fn likely(set: &TwoPartSet, b: &[f64], shape: Shape<'_>, threshold: f64) -> Vec<Grade> {
    let Some(prefilter) = &set.prefilter else {
        return above(set, b, threshold);
    };
    let width = set.scale.len();
    let mut grades = vec![Grade::NONE; b.len() / width];
    let passing: Vec<usize> = (0..grades.len())
        .filter(|&k| prefilter.passes(shape.neurons(&b[k * width..][..width])))
        .collect();
    if !passing.is_empty() {
        let found = above(set, &gather(b, width, &passing), threshold);
        for (&k, grade) in passing.iter().zip(found) {
            grades[k] = grade;
        }
    }
    grades
}
