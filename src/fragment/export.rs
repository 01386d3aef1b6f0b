//! Fragments as frames of an extended XYZ file.

use super::outcome::{Fragment, FragmentReport};
use crate::system::frame::{Column, ColumnData};
use crate::system::{Frame, Structure};

/// Where a fragment comes from; what is not known is left out of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Frame of the parent in its file, counted from 0.
    pub parent_frame: Option<usize>,
    /// Hash of the parent.
    pub parent_hash: Option<String>,
    /// Step of the simulation.
    pub step: Option<i64>,
    /// Grade Γ of the target when it was selected, before anything was learned from its frame.
    pub grade: Option<f64>,
}

/// The fragment as an unlabelled frame.
///
/// Columns: `mask` (weights of the forces in training), `core` (1 for atoms that stand where they
/// stand in the parent), `parent_id` (the parent's atom, -1 for an inserted one), and with an active
/// set `grade` and `grade_carved`, Γ in the end and as carved. The energy is weighed by the share
/// of the atoms that count.
///
/// Keys: `parent_frame`, `parent_atom`, `parent_hash`, `step`, `target`; `target_grade` (Γ of the
/// target in the parent) and `target_grade_after` (in the fragment), `grade_before` and
/// `grade_after` (largest Γ of a movable atom as carved and in the end); settings and the numbers of
/// the verification begin with `fragment_`. Counts are from 0.
pub fn to_frame(fragment: &Fragment, origin: &Origin) -> Frame {
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
        frame.set_real_column("grade_carved", 1, fragment.grade_before.clone());
    }
    let parents = fragment
        .parent_index
        .iter()
        .map(|p| p.map_or(-1, |index| index as i64))
        .collect();
    frame.columns.push(integers("parent_id", parents));
    let parent_atom = fragment.parent_index[fragment.target];
    note_origin(&mut frame, fragment.target, parent_atom, origin);
    let mut note = |key: &str, value: String| {
        frame.info.insert(key.to_owned(), value);
    };
    let report = &fragment.report;
    let v = &report.verification;
    let carved = report.stages.first().map_or(f64::NAN, |s| s.grade_max);
    let grades = [
        ("target_grade", origin.grade.unwrap_or(v.target_grade[0])),
        ("target_grade_after", v.target_grade[1]),
        ("grade_before", carved),
        ("grade_after", v.grade),
    ];
    for (key, value) in grades {
        // Infinite where an element has no active set: worth telling.
        if !value.is_nan() {
            note(key, value.to_string());
        }
    }
    for (key, value) in settings(report) {
        note(&format!("fragment_{key}"), value);
    }
    frame
}

/// A parent that is labelled whole, with the columns and keys of a fragment.
pub fn whole_to_frame(parent: &Structure, target: usize, origin: &Origin) -> Frame {
    let mut frame = Frame::new(parent.clone());
    let n = parent.len();
    frame.force_mask = Some(vec![1.0; n]);
    for (name, values) in [
        ("core", vec![1; n]),
        ("parent_id", (0..n as i64).collect::<Vec<i64>>()),
    ] {
        frame.columns.push(Column {
            name: name.to_owned(),
            data: ColumnData::Integer { width: 1, values },
        });
    }
    note_origin(&mut frame, target, Some(target), origin);
    if let Some(grade) = origin.grade {
        frame.info.insert("target_grade".into(), grade.to_string());
    }
    frame.info.insert("fragment_mode".into(), "whole".into());
    frame
}

fn note_origin(frame: &mut Frame, target: usize, atom: Option<usize>, origin: &Origin) {
    let pairs = [
        ("target", Some(target.to_string())),
        ("parent_atom", atom.map(|a| a.to_string())),
        ("parent_frame", origin.parent_frame.map(|f| f.to_string())),
        ("parent_hash", origin.parent_hash.clone()),
        ("step", origin.step.map(|s| s.to_string())),
    ];
    for (key, value) in pairs {
        if let Some(value) = value {
            frame.info.insert(key.into(), value);
        }
    }
}

/// Settings and verification, but for numbers that are not known.
fn settings(report: &FragmentReport) -> Vec<(&'static str, String)> {
    let v = &report.verification;
    let mut pairs = vec![
        ("mode", report.mode.name().to_owned()),
        ("size", format!("{:.3}", report.size)),
        ("core_radius", report.core_radius.to_string()),
        ("cutoff", report.cutoff.to_string()),
        ("density_ratio", format!("{:.4}", report.density_ratio)),
        ("merged", report.merged.to_string()),
        ("deleted", report.deleted.to_string()),
        ("edited", report.edited.to_string()),
        ("neighbors", v.neighbors.to_string()),
        ("deviation", format!("{:.1e}", v.deviation)),
        ("cells_considered", report.cells_considered.to_string()),
        ("cells_tried", report.cells_tried.to_string()),
        ("seed", report.seed.to_string()),
    ];
    if report.neutrality.left != 0.0 {
        pairs.push(("charge", report.neutrality.left.to_string()));
    }
    if let Some(shape) = report.shape {
        pairs.push(("shape", shape.name().to_owned()));
    }
    let optional = [
        ("descriptor_deviation", v.descriptor_deviation),
        ("contact", v.contact),
        ("grade_limit", v.grade_limit),
        ("force_max", v.force),
        ("energy_above", v.energy),
        ("long_range_error", v.long_range),
        ("parent_grade", report.parent_grade),
    ];
    for (key, value) in optional {
        if value.is_finite() {
            pairs.push((key, format!("{value:.6e}")));
        }
    }
    pairs
}
