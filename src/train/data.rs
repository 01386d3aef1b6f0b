//! Labelled frames made ready for training: checked, typed, the fixed repulsion taken off.

use crate::error::{Error, Result};
use crate::model::Header;
use crate::nep::zbl::ZblPair;
use crate::system::cell::norm;
use crate::system::{Frame, NeighborList, Structure};

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
    /// Target virial, eV/atom, xx yy zz xy yz zx, without repulsion.
    pub virial: Option<[f64; 6]>,
    /// Repulsion: energy (eV/atom), forces, virial (eV/atom).
    pub repulsion: Repulsion,
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

/// Checks frames and brings them to the form of the loss.
///
/// A frame without atoms or without any of energy, forces and virial is dropped, with a warning;
/// one without energy, or without forces, counts for what it has, with a warning.
///
/// **Errors**: [`Error::InvalidArgument`] naming the frame for an element outside the model, a
/// label that is not finite, a wrong number of forces, or a weight that is negative.
pub(super) fn prepare(
    header: &Header,
    frames: &[Frame],
    what: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::with_capacity(frames.len());
    let (mut unlabelled, mut no_energy, mut no_forces) = (Vec::new(), Vec::new(), Vec::new());
    for (index, frame) in frames.iter().enumerate() {
        let name = format!("{what} frame {}", index + 1);
        frame
            .structure
            .validate()
            .map_err(|e| Error::invalid(format!("{name}: {e}")))?;
        check(frame, &name)?;
        let labels = frame.energy.is_some() || frame.forces.is_some() || frame.virial.is_some();
        if frame.is_empty() || !labels {
            unlabelled.push(index + 1);
            continue;
        }
        if frame.energy.is_none() {
            no_energy.push(index + 1);
        }
        if frame.forces.is_none() {
            no_forces.push(index + 1);
        }
        samples.push(sample(header, frame, index, &name)?);
    }
    for (list, text) in [
        (unlabelled, "no atoms or no label: left out"),
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
    let duplicates = count_duplicates(&samples);
    if duplicates > 0 {
        warnings.push(format!(
            "{duplicates} {what} frame(s) repeat an earlier one exactly: kept, they count twice"
        ));
    }
    Ok(samples)
}

/// The first few numbers of a list.
fn shortened(list: &[usize]) -> String {
    let mut words: Vec<String> = list.iter().take(8).map(usize::to_string).collect();
    if list.len() > 8 {
        words.push("...".into());
    }
    words.join(", ")
}

fn check(frame: &Frame, name: &str) -> Result<()> {
    let bad = |text: String| Err(Error::invalid(format!("{name}: {text}")));
    if frame.energy.is_some_and(|e| !e.is_finite()) {
        return bad("the energy is not a finite number".into());
    }
    if frame
        .virial
        .is_some_and(|v| v.iter().any(|x| !x.is_finite()))
    {
        return bad("the virial has a component that is not a finite number".into());
    }
    if let Some(forces) = &frame.forces {
        if forces.len() != frame.len() {
            return bad(format!("{} forces for {} atoms", forces.len(), frame.len()));
        }
        if let Some(atom) = forces.iter().position(|f| f.iter().any(|x| !x.is_finite())) {
            return bad(format!(
                "the force on atom {} is not a finite number",
                atom + 1
            ));
        }
    }
    if let Some(mask) = &frame.force_mask {
        if mask.len() != frame.len() {
            return bad(format!(
                "{} force mask values for {} atoms",
                mask.len(),
                frame.len()
            ));
        }
        if mask.iter().any(|m| !(*m >= 0.0 && m.is_finite())) {
            return bad("the force mask has a value that is negative or not finite".into());
        }
    }
    for (weight, key) in [
        (frame.weight, "weight"),
        (frame.energy_weight, "energy_weight"),
    ] {
        if !(weight >= 0.0 && weight.is_finite()) {
            return bad(format!(
                "{key} is {weight}; expected a number of at least 0"
            ));
        }
    }
    Ok(())
}

fn sample(header: &Header, frame: &Frame, index: usize, name: &str) -> Result<Sample> {
    let structure = frame.structure.clone();
    let mut types = Vec::with_capacity(structure.len());
    for (atom, e) in structure.elements.iter().enumerate() {
        let t = header.elements.iter().position(|x| x == e).ok_or_else(|| {
            Error::invalid(format!(
                "{name}: atom {} is {e}, which `type` does not list; add it or remove the frame",
                atom + 1
            ))
        })?;
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
    let virial = frame.virial.map(|w| {
        std::array::from_fn(|c| {
            let [a, b] = COMPONENTS[c];
            0.5 * (w[a] + w[b]) / n - repulsion.virial[c]
        })
    });
    Ok(Sample {
        energy: frame.energy.map(|e| e / n - repulsion.energy),
        force_sizes: match &frame.forces {
            Some(forces) => forces.iter().map(|&f| norm(f)).collect(),
            None => vec![0.0; structure.len()],
        },
        forces,
        virial,
        repulsion,
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

fn count_duplicates(samples: &[Sample]) -> usize {
    let mut seen = std::collections::HashSet::new();
    samples
        .iter()
        .filter(|s| {
            let mut bytes = Vec::new();
            let vectors = s.structure.cell.vectors().iter();
            for v in vectors.chain(&s.structure.positions).flatten() {
                bytes.extend_from_slice(&v.to_le_bytes());
            }
            bytes.extend(s.types.iter().flat_map(|t| t.to_le_bytes()));
            !seen.insert(bytes)
        })
        .count()
}
