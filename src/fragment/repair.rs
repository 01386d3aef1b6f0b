//! Clash repair: what the seam brings too close together is thinned out, the core untouched.

use super::composition::Composition;
use super::distances::Contacts;
use super::draft::Draft;
use super::outcome::Refusal;
use crate::error::Result;
use crate::system::NeighborList;
use crate::system::cell::norm;

/// A pair closer than this share of its smallest distance clashes.
pub(super) const CLASH_SHARE: f64 = 0.93;
/// Two atoms of one element closer than this share are the same site, met from both sides.
const SAME_SHARE: f64 = 0.5;
/// How much sooner an atom of a surplus element is deleted.
const SURPLUS_BIAS: f64 = 1.2;

/// Deletes movable atoms (their whole molecules) until nothing across the seam clashes, the atom
/// with the largest summed overlap first. A cell whose frozen atoms meet is refused.
pub(super) fn clashes(
    draft: &mut Draft,
    contacts: &Contacts,
    composition: &Composition,
) -> Result<Option<Refusal>> {
    struct Clash {
        atoms: [usize; 2],
        overlap: f64,
        same: bool,
    }
    let mut clashes: Vec<Clash> = Vec::new();
    for (i, j, image, r) in draft.pairs(CLASH_SHARE * contacts.largest())? {
        let d = contacts.of(draft.types[i], draft.types[j]);
        if r < CLASH_SHARE * d && !draft.inherited(i, j, image) {
            clashes.push(Clash {
                atoms: [i, j],
                overlap: 1.0 - r / (CLASH_SHARE * d),
                same: r < SAME_SHARE * d && draft.types[i] == draft.types[j],
            });
        }
    }
    let n_groups = draft.group.iter().max().map_or(0, |&g| g as usize + 1);
    let mut frozen = vec![false; n_groups];
    let mut distance = vec![0.0f64; n_groups];
    let mut size = vec![0usize; n_groups];
    for i in 0..draft.len() {
        let g = draft.group[i] as usize;
        frozen[g] |= draft.core[i];
        distance[g] = distance[g].max(norm(draft.positions[i]));
        size[g] += 1;
    }
    let mut alive = vec![true; draft.len()];
    let mut counts = composition.count(&draft.types);
    loop {
        let mut weight = vec![0.0f64; n_groups];
        let mut same = vec![true; n_groups];
        let mut any = false;
        for clash in &clashes {
            if clash.atoms.iter().any(|&i| !alive[i]) {
                continue;
            }
            any = true;
            let mut deletable = false;
            for i in clash.atoms {
                let g = draft.group[i] as usize;
                if !frozen[g] && clash.atoms[0] != clash.atoms[1] {
                    let surplus = composition.surplus(&counts, draft.types[i]);
                    weight[g] += clash.overlap * if surplus { SURPLUS_BIAS } else { 1.0 };
                    same[g] &= clash.same;
                    deletable = true;
                }
            }
            if !deletable {
                return Ok(Some(Refusal::CoreContact));
            }
        }
        if !any {
            break;
        }
        // Equal overlaps (two images of one site): the farther one goes.
        let worst = (0..n_groups)
            .max_by(|&a, &b| {
                let close = (weight[a] - weight[b]).abs() < 1e-9;
                if close {
                    distance[a].total_cmp(&distance[b])
                } else {
                    weight[a].total_cmp(&weight[b])
                }
            })
            .unwrap_or(0);
        for i in 0..draft.len() {
            if draft.group[i] as usize == worst && alive[i] {
                alive[i] = false;
                counts[draft.types[i] as usize] -= 1;
            }
        }
        if same[worst] {
            draft.merged += size[worst];
        } else {
            draft.deleted += size[worst];
        }
    }
    draft.retain(&alive);
    Ok(None)
}

/// Relative change of the number of near neighbours of the movable atoms, against the parent:
/// 0 on a perfect seam.
pub(super) fn misfit(
    draft: &Draft,
    cutoff: f64,
    parent_count: impl Fn(usize) -> usize,
) -> Result<f64> {
    let list = NeighborList::build(&draft.cell, &draft.positions, cutoff)?;
    let (mut change, mut total) = (0usize, 0usize);
    for i in 0..draft.len() {
        if let (false, Some(atom)) = (draft.core[i], draft.parent[i]) {
            let expected = parent_count(atom);
            change += list.count(i).abs_diff(expected);
            total += expected;
        }
    }
    Ok(change as f64 / total.max(1) as f64)
}
