//! Rotational invariants of the angular sums s_lm, with derivatives.
//!
//! One invariant per l (three-body), then the enabled many-body terms, in the order of
//! [`Invariants::new`]. The index of s follows [`crate::nep::angular`].

use super::angular::{MAX_LM, count};
use super::scalar::Scalar;
use crate::model::Header;

/// C_lm of the three-body invariants, by index of s: the published table, whose 15 decimals every
/// NEP program uses.
///
/// **Source**: C_lm = (2l+1)/(4π) (l-m)!/(l+m)! / κ_lm², doubled for m > 0 in the sum.
#[rustfmt::skip]
const C3B: [f64; MAX_LM] = [
    0.238732414637843, 0.119366207318922, 0.119366207318922, 0.099471839432435,
    0.596831036594608, 0.596831036594608, 0.149207759148652, 0.149207759148652,
    0.139260575205408, 0.104445431404056, 0.104445431404056, 1.044454314040563,
    1.044454314040563, 0.174075719006761, 0.174075719006761, 0.011190581936149,
    0.223811638722978, 0.223811638722978, 0.111905819361489, 0.111905819361489,
    1.566681471060845, 1.566681471060845, 0.195835183882606, 0.195835183882606,
    0.01367737792196, 0.102580334414698, 0.102580334414698, 2.872249363611549,
    2.872249363611549, 0.119677056817148, 0.119677056817148, 2.154187022708661,
    2.154187022708661, 0.215418702270866, 0.215418702270866, 0.004041043476943,
    0.169723826031592, 0.169723826031592, 0.106077391269745, 0.106077391269745,
    0.424309565078979, 0.424309565078979, 0.127292869523694, 0.127292869523694,
    2.80044312952126, 2.80044312952126, 0.233370260793438, 0.233370260793438,
    0.004662742473395, 0.004079899664221, 0.004079899664221, 0.024479397985326,
    0.024479397985326, 0.012239698992663, 0.012239698992663, 0.538546755677165,
    0.538546755677165, 0.134636688919291, 0.134636688919291, 3.500553911901575,
    3.500553911901575, 0.250039565135827, 0.250039565135827, 8.2569397966e-05,
    0.005944996653579, 0.005944996653579, 0.104037441437634, 0.104037441437634,
    0.762941237209318, 0.762941237209318, 0.114441185581398, 0.114441185581398,
    5.950941650232678, 5.950941650232678, 0.141689086910302, 0.141689086910302,
    4.250672607309055, 4.250672607309055, 0.265667037956816, 0.265667037956816,
];

/// Factor of (s_0² + s_1² + s_2²)² in the five-body invariant: 7/15 of the squared l = 1 invariant.
pub const C1111: f64 = 0.026596810706114;

/// Coefficient and the three indices of a monomial.
pub type Monomial = (f64, [usize; 3]);

/// Monomials of the four-body invariant (2 2 2), the 3j contraction of the angular sums.
#[rustfmt::skip]
const Q222: &[Monomial] = &[
    (-0.007499480826664, [3, 3, 3]),
    (-0.134990654879954, [3, 4, 4]),
    (-0.134990654879954, [3, 5, 5]),
    (0.067495327439977, [3, 6, 6]),
    (0.067495327439977, [3, 7, 7]),
    (-0.404971964639861, [4, 4, 6]),
    (-0.809943929279723, [4, 5, 7]),
    (0.404971964639861, [5, 5, 6]),
];

/// Monomials of the four-body invariant (1 1 2), the 3j contraction of the angular sums.
#[rustfmt::skip]
const Q112: &[Monomial] = &[
    (0.027493550848847, [0, 0, 3]),
    (0.16496130509308, [0, 1, 4]),
    (0.16496130509308, [0, 2, 5]),
    (-0.013746775424423, [1, 1, 3]),
    (0.04124032627327, [1, 1, 6]),
    (0.08248065254654, [1, 2, 7]),
    (-0.013746775424423, [2, 2, 3]),
    (-0.04124032627327, [2, 2, 6]),
];

/// Monomials of the four-body invariant (1 2 3), the 3j contraction of the angular sums.
#[rustfmt::skip]
const Q123: &[Monomial] = &[
    (-0.016836292699234, [0, 3, 8]),
    (-0.067345170796937, [0, 4, 9]),
    (-0.067345170796937, [0, 5, 10]),
    (-0.084181463496172, [0, 6, 11]),
    (-0.084181463496172, [0, 7, 12]),
    (-0.016836292699234, [1, 3, 9]),
    (0.033672585398469, [1, 4, 8]),
    (-0.168362926992344, [1, 4, 11]),
    (-0.168362926992344, [1, 5, 12]),
    (0.008418146349617, [1, 6, 9]),
    (-0.042090731748086, [1, 6, 13]),
    (0.008418146349617, [1, 7, 10]),
    (-0.042090731748086, [1, 7, 14]),
    (-0.016836292699234, [2, 3, 10]),
    (-0.168362926992344, [2, 4, 12]),
    (0.033672585398469, [2, 5, 8]),
    (0.168362926992344, [2, 5, 11]),
    (-0.008418146349617, [2, 6, 10]),
    (-0.042090731748086, [2, 6, 14]),
    (0.008418146349617, [2, 7, 9]),
    (0.042090731748086, [2, 7, 13]),
];

/// Monomials of the four-body invariant (2 3 3), the 3j contraction of the angular sums.
#[rustfmt::skip]
const Q233: &[Monomial] = &[
    (0.008572620635186, [3, 8, 8]),
    (0.009644198214584, [3, 9, 9]),
    (0.009644198214584, [3, 10, 10]),
    (-0.026789439484956, [3, 13, 13]),
    (-0.026789439484956, [3, 14, 14]),
    (0.025717861905558, [4, 8, 9]),
    (0.192883964291685, [4, 9, 11]),
    (0.192883964291685, [4, 10, 12]),
    (0.321473273819474, [4, 11, 13]),
    (0.321473273819474, [4, 12, 14]),
    (0.025717861905558, [5, 8, 10]),
    (0.192883964291685, [5, 9, 12]),
    (-0.192883964291685, [5, 10, 11]),
    (0.321473273819474, [5, 11, 14]),
    (-0.321473273819474, [5, 12, 13]),
    (-0.12858930952779, [6, 8, 11]),
    (0.019288396429168, [6, 9, 9]),
    (-0.032147327381947, [6, 9, 13]),
    (-0.019288396429168, [6, 10, 10]),
    (-0.032147327381947, [6, 10, 14]),
    (-0.12858930952779, [7, 8, 12]),
    (0.038576792858337, [7, 9, 10]),
    (-0.032147327381947, [7, 9, 14]),
    (0.032147327381947, [7, 10, 13]),
];

/// Monomials of the four-body invariant (1 3 4), the 3j contraction of the angular sums.
#[rustfmt::skip]
const Q134: &[Monomial] = &[
    (0.004860219061029, [0, 8, 15]),
    (0.036451642957719, [0, 9, 16]),
    (0.036451642957719, [0, 10, 17]),
    (0.072903285915437, [0, 11, 18]),
    (0.072903285915437, [0, 12, 19]),
    (0.08505383356801, [0, 13, 20]),
    (0.08505383356801, [0, 14, 21]),
    (0.024301095305146, [1, 8, 16]),
    (-0.003645164295772, [1, 9, 15]),
    (0.018225821478859, [1, 9, 18]),
    (0.018225821478859, [1, 10, 19]),
    (-0.036451642957719, [1, 11, 16]),
    (0.25516150070403, [1, 11, 20]),
    (-0.036451642957719, [1, 12, 17]),
    (0.25516150070403, [1, 12, 21]),
    (-0.006075273826286, [1, 13, 18]),
    (0.042526916784005, [1, 13, 22]),
    (-0.006075273826286, [1, 14, 19]),
    (0.042526916784005, [1, 14, 23]),
    (0.024301095305146, [2, 8, 17]),
    (0.018225821478859, [2, 9, 19]),
    (-0.003645164295772, [2, 10, 15]),
    (-0.018225821478859, [2, 10, 18]),
    (0.036451642957719, [2, 11, 17]),
    (0.25516150070403, [2, 11, 21]),
    (-0.036451642957719, [2, 12, 16]),
    (-0.25516150070403, [2, 12, 20]),
    (0.006075273826286, [2, 13, 19]),
    (0.042526916784005, [2, 13, 23]),
    (-0.006075273826286, [2, 14, 18]),
    (-0.042526916784005, [2, 14, 22]),
];

/// One invariant.
#[derive(Clone, Copy, Debug)]
pub enum Term {
    /// Three-body, this l.
    Square(usize),
    /// A cubic polynomial.
    Cubic(&'static [Monomial]),
    /// The five-body term.
    Fourth,
}

/// The invariants of a model, block by block.
#[derive(Clone, Debug)]
pub struct Invariants {
    terms: Vec<Term>,
}

impl Invariants {
    /// The invariants that a header enables: l = 1..=l_max, then 222, 1111, 112, 123, 233, 134.
    pub fn new(header: &Header) -> Self {
        const MANY: [Term; 6] = [
            Term::Cubic(Q222),
            Term::Fourth,
            Term::Cubic(Q112),
            Term::Cubic(Q123),
            Term::Cubic(Q233),
            Term::Cubic(Q134),
        ];
        let mut terms: Vec<Term> = (1..=header.l_max).map(Term::Square).collect();
        let enabled = header.many_body.flags().into_iter().zip(MANY);
        terms.extend(enabled.filter(|(on, _)| *on).map(|(_, term)| term));
        Self { terms }
    }

    /// The invariants as formulas, for backends that arrange them in their own way.
    #[cfg(feature = "cpu")]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Number of invariants.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Never true for a valid model.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value of one invariant. Inlined, so that vectorised callers keep their instruction set.
    #[inline(always)]
    pub fn value<T: Scalar>(&self, block: usize, s: &[T]) -> T {
        let mut sum = T::default();
        match self.terms[block] {
            Term::Square(l) => {
                for (index, &x) in s.iter().enumerate().take(count(l)).skip(l * l - 1) {
                    sum += (x * x).scale(weight(l, index));
                }
            }
            Term::Cubic(monomials) => {
                for &(c, [i, j, k]) in monomials {
                    sum += (s[i] * s[j] * s[k]).scale(c);
                }
            }
            Term::Fourth => {
                let square = s[0] * s[0] + s[1] * s[1] + s[2] * s[2];
                sum = (square * square).scale(C1111);
            }
        }
        sum
    }

    /// Adds `factor` times the gradient of one invariant to `gradient`.
    ///
    /// **Shapes**: `s`, `gradient` `[count(l_max)]`.
    #[inline(always)]
    pub fn add_gradient<T: Scalar>(&self, block: usize, s: &[T], factor: T, gradient: &mut [T]) {
        match self.terms[block] {
            Term::Square(l) => {
                for index in l * l - 1..count(l) {
                    gradient[index] += (factor * s[index]).scale(2.0 * weight(l, index));
                }
            }
            Term::Cubic(monomials) => {
                for &(c, [i, j, k]) in monomials {
                    let f = factor.scale(c);
                    gradient[i] += f * s[j] * s[k];
                    gradient[j] += f * s[i] * s[k];
                    gradient[k] += f * s[i] * s[j];
                }
            }
            Term::Fourth => {
                let square = s[0] * s[0] + s[1] * s[1] + s[2] * s[2];
                let f = (factor * square).scale(4.0 * C1111);
                for index in 0..3 {
                    gradient[index] += f * s[index];
                }
            }
        }
    }
}

/// Weight of the square of s\[index\] in the invariant of l: doubled but for m = 0.
pub fn weight(l: usize, index: usize) -> f64 {
    if index == l * l - 1 {
        C3B[index]
    } else {
        2.0 * C3B[index]
    }
}
