//! The campaign's TOML file.

mod check;
mod composition;
mod fragments;
mod limits;
mod scenario;
mod source;

pub use composition::Composition;
pub use fragments::{FragmentConfig, FragmentMode};
pub use scenario::{Rung, Scenario, Stage};
pub use source::{Harmonic, Melt, Slab, Source};

use super::selection::{EnergyRule, Method};
use super::stop::Rule;
use crate::label::{LabellerConfig, Limits};
use crate::schedule::SchedulerConfig;
use nepal::error::{Error, Result};
use nepal_train::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything a campaign needs to know: one TOML file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Title of the report.
    pub title: String,
    /// Where journal, labels, models and the report go; relative to the TOML file.
    #[serde(default = "default_directory")]
    pub directory: PathBuf,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// Threads for training and exploration; 0 takes all of the machine. Results do not depend on it.
    #[serde(default)]
    pub threads: usize,
    /// The model and how it is trained.
    pub model: ModelConfig,
    /// The reference method.
    pub label: LabelSection,
    /// Structures of the first training set.
    pub initial: Vec<Source>,
    /// Structures of the fixed test set, which selection never sees.
    #[serde(default)]
    pub test: Vec<Source>,
    /// Grades and their thresholds.
    #[serde(default)]
    pub grade: GradeConfig,
    /// Exploration scenarios.
    pub explore: Vec<Scenario>,
    /// What is labelled of what exploration finds.
    #[serde(default)]
    pub select: SelectConfig,
    /// How fragments are cut.
    #[serde(default, skip_serializing_if = "FragmentConfig::is_default")]
    pub fragments: FragmentConfig,
    /// Where labelling programs run.
    #[serde(default)]
    pub scheduler: SchedulerConfig,
    /// When the campaign ends.
    #[serde(default)]
    pub stop: StopConfig,
    /// What it may spend.
    #[serde(default)]
    pub budget: BudgetConfig,
    /// Comparison of the final model with the reference method.
    #[serde(default)]
    pub validate: Option<ValidateConfig>,
}

/// The model and its training.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Text of `nep.in`: elements, cutoffs, sizes, weights.
    pub nep_in: String,
    /// Model that the first training starts from, instead of from scratch; relative to the TOML file. Its
    /// header must be what `nep_in` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// DFT-D3(BJ) on top of the model in all dynamics, for labels without dispersion: functional and cutoffs (Å) of pairs
    /// and of the coordination number, such as `"pbe,12,6"`. The model is trained on the labels as they are, and all
    /// comparisons with labels leave the dispersion out on both sides. Labels that have dispersion need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dftd3: Option<String>,
    /// What is taken off the labels before training, so that the model learns the rest: a `nep.txt`, or a `.toml`
    /// file with the keys of a `[label]` table; relative to the campaign file. Exploration goes by the sum of both, and
    /// so must whoever uses the model. A repulsion needs none: `zbl` in `nep_in` is part of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Epochs of the first training.
    pub first_epochs: usize,
    /// Epochs of each later training, from the previous model.
    pub epochs: usize,
    /// Epochs of the last training, on all labels.
    #[serde(default)]
    pub final_epochs: Option<usize>,
    /// What starts several processes that train together, in words before the program: `"mpirun -n 4"`, or in an
    /// allocation of Slurm `"srun -n 4"`; each has its share of the data, and the model does not depend on their number.
    /// In this process unless given.
    #[serde(
        default,
        deserialize_with = "crate::words::words",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub launch: Vec<String>,
    /// Models of the committee that a scenario with `signal = "committee"` goes by, the campaign's own among them: the others
    /// have the same labels, settings and epochs, and other seeds. Trained in each round where there is such a scenario.
    #[serde(default = "four", skip_serializing_if = "is_four")]
    pub committee: usize,
    /// Where training computes: `"auto"` (a CUDA device if there is one and the training set is large
    /// enough), `"none"` (the processor; bit-equal across machines) or `"0"`, `"1"`, ... for a device.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub device: Device,
}

fn four() -> usize {
    4
}

fn is_four(members: &usize) -> bool {
    *members == four()
}

fn is_auto(device: &Device) -> bool {
    *device == Device::Auto
}

/// The reference method: its own settings, and how it is used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabelSection {
    /// Labels computed at once on this machine.
    #[serde(default = "one")]
    pub parallel: usize,
    /// Folder of the label cache, relative to the TOML file; `labels` in the campaign's own directory
    /// unless given. Campaigns that name the same folder share their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// What a label must satisfy.
    #[serde(default)]
    pub limits: Limits,
    /// Largest share of a scenario's labels in a round that may be rejected (0.1, and never fewer than
    /// three): above it the scenario is paused and the others go on, and the campaign stops where none is
    /// left, since something is then wrong with the method rather than with structures.
    #[serde(default = "tenth")]
    pub max_rejected: f64,
    /// Hours after which the control structure is labelled again before other labels are computed, to
    /// see that the method still gives what it gave (24); 0 for each start, negative for never.
    #[serde(default = "day")]
    pub control_hours: f64,
    /// `kind` and the settings of that kind.
    #[serde(flatten)]
    pub method: LabellerConfig,
}

/// Grades and their thresholds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GradeConfig {
    /// Environments above this grade are kept for labelling.
    pub save: f64,
    /// Above this grade the run goes back to its last safe frame.
    #[serde(rename = "break")]
    pub break_: f64,
    /// Steps between two evaluations of the grade.
    pub every: usize,
    /// Steps between two kept environments of one run.
    pub spacing: usize,
    /// Whether what a run keeps enters its own active set at once, so that it keeps less of one kind: fewer labels in a
    /// round, and a campaign that ends earlier with larger errors.
    pub learn: bool,
    /// After this many breaks a scenario ends for the round.
    pub max_breaks: usize,
}

/// What is labelled of what exploration finds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectConfig {
    /// Most structures labelled in a round.
    pub max_structures: usize,
    /// Cells up to this many atoms are labelled whole; fragments are cut from larger ones.
    pub whole_cell_atoms: usize,
    /// Most atoms of a fragment.
    pub fragment_atoms: usize,
    /// How candidates are ranked.
    pub method: Method,
    /// A label costs the number of atoms to this power; 1 for potentials and 2 for electronic
    /// structure unless given.
    pub cost_exponent: Option<f64>,
    /// Environments that differ by less than this part count as one.
    pub duplicate: f64,
    /// Most fragments cut from one large cell.
    pub targets_per_frame: usize,
    /// Whether each scenario with candidates gets one label before the others go by rank.
    pub anchors: bool,
    /// How the method `almomd` judges energies.
    pub energy_rule: EnergyRule,
}

/// When the campaign ends: with its goal, or a budget. All rules are judged and reported after every
/// round; `goal` names those that must hold together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopConfig {
    /// The rules that end the campaign when all of them hold: `clean`, `canary`, `uncertainty`,
    /// `learning-curve`, `properties`.
    pub goal: Vec<Rule>,
    /// `clean`: rounds in a row in which no complete run left known ground.
    pub clean_rounds: usize,
    /// `canary`: largest force RMSE of new labels before training on them, eV/Å.
    pub canary_force: Option<f64>,
    /// `canary`: rounds in a row.
    pub canary_rounds: usize,
    /// `uncertainty`: largest calibrated standard deviation of a force, eV/Å.
    pub force_std: Option<f64>,
    /// `learning-curve`: the part of the force error below which doubling the labels is not worth it.
    pub learning_gain: f64,
    /// `properties`: the cubic crystal whose lattice and elastic constants must settle.
    pub crystal: Option<Source>,
    /// `properties`: largest relative change.
    pub property_tolerance: f64,
    /// `properties`: over so many rounds.
    pub property_rounds: usize,
    /// Most rounds of exploration.
    pub max_rounds: usize,
    /// Most labels, test set included.
    pub max_labels: usize,
}

/// What a campaign may spend on labels. It ends with a clear line when that is spent; rounds ask for no
/// more than what is left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Core hours of the reference method: measured seconds times the cores that a label takes.
    pub core_hours: Option<f64>,
    /// Money, in `currency`.
    pub money: Option<f64>,
    /// Price of a core hour.
    pub price: f64,
    /// Name of the currency.
    pub currency: String,
}

/// Comparison of the final model with the reference method.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateConfig {
    /// Held-out frames of each scenario: when the campaign ends, a run of its own of each scenario of dynamics, with the
    /// final model at the scenario's conditions and nothing to guide it, leaves so many frames. They are labelled and
    /// never trained on; their errors are those that the report begins with.
    #[serde(default, skip_serializing_if = "is_none")]
    pub frames: usize,
    /// Properties of crystals by labels of a few cells; any reference method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<PropertiesConfig>,
    /// The cubic crystal whose lattice and elastic constants are compared, and whose dynamics the reference method runs:
    /// for one that is a potential itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crystal: Option<Source>,
    /// Temperatures (K) of fresh frames from dynamics of the reference method.
    #[serde(default)]
    pub temperatures: Vec<f64>,
    /// Temperature (K) of the liquid whose radial distribution is compared.
    #[serde(default)]
    pub liquid: Option<f64>,
    /// Steps of each of these runs.
    #[serde(default = "default_validation_steps")]
    pub steps: usize,
    /// Metastable states that the model misses or invents; any reference method that runs on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minima: Option<MinimaConfig>,
}

/// Properties of crystals that are compared by labels of strained cells and displaced supercells, around where the final
/// model has the crystal at rest. How many labels that takes, `run --dry-run` tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PropertiesConfig {
    /// The crystals, of any symmetry.
    pub crystals: Vec<Source>,
    /// Volumes of the equation of state, at least five; 0 for none.
    pub volumes: usize,
    /// The largest change of the volume, as a part of it.
    pub volume_range: f64,
    /// Whether all elastic constants are compared.
    pub elastic: bool,
    /// Size of the strains that they come from.
    pub strain: f64,
    /// Supercell whose atoms are displaced for phonons; none unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phonons: Option<[usize; 3]>,
    /// By how much they are displaced, Å.
    pub displacement: f64,
}

impl Default for PropertiesConfig {
    fn default() -> Self {
        Self {
            crystals: Vec::new(),
            volumes: 7,
            volume_range: 0.06,
            elastic: true,
            strain: 0.005,
            phonons: None,
            displacement: 0.02,
        }
    }
}

/// How minima of the model and of the reference method are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MinimaConfig {
    /// Structures that are quenched with the model, of all scenarios together.
    pub frames: usize,
    /// Steps of the model's dynamics of each scenario that they come from.
    pub steps: usize,
    /// Most of them that are quenched with the reference method.
    pub references: usize,
    /// Most evaluations of a quench.
    pub relax_steps: usize,
    /// A minimum of one method is one of the other if no atom moves farther there, Å.
    pub distance: f64,
    /// Further structures: states that are known or suspected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<Source>,
}

impl Default for MinimaConfig {
    fn default() -> Self {
        Self {
            frames: 24,
            steps: 2000,
            references: 24,
            relax_steps: 500,
            distance: 0.3,
            starts: Vec::new(),
        }
    }
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

fn default_validation_steps() -> usize {
    2000
}

fn default_directory() -> PathBuf {
    "work".into()
}

fn tenth() -> f64 {
    0.1
}

fn day() -> f64 {
    24.0
}

fn default_timestep() -> f64 {
    0.001
}

fn one() -> usize {
    1
}

impl Default for GradeConfig {
    fn default() -> Self {
        Self {
            save: 1.5,
            break_: 4.0,
            every: 10,
            spacing: 100,
            learn: false,
            max_breaks: 3,
        }
    }
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self {
            max_structures: 20,
            whole_cell_atoms: 128,
            fragment_atoms: 250,
            method: Method::default(),
            cost_exponent: None,
            duplicate: 0.1,
            targets_per_frame: 1,
            anchors: true,
            energy_rule: EnergyRule::default(),
        }
    }
}

impl Default for StopConfig {
    fn default() -> Self {
        Self {
            goal: vec![Rule::Clean],
            clean_rounds: 1,
            canary_force: None,
            canary_rounds: 2,
            force_std: None,
            learning_gain: 0.05,
            crystal: None,
            property_tolerance: 0.02,
            property_rounds: 2,
            max_rounds: 20,
            max_labels: usize::MAX,
        }
    }
}
