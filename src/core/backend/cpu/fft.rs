//! Fourier transforms of real meshes in three dimensions, line by line on the threads.

use rayon::prelude::*;
use realfft::num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::Fft;
use std::sync::Arc;

/// Lines that are copied together, so that whole cache lines are used.
const TOGETHER: usize = 8;

/// Transforms for one size of mesh, and those multiples of its waves alone that are small enough.
pub(super) struct Fft3 {
    size: [usize; 3],
    /// Largest multiples that matter along the second and the third direction.
    most: [usize; 2],
    rows: (Arc<dyn RealToComplex<f64>>, Arc<dyn ComplexToReal<f64>>),
    /// Forward and backward along the first two directions.
    lines: [[Arc<dyn Fft<f64>>; 2]; 2],
}

impl Fft3 {
    /// The largest multiples are below half of the size.
    pub(super) fn new(size: [usize; 3], most: [usize; 2]) -> Self {
        let mut real = RealFftPlanner::new();
        let mut complex = rustfft::FftPlanner::new();
        Self {
            size,
            most,
            rows: (
                real.plan_fft_forward(size[2]),
                real.plan_fft_inverse(size[2]),
            ),
            lines: [0, 1].map(|d| {
                [
                    complex.plan_fft_forward(size[d]),
                    complex.plan_fft_inverse(size[d]),
                ]
            }),
        }
    }

    /// Multiples of the third direction, 0 and above, of which only a half is stored.
    pub(super) fn thirds(&self) -> usize {
        self.most[1] + 1
    }

    /// The multiples of the second direction, as they are stored.
    pub(super) fn seconds(&self) -> impl Iterator<Item = i64> + use<> {
        let most = self.most[0] as i64;
        (0..=most).chain(-most..0)
    }

    /// Σ f exp(-2πi n·m/size). **Shapes**: `mesh` `[size 0][size 1][size 2]`, the result
    /// `[seconds][thirds][size 0]`.
    pub(super) fn forward(&self, mesh: &[f64]) -> Vec<Complex64> {
        let [n0, n1, n2] = self.size;
        let mut planes = vec![Complex64::default(); n0 * n1 * self.thirds()];
        let rows = planes
            .par_chunks_mut(self.thirds())
            .zip(mesh.par_chunks(n2));
        rows.for_each_init(
            || {
                (
                    self.rows.0.make_input_vec(),
                    self.rows.0.make_output_vec(),
                    self.rows.0.make_scratch_vec(),
                )
            },
            |(input, output, scratch), (out, row)| {
                input.copy_from_slice(row);
                // Fails for wrong lengths only, and they come from the plan.
                let _ = self.rows.0.process_with_scratch(input, output, scratch);
                out.copy_from_slice(&output[..out.len()]);
            },
        );
        self.planes(&mut planes, 0);
        let mut lines = vec![Complex64::default(); self.seconds().count() * self.thirds() * n0];
        let starts: Vec<usize> = self.starts().collect();
        let blocks = lines.par_chunks_mut(self.thirds() * n0).zip(starts);
        blocks.for_each(|(to, start)| {
            for (r, row) in planes.chunks_exact(n1 * self.thirds()).enumerate() {
                for (c, x) in row[start..][..self.thirds()].iter().enumerate() {
                    to[c * n0 + r] = *x;
                }
            }
        });
        drop(planes);
        self.along_first(&mut lines, 0);
        lines
    }

    /// The sum over the stored multiples, and those opposite, of f exp(2πi n·m/size); `lines` is used up.
    pub(super) fn backward(&self, lines: &mut [Complex64], mesh: &mut [f64]) {
        let [n0, n1, n2] = self.size;
        self.along_first(lines, 1);
        let mut planes = vec![Complex64::default(); n0 * n1 * self.thirds()];
        let together = planes
            .par_chunks_mut(TOGETHER * n1 * self.thirds())
            .enumerate();
        together.for_each(|(block, planes)| {
            for (from, start) in lines.chunks_exact(self.thirds() * n0).zip(self.starts()) {
                for (c, line) in from.chunks_exact(n0).enumerate() {
                    let own = planes.chunks_exact_mut(n1 * self.thirds());
                    for (plane, x) in own.zip(&line[block * TOGETHER..]) {
                        plane[start + c] = *x;
                    }
                }
            }
        });
        self.planes(&mut planes, 1);
        let rows = planes
            .par_chunks(self.thirds())
            .zip(mesh.par_chunks_mut(n2));
        rows.for_each_init(
            || (self.rows.1.make_input_vec(), self.rows.1.make_scratch_vec()),
            |(input, scratch), (row, out)| {
                input.fill(Complex64::default());
                input[..row.len()].copy_from_slice(row);
                // What rounding leaves of an imaginary part that must be zero.
                input[0].im = 0.0;
                let _ = self.rows.1.process_with_scratch(input, out, scratch);
            },
        );
    }

    /// Where the stored multiples of the second direction begin in a plane.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let (n1, thirds) = (self.size[1] as i64, self.thirds());
        self.seconds()
            .map(move |b| b.rem_euclid(n1) as usize * thirds)
    }

    fn along_first(&self, lines: &mut [Complex64], way: usize) {
        let plan = &self.lines[0][way];
        let scratch = || vec![Complex64::default(); plan.get_inplace_scratch_len()];
        let chunks = lines.par_chunks_mut(self.size[0]);
        chunks.for_each_init(scratch, |scratch, line| {
            plan.process_with_scratch(line, scratch)
        });
    }

    /// Transforms along the second direction of a mesh whose first is outermost.
    fn planes(&self, mesh: &mut [Complex64], way: usize) {
        let (plan, thirds, n1) = (&self.lines[1][way], self.thirds(), self.size[1]);
        let buffers = || {
            let zeros = |n| vec![Complex64::default(); n];
            (zeros(TOGETHER * n1), zeros(plan.get_inplace_scratch_len()))
        };
        mesh.par_chunks_mut(n1 * thirds)
            .for_each_init(buffers, |(lines, scratch), plane| {
                for start in (0..thirds).step_by(TOGETHER) {
                    let count = TOGETHER.min(thirds - start);
                    for (j, row) in plane.chunks_exact(thirds).enumerate() {
                        for c in 0..count {
                            lines[c * n1 + j] = row[start + c];
                        }
                    }
                    plan.process_with_scratch(&mut lines[..count * n1], scratch);
                    for (j, row) in plane.chunks_exact_mut(thirds).enumerate() {
                        for c in 0..count {
                            row[start + c] = lines[c * n1 + j];
                        }
                    }
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn transforms_are_sums_of_waves_and_come_back() {
        for (size, most) in [([4, 6, 5], [2, 1]), ([3, 5, 8], [1, 3])] {
            let n: usize = size.iter().product();
            let point = |i: usize| [i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]];
            let wave = |n: [i64; 3], i: usize| {
                let turns = |d: usize| n[d] as f64 * point(i)[d] as f64 / size[d] as f64;
                Complex64::cis(TAU * (turns(0) + turns(1) + turns(2)))
            };
            let mesh: Vec<f64> = (0..n).map(|i| ((i * i + 3) % 17) as f64 - 8.0).collect();
            let fft = Fft3::new(size, most);
            let mut found = fft.forward(&mesh);
            // The same mesh of the waves that are kept.
            let mut kept = vec![0.0; n];
            for (row, b) in fft.seconds().enumerate() {
                for c in 0..fft.thirds() {
                    for a in 0..size[0] {
                        let k = [a as i64, b, c as i64];
                        let sum: Complex64 = (0..n).map(|i| mesh[i] * wave(k, i).conj()).sum();
                        let at = (row * fft.thirds() + c) * size[0] + a;
                        assert!((found[at] - sum).norm() < 1e-10);
                        let times = if c == 0 { 1.0 } else { 2.0 };
                        for (i, x) in kept.iter_mut().enumerate() {
                            *x += times * (sum * wave(k, i)).re;
                        }
                    }
                }
            }
            let mut back = vec![0.0; n];
            fft.backward(&mut found, &mut back);
            for (x, y) in kept.iter().zip(back) {
                assert!((x - y).abs() < 1e-9);
            }
        }
    }
}
