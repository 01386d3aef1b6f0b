//! Scenarios whose labels fail.

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::Context;
use crate::campaign::pause::{Group, Pause, PausedBy};
use crate::campaign::store::LabelRecord;
use nepal::error::{Error, Result};

/// The scenarios to pause since too many of their labels failed. Where all scenarios fail, or the first structures of
/// all sources, or so many labels that no single group is to blame, the method must be wrong: an error.
pub(super) fn failing(
    context: &Context<'_>,
    record: &LabelRecord,
    observer: &mut dyn Observer,
) -> Result<Vec<Pause>> {
    let campaign = context.campaign;
    let share = campaign.config.label.max_rejected;
    let mut all = Group::default();
    record.groups.values().for_each(|group| all.add(group));
    let failing: Vec<(&String, &Group)> =
        record.groups.iter().filter(|g| g.1.fails(share)).collect();
    let pauses: Vec<Pause> = failing
        .iter()
        .filter(|(name, _)| campaign.config.explore.iter().any(|s| s.name == **name))
        .map(|(name, group)| Pause {
            scenario: (*name).clone(),
            by: PausedBy::Label,
            round: context.round,
            reason: group.text(),
            resumed: None,
        })
        .collect();
    let rest = || {
        let active = campaign.active(context.round)?;
        let goes_on = |s: &&crate::campaign::Scenario| !pauses.iter().any(|p| p.scenario == s.name);
        Ok::<bool, Error>(active.iter().any(goes_on))
    };
    let hopeless = match context.round {
        0 => failing.len() == record.groups.len(),
        _ => !rest()?,
    };
    let wrong = match failing.is_empty() {
        true => all.fails(share),
        false => hopeless,
    };
    if wrong {
        return Err(Error::Failed(format!(
            "{}, more than max_rejected = {share} allows; their files are in {}. Correct the [label] table \
             (changed settings label again, with --accept-changes), or raise max_rejected to go on without them",
            all.text(),
            campaign.directory.join("labels/quarantine").display()
        )));
    }
    for (name, group) in &failing {
        let paused = pauses.iter().any(|p| p.scenario == **name);
        let what = match paused {
            true => "the scenario is paused (`nepal-loop resume` ends that), others go on",
            false => "the others are used",
        };
        observer.event(Event::Warning(format!("{name}: {}; {what}", group.text())));
    }
    Ok(pauses)
}
