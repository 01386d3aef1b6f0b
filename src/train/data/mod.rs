//! Labelled frames made ready for training: checked, typed, the fixed repulsion taken off.

mod consistency;
mod doubts;
mod geometry;
mod pairs;
mod screen;
mod units;
mod virials;

pub use screen::BadData;

use super::conditions;
use nepal::error::{Error, Result};
use nepal::model::{Header, Kind};
use nepal::nep::zbl::ZblPair;
use nepal::system::cell::norm;
use nepal::system::{Frame, NeighborList, Structure};

/// A frame as the loss sees it.
pub(super) struct Sample {
    pub structure: Structure,
    /// Type of each atom.
    pub types: Vec<u32>,
    /// Target energy, eV/atom, without repulsion.
    pub energy: Option<f64>,
    /// Target forces, eV/Å, without repulsion.
    pub forces: Option<Vec<[f64; 3]>>,
    /// Size of the reference forces, for `force_delta`.
    pub force_sizes: Vec<f64>,
    /// Target virial, eV/atom, xx yy zz xy yz zx, without repulsion; or what stands for it: the
    /// polarizability per atom in the same order, or the dipole per atom and zeros.
    pub virial: Option<[f64; 6]>,
    /// Repulsion: energy (eV/atom), forces, virial (eV/atom).
    pub repulsion: Repulsion,
    /// Temperature in K, for models that take it; else zero.
    pub temperature: f64,
    /// Total charge, e.
    pub charge: f64,
    /// Born charges, e, for models with charges.
    pub born: Option<Vec<[f64; 9]>>,
    pub weight: f64,
    pub energy_weight: f64,
    /// Factor of the squared force error of each atom.
    pub mask: Vec<f64>,
    /// Place of the frame in the caller's list.
    pub frame: usize,
}

/// Energy per atom, forces and virial per atom of the fixed repulsion.
#[derive(Clone, Default)]
pub(super) struct Repulsion {
    pub energy: f64,
    pub forces: Vec<[f64; 3]>,
    pub virial: [f64; 6],
}

/// Components of the virial that training fits, as indices of the nine.
const COMPONENTS: [[usize; 2]; 6] = [[0, 0], [4, 4], [8, 8], [1, 3], [5, 7], [6, 2]];

/// Checks frames and brings them to the form of the loss, refusing what looks wrong.
///
/// **Errors**: as [`prepare_by`].
#[cfg(test)]
pub(super) fn prepare(
    header: &Header,
    frames: &[Frame],
    what: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Sample>> {
    prepare_by(header, frames, what, BadData::Refuse, warnings)
}

/// Checks frames and brings them to the form of the loss.
///
/// What is left out or suspicious is told in the warnings, see [`screen`]; a frame without energy,
/// or without forces, counts for what it has, with a warning.
///
/// **Errors**: [`nepal::Error::InvalidArgument`] naming the frames that the rule refuses.
pub(super) fn prepare_by(
    header: &Header,
    frames: &[Frame],
    what: &str,
    rule: BadData,
    warnings: &mut Vec<String>,
) -> Result<Vec<Sample>> {
    let tensors: Vec<Frame>;
    let is_tensor = header.kind.is_tensor();
    let frames = if is_tensor {
        let own = |f| conditions::without_energies(f, header.kind);
        tensors = frames.iter().map(own).collect();
        &tensors
    } else {
        frames
    };
    let found = screen::screen(header, frames, what, rule, warnings)?;
    let mut samples = Vec::with_capacity(frames.len());
    let (mut no_energy, mut no_forces) = (Vec::new(), Vec::new());
    for (index, frame) in frames.iter().enumerate().filter(|(i, _)| found.used[*i]) {
        if frame.energy.is_none() && !is_tensor {
            no_energy.push(index + 1);
        }
        if frame.forces.is_none() && !is_tensor {
            no_forces.push(index + 1);
        }
        let mut sample = sample(header, frame, index)?;
        if !found.forces[index] {
            sample.forces = None;
        }
        if !found.virial[index] {
            sample.virial = None;
        }
        samples.push(sample);
    }
    for (list, text) in [
        (no_energy, "no energy: only forces and virial are fitted"),
        (no_forces, "no forces: only energy and virial are fitted"),
    ] {
        if !list.is_empty() {
            warnings.push(format!(
                "{} {what} frame(s) with {text} (frames {})",
                list.len(),
                shortened(&list)
            ));
        }
    }
    Ok(samples)
}

/// Multiplies the weights of the frames whose `config_type` is named.
///
/// **Errors**: [`nepal::Error::InvalidArgument`] for a name that no frame has, and where no frame counts.
pub(super) fn weigh_groups(
    samples: &mut [Sample],
    frames: &[Frame],
    groups: &[(String, f64)],
) -> Result<()> {
    for (name, weight) in groups {
        let mut found = false;
        for sample in &mut *samples {
            if frames[sample.frame].info.get("config_type") == Some(name) {
                sample.weight *= weight;
                found = true;
            }
        }
        if !found {
            return Err(Error::invalid(format!(
                "group_weight names {name:?}, but no training frame has config_type={name}"
            )));
        }
    }
    if samples.is_empty() {
        return Err(Error::invalid(
            "no training frame has atoms and a label; give frames with energy and forces",
        ));
    }
    if samples.iter().all(|s| s.weight == 0.0) {
        return Err(Error::invalid(
            "every training frame has the weight 0, so that none counts; expected at least one of weight > 0 (keys \
             weight in the comment lines, group_weight in nep.in)",
        ));
    }
    Ok(())
}

/// Warns of test frames that are in the training set: their errors say nothing.
pub(super) fn warn_of_overlap(train: &[Frame], test: &[Frame], warnings: &mut Vec<String>) {
    let known: std::collections::HashSet<Vec<u8>> = train.iter().map(screen::identity).collect();
    let list: Vec<usize> = (0..test.len())
        .filter(|&i| known.contains(&screen::identity(&test[i])))
        .map(|i| i + 1)
        .collect();
    if !list.is_empty() {
        warnings.push(format!(
            "{} test frame(s) are in the training set too: test errors look better than they are (frames {})",
            list.len(),
            shortened(&list)
        ));
    }
}

/// The first few numbers of a list.
fn shortened(list: &[usize]) -> String {
    let mut words: Vec<String> = list.iter().take(8).map(usize::to_string).collect();
    if list.len() > 8 {
        words.push("...".into());
    }
    words.join(", ")
}

fn sample(header: &Header, frame: &Frame, index: usize) -> Result<Sample> {
    let structure = frame.structure.clone();
    let mut types = Vec::with_capacity(structure.len());
    for e in &structure.elements {
        let t = header
            .elements
            .iter()
            .position(|x| x == e)
            .ok_or_else(|| Error::Internal(format!("{e} got past the check of elements")))?;
        types.push(t as u32);
    }
    let n = structure.len() as f64;
    let repulsion = repulsion(header, &structure, &types)?;
    let forces = frame.forces.as_ref().map(|forces| {
        let mut forces = forces.clone();
        for (f, r) in forces.iter_mut().zip(&repulsion.forces) {
            for a in 0..3 {
                f[a] -= r[a];
            }
        }
        forces
    });
    let virial = match conditions::checked(conditions::tensor(frame, header.kind))? {
        Some(tensor) => Some(std::array::from_fn(|c| {
            tensor.get(c).map_or(0.0, |x| x / n)
        })),
        None => frame.virial.map(|w| {
            std::array::from_fn(|c| {
                let [a, b] = COMPONENTS[c];
                0.5 * (w[a] + w[b]) / n - repulsion.virial[c]
            })
        }),
    };
    let charged = header.kind.electrostatics().is_some();
    let temperature = match header.kind {
        Kind::Temperature => conditions::checked(conditions::temperature(frame))?.unwrap_or(0.0),
        _ => 0.0,
    };
    Ok(Sample {
        energy: frame.energy.map(|e| e / n - repulsion.energy),
        force_sizes: match &frame.forces {
            Some(forces) => forces.iter().map(|&f| norm(f)).collect(),
            None => vec![0.0; structure.len()],
        },
        forces,
        virial,
        repulsion,
        temperature,
        charge: match charged {
            true => conditions::checked(conditions::charge(frame))?,
            false => 0.0,
        },
        born: match charged {
            true => conditions::checked(conditions::born_charges(frame))?,
            false => None,
        },
        weight: frame.weight,
        energy_weight: frame.energy_weight,
        mask: match &frame.force_mask {
            Some(mask) => mask.clone(),
            None => vec![1.0; structure.len()],
        },
        frame: index,
        types,
        structure,
    })
}

/// The fixed repulsion of a structure.
fn repulsion(header: &Header, structure: &Structure, types: &[u32]) -> Result<Repulsion> {
    let mut out = Repulsion {
        forces: vec![[0.0; 3]; structure.len()],
        ..Repulsion::default()
    };
    let n_types = header.n_types();
    let pairs: Vec<Option<ZblPair>> = (0..n_types * n_types)
        .map(|ab| ZblPair::new(header, ab / n_types, ab % n_types))
        .collect();
    let reach = pairs
        .iter()
        .flatten()
        .map(ZblPair::outer)
        .fold(0.0, f64::max);
    if reach <= 0.0 {
        return Ok(out);
    }
    let list = NeighborList::build(&structure.cell, &structure.positions, reach)?;
    let n = structure.len() as f64;
    for i in 0..structure.len() {
        for (j, vector) in list.vectors(i, &structure.cell, &structure.positions) {
            let (ti, tj) = (types[i] as usize, types[j] as usize);
            let r = norm(vector);
            let Some(pair) = pairs[ti * n_types + tj] else {
                continue;
            };
            if r >= header.pair_cutoff(ti, tj)[1] {
                continue;
            }
            let (e, de) = pair.energy(r);
            out.energy += 0.5 * e / n;
            let f = vector.map(|x| 0.5 * de * x / r);
            for (a, f) in f.into_iter().enumerate() {
                out.forces[i][a] += f;
                out.forces[j][a] -= f;
            }
            for (c, [ab, _]) in COMPONENTS.iter().enumerate() {
                out.virial[c] -= vector[ab / 3] * f[ab % 3] / n;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
