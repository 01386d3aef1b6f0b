//! Fragments, handed to a callback while a simulation runs.

use super::calculator::nepal_calculator_t;
use super::deliver::{Hook, Sink};
use super::handle;
use super::options::{self, SizedStruct};
use super::status::nepal_status_t;
use super::{arguments, text};
use crate::error::{Error, Result};
use std::ffi::{c_char, c_void};

/// Relax the boundary of each fragment and minimise its grade before it is handed over. Takes
/// hundreds of force evaluations of the fragment, during which the caller waits. Since: 0.1.
pub const NEPAL_FRAGMENT_OPTIMISE: u32 = 1;
/// Keep or drop molecules (atoms linked by covalent distances) as a whole. Since: 0.1.
pub const NEPAL_FRAGMENT_KEEP_MOLECULES: u32 = 2;
/// Keep only what the angular descriptors of the target see, and 0.5 Å more, exactly as it is; with
/// `NEPAL_FRAGMENT_OPTIMISE` the rest moves as long as the target's grade changes by 5 % at most.
/// Smaller fragments where the radial cutoff is the longer one. Since: 0.1.
pub const NEPAL_FRAGMENT_ANGULAR: u32 = 4;
/// As `NEPAL_FRAGMENT_ANGULAR`, for what is within 0.7 of the cutoff. Since: 0.1.
pub const NEPAL_FRAGMENT_TOLERANT: u32 = 8;

/// A small periodic structure around one atom whose grade is above the threshold.
///
/// What the target sees within the model's cutoff is what it sees in the simulation; the atoms
/// farther out are as the cut left them, or as the optimisation moved them.
///
/// Units: Å. Threads and ownership: all pointers are valid during the callback only.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_fragment_t {
    /// Size of this struct in the library; fields beyond it do not exist.
    pub struct_size: usize,
    /// Number of atoms.
    pub n_atoms: usize,
    /// Positions [n_atoms][3].
    pub positions: *const f64,
    /// Types [n_atoms].
    pub types: *const i32,
    /// The host's names of the atoms [n_atoms], -1 for an inserted one.
    pub tags: *const i64,
    /// 1 for atoms that stand where they stand in the simulation, 0 for others [n_atoms].
    pub core: *const i32,
    /// Weights of the forces in training [n_atoms], 0 to 1.
    pub mask: *const f64,
    /// Cell [3][3], one lattice vector a row.
    pub cell: [f64; 9],
    /// 1 along periodic lattice vectors, 0 along others.
    pub periodic: [i32; 3],
    /// 1 if this is the whole structure of the caller, too small to cut anything smaller from.
    pub whole: i32,
    /// Index of the target among these atoms.
    pub target: usize,
    /// The host's name of the target.
    pub target_tag: i64,
    /// Reported grade of the target in the simulation, before it entered the active set.
    pub grade: f64,
    /// γ of the target.
    pub gamma: f64,
    /// ρ of the target; NaN if the active set has no such part.
    pub rho: f64,
    /// The host's step.
    pub step: i64,
    /// Reported grade of each atom of the fragment [n_atoms]; NULL unless it was optimised.
    pub grades: *const f64,
    /// How it was made, in a sentence that ends with NUL.
    pub summary: *const c_char,
}

/// Gets a fragment. Returns 0 to go on, or a negative number to stop: the compute call then returns
/// that number, untouched.
///
/// Threads and ownership: called from within the compute call, on its thread. Copy what you want to
/// keep. Must not throw, jump out, or use the calculator.
///
/// Since: 0.1.
pub type nepal_fragment_callback_t = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        fragment: *const nepal_fragment_t,
    ) -> nepal_status_t,
>;

/// Which atoms are handed over, and how large their fragments are. Set up with
/// `NEPAL_FRAGMENT_OPTIONS_INIT`; zero means the default.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_fragment_options_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// Atoms whose reported grade is above this are selected. Default 1.5.
    pub save: f64,
    /// `NEPAL_FRAGMENT_...` flags or 0.
    pub flags: u32,
    /// Largest number of fragments tried in one call, so that a simulation that blows up does not
    /// stand still. Default 16; atoms left over come up again in the next call.
    pub max_fragments: u32,
    /// Radius around the target within which nothing moves, at least the cutoff. Å. Default: a
    /// little more than the cutoff.
    pub core_radius: f64,
    /// Largest distance between periodic images. Å. Default: what `max_atoms` allows.
    pub max_size: f64,
    /// Largest number of atoms of a fragment. Default 300.
    pub max_atoms: usize,
    /// Seed of everything random: the same calls give the same fragments.
    pub seed: u64,
}

// SAFETY: plain numbers, size first.
unsafe impl SizedStruct for nepal_fragment_options_t {
    const NAME: &'static str = "nepal_fragment_options_t";
}

/// Sets the callback that gets fragments, or removes it with NULL.
///
/// During a compute call with grades on, each local atom whose reported grade is above
/// `options.save` is selected, the largest grade first. Around it a small periodic structure is
/// carved and handed over; once the callback has returned 0, the atom's environment enters the
/// calculator's own copy of the active set, so that the same environment does not come back. Atoms
/// that are inside the set by then, or frozen part of a fragment of the same call, are passed over.
/// Where no fragment can be made nothing is handed over or learned; it is counted.
///
/// Grades that the call returns are those before its fragments entered the set.
///
/// `options` may be NULL for the defaults. Counts start again at 0.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for options out of range. Threads and ownership: one
/// thread at a time on a calculator, and not from its own callback; `user_data` is handed back to
/// the callback and must live as long as that is set.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_fragment_callback(
    calculator: *mut nepal_calculator_t,
    options: *const nepal_fragment_options_t,
    callback: nepal_fragment_callback_t,
    user_data: *mut c_void,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            inner.hook = match callback {
                None => None,
                Some(callback) => {
                    let options = options::given(options)?;
                    let sink = Sink::Callback(callback, user_data);
                    Some(Hook::new(inner, &options, sink)?)
                }
            };
            Ok(())
        })
    }
}

/// What became of the selected atoms since the callback was set.
///
/// `delivered` receives the number of fragments handed over; `covered` the number of atoms passed
/// over because a fragment of the same call speaks for them; `refused` the number of atoms around
/// which no fragment could be made.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL or without a callback. Threads: one at a time.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_fragment_counts(
    calculator: *mut nepal_calculator_t,
    delivered: *mut usize,
    covered: *mut usize,
    refused: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let counts = hook(&inner.hook)?.counts;
            arguments::number(delivered, counts.delivered, "delivered")?;
            arguments::number(covered, counts.covered, "covered")?;
            arguments::number(refused, counts.refused, "refused")
        })
    }
}

/// Why the last refused fragment could not be made, in a sentence; empty if none was refused.
///
/// Shapes: `buf` [capacity], filled with as much as fits and ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`
/// without a callback. Threads: one at a time.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_fragment_refusal(
    calculator: *mut nepal_calculator_t,
    buf: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            text::write(&hook(&inner.hook)?.refusal, buf, capacity, needed)
        })
    }
}

fn hook(hook: &Option<Hook>) -> Result<&Hook> {
    hook.as_ref().ok_or_else(|| {
        Error::invalid("the calculator has no fragment callback; set one before asking about it")
    })
}
