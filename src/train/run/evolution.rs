//! Training by evolution.

use super::Run;
use crate::evolve::{self, Evolution, Terms};
use crate::initial;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Passes over the data that an individual costs.
const PASSES: f64 = 0.3;

impl Run<'_> {
    /// A random distribution; the scales of the descriptors become those of coefficients of one.
    pub(super) fn first_evolution(&mut self) -> Evolution {
        let layout = self.train.layout.clone();
        let mean = if self.warm {
            self.parameters()
        } else {
            let parameters = vec![1.0; layout.len()];
            self.q_scaler = initial::scales(&self.train, &parameters);
            (0..layout.len())
                .map(|_| 2.0 * self.rng.random::<f64>() - 1.0)
                .collect()
        };
        Evolution {
            deviation: vec![self.config.sigma0; mean.len()],
            mean,
            generation: 0,
        }
    }

    /// One generation; its best individual becomes the run's parameters.
    pub(super) fn generation(&mut self, evolution: &mut Evolution) {
        let number = evolution.generation;
        evolution.generation += 1;
        let owners = evolve::owners(&self.train.layout);
        let batches = evolve::batches(&self.train, self.config.batch.unwrap_or(BATCH));
        let deviates: Vec<Vec<f64>> = (0..self.config.population)
            .map(|_| {
                (0..owners.len())
                    .map(|_| StandardNormal.sample(&mut self.rng))
                    .collect()
            })
            .collect();
        let individuals: Vec<Vec<f64>> = deviates.iter().map(|s| evolution.individual(s)).collect();
        let terms = Terms {
            lambda: std::array::from_fn(|i| self.lambda()[i]),
            regularisation: self.lambdas,
        };
        let fitness = evolve::fitness_of_all(
            &self.train,
            &batches[number % batches.len()],
            &individuals,
            &self.q_scaler,
            &owners,
            &terms,
        );
        evolution.update(&owners, &deviates, &fitness);
        let total = |f: &Vec<f64>| f.last().copied().unwrap_or(f64::INFINITY);
        let best =
            (0..fitness.len()).min_by(|&a, &b| total(&fitness[a]).total_cmp(&total(&fitness[b])));
        if let Some(best) = best {
            self.y = self.variables.of_parameters(&individuals[best]);
        }
        let passes = PASSES * self.config.population as f64 / batches.len() as f64;
        self.epochs += passes.ceil() as usize;
    }
}

/// Structures of a batch where `batch` is not given: GPUMD's.
const BATCH: usize = 1000;
