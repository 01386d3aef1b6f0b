//! The search for the cell: every candidate is filled, repaired and scored; the best go on.

use super::cells::{self, Plan};
use super::composition::{Composition, Way};
use super::draft::{Draft, Stock};
use super::lattice::WignerSeitz;
use super::options::FragmentOptions;
use super::outcome::{Refusal, Verification};
use super::parent::{PointGrid, Surroundings};
use super::{repair, verify};
use crate::error::Result;
use crate::system::cell::{dot, norm};

/// Weights of the score: seam misfit, density off 1, deleted atoms, size, composition.
const MISFIT: f64 = 4.0;
const DENSITY: f64 = 2.0;
const DELETED: f64 = 1.0;
const SIZE: f64 = 0.25;
const COMPOSITION: f64 = 1.0;
/// Near neighbours are counted within this distance at most, Å.
const NEAR: f64 = 4.5;

/// What the search found.
pub(super) struct Search {
    /// Drafts that pass all geometric checks, best first.
    pub(super) drafts: Vec<Draft>,
    /// Number of cells looked at.
    pub(super) considered: usize,
    /// The commonest reason among the cells that failed.
    pub(super) refusal: Refusal,
    /// What makes the parent too thin to be cut in every direction, if it is.
    pub(super) thin: Option<String>,
}

/// Looks for cells around the target.
///
/// **Errors**: [`crate::Error`] from neighbour lists of degenerate cells.
pub(super) fn search(s: &Surroundings<'_>, options: &FragmentOptions) -> Result<Search> {
    let sizes = cells::sizes(s, options);
    let mut found = Search {
        drafts: Vec::new(),
        considered: 0,
        refusal: Refusal::TooLarge {
            atoms: s.parent.len(),
            n_max: options.n_max,
        },
        thin: None,
    };
    let composition = Composition::new(s, options);
    let mut reasons: Vec<(Refusal, usize)> = Vec::new();
    for plan in cells::plans(s, sizes, options) {
        if !plan.kept.is_empty() {
            found.thin.get_or_insert_with(|| {
                format!(
                    "the parent ({} atoms) is thinner than a fragment, whose images need {:.1} Å",
                    s.parent.len(),
                    sizes.matched
                )
            });
        }
        if plan.cut.dim() == 0 {
            continue;
        }
        // A surface seen as bulk is no use while the whole thickness is affordable.
        if !found.drafts.is_empty() {
            break;
        }
        try_plan(
            s,
            &plan,
            sizes,
            options,
            &composition,
            &mut found,
            &mut reasons,
        )?;
    }
    if let Some((refusal, _)) = reasons.into_iter().max_by_key(|(_, n)| *n) {
        found.refusal = refusal;
    }
    found.drafts.sort_by(|a, b| a.score.total_cmp(&b.score));
    Ok(found)
}

fn try_plan(
    s: &Surroundings<'_>,
    plan: &Plan,
    sizes: cells::Sizes,
    options: &FragmentOptions,
    composition: &Composition,
    found: &mut Search,
    reasons: &mut Vec<(Refusal, usize)>,
) -> Result<()> {
    let candidates = cells::candidates(s, plan, sizes, options);
    found.considered += candidates.len();
    let radius = candidates
        .iter()
        .map(|c| WignerSeitz::outer_radius(&c.projected))
        .fold(0.0, f64::max);
    let stock = Stock::new(s, plan, radius, options);
    let near = NEAR.min(s.cutoff);
    let neighbors = NearCounts::new(s, plan, radius, near);
    let skin = 0.3 * s.contacts.smallest();
    for candidate in &candidates {
        if plan.closed && options.truncated && !inside_known(s, candidate, options.known) {
            note(reasons, Refusal::OutsideKnown);
            continue;
        }
        let expected = stock.expected(plan, candidate);
        if expected > 1.1 * options.n_max as f64 {
            let atoms = expected.round() as usize;
            let n_max = options.n_max;
            note(reasons, Refusal::TooLarge { atoms, n_max });
            continue;
        }
        for skin in [skin, 0.0] {
            let Some(mut filled) = stock.fill(s, plan, candidate, expected, skin, options)? else {
                continue;
            };
            if let Some(refusal) = repair::clashes(&mut filled, &s.contacts, composition)? {
                note(reasons, refusal);
                continue;
            }
            // What the model makes of each way to be neutral decides later.
            for &way in composition.ways(&filled) {
                let mut draft = filled.clone();
                if let Some(refusal) = finish(s, &mut draft, options, composition, way)? {
                    note(reasons, refusal);
                    continue;
                }
                draft.misfit = repair::misfit(&draft, near, |atom| neighbors.of(atom))?;
                draft.score = MISFIT * draft.misfit
                    + DENSITY * (draft.density_ratio() - 1.0).abs()
                    + DELETED * draft.deleted as f64 / draft.len() as f64
                    + SIZE * draft.len() as f64 / options.n_max as f64
                    + COMPOSITION * composition.error(&draft);
                found.drafts.push(draft);
            }
        }
    }
    Ok(())
}

/// Gives a repaired cell its composition and checks its geometry.
fn finish(
    s: &Surroundings<'_>,
    draft: &mut Draft,
    options: &FragmentOptions,
    composition: &Composition,
    way: Way,
) -> Result<Option<Refusal>> {
    if let Some(refusal) = composition.enforce(draft, s, way)? {
        return Ok(Some(refusal));
    }
    verify::geometry(s, draft, options, &mut Verification::default())
}

/// Counts how often each kind of refusal came up, keeping the first of its kind; a refusal that
/// says how large the smallest cell is keeps the smallest.
fn note(reasons: &mut Vec<(Refusal, usize)>, refusal: Refusal) {
    let kind = std::mem::discriminant(&refusal);
    match reasons
        .iter_mut()
        .find(|(r, _)| std::mem::discriminant(r) == kind)
    {
        Some((known, n)) => {
            *n += 1;
            if let (Refusal::TooLarge { atoms, .. }, Refusal::TooLarge { atoms: new, .. }) =
                (known, &refusal)
            {
                *atoms = (*atoms).min(*new);
            }
        }
        None => reasons.push((refusal, 1)),
    }
}

/// True if the cell lies within what the host knows along the parent's non-periodic directions.
fn inside_known(s: &Surroundings<'_>, candidate: &cells::Candidate, known: Option<f64>) -> bool {
    s.open.iter().all(|&n| {
        let [low, high] = known.map_or_else(|| s.extent(n), |known| [-known, known]);
        let reach = candidate.cell.reach(n) + 0.1;
        -low >= reach && high >= reach
    })
}

/// Numbers of near neighbours in the parent.
struct NearCounts {
    count: Vec<Option<usize>>,
}

impl NearCounts {
    fn new(s: &Surroundings<'_>, plan: &Plan, radius: f64, near: f64) -> Self {
        let mut count = vec![None; s.parent.len()];
        let kept: f64 = plan.kept.iter().map(|&v| norm(v)).sum();
        let depth = if plan.depth.is_finite() {
            plan.depth
        } else {
            s.open.iter().fold(0.0f64, |m, &n| {
                let [low, high] = s.extent(n);
                m.max(-low).max(high)
            })
        };
        let thick = if plan.open.is_empty() { 0.0 } else { depth };
        let reach = radius.hypot(thick) + kept + near + 2.0;
        let ball = s.ball(reach);
        let grid = PointGrid::new(&ball, near);
        for p in &ball {
            let flat = plan.cut.project(p.r);
            let deep = plan.open.iter().all(|&n| dot(p.r, n).abs() <= plan.depth);
            if count[p.atom].is_none() && norm(flat) < radius + 2.0 && deep {
                let mut n = 0;
                grid.near(p.r, |_, d| n += usize::from(d > 1e-9));
                count[p.atom] = Some(n);
            }
        }
        Self { count }
    }

    fn of(&self, atom: usize) -> usize {
        self.count[atom].unwrap_or(0)
    }
}
