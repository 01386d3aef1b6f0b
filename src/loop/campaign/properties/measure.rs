//! What one method's labels of a crystal's cells say.

use super::{Labels, Planned};
use crate::campaign::config::PropertiesConfig;
use crate::explore::force_constants::{Branches, ForceConstants};
use crate::explore::state_equation::StateEquation;
use crate::explore::stiffness::{Cells, Stiffness, Strained};
use crate::explore::symmetry::{operations, rotations};
use nepal::error::{Error, Result};
use nepal::system::Structure;

/// What one method says of the cells of a crystal.
#[derive(Default)]
pub(super) struct Measured {
    pub energies: Vec<[f64; 2]>,
    pub state: Option<StateEquation>,
    pub stiffness: Option<Stiffness>,
    pub branches: Vec<Branches>,
    pub notes: Vec<String>,
}

impl Planned {
    /// What a method's labels of the cells say.
    pub(super) fn measure(
        &self,
        settings: &PropertiesConfig,
        cells: &[Option<Structure>],
        labels: &[Labels],
    ) -> Result<Measured> {
        let rest = self.rest()?;
        let mut found = Measured::default();
        let n = rest.len().max(1) as f64;
        let (volumes, others) = (
            self.volumes.len(),
            self.volumes.len() + 2 * self.strains.len(),
        );
        for k in 0..volumes {
            if let (Some(cell), Some(label)) = (&cells[k], &labels[k]) {
                found.energies.push([cell.cell.volume() / n, label.0 / n]);
            }
        }
        if volumes > 0 {
            let points: Vec<(f64, f64)> = found.energies.iter().map(|p| (p[0], p[1])).collect();
            match StateEquation::fit(&points) {
                Ok(state) => found.state = Some(state),
                Err(error) => found.notes.push(format!("equation of state: {error}")),
            }
        }
        if !self.strains.is_empty() {
            match self.stiffness(settings, &rest, &cells[volumes..], &labels[volumes..]) {
                Ok(c) => found.stiffness = Some(c),
                Err(error) => found.notes.push(format!("elastic constants: {error}")),
            }
        }
        if let Some(repeat) = settings.phonons {
            match self.phonons(repeat, &rest, &labels[others..]) {
                Ok(branches) => found.branches = branches,
                Err(error) => found.notes.push(format!("phonons: {error}")),
            }
        }
        Ok(found)
    }

    fn stiffness(
        &self,
        settings: &PropertiesConfig,
        rest: &Structure,
        cells: &[Option<Structure>],
        labels: &[Labels],
    ) -> Result<Stiffness> {
        let turns = rotations(&operations(rest));
        let strained = |k: usize| -> Result<Strained<'_>> {
            let (Some(cell), Some((_, forces, virial))) = (&cells[k], &labels[k]) else {
                return Err(missing());
            };
            let virial = virial.ok_or_else(|| {
                Error::Failed("the labels have no virials; have the method compute stresses".into())
            })?;
            Ok(Strained {
                volume: cell.cell.volume(),
                virial,
                forces,
            })
        };
        let all = (self.strains.iter().enumerate())
            .map(|(k, &j)| Ok((j, [strained(2 * k)?, strained(2 * k + 1)?])))
            .collect::<Result<Vec<_>>>()?;
        Cells {
            rotations: &turns,
            volume: rest.cell.volume(),
            size: settings.strain,
            rates: &self.rates,
        }
        .stiffness(&all)
    }

    fn phonons(
        &self,
        repeat: [usize; 3],
        rest: &Structure,
        labels: &[Labels],
    ) -> Result<Vec<Branches>> {
        let s = rest.repeated(repeat)?;
        let symmetry = operations(&s);
        let moved = (self.moves.iter().zip(labels))
            .map(|(by, label)| Ok((*by, label.as_ref().ok_or_else(missing)?.1.as_slice())))
            .collect::<Result<Vec<_>>>()?;
        ForceConstants::new(&s, &symmetry, &moved)?.branches(rest, repeat, &symmetry)
    }
}

fn missing() -> Error {
    Error::Failed("a label was rejected".into())
}
