//! Selection during a compute call: carve, hand over, learn.

use super::calculator::Inner;
use super::fragment::*;
use super::status::nepal_status_t;
use super::system::Atoms;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::fragment::{
    Fragment, FragmentOptions, Harvest, Mode, Outcome, Tally, Target as Selected, carve, extract,
};
use crate::grade::ActiveSet;
use crate::model::Model;
use crate::system::Structure;
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// Where a grade is worth a label: the habit of the field.
const DEFAULT_SAVE: f64 = 2.0;
/// A blown-up simulation has more candidates than anyone wants to wait for.
const DEFAULT_MAX_FRAGMENTS: u32 = 16;

pub(super) type Callback =
    unsafe extern "C" fn(*mut c_void, *const nepal_fragment_t) -> nepal_status_t;

/// A callback and how to serve it.
pub(super) struct Hook {
    callback: Callback,
    user_data: *mut c_void,
    save: f64,
    max_fragments: usize,
    options: FragmentOptions,
    /// Evaluates fragments while they are optimised; the calculator's own results must stay.
    optimiser: Option<Calculator>,
    pub tally: Tally,
    pub refusal: String,
}

impl Hook {
    pub fn new(
        inner: &Inner,
        given: &nepal_fragment_options_t,
        callback: Callback,
        user_data: *mut c_void,
    ) -> Result<Self> {
        let options = fragment_options(given, inner.calculator.model())?;
        let optimiser = if given.flags & NEPAL_FRAGMENT_OPTIMISE != 0 {
            Some(Calculator::new(
                Arc::clone(inner.calculator.model()),
                inner.backend,
            )?)
        } else {
            None
        };
        Ok(Self {
            callback,
            user_data,
            save: positive("save", given.save)?.unwrap_or(DEFAULT_SAVE),
            max_fragments: match given.max_fragments {
                0 => DEFAULT_MAX_FRAGMENTS,
                n => n,
            } as usize,
            options,
            optimiser,
            tally: Tally::default(),
            refusal: String::new(),
        })
    }
}

/// What C chose about the fragments themselves; zero means the default.
pub(super) fn fragment_options(
    given: &nepal_fragment_options_t,
    model: &Model,
) -> Result<FragmentOptions> {
    let known = NEPAL_FRAGMENT_OPTIMISE
        | NEPAL_FRAGMENT_KEEP_MOLECULES
        | NEPAL_FRAGMENT_ANGULAR
        | NEPAL_FRAGMENT_TOLERANT;
    if given.flags & !known != 0 {
        return Err(Error::invalid(format!(
            "the flags of the nepal_fragment_options_t are {:#x}; expected NEPAL_FRAGMENT_... flags or 0",
            given.flags
        )));
    }
    let mode = match given.flags & (NEPAL_FRAGMENT_ANGULAR | NEPAL_FRAGMENT_TOLERANT) {
        0 => Mode::Exact,
        NEPAL_FRAGMENT_ANGULAR => Mode::Angular,
        NEPAL_FRAGMENT_TOLERANT => Mode::Tolerant(Mode::TOLERANCE),
        _ => {
            return Err(Error::invalid(
                "the flags of the nepal_fragment_options_t have NEPAL_FRAGMENT_ANGULAR and NEPAL_FRAGMENT_TOLERANT; expected one of them or none",
            ));
        }
    };
    let default = FragmentOptions::default();
    let options = FragmentOptions {
        mode,
        core_radius: positive("core_radius", given.core_radius)?,
        max_size: positive("max_size", given.max_size)?,
        n_max: match given.max_atoms {
            0 => default.n_max,
            n => n,
        },
        keep_molecules: given.flags & NEPAL_FRAGMENT_KEEP_MOLECULES != 0,
        seed: given.seed,
        ..default
    };
    options.validate()?;
    let cutoff = model.cutoff();
    if mode == Mode::Exact && options.core_radius.is_some_and(|r| r < cutoff) {
        return Err(Error::invalid(format!(
            "`core_radius` of the nepal_fragment_options_t is {} Å; expected at least the model's cutoff {cutoff} Å",
            given.core_radius
        )));
    }
    Ok(options)
}

/// A number above 0, or none for 0.
fn positive(name: &str, value: f64) -> Result<Option<f64>> {
    match value {
        0.0 => Ok(None),
        x if x > 0.0 && x.is_finite() => Ok(Some(x)),
        x => Err(Error::invalid(format!(
            "`{name}` of the nepal_fragment_options_t is {x}; expected a positive number, or 0 for the default"
        ))),
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

/// Hands the environments above the threshold to the callback, after a computation with grades.
pub(super) fn deliver(inner: &mut Inner, atoms: &Atoms<'_>, truncated: bool) -> Result<()> {
    let Inner {
        calculator,
        hook: Some(hook),
        ..
    } = inner
    else {
        return Ok(());
    };
    let found = calculator.results();
    let Some(mut set) = calculator
        .active_set()
        .filter(|_| found.grade.iter().any(|&g| g > hook.save))
        .cloned()
    else {
        return Ok(());
    };
    let known = Arc::clone(&set);
    let model = Arc::clone(calculator.model());
    let parent = as_structure(atoms, &model);
    let tag = |i: usize| atoms.tags.map_or(i as i64, |tags| tags[i]);
    let harvest = Harvest {
        parent: &parent,
        found,
        names: atoms.tags,
        threshold: hook.save,
        max: hook.max_fragments,
    };
    let Hook {
        options,
        optimiser,
        tally,
        refusal,
        callback,
        user_data,
        ..
    } = hook;
    options.truncated = truncated;
    let make = |set: &Arc<ActiveSet>, atom: usize| match optimiser {
        Some(optimiser) => {
            optimiser.set_active_set(Some(Arc::clone(set)))?;
            let made = extract(optimiser, &parent, atom, options);
            // A set held in one place only learns without being copied.
            optimiser.set_active_set(None)?;
            made
        }
        None => carve(&model, &parent, atom, options),
    };
    let each = |selected: &Selected, outcome: &Outcome| {
        let parcel = match outcome {
            Outcome::Fragment(fragment) => Parcel::of_fragment(fragment, tag),
            Outcome::WholeParent { reason } => {
                Parcel::of_whole(&parent, selected.atom, reason, tag)
            }
            Outcome::Refused { reason } => {
                *refusal = reason.to_string();
                return Ok(());
            }
        };
        let target = Target {
            tag: tag(selected.atom),
            grade: [selected.grade, selected.gamma, selected.rho],
            step: atoms.step,
        };
        let types = model.types_of(&parcel.structure.elements)?;
        // SAFETY: the callback is the caller's, who promised that it may be called like this.
        let status =
            unsafe { parcel.with_view(&types, &target, |view| callback(*user_data, view)) };
        if status != 0 {
            return Err(Error::Callback(status));
        }
        Ok(())
    };
    let done = harvest.run(&model, &mut set, tally, make, each);
    if !Arc::ptr_eq(&set, &known) {
        calculator.set_active_set(Some(set))?;
    }
    done
}

/// What is told about a fragment's target.
pub(super) struct Target {
    pub tag: i64,
    /// Γ, γ, ρ.
    pub grade: [f64; 3],
    pub step: i64,
}

/// A fragment as C will see it.
pub(super) struct Parcel<'a> {
    pub structure: &'a Structure,
    tags: Vec<i64>,
    core: Vec<i32>,
    mask: Vec<f64>,
    target: usize,
    whole: bool,
    /// Γ of the fragment's atoms, empty if they were not graded.
    grades: &'a [f64],
    summary: CString,
}

/// A text for C, which ends at the first NUL.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

impl<'a> Parcel<'a> {
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
            whole: false,
            grades: &fragment.grade_after,
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
            whole: true,
            grades: &[],
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
            whole: i32::from(self.whole),
            target: self.target,
            target_tag: target.tag,
            grade: target.grade[0],
            gamma: target.grade[1],
            rho: target.grade[2],
            step: target.step,
            grades: match self.grades {
                [] => std::ptr::null(),
                grades => grades.as_ptr(),
            },
            summary: self.summary.as_ptr(),
        })
    }
}
