//! Labels of cells that have no virial.

use crate::label::{Label, NO_VIRIAL, Verdict};
use nepal::system::Structure;

/// Whether a label of a cell should have a virial and does not.
pub(super) fn lacks_virial(label: &Label, structure: &Structure) -> bool {
    label.virial.is_none() && structure.cell.periodic() == [true; 3]
}

/// A line about labels of cells that have no virial, if there are any.
pub(crate) fn virials_missing<'a>(
    labels: impl IntoIterator<Item = (&'a Structure, &'a Verdict)>,
) -> Option<String> {
    let (mut all, mut lacking, mut why) = (0, 0, None);
    for (structure, verdict) in labels {
        if let Verdict::Accepted(label) = verdict {
            all += 1;
            if lacks_virial(label, structure) {
                lacking += 1;
                why = why.or(label.info.get(NO_VIRIAL));
            }
        }
    }
    (lacking > 0).then(|| {
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        format!(
            "{lacking} of {all} labels have no virial{why}: what is trained on them knows of stress only what energies \
             and forces tell"
        )
    })
}
