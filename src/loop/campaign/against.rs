//! Labels with other settings beside the campaign's own: what the settings are worth before they are paid for.

use super::{Campaign, Config, Observer};
use crate::label::replaced;
use nepal::error::{Error, Result};
use nepal::system::Frame;
use nepal::units::EV_PER_A3_IN_GPA;
use serde::Serialize;
use std::path::Path;

/// How labels change with other settings. The errors of a model that is trained on the campaign's own are no smaller
/// than what these change in forces.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Against {
    /// The other settings, in words.
    pub settings: String,
    /// Structures that both could label.
    pub structures: usize,
    /// Mean of the energy differences, eV/atom: a constant, which no force feels.
    pub offset: f64,
    /// Their root mean square about it, eV/atom.
    pub energy: f64,
    /// Root mean square of the differences of force components, eV/Å.
    pub force: f64,
    /// The largest of them, eV/Å.
    pub largest: f64,
    /// Root mean square of the force components themselves, eV/Å.
    pub forces: f64,
    /// Root mean square of the differences of stress components, GPa, where both have them.
    pub stress: Option<f64>,
    /// Seconds of a label with the campaign's settings and with the others, on average.
    pub seconds: [f64; 2],
}

impl Against {
    /// In one line.
    pub fn line(&self) -> String {
        let [own, other] = self.seconds;
        let stress = self
            .stress
            .map_or_else(String::new, |s| format!(", stress {s:.2} GPa"));
        let cost = match own > 0.0 {
            true => format!(", {:.1} times the time", other / own),
            false => String::new(),
        };
        format!(
            "{}: energy {:.1} ± {:.1} meV/atom, force {:.1} meV/Å rms ({:.1} % of their size), {:.0} at most{stress}{cost}",
            self.settings,
            1e3 * self.offset,
            1e3 * self.energy,
            1e3 * self.force,
            100.0 * self.force / self.forces.max(f64::MIN_POSITIVE),
            1e3 * self.largest,
        )
    }

    fn between(settings: &str, own: &[Frame], other: &[Frame]) -> Result<Self> {
        let pairs: Vec<(&Frame, &Frame)> = own
            .iter()
            .filter_map(|a| Some((a, other.iter().find(|b| b.structure == a.structure)?)))
            .collect();
        if pairs.is_empty() {
            return Err(Error::Failed(format!(
                "{settings}: no structure could be labelled with both settings; see the reasons above"
            )));
        }
        let energies: Vec<f64> = pairs
            .iter()
            .filter_map(|(a, b)| Some((b.energy? - a.energy?) / a.len().max(1) as f64))
            .collect();
        let offset = energies.iter().sum::<f64>() / energies.len().max(1) as f64;
        let components = |frame: &Frame| -> Vec<f64> {
            let forces = frame.forces.iter().flatten().flatten();
            forces.copied().collect()
        };
        let stresses = |frame: &Frame| {
            let volume = frame.structure.cell.volume();
            frame
                .virial
                .map(|w| w.map(|w| w / volume * EV_PER_A3_IN_GPA))
        };
        let (mut force, mut forces, mut stress) = (Vec::new(), Vec::new(), Vec::new());
        for (a, b) in &pairs {
            let (a_forces, b_forces) = (components(a), components(b));
            force.extend(a_forces.iter().zip(&b_forces).map(|(x, y)| y - x));
            forces.extend(a_forces);
            if let (Some(a), Some(b)) = (stresses(a), stresses(b)) {
                stress.extend(a.iter().zip(&b).map(|(x, y)| y - x));
            }
        }
        let seconds = |pick: fn(&(&Frame, &Frame)) -> Option<f64>| {
            pairs.iter().filter_map(pick).sum::<f64>() / pairs.len() as f64
        };
        Ok(Self {
            settings: settings.to_owned(),
            structures: pairs.len(),
            offset,
            energy: rms(energies.iter().map(|e| e - offset)),
            force: rms(force.iter().copied()),
            largest: force.iter().fold(0.0, |a: f64, d| a.max(d.abs())),
            forces: rms(forces.into_iter()),
            stress: (!stress.is_empty()).then(|| rms(stress.into_iter())),
            seconds: [seconds(|p| spent(p.0)), seconds(|p| spent(p.1))],
        })
    }
}

fn spent(frame: &Frame) -> Option<f64> {
    frame.info.get("label_seconds")?.parse().ok()
}

fn rms(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1);
    (values.map(|v| v * v).sum::<f64>() / count as f64).sqrt()
}

impl Campaign {
    /// Labels structures with the campaign's settings and with each of `others`, tables of TOML as in `[label]`
    /// (`kspacing = 0.15, cutoff = 600`), and compares. All labels are kept in the cache.
    ///
    /// Gives the labels with the campaign's own settings and one comparison for each of `others`.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming a setting that is none; those of [`Campaign::label`];
    /// [`Error::Failed`] where no structure has both labels.
    pub fn label_against(
        &self,
        frames: &[Frame],
        others: &[String],
        cache: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Frame>, super::store::LabelRecord, Vec<Against>)> {
        // All settings are checked before the first label is paid for.
        let campaigns = others
            .iter()
            .map(|text| self.with_label_settings(text))
            .collect::<Result<Vec<_>>>()?;
        let (own, record) = self.label(frames, cache, observer)?;
        let mut found = Vec::new();
        for (campaign, settings) in campaigns.iter().zip(others) {
            let (other, _) = campaign.label(frames, cache, observer)?;
            found.push(Against::between(settings.trim(), &own, &other)?);
        }
        Ok((own, record, found))
    }

    /// The same campaign with other settings of its reference method.
    fn with_label_settings(&self, text: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Given {
            label: toml::Table,
        }
        let what = format!("--against {:?}", text.trim());
        let given: Given =
            toml::from_str(&format!("label = {{ {} }}", text.trim())).map_err(|e| {
                Error::invalid(format!(
                    "{what}: expected KEY = VALUE, ... as in [label]; {}",
                    e.message()
                ))
            })?;
        let label = replaced(&what, &self.config.label, &given.label)?;
        let config = Config {
            label,
            ..self.config.clone()
        };
        let (base, nep_in) = (self.base.clone(), self.nep_in.clone());
        let campaign = Self::of_parts(config, base, nep_in, self.stop.clone());
        campaign.labeller()?;
        Ok(campaign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::{Cell, Structure};

    #[test]
    fn a_constant_in_the_energies_is_no_difference() {
        let frame = |x: f64, energy: f64, force: f64| {
            let cell = Cell::new(
                [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]],
                [true; 3],
            )
            .unwrap();
            let silicon = Element::from_symbol("Si").unwrap();
            let structure =
                Structure::new(cell, vec![silicon; 2], vec![[0.0; 3], [x, 2.0, 2.0]]).unwrap();
            let mut frame = Frame::new(structure);
            frame.energy = Some(energy);
            frame.forces = Some(vec![[force, 0.0, 0.0], [-force, 0.0, 0.0]]);
            frame.virial = Some([0.5 * force; 9]);
            frame
                .info
                .insert("label_seconds".into(), format!("{}", 1.0 + force));
            frame
        };
        let own = [
            frame(1.0, -10.0, 1.0),
            frame(2.0, -12.0, 1.0),
            frame(3.0, -8.0, 1.0),
        ];
        // The third could not be labelled; the order is another.
        let other = [frame(2.0, -9.9, 3.0), frame(1.0, -8.1, 1.0)];
        let found = Against::between("cutoff = 600", &own, &other).unwrap();
        assert_eq!(found.structures, 2);
        assert!((found.offset - 1.0).abs() < 1e-12 && (found.energy - 0.05).abs() < 1e-12);
        // Two of twelve components differ, by 2; two of six are 1.
        assert!((found.force - (8.0_f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!((found.forces - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((found.largest, found.seconds), (2.0, [2.0, 3.0]));
        let stress = 1.0 / 125.0 * EV_PER_A3_IN_GPA;
        assert!((found.stress.unwrap() - stress / 2.0_f64.sqrt()).abs() < 1e-9);
        assert!(found.line().starts_with(
            "cutoff = 600: energy 1000.0 ± 50.0 meV/atom, force 816.5 meV/Å rms (141.4 %"
        ));
        assert!(Against::between("x", &own, &[]).is_err());
    }
}
