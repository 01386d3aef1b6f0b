//! The charges or C6 coefficients of a chunk's atoms: their interaction, and how it changes with everything.
//!
//! The long-range energy E(c, r) is a quadratic form of the strengths c, so that the potentials D = dE/dc are
//! linear in them. The network gives charges that do not add up to what they should; all are shifted by
//! the same, and what acts on them is D less its mean. Of √C6 it gives the logarithm over that of the free
//! atom, x: c = c0 exp(s x), and dE/dx = s c D.
//!
//! Along a direction of the atoms, the strengths change by ċ and S gets a E + Ė; its derivative with respect
//! to a strength is a D + Ḋ, where Ḋ is the change of the potential with both atoms and strengths. With respect
//! to x it is s c (a D + Ḋ) + s ċ D.

use super::chunk::Chunk;
use nepal::error::Result;
use nepal::model::{Electrostatics, Header};
use nepal::nep::long_range::{
    DISPERSION_SCALE, Interaction, dispersion_mean, reciprocal, root_c6, screened_pair,
    wave_vectors,
};
use nepal::system::cell::{Cell, dot, norm};
use nepal::system::{NeighborList, Structure};

/// Components of a virial.
const COMPONENTS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)];

/// Two atoms of a chunk that interact in real space.
struct Pair {
    own: u32,
    other: u32,
    /// Their interaction at unit charges, eV, and its slope, eV/Å; halves if the other is an image.
    phi: [f32; 2],
    unit: [f32; 3],
    r: f32,
}

/// A wave vector: multiples of the reciprocal rows, the vector (1/Å), and its weights.
struct Wave {
    n: [i32; 3],
    k: [f64; 3],
    weights: (f64, f64),
}

/// One structure.
struct Part {
    /// Slot of each atom.
    slots: Vec<u32>,
    positions: Vec<[f64; 3]>,
    cell: Cell,
    /// Total charge, e.
    total: f64,
    /// √C6 of the free atoms, √(eV Å⁶); empty for charges.
    free: Vec<f64>,
    waves: Vec<Wave>,
    pairs: Vec<Pair>,
}

/// What the charges or C6 coefficients of a chunk need to know of its atoms.
pub(crate) struct LongRange {
    what: Interaction,
    /// Factor of c² in the energy of an atom.
    own: f64,
    parts: Vec<Part>,
    /// Whether Born charges are wanted.
    pub born: bool,
}

/// What comes of a head's outputs, by slot: the strength (charges with the right sum), and how the energy
/// changes with the output.
#[derive(Default)]
pub(super) struct Field {
    pub strength: Vec<f64>,
    pub potential: Vec<f64>,
    /// How the energy changes with the strength.
    whole: Vec<f64>,
}

/// Takes the mean over some slots off the values there, and adds the same to each so that they sum to
/// `total`.
fn shift(slots: &[u32], values: &mut [f64], total: f64) {
    let sum: f64 = slots.iter().map(|&s| values[s as usize]).sum();
    let shift = (total - sum) / slots.len().max(1) as f64;
    slots.iter().for_each(|&s| values[s as usize] += shift);
}

impl Part {
    fn new(structure: &Structure, slots: Vec<usize>) -> Self {
        Self {
            slots: slots.into_iter().map(|s| s as u32).collect(),
            positions: structure.positions.clone(),
            cell: structure.cell.clone(),
            total: 0.0,
            free: Vec::new(),
            waves: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// **Errors**: as for neighbour lists.
    fn find_pairs(&mut self, alpha: f64, cutoff: f64, how: Electrostatics) -> Result<()> {
        let list = NeighborList::build(&self.cell, &self.positions, cutoff)?;
        for i in 0..self.positions.len() {
            for (j, vector) in list.vectors(i, &self.cell, &self.positions) {
                let r = norm(vector);
                if j < i || r >= cutoff {
                    continue;
                }
                let share = if i == j { 0.5 } else { 1.0 };
                let (phi, slope) = screened_pair(r, alpha, cutoff, how);
                self.pairs.push(Pair {
                    own: self.slots[i],
                    other: self.slots[j],
                    phi: [phi, slope].map(|x| (share * x) as f32),
                    unit: vector.map(|x| (x / r) as f32),
                    r: r as f32,
                });
            }
        }
        Ok(())
    }

    fn find_waves(&mut self, what: Interaction, alpha: f64) {
        let volume = self.cell.volume();
        let wave = |(n, k): ([i32; 3], [f64; 3])| Wave {
            n,
            k,
            weights: what.weights(dot(k, k), alpha, volume),
        };
        let all = wave_vectors(&self.cell, alpha).into_iter().map(wave);
        self.waves = all.collect();
    }

    /// Turns a head's outputs into strengths.
    fn strengthen(&self, values: &mut [f64]) {
        if self.free.is_empty() {
            return shift(&self.slots, values, self.total);
        }
        for (&slot, free) in self.slots.iter().zip(&self.free) {
            let x = &mut values[slot as usize];
            *x = free * (DISPERSION_SCALE * *x).exp();
        }
    }

    /// Turns derivatives with respect to strengths into those with respect to the outputs, or changes of outputs
    /// into those of strengths.
    fn chain(&self, strengths: &[f64], values: &mut [f64]) {
        if self.free.is_empty() {
            return shift(&self.slots, values, 0.0);
        }
        for &slot in &self.slots {
            values[slot as usize] *= DISPERSION_SCALE * strengths[slot as usize];
        }
    }

    /// Calls `visit` with each wave and the phases (cos, sin) of k·r of all atoms.
    fn each_wave(&self, mut visit: impl FnMut(&Wave, &[[f64; 2]])) {
        let rows = reciprocal(&self.cell);
        let most = |d: usize| {
            self.waves
                .iter()
                .map(|w| w.n[d].unsigned_abs())
                .max()
                .unwrap_or(0) as usize
        };
        // exp(i n b·r) by direction, n, atom.
        let powers: [Vec<Vec<[f64; 2]>>; 3] = std::array::from_fn(|d| {
            let first: Vec<[f64; 2]> = (self.positions.iter())
                .map(|&r| {
                    let (sin, cos) = dot(rows[d], r).sin_cos();
                    [cos, sin]
                })
                .collect();
            let mut all = vec![vec![[1.0, 0.0]; first.len()]];
            for n in 1..=most(d) {
                let next = all[n - 1].iter().zip(&first).map(|(a, b)| product(*a, *b));
                all.push(next.collect());
            }
            all
        });
        let mut phases = vec![[0.0; 2]; self.positions.len()];
        for wave in &self.waves {
            let [x, y, z]: [&[[f64; 2]]; 3] =
                std::array::from_fn(|d| powers[d][wave.n[d].unsigned_abs() as usize].as_slice());
            let [_, sy, sz] = wave.n.map(|n| if n < 0 { -1.0 } else { 1.0 });
            for (j, phase) in phases.iter_mut().enumerate() {
                let own = product(x[j], [y[j][0], sy * y[j][1]]);
                *phase = product(own, [z[j][0], sz * z[j][1]]);
            }
            visit(wave, &phases);
        }
    }
}

fn product([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a * c - b * d, a * d + b * c]
}

impl LongRange {
    /// The charges of the structures of a chunk, and their total charges (e).
    ///
    /// **Errors**: as for neighbour lists.
    pub fn charges(
        header: &Header,
        how: Electrostatics,
        chunk: &Chunk,
        parts: &[(&Structure, &[u32])],
        totals: &[f64],
        born: bool,
    ) -> Result<Self> {
        let what = Interaction::Charges;
        let alpha = header.screening();
        let mut all = Vec::with_capacity(parts.len());
        let slots = chunk.slots(parts);
        for (((structure, _), slots), &total) in parts.iter().zip(slots).zip(totals) {
            let mut part = Part::new(structure, slots);
            part.total = total;
            if how != Electrostatics::Reciprocal {
                part.find_pairs(alpha, header.pair_cutoff(0, 0)[0], how)?;
            }
            if how != Electrostatics::RealSpace {
                part.find_waves(what, alpha);
            }
            all.push(part);
        }
        Ok(Self {
            what,
            own: match how {
                Electrostatics::Full => what.own(alpha),
                _ => 0.0,
            },
            parts: all,
            born,
        })
    }

    /// The C6 coefficients of the structures of a chunk, with the term k = 0 and nothing of an atom with
    /// itself: what calculators do unless they are told otherwise.
    pub fn dispersion(header: &Header, chunk: &Chunk, parts: &[(&Structure, &[u32])]) -> Self {
        let what = Interaction::Dispersion;
        let alpha = header.screening();
        let slots = chunk.slots(parts);
        let all = parts.iter().zip(slots).map(|((structure, _), slots)| {
            let mut part = Part::new(structure, slots);
            part.free = structure.elements.iter().map(|&e| root_c6(e)).collect();
            part.find_waves(what, alpha);
            part.waves.push(Wave {
                n: [0; 3],
                k: [0.0; 3],
                weights: (dispersion_mean(alpha, part.cell.volume()), 0.0),
            });
            part
        });
        Self {
            what,
            own: what.own(alpha),
            parts: all.collect(),
            born: false,
        }
    }

    /// Adds energy, forces and virial to those of the structures, and leaves strengths and
    /// potentials in `field`, where the strengths are the outputs of the network before. Returns the sums of the
    /// charges as they were; nothing for C6.
    pub(super) fn evaluate(
        &self,
        field: &mut Field,
        energy: &mut [f64],
        force: &mut [[f64; 4]],
        virial: &mut [[f64; 6]],
    ) -> Vec<f64> {
        let n = field.strength.len();
        let mut sums = Vec::with_capacity(self.parts.len());
        field.whole.clear();
        field.whole.resize(n, 0.0);
        for (s, part) in self.parts.iter().enumerate() {
            if self.what == Interaction::Charges {
                sums.push(part.slots.iter().map(|&i| field.strength[i as usize]).sum());
            }
            part.strengthen(&mut field.strength);
            let own: Vec<f64> = part
                .slots
                .iter()
                .map(|&i| field.strength[i as usize])
                .collect();
            let (charge, potential) = (&field.strength, &mut field.whole);
            part.each_wave(|wave, phases| {
                let (mut re, mut im) = (0.0, 0.0);
                for (q, [cos, sin]) in own.iter().zip(phases) {
                    re += q * cos;
                    im -= q * sin;
                }
                let (g, h) = wave.weights;
                let square = re * re + im * im;
                energy[s] += g * square;
                for (v, (a, b)) in virial[s].iter_mut().zip(COMPONENTS) {
                    let diagonal = if a == b { g } else { 0.0 };
                    *v += square * (diagonal - h * wave.k[a] * wave.k[b]);
                }
                for ((&slot, q), [cos, sin]) in part.slots.iter().zip(&own).zip(phases) {
                    let (p, m) = (re * cos - im * sin, re * sin + im * cos);
                    potential[slot as usize] += 2.0 * g * p;
                    for a in 0..3 {
                        force[slot as usize][a] += 2.0 * q * g * wave.k[a] * m;
                    }
                }
            });
            for (&slot, q) in part.slots.iter().zip(&own) {
                energy[s] += self.own * q * q;
                potential[slot as usize] += 2.0 * self.own * q;
            }
            for pair in &part.pairs {
                let (i, j) = (pair.own as usize, pair.other as usize);
                let [phi, slope] = pair.phi.map(f64::from);
                let (unit, r) = (pair.unit.map(f64::from), f64::from(pair.r));
                let both = charge[i] * charge[j];
                energy[s] += both * phi;
                potential[i] += charge[j] * phi;
                potential[j] += charge[i] * phi;
                let f = unit.map(|u| both * slope * u);
                for a in 0..3 {
                    force[i][a] += f[a];
                    force[j][a] -= f[a];
                }
                for (v, (a, b)) in virial[s].iter_mut().zip(COMPONENTS) {
                    *v -= r * unit[a] * f[b];
                }
            }
        }
        field.potential.clone_from(&field.whole);
        for part in &self.parts {
            part.chain(&field.strength, &mut field.potential);
        }
        sums
    }

    /// Turns the rates of the outputs of the network along a direction, by slot, into the derivatives of S
    /// with respect to these outputs.
    pub(super) fn tangent(
        &self,
        field: &Field,
        rate: &mut [f64],
        energy_slope: &[f64],
        displacement: &[[f64; 4]],
        strain: &[[[f64; 3]; 3]],
    ) {
        let mut out = vec![0.0; rate.len()];
        for (s, part) in self.parts.iter().enumerate() {
            part.chain(&field.strength, rate);
            let strain = strain.get(s).copied().unwrap_or_default();
            let trace = strain[0][0] + strain[1][1] + strain[2][2];
            let along = |u: [f64; 3]| -> f64 {
                let ab = |c: usize| u[c / 3] * strain[c / 3][c % 3] * u[c % 3];
                (0..9).map(ab).sum()
            };
            let moved = |slot: u32, k: [f64; 3]| {
                let d = displacement[slot as usize];
                k[0] * d[0] + k[1] * d[1] + k[2] * d[2]
            };
            let own: Vec<[f64; 2]> = (part.slots.iter())
                .map(|&i| [field.strength[i as usize], rate[i as usize]])
                .collect();
            part.each_wave(|wave, phases| {
                let (mut re, mut im) = ([0.0; 2], [0.0; 2]);
                // k·r does not change with the strain.
                for ((&slot, [q, dq]), [cos, sin]) in part.slots.iter().zip(&own).zip(phases) {
                    let turn = q * moved(slot, wave.k);
                    re[0] += q * cos;
                    im[0] -= q * sin;
                    re[1] += dq * cos - turn * sin;
                    im[1] -= dq * sin + turn * cos;
                }
                let (g, h) = wave.weights;
                let dg = h * along(wave.k) - g * trace;
                for (&slot, [cos, sin]) in part.slots.iter().zip(phases) {
                    let (p, m) = (re[0] * cos - im[0] * sin, re[0] * sin + im[0] * cos);
                    let dp = re[1] * cos - im[1] * sin - moved(slot, wave.k) * m;
                    out[slot as usize] += 2.0 * (dg * p + g * dp);
                }
            });
            for pair in &part.pairs {
                let (i, j) = (pair.own as usize, pair.other as usize);
                let [phi, slope] = pair.phi.map(f64::from);
                let unit = pair.unit.map(f64::from);
                let stretch = moved(pair.other, unit) - moved(pair.own, unit)
                    + f64::from(pair.r) * along(unit);
                out[i] += rate[j] * phi + field.strength[j] * slope * stretch;
                out[j] += rate[i] * phi + field.strength[i] * slope * stretch;
            }
            for &slot in &part.slots {
                let i = slot as usize;
                out[i] += 2.0 * self.own * rate[i] + energy_slope[s] * field.whole[i];
            }
            part.chain(&field.strength, &mut out);
            if self.what == Interaction::Dispersion {
                for &slot in &part.slots {
                    let i = slot as usize;
                    out[i] += DISPERSION_SCALE * rate[i] * field.whole[i];
                }
            }
        }
        rate.copy_from_slice(&out);
    }

    /// Shifts values of the slots of each structure so that they have no mean.
    pub(super) fn center(&self, values: &mut [f64]) {
        for part in &self.parts {
            shift(&part.slots, values, 0.0);
        }
    }
}
