//! A training run: from labelled frames to a model.

mod limits;

use super::data;
use super::errors::Errors;
use super::initial;
use super::nep_in::NepIn;
use super::objective::{Evaluation, Objective};
use super::optimize::{Adam, Variables, schedule};
use super::outcome::{Progress, Record, Stop, Trained};
use super::reference::Referred;
use super::targets::{Sums, Weighting};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::system::Frame;
use limits::Limits;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Atoms of a step, roughly, when `batch` is not given: small steps train faster than exact ones.
const STEP_ATOMS: usize = 256;
/// Evaluations of the whole data in a run.
const EVALUATIONS: usize = 100;
/// Memory for cached geometry, bytes; beyond it, geometry is computed again in every step.
const MEMORY: f64 = 4e9;
/// Smallest running errors of energy (eV/atom), force (eV/Å) and virial (eV/atom) that the loss
/// divides by: below them more weight only brings noise.
const FLOOR: [f64; 3] = [2e-4, 5e-3, 5e-4];
/// How much of the running mean square errors a step replaces.
const MEMORY_RATE: f64 = 0.05;

/// What [`train`] calls to tell how far it is.
pub type ProgressCallback<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Options of [`train`] that are not settings of the potential.
#[derive(Default)]
pub struct TrainOptions<'a> {
    /// Threads; `None`: those of the current rayon pool. The result depends on their number by
    /// nothing: sums are taken in a fixed order.
    pub threads: Option<usize>,
    /// Passes over the data; overrides the settings. A run that ends by epochs is reproducible.
    pub epochs: Option<usize>,
    /// Wall clock limit; overrides the settings. The step size follows whichever of epochs and
    /// budget is further advanced.
    pub budget: Option<Duration>,
    /// Seed of everything random; the settings' `seed` has precedence.
    pub seed: u64,
    /// Model to start from: same elements, shape and version. Its descriptor scales are kept.
    pub init: Option<&'a Model>,
    /// Called after each epoch; `Break` ends training, and the best model so far is returned.
    pub progress: Option<&'a mut ProgressCallback<'a>>,
}

/// Trains a potential.
///
/// Deterministic for given settings, frames and seed when it ends by epochs. Frames without a
/// usable label are dropped and named in the warnings; frames without virial are fine.
///
/// **Errors**: [`Error::InvalidArgument`] for frames that cannot be used (named), an empty training
/// set, or an initial model of another shape; [`Error::Failed`] if the loss is no longer finite.
pub fn train(
    config: &NepIn,
    train: &[Frame],
    test: &[Frame],
    mut options: TrainOptions<'_>,
) -> Result<Trained> {
    if config.prediction {
        return Err(Error::invalid(
            "the settings say prediction 1, which evaluates a model; set it to 0 to train",
        ));
    }
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(n) = options.threads {
        pool = pool.num_threads(n.max(1));
    }
    let pool = pool
        .build()
        .map_err(|e| Error::Failed(format!("cannot start training threads: {e}")))?;
    let progress = options.progress.take();
    let (epochs, budget) = (options.epochs, options.budget);
    let seed = config.seed.unwrap_or(options.seed);
    let referred = Referred::new(config, train, test, options.init)?;
    let (train, test, init) = referred.parts();
    let mut run = pool.install(|| Run::new(config, train, test, init, seed))?;
    let steps = run.train.samples.len().div_ceil(run.batch_size());
    let limits = Limits::new(config, epochs, budget, steps);
    let stop = run.optimise(&pool, &limits, progress)?;
    referred.put_back(pool.install(|| run.finish(train, test, stop))?)
}

/// State of a run.
struct Run<'a> {
    config: &'a NepIn,
    train: Objective,
    test: Option<Objective>,
    q_scaler: Vec<f64>,
    variables: Variables,
    /// Optimised variables.
    y: Vec<f64>,
    lambdas: [f64; 2],
    rng: ChaCha8Rng,
    /// Running mean square errors.
    squares: [f64; 3],
    history: Vec<Record>,
    best: Option<(f64, Vec<f64>)>,
    warnings: Vec<String>,
    start: Instant,
    epochs: usize,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a NepIn,
        train: &[Frame],
        test: &[Frame],
        init: Option<&Model>,
        seed: u64,
    ) -> Result<Self> {
        let start = Instant::now();
        let header = config.header();
        let mut warnings = config.notes.clone();
        let rule = config.bad_data;
        let samples = data::prepare_by(&header, train, "training", rule, &mut warnings)?;
        if samples.is_empty() {
            return Err(Error::invalid(
                "no training frame has atoms and a label; give frames with energy and forces",
            ));
        }
        let held_out = data::prepare_by(&header, test, "test", rule, &mut warnings)?;
        data::warn_of_overlap(train, test, &mut warnings);
        let weighting = Weighting {
            type_weight: &config.type_weight,
            force_delta: config.force_delta,
            lambda_shear: config.lambda_shear,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.shuffle(&mut rng);
        let objective = Objective::new(&header, samples, &order, &weighting, MEMORY)?;
        if !objective.all_kept() {
            warnings.push(format!(
                "the data do not fit {:.0} GB of cached geometry: training will be slow",
                MEMORY * 1e-9
            ));
        }
        let test = if held_out.is_empty() {
            None
        } else {
            let order: Vec<usize> = (0..held_out.len()).collect();
            Some(Objective::new(
                &header, held_out, &order, &weighting, MEMORY,
            )?)
        };
        let (parameters, q_scaler, variables) = match init {
            Some(model) => {
                check_init(config, model)?;
                let p = model.parameters().to_vec();
                let q = model.q_scaler().to_vec();
                let variables = Variables::new(&objective.layout, &objective.descriptors(&p, &q));
                (p, q, variables)
            }
            None => {
                let (mut p, q, variables) = initial::random(&objective, seed);
                initial::solve_output(&objective, &mut p, &q)?;
                (p, q, variables)
            }
        };
        let y = variables.of_parameters(&parameters);
        let lambdas = config.lambdas(objective.layout.len());
        let mut run = Self {
            config,
            train: objective,
            test,
            q_scaler,
            variables,
            y,
            lambdas,
            rng,
            squares: [0.0; 3],
            history: Vec::new(),
            best: None,
            warnings,
            start,
            epochs: 0,
        };
        let sums = run.assess()?;
        run.squares = sums.weighted(sums.shift());
        Ok(run)
    }

    fn parameters(&self) -> Vec<f64> {
        let mut z = vec![0.0; self.y.len()];
        self.variables.to_parameters(&self.y, &mut z);
        z
    }

    /// Evaluates all data, puts the energy shift into the common bias, keeps the record, and the
    /// parameters if they are the best so far.
    fn assess(&mut self) -> Result<Sums> {
        let bias = self.train.layout.common_bias();
        let mut parameters = self.parameters();
        let all = |o: &Objective| -> Vec<usize> { (0..o.groups.len()).collect() };
        let evaluation = Evaluation {
            parameters: &parameters,
            q_scaler: &self.q_scaler,
            factors: None,
        };
        let (sums, _) = self.train.evaluate(&all(&self.train), &evaluation);
        let shift = sums.shift();
        let test = self
            .test
            .as_ref()
            .map(|test| test.evaluate(&all(test), &evaluation).0);
        // Biases are subtracted: predictions that are too high need a larger one.
        parameters[bias] += shift;
        self.y[bias] += shift;
        let [l1, l2] = self.regularisation(&parameters);
        let lambda = self.lambda();
        let weigh =
            |squares: [f64; 3]| -> f64 { (0..3).map(|i| lambda[i] * squares[i].sqrt()).sum() };
        let loss = weigh(sums.weighted(shift)) + l1 + l2;
        if !loss.is_finite() {
            return Err(Error::Failed(format!(
                "the training loss is no longer finite after {} epochs; lower learning_rate                  (now {}) or look for frames with absurd labels",
                self.epochs, self.config.learning_rate
            )));
        }
        let record = Record {
            epoch: self.epochs,
            seconds: self.start.elapsed().as_secs_f64(),
            loss,
            l1,
            l2,
            train: sums.plain(shift),
            test: test.map(|t| t.plain(shift)),
        };
        let score = test.map_or(loss, |t| weigh(t.weighted(shift)));
        self.history.push(record);
        if self.best.as_ref().is_none_or(|(best, _)| score < *best) {
            self.best = Some((score, parameters));
        }
        Ok(sums)
    }

    fn lambda(&self) -> [f64; 3] {
        [
            self.config.lambda_e,
            self.config.lambda_f,
            self.config.lambda_v,
        ]
    }

    /// The L1 and L2 terms.
    fn regularisation(&self, z: &[f64]) -> [f64; 2] {
        let bias = self.train.layout.common_bias();
        let n = z.len() as f64;
        let (mut one, mut two) = (-z[bias].abs(), -z[bias] * z[bias]);
        for x in z {
            one += x.abs();
            two += x * x;
        }
        [
            self.lambdas[0] * one / n,
            self.lambdas[1] * (two / n).max(0.0).sqrt(),
        ]
    }

    /// Adds the gradient of the L1 and L2 terms.
    fn add_regularisation(&self, z: &[f64], gradient: &mut [f64]) {
        let bias = self.train.layout.common_bias();
        let n = z.len() as f64;
        let [_, l2] = self.regularisation(z);
        let rms = l2 / self.lambdas[1].max(f64::MIN_POSITIVE);
        let a = self.lambdas[0] / n;
        let b = if rms > 0.0 {
            self.lambdas[1] / (n * rms)
        } else {
            0.0
        };
        for (index, (g, &x)) in gradient.iter_mut().zip(z).enumerate() {
            if index != bias && x != 0.0 {
                *g += a * x.signum() + b * x;
            }
        }
    }

    /// Structures of a step.
    fn batch_size(&self) -> usize {
        let structures = self.train.samples.len();
        let atoms: usize = self.train.samples.iter().map(|s| s.types.len()).sum();
        let automatic = (STEP_ATOMS * structures + atoms / 2) / atoms.max(1);
        self.config.batch.unwrap_or(automatic).clamp(1, structures)
    }

    /// Groups of an epoch, shuffled and cut into batches.
    fn batches(&mut self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.train.groups.len()).collect();
        order.shuffle(&mut self.rng);
        let size = self.batch_size();
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut filled = usize::MAX;
        for group in order {
            if filled >= size {
                batches.push(Vec::new());
                filled = 0;
            }
            filled += self.train.groups[group].members.len();
            if let Some(last) = batches.last_mut() {
                last.push(group);
            }
        }
        batches
    }

    fn optimise(
        &mut self,
        pool: &rayon::ThreadPool,
        limits: &Limits,
        mut progress: Option<&mut ProgressCallback<'_>>,
    ) -> Result<Stop> {
        let mut adam = Adam::new(self.y.len());
        let every = limits.epochs.map(|n| n.div_ceil(EVALUATIONS).max(1));
        let mut assessed = 0.0;
        let mut since_best = 0;
        loop {
            let fraction = limits.fraction(self.epochs as f64, self.start.elapsed());
            if let (Some(progress), Some(record)) = (progress.as_mut(), self.history.last()) {
                let state = Progress {
                    epoch: self.epochs,
                    seconds: self.start.elapsed().as_secs_f64(),
                    fraction: fraction.min(1.0),
                    record: record.clone(),
                };
                if progress(&state).is_break() {
                    return Ok(Stop::Caller);
                }
            }
            if limits.epochs.is_some_and(|n| self.epochs >= n) {
                return Ok(Stop::Epochs);
            }
            if limits.budget.is_some_and(|b| self.start.elapsed() >= b) {
                return Ok(Stop::Budget);
            }
            pool.install(|| self.epoch(&mut adam, limits));
            self.epochs += 1;
            let fraction = limits.fraction(self.epochs as f64, self.start.elapsed());
            let due = match every {
                Some(every) => self.epochs.is_multiple_of(every),
                None => fraction >= assessed + 1.0 / EVALUATIONS as f64,
            };
            if due || fraction >= 1.0 {
                assessed = fraction;
                let before = self.best.as_ref().map(|b| b.0);
                pool.install(|| self.assess())?;
                let improved = self.best.as_ref().map(|b| b.0) != before;
                since_best = if improved { 0 } else { since_best + 1 };
                if self.config.early_stop > 0 && since_best >= self.config.early_stop {
                    return Ok(Stop::Early);
                }
            }
        }
    }

    fn epoch(&mut self, adam: &mut Adam, limits: &Limits) {
        let batches = self.batches();
        let n = batches.len();
        let bias = self.train.layout.common_bias();
        for (index, batch) in batches.iter().enumerate() {
            let done = self.epochs as f64 + index as f64 / n as f64;
            let rate = schedule(limits.fraction(done, self.start.elapsed()));
            let parameters = self.parameters();
            let mut counts = [0.0; 3];
            for &g in batch {
                let c = self.train.groups[g].targets.counts();
                for i in 0..3 {
                    counts[i] += c[i];
                }
            }
            let lambda = self.lambda();
            let factors = std::array::from_fn(|i| {
                let rms = self.squares[i].sqrt().max(FLOOR[i]);
                if counts[i] > 0.0 {
                    lambda[i] / (2.0 * rms * counts[i])
                } else {
                    0.0
                }
            });
            let evaluation = Evaluation {
                parameters: &parameters,
                q_scaler: &self.q_scaler,
                factors: Some(factors),
            };
            let (sums, mut gradient) = self.train.evaluate(batch, &evaluation);
            self.add_regularisation(&parameters, &mut gradient);
            self.variables.pull_back(&mut gradient);
            gradient[bias] = 0.0;
            adam.step(&mut self.y, &gradient, rate * self.config.learning_rate);
            // The best bias is known, up to the batch's share of the data.
            self.y[bias] += sums.shift() * rate.min(1.0) / n as f64;
            let squares = sums.weighted(sums.shift());
            let squares_raw = sums.weighted(0.0);
            for i in 0..3 {
                if counts[i] > 0.0 {
                    let new = if i == 0 { squares_raw[0] } else { squares[i] };
                    self.squares[i] += MEMORY_RATE * (new - self.squares[i]);
                }
            }
        }
    }

    fn finish(mut self, train: &[Frame], test: &[Frame], stop: Stop) -> Result<Trained> {
        let (_, parameters) = self
            .best
            .take()
            .ok_or_else(|| Error::Internal("training kept no model".into()))?;
        let mut header = self.config.header();
        header.max_neighbors = self.train.max_neighbors;
        let model = Model::new(header, parameters, self.q_scaler.clone())?;
        let predict = |objective: &Objective, frames: &[Frame]| {
            objective.predictions(model.parameters(), model.q_scaler(), frames.len())
        };
        let train_predictions = predict(&self.train, train);
        let test_predictions = self.test.as_ref().map(|t| predict(t, test));
        Ok(Trained {
            train: Errors::of(&train_predictions, train),
            test: test_predictions.as_ref().map(|p| Errors::of(p, test)),
            train_predictions,
            test_predictions: test_predictions.unwrap_or_default(),
            model,
            history: self.history,
            warnings: self.warnings,
            epochs: self.epochs,
            seconds: self.start.elapsed().as_secs_f64(),
            stop,
        })
    }
}

/// Refuses an initial model that training could not continue.
fn check_init(config: &NepIn, model: &Model) -> Result<()> {
    let mut wanted = config.header();
    wanted.max_neighbors = model.header().max_neighbors;
    if wanted == *model.header() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the model to start from does not fit the settings: expected {wanted:?}, found {:?};          use its settings or start without it",
        model.header()
    )))
}

#[cfg(test)]
mod tests;
