//! Errors of a model on labelled frames.

use super::conditions::{self, conditions};
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::model::{Kind, Model};
use nepal::system::Frame;
use nepal::{BackendKind, Request};
use std::sync::Arc;

/// What a model says about a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Total energy, eV.
    pub energy: f64,
    /// Forces, eV/Å.
    pub forces: Vec<[f64; 3]>,
    /// Total virial, eV, `xx xy xz yx yy yz zx zy zz`.
    pub virial: [f64; 9],
    /// Dipole (three numbers) or polarizability (`xx yy zz xy yz zx`) of the whole cell, of a model that
    /// gives one, which gives nothing else.
    pub tensor: Vec<f64>,
    /// Charges of the atoms, e, shifted to the right sum; empty without charges.
    pub charges: Vec<f64>,
    /// Born charges, e, `xx xy xz yx yy yz zx zy zz`; empty without charges.
    pub born: Vec<[f64; 9]>,
}

impl Prediction {
    /// Whether there is one for a frame: training leaves out those that it cannot use.
    pub fn is_for(&self, frame: &Frame) -> bool {
        !self.tensor.is_empty() || self.forces.len() == frame.len()
    }

    /// The kind of the tensor, if this is one.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self.tensor.len() {
            0 => None,
            3 => Some(Kind::Dipole),
            _ => Some(Kind::Polarizability),
        }
    }
}

/// Errors of a model on labelled frames, unweighted but for the force mask, which leaves out atoms
/// with 0. Absent where no frame has the label.
///
/// **Units**: energies eV/atom, forces eV/Å per component, virials eV/atom per component (six), tensors
/// as in the data, per atom and component (three or six).
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Errors {
    /// Root mean square energy error.
    pub energy_rmse: Option<f64>,
    /// Mean absolute energy error.
    pub energy_mae: Option<f64>,
    /// Root mean square force error.
    pub force_rmse: Option<f64>,
    /// Mean absolute force error.
    pub force_mae: Option<f64>,
    /// Root mean square virial error.
    pub virial_rmse: Option<f64>,
    /// Mean absolute virial error.
    pub virial_mae: Option<f64>,
    /// Root mean square error of a dipole or a polarizability, per atom.
    #[serde(default)]
    pub tensor_rmse: Option<f64>,
    /// Mean absolute error of a dipole or a polarizability, per atom.
    #[serde(default)]
    pub tensor_mae: Option<f64>,
    /// Root mean square error of Born charges, e.
    #[serde(default)]
    pub born_rmse: Option<f64>,
    /// Largest absolute error of a force component.
    pub force_max: Option<f64>,
    /// Frames that had an energy.
    pub n_energies: usize,
    /// Atoms that had a force and were not masked.
    pub n_forces: usize,
    /// Frames that had a virial.
    pub n_virials: usize,
}

/// Parts of the loss: energy, force, virial or what stands for it (a dipole or a polarizability),
/// total charge, Born charges.
pub const TERMS: usize = 5;

/// Six of the nine components of a tensor: xx yy zz xy yz zx.
pub(super) const TENSOR: [usize; 6] = [0, 4, 8, 1, 5, 6];

/// Sums of errors.
#[derive(Default)]
pub(super) struct Tally {
    count: usize,
    square: f64,
    absolute: f64,
    largest: f64,
}

impl Tally {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            count: 0,
            square: 0.0,
            absolute: 0.0,
            largest: 0.0,
        }
    }

    pub fn add(&mut self, error: f64) {
        self.count += 1;
        self.square += error * error;
        self.absolute += error.abs();
        self.largest = self.largest.max(error.abs());
    }

    fn rmse(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.square / self.count as f64).sqrt())
    }

    fn mae(&self) -> Option<f64> {
        (self.count > 0).then(|| self.absolute / self.count as f64)
    }
}

/// Evaluates a model on frames.
///
/// **Errors**: [`Error::InvalidArgument`] naming the frame, or what the backend reports.
pub fn predict(model: &Model, frames: &[Frame], backend: BackendKind) -> Result<Vec<Prediction>> {
    let mut calculator = Calculator::new(Arc::new(model.clone()), backend)?;
    let kind = model.kind();
    let request = match kind {
        Kind::Dipole => Request::DIPOLE,
        Kind::Polarizability => Request::POLARIZABILITY,
        _ if kind.electrostatics().is_some() => {
            Request::FORCES | Request::VIRIAL | Request::CHARGES | Request::BORN_CHARGES
        }
        _ => Request::FORCES | Request::VIRIAL,
    };
    frames
        .iter()
        .enumerate()
        .map(|(index, frame)| {
            let in_frame = |e| match e {
                Error::InvalidArgument(m) => Error::invalid(format!("frame {}: {m}", index + 1)),
                other => other,
            };
            let conditions = conditions(frame, kind).map_err(in_frame)?;
            calculator.set_conditions(conditions);
            let e = calculator
                .compute(&frame.structure, request)
                .map_err(in_frame)?;
            let tensor: &[f64] = match kind {
                Kind::Dipole => &e.dipole,
                Kind::Polarizability => &TENSOR.map(|c| e.polarizability[c]),
                _ => &[],
            };
            Ok(Prediction {
                energy: e.energy,
                forces: e.forces.clone(),
                virial: e.virial,
                tensor: tensor.to_vec(),
                charges: e.charges.clone(),
                born: e.born_charges.clone(),
            })
        })
        .collect()
}

/// Root mean square and mean absolute errors of a model on labelled frames.
///
/// **Errors**: as [`predict`].
pub fn errors(model: &Model, frames: &[Frame], backend: BackendKind) -> Result<Errors> {
    Ok(Errors::of(&predict(model, frames, backend)?, frames))
}

impl Errors {
    /// Compares predictions with the labels of the frames; a frame without a prediction (no forces)
    /// does not count.
    ///
    /// **Shapes**: `predictions` and `frames` of one length.
    pub fn of(predictions: &[Prediction], frames: &[Frame]) -> Self {
        let (mut energy, mut force, mut virial) =
            (Tally::default(), Tally::default(), Tally::default());
        let (mut n_forces, mut n_virials) = (0, 0);
        let [mut tensor, mut born] = [const { Tally::new() }; 2];
        for (p, frame) in predictions.iter().zip(frames) {
            if !p.is_for(frame) {
                continue;
            }
            let n = frame.len().max(1) as f64;
            if let Some(kind) = p.kind() {
                let target = conditions::tensor(frame, kind).ok().flatten();
                for (a, b) in p.tensor.iter().zip(target.unwrap_or_default()) {
                    tensor.add((a - b) / n);
                }
                continue;
            }
            if let Some(e) = frame.energy {
                energy.add((p.energy - e) / n);
            }
            if let Some(forces) = &frame.forces {
                for (i, (a, b)) in p.forces.iter().zip(forces).enumerate() {
                    if frame.force_mask.as_ref().is_some_and(|m| m[i] == 0.0) {
                        continue;
                    }
                    n_forces += 1;
                    for c in 0..3 {
                        force.add(a[c] - b[c]);
                    }
                }
            }
            let target = conditions::born_charges(frame).ok().flatten();
            for (a, b) in p.born.iter().zip(target.unwrap_or_default()) {
                (0..9).for_each(|c| born.add(a[c] - b[c]));
            }
            if let Some(w) = &frame.virial {
                n_virials += 1;
                for c in [0, 4, 8, 1, 5, 6] {
                    virial.add((p.virial[c] - w[c]) / n);
                }
            }
        }
        Self {
            tensor_rmse: tensor.rmse(),
            tensor_mae: tensor.mae(),
            born_rmse: born.rmse(),
            ..Self::from_tallies(&energy, &force, &virial, [n_forces, n_virials])
        }
    }

    /// The errors of sums; `counts` are atoms with a force and frames with a virial.
    pub(super) fn from_tallies(
        energy: &Tally,
        force: &Tally,
        virial: &Tally,
        counts: [usize; 2],
    ) -> Self {
        Self {
            energy_rmse: energy.rmse(),
            energy_mae: energy.mae(),
            force_rmse: force.rmse(),
            force_mae: force.mae(),
            force_max: force.mae().map(|_| force.largest),
            virial_rmse: virial.rmse(),
            virial_mae: virial.mae(),
            tensor_rmse: None,
            tensor_mae: None,
            born_rmse: None,
            n_energies: energy.count,
            n_forces: counts[0],
            n_virials: counts[1],
        }
    }
}
