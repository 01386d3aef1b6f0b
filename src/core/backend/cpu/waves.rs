//! The waves of a mesh: their weights, and what becomes of the transform of the atoms.

use super::long_range::Source;
use super::mesh::Mesh;
use crate::nep::long_range::{Interaction, reach, reciprocal};
use crate::system::Cell;
use crate::system::cell::dot;
use rayon::prelude::*;
use realfft::num_complex::Complex64;

/// Components of a symmetric tensor.
pub(super) const PAIRS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)];

/// Weights of the waves of a mesh, which stay while the cell does.
pub(super) struct Waves {
    what: Interaction,
    alpha: f64,
    cell: Cell,
    /// 2π times the reciprocal vectors, 1/Å.
    lattice: [[f64; 3]; 3],
    /// G and H over the square of the bell's transform, zero where there is no wave. Shape
    /// `[seconds][thirds][size 0]`.
    weights: Vec<[f64; 2]>,
}

impl Waves {
    pub(super) fn new(mesh: &Mesh, source: &Source<'_>) -> Self {
        let factors: [Vec<f64>; 3] = [0, 1, 2].map(|d| {
            let n = mesh.size[d];
            let of = |m: usize| mesh.bell.transform(signed(m, n) / n as f64).powi(-2);
            (0..n).map(of).collect()
        });
        let (n0, thirds) = (mesh.size[0], mesh.fft.thirds());
        let seconds: Vec<i64> = mesh.fft.seconds().collect();
        let (limit, volume) = (reach(source.alpha).powi(2), source.cell.volume());
        let lattice = reciprocal(source.cell);
        let mut weights = vec![[0.0; 2]; seconds.len() * thirds * n0];
        let lines = weights.par_chunks_mut(n0).enumerate();
        lines.for_each(|(number, line)| {
            let (b, c) = (seconds[number / thirds], number % thirds);
            let of_line = factors[1][b.rem_euclid(mesh.size[1] as i64) as usize] * factors[2][c];
            for (a, weight) in line.iter_mut().enumerate() {
                let k = wave(&lattice, [signed(a, n0), b as f64, c as f64]);
                let k2 = dot(k, k);
                if k2 < limit && k2 > 0.0 {
                    let (g, h) = source.what.weights(k2, source.alpha, volume);
                    *weight = [g, h].map(|x| x * factors[0][a] * of_line);
                }
            }
        });
        Self {
            what: source.what,
            alpha: source.alpha,
            cell: source.cell.clone(),
            lattice,
            weights,
        }
    }

    pub(super) fn fits(&self, source: &Source<'_>) -> bool {
        (self.what, self.alpha) == (source.what, source.alpha) && self.cell == *source.cell
    }

    /// Turns the transform of the mesh into that of the potential, G S, and of H k⊗k S; gives the virial.
    pub(super) fn weigh(
        &self,
        mesh: &Mesh,
        potential: &mut [Complex64],
        tensors: &mut [Vec<Complex64>],
    ) -> [f64; 9] {
        let (n0, thirds) = (mesh.size[0], mesh.fft.thirds());
        let seconds: Vec<i64> = mesh.fft.seconds().collect();
        let mut by_line: Vec<Vec<&mut [Complex64]>> =
            (0..seconds.len() * thirds).map(|_| Vec::new()).collect();
        for column in tensors.iter_mut().map(|t| t.par_chunks_mut(n0)) {
            by_line
                .par_iter_mut()
                .zip(column)
                .for_each(|(line, part)| line.push(part));
        }
        let lines = potential.par_chunks_mut(n0).zip(by_line);
        let lines = lines.zip(self.weights.par_chunks(n0)).enumerate();
        let virials: Vec<[f64; 9]> = lines
            .map(|(number, ((line, mut tensors), weights))| {
                let (b, c) = (seconds[number / thirds], number % thirds);
                // Opposite waves are not stored but for those with third multiple 0.
                let times = if c == 0 { 0.5 } else { 1.0 };
                let mut virial = [0.0; 9];
                for (a, (s, &[g, h])) in line.iter_mut().zip(weights).enumerate() {
                    if g == 0.0 {
                        *s = Complex64::default();
                        tensors.iter_mut().for_each(|t| t[a] = Complex64::default());
                        continue;
                    }
                    let k = wave(&self.lattice, [signed(a, n0), b as f64, c as f64]);
                    let square = times * s.norm_sqr();
                    for (t, (x, y)) in tensors.iter_mut().zip(PAIRS) {
                        t[a] *= h * k[x] * k[y];
                    }
                    for x in 0..9 {
                        let diagonal = if x % 4 == 0 { g } else { 0.0 };
                        virial[x] += square * (diagonal - h * k[x / 3] * k[x % 3]);
                    }
                    *s *= g;
                }
                virial
            })
            .collect();
        std::array::from_fn(|x| virials.iter().map(|w| w[x]).sum())
    }
}

/// The wave vector of multiples of the reciprocal vectors.
fn wave(lattice: &[[f64; 3]; 3], n: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|x| (0..3).map(|d| n[d] * lattice[d][x]).sum())
}

/// The multiple that a place in a transform of `n` stands for.
fn signed(place: usize, n: usize) -> f64 {
    if 2 * place > n {
        place as f64 - n as f64
    } else {
        place as f64
    }
}
