//! The keywords of `nep.in`: names, ranges, and the text form.

mod line;
mod names;
mod text;

pub(super) use names::OF_SHAPE;
pub(super) use text::text;

use super::{EnergyReference, Layer, NepIn, Optimizer};
use crate::data::BadData;
use crate::robust::RobustLoss;
use line::Line;
use names::{IGNORED, REFUSED, unknown};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::model::{
    Cutoff, Electrostatics, Kind, MAX_BASIS, MAX_L, MAX_N, MAX_NEURONS, ManyBody, Version, Zbl,
};
use std::path::Path;

const LARGE: f64 = 1e6;

/// Parses the text of a `nep.in`.
pub(super) fn parse(text: &str, name: &str) -> Result<NepIn> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    // Editors on Windows put a mark before the first byte.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line
            .split_whitespace()
            .take_while(|w| !w.starts_with('#'))
            .collect();
        let Some((&keyword, words)) = words.split_first() else {
            continue;
        };
        let keyword = if keyword == "mode" {
            "model_type"
        } else {
            keyword
        };
        let line = Line {
            file: name,
            number: index + 1,
            keyword,
            words: words.to_vec(),
        };
        if let Some(earlier) = lines.iter().find(|l| l.keyword == keyword)
            && keyword != "group_weight"
        {
            return Err(line.error(format!("was already given on line {}", earlier.number)));
        }
        if let Some(why) = unknown(keyword) {
            return Err(line.error(why));
        }
        lines.push(line);
    }
    // The order is free, as GPUMD's is; but what depends on the elements needs them first.
    let Some(types) = lines.iter().find(|l| l.keyword == "type") else {
        let what = "no type keyword; give type <number> <elements>";
        return Err(Error::parse(name, 1, what));
    };
    let mut config = elements(types)?;
    if let Some(line) = lines.iter().find(|l| l.keyword == "recipe") {
        line.word(&["accurate"], |w| w)?;
        config.be_accurate();
    }
    config.predict_kind(kind(&lines)?);
    let mut zbl: Option<f64> = None;
    let mut factor: Option<f64> = None;
    let apart = ["type", "recipe", "model_type"];
    let apart = |keyword: &str| apart.contains(&keyword) || HEADS.contains(&keyword);
    for line in lines.iter().filter(|l| !apart(l.keyword)) {
        match line.keyword {
            "zbl" if line.off() => {}
            "zbl" => zbl = Some(line.one(1.0, 4.0)?),
            "use_typewise_cutoff_zbl" if line.off() => {}
            "use_typewise_cutoff_zbl" => {
                line.count(0, 1)?;
                factor = Some(if line.words.is_empty() {
                    0.7
                } else {
                    line.number(0, 0.5, 100.0)?
                });
            }
            _ => set(&mut config, line)?,
        }
    }
    config.zbl = match (zbl, factor) {
        (Some(outer), Some(factor)) => Some(Zbl::Typewise {
            inner: 0.5 * outer,
            outer,
            factor,
        }),
        (Some(outer), None) => Some(Zbl::Universal {
            inner: 0.5 * outer,
            outer,
        }),
        (None, _) => None,
    };
    if config.many_body.required_l() > config.l_max {
        return Err(Error::parse(
            name,
            1,
            format!(
                "the enabled terms of l_max need a first number of at least {}; found {}",
                config.many_body.required_l(),
                config.l_max
            ),
        ));
    }
    config
        .check()
        .map_err(|e| Error::parse(name, 1, e.to_string()))?;
    Ok(config)
}

/// Keywords for heads beside the energy, of which a model has at most one.
const HEADS: [&str; 3] = ["charge_mode", "vdw", "charge_vdw"];

/// What the model predicts: `model_type`, and what gives it further heads.
fn kind(lines: &[Line<'_>]) -> Result<Kind> {
    let of = |keyword: &str| lines.iter().find(|l| l.keyword == keyword);
    let kind = match of("model_type").map(|l| l.one_whole(0, 3)).transpose()? {
        None | Some(0) => Kind::Potential,
        Some(1) => Kind::Dipole,
        Some(2) => Kind::Polarizability,
        Some(_) => Kind::Temperature,
    };
    let mut found: Option<(&Line<'_>, Kind)> = None;
    for (keyword, most) in HEADS.into_iter().zip([3, 1, 1]) {
        let Some(line) = of(keyword) else {
            continue;
        };
        let own = match (keyword, line.one_whole(0, most)?) {
            (_, 0) => continue,
            ("vdw", _) => Kind::Dispersion,
            ("charge_vdw", _) => Kind::ChargesAndDispersion,
            (_, 1) => Kind::Charges(Electrostatics::Full),
            (_, 2) => Kind::Charges(Electrostatics::Reciprocal),
            _ => Kind::Charges(Electrostatics::RealSpace),
        };
        if let Some((other, _)) = found {
            return Err(line.error(format!(
                "does not go with {} of line {}; charges and dispersion together are charge_vdw 1",
                other.keyword, other.number
            )));
        }
        if kind != Kind::Potential {
            let what = match keyword {
                "charge_mode" => "charges",
                "vdw" => "dispersion",
                _ => "charges and dispersion",
            };
            return Err(line.error(format!("needs model_type 0: only potentials have {what}")));
        }
        found = Some((line, own));
    }
    Ok(found.map_or(kind, |(_, own)| own))
}

fn elements(line: &Line<'_>) -> Result<NepIn> {
    line.count(2, 95)?;
    let n = line.whole(0, 1, 94)?;
    if line.words.len() != n + 1 {
        return Err(line.error(format!(
            "announces {n} element(s) but {} follow",
            line.words.len() - 1
        )));
    }
    let mut elements = Vec::new();
    for word in &line.words[1..] {
        let e = Element::from_symbol(word).map_err(|e| line.error(format!("lists {e}")))?;
        if elements.contains(&e) {
            return Err(line.error(format!("lists {e} twice")));
        }
        elements.push(e);
    }
    Ok(NepIn::new(elements))
}

/// Sets what one keyword other than `type` and the ZBL ones says.
fn set(config: &mut NepIn, line: &Line<'_>) -> Result<()> {
    let n_types = config.elements.len();
    match line.keyword {
        "version" => {
            config.version = match line.one_whole(3, 5)? {
                3 => Version::Nep3,
                4 => Version::Nep4,
                _ => Version::Nep5,
            };
        }
        "prediction" => {
            config.prediction = line.one_whole(0, 1)? == 1;
        }
        "bad_data" => {
            config.bad_data = line.word(&[BadData::Refuse, BadData::Drop, BadData::Keep], |v| {
                v.word()
            })?;
        }
        "energy_reference" => {
            config.energy_reference = line.word(&EnergyReference::ALL, |v| v.word())?;
        }
        "cutoff" => config.cutoff = cutoff(line, n_types)?,
        "n_max" => {
            line.count(2, 2)?;
            config.n_max = [line.whole(0, 0, MAX_N)?, line.whole(1, 0, MAX_N)?];
        }
        "basis_size" => {
            line.count(2, 2)?;
            config.basis_size = [line.whole(0, 0, MAX_BASIS)?, line.whole(1, 0, MAX_BASIS)?];
        }
        "l_max" => {
            line.count(1, 7)?;
            config.l_max = line.whole(0, 1, MAX_L)?;
            // The first flag is on unless the line says otherwise.
            let mut flags = [true, false, false, false, false, false];
            for (index, flag) in flags.iter_mut().enumerate().take(line.words.len() - 1) {
                *flag = line.whole(index + 1, 0, 2)? != 0;
            }
            config.many_body = ManyBody::from_flags(flags);
        }
        "neuron" => {
            line.count(1, 2)?;
            let second = if line.words.len() == 2 {
                line.whole(1, 0, MAX_NEURONS)?
            } else {
                0
            };
            config.neurons = [line.whole(0, 1, MAX_NEURONS)?, second];
        }
        "lambda_1" => config.lambda_1 = Some(line.one(0.0, LARGE)?),
        "lambda_2" => config.lambda_2 = Some(line.one(0.0, LARGE)?),
        "lambda_e" => config.lambda_e = line.one(0.0, LARGE)?,
        "lambda_f" => config.lambda_f = line.one(0.0, LARGE)?,
        "lambda_v" => config.lambda_v = line.one(0.0, LARGE)?,
        "lambda_q" => config.lambda_q = line.one(0.0, LARGE)?,
        "lambda_z" => config.lambda_z = line.one(0.0, LARGE)?,
        "lambda_shear" => config.lambda_shear = line.one(0.0, LARGE)?,
        "force_delta" => config.force_delta = line.one(0.0, LARGE)?,
        "type_weight" => {
            line.count(n_types, n_types)?;
            for t in 0..n_types {
                config.type_weight[t] = line.number(t, 0.0, LARGE)?;
            }
        }
        "batch" => {
            line.count(1, 2)?;
            let size = line.whole(0, 1, 10_000_000)?;
            let full = line.words.len() == 2 && line.whole(1, 0, 1)? == 1;
            config.batch = Some(if full { usize::MAX } else { size });
        }
        "epochs" => config.epochs = Some(line.one_whole(1, 100_000_000)?),
        "budget" => config.budget = Some(line.one(0.0, LARGE)?),
        "seed" => config.seed = Some(line.one_whole(0, usize::MAX >> 1)? as u64),
        "learning_rate" => config.learning_rate = line.one(1e-6, 1.0)?,
        "population" => config.population = line.one_whole(10, 200)?,
        "memory" => config.memory = line.one(0.0, LARGE)?,
        "train_zbl" => config.train_zbl = line.one_whole(0, 1)? == 1,
        "sigma0" => config.sigma0 = line.one(0.01, 0.1)?,
        "optimizer" => {
            line.count(1, 1)?;
            config.optimizer = match line.words[0] {
                "auto" => Optimizer::Auto,
                "adam" => Optimizer::Adam,
                "lm" => Optimizer::LevenbergMarquardt,
                "snes" => Optimizer::Evolution,
                other => {
                    return Err(
                        line.error(format!("takes auto, adam, lm or snes; found {other:?}"))
                    );
                }
            };
        }
        "force_loss" => config.force_loss = robust_loss(line, "eV/Å")?,
        "energy_loss" => config.energy_loss = robust_loss(line, "eV/atom")?,
        "target_error" => {
            // The one error of a tensor.
            line.count(if config.kind.is_tensor() { 1 } else { 2 }, 3)?;
            let values = (0..line.words.len()).map(|i| line.number(i, 0.0, LARGE));
            config.target_error = Some(values.collect::<Result<_>>()?);
        }
        "group_weight" => {
            line.count(2, 2)?;
            let weight = line.number(1, 0.0, LARGE)?;
            config.group_weight.push((line.words[0].to_owned(), weight));
        }
        "fine_tune" => {
            line.count(1, 3)?;
            config.fine_tune = Some(Path::new(line.words[0]).to_owned());
        }
        "freeze" => {
            line.count(1, Layer::ALL.len())?;
            let layers = line.words.iter().map(|word| {
                let found = word.parse::<Layer>();
                found.map_err(|_| {
                    line.error(format!(
                        "takes descriptors, hidden or output; found {word:?}"
                    ))
                })
            });
            config.freeze = layers.collect::<Result<_>>()?;
        }
        "early_stop" => config.early_stop = line.one_whole(0, 1_000_000)?,
        other if IGNORED.contains(&other) => config.notes.push(format!(
            "{}:{}: {other} belongs to GPUMD's own training and has no effect here",
            line.file, line.number
        )),
        _ if line.off() => {}
        other => {
            let why = REFUSED.iter().find(|(k, _)| *k == other);
            let why = why.map_or("nothing here does that", |(_, why)| why);
            return Err(line.error(format!("cannot be honoured: {why}")));
        }
    }
    Ok(())
}

fn cutoff(line: &Line<'_>, n_types: usize) -> Result<Cutoff> {
    let n = line.words.len();
    if n != 2 && n != 2 * n_types {
        return Err(line.error(format!(
            "takes 2 numbers, or 2 per type (here {}); found {n}",
            2 * n_types
        )));
    }
    let mut pairs = Vec::new();
    for t in 0..n / 2 {
        let pair = [
            line.number(2 * t, 3.0, 100.0)?,
            line.number(2 * t + 1, 3.0, 100.0)?,
        ];
        if pair[1] > pair[0] {
            return Err(line.error(format!(
                "has an angular value ({}) above the radial one ({})",
                pair[1], pair[0]
            )));
        }
        pairs.push(pair);
    }
    Ok(if n == 2 {
        Cutoff::Uniform(pairs[0])
    } else {
        Cutoff::PerType(pairs)
    })
}

/// `square`, or `huber` or `cauchy` with a size.
fn robust_loss(line: &Line<'_>, unit: &str) -> Result<RobustLoss> {
    line.count(1, 2)?;
    let size = || line.count(2, 2).and_then(|()| line.number(1, 1e-6, LARGE));
    match line.words[0] {
        "square" => line.count(1, 1).map(|()| RobustLoss::Square),
        "huber" => size().map(RobustLoss::Huber),
        "cauchy" => size().map(RobustLoss::Cauchy),
        other => Err(line.error(format!(
            "takes square, huber D or cauchy D ({unit}); found {other:?}"
        ))),
    }
}

/// Parses a `zbl.in`: ten numbers for each pair of types.
pub(super) fn flexible_zbl(text: &str, name: &str, n_types: usize) -> Result<Vec<[f64; 10]>> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() || words[0].starts_with('#') {
            continue;
        }
        let values: Vec<f64> = words.iter().map_while(|w| w.parse().ok()).collect();
        let row = <[f64; 10]>::try_from(values).map_err(|_| {
            Error::parse(name, index + 1, "expected 10 numbers for a pair of types")
        })?;
        rows.push(row);
    }
    let pairs = n_types * (n_types + 1) / 2;
    if rows.len() != pairs {
        return Err(Error::parse(
            name,
            rows.len(),
            format!("{n_types} type(s) need {pairs} rows; found {}", rows.len()),
        ));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
