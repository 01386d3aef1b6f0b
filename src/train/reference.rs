//! Reference energies of the elements: taken off before training, put into the model after it.
//!
//! Total energies of all-electron codes are thousands of eV per atom and differ by element, which a
//! network learns badly. A model file must give absolute energies again, also to programs that know
//! nothing of this: nep5 carries the references in its biases per type and a model of one element in
//! its common bias. nep4 has no bias per type; there each network gets one more neuron, without
//! input and so saturated that it is exactly 1, whose output weight is the reference.

use super::nep_in::{EnergyReference, NepIn};
use super::outcome::Trained;
use nalgebra::{DMatrix, DVector};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::model::{Layout, Model, Version};
use nepal::system::Frame;
use std::borrow::Cow;

/// Bias of a neuron that is 1: biases are subtracted, and tanh(20) rounds to 1.
const SATURATED: f64 = -20.0;
/// Weight of the wish for equal references, which decides where compositions do not.
const RIDGE: f64 = 1e-10;

/// Energies of the frames with one atom, by element; the first of each counts.
pub fn free_atoms(frames: &[Frame]) -> Vec<(Element, f64)> {
    let mut found: Vec<(Element, f64)> = Vec::new();
    for frame in frames.iter().filter(|f| f.len() == 1) {
        let element = frame.structure.elements[0];
        // An atom that sees its own images is a crystal.
        let s = &frame.structure;
        let alone = nepal::system::NeighborList::build(&s.cell, &s.positions, 6.0)
            .is_ok_and(|list| list.vectors(0, &s.cell, &s.positions).next().is_none());
        if let Some(energy) = frame.energy.filter(|e| alone && e.is_finite())
            && !found.iter().any(|f| f.0 == element)
        {
            found.push((element, energy));
        }
    }
    found
}

/// The reference energy of each element, eV, in the order of `elements`.
///
/// **Errors**: [`Error::InvalidArgument`] without energies, or naming the elements that lack a frame
/// with one atom.
pub fn references(
    kind: EnergyReference,
    elements: &[Element],
    frames: &[Frame],
) -> Result<Vec<f64>> {
    match kind {
        EnergyReference::None => Ok(vec![0.0; elements.len()]),
        EnergyReference::Fit => fit(elements, frames),
        EnergyReference::Atoms => {
            let atoms = free_atoms(frames);
            let energy = |e: &Element| atoms.iter().find(|a| a.0 == *e).map(|a| a.1);
            let missing: Vec<&str> = elements
                .iter()
                .filter(|e| energy(e).is_none())
                .map(|e| e.symbol())
                .collect();
            if !missing.is_empty() {
                return Err(Error::invalid(format!(
                    "energy_reference atoms needs a training frame with one atom, alone within 6 Å, and its energy for each element; missing: {}",
                    missing.join(" ")
                )));
            }
            Ok(elements.iter().filter_map(energy).collect())
        }
    }
}

/// Regularised least squares of the energies per atom on the composition.
fn fit(elements: &[Element], frames: &[Frame]) -> Result<Vec<f64>> {
    let n = elements.len();
    let (mut matrix, mut right) = (DMatrix::<f64>::zeros(n, n), DVector::<f64>::zeros(n));
    let (mut mean, mut count) = (0.0, 0.0);
    let rows: Vec<(DVector<f64>, f64)> = frames
        .iter()
        .filter_map(|f| {
            let energy = f.energy.filter(|e| e.is_finite())?;
            let mut row = DVector::zeros(n);
            for e in &f.structure.elements {
                row[elements.iter().position(|x| x == e)?] += 1.0 / f.len() as f64;
            }
            (!f.is_empty()).then_some((row, energy / f.len() as f64))
        })
        .collect();
    for (_, y) in &rows {
        mean += y;
        count += 1.0;
    }
    if count == 0.0 {
        return Err(Error::invalid(
            "energy_reference fit needs training frames with energies; found none",
        ));
    }
    mean /= count;
    for (row, y) in &rows {
        matrix += row * row.transpose();
        right += row * (y - mean);
    }
    for t in 0..n {
        matrix[(t, t)] += RIDGE * count;
    }
    let solution = matrix
        .cholesky()
        .ok_or_else(|| Error::Internal("a regularised matrix is not positive".into()))?
        .solve(&right);
    Ok(solution.iter().map(|x| x + mean).collect())
}

/// Takes the references off (`sign` -1) a frame's energy, or puts them back (1).
fn shift(frame: &Frame, elements: &[Element], references: &[f64], sign: f64) -> f64 {
    let of = |e: &Element| elements.iter().position(|x| x == e);
    let all = frame.structure.elements.iter().filter_map(of);
    sign * all.map(|t| references[t]).sum::<f64>()
}

/// The model that gives energies with the references of a model that gives them without.
///
/// **Errors**: [`Error::Unsupported`] for nep3 with several elements, whose network does not know
/// them apart.
pub fn carry(model: &Model, references: &[f64]) -> Result<Model> {
    let header = model.header();
    let layout = model.layout();
    let mut parameters = model.parameters().to_vec();
    let first = references.first().copied().unwrap_or(0.0);
    if header.version == Version::Nep5 {
        for (t, e) in references.iter().enumerate() {
            if let Some(index) = layout.type_bias(t) {
                // Biases are subtracted.
                parameters[index] -= e;
            }
        }
        return Model::new(header.clone(), parameters, model.q_scaler().to_vec());
    }
    if references.iter().all(|&e| e == first) {
        parameters[layout.common_bias()] -= first;
        return Model::new(header.clone(), parameters, model.q_scaler().to_vec());
    }
    if header.version == Version::Nep3 {
        return Err(Error::Unsupported(
            "a nep3 has one network for all elements and cannot carry their reference energies; use version 4 or 5".into(),
        ));
    }
    let [n1, n2] = header.neurons;
    let mut header = header.clone();
    header.neurons = if n2 == 0 { [n1 + 1, 0] } else { [n1, n2 + 1] };
    let wide = Layout::new(&header);
    let mut out = vec![0.0; wide.len()];
    for t in 0..layout.n_types {
        copy_network(layout, &parameters, &wide, &mut out, t);
        let e = references[t];
        if n2 == 0 {
            out[wide.b0(t) + n1] = SATURATED;
            out[wide.w1(t) + n1] = e;
        } else {
            out[wide.b1(t) + n2] = SATURATED;
            out[wide.w2(t) + n2] = e;
        }
    }
    out[wide.common_bias()..].copy_from_slice(&parameters[layout.common_bias()..]);
    Model::new(header, out, model.q_scaler().to_vec())
}

/// Copies the neurons that both layouts have.
fn copy_network(from: &Layout, values: &[f64], to: &Layout, out: &mut [f64], t: usize) {
    let n1 = from.neurons[0].min(to.neurons[0]);
    let n2 = from.neurons[1].min(to.neurons[1]);
    let mut copy = |a: usize, b: usize, len: usize| {
        out[b..b + len].copy_from_slice(&values[a..a + len]);
    };
    copy(from.w0(t, 0), to.w0(t, 0), n1 * from.dim);
    copy(from.b0(t), to.b0(t), n1);
    copy(from.w1(t), to.w1(t), n1 * n2.max(1));
    if n2 > 0 {
        copy(from.b1(t), to.b1(t), n2);
        copy(from.w2(t), to.w2(t), n2);
    }
}

/// Undoes [`carry`] where it added neurons: the model without them and its references.
pub fn uncarry(model: &Model) -> Option<(Model, Vec<f64>)> {
    let wide = model.layout();
    let [n1, n2] = wide.neurons;
    let mut header = model.header().clone();
    if header.version != Version::Nep4 || n1 < 2 || n2 == 1 {
        return None;
    }
    header.neurons = if n2 == 0 { [n1 - 1, 0] } else { [n1, n2 - 1] };
    let p = model.parameters();
    let mut references = Vec::new();
    for t in 0..wide.n_types {
        let (inputs, bias, weight) = if n2 == 0 {
            let start = wide.w0(t, n1 - 1);
            (
                &p[start..start + wide.dim],
                p[wide.b0(t) + n1 - 1],
                p[wide.w1(t) + n1 - 1],
            )
        } else {
            let start = wide.w1(t) + n1 * (n2 - 1);
            (
                &p[start..start + n1],
                p[wide.b1(t) + n2 - 1],
                p[wide.w2(t) + n2 - 1],
            )
        };
        if bias != SATURATED || inputs.iter().any(|&w| w != 0.0) {
            return None;
        }
        references.push(weight);
    }
    let layout = Layout::new(&header);
    let mut out = vec![0.0; layout.len()];
    for t in 0..layout.n_types {
        copy_network(wide, p, &layout, &mut out, t);
    }
    out[layout.common_bias()..].copy_from_slice(&p[wide.common_bias()..]);
    let narrow = Model::new(header, out, model.q_scaler().to_vec()).ok()?;
    Some((narrow, references))
}

/// A training set whose reference energies are taken off, and how they come back.
pub(super) struct Referred<'a> {
    /// `None` if nothing is taken off.
    references: Option<Vec<f64>>,
    elements: &'a [Element],
    train: Cow<'a, [Frame]>,
    test: Cow<'a, [Frame]>,
    init: Option<Cow<'a, Model>>,
}

impl<'a> Referred<'a> {
    /// Takes the references that the settings ask for off the energies and off the initial model. A
    /// model that carries references goes on with them: its network fits no others.
    ///
    /// **Errors**: as [`references`]; [`Error::InvalidArgument`] for an initial model of which they
    /// cannot be taken off.
    pub fn new(
        config: &'a NepIn,
        train: &'a [Frame],
        test: &'a [Frame],
        init: Option<&'a Model>,
    ) -> Result<Self> {
        let elements = &config.elements;
        let mut out = Self {
            references: None,
            elements,
            train: Cow::Borrowed(train),
            test: Cow::Borrowed(test),
            init: init.map(Cow::Borrowed),
        };
        if config.energy_reference == EnergyReference::None {
            return Ok(out);
        }
        let carried = init
            .filter(|m| m.header().neurons != config.neurons)
            .and_then(uncarry);
        let energies = match carried {
            Some((model, energies)) => {
                out.init = Some(Cow::Owned(model));
                energies
            }
            None => {
                let energies = references(config.energy_reference, elements, train)?;
                if let Some(model) = init {
                    let back: Vec<f64> = energies.iter().map(|e| -e).collect();
                    let moved = carry(model, &back)?;
                    if moved.header() != model.header() {
                        return Err(Error::invalid(
                            "the model to start from carries no reference energies and they cannot be taken off; use one trained with energy_reference, version 5, or energy_reference none",
                        ));
                    }
                    out.init = Some(Cow::Owned(moved));
                }
                energies
            }
        };
        let without = |frames: &[Frame]| -> Vec<Frame> {
            let off = |f: &Frame| Frame {
                energy: f.energy.map(|e| e + shift(f, elements, &energies, -1.0)),
                ..f.clone()
            };
            frames.iter().map(off).collect()
        };
        out.train = Cow::Owned(without(train));
        out.test = Cow::Owned(without(test));
        out.references = Some(energies);
        Ok(out)
    }

    /// Frames to train on, frames to test with, and the model to start from.
    pub fn parts(&self) -> (&[Frame], &[Frame], Option<&Model>) {
        (&self.train, &self.test, self.init.as_deref())
    }

    /// Puts the references into the model and its predictions.
    ///
    /// **Errors**: as [`carry`].
    pub fn put_back(&self, mut trained: Trained) -> Result<Trained> {
        let Some(energies) = &self.references else {
            return Ok(trained);
        };
        trained.model = carry(&trained.model, energies)?;
        for (predictions, frames) in [
            (&mut trained.train_predictions, &self.train),
            (&mut trained.test_predictions, &self.test),
        ] {
            for (p, frame) in predictions.iter_mut().zip(frames.iter()) {
                p.energy += shift(frame, self.elements, energies, 1.0);
            }
        }
        let told: Vec<String> = self
            .elements
            .iter()
            .zip(energies)
            .map(|(symbol, e)| format!("{symbol} {e:.6} eV"))
            .collect();
        trained.warnings.push(format!(
            "reference energies, carried by the model: {}",
            told.join(", ")
        ));
        Ok(trained)
    }
}

#[cfg(test)]
mod tests;
