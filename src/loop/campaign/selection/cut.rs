//! What is made of a chosen candidate: the cell as it is, or a fragment.

use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::fragment::{self, FragmentOptions, Origin};
use nepal::system::{Frame, Structure};

/// What is made of one chosen structure.
pub(in crate::campaign) struct Cut {
    pub frame: Option<Frame>,
    pub form: String,
}

/// A whole cell to label, positions wrapped so that equal cells have equal hashes.
pub(in crate::campaign) fn whole(structure: &Structure) -> Frame {
    let mut structure = structure.clone();
    for r in &mut structure.positions {
        *r = structure.cell.wrap(*r);
    }
    Frame::new(structure)
}

/// A fragment around an atom, or the reason why there is none.
pub(in crate::campaign) fn cut(
    calculator: &mut Calculator,
    parent: &Structure,
    atom: usize,
    options: &FragmentOptions,
) -> Result<Cut> {
    Ok(
        match fragment::extract(calculator, parent, atom, options)? {
            fragment::Outcome::Fragment(cut) => Cut {
                form: format!("fragment: {}", cut.report.summary()),
                frame: Some(fragment::to_frame(&cut, &Origin::default())),
            },
            fragment::Outcome::WholeParent { reason } => Cut {
                frame: Some(whole(parent)),
                form: format!("whole cell: {reason}"),
            },
            fragment::Outcome::Refused { reason } => Cut {
                frame: None,
                form: format!("fragment refused: {reason}"),
            },
        },
    )
}
