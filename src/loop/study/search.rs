//! A search for settings: random candidates, successive halving, and what is best at each cost.
//!
//! Source of the halving: Jamieson & Talwalkar, arXiv:1502.07943.

mod drawn;
mod shown;

use super::{Effort, How, StudyCallback, one, score};
use drawn::draw;
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::model::{Cutoff, Model};
use nepal::system::Frame;
use nepal::{BackendKind, Request};
use nepal_train::{Errors, NepIn};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Least time of a candidate's first training that says anything.
const FIRST: Duration = Duration::from_secs(5);
/// Candidates at most, if the caller does not say.
const MOST: usize = 32;
/// Atoms on which cost is measured, about, and how often.
const COST_ATOMS: usize = 500;
const REPEATS: usize = 5;

/// Options of [`search`].
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Settings to start with, those of the `nep.in` among them; `None`: as many as a budget allows.
    pub candidates: Option<usize>,
    /// How much all trainings may take; epochs are those of the first round.
    pub effort: Effort,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads of a training.
    pub threads: Option<usize>,
}

/// One set of settings and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Radial and angular cutoff, Å.
    pub cutoff: [f64; 2],
    /// `n_max`.
    pub n_max: [usize; 2],
    /// `basis_size`.
    pub basis_size: [usize; 2],
    /// `l_max` and its flags.
    pub l_max: Vec<usize>,
    /// Neurons.
    pub neurons: usize,
    /// Parameters of the model.
    pub parameters: usize,
    /// Rounds of training that it survived, the last of which its errors are of.
    pub rounds: usize,
    /// Wall clock of its training, s.
    pub seconds: f64,
    /// Errors on the held-out frames.
    pub test: Errors,
    /// The loss that they make, which candidates are compared by.
    pub score: f64,
    /// Energy, forces and virial on one thread, µs per atom.
    pub cost: f64,
    /// Whether no other of as many rounds is better at no higher cost.
    pub pareto: bool,
    /// All settings, as a `nep.in`.
    pub nep_in: String,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Search {
    /// Version of this record.
    pub schema: u32,
    /// Frames to train on and frames held out.
    pub frames: [usize; 2],
    /// Rounds of halving.
    pub rounds: usize,
    /// The candidates: those of most rounds first, then by score.
    pub candidates: Vec<Candidate>,
    /// False if the caller ended the search early.
    pub complete: bool,
}

/// A candidate on its way.
struct Running {
    config: NepIn,
    model: Option<Model>,
    found: Candidate,
}

/// Searches cutoffs, descriptor sizes and neurons around some settings.
///
/// Each round trains the candidates that are left for twice as long as the one before, going on from
/// where they are, and keeps half of them: first those that are best at their cost, then the best.
///
/// **Errors**: [`Error::InvalidArgument`] for empty sets or fewer than two candidates, and what
/// training says.
pub fn search(
    config: &NepIn,
    train: &[Frame],
    test: &[Frame],
    options: &SearchOptions,
    told: &mut StudyCallback<'_>,
) -> Result<Search> {
    if train.is_empty() || test.is_empty() {
        return Err(Error::invalid(
            "a search needs training frames and held-out frames",
        ));
    }
    let count = options.candidates.unwrap_or(match options.effort {
        // With n candidates and log2(n) rounds of equal time, the first round gives each its share.
        Effort::Budget(all) => (2..=MOST)
            .rev()
            .find(|&n| all / (rounds(n) * n) as u32 >= FIRST)
            .unwrap_or(2),
        Effort::Epochs(_) => 8,
    });
    if count < 2 {
        return Err(Error::invalid(format!(
            "a search needs two candidates at least; found {count}"
        )));
    }
    let start = Instant::now();
    let n_rounds = rounds(count);
    let mut left: Vec<Running> = draw(config, count, options.seed)
        .into_iter()
        .map(Running::new)
        .collect();
    let mut done: Vec<Running> = Vec::new();
    let mut complete = true;
    'search: for round in 0..n_rounds {
        let number = left.len();
        for k in 0..number {
            let effort = match options.effort {
                Effort::Budget(all) => {
                    let spare = all.saturating_sub(start.elapsed());
                    Effort::Budget(share(spare, n_rounds - round, number, k))
                }
                Effort::Epochs(n) => Effort::Epochs(n << round),
            };
            let at = (round as f64 + k as f64 / number as f64) / n_rounds as f64;
            let what = format!("round {} of {n_rounds}, candidate {}", round + 1, k + 1);
            let width = 1.0 / (n_rounds * number) as f64;
            let mut go = |f: f64| told(&what, at + width * f);
            let how = How {
                effort,
                seed: options.seed,
                threads: options.threads,
                until_settled: false,
            };
            let running = &mut left[k];
            let trained = one(
                &running.config,
                train,
                test,
                running.model.as_ref(),
                how,
                &mut go,
            )?;
            let Some((trained, _)) = trained else {
                complete = false;
                break 'search;
            };
            if round == 0 {
                running.found.cost = cost(&trained.model, test)?;
                running.found.parameters = trained.model.parameters().len();
            }
            let errors = trained.test.unwrap_or_default();
            running.found.score = score(config, &errors);
            running.found.test = errors;
            running.found.rounds = round + 1;
            running.found.seconds += trained.seconds;
            running.model = Some(trained.model);
        }
        if round + 1 < n_rounds {
            let keep = survivors(&left, number.div_ceil(2));
            let mut kept = Vec::new();
            for (k, running) in left.into_iter().enumerate() {
                if keep.contains(&k) {
                    kept.push(running);
                } else {
                    done.push(running);
                }
            }
            left = kept;
        }
    }
    done.extend(left);
    let mut candidates: Vec<Candidate> = done
        .into_iter()
        .map(|r| r.found)
        .filter(|c| c.rounds > 0)
        .collect();
    candidates.sort_by(|a, b| {
        let by_rounds = b.rounds.cmp(&a.rounds);
        by_rounds.then(a.score.total_cmp(&b.score))
    });
    let all: Vec<(usize, f64, f64)> = candidates
        .iter()
        .map(|c| (c.rounds, c.score, c.cost))
        .collect();
    for (k, c) in candidates.iter_mut().enumerate() {
        c.pareto = !all.iter().enumerate().any(|(j, &(rounds, score, cost))| {
            j != k
                && rounds >= c.rounds
                && score <= c.score
                && cost <= c.cost
                && (score < c.score || cost < c.cost || rounds > c.rounds)
        });
    }
    Ok(Search {
        schema: 1,
        frames: [train.len(), test.len()],
        rounds: n_rounds,
        candidates,
        complete,
    })
}

/// Rounds that bring some candidates down to two.
fn rounds(candidates: usize) -> usize {
    (candidates as f64).log2().ceil().max(1.0) as usize
}

/// Time of candidate `k` of `number` when `spare` is left for it, its successors and `rounds` rounds,
/// this one counted, of equal time.
fn share(spare: Duration, rounds: usize, number: usize, k: usize) -> Duration {
    let of_round = (number - k) as f64 / number as f64;
    let later = (rounds - 1) as f64;
    spare.mul_f64(1.0 / ((of_round + later) * number as f64))
}

/// Candidates to go on with: the best at their cost by score, then others by score.
fn survivors(left: &[Running], keep: usize) -> Vec<usize> {
    let better = |a: &Candidate, b: &Candidate| {
        a.score <= b.score && a.cost <= b.cost && (a.score < b.score || a.cost < b.cost)
    };
    let mut order: Vec<(bool, usize)> = (0..left.len())
        .map(|k| {
            let beaten = left.iter().any(|o| better(&o.found, &left[k].found));
            (beaten, k)
        })
        .collect();
    order.sort_by(|a, b| {
        let score = |k: usize| left[k].found.score;
        a.0.cmp(&b.0).then(score(a.1).total_cmp(&score(b.1)))
    });
    order.into_iter().take(keep).map(|(_, k)| k).collect()
}

/// Time of a model on one thread, µs per atom: the smallest of some repeats.
fn cost(model: &Model, frames: &[Frame]) -> Result<f64> {
    let mut calculator = Calculator::new(Arc::new(model.clone()), BackendKind::Cpu)?;
    let mut atoms = 0;
    let some: Vec<&Frame> = frames
        .iter()
        .take_while(|f| {
            let go = atoms < COST_ATOMS;
            atoms += f.len();
            go
        })
        .collect();
    let atoms: usize = some.iter().map(|f| f.len()).sum();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|e| Error::Failed(format!("cannot start a thread: {e}")))?;
    pool.install(|| {
        let mut best = f64::INFINITY;
        for _ in 0..REPEATS {
            let start = Instant::now();
            for frame in &some {
                calculator.compute(&frame.structure, Request::FORCES | Request::VIRIAL)?;
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(1e6 * best / atoms.max(1) as f64)
    })
}

impl Running {
    fn new(config: NepIn) -> Self {
        let cutoff = match &config.cutoff {
            Cutoff::PerType(rows) => rows
                .iter()
                .fold([0.0f64; 2], |a, r| [a[0].max(r[0]), a[1].max(r[1])]),
            Cutoff::Uniform(rc) | Cutoff::Typewise { global: rc, .. } => *rc,
        };
        let flags = config.many_body.flags().map(usize::from);
        let found = Candidate {
            cutoff,
            n_max: config.n_max,
            basis_size: config.basis_size,
            l_max: std::iter::once(config.l_max).chain(flags).collect(),
            neurons: config.neurons[0],
            parameters: 0,
            rounds: 0,
            seconds: 0.0,
            test: Errors::default(),
            score: f64::INFINITY,
            cost: 0.0,
            pareto: false,
            nep_in: config.to_text(),
        };
        Self {
            config,
            model: None,
            found,
        }
    }
}
