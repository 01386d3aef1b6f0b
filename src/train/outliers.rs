//! Labels that fit worst: the first place to look for mistakes of the reference calculations.

use super::errors::Prediction;
use nepal::element::Element;
use nepal::error::Result;
use nepal::files::write_atomically;
use nepal::system::{Frame, xyz};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Robust z-score from which a label stands out.
const STANDS_OUT: f64 = 6.0;
/// Keys of the comment line that tell a frame apart for people.
const IDS: [&str; 8] = [
    "id",
    "name",
    "trajectory",
    "source",
    "config_type",
    "parent_id",
    "label_key",
    "step",
];

/// A label far from what the model says, compared with its like.
///
/// The z-score is the distance of the error from the median of all, in standard deviations as the
/// median absolute deviation gives them; the worst labels do not count towards it. Forces are
/// compared within their element.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlier {
    /// Frame in its set, counted from 1.
    pub frame: usize,
    /// Atom, counted from 1, for a force: the worst of the frame.
    pub atom: Option<usize>,
    /// Its element.
    pub element: Option<String>,
    /// `energy` (eV/atom), `force` (eV/Å) or `virial` (eV/atom).
    pub quantity: &'static str,
    /// Prediction minus label; for forces and virials the length of the difference.
    pub error: f64,
    /// Robust z-score.
    pub z: f64,
    /// What the comment line says to tell the frame apart.
    pub ids: BTreeMap<String, String>,
}

/// Median and robust standard deviation.
fn robust(values: &[f64]) -> [f64; 2] {
    let middle = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v.get(v.len() / 2).copied().unwrap_or(0.0)
    };
    let median = middle(values.to_vec());
    let off = values.iter().map(|v| (v - median).abs()).collect();
    [median, 1.4826 * middle(off)]
}

/// The labels that stand out, worst first, at most `most`.
///
/// **Shapes**: `predictions` and `frames` of one length; frames without a prediction do not count.
pub fn outliers(predictions: &[Prediction], frames: &[Frame], most: usize) -> Vec<Outlier> {
    let known = || {
        frames
            .iter()
            .zip(predictions)
            .enumerate()
            .filter(|(_, (f, p))| !f.is_empty() && p.forces.len() == f.len() && p.tensor.is_empty())
    };
    let mut energies = Vec::new();
    let mut virials = Vec::new();
    let mut forces: BTreeMap<Element, Vec<(usize, usize, f64)>> = BTreeMap::new();
    for (i, (frame, p)) in known() {
        let n = frame.len() as f64;
        if let Some(e) = frame.energy {
            energies.push((i, (p.energy - e) / n));
        }
        if let Some(w) = &frame.virial {
            let square: f64 = (0..9).map(|c| (p.virial[c] - w[c]).powi(2)).sum();
            virials.push((i, square.sqrt() / n));
        }
        for (atom, f) in frame.forces.iter().flatten().enumerate() {
            if frame.force_mask.as_ref().is_some_and(|m| m[atom] == 0.0) {
                continue;
            }
            let square: f64 = (0..3).map(|c| (p.forces[atom][c] - f[c]).powi(2)).sum();
            let list = forces.entry(frame.structure.elements[atom]).or_default();
            list.push((i, atom, square.sqrt()));
        }
    }
    let mut found = Vec::new();
    let ids = |frame: usize| -> BTreeMap<String, String> {
        let info = &frames[frame].info;
        let own = |key: &&str| Some(((*key).to_owned(), info.get(*key)?.clone()));
        IDS.iter().filter_map(own).collect()
    };
    let mut judge = |quantity, list: &[(usize, f64)]| {
        let values: Vec<f64> = list.iter().map(|v| v.1).collect();
        let [median, deviation] = robust(&values);
        for &(frame, error) in list {
            let z = (error - median) / deviation.max(1e-9);
            if z.abs() >= STANDS_OUT {
                found.push(Outlier {
                    frame: frame + 1,
                    atom: None,
                    element: None,
                    quantity,
                    error,
                    z,
                    ids: ids(frame),
                });
            }
        }
    };
    judge("energy", &energies);
    judge("virial", &virials);
    let mut worst: BTreeMap<usize, Outlier> = BTreeMap::new();
    for (element, list) in &forces {
        let values: Vec<f64> = list.iter().map(|v| v.2).collect();
        let [median, deviation] = robust(&values);
        for &(frame, atom, error) in list {
            let z = (error - median) / deviation.max(1e-9);
            if z >= STANDS_OUT && worst.get(&frame).is_none_or(|o| o.z < z) {
                let outlier = Outlier {
                    frame: frame + 1,
                    atom: Some(atom + 1),
                    element: Some(element.symbol().to_owned()),
                    quantity: "force",
                    error,
                    z,
                    ids: ids(frame),
                };
                worst.insert(frame, outlier);
            }
        }
    }
    found.extend(worst.into_values());
    found.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()));
    found.truncate(most);
    found
}

/// Writes `outliers.txt`, a table, and `outliers.xyz`, the frames with the lengths of their force
/// errors in the column `force_error` (eV/Å), into a folder.
///
/// **Errors**: [`nepal::Error::Io`].
pub fn write_outliers(
    folder: &Path,
    outliers: &[Outlier],
    predictions: &[Prediction],
    frames: &[Frame],
) -> Result<()> {
    let mut text = String::from(
        "# frame  atom  element  quantity  error (eV/atom, eV/Å)  robust z  what the frame says of itself\n",
    );
    let mut kept: Vec<Frame> = Vec::new();
    let mut seen = Vec::new();
    for o in outliers {
        let atom = o.atom.map_or("-".into(), |a| a.to_string());
        let element = o.element.as_deref().unwrap_or("-");
        let ids: Vec<String> = o.ids.iter().map(|(k, v)| format!("{k}={v}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>7} {atom:>5} {element:>8} {:>9} {:>22.6} {:>9.1}  {}",
            o.frame,
            o.quantity,
            o.error,
            o.z,
            ids.join(" ")
        );
        let index = o.frame - 1;
        if seen.contains(&index) {
            continue;
        }
        seen.push(index);
        let mut frame = frames[index].clone();
        frame
            .info
            .insert("outlier_frame".into(), o.frame.to_string());
        frame
            .info
            .insert("outlier_quantity".into(), o.quantity.into());
        frame.info.insert("outlier_z".into(), format!("{:.2}", o.z));
        if let Some(forces) = &frame.forces {
            let pairs = forces.iter().zip(&predictions[index].forces);
            let errors = pairs
                .map(|(a, b)| (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f64>().sqrt())
                .collect();
            frame.set_real_column("force_error", 1, errors);
        }
        kept.push(frame);
    }
    write_atomically(&folder.join("outliers.txt"), text.as_bytes())?;
    xyz::write_frames(folder.join("outliers.xyz"), &kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict;
    use nepal::BackendKind;
    use nepal::model::Model;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn planted_mistakes_come_first_with_their_ids() {
        let data =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/data/gnep_trace");
        let model = Model::load(data.join("nep.txt")).unwrap();
        let some = xyz::read_frames(data.join("train.xyz")).unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let mut frames: Vec<Frame> = (0..30).map(|k| some[k % some.len()].clone()).collect();
        let predictions = predict(&model, &frames, BackendKind::Reference).unwrap();
        for (k, (frame, p)) in frames.iter_mut().zip(&predictions).enumerate() {
            let n = frame.len() as f64;
            frame.energy = Some(p.energy + 0.01 * n * (rng.random::<f64>() - 0.5));
            let mut forces = p.forces.clone();
            for x in forces.as_flattened_mut() {
                *x += 0.1 * (rng.random::<f64>() - 0.5);
            }
            frame.forces = Some(forces);
            frame.virial = None;
            frame.info.insert("source".into(), format!("run{k}"));
        }
        assert!(outliers(&predictions, &frames, 10).is_empty());
        frames[12].forces.as_mut().unwrap()[1][0] += 5.0;
        let energy = frames[20].energy.unwrap();
        frames[20].energy = Some(energy + 0.2 * frames[20].len() as f64);
        let found = outliers(&predictions, &frames, 10);
        assert_eq!(found.len(), 2, "{found:?}");
        let (force, energy) = (&found[0], &found[1]);
        assert_eq!(
            (force.frame, force.atom, force.quantity),
            (13, Some(2), "force")
        );
        assert_eq!(force.ids["source"], "run12");
        assert!((energy.error + 0.2).abs() < 0.01 && energy.frame == 21);
        assert_eq!(outliers(&predictions, &frames, 1).len(), 1);
        let dir = tempfile::tempdir().unwrap();
        write_outliers(dir.path(), &found, &predictions, &frames).unwrap();
        let kept = xyz::read_frames(dir.path().join("outliers.xyz")).unwrap();
        assert_eq!(kept[0].info["outlier_frame"], "13");
        let (errors, _) = kept[0].real_column("force_error").unwrap();
        assert!((errors[1] - 5.0).abs() < 0.2);
        let table = std::fs::read_to_string(dir.path().join("outliers.txt")).unwrap();
        assert_eq!(table.lines().count(), 3);
    }
}
