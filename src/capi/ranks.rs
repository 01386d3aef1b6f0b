//! Agreement between the processes of a parallel host.

use super::calculator::nepal_calculator_t;
use super::handle;
use super::options::{self, SizedStruct};
use super::status::nepal_status_t;
use super::system::Atoms;
use crate::error::{Error, Result};
use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Gives every process what all of them hold, in the order of their ranks, as `MPI_Allgather` does.
///
/// `send` has `bytes` bytes, `receive` has room for `n_ranks` times as many. Returns 0, or a negative
/// number: the compute call then returns it.
///
/// Since: 0.1.
pub type nepal_gather_callback_t = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        send: *const c_void,
        bytes: usize,
        receive: *mut c_void,
    ) -> nepal_status_t,
>;

/// Gives every process what one of them holds, as `MPI_Bcast` does.
///
/// `data` has `bytes` bytes, to be read on the process `root` and filled on the others. Returns 0, or
/// a negative number: the compute call then returns it.
///
/// Since: 0.1.
pub type nepal_broadcast_callback_t = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        root: i32,
        data: *mut c_void,
        bytes: usize,
    ) -> nepal_status_t,
>;

/// Replaces each of `n` numbers by its sum over all processes, the same on all of them, as
/// `MPI_Allreduce` with `MPI_SUM` does. Returns as the others do.
///
/// Since: 0.2.
pub type nepal_sum_callback_t = Option<
    unsafe extern "C" fn(user_data: *mut c_void, numbers: *mut f64, n: usize) -> nepal_status_t,
>;

/// Fills in numbers of ghosts: `numbers` has one for each atom of the host list that is computed
/// [n_total], those of local atoms are given. Returns as the others do.
///
/// Since: 0.2.
pub type nepal_forward_callback_t =
    Option<unsafe extern "C" fn(user_data: *mut c_void, numbers: *mut f64) -> nepal_status_t>;

/// How the processes that share a system talk to each other. Set up with `NEPAL_RANKS_INIT`.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_ranks_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// Number of this process, from 0.
    pub rank: i32,
    /// Number of processes.
    pub n_ranks: i32,
    /// Gives all what all hold.
    pub gather: nepal_gather_callback_t,
    /// Gives all what one holds.
    pub broadcast: nepal_broadcast_callback_t,
    /// Handed to all functions; must live as long as the calculator has this struct.
    pub user_data: *mut c_void,
    /// Sums numbers over all; NULL: `gather` serves, which takes more memory. Since: 0.2.
    pub sum: nepal_sum_callback_t,
    /// Fills in numbers of ghosts; NULL: found by their `tags`, through `gather`. Since: 0.2.
    pub forward: nepal_forward_callback_t,
}

// SAFETY: plain numbers, pointers and optional functions, size first.
unsafe impl SizedStruct for nepal_ranks_t {
    const NAME: &'static str = "nepal_ranks_t";
}

/// Makes the processes of a parallel host agree on which fragments are cut, and sums charges and
/// dispersion over all of them.
///
/// `nepal_calculator_compute_list` is then to be called by all processes together, with the same
/// results asked for, where it has grades and a fragment callback or file, and where a model with
/// charges or dispersion is asked for more than features and grades. If such a call fails on one
/// process it fails on all: with its own status there, and with `NEPAL_STATUS_FAILED` and the same
/// text elsewhere.
///
/// Fragments: the worst atom of the whole system comes first, is served by the process that owns it,
/// and enters the active set of all, so that fragments do not depend on the number of processes. For
/// that `nepal_host_list_t.known` must be given and `tags` must name atoms across processes.
///
/// Charges and dispersion: `nepal_host_list_t.cell` is the cell of all atoms, and `forward` or `tags`
/// say whose atoms the ghosts are. Results are those of this process's atoms, which add up to those of
/// the whole system. Without this call a host list is the whole system.
///
/// `ranks` may be NULL: each process for itself again.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for a rank out of range or a missing function. Threads
/// and ownership: one thread at a time on a calculator; the struct is copied.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_ranks(
    calculator: *mut nepal_calculator_t,
    ranks: *const nepal_ranks_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            inner.ranks = if ranks.is_null() {
                Ranks::default()
            } else {
                Ranks::new(&options::read(ranks)?)?
            };
            Ok(())
        })
    }
}

/// What a process offers to the others: the atom that it wants to cut out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bid {
    /// Larger goes first.
    pub order: i64,
    /// Decides between equals: the smaller goes first.
    pub tag: std::cmp::Reverse<i64>,
}

/// The processes, or this one alone.
#[derive(Default)]
pub(super) struct Ranks {
    /// What a panic left that the other ranks had to hear of first.
    panic: Cell<Option<Box<dyn Any + Send>>>,
    /// Whether all ranks know that the call failed.
    told: Cell<bool>,
    together: Option<Together>,
}

struct Together {
    rank: usize,
    n_ranks: usize,
    gather: unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut c_void) -> nepal_status_t,
    broadcast: unsafe extern "C" fn(*mut c_void, i32, *mut c_void, usize) -> nepal_status_t,
    sum: nepal_sum_callback_t,
    forward: nepal_forward_callback_t,
    user_data: *mut c_void,
}

/// First number of what a process says in [`Ranks::hear`].
const NOTHING: i64 = 0;
const BIDS: i64 = 1;
const FAILED: i64 = 2;
const SUMS: i64 = 3;
const GHOSTS: i64 = 4;

impl Ranks {
    fn new(given: &nepal_ranks_t) -> Result<Self> {
        let (rank, n_ranks) = (given.rank, given.n_ranks);
        if n_ranks < 1 || rank < 0 || rank >= n_ranks {
            return Err(Error::invalid(format!(
                "the nepal_ranks_t has rank {rank} of {n_ranks}; expected 0 to n_ranks - 1"
            )));
        }
        let (Some(gather), Some(broadcast)) = (given.gather, given.broadcast) else {
            return Err(Error::invalid(
                "`gather` or `broadcast` of the nepal_ranks_t is NULL; expected functions",
            ));
        };
        Ok(Self {
            panic: Cell::default(),
            told: Cell::default(),
            together: Some(Together {
                rank: rank as usize,
                n_ranks: n_ranks as usize,
                gather,
                broadcast,
                sum: given.sum,
                forward: given.forward,
                user_data: given.user_data,
            }),
        })
    }

    /// Runs what may panic while other ranks wait for this one: a panic is an error for now, so that they
    /// can be told, and goes on with [`Ranks::resume`].
    pub fn caught<R>(&self, body: impl FnOnce() -> Result<R>) -> Result<R> {
        if self.together.is_none() {
            return body();
        }
        catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
            self.panic.set(Some(payload));
            Err(Error::Internal(
                "a panic on one rank; please report it".into(),
            ))
        })
    }

    /// Lets a panic that was caught go on its way.
    pub fn resume(&self) {
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
    }

    /// Number of this process.
    pub fn me(&self) -> usize {
        self.together.as_ref().map_or(0, |t| t.rank)
    }

    /// Number of processes.
    pub fn count(&self) -> usize {
        self.together.as_ref().map_or(1, |t| t.n_ranks)
    }

    /// Whether all processes know that the call failed; forgets it for the next.
    pub fn told(&self) -> bool {
        self.told.take()
    }

    /// What all processes say, or an error on all if one has an error.
    fn hear(&self, mine: Result<[i64; 3]>) -> Result<Vec<[i64; 3]>> {
        let Some(together) = &self.together else {
            return mine.map(|words| vec![words]);
        };
        let all = together.hear(mine);
        self.told.set(all.is_err());
        all
    }

    /// Sums numbers over all processes.
    pub fn sum(&self, mut numbers: Vec<f64>) -> Result<Vec<f64>> {
        let Some(together) = &self.together else {
            return Ok(numbers);
        };
        let n = numbers.len();
        let all = self.hear(Ok([SUMS, n as i64, 0]))?;
        if let Some(other) = all.iter().find(|w| w[..2] != [SUMS, n as i64]) {
            self.told.set(true);
            return Err(Error::invalid(format!(
                "this process sums {n} numbers and another {}; call all together, with the same cell and results",
                other[1]
            )));
        }
        let Some(sum) = together.sum else {
            let all = together.gather(&numbers)?;
            numbers.fill(0.0);
            for mine in all.chunks_exact(n.max(1)) {
                numbers.iter_mut().zip(mine).for_each(|(to, x)| *to += x);
            }
            return Ok(numbers);
        };
        // SAFETY: the host's function, called as it was promised.
        checked(unsafe { sum(together.user_data, numbers.as_mut_ptr(), n) })?;
        Ok(numbers)
    }

    /// Numbers of the local atoms, and of the ghosts after them.
    pub fn with_ghosts(&self, atoms: &Atoms<'_>, mut numbers: Vec<f64>) -> Result<Vec<f64>> {
        let (n_local, n_total) = (numbers.len(), atoms.positions.len());
        let together = self.together.as_ref();
        if let Some((together, forward)) = together.and_then(|t| Some((t, t.forward?))) {
            self.hear(Ok([GHOSTS, 0, 0]))?;
            numbers.resize(n_total, 0.0);
            // SAFETY: the host's function, called as it was promised.
            checked(unsafe { forward(together.user_data, numbers.as_mut_ptr()) })?;
            return Ok(numbers);
        }
        if atoms.tags.is_none() && n_total > n_local {
            return Err(Error::invalid(
                "the ghosts have charges of other atoms, but `tags` of the nepal_host_list_t is NULL; name the atoms, \
                 or give `forward` in the nepal_ranks_t",
            ));
        }
        let counts = self.hear(Ok([GHOSTS, n_local as i64, 0]))?;
        let longest = counts.iter().map(|w| w[1] as usize).max().unwrap_or(0);
        let mut pairs: Vec<(i64, f64)> = (numbers.iter().enumerate())
            .map(|(i, &x)| (atoms.tag(i), x))
            .collect();
        if let Some(together) = together {
            pairs.resize(longest, (0, 0.0));
            pairs = together.gather(&pairs)?;
        }
        let owned = pairs.chunks(longest.max(1)).zip(&counts);
        let found: HashMap<i64, f64> = owned
            .flat_map(|(pairs, words)| pairs[..words[1] as usize].iter().copied())
            .collect();
        for i in n_local..n_total {
            numbers.push(*found.get(&atoms.tag(i)).ok_or_else(|| {
                Error::invalid(format!(
                    "ghost {i} has the tag {}, which no process has among its atoms",
                    atoms.tag(i)
                ))
            })?);
        }
        Ok(numbers)
    }

    /// The largest bid and whose it is, or an error on all processes if one has an error.
    pub fn agree(&self, mine: Result<Option<Bid>>) -> Result<Option<(usize, Bid)>> {
        let words =
            |bid: Option<Bid>| bid.map_or([NOTHING, 0, 0], |bid| [BIDS, bid.order, bid.tag.0]);
        let all = self.hear(mine.map(words))?;
        Ok(all
            .iter()
            .enumerate()
            .filter(|(_, w)| w[0] == BIDS)
            .map(|(rank, w)| {
                let bid = Bid {
                    order: w[1],
                    tag: std::cmp::Reverse(w[2]),
                };
                (rank, bid)
            })
            .max_by_key(|&(rank, bid)| (bid, std::cmp::Reverse(rank))))
    }

    /// Gives all processes the numbers that `root` has, or its error.
    pub fn share(&self, root: usize, mine: Option<Result<Vec<u64>>>) -> Result<Vec<u64>> {
        let mine = mine.unwrap_or_else(|| Ok(Vec::new()));
        let Some(together) = &self.together else {
            return mine;
        };
        let mut head = [0u64, 0];
        if let Ok(numbers) = &mine {
            head = [1, numbers.len() as u64];
        }
        together.broadcast(root, &mut head)?;
        match mine {
            _ if head[0] == 1 => {
                let mut numbers = mine.unwrap_or_default();
                numbers.resize(head[1] as usize, 0);
                together.broadcast(root, &mut numbers)?;
                Ok(numbers)
            }
            mine => {
                let mut text = mine.as_ref().err().map_or(String::new(), Error::to_string);
                together.share_text(root, &mut text)?;
                Err(mine.err().unwrap_or(Error::Failed(text)))
            }
        }
    }
}

impl Together {
    fn hear(&self, mine: Result<[i64; 3]>) -> Result<Vec<[i64; 3]>> {
        let all = self.gather(&[*mine.as_ref().unwrap_or(&[FAILED, 0, 0])])?;
        if let Some(first) = all.iter().position(|w| w[0] == FAILED) {
            let mut text = mine.as_ref().err().map_or(String::new(), Error::to_string);
            self.share_text(first, &mut text)?;
            return Err(mine.err().unwrap_or(Error::Failed(text)));
        }
        Ok(all)
    }

    /// What all have, one after the other; all have equally much.
    fn gather<T: Copy + Default>(&self, mine: &[T]) -> Result<Vec<T>> {
        let mut all = vec![T::default(); mine.len() * self.n_ranks];
        // SAFETY: the host's function, called as it was promised; the room is there, and only numbers are
        // sent, for which every bit pattern is valid.
        checked(unsafe {
            (self.gather)(
                self.user_data,
                mine.as_ptr().cast(),
                size_of_val(mine),
                all.as_mut_ptr().cast(),
            )
        })
        .map(|()| all)
    }

    fn broadcast<T: Copy>(&self, root: usize, data: &mut [T]) -> Result<()> {
        // SAFETY: as above; only integers are sent, for which every bit pattern is valid.
        checked(unsafe {
            (self.broadcast)(
                self.user_data,
                root as i32,
                data.as_mut_ptr().cast(),
                size_of_val(data),
            )
        })
    }

    fn share_text(&self, root: usize, text: &mut String) -> Result<()> {
        let mut length = [text.len() as u64];
        self.broadcast(root, &mut length)?;
        let mut bytes = std::mem::take(text).into_bytes();
        bytes.resize(length[0] as usize, 0);
        self.broadcast(root, &mut bytes)?;
        *text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    }
}

fn checked(status: nepal_status_t) -> Result<()> {
    match status {
        0 => Ok(()),
        status => Err(Error::Callback(status)),
    }
}

#[cfg(test)]
mod tests;
