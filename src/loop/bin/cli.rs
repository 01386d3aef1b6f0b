//! The command line: what can be said, and its help.

mod tools;
mod training;

use crate::commands::Strategy;
use clap::{Args, Parser, Subcommand, ValueEnum};
use nepal::Element;
use nepal::fragment::Mode;
use nepal_loop::campaign::Method;
use nepal_loop::campaign::import::Project;
use nepal_loop::label::Limits;
use std::path::PathBuf;
use std::sync::LazyLock;
pub use tools::*;
pub use training::*;

/// What `--version` tells and bug reports want.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let features = if cfg!(feature = "cuda") {
        "cpu, cuda"
    } else {
        "cpu"
    };
    let simd = nepal::simd::instructions().map_or_else(|e| e.to_string(), |(name, _)| name.into());
    format!(
        "{}\ncommit    {}\nfeatures  {features}\nmodels on {simd}",
        env!("CARGO_PKG_VERSION"),
        env!("NEPAL_COMMIT"),
    )
});

/// Active learning for neuroevolution potentials: explore, select, carve, label, retrain, repeat
/// until nothing extrapolates, and report.
#[derive(Debug, Parser)]
#[command(name = "nepal-loop", version, long_version = LONG_VERSION.as_str(), max_term_width = 100)]
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
        after_help = "Run the same command again after a crash: finished steps are not repeated and no label is computed twice. Settings may be changed in between: more threads, a longer budget or a new scenario go on from where the campaign is; a change for which labels would be computed anew or given up is told and refused before anything is touched, and goes on with --accept-changes.\n\nThe exit status is 0 when the goal is reached, 3 when the campaign ended with a budget instead, 4 when its journal (or its ledger of jobs) is spoilt, 1 for other errors, 130 after Ctrl-C.\n\nExample:\n  nepal-loop run examples/silicon/campaign.toml"
    )]
    Run(RunArgs),
    /// Take a campaign one pass further and return: collect finished jobs, submit what is due.
    #[command(
        after_help = "For cron, or wherever no program may stay: nothing is waited for. The exit status is 75 while jobs are out (step again later), and otherwise that of `run`: 0 when the goal is reached, 3 when the campaign ended with a budget instead, 4 when its journal is spoilt, 1 for other errors, 130 after Ctrl-C. Training and the built-in dynamics run inside the pass; labels and runs of LAMMPS and GPUMD are jobs.\n\nWith a table [scheduler.driver] (Slurm) the steps are jobs as well: start it once, and a job that waits for those that are out takes the next step, and so on to the end; what it says is in running/driver.log. `scancel --name nepal-step` stops that.\n\nExample (crontab):\n  */5 * * * * cd $HOME/na && nepal-loop step campaign.toml"
    )]
    Step(RunArgs),
    /// Tell how far a campaign is: round, step, labels, errors, stop rules, labels and time to go.
    #[command(
        after_help = "Reads only, and may run beside the campaign. The exit status is 4 when the journal (or the ledger of jobs) is spoilt. With --output-mode json one object is printed each time.\n\nExample:\n  nepal-loop status campaign.toml --watch=2"
    )]
    Status(StatusArgs),
    /// Evaluate a model on structures.
    #[command(
        after_help = "The output is extended XYZ with energy (eV) and virial (eV, 9 numbers) in the comment line, the columns forces (eV/Å) and energies (eV), with an active set gamma and rho, and with a posterior force_std (σ, eV/Å), force_95 (the bound of 95 %) and energy_std (eV), the total energy's in the comment line. Models with charges give charges and bec (Born effective charges, 9 numbers; e) and take the total charge of the comment line, models of free energies take its temperature (K); models of tensors give dipole with adipole, or pol with apol (9 numbers), in place of energies.\n\nExample:\n  nepal-loop predict --model nep.txt --structures in.xyz --out out.xyz --active-set set.asi"
    )]
    Predict(PredictArgs),
    /// Build the active set that grades need, from training structures.
    #[command(
        after_help = "The default is nepal's ridge grade (γ along known directions, ρ outside them, Γ² = γ² + ρ²). --compat writes the public .asi format, which GPUMD reads; it calls directions never seen in training safe.\n\nExample:\n  nepal-loop active-set --model nep.txt --structures train.xyz --out set.asi"
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
        after_help = "The reference method is the [label] table of a campaign file. With --against one or two structures tell what its settings are worth before a campaign pays for hundreds: no model has smaller errors than its labels.\n\nExamples:\n  nepal-loop label --config campaign.toml --structures in.xyz --out labelled.xyz\n  nepal-loop label --config campaign.toml --structures one.xyz --out one-labelled.xyz --against 'kspacing = 0.15' --against 'cutoff = 600'"
    )]
    Label(LabelArgs),
    /// Train a model.
    #[command(
        after_help = "nep.in is GPUMD's input file of `nep`. Training is by gradients: Adam, then Levenberg-Marquardt (optimizer auto, adam, lm, or snes for GPUMD's evolution strategy); other keywords of that strategy are accepted and said to be ignored. model_type 1 (dipole), 2 (polarizability), 3 (temperature), charge_mode 1, 2, 3, vdw 1 and charge_vdw 1 are trained on the processor, from dipole, pol, temperature or charge in the comment lines and a column bec of Born charges. Own keywords: recipe accurate (a model of small errors; other lines change it), epochs, budget (minutes), seed, learning_rate, early_stop, target_error E F [V], force_loss and energy_loss huber|cauchy D, memory GB (of neighbour geometry kept), freeze descriptors|hidden|output (layers of the model to start from that stay), train_zbl 1 (trains the rows of zbl.in, too), group_weight CONFIG_TYPE W. fine_tune or --init starts from a model, also from one of more elements. With prediction 1 in it, the model of --init (nep.txt beside nep.in) is evaluated and not trained. Frames that look wrong stop the training unless nep.in says bad_data drop or keep; energy_reference fit or atoms takes the elements' energies off first and puts them into the model.\n\nExample:\n  nepal-loop train --config nep.in --train train.xyz --test test.xyz --budget 5 --out nep.txt"
    )]
    Train(TrainArgs),
    /// Tell how errors fall with more data, as a power law.
    #[command(
        after_help = "Trains on nested parts of the data (1/8, 1/4, 1/2 and all) with several seeds, measures on whole trajectories held out, and fits error = a N^-b + c. Each fit goes on until its loss falls by less than 1 % in a fifth of its passes, whatever its size; --budget bounds all of them, and one that it cuts short is marked and counts for no law: a short budget shows the time, not the data. The figure has the errors of the fit (on what was trained on) apart from those on held-out frames: the gap is what data can take. Writes a table, a plot (.svg) and the numbers (.json) beside --out.\n\nExample:\n  nepal-loop learning-curve --config nep.in --train train.xyz --seeds 3 --budget 60 --out curve.json"
    )]
    LearningCurve(LearningCurveArgs),
    /// Search cutoffs, descriptor sizes and neurons for the best error at each cost.
    #[command(
        after_help = "Starts with random settings around those of nep.in and halves their number again and again, training the survivors longer; no setting that is best at its cost is dropped. Cost is measured, in µs per atom and evaluation. Writes a table, a plot (.svg) and the numbers (.json) beside --out, which is the nep.in of the best.\n\nExample:\n  nepal-loop search --config nep.in --train train.xyz --budget 60 --out best.in"
    )]
    Search(SearchArgs),
    /// Tell how far grades, posterior and committee can be trusted for a model and its data.
    #[command(
        after_help = "Compares the compatibility γ, the ridge grade, the last layer's posterior and a committee with the force errors of the dump (if it is labelled) and with planted novelty. Writes a page (--out) and the numbers (--json).\n\nExample:\n  nepal-loop audit --model nep.txt --train train.xyz --dump test.xyz --members 4 --minutes 1 --out audit.html"
    )]
    Audit(AuditArgs),
    /// Run molecular dynamics with a model and keep what it does not know.
    #[command(
        after_help = "Example:\n  nepal-loop explore --model nep.txt --active-set set.asi --structure start.xyz --ensemble npt --temperature 300 1500 --steps 20000 --out candidates.xyz"
    )]
    Explore(ExploreArgs),
    /// Explore scenarios again that were paused because their labels or runs failed.
    #[command(
        after_help = "A scenario is paused when more than max_rejected of its labels in a round, or all of its runs, fail; the others go on, and status and report tell of it. Put right what was wrong, then resume: the next round explores it again; of a campaign that has ended, the last round is explored again with it. No driver may be at work meanwhile.\n\nExample:\n  nepal-loop resume campaign.toml melt && nepal-loop run campaign.toml"
    )]
    Resume(ResumeArgs),
    /// Write the report of a campaign, as far as it is.
    #[command(
        after_help = "Figures are written beside it, each as SVG and PDF with its numbers as CSV; a browser prints the page in a form of its own.\n\nWith --serve the page is had at an address of this machine alone that holds a secret token; from elsewhere: ssh -L PORT:127.0.0.1:PORT host. With --watch it follows the campaign: the page loads itself anew after each step, or without --serve the file is written again until the campaign ends.\n\nExample:\n  nepal-loop report campaign.toml --serve --watch"
    )]
    Report(ReportArgs),
    /// Take over labels and model from a nep_maker or DP-GEN project, DeePMD data, extended XYZ, or outputs of programs.
    #[command(
        after_help = "Writes a folder with train.xyz (labels that keep the limits), refused.xyz (the others, each with its reason), nep.txt if the project has a model, and a campaign file to go on with. The project is only read.\n\nExample:\n  nepal-loop import my_nep_maker_project --out mine --label vasp"
    )]
    Import(ImportArgs),
    /// Write all labels of a campaign into one file, each with where it comes from.
    #[command(
        after_help = "The comment lines have set (train or test), round, labeller, settings_hash, label_key, and for explored structures scenario, step, temperature, target_grade and form. The column mask is the weight of each atom's force; programs that know no such weights train on atoms that a fragment's boundary has moved.\n\nExample:\n  nepal-loop export campaign.toml --out all.xyz"
    )]
    Export(ExportArgs),
    /// Tell what this machine has: processor, GPU, LAMMPS, CP2K, Slurm, and so on.
    #[command(
        after_help = "It ends with a tiny run of each thing that it found: a model is trained and evaluated, programs compute two atoms. Nothing is submitted. With a campaign file it also asks the campaign's scheduler, behind its wrapper, and fails if there is no answer."
    )]
    Doctor(DoctorArgs),
    /// Tell what to cite: for nepal, for the potentials, and for what a campaign uses.
    #[command(after_help = "Example:\n  nepal-loop cite campaign.toml > nepal.bib")]
    Cite(CiteArgs),
    /// Write completions for a shell to standard output.
    #[command(
        after_help = "Example:\n  nepal-loop completions bash > ~/.local/share/bash-completion/completions/nepal-loop"
    )]
    Completions(CompletionsArgs),
    /// Write man pages, one for each command.
    #[command(after_help = "Example:\n  nepal-loop man ~/.local/share/man/man1")]
    Man(ManArgs),
}

/// Arguments of `cite`.
#[derive(Debug, Args)]
pub struct CiteArgs {
    /// Campaign file (TOML) whose methods to cite as well.
    pub campaign: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write into.
    pub folder: PathBuf,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Campaign file (TOML).
    pub campaign: PathBuf,
    /// Serve the page to browsers of this machine, at a port (any that is free).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "0", value_name = "PORT")]
    pub serve: Option<u16>,
    /// Follow the campaign: write, or show, the report anew after each step.
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of `run` and `step`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Campaign file (TOML).
    pub campaign: PathBuf,
    /// Go on with settings that changed since the last run although labels are computed anew or given up for them.
    #[arg(long)]
    pub accept_changes: bool,
    /// Only tell what would be labelled and what that may cost; computes, submits and writes nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Campaign file (TOML).
    pub campaign: PathBuf,
    /// Scenarios to resume; all that are paused unless given.
    pub scenarios: Vec<String>,
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
    /// Element symbols, parted by blanks or commas.
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    pub elements: Vec<String>,
    /// Crystal to start from: fcc, hcp, diamond, rocksalt, perovskite and others (a wrong name is answered with all).
    #[arg(long, conflicts_with = "structure")]
    pub prototype: Option<String>,
    /// Lattice constant in Å.
    #[arg(long)]
    pub lattice: Option<f64>,
    /// Structure to start from instead of a crystal: a POSCAR, the first frame of an extended XYZ file, or
    /// what ASE reads (CIF, for one), where python3 has it; its elements are those of the campaign unless --elements says more.
    #[arg(long)]
    pub structure: Option<PathBuf>,
    /// Reference method: stillinger-weber, cp2k, qe, vasp, abinit, ase, lammps, nep or command.
    #[arg(long)]
    pub label: Option<String>,
    /// Where labels run: local, slurm, pbs, lsf or hyperqueue; local where nothing is said or asked.
    #[arg(long, value_parser = ["local", "slurm", "pbs", "lsf", "hyperqueue"])]
    pub scheduler: Option<String>,
    /// How the campaign explores; docs/strategies.md says when to use which.
    #[arg(long, value_enum, default_value_t)]
    pub strategy: Strategy,
    /// Highest temperature to explore, K.
    #[arg(long, default_value_t = 1000.0)]
    pub temperature: f64,
    /// Radial and angular cutoff of the model, Å.
    #[arg(long, num_args = 2, default_values_t = [6.0, 5.0])]
    pub cutoff: Vec<f64>,
    /// What the first data hold besides strained small cells, parted by blanks or commas: rattle,vacancies,interstitials,antisites,slabs,packing,atoms,dimers,trimers,melts (melts need
    /// --melt-potential).
    #[arg(long, num_args = 1.., value_delimiter = ',', default_value = "rattle,vacancies")]
    pub with: Vec<String>,
    /// A NEP that survives melting, such as a foundation model.
    #[arg(long)]
    pub melt_potential: Option<PathBuf>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Folder of the project or of outputs, or a file: extended XYZ, or what ASE reads where python3 has it.
    pub project: PathBuf,
    /// What made it: nep-maker, dp-gen, deepmd (data without a project), xyz, or outputs (of VASP, Quantum ESPRESSO,
    /// ABINIT, FHI-aims, CASTEP, ORCA, ABACUS; databases of ASE); without it, told by its files.
    #[arg(long)]
    pub from: Option<Project>,
    /// Format of its files, where they do not tell: a name of ASE's, cp2k, abacus (-md, -relax), n2p2 or dpdata:NAME
    /// (which dpdata reads), or mtp:Si,O (which motep reads; with the elements that its types count).
    #[arg(long, conflicts_with = "from")]
    pub format: Option<String>,
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
    #[command(flatten)]
    pub labels: LabelKeyArgs,
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
    /// Output file, or folder for deepmd.
    #[arg(long)]
    pub out: PathBuf,
    /// Format of the output: xyz has everything; ase-db (an ASE database) as well, where python3 has ASE; deepmd
    /// (a folder that DeePMD-kit trains on, masks as atom_pref) and mtp (a .cfg of MLIP, where python3 has motep) have
    /// the labels.
    #[arg(long, value_parser = ["xyz", "ase-db", "deepmd", "mtp"], default_value = "xyz")]
    pub format: String,
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

    /// `docs/reference/commands.md` is what `--help` says; `NEPAL_BLESS=1` writes it.
    #[test]
    fn the_reference_of_the_site_is_current() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/commands.md"
        );
        let options = clap_markdown::MarkdownOptions::new()
            .title("Commands".into())
            .show_footer(false);
        let text = clap_markdown::help_markdown_custom::<Cli>(&options);
        if std::env::var_os("NEPAL_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(
            there == text,
            "write it anew: NEPAL_BLESS=1 cargo test -p nepal-loop --bin nepal-loop"
        );
    }
}
