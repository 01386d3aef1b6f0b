//! The loss of a training set as a sum of squares with its derivatives, for optimisers of one's own.

use super::data;
use super::nep_in::NepIn;
use super::objective::device::{self, Device};
use super::objective::{Evaluation, Objective};
use super::residuals::Point;
use super::targets::{TERMS, Weighting};
use nepal::error::Result;
use nepal::system::Frame;

/// A training set whose loss is a sum of squared residuals: weighted errors of energies, forces and
/// virials, in an order of its own, with zeros where there is no label.
///
/// Work is done by the threads of the current rayon pool, or by a device.
pub struct LeastSquares {
    objective: Objective,
    factors: [f64; TERMS],
    device: Option<String>,
    warnings: Vec<String>,
}

impl LeastSquares {
    /// Lays out frames for the settings of a potential. `weights` are factors of the mean squared
    /// errors of energy (eV/atom), force (eV/Å) and virial (eV/atom).
    ///
    /// **Errors**: as [`super::train`] for frames; [`nepal::Error::Backend`] for a device that cannot be used.
    pub fn new(
        config: &NepIn,
        frames: &[Frame],
        weights: [f64; 3],
        device: Device,
    ) -> Result<Self> {
        let mut own = Self::on_host(config, frames, weights)?;
        own.device = device::attach(device, &mut [&mut own.objective], &mut own.warnings)?;
        Ok(own)
    }

    /// The same on a CUDA device that the options lead to.
    ///
    /// **Errors**: as [`LeastSquares::new`].
    #[cfg(feature = "cuda")]
    pub fn on_cuda(
        config: &NepIn,
        frames: &[Frame],
        weights: [f64; 3],
        options: &nepal_cuda::Options,
    ) -> Result<Self> {
        let mut own = Self::on_host(config, frames, weights)?;
        let engine = device::Engine::with_options(options, &own.objective)?;
        own.device = Some(engine.name());
        own.objective.compute_on(engine);
        Ok(own)
    }

    fn on_host(config: &NepIn, frames: &[Frame], weights: [f64; 3]) -> Result<Self> {
        let header = config.header();
        let mut warnings = config.notes.clone();
        let mut samples =
            data::prepare_by(&header, frames, "training", config.bad_data, &mut warnings)?;
        data::weigh_groups(&mut samples, frames, &config.group_weight)?;
        let weighting = Weighting {
            type_weight: &config.type_weight,
            force_delta: config.force_delta,
            lambda_shear: config.lambda_shear,
            force_loss: config.force_loss,
            energy_loss: config.energy_loss,
        };
        let order: Vec<usize> = (0..samples.len()).collect();
        let objective = Objective::new(&header, samples, &order, &weighting, 1e9 * config.memory)?;
        let mut objective = objective;
        if config.train_zbl {
            objective.train_repulsion()?;
        }
        let mut counts = [0.0; TERMS];
        for group in &objective.groups {
            let own = group.targets.counts();
            (0..3).for_each(|i| counts[i] += own[i]);
        }
        let factors = std::array::from_fn(|i| {
            if counts[i] > 0.0 {
                weights[i] / counts[i]
            } else {
                0.0
            }
        });
        Ok(Self {
            objective,
            factors,
            device: None,
            warnings,
        })
    }

    /// Name of the device; `None` for the processor.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Everything that was dropped, ignored or assumed, and what became of a device that failed.
    pub fn warnings(&mut self) -> &[String] {
        self.warnings.extend(self.objective.take_notes());
        &self.warnings
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.objective.n_parameters()
    }

    /// What follows the model's parameters where the repulsion is trained (`train_zbl 1`): its
    /// coordinates at the start.
    pub fn start_of_repulsion(&self) -> Option<Vec<f64>> {
        let repulsion = self.objective.repulsion.as_ref()?;
        Some(repulsion.coordinates(&self.objective.header))
    }

    /// Number of atoms.
    pub fn n_atoms(&self) -> usize {
        self.objective.n_atoms()
    }

    /// The residuals of a model's parameters.
    ///
    /// **Panics**: if the numbers of parameters or scalers are not those of the settings.
    pub fn residuals(&self, parameters: &[f64], q_scaler: &[f64]) -> Vec<f64> {
        let at = self.point(parameters, q_scaler);
        self.objective.residuals(&self.groups(), &at, true).concat()
    }

    /// The sum of squares and its gradient.
    ///
    /// **Panics**: as [`LeastSquares::residuals`].
    pub fn gradient(&self, parameters: &[f64], q_scaler: &[f64]) -> (f64, Vec<f64>) {
        let at = self.point(parameters, q_scaler);
        let evaluation = Evaluation {
            parameters,
            q_scaler,
            factors: Some(at.factors),
        };
        let (sums, gradient) = self.objective.evaluate(&self.groups(), &evaluation);
        let [e, f, v, ..] = at.factors;
        let sum = e * sums.energy[2] + f * sums.force + v * sums.virial;
        (sum, gradient)
    }

    /// J v: the residuals' change along a direction of the parameters.
    ///
    /// **Panics**: as [`LeastSquares::residuals`].
    pub fn push(&self, parameters: &[f64], q_scaler: &[f64], direction: &[f64]) -> Vec<f64> {
        let at = self.point(parameters, q_scaler);
        self.objective.push(&self.groups(), &at, direction).concat()
    }

    /// Jᵀ y: the gradient of the product of `y` with the residuals.
    ///
    /// **Panics**: as [`LeastSquares::residuals`], and if `y` is not as long as they are.
    pub fn pull(&self, parameters: &[f64], q_scaler: &[f64], y: &[f64]) -> Vec<f64> {
        let at = self.point(parameters, q_scaler);
        let mut rest = y;
        let parts = self.objective.groups.iter().map(|group| {
            let (own, more) = rest.split_at(group.targets.len());
            rest = more;
            own.to_vec()
        });
        let y: Vec<Vec<f64>> = parts.collect();
        self.objective.pull(&self.groups(), &at, &y)
    }

    /// Starts or stops timing every kernel of a device.
    #[cfg(feature = "cuda")]
    pub fn time_kernels(&self, on: bool) {
        self.objective.on_device(|engine| {
            engine.time(on);
            Ok(())
        });
    }

    /// Name and milliseconds of each kernel since the last call, while they are timed.
    #[cfg(feature = "cuda")]
    pub fn kernel_times(&self) -> Vec<(&'static str, f64)> {
        self.objective
            .on_device(|engine| engine.times())
            .unwrap_or_default()
    }

    fn groups(&self) -> Vec<usize> {
        (0..self.objective.groups.len()).collect()
    }

    fn point<'a>(&self, parameters: &'a [f64], q_scaler: &'a [f64]) -> Point<'a> {
        assert_eq!(
            parameters.len(),
            self.n_parameters(),
            "number of parameters"
        );
        assert_eq!(
            q_scaler.len(),
            self.objective.layout.dim,
            "number of scalers"
        );
        Point {
            parameters,
            q_scaler,
            factors: self.factors,
        }
    }
}
