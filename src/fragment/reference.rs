//! What the model says about the parent around the target: the reference for a fragment.

use super::parent::{Point, Surroundings};
use crate::backend::{Request, System};
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::system::NeighborList;
use crate::system::cell::{norm, sub};

/// Beyond the core by this much, energies and grades are taken too, Å.
const BEYOND: f64 = 1.5;

/// The parent around a target, evaluated.
pub(super) struct Reference {
    /// The atoms that were evaluated, the target first.
    points: Vec<Point>,
    /// Scaled descriptors of these atoms. Shape `[n_points][dim]`.
    descriptors: Vec<f64>,
    dim: usize,
    /// Mean energy of the atoms of each type, eV.
    energies: Vec<f64>,
    /// Median grade Γ; NaN without an active set.
    pub(super) grade: f64,
    /// Grade Γ of the target; NaN without an active set.
    pub(super) target_grade: f64,
}

impl Reference {
    /// Evaluates a ball of the parent: inner atoms with all their neighbours.
    ///
    /// **Errors**: those of the calculator.
    pub(super) fn new(s: &Surroundings<'_>, calculator: &mut Calculator) -> Result<Self> {
        let inner = s.core_radius + BEYOND;
        let ball = s.ball(inner + s.model_cutoff);
        let n_local = ball.iter().take_while(|p| norm(p.r) <= inner).count();
        let positions: Vec<[f64; 3]> = ball.iter().map(|p| p.r).collect();
        let types: Vec<u32> = ball.iter().map(|p| s.types[p.atom]).collect();
        let mut counts = Vec::with_capacity(n_local);
        let mut index = Vec::new();
        for i in 0..n_local {
            let before = index.len();
            for (j, &r) in positions.iter().enumerate() {
                if j != i && norm(sub(r, positions[i])) < s.model_cutoff {
                    index.push(j as u32);
                }
            }
            counts.push(index.len() - before);
        }
        let neighbors = NeighborList::from_host(&counts, index, positions.len())?;
        let cell = Calculator::host_cell();
        let system = System {
            cell: &cell,
            positions: &positions,
            types: &types,
            neighbors: &neighbors,
            whole: None,
        };
        let mut request = Request::DESCRIPTORS;
        if calculator.active_set().is_some() {
            request |= Request::GRADES;
        }
        let dim = calculator.model().dim();
        let results = calculator.compute(system, request)?;
        if results.energies.len() != n_local || results.descriptors.len() != n_local * dim {
            return Err(Error::Internal(
                "the backend gave too few energies or descriptors".into(),
            ));
        }
        let overall = results.energies.iter().sum::<f64>() / n_local.max(1) as f64;
        let energies = (0..s.elements.len() as u32)
            .map(|t| {
                let own: Vec<f64> = (0..n_local)
                    .filter(|&i| types[i] == t)
                    .map(|i| results.energies[i])
                    .collect();
                if own.is_empty() {
                    overall
                } else {
                    own.iter().sum::<f64>() / own.len() as f64
                }
            })
            .collect();
        Ok(Self {
            points: ball[..n_local].to_vec(),
            descriptors: results.descriptors.clone(),
            dim,
            energies,
            grade: median(&results.grade),
            target_grade: results.grade.first().copied().unwrap_or(f64::NAN),
        })
    }

    /// Length of a descriptor.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// The evaluated atom that stands at a place relative to the target.
    pub(super) fn at(&self, atom: usize, r: [f64; 3]) -> Option<usize> {
        self.points
            .iter()
            .position(|p| p.atom == atom && norm(sub(p.r, r)) < 1e-9)
    }

    /// Largest difference of descriptors from those of an evaluated atom, relative to its largest
    /// one.
    pub(super) fn change(&self, point: usize, descriptors: &[f64]) -> f64 {
        let known = &self.descriptors[point * self.dim..][..self.dim];
        let largest = known.iter().fold(0.0f64, |m, q| m.max(q.abs()));
        let difference = known
            .iter()
            .zip(descriptors)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, |m: f64, d| if d > m || d.is_nan() { d } else { m });
        difference / largest.max(1e-300)
    }

    /// Scaled descriptors of the target.
    pub(super) fn target(&self) -> &[f64] {
        &self.descriptors[..self.dim]
    }

    /// How far a target with these descriptors and this grade is from the parent's: the change of
    /// the grade relative to it, or to 1 where it is less; without an active set the change of the
    /// descriptors.
    pub(super) fn target_change(&self, descriptors: &[f64], grade: Option<f64>) -> f64 {
        match grade {
            Some(grade) => (grade - self.target_grade).abs() / self.target_grade.max(1.0),
            None => self.change(0, descriptors),
        }
    }

    /// Energy that atoms of these types have in the parent, eV.
    pub(super) fn energy(&self, types: &[u32]) -> f64 {
        types.iter().map(|&t| self.energies[t as usize]).sum()
    }
}

/// The middle value; NaN without values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
