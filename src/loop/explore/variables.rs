//! Atoms and cell as one list of numbers for an optimiser, and the way down to rest.
//!
//! Variables: positions r' before straining (Å), then six components of a symmetric strain ε in units of a length,
//! so that both kinds are of one size. Atoms stand at r'(1 + ε), the cell is the start's times (1 + ε).

use super::potential::Labels;
use nepal::error::{Error, Result};
use nepal::fragment::lbfgs::{self, Settings};
use nepal::system::cell::{dot, sub};
use nepal::system::{Cell, Structure};
use nepal::units::EV_PER_A3_IN_GPA;
use std::ops::ControlFlow;

/// Strain that no search passes: neighbour lists of flat cells cost more than what they show is worth.
const STRAIN_WALL: f64 = 0.5;
/// Largest change of a variable in one step, Å.
pub(super) const MAX_STEP: f64 = 0.1;
const STRAINS: usize = 6;

/// What the variables move.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    start: Structure,
    /// Å of a strain of one; zero where the cell stays.
    length: f64,
}

impl Frame {
    /// Atoms of a structure, and its cell if it is `free`.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a free cell that is not periodic in all directions, and without
    /// atoms.
    pub fn new(start: &Structure, free: bool) -> Result<Self> {
        if start.is_empty() {
            return Err(Error::invalid("the start structure has no atoms"));
        }
        if free && start.cell.periodic() != [true; 3] {
            return Err(Error::invalid(
                "a cell that changes needs three periodic directions; set cell = false",
            ));
        }
        let n = start.len() as f64;
        // Sheppard et al., J. Chem. Phys. 136, 074103 (2012): (V/N)^(1/3) √N.
        let length = (start.cell.volume() / n).cbrt() * n.sqrt();
        Ok(Self {
            start: start.clone(),
            length: if free { length } else { 0.0 },
        })
    }

    /// The variables of the start.
    pub fn variables(&self) -> Vec<f64> {
        let mut z: Vec<f64> = self.start.positions.iter().flatten().copied().collect();
        if self.length > 0.0 {
            z.extend([0.0; STRAINS]);
        }
        z
    }

    /// Variables of another structure of the same atoms: each at its image nearest to the start's, the cell turned
    /// so that its strain is symmetric; none if the cell is another one and must stay.
    pub fn variables_of(&self, other: &Structure) -> Option<Vec<f64>> {
        let deformation = self.start.cell.deformation(&other.cell);
        let strain = symmetric_root(&deformation);
        let straight: f64 = strain.iter().flatten().map(|x| x * x).sum();
        if self.length == 0.0 && straight > 1e-12 {
            return None;
        }
        let mut z = Vec::new();
        for (r, &s) in self.start.positions.iter().zip(&other.positions) {
            let (from, to) = (self.start.cell.fractional(*r), other.cell.fractional(s));
            let periodic = self.start.cell.periodic();
            let near = std::array::from_fn(|a| {
                let by = to[a] - from[a];
                from[a] + by - if periodic[a] { by.round() } else { 0.0 }
            });
            z.extend(self.start.cell.cartesian(near));
        }
        if self.length > 0.0 {
            let e = strain;
            let six = [e[0][0], e[1][1], e[2][2], e[1][2], e[0][2], e[0][1]];
            z.extend(six.map(|x| x * self.length));
        }
        Some(z)
    }

    /// ε of some variables.
    pub fn strain(&self, z: &[f64]) -> [[f64; 3]; 3] {
        if self.length == 0.0 {
            return [[0.0; 3]; 3];
        }
        let x = &z[3 * self.start.len()..];
        let m = [[x[0], x[5], x[4]], [x[5], x[1], x[3]], [x[4], x[3], x[2]]];
        m.map(|row| row.map(|v| v / self.length))
    }

    /// 1 + ε as a cell, of which the library knows inverse and volume.
    fn deformation(&self, z: &[f64]) -> Result<Cell> {
        let mut f = self.strain(z);
        for a in 0..3 {
            f[a][a] += 1.0;
        }
        Cell::new(f, [true; 3])
    }

    /// The structure at some variables; none where they are out of bounds.
    pub fn place(&self, z: &[f64]) -> Result<Option<Structure>> {
        let inside = |x: &f64| x.abs() < STRAIN_WALL;
        if !self.strain(z).iter().flatten().all(inside) || !z.iter().all(|x| x.is_finite()) {
            return Ok(None);
        }
        let mut unstrained = self.start.clone();
        for (r, x) in unstrained.positions.iter_mut().zip(z.chunks(3)) {
            r.copy_from_slice(x);
        }
        unstrained.strained(&self.strain(z)).map(Some)
    }

    /// Writes dΦ/dz from -dΦ/dr and -dΦ/d(strain).
    ///
    /// **Errors**: none where [`Frame::place`] gave a structure.
    pub fn gradient(
        &self,
        z: &[f64],
        forces: &[[f64; 3]],
        virial: &[f64; 9],
        out: &mut [f64],
    ) -> Result<()> {
        let f = self.deformation(z)?;
        for (out, force) in out.chunks_mut(3).zip(forces) {
            for a in 0..3 {
                out[a] = -dot(f.vectors()[a], *force);
            }
        }
        if self.length == 0.0 {
            return Ok(());
        }
        // A further strain η of the structure is (1 + ε)⁻¹ dε.
        let inverse: [[f64; 3]; 3] = std::array::from_fn(|a| {
            f.fractional(std::array::from_fn(|b| f64::from(u8::from(a == b))))
        });
        let mut g = [[0.0; 3]; 3];
        for c in 0..3 {
            for b in 0..3 {
                g[c][b] = -(0..3)
                    .map(|a| inverse[a][c] * virial[3 * a + b])
                    .sum::<f64>();
            }
        }
        out[3 * self.start.len()..].fill(0.0);
        self.add_strain(out, |a, b| g[a][b]);
        Ok(())
    }

    /// Adds dΦ/dε, given by its components.
    pub fn add_strain(&self, out: &mut [f64], g: impl Fn(usize, usize) -> f64) {
        if self.length == 0.0 {
            return;
        }
        let six = [
            g(0, 0),
            g(1, 1),
            g(2, 2),
            g(1, 2) + g(2, 1),
            g(0, 2) + g(2, 0),
            g(0, 1) + g(1, 0),
        ];
        for (out, g) in out[3 * self.start.len()..].iter_mut().zip(six) {
            *out += g / self.length;
        }
    }
}

/// Adds `pressure` (GPa) times the volume to an energy and its virial.
pub(super) fn add_pressure(structure: &Structure, pressure: f64, labels: &mut Labels) {
    if pressure != 0.0 {
        let work = pressure / EV_PER_A3_IN_GPA * structure.cell.volume();
        labels.0 += work;
        for a in 0..3 {
            labels.2[4 * a] -= work;
        }
    }
}

/// Moves atoms (and the cell, if it is free) downhill in energy plus pressure times volume, until no force exceeds
/// `tolerance` (eV/Å). `look` sees the structure after each step and may end it. Gives steps and whether it converged.
///
/// **Errors**: those of `labels` and `look`.
pub(super) fn descend(
    frame: &Frame,
    z: &mut [f64],
    (pressure, tolerance, steps): (f64, f64, usize),
    mut labels: impl FnMut(&Structure) -> Result<Labels>,
    mut look: impl FnMut(usize, &Structure) -> Result<ControlFlow<()>>,
) -> Result<(usize, bool)> {
    let settings = Settings {
        iterations: steps,
        max_step: MAX_STEP,
        gradient: tolerance,
    };
    let mut ended = false;
    let done = lbfgs::minimise(
        z,
        settings,
        |z, out| {
            let Some(structure) = frame.place(z)? else {
                return Ok(f64::INFINITY);
            };
            let mut found = labels(&structure)?;
            add_pressure(&structure, pressure, &mut found);
            frame.gradient(z, &found.1, &found.2, out)?;
            Ok(found.0)
        },
        |step, z| {
            if let Some(structure) = frame.place(z)? {
                ended = look(step, &structure)?.is_break();
            }
            Ok(ended)
        },
    )?;
    Ok((done, done < steps && !ended))
}

/// ε with (1 + ε)² = F Fᵀ, by Denman and Beavers' iteration: the deformation F without its rotation.
fn symmetric_root(f: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let unit = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    // r' F, turned so that F is symmetric, is r' (F Fᵀ)^½.
    let mut y: [[f64; 3]; 3] = std::array::from_fn(|a| std::array::from_fn(|b| dot(f[a], f[b])));
    let mut z = unit;
    let inverse = |m: &[[f64; 3]; 3]| match Cell::new(*m, [true; 3]) {
        Ok(cell) => unit.map(|e| cell.fractional(e)),
        // Two cells have volumes, and so have all iterates.
        Err(_) => unit,
    };
    for _ in 0..50 {
        let (iy, iz) = (inverse(&y), inverse(&z));
        for a in 0..3 {
            for b in 0..3 {
                (y[a][b], z[a][b]) = (0.5 * (y[a][b] + iz[a][b]), 0.5 * (z[a][b] + iy[a][b]));
            }
        }
    }
    std::array::from_fn(|a| sub(y[a], unit[a]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::testing::{LennardJones, argon_fcc};
    use nepal::calculator::Potential;

    fn shaken() -> Structure {
        let mut s = argon_fcc(2, 5.4)
            .strained(&[[0.02, 0.01, 0.0], [0.01, -0.03, 0.015], [0.0, 0.015, 0.01]])
            .unwrap();
        for (k, r) in s.positions.iter_mut().enumerate() {
            r[k % 3] += 0.05 * ((k * 7 % 5) as f64 - 2.0);
        }
        s
    }

    #[test]
    fn the_gradient_is_that_of_the_energy() {
        let mut potential = LennardJones::argon();
        let s = shaken();
        let frame = Frame::new(&s, true).unwrap();
        let mut z = frame.variables();
        let n = z.len();
        for (k, x) in [0.3, -0.2, 0.4, 0.5, -0.6, 0.2].into_iter().enumerate() {
            z[n - 6 + k] += x;
        }
        let mut value = |z: &[f64], out: &mut [f64]| {
            let at = frame.place(z).unwrap().unwrap();
            let mut labels = potential.energy_forces_virial(&at).unwrap();
            add_pressure(&at, 1.5, &mut labels);
            frame.gradient(z, &labels.1, &labels.2, out).unwrap();
            labels.0
        };
        let (mut g, mut other) = (vec![0.0; n], vec![0.0; n]);
        value(&z, &mut g);
        for k in [0, 17, n - 6, n - 4, n - 3, n - 2, n - 1] {
            let h = 1e-4;
            let mut at = |by: f64| {
                let mut z = z.clone();
                z[k] += by;
                value(&z, &mut other)
            };
            let slope = (at(h) - at(-h)) / (2.0 * h);
            assert!(
                (slope - g[k]).abs() < 1e-6 * (1.0 + slope.abs()),
                "{k}: {slope} {}",
                g[k]
            );
        }
    }

    #[test]
    fn atoms_and_cell_come_to_rest_and_are_found_again() {
        let mut potential = LennardJones::argon();
        let s = shaken();
        let frame = Frame::new(&s, true).unwrap();
        let mut z = frame.variables();
        let (_, done) = descend(
            &frame,
            &mut z,
            (0.0, 1e-5, 500),
            |s| potential.energy_forces_virial(s),
            |_, _| Ok(ControlFlow::Continue(())),
        )
        .unwrap();
        assert!(done);
        let rest = frame.place(&z).unwrap().unwrap();
        let (energy, _, virial) = potential.energy_forces_virial(&rest).unwrap();
        assert!(virial.iter().all(|w| w.abs() < 1e-3), "{virial:?}");
        let scale = (rest.cell.volume() / 8.0).cbrt();
        let ideal = potential
            .energy_forces_virial(&argon_fcc(2, scale))
            .unwrap()
            .0;
        assert!((energy - ideal).abs() < 1e-6, "{energy} {ideal}");
        // Turned, and an atom moved to another image: the same variables.
        let turn = |v: [f64; 3]| [0.6 * v[0] - 0.8 * v[1], 0.8 * v[0] + 0.6 * v[1], v[2]];
        let mut turned = rest.clone();
        turned.cell = Cell::new(rest.cell.vectors().map(turn), [true; 3]).unwrap();
        turned.positions = rest.positions.iter().map(|&r| turn(r)).collect();
        turned.positions[3][2] += turned.cell.vectors()[2][2];
        turned.positions[3][0] += turned.cell.vectors()[2][0];
        turned.positions[3][1] += turned.cell.vectors()[2][1];
        for (a, b) in frame.variables_of(&turned).unwrap().iter().zip(&z) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}
