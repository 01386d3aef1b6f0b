//! Grades of atoms from their descriptors: the B projections are made block by block and not kept.

use super::linalg::{blockwise, multiply, rows};
use super::prefilter::Prefilter;
use super::ridge::RidgeSet;
use super::two_part::TwoPartSet;
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
    /// An atom is above the threshold in the result if and only if it is. The Γ of the others, all
    /// at most the threshold, come from single precision: γ is good to at least four digits of the
    /// threshold, ρ is an estimate with a standard deviation of 9 %. (An atom above the threshold
    /// in ρ alone is missed with a probability of 1.3e-10.) The CUDA backend takes half precision
    /// for γ with a bound of its own: the γ of the others is good to about two digits there.
    Above(f64),
    /// As [`Effort::Above`], but only for the tenth of ordinary atoms whose hidden neurons are
    /// farthest from their mean; the grades of the others are 0.
    ///
    /// Atoms whose Γ is above the threshold but whose neurons are ordinary are missed:
    /// [`HeldOut::recall`](super::HeldOut::recall) tells how many of a hundred are not.
    Likely(f64),
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
    /// Grades of atoms, which have these types, from their scaled descriptors. Hidden neurons, if
    /// there are any, spare [`Effort::Likely`] to make them.
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

    /// [`ActiveSet::grade_descriptors`] with the hidden neurons, if they are known: good enough in
    /// single precision, because atoms that are graded get their own.
    fn grade_parts(
        &self,
        model: &Model,
        types: &[u32],
        parts: (&[f64], Option<&[f64]>),
        effort: Effort,
    ) -> Result<Vec<Grade>> {
        if let Sets::Clustered(sets) = &self.sets {
            return super::smallest(sets, |set| set.grade_parts(model, types, parts, effort));
        }
        super::check_width(self.width, model)?;
        let (descriptors, neurons) = parts;
        check_descriptors(model, types, descriptors)?;
        let h = model.header().neurons[0];
        if neurons.is_some_and(|x| x.len() != types.len() * h) {
            return Err(Error::Internal(format!(
                "not {h} hidden neurons for each of {} atoms",
                types.len()
            )));
        }
        let mut grades = vec![Grade::UNKNOWN; types.len()];
        for t in 0..model.elements().len() {
            let mut atoms: Vec<usize> = (0..types.len())
                .filter(|&i| types[i] as usize == t)
                .collect();
            if atoms.is_empty() {
                continue;
            }
            let net = model.network(t);
            if let (Effort::Likely(_), Some(x), Some(prefilter)) =
                (effort, neurons, self.prefilter(t))
            {
                let pass = blockwise(&gather(x, h, &atoms), h, |x| prefilter.pass(x));
                let mut pass = pass.into_iter();
                atoms.retain(|&i| {
                    let passes = pass.next().unwrap_or(true);
                    if !passes {
                        grades[i] = Grade::NONE;
                    }
                    passes
                });
            }
            if let (Some(set), Some(x)) = (self.ridge(t), neurons) {
                let atoms: Vec<u32> = atoms.iter().map(|&i| i as u32).collect();
                let found = set.grade_of((descriptors, x), &atoms, threshold_of(effort));
                for (&i, g) in atoms.iter().zip(found) {
                    grades[i as usize] = g;
                }
                continue;
            }
            let q = gather(descriptors, model.dim(), &atoms);
            let effort = match (effort, neurons) {
                (Effort::Likely(threshold), Some(_)) => Effort::Above(threshold),
                (effort, _) => effort,
            };
            let found = self.grade_type(t, &net, &q, effort)?;
            for (&i, g) in atoms.iter().zip(found) {
                grades[i] = g;
            }
        }
        Ok(grades)
    }

    fn ridge(&self, t: usize) -> Option<&RidgeSet> {
        match &self.sets {
            Sets::Ridge(sets) => sets.get(t)?.as_ref(),
            _ => None,
        }
    }

    fn prefilter(&self, t: usize) -> Option<&Prefilter> {
        match &self.sets {
            Sets::TwoPart(sets) => sets.get(t)?.as_ref()?.prefilter.as_ref(),
            _ => None,
        }
    }

    /// Grades of atoms of a type from their descriptors.
    fn grade_type(
        &self,
        t: usize,
        net: &Network<'_>,
        q: &[f64],
        effort: Effort,
    ) -> Result<Vec<Grade>> {
        let (dim, width) = (net.w0.len() / net.b0.len(), self.width);
        match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Ok(blockwise(q, dim, |q| {
                    set.grade(&projections(net, q, dim, width), width)
                })),
                None => Err(self.no_set(t)),
            },
            Sets::Clustered(_) => Err(Error::Internal("clusters are graded one by one".into())),
            Sets::Ridge(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => {
                    let x = blockwise(q, dim, |q| neurons(net, q, dim));
                    set.grade(&set.sides(q, &x), threshold_of(effort))
                }
                None => vec![Grade::UNKNOWN; q.len() / dim],
            }),
            Sets::TwoPart(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => blockwise(q, dim, |q| match effort {
                    Effort::Full => set.grade(&projections(net, q, dim, width)),
                    Effort::Above(threshold) => {
                        above(set, net, q, &neurons(net, q, dim), dim, threshold)
                    }
                    Effort::Likely(threshold) => likely(set, net, q, dim, threshold),
                }),
                None => vec![Grade::UNKNOWN; q.len() / dim],
            }),
        }
    }
}

/// The threshold of an effort. In the ridge form an exact early end leaves a first look nothing to save.
fn threshold_of(effort: Effort) -> Option<f64> {
    match effort {
        Effort::Full => None,
        Effort::Above(threshold) | Effort::Likely(threshold) => Some(threshold),
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
fn neurons(net: &Network<'_>, q: &[f64], dim: usize) -> Vec<f64> {
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

/// Grades of atoms, exact above a threshold.
fn above(
    set: &TwoPartSet,
    net: &Network<'_>,
    q: &[f64],
    x: &[f64],
    dim: usize,
    threshold: f64,
) -> Vec<Grade> {
    let h = net.b0.len();
    let slope = |(x, w): (&f64, &f64)| w * (1.0 - x * x);
    let slopes: Vec<f64> = x.iter().zip(net.w1.iter().cycle()).map(slope).collect();
    let estimates = set.screen().estimate(q, &slopes, x, dim);
    let limit = threshold * set.kappa * set.residual_scale;
    let close: Vec<usize> = (0..estimates.len())
        .filter(|&k| estimates[k].may_exceed(threshold, limit))
        .collect();
    let mut grades: Vec<Grade> = estimates
        .iter()
        .map(|e| set.combine(e.gamma, e.residual))
        .collect();
    if !close.is_empty() {
        let (q, x) = (gather(q, dim, &close), gather(x, h, &close));
        let b = from_neurons(net, &q, &x, dim, set.scale.len());
        for (&k, grade) in close.iter().zip(set.grade(&b)) {
            grades[k] = grade;
        }
    }
    grades
}

/// Grades of atoms that pass the prefilter, exact above a threshold; 0 of the others.
fn likely(
    set: &TwoPartSet,
    net: &Network<'_>,
    q: &[f64],
    dim: usize,
    threshold: f64,
) -> Vec<Grade> {
    let x = neurons(net, q, dim);
    let Some(prefilter) = &set.prefilter else {
        return above(set, net, q, &x, dim, threshold);
    };
    let mut grades = vec![Grade::NONE; q.len() / dim];
    let pass = prefilter.pass(&x);
    let passing: Vec<usize> = (0..grades.len()).filter(|&k| pass[k]).collect();
    if !passing.is_empty() {
        let q = gather(q, dim, &passing);
        let x = gather(&x, net.b0.len(), &passing);
        let found = above(set, net, &q, &x, dim, threshold);
        for (&k, grade) in passing.iter().zip(found) {
            grades[k] = grade;
        }
    }
    grades
}
