//! Active rows from environments in the order of the data.

use super::{FALLBACK, RidgeSet, Sides};
use crate::error::Result;
use crate::grade::linalg::{dot, multiply_into, rows};
use crate::grade::{BuildOptions, Features, Origin};
use crate::model::Network;
use faer::Accum;

/// Most environments offered together: the one that is known least is taken first. They are of one
/// structure, so that what comes later changes no choice.
const BLOCK: usize = 256;

/// λ comes from so many first environments of an element: few, so that data that are appended later do
/// not change it.
const FIRST: usize = 64;

/// Rows beyond which λ is doubled: a grade of an atom costs their square.
const MOST: usize = 2048;

/// What building did beyond the set.
pub(in crate::grade) struct Built {
    /// Largest Γ of the offered environments.
    pub max: f64,
    /// How often λ was doubled.
    pub doubled: u32,
}

/// The set of a type, from its rows in order; with a previous set of the same model, the rows come in
/// addition to that set's.
pub(in crate::grade) fn build(
    features: &Features,
    t: usize,
    net: &Network<'_>,
    options: &BuildOptions,
    previous: Option<&RidgeSet>,
) -> Result<(RidgeSet, Built)> {
    let mut set = match previous {
        Some(set) => set.clone(),
        None => {
            let mut set = RidgeSet::empty(net);
            set.lambda = resolution(&set, features, t, net, options.resolution);
            set
        }
    };
    let mut doubled = 0;
    while !offer_all(&mut set, features, t) {
        doubled += 1;
        let lambda = 2.0 * set.lambda;
        set = RidgeSet::empty(net);
        set.lambda = lambda;
    }
    set.offered += features.count(t) as u64;
    let width = features.width();
    let mut max = 0.0f64;
    for block in features.rows(t).chunks(16 * BLOCK * width) {
        let grades = set.grade(&set.sides_of_rows(block), Some(1.0));
        max = grades.iter().map(|g| g.total).fold(max, f64::max);
    }
    Ok((set, Built { max, doubled }))
}

/// The square of a `resolution`-th of the way from an ordinary environment to the free atom.
fn resolution(
    set: &RidgeSet,
    features: &Features,
    t: usize,
    net: &Network<'_>,
    resolution: f64,
) -> f64 {
    let dim = set.units.len();
    let free: Vec<f64> = net.b0.iter().map(|b| (-b).tanh()).collect();
    let free = set.sides(&vec![0.0; dim], &free);
    let n = features.count(t).min(FIRST);
    let sides = set.sides_of_rows(&features.rows(t)[..n * features.width()]);
    let atoms = sides
        .s
        .chunks_exact(set.neurons + 1)
        .zip(sides.q.chunks_exact(dim + 1));
    let mut squares: Vec<f64> = atoms
        .filter(|(_, q)| q[..dim].iter().any(|&q| q != 0.0) && q.iter().all(|q| q.is_finite()))
        .map(|(s, q)| {
            dot(s, s) * dot(q, q) + dot(&free.s, &free.s) * dot(&free.q, &free.q)
                - 2.0 * dot(s, &free.s) * dot(q, &free.q)
        })
        .collect();
    squares.sort_by(f64::total_cmp);
    match squares.get(squares.len() / 2) {
        Some(&square) if square > 0.0 => square / (resolution * resolution),
        _ => FALLBACK,
    }
}

/// Offers all rows of a type in order; false if the set grew too large.
fn offer_all(set: &mut RidgeSet, features: &Features, t: usize) -> bool {
    let width = features.width();
    let mut factor = Factor::new(set);
    let mut rest = features.rows(t);
    let structures = features
        .origins(t)
        .chunk_by(|a, b| a.structure == b.structure);
    for origins in structures.flat_map(|of_one| of_one.chunks(BLOCK)) {
        let (block, more) = rest.split_at(origins.len() * width);
        rest = more;
        let sides = set.sides_of_rows(block);
        if !factor.offer(set, &sides, origins) {
            return false;
        }
    }
    true
}

/// L of the active rows in the order in which they came. Row `i` has `i + 1` numbers.
struct Factor {
    lines: Vec<Vec<f64>>,
}

impl Factor {
    /// Of the rows that a set has already.
    fn new(set: &RidgeSet) -> Self {
        let mut factor = Self { lines: Vec::new() };
        let (h1, d1) = (set.neurons + 1, set.units.len() + 1);
        for i in 0..set.rows() {
            let (s, q) = (&set.s[i * h1..][..h1], &set.q[i * d1..][..d1]);
            let mut line: Vec<f64> = Vec::with_capacity(i + 1);
            for j in 0..=i {
                let k = dot(s, &set.s[j * h1..][..h1]) * dot(q, &set.q[j * d1..][..d1]);
                let sum = match j == i {
                    true => k + set.lambda - dot(&line, &line),
                    false => k - dot(&line, &factor.lines[j][..j]),
                };
                line.push(match j == i {
                    true => sum.max(set.lambda * 1e-3).sqrt(),
                    false => sum / factor.lines[j][j],
                });
            }
            factor.lines.push(line);
        }
        factor
    }

    /// p of some atoms, `[K][n]`, and what is left of k(x, x).
    fn project(&self, set: &RidgeSet, sides: &Sides) -> (Vec<f64>, Vec<f64>) {
        let (h1, d1, k) = (set.neurons + 1, set.units.len() + 1, set.rows());
        let n = sides.s.len() / h1;
        let mut p = vec![0.0; k * n];
        let mut other = vec![0.0; k * n];
        if k > 0 {
            let (s, q) = (rows(&sides.s, n, h1), rows(&sides.q, n, d1));
            multiply_into(
                &mut p,
                Accum::Replace,
                1.0,
                rows(&set.s, k, h1),
                s.transpose(),
            );
            multiply_into(
                &mut other,
                Accum::Replace,
                1.0,
                rows(&set.q, k, d1),
                q.transpose(),
            );
        }
        for (x, y) in p.iter_mut().zip(&other) {
            *x *= y;
        }
        let atoms = sides.s.chunks_exact(h1).zip(sides.q.chunks_exact(d1));
        let mut left: Vec<f64> = atoms.map(|(s, q)| dot(s, s) * dot(q, q)).collect();
        for i in 0..k {
            let (before, here) = p.split_at_mut(i * n);
            let here = &mut here[..n];
            for (j, l) in self.lines[i][..i].iter().enumerate() {
                for (x, y) in here.iter_mut().zip(&before[j * n..][..n]) {
                    *x -= l * y;
                }
            }
            let inverse = 1.0 / self.lines[i][i];
            for (x, left) in here.iter_mut().zip(&mut left) {
                *x *= inverse;
                *left -= *x * *x;
            }
        }
        (p, left)
    }

    /// Takes from a block what has a Γ above 1, worst first; false if the set grew too large.
    fn offer(&mut self, set: &mut RidgeSet, sides: &Sides, origins: &[Origin]) -> bool {
        let (h1, d1) = (set.neurons + 1, set.units.len() + 1);
        let n = origins.len();
        let (mut p, mut left) = self.project(set, sides);
        loop {
            let open = left.iter().enumerate().filter(|(_, x)| x.is_finite());
            let Some((j, &worst)) = open.max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))
            else {
                return true;
            };
            if worst <= set.lambda {
                return true;
            }
            if set.rows() == MOST {
                return false;
            }
            let (s, q) = (&sides.s[j * h1..][..h1], &sides.q[j * d1..][..d1]);
            let root = (set.lambda + worst).sqrt();
            let atoms = sides.s.chunks_exact(h1).zip(sides.q.chunks_exact(d1));
            let mut column: Vec<f64> = atoms.map(|(t, r)| dot(s, t) * dot(q, r)).collect();
            for row in p.chunks_exact(n) {
                let factor = row[j];
                for (x, p) in column.iter_mut().zip(row) {
                    *x -= factor * p;
                }
            }
            let mut line: Vec<f64> = p.chunks_exact(n).map(|row| row[j]).collect();
            line.push(root);
            self.lines.push(line);
            for (x, left) in column.iter_mut().zip(&mut left) {
                *x /= root;
                *left -= *x * *x;
            }
            p.extend(column);
            set.push(sides, j, Some(origins[j]));
        }
    }
}
