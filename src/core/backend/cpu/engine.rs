//! One evaluation: positions packed, centres shared out to threads, shares added up.

use super::gather::{NOWHERE, View};
use super::kernel::{MAX_LANES, Task, Thread};
use super::long_range::Meshes;
use super::plan::Plan;
use super::share;
use super::vector::Real;
use crate::backend::{Conditions, Contraction, Request, System};
use crate::error::{Error, Result};
use crate::model::{Identity, Model};
use crate::system::cell::sub;
use crate::system::neighbors::Entries;
use rayon::prelude::*;

/// A thread is worth waking for this many neighbour entries (some ten microseconds).
pub(super) const ENTRIES_PER_THREAD: usize = 8192;
/// What an atom costs beside its neighbours, in neighbour entries.
const ATOM: usize = 64;

/// The backend for one kind of numbers.
pub(super) struct Engine<T: Real> {
    pub(super) arch: pulp::Arch,
    pub(super) conditions: Conditions,
    pub(super) meshes: Meshes,
    plan: Option<(Identity, Plan<T>)>,
    threads: Vec<Thread<T>>,
    pub(super) packed: Vec<[f64; 4]>,
    translations: Vec<[f64; 3]>,
}

impl<T: Real> std::fmt::Debug for Engine<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("arch", &self.arch)
            .finish_non_exhaustive()
    }
}

/// What a pass over all centres is for.
#[derive(Clone, Copy, Default)]
pub(super) struct Pass<'a> {
    pub(super) request: Request,
    pub(super) temperature: f64,
    /// dΦ/dq of all centres, in place of the energy. Shape `[n_local][dim]`.
    pub(super) phi: Option<&'a [f64]>,
    /// Factors of the heads' gradients, in place of the energy's. Shape `[n_local][3]`.
    pub(super) factors: Option<&'a [[f64; 3]]>,
}

/// Where the outputs per centre go; empty if not wanted.
#[derive(Default)]
pub(super) struct Outputs<'a> {
    pub(super) energies: &'a mut [f64],
    pub(super) heads: &'a mut [f64],
    pub(super) descriptors: &'a mut [f64],
    pub(super) projections: &'a mut [f64],
    pub(super) neurons: &'a mut [f64],
}

impl<T: Real> Engine<T> {
    pub(super) fn new(arch: pulp::Arch) -> Self {
        Self {
            arch,
            conditions: Conditions::default(),
            meshes: Meshes::default(),
            plan: None,
            threads: Vec::new(),
            packed: Vec::new(),
            translations: Vec::new(),
        }
    }

    /// Evaluates all centres; the sums over all atoms are left in `self.threads`, the first ones
    /// of which, as many as the result says, took part.
    pub(super) fn run(
        &mut self,
        model: &Model,
        system: &System<'_>,
        pass: Pass<'_>,
        mut outputs: Outputs<'_>,
    ) -> usize {
        if !matches!(&self.plan, Some((of, _)) if of.same(model.identity())) {
            self.plan = Some((model.identity(), Plan::new(model)));
        }
        self.pack(system);
        let Some((_, plan)) = &self.plan else {
            return 0;
        };
        let n = system.n_local();
        let entries = system.neighbors.raw();
        let view = View {
            packed: &self.packed,
            types: system.types,
            entries,
        };
        let parts = (entries.index.len() / ENTRIES_PER_THREAD)
            .clamp(1, rayon::current_num_threads())
            .min(n.max(1));
        if self.threads.len() < parts {
            self.threads.resize_with(parts, Thread::default);
        }
        let mut tasks = Vec::with_capacity(parts);
        let mut start = 0;
        for (part, own) in self.threads[..parts].iter_mut().enumerate() {
            let end = boundary(&entries, n, part + 1, parts);
            let centers = start..end.max(start);
            start = centers.end;
            let (count, left, dim) = (centers.len(), n - centers.start, plan.dim);
            tasks.push(Task {
                model,
                plan,
                view,
                request: pass.request,
                phi: (pass.phi).map(|phi| &phi[centers.start * dim..centers.end * dim]),
                factors: pass.factors.map(|rows| &rows[centers.clone()]),
                temperature: pass.temperature,
                energies: take(&mut outputs.energies, count, left),
                heads: take(&mut outputs.heads, count, left),
                descriptors: take(&mut outputs.descriptors, count, left),
                projections: take(&mut outputs.projections, count, left),
                neurons: take(&mut outputs.neurons, count, left),
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

    /// Position and type of each place of the list, side by side.
    fn pack(&mut self, system: &System<'_>) {
        let entries = system.neighbors.raw();
        self.translations.clear();
        let translations = entries.cells.iter().map(|&c| system.cell.translation(c));
        self.translations.extend(translations);
        let translations = &self.translations;
        let place = |j: usize| {
            let r = system.positions[j];
            (r, T::with_type(system.types[j]))
        };
        self.packed.clear();
        if entries.source.is_empty() {
            self.packed.extend((0..system.n_total()).map(|j| {
                let (r, kind) = place(j);
                [r[0], r[1], r[2], kind]
            }));
        } else {
            let images = entries.source.iter().zip(entries.code);
            self.packed.extend(images.map(|(&j, &code)| {
                let (mut r, kind) = place(j as usize);
                let wrap = entries.wrap[j as usize];
                if wrap != [0; 3] {
                    r = sub(r, system.cell.translation(wrap));
                }
                let t = translations[code as usize];
                [r[0] + t[0], r[1] + t[1], r[2] + t[2], kind]
            }));
        }
        self.packed.extend([NOWHERE; MAX_LANES]);
    }

    pub(super) fn virial(&self, parts: usize) -> [f64; 9] {
        let threads = &self.threads[..parts];
        std::array::from_fn(|c| threads.iter().map(|t| t.virial[c]).sum())
    }

    /// What the threads have of forces, or of dipoles.
    pub(super) fn forces(&self, parts: usize, system: &System<'_>, out: &mut Vec<[f64; 3]>) {
        let shares: Vec<_> = self.threads[..parts].iter().map(|t| &t.forces).collect();
        share::sum(&shares, &system.neighbors.raw(), system.n_total(), out);
    }

    /// What the threads have of virials, Born charges or polarizabilities.
    pub(super) fn tensors(&self, parts: usize, system: &System<'_>, out: &mut Vec<[f64; 9]>) {
        let shares: Vec<_> = self.threads[..parts].iter().map(|t| &t.virials).collect();
        share::sum(&shares, &system.neighbors.raw(), system.n_total(), out);
    }

    pub(super) fn contract(
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
        let pass = Pass {
            request: Request::FORCES | Request::VIRIAL,
            phi: Some(gradient),
            ..Pass::default()
        };
        let parts = self.run(model, system, pass, Outputs::default());
        out.virial = self.virial(parts);
        self.forces(parts, system, &mut out.forces);
        Ok(())
    }
}

/// The one place where the loops are compiled, once for each instruction set.
#[inline(never)]
fn perform<T: Real>(arch: pulp::Arch, task: Task<'_, T>) {
    arch.dispatch(task);
}

/// The first centre after `part` of `parts` equal shares of the work.
fn boundary(entries: &Entries<'_>, n: usize, part: usize, parts: usize) -> usize {
    if part == parts {
        return n;
    }
    let work = |center: usize| entries.offsets[center] + center * ATOM;
    let share = (work(n) as u128 * part as u128 / parts as u128) as usize;
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if work(middle) < share {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Cuts the rows of the next `count` centres off those of `left` centres.
fn take<'a>(rows: &mut &'a mut [f64], count: usize, left: usize) -> &'a mut [f64] {
    let all = std::mem::take(rows);
    let len = all.len() / left.max(1);
    let (head, tail) = all.split_at_mut(count * len);
    *rows = tail;
    head
}
