//! The names of the keywords: what is honoured, passed over, or refused and why.

/// Keywords of GPUMD's evolution strategy and of its output, without meaning here.
pub(super) const IGNORED: [&str; 5] = [
    "generation",
    "initial_para",
    "save_potential",
    "output_interval",
    "checkpoint",
];

/// Keywords that are honoured, for suggestions.
const KNOWN: [&str; 44] = [
    "type",
    "recipe",
    "version",
    "model_type",
    "charge_mode",
    "vdw",
    "charge_vdw",
    "prediction",
    "bad_data",
    "energy_reference",
    "cutoff",
    "n_max",
    "basis_size",
    "l_max",
    "neuron",
    "lambda_1",
    "lambda_2",
    "lambda_e",
    "lambda_f",
    "lambda_v",
    "lambda_q",
    "lambda_z",
    "lambda_shear",
    "force_delta",
    "type_weight",
    "batch",
    "epochs",
    "budget",
    "seed",
    "learning_rate",
    "population",
    "memory",
    "train_zbl",
    "sigma0",
    "optimizer",
    "force_loss",
    "energy_loss",
    "target_error",
    "group_weight",
    "fine_tune",
    "freeze",
    "early_stop",
    "zbl",
    "use_typewise_cutoff_zbl",
];

/// Keywords that ask for something this trainer does not do, and why; with the value 0 they ask for
/// nothing.
pub(super) const REFUSED: [(&str, &str); 16] = [
    (
        "atomic_v",
        "tensors are trained on whole structures here: programs differ in which atom of a pair has its share",
    ),
    (
        "import_q_scaler",
        "a model to start from brings its own scaler",
    ),
    (
        "output_descriptor",
        "ask a calculator for descriptors instead",
    ),
    (
        "use_typewise_cutoff",
        "give a radial and an angular cutoff for each type instead",
    ),
    (
        "restart",
        "name the file with --init nep.restart, or --init nep.txt",
    ),
    (
        "has_bec",
        "Born charges are used where frames have a column bec",
    ),
    ("lambda_bec", "it has become lambda_z"),
    ("kspace", "sums over reciprocal space are exact in training"),
    ("start_lr", "it belongs to gnep.in; say learning_rate"),
    (
        "stop_lr",
        "it belongs to gnep.in; the step falls to zero by itself here",
    ),
    ("weight_decay", "it belongs to gnep.in; say lambda_2"),
    ("epoch", "it belongs to gnep.in; say epochs"),
    (
        "energy_shift",
        "it belongs to gnep.in; say energy_reference fit or atoms",
    ),
    (
        "lr_cos_restart",
        "it belongs to gnep.in; the step falls once here",
    ),
    ("spin_mode", "models with spins are not trained here"),
    ("spin_feature", "models with spins are not trained here"),
];

/// Keywords that say what shape a model has.
pub(crate) const OF_SHAPE: [&str; 13] = [
    "type",
    "version",
    "model_type",
    "charge_mode",
    "vdw",
    "charge_vdw",
    "cutoff",
    "n_max",
    "basis_size",
    "l_max",
    "neuron",
    "zbl",
    "use_typewise_cutoff_zbl",
];

/// Why a word is no keyword, and which may be meant.
pub(super) fn unknown(word: &str) -> Option<String> {
    let known = KNOWN
        .iter()
        .chain(&IGNORED)
        .copied()
        .chain(REFUSED.iter().map(|(k, _)| *k));
    if known.clone().any(|k| k == word) {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let nearest = known
        .map(|k| (strsim::damerau_levenshtein(&lower, k), k))
        .min()
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4);
    Some(match nearest {
        Some((_, k)) => format!("is not a keyword of nep.in; did you mean {k}?"),
        None => "is not a keyword of nep.in".to_owned(),
    })
}
