//! The command line: what can be said, and its help.

use clap::{Args, Parser, Subcommand, ValueEnum};
use nepal::Element;
use nepal::campaign::Method;
use nepal::campaign::import::Project;
use nepal::fragment::Mode;
use nepal::label::Limits;
use std::path::PathBuf;

/// Active learning for neuroevolution potentials: explore, select, carve, label, retrain, repeat
/// until nothing extrapolates, and report.
#[derive(Debug, Parser)]
#[command(name = "nepal-loop", version, max_term_width = 100)]
pub struct Cli {
    /// How results and progress are told.
    #[arg(long, value_enum, default_value_t = OutputMode::Cli, global = true)]
    pub output_mode: OutputMode,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results and progress are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputMode {
    /// Text for people; progress bars on a terminal.
    Cli,
    /// One JSON object a line, each with its schema number.
    Json,
    /// Results only through files and the exit status.
    Quiet,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented campaign file to start from.
    #[command(
        after_help = "On a terminal, what the flags do not say is asked.\n\nExample:\n  nepal-loop init --elements Si --prototype diamond --lattice 5.43 --label stillinger-weber silicon.toml"
    )]
    Init(InitArgs),
    /// Run a campaign, or continue one that was stopped or killed.
    #[command(
        after_help = "Run the same command again after a crash: finished steps are not repeated and no label is computed twice.\n\nExample:\n  nepal-loop run examples/silicon/campaign.toml"
    )]
    Run(CampaignArgs),
    /// Take a campaign one pass further and return: collect finished jobs, submit what is due.
    #[command(
        after_help = "For cron, or wherever no program may stay: nothing is waited for. The exit status is 0 when the campaign is finished, 75 while jobs are out (step again later), 1 for an error, 130 after Ctrl-C. Training and exploration run inside the pass.\n\nExample (crontab):\n  */5 * * * * cd $HOME/na && nepal-loop step campaign.toml"
    )]
    Step(CampaignArgs),
    /// Tell how far a campaign is: round, step, labels, errors, stop rules, labels and time to go.
    #[command(
        after_help = "Reads only, and may run beside the campaign. With --output-mode json one object is printed each time.\n\nExample:\n  nepal-loop status campaign.toml --watch=2"
    )]
    Status(StatusArgs),
    /// Evaluate a model on structures.
    #[command(
        after_help = "The output is extended XYZ with energy (eV) and virial (eV, 9 numbers) in the comment line, the columns forces (eV/Å) and energies (eV), with an active set gamma and rho, and with a posterior force_std (eV/Å) and energy_std (eV), the total energy's in the comment line.\n\nExample:\n  nepal-loop predict --model nep.txt --structures in.xyz --out out.xyz --active-set set.asi"
    )]
    Predict(PredictArgs),
    /// Build the active set that grades need, from training structures.
    #[command(
        after_help = "The default is nepal's two-part grade (γ in the reduced subspace, ρ outside it). --compat writes the public .asi format, which GPUMD reads; it calls directions never seen in training safe.\n\nExample:\n  nepal-loop active-set --model nep.txt --structures train.xyz --out set.asi"
    )]
    ActiveSet(ActiveSetArgs),
    /// Choose the structures that teach a model most.
    #[command(
        after_help = "Example:\n  nepal-loop select --model nep.txt --active-set set.asi --structures dump.xyz --out chosen.xyz --max 20"
    )]
    Select(SelectArgs),
    /// Cut small periodic fragments around atoms that leave known ground.
    #[command(
        after_help = "Each fragment is a frame with the columns core (1: stands where it stands in the parent), mask (weight of the force in training), parent_id, grade and grade_carved, and the keys parent_frame, parent_atom, parent_hash, step, target, target_grade, target_grade_after, grade_before and grade_after (largest grade of a movable atom as cut and in the end) and fragment_... for settings and verification. Frames and atoms are counted from 0.\n\nExample:\n  nepal-loop fragment --model nep.txt --active-set set.asi --structures dump.xyz --out fragments.xyz --threshold 2 --mode exact --seed 1"
    )]
    Fragment(FragmentArgs),
    /// Label structures with a reference method.
    #[command(
        after_help = "The reference method is the [label] table of a campaign file.\n\nExample:\n  nepal-loop label --config campaign.toml --structures in.xyz --out labelled.xyz"
    )]
    Label(LabelArgs),
    /// Train a model.
    #[command(
        after_help = "nep.in is GPUMD's input file of `nep`. Training is by gradients; keywords of the evolution strategy are accepted and said to be ignored. With prediction 1 in it, the model of --init (nep.txt beside nep.in) is evaluated and not trained. Frames that look wrong stop the training unless nep.in says bad_data drop or keep; energy_reference fit or atoms takes the elements' energies off first and puts them into the model.\n\nExample:\n  nepal-loop train --config nep.in --train train.xyz --test test.xyz --budget 5 --out nep.txt"
    )]
    Train(TrainArgs),
    /// Tell how errors fall with more data, as a power law.
    #[command(
        after_help = "Trains on nested parts of the data (1/8, 1/4, 1/2 and all) with several seeds, measures on whole trajectories held out, and fits error = a N^-b + c. Writes a table, a plot (.svg) and the numbers (.json) beside --out.\n\nExample:\n  nepal-loop learning-curve --config nep.in --train train.xyz --seeds 3 --budget 60 --out curve.json"
    )]
    LearningCurve(LearningCurveArgs),
    /// Search cutoffs, descriptor sizes and neurons for the best error at each cost.
    #[command(
        after_help = "Starts with random settings around those of nep.in and halves their number again and again, training the survivors longer; no setting that is best at its cost is dropped. Cost is measured, in µs per atom and evaluation. Writes a table, a plot (.svg) and the numbers (.json) beside --out, which is the nep.in of the best.\n\nExample:\n  nepal-loop search --config nep.in --train train.xyz --budget 60 --out best.in"
    )]
    Search(SearchArgs),
    /// Tell how far grades, posterior and committee can be trusted for a model and its data.
    #[command(
        after_help = "Compares the compatibility γ, the two-part grade, the last layer's posterior and a committee with the force errors of the dump (if it is labelled) and with planted novelty. Writes a page (--out) and the numbers (--json).\n\nExample:\n  nepal-loop audit --model nep.txt --train train.xyz --dump test.xyz --members 4 --minutes 1 --out audit.html"
    )]
    Audit(AuditArgs),
    /// Run molecular dynamics with a model and keep what it does not know.
    #[command(
        after_help = "Example:\n  nepal-loop explore --model nep.txt --active-set set.asi --structure start.xyz --ensemble npt --temperature 300 1500 --steps 20000 --out candidates.xyz"
    )]
    Explore(ExploreArgs),
    /// Write the report of a campaign, as far as it is.
    Report(CampaignArgs),
    /// Take over labels and model from a nep_maker or DP-GEN project, or from extended XYZ.
    #[command(
        after_help = "Writes a folder with train.xyz (labels that keep the limits), refused.xyz (the others, each with its reason), nep.txt if the project has a model, and a campaign file to go on with. The project is only read.\n\nExample:\n  nepal-loop import my_nep_maker_project --out mine --label vasp"
    )]
    Import(ImportArgs),
    /// Write all labels of a campaign into one extended XYZ file, each with where it comes from.
    #[command(
        after_help = "The comment lines have set (train or test), round, labeller, settings_hash, label_key, and for explored structures scenario, step, temperature, target_grade and form. The column mask is the weight of each atom's force; programs that know no such weights train on atoms that a fragment's boundary has moved.\n\nExample:\n  nepal-loop export campaign.toml --out all.xyz"
    )]
    Export(ExportArgs),
    /// Tell what this machine has: processor, GPU, LAMMPS, CP2K, Slurm, and so on.
    #[command(
        after_help = "With a campaign file it also asks the campaign's scheduler, behind its wrapper, and fails if there is no answer."
    )]
    Doctor(DoctorArgs),
}

/// A campaign file.
#[derive(Debug, Args)]
pub struct CampaignArgs {
    /// Campaign file (TOML).
    pub campaign: PathBuf,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Campaign file (TOML).
    pub campaign: PathBuf,
    /// Tell it again every so many seconds until the campaign ends: a live view on a terminal.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = watch_interval, value_name = "SECONDS")]
    pub watch: Option<f64>,
}

/// Seconds between two looks.
fn watch_interval(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds".to_owned())?;
    if (0.1..=86400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("expected between 0.1 and 86400 seconds".into())
    }
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Campaign file (TOML) whose scheduler to ask.
    pub campaign: Option<PathBuf>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// File to write; must not exist.
    pub campaign: PathBuf,
    /// Element symbols.
    #[arg(long, num_args = 1..)]
    pub elements: Vec<String>,
    /// Crystal to start from: diamond, bcc, fcc, sc, rocksalt or cscl.
    #[arg(long, conflicts_with = "structure")]
    pub prototype: Option<String>,
    /// Lattice constant in Å.
    #[arg(long)]
    pub lattice: Option<f64>,
    /// Structure to start from instead of a crystal: the first frame of an extended XYZ file; its
    /// elements are those of the campaign unless --elements says more.
    #[arg(long)]
    pub structure: Option<PathBuf>,
    /// Reference method: stillinger-weber, cp2k, qe, vasp, abinit, ase, lammps, nep or command.
    #[arg(long)]
    pub label: Option<String>,
    /// Where labels run: local, slurm, pbs or lsf; local where nothing is said or asked.
    #[arg(long, value_parser = ["local", "slurm", "pbs", "lsf"])]
    pub scheduler: Option<String>,
    /// Highest temperature to explore, K.
    #[arg(long, default_value_t = 1000.0)]
    pub temperature: f64,
    /// Radial and angular cutoff of the model, Å.
    #[arg(long, num_args = 2, default_values_t = [6.0, 5.0])]
    pub cutoff: Vec<f64>,
    /// What the first data hold besides strained small cells: rattle, vacancies, interstitials,
    /// antisites, slabs, packing, atoms, dimers, trimers, melts (these need --melt-potential).
    #[arg(long, value_delimiter = ',', default_value = "rattle,vacancies")]
    pub with: Vec<String>,
    /// A NEP that survives melting, such as a foundation model.
    #[arg(long)]
    pub melt_potential: Option<PathBuf>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Folder of the project, or an extended XYZ file.
    pub project: PathBuf,
    /// What made it: nep-maker, dp-gen or xyz; without it, told by its files.
    #[arg(long)]
    pub from: Option<Project>,
    /// Model to go on from, instead of the project's newest.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Folder to write; must not exist.
    #[arg(long)]
    pub out: PathBuf,
    /// Reference method of the campaign file: stillinger-weber, cp2k, qe, vasp, abinit, ase, lammps,
    /// nep or command.
    #[arg(long, default_value = "vasp")]
    pub label: String,
    /// Largest force of a label that is taken over, eV/Å.
    #[arg(long, default_value_t = Limits::default().max_force)]
    pub max_force: f64,
    /// Largest net force of a label that is taken over, by atom, eV/Å.
    #[arg(long, default_value_t = Limits::default().max_net_force)]
    pub max_net_force: f64,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Campaign file (TOML).
    pub campaign: PathBuf,
    /// Output file (extended XYZ).
    #[arg(long)]
    pub out: PathBuf,
}

/// A model on a backend.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model file (nep.txt).
    #[arg(long)]
    pub model: PathBuf,
    /// Where to compute.
    #[arg(long, value_parser = ["reference", "cpu", "cuda"], default_value = "cpu")]
    pub backend: String,
    /// Precision of the pair work.
    #[arg(long, value_parser = ["f64", "mixed"], default_value = "f64")]
    pub precision: String,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Model file (nep.txt).
    #[arg(long)]
    pub model: PathBuf,
    /// Training set (extended XYZ).
    #[arg(long)]
    pub train: PathBuf,
    /// Structures to judge by, labelled or not (extended XYZ).
    #[arg(long)]
    pub dump: PathBuf,
    /// Models of the committee.
    #[arg(long, num_args = 1.., conflicts_with = "members")]
    pub committee: Vec<PathBuf>,
    /// Models to train for the committee; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub members: usize,
    /// Minutes of training for each of them.
    #[arg(long, default_value_t = 1.0)]
    pub minutes: f64,
    /// Page to write (HTML).
    #[arg(long)]
    pub out: PathBuf,
    /// File for the numbers (JSON).
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// File for the tables (Markdown).
    #[arg(long)]
    pub markdown: Option<PathBuf>,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Structures (extended XYZ).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file (extended XYZ).
    #[arg(long)]
    pub out: PathBuf,
    /// Active set, for grades: nepal's own format or a public .asi file.
    #[arg(long)]
    pub active_set: Option<PathBuf>,
    /// Posterior of this model, for deviations.
    #[arg(long)]
    pub posterior: Option<PathBuf>,
    /// Side file of a model that was trained on what a baseline misses: adds the baseline.
    #[arg(long)]
    pub add_baseline: Option<PathBuf>,
}

/// Arguments of `active-set`.
#[derive(Debug, Args)]
pub struct ActiveSetArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Training structures (extended XYZ).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file.
    #[arg(long)]
    pub out: PathBuf,
    /// Write the public .asi format instead of the two-part grade.
    #[arg(long)]
    pub compat: bool,
}

/// Arguments of `select`.
#[derive(Debug, Args)]
pub struct SelectArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Active set.
    #[arg(long)]
    pub active_set: PathBuf,
    /// Candidate structures (extended XYZ).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file: the chosen structures, best first.
    #[arg(long)]
    pub out: PathBuf,
    /// Most structures to choose.
    #[arg(long, default_value_t = 20)]
    pub max: usize,
    /// Smallest grade worth a label.
    #[arg(long, default_value_t = 1.0)]
    pub threshold: f64,
    /// How candidates are ranked: d-optimal (gain of all novel environments per cost of the label),
    /// grade (largest first), maxvol, farthest-point, random or almomd (uncertain and energetically
    /// viable).
    #[arg(long, default_value = "d-optimal")]
    pub method: Method,
    /// A label costs the number of atoms to this power.
    #[arg(long)]
    pub cost_exponent: Option<f64>,
    /// Environments that differ by less than this part count as one.
    #[arg(long, default_value_t = 0.1)]
    pub duplicate: f64,
    /// Frames whose grades and energies say what is usual, for almomd (extended XYZ).
    #[arg(long)]
    pub reference: Option<PathBuf>,
    /// Seed of the methods that draw.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Arguments of `fragment`.
#[derive(Debug, Args)]
pub struct FragmentArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Active set.
    #[arg(long)]
    pub active_set: PathBuf,
    /// Parent structures (extended XYZ).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file (extended XYZ).
    #[arg(long)]
    pub out: PathBuf,
    /// Cut around this atom of each frame, counted from 0, whatever its grade; without it around
    /// the atoms above the threshold.
    #[arg(long)]
    pub atom: Option<usize>,
    /// Smallest grade worth a fragment.
    #[arg(long, default_value_t = 2.0)]
    pub threshold: f64,
    /// How much of what the target sees is kept: exact (all), angular (what the angular descriptors
    /// see and 0.5 Å more), tolerant (0.7 of the cutoff); the latter two give smaller cells whose
    /// target's grade may be off by the tolerance.
    #[arg(long, default_value = "exact")]
    pub mode: Mode,
    /// Change of the target's grade that the mode tolerant allows, relative.
    #[arg(long, default_value_t = Mode::TOLERANCE)]
    pub tolerance: f64,
    /// Seed of everything random: the same input gives the same fragments.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Most atoms of a fragment.
    #[arg(long, default_value_t = 300)]
    pub max_atoms: usize,
    /// Most atoms tried in one frame.
    #[arg(long, default_value_t = 16)]
    pub max_per_frame: usize,
    /// Formal charges, such as Na=1 Cl=-1: fragments are then neutral.
    #[arg(long, num_args = 1.., value_parser = charge)]
    pub charges: Vec<(Element, f64)>,
    /// Keep or drop molecules as a whole.
    #[arg(long)]
    pub keep_molecules: bool,
    /// Training structures (extended XYZ), whose smallest distances say what is too close; without
    /// them the parent and covalent radii do.
    #[arg(long)]
    pub training: Option<PathBuf>,
    /// Cut and verify only; do not relax or optimise the boundary.
    #[arg(long)]
    pub no_optimise: bool,
}

/// An element and its formal charge, `Na=1`.
fn charge(text: &str) -> Result<(Element, f64), String> {
    let parts = text.split_once('=').and_then(|(symbol, charge)| {
        let element = Element::from_symbol(symbol).ok()?;
        Some((
            element,
            charge.parse::<f64>().ok().filter(|q| q.is_finite())?,
        ))
    });
    parts.ok_or_else(|| "expected an element and its charge in e, such as Na=1".to_owned())
}

/// Arguments of `label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Campaign file whose [label] table to use.
    #[arg(long)]
    pub config: PathBuf,
    /// Structures to label (extended XYZ).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file: the accepted labels.
    #[arg(long)]
    pub out: PathBuf,
    /// Directory of the label cache; by default the campaign's own.
    #[arg(long)]
    pub cache: Option<PathBuf>,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Settings (nep.in).
    #[arg(long)]
    pub config: PathBuf,
    /// Training set (extended XYZ).
    #[arg(long)]
    pub train: PathBuf,
    /// Test set (extended XYZ).
    #[arg(long)]
    pub test: Option<PathBuf>,
    /// Hold out this share of the training set as test set, by whole trajectories.
    #[arg(long, conflicts_with = "test")]
    pub hold_out: Option<f64>,
    /// Key of the comment lines that names the trajectory; by default the first of trajectory,
    /// trajectory_id, source, parent_id and parent_hash that all frames have, else stretches of the
    /// file.
    #[arg(long, requires = "hold_out")]
    pub split_by: Option<String>,
    /// Model to start from: a nep.txt, or a nep.restart of the same settings and training set.
    #[arg(long)]
    pub init: Option<PathBuf>,
    /// What to take off the labels first, so that the model learns the rest: "keys" or
    /// "keys:PREFIX" (the frames bring PREFIXenergy, PREFIXforces, PREFIXvirial; baseline_ by
    /// default), a nep.txt, or a .toml file with the keys of a campaign's [label] table.
    #[arg(long)]
    pub baseline: Option<String>,
    /// File for the posterior of the output layer, which gives deviations to `predict`.
    #[arg(long)]
    pub posterior: Option<PathBuf>,
    /// Draw this many models from the posterior: nep_1.txt, nep_2.txt and so on beside the model.
    #[arg(long, default_value_t = 0)]
    pub committee: usize,
    /// Give free atoms exactly the energies of the training frames with one atom.
    #[arg(long)]
    pub pin_free_atoms: bool,
    /// Most labels in the list of outliers.
    #[arg(long, default_value_t = 50)]
    pub outliers: usize,
    /// Who trains: nepal, or GPUMD's program, which must be there.
    #[arg(long, value_parser = ["nepal", "gpumd"], default_value = "nepal")]
    pub trainer: String,
    /// GPUMD's program, with what stands before it.
    #[arg(long, num_args = 1.., default_value = "nep", allow_hyphen_values = true)]
    pub program: Vec<String>,
    /// Folder in which GPUMD's program works; by default gpumd beside the output file.
    #[arg(long)]
    pub work: Option<PathBuf>,
    /// Minutes of wall-clock time.
    #[arg(long)]
    pub budget: Option<f64>,
    /// Passes over the training set; the run is then reproducible.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Threads; by default all.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Seed of the initial parameters and the order of batches.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Output file (nep.txt); nep.restart, loss.out, the *_train.out files, outliers.txt and
    /// outliers.xyz go beside it, and a side file with the ending .json that tells how it was made.
    #[arg(long)]
    pub out: PathBuf,
}

/// Arguments of `learning-curve`.
#[derive(Debug, Args)]
pub struct LearningCurveArgs {
    #[command(flatten)]
    pub data: StudyArgs,
    /// Parts of the training set.
    #[arg(long, num_args = 1.., default_values_t = [0.125, 0.25, 0.5, 1.0])]
    pub fractions: Vec<f64>,
    /// Trainings on each part, with other seeds and other frames.
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Output file for the numbers (JSON); the plot goes beside it.
    #[arg(long)]
    pub out: PathBuf,
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    #[command(flatten)]
    pub data: StudyArgs,
    /// Settings to start with; by default as many as the budget allows.
    #[arg(long)]
    pub candidates: Option<usize>,
    /// Output file: the settings of the best (nep.in); plot and numbers go beside it.
    #[arg(long)]
    pub out: PathBuf,
}

/// Data and effort of a study of many trainings.
#[derive(Debug, Args)]
pub struct StudyArgs {
    /// Settings (nep.in).
    #[arg(long)]
    pub config: PathBuf,
    /// Labelled structures (extended XYZ).
    #[arg(long)]
    pub train: PathBuf,
    /// Structures to measure errors on; by default a share of the others.
    #[arg(long)]
    pub test: Option<PathBuf>,
    /// Share to hold out where there is no test set, by whole trajectories.
    #[arg(long, default_value_t = 0.2)]
    pub hold_out: f64,
    /// Key of the comment lines that names the trajectory.
    #[arg(long)]
    pub split_by: Option<String>,
    /// Minutes of wall-clock time for everything.
    #[arg(long, default_value_t = 30.0)]
    pub budget: f64,
    /// Threads; by default all.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Active set.
    #[arg(long)]
    pub active_set: PathBuf,
    /// Start structure: the first frame of an extended XYZ file.
    #[arg(long)]
    pub structure: PathBuf,
    /// Output file: what was kept, with its grades.
    #[arg(long)]
    pub out: PathBuf,
    /// nve, langevin, svr or npt.
    #[arg(long, value_parser = ["nve", "langevin", "svr", "npt"], default_value = "svr")]
    pub ensemble: String,
    /// Start and end temperature, K.
    #[arg(long, num_args = 2, required = true)]
    pub temperature: Vec<f64>,
    /// Start and end pressure, GPa.
    #[arg(long, num_args = 2, default_values_t = [0.0, 0.0], allow_negative_numbers = true)]
    pub pressure: Vec<f64>,
    /// Time step, ps.
    #[arg(long, default_value_t = 0.001)]
    pub timestep: f64,
    /// Number of steps.
    #[arg(long)]
    pub steps: usize,
    /// Steps between two evaluations of the grade.
    #[arg(long, default_value_t = 10)]
    pub every: usize,
    /// Keep environments above this grade.
    #[arg(long, default_value_t = 2.0)]
    pub save: f64,
    /// Above this grade go back to the last safe frame.
    #[arg(long = "break", default_value_t = 10.0)]
    pub break_: f64,
    /// Seed of velocities and thermostat.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_argument_has_help() {
        let command = Cli::command().help_expected(true);
        command.debug_assert();
    }
}
