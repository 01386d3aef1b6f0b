//! The threaded CPU backend (f64), vectorised for the machine it finds itself on.
//!
//! The same formulas as [`super::reference`], arranged so that nothing is done twice: basis
//! functions are summed per neighbour type before they meet the coefficients, the energy's
//! gradient is contracted with the coefficients once per atom, neighbours fill vectors, buffers
//! outlive calls, and tables of the model outlive them too.
//!
//! A run repeats to the last bit with the same number of threads on the same machine.

mod angular;
mod invariants;
mod kernel;
mod lanes;
mod network;
mod plan;
mod radial;
mod scratch;

#[cfg(test)]
mod tests;

use super::{Backend, Contraction, Evaluation, Request, System};
use crate::error::{Error, Result};
use crate::model::{Identity, Model};
use crate::system::cell::sub;
use kernel::{Task, Thread};
use plan::Plan;
use rayon::prelude::*;
use scratch::View;

/// A thread is worth waking for this many neighbour entries (some hundred microseconds).
const ENTRIES_PER_THREAD: usize = 8192;

/// The threaded CPU backend.
#[derive(Default)]
pub struct Cpu {
    arch: pulp::Arch,
    plan: Option<(Identity, Plan)>,
    threads: Vec<Thread>,
    wrapped: Vec<[f64; 3]>,
    translations: Vec<[f64; 3]>,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu")
            .field("arch", &self.arch)
            .finish_non_exhaustive()
    }
}

/// Where the outputs per centre go; empty if not wanted.
#[derive(Default)]
struct Outputs<'a> {
    energies: &'a mut [f64],
    descriptors: &'a mut [f64],
    projections: &'a mut [f64],
}

impl Cpu {
    /// Evaluates all centres; the sums over all atoms are left in `self.threads`, the first ones
    /// of which, as many as the result says, took part.
    fn run(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        phi: Option<&[f64]>,
        mut outputs: Outputs<'_>,
    ) -> usize {
        if !matches!(&self.plan, Some((of, _)) if of.same(model.identity())) {
            self.plan = Some((model.identity(), Plan::new(model)));
        }
        let Some((_, plan)) = &self.plan else {
            return 0;
        };
        let n = system.n_local();
        let entries = system.neighbors.raw();
        self.translations.clear();
        let translations = entries.cells.iter().map(|&c| system.cell.translation(c));
        self.translations.extend(translations);
        let positions = if entries.wrap.iter().all(|w| *w == [0; 3]) {
            system.positions
        } else {
            self.wrapped.clear();
            let atoms = system.positions.iter().zip(entries.wrap);
            let wrapped = atoms.map(|(&r, &w)| sub(r, system.cell.translation(w)));
            self.wrapped.extend(wrapped);
            &self.wrapped
        };
        let view = View {
            positions,
            types: system.types,
            entries,
            translations: &self.translations,
        };
        let parts = (system.neighbors.entries() / ENTRIES_PER_THREAD)
            .clamp(1, rayon::current_num_threads())
            .min(n.max(1));
        if self.threads.len() < parts {
            self.threads.resize_with(parts, Thread::default);
        }
        let mut tasks = Vec::with_capacity(parts);
        for (part, own) in self.threads[..parts].iter_mut().enumerate() {
            let centers = n * part / parts..n * (part + 1) / parts;
            let (count, left, dim) = (centers.len(), n - centers.start, plan.dim);
            tasks.push(Task {
                model,
                plan,
                view,
                request,
                phi: phi.map(|phi| &phi[centers.start * dim..centers.end * dim]),
                energies: take(&mut outputs.energies, count, left),
                descriptors: take(&mut outputs.descriptors, count, left),
                projections: take(&mut outputs.projections, count, left),
                centers,
                own,
            });
        }
        let arch = self.arch;
        if parts == 1 {
            tasks.into_iter().for_each(|task| perform(arch, task));
        } else {
            tasks.into_par_iter().for_each(|task| perform(arch, task));
        }
        parts
    }

    fn virial(&self, parts: usize) -> [f64; 9] {
        let threads = &self.threads[..parts];
        std::array::from_fn(|c| threads.iter().map(|t| t.virial[c]).sum())
    }
}

/// The one place where the loops are compiled, once for each instruction set.
#[inline(never)]
fn perform(arch: pulp::Arch, task: Task<'_>) {
    arch.dispatch(task);
}

/// Cuts the rows of the next `count` centres off those of `left` centres.
fn take<'a>(rows: &mut &'a mut [f64], count: usize, left: usize) -> &'a mut [f64] {
    let all = std::mem::take(rows);
    let len = all.len() / left.max(1);
    let (head, tail) = all.split_at_mut(count * len);
    *rows = tail;
    head
}

/// Sums the threads' shares in the order of the threads.
fn sum<const N: usize>(
    threads: &[Thread],
    share: fn(&Thread) -> &Vec<[f64; N]>,
    n_total: usize,
    out: &mut Vec<[f64; N]>,
) {
    out.clear();
    match threads {
        [] => out.resize(n_total, [0.0; N]),
        [one] => out.extend_from_slice(share(one)),
        [first, rest @ ..] => {
            out.extend_from_slice(share(first));
            const BLOCK: usize = 1024;
            out.par_chunks_mut(BLOCK).enumerate().for_each(|(b, out)| {
                for thread in rest {
                    let share = &share(thread)[b * BLOCK..];
                    for (out, share) in out.iter_mut().zip(share) {
                        for (out, share) in out.iter_mut().zip(share) {
                            *out += share;
                        }
                    }
                }
            });
        }
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        super::check_projections(model, request)?;
        system.validate(model)?;
        let n = system.n_local();
        let rows = |wanted: Request, len: usize| {
            if request.contains(wanted) { n * len } else { 0 }
        };
        let dim = model.dim();
        let len = model.layout().projection_len();
        out.energies.resize(n, 0.0);
        out.descriptors.resize(rows(Request::DESCRIPTORS, dim), 0.0);
        out.projections.resize(rows(Request::PROJECTIONS, len), 0.0);
        let outputs = Outputs {
            energies: &mut out.energies,
            descriptors: &mut out.descriptors,
            projections: &mut out.projections,
        };
        let parts = self.run(model, system, request, None, outputs);
        out.energy = out.energies.iter().sum();
        out.virial = self.virial(parts);
        let threads = &self.threads[..parts];
        out.forces.clear();
        if request.contains(Request::FORCES) {
            sum(threads, |t| &t.forces, system.n_total(), &mut out.forces);
        }
        out.virials.clear();
        if request.contains(Request::VIRIALS) {
            sum(threads, |t| &t.virials, system.n_total(), &mut out.virials);
        }
        Ok(())
    }

    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        system.validate(model)?;
        if gradient.len() != model.dim() * system.n_local() {
            return Err(Error::Internal("the gradient has a wrong length".into()));
        }
        let request = Request::FORCES | Request::VIRIAL;
        let parts = self.run(model, system, request, Some(gradient), Outputs::default());
        out.virial = self.virial(parts);
        let threads = &self.threads[..parts];
        sum(threads, |t| &t.forces, system.n_total(), &mut out.forces);
        Ok(())
    }
}
