//! Arguments of the commands that are one step each.

use super::*;

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

/// Keys of the labels, where they are not energy, forces, virial and stress.
#[derive(Debug, Args)]
pub struct LabelKeyArgs {
    /// Key of the energy in the comment lines, such as REF_energy (eV).
    #[arg(long, value_name = "KEY")]
    pub energy_key: Option<String>,
    /// Column of the forces, such as REF_forces (eV/Å).
    #[arg(long, value_name = "KEY")]
    pub forces_key: Option<String>,
    /// Key of the virial (eV, positive in compression).
    #[arg(long, value_name = "KEY")]
    pub virial_key: Option<String>,
    /// Key of the stress (eV/Å³, positive in tension).
    #[arg(long, value_name = "KEY", conflicts_with = "virial_key")]
    pub stress_key: Option<String>,
}

impl LabelKeyArgs {
    /// What the library is told.
    pub fn keys(&self) -> nepal::system::xyz::LabelKeys {
        nepal::system::xyz::LabelKeys {
            energy: self.energy_key.clone(),
            forces: self.forces_key.clone(),
            virial: self.virial_key.clone(),
            stress: self.stress_key.clone(),
        }
    }
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Model file (nep.txt).
    #[arg(long)]
    pub model: PathBuf,
    /// Training set (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub train: PathBuf,
    /// Structures to judge by, labelled or not (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub dump: PathBuf,
    #[command(flatten)]
    pub labels: LabelKeyArgs,
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
    /// Structures (extended XYZ, or another format: see docs/formats.md).
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
    /// Adds DFT-D3(BJ) to a model trained without dispersion: functional, cutoffs (Å) of pairs and of the coordination
    /// number, as GPUMD's keyword: `pbe,12,6`.
    #[arg(long)]
    pub dftd3: Option<nepal::nep::d3::D3>,
    /// Side file of a model that was trained on what a baseline misses: adds the baseline.
    #[arg(long)]
    pub add_baseline: Option<PathBuf>,
}

/// Arguments of `active-set`.
#[derive(Debug, Args)]
pub struct ActiveSetArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Training structures (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file.
    #[arg(long)]
    pub out: PathBuf,
    /// Form of the grade: ridge (one scale for all elements and amounts of data) or compat.
    #[arg(long, default_value = "ridge")]
    pub kind: nepal::grade::GradeKind,
    /// Write the public .asi format: the same as --kind compat.
    #[arg(long)]
    pub compat: bool,
    /// Ridge form: grade 1 is so small a part of the way from an ordinary environment to the free atom.
    #[arg(long, default_value_t = 50.0)]
    pub resolution: f64,
}

/// Arguments of `select`.
#[derive(Debug, Args)]
pub struct SelectArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Active set.
    #[arg(long)]
    pub active_set: PathBuf,
    /// Candidate structures (extended XYZ, or another format: see docs/formats.md).
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
    /// grade (largest first), maxvol, farthest-point, random, almomd (uncertain and energetically
    /// viable) or sigma (largest force deviation first).
    #[arg(long, default_value = "d-optimal")]
    pub method: Method,
    /// A label costs the number of atoms to this power.
    #[arg(long)]
    pub cost_exponent: Option<f64>,
    /// Environments that differ by less than this part count as one.
    #[arg(long, default_value_t = 0.1)]
    pub duplicate: f64,
    /// Posterior of `train`, for the columns force_std (σ, eV/Å), force_95 (the bound of 95 %)
    /// and energy_std (eV); frames that have
    /// them need it no more.
    #[arg(long)]
    pub posterior: Option<PathBuf>,
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
    /// Parent structures (extended XYZ, or another format: see docs/formats.md).
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
    #[arg(long, default_value_t = 1.5)]
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
    /// Formal charges, such as Na=1 Cl=-1 (or Na=1,Cl=-1): fragments are then neutral. Default: those that a model with
    /// charges has itself.
    #[arg(long, num_args = 1.., value_delimiter = ',', value_parser = charge)]
    pub charges: Vec<(Element, f64)>,
    /// Charge (e) that a fragment may have where no neutral one passes; it is told.
    #[arg(long, default_value_t = 0.0)]
    pub allow_charge: f64,
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
    /// Structures to label (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub structures: PathBuf,
    /// Output file: the accepted labels.
    #[arg(long)]
    pub out: PathBuf,
    /// Directory of the label cache; by default the campaign's own.
    #[arg(long)]
    pub cache: Option<PathBuf>,
    /// Labels the structures with other settings as well and tells how far energies, forces and stress change:
    /// keys of `[label]` in TOML, such as "kspacing = 0.15, cutoff = 600"; may be given several times.
    #[arg(long, value_name = "SETTINGS")]
    pub against: Vec<String>,
}

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Active set.
    #[arg(long)]
    pub active_set: PathBuf,
    /// Side file of a model that was trained on what a baseline misses: the dynamics goes by the sum of both.
    #[arg(long)]
    pub add_baseline: Option<PathBuf>,
    /// Start structure: the first frame of an extended XYZ file.
    #[arg(long)]
    pub structure: PathBuf,
    /// Output file: what was kept, with its grades.
    #[arg(long)]
    pub out: PathBuf,
    /// Posterior of `train`: what is kept gets the columns force_std (σ, eV/Å), force_95 (the bound
    /// of 95 %) and energy_std (eV); the way `hal` is
    /// guided by it.
    #[arg(long)]
    pub posterior: Option<PathBuf>,
    /// Other models of the same labels and other seeds, for the ways with `signal=committee`.
    #[arg(long, num_args = 1..)]
    pub committee: Vec<PathBuf>,
    /// Adds DFT-D3(BJ) to a model trained without dispersion: functional, cutoffs (Å) of pairs and of the coordination
    /// number, as GPUMD's keyword: `pbe,12,6`.
    #[arg(long)]
    pub dftd3: Option<nepal::nep::d3::D3>,
    /// What guides the search: a kind, and after commas its options as in a campaign's `way`, such as `hal,tau=0.2`.
    #[arg(long, default_value = "dynamics")]
    pub way: nepal_loop::explore::Way,
    /// Monte Carlo moves between steps: options as in a campaign's `moves`, such as `swaps=5,volume=1,every=10`.
    #[arg(long)]
    pub moves: Option<nepal_loop::explore::Moves>,
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
    #[arg(long, default_value_t = 1.5)]
    pub save: f64,
    /// Above this grade go back to the last safe frame.
    #[arg(long = "break", default_value_t = 4.0)]
    pub break_: f64,
    /// Do not take what is kept into the active set for the rest of the run; its like is then kept again.
    #[arg(long)]
    pub no_learning: bool,
    /// Seed of velocities and thermostat.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}
