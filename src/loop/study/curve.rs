//! Learning curves: errors of held-out frames against the number of training frames.
//!
//! Source: Miksch et al., Mach. Learn.: Sci. Technol. 2, 031001 (2021).

use super::{Effort, How, StudyCallback, one};
use crate::plot::{Mark, Plot, Series, draw_alone};
use nepal::error::{Error, Result};
use nepal::system::Frame;
use nepal_train::{Errors, NepIn};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::time::Instant;

/// Options of [`learning_curve`].
#[derive(Clone, Debug)]
pub struct LearningCurveOptions {
    /// Shares of the training frames.
    pub fractions: Vec<f64>,
    /// Trainings of each share, with other initial parameters and other frames.
    pub seeds: u64,
    /// First seed.
    pub seed: u64,
    /// How much they may take.
    pub effort: Effort,
    /// Threads of a training.
    pub threads: Option<usize>,
}

/// One training of a learning curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share of the training frames.
    pub fraction: f64,
    /// Their number.
    pub frames: usize,
    /// Their atoms.
    pub atoms: usize,
    /// Seed of parameters and frames.
    pub seed: u64,
    /// Errors on the frames trained on.
    pub train: Errors,
    /// Errors on the held-out frames.
    pub test: Errors,
    /// Passes over the data.
    pub epochs: usize,
    /// Wall clock, s.
    pub seconds: f64,
    /// Whether the fit had settled: the error of one that was cut short is that of its time, not of its data.
    pub settled: bool,
}

/// error = a N^-b + c, for N training frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PowerLaw {
    /// Factor, in the error's unit.
    pub a: f64,
    /// Exponent: 0.5 where errors are noise that averages out.
    pub b: f64,
    /// What more data of this kind do not take away, in the error's unit.
    pub c: f64,
    /// Share by which twice the data would lower the error.
    pub gain_of_doubling: f64,
    /// Root mean square deviation of the logarithms from the law.
    pub deviation: f64,
}

/// A learning curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearningCurve {
    /// Version of this record.
    pub schema: u32,
    /// Frames to train on and frames held out.
    pub frames: [usize; 2],
    /// The trainings.
    pub points: Vec<CurvePoint>,
    /// Law of the held-out energy errors, eV/atom, where fits had settled; none for fewer than three sizes.
    pub energy: Option<PowerLaw>,
    /// Law of the held-out force errors, eV/Å.
    pub force: Option<PowerLaw>,
}

/// Trains on nested parts of the data and measures on frames that are never trained on.
///
/// With a wall clock each fit goes on until it has settled, whatever the size of its part, which takes large parts
/// longer; what it leaves of its share of the clock, later ones have. A fit that the clock cuts short is marked, and
/// no law counts it. Parts of one seed are nested: each holds the smaller ones.
///
/// **Errors**: [`Error::InvalidArgument`] for empty sets, no seeds, or shares outside 0 to 1, and what
/// training says.
pub fn learning_curve(
    config: &NepIn,
    train: &[Frame],
    test: &[Frame],
    options: &LearningCurveOptions,
    told: &mut StudyCallback<'_>,
) -> Result<LearningCurve> {
    let good = |f: &f64| *f > 0.0 && *f <= 1.0;
    if train.is_empty() || test.is_empty() || options.seeds == 0 {
        return Err(Error::invalid(
            "a learning curve needs training frames, held-out frames and at least one seed",
        ));
    }
    if options.fractions.is_empty() || !options.fractions.iter().all(good) {
        return Err(Error::invalid(format!(
            "the shares are {:?}; expected numbers above 0 and up to 1",
            options.fractions
        )));
    }
    let runs = options.fractions.len() * options.seeds as usize;
    let start = Instant::now();
    let whole: f64 = options.seeds as f64 * options.fractions.iter().sum::<f64>();
    let mut taken = 0.0;
    let mut points: Vec<CurvePoint> = Vec::new();
    'study: for k in 0..options.seeds {
        let seed = options.seed + k;
        let mut order: Vec<usize> = (0..train.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        for &fraction in &options.fractions {
            let count = ((fraction * train.len() as f64).round() as usize).max(1);
            let part = nepal_train::split::pick(train, &order[..count]);
            let done = points.len() as f64;
            let what = format!("{count} frames, seed {seed}");
            let mut go = |f: f64| told(&what, (done + f) / runs as f64);
            let effort = match options.effort {
                Effort::Budget(all) => {
                    let left = all.saturating_sub(start.elapsed());
                    Effort::Budget(left.mul_f64((fraction / (whole - taken)).clamp(0.0, 1.0)))
                }
                epochs => epochs,
            };
            taken += fraction;
            let how = How {
                effort,
                seed,
                threads: options.threads,
                until_settled: true,
            };
            let Some((trained, settled)) = one(config, &part, test, None, how, &mut go)? else {
                break 'study;
            };
            points.push(CurvePoint {
                fraction,
                frames: count,
                atoms: part.iter().map(Frame::len).sum(),
                seed,
                train: trained.train,
                test: trained.test.unwrap_or_default(),
                epochs: trained.epochs,
                seconds: trained.seconds,
                settled,
            });
        }
    }
    let law = |pick: &dyn Fn(&Errors) -> Option<f64>| {
        let all: Vec<(f64, f64)> = points
            .iter()
            .filter(|p| p.settled)
            .filter_map(|p| Some((p.frames as f64, pick(&p.test)?)))
            .collect();
        fit(&all)
    };
    Ok(LearningCurve {
        schema: 2,
        frames: [train.len(), test.len()],
        energy: law(&|e| e.energy_rmse),
        force: law(&|e| e.force_rmse),
        points,
    })
}

/// Fits a power law with an offset to logarithms of errors; `None` for fewer than three sizes.
pub(super) fn fit(points: &[(f64, f64)]) -> Option<PowerLaw> {
    let usable: Vec<(f64, f64)> = points
        .iter()
        .copied()
        .filter(|&(n, e)| n > 0.0 && e > 0.0 && e.is_finite())
        .collect();
    let mut sizes: Vec<f64> = usable.iter().map(|p| p.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    if sizes.len() < 3 {
        return None;
    }
    let count = usable.len() as f64;
    let least = usable.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let mut best: Option<(f64, [f64; 3])> = None;
    // For a given offset the rest is a straight line in logarithms.
    for step in 0..200 {
        let c = least * f64::from(step) / 200.0;
        let [mut sx, mut sy, mut sxx, mut sxy] = [0.0; 4];
        for &(n, e) in &usable {
            let (x, y) = (n.ln(), (e - c).ln());
            sx += x;
            sy += y;
            sxx += x * x;
            sxy += x * y;
        }
        let slope = (count * sxy - sx * sy) / (count * sxx - sx * sx);
        let a = ((sy - slope * sx) / count).exp();
        let (b, law) = (-slope, |n: f64| a * n.powf(slope) + c);
        let square: f64 = usable.iter().map(|&(n, e)| (e / law(n)).ln().powi(2)).sum();
        if b > 0.0 && best.is_none_or(|(s, _)| square < s * (1.0 - 1e-9)) {
            best = Some((square, [a, b, c]));
        }
    }
    let (square, [a, b, c]) = best?;
    let last = sizes[sizes.len() - 1];
    let now = a * last.powf(-b) + c;
    let then = a * (2.0 * last).powf(-b) + c;
    Some(PowerLaw {
        a,
        b,
        c,
        gain_of_doubling: 1.0 - then / now,
        deviation: (square / count).sqrt(),
    })
}

impl LearningCurve {
    /// Errors of each training as lines of text, and the laws.
    pub fn table(&self) -> String {
        let milli = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.2}", 1e3 * v));
        let mut text = String::from(
            "frames  seed  train meV/atom  meV/Å  held out meV/atom  meV/Å  epochs  s\n",
        );
        for p in &self.points {
            text.push_str(&format!(
                "{:>6} {:>5} {:>15} {:>6} {:>18} {:>6} {:>7} {:>5.0}{}\n",
                p.frames,
                p.seed,
                milli(p.train.energy_rmse),
                milli(p.train.force_rmse),
                milli(p.test.energy_rmse),
                milli(p.test.force_rmse),
                p.epochs,
                p.seconds,
                if p.settled { "" } else { "  cut short" }
            ));
        }
        let short = self.points.iter().filter(|p| !p.settled).count();
        if short > 0 {
            text.push_str(&format!(
                "{short} of {} fits were cut short before they had settled, and count for no law: their errors would fall \
                 with more time as well as with more data; give a longer --budget\n",
                self.points.len()
            ));
        }
        if let Some([n, fit, held_out]) = self.largest() {
            text.push_str(&format!(
                "force, {n} frames: {:.2} meV/Å on what was trained on, {:.2} on what was held out: more data can take the \
                 difference, a larger model or other settings the rest\n",
                1e3 * fit,
                1e3 * held_out
            ));
        }
        for (name, unit, law) in [
            ("energy", "meV/atom", &self.energy),
            ("force", "meV/Å", &self.force),
        ] {
            text.push_str(&match law {
                Some(l) => format!(
                    "{name}: {:.3} N^-{:.2} + {:.3} {unit}; twice the data: {:.0} % less\n",
                    1e3 * l.a,
                    l.b,
                    1e3 * l.c,
                    100.0 * l.gain_of_doubling
                ),
                None => format!("{name}: no falling power law in three sizes or more\n"),
            });
        }
        text
    }

    /// Of the largest part whose fits settled: frames, and mean force errors (eV/Å) of what was trained on and held
    /// out.
    fn largest(&self) -> Option<[f64; 3]> {
        let settled = || self.points.iter().filter(|p| p.settled);
        let most = settled().map(|p| p.frames).max()?;
        let mean = |pick: &dyn Fn(&CurvePoint) -> Option<f64>| {
            let all: Vec<f64> = settled()
                .filter(|p| p.frames == most)
                .filter_map(pick)
                .collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        Some([
            most as f64,
            mean(&|p| p.train.force_rmse)?,
            mean(&|p| p.test.force_rmse)?,
        ])
    }

    /// The force errors as SVG, those of the fit (on what was trained on) apart from those that data bring down (on what
    /// was held out, with their law); `None` if there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        let points = |settled: bool, pick: &dyn Fn(&CurvePoint) -> Option<f64>| {
            let all = self.points.iter().filter(|p| p.settled == settled);
            all.filter_map(|p| Some((p.frames as f64, 1e3 * pick(p)?)))
                .collect::<Vec<(f64, f64)>>()
        };
        let names = [("data: held out", 0), ("fit: trained on", 1)];
        let mut series = Vec::new();
        for (settled, end, shift) in [(true, "", 0), (false, ", cut short", 2)] {
            for (name, color) in names {
                let pick = |p: &CurvePoint| match color {
                    0 => p.test.force_rmse,
                    _ => p.train.force_rmse,
                };
                let points = points(settled, &pick);
                if settled || !points.is_empty() {
                    series.push(Series {
                        name: format!("{name}{end}"),
                        color: color + shift,
                        mark: Mark::Points,
                        points,
                    });
                }
            }
        }
        if let Some(l) = &self.force {
            let x = |p: &CurvePoint| (p.frames as f64).log2();
            let low = self.points.iter().map(x).fold(f64::INFINITY, f64::min);
            let high = self.points.iter().map(x).fold(0.0, f64::max) + 1.0;
            let line = (0..=60)
                .map(|k| low + (high - low) * f64::from(k) / 60.0)
                .map(|x| (x.exp2(), 1e3 * (l.a * x.exp2().powf(-l.b) + l.c)));
            series.push(Series {
                name: format!("{:.1} N^-{:.2} + {:.1}", 1e3 * l.a, l.b, 1e3 * l.c),
                color: 0,
                mark: Mark::Line,
                points: line.collect(),
            });
        }
        draw_alone(&Plot {
            x: "training frames".into(),
            y: "force RMSE (meV/Å)".into(),
            log_x: true,
            log_y: true,
            size: (640, 420),
            series,
        })
    }
}
