//! A fragment on its way to the host: as a struct of C, or as a frame of a file.

use super::fragment::nepal_fragment_t;
use super::system::Atoms;
use crate::fragment::{Fragment, Origin, to_frame, whole_to_frame};
use crate::grade::GradeKind;
use crate::model::Model;
use crate::system::frame::{Column, ColumnData};
use crate::system::{Cell, Frame, Structure};
use std::ffi::CString;

/// The atoms around a target, as the carving takes them.
pub(super) struct Parent {
    pub structure: Structure,
    /// Index of each atom among those of the caller.
    pub index: Vec<usize>,
    pub target: usize,
}

impl Parent {
    /// All atoms of the caller.
    pub fn whole(atoms: &Atoms<'_>, model: &Model, target: usize) -> Self {
        Self {
            structure: as_structure(atoms, model),
            index: (0..atoms.positions.len()).collect(),
            target,
        }
    }

    /// The atoms within `reach` along each axis, relative to the target, in an order that does not
    /// depend on how the caller numbers them.
    pub fn around(atoms: &Atoms<'_>, model: &Model, target: usize, reach: f64) -> Self {
        let origin = atoms.positions[target];
        let mut near: Vec<(usize, [f64; 3])> = atoms
            .positions
            .iter()
            .map(|r| std::array::from_fn(|a| r[a] - origin[a]))
            .enumerate()
            .filter(|(_, r): &(usize, [f64; 3])| r.iter().all(|x| x.abs() <= reach))
            .collect();
        // Images of one atom are lattice vectors apart, far more than this rounding.
        let key = |&(i, r): &(usize, [f64; 3])| (atoms.tag(i), r.map(|x| (x * 1e4).round() as i64));
        near.sort_by_key(key);
        let elements = near
            .iter()
            .map(|&(i, _)| model.elements()[atoms.types[i] as usize]);
        Self {
            structure: Structure {
                cell: Cell::isolated(),
                elements: elements.collect(),
                positions: near.iter().map(|&(_, r)| r).collect(),
            },
            target: near.iter().position(|&(i, _)| i == target).unwrap_or(0),
            index: near.into_iter().map(|(i, _)| i).collect(),
        }
    }
}

/// The caller's atoms as the carving takes them.
pub(super) fn as_structure(atoms: &Atoms<'_>, model: &Model) -> Structure {
    let elements = atoms.types.iter().map(|&t| model.elements()[t as usize]);
    Structure {
        cell: atoms.cell.clone(),
        elements: elements.collect(),
        positions: atoms.positions.to_vec(),
    }
}

/// What is told about a fragment's target.
pub(super) struct Target {
    pub tag: i64,
    /// Γ, γ, ρ.
    pub grade: [f64; 3],
    pub step: i64,
}

/// A fragment as C will see it.
pub(super) struct Delivery<'a> {
    pub structure: &'a Structure,
    tags: Vec<i64>,
    core: Vec<i32>,
    mask: Vec<f64>,
    target: usize,
    /// None for the whole structure of the caller.
    fragment: Option<&'a Fragment>,
    summary: CString,
}

/// A text for C, which ends at the first NUL.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

impl<'a> Delivery<'a> {
    pub fn of_fragment(fragment: &'a Fragment, tag: impl Fn(usize) -> i64) -> Self {
        Self {
            structure: &fragment.structure,
            tags: fragment
                .parent_index
                .iter()
                .map(|parent| parent.map_or(-1, &tag))
                .collect(),
            core: fragment.core.iter().map(|&c| i32::from(c)).collect(),
            mask: fragment.mask.clone(),
            target: fragment.target,
            fragment: Some(fragment),
            summary: c_text(&fragment.report.summary()),
        }
    }

    pub fn of_whole(
        parent: &'a Structure,
        target: usize,
        reason: &str,
        tag: impl Fn(usize) -> i64,
    ) -> Self {
        let n = parent.len();
        Self {
            structure: parent,
            tags: (0..n).map(tag).collect(),
            core: vec![1; n],
            mask: vec![1.0; n],
            target,
            fragment: None,
            summary: c_text(reason),
        }
    }

    pub fn with_view<R>(
        &self,
        types: &[u32],
        target: &Target,
        body: impl FnOnce(&nepal_fragment_t) -> R,
    ) -> R {
        let cell = &self.structure.cell;
        let flat = cell.vectors().as_flattened();
        body(&nepal_fragment_t {
            struct_size: size_of::<nepal_fragment_t>(),
            n_atoms: self.structure.len(),
            positions: self.structure.positions.as_ptr().cast(),
            types: types.as_ptr().cast(),
            tags: self.tags.as_ptr(),
            core: self.core.as_ptr(),
            mask: self.mask.as_ptr(),
            cell: std::array::from_fn(|k| flat[k]),
            periodic: cell.periodic().map(i32::from),
            whole: i32::from(self.fragment.is_none()),
            target: self.target,
            target_tag: target.tag,
            grade: target.grade[0],
            gamma: target.grade[1],
            rho: target.grade[2],
            step: target.step,
            grades: match self.fragment {
                Some(f) if !f.grade_after.is_empty() => f.grade_after.as_ptr(),
                _ => std::ptr::null(),
            },
            summary: self.summary.as_ptr(),
        })
    }

    /// The fragment as a frame, with the host's names of the atoms.
    pub fn frame(&self, target: &Target, kind: GradeKind) -> Frame {
        let [grade, gamma, rho] = target.grade;
        let origin = Origin {
            step: Some(target.step),
            grade: Some(grade),
            ..Origin::default()
        };
        let mut frame = match self.fragment {
            Some(fragment) => to_frame(fragment, &origin),
            None => whole_to_frame(self.structure, self.target, &origin),
        };
        frame.columns.retain(|column| column.name != "parent_id");
        frame.columns.push(Column {
            name: "parent_id".to_owned(),
            data: ColumnData::Integer {
                width: 1,
                values: self.tags.clone(),
            },
        });
        let mut note = |key: &str, value: String| frame.info.insert(key.to_owned(), value);
        note("parent_atom", target.tag.to_string());
        note("target_gamma", gamma.to_string());
        if !rho.is_nan() {
            note("target_rho", rho.to_string());
        }
        note("grade_kind", kind.to_string());
        frame
    }
}
