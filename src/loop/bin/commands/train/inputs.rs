//! What a training starts from: frames, the part held out, the baseline, the first model.

use crate::cli::TrainArgs;
use crate::commands::{read_labelled, stop_flag};
use crate::output::Output;
use nepal::{Frame, Model, Result};
use nepal_loop::campaign::Event;
use nepal_loop::label::StopFlag;
use nepal_loop::label::baseline::Baseline;
use nepal_train::{NepIn, Restart, split};

/// Everything read, split and with the baseline taken off.
pub struct Inputs {
    pub train: Vec<Frame>,
    pub test: Vec<Frame>,
    /// What the test set was held out by.
    pub split: Option<String>,
    pub baseline: Option<Baseline>,
    pub init: Option<Model>,
}

impl Inputs {
    pub fn read(args: &TrainArgs, config: &NepIn, output: &mut dyn Output) -> Result<Self> {
        let mut train = read_labelled(&args.train, &args.labels, output)?;
        let mut test = match &args.test {
            Some(path) => read_labelled(path, &args.labels, output)?,
            None => Vec::new(),
        };
        let mut by = None;
        if let Some(share) = args.hold_out {
            let seed = config.seed.unwrap_or(args.seed);
            let split = split::split(&train, args.split_by.as_deref(), share, seed)?;
            test = split::pick(&train, &split.test);
            train = split::pick(&train, &split.train);
            output.event(Event::Info(format!(
                "{} frames to train on, {} held out by {}",
                train.len(),
                test.len(),
                split.by
            )));
            by = Some(split.by);
        }
        let stop = StopFlag::from(stop_flag());
        let mut baseline = args
            .baseline
            .as_ref()
            .map(|spec| Baseline::new(spec, &stop))
            .transpose()?;
        if let Some(baseline) = &mut baseline {
            let dropped = baseline.subtract(&mut train)? + baseline.subtract(&mut test)?;
            if dropped > 0 {
                output.event(Event::Warning(format!(
                    "the baseline has no virial for {dropped} frame(s): theirs are not used"
                )));
            }
        }
        let init = match args.init.as_ref().or(config.fine_tune.as_ref()) {
            Some(path) if path.extension().is_some_and(|e| e == "restart") => {
                Some(Restart::load(path)?.model(config, &train)?)
            }
            Some(path) => Some(part_for(Model::load(path)?, config)?),
            None => None,
        };
        Ok(Self {
            train,
            test,
            split: by,
            baseline,
            init,
        })
    }
}

/// A model, or of a model of more elements the part that the settings name.
fn part_for(model: Model, config: &NepIn) -> Result<Model> {
    if config.elements.len() < model.elements().len() {
        model.restricted_to(&config.elements)
    } else {
        Ok(model)
    }
}
