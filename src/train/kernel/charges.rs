//! The charges of a chunk's atoms: their interaction, and how it changes with everything.
//!
//! The long-range energy E(Q, r) is a quadratic form of the charges, so that the potentials D = dE/dQ are
//! linear in them. The network gives charges that do not add up to what they should; all are shifted by
//! the same, and what acts on them is D less its mean.
//!
//! Along a direction of the atoms, the charges change by q̇ and S gets a E + Ė; its derivative with respect
//! to a charge is a D + Ḋ, where Ḋ is the change of the potential with both atoms and charges.

use super::chunk::Chunk;
use nepal::error::Result;
use nepal::model::{Electrostatics, Header};
use nepal::nep::long_range::{Interaction, reciprocal, screened_pair, wave_vectors};
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
    waves: Vec<Wave>,
    pairs: Vec<Pair>,
}

/// What the charges of a chunk need to know of its atoms.
pub(crate) struct Charged {
    /// Factor of Q² in the energy of an atom.
    own: f64,
    parts: Vec<Part>,
    /// Whether Born charges are wanted.
    pub born: bool,
}

/// What comes of charges: by slot the charge with the right sum and the potential less its mean.
#[derive(Default)]
pub(super) struct Field {
    pub charge: Vec<f64>,
    pub potential: Vec<f64>,
    /// The potential as it is.
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

impl Charged {
    /// For the structures of a chunk and their total charges (e).
    ///
    /// **Errors**: as for neighbour lists.
    pub fn new(
        header: &Header,
        how: Electrostatics,
        chunk: &Chunk,
        parts: &[(&Structure, &[u32])],
        totals: &[f64],
        born: bool,
    ) -> Result<Self> {
        let alpha = header.screening();
        let cutoff = header.pair_cutoff(0, 0)[0];
        let what = Interaction::Charges;
        let mut all = Vec::with_capacity(parts.len());
        let slots = chunk.slots(parts);
        for (((structure, _), slots), &total) in parts.iter().zip(slots).zip(totals) {
            let cell = structure.cell.clone();
            let mut pairs = Vec::new();
            if how != Electrostatics::Reciprocal {
                let list = NeighborList::build(&cell, &structure.positions, cutoff)?;
                for i in 0..structure.len() {
                    for (j, vector) in list.vectors(i, &cell, &structure.positions) {
                        let r = norm(vector);
                        if j < i || r >= cutoff {
                            continue;
                        }
                        let share = if i == j { 0.5 } else { 1.0 };
                        let (phi, slope) = screened_pair(r, alpha, cutoff, how);
                        pairs.push(Pair {
                            own: slots[i] as u32,
                            other: slots[j] as u32,
                            phi: [phi, slope].map(|x| (share * x) as f32),
                            unit: vector.map(|x| (x / r) as f32),
                            r: r as f32,
                        });
                    }
                }
            }
            let waves = match how {
                Electrostatics::RealSpace => Vec::new(),
                _ => wave_vectors(&cell, alpha),
            };
            let wave = |(n, k): ([i32; 3], [f64; 3])| Wave {
                n,
                k,
                weights: what.weights(dot(k, k), alpha, cell.volume()),
            };
            all.push(Part {
                slots: slots.into_iter().map(|s| s as u32).collect(),
                positions: structure.positions.clone(),
                total,
                waves: waves.into_iter().map(wave).collect(),
                pairs,
                cell,
            });
        }
        Ok(Self {
            own: match how {
                Electrostatics::Full => what.own(alpha),
                _ => 0.0,
            },
            parts: all,
            born,
        })
    }

    /// Adds the energy, forces and virial of charges to those of the structures, and leaves charges and
    /// potentials in `field`, where the charges are those of the network before. Returns the sums of the
    /// charges as they were.
    pub(super) fn evaluate(
        &self,
        field: &mut Field,
        energy: &mut [f64],
        force: &mut [[f64; 4]],
        virial: &mut [[f64; 6]],
    ) -> Vec<f64> {
        let n = field.charge.len();
        let mut sums = Vec::with_capacity(self.parts.len());
        field.whole.clear();
        field.whole.resize(n, 0.0);
        for (s, part) in self.parts.iter().enumerate() {
            sums.push(part.slots.iter().map(|&i| field.charge[i as usize]).sum());
            shift(&part.slots, &mut field.charge, part.total);
            let own: Vec<f64> = part
                .slots
                .iter()
                .map(|&i| field.charge[i as usize])
                .collect();
            let (charge, potential) = (&field.charge, &mut field.whole);
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
            shift(&part.slots, &mut field.potential, 0.0);
        }
        sums
    }

    /// Turns the rates of the charges of the network along a direction, by slot, into the derivatives of S
    /// with respect to these charges.
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
            shift(&part.slots, rate, 0.0);
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
                .map(|&i| [field.charge[i as usize], rate[i as usize]])
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
                out[i] += rate[j] * phi + field.charge[j] * slope * stretch;
                out[j] += rate[i] * phi + field.charge[i] * slope * stretch;
            }
            for &slot in &part.slots {
                let i = slot as usize;
                out[i] += 2.0 * self.own * rate[i] + energy_slope[s] * field.whole[i];
            }
            shift(&part.slots, &mut out, 0.0);
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
