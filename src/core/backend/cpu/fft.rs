//! Fourier transforms of real meshes in three dimensions, line by line on the threads.

use rayon::prelude::*;
use realfft::num_complex::Complex64;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::Fft;
use std::sync::Arc;

/// Lines that are copied together, so that whole cache lines are used.
const TOGETHER: usize = 8;

/// Transforms for one size of mesh.
pub(super) struct Fft3 {
    size: [usize; 3],
    rows: (Arc<dyn RealToComplex<f64>>, Arc<dyn ComplexToReal<f64>>),
    /// Forward and backward along the first two directions.
    lines: [[Arc<dyn Fft<f64>>; 2]; 2],
}

impl Fft3 {
    pub(super) fn new(size: [usize; 3]) -> Self {
        let mut real = RealFftPlanner::new();
        let mut complex = rustfft::FftPlanner::new();
        Self {
            size,
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

    /// Multiples 0, 1, ... of the third direction that a real mesh has.
    pub(super) fn half(&self) -> usize {
        self.size[2] / 2 + 1
    }

    /// Σ f exp(-2πi n·m/size). **Shapes**: `mesh` `[size 0][size 1][size 2]`, the result
    /// `[size 1][half][size 0]`.
    pub(super) fn forward(&self, mesh: &[f64]) -> Vec<Complex64> {
        let [n0, n1, n2] = self.size;
        let plane = n1 * self.half();
        let mut out = vec![Complex64::default(); n0 * plane];
        let rows = out.par_chunks_mut(self.half()).zip(mesh.par_chunks(n2));
        rows.for_each_init(
            || (self.rows.0.make_input_vec(), self.rows.0.make_scratch_vec()),
            |(input, scratch), (out, row)| {
                input.copy_from_slice(row);
                // Fails for wrong lengths only, which come from the plan.
                let _ = self.rows.0.process_with_scratch(input, out, scratch);
            },
        );
        self.planes(&mut out, 0);
        let mut lines = vec![Complex64::default(); out.len()];
        transpose(&out, &mut lines, n0, plane);
        self.along_first(&mut lines, 0);
        lines
    }

    /// The sum over all multiples of f exp(2πi n·m/size); `lines` is used up.
    pub(super) fn backward(&self, lines: &mut [Complex64], mesh: &mut [f64]) {
        let [n0, n1, n2] = self.size;
        let plane = n1 * self.half();
        self.along_first(lines, 1);
        let mut planes = vec![Complex64::default(); lines.len()];
        transpose(lines, &mut planes, plane, n0);
        self.planes(&mut planes, 1);
        let rows = planes
            .par_chunks_mut(self.half())
            .zip(mesh.par_chunks_mut(n2));
        rows.for_each_init(
            || self.rows.1.make_scratch_vec(),
            |scratch, (row, out)| {
                // What rounding leaves of the imaginary parts that must be zero.
                row[0].im = 0.0;
                if n2 % 2 == 0 {
                    row[n2 / 2].im = 0.0;
                }
                let _ = self.rows.1.process_with_scratch(row, out, scratch);
            },
        );
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
        let (plan, half, n1) = (&self.lines[1][way], self.half(), self.size[1]);
        let buffers = || {
            let zeros = |n| vec![Complex64::default(); n];
            (zeros(TOGETHER * n1), zeros(plan.get_inplace_scratch_len()))
        };
        mesh.par_chunks_mut(n1 * half)
            .for_each_init(buffers, |(lines, scratch), plane| {
                for start in (0..half).step_by(TOGETHER) {
                    let count = TOGETHER.min(half - start);
                    for (j, row) in plane.chunks_exact(half).enumerate() {
                        for c in 0..count {
                            lines[c * n1 + j] = row[start + c];
                        }
                    }
                    plan.process_with_scratch(&mut lines[..count * n1], scratch);
                    for (j, row) in plane.chunks_exact_mut(half).enumerate() {
                        for c in 0..count {
                            row[start + c] = lines[c * n1 + j];
                        }
                    }
                }
            });
    }
}

/// `to[c][r] = from[r][c]` of a matrix with so many rows and columns.
fn transpose(from: &[Complex64], to: &mut [Complex64], rows: usize, columns: usize) {
    let blocks = to.par_chunks_mut(TOGETHER * rows).enumerate();
    blocks.for_each(|(block, to)| {
        let start = block * TOGETHER;
        let count = to.len() / rows;
        for (r, row) in from.chunks_exact(columns).enumerate() {
            for c in 0..count {
                to[c * rows + r] = row[start + c];
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn transforms_are_sums_of_waves_and_come_back() {
        for size in [[4, 6, 5], [3, 5, 8]] {
            let n: usize = size.iter().product();
            let mesh: Vec<f64> = (0..n).map(|i| ((i * i + 3) % 17) as f64 - 8.0).collect();
            let fft = Fft3::new(size);
            let mut found = fft.forward(&mesh);
            for b in 0..size[1] {
                for c in 0..fft.half() {
                    for a in 0..size[0] {
                        let mut sum = Complex64::default();
                        for (i, &f) in mesh.iter().enumerate() {
                            let m = [i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]];
                            let turns: f64 = (0..3)
                                .map(|d| ([a, b, c][d] * m[d]) as f64 / size[d] as f64)
                                .sum();
                            sum += f * Complex64::cis(-TAU * turns);
                        }
                        let at = (b * fft.half() + c) * size[0] + a;
                        assert!((found[at] - sum).norm() < 1e-10);
                    }
                }
            }
            let mut back = vec![0.0; n];
            fft.backward(&mut found, &mut back);
            for (x, y) in mesh.iter().zip(back) {
                assert!((x * n as f64 - y).abs() < 1e-9);
            }
        }
    }
}
