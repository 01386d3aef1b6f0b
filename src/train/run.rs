//! A training run: from labelled frames to a model.

mod checkpoint;
mod descent;
mod evolution;
mod limits;
mod loss;
mod refine;
mod stages;

use super::data;
use super::errors::{Errors, Prediction, predict as predict_frames};
use super::initial;
use super::nep_in::{NepIn, Optimizer};
use super::objective::device::{self, Device};
use super::objective::{Evaluation, Objective};
use super::optimize::Variables;
use super::outcome::{Method, Progress, Record, Stop, Trained};
use super::ranks::Ranks;
use super::reference::Referred;
use super::targets::{Sums, TERMS, Weighting};
use checkpoint::Checkpoints;
use limits::{Clock, Limits};
use nepal::BackendKind;
use nepal::error::{Error, Result};
use nepal::model::{Kind, Model, Zbl};
use nepal::system::Frame;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Memory for cached geometry of the test set, to that of the training set.
const TEST_MEMORY: f64 = 0.3;
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
    /// Where the state of the run is kept, every 20 s, until it is complete: a run that is killed
    /// goes on from there when it is started again with the same settings, data and start. One that
    /// ends by epochs then gives the same model, bit for bit.
    pub checkpoint: Option<&'a Path>,
    /// Where the loss and its derivatives are computed. Those of a device are those of the processor
    /// within rounding; repeats on one device are bit-equal.
    pub device: Device,
    /// The processes that train together, each with its share of the data; all are given the same settings, data and
    /// options. Checkpoints, warnings and predictions are those of the first alone.
    pub ranks: Option<Arc<Ranks>>,
    /// Called with each warning about settings and data before the first epoch.
    pub warn: Option<&'a mut (dyn FnMut(&str) + 'a)>,
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
    let ranks = options.ranks.take().unwrap_or_default();
    config.check()?;
    let device = shared_device(config, &ranks, options.device)?;
    let (epochs, budget) = (options.epochs, options.budget);
    let seed = config.seed.unwrap_or(options.seed);
    let referred = Referred::new(config, train, test, options.init)?;
    let (train, test, init) = referred.parts();
    if ranks.size() > 1 {
        let start = init.map(Model::parameters);
        let limits = Limits { epochs, budget };
        ranks.agree(&checkpoint::key(config, train, test, start, seed, &limits))?;
    }
    let mut run = pool.install(|| Run::new(config, train, test, init, seed, device, &ranks))?;
    if let Some(warn) = options.warn.take() {
        run.warnings.iter().for_each(|w| warn(w));
    }
    let steps = run.train.samples.len().div_ceil(run.batch_size());
    let limits = Limits::new(config, epochs, budget, steps);
    let mut checkpoints = None;
    let mut state = None;
    if options.checkpoint.is_some() || ranks.size() > 1 {
        let start = init.map(Model::parameters);
        let key = checkpoint::key(config, train, test, start, seed, &limits);
        if let (Some(path), true) = (options.checkpoint, ranks.is_first()) {
            let (found, old) = Checkpoints::open(path, key, &mut run.warnings)?;
            checkpoints = Some(found);
            state = old;
        }
        state = checkpoint::of_first(&ranks, state)?;
    }
    let stop = run.optimise(&pool, &limits, progress, checkpoints.as_mut(), state)?;
    let trained = pool.install(|| run.finish(train, test, stop))?;
    if let Some(checkpoints) = checkpoints
        && stop != Stop::Caller
    {
        checkpoints.remove();
    }
    referred.put_back(trained)
}

/// Where processes that train together compute.
///
/// **Errors**: [`Error::Unsupported`] for what they cannot share out.
fn shared_device(config: &NepIn, ranks: &Ranks, device: Device) -> Result<Device> {
    match device {
        Device::Number(_) if config.kind != Kind::Potential => Err(Error::Unsupported(format!(
            "models of {} are trained on processors; leave --device out",
            config.kind.name()
        ))),
        _ if config.kind != Kind::Potential => Ok(Device::None),
        _ if ranks.size() == 1 => Ok(device),
        Device::Number(_) => Err(Error::Unsupported(
            "several processes train on processors; leave --device out, or start one process for the GPU".into(),
        )),
        _ if config.optimizer == Optimizer::Evolution => Err(Error::Unsupported(
            "optimizer snes is not shared out among processes; choose another, or start one process".into(),
        )),
        _ => Ok(Device::None),
    }
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
    squares: [f64; TERMS],
    history: Vec<Record>,
    best: Option<(f64, Vec<f64>)>,
    warnings: Vec<String>,
    clock: Clock,
    epochs: usize,
    method: Method,
    warm: bool,
    /// Name of the device; `None` for the processor.
    device: Option<String>,
    /// Root mean square of what stands for virials in the training set, per atom.
    spread: f64,
    /// Seconds that a device takes for a gradient of all data.
    pass: Option<f64>,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a NepIn,
        train: &[Frame],
        test: &[Frame],
        init: Option<&Model>,
        seed: u64,
        device: Device,
        ranks: &Arc<Ranks>,
    ) -> Result<Self> {
        let clock = Clock::new(ranks);
        let header = config.header();
        let mut warnings = config.notes.clone();
        let rule = config.bad_data;
        let mut samples = data::prepare_by(&header, train, "training", rule, &mut warnings)?;
        data::weigh_groups(&mut samples, train, &config.group_weight)?;
        let held_out = data::prepare_by(&header, test, "test", rule, &mut warnings)?;
        data::warn_of_overlap(train, test, &mut warnings);
        let weighting = Weighting {
            type_weight: &config.type_weight,
            force_delta: config.force_delta,
            lambda_shear: config.lambda_shear,
            force_loss: config.force_loss,
            energy_loss: config.energy_loss,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.shuffle(&mut rng);
        let mut objective = Objective::shared(
            &header,
            samples,
            &order,
            &weighting,
            1e9 * config.memory,
            Arc::clone(ranks),
        )?;
        let [sites, nothing] = objective.shares_not_kept();
        if sites + nothing > 0.0 {
            let positions = match nothing {
                0.0 => String::new(),
                share => format!(", of {:.0} % from the positions", 100.0 * share),
            };
            warnings.push(format!(
                "the geometry of {:.0} % of the training set exceeds the {} GB of the keyword memory and is computed anew in each step{positions}; all of it takes {:.1} GB",
                100.0 * (sites + nothing),
                config.memory,
                1e-9 * objective.whole
            ));
        }
        if !config.freeze.is_empty() {
            if init.is_none() {
                return Err(Error::invalid(
                    "freeze keeps layers of a model to start from, and there is none; name it with fine_tune or --init",
                ));
            }
            if config.optimizer == Optimizer::Evolution {
                return Err(Error::invalid(
                    "freeze goes with gradients, which optimizer snes does not take; leave one of them out",
                ));
            }
        }
        if config.train_zbl {
            if config.optimizer == Optimizer::Evolution {
                return Err(Error::invalid(
                    "train_zbl 1 needs gradients, which optimizer snes does not take; leave one of them out",
                ));
            }
            objective.train_repulsion()?;
        }
        let mut test = if held_out.is_empty() {
            None
        } else {
            let order: Vec<usize> = (0..held_out.len()).collect();
            Some(Objective::shared(
                &header,
                held_out,
                &order,
                &weighting,
                1e9 * config.memory * TEST_MEMORY,
                Arc::clone(ranks),
            )?)
        };
        if let (true, Some(test)) = (config.train_zbl, &mut test) {
            test.train_repulsion()?;
        }
        let objectives = std::iter::once(&mut objective).chain(test.as_mut());
        let device = device::attach(device, &mut objectives.collect::<Vec<_>>(), &mut warnings)?;
        let (mut parameters, q_scaler, variables) = match init {
            Some(model) => {
                check_init(config, model)?;
                let p = model.parameters().to_vec();
                let q = model.q_scaler().to_vec();
                let variables = Variables::new(&objective.layout, &objective.descriptors(&p, &q));
                let variables = variables.with_frozen(&config.freeze, &p);
                (p, q, variables)
            }
            None => {
                let (mut p, q, variables) = initial::random(&objective, seed);
                initial::solve_output(&objective, &mut p, &q)?;
                (p, q, variables)
            }
        };
        if let Some(repulsion) = &objective.repulsion {
            let start = init.map_or(&header, Model::header);
            parameters.extend(repulsion.coordinates(start));
        }
        let y = variables.of_parameters(&parameters);
        let lambdas = config.lambdas(objective.layout.len());
        let virials = objective.samples.iter().filter_map(|s| s.virial);
        let (squares, n) = virials
            .flatten()
            .fold((0.0, 0.0), |(a, n), x| (a + x * x, n + 1.0));
        let mut run = Self {
            spread: if squares > 0.0 {
                f64::sqrt(squares / n)
            } else {
                1.0
            },
            config,
            train: objective,
            test,
            q_scaler,
            variables,
            y,
            lambdas,
            rng,
            squares: [0.0; TERMS],
            history: Vec::new(),
            best: None,
            warnings,
            clock,
            epochs: 0,
            method: Method::Descent,
            warm: init.is_some(),
            device,
            pass: None,
        };
        let sums = run.assess()?;
        run.squares = sums.weighted(sums.shift());
        if run.device.is_some() {
            run.pass = Some(run.time_of_gradient());
        }
        Ok(run)
    }

    /// Seconds for a gradient of all data.
    fn time_of_gradient(&self) -> f64 {
        let start = Instant::now();
        let all: Vec<usize> = (0..self.train.groups.len()).collect();
        let evaluation = Evaluation {
            parameters: &self.parameters(),
            q_scaler: &self.q_scaler,
            factors: Some([1.0; TERMS]),
        };
        self.train.evaluate(&all, &evaluation);
        start.elapsed().as_secs_f64()
    }

    fn parameters(&self) -> Vec<f64> {
        let mut z = vec![0.0; self.y.len()];
        self.variables.to_point(&self.y, &mut z);
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
        self.train.ranks.check()?;
        let test = self
            .test
            .as_ref()
            .map(|test| test.evaluate(&all(test), &evaluation).0);
        // Biases are subtracted: predictions that are too high need a larger one.
        parameters[bias] += shift;
        self.y[bias] += shift;
        let [l1, l2] = self.regularisation(&parameters);
        let lambda = self.lambda();
        let weigh = |squares: [f64; TERMS]| -> f64 {
            (0..TERMS).map(|i| lambda[i] * squares[i].sqrt()).sum()
        };
        let loss = weigh(sums.weighted(shift)) + l1 + l2;
        if !loss.is_finite() {
            return Err(Error::Failed(format!(
                "the training loss is no longer finite after {} epochs; lower learning_rate (now {}) or look for frames with absurd labels",
                self.epochs, self.config.learning_rate
            )));
        }
        let record = Record {
            epoch: self.epochs,
            method: self.method,
            seconds: self.clock.elapsed().as_secs_f64(),
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

    fn finish(mut self, train: &[Frame], test: &[Frame], stop: Stop) -> Result<Trained> {
        let (_, parameters) = self
            .best
            .take()
            .ok_or_else(|| Error::Internal("training kept no model".into()))?;
        let mut header = self.config.header();
        header.max_neighbors = self.train.max_neighbors;
        let (own, coordinates) = parameters.split_at(self.train.layout.len());
        if let Some(repulsion) = &self.train.repulsion {
            header.zbl = Some(Zbl::Flexible(repulsion.rows(coordinates)));
        }
        let model = Model::new(header, own.to_vec(), self.q_scaler.clone())?;
        let first = self.train.ranks.is_first();
        let predict = |objective: &Objective, frames: &[Frame]| -> Result<Vec<Prediction>> {
            let frames = if first { frames } else { &[] };
            if frames.is_empty() {
                return Ok(Vec::new());
            }
            if model.kind().electrostatics().is_none() {
                return Ok(objective.predictions(&parameters, model.q_scaler(), frames.len()));
            }
            // Charges are more than the loss sees of them.
            let used = objective.samples.iter().map(|s| s.frame);
            let some: Vec<Frame> = used.clone().map(|f| frames[f].clone()).collect();
            let mut all = vec![Prediction::default(); frames.len()];
            for (frame, own) in used.zip(predict_frames(&model, &some, BackendKind::Cpu)?) {
                all[frame] = own;
            }
            Ok(all)
        };
        let train_predictions = predict(&self.train, train)?;
        let test_predictions = self.test.as_ref().map(|t| predict(t, test)).transpose()?;
        for objective in std::iter::once(&self.train).chain(&self.test) {
            self.warnings.extend(objective.take_notes());
        }
        Ok(Trained {
            train: Errors::of(&train_predictions, train),
            test: test_predictions.as_ref().map(|p| Errors::of(p, test)),
            train_predictions,
            test_predictions: test_predictions.unwrap_or_default(),
            model,
            history: self.history,
            warnings: self.warnings,
            epochs: self.epochs,
            seconds: self.clock.elapsed().as_secs_f64(),
            stop,
            device: self.device,
        })
    }
}

/// Refuses an initial model that training could not continue.
fn check_init(config: &NepIn, model: &Model) -> Result<()> {
    let mut config = config.clone();
    if let (true, Some(Zbl::Flexible(_)), Some(Zbl::Flexible(_))) =
        (config.train_zbl, &config.zbl, &model.header().zbl)
    {
        // Its rows are where the training goes on from.
        config.zbl = model.header().zbl.clone();
    }
    let found = config.differences(model.header());
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the model to start from does not fit the settings: {}; use its settings or start without it",
        found.join("; ")
    )))
}

#[cfg(test)]
mod kinds_tests;
#[cfg(test)]
mod tests;
