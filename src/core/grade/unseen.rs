//! What a set would say of environments like its own that it had not seen.

use super::{ActiveSet, BuildOptions, Features};
use crate::error::Result;
use crate::model::Model;

/// Parts of the structures that are left out in turn.
const PARTS: u32 = 10;
/// The share of environments whose grades are told.
const SHARE: f64 = 0.999;

/// The grade that 99.9 % of the environments do not exceed when their structures are left out of the set, a tenth of all
/// structures at a time (each by itself where there are ten or fewer); `None` for fewer than two structures. Of structures
/// drawn at random, thresholds below it keep what is ordinary; of structures chosen because they differ it is above what
/// a run will meet.
///
/// **Errors**: as [`ActiveSet::build`].
pub fn unseen_grade(
    model: &Model,
    features: &Features,
    options: &BuildOptions,
) -> Result<Option<f64>> {
    let types = || 0..features.n_types();
    let last = types()
        .flat_map(|t| features.origins(t))
        .map(|o| o.structure)
        .max();
    let parts = PARTS.min(last.map_or(0, |last| last + 1));
    if parts < 2 {
        return Ok(None);
    }
    let mut grades = Vec::new();
    for part in 0..parts {
        let mut sets = [(); 2].map(|()| Features::with_shape(features.n_types(), features.width()));
        for t in types() {
            let rows = features.rows(t).chunks_exact(features.width().max(1));
            for (row, origin) in rows.zip(features.origins(t)) {
                sets[usize::from(origin.structure % parts == part)].push(t, row, *origin)?;
            }
        }
        let [known, left] = &sets;
        let (set, _) = ActiveSet::build(model, known, options)?;
        for t in types() {
            grades.extend(set.grade_rows(t, left.rows(t))?.iter().map(|g| g.total));
        }
    }
    grades.sort_by(f64::total_cmp);
    let place = (SHARE * grades.len() as f64).ceil() as usize;
    Ok(grades.get(place.wrapping_sub(1)).copied())
}
