//! Active sets from features.

use super::compat::{CompatSet, PINV_CUTOFF};
use super::features::Origin;
use super::linalg::max_abs;
use super::maxvol::Help;
use super::report::{BuildReport, ElementReport};
use super::ridge::RidgeSet;
use super::{
    ActiveSet, Features, GradeKind, MaxvolOptions, Sets, output_weights, reduce, ridge, shape,
};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use std::collections::HashSet;

/// How [`ActiveSet::build`] goes about it.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildOptions {
    /// Which form of the grade.
    pub kind: GradeKind,
    /// Largest |c| that training environments may have, above 1.
    pub tolerance: f64,
    /// Row exchanges allowed in each batch and in the final pass.
    pub max_iterations: usize,
    /// Environments handled together.
    pub batch: usize,
    /// Compatibility form: whether passes over all environments follow the batches until none is
    /// above the tolerance. In the two-part form they always do.
    pub final_pass: bool,
    /// Row exchanges after which the coefficients are computed afresh; 0 for never.
    pub refresh: usize,
    /// Two-part form: directions whose singular value is below this fraction of the largest are
    /// left to ρ. See [`BuildOptions::TAU_DOUBLE`] and [`BuildOptions::TAU_SINGLE`].
    pub tau: f64,
    /// Two-part form: how many of five folds are held out in turn to calibrate κ; 0 for the default
    /// κ.
    pub splits: usize,
    /// Two-part form: with a number, rows are added by rectangular MaxVol until no environment's c is
    /// longer than that, and γ is the length of c, the root of its leverage: smooth, and the more
    /// forgiving the more alike environments there are.
    pub length: Option<f64>,
    /// Two-part form: with more than one, environments are clustered and each cluster has a set; the
    /// grade is the smallest of theirs. For data of several materials or phases.
    pub clusters: usize,
    /// Ridge form: Γ = 1 is so small a part of the way from an ordinary environment to the free atom; larger
    /// numbers tell finer differences and keep more rows.
    pub resolution: f64,
    /// Seed of the folds and clusters.
    pub seed: u64,
}

impl BuildOptions {
    /// For grades evaluated in f64.
    pub const TAU_DOUBLE: f64 = 1e-6;
    /// For grades that shall be the same in f32 and f64.
    pub const TAU_SINGLE: f64 = 1e-4;

    /// The two-part form.
    pub fn two_part() -> Self {
        Self {
            kind: GradeKind::TwoPart,
            ..Self::default()
        }
    }

    /// The compatibility form, with a final pass that the public scripts lack.
    pub fn compat() -> Self {
        Self {
            kind: GradeKind::Compat,
            tolerance: 1.001,
            max_iterations: 1000,
            ..Self::default()
        }
    }

    /// The compatibility form exactly as the public scripts select: no final pass.
    pub fn public_scripts() -> Self {
        Self {
            final_pass: false,
            ..Self::compat()
        }
    }

    /// What MaxVol is told.
    pub(super) fn maxvol(&self, tolerance: f64) -> MaxvolOptions {
        MaxvolOptions {
            tolerance,
            max_iterations: self.max_iterations,
            batch: self.batch,
            final_pass: self.final_pass,
            refresh: self.refresh,
        }
    }

    fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::invalid(what));
        if !(self.tolerance > 1.0 && self.tolerance.is_finite()) {
            return bad(format!(
                "the MaxVol tolerance is {}; expected a number above 1, such as 1.01",
                self.tolerance
            ));
        }
        // The squares of singular values are what is computed: 1e-7 is where rounding begins.
        if self.kind == GradeKind::TwoPart && !(self.tau >= 1e-7 && self.tau < 1.0) {
            return bad(format!(
                "tau is {}; expected a number from 1e-7 to 1, such as 1e-4",
                self.tau
            ));
        }
        if !(self.resolution >= 1.0 && self.resolution <= 1e6) {
            return bad(format!(
                "the resolution is {}; expected a number from 1 to 1e6, such as 50",
                self.resolution
            ));
        }
        if self.length.is_some_and(|l| !(l > 0.0 && l.is_finite())) {
            return bad(format!(
                "the largest length of c is {:?}; expected a positive number, such as 1",
                self.length
            ));
        }
        if self.clusters == 0 {
            return bad("the number of clusters is 0; expected at least 1".into());
        }
        if self.batch == 0 {
            return bad("the batch is 0; expected the number of environments per batch".into());
        }
        Ok(())
    }
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            kind: GradeKind::Ridge,
            tolerance: 1.01,
            max_iterations: 10_000,
            batch: 10_000,
            final_pass: true,
            refresh: 200,
            tau: Self::TAU_SINGLE,
            splits: 3,
            length: None,
            clusters: 1,
            resolution: 50.0,
            seed: 0,
        }
    }
}

impl ActiveSet {
    /// Builds the active sets of all elements.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for options out of range, features of another shape
    /// or that are not finite, or in the compatibility form fewer environments of an element than
    /// features. The two-part form does with any number; elements without environments get no set,
    /// and the report says so.
    pub fn build(
        model: &Model,
        features: &Features,
        options: &BuildOptions,
    ) -> Result<(Self, BuildReport)> {
        Self::build_from(model, features, options, None)
    }

    /// [`ActiveSet::build`] from the rows that a previous set remembers, such as that of the model
    /// before: fewer exchanges, and among sets that are as good the one that is most like it.
    ///
    /// Structures must be numbered as they were then; rows that are not among the features do not
    /// count. The compatibility form and clusters start anew.
    ///
    /// **Errors**: as [`ActiveSet::build`].
    pub fn build_from(
        model: &Model,
        features: &Features,
        options: &BuildOptions,
        previous: Option<&ActiveSet>,
    ) -> Result<(Self, BuildReport)> {
        Self::build_with(model, features, options, previous, None)
    }

    /// [`ActiveSet::build_from`] with the help of a device, if there is one: the volume of large
    /// pools is maximised there. The set is the same, row for row.
    ///
    /// **Errors**: as [`ActiveSet::build`]; [`Error::Backend`] when the device fails.
    pub fn build_on(
        help: Help<'_>,
        model: &Model,
        features: &Features,
        options: &BuildOptions,
        previous: Option<&ActiveSet>,
    ) -> Result<(Self, BuildReport)> {
        Self::build_with(model, features, options, previous, help)
    }

    /// [`ActiveSet::build_from`] with or without help.
    pub(super) fn build_with(
        model: &Model,
        features: &Features,
        options: &BuildOptions,
        previous: Option<&ActiveSet>,
        mut help: Help<'_>,
    ) -> Result<(Self, BuildReport)> {
        options.check()?;
        super::check_width(features.width(), model)?;
        if features.n_types() != model.elements().len() {
            return Err(Error::invalid(format!(
                "the features have {} types, the model {}",
                features.n_types(),
                model.elements().len()
            )));
        }
        let weights = output_weights(model);
        if options.clusters > 1 && options.kind == GradeKind::TwoPart {
            for (t, &element) in model.elements().iter().enumerate() {
                check_finite(features, t, element)?;
            }
            let (sets, report) = super::clusters::build(model, features, &weights, options, help)?;
            let set = Self {
                elements: model.elements().to_vec(),
                width: features.width(),
                fingerprint: Some(model.fingerprint()),
                weights,
                sets: Sets::Clustered(sets),
            };
            return Ok((set, report));
        }
        let mut reports = Vec::new();
        let mut compat = Vec::new();
        let mut two_part = Vec::new();
        let mut ridges = Vec::new();
        for (t, &element) in model.elements().iter().enumerate() {
            check_finite(features, t, element)?;
            let mut report = ElementReport::empty(element, features.count(t));
            if features.count(t) == 0 {
                report.note = no_environment(element, options.kind);
                compat.push(None);
                two_part.push(None);
                // It can learn while it is used.
                ridges.push(Some(RidgeSet::empty(&model.network(t))));
            } else if options.kind == GradeKind::Ridge {
                let known = previous.and_then(|set| set.ridge_of(model, t));
                let built = ridge::build(features, t, &model.network(t), options, known)?;
                ridges.push(Some(build_ridge(built, options, &mut report)));
            } else if options.kind == GradeKind::Compat {
                compat.push(Some(build_compat(
                    features,
                    t,
                    options,
                    &mut report,
                    help.as_deref_mut(),
                )?));
            } else {
                let start = previous.map_or_else(Vec::new, |set| remembered(set, features, t));
                two_part.push(build_two_part(
                    features,
                    (t, &start),
                    &weights[t],
                    options,
                    &mut report,
                    help.as_deref_mut(),
                )?);
            }
            reports.push(report);
        }
        let set = Self {
            elements: model.elements().to_vec(),
            width: features.width(),
            fingerprint: Some(model.fingerprint()),
            weights,
            sets: match options.kind {
                GradeKind::Compat => Sets::Compat(compat),
                GradeKind::TwoPart => Sets::TwoPart(two_part),
                GradeKind::Ridge => Sets::Ridge(ridges),
            },
        };
        let report = BuildReport {
            kind: options.kind,
            elements: reports,
        };
        Ok((set, report))
    }
}

impl ActiveSet {
    /// The ridge set of a type, if it is one of this very model.
    fn ridge_of(&self, model: &Model, t: usize) -> Option<&RidgeSet> {
        match &self.sets {
            Sets::Ridge(sets) if self.fingerprint == Some(model.fingerprint()) => {
                sets.get(t)?.as_ref()
            }
            _ => None,
        }
    }
}

fn build_ridge(
    (set, built): (RidgeSet, ridge::Built),
    options: &BuildOptions,
    report: &mut ElementReport,
) -> RidgeSet {
    if set.rows() == 0 {
        report.note = format!(
            "no environment has features, so there is no set: atoms of {} are graded infinite",
            report.element
        );
        return set;
    }
    report.rank = set.rows();
    report.max_gamma = built.max;
    report.lambda = set.lambda;
    if built.doubled > 0 {
        report.remark(format!(
            "the environments are so different that λ was doubled {} times; the scale is coarser than \
             the resolution {} says",
            built.doubled, options.resolution
        ));
    }
    set
}

fn build_compat(
    features: &Features,
    t: usize,
    options: &BuildOptions,
    report: &mut ElementReport,
    help: Help<'_>,
) -> Result<CompatSet> {
    let (data, width) = (features.rows(t), features.width());
    let (set, built) =
        CompatSet::build(data, width, features.origins(t), options, help).map_err(|e| match e {
            Error::InvalidArgument(message) => {
                Error::invalid(format!("{}: {message}", report.element))
            }
            other => other,
        })?;
    let grades = set.grade(data, width);
    report.max_gamma = grades.iter().fold(0.0, |m, g| g.gamma.max(m));
    report.rank = built.kept;
    report.condition = built.condition;
    report.iterations = built.iterations;
    report.ln_det = built.ln_det;
    if built.missing > 0 {
        report.remark(format!(
            "the environments span only {} of {width} directions; the other {} count as γ = 0, so \
             environments that differ in them alone are called safe",
            width - built.missing,
            built.missing
        ));
    } else if built.kept < width {
        report.remark(format!(
            "the pseudo-inverse drops {} of {width} directions below {PINV_CUTOFF:e} of the largest; \
             environments that differ in them alone are called safe",
            width - built.kept
        ));
    }
    report.remark_bound(options);
    Ok(set)
}

/// The rows of a type that a set remembers.
fn remembered(set: &ActiveSet, features: &Features, t: usize) -> Vec<usize> {
    let known: HashSet<Origin> = set.origins(t).into_iter().flatten().collect();
    let origins = features.origins(t).iter();
    let rows = origins.enumerate().filter(|(_, o)| known.contains(o));
    rows.map(|(k, _)| k).collect()
}

fn build_two_part(
    features: &Features,
    (t, start): (usize, &[usize]),
    weights: &[f64],
    options: &BuildOptions,
    report: &mut ElementReport,
    help: Help<'_>,
) -> Result<Option<super::two_part::TwoPartSet>> {
    let (data, width) = (features.rows(t), features.width());
    let shape = shape(weights, width);
    let Some((set, built)) =
        reduce::build(data, shape, (features.origins(t), start), options, help)?
    else {
        report.note = format!(
            "all features are zero, so there is no set: atoms of {} are graded infinite",
            report.element
        );
        return Ok(None);
    };
    report.rank = set.rank();
    report.condition = built.condition;
    report.iterations = built.iterations;
    report.ln_det = built.ln_det;
    report.max_gamma = built.max;
    report.kappa = set.kappa;
    report.residual_scale = set.residual_scale;
    if built.unseen > 0 {
        report.remark(format!(
            "{} of {width} features were never seen and count in ρ",
            built.unseen
        ));
    }
    if built.added > 0 {
        report.remark(format!(
            "{} directions were added for rare environments that the principal ones leave out",
            built.added
        ));
    }
    report.held_out = built.held_out;
    if report.held_out.is_none() {
        report.remark(format!(
            "too few different environments ({}) to calibrate κ: a residual of {} % of the features counts as Γ = 1",
            report.offered,
            100.0 * super::two_part::DEFAULT_THRESHOLD
        ));
    }
    report.remark_bound(options);
    Ok(Some(set))
}

fn check_finite(features: &Features, t: usize, element: Element) -> Result<()> {
    let width = features.width();
    for (row, origin) in features
        .rows(t)
        .chunks_exact(width)
        .zip(features.origins(t))
    {
        if max_abs(row).1 == f64::INFINITY {
            return Err(Error::invalid(format!(
                "structure {}, atom {} ({element}) has features that are not finite; leave it out",
                origin.structure, origin.atom
            )));
        }
    }
    Ok(())
}

fn no_environment(element: Element, kind: GradeKind) -> String {
    match kind {
        GradeKind::Compat => {
            format!("no environment was offered: atoms of {element} cannot be graded")
        }
        GradeKind::TwoPart | GradeKind::Ridge => {
            format!("no environment was offered: atoms of {element} are graded infinite")
        }
    }
}
