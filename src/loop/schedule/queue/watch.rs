//! Watching jobs: what the scheduler tells of them, and what to believe of it.

use super::{Finished, Queue};
use crate::schedule::job::{End, State, Ticket};
use crate::schedule::ledger::Ended;
use nepal::error::Result;

/// Looks at a job that is missing, or whose files are not yet to be seen, before that is believed.
const DOUBTS: u32 = 3;

impl Queue {
    /// Looks at all that is out; gives what is over.
    pub(super) fn look(&mut self) -> Result<Vec<Finished>> {
        let tickets: Vec<Ticket> = self
            .ledger
            .jobs
            .open
            .iter()
            .filter(|(place, _)| !self.told.contains_key(place))
            .map(|(_, ticket)| ticket.clone())
            .collect();
        if tickets.is_empty() {
            return Ok(Vec::new());
        }
        let sights = match self.scheduler.look(&tickets) {
            Ok(sights) => sights,
            Err(refusal) => {
                self.called();
                self.trouble = Some(format!(
                    "{} does not tell the states of jobs: {refusal}; waiting",
                    self.scheduler.name()
                ));
                return Ok(Vec::new());
            }
        };
        self.called();
        self.trouble = None;
        self.waits = None;
        let mut finished = Vec::new();
        let mut missing = Vec::new();
        for (mut ticket, sight) in tickets.into_iter().zip(sights) {
            if ticket.id.is_none()
                && let Some(id) = &sight.id
            {
                self.ledger.submitted(&ticket.batch, id)?;
                ticket.id = Some(id.clone());
            }
            match sight.state {
                State::Waiting(why) => {
                    self.waits = why
                        .map(|why| format!("jobs wait: {why}"))
                        .or(self.waits.take());
                }
                State::Running => {}
                State::Ended(end) if end.is_taken() => self.follow_owner(ticket, &mut finished)?,
                State::Ended(end) => {
                    // On a shared file system the job's last files may take a while to be seen.
                    let late = matches!(end, End::Exited(_)) && ticket.job.status().is_none();
                    if late && self.doubt(&ticket) {
                        continue;
                    }
                    // A failure that could not even be noted tells nothing of the program's result.
                    let end = match end {
                        End::Exited(1..128) if late => {
                            End::Lost("it could not note its exit status; is the disk full?".into())
                        }
                        end => end,
                    };
                    finished.push(Finished::new(ticket, end));
                }
                State::Missing => missing.push(ticket),
            }
        }
        self.settle(missing, &mut finished)?;
        for Finished {
            ticket, seconds, ..
        } in &finished
        {
            let place = (ticket.batch.clone(), ticket.index);
            self.told.insert(place, *seconds);
        }
        Ok(finished)
    }

    /// Counts a doubt about a job; whether to wait on. Here and now there is nothing to wait for.
    fn doubt(&mut self, ticket: &Ticket) -> bool {
        let doubts = self
            .doubts
            .entry((ticket.batch.clone(), ticket.index))
            .or_default();
        *doubts += 1;
        !self.scheduler.interval().is_zero() && *doubts < DOUBTS
    }

    /// Another job has the folder: a submission whose answer was lost. It is the one to watch.
    fn follow_owner(&mut self, ticket: Ticket, finished: &mut Vec<Finished>) -> Result<()> {
        if let Some(code) = ticket.job.status() {
            let end = End::exited(code);
            finished.push(Finished::new(ticket, end));
            return Ok(());
        }
        let place = (ticket.batch.clone(), ticket.index);
        if let Some(open) = self.ledger.jobs.open.get_mut(&place) {
            open.owner = ticket.job.owner();
        }
        Ok(())
    }

    /// What the scheduler does not know any more: over, if the script left its status, or if the
    /// scheduler's history says so; never submitted, or lost.
    fn settle(&mut self, missing: Vec<Ticket>, finished: &mut Vec<Finished>) -> Result<()> {
        let mut lost = Vec::new();
        for ticket in missing {
            if let Some(code) = ticket.job.status() {
                let end = End::exited(code);
                finished.push(Finished::new(ticket, end));
            } else if ticket.id.is_none() && ticket.owner.is_none() && ticket.job.owner().is_some()
            {
                self.follow_owner(ticket, finished)?;
            } else if !self.doubt(&ticket) {
                lost.push(ticket);
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        let history = if lost.iter().any(|t| t.id.is_some() || t.owner.is_some()) {
            self.scheduler.history(&lost).unwrap_or_default()
        } else {
            Vec::new()
        };
        for (i, ticket) in lost.into_iter().enumerate() {
            if ticket.id.is_none() && ticket.owner.is_none() {
                let place = (ticket.batch.clone(), ticket.index);
                self.ledger.ended(&place, Ended::Void, 0.0)?;
                self.pending.push_back(ticket.job);
                continue;
            }
            let end = history.get(i).cloned().flatten().unwrap_or(End::Unknown);
            finished.push(Finished::new(ticket, end));
        }
        Ok(())
    }
}
