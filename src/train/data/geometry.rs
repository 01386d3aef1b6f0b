//! Positions that look wrong.

use super::screen::{Action, BadData, Finding};
use nepal::system::cell::norm;
use nepal::system::{Frame, NeighborList};

/// No two atoms of a real structure are nearer, Å.
const CLOSE: f64 = 0.5;

/// Frames with atoms on top of each other, and frames that look as if their coordinates were
/// fractional.
pub(super) fn findings(frames: &[Frame], rule: BadData, usable: &[bool]) -> [Finding; 2] {
    let (mut close, mut fractional) = (Vec::new(), Vec::new());
    for (i, frame) in frames.iter().enumerate().filter(|(i, _)| usable[*i]) {
        let Some((a, b, r)) = closest(frame) else {
            continue;
        };
        let detail = format!("atoms {} and {} are {r:.2} Å apart", a + 1, b + 1);
        if looks_fractional(frame) {
            fractional.push((i, detail));
        } else {
            close.push((i, detail));
        }
    }
    [
        Finding {
            what: "all atoms within 1 Å of the origin of a larger cell, as fractional coordinates would be"
                .into(),
            frames: fractional,
            action: match rule {
                BadData::Refuse => Action::Refused,
                BadData::Drop => Action::LeftOut,
                BadData::Keep => Action::Kept,
            },
            advice: "positions must be Cartesian, in Å",
        },
        // A scan of a short bond is legal.
        Finding {
            what: format!("atoms less than {CLOSE} Å apart"),
            frames: close,
            action: Action::Kept,
            advice: "",
        },
    ]
}

/// The nearest pair below the limit.
fn closest(frame: &Frame) -> Option<(usize, usize, f64)> {
    let s = &frame.structure;
    let list = NeighborList::build(&s.cell, &s.positions, CLOSE).ok()?;
    (0..s.len())
        .flat_map(|i| {
            let near = list.vectors(i, &s.cell, &s.positions);
            near.map(move |(j, v)| (i, j, norm(v)))
        })
        .filter(|found| found.2 < CLOSE)
        .min_by(|a, b| a.2.total_cmp(&b.2))
}

fn looks_fractional(frame: &Frame) -> bool {
    let s = &frame.structure;
    let lengths = s.cell.vectors().map(norm);
    s.cell.periodic().contains(&true)
        && s.len() > 1
        && lengths.iter().all(|l| *l > 2.0)
        && (s.positions.iter().flatten()).all(|x| (-0.51..=1.01).contains(x))
}
