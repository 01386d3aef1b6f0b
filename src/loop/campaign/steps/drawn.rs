//! Labels at the end of a campaign, which nothing is trained on: held-out frames of the scenarios, and cells of crystals
//! whose properties are compared.

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::jobs::forget_attempts;
use crate::campaign::journal::{hash_bytes, hash_file, hash_json};
use crate::campaign::labelling::Batch;
use crate::campaign::store::{LabelRecord, read_if_there, write_json};
use crate::campaign::{Campaign, held_out, properties};
use nepal::error::Result;
use nepal::system::xyz;
use std::collections::BTreeSet;

/// What is to be labelled.
const ASKED: &str = "to-label.xyz";

/// Makes the structures, with the final model.
pub(in crate::campaign) struct Draw;

/// Has them labelled.
pub(in crate::campaign) struct LabelDrawn;

/// Whether a campaign labels anything at its end.
fn is_due(campaign: &Campaign) -> bool {
    let validate = campaign.config.validate.as_ref();
    validate.is_some_and(|v| v.frames > 0 || v.properties.is_some())
}

impl Step for Draw {
    fn name(&self) -> &'static str {
        "draw"
    }

    fn is_due(&self, context: &Context<'_>) -> Result<bool> {
        Ok(is_due(context.campaign))
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let campaign = context.campaign;
        let config = &campaign.config;
        let asked = config.validate.as_ref().map(|v| (v.frames, &v.properties));
        let crystals = asked.iter().flat_map(|a| a.1).flat_map(|p| &p.crystals);
        let files = (config.explore.iter().map(|s| &s.start).chain(crystals))
            .flat_map(|s| s.files())
            .map(|file| hash_file(&campaign.base.join(file)))
            .collect::<Result<Vec<_>>>()?;
        let inputs = (
            hash_file(&context.campaign.final_folder().join("nep.txt"))?,
            hash_file(&context.campaign.final_folder().join("active_set.asi"))?,
            hash_file(&context.path("explore.json"))?,
            asked,
            &config.explore,
            &config.grade,
            (config.select.whole_cell_atoms, config.select.fragment_atoms),
            &config.fragments,
            (config.seed, files, &config.model.dftd3),
            campaign.baseline_digest()?,
        );
        Ok(hash_json(&inputs))
    }

    fn labels_from(&self, _round: usize) -> Option<usize> {
        None
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let Some(settings) = &campaign.config.validate else {
            return Ok(Vec::new());
        };
        let folder = context.campaign.final_folder();
        let mut outputs = vec![ASKED];
        let mut frames = Vec::new();
        if settings.frames > 0 {
            let (drawn, runs) = held_out::draw(context, settings.frames, observer)?;
            frames = drawn;
            write_json(&folder.join("drawn.json"), &runs)?;
            outputs.push("drawn.json");
        }
        if let Some(properties) = &settings.properties {
            let mut model = campaign.potential(&folder.join("nep.txt"))?;
            let (planned, cells, lost) = properties::plan(campaign, properties, &mut *model)?;
            lost.into_iter()
                .for_each(|line| observer.event(Event::Warning(line)));
            frames.extend(cells);
            write_json(&folder.join("properties.json"), &planned)?;
            outputs.push("properties.json");
        }
        xyz::write_frames(folder.join(ASKED), &frames)?;
        Ok(outputs
            .into_iter()
            .map(|name| format!("final/{name}"))
            .collect())
    }
}

impl Step for LabelDrawn {
    fn name(&self) -> &'static str {
        "label-drawn"
    }

    fn is_due(&self, context: &Context<'_>) -> Result<bool> {
        Ok(is_due(context.campaign))
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let asked = hash_file(&context.campaign.final_folder().join(ASKED))?;
        let settings = context.campaign.labeller()?.settings();
        let baseline = context.campaign.baseline_digest()?;
        Ok(hash_json(&(
            asked,
            hash_bytes(settings.as_bytes()),
            baseline,
        )))
    }

    fn labels_from(&self, _round: usize) -> Option<usize> {
        None
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let folder = context.campaign.final_folder();
        let runner = campaign.label_runner(None, "running")?;
        let batch = Batch::new(xyz::read_frames(folder.join(ASKED))?, &runner);
        let mut outcomes =
            batch.label(campaign, &runner, &BTreeSet::new(), context.once, observer)?;
        let mut record = LabelRecord::default();
        let labelled = batch.labelled(campaign, &mut outcomes, &mut record, observer)?;
        let mut labelled: Vec<_> = labelled.into_iter().flatten().collect();
        campaign.note_baseline(&mut labelled)?;
        xyz::write_frames(folder.join("labelled.xyz"), &labelled)?;
        // Looked up by now, labels cost nothing, but they have cost.
        let before: Option<LabelRecord> = read_if_there(folder.join("labels.json"))?;
        let same = before.filter(|b| b.requested == record.requested);
        record.seconds = record.seconds.max(same.map_or(0.0, |b| b.seconds));
        record.cores = campaign.label_cores()?;
        write_json(&folder.join("labels.json"), &record)?;
        Ok(["labelled.xyz", "labels.json"]
            .map(|name| format!("final/{name}"))
            .into())
    }

    fn clear(&self, context: &Context<'_>) -> Result<()> {
        let campaign = context.campaign;
        forget_attempts(campaign, &campaign.label_runner(None, "running")?)
    }
}
