//! The header of `nep.txt`: what kind of model it is and how large.

use super::kind::Kind;
use crate::element::Element;

/// Generation of the model family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One network for all types.
    Nep3,
    /// One network per type.
    Nep4,
    /// One network and one extra bias per type.
    Nep5,
}

impl Version {
    /// The token in the file.
    pub fn token(self) -> &'static str {
        match self {
            Self::Nep3 => "nep3",
            Self::Nep4 => "nep4",
            Self::Nep5 => "nep5",
        }
    }
}

/// Short-range Ziegler–Biersack–Littmark repulsion of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Zbl {
    /// Universal screening function; switched off between `inner` and `outer` (Å).
    Universal {
        /// Where the switch begins, Å.
        inner: f64,
        /// Where the repulsion ends, Å.
        outer: f64,
    },
    /// Universal screening; ends at `min(factor * (R_i + R_j), outer)`, switched from zero distance.
    Typewise {
        /// Written in the file, not used.
        inner: f64,
        /// Largest end of the repulsion, Å.
        outer: f64,
        /// Factor on the sum of the covalent radii.
        factor: f64,
    },
    /// Own parameters for each unordered pair of types, in the order 0-0, 0-1, ..., 1-1, ...:
    /// inner, outer (Å), then four pairs of amplitude and exponent.
    Flexible(Vec<[f64; 10]>),
}

/// Radial and angular cutoffs in Å.
#[derive(Clone, Debug, PartialEq)]
pub enum Cutoff {
    /// The same for all pairs: radial, angular.
    Uniform([f64; 2]),
    /// Radial and angular value per type; a pair uses the mean of its two types.
    PerType(Vec<[f64; 2]>),
    /// The form GPUMD wrote from 2024 to December 2025: the smaller of the global cutoff and
    /// `factor * (R_i + R_j)`, where a factor of zero means no limit.
    Typewise {
        /// Radial, angular, Å.
        global: [f64; 2],
        /// Radial and angular factor on the sum of the covalent radii.
        factor: [f64; 2],
        /// Third factor of the line, for ZBL; zero when unused.
        zbl_factor: f64,
    },
}

/// Which invariants beyond three-body a model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ManyBody {
    /// Four-body (2 2 2).
    pub f222: bool,
    /// Five-body (1 1 1 1).
    pub f1111: bool,
    /// Four-body (1 1 2).
    pub f112: bool,
    /// Four-body (1 2 3).
    pub f123: bool,
    /// Four-body (2 3 3).
    pub f233: bool,
    /// Four-body (1 3 4).
    pub f134: bool,
}

impl ManyBody {
    /// The flags in file order.
    pub fn flags(self) -> [bool; 6] {
        [
            self.f222, self.f1111, self.f112, self.f123, self.f233, self.f134,
        ]
    }

    /// From flags in file order.
    pub fn from_flags(flags: [bool; 6]) -> Self {
        let [f222, f1111, f112, f123, f233, f134] = flags;
        Self {
            f222,
            f1111,
            f112,
            f123,
            f233,
            f134,
        }
    }

    /// Number of enabled terms.
    pub fn count(self) -> usize {
        self.flags().into_iter().filter(|&on| on).count()
    }

    /// Largest angular momentum that the enabled terms need.
    pub fn required_l(self) -> usize {
        const NEEDS: [usize; 6] = [2, 1, 2, 3, 3, 4];
        self.flags()
            .into_iter()
            .zip(NEEDS)
            .filter(|(on, _)| *on)
            .map(|(_, l)| l)
            .max()
            .unwrap_or(0)
    }
}

/// Everything in `nep.txt` before the numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Generation.
    pub version: Version,
    /// What the model predicts.
    pub kind: Kind,
    /// Elements in the order of the types.
    pub elements: Vec<Element>,
    /// Repulsion, if any.
    pub zbl: Option<Zbl>,
    /// Cutoffs.
    pub cutoff: Cutoff,
    /// Largest radial and angular neighbour numbers seen in training (informative).
    pub max_neighbors: [usize; 2],
    /// Largest index of the radial and of the angular radial functions.
    pub n_max: [usize; 2],
    /// Largest index of the Chebyshev basis, radial and angular.
    pub basis_size: [usize; 2],
    /// Largest angular momentum.
    pub l_max: usize,
    /// Invariants beyond three-body.
    pub many_body: ManyBody,
    /// Neurons of the first and of the second hidden layer (0: none).
    pub neurons: [usize; 2],
}

impl Header {
    /// Number of types.
    pub fn n_types(&self) -> usize {
        self.elements.len()
    }

    /// Blocks of angular descriptors: l = 1..=L, then the enabled many-body terms.
    pub fn n_angular_blocks(&self) -> usize {
        self.l_max + self.many_body.count()
    }

    /// Length of the descriptor of an atom, the last of which is the temperature where that is an input.
    pub fn dim(&self) -> usize {
        let structural = self.n_max[0] + 1 + (self.n_max[1] + 1) * self.n_angular_blocks();
        structural + usize::from(self.kind == Kind::Temperature)
    }

    /// First word of the file.
    pub fn token(&self) -> String {
        let suffix = if self.zbl.is_some() { "_zbl" } else { "" };
        format!("{}{suffix}{}", self.version.token(), self.kind.suffix())
    }

    /// α (1/Å) of the screened interactions of charges and dispersion: π over the largest radial cutoff.
    pub fn screening(&self) -> f64 {
        let own = (0..self.n_types()).map(|t| self.pair_cutoff(t, t)[0]);
        std::f64::consts::PI / own.fold(0.0, f64::max)
    }

    /// Radial and angular cutoff (Å) of a pair of types.
    pub fn pair_cutoff(&self, a: usize, b: usize) -> [f64; 2] {
        match &self.cutoff {
            Cutoff::Uniform(rc) => *rc,
            Cutoff::PerType(rc) => std::array::from_fn(|part| 0.5 * (rc[a][part] + rc[b][part])),
            Cutoff::Typewise { global, factor, .. } => {
                let radii = self.elements[a].covalent_radius() + self.elements[b].covalent_radius();
                std::array::from_fn(|part| {
                    if factor[part] > 0.0 {
                        global[part].min(factor[part] * radii)
                    } else {
                        global[part]
                    }
                })
            }
        }
    }
}
