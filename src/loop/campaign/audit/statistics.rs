//! What a signal says about errors and novelty: ranks, deciles, detection.

use serde::Serialize;

/// The errors of the atoms in one tenth of a dump.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decile {
    /// Median of the signal.
    pub signal: f64,
    /// Mean error, eV/Å.
    pub mean: f64,
    /// 68 % of the errors are below this, eV/Å.
    pub usual: f64,
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

/// Shares of errors that bounds are for.
pub const SHARES: [f64; 2] = [0.68, 0.95];

/// Shares of the errors within bounds.
pub fn covered(bounds: [&[f64]; 2], errors: &[f64]) -> [f64; 2] {
    bounds.map(|bounds| {
        let inside = bounds.iter().zip(errors).filter(|(bound, e)| *e <= *bound);
        inside.count() as f64 / errors.len() as f64
    })
}

/// The same for the multiples of a deviation that are right for the other ones: `half` parts the errors in two; none if
/// one of the parts is empty.
pub fn recalibrated(sigma: &[f64], errors: &[f64], half: &[bool]) -> Option<[f64; 2]> {
    let of =
        |part: bool| -> Vec<usize> { (0..errors.len()).filter(|&i| half[i] == part).collect() };
    let parts = [of(false), of(true)];
    if parts.iter().any(Vec::is_empty) {
        return None;
    }
    Some(SHARES.map(|share| {
        let inside = |to: &[usize], from: &[usize]| {
            // Zero of zero is no ratio.
            let ratios = from.iter().filter(|&&i| sigma[i] > 0.0);
            let ratios: Vec<f64> = ratios.map(|&i| errors[i] / sigma[i]).collect();
            let factor = quantile(&ratios, share * (1.0 + 1.0 / ratios.len() as f64));
            to.iter()
                .filter(|&&i| errors[i] <= factor * sigma[i])
                .count()
        };
        let all = inside(&parts[0], &parts[1]) + inside(&parts[1], &parts[0]);
        all as f64 / errors.len() as f64
    }))
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
                usual: quantile(&errors, SHARES[0]),
                most: quantile(&errors, SHARES[1]),
            }
        })
        .collect()
}

/// The smallest value that at least this fraction of the values does not exceed, above 1 the largest; NaN for none.
pub fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (fraction * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.min(sorted.len()).wrapping_sub(1))
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
        assert_eq!((found[9].usual, found[9].most), (76.0, 78.0));
        assert!(deciles(&signal[..9], &errors[..9]).is_empty());
        assert_eq!(share_above(&[1.0, 2.0, 3.0, f64::INFINITY], 2.0), 0.5);
        assert_eq!(quantile(&errors, 0.5), 38.0);
    }

    #[test]
    fn bounds_of_the_other_half_hold_as_often_as_said() {
        // Errors of 0.01 to 1 times half a deviation that is 1 in one half of the places and 5 in the other.
        let sigma: Vec<f64> = (0..400).map(|k| [1.0, 5.0][k / 7 % 2]).collect();
        let errors: Vec<f64> = (0..400)
            .map(|k| sigma[k] * ((k * 37 % 100) as f64 + 1.0) / 200.0)
            .collect();
        let half: Vec<bool> = (0..400).map(|k| k >= 200).collect();
        assert_eq!(covered([&sigma, &sigma], &errors), [1.0, 1.0]);
        let [at_68, at_95] = recalibrated(&sigma, &errors, &half).unwrap();
        assert!(
            (at_68 - 0.69).abs() < 0.011 && (at_95 - 0.96).abs() < 0.011,
            "{at_68} {at_95}"
        );
        assert_eq!(recalibrated(&sigma, &errors, &[true; 400]), None);
    }
}
