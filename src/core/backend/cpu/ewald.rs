//! The sum over wave vectors term by term.
//!
//! exp(i k·r) is the product of three powers; wave vectors that differ in the third alone are a row,
//! along which sums are products of vectors. The cost grows with the square of the number of atoms.

use super::long_range::{Field, Source};
use crate::error::Result;
use crate::nep::long_range::{reciprocal, wave_vectors};
use crate::simd::compiled_for;
use crate::system::cell::dot;
use rayon::prelude::*;

/// Atoms that a thread takes together.
const CHUNK: usize = 64;

/// Real and imaginary parts, side by side for vectors.
#[derive(Clone, Default)]
struct Complex {
    re: Vec<f64>,
    im: Vec<f64>,
}

impl Complex {
    fn zeros(n: usize) -> Self {
        Self {
            re: vec![0.0; n],
            im: vec![0.0; n],
        }
    }
}

/// Wave vectors of the same multiples of the first two reciprocal vectors.
struct Row {
    first: [i32; 2],
    /// The first multiple of the third.
    third: i32,
    start: usize,
    len: usize,
}

/// The wave vectors of a cell.
pub(super) struct Ewald {
    /// 2π times the reciprocal vectors, 1/Å.
    lattice: [[f64; 3]; 3],
    rows: Vec<Row>,
    /// Multiples of the reciprocal vectors, weights G and H.
    multiples: Vec<[i32; 3]>,
    vectors: Vec<[f64; 3]>,
    g: Vec<f64>,
    h: Vec<f64>,
    most: [i32; 3],
}

impl Ewald {
    pub(super) fn new(source: &Source<'_>) -> Self {
        let waves = wave_vectors(source.cell, source.alpha);
        let (multiples, vectors): (Vec<[i32; 3]>, Vec<[f64; 3]>) = waves.into_iter().unzip();
        let volume = source.cell.volume();
        let weights = vectors
            .iter()
            .map(|&k| source.what.weights(dot(k, k), source.alpha, volume));
        let (g, h) = weights.unzip();
        let mut rows: Vec<Row> = Vec::new();
        for (at, n) in multiples.iter().enumerate() {
            match rows.last_mut() {
                Some(row) if row.first == n[..2] => row.len += 1,
                _ => rows.push(Row {
                    first: [n[0], n[1]],
                    third: n[2],
                    start: at,
                    len: 1,
                }),
            }
        }
        let most = |d: usize| multiples.iter().map(|n| n[d].abs()).max().unwrap_or(0);
        Self {
            lattice: reciprocal(source.cell),
            rows,
            most: [0, 1, 2].map(most),
            multiples,
            vectors,
            g,
            h,
        }
    }

    /// Adds energies, slopes, forces and virials.
    ///
    /// **Errors**: those of other processes.
    pub(super) fn add(
        &self,
        arch: pulp::Arch,
        source: &Source<'_>,
        field: &mut Field,
    ) -> Result<()> {
        let Complex { mut re, im } = self.structure_factor(arch, source);
        re.extend(im);
        let mut re = source.system.sum(re)?;
        let im = re.split_off(self.g.len());
        let (factor, share) = (Complex { re, im }, source.system.share());
        let (n, g, h) = (self.g.len(), &self.g, &self.h);
        for k in 0..n {
            let square = share * (factor.re[k] * factor.re[k] + factor.im[k] * factor.im[k]);
            for a in 0..3 {
                field.virial[4 * a] += g[k] * square;
                for b in 0..3 {
                    field.virial[3 * a + b] -=
                        h[k] * square * self.vectors[k][a] * self.vectors[k][b];
                }
            }
        }
        // S times a weight and a power of the third multiple.
        let times = |weights: &[f64], power: i32| {
            let weight = |k: usize| weights[k] * f64::from(self.multiples[k][2]).powi(power);
            Complex {
                re: (0..n).map(|k| weight(k) * factor.re[k]).collect(),
                im: (0..n).map(|k| weight(k) * factor.im[k]).collect(),
            }
        };
        let first = [times(g, 0), times(g, 1)];
        let second: Vec<Complex> = match field.virials.is_empty() {
            true => Vec::new(),
            false => (0..3).map(|power| times(h, power)).collect(),
        };
        field
            .rows()
            .enumerate()
            .with_min_len(CHUNK / 4)
            .for_each_init(
                || [0, 1, 2].map(|d| Complex::zeros(2 * self.most[d] as usize + 1)),
                |powers, (i, row)| {
                    compiled_for!(arch, {
                        let c = source.strengths[i];
                        self.powers(source.positions[i], powers);
                        let (mut potential, mut gradient, mut tensor) = (0.0, [0.0; 3], [0.0; 9]);
                        for line in &self.rows {
                            let (z, n) = self.first(line, powers);
                            let [a, b] =
                                [0, 1].map(|power| self.sum(line, z, &powers[2], &first[power]));
                            potential += a[0];
                            for x in 0..3 {
                                gradient[x] += n[x] * a[1] + self.lattice[2][x] * b[1];
                            }
                            if !second.is_empty() {
                                let p =
                                    [0, 1, 2].map(|m| self.sum(line, z, &powers[2], &second[m])[0]);
                                let e = self.lattice[2];
                                for x in 0..3 {
                                    for y in 0..3 {
                                        tensor[3 * x + y] += n[x] * n[y] * p[0]
                                            + (n[x] * e[y] + e[x] * n[y]) * p[1]
                                            + e[x] * e[y] * p[2];
                                    }
                                }
                            }
                        }
                        *row.energy += c * potential;
                        *row.slope += 2.0 * potential;
                        for x in 0..3 {
                            row.force[x] += 2.0 * c * gradient[x];
                        }
                        if let Some(virial) = row.virial {
                            for x in 0..9 {
                                let diagonal = if x % 4 == 0 { potential } else { 0.0 };
                                virial[x] += c * (diagonal - tensor[x]);
                            }
                        }
                    });
                },
            );
        Ok(())
    }

    /// S(k) = Σ c exp(-i k·r), summed in the order of the atoms.
    fn structure_factor(&self, arch: pulp::Arch, source: &Source<'_>) -> Complex {
        let n = self.g.len();
        let atoms = source.positions.len();
        let parts = atoms
            .div_ceil(CHUNK)
            .min(4 * rayon::current_num_threads())
            .max(1);
        let share = atoms.div_ceil(parts).max(1);
        let chunks = source
            .positions
            .par_chunks(share)
            .zip(source.strengths.par_chunks(share));
        let sums: Vec<Complex> = chunks
            .map(|(positions, strengths)| {
                let mut sum = Complex::zeros(n);
                let mut powers = [0, 1, 2].map(|d| Complex::zeros(2 * self.most[d] as usize + 1));
                compiled_for!(arch, {
                    for (&r, &c) in positions.iter().zip(strengths) {
                        self.powers(r, &mut powers);
                        for line in &self.rows {
                            let ([re, im], _) = self.first(line, &powers);
                            let (re, im) = (c * re, c * im);
                            let from = (line.third + self.most[2]) as usize;
                            let (tr, ti) = (
                                &powers[2].re[from..][..line.len],
                                &powers[2].im[from..][..line.len],
                            );
                            let sr = &mut sum.re[line.start..][..line.len];
                            let si = &mut sum.im[line.start..][..line.len];
                            for k in 0..line.len {
                                sr[k] += re * tr[k] - im * ti[k];
                                si[k] -= re * ti[k] + im * tr[k];
                            }
                        }
                    }
                });
                sum
            })
            .collect();
        let mut total = Complex::zeros(n);
        for sum in sums {
            for k in 0..n {
                total.re[k] += sum.re[k];
                total.im[k] += sum.im[k];
            }
        }
        total
    }

    /// exp(i n 2π s_d) for all multiples n of each direction.
    #[inline(always)]
    fn powers(&self, r: [f64; 3], powers: &mut [Complex; 3]) {
        for (d, power) in powers.iter_mut().enumerate() {
            let (sin, cos) = dot(self.lattice[d], r).sin_cos();
            let zero = self.most[d] as usize;
            let (mut re, mut im) = (1.0, 0.0);
            for m in 0..=zero {
                (power.re[zero + m], power.im[zero + m]) = (re, im);
                (power.re[zero - m], power.im[zero - m]) = (re, -im);
                (re, im) = (re * cos - im * sin, re * sin + im * cos);
            }
        }
    }

    /// The first two factors of a row's exponentials, and its wave vector without the third part.
    #[inline(always)]
    fn first(&self, row: &Row, powers: &[Complex; 3]) -> ([f64; 2], [f64; 3]) {
        let [a, b] = [0, 1].map(|d| {
            let at = (row.first[d] + self.most[d]) as usize;
            (powers[d].re[at], powers[d].im[at])
        });
        let n = row.first.map(f64::from);
        let k = std::array::from_fn(|x| n[0] * self.lattice[0][x] + n[1] * self.lattice[1][x]);
        ([a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0], k)
    }

    /// z Σ_k s_k t_k along a row.
    #[inline(always)]
    fn sum(&self, row: &Row, z: [f64; 2], third: &Complex, s: &Complex) -> [f64; 2] {
        let from = (row.third + self.most[2]) as usize;
        let (tr, ti) = (&third.re[from..][..row.len], &third.im[from..][..row.len]);
        let (sr, si) = (&s.re[row.start..][..row.len], &s.im[row.start..][..row.len]);
        let re = product(sr, tr) - product(si, ti);
        let im = product(sr, ti) + product(si, tr);
        [z[0] * re - z[1] * im, z[0] * im + z[1] * re]
    }
}

/// Σ a b in eight sums, which become vectors.
#[inline(always)]
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (whole, rest) = (a.chunks_exact(8).zip(b.chunks_exact(8)), a.len() / 8 * 8);
    for (a, b) in whole {
        for i in 0..8 {
            lanes[i] += a[i] * b[i];
        }
    }
    let mut sum: f64 = lanes.iter().sum();
    for i in rest..a.len() {
        sum += a[i] * b[i];
    }
    sum
}
