//! What a signal says about errors and novelty: ranks, deciles, detection.

use serde::Serialize;

/// The errors of the atoms in one tenth of a dump.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decile {
    /// Median of the signal.
    pub signal: f64,
    /// Mean error, eV/Å.
    pub mean: f64,
    /// 95 % of the errors are below this, eV/Å.
    pub most: f64,
}

/// Spearman's rank correlation, ties sharing their mean rank; NaN if one of the lists is constant.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        let (a, b) = (a - mean, b - mean);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}

/// Ranks from 0, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let same = order[start..].iter().take_while(|&&k| values[k] == value);
        let end = start + same.count().max(1);
        for &k in &order[start..end] {
            ranks[k] = (start + end - 1) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

/// Shares of the errors within the bounds that hold 68 and 95 % of them if their three components are
/// Gaussian with the deviations σ/√3.
pub fn covered(sigma: &[f64], errors: &[f64]) -> [f64; 2] {
    /// Quantiles of χ² with three degrees of freedom.
    const CHI2: [f64; 2] = [3.505_882, 7.814_728];
    CHI2.map(|x| {
        let bound = (x / 3.0).sqrt();
        let inside = sigma.iter().zip(errors).filter(|(s, e)| **e <= bound * **s);
        inside.count() as f64 / errors.len() as f64
    })
}

/// Errors by tenths of a signal, lowest first; empty for fewer than ten atoms.
pub fn deciles(signal: &[f64], errors: &[f64]) -> Vec<Decile> {
    let n = signal.len();
    if n < 10 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| signal[i].total_cmp(&signal[j]));
    (0..10)
        .map(|k| {
            let tenth = &order[k * n / 10..(k + 1) * n / 10];
            let errors: Vec<f64> = tenth.iter().map(|&i| errors[i]).collect();
            Decile {
                signal: signal[tenth[tenth.len() / 2]],
                mean: errors.iter().sum::<f64>() / errors.len() as f64,
                most: quantile(&errors, 0.95),
            }
        })
        .collect()
}

/// The smallest value that at least this fraction of the values does not exceed; NaN for none.
pub fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (fraction * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Share of values above a threshold; NaN for none.
pub fn share_above(values: &[f64], threshold: f64) -> f64 {
    values.iter().filter(|&&x| x > threshold).count() as f64 / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_by_hand() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 9.0]), [1.5, 0.0, 1.5, 3.0]);
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert!((spearman(&a, &[2.0, 8.0, 20.0, 21.0, f64::INFINITY]) - 1.0).abs() < 1e-12);
        // 1 - 6 Σd²/(n(n²-1)) with d = 0, 1, -1, 1, -1.
        assert!((spearman(&a, &[1.0, 3.0, 2.0, 5.0, 4.0]) - 0.8).abs() < 1e-12);
        assert!(spearman(&a, &[1.0; 5]).is_nan());
    }

    #[test]
    fn deciles_order_by_signal() {
        let signal: Vec<f64> = (0..40).map(|k| f64::from(k * 7 % 40)).collect();
        let errors: Vec<f64> = signal.iter().map(|x| 2.0 * x).collect();
        let found = deciles(&signal, &errors);
        assert_eq!(found.len(), 10);
        assert_eq!(found[0].mean, 3.0);
        assert_eq!(found[9].most, 78.0);
        assert!(deciles(&signal[..9], &errors[..9]).is_empty());
        assert_eq!(share_above(&[1.0, 2.0, 3.0, f64::INFINITY], 2.0), 0.5);
        assert_eq!(quantile(&errors, 0.5), 38.0);
    }
}
