//! A training set on a CUDA device.

use super::super::Objective;
use super::Job;
use super::layout::{Builder, Place, launch};
use crate::kernel::{Loss, Parameters, Results, Slopes};
use nepal::error::{Error, Result};
use nepal::model::Layout;
use nepal_cuda::train::{EIGHT, Launch, TrainShape, Trainer, Vector};
use nepal_cuda::{Options, devices};
use rayon::prelude::*;

/// Scratch of a launch, bytes; a constant, for the sums depend on what is launched together.
const SCRATCH: usize = 1 << 30;
/// Least scratch that is tried when memory is short.
const LEAST: usize = 1 << 20;
/// Share of the free memory that structures may take to stay on the device.
const RESIDENT: f64 = 0.6;

/// A device with the structures of an objective, or with those it needs next where not all fit.
pub(crate) struct Engine {
    trainer: Trainer,
    shape: TrainShape,
    /// Places of all groups, if they are there.
    resident: Option<Vec<Place>>,
    scratch: usize,
}

/// What one job's loss says.
struct Said<L> {
    loss: L,
    wanted: bool,
    energy: Vec<f64>,
    displacement: Vec<[f64; 4]>,
    strain: Vec<[[f64; 3]; 3]>,
}

impl Engine {
    /// Whether there is a device.
    pub fn present() -> bool {
        devices().is_ok()
    }

    /// The device of a number with the structures of an objective, as the environment leads to it.
    ///
    /// **Errors**: [`Error::Backend`].
    pub fn new(number: usize, objective: &Objective) -> Result<Self> {
        Self::with_options(&Options::from_environment(number), objective)
    }

    /// The same with a driver of the caller's choice.
    pub fn with_options(options: &Options, objective: &Objective) -> Result<Self> {
        let shape = TrainShape::new(&objective.header, &objective.layout);
        let trainer = Trainer::new(options, shape.clone())?;
        let mut engine = Self {
            trainer,
            shape,
            resident: None,
            scratch: SCRATCH,
        };
        engine.settle(objective)?;
        Ok(engine)
    }

    /// Name of the device.
    pub fn name(&self) -> String {
        self.trainer.device().to_owned()
    }

    /// Starts or stops timing every kernel.
    pub fn time(&mut self, on: bool) {
        self.trainer.time(on);
    }

    /// Name and milliseconds of each kernel since the last call, while they are timed.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        self.trainer.times()
    }

    /// Puts all structures on the device if they fit.
    fn settle(&mut self, objective: &Objective) -> Result<()> {
        let (free, _) = self.trainer.memory()?;
        self.scratch = SCRATCH.min(free / 4).max(LEAST);
        let most = (RESIDENT * free as f64) as usize;
        let mut builder = Builder::default();
        let mut places = Vec::with_capacity(objective.groups.len());
        for index in 0..objective.groups.len() {
            places.push(objective.with_group(index, |group, geometry, _| {
                builder.add(objective, group, geometry)
            }));
            if builder.bytes() > most {
                return Ok(());
            }
        }
        match self.trainer.load(&builder.page) {
            Ok(()) => self.resident = Some(places),
            Err(e) if is_want_of_memory(&e) => self.trainer.unload(),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// As many of the jobs as go together, with the places of their groups.
    fn next(&mut self, objective: &Objective, jobs: &[Job]) -> Result<Vec<Place>> {
        let mut bytes = 0;
        let mut places: Vec<Place> = Vec::new();
        let mut more = |place: Place, extra: usize, shape: &TrainShape, limit: usize| {
            let own = place.scratch(shape) + extra;
            let fits = places.is_empty() || bytes + own <= limit;
            if fits {
                bytes += own;
                places.push(place);
            }
            fits
        };
        if let Some(all) = &self.resident {
            for job in jobs {
                if !more(all[job.group], 0, &self.shape, self.scratch) {
                    break;
                }
            }
            return Ok(places);
        }
        // Structures come anew, as many as go beside their scratch.
        let mut builder = Builder::default();
        let mut before = 0;
        for job in jobs {
            let place = objective.with_group(job.group, |group, geometry, _| {
                builder.add(objective, group, geometry)
            });
            let own = builder.bytes() - before;
            before += own;
            if !more(place, own, &self.shape, self.scratch) {
                break;
            }
        }
        self.trainer.load(&builder.page)?;
        Ok(places)
    }

    /// Runs `step` on all jobs, as many at a time as memory allows.
    fn in_steps(
        &mut self,
        objective: &Objective,
        jobs: &[Job],
        mut step: impl FnMut(&mut Self, usize, &[Job], &Launch, &[(usize, usize)]) -> Result<()>,
    ) -> Result<()> {
        let mut done = 0;
        while done < jobs.len() {
            let mut one = |engine: &mut Self| {
                let places = engine.next(objective, &jobs[done..])?;
                let jobs = &jobs[done..done + places.len()];
                let (launch, results) = launch(objective, jobs, &places);
                step(engine, done, jobs, &launch, &results)?;
                Ok(places.len())
            };
            match one(self) {
                Ok(n) => done += n,
                Err(e) if is_want_of_memory(&e) && self.scratch > LEAST => {
                    self.scratch /= 2;
                    self.trainer.shrink();
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Results of the jobs' groups, handed to a loss each, in the order of the jobs; and the
    /// gradients of what the losses say, one for each of `rows`.
    ///
    /// **Errors**: [`Error::Backend`].
    pub fn run<L: Loss + Send>(
        &mut self,
        objective: &Objective,
        jobs: &[Job],
        values: &[f64],
        q_scaler: &[f64],
        rows: usize,
        make: impl Fn(usize) -> L + Sync,
    ) -> Result<(Vec<L>, Vec<f64>)> {
        let layout = &objective.layout;
        let parameters = Parameters::new(layout, values, q_scaler);
        let len = objective.n_parameters();
        let mut gradient = vec![0.0; rows * len];
        let mut losses = Vec::with_capacity(jobs.len());
        self.in_steps(objective, jobs, |engine, first, jobs, launch, outs| {
            let vector = vector(values, &parameters);
            let results = engine.trainer.forward(launch, vector, q_scaler, None)?;
            let said = said(objective, jobs, launch, &results, |k| make(first + k));
            if rows > 0 && said.iter().any(|s| s.wanted) {
                let strained = said.iter().any(|s| !s.strain.is_empty());
                let slopes = slopes(&said, launch, strained);
                let sums = engine.trainer.reverse(&slopes, strained)?;
                for (own, &(row, center)) in sums.chunks_exact(engine.shape.part()).zip(outs) {
                    let to = &mut gradient[row * len..][..len];
                    scatter(&engine.shape, layout, own, center, to);
                }
            }
            losses.extend(said.into_iter().map(|s| s.loss));
            Ok(())
        })?;
        Ok((losses, gradient))
    }

    /// Derivatives of the results of some groups along a direction of the parameters: by group the
    /// energies of its structures, the forces on its slots, the virials of its structures.
    ///
    /// **Errors**: [`Error::Backend`].
    pub fn along(
        &mut self,
        objective: &Objective,
        groups: &[usize],
        values: &[f64],
        q_scaler: &[f64],
        direction: &[f64],
    ) -> Result<Vec<Vec<f64>>> {
        let layout = &objective.layout;
        let parameters = Parameters::new(layout, values, q_scaler);
        let along = Parameters::new(layout, direction, q_scaler);
        let jobs: Vec<Job> = groups.iter().map(|&group| Job { group, row: 0 }).collect();
        let mut out = Vec::with_capacity(groups.len());
        self.in_steps(objective, &jobs, |engine, _, jobs, launch, _| {
            let direction = Some(vector(direction, &along));
            let vector = vector(values, &parameters);
            let results = engine
                .trainer
                .forward(launch, vector, q_scaler, direction)?;
            out.extend(own_results(objective, jobs, launch, &results).map(|r| r.concat()));
            Ok(())
        })?;
        Ok(out)
    }
}

fn vector<'a>(values: &'a [f64], parameters: &'a Parameters<'_>) -> Vector<'a> {
    Vector {
        values: &values[..parameters.len()],
        coefficients: [0, 1].map(|part| parameters.coefficients(part)),
    }
}

fn is_want_of_memory(error: &Error) -> bool {
    matches!(error, Error::Backend(text) if text.contains("out of memory"))
}

/// Energies, forces and virials of each job.
fn own_results<'a>(
    objective: &'a Objective,
    jobs: &'a [Job],
    launch: &Launch,
    results: &'a [f64],
) -> impl Iterator<Item = [&'a [f64]; 3]> {
    let (energies, rest) = results.split_at(launch.structures());
    let (forces, virials) = rest.split_at(3 * EIGHT * launch.positions());
    let (mut structure, mut slot) = (0, 0);
    jobs.iter().map(move |job| {
        let chunk = &objective.groups[job.group].chunk;
        let (s, a) = (structure, slot);
        structure += chunk.n_structures;
        slot += chunk.atom.len();
        [
            &energies[s..structure],
            &forces[3 * a..3 * slot],
            &virials[6 * s..6 * structure],
        ]
    })
}

/// Hands each job's results to its loss.
fn said<L: Loss + Send>(
    objective: &Objective,
    jobs: &[Job],
    launch: &Launch,
    results: &[f64],
    make: impl Fn(usize) -> L + Sync,
) -> Vec<Said<L>> {
    let own: Vec<[&[f64]; 3]> = own_results(objective, jobs, launch, results).collect();
    own.into_par_iter()
        .enumerate()
        .map(|(k, [energy, forces, virials])| {
            let force: Vec<[f64; 4]> = forces
                .chunks_exact(3)
                .map(|f| [f[0], f[1], f[2], 0.0])
                .collect();
            let mut said = Said {
                loss: make(k),
                wanted: false,
                energy: Vec::new(),
                displacement: Vec::new(),
                strain: Vec::new(),
            };
            let results = Results {
                energy,
                force: &force,
                virial: virials.as_chunks::<6>().0,
                charge: &[],
                born: &[],
            };
            let (mut charge, mut born) = (Vec::new(), Vec::new());
            let slopes = Slopes {
                energy: &mut said.energy,
                displacement: &mut said.displacement,
                strain: &mut said.strain,
                charge: &mut charge,
                born: &mut born,
            };
            said.wanted = said.loss.slopes(&results, slopes);
            said
        })
        .collect()
}

/// What the losses say, as the device reads it.
fn slopes<L>(said: &[Said<L>], launch: &Launch, strained: bool) -> Vec<f64> {
    let mut all = Vec::with_capacity(10 * launch.structures() + 3 * EIGHT * launch.positions());
    for s in said {
        all.extend(&s.energy);
    }
    for s in said {
        all.extend(s.displacement.iter().flat_map(|d| &d[..3]));
    }
    if strained {
        for s in said {
            if s.strain.is_empty() {
                all.resize(all.len() + 9 * s.energy.len(), 0.0);
            } else {
                all.extend(s.strain.iter().flatten().flatten());
            }
        }
    }
    all
}

/// Adds a result, which is of the atoms of one type, to the gradient.
fn scatter(shape: &TrainShape, layout: &Layout, own: &[f64], center: usize, gradient: &mut [f64]) {
    let (network, rest) = own.split_at(shape.own());
    let first = layout.w0(center, 0);
    for (g, x) in gradient[first..].iter_mut().zip(network) {
        *g += x;
    }
    let (bias, mut rest) = (rest[0], rest[1..].iter());
    gradient[layout.common_bias()] += bias;
    if let Some(index) = layout.type_bias(center) {
        gradient[index] += bias;
    }
    for part in 0..2 {
        for other in 0..layout.n_types {
            for k in 0..layout.n_basis[part] {
                for n in 0..layout.n_radial[part] {
                    if let Some(x) = rest.next() {
                        gradient[layout.coefficient(part, n, k, center, other)] += x;
                    }
                }
            }
        }
    }
}
