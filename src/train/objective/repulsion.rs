//! A flexible repulsion that is trained with the rest (`train_zbl 1`).
//!
//! The labels are without the repulsion of the start; what is added to the kernels' results here is
//! the repulsion of now less that of the start. Its coordinates follow the model's parameters: the
//! logarithms of the exponents' growth, the amplitudes, and the two ends as shares of what they can
//! be at most, so that every value of a coordinate is a repulsion that can be used.

use super::Group;
use crate::kernel::{Chunk, Loss, Results, Slopes};
use nepal::error::{Error, Result};
use nepal::model::{Header, Zbl};
use nepal::nep::zbl::ZblPair;
use nepal::system::cell::norm;
use nepal::system::{NeighborList, Structure};

/// Numbers of a pair of types.
const ROW: usize = 10;
/// Ends closer to their bounds than this share stay where they are.
const EDGE: f64 = 1e-6;
/// Components of a virial.
const COMPONENTS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)];

/// Two atoms of a group near each other, once from each side.
struct Pair {
    /// Slots of the two.
    own: u32,
    other: u32,
    structure: u32,
    /// Row of the pair of types.
    row: u32,
    r: f64,
    unit: [f64; 3],
}

/// The repulsion with the pairs that can feel it.
pub(crate) struct Flexible {
    header: Header,
    /// At the start, with the largest outer ends.
    rows: Vec<[f64; ROW]>,
    limits: Vec<f64>,
    groups: Vec<Vec<Pair>>,
}

/// The repulsion at some coordinates: of each row that of the start, that of now, and the derivatives
/// of the row's numbers by its coordinates.
pub(crate) struct Bent {
    start: Vec<ZblPair>,
    now: Vec<ZblPair>,
    jacobian: Vec<[[f64; ROW]; ROW]>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Coordinate of a share; infinite where it is held at a bound.
fn coordinate(share: f64) -> f64 {
    if share < EDGE {
        f64::NEG_INFINITY
    } else if share > 1.0 - EDGE {
        f64::INFINITY
    } else {
        (share / (1.0 - share)).ln()
    }
}

impl Flexible {
    /// For the flexible repulsion of a header.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if it has none, or one that cannot be trained.
    pub fn new(header: &Header) -> Result<Self> {
        let Some(Zbl::Flexible(rows)) = &header.zbl else {
            return Err(Error::invalid(
                "train_zbl 1 needs a flexible repulsion: the keyword zbl, and a zbl.in beside nep.in",
            ));
        };
        let n = header.n_types();
        let limits: Vec<f64> = (0..n)
            .flat_map(|a| (a..n).map(move |b| header.pair_cutoff(a, b)[1]))
            .collect();
        for (k, (row, limit)) in rows.iter().zip(&limits).enumerate() {
            let usable = row[0] >= 0.0 && row[0] < row[1] && row[1] <= *limit;
            if !usable || !row[3..].iter().step_by(2).all(|b| *b > 0.0) {
                return Err(Error::invalid(format!(
                    "line {} of zbl.in cannot be trained: expected 0 <= inner < outer <= {limit} (the angular cutoff) and positive exponents, found {row:?}",
                    k + 1
                )));
            }
        }
        Ok(Self {
            header: header.clone(),
            rows: rows.clone(),
            limits,
            groups: Vec::new(),
        })
    }

    /// Number of coordinates.
    pub fn len(&self) -> usize {
        ROW * self.rows.len()
    }

    /// Adds the pairs of a group.
    ///
    /// **Errors**: as for neighbour lists.
    pub fn add(&mut self, chunk: &Chunk, parts: &[(&Structure, &[u32])]) -> Result<()> {
        let n = self.header.n_types();
        let reach = self.limits.iter().copied().fold(0.0, f64::max);
        let mut slots: Vec<Vec<u32>> = parts.iter().map(|p| vec![0; p.0.len()]).collect();
        for (slot, (atom, &s)) in chunk.atom.iter().zip(&chunk.structure).enumerate() {
            if let Some(atom) = atom {
                slots[s as usize][*atom as usize] = slot as u32;
            }
        }
        let mut pairs = Vec::new();
        for (s, (structure, types)) in parts.iter().enumerate() {
            let list = NeighborList::build(&structure.cell, &structure.positions, reach)?;
            for i in 0..structure.len() {
                for (j, vector) in list.vectors(i, &structure.cell, &structure.positions) {
                    let (a, b) = (
                        types[i].min(types[j]) as usize,
                        types[i].max(types[j]) as usize,
                    );
                    let row = a * n - a * (a + 1) / 2 + b;
                    let r = norm(vector);
                    if r < self.limits[row] {
                        pairs.push(Pair {
                            own: slots[s][i],
                            other: slots[s][j],
                            structure: s as u32,
                            row: row as u32,
                            r,
                            unit: vector.map(|x| x / r),
                        });
                    }
                }
            }
        }
        self.groups.push(pairs);
        Ok(())
    }

    /// The coordinates of the start, or of the same kind of repulsion in another header.
    pub fn coordinates(&self, header: &Header) -> Vec<f64> {
        let rows = match &header.zbl {
            Some(Zbl::Flexible(rows)) if rows.len() == self.rows.len() => rows,
            _ => &self.rows,
        };
        let own = rows.iter().zip(self.rows.iter().zip(&self.limits));
        own.flat_map(|(row, (start, limit))| {
            let mut out = *row;
            let held = |share: f64, first: f64| {
                let own = coordinate(first);
                // A coordinate has to be a number that an optimiser can read.
                if own.is_finite() {
                    coordinate(share.clamp(2.0 * EDGE, 1.0 - 2.0 * EDGE))
                } else {
                    0.0
                }
            };
            out[0] = held(row[0] / row[1], start[0] / start[1]);
            out[1] = held(row[1] / limit, start[1] / limit);
            for k in (3..ROW).step_by(2) {
                out[k] = (row[k] / start[k]).ln();
            }
            out
        })
        .collect()
    }

    /// A row at its coordinates, with its derivatives by them (by number, then coordinate).
    fn row(&self, index: usize, y: &[f64]) -> ([f64; ROW], [[f64; ROW]; ROW]) {
        let (start, limit) = (&self.rows[index], self.limits[index]);
        let mut row = *start;
        let mut by = [[0.0; ROW]; ROW];
        // An end at its bound stays there.
        let share = |first: f64, y: f64| {
            if coordinate(first).is_finite() {
                let s = sigmoid(y);
                (s, s * (1.0 - s))
            } else {
                (first, 0.0)
            }
        };
        let (outer, douter) = share(start[1] / limit, y[1]);
        let (inner, dinner) = share(start[0] / start[1], y[0]);
        row[1] = limit * outer;
        row[0] = row[1] * inner;
        by[1][1] = limit * douter;
        by[0][1] = limit * douter * inner;
        by[0][0] = row[1] * dinner;
        for k in (2..ROW).step_by(2) {
            row[k] = y[k];
            by[k][k] = 1.0;
            row[k + 1] = start[k + 1] * y[k + 1].exp();
            by[k + 1][k + 1] = row[k + 1];
        }
        (row, by)
    }

    /// The rows at some coordinates.
    pub fn rows(&self, coordinates: &[f64]) -> Vec<[f64; ROW]> {
        let own = coordinates.chunks_exact(ROW).enumerate();
        own.map(|(k, y)| self.row(k, y).0).collect()
    }

    fn pairs(&self, rows: Vec<[f64; ROW]>) -> Vec<ZblPair> {
        let header = Header {
            zbl: Some(Zbl::Flexible(rows)),
            ..self.header.clone()
        };
        let n = header.n_types();
        let all = (0..n).flat_map(|a| (a..n).map(move |b| (a, b)));
        all.filter_map(|(a, b)| ZblPair::new(&header, a, b))
            .collect()
    }

    /// The repulsion at some coordinates.
    pub fn at(&self, coordinates: &[f64]) -> Bent {
        let own = coordinates.chunks_exact(ROW).enumerate();
        let (rows, jacobian) = own.map(|(k, y)| self.row(k, y)).unzip();
        Bent {
            start: self.pairs(self.rows.clone()),
            now: self.pairs(rows),
            jacobian,
        }
    }

    /// The change of a group's results along a direction of the coordinates: energies, forces on
    /// slots, virials, added to `out`.
    pub fn along(
        &self,
        bent: &Bent,
        index: usize,
        group: &Group,
        direction: &[f64],
        out: &mut [f64],
    ) {
        let rates: Vec<[f64; ROW]> = (bent.jacobian.iter().zip(direction.chunks_exact(ROW)))
            .map(|(by, v)| by.map(|by| by.iter().zip(v).map(|(a, b)| a * b).sum()))
            .collect();
        let (energies, rest) = out.split_at_mut(group.chunk.n_structures);
        let (forces, virials) = rest.split_at_mut(3 * group.chunk.atom.len());
        for pair in &self.groups[index] {
            let by = bent.now[pair.row as usize].gradient(pair.r);
            let rate = &rates[pair.row as usize];
            let [e, de] = [0, 1].map(|c| (0..ROW).map(|k| by[k][c] * rate[k]).sum::<f64>());
            let virial = &mut virials[6 * pair.structure as usize..][..6];
            pair.scatter(
                e,
                de,
                &mut energies[pair.structure as usize],
                virial,
                |slot, c, f| {
                    forces[3 * slot + c] += f;
                },
            );
        }
    }
}

impl Pair {
    /// Hands half of an energy and its slope to the two atoms and the structure.
    fn scatter(
        &self,
        e: f64,
        de: f64,
        energy: &mut f64,
        virial: &mut [f64],
        mut add: impl FnMut(usize, usize, f64),
    ) {
        *energy += 0.5 * e;
        let f = self.unit.map(|u| 0.5 * de * u);
        for c in 0..3 {
            add(self.own as usize, c, f[c]);
            add(self.other as usize, c, -f[c]);
        }
        for (virial, (a, b)) in virial.iter_mut().zip(COMPONENTS) {
            *virial -= self.r * self.unit[a] * f[b];
        }
    }
}

/// A loss of the kernels' results with the repulsion added.
pub(crate) struct Repelled<'a, L> {
    pub inner: L,
    /// The repulsion and the number of the group; `None` if it is not trained.
    pub by: Option<(&'a Flexible, &'a Bent, usize)>,
    /// Gradient by the coordinates, once the slopes are known.
    gradient: Vec<f64>,
}

impl<'a, L> Repelled<'a, L> {
    pub fn new(inner: L, by: Option<(&'a Flexible, &'a Bent, usize)>) -> Self {
        Self {
            inner,
            by,
            gradient: Vec::new(),
        }
    }

    /// Adds the gradient by the coordinates to those that follow the model's `first` parameters.
    pub fn add_to(&self, gradient: &mut [f64], first: usize) {
        if let Some(own) = gradient.get_mut(first..) {
            own.iter_mut()
                .zip(&self.gradient)
                .for_each(|(g, x)| *g += x);
        }
    }
}

impl<L: Loss> Loss for Repelled<'_, L> {
    fn slopes(&mut self, results: &Results<'_>, slopes: Slopes<'_>) -> bool {
        let Some((flexible, bent, group)) = self.by else {
            return self.inner.slopes(results, slopes);
        };
        let mut energy = results.energy.to_vec();
        let mut force = results.force.to_vec();
        let mut virial = results.virial.to_vec();
        for pair in &flexible.groups[group] {
            let row = pair.row as usize;
            let ((e, de), (e0, de0)) =
                (bent.now[row].energy(pair.r), bent.start[row].energy(pair.r));
            let s = pair.structure as usize;
            pair.scatter(
                e - e0,
                de - de0,
                &mut energy[s],
                &mut virial[s],
                |slot, c, f| {
                    force[slot][c] += f;
                },
            );
        }
        let results = Results {
            energy: &energy,
            force: &force,
            virial: &virial,
            ..*results
        };
        let own = Slopes {
            energy: &mut *slopes.energy,
            displacement: &mut *slopes.displacement,
            strain: &mut *slopes.strain,
            charge: &mut *slopes.charge,
            born: &mut *slopes.born,
        };
        let wanted = self.inner.slopes(&results, own);
        if wanted {
            self.gradient = gradient(flexible, bent, group, &slopes);
        }
        wanted
    }
}

/// The gradient by the coordinates of what has these slopes.
fn gradient(flexible: &Flexible, bent: &Bent, group: usize, slopes: &Slopes<'_>) -> Vec<f64> {
    let mut by_row = vec![[0.0; ROW]; flexible.rows.len()];
    for pair in &flexible.groups[group] {
        let s = pair.structure as usize;
        let (own, other) = (
            &slopes.displacement[pair.own as usize],
            &slopes.displacement[pair.other as usize],
        );
        let mut rate: f64 = (0..3).map(|c| (other[c] - own[c]) * pair.unit[c]).sum();
        if let Some(strain) = slopes.strain.get(s) {
            for (a, b) in COMPONENTS {
                rate += pair.r * pair.unit[a] * strain[a][b] * pair.unit[b];
            }
        }
        let by = bent.now[pair.row as usize].gradient(pair.r);
        for (out, [e, de]) in by_row[pair.row as usize].iter_mut().zip(by) {
            *out += 0.5 * (slopes.energy[s] * e + rate * de);
        }
    }
    (by_row.iter().zip(&bent.jacobian))
        .flat_map(|(row, by)| {
            std::array::from_fn::<f64, ROW, _>(|y| (0..ROW).map(|k| row[k] * by[k][y]).sum())
        })
        .collect()
}

#[cfg(test)]
mod tests;
