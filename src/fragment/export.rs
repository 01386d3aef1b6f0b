//! Fragments as frames of an extended XYZ file.

use super::outcome::{Fragment, FragmentReport};
use crate::system::Frame;
use crate::system::frame::{Column, ColumnData};

/// The fragment as an unlabelled frame: force mask, columns `core`, `grade` (with an active set) and
/// `parent_id` (-1 for an inserted atom), provenance in `info`, and the energy weighed by the share
/// of the atoms that count.
pub fn to_frame(fragment: &Fragment) -> Frame {
    let mut frame = Frame::new(fragment.structure.clone());
    let n = fragment.len().max(1) as f64;
    frame.energy_weight = fragment.mask.iter().sum::<f64>() / n;
    frame.force_mask = Some(fragment.mask.clone());
    let integers = |name: &str, values: Vec<i64>| Column {
        name: name.to_owned(),
        data: ColumnData::Integer { width: 1, values },
    };
    let core = fragment.core.iter().map(|&c| i64::from(c)).collect();
    frame.columns.push(integers("core", core));
    if !fragment.grade_after.is_empty() {
        frame.set_real_column("grade", 1, fragment.grade_after.clone());
    }
    let parents = fragment
        .parent_index
        .iter()
        .map(|p| p.map_or(-1, |index| index as i64))
        .collect();
    frame.columns.push(integers("parent_id", parents));
    for (key, value) in info(&fragment.report) {
        frame.info.insert(format!("fragment_{key}"), value);
    }
    frame
        .info
        .insert("fragment_target".into(), fragment.target.to_string());
    frame
}

/// Provenance, but for numbers that are not known.
fn info(report: &FragmentReport) -> Vec<(&'static str, String)> {
    let v = &report.verification;
    let mut pairs = vec![
        ("size", format!("{:.3}", report.size)),
        ("core_radius", report.core_radius.to_string()),
        ("cutoff", report.cutoff.to_string()),
        ("density_ratio", format!("{:.4}", report.density_ratio)),
        ("merged", report.merged.to_string()),
        ("deleted", report.deleted.to_string()),
        ("edited", report.edited.to_string()),
        ("neighbors", v.neighbors.to_string()),
        ("deviation", format!("{:.1e}", v.deviation)),
        ("cells_tried", report.cells_tried.to_string()),
        ("seed", report.seed.to_string()),
    ];
    if let Some(shape) = report.shape {
        pairs.push(("shape", shape.name().to_owned()));
    }
    let carved = report.stages.first().map_or(f64::NAN, |s| s.grade_max);
    let optional = [
        ("descriptor_deviation", v.descriptor_deviation),
        ("grade_max", v.grade),
        ("grade_max_carved", carved),
        ("grade_limit", v.grade_limit),
        ("force_max", v.force),
        ("parent_grade", report.parent_grade),
    ];
    for (key, value) in optional {
        if value.is_finite() {
            pairs.push((key, format!("{value:.6e}")));
        }
    }
    pairs
}
