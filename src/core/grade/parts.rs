//! What a device that grades needs of an active set.

use super::screen::{MARGIN, PROBES};
use super::two_part::{Size, TwoPartSet};
use super::{ActiveSet, Grade, Sets};
use crate::error::Result;

/// A set of one type, as matrices.
pub enum Parts<'a> {
    /// The compatibility form: the inverse, `[n][n]`.
    Compat(&'a [f64]),
    /// The two-part form.
    TwoPart(TwoPart<'a>),
    /// A type about which nothing is known: its grades are infinite.
    Unknown,
}

/// The parts of a two-part set.
#[derive(Clone, Copy)]
pub struct TwoPart<'a>(&'a TwoPartSet);

/// Weights of the first look at many atoms.
pub struct FirstLook<'a> {
    /// Coefficients, then probes, per unit of each scaled feature. Shape `[n][columns]`.
    pub weights: &'a [f32],
    /// Number of both together.
    pub columns: usize,
    /// How many of them are probes, whose squares estimate what lies outside the subspace.
    pub probes: usize,
    /// 1 / scale. Shape `[n]`.
    pub units: &'a [f64],
    /// The mean of scaled features. Shape `[n]`.
    pub center: &'a [f64],
    /// What the center gives. Shape `[columns]`.
    pub offsets: &'a [f64],
    /// Length of a probe's weights at most.
    pub probe_length: f64,
    /// Part of the limit from which an estimated residual is computed exactly.
    pub margin: f64,
}

impl<'a> TwoPart<'a> {
    /// Scale of each feature. Shape `[n]`.
    pub fn scale(self) -> &'a [f64] {
        &self.0.scale
    }

    /// The subspace. Shape `[r][n]`.
    pub fn directions(self) -> &'a [f64] {
        &self.0.directions
    }

    /// Inverse of the active rows in it. Shape `[r][k]`.
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

    /// The residual that ρ = 1 means.
    pub fn residual_scale(self) -> f64 {
        self.0.residual_scale
    }

    /// κ, by which ρ comes onto the scale of γ.
    pub fn kappa(self) -> f64 {
        self.0.kappa
    }

    /// Mean, whitening and level of the prefilter.
    pub fn prefilter(self) -> Option<(&'a [f64], &'a [f64], f64)> {
        let p = self.0.prefilter.as_ref()?;
        Some((&p.mean, &p.whitening, p.level))
    }

    /// What the first look at many atoms needs.
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

/// Weights of a first look for the compatibility form, which has none on the CPU.
pub struct CompatLook {
    weights: Vec<f32>,
    units: Vec<f64>,
    center: Vec<f64>,
    offsets: Vec<f64>,
    /// |z| |w| of an ordinary active row and column: what errors are relative to.
    pub spread: f64,
}

impl CompatLook {
    /// From the inverse, `[n][n]`: features in units that make its rows unit vectors, which even out
    /// its columns, relative to the mean of the active rows; `None` where these cannot be found.
    pub fn new(inverse: &[f64], n: usize) -> Option<Self> {
        use faer::prelude::Solve;
        let lengths: Vec<f64> = inverse
            .chunks_exact(n)
            .map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt())
            .collect();
        let mut active = vec![0.0; n * n];
        for k in 0..n {
            active[k * n + k] = 1.0;
        }
        faer::MatRef::from_row_major_slice(inverse, n, n)
            .partial_piv_lu()
            .solve_in_place(faer::MatMut::from_row_major_slice_mut(&mut active, n, n));
        if active.iter().chain(&lengths).any(|x| !x.is_finite()) {
            return None;
        }
        let scaled = |a: usize, j: usize| active[a * n + j] * lengths[j];
        let center: Vec<f64> = (0..n)
            .map(|j| (0..n).map(|a| scaled(a, j)).sum::<f64>() / n as f64)
            .collect();
        let mut weights = Vec::with_capacity(n * n);
        let (mut offsets, mut squares) = (vec![0.0; n], vec![0.0; n]);
        for (j, row) in inverse.chunks_exact(n).enumerate() {
            for (k, &x) in row.iter().enumerate() {
                let w = if lengths[j] > 0.0 {
                    x / lengths[j]
                } else {
                    0.0
                };
                weights.push(w as f32);
                offsets[k] += center[j] * w;
                squares[k] += w * w;
            }
        }
        let rows = (0..n).map(|a| (0..n).map(|j| (scaled(a, j) - center[j]).powi(2)).sum());
        let spread = median(rows.collect()).sqrt() * median(squares).sqrt();
        Some(Self {
            weights,
            units: lengths,
            center,
            offsets,
            spread,
        })
    }

    /// What the first look at many atoms needs.
    pub fn first_look(&self) -> FirstLook<'_> {
        FirstLook {
            weights: &self.weights,
            columns: self.offsets.len(),
            probes: 0,
            units: &self.units,
            center: &self.center,
            offsets: &self.offsets,
            probe_length: 0.0,
            margin: MARGIN,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl ActiveSet {
    /// The sets of which an atom gets the smallest grade.
    pub fn clusters(&self) -> &[ActiveSet] {
        match &self.sets {
            Sets::Clustered(sets) => sets,
            _ => std::slice::from_ref(self),
        }
    }

    /// The set of a type.
    ///
    /// **Errors**: [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a type that an
    /// `.asi` file lacks.
    pub fn parts(&self, t: usize) -> Result<Parts<'_>> {
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
            Sets::Ridge(_) => Err(crate::Error::Unsupported(
                "the device does not grade by ridge sets yet; build the set with --kind two-part"
                    .into(),
            )),
        }
    }
}

impl Grade {
    /// Of three numbers.
    pub fn new(gamma: f64, rho: f64, total: f64) -> Self {
        Self { gamma, rho, total }
    }
}
