//! Fourier transforms of real meshes in three dimensions, plane by plane on the threads.

use super::spreading::Number;
use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::Fft;
use std::sync::Arc;

/// Lines that are copied together, so that whole cache lines are used.
const TOGETHER: usize = 8;

/// Transforms for one size of mesh, and those multiples of its waves alone that are small enough.
pub(super) struct Fft3<R: Number> {
    size: [usize; 3],
    /// Largest multiples that matter along the second and the third direction.
    most: [usize; 2],
    rows: (Arc<dyn RealToComplex<R>>, Arc<dyn ComplexToReal<R>>),
    /// Forward and backward along the first two directions.
    lines: [[Arc<dyn Fft<R>>; 2]; 2],
    /// Shape `[seconds][size 0][thirds]`.
    spectrum: Vec<Complex<R>>,
}

/// What a thread needs to transform along the columns of a matrix.
struct Columns<R: Number> {
    lines: Vec<Complex<R>>,
    scratch: Vec<Complex<R>>,
}

impl<R: Number> Columns<R> {
    fn new(plans: &[Arc<dyn Fft<R>>; 2]) -> Self {
        let longest = plans.iter().map(|plan| plan.get_inplace_scratch_len());
        Self {
            lines: zeros(TOGETHER * plans[0].len()),
            scratch: zeros(longest.max().unwrap_or(0)),
        }
    }

    /// Transforms the first `count` columns of a matrix with rows of `stride`; `between` two ways it
    /// gets each column by number.
    fn transform(
        &mut self,
        matrix: &mut [Complex<R>],
        (stride, count): (usize, usize),
        ways: [Option<&Arc<dyn Fft<R>>>; 2],
        mut between: impl FnMut(usize, &mut [Complex<R>]),
    ) {
        let n = matrix.len() / stride;
        for start in (0..count).step_by(TOGETHER) {
            let some = TOGETHER.min(count - start);
            let lines = &mut self.lines[..some * n];
            for (j, row) in matrix.chunks_exact(stride).enumerate() {
                for (c, x) in row[start..start + some].iter().enumerate() {
                    lines[c * n + j] = *x;
                }
            }
            for (number, way) in ways.into_iter().enumerate() {
                if let Some(plan) = way {
                    plan.process_with_scratch(lines, &mut self.scratch);
                }
                if number == 0 {
                    let each = lines.chunks_exact_mut(n).enumerate();
                    each.for_each(|(c, line)| between(start + c, line));
                }
            }
            for (j, row) in matrix.chunks_exact_mut(stride).enumerate() {
                for (c, x) in row[start..start + some].iter_mut().enumerate() {
                    *x = lines[c * n + j];
                }
            }
        }
    }
}

impl<R: Number> Fft3<R> {
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
            spectrum: zeros((2 * most[0] + 1) * size[0] * (most[1] + 1)),
        }
    }

    /// Multiples of the third direction, 0 and above, of which only a half is stored.
    pub(super) fn thirds(&self) -> usize {
        self.most[1] + 1
    }

    /// The multiples of the second direction, as they are stored.
    pub(super) fn seconds(&self) -> impl Iterator<Item = i64> + use<R> {
        let most = self.most[0] as i64;
        (0..=most).chain(-most..0)
    }

    /// What [`Self::waves_of`] left. Shape `[seconds][size 0][thirds]`.
    pub(super) fn spectrum(&mut self) -> &mut [Complex<R>] {
        &mut self.spectrum
    }

    /// Σ f exp(-2πi n·m/size) along the second and third direction. The rows of the mesh have a
    /// length of `stride`, and it is used up.
    pub(super) fn waves_of(&mut self, mesh: &mut [R], stride: usize) {
        let ([_, n1, n2], half, thirds) = (self.size, self.half(), self.thirds());
        let mut spectrum = std::mem::take(&mut self.spectrum);
        let planes = mesh
            .par_chunks_mut(n1 * stride)
            .zip(self.by_plane(&mut spectrum));
        planes.for_each_init(
            || {
                (
                    zeros(n1 * half),
                    self.rows.0.make_scratch_vec(),
                    Columns::new(&self.lines[1]),
                )
            },
            |(plane, scratch, columns), (mesh, out)| {
                let rows = mesh.chunks_exact_mut(stride);
                for (row, out) in rows.zip(plane.chunks_exact_mut(half)) {
                    // Fails for wrong lengths only, and they come from the plan.
                    let _ = (self.rows.0).process_with_scratch(&mut row[..n2], out, scratch);
                }
                let ways = [Some(&self.lines[1][0]), None];
                columns.transform(plane, (half, thirds), ways, |_, _| ());
                for (out, row) in out.into_iter().zip(self.places()) {
                    out.copy_from_slice(&plane[row * half..][..thirds]);
                }
            },
        );
        self.spectrum = spectrum;
    }

    /// Transforms along the first direction, forward and back as asked, with a function of the number of
    /// the second multiple, the third multiple and a line in between; gives the sum of what that gives for
    /// each second multiple.
    pub(super) fn along_first<A: Send + Default>(
        &mut self,
        [forward, back]: [bool; 2],
        between: impl Fn(usize, usize, &mut [Complex<R>], &mut A) + Sync,
    ) -> Vec<A> {
        let (n0, thirds) = (self.size[0], self.thirds());
        let [there, here] = &self.lines[0];
        let ways = [forward.then_some(there), back.then_some(here)];
        let blocks = self.spectrum.par_chunks_mut(n0 * thirds).enumerate();
        let sums = blocks.map_init(
            || Columns::new(&self.lines[0]),
            |columns, (second, block)| {
                let mut sum = A::default();
                columns.transform(block, (thirds, thirds), ways, |third, line| {
                    between(second, third, line, &mut sum);
                });
                sum
            },
        );
        sums.collect()
    }

    /// The way back of [`Self::waves_of`]: the sum over the stored multiples, and those opposite. What
    /// follows the mesh in a row repeats its beginning.
    pub(super) fn mesh_from(&mut self, mesh: &mut [R], stride: usize) {
        let ([_, n1, n2], half, thirds) = (self.size, self.half(), self.thirds());
        let mut spectrum = std::mem::take(&mut self.spectrum);
        let planes = mesh
            .par_chunks_mut(n1 * stride)
            .zip(self.by_plane(&mut spectrum));
        planes.for_each_init(
            || {
                (
                    zeros(n1 * half),
                    self.rows.1.make_scratch_vec(),
                    Columns::new(&self.lines[1]),
                )
            },
            |(plane, scratch, columns), (mesh, from)| {
                plane.fill(Complex::default());
                for (from, row) in from.into_iter().zip(self.places()) {
                    plane[row * half..][..thirds].copy_from_slice(from);
                }
                let ways = [None, Some(&self.lines[1][1])];
                columns.transform(plane, (half, thirds), ways, |_, _| ());
                let rows = mesh.chunks_exact_mut(stride);
                for (out, row) in rows.zip(plane.chunks_exact_mut(half)) {
                    // What rounding leaves of an imaginary part that must be zero.
                    row[0].im = R::default();
                    let _ = (self.rows.1).process_with_scratch(row, &mut out[..n2], scratch);
                    for j in n2..stride {
                        out[j] = out[j - n2];
                    }
                }
            },
        );
        self.spectrum = spectrum;
    }

    /// Multiples that a row of the mesh has in its transform.
    fn half(&self) -> usize {
        self.size[2] / 2 + 1
    }

    /// Where the stored multiples of the second direction are in a plane.
    fn places(&self) -> impl Iterator<Item = usize> {
        let n1 = self.size[1] as i64;
        self.seconds().map(move |b| b.rem_euclid(n1) as usize)
    }

    /// The rows of the spectrum that belong to each plane of the mesh.
    fn by_plane<'a>(&self, spectrum: &'a mut [Complex<R>]) -> Vec<Vec<&'a mut [Complex<R>]>> {
        let (n0, thirds) = (self.size[0], self.thirds());
        let count = 2 * self.most[0] + 1;
        let mut planes: Vec<_> = (0..n0).map(|_| Vec::with_capacity(count)).collect();
        for block in spectrum.chunks_exact_mut(n0 * thirds) {
            for (plane, row) in planes.iter_mut().zip(block.chunks_exact_mut(thirds)) {
                plane.push(row);
            }
        }
        planes
    }
}

fn zeros<R: Number>(n: usize) -> Vec<Complex<R>> {
    vec![Complex::default(); n]
}

#[cfg(test)]
mod tests {
    use super::*;
    use realfft::num_complex::Complex64;
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
            let mut fft = Fft3::new(size, most);
            // Rows that go on as they begin.
            let stride = size[2] + 2;
            let mut padded = vec![0.0; size[0] * size[1] * stride];
            for (to, from) in (padded.chunks_mut(stride)).zip(mesh.chunks(size[2])) {
                to[..size[2]].copy_from_slice(from);
            }
            fft.waves_of(&mut padded, stride);
            fft.along_first([true, false], |_, _, _, _: &mut ()| ());
            let found = fft.spectrum().to_vec();
            // The same mesh of the waves that are kept.
            let mut kept = vec![0.0; n];
            for (row, b) in fft.seconds().enumerate() {
                for c in 0..fft.thirds() {
                    for a in 0..size[0] {
                        let k = [a as i64, b, c as i64];
                        let sum: Complex64 = (0..n).map(|i| mesh[i] * wave(k, i).conj()).sum();
                        let at = (row * size[0] + a) * fft.thirds() + c;
                        assert!((found[at] - sum).norm() < 1e-10);
                        let times = if c == 0 { 1.0 } else { 2.0 };
                        for (i, x) in kept.iter_mut().enumerate() {
                            *x += times * (sum * wave(k, i)).re;
                        }
                    }
                }
            }
            fft.along_first([false, true], |_, _, _, _: &mut ()| ());
            fft.mesh_from(&mut padded, stride);
            for (row, expected) in padded.chunks(stride).zip(kept.chunks(size[2])) {
                for (j, x) in row.iter().enumerate() {
                    assert!((x - expected[j % size[2]]).abs() < 1e-9);
                }
            }
        }
    }
}
