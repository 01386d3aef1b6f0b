//! Models of the same labels and other seeds: where they differ, the labels say nothing.

use super::potential::Labels;
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::system::Structure;

/// Energy, forces and virial of each member.
fn each<'a>(
    members: impl IntoIterator<Item = &'a mut Calculator>,
    structure: &Structure,
) -> Result<Vec<Labels>> {
    let found: Vec<Labels> = members
        .into_iter()
        .map(|member| member.energy_forces_virial(structure))
        .collect::<Result<_>>()?;
    match found.len() {
        0 | 1 => Err(Error::invalid(
            "a committee needs two models at least, the one that runs among them: `explore --committee other.txt`, or \
             `committee` in [model]",
        )),
        _ => Ok(found),
    }
}

/// The deviation σ = √(Σ (E_k − ⟨E⟩)²/(K − 1)) of the total energy over the K members, -dσ/dr and -dσ/d(strain).
///
/// **Errors**: those of the members; [`Error::InvalidArgument`] for fewer than two.
pub fn energy_deviation<'a>(
    members: impl IntoIterator<Item = &'a mut Calculator>,
    structure: &Structure,
) -> Result<Labels> {
    let found = each(members, structure)?;
    let count = found.len() as f64;
    let mean = found.iter().map(|f| f.0).sum::<f64>() / count;
    let sigma = (found.iter().map(|f| (f.0 - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    let (mut forces, mut virial) = (vec![[0.0; 3]; structure.len()], [0.0; 9]);
    // Members that agree have a least deviation, which has no slope.
    if sigma > 0.0 {
        for (energy, f, w) in &found {
            // dσ = Σ (E_k − ⟨E⟩) dE_k/((K − 1) σ): the mean's part is a sum of deviations, 0.
            let part = (energy - mean) / ((count - 1.0) * sigma);
            let all = forces.as_flattened_mut().iter_mut();
            all.zip(f.as_flattened()).for_each(|(a, b)| *a += part * b);
            virial.iter_mut().zip(w).for_each(|(a, b)| *a += part * b);
        }
    }
    Ok((sigma, forces, virial))
}

/// √(Σ |F_k − ⟨F⟩|²/(K − 1)) of each atom's force over the K members, eV/Å. Shape `[n_atoms]`.
///
/// **Errors**: as [`energy_deviation`].
pub fn force_deviations<'a>(
    members: impl IntoIterator<Item = &'a mut Calculator>,
    structure: &Structure,
) -> Result<Vec<f64>> {
    let found = each(members, structure)?;
    let count = found.len() as f64;
    let of_atom = |i: usize| -> f64 {
        let variance = |a: usize| -> f64 {
            let mean = found.iter().map(|f| f.1[i][a]).sum::<f64>() / count;
            found
                .iter()
                .map(|f| (f.1[i][a] - mean).powi(2))
                .sum::<f64>()
                / (count - 1.0)
        };
        (0..3).map(variance).sum::<f64>().sqrt()
    };
    Ok((0..structure.len()).map(of_atom).collect())
}

/// Calculators of models beside one that they must be of the same elements as.
///
/// **Errors**: those of a calculator; [`Error::InvalidArgument`] for other elements.
pub fn members(
    models: impl IntoIterator<Item = nepal::model::Model>,
    beside: &Calculator,
) -> Result<Vec<Calculator>> {
    let wanted = beside.model().elements();
    let member = |model: nepal::model::Model| {
        if model.elements() != wanted {
            return Err(Error::invalid(format!(
                "a member of the committee has the elements {:?}, the model {:?}; all must be of one training set",
                model.elements(),
                wanted
            )));
        }
        Calculator::new(std::sync::Arc::new(model), BackendKind::Cpu)
    };
    models.into_iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::generate::{Distortion, crystal, distort};
    use nepal::Element;
    use nepal::model::Model;

    /// Three models of silicon by three hands.
    fn silicon() -> Vec<Calculator> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let files = [
            "tests/data/si_2022_nep4_3body/nep.txt",
            "tests/data/si_2022_nep4_5body/nep.txt",
            "examples/data/nep.txt",
        ];
        let models: Vec<Model> = files
            .iter()
            .map(|file| Model::load(format!("{root}/{file}")).unwrap())
            .collect();
        let first = Calculator::new(models[0].clone().into(), BackendKind::Cpu).unwrap();
        let mut all = members(models[1..].iter().cloned(), &first).unwrap();
        all.insert(0, first);
        all
    }

    fn rattled() -> Structure {
        let element = Element::from_symbol("Si").unwrap();
        let rest = crystal("diamond", &[element], 5.5, [1, 1, 1]).unwrap();
        let distortion = Distortion {
            rattle: 0.2,
            ..Distortion::default()
        };
        distort(&rest, &distortion, 3).unwrap()
    }

    #[test]
    fn deviations_are_those_of_the_members_and_their_slopes_finite_differences() {
        let mut all = silicon();
        let at = rattled();
        let energies: Vec<f64> = all
            .iter_mut()
            .map(|c| c.energy_forces_virial(&at).unwrap().0)
            .collect();
        let mean = energies.iter().sum::<f64>() / 3.0;
        let wanted = (energies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
        let (sigma, forces, virial) = energy_deviation(&mut all, &at).unwrap();
        assert!(
            (sigma - wanted).abs() < 1e-9 && sigma > 0.01,
            "{sigma} {wanted}"
        );
        let h = 1e-4;
        let mut of = |s: &Structure| energy_deviation(&mut all, s).unwrap().0;
        for (i, a) in [(0, 0), (5, 2)] {
            let [mut left, mut right] = [at.clone(), at.clone()];
            left.positions[i][a] -= h;
            right.positions[i][a] += h;
            let slope = -(of(&right) - of(&left)) / (2.0 * h);
            assert!(
                (slope - forces[i][a]).abs() < 1e-5,
                "{slope} {:?}",
                forces[i]
            );
        }
        let mut scaled = |s: f64| {
            let cell = at.cell.vectors().map(|v| v.map(|x| s * x));
            let cell = nepal::Cell::new(cell, at.cell.periodic()).unwrap();
            let positions = at.positions.iter().map(|r| r.map(|x| s * x)).collect();
            of(&Structure::new(cell, at.elements.clone(), positions).unwrap())
        };
        let slope = -(scaled(1.0 + h) - scaled(1.0 - h)) / (2.0 * h);
        let trace = virial[0] + virial[4] + virial[8];
        assert!((slope - trace).abs() < 1e-3, "{slope} {trace}");

        let deviations = force_deviations(&mut all, &at).unwrap();
        let forces: Vec<_> = all
            .iter_mut()
            .map(|c| c.energy_forces_virial(&at).unwrap().1[3])
            .collect();
        let mean = |a: usize| forces.iter().map(|f| f[a]).sum::<f64>() / 3.0;
        let off = |f: &[f64; 3]| (0..3).map(|a| (f[a] - mean(a)).powi(2)).sum::<f64>();
        let wanted = (forces.iter().map(off).sum::<f64>() / 2.0).sqrt();
        assert!((deviations[3] - wanted).abs() < 1e-9);
    }

    #[test]
    fn one_is_no_committee_and_members_are_of_the_same_elements() {
        let mut all = silicon();
        let error = force_deviations(&mut all[..1], &rattled()).unwrap_err();
        assert!(error.to_string().contains("two models"), "{error}");
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/data/pbte_nep_train/nep.txt"
        );
        let error = members([Model::load(file).unwrap()], &all[0])
            .err()
            .unwrap();
        assert!(error.to_string().contains("one training set"), "{error}");
        // The same twice agrees: no deviation, no slope.
        let (left, right) = all.split_at_mut(1);
        right[0] = Calculator::new(left[0].model().clone(), BackendKind::Cpu).unwrap();
        let pair = left.iter_mut().chain(&mut right[..1]);
        let (sigma, forces, _) = energy_deviation(pair, &rattled()).unwrap();
        assert!(sigma == 0.0 && forces.as_flattened().iter().all(|f| *f == 0.0));
    }
}
