//! Settings as the text of a `nep.in`.

use super::{Cutoff, Electrostatics, Kind, Zbl};
use crate::{NepIn, Optimizer, RobustLoss};

/// The text form of some settings.
pub(crate) fn text(c: &NepIn) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let mut line = |keyword: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{keyword:<14} {value}");
    };
    let join = |values: &mut dyn Iterator<Item = f64>| -> String {
        values.map(|x| x.to_string()).collect::<Vec<_>>().join(" ")
    };
    let symbols: Vec<&str> = c.elements.iter().map(|e| e.symbol()).collect();
    line("type", format!("{} {}", symbols.len(), symbols.join(" ")));
    let version = &c.version.token()[3..];
    line("version", version.to_owned());
    let kind = match c.kind {
        Kind::Potential => None,
        Kind::Dipole => Some(("model_type", 1)),
        Kind::Polarizability => Some(("model_type", 2)),
        Kind::Temperature => Some(("model_type", 3)),
        Kind::Charges(Electrostatics::Full) => Some(("charge_mode", 1)),
        Kind::Charges(Electrostatics::Reciprocal) => Some(("charge_mode", 2)),
        Kind::Charges(Electrostatics::RealSpace) => Some(("charge_mode", 3)),
        Kind::Dispersion => Some(("vdw", 1)),
        Kind::ChargesAndDispersion => Some(("charge_vdw", 1)),
    };
    if let Some((keyword, value)) = kind {
        line(keyword, value.to_string());
    }
    match &c.cutoff {
        Cutoff::PerType(pairs) => line("cutoff", join(&mut pairs.iter().flatten().copied())),
        Cutoff::Uniform(rc) | Cutoff::Typewise { global: rc, .. } => {
            line("cutoff", join(&mut rc.iter().copied()));
        }
    }
    line("n_max", format!("{} {}", c.n_max[0], c.n_max[1]));
    line(
        "basis_size",
        format!("{} {}", c.basis_size[0], c.basis_size[1]),
    );
    let flags: Vec<&str> = c
        .many_body
        .flags()
        .iter()
        .map(|&on| if on { "1" } else { "0" })
        .collect();
    line("l_max", format!("{} {}", c.l_max, flags.join(" ")));
    line("neuron", format!("{} {}", c.neurons[0], c.neurons[1]));
    match &c.zbl {
        Some(Zbl::Universal { outer, .. }) => line("zbl", outer.to_string()),
        Some(Zbl::Typewise { outer, factor, .. }) => {
            line("zbl", outer.to_string());
            line("use_typewise_cutoff_zbl", factor.to_string());
        }
        Some(Zbl::Flexible(_)) => line("zbl", "2  # rows in zbl.in".into()),
        None => {}
    }
    let charged = c.kind.electrostatics().is_some();
    for (keyword, value) in [
        ("lambda_1", c.lambda_1),
        ("lambda_2", c.lambda_2),
        ("lambda_e", Some(c.lambda_e)),
        ("lambda_f", Some(c.lambda_f)),
        ("lambda_v", Some(c.lambda_v)),
        ("lambda_q", charged.then_some(c.lambda_q)),
        ("lambda_z", charged.then_some(c.lambda_z)),
        ("lambda_shear", Some(c.lambda_shear)),
        ("force_delta", Some(c.force_delta)),
        ("budget", c.budget),
        ("learning_rate", Some(c.learning_rate)),
    ] {
        if let Some(value) = value {
            line(keyword, value.to_string());
        }
    }
    line("type_weight", join(&mut c.type_weight.iter().copied()));
    match c.batch {
        Some(usize::MAX) => line("batch", "1000 1".into()),
        Some(size) => line("batch", size.to_string()),
        None => {}
    }
    if let Some(epochs) = c.epochs {
        line("epochs", epochs.to_string());
    }
    if let Some(seed) = c.seed {
        line("seed", seed.to_string());
    }
    match c.optimizer {
        Optimizer::Auto | Optimizer::Evolution => {}
        Optimizer::Adam => line("optimizer", "adam".into()),
        Optimizer::LevenbergMarquardt => line("optimizer", "lm".into()),
    }
    if c.optimizer == Optimizer::Evolution {
        line("optimizer", "snes".into());
        line("population", c.population.to_string());
        line("sigma0", c.sigma0.to_string());
    }
    if c.memory != 1.0 {
        line("memory", c.memory.to_string());
    }
    if c.bad_data != Default::default() {
        line("bad_data", c.bad_data.word().to_owned());
    }
    if c.energy_reference != Default::default() {
        line("energy_reference", c.energy_reference.word().to_owned());
    }
    if c.prediction {
        line("prediction", "1".to_owned());
    }
    if c.train_zbl {
        line("train_zbl", "1".into());
    }
    for (keyword, loss) in [("force_loss", c.force_loss), ("energy_loss", c.energy_loss)] {
        match loss {
            RobustLoss::Square => {}
            RobustLoss::Huber(d) => line(keyword, format!("huber {d}")),
            RobustLoss::Cauchy(d) => line(keyword, format!("cauchy {d}")),
        }
    }
    if let Some(errors) = &c.target_error {
        line("target_error", join(&mut errors.iter().copied()));
    }
    for (name, weight) in &c.group_weight {
        line("group_weight", format!("{name} {weight}"));
    }
    if let Some(model) = &c.fine_tune {
        line("fine_tune", model.display().to_string());
    }
    if !c.freeze.is_empty() {
        let words: Vec<&str> = c.freeze.iter().map(|l| l.word()).collect();
        line("freeze", words.join(" "));
    }
    if c.early_stop > 0 {
        line("early_stop", c.early_stop.to_string());
    }
    out
}
