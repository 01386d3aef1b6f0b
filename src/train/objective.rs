//! The loss of a set of structures and its gradient.

mod beside;
pub(crate) mod device;
mod forward;
pub(crate) mod repulsion;

/// Statistics of one descriptor.
pub(super) use super::kernel::Spread;

use super::data::Sample;
use super::kernel::{Chunk, Geometry, LongRange, Near, Parameters, Pass, Shape, Sites, Workspace};
use super::ranks::Ranks;
use super::targets::{GroupLoss, SUMS, Sums, TERMS, Targets, Weighting};
use device::{Engine, Job};
use nepal::error::Result;
use nepal::model::{Header, Layout};
use nepal::system::Structure;
use rayon::prelude::*;
use repulsion::Flexible;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Small structures are evaluated together up to this many atoms.
const CHUNK_ATOMS: usize = 64;
/// Gradients are summed in at most this many groups, whose number does not depend on the threads.
const GROUPS: usize = 16;

/// A set of structures ready for evaluation.
pub(super) struct Objective {
    pub header: Header,
    pub layout: Layout,
    pub shape: Shape,
    pub samples: Vec<Sample>,
    pub groups: Vec<Group>,
    /// Largest numbers of radial and angular neighbours.
    pub max_neighbors: [usize; 2],
    /// What the geometry of all groups takes, bytes.
    pub whole: f64,
    /// The processes that share the work out.
    pub ranks: Arc<Ranks>,
    workspaces: Mutex<Vec<Workspace>>,
    /// The repulsion, if it is trained: its coordinates follow the model's parameters.
    pub repulsion: Option<Flexible>,
    /// The device that computes, until it fails.
    device: Mutex<Option<Engine>>,
    /// What the user should know of it.
    notes: Mutex<Vec<String>>,
}

/// What is kept of a chunk's geometry, as memory allows.
pub(super) enum Kept {
    All(Geometry),
    /// Where the neighbours are.
    Sites([Sites; 2]),
    Nothing,
}

#[cfg(test)]
impl Kept {
    pub fn bytes(&self) -> f64 {
        match self {
            Self::All(geometry) => geometry.bytes(),
            Self::Sites(sites) => sites.iter().map(Sites::bytes).sum(),
            Self::Nothing => 0.0,
        }
    }
}

/// A chunk with its targets.
pub(super) struct Group {
    pub chunk: Chunk,
    pub targets: Targets,
    pub kept: Kept,
    /// Samples of the chunk's structures.
    pub members: Vec<usize>,
}

/// What one evaluation computes.
pub(super) struct Evaluation<'a> {
    pub parameters: &'a [f64],
    pub q_scaler: &'a [f64],
    /// Factors of the sums of squared errors; `None` for no gradient.
    pub factors: Option<[f64; TERMS]>,
}

impl Objective {
    /// Lays out samples; `order` gives the order in which small ones share a chunk. Geometry is kept
    /// in so much `memory` (bytes).
    ///
    /// **Errors**: as for neighbour lists.
    pub fn new(
        header: &Header,
        samples: Vec<Sample>,
        order: &[usize],
        weighting: &Weighting<'_>,
        memory: f64,
    ) -> Result<Self> {
        Self::shared(header, samples, order, weighting, memory, Arc::default())
    }

    /// The same with the work shared out among processes. Of those the geometry that is kept is first of all that of
    /// their own share of the whole.
    pub fn shared(
        header: &Header,
        samples: Vec<Sample>,
        order: &[usize],
        weighting: &Weighting<'_>,
        memory: f64,
        ranks: Arc<Ranks>,
    ) -> Result<Self> {
        let shape = Shape::new(header);
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut atoms = usize::MAX;
        for &s in order {
            let n = samples[s].structure.len();
            if atoms >= CHUNK_ATOMS || atoms + n > 2 * CHUNK_ATOMS {
                members.push(Vec::new());
                atoms = 0;
            }
            atoms += n;
            if let Some(last) = members.last_mut() {
                last.push(s);
            }
        }
        let cutoff = cutoff(header);
        // Which groups are kept depends on the threads; what they say does not.
        let room = Room {
            used: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            sites: AtomicU64::new(0),
            made: AtomicU64::new(0),
            atoms: samples.iter().map(|s| s.types.len() as u64).sum(),
            memory,
        };
        let own = share(&ranks, members.len()).1;
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|index| !own.contains(index));
        let (first, rest) = order.split_at(own.len());
        let build = |(near, geometry): &mut (Near, Geometry),
                     index: &usize|
         -> (usize, Result<(Group, [usize; 2])>) {
            let members = members[*index].clone();
            let made = || {
                let parts = parts(&samples, &members);
                let mut chunk = Chunk::new(&parts);
                chunk.temperature = members.iter().map(|&s| samples[s].temperature).collect();
                if let Some(how) = header.kind.electrostatics() {
                    let totals: Vec<f64> = members.iter().map(|&s| samples[s].charge).collect();
                    let born = members.iter().any(|&s| samples[s].born.is_some());
                    let own = LongRange::charges(header, how, &chunk, &parts, &totals, born)?;
                    chunk.long_range.push(own);
                }
                if header.kind.has_dispersion() {
                    let own = LongRange::dispersion(header, &chunk, &parts);
                    chunk.long_range.push(own);
                }
                let mut sites = <[Sites; 2]>::default();
                let largest = chunk.sites(header, cutoff, &parts, (near, &mut sites))?;
                chunk.geometry(&shape, header, &sites, geometry);
                let targets = Targets::new(header.kind, &chunk, &samples, &members, weighting);
                let kept = room.keep(chunk.n_atoms, geometry, sites);
                Ok((
                    Group {
                        chunk,
                        targets,
                        kept,
                        members,
                    },
                    largest,
                ))
            };
            (*index, made())
        };
        let mut built: Vec<_> = first.par_iter().map_init(Default::default, build).collect();
        built.par_extend(rest.par_iter().map_init(Default::default, build));
        built.sort_by_key(|item| item.0);
        let mut max_neighbors = [0; 2];
        let mut groups = Vec::with_capacity(built.len());
        for (_, item) in built {
            let (group, largest) = item?;
            groups.push(group);
            for part in 0..2 {
                max_neighbors[part] = max_neighbors[part].max(largest[part]);
            }
        }
        Ok(Self {
            header: header.clone(),
            layout: Layout::new(header),
            shape,
            samples,
            groups,
            max_neighbors,
            whole: room.whole.into_inner() as f64,
            ranks,
            workspaces: Mutex::new(Vec::new()),
            repulsion: None,
            device: Mutex::new(None),
            notes: Mutex::new(Vec::new()),
        })
    }

    /// Shares of the groups of which only the neighbours, and of which nothing could be kept for want of memory.
    pub fn shares_not_kept(&self) -> [f64; 2] {
        let share = |which: fn(&Kept) -> bool| {
            let out = self.groups.iter().filter(|g| which(&g.kept)).count();
            out as f64 / self.groups.len().max(1) as f64
        };
        [
            share(|k| matches!(k, Kept::Sites(_))),
            share(|k| matches!(k, Kept::Nothing)),
        ]
    }

    pub fn with_group<R>(
        &self,
        index: usize,
        run: impl FnOnce(&Group, &Geometry, &mut Workspace) -> R,
    ) -> R {
        let mut workspace = match self.workspaces.lock() {
            Ok(mut pool) => pool.pop().unwrap_or_default(),
            Err(_) => Workspace::default(),
        };
        let group = &self.groups[index];
        let result = if let Kept::All(geometry) = &group.kept {
            run(group, geometry, &mut workspace)
        } else {
            let mut found = std::mem::take(&mut workspace.sites);
            let mut geometry = std::mem::take(&mut workspace.geometry);
            let sites = match &group.kept {
                Kept::Sites(sites) => sites,
                _ => {
                    let parts = parts(&self.samples, &group.members);
                    let into = (&mut workspace.near, &mut found);
                    (group.chunk)
                        .sites(&self.header, cutoff(&self.header), &parts, into)
                        .expect("the same neighbour list was built before");
                    &found
                }
            };
            (group.chunk).geometry(&self.shape, &self.header, sites, &mut geometry);
            let result = run(group, &geometry, &mut workspace);
            (workspace.sites, workspace.geometry) = (found, geometry);
            result
        };
        if let Ok(mut pool) = self.workspaces.lock() {
            pool.push(workspace);
        }
        result
    }

    /// Sums over some groups, and the gradient of the factored sum of squares if asked for.
    pub fn evaluate(&self, groups: &[usize], evaluation: &Evaluation<'_>) -> (Sums, Vec<f64>) {
        let parameters = Parameters::new(&self.layout, evaluation.parameters, evaluation.q_scaler);
        let len = evaluation.factors.map_or(0, |_| self.n_parameters());
        let bent = self.bent(evaluation.parameters);
        let first = self.layout.len();
        let make = |index: usize| {
            let inner = GroupLoss {
                targets: &self.groups[index].targets,
                factors: evaluation.factors,
                sums: Sums::default(),
            };
            self.repelled(index, bent.as_ref(), inner)
        };
        let by_device = self.on_device(|engine| {
            let jobs: Vec<Job> = groups.iter().map(|&group| Job { group, row: 0 }).collect();
            let (p, q) = (evaluation.parameters, evaluation.q_scaler);
            let rows = usize::from(evaluation.factors.is_some());
            engine.run(self, &jobs, p, q, rows, |k| make(groups[k]))
        });
        if let Some((losses, mut gradient)) = by_device {
            let mut sums = Sums::default();
            for loss in losses {
                sums += loss.inner.sums;
                loss.add_to(&mut gradient, first);
            }
            return (sums, gradient);
        }
        let (per_task, own) = self.share(groups.len());
        let parts: Vec<Vec<f64>> = groups[own]
            .par_chunks(per_task)
            .map(|task| {
                let mut part = vec![0.0; len + SUMS];
                let gradient = &mut part[..len];
                let mut sums = Sums::default();
                for &index in task {
                    self.with_group(index, |group, geometry, workspace| {
                        let mut loss = make(index);
                        Pass {
                            shape: &self.shape,
                            parameters: &parameters,
                            chunk: &group.chunk,
                            geometry,
                            loss: &mut loss,
                            workspace,
                            gradient: &mut *gradient,
                            range: None,
                        }
                        .run();
                        sums += loss.inner.sums;
                        loss.add_to(gradient, first);
                    });
                }
                part[len..].copy_from_slice(&sums.to_array());
                part
            })
            .collect();
        let mut total = self.ranks.total(len + SUMS, parts);
        let sums = std::array::from_fn(|k| total[len + k]);
        total.truncate(len);
        (Sums::of_array(sums), total)
    }

    /// How many of a number of groups a task takes, and which are this process's.
    pub fn share(&self, groups: usize) -> (usize, Range<usize>) {
        share(&self.ranks, groups)
    }
}

/// Memory for geometry, as groups are made.
struct Room {
    used: AtomicU64,
    /// What all of it would take.
    whole: AtomicU64,
    /// What the sites of the groups made so far take, and their atoms.
    sites: AtomicU64,
    made: AtomicU64,
    /// Atoms of all groups.
    atoms: u64,
    memory: f64,
}

impl Room {
    /// What is kept of one more group. Where not all fits, as many have all of it as leave the others their sites.
    fn keep(&self, atoms: usize, geometry: &mut Geometry, sites: [Sites; 2]) -> Kept {
        let small: f64 = sites.iter().map(Sites::bytes).sum();
        let add = |to: &AtomicU64, what: u64| to.fetch_add(what, Ordering::Relaxed) + what;
        let (all, made) = (
            add(&self.sites, small as u64),
            add(&self.made, atoms as u64),
        );
        let left = self.atoms.saturating_sub(made);
        let reserve = all as f64 / made.max(1) as f64 * left as f64;
        let fits = |bytes: f64, reserve: f64| {
            let before = self.used.fetch_add(bytes as u64, Ordering::Relaxed) as f64;
            let fits = before + bytes + reserve <= self.memory;
            if !fits {
                self.used.fetch_sub(bytes as u64, Ordering::Relaxed);
            }
            fits
        };
        let bytes = geometry.bytes();
        self.whole.fetch_add(bytes as u64, Ordering::Relaxed);
        if fits(bytes, reserve) {
            Kept::All(std::mem::take(geometry))
        } else if fits(small, 0.0) {
            Kept::Sites(sites.map(Sites::shrunk))
        } else {
            Kept::Nothing
        }
    }
}

/// As [`Objective::share`].
fn share(ranks: &Ranks, groups: usize) -> (usize, Range<usize>) {
    let per_task = groups.div_ceil(GROUPS).max(1);
    let own = ranks.own(groups.div_ceil(per_task));
    let place = |task: usize| (task * per_task).min(groups);
    (per_task, place(own.start)..place(own.end))
}

fn cutoff(header: &Header) -> f64 {
    let n = header.n_types();
    (0..n * n)
        .flat_map(|ab| header.pair_cutoff(ab / n, ab % n))
        .fold(0.0, f64::max)
}

fn parts<'a>(samples: &'a [Sample], members: &[usize]) -> Vec<(&'a Structure, &'a [u32])> {
    members
        .iter()
        .map(|&s| (&samples[s].structure, samples[s].types.as_slice()))
        .collect()
}
