//! The D-optimal gain of a group of environments: how much its label would enlarge what is known.

/// A feature row in the active set's coordinates, with the element that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Type of the atom.
    pub t: usize,
    /// Coordinates; see [`nepal::ActiveSet::coordinates`].
    pub x: Vec<f64>,
}

/// What is known: the active set, of unit information in every direction, and the rows that were
/// added since.
///
/// The information matrix is M = I + Σ x xᵀ of each element; its inverse is I − Σ v vᵀ, and the v are
/// kept. Source: the matrix determinant lemma, ln det(M + X Xᵀ) = ln det M + ln det(I + Xᵀ M⁻¹ X).
#[derive(Clone, Debug, Default)]
pub struct Known {
    by_type: Vec<Vec<Vec<f64>>>,
}

impl Known {
    /// ln det(I + Xᵀ M⁻¹ X): the gain of the rows X of one group, which depend on one another.
    pub fn gain(&self, rows: &[Row]) -> f64 {
        self.gain_and_directions(rows).0
    }

    /// Takes the rows in and gives their gain.
    pub fn learn(&mut self, rows: &[Row]) -> f64 {
        let (gain, directions) = self.gain_and_directions(rows);
        for (t, v) in directions {
            if self.by_type.len() <= t {
                self.by_type.resize_with(t + 1, Vec::new);
            }
            self.by_type[t].push(v);
        }
        gain
    }

    fn gain_and_directions(&self, rows: &[Row]) -> (f64, Vec<(usize, Vec<f64>)>) {
        let mut gain = 0.0;
        let mut fresh: Vec<(usize, Vec<f64>)> = Vec::with_capacity(rows.len());
        for row in rows {
            // p = M⁻¹ x with all rows before this one.
            let mut p = row.x.clone();
            let old = self.by_type.get(row.t).into_iter().flatten();
            let new = fresh.iter().filter(|f| f.0 == row.t).map(|f| &f.1);
            for v in old.chain(new) {
                let c = dot(v, &row.x);
                if c != 0.0 {
                    p.iter_mut().zip(v).for_each(|(p, v)| *p -= c * v);
                }
            }
            // Rounding may leave a tiny negative number where nothing is left to learn.
            let s = dot(&row.x, &p).max(0.0);
            gain += s.ln_1p();
            let scale = 1.0 / (1.0 + s).sqrt();
            p.iter_mut().for_each(|p| *p *= scale);
            fresh.push((row.t, p));
        }
        (gain, fresh)
    }
}

/// Scalar product.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums at once, which the compiler turns into vector instructions.
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    rest + sums.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(x: &[f64]) -> Row {
        Row { t: 0, x: x.into() }
    }

    #[test]
    fn gains_have_their_closed_forms() {
        let mut known = Known::default();
        // One row: ln(1 + |x|²).
        assert!((known.gain(&[row(&[3.0, 4.0])]) - 26f64.ln()).abs() < 1e-12);
        // Orthogonal rows add up; equal ones do not: ln(1 + 2 |x|²).
        let (a, b) = (row(&[2.0, 0.0]), row(&[0.0, 3.0]));
        assert!((known.gain(&[a.clone(), b.clone()]) - 50f64.ln()).abs() < 1e-12);
        assert!((known.gain(&[a.clone(), a.clone()]) - 9f64.ln()).abs() < 1e-12);
        // The determinant of [[1 + 4, 2·1], [2·1, 1 + 1 + 1]] for (2, 0) and (1, 1).
        let c = row(&[1.0, 1.0]);
        assert!((known.gain(&[a.clone(), c.clone()]) - 11f64.ln()).abs() < 1e-12);
        // What was learned counts less, by exactly what the whole gained with it.
        let first = known.learn(std::slice::from_ref(&a));
        assert!((known.gain(std::slice::from_ref(&c)) - (11f64.ln() - first)).abs() < 1e-12);
        assert!((known.gain(std::slice::from_ref(&a)) - (9f64.ln() - 5f64.ln())).abs() < 1e-12);
        // Elements know nothing of one another.
        let other = Row { t: 1, ..a.clone() };
        assert!((known.gain(&[other]) - 5f64.ln()).abs() < 1e-12);
    }
}
