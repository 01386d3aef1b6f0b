//! Arguments of the commands that train.

use super::*;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Settings (nep.in).
    #[arg(long)]
    pub config: PathBuf,
    /// Training set (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub train: PathBuf,
    /// Test set (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub test: Option<PathBuf>,
    /// Hold out this share of the training set as test set, by whole trajectories.
    #[arg(long, conflicts_with = "test")]
    pub hold_out: Option<f64>,
    #[command(flatten)]
    pub labels: LabelKeyArgs,
    /// Key of the comment lines that names the trajectory; by default the first of trajectory,
    /// trajectory_id, source, parent_id and parent_hash that all frames have, else stretches of the
    /// file.
    #[arg(long, requires = "hold_out")]
    pub split_by: Option<String>,
    /// Model to start from: a nep.txt, or a nep.restart of the same settings and training set.
    #[arg(long)]
    pub init: Option<PathBuf>,
    /// Layers of that model that stay as they are: descriptors, hidden, output; instead of the keyword freeze.
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    pub freeze: Vec<nepal_train::Layer>,
    /// What to take off the labels first, so that the model learns the rest: "keys" or
    /// "keys:PREFIX" (the frames bring PREFIXenergy, PREFIXforces, PREFIXvirial; baseline_ by
    /// default), a nep.txt, or a .toml file with the keys of a campaign's [label] table.
    #[arg(long)]
    pub baseline: Option<String>,
    /// File for the posterior of the output layer, which gives deviations to `predict`. They are calibrated
    /// on the frames of --test or --split; without any on training frames, each left out in turn.
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
    /// Where to compute: auto (the first CUDA device, if there is one and the training set has at least
    /// 2000 atoms), none (the processor), or the number of a CUDA device.
    #[arg(long, default_value_t = nepal_train::Device::Auto)]
    pub device: nepal_train::Device,
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
    #[arg(long, num_args = 1.., value_delimiter = ',', default_values_t = [0.125, 0.25, 0.5, 1.0])]
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
    /// Labelled structures (extended XYZ, or another format: see docs/formats.md).
    #[arg(long)]
    pub train: PathBuf,
    /// Structures to measure errors on; by default a share of the others.
    #[arg(long)]
    pub test: Option<PathBuf>,
    /// Share to hold out where there is no test set, by whole trajectories.
    #[arg(long, default_value_t = 0.2)]
    pub hold_out: f64,
    #[command(flatten)]
    pub labels: LabelKeyArgs,
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
