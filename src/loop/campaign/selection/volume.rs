//! MaxVol over the active set and the candidates: how many environments of each group are among the
//! rows of largest volume.

use super::gain::dot;
use super::pool::Group;
use nepal::error::Result;
use nepal::grade::{Help, MaxvolOptions, maxvol_with};

/// Swaps allowed for an element.
const MAX_SWAPS: usize = 10_000;

/// Rows of each group that the largest volume has, over all elements; `ranks` are the active rows of
/// each.
///
/// Directions that no training environment has are added, with unit amplitude at the edge of what is
/// known, so that they are worth what their ρ/κ says.
pub(super) fn counts(ranks: &[usize], groups: &[Group], mut help: Help<'_>) -> Result<Vec<usize>> {
    let mut counts = vec![0; groups.len()];
    let n_types = groups
        .iter()
        .flat_map(|g| &g.rows)
        .map(|r| r.t + 1)
        .max()
        .unwrap_or(0);
    for t in 0..n_types {
        let mut owners = Vec::new();
        let mut rows: Vec<&[f64]> = Vec::new();
        for (g, group) in groups.iter().enumerate() {
            for row in group.rows.iter().filter(|r| r.t == t) {
                owners.push(g);
                rows.push(&row.x);
            }
        }
        if rows.is_empty() {
            continue;
        }
        let (n, reduced) = reduce(&rows, ranks.get(t).copied().unwrap_or(0));
        if n == 0 {
            continue;
        }
        // The unit vectors first: what is known, at the edge.
        let mut data = vec![0.0; n * n];
        for k in 0..n {
            data[k * n + k] = 1.0;
        }
        data.extend(reduced);
        let options = MaxvolOptions {
            tolerance: 1.01,
            max_iterations: MAX_SWAPS,
            batch: usize::MAX,
            final_pass: true,
            refresh: 200,
        };
        let found = maxvol_with(&data, n, &options, help.as_deref_mut())?;
        for chosen in found.selected {
            if chosen >= n {
                counts[owners[chosen - n]] += 1;
            }
        }
    }
    Ok(counts)
}

/// The rows with their parts outside the subspace, which come after `rank` coordinates, in an
/// orthonormal basis of those that reach beyond the edge.
fn reduce(rows: &[&[f64]], rank: usize) -> (usize, Vec<f64>) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let outside = |k: usize| &rows[k][rank..];
    let length = |k: usize| dot(outside(k), outside(k));
    order.sort_by(|&a, &b| length(b).total_cmp(&length(a)).then(a.cmp(&b)));
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for k in order {
        let mut rest = outside(k).to_vec();
        for v in &basis {
            let c = dot(v, &rest);
            rest.iter_mut().zip(v).for_each(|(r, v)| *r -= c * v);
        }
        let left = dot(&rest, &rest).sqrt();
        if left > 1.0 {
            rest.iter_mut().for_each(|r| *r /= left);
            basis.push(rest);
        }
    }
    let n = rank + basis.len();
    let mut out = Vec::with_capacity(rows.len() * n);
    for row in rows {
        out.extend_from_slice(&row[..rank]);
        out.extend(basis.iter().map(|v| dot(v, &row[rank..])));
    }
    (n, out)
}
