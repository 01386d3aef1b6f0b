//! Active sets from structures, and what can be asked about any set.

use super::active_set::{
    Kept, NEPAL_GRADE_COMPAT, NEPAL_GRADE_RIDGE, NEPAL_GRADE_TWO_PART, nepal_active_set_t,
};
use super::arguments::{check, input, output};
use super::calculator::backend_kind;
use super::guard::guard;
use super::handle;
use super::model::nepal_model_t;
use super::options::{self, SizedStruct};
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_structure_t};
use super::threads::Threads;
use super::{arguments, text};
use crate::backend::Request;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, BuildOptions, Features, GradeKind};
use std::ffi::c_char;
use std::sync::Arc;

/// How an active set is built. Set up with `NEPAL_ACTIVE_SET_OPTIONS_INIT`; zero means the default.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_active_set_options_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// `NEPAL_GRADE_...`; the default is `NEPAL_GRADE_RIDGE`.
    pub kind: u32,
    /// `NEPAL_BACKEND_...` that evaluates the structures.
    pub backend: u32,
    /// Compatible form: largest γ that an environment of the structures may have, above 1. Default 1.001.
    pub tolerance: f64,
    /// Ridge form: a grade of 1 is so small a part of the way from an ordinary environment to the free
    /// atom. Default 50. `tau` was here in version 0.1.
    pub resolution: f64,
    /// Not looked at: nothing is drawn any more.
    pub seed: u64,
}

// SAFETY: plain numbers, size first.
unsafe impl SizedStruct for nepal_active_set_options_t {
    const NAME: &'static str = "nepal_active_set_options_t";
}

impl nepal_active_set_options_t {
    fn build_options(&self) -> Result<BuildOptions> {
        let mut build = match self.kind {
            0 | NEPAL_GRADE_RIDGE => BuildOptions::default(),
            NEPAL_GRADE_COMPAT => BuildOptions::compat(),
            NEPAL_GRADE_TWO_PART => "two-part"
                .parse()
                .map(|_: GradeKind| BuildOptions::default())?,
            other => {
                return Err(Error::invalid(format!(
                    "`kind` of the {} is {other}; expected NEPAL_GRADE_COMPAT (1), NEPAL_GRADE_RIDGE (3), or 0 for the default",
                    Self::NAME
                )));
            }
        };
        if self.tolerance != 0.0 {
            build.tolerance = self.tolerance;
        }
        if self.resolution != 0.0 {
            build.resolution = self.resolution;
        }
        Ok(build)
    }
}

/// Builds the active set of a model over structures, as a rule its training data.
///
/// All environments are held in memory: 8 bytes times atoms times projection length.
///
/// Shapes: `structures` [n_structures], each a pointer to a structure; `tags` and `step` are not
/// looked at. `options` may be NULL for the defaults. `active_set` is set to NULL first and filled
/// on success.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for options out of range and for a structure that
/// `nepal_calculator_compute` would refuse; the text says which, counted from 0.
///
/// Threads and ownership: any thread; the caller frees with `nepal_active_set_free`.
///
/// Source: ridge leverage scores (Alaoui and Mahoney 2015), and MaxVol (Goreinov et al. 2010), of the
/// gradients of the network.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_build(
    model: *const nepal_model_t,
    structures: *const *const nepal_structure_t,
    n_structures: usize,
    options: *const nepal_active_set_options_t,
    active_set: *mut *mut nepal_active_set_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::make(active_set, || {
            let model = handle::shared(model)?;
            let options = options::given(options)?;
            let build = options.build_options()?;
            let mut calculator =
                Calculator::new(Arc::clone(model), backend_kind(options.backend)?)?;
            let mut features = Features::new(model);
            let threads = Threads::new(0)?;
            let structures = input(structures, n_structures, "structures")?;
            for (number, &structure) in structures.iter().enumerate() {
                let in_structure = |error| match error {
                    Error::InvalidArgument(text) => {
                        Error::invalid(format!("structure {number}: {text}"))
                    }
                    other => other,
                };
                let given = options::read(structure).map_err(in_structure)?;
                let atoms = Atoms::of_structure(&given, model).map_err(in_structure)?;
                let view = atoms.view();
                threads
                    .run(|| calculator.compute(view, Request::PROJECTIONS).map(|_| ()))
                    .map_err(in_structure)?;
                let found = calculator.results();
                features.push_atoms(number as u32, &atoms.types, &found.projections)?;
            }
            let (set, report) = threads.run(|| {
                ActiveSet::build_on(calculator.volume()?, model, &features, &build, None)
            })?;
            Ok(Kept {
                set: Arc::new(set),
                report: report.to_string(),
            })
        })
    }
}

/// Writes a set: `.asi` text in the compatible form, which GPUMD reads, nepal's own format otherwise.
///
/// An existing file is replaced by a complete one or not at all.
///
/// Errors: `NEPAL_STATUS_IO`.
///
/// Threads and ownership: any number of threads, each with its own file.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_save(
    active_set: *const nepal_active_set_t,
    path: *const c_char,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        let (kept, path) = unsafe { (handle::shared(active_set)?, text::path(path, "path")?) };
        kept.set.save(path)
    })
}

/// Number of active environments of a type, 0 if nothing is known about it.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL and for a type that the model lacks. Threads:
/// any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_rank(
    active_set: *const nepal_active_set_t,
    r#type: i32,
    rank: *mut usize,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let set = &handle::shared(active_set)?.set;
            arguments::number(rank, set.rank(type_index(set, r#type)?), "rank")
        }
    })
}

/// How a set was built, a line for each element, with what was done beyond the ordinary; empty for a
/// set that was read from a file.
///
/// Shapes: `buf` [capacity], filled with as much as fits and ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`.
/// Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_report(
    active_set: *const nepal_active_set_t,
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let report = &handle::shared(active_set)?.report;
            text::write(report, buf, capacity, needed)
        }
    })
}

/// Grades of projections of one type, as a computation with grades gives them.
///
/// Shapes: `projections` [n_rows][projection length]; `gamma`, `rho` and `grade` [n_rows], NULL if
/// not wanted.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL, for a type that the model lacks, and for one
/// that an `.asi` file says nothing about. Threads: any number.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_active_set_grade(
    active_set: *const nepal_active_set_t,
    r#type: i32,
    projections: *const f64,
    n_rows: usize,
    gamma: *mut f64,
    rho: *mut f64,
    grade: *mut f64,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let set = &handle::shared(active_set)?.set;
            let t = type_index(set, r#type)?;
            for (place, name) in [(gamma, "gamma"), (rho, "rho"), (grade, "grade")] {
                if !place.is_null() {
                    check(place, n_rows, name)?;
                }
            }
            let count = n_rows.saturating_mul(set.width());
            let rows = input(projections, count, "projections")?;
            let found = Threads::new(0)?.run(|| set.grade_rows(t, rows))?;
            let column = |pick: fn(&crate::grade::Grade) -> f64| -> Vec<f64> {
                found.iter().map(pick).collect()
            };
            output(gamma, &column(|g| g.gamma), "gamma")?;
            output(rho, &column(|g| g.rho), "rho")?;
            output(grade, &column(|g| g.total), "grade")
        }
    })
}

fn type_index(set: &ActiveSet, given: i32) -> Result<usize> {
    usize::try_from(given)
        .ok()
        .filter(|&t| t < set.elements().len())
        .ok_or_else(|| {
            Error::invalid(format!(
                "type {given} does not exist; the active set has the types 0 to {}",
                set.elements().len() - 1
            ))
        })
}
