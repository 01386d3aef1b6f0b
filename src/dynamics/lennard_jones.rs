//! Argon, and atoms that do not meet: what dynamics is checked on.

use nepal::calculator::Potential;
use nepal::element::Element;
use nepal::error::Result;
use nepal::system::cell::dot;
use nepal::system::{Cell, NeighborList, Structure};

/// Lennard-Jones, truncated and shifted to zero in energy and force at the cutoff.
pub struct LennardJones {
    pub epsilon: f64,
    pub sigma: f64,
    pub cutoff: f64,
    /// Without the shift the published lattice sums hold.
    pub shifted: bool,
}

impl LennardJones {
    /// Argon.
    pub fn argon() -> Self {
        Self {
            epsilon: 0.0104,
            sigma: 3.4,
            cutoff: 7.0,
            shifted: true,
        }
    }

    /// Energy and dE/dr of a pair.
    fn pair(&self, r: f64) -> (f64, f64) {
        let bare = |r: f64| {
            let s6 = (self.sigma / r).powi(6);
            (
                4.0 * self.epsilon * (s6 * s6 - s6),
                -24.0 * self.epsilon * (2.0 * s6 * s6 - s6) / r,
            )
        };
        let (e, d) = bare(r);
        if !self.shifted {
            return (e, d);
        }
        let (ec, dc) = bare(self.cutoff);
        (e - ec - dc * (r - self.cutoff), d - dc)
    }
}

impl Potential for LennardJones {
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let list = NeighborList::build(&structure.cell, &structure.positions, self.cutoff)?;
        let mut energy = 0.0;
        let mut forces = vec![[0.0; 3]; structure.len()];
        let mut virial = [0.0; 9];
        for (i, force) in forces.iter_mut().enumerate() {
            for (_, r_ij) in list.vectors(i, &structure.cell, &structure.positions) {
                let r = dot(r_ij, r_ij).sqrt();
                let (e, d) = self.pair(r);
                energy += 0.5 * e;
                for a in 0..3 {
                    force[a] += d * r_ij[a] / r;
                    for b in 0..3 {
                        virial[3 * a + b] -= 0.5 * d * r_ij[a] * r_ij[b] / r;
                    }
                }
            }
        }
        Ok((energy, forces, virial))
    }
}

/// No interaction at all.
pub struct IdealGas;

impl Potential for IdealGas {
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        Ok((0.0, vec![[0.0; 3]; structure.len()], [0.0; 9]))
    }
}

/// `n` argon atoms at the corners of a cubic grid.
pub fn argon_grid(n: usize, spacing: f64) -> Structure {
    let mut positions = Vec::new();
    for i in 0..n {
        for j in 0..n {
            for k in 0..n {
                positions.push([i, j, k].map(|x| x as f64 * spacing));
            }
        }
    }
    let elements = vec![Element::from_symbol("Ar").unwrap(); positions.len()];
    let cell = Cell::orthorhombic([n as f64 * spacing; 3]).unwrap();
    Structure::new(cell, elements, positions).unwrap()
}

/// An argon crystal, `n` cubic cells along each side.
pub fn argon_fcc(n: usize, a: f64) -> Structure {
    let element = Element::from_symbol("Ar").unwrap();
    let h = 0.5 * a;
    let positions = vec![[0.0; 3], [0.0, h, h], [h, 0.0, h], [h, h, 0.0]];
    Structure::new(
        Cell::orthorhombic([a; 3]).unwrap(),
        vec![element; 4],
        positions,
    )
    .unwrap()
    .repeated([n; 3])
    .unwrap()
}
