//! Radial distribution functions.

use nepal::error::{Error, Result};
use nepal::system::cell::norm;
use nepal::system::{NeighborList, Structure};
use std::f64::consts::PI;

/// Accumulates g(r) over frames of a periodic system.
#[derive(Clone, Debug)]
pub struct Rdf {
    r_max: f64,
    histogram: Vec<f64>,
    /// Sum over frames of pairs per unit volume of shell that an ideal gas would have.
    ideal: f64,
}

impl Rdf {
    /// An empty accumulator up to `r_max` (Å) with `bins` bins.
    ///
    /// **Errors**: [`Error::InvalidArgument`] without a range or bins.
    pub fn new(r_max: f64, bins: usize) -> Result<Self> {
        if !(r_max > 0.0 && r_max.is_finite()) || bins == 0 {
            return Err(Error::invalid(format!(
                "a radial distribution needs a positive range and bins; found {r_max} Å and {bins}"
            )));
        }
        Ok(Self {
            r_max,
            histogram: vec![0.0; bins],
            ideal: 0.0,
        })
    }

    /// Adds a frame; images count, so the range may exceed half the cell.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a cell that is not periodic in three directions.
    pub fn add(&mut self, frame: &Structure) -> Result<()> {
        if frame.cell.periodic() != [true; 3] {
            return Err(Error::invalid(
                "a radial distribution needs a cell that is periodic in three directions",
            ));
        }
        let list = NeighborList::build(&frame.cell, &frame.positions, self.r_max)?;
        let bins = self.histogram.len();
        for i in 0..frame.len() {
            for (_, vector) in list.vectors(i, &frame.cell, &frame.positions) {
                let bin = (norm(vector) / self.r_max * bins as f64) as usize;
                if let Some(count) = self.histogram.get_mut(bin) {
                    *count += 1.0;
                }
            }
        }
        let n = frame.len() as f64;
        self.ideal += n * n / frame.cell.volume();
        Ok(())
    }

    /// Middle of each bin (Å) and g there; zeros before the first frame.
    pub fn curve(&self) -> (Vec<f64>, Vec<f64>) {
        let bins = self.histogram.len();
        let width = self.r_max / bins as f64;
        let r: Vec<f64> = (0..bins).map(|b| (b as f64 + 0.5) * width).collect();
        let g = self
            .histogram
            .iter()
            .enumerate()
            .map(|(b, &count)| {
                let (low, high) = (b as f64 * width, (b as f64 + 1.0) * width);
                let shell = 4.0 / 3.0 * PI * (high.powi(3) - low.powi(3));
                if self.ideal > 0.0 {
                    count / (self.ideal * shell)
                } else {
                    0.0
                }
            })
            .collect();
        (r, g)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::{Cell, Element};

    #[test]
    fn a_simple_cubic_lattice_has_its_shells() {
        let cell = Cell::orthorhombic([2.0; 3]).unwrap();
        let atom = Structure::new(
            cell,
            vec![Element::from_symbol("Po").unwrap()],
            vec![[0.3; 3]],
        );
        let mut rdf = Rdf::new(3.0, 30).unwrap();
        rdf.add(&atom.unwrap()).unwrap();
        let (r, g) = rdf.curve();
        let count = |low: f64, high: f64| -> f64 {
            r.iter()
                .zip(&g)
                .filter(|(r, _)| **r > low && **r < high)
                .map(|(r, g)| {
                    let shell = 4.0 / 3.0 * PI * ((r + 0.05).powi(3) - (r - 0.05).powi(3));
                    g * shell / 8.0
                })
                .sum()
        };
        assert!((count(1.8, 2.2) - 6.0).abs() < 1e-9);
        assert!((count(2.6, 2.95) - 12.0).abs() < 1e-9);
        assert_eq!(count(0.0, 1.8), 0.0);
    }
}
