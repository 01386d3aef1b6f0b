//! What the model says about the parent around the target: the reference for a fragment.

use super::parent::{Point, Surroundings};
use crate::backend::{Request, System};
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::system::cell::{norm, sub};
use crate::system::{Cell, NeighborList};

/// Beyond the core by this much, energies and grades are taken too, Å.
pub(super) const BEYOND: f64 = 1.5;

/// Atoms around the target, inner ones with all their neighbours.
pub(super) struct Ball {
    /// The target first.
    points: Vec<Point>,
    positions: Vec<[f64; 3]>,
    /// Of all atoms, inner ones first.
    pub(super) types: Vec<u32>,
    neighbors: NeighborList,
}

/// The parent around a target, evaluated.
pub(super) struct Reference {
    /// The atoms that were evaluated, the target first.
    points: Vec<Point>,
    /// Scaled descriptors of these atoms. Shape `[n_points][dim]`.
    descriptors: Vec<f64>,
    dim: usize,
    /// Mean energy of the atoms of each type, eV; empty if unknown.
    energies: Vec<f64>,
    /// Force on the target, eV/Å, if the parent was evaluated as a whole.
    target_force: Option<[f64; 3]>,
    /// Median grade Γ; NaN without an active set.
    pub(super) grade: f64,
    /// Grade Γ of the target; NaN without an active set.
    pub(super) target_grade: f64,
}

impl Ball {
    pub(super) fn new(s: &Surroundings<'_>, inner: f64) -> Result<Self> {
        let mut points = s.ball(inner + s.model_cutoff);
        let n_local = points.iter().take_while(|p| norm(p.r) <= inner).count();
        let positions: Vec<[f64; 3]> = points.iter().map(|p| p.r).collect();
        let types: Vec<u32> = points.iter().map(|p| s.types[p.atom]).collect();
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
        points.truncate(n_local);
        Ok(Self {
            neighbors: NeighborList::from_host(&counts, index, positions.len())?,
            points,
            positions,
            types,
        })
    }

    pub(super) fn system<'a>(&'a self, cell: &'a Cell) -> System<'a> {
        System {
            cell,
            positions: &self.positions,
            types: &self.types,
            neighbors: &self.neighbors,
            whole: None,
        }
    }
}

impl Reference {
    /// Evaluates a ball of the parent: inner atoms with all their neighbours. What acts from beyond, as
    /// charges do, takes an evaluation of the whole parent, which a `truncated` one does not give.
    ///
    /// **Errors**: those of the calculator.
    pub(super) fn new(
        s: &Surroundings<'_>,
        calculator: &mut Calculator,
        truncated: bool,
    ) -> Result<Self> {
        let ball = Ball::new(s, s.core_radius + BEYOND)?;
        let (n_local, types) = (ball.points.len(), &ball.types);
        let far = calculator.model().kind().is_long_ranged() || calculator.dispersion().is_some();
        let mut of_ball = None;
        let mut target_force = None;
        if far && !truncated {
            let whole = calculator.compute(s.parent, Request::FORCES)?;
            let energies = ball.points.iter().map(|p| whole.energies[p.atom]);
            of_ball = Some(energies.collect::<Vec<f64>>());
            target_force = Some(whole.forces[s.target]);
        }
        let cell = Calculator::host_cell();
        let mut request = Request::DESCRIPTORS;
        request.set(Request::WITHOUT_ENERGIES, far);
        if calculator.active_set().is_some() {
            request |= Request::GRADES;
        }
        let dim = calculator.model().dim();
        let results = calculator.compute(ball.system(&cell), request)?;
        if !far {
            of_ball = Some(results.energies.clone());
        }
        if of_ball.as_ref().is_some_and(|e| e.len() != n_local)
            || results.descriptors.len() != n_local * dim
        {
            return Err(Error::Internal(
                "the backend gave too few energies or descriptors".into(),
            ));
        }
        let energies = of_ball.map_or(Vec::new(), |all| means(&all, types, s.elements.len()));
        Ok(Self {
            descriptors: results.descriptors.clone(),
            dim,
            energies,
            target_force,
            grade: median(&results.grade),
            target_grade: results.grade.first().copied().unwrap_or(f64::NAN),
            points: ball.points,
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

    /// How much another force on the target differs from that in the parent, eV/Å; NaN if that is unknown.
    pub(super) fn force_change(&self, force: [f64; 3]) -> f64 {
        self.target_force
            .map_or(f64::NAN, |known| norm(sub(force, known)))
    }

    /// Energy that atoms of these types have in the parent, eV; infinite if unknown, so that none is above.
    pub(super) fn energy(&self, types: &[u32]) -> f64 {
        if self.energies.is_empty() {
            return f64::INFINITY;
        }
        types.iter().map(|&t| self.energies[t as usize]).sum()
    }
}

/// Means over the atoms of each type, over all atoms for a type without any.
fn means(values: &[f64], types: &[u32], n_types: usize) -> Vec<f64> {
    let mean = |own: &[f64]| own.iter().sum::<f64>() / own.len().max(1) as f64;
    (0..n_types as u32)
        .map(|t| {
            let own = values.iter().zip(types).filter(|(_, of)| **of == t);
            let own: Vec<f64> = own.map(|(e, _)| *e).collect();
            mean(if own.is_empty() { values } else { &own })
        })
        .collect()
}

/// The middle value; NaN without values.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
