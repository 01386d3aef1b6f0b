//! The waves of a mesh: their weights, and what becomes of the transform of the atoms.

use super::fft::Fft3;
use super::long_range::Source;
use super::mesh::Mesh;
use super::spreading::Number;
use crate::nep::long_range::{Interaction, reach, reciprocal};
use crate::system::Cell;
use crate::system::cell::dot;
use rayon::prelude::*;
use realfft::num_complex::Complex;

/// Components of a symmetric tensor.
pub(super) const PAIRS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)];

/// Weights of the waves of a mesh, which stay while the cell does.
pub(super) struct Waves<R> {
    what: Interaction,
    alpha: f64,
    cell: Cell,
    /// 2π times the reciprocal vectors, 1/Å.
    lattice: [[f64; 3]; 3],
    seconds: Vec<i64>,
    /// G and H over the square of the bell's transform, zero where there is no wave. Shape
    /// `[seconds][thirds][size 0]`.
    weights: Vec<[R; 2]>,
}

impl<R: Number> Waves<R> {
    pub(super) fn new(mesh: &Mesh<R>, source: &Source<'_>) -> Self {
        let factors: [Vec<f64>; 3] = [0, 1, 2].map(|d| {
            let n = mesh.size[d];
            let of = |m: usize| mesh.bell.shape.transform(signed(m, n) / n as f64).powi(-2);
            (0..n).map(of).collect()
        });
        let (n0, thirds) = (mesh.size[0], mesh.fft.thirds());
        let seconds: Vec<i64> = mesh.fft.seconds().collect();
        let (limit, volume) = (reach(source.alpha).powi(2), source.cell.volume());
        let lattice = reciprocal(source.cell);
        let mut weights = vec![[R::default(); 2]; seconds.len() * thirds * n0];
        let lines = weights.par_chunks_mut(n0).enumerate();
        lines.for_each(|(number, line)| {
            let (b, c) = (seconds[number / thirds], number % thirds);
            let of_line = factors[1][b.rem_euclid(mesh.size[1] as i64) as usize] * factors[2][c];
            for (a, weight) in line.iter_mut().enumerate() {
                let k = wave(&lattice, [signed(a, n0), b as f64, c as f64]);
                let k2 = dot(k, k);
                if k2 < limit && k2 > 0.0 {
                    let (g, h) = source.what.weights(k2, source.alpha, volume);
                    *weight = [g, h].map(|x| R::of(x * factors[0][a] * of_line));
                }
            }
        });
        Self {
            what: source.what,
            alpha: source.alpha,
            cell: source.cell.clone(),
            lattice,
            seconds,
            weights,
        }
    }

    pub(super) fn fits(&self, source: &Source<'_>) -> bool {
        (self.what, self.alpha) == (source.what, source.alpha) && self.cell == *source.cell
    }

    fn line(&self, second: usize, third: usize, thirds: usize, n0: usize) -> &[[R; 2]] {
        &self.weights[(second * thirds + third) * n0..][..n0]
    }

    /// Turns the transform of the mesh into that of the potential, G S, on the way back along the first
    /// direction, and `forward` before; gives the virial.
    pub(super) fn weigh(&self, fft: &mut Fft3<R>, forward: bool) -> [f64; 9] {
        let thirds = fft.thirds();
        let virials = fft.along_first(
            [forward, true],
            |second, third, line, sum: &mut [f64; 9]| {
                let n0 = line.len();
                // Σ |S|² of G, of H, and of H times the first multiple and its square: the vector grows
                // along the line by the same.
                let mut moments = [R::default(); 4];
                let weights = self.line(second, third, thirds, n0);
                for (a, (s, &[g, h])) in line.iter_mut().zip(weights).enumerate() {
                    let square = s.norm_sqr();
                    let (own, first) = (square * h, R::of(signed(a, n0)));
                    moments[0] += square * g;
                    moments[1] += own;
                    moments[2] += own * first;
                    moments[3] += own * first * first;
                    *s = *s * g;
                }
                // Opposite waves are not stored but for those with third multiple 0.
                let times = if third == 0 { 0.5 } else { 1.0 };
                let [g, h, along, twice] = moments.map(|m| times * m.wide());
                let k = wave(
                    &self.lattice,
                    [0.0, self.seconds[second] as f64, third as f64],
                );
                let step = self.lattice[0];
                for x in 0..9 {
                    let (a, b) = (x / 3, x % 3);
                    let diagonal = if x % 4 == 0 { g } else { 0.0 };
                    sum[x] += diagonal
                        - h * k[a] * k[b]
                        - along * (k[a] * step[b] + step[a] * k[b])
                        - twice * step[a] * step[b];
                }
            },
        );
        std::array::from_fn(|x| virials.iter().map(|w| w[x]).sum())
    }

    /// Turns the transform into that of H k⊗k S, one component of it, on the way back along the first
    /// direction.
    pub(super) fn weigh_tensor(&self, fft: &mut Fft3<R>, (x, y): (usize, usize)) {
        let thirds = fft.thirds();
        fft.along_first([false, true], |second, third, line, _: &mut ()| {
            let n0 = line.len();
            let weights = self.line(second, third, thirds, n0);
            for (a, (s, [_, h])) in line.iter_mut().zip(weights).enumerate() {
                let n = [signed(a, n0), self.seconds[second] as f64, third as f64];
                let k = wave(&self.lattice, n);
                let factor = *h * R::of(k[x] * k[y]);
                *s = Complex::new(s.re * factor, s.im * factor);
            }
        });
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
