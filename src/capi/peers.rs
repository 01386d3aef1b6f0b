//! Sums over the processes of a parallel host, from within a computation.
//!
//! The host's functions run on the thread that called nepal, as MPI wants it; the computation waits for
//! them on threads of its own.

use super::calculator::Inner;
use super::ranks::Ranks;
use super::system::Atoms;
use crate::backend::Peers;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// What a computation wants of the host.
enum Wish {
    Sum,
    Ghosts,
}

/// The computation's end of the wire to the calling thread.
struct Wire {
    count: usize,
    ends: Mutex<(Sender<(Wish, Vec<f64>)>, Receiver<Result<Vec<f64>>>)>,
}

impl Wire {
    fn ask(&self, wish: Wish, numbers: Vec<f64>) -> Result<Vec<f64>> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = || Error::Internal("nobody talks to the other processes".into());
        ends.0.send((wish, numbers)).map_err(|_| gone())?;
        ends.1.recv().map_err(|_| gone())?
    }
}

impl Peers for Wire {
    fn count(&self) -> usize {
        self.count
    }

    fn sum(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        self.ask(Wish::Sum, numbers)
    }

    fn with_ghosts(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        self.ask(Wish::Ghosts, numbers)
    }
}

/// Runs a computation that may sum over all processes.
pub(super) fn run<R: Send>(
    inner: &mut Inner,
    ranks: &Ranks,
    atoms: &Atoms<'_>,
    body: impl FnOnce(&mut Calculator, &dyn Peers) -> R + Send,
) -> R {
    let (ask, wishes) = channel();
    let (answer, answers) = channel();
    let wire = Wire {
        count: ranks.count(),
        ends: Mutex::new((ask, answers)),
    };
    let Inner {
        calculator,
        threads,
        ..
    } = inner;
    let threads = &*threads;
    std::thread::scope(|scope| {
        // Ends the loop below by dropping its end of the wire.
        let worker = scope.spawn(move || threads.run(|| body(calculator, &wire)));
        for (wish, numbers) in wishes {
            let found = match wish {
                Wish::Sum => ranks.sum(numbers),
                Wish::Ghosts => ranks.with_ghosts(atoms, numbers),
            };
            if answer.send(found).is_err() {
                break;
            }
        }
        (worker.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
