//! What a campaign would label, and what that may cost. Looks, and touches nothing.

use super::{Campaign, sources};
use crate::label::{LabelCache, label_key};
use nepal::error::Result;
use serde::Serialize;
use std::fmt;

/// Seconds of an hour.
const HOUR: f64 = 3600.0;

/// What a run would do, as far as that can be known before it.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Structures of the first training set and of the test set.
    pub initial: usize,
    /// Those of the test set alone.
    pub test: usize,
    /// Atoms of the smallest and the largest of them.
    pub atoms: [usize; 2],
    /// Those that bring a label or have one in the cache.
    pub known: usize,
    /// Those whose label would be computed.
    pub to_compute: usize,
    /// Most labels of a round after that, and most rounds.
    pub round: [usize; 2],
    /// Held-out frames at the end, and the cells of each crystal whose properties are compared: of volumes, strains and
    /// moves.
    pub held_out: usize,
    /// The crystals by name.
    pub properties: Vec<(String, [usize; 3])>,
    /// Most labels that may still be computed.
    pub most: usize,
    /// Cores of a label.
    pub cores: usize,
    /// Core hours of a label: the mean of those so far.
    pub mean: Option<f64>,
    /// Core hours after which a label is given up.
    pub limit: Option<f64>,
    /// Price of a core hour and its currency, if there is one.
    pub price: Option<(f64, String)>,
    /// Why labels cannot be computed as things are.
    pub hindrance: Option<String>,
}

impl Campaign {
    /// What a run from here would label. Makes the structures of the first round, computes no label and writes
    /// nothing.
    ///
    /// **Errors**: sources of structures that cannot be made, damaged records.
    pub fn plan(&self) -> Result<Plan> {
        let config = &self.config;
        let initial = sources::frames(&config.initial, &self.base, config.seed, "initial")?;
        let test = sources::frames(&config.test, &self.base, config.seed, "test")?;
        let (labeller, hindrance) = match self.labeller() {
            Ok(labeller) => (Some(labeller), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let folder = match &config.label.cache {
            Some(folder) => self.base.join(folder),
            None => self.directory.join("labels"),
        };
        let cache = folder
            .is_dir()
            .then(|| LabelCache::open(folder))
            .transpose()?;
        let settings = labeller.map(|l| l.settings());
        let mut known = 0;
        let mut atoms = [usize::MAX, 0];
        for frame in initial.iter().chain(&test) {
            let n = frame.structure.len();
            atoms = [atoms[0].min(n), atoms[1].max(n)];
            let cached = match (&cache, labeller, &settings) {
                (Some(cache), Some(labeller), Some(settings)) => {
                    let key = label_key(&frame.structure, labeller.name(), settings);
                    cache.get(&key)?.is_some()
                }
                _ => false,
            };
            let given = frame.info.get("label_source").is_some_and(|s| s == "file");
            known += usize::from(cached || given);
        }
        let rounds = self.rounds()?;
        let spent = self.spent_in_all(rounds.len())?;
        let last = match self.final_labels()? {
            Some(_) => 0,
            None => self.reserved()?,
        };
        let all = initial.len() + test.len();
        let round = [config.select.max_structures, config.stop.max_rounds];
        let to_compute = all - known;
        let left = round[1]
            .saturating_sub(rounds.len())
            .saturating_mul(round[0]);
        let budget = config.stop.max_labels.saturating_sub(spent.labels);
        let cores = match config.scheduler.cores {
            Some(cores) => cores,
            None => labeller.map_or(1, |l| l.cores()),
        };
        let setup = labeller.and_then(|l| l.setup());
        Ok(Plan {
            initial: initial.len(),
            test: test.len(),
            atoms,
            known,
            to_compute,
            round,
            held_out: self.held_out_frames(),
            properties: self.property_labels()?,
            most: (to_compute.saturating_add(left).saturating_add(last)).min(budget),
            cores,
            mean: (spent.labels > 0).then(|| spent.core_hours / spent.labels as f64),
            limit: setup.map(|s| s.timeout.as_secs_f64() * cores as f64 / HOUR),
            price: (config.budget.price > 0.0)
                .then(|| (config.budget.price, config.budget.currency.clone())),
            hindrance,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, largest] = self.atoms;
        writeln!(
            f,
            "first labels  {} structures to train and {} to test, {least} to {largest} atoms: {} known, {} to compute",
            self.initial, self.test, self.known, self.to_compute
        )?;
        let [each, rounds] = self.round;
        writeln!(
            f,
            "later         at most {each} a round in {rounds} rounds; at most {} labels from here, within stop.max_labels",
            self.most
        )?;
        if self.held_out > 0 {
            writeln!(
                f,
                "at the end    {} held-out frames of the scenarios' own dynamics, never trained on",
                self.held_out
            )?;
        }
        for (name, [volumes, strains, moves]) in &self.properties {
            writeln!(
                f,
                "at the end    {name}: {volumes} volumes, {strains} strained cells, {moves} displaced supercells"
            )?;
        }
        let cost = |hours: f64| match &self.price {
            Some((price, currency)) => {
                format!("{hours:.3} core hours, {:.2} {currency}", hours * price)
            }
            None => format!("{hours:.3} core hours"),
        };
        let most = self.most as f64;
        match (self.mean, self.limit) {
            (Some(mean), _) => writeln!(
                f,
                "cost          {} a label so far, so at most {} more",
                cost(mean),
                cost(mean * most)
            )?,
            (None, Some(limit)) => writeln!(
                f,
                "cost          known with the first labels; none takes more than {} (label.timeout on {} cores), all \
                 not more than {}",
                cost(limit),
                self.cores,
                cost(limit * most)
            )?,
            (None, None) if self.hindrance.is_some() => {
                writeln!(f, "cost          unknown before the method can be used")?;
            }
            (None, None) => writeln!(
                f,
                "cost          labels are computed in this process, by a potential"
            )?,
        }
        if let Some(hindrance) = &self.hindrance {
            writeln!(f, "but           {hindrance}")?;
        }
        Ok(())
    }
}
