//! The sum over wave vectors on a mesh: its cost grows with the number of atoms.
//!
//! The wave vectors and their weights are those of the plain sum; only S(k) and the way back to the
//! atoms are interpolated, so that the width of the bell alone sets the error.

use super::fft::Fft3;
use super::long_range::{Field, Source};
use super::spreading::{Bell, OVERSAMPLING, WIDEST};
use super::waves::{PAIRS, Waves};
use crate::backend::System;
use crate::error::{Error, Result};
use crate::nep::long_range::{reach, reciprocal};
use crate::system::Cell;
use crate::system::cell::{dot, norm};
use rayon::prelude::*;
use realfft::num_complex::Complex64;
use std::f64::consts::TAU;

/// Errors that can be asked for.
const ERRORS: std::ops::RangeInclusive<f64> = 1e-11..=1e-2;
/// Planes of the mesh that a thread takes together, at least.
const PLANES: usize = 8;

/// A mesh of a size, with what does not change while the size stays.
pub(super) struct Mesh {
    pub(super) size: [usize; 3],
    most: [usize; 3],
    pub(super) bell: Bell,
    pub(super) fft: Fft3,
    points: Vec<f64>,
    waves: Option<Waves>,
}

/// An atom on the mesh: the first point of its bell along each direction, values and slopes.
struct Place {
    low: [usize; 3],
    value: [[f64; WIDEST]; 3],
    slope: [[f64; WIDEST]; 3],
}

/// The largest multiples of the reciprocal vectors.
fn most(cell: &Cell, alpha: f64) -> [usize; 3] {
    cell.vectors().map(|a| (alpha * norm(a)).floor() as usize)
}

/// Points along each direction that the shortest wave needs.
fn size(cell: &Cell, alpha: f64) -> [usize; 3] {
    let points = |most: usize| (OVERSAMPLING * (2 * most + 1) as f64).ceil() as usize;
    most(cell, alpha).map(|most| smooth(points(most)))
}

/// The next number without prime factors above 7, for which transforms are fast.
fn smooth(n: usize) -> usize {
    let is_smooth = |&n: &usize| {
        let rest = [2, 3, 5, 7].iter().fold(n, |mut n, p| {
            while n % p == 0 {
                n /= p;
            }
            n
        });
        rest == 1
    };
    (n.max(2)..).find(is_smooth).unwrap_or(n)
}

impl Mesh {
    /// Whether a mesh is faster than the plain sum.
    pub(super) fn pays(source: &Source<'_>, error: f64) -> bool {
        let atoms = source.atoms;
        let waves = reach(source.alpha).powi(3) * source.cell.volume() / (6.0 * TAU * TAU);
        let points: f64 = size(source.cell, source.alpha)
            .iter()
            .map(|&n| n as f64)
            .product();
        let bell = Bell::width_for(error).pow(3) as f64;
        // Nanoseconds a term, a point and a point of a bell.
        1.5 * atoms * waves > 40.0 * points + 3.0 * atoms * bell
    }

    /// The mesh for a cell and an error; `kept` if that fits.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an error that no mesh keeps to.
    pub(super) fn new(source: &Source<'_>, error: f64, kept: Option<Self>) -> Result<Self> {
        if !ERRORS.contains(&error) {
            return Err(Error::invalid(format!(
                "the error of the mesh is {error}; expected a part of the forces from {:e} to {:e}, or the plain sum",
                ERRORS.start(),
                ERRORS.end()
            )));
        }
        let (size, width) = (size(source.cell, source.alpha), Bell::width_for(error));
        let most = most(source.cell, source.alpha);
        if let Some(kept) =
            kept.filter(|kept| (kept.size, kept.most, kept.bell.width) == (size, most, width))
        {
            return Ok(kept);
        }
        let points = (size.iter().try_fold(1usize, |n, &m| n.checked_mul(m)))
            .filter(|&n| n < 1 << 33)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the cell {:?} calls for a mesh of {size:?} points; is it flat, or in other units than Å?",
                    source.cell.vectors()
                ))
            })?;
        Ok(Self {
            size,
            bell: Bell::new(width),
            fft: Fft3::new(size, [most[1], most[2]]),
            most,
            points: vec![0.0; points],
            waves: None,
        })
    }

    /// Adds energies, slopes, forces and virials. Each process has a mesh of its own for its atoms; what is
    /// summed is the transform.
    ///
    /// **Errors**: those of other processes.
    pub(super) fn add(&mut self, source: &Source<'_>, field: &mut Field) -> Result<()> {
        let lattice = reciprocal(source.cell).map(|row| row.map(|x| x / TAU));
        self.spread(source, &lattice);
        let spectrum = summed(self.fft.forward(&self.points), source.system)?;
        let kept = self.waves.take().filter(|waves| waves.fits(source));
        let waves = kept.unwrap_or_else(|| Waves::new(self, source));
        let mut tensors: Vec<Vec<Complex64>> = Vec::new();
        if !field.virials.is_empty() {
            tensors = (0..6).map(|_| spectrum.clone()).collect();
        }
        let mut potential = spectrum;
        let virial = waves.weigh(self, &mut potential, &mut tensors);
        self.waves = Some(waves);
        let share = source.system.share();
        (field.virial.iter_mut().zip(virial)).for_each(|(to, w)| *to += share * w);
        let mut points = std::mem::take(&mut self.points);
        self.fft.backward(&mut potential, &mut points);
        let (this, before) = (&*self, &points);
        let found: Vec<(f64, [f64; 3])> = (source.positions.par_iter())
            .map(|&r| this.potential_and_gradient(&this.place(r, &lattice), before))
            .collect();
        // What all forces have in common is error: the sum has no net force.
        let drift = [0, 1, 2].map(|d| {
            let pushed = found
                .iter()
                .zip(source.strengths)
                .map(|((_, g), c)| c * g[d]);
            pushed.sum::<f64>() / source.atoms
        });
        let drift = source.system.sum(drift.to_vec())?;
        field
            .rows()
            .zip(&found)
            .zip(source.strengths)
            .for_each(|((row, (phi, g)), c)| {
                *row.energy += 0.5 * c * phi;
                *row.slope += phi;
                for x in 0..3 {
                    let along: f64 = (0..3)
                        .map(|d| (c * g[d] - drift[d]) * self.size[d] as f64 * lattice[d][x])
                        .sum();
                    row.force[x] -= along;
                }
                if let Some(virial) = row.virial {
                    (0..3).for_each(|a| virial[4 * a] += 0.5 * c * phi);
                }
            });
        for (number, mut spectrum) in tensors.into_iter().enumerate() {
            self.fft.backward(&mut spectrum, &mut points);
            let (a, b) = PAIRS[number];
            let (this, points) = (&*self, &points);
            field
                .rows()
                .zip(source.positions)
                .zip(source.strengths)
                .for_each(|((row, &r), c)| {
                    if let Some(virial) = row.virial {
                        let (part, _) =
                            this.potential_and_gradient(&this.place(r, &lattice), points);
                        virial[3 * a + b] -= 0.5 * c * part;
                        if a != b {
                            virial[3 * b + a] -= 0.5 * c * part;
                        }
                    }
                });
        }
        self.points = points;
        Ok(())
    }

    fn place(&self, r: [f64; 3], lattice: &[[f64; 3]; 3]) -> Place {
        let mut place = Place {
            low: [0; 3],
            value: [[0.0; WIDEST]; 3],
            slope: [[0.0; WIDEST]; 3],
        };
        for d in 0..3 {
            let s = dot(lattice[d], r);
            let n = self.size[d];
            let (low, value, slope) = self.bell.at((s - s.floor()) * n as f64);
            place.low[d] = low.rem_euclid(n as i64) as usize;
            (place.value[d], place.slope[d]) = (value, slope);
        }
        place
    }

    /// Σ c times the bell, at all points. Each thread has planes of its own, and every point gets its
    /// atoms in the same order whatever the threads.
    fn spread(&mut self, source: &Source<'_>, lattice: &[[f64; 3]; 3]) {
        let [n0, n1, n2] = self.size;
        let mut points = std::mem::take(&mut self.points);
        let this = &*self;
        let width = this.bell.width;
        let mut of_plane = vec![Vec::new(); n0];
        for (i, &r) in source.positions.iter().enumerate() {
            let s = dot(lattice[0], r);
            let (low, ..) = this.bell.at((s - s.floor()) * n0 as f64);
            of_plane[low.rem_euclid(n0 as i64) as usize].push(i as u32);
        }
        let share = n0.div_ceil(2 * rayon::current_num_threads()).max(PLANES);
        let chunks = points.par_chunks_mut(share * n1 * n2).enumerate();
        chunks.for_each(|(chunk, points)| {
            points.fill(0.0);
            let own = chunk * share..chunk * share + points.len() / (n1 * n2);
            let reached = (own.len() + width - 1).min(n0);
            // From the first plane whose bells reach into the own ones.
            let start = own.start + (width - 1) / n0 * n0 + n0 - (width - 1) % n0;
            for plane in (0..reached).map(|p| (start + p) % n0) {
                for &i in &of_plane[plane] {
                    let place = this.place(source.positions[i as usize], lattice);
                    let c = source.strengths[i as usize];
                    for a in 0..width {
                        let plane = (place.low[0] + a) % n0;
                        if !own.contains(&plane) {
                            continue;
                        }
                        let c = c * place.value[0][a];
                        for b in 0..width {
                            let row = (plane - own.start) * n1 + (place.low[1] + b) % n1;
                            let row = &mut points[row * n2..][..n2];
                            let c = c * place.value[1][b];
                            let values = &place.value[2][..width];
                            match row.get_mut(place.low[2]..place.low[2] + width) {
                                Some(row) => {
                                    row.iter_mut().zip(values).for_each(|(p, v)| *p += c * v)
                                }
                                None => {
                                    for (j, v) in values.iter().enumerate() {
                                        row[(place.low[2] + j) % n2] += c * v;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        });
        self.points = points;
    }

    /// The mesh at a place, and its derivatives in points.
    fn potential_and_gradient(&self, place: &Place, points: &[f64]) -> (f64, [f64; 3]) {
        let [n0, n1, n2] = self.size;
        let width = self.bell.width;
        let (mut phi, mut gradient) = (0.0, [0.0; 3]);
        let (values, slopes) = (&place.value[2][..width], &place.slope[2][..width]);
        for a in 0..width {
            let plane = (place.low[0] + a) % n0;
            let mut of_plane = [0.0; 3];
            for b in 0..width {
                let row = plane * n1 + (place.low[1] + b) % n1;
                let row = &points[row * n2..][..n2];
                let (mut sum, mut along) = (0.0, 0.0);
                let mut add = |p: f64, j: usize| {
                    sum += p * values[j];
                    along += p * slopes[j];
                };
                match row.get(place.low[2]..place.low[2] + width) {
                    Some(row) => (0..width).for_each(|j| add(row[j], j)),
                    None => (0..width).for_each(|j| add(row[(place.low[2] + j) % n2], j)),
                }
                of_plane[0] += place.value[1][b] * sum;
                of_plane[1] += place.slope[1][b] * sum;
                of_plane[2] += place.value[1][b] * along;
            }
            phi += place.value[0][a] * of_plane[0];
            gradient[0] += place.slope[0][a] * of_plane[0];
            gradient[1] += place.value[0][a] * of_plane[1];
            gradient[2] += place.value[0][a] * of_plane[2];
        }
        (phi, gradient)
    }
}

/// The transforms of all processes' meshes, added up.
fn summed(spectrum: Vec<Complex64>, system: &System<'_>) -> Result<Vec<Complex64>> {
    if system.whole.is_none_or(|w| w.peers.count() == 1) {
        return Ok(spectrum);
    }
    let numbers = spectrum.iter().flat_map(|z| [z.re, z.im]).collect();
    let sums = system.sum(numbers)?;
    let pairs = sums.chunks_exact(2);
    Ok(pairs.map(|z| Complex64::new(z[0], z[1])).collect())
}
