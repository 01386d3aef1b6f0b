//! Which candidates to label: greedy choice by grade, with the set extended after each.

use super::{ActiveSet, EDGE, Features, Origin};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

impl ActiveSet {
    /// Extends the set by the atoms of one structure whose Γ is above a threshold, worst first, until
    /// none is; gives their number.
    ///
    /// **Shapes**: `types` `[n_atoms]`, `projections` `[n_atoms][width]`.
    /// **Errors**: as [`ActiveSet::extend`]; for arrays that do not fit.
    pub fn learn(&mut self, types: &[u32], projections: &[f64], threshold: f64) -> Result<usize> {
        let mut rows = Features::with_shape(self.elements().len(), self.width());
        rows.push_atoms(u32::MAX, types, projections)?;
        let mut learnt = 0;
        for t in 0..rows.n_types() {
            let mut open: Vec<usize> = (0..rows.count(t)).collect();
            loop {
                let data = super::gather(rows.rows(t), self.width(), &open);
                let grades = self.grade_rows(t, &data)?;
                let worst = (0..open.len())
                    .max_by(|&a, &b| grades[a].total.total_cmp(&grades[b].total))
                    .filter(|&k| grades[k].total > threshold.max(EDGE));
                let Some(k) = worst else {
                    break;
                };
                self.extend(t, &data[k * self.width()..][..self.width()], None)?;
                learnt += 1;
                open.swap_remove(k);
            }
        }
        Ok(learnt)
    }
}

/// A structure that [`select`] chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Number of the structure, as in the candidates' origins.
    pub structure: u32,
    /// Its largest Γ under the active set as given.
    pub first_grade: f64,
    /// Its largest Γ when it was chosen, the structures before it being known.
    pub grade: f64,
    /// The atom with that Γ.
    pub atom: u32,
    /// Atoms of it that extended the set.
    pub added: usize,
}

/// Chooses structures worth labelling, most novel first, until none has a Γ above 1.
///
/// The structure with the largest Γ is taken, all its atoms above 1 extend a copy of the set, and
/// the others are graded again: near-duplicates of a chosen structure fall below 1 and are passed
/// over.
///
/// **Errors**: as [`ActiveSet::grade_rows`].
pub fn select(
    set: &ActiveSet,
    candidates: &Features,
    max_structures: usize,
) -> Result<Vec<Selection>> {
    select_above(set, candidates, max_structures, EDGE)
}

/// [`select`] with another threshold than 1.
///
/// **Errors**: as [`select`], and for a threshold below 1: a chosen structure ends at 1.
pub fn select_above(
    set: &ActiveSet,
    candidates: &Features,
    max_structures: usize,
    threshold: f64,
) -> Result<Vec<Selection>> {
    if threshold.is_nan() || threshold < 1.0 {
        return Err(Error::invalid(format!(
            "the threshold of the selection is {threshold}; expected at least 1"
        )));
    }
    let mut pool = Pool::new(set, candidates)?;
    let first = pool.largest_by_structure();
    pool.close_known();
    let mut chosen = Vec::new();
    while chosen.len() < max_structures {
        let Some((origin, grade)) = pool.worst().filter(|w| w.1 > threshold) else {
            break;
        };
        let added = pool.absorb(origin.structure)?;
        chosen.push(Selection {
            structure: origin.structure,
            first_grade: first[&origin.structure],
            grade,
            atom: origin.atom,
            added,
        });
    }
    Ok(chosen)
}

/// The candidates with their grades under a growing set.
struct Pool<'a> {
    set: ActiveSet,
    candidates: &'a Features,
    /// Γ by type and row; `None` for rows that are known already: inside the set from the start,
    /// or of a chosen structure.
    grades: Vec<Vec<Option<f64>>>,
}

impl<'a> Pool<'a> {
    fn new(set: &ActiveSet, candidates: &'a Features) -> Result<Self> {
        let mut pool = Self {
            set: set.clone(),
            candidates,
            grades: Vec::new(),
        };
        for t in 0..candidates.n_types() {
            pool.grades.push(vec![Some(0.0); candidates.count(t)]);
            pool.grade_again(t)?;
        }
        Ok(pool)
    }

    /// Leaves out the rows that are inside the set: what extends the set makes none of them novel.
    fn close_known(&mut self) {
        for grade in self.grades.iter_mut().flatten() {
            *grade = grade.filter(|&g| g > EDGE);
        }
    }

    fn grade_again(&mut self, t: usize) -> Result<()> {
        let open: Vec<usize> = (0..self.grades[t].len())
            .filter(|&k| self.grades[t][k].is_some())
            .collect();
        let rows = super::gather(self.candidates.rows(t), self.candidates.width(), &open);
        for (&k, grade) in open.iter().zip(self.set.grade_rows(t, &rows)?) {
            self.grades[t][k] = Some(grade.total);
        }
        Ok(())
    }

    /// The first row with the largest Γ among those still open.
    fn worst(&self) -> Option<(Origin, f64)> {
        let mut worst: Option<(Origin, f64)> = None;
        for (t, grades) in self.grades.iter().enumerate() {
            for (grade, &origin) in grades.iter().zip(self.candidates.origins(t)) {
                if let Some(grade) = *grade
                    && worst.is_none_or(|w| grade > w.1)
                {
                    worst = Some((origin, grade));
                }
            }
        }
        worst
    }

    fn largest_by_structure(&self) -> BTreeMap<u32, f64> {
        let mut largest = BTreeMap::new();
        for (t, grades) in self.grades.iter().enumerate() {
            for (grade, origin) in grades.iter().zip(self.candidates.origins(t)) {
                let entry = largest.entry(origin.structure).or_insert(0.0f64);
                *entry = entry.max(grade.unwrap_or(0.0));
            }
        }
        largest
    }

    /// Extends the set by all atoms of a structure that are above 1, worst first, closes the
    /// structure and grades the others again; gives the number of atoms taken.
    fn absorb(&mut self, structure: u32) -> Result<usize> {
        let width = self.candidates.width();
        let mut taken = 0;
        for t in 0..self.candidates.n_types() {
            let mut own: Vec<usize> = (0..self.candidates.count(t))
                .filter(|&k| self.candidates.origins(t)[k].structure == structure)
                .collect();
            let before = taken;
            while !own.is_empty() {
                let rows = super::gather(self.candidates.rows(t), width, &own);
                let grades = self.set.grade_rows(t, &rows)?;
                let mut worst = 0;
                for (k, grade) in grades.iter().enumerate() {
                    if grade.total > grades[worst].total {
                        worst = k;
                    }
                }
                if grades[worst].total <= EDGE {
                    break;
                }
                let row = &rows[worst * width..][..width];
                let origin = self.candidates.origins(t)[own[worst]];
                self.set.extend(t, row, Some(origin))?;
                taken += 1;
                own.swap_remove(worst);
            }
            for (grade, origin) in self.grades[t].iter_mut().zip(self.candidates.origins(t)) {
                if origin.structure == structure {
                    *grade = None;
                }
            }
            if taken > before {
                self.grade_again(t)?;
            }
        }
        Ok(taken)
    }
}
