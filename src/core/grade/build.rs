//! Active sets from features.

use super::compat::{CompatSet, PINV_CUTOFF};
use super::linalg::max_abs;
use super::maxvol::Help;
use super::report::{BuildReport, ElementReport};
use super::ridge::RidgeSet;
use super::{ActiveSet, Features, GradeKind, Sets, ridge};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;

/// How [`ActiveSet::build`] goes about it.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildOptions {
    /// Which form of the grade.
    pub kind: GradeKind,
    /// Ridge form: Γ = 1 is so small a part of the way from an ordinary environment to the free atom; larger
    /// numbers tell finer differences and keep more rows.
    pub resolution: f64,
    /// Compatibility form: largest |c| that training environments may have, above 1.
    pub tolerance: f64,
    /// Compatibility form: row exchanges allowed in each batch and in the final pass.
    pub max_iterations: usize,
    /// Compatibility form: environments handled together.
    pub batch: usize,
    /// Compatibility form: whether passes over all environments follow the batches until none is
    /// above the tolerance.
    pub final_pass: bool,
    /// Compatibility form: row exchanges after which the coefficients are computed afresh; 0 for never.
    pub refresh: usize,
}

impl BuildOptions {
    /// The compatibility form, with a final pass that the public scripts lack.
    pub fn compat() -> Self {
        Self {
            kind: GradeKind::Compat,
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

    fn check(&self) -> Result<()> {
        let bad = |what: String| Err(Error::invalid(what));
        if !(self.tolerance > 1.0 && self.tolerance.is_finite()) {
            return bad(format!(
                "the MaxVol tolerance is {}; expected a number above 1, such as 1.001",
                self.tolerance
            ));
        }
        if !(self.resolution >= 1.0 && self.resolution <= 1e6) {
            return bad(format!(
                "the resolution is {}; expected a number from 1 to 1e6, such as 50",
                self.resolution
            ));
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
            resolution: 50.0,
            tolerance: 1.001,
            max_iterations: 1000,
            batch: 10_000,
            final_pass: true,
            refresh: 200,
        }
    }
}

impl ActiveSet {
    /// Builds the active sets of all elements.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for options out of range, features of another shape
    /// or that are not finite, or in the compatibility form fewer environments of an element than
    /// features. The ridge form does with any number; the report names elements without environments.
    pub fn build(
        model: &Model,
        features: &Features,
        options: &BuildOptions,
    ) -> Result<(Self, BuildReport)> {
        Self::build_from(model, features, options, None)
    }

    /// [`ActiveSet::build`] in addition to the rows of a previous ridge set of the same model. The
    /// compatibility form, and a set of another model, start anew.
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
        let mut reports = Vec::new();
        let mut compat = Vec::new();
        let mut ridges = Vec::new();
        for (t, &element) in model.elements().iter().enumerate() {
            check_finite(features, t, element)?;
            let mut report = ElementReport::empty(element, features.count(t));
            if features.count(t) == 0 {
                report.note = no_environment(element, options.kind);
                compat.push(None);
                // It can learn while it is used.
                ridges.push(Some(RidgeSet::empty(&model.network(t))));
            } else if options.kind == GradeKind::Ridge {
                let known = previous.and_then(|set| set.ridge_of(model, t));
                let built = ridge::build(features, t, &model.network(t), options, known)?;
                ridges.push(Some(build_ridge(built, options, &mut report)));
            } else {
                compat.push(Some(build_compat(
                    features,
                    t,
                    options,
                    &mut report,
                    help.as_deref_mut(),
                )?));
            }
            reports.push(report);
        }
        let set = Self {
            elements: model.elements().to_vec(),
            width: features.width(),
            fingerprint: Some(model.fingerprint()),
            sets: match options.kind {
                GradeKind::Compat => Sets::Compat(compat),
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
        GradeKind::Ridge => {
            format!("no environment was offered: atoms of {element} are graded infinite")
        }
    }
}
