//! The C functions as this program calls them, with the handles freed at the end.

use crate::support::root;
use nepal::capi::active_set::*;
use nepal::capi::calculator::*;
use nepal::capi::model::*;
use nepal::capi::results::nepal_results_t;
use nepal::capi::status::*;
use nepal::capi::system::*;
use std::ffi::CString;
use std::ptr::null;

/// Text of the thread's last error.
pub fn last_error() -> String {
    let mut buf = [0u8; 2000];
    let mut needed = 0;
    // SAFETY: the buffer has the size that is told.
    let status = unsafe { nepal_last_error(buf.as_mut_ptr().cast(), buf.len(), &mut needed) };
    assert_eq!(status, NEPAL_STATUS_SUCCESS);
    String::from_utf8(buf[..needed - 1].to_vec()).expect("UTF-8")
}

/// Panics with the last error unless a call succeeded.
#[track_caller]
pub fn ok(status: nepal_status_t) {
    assert_eq!(status, NEPAL_STATUS_SUCCESS, "{}", last_error());
}

/// A text for C.
pub fn c(text: &str) -> CString {
    CString::new(text).expect("no NUL inside")
}

/// The path of a file of `examples/data`.
pub fn example(name: &str) -> CString {
    c(root()
        .join("examples/data")
        .join(name)
        .to_str()
        .expect("UTF-8"))
}

/// Model, active set and calculator of the examples.
pub struct Handles {
    pub model: *mut nepal_model_t,
    pub active_set: *mut nepal_active_set_t,
    pub calculator: *mut nepal_calculator_t,
}

impl Handles {
    pub fn new() -> Self {
        let mut handles = Self {
            model: std::ptr::null_mut(),
            active_set: std::ptr::null_mut(),
            calculator: std::ptr::null_mut(),
        };
        // SAFETY: texts that end with NUL, places that exist.
        unsafe {
            ok(nepal_model_load(
                example("nep.txt").as_ptr(),
                &mut handles.model,
            ));
            let path = example("active_set.nas");
            ok(nepal_active_set_load(
                path.as_ptr(),
                handles.model,
                &mut handles.active_set,
            ));
            ok(nepal_calculator_new(
                handles.model,
                null(),
                &mut handles.calculator,
            ));
            ok(nepal_calculator_set_active_set(
                handles.calculator,
                handles.active_set,
            ));
        }
        handles
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once.
        unsafe {
            nepal_calculator_free(self.calculator);
            nepal_active_set_free(self.active_set);
            nepal_model_free(self.model);
        }
    }
}

/// A struct as its macro sets it up.
pub fn init<T>() -> T {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the structs of the ABI begin with their size, and zero is valid for the rest.
    unsafe {
        value.as_mut_ptr().cast::<usize>().write(size_of::<T>());
        value.assume_init()
    }
}

/// The eight atoms of the examples, owned.
pub struct Atoms {
    pub positions: Vec<[f64; 3]>,
    pub types: Vec<i32>,
    pub cell: [[f64; 3]; 3],
    pub tags: Vec<i64>,
}

impl Atoms {
    pub fn new() -> Self {
        let frames = nepal::system::xyz::read_frames(root().join("examples/data/si8.xyz"));
        let structure = frames.expect("the example's atoms").remove(0).structure;
        Self {
            types: vec![0; structure.len()],
            tags: (0..structure.len() as i64).map(|i| 100 + i).collect(),
            cell: *structure.cell.vectors(),
            positions: structure.positions,
        }
    }

    /// As C sees them.
    pub fn view(&self) -> nepal_structure_t {
        nepal_structure_t {
            n_atoms: self.types.len(),
            positions: self.positions.as_ptr().cast(),
            types: self.types.as_ptr(),
            cell: self.cell.as_ptr().cast(),
            periodic: [1; 3],
            tags: self.tags.as_ptr(),
            ..init()
        }
    }
}

/// Places for all results.
pub struct Places {
    pub energy: f64,
    pub energies: Vec<f64>,
    pub forces: Vec<[f64; 3]>,
    pub virial: [f64; 9],
    pub virials: Vec<[f64; 9]>,
    pub descriptors: Vec<f64>,
    pub projections: Vec<f64>,
    pub gamma: Vec<f64>,
    pub rho: Vec<f64>,
    pub grade: Vec<f64>,
}

impl Places {
    /// Places filled with NaN, which shows what was written.
    pub fn new(model: *const nepal_model_t, n_local: usize, n_total: usize) -> Self {
        let (mut dim, mut width) = (0, 0);
        // SAFETY: a live handle.
        unsafe {
            ok(nepal_model_dim(model, &mut dim));
            ok(nepal_model_projection_length(model, &mut width));
        }
        let nan = f64::NAN;
        Self {
            energy: nan,
            energies: vec![nan; n_local],
            forces: vec![[nan; 3]; n_total],
            virial: [nan; 9],
            virials: vec![[nan; 9]; n_total],
            descriptors: vec![nan; n_local * dim],
            projections: vec![nan; n_local * width],
            gamma: vec![nan; n_local],
            rho: vec![nan; n_local],
            grade: vec![nan; n_local],
        }
    }

    /// As C sees them.
    pub fn view(&mut self) -> nepal_results_t {
        nepal_results_t {
            energy: &mut self.energy,
            energies: self.energies.as_mut_ptr(),
            forces: self.forces.as_mut_ptr().cast(),
            virial: self.virial.as_mut_ptr(),
            virials: self.virials.as_mut_ptr().cast(),
            descriptors: self.descriptors.as_mut_ptr(),
            projections: self.projections.as_mut_ptr(),
            gamma: self.gamma.as_mut_ptr(),
            rho: self.rho.as_mut_ptr(),
            grade: self.grade.as_mut_ptr(),
            ..init()
        }
    }
}
