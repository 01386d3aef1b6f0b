//! The Bayesian posterior of the output weights: how far energies and forces could move without the
//! training data noticing, calibrated on labels.
//!
//! Descriptors and hidden neurons are held fixed, so energies, forces and virials are linear in the
//! output weights and biases θ. With noises s of energy, force and virial and precision α of the
//! prior around the trained weights, the covariance is `(β Σ φᵀφ/s² + α)⁻¹` in columns of unit size;
//! α and β follow from the evidence. What this misses (hidden layers, the form of the model) a
//! factor per element makes up for: the one with which σ holds 68 % of the errors of labels that the fit has not seen.
//!
//! Where no frames are held out, each training frame is left out of the linear problem in turn, in closed form
//! (`evidence.rs`).
//!
//! Force deviations need a contraction for each column. What calculators get is a network per element that
//! learnt them (`learn.rs`); the calibration and its coverage are of what that says.
//!
//! **Source**: the Laplace approximation of the last layer, e.g. Bigi et al., arXiv:2403.02251; the
//! evidence iteration of MacKay, Neural Comput. 4, 415 (1992).

mod calibrate;
mod design;
mod evidence;
mod file;
mod learn;
#[cfg(test)]
mod tests;

pub use calibrate::{Calibration, Coverage};

use super::errors::{Prediction, predict};
use design::Design;
use evidence::Normal;
use faer::Mat;
use nepal::BackendKind;
use nepal::calculator::Calculator;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::model::{Kind, Model};
use nepal::posterior::{Columns, product, variances};
use nepal::system::{Frame, Structure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Pairs of the nine components of a virial whose means are xx yy zz xy yz zx.
const SYMMETRIC: [(usize, usize); 6] = [(0, 0), (4, 4), (8, 8), (1, 3), (5, 7), (6, 2)];
/// Smallest noise of energies (eV/atom), forces (eV/Å) and virials (eV/atom).
const NOISE: [f64; 3] = [1e-4, 1e-3, 1e-4];

/// Options of [`Posterior::fit`].
#[derive(Clone, Copy, Debug)]
pub struct PosteriorOptions<'a> {
    /// Labelled frames that the model was not trained on, to calibrate with. Without any, each
    /// training frame is left out of the fit of the output weights in turn; as the hidden layers have seen
    /// it all the same, its errors are a little too small.
    pub held_out: &'a [Frame],
    /// Atoms of the training set that are used, spread evenly; more cost time and change little.
    pub max_atoms: usize,
}

/// Bounds that 68 % of the errors of what a model says do not exceed, by atom.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviations {
    /// Of the length of the force's error on each atom, eV/Å. Shape `[n_atoms]`.
    pub forces: Vec<f64>,
    /// Of each atom's energy, eV. Shape `[n_atoms]`.
    pub energies: Vec<f64>,
    /// Of the sum of the energies, eV.
    pub energy: f64,
}

impl Default for PosteriorOptions<'_> {
    fn default() -> Self {
        Self {
            held_out: &[],
            max_atoms: 20_000,
        }
    }
}

/// The calibrated covariance of output weights and biases of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    evaluable: Arc<nepal::posterior::Posterior>,
    noise: [f64; 3],
    alpha: f64,
    beta: f64,
    calibration: Calibration,
}

impl Posterior {
    /// From the frames a model was trained on.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for frames without labels or with elements that the
    /// model does not know, and what evaluating them says.
    pub fn fit(model: &Model, frames: &[Frame], options: &PosteriorOptions<'_>) -> Result<Self> {
        if model.kind() != Kind::Potential {
            return Err(Error::Unsupported(format!(
                "there is no posterior of a model of {}; leave --posterior and --committee out",
                model.kind().name()
            )));
        }
        let labelled = |f: &&Frame| {
            !f.is_empty() && (f.energy.is_some() || f.forces.is_some() || f.virial.is_some())
        };
        let all: Vec<&Frame> = frames.iter().filter(labelled).collect();
        let atoms: usize = all.iter().map(|f| f.len()).sum();
        if atoms == 0 {
            return Err(Error::invalid(
                "the posterior needs labelled training frames; found none",
            ));
        }
        let stride = atoms.div_ceil(options.max_atoms.max(1));
        let used: Vec<Frame> = all.into_iter().step_by(stride).cloned().collect();
        let held_out: Vec<Frame> = options.held_out.iter().filter(labelled).cloned().collect();
        let predictions = predict(model, &used, BackendKind::Cpu)?;
        let noise = noise(&predictions, &used);
        let columns = Columns::new(model);
        let mut calculator = Calculator::new(Arc::new(model.clone()), BackendKind::Cpu)?;
        let mut total = Normal::new(columns.len());
        for (frame, prediction) in used.iter().zip(&predictions) {
            let design = Design::new(&mut calculator, &columns, &frame.structure)?;
            let (rows, residuals) = weighted_rows(&design, frame, prediction, noise);
            total.add(rows.as_ref(), &residuals);
        }
        let mean: Vec<f64> = columns
            .parameters
            .iter()
            .map(|&p| model.parameters()[p])
            .collect();
        let solved = total.solve(&mean[..columns.weights()])?;
        let factor = solved.factor.as_ref();
        let mut lessons = learn::Lessons::new(model.elements().len());
        let mut samples = calibrate::Samples::default();
        let step = solved.step(&total.right);
        for (i, (frame, prediction)) in used.iter().zip(&predictions).enumerate() {
            let design = Design::new(&mut calculator, &columns, &frame.structure)?;
            lessons.add(&design, factor, true);
            if held_out.is_empty() && used.len() > 1 {
                let (rows, residuals) = weighted_rows(&design, frame, prediction, noise);
                let (factor, step) = solved.without(rows.as_ref(), &residuals, &step)?;
                let found = (&design, frame, prediction);
                samples.add(found, factor.as_ref(), Some(&step), (i, used.len()));
            }
        }
        for structure in learn::elsewhere(model, &used) {
            let design = Design::new(&mut calculator, &columns, &structure)?;
            lessons.add(&design, factor, false);
        }
        let mut local = lessons.learn(model.dim())?;
        let predictions = predict(model, &held_out, BackendKind::Cpu)?;
        for (i, (frame, prediction)) in held_out.iter().zip(&predictions).enumerate() {
            let design = Design::new(&mut calculator, &columns, &frame.structure)?;
            let place = (i, held_out.len());
            samples.add((&design, frame, prediction), factor, None, place);
        }
        let calibration = samples.calibrate(&mut local, !held_out.is_empty());
        let energy = [calibration.energy, calibration.energy_at_95];
        let evaluable = nepal::posterior::Posterior::new(model, solved.factor, energy, local)?;
        Ok(Self {
            evaluable: Arc::new(evaluable),
            noise,
            alpha: solved.alpha,
            beta: solved.beta,
            calibration,
        })
    }

    /// What a calculator takes.
    pub fn evaluable(&self) -> &Arc<nepal::posterior::Posterior> {
        &self.evaluable
    }

    /// What the calibration found.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Noises of energy (eV/atom), force (eV/Å) and virial (eV/atom) that the fit assumed: the
    /// errors of the training set.
    pub fn noise(&self) -> [f64; 3] {
        self.noise
    }

    /// Precision of the prior and of the data that the evidence asks for.
    pub fn precisions(&self) -> [f64; 2] {
        [self.alpha, self.beta]
    }

    /// The last layer's own σ for a structure, force by force: a contraction for each
    /// column. The calculator must have the posterior's model.
    ///
    /// **Errors**: as [`nepal::posterior::Posterior::check_model`], and what evaluating the structure says.
    pub fn deviations(
        &self,
        calculator: &mut Calculator,
        structure: &Structure,
    ) -> Result<Deviations> {
        let model = Arc::clone(calculator.model());
        self.evaluable.check_model(&model)?;
        let columns = Columns::new(&model);
        let design = Design::new(calculator, &columns, structure)?;
        let factor = self.evaluable.factor();
        let energies = variances(design.atoms.as_ref(), factor);
        let total = design.energy();
        let total = faer::MatRef::from_row_major_slice(&total, 1, columns.len());
        let c = &self.calibration;
        let forces = design.force_deviations(factor).into_iter();
        Ok(Deviations {
            forces: forces
                .zip(&design.types)
                .map(|(s, &t)| c.last_layer[t as usize] * s)
                .collect(),
            energies: energies.iter().map(|v| c.energy * v.sqrt()).collect(),
            energy: c.energy * variances(total, factor)[0].sqrt(),
        })
    }

    /// Models drawn from the posterior, spread as the calibration of all forces says: each a plain
    /// `nep.txt`. The same seed gives the same members.
    ///
    /// **Errors**: as [`nepal::posterior::Posterior::check_model`].
    pub fn committee(&self, model: &Model, members: usize, seed: u64) -> Result<Vec<Model>> {
        self.evaluable.check_model(model)?;
        let columns = Columns::new(model);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..members)
            .map(|_| {
                let z = Mat::from_fn(columns.len(), 1, |_, _| {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    z
                });
                let step = product(self.evaluable.factor(), z.as_ref());
                let mut parameters = model.parameters().to_vec();
                for (k, &p) in columns.parameters.iter().enumerate() {
                    parameters[p] += self.calibration.pooled * step[(k, 0)];
                }
                Model::new(
                    model.header().clone(),
                    parameters,
                    model.q_scaler().to_vec(),
                )
            })
            .collect()
    }

    /// The most probable model for which free atoms have given energies (eV): the posterior under
    /// that linear constraint on the output weights.
    ///
    /// **Errors**: as [`nepal::posterior::Posterior::check_model`]; [`Error::InvalidArgument`] for an element that the
    /// model does not know; [`Error::Failed`] if the constraints contradict each other, as they may
    /// where types share one network.
    pub fn with_free_atoms(&self, model: &Model, energies: &[(Element, f64)]) -> Result<Model> {
        self.evaluable.check_model(model)?;
        let columns = Columns::new(model);
        let mut calculator = Calculator::new(Arc::new(model.clone()), BackendKind::Reference)?;
        let mut rows = Mat::zeros(energies.len(), columns.len());
        let mut missing = Mat::zeros(energies.len(), 1);
        for (k, &(element, energy)) in energies.iter().enumerate() {
            let atom = Structure {
                cell: nepal::system::Cell::isolated(),
                elements: vec![element],
                positions: vec![[0.0; 3]],
            };
            let design = Design::new(&mut calculator, &columns, &atom)?;
            for (c, x) in design.energy().into_iter().enumerate() {
                rows[(k, c)] = x;
            }
            let now = calculator.compute(&atom, nepal::Request::FORCES)?.energy;
            missing[(k, 0)] = energy - now;
        }
        // θ + S Aᵀ (A S Aᵀ)⁻¹ (e − A θ), with S = L Lᵀ.
        let spread = product(rows.as_ref(), self.evaluable.factor());
        let gram = product(spread.as_ref(), spread.transpose());
        let largest = (0..gram.nrows()).fold(0.0f64, |a, i| a.max(gram[(i, i)]));
        let inverse = evidence::inverse(gram.as_ref(), 1e-13 * largest).ok_or_else(|| {
            Error::Failed(
                "the free-atom energies cannot all be met: the model's output layer does not tell these elements apart".into(),
            )
        })?;
        let weights = product(inverse.as_ref(), missing.as_ref());
        let step = product(
            self.evaluable.factor(),
            product(spread.transpose(), weights.as_ref()).as_ref(),
        );
        let mut parameters = model.parameters().to_vec();
        for (k, &p) in columns.parameters.iter().enumerate() {
            parameters[p] += step[(k, 0)];
        }
        Model::new(
            model.header().clone(),
            parameters,
            model.q_scaler().to_vec(),
        )
    }
}

/// Root mean square errors of the training set, not below what labels are good for.
fn noise(predictions: &[Prediction], frames: &[Frame]) -> [f64; 3] {
    let errors = super::errors::Errors::of(predictions, frames);
    let found = [errors.energy_rmse, errors.force_rmse, errors.virial_rmse];
    std::array::from_fn(|k| found[k].unwrap_or(NOISE[k]).max(NOISE[k]))
}

/// Rows of the weighted least-squares problem and its residuals, label minus model.
fn weighted_rows(
    design: &Design,
    frame: &Frame,
    prediction: &Prediction,
    noise: [f64; 3],
) -> (Mat<f64>, Vec<f64>) {
    let n = frame.len() as f64;
    let columns = design.atoms.ncols();
    let mut rows: Vec<f64> = Vec::new();
    let mut residuals = Vec::new();
    let mut push = |factor: f64, row: &mut dyn Iterator<Item = f64>, residual: f64| {
        if factor > 0.0 {
            rows.extend(row.map(|x| factor * x));
            residuals.push(factor * residual);
        }
    };
    if let Some(e) = frame.energy {
        let factor = frame.weight * frame.energy_weight.sqrt() / (n * noise[0]);
        push(
            factor,
            &mut design.energy().into_iter(),
            e - prediction.energy,
        );
    }
    if let Some(forces) = &frame.forces {
        for (i, (f, p)) in forces.iter().zip(&prediction.forces).enumerate() {
            let mask = frame.force_mask.as_ref().map_or(1.0, |m| m[i]);
            let factor = frame.weight * mask.sqrt() / noise[1];
            for a in 0..3 {
                let row = design.forces.row(3 * i + a);
                push(factor, &mut row.iter().copied(), f[a] - p[a]);
            }
        }
    }
    if let Some(w) = &frame.virial {
        let factor = frame.weight / (n * noise[2]);
        for (c, (a, b)) in SYMMETRIC.into_iter().enumerate() {
            let label = 0.5 * (w[a] + w[b]);
            let model = 0.5 * (prediction.virial[a] + prediction.virial[b]);
            let row = design.virial.row(c);
            push(factor, &mut row.iter().copied(), label - model);
        }
    }
    let count = residuals.len();
    let rows = Mat::from_fn(count, columns, |i, j| rows[i * columns + j]);
    (rows, residuals)
}
