//! Several processes that train one model, each with its share of the data.
//!
//! All run the same program on the same numbers; what is computed for shares of the data is exchanged, so that every
//! decision is the same everywhere. Sums are taken in an order that does not depend on the number of processes: with the
//! same processor everywhere the model is the same, bit for bit.
//!
//! Why not MPI: a program has to be built for one MPI and runs with no other, and needs it where nothing is shared out.
//! `mpirun` and `srun` only start processes and number them; these meet over TCP, at an address that the first writes
//! into a file of a folder that all see. What a step exchanges is a few gradients, which TCP carries as well.

mod wire;

use nepal::error::{Error, Result};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use wire::{find, receive, send, wait_for};

/// Variables that number the processes of a start and count them: by hand, Open MPI, PMI (MPICH, Intel MPI), Slurm.
const VARIABLES: [[&str; 2]; 4] = [
    ["NEPAL_RANK", "NEPAL_RANKS"],
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
    ["PMI_RANK", "PMI_SIZE"],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS"],
];

/// The place of a process among those that train together.
pub struct Ranks {
    rank: usize,
    size: usize,
    wire: Mutex<Wire>,
}

#[derive(Default)]
struct Wire {
    /// To the first process, or from it to all others.
    streams: Vec<TcpStream>,
    start: Option<Instant>,
    /// Seconds on the first process's clock at the last exchange.
    clock: f64,
    exchanges: u64,
    failure: Option<String>,
}

impl Default for Ranks {
    fn default() -> Self {
        Self::alone()
    }
}

/// Number and count of this process, if whoever started it told.
///
/// **Errors**: [`Error::InvalidArgument`] for variables that are no such numbers.
pub fn of_environment() -> Result<Option<(usize, usize)>> {
    for names in VARIABLES {
        let [Ok(rank), Ok(size)] = names.map(std::env::var) else {
            continue;
        };
        return match (rank.parse(), size.parse()) {
            (Ok(rank), Ok(size)) if rank < size => Ok(Some((rank, size))),
            _ => Err(Error::invalid(format!(
                "{}={rank:?} and {}={size:?}: expected the number of this process from 0, and how many there are",
                names[0], names[1]
            ))),
        };
    }
    Ok(None)
}

impl Ranks {
    /// A single process.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            size: 1,
            wire: Mutex::default(),
        }
    }

    /// Meets the other processes: the first leaves its address in `file`, which only its user can read, until all are
    /// there.
    ///
    /// **Errors**: [`Error::Failed`] if they do not meet within five minutes, or another nepal is among them;
    /// [`Error::Io`] for the file.
    pub fn meet((rank, size): (usize, usize), file: &Path) -> Result<Self> {
        let streams = match (rank, size) {
            (_, 0 | 1) => return Ok(Self::alone()),
            (0, _) => wait_for(size, file)?,
            _ => vec![find(rank, size, file)?],
        };
        Ok(Self {
            rank,
            size,
            wire: Mutex::new(Wire {
                streams,
                start: Some(Instant::now()),
                ..Wire::default()
            }),
        })
    }

    /// Number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether this is the one that writes and tells.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds on the clock that all have in common, as of the last exchange; `None` for a single process.
    pub(super) fn clock(&self) -> Option<f64> {
        (self.size > 1).then(|| self.wire().clock)
    }

    /// This process's part of so many tasks.
    pub(super) fn own(&self, tasks: usize) -> Range<usize> {
        let at = |rank: usize| tasks * rank / self.size;
        at(self.rank)..at(self.rank + 1)
    }

    /// Tells whether the others are still there: what is computed without them is NaN.
    ///
    /// **Errors**: [`Error::Failed`] naming who is missing.
    pub(super) fn check(&self) -> Result<()> {
        match &self.wire().failure {
            Some(failure) => Err(Error::Failed(failure.clone())),
            None => Ok(()),
        }
    }

    /// The sum of the tasks' results, each of `width` numbers, in the order of the tasks.
    pub(super) fn total(&self, width: usize, parts: Vec<Vec<f64>>) -> Vec<f64> {
        let sum = |parts: &mut dyn Iterator<Item = &[f64]>| {
            let mut total = vec![0.0; width];
            for part in parts {
                total.iter_mut().zip(part).for_each(|(t, x)| *t += x);
            }
            total
        };
        if self.size == 1 {
            return sum(&mut parts.iter().map(Vec::as_slice));
        }
        let found = self.exchange(to_bytes(&parts.concat()), |all| {
            let all: Vec<Vec<f64>> = all.iter().map(|bytes| to_numbers(bytes)).collect();
            let parts = all.iter().flat_map(|own| own.chunks_exact(width.max(1)));
            to_bytes(&sum(&mut { parts }))
        });
        match found {
            Some(bytes) if bytes.len() == 8 * width => to_numbers(&bytes),
            _ => vec![f64::NAN; width],
        }
    }

    /// The numbers of all processes, one after the other.
    pub(super) fn join(&self, own: Vec<f64>) -> Vec<f64> {
        if self.size == 1 {
            return own;
        }
        match self.exchange(to_bytes(&own), |all| all.concat()) {
            Some(bytes) => to_numbers(&bytes),
            None => vec![f64::NAN; own.len()],
        }
    }

    /// Whether something is so on any process.
    pub(super) fn any(&self, own: bool) -> bool {
        match self.size {
            1 => own,
            _ => self.total(1, vec![vec![f64::from(u8::from(own))]])[0] != 0.0,
        }
    }

    /// What the first process has.
    ///
    /// **Errors**: as [`Ranks::check`].
    pub(super) fn of_first(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        if self.size == 1 {
            return Ok(own);
        }
        let own = if self.is_first() { own } else { Vec::new() };
        let found = self.exchange(own, |mut all| all.swap_remove(0));
        self.check()?;
        Ok(found.unwrap_or_default())
    }

    /// Refuses processes that do not agree on what they do.
    ///
    /// **Errors**: [`Error::InvalidArgument`]; as [`Ranks::check`].
    pub(super) fn agree(&self, key: &str) -> Result<()> {
        let first = self.of_first(key.as_bytes().to_vec())?;
        let other = self.any(first != key.as_bytes());
        self.check()?;
        match other {
            true => Err(Error::invalid(
                "the processes that train together have other settings or data; give all the same files and options",
            )),
            false => Ok(()),
        }
    }

    /// Sends what each has to the first, which answers all with one thing; `None` once somebody is missing.
    fn exchange(
        &self,
        own: Vec<u8>,
        answer: impl FnOnce(Vec<Vec<u8>>) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let wire = &mut *self.wire();
        if wire.failure.is_some() {
            return None;
        }
        wire.exchanges += 1;
        let number = wire.exchanges;
        let lost = |rank: usize, e: std::io::Error| {
            let who = match rank {
                0 => "the first".to_owned(),
                _ => format!("number {rank}"),
            };
            format!(
                "of {} processes that train together {who} (counted from 0) ended or is out of reach: {e}; all end. The \
                 checkpoint is kept: start them again to go on",
                self.size
            )
        };
        let done: std::result::Result<Vec<u8>, String> = if self.is_first() {
            let mut all = vec![own];
            let mut read = Ok(());
            for (k, stream) in wire.streams.iter_mut().enumerate() {
                match receive(stream, number) {
                    Ok((_, bytes)) => all.push(bytes),
                    Err(e) => {
                        read = Err(lost(k + 1, e));
                        break;
                    }
                }
            }
            read.and_then(|()| {
                let answer = answer(all);
                wire.clock = wire.start.map_or(0.0, |s| s.elapsed().as_secs_f64());
                for (k, stream) in wire.streams.iter_mut().enumerate() {
                    send(stream, number, wire.clock, &answer).map_err(|e| lost(k + 1, e))?;
                }
                Ok(answer)
            })
        } else {
            let stream = &mut wire.streams[0];
            let clock = &mut wire.clock;
            send(stream, number, 0.0, &own)
                .and_then(|()| receive(stream, number))
                .map(|(now, bytes)| {
                    *clock = now;
                    bytes
                })
                .map_err(|e| lost(0, e))
        };
        match done {
            Ok(answer) => Some(answer),
            Err(failure) => {
                // The others notice by it.
                wire.streams.clear();
                wire.failure = Some(failure);
                None
            }
        }
    }
}

fn to_bytes(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn to_numbers(bytes: &[u8]) -> Vec<f64> {
    let (numbers, _) = bytes.as_chunks::<8>();
    numbers.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

#[cfg(test)]
mod tests;
