//! DFT-D3 with the damping of Becke and Johnson: tables, coefficients of atoms in their surroundings, and
//! the energy of a pair. Two-body terms alone, as in GPUMD.
//!
//! **Source**: Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 132, 154104 (2010), with its tables of
//! reference systems, covalent radii and ⟨r⁴⟩/⟨r²⟩; Grimme, Ehrlich, Goerigk, J. Comput. Chem. 32, 1456
//! (2011). The tables were read from torch-dftd 0.5.3 (MIT).

use crate::element::Element;
use crate::error::{Error, Result};
use crate::units::{BOHR, HARTREE};

/// Elements that the tables have, H to Pu.
const ELEMENTS: usize = 94;
/// Most reference systems of an element.
pub const MOST: usize = 5;
/// Steepness of the exponential that compares coordination numbers.
pub const K3: f64 = 4.0;
/// Steepness of the count of neighbours.
pub const K1: f64 = 16.0;
/// Scale of the radii that it counts with.
const K2: f64 = 4.0 / 3.0;

/// Number of reference systems of each element (u8), their coordination numbers and, of all pairs, the
/// lower triangle of C6 in hartree bohr⁶ (u32, little-endian, in units of 1e-4).
const TABLE: &[u8] = include_bytes!("d3_reference.bin");

/// Covalent radii, Å.
#[rustfmt::skip]
const RADII: [f64; ELEMENTS] = [
    0.32, 0.46, 1.20, 0.94, 0.77, 0.75, 0.71, 0.63, 0.64, 0.67, 1.40, 1.25,
    1.13, 1.04, 1.10, 1.02, 0.99, 0.96, 1.76, 1.54, 1.33, 1.22, 1.21, 1.10,
    1.07, 1.04, 1.00, 0.99, 1.01, 1.09, 1.12, 1.09, 1.15, 1.10, 1.14, 1.17,
    1.89, 1.67, 1.47, 1.39, 1.32, 1.24, 1.15, 1.13, 1.13, 1.08, 1.15, 1.23,
    1.28, 1.26, 1.26, 1.23, 1.32, 1.31, 2.09, 1.76, 1.62, 1.47, 1.58, 1.57,
    1.56, 1.55, 1.51, 1.52, 1.51, 1.50, 1.49, 1.49, 1.48, 1.53, 1.46, 1.37,
    1.31, 1.23, 1.18, 1.16, 1.11, 1.12, 1.13, 1.32, 1.30, 1.30, 1.36, 1.31,
    1.38, 1.42, 2.01, 1.81, 1.67, 1.58, 1.52, 1.53, 1.54, 1.55,
];

/// √(½ √Z ⟨r⁴⟩/⟨r²⟩), bohr.
#[rustfmt::skip]
const R4_OVER_R2: [f64; ELEMENTS] = [
    2.00734901, 1.56637132, 5.01986933, 3.85379028, 3.64446592, 3.10492826,
    2.71175241, 2.59361672, 2.38825250, 2.21522522, 6.58585548, 5.46295977,
    5.65216684, 4.88284922, 4.29727554, 4.04108906, 3.72932363, 3.44677281,
    7.97762775, 7.07623959, 6.60844040, 6.28791380, 6.07728720, 5.54643106,
    5.80491161, 5.58415604, 5.41374540, 5.28497219, 5.22592831, 5.09817123,
    6.12149668, 5.54083729, 5.06696892, 4.87005091, 4.59089661, 4.31176281,
    9.55461693, 8.67396069, 7.97210217, 7.43439913, 6.58711863, 6.19536209,
    6.01517296, 5.81623411, 5.65710402, 5.52640676, 5.44263315, 5.58285379,
    7.02081919, 6.46815538, 5.98089123, 5.81686640, 5.53321838, 5.25477028,
    11.02204514, 10.15679550, 9.35167789, 9.06926060, 8.97241116, 8.90092850,
    8.85984802, 8.81736851, 8.79317665, 7.89969635, 8.80588436, 8.42439175,
    8.54289246, 8.47583389, 8.45090866, 8.47339344, 7.83525658, 8.20702839,
    7.70559072, 7.32755995, 7.03887367, 6.68978739, 6.05450058, 5.88752031,
    5.70661497, 5.78450680, 7.79780722, 7.26443863, 6.78151989, 6.67883158,
    6.39024305, 6.09527969, 11.79156113, 11.10997677, 9.51377773, 8.67197037,
    8.77140713, 8.65402699, 8.53923512, 8.85024738,
];

/// Functionals with s6, s8, a1, a2 (bohr).
#[rustfmt::skip]
const FUNCTIONALS: [(&str, [f64; 4]); 55] = [
    ("b1b95", [1.0, 1.4507, 0.2092, 5.5545]),
    ("b2gpplyp", [0.56, 0.2597, 0.0, 6.3332]),
    ("b2plyp", [0.64, 0.9147, 0.3065, 5.057]),
    ("b3lyp", [1.0, 1.9889, 0.3981, 4.4211]),
    ("b3lyp631gd", [1.0, 4.0672, 0.5014, 4.8409]),
    ("b3pw91", [1.0, 2.8524, 0.4312, 4.4693]),
    ("b973c", [1.0, 1.5, 0.37, 4.1]),
    ("b97d", [1.0, 2.2609, 0.5545, 3.2297]),
    ("bhlyp", [1.0, 1.0354, 0.2793, 4.9615]),
    ("blyp", [1.0, 2.6996, 0.4298, 4.2359]),
    ("bmk", [1.0, 2.086, 0.194, 5.9197]),
    ("bop", [1.0, 3.295, 0.487, 3.5043]),
    ("bp", [1.0, 3.2822, 0.3946, 4.8516]),
    ("bpbe", [1.0, 4.0728, 0.4567, 4.3908]),
    ("camb3lyp", [1.0, 2.0674, 0.3708, 5.4743]),
    ("dftb3", [1.0, 0.5883, 0.5719, 3.6017]),
    ("dsdblyp", [0.5, 0.213, 0.0, 6.0519]),
    ("dsdblypfc", [0.5, 0.2112, 0.0009, 5.9807]),
    ("hcth120", [1.0, 1.0821, 0.3563, 4.3359]),
    ("hf", [1.0, 0.9171, 0.3385, 2.883]),
    ("hf3c", [1.0, 0.8777, 0.4171, 2.9149]),
    ("hf3cv", [1.0, 0.5022, 0.3063, 3.9856]),
    ("hfminis", [1.0, 0.9841, 0.1702, 3.8506]),
    ("hfmixed", [1.0, 3.9027, 0.5607, 4.5622]),
    ("hfsv", [1.0, 2.1849, 0.4249, 4.2783]),
    ("hse06", [1.0, 2.31, 0.383, 5.685]),
    ("hsesol", [1.0, 2.9215, 0.465, 6.2003]),
    ("lcwpbe", [1.0, 1.8541, 0.3919, 5.0897]),
    ("mpw1b95", [1.0, 1.0508, 0.1955, 6.4177]),
    ("mpwlyp", [1.0, 2.0077, 0.4831, 4.5323]),
    ("olyp", [1.0, 2.6205, 0.5299, 2.8065]),
    ("opbe", [1.0, 3.3816, 0.5512, 2.9444]),
    ("otpss", [1.0, 2.7495, 0.4634, 4.3153]),
    ("pbe", [1.0, 0.7875, 0.4289, 4.4407]),
    ("pbe0", [1.0, 1.2177, 0.4145, 4.8593]),
    ("pbeh3c", [1.0, 0.0, 0.486, 4.5]),
    ("pbesol", [1.0, 2.9491, 0.4466, 6.1742]),
    ("ptpss", [0.75, 0.2804, 0.0, 6.5745]),
    ("pw1pw", [1.0, 2.3363, 0.3807, 5.8844]),
    ("pw6b95", [1.0, 0.7257, 0.2076, 6.375]),
    ("pwb6k", [1.0, 0.9383, 0.1805, 7.7627]),
    ("pwgga", [1.0, 2.691, 0.2211, 6.7278]),
    ("pwpb95", [0.82, 0.2904, 0.0, 7.3141]),
    ("r2scan", [1.0, 0.78981345, 0.49484001, 5.73083694]),
    ("revpbe", [1.0, 2.355, 0.5238, 3.5016]),
    ("revpbe0", [1.0, 1.7588, 0.4679, 3.7619]),
    ("revpbe38", [1.0, 1.476, 0.4309, 3.9446]),
    ("revssb", [1.0, 0.4389, 0.472, 4.0986]),
    ("rpbe", [1.0, 0.8318, 0.182, 4.0094]),
    ("rpw86pbe", [1.0, 1.3845, 0.4613, 4.5062]),
    ("rscan", [1.0, 1.08859014, 0.47023427, 5.73408312]),
    ("ssb", [1.0, -0.1744, -0.0952, 5.217]),
    ("tpss", [1.0, 1.9435, 0.4535, 4.4752]),
    ("tpss0", [1.0, 1.2576, 0.3768, 4.5865]),
    ("tpssh", [1.0, 2.2382, 0.4529, 4.655]),
];

/// The correction for a functional, with its cutoffs.
#[derive(Clone, Debug, PartialEq)]
pub struct D3 {
    functional: &'static str,
    s6: f64,
    s8: f64,
    a1: f64,
    /// Å.
    a2: f64,
    /// Pairs farther apart do not interact, Å.
    cutoff: f64,
    /// Neighbours farther away do not count, Å.
    counted: f64,
}

impl D3 {
    /// For a functional of any spelling ("PBE", "b3-lyp"); pairs interact below `cutoff` and count as
    /// coordinated below `counted`, Å.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a functional without parameters, a cutoff that is none.
    pub fn new(functional: &str, cutoff: f64, counted: f64) -> Result<Self> {
        let plain = |name: &str| -> String {
            let letters = name.chars().filter(|c| !"-_/ ".contains(*c));
            letters.flat_map(char::to_lowercase).collect()
        };
        let wanted = plain(functional);
        let found = FUNCTIONALS.iter().find(|(name, _)| *name == wanted);
        let Some(&(functional, [s6, s8, a1, a2])) = found else {
            let known: Vec<&str> = FUNCTIONALS.iter().map(|f| f.0).collect();
            return Err(Error::invalid(format!(
                "D3 has no parameters for the functional {functional:?}; known are {}",
                known.join(", ")
            )));
        };
        for (name, value) in [
            ("of pairs", cutoff),
            ("of the coordination number", counted),
        ] {
            if !(value > 0.0 && value <= 100.0) {
                return Err(Error::invalid(format!(
                    "the D3 cutoff {name} is {value} Å; expected a number above 0 and up to 100, such as 12 and 6"
                )));
            }
        }
        Ok(Self {
            functional,
            s6,
            s8,
            a1,
            a2: a2 * BOHR,
            cutoff,
            counted,
        })
    }

    /// The name of the functional.
    pub fn functional(&self) -> &'static str {
        self.functional
    }

    /// How far neighbours must be known, Å.
    pub fn reach(&self) -> f64 {
        self.cutoff.max(self.counted)
    }

    /// Cutoffs of pairs and of counting, Å, and s6.
    pub fn limits(&self) -> [f64; 3] {
        [self.cutoff, self.counted, self.s6]
    }

    /// Of a pair: the distance at which a neighbour counts half (Å), the factor of the term in r⁻⁸ (Å²), and
    /// where the damping sets in (Å).
    pub fn pair(&self, kinds: [&Kind; 2]) -> [f64; 3] {
        let ratio = 3.0 * kinds[0].r4 * kinds[1].r4;
        [
            K2 * (kinds[0].radius + kinds[1].radius),
            self.s8 * ratio,
            self.a1 * ratio.sqrt() + self.a2,
        ]
    }

    /// How much a neighbour at a distance counts, and the derivative (1/Å).
    pub fn count(&self, kinds: [&Kind; 2], r: f64) -> (f64, f64) {
        if r >= self.counted {
            return (0.0, 0.0);
        }
        let [scale, ..] = self.pair(kinds);
        let e = (-K1 * (scale / r - 1.0)).exp();
        let count = 1.0 / (1.0 + e);
        (count, -count * count * e * K1 * scale / (r * r))
    }

    /// What C6 is multiplied with in the energy of a pair (1/Å⁶), and its derivative (1/Å⁷).
    pub fn damped(&self, kinds: [&Kind; 2], r: f64) -> (f64, f64) {
        if r >= self.cutoff {
            return (0.0, 0.0);
        }
        let [_, eight, edge] = self.pair(kinds);
        let (r2, e2) = (r * r, edge * edge);
        let (r6, e6) = (r2 * r2 * r2, e2 * e2 * e2);
        let (t6, t8) = (1.0 / (r6 + e6), 1.0 / (r6 * r2 + e6 * e2));
        let value = -(self.s6 * t6 + eight * t8);
        let slope = r2 * r2 * r * (6.0 * self.s6 * t6 * t6 + 8.0 * eight * r2 * t8 * t8);
        (value, slope)
    }
}

impl std::str::FromStr for D3 {
    type Err = Error;

    /// As GPUMD's keyword has it: functional and the two cutoffs, parted by commas or blanks.
    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split([',', ' ']).filter(|w| !w.is_empty()).collect();
        let numbers: Option<Vec<f64>> = words.iter().skip(1).map(|w| w.parse().ok()).collect();
        match (&words[..], numbers.as_deref()) {
            ([functional, _, _], Some(&[cutoff, counted])) => {
                Self::new(functional, cutoff, counted)
            }
            _ => Err(Error::invalid(format!(
                "D3 is described by {text:?}; expected a functional and the cutoffs of pairs and of the coordination \
                 number in Å, such as pbe,12,6"
            ))),
        }
    }
}

/// What the tables say of an element.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its first reference system in the table.
    first: usize,
    /// Coordination numbers of its reference systems.
    coordinations: Vec<f64>,
    /// Å.
    radius: f64,
    /// Å.
    r4: f64,
}

impl Kind {
    /// **Errors**: [`Error::Unsupported`] beyond Pu.
    pub fn new(element: Element) -> Result<Self> {
        let at = element.number() - 1;
        if at >= ELEMENTS {
            return Err(Error::Unsupported(format!(
                "D3 has no reference systems for {}; it has H to Pu",
                element.symbol()
            )));
        }
        let count = |e: &u8| *e as usize;
        let first = TABLE[..at].iter().map(count).sum();
        Ok(Self {
            first,
            coordinations: (first..first + count(&TABLE[at])).map(number).collect(),
            radius: RADII[at],
            r4: R4_OVER_R2[at] * BOHR,
        })
    }

    /// C6 of reference systems of two elements, eV Å⁶. **Shape**: `[MOST][MOST]`, zero beyond the systems.
    pub fn c6_with(&self, other: &Self) -> [[f64; MOST]; MOST] {
        let total: usize = TABLE[..ELEMENTS].iter().map(|&n| n as usize).sum();
        let mut c6 = [[0.0; MOST]; MOST];
        for (a, row) in c6.iter_mut().enumerate().take(self.coordinations.len()) {
            for (b, c) in row.iter_mut().enumerate().take(other.coordinations.len()) {
                let (low, high) = {
                    let (i, j) = (self.first + a, other.first + b);
                    (i.min(j), i.max(j))
                };
                *c = number(total + high * (high + 1) / 2 + low) * HARTREE * BOHR.powi(6);
            }
        }
        c6
    }

    /// Coordination numbers of the reference systems, zero beyond, and how many there are.
    pub fn systems(&self) -> [f64; MOST + 1] {
        let mut all = [0.0; MOST + 1];
        all[..self.coordinations.len()].copy_from_slice(&self.coordinations);
        all[MOST] = self.coordinations.len() as f64;
        all
    }

    /// Weights of the reference systems for a coordination number, and their derivatives.
    pub fn weights(&self, coordination: f64) -> ([f64; MOST], [f64; MOST]) {
        let squares = self
            .coordinations
            .iter()
            .map(|c| (coordination - c).powi(2));
        // Taken off everywhere, so that far from all systems the nearest one is left.
        let least = squares.clone().fold(f64::INFINITY, f64::min);
        let (mut w, mut dw) = ([0.0; MOST], [0.0; MOST]);
        let (mut sum, mut slope) = (0.0, 0.0);
        for ((a, square), c) in squares.enumerate().zip(&self.coordinations) {
            w[a] = (-K3 * (square - least)).exp();
            dw[a] = -2.0 * K3 * (coordination - c) * w[a];
            sum += w[a];
            slope += dw[a];
        }
        for (w, dw) in w.iter_mut().zip(&mut dw) {
            *w /= sum;
            *dw = (*dw - *w * slope) / sum;
        }
        (w, dw)
    }
}

/// A number behind the counts of the table.
fn number(at: usize) -> f64 {
    let bytes = TABLE[ELEMENTS..].chunks_exact(4).nth(at).unwrap_or(&[0; 4]);
    1e-4 * f64::from(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, &b| sum << 8 | u32::from(b)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_derivatives_are_whole() {
        let kind = |s| Kind::new(Element::from_symbol(s).unwrap()).unwrap();
        let (h, c, pu) = (kind("H"), kind("C"), kind("Pu"));
        let total: usize = TABLE[..ELEMENTS].iter().map(|&n| n as usize).sum();
        assert_eq!(
            TABLE.len(),
            ELEMENTS + 4 * (total + total * (total + 1) / 2)
        );
        // Of the paper: C6 of H with H, and of C with H in the systems of most neighbours.
        let unit = HARTREE * BOHR.powi(6);
        assert!((h.c6_with(&h)[1][1] - 7.5916 * unit).abs() < 1e-9);
        assert!((c.c6_with(&h)[4][0] - 7.3662 * unit).abs() < 1e-9);
        assert_eq!(c.c6_with(&h)[4][0], h.c6_with(&c)[0][4]);
        assert_eq!(pu.coordinations.len(), 2);
        let d3 = D3::new("B3-LYP", 12.0, 6.0).unwrap();
        let step = 1e-5;
        for r in [1.1, 2.0, 5.3] {
            for f in [D3::count, D3::damped] {
                let at = |r| f(&d3, [&c, &h], r);
                let numeric = (at(r + step).0 - at(r - step).0) / (2.0 * step);
                assert!((at(r).1 - numeric).abs() < 1e-8 * numeric.abs().max(1.0));
            }
        }
        for coordination in [0.0, 1.3, 3.9, 40.0] {
            let (w, dw) = c.weights(coordination);
            assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            for a in 0..MOST {
                let at = |x| c.weights(x).0[a];
                let numeric = (at(coordination + step) - at(coordination - step)) / (2.0 * step);
                assert!((dw[a] - numeric).abs() < 1e-8);
            }
        }
        assert_eq!(
            "pbe,12,6".parse::<D3>().unwrap(),
            D3::new("PBE", 12.0, 6.0).unwrap()
        );
        for (bad, words) in [
            ("pbe,12", "pbe,12,6"),
            ("xyz 12 6", "b3lyp"),
            ("pbe,-1,6", "above 0"),
        ] {
            let error = bad.parse::<D3>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
