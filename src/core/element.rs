//! Chemical elements H to Pu, the range of the NEP family.

use crate::error::{Error, Result};
use std::fmt;

/// Symbol, standard atomic weight (u) and covalent radius (Å) by atomic number, from H.
///
/// Source: weights IUPAC 2016 abridged, longest-lived isotope where there is none; radii as used
/// for the typewise ZBL cutoff of NEP (Pyykkö & Atsumi, Chem. Eur. J. 15, 186 (2009), scaled by 4/3).
#[rustfmt::skip]
const TABLE: [(&str, f64, f64); 94] = [
    ("H", 1.008, 0.426667),
    ("He", 4.002602, 0.613333),
    ("Li", 6.94, 1.6),
    ("Be", 9.0121831, 1.25333),
    ("B", 10.81, 1.02667),
    ("C", 12.011, 1.0),
    ("N", 14.007, 0.946667),
    ("O", 15.999, 0.84),
    ("F", 18.998403163, 0.853333),
    ("Ne", 20.1797, 0.893333),
    ("Na", 22.98976928, 1.86667),
    ("Mg", 24.305, 1.66667),
    ("Al", 26.9815385, 1.50667),
    ("Si", 28.085, 1.38667),
    ("P", 30.973761998, 1.46667),
    ("S", 32.06, 1.36),
    ("Cl", 35.45, 1.32),
    ("Ar", 39.948, 1.28),
    ("K", 39.0983, 2.34667),
    ("Ca", 40.078, 2.05333),
    ("Sc", 44.955908, 1.77333),
    ("Ti", 47.867, 1.62667),
    ("V", 50.9415, 1.61333),
    ("Cr", 51.9961, 1.46667),
    ("Mn", 54.938044, 1.42667),
    ("Fe", 55.845, 1.38667),
    ("Co", 58.933194, 1.33333),
    ("Ni", 58.6934, 1.32),
    ("Cu", 63.546, 1.34667),
    ("Zn", 65.38, 1.45333),
    ("Ga", 69.723, 1.49333),
    ("Ge", 72.63, 1.45333),
    ("As", 74.921595, 1.53333),
    ("Se", 78.971, 1.46667),
    ("Br", 79.904, 1.52),
    ("Kr", 83.798, 1.56),
    ("Rb", 85.4678, 2.52),
    ("Sr", 87.62, 2.22667),
    ("Y", 88.90584, 1.96),
    ("Zr", 91.224, 1.85333),
    ("Nb", 92.90637, 1.76),
    ("Mo", 95.95, 1.65333),
    ("Tc", 97.90721, 1.53333),
    ("Ru", 101.07, 1.50667),
    ("Rh", 102.9055, 1.50667),
    ("Pd", 106.42, 1.44),
    ("Ag", 107.8682, 1.53333),
    ("Cd", 112.414, 1.64),
    ("In", 114.818, 1.70667),
    ("Sn", 118.71, 1.68),
    ("Sb", 121.76, 1.68),
    ("Te", 127.6, 1.64),
    ("I", 126.90447, 1.76),
    ("Xe", 131.293, 1.74667),
    ("Cs", 132.90545196, 2.78667),
    ("Ba", 137.327, 2.34667),
    ("La", 138.90547, 2.16),
    ("Ce", 140.116, 1.96),
    ("Pr", 140.90766, 2.10667),
    ("Nd", 144.242, 2.09333),
    ("Pm", 144.91276, 2.08),
    ("Sm", 150.36, 2.06667),
    ("Eu", 151.964, 2.01333),
    ("Gd", 157.25, 2.02667),
    ("Tb", 158.92535, 2.01333),
    ("Dy", 162.5, 2.0),
    ("Ho", 164.93033, 1.98667),
    ("Er", 167.259, 1.98667),
    ("Tm", 168.93422, 1.97333),
    ("Yb", 173.054, 2.04),
    ("Lu", 174.9668, 1.94667),
    ("Hf", 178.49, 1.82667),
    ("Ta", 180.94788, 1.74667),
    ("W", 183.84, 1.64),
    ("Re", 186.207, 1.57333),
    ("Os", 190.23, 1.54667),
    ("Ir", 192.217, 1.48),
    ("Pt", 195.084, 1.49333),
    ("Au", 196.966569, 1.50667),
    ("Hg", 200.592, 1.76),
    ("Tl", 204.38, 1.73333),
    ("Pb", 207.2, 1.73333),
    ("Bi", 208.9804, 1.81333),
    ("Po", 208.98243, 1.74667),
    ("At", 209.98715, 1.84),
    ("Rn", 222.01758, 1.89333),
    ("Fr", 223.01974, 2.68),
    ("Ra", 226.02541, 2.41333),
    ("Ac", 227.02775, 2.22667),
    ("Th", 232.0377, 2.10667),
    ("Pa", 231.03588, 2.02667),
    ("U", 238.02891, 2.04),
    ("Np", 237.04817, 2.05333),
    ("Pu", 244.06421, 2.06667),
];

/// A chemical element between H and Pu.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element(u8);

impl Element {
    /// The element with this case-sensitive symbol.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for anything that is not a symbol from H to Pu.
    pub fn from_symbol(symbol: &str) -> Result<Self> {
        TABLE
            .iter()
            .position(|row| row.0 == symbol)
            .map(|index| Self(index as u8 + 1))
            .ok_or_else(|| {
                let shown: String = symbol.chars().take(20).collect();
                Error::invalid(format!(
                    "{shown:?} is not an element symbol (expected H to Pu, case-sensitive)"
                ))
            })
    }

    /// The element with this atomic number, 1 to 94.
    ///
    /// **Errors**: [`Error::InvalidArgument`] outside that range.
    pub fn from_number(number: usize) -> Result<Self> {
        if (1..=TABLE.len()).contains(&number) {
            Ok(Self(number as u8))
        } else {
            Err(Error::invalid(format!(
                "atomic number {number} is out of range (expected 1 to {})",
                TABLE.len()
            )))
        }
    }

    fn row(self) -> &'static (&'static str, f64, f64) {
        &TABLE[usize::from(self.0) - 1]
    }

    /// Atomic number.
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// Symbol, such as `Si`.
    pub fn symbol(self) -> &'static str {
        self.row().0
    }

    /// Standard atomic weight in atomic mass units.
    pub fn mass(self) -> f64 {
        self.row().1
    }

    /// Covalent radius in Å, as NEP's typewise cutoffs define it.
    pub fn covalent_radius(self) -> f64 {
        self.row().2
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_numbers_agree() {
        for number in 1..=94 {
            let element = Element::from_number(number).unwrap();
            assert_eq!(Element::from_symbol(element.symbol()).unwrap(), element);
        }
        assert_eq!(Element::from_symbol("Si").unwrap().number(), 14);
        assert_eq!(Element::from_symbol("Pu").unwrap().number(), 94);
        assert!(Element::from_symbol("si").is_err());
        assert!(Element::from_symbol("").is_err());
        assert!(Element::from_number(0).is_err());
    }
}
