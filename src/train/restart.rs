//! `nep.restart`: the state of GPUMD's evolution strategy, from which its `nep` continues.

use super::data::{self, BadData};
use super::initial;
use super::nep_in::NepIn;
use super::objective::{Evaluation, Objective};
use super::optimize::networks;
use super::targets::Weighting;
use nepal::error::{Error, Result};
use nepal::model::{Header, Layout, Model};
use nepal::system::Frame;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::fmt::Write;
use std::path::Path;

/// Atoms of the frames on which deviations are tried out.
const TRIAL_ATOMS: usize = 2000;
/// How much worse than the mean an individual may be on average.
const WORSE: f64 = 0.3;
/// Smallest and largest deviation: GPUMD starts with 0.1 and does not go above 1.
const SIGMA: [f64; 2] = [1e-6, 0.1];

/// Mean and standard deviation of each parameter, in the order of `nep.txt`.
///
/// GPUMD finds the descriptor scales anew when it starts, from all training structures with every
/// coefficient set to 1, and keeps them nowhere in this file; so the first layer's weights in it are
/// those that belong to these scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// Mean of each parameter.
    pub mean: Vec<f64>,
    /// Standard deviation of each parameter.
    pub sigma: Vec<f64>,
}

impl Restart {
    /// Parses the text of a `nep.restart`; `name` stands for the file in messages.
    ///
    /// **Errors**: [`Error::Parse`] with the line.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let (mut mean, mut sigma) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let values: Vec<f64> = words.iter().map_while(|w| w.parse().ok()).collect();
            match values[..] {
                [m, s] if words.len() == 2 && m.is_finite() && s >= 0.0 && s.is_finite() => {
                    mean.push(m);
                    sigma.push(s);
                }
                _ => {
                    return Err(Error::parse(
                        name,
                        index + 1,
                        format!(
                            "expected mean and deviation of a parameter, found {:?}",
                            line.trim()
                        ),
                    ));
                }
            }
        }
        Ok(Self { mean, sigma })
    }

    /// Reads a `nep.restart`.
    ///
    /// **Errors**: as [`Restart::parse`], and [`Error::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The text of a `nep.restart`, as GPUMD writes it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (m, s) in self.mean.iter().zip(&self.sigma) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>15} {:>15}", scientific(*m), scientific(*s));
        }
        text
    }

    /// Writes a `nep.restart` in one step.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        nepal::files::write_atomically(path.as_ref(), self.to_text().as_bytes())
    }

    /// The state from which GPUMD's `nep` goes on where a model is: its parameters, for the
    /// descriptor scales that GPUMD will find on `frames`, and one deviation for all of them, the
    /// largest with which the errors of an individual stay close to those of the model.
    ///
    /// `frames` must be the training set that GPUMD will be given, and `initial_para` its default.
    ///
    /// **Errors**: as for training on the frames; [`Error::InvalidArgument`] without any.
    pub fn of_model(model: &Model, frames: &[Frame]) -> Result<Self> {
        let scales = gpumd_scales(model.header(), frames, BadData::Keep)?;
        let mut mean = model.parameters().to_vec();
        rescale(model.layout(), &mut mean, model.q_scaler(), &scales);
        let sigma = deviation(model.header(), &mean, &scales, frames)?;
        Ok(Self {
            sigma: vec![sigma; mean.len()],
            mean,
        })
    }

    /// The model of the means, for settings and the training set from which the state comes.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if the number of parameters is another one, or as for
    /// training on the frames.
    pub fn model(&self, config: &NepIn, frames: &[Frame]) -> Result<Model> {
        let header = config.header();
        let wanted = Layout::new(&header).len();
        if self.mean.len() != wanted {
            return Err(Error::invalid(format!(
                "the settings call for {wanted} parameters, nep.restart has {}; use the nep.in that it was made with",
                self.mean.len()
            )));
        }
        let scales = gpumd_scales(&header, frames, config.bad_data)?;
        Model::new(header, self.mean.clone(), scales)
    }
}

/// `%.7e` of C.
fn scientific(x: f64) -> String {
    let text = format!("{x:.7e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// Carries first-layer weights from one set of descriptor scales to another; energies stay.
fn rescale(layout: &Layout, parameters: &mut [f64], from: &[f64], to: &[f64]) {
    for (offset, t) in networks(layout) {
        for mu in 0..layout.neurons[0] {
            let start = offset + layout.w0(t, mu);
            for (d, w) in parameters[start..start + layout.dim].iter_mut().enumerate() {
                *w *= from[d] / to[d];
            }
        }
    }
}

fn objective(header: &Header, frames: &[Frame], rule: BadData) -> Result<Objective> {
    let samples = data::prepare_by(header, frames, "training", rule, &mut Vec::new())?;
    if samples.is_empty() {
        return Err(Error::invalid(
            "no frame has atoms and a label; give the training set",
        ));
    }
    let order: Vec<usize> = (0..samples.len()).collect();
    let weighting = Weighting {
        type_weight: &vec![1.0; header.n_types()],
        force_delta: 0.0,
        lambda_shear: 1.0,
        force_loss: crate::RobustLoss::Square,
        energy_loss: crate::RobustLoss::Square,
    };
    Objective::new(header, samples, &order, &weighting, 5e8)
}

/// The descriptor scales that GPUMD's `nep` finds on a training set.
fn gpumd_scales(header: &Header, frames: &[Frame], rule: BadData) -> Result<Vec<f64>> {
    let objective = objective(header, frames, rule)?;
    let ones = vec![1.0; objective.layout.len()];
    Ok(initial::scales(&objective, &ones))
}

/// The largest deviation of all parameters with which individuals are hardly worse than the mean.
fn deviation(header: &Header, mean: &[f64], scales: &[f64], frames: &[Frame]) -> Result<f64> {
    let mut trial: Vec<Frame> = Vec::new();
    let mut atoms = 0;
    for frame in frames {
        if trial.is_empty() || atoms + frame.len() <= TRIAL_ATOMS {
            atoms += frame.len();
            trial.push(frame.clone());
        }
    }
    let objective = objective(header, &trial, BadData::Keep)?;
    let all: Vec<usize> = (0..objective.groups.len()).collect();
    let loss = |parameters: &[f64]| -> f64 {
        let evaluation = Evaluation {
            parameters,
            q_scaler: scales,
            factors: None,
        };
        let (sums, _) = objective.evaluate(&all, &evaluation);
        let [e, f, v, q, z] = sums.weighted(sums.shift()).map(f64::sqrt);
        // GPUMD's weights.
        match header.kind.is_tensor() {
            true => v,
            false => e + f + 0.1 * v + 0.1 * q + 0.5 * z,
        }
    };
    // A tenth of GPUMD's usual final error keeps a perfect mean from asking for no deviation.
    let limit = (1.0 + WORSE) * loss(mean) + 0.004;
    let worse = |sigma: f64| -> bool {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut total = 0.0;
        for _ in 0..3 {
            let individual: Vec<f64> = mean
                .iter()
                .map(|m| {
                    let s: f64 = StandardNormal.sample(&mut rng);
                    m + sigma * s
                })
                .collect();
            total += loss(&individual) / 3.0;
        }
        !(total <= limit)
    };
    let [mut low, mut high] = SIGMA.map(f64::ln);
    for _ in 0..10 {
        let middle = 0.5 * (low + high);
        if worse(middle.exp()) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(low.exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict;
    use nepal::BackendKind;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .join("tests/data")
            .join(name)
    }

    #[test]
    fn the_format_is_gpumds_to_the_byte() {
        let path = folder("pbte_nep_train").join("nep.restart.gz");
        let mut text = String::new();
        let file = std::fs::File::open(path).unwrap();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
        let restart = Restart::parse(&text, "nep.restart").unwrap();
        assert_eq!(restart.mean.len(), 3033);
        assert_eq!(restart.to_text(), text);
        for (bad, line) in [("1 2\n1 2 3\n", 2), ("1 -2\n", 1), ("a 1\n", 1)] {
            let error = Restart::parse(bad, "x").unwrap_err().to_string();
            assert!(error.contains(&format!("x:{line}:")), "{error}");
        }
    }

    /// GPUMD's own run: the elite's descriptor scales follow from the data alone, and the mean is a
    /// model that is about as good as the elite.
    #[test]
    fn scales_and_mean_of_a_run_of_gpumd_are_understood() {
        let folder = folder("pbte_nep_train");
        let config = NepIn::load(folder.join("nep.in")).unwrap();
        let elite = Model::load(folder.join("nep.txt")).unwrap();
        let open = |name: &str| {
            flate2::read::GzDecoder::new(std::fs::File::open(folder.join(name)).unwrap())
        };
        let frames: Vec<Frame> = nepal::system::xyz::FrameReader::new(
            std::io::BufReader::new(open("train.xyz.gz")),
            "train.xyz",
        )
        .collect::<Result<_>>()
        .unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut open("nep.restart.gz"), &mut text).unwrap();
        let mean = Restart::parse(&text, "nep.restart")
            .unwrap()
            .model(&config, &frames)
            .unwrap();
        for (a, b) in mean.q_scaler().iter().zip(elite.q_scaler()) {
            assert!((a - b).abs() < 2e-5 * b.abs(), "{a} {b}");
        }
        let rmse = |m: &Model| {
            crate::errors(m, &frames[..3], BackendKind::Cpu)
                .unwrap()
                .force_rmse
                .unwrap()
        };
        assert!(rmse(&mean) < 1.1 * rmse(&elite));
    }

    #[test]
    fn a_model_survives_the_way_through_a_restart_file() {
        let model = Model::load(folder("gnep_trace").join("nep.txt")).unwrap();
        let frames =
            nepal::system::xyz::read_frames(folder("gnep_trace").join("train.xyz")).unwrap();
        let header = model.header();
        let config = NepIn {
            version: header.version,
            cutoff: header.cutoff.clone(),
            n_max: header.n_max,
            basis_size: header.basis_size,
            l_max: header.l_max,
            many_body: header.many_body,
            neurons: header.neurons,
            ..NepIn::new(header.elements.clone())
        };
        let restart = Restart::of_model(&model, &frames).unwrap();
        let sigma = restart.sigma[0];
        assert!(sigma > SIGMA[0] && sigma <= SIGMA[1], "{sigma}");
        let text = restart.to_text();
        let again = Restart::parse(&text, "nep.restart")
            .unwrap()
            .model(&config, &frames)
            .unwrap();
        assert_ne!(again.q_scaler(), model.q_scaler());
        let a = predict(&model, &frames, BackendKind::Reference).unwrap();
        let b = predict(&again, &frames, BackendKind::Reference).unwrap();
        for (a, b) in a.iter().zip(&b) {
            assert!(
                (a.energy - b.energy).abs() < 1e-4,
                "{} {}",
                a.energy,
                b.energy
            );
        }
        let other = NepIn {
            neurons: [header.neurons[0] + 1, 0],
            ..config
        };
        assert!(restart.model(&other, &frames).is_err());
    }
}
