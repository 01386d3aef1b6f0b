//! Charges that a training starts from: at zero the loss has no slope, for the energy is quadratic in them.

use super::objective::Objective;
use nepal::element::Element;

/// Charge per difference in electronegativity, e.
const SCALE: f64 = 0.4;
/// √ε∞ at the start where Born charges say what charges times it are.
const ROOT: f64 = 1.5;

/// Electronegativity of the elements H to Pu, times 100; 0 where there is none.
///
/// **Source**: L. Pauling's scale as in the CRC Handbook of Chemistry and Physics, "Electronegativity".
const PAULING: [u16; 94] = [
    220, 0, 98, 157, 204, 255, 304, 344, 398, 0, 93, 131, 161, 190, 219, 258, 316, 0, 82, 100, 136,
    154, 163, 166, 155, 183, 188, 191, 190, 165, 181, 201, 218, 255, 296, 0, 82, 95, 122, 133, 160,
    216, 190, 220, 228, 220, 193, 169, 178, 196, 205, 210, 266, 260, 79, 89, 110, 112, 113, 114,
    113, 117, 120, 120, 110, 122, 123, 124, 125, 110, 127, 130, 150, 236, 190, 220, 220, 228, 254,
    200, 162, 233, 202, 200, 220, 220, 79, 90, 110, 130, 150, 138, 136, 128,
];

fn electronegativity(element: Element) -> f64 {
    f64::from(PAULING.get(element.number() - 1).copied().unwrap_or(0)) / 100.0
}

/// A charge for each type, and √ε∞: of mean Born charges where there are any, else of how far the
/// electronegativity of an element is from the mean of all atoms.
pub(super) fn guess(objective: &Objective) -> (Vec<f64>, f64) {
    let elements = &objective.header.elements;
    let mut counts = vec![0.0; elements.len()];
    let mut born = vec![[0.0; 2]; elements.len()];
    for sample in &objective.samples {
        for (i, &t) in sample.types.iter().enumerate() {
            counts[t as usize] += 1.0;
            if let Some(all) = &sample.born {
                let z = all[i];
                let own = &mut born[t as usize];
                *own = [own[0] + 1.0, own[1] + (z[0] + z[4] + z[8]) / 3.0];
            }
        }
    }
    let all: f64 = counts.iter().sum();
    let weighed = elements.iter().zip(&counts);
    let mean = weighed.map(|(e, n)| n * electronegativity(*e)).sum::<f64>() / all.max(1.0);
    let known = born.iter().any(|b| b[0] > 0.0);
    let root = if known { ROOT } else { 1.0 };
    let own = elements
        .iter()
        .zip(&born)
        .map(|(element, [n, z])| match *n > 0.0 {
            true => z / n / root,
            false => SCALE * (mean - electronegativity(*element)),
        });
    (own.collect(), root)
}
