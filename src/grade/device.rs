//! What a device that grades needs of an active set.

use super::screen::{MARGIN, PROBES};
use super::two_part::{Size, TwoPartSet};
use super::{ActiveSet, Grade, Sets};
use crate::error::Result;

/// A set of one type, as matrices.
pub(crate) enum Parts<'a> {
    /// The compatibility form: the inverse, `[n][n]`.
    Compat(&'a [f64]),
    /// The two-part form.
    TwoPart(TwoPart<'a>),
    /// A type about which nothing is known: its grades are infinite.
    Unknown,
}

/// The parts of a two-part set.
#[derive(Clone, Copy)]
pub(crate) struct TwoPart<'a>(&'a TwoPartSet);

/// Weights of the first look at many atoms.
pub(crate) struct FirstLook<'a> {
    /// Coefficients, then probes, per unit of each scaled feature. Shape `[n][columns]`.
    pub weights: &'a [f32],
    pub columns: usize,
    pub probes: usize,
    /// 1 / scale, and the mean of scaled features. Shape `[n]`.
    pub units: &'a [f64],
    pub center: &'a [f64],
    /// What the center gives. Shape `[columns]`.
    pub offsets: &'a [f64],
    /// Length of a probe's weights at most.
    pub probe_length: f64,
    /// Part of the limit from which an estimated residual is computed exactly.
    pub margin: f64,
}

impl<'a> TwoPart<'a> {
    pub fn scale(self) -> &'a [f64] {
        &self.0.scale
    }

    /// `[r][n]`.
    pub fn directions(self) -> &'a [f64] {
        &self.0.directions
    }

    /// `[r][k]`.
    pub fn inverse(self) -> &'a [f64] {
        &self.0.inverse
    }

    /// Directions and coefficients.
    pub fn sizes(self) -> [usize; 2] {
        [self.0.rank(), self.0.rows()]
    }

    /// Whether γ is the length of the coefficients and not the largest of them.
    pub fn length(self) -> bool {
        self.0.size == Size::Length
    }

    pub fn residual_scale(self) -> f64 {
        self.0.residual_scale
    }

    pub fn kappa(self) -> f64 {
        self.0.kappa
    }

    /// Mean, whitening and level of the prefilter.
    pub fn prefilter(self) -> Option<(&'a [f64], &'a [f64], f64)> {
        let p = self.0.prefilter.as_ref()?;
        Some((&p.mean, &p.whitening, p.level))
    }

    pub fn first_look(self) -> FirstLook<'a> {
        let screen = self.0.screen();
        FirstLook {
            weights: &screen.weights,
            columns: screen.columns,
            probes: PROBES,
            units: &screen.units,
            center: &screen.center,
            offsets: &screen.offsets,
            probe_length: screen.lengths[1],
            margin: MARGIN,
        }
    }
}

impl ActiveSet {
    /// The sets of which an atom gets the smallest grade.
    pub(crate) fn clusters(&self) -> &[ActiveSet] {
        match &self.sets {
            Sets::Clustered(sets) => sets,
            _ => std::slice::from_ref(self),
        }
    }

    /// The set of a type.
    ///
    /// **Errors**: [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a type that an
    /// `.asi` file lacks.
    pub(crate) fn parts(&self, t: usize) -> Result<Parts<'_>> {
        match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Ok(Parts::Compat(&set.inverse)),
                None => Err(self.no_set(t)),
            },
            Sets::TwoPart(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) => Parts::TwoPart(TwoPart(set)),
                None => Parts::Unknown,
            }),
            Sets::Clustered(_) => Ok(Parts::Unknown),
        }
    }
}

impl Grade {
    /// Of three numbers.
    pub(crate) fn new(gamma: f64, rho: f64, total: f64) -> Self {
        Self { gamma, rho, total }
    }
}
