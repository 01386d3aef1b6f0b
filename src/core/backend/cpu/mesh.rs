//! The sum over wave vectors on a mesh: its cost grows with the number of atoms.
//!
//! The wave vectors and their weights are those of the plain sum; only S(k) and the way back to the
//! atoms are interpolated, so that the width of the bell alone sets the error.

use super::carry::Filled;
use super::fft::Fft3;
use super::long_range::{Field, Source};
use super::spreading::{Bell, Number};
use super::waves::{PAIRS, Waves};
use crate::backend::System;
use crate::error::Result;
use crate::nep::bell::Grid;
use crate::nep::long_range::reciprocal;
use rayon::prelude::*;
use realfft::num_complex::Complex;
use std::f64::consts::TAU;

/// A mesh of a size, with what does not change while the size stays.
pub(super) struct Mesh<R: Number> {
    pub(super) arch: pulp::Arch,
    pub(super) size: [usize; 3],
    /// Length of a row of points: it is longer than the mesh by vectors that hold a bell, so that no bell has to be
    /// cut at the end of a row.
    pub(super) stride: usize,
    grid: Grid,
    pub(super) bell: Bell<R>,
    pub(super) fft: Fft3<R>,
    /// Shape `[size 0][size 1][stride]`.
    points: Vec<R>,
    waves: Option<Waves<R>>,
    /// Atoms by the first plane of their bells, and where those of each plane begin.
    pub(super) order: Vec<u32>,
    pub(super) starts: Vec<usize>,
    pub(super) found: Vec<[f64; 4]>,
}

impl<R: Number> Mesh<R> {
    /// The mesh for a cell and an error; `kept` if that fits.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an error that no mesh keeps to.
    pub(super) fn new(
        arch: pulp::Arch,
        source: &Source<'_>,
        error: f64,
        kept: Option<Self>,
    ) -> Result<Self> {
        let grid = Grid::new(source.cell, source.alpha, error, source.atoms)?;
        if let Some(kept) = kept.filter(|kept| kept.grid == grid) {
            return Ok(kept);
        }
        let Grid {
            size,
            most,
            fineness,
        } = grid;
        let stride = size[2] + arch.dispatch(Filled::<R>::of(fineness.width));
        let points = size[0] * size[1] * stride;
        Ok(Self {
            arch,
            size,
            stride,
            grid,
            bell: Bell::new(fineness),
            fft: Fft3::new(size, [most[1], most[2]]),
            points: vec![R::default(); points],
            waves: None,
            order: Vec::new(),
            starts: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Adds energies, slopes, forces and virials. Each process has a mesh of its own for its atoms; what is
    /// summed is the transform.
    ///
    /// **Errors**: those of other processes.
    pub(super) fn add(&mut self, source: &Source<'_>, field: &mut Field) -> Result<()> {
        let lattice = reciprocal(source.cell).map(|row| row.map(|x| x / TAU));
        let stride = self.stride;
        let mut points = std::mem::take(&mut self.points);
        self.spread(source, &lattice, &mut points);
        self.fft.waves_of(&mut points, stride);
        let kept = self.waves.take().filter(|waves| waves.fits(source));
        let waves = kept.unwrap_or_else(|| Waves::new(self, source));
        let alone = source.system.whole.is_none_or(|w| w.peers.count() == 1);
        let at_once = alone && field.virials.is_empty();
        let mut tensors = Vec::new();
        if !at_once {
            (self.fft).along_first([true, false], |_, _, _, _: &mut ()| ());
            if !alone {
                sum_up(self.fft.spectrum(), source.system)?;
            }
            if !field.virials.is_empty() {
                tensors = self.fft.spectrum().to_vec();
            }
        }
        let virial = waves.weigh(&mut self.fft, at_once);
        let share = source.system.share();
        (field.virial.iter_mut().zip(virial)).for_each(|(to, w)| *to += share * w);
        self.fft.mesh_from(&mut points, stride);
        self.interpolate(source, &lattice, &points);
        // What all forces have in common is error: the sum has no net force.
        let drift = [0, 1, 2].map(|d| {
            let pushed = (self.found.iter().zip(source.strengths)).map(|(row, c)| c * row[1 + d]);
            pushed.sum::<f64>() / source.atoms
        });
        let drift = source.system.sum(drift.to_vec())?;
        let steps: [[f64; 3]; 3] = [0, 1, 2].map(|d| lattice[d].map(|x| x * self.size[d] as f64));
        (field.rows().zip(&self.found).zip(source.strengths)).for_each(|((row, found), c)| {
            let [phi, gradient @ ..] = found;
            *row.energy += 0.5 * c * phi;
            *row.slope += phi;
            for d in 0..3 {
                let along = c * gradient[d] - drift[d];
                for x in 0..3 {
                    row.force[x] -= along * steps[d][x];
                }
            }
            if let Some(virial) = row.virial {
                (0..3).for_each(|a| virial[4 * a] += 0.5 * c * phi);
            }
        });
        for (a, b) in PAIRS {
            if field.virials.is_empty() {
                break;
            }
            self.fft.spectrum().copy_from_slice(&tensors);
            waves.weigh_tensor(&mut self.fft, (a, b));
            self.fft.mesh_from(&mut points, stride);
            self.interpolate(source, &lattice, &points);
            let rows = field.virials.par_iter_mut().zip(&self.found);
            rows.zip(source.strengths)
                .for_each(|((virial, [part, ..]), c)| {
                    virial[3 * a + b] -= 0.5 * c * part;
                    if a != b {
                        virial[3 * b + a] -= 0.5 * c * part;
                    }
                });
        }
        (self.waves, self.points) = (Some(waves), points);
        Ok(())
    }
}

/// The transforms of all processes' meshes, added up.
fn sum_up<R: Number>(spectrum: &mut [Complex<R>], system: &System<'_>) -> Result<()> {
    let numbers = spectrum.iter().flat_map(|z| [z.re.wide(), z.im.wide()]);
    let sums = system.sum(numbers.collect())?;
    for (z, sum) in spectrum.iter_mut().zip(sums.chunks_exact(2)) {
        *z = Complex::new(R::of(sum[0]), R::of(sum[1]));
    }
    Ok(())
}
