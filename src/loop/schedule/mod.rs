//! Where jobs run: this machine, Slurm, HyperQueue, or another batch system by its commands.
//!
//! A [`Job`] is a folder with a script; a [`Scheduler`] takes batches of them and tells their states; a
//! [`Queue`] drives it: what was handed over is written into a ledger before and after, so that the next
//! driver finds it again, and no job is started twice. Knows nothing of physics.

mod command;
mod config;
mod hyperqueue;
mod job;
mod ledger;
mod local;
mod pool;
mod queue;
mod slurm;
mod template;

pub use config::{DriverConfig, SchedulerConfig, SchedulerKind};
pub use hyperqueue::HyperQueue;
pub use job::{End, Job, JobStatus, Refusal, State, Ticket};
pub use ledger::{Ended, Past};
pub use local::{Budget, Local};
pub(crate) use local::{is_gone, is_process, is_running, own_process};
pub use pool::run_local;
pub use queue::{Finished, Queue};
pub use slurm::{DriverJob, Slurm};
pub use template::Template;

use std::path::Path;
use std::time::Duration;

/// Something that runs jobs.
pub trait Scheduler: Send {
    /// Its name in messages.
    fn name(&self) -> &str;

    /// Most jobs of one submission.
    fn batch_size(&self) -> usize;

    /// Shortest time between two calls of its commands.
    fn interval(&self) -> Duration;

    /// Whether jobs go on when the driver is asked to stop.
    fn outlives_driver(&self) -> bool;

    /// Whether jobs can be taken now, as far as this side knows.
    fn has_room(&self, _jobs: &[Job]) -> bool {
        true
    }

    /// Hands over jobs under a name that is used once, and returns the identifier. `folder` is for
    /// the scheduler's own files.
    ///
    /// **Errors**: a [`Refusal`]; after [`Refusal::Unsure`] the jobs may have been taken.
    fn submit(
        &mut self,
        batch: &str,
        folder: &Path,
        jobs: &[Job],
    ) -> std::result::Result<String, Refusal>;

    /// States of jobs, in their order, by one call for all. A job that was handed over without an answer
    /// has no identifier yet and is found by the name of its batch.
    ///
    /// **Errors**: a [`Refusal`]: nothing is known then.
    fn look(&mut self, tickets: &[Ticket]) -> std::result::Result<Vec<JobStatus>, Refusal>;

    /// How jobs ended that [`Scheduler::look`] no longer knows, by one more call.
    ///
    /// **Errors**: a [`Refusal`]; [`Refusal::Wrong`] if it keeps no history.
    fn history(&mut self, _tickets: &[Ticket]) -> std::result::Result<Vec<Option<End>>, Refusal> {
        Err(Refusal::Wrong("keeps no history".into()))
    }

    /// Ends jobs; those that are gone already are no error.
    ///
    /// **Errors**: a [`Refusal`].
    fn cancel(&mut self, tickets: &[Ticket]) -> std::result::Result<(), Refusal>;
}
