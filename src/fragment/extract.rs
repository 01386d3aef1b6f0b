//! The two entries: the full extraction, and the quick one without the model.

use super::assessment::Assessment;
use super::charges;
use super::composition::Composition;
use super::draft::Draft;
use super::options::{FragmentOptions, MaskRule};
use super::outcome::{Fragment, FragmentReport, Outcome, Refusal, Verification};
use super::parent::Surroundings;
use super::reference::Reference;
use super::search::{Search, search};
use super::stages::{Improved, improve};
use super::verify;
use crate::calculator::Calculator;
use crate::error::Result;
use crate::model::Model;
use crate::system::Structure;

/// Drafts whose boundary is graded before the best are optimised.
const GRADED: usize = 8;
/// Relative change of the descriptors up to which a core atom counts as the parent's.
const FAITHFUL: f64 = 0.05;
/// A parent that may be labelled whole is, unless a fragment has at most this share of its atoms.
const WORTHWHILE: f64 = 0.8;

/// Cuts a fragment around an atom, optimises its boundary with the model and verifies it.
///
/// With an active set in the calculator the boundary's grade Γ is minimised and checked; without,
/// the boundary is only relaxed. Deterministic: the same input, options and seed give the same
/// fragment.
///
/// **Errors**: [`crate::Error::InvalidArgument`] for a target that is not there, options out of
/// range, a core smaller than the cutoff, or elements that the model does not know; what the
/// calculator reports. A parent around which no fragment can be made is no error but an
/// [`Outcome::Refused`].
pub fn extract(
    calculator: &mut Calculator,
    parent: &Structure,
    target: usize,
    options: &FragmentOptions,
) -> Result<Outcome> {
    let model = calculator.model().clone();
    let s = Surroundings::new(&model, parent, target, options)?;
    if let Some(reason) = s.check_physical() {
        return Ok(Outcome::Refused { reason });
    }
    let own = charges::of_model(&model, &s, options)?;
    let options = own.as_ref().unwrap_or(options);
    let neutral = attempt(calculator, &s, options)?;
    let charged =
        options.formal_charges.is_some() && options.allow_charge > options.charge_tolerance;
    if !charged || !matches!(neutral, Outcome::Refused { .. }) {
        return Ok(neutral);
    }
    let allowing = FragmentOptions {
        charge_tolerance: options.allow_charge,
        ..options.clone()
    };
    Ok(match attempt(calculator, &s, &allowing)? {
        fragment @ Outcome::Fragment(_) => fragment,
        _ => neutral,
    })
}

/// [`extract`], as neutral as the options say.
fn attempt(
    calculator: &mut Calculator,
    s: &Surroundings<'_>,
    options: &FragmentOptions,
) -> Result<Outcome> {
    let found = search(s, options)?;
    let drafts = match affordable(s, found, options) {
        Ok(drafts) => drafts,
        Err(outcome) => return Ok(*outcome),
    };
    let reference = Reference::new(s, calculator, options.truncated)?;
    let composition = Composition::new(s, options);
    let considered = drafts.considered;
    let mut evaluations = 1;
    let chosen = ranked(
        calculator,
        drafts,
        &reference,
        s.tolerance,
        options,
        &mut evaluations,
    )?;
    let mut rejected: Vec<Refusal> = Vec::new();
    for (tried, draft) in chosen.into_iter().enumerate() {
        let improved = improve(calculator, s, draft, &reference, options)?;
        evaluations += improved.evaluations;
        let mut numbers = Verification::default();
        let geometry = verify::geometry(s, &improved.draft, options, &mut numbers)?
            .or_else(|| composition.refusal(&improved.draft, s));
        let refusal = match geometry {
            Some(refusal) => Some(refusal),
            None => verify::model(
                &improved.draft,
                &improved.after,
                &improved.before,
                &reference,
                s.tolerance,
                options,
                &mut numbers,
            ),
        };
        if let Some(refusal) = refusal {
            rejected.push(match improved.draft.neutrality.edits.is_empty() {
                true => refusal,
                false => Refusal::Neutrality {
                    done: improved.draft.neutrality,
                    reason: Box::new(refusal),
                },
            });
            continue;
        }
        let report = FragmentReport {
            cells_considered: considered,
            cells_tried: tried + 1,
            rejected,
            parent_grade: reference.grade,
            evaluations,
            ..report(s, &improved.draft, numbers, options)
        };
        let fragment = finished(improved, report, &reference, options);
        return Ok(Outcome::Fragment(Box::new(fragment)));
    }
    let reason = rejected.pop().unwrap_or(Refusal::CoreContact);
    Ok(or_whole(s, reason, options))
}

/// Cuts a fragment without evaluating the model: cell, repair and the geometric checks only. For
/// use inside a running simulation; the boundary is as the cut left it.
///
/// **Errors**: as [`extract`].
pub fn carve(
    model: &Model,
    parent: &Structure,
    target: usize,
    options: &FragmentOptions,
) -> Result<Outcome> {
    let s = Surroundings::new(model, parent, target, options)?;
    if let Some(reason) = s.check_physical() {
        return Ok(Outcome::Refused { reason });
    }
    let own = charges::of_model(model, &s, options)?;
    let options = own.as_ref().unwrap_or(options);
    let found = search(&s, options)?;
    let found = match affordable(&s, found, options) {
        Ok(found) => found,
        Err(outcome) => return Ok(*outcome),
    };
    let considered = found.considered;
    let Some(draft) = found.drafts.into_iter().next() else {
        return Ok(or_whole(&s, found.refusal, options));
    };
    let mut numbers = Verification::default();
    if let Some(reason) = verify::geometry(&s, &draft, options, &mut numbers)? {
        return Ok(or_whole(&s, reason, options));
    }
    numbers.descriptor_deviation = f64::NAN;
    numbers.target_grade = [f64::NAN; 2];
    numbers.grade = f64::NAN;
    numbers.grade_limit = f64::NAN;
    numbers.force = f64::NAN;
    numbers.energy = f64::NAN;
    numbers.long_range = f64::NAN;
    let report = FragmentReport {
        cells_considered: considered,
        cells_tried: 1,
        parent_grade: f64::NAN,
        ..report(&s, &draft, numbers, options)
    };
    Ok(Outcome::Fragment(Box::new(Fragment {
        structure: draft.placed(),
        target: 0,
        mask: mask(&draft.core, &draft.core, &[], options),
        parent_index: draft.parent,
        faithful: draft.core.clone(),
        core: draft.core,
        grade_before: Vec::new(),
        grade_after: Vec::new(),
        report,
    })))
}

/// Drafts that are smaller than the parent, or what to do without any.
pub(super) fn affordable(
    s: &Surroundings<'_>,
    mut found: Search,
    options: &FragmentOptions,
) -> std::result::Result<Search, Box<Outcome>> {
    let whole = |reason: String| {
        Box::new(Outcome::WholeParent {
            reason: format!("{reason}: label the whole parent"),
        })
    };
    let small = s.parent.len() <= options.n_max && !options.truncated;
    if let (true, Some(reason)) = (small, found.thin.take()) {
        return Err(whole(reason));
    }
    let smallest = found.drafts.iter().map(Draft::len).min();
    let most = if small {
        (WORTHWHILE * s.parent.len() as f64) as usize
    } else {
        s.parent.len() - 1
    };
    found.drafts.retain(|d| d.len() <= most);
    if !found.drafts.is_empty() {
        return Ok(found);
    }
    if let (true, Some(atoms)) = (small, smallest) {
        return Err(whole(format!(
            "the smallest fragment has {atoms} atoms, the parent {}",
            s.parent.len()
        )));
    }
    Err(Box::new(or_whole(s, found.refusal, options)))
}

/// A refusal, unless the parent is small enough to be labelled itself.
fn or_whole(s: &Surroundings<'_>, reason: Refusal, options: &FragmentOptions) -> Outcome {
    if s.parent.len() <= options.n_max && !options.truncated {
        Outcome::WholeParent {
            reason: format!(
                "no fragment passes ({reason}) and the parent has only {} atoms: label the whole parent",
                s.parent.len()
            ),
        }
    } else {
        Outcome::Refused { reason }
    }
}

/// The drafts to go on with. With an active set the cheap score only nominates: the boundary's
/// actual grade, long before any optimisation, decides.
pub(super) fn ranked(
    calculator: &mut Calculator,
    found: Search,
    reference: &Reference,
    tolerance: Option<f64>,
    options: &FragmentOptions,
    evaluations: &mut usize,
) -> Result<Vec<Draft>> {
    let mut drafts = distinct(found.drafts);
    if calculator.active_set().is_some() {
        // Ways to be neutral are several of each cell.
        let charged = drafts.iter().any(|d| !d.neutrality.edits.is_empty());
        drafts.truncate(if charged { 3 * GRADED } else { GRADED });
        let mut graded: Vec<(f64, Draft)> = Vec::new();
        for draft in drafts {
            let state = Assessment::new(calculator, &draft, reference, tolerance, options.gamma_b)?;
            *evaluations += 1;
            let size = draft.len() as f64 / options.n_max as f64;
            graded.push((state.rank(options.gamma_b) + size, draft));
        }
        graded.sort_by(|a, b| a.0.total_cmp(&b.0));
        drafts = graded.into_iter().map(|(_, draft)| draft).collect();
    }
    drafts.truncate(options.cells);
    Ok(drafts)
}

/// Leaves out drafts that repeat a better one: same cell volume and same number of atoms.
fn distinct(drafts: Vec<Draft>) -> Vec<Draft> {
    let mut kept: Vec<Draft> = Vec::new();
    for draft in drafts {
        let volume = draft.cell.volume();
        let repeated = kept.iter().any(|d| {
            d.len() == draft.len()
                && d.shape == draft.shape
                && d.neutrality == draft.neutrality
                && (d.cell.volume() / volume - 1.0).abs() < 1e-3
        });
        if !repeated {
            kept.push(draft);
        }
    }
    kept
}

fn report(
    s: &Surroundings<'_>,
    draft: &Draft,
    verification: Verification,
    options: &FragmentOptions,
) -> FragmentReport {
    FragmentReport {
        shape: Some(draft.shape),
        size: draft.size,
        mode: options.mode,
        core_radius: s.core_radius,
        cutoff: s.cutoff,
        density_ratio: draft.density_ratio(),
        merged: draft.merged,
        deleted: draft.deleted,
        edited: draft.edited,
        neutrality: draft.neutrality.clone(),
        verification,
        seed: options.seed,
        ..FragmentReport::default()
    }
}

fn finished(
    improved: Improved,
    report: FragmentReport,
    reference: &Reference,
    options: &FragmentOptions,
) -> Fragment {
    let Improved {
        draft,
        before,
        after,
        stages,
        strain,
        ..
    } = improved;
    // Core atoms near the seam stand where they stood but see other atoms.
    let faithful: Vec<bool> = (0..draft.len())
        .map(|i| {
            let there = draft.parent[i].and_then(|atom| reference.at(atom, draft.home[i]));
            draft.core[i]
                && there.is_some_and(|point| {
                    reference.change(point, after.of(i, reference.dim())) < FAITHFUL
                })
        })
        .collect();
    let mask = mask(&draft.core, &faithful, &after.grades, options);
    Fragment {
        structure: draft.placed(),
        target: 0,
        mask,
        parent_index: draft.parent,
        faithful,
        core: draft.core,
        grade_before: before.grades,
        grade_after: after.grades,
        report: FragmentReport {
            stages,
            strain,
            ..report
        },
    }
}

/// Training weights of the forces.
fn mask(core: &[bool], faithful: &[bool], grades: &[f64], options: &FragmentOptions) -> Vec<f64> {
    let weight = |i: usize| match options.mask {
        MaskRule::All => 1.0,
        MaskRule::Faithful => f64::from(u8::from(faithful[i])),
        MaskRule::Smooth if core[i] => 1.0,
        MaskRule::Smooth => match grades.get(i) {
            Some(g) if g.is_finite() => 1.0 / (1.0 + (g / options.gamma_b).powi(2)),
            _ => 0.0,
        },
    };
    let mut mask: Vec<f64> = (0..core.len()).map(weight).collect();
    // In the looser modes it is not faithful to a few percent, but it is what the label is for.
    mask[0] = 1.0;
    mask
}
