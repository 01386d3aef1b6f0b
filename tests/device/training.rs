//! Training on the stand-in: forces, gradients and products with the Jacobian are the processor's,
//! for every variant of the model, and so is a whole run.

use crate::stand_in::stand_in;
use crate::support::close::assert_close;
use nepal::model::Zbl;
use nepal::system::Cell;
use nepal::{Element, Frame, Structure};
use nepal_train::{Device, LeastSquares, NepIn, TrainOptions, train};

/// Settings of small models of three elements, one for each thing that kernels tell apart.
const VARIANTS: [(&str, &str); 9] = [
    ("nep4", ""),
    ("nep3", "version 3"),
    ("nep5", "version 5"),
    ("all many-body terms", "l_max 4 2 1 1 1 1 1"),
    (
        "l_max 6, wide",
        "l_max 6 0 0\nn_max 9 8\ncutoff 5 3.5\nneuron 3",
    ),
    ("l_max 8", "l_max 8 2 0\nneuron 3"),
    ("two layers", "neuron 6 4"),
    (
        "cutoffs of types, repulsion",
        "cutoff 5 4 4.5 3.8 4 4\nzbl 2.5",
    ),
    ("trained repulsion", "zbl 2\ntrain_zbl 1"),
];

fn settings(more: &str) -> NepIn {
    let text = format!(
        "type 3 Te Pb Cu\nversion 4\ncutoff 5 4\nn_max 3 2\nbasis_size 4 3\nl_max 3 2 0\nneuron 5\n\
         force_delta 0.5\ntype_weight 1 1.5 0.7\nlambda_shear 2\n{more}\n"
    );
    // The last of two lines of a keyword would be refused: the first is taken out.
    let words = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let own: Vec<_> = more.lines().filter_map(words).collect();
    let first = text.lines().count() - more.lines().count();
    let kept = text
        .lines()
        .enumerate()
        .filter(|(k, line)| *k >= first || words(line).is_none_or(|word| !own.contains(&word)));
    let text: Vec<&str> = kept.map(|(_, line)| line).collect();
    let mut config =
        NepIn::parse(&text.join("\n"), "nep.in").unwrap_or_else(|e| panic!("{e}\n{text:?}"));
    if config.train_zbl {
        let row = [0.9, 3.6, 0.3, 0.9, 0.2, 0.5, 0.1, 0.3, 0.02, 0.2];
        config.zbl = Some(Zbl::Flexible(vec![row; 6]));
    }
    config
}

/// A number between -1 and 1 that belongs to another.
fn noise(k: usize) -> f64 {
    let x = (k as f64 * 12.9898 + 4.1414).sin() * 43758.5453;
    2.0 * (x - x.floor()) - 1.0
}

/// Small structures with all kinds of labels; the second is smaller than the cutoff, and there are
/// more atoms than are kept together.
fn frames() -> Vec<Frame> {
    others(0)
}

/// The same with other positions.
fn others(set: usize) -> Vec<Frame> {
    let symbols = ["Te", "Pb", "Cu"];
    let sizes = [
        (26usize, 8.4f64, 3usize),
        (2, 3.1, 2),
        (5, 4.6, 2),
        (9, 6.1, 1),
        (40, 9.8, 2),
        (12, 6.6, 3),
    ];
    sizes
        .into_iter()
        .enumerate()
        .map(|(index, (n, a, kinds))| {
            let cell = [[a, 0.2, 0.0], [0.3, a, -0.1], [0.0, 0.4, 1.1 * a]];
            let cell = Cell::new(cell, [true; 3]).unwrap();
            let elements = (0..n).map(|i| Element::from_symbol(symbols[i * i % kinds]).unwrap());
            let side = (n as f64).cbrt().ceil() as usize;
            let positions = (0..n).map(|i| {
                let at = [i % side, i / side % side, i / side / side];
                cell.cartesian(std::array::from_fn(|c| {
                    (at[c] as f64 + 0.15 * noise(9973 * set + 97 * index + 3 * i + c)) / side as f64
                }))
            });
            let positions = positions.collect();
            let structure = Structure::new(cell.clone(), elements.collect(), positions).unwrap();
            let mut frame = Frame::new(structure);
            frame.energy = Some(2.0 * noise(index) - 3.0 * n as f64);
            let force = |i: usize| std::array::from_fn(|c| noise(1000 * index + 3 * i + c));
            frame.forces = Some((0..n).map(force).collect());
            if index != 2 {
                let w: [f64; 6] = std::array::from_fn(|c| 1.5 * noise(77 + 6 * index + c));
                frame.virial = Some([w[0], w[1], w[2], w[1], w[3], w[4], w[2], w[4], w[5]]);
            }
            if index == 0 {
                frame.force_mask = Some((0..n).map(|i| [1.0, 0.0, 0.5][i % 3]).collect());
            }
            frame.weight = [1.0, 2.0, 0.5, 1.0, 1.0, 1.0][index];
            frame
        })
        .collect()
}

fn wave(len: usize, rate: f64) -> Vec<f64> {
    (0..len)
        .map(|i| 0.6 * (rate * i as f64 + 0.3).sin())
        .collect()
}

const WEIGHTS: [f64; 3] = [0.7, 1.3, 0.4];

/// Everything of a variant on the stand-in against the processor.
fn compare(name: &str, more: &str) {
    let stand_in = stand_in();
    let (config, frames) = (settings(more), frames());
    let host = LeastSquares::new(&config, &frames, WEIGHTS, Device::None).unwrap();
    let device = LeastSquares::on_cuda(&config, &frames, WEIGHTS, &stand_in.options());
    let mut device = device.unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!((host.device(), device.device()), (None, Some("stand-in 0")));
    let p = wave(host.n_parameters(), 0.7);
    let q: Vec<f64> = (0..config.header().dim())
        .map(|k| 0.3 + 0.1 * noise(k))
        .collect();
    let name = |what: &str| format!("{name}: {what}");
    let expected = host.residuals(&p, &q);
    let found = device.residuals(&p, &q);
    assert_close(&name("residuals"), &found, &expected, 1e-10);
    let expected = host.gradient(&p, &q);
    let found = device.gradient(&p, &q);
    assert_close(&name("sum"), &[found.0], &[expected.0], 1e-10);
    assert_close(&name("gradient"), &found.1, &expected.1, 1e-10);
    assert_eq!(
        device.gradient(&p, &q),
        found,
        "a repeat gives the same bits"
    );
    let v = wave(p.len(), 1.1);
    let expected = host.push(&p, &q, &v);
    let pushed = device.push(&p, &q, &v);
    // The processor takes differences.
    assert_close(&name("J v"), &pushed, &expected, 1e-6);
    assert_eq!(
        device.push(&p, &q, &v),
        pushed,
        "a repeat gives the same bits"
    );
    let y = wave(expected.len(), 1.3);
    let expected = host.pull(&p, &q, &y);
    let pulled = device.pull(&p, &q, &y);
    assert_close(&name("J^T y"), &pulled, &expected, 1e-10);
    // What differences cannot show: the two products are of one matrix.
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let (left, right) = (dot(&pushed, &y), dot(&v, &pulled));
    assert!((left - right).abs() < 1e-10 * dot(&pushed, &pushed).sqrt() * dot(&y, &y).sqrt());
    // Nothing of this came from the processor.
    assert!(
        device.warnings().iter().all(|w| !w.contains("GPU")),
        "{:?}",
        device.warnings()
    );
}

#[test]
fn derivatives_are_those_of_the_processor() {
    for (name, more) in VARIANTS {
        compare(name, more);
    }
}

/// What runs under the sanitizers, in a process of its own.
#[test]
#[ignore = "run by failures::sanitizers_find_nothing"]
fn a_few_derivatives() {
    let (name, more) = VARIANTS[6];
    compare(name, more);
}

/// What is counted of the training: the derivatives of one model.
pub fn exercise() {
    let (name, more) = VARIANTS[0];
    compare(name, more);
}

/// Trains where the environment leads, and tells where and how the loss fell.
#[test]
#[ignore = "run by the other tests of this file"]
fn in_a_child() {
    let config = settings("optimizer lm\nneuron 4\nn_max 2 2\nbasis_size 3 3\nepochs 500\nbatch 2");
    let frames = frames();
    let options = TrainOptions {
        device: std::env::var("CASE_DEVICE").unwrap().parse().unwrap(),
        threads: Some(1),
        ..TrainOptions::default()
    };
    match train(&config, &frames, &frames[..2], options) {
        Ok(trained) => {
            println!(
                "ON {}",
                trained.device.as_deref().unwrap_or("the processor")
            );
            for r in &trained.history {
                println!(
                    "LOSS {} {} {:.17e} {:.17e}",
                    r.epoch,
                    r.method,
                    r.loss,
                    r.test.unwrap()[1]
                );
            }
            for warning in &trained.warnings {
                println!("WARNING {warning}");
            }
        }
        Err(e) => println!("ERROR {e}"),
    }
}

fn child(device: &str, environment: &[(&str, &str)]) -> String {
    child_of("training::in_a_child", device, environment)
}

fn child_of(test: &str, device: &str, environment: &[(&str, &str)]) -> String {
    let stand_in = stand_in();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env("NEPAL_CUDA_DRIVER", &stand_in.driver);
    command.env("NEPAL_NVRTC", &stand_in.nvrtc);
    command.env("NEPAL_KERNEL_CACHE", &stand_in.cache);
    command.env("CASE_DEVICE", device);
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{environment:?}\n{text}\n{errors}");
    text
}

/// Epoch and method of each record, and its numbers.
fn curve(text: &str) -> (Vec<String>, Vec<f64>) {
    let lines = text
        .lines()
        .filter_map(|l| l.split_once("LOSS ").map(|(_, l)| l));
    let words: Vec<Vec<&str>> = lines.map(|l| l.split(' ').collect()).collect();
    let steps = words.iter().map(|w| w[..2].join(" ")).collect();
    let numbers = words
        .iter()
        .flat_map(|w| w[2..].iter().map(|x| x.parse().unwrap()));
    (steps, numbers.collect())
}

#[test]
fn a_training_takes_the_same_way() {
    let host = child("none", &[]);
    assert!(host.contains("ON the processor"), "{host}");
    let (steps, losses) = curve(&host);
    // The descent and the first steps of the refinement; later ones end their conjugate gradients
    // sooner or later, for the processor's products are differences.
    let descent = steps.iter().filter(|s| s.contains("Adam")).count();
    assert!(descent > 20 && steps.len() > descent + 8, "{steps:?}");
    let first = descent + 3;
    let same = |text: &str| {
        let (own_steps, own) = curve(text);
        assert_eq!(own_steps[..first], steps[..first]);
        assert_close(
            "descent",
            &own[..2 * descent],
            &losses[..2 * descent],
            1e-10,
        );
        assert_close("first steps", &own[..2 * first], &losses[..2 * first], 1e-5);
        let last = |losses: &[f64]| losses[losses.len() - 2];
        assert_close("last loss", &[last(&own)], &[last(&losses)], 0.01);
    };
    let device = child("0", &[]);
    assert!(
        device.contains("ON stand-in 0") && !device.contains("GPU"),
        "{device}"
    );
    same(&device);
    assert_eq!(
        curve(&child("0", &[])),
        curve(&device),
        "a repeat gives the same bits"
    );
    // Too few atoms for a device that nobody named.
    assert!(child("auto", &[]).contains("ON the processor"));
    // With room for nothing, or lost on the way, the processor goes on.
    for environment in [("FAKE_CUDA_MEMORY", "400000"), ("FAKE_CUDA_LOSE", "900")] {
        let text = child("0", &[environment]);
        assert!(
            text.contains("the processor took over from the GPU"),
            "{text}"
        );
        same(&text);
    }
}

#[test]
fn a_device_that_cannot_be_used_is_an_error_if_it_was_named() {
    let text = child("5", &[]);
    assert!(
        text.contains("ERROR") && text.contains("no CUDA device 5"),
        "{text}"
    );
    let text = child(
        "0",
        &[("NEPAL_NVRTC", "/nowhere"), ("NEPAL_KERNEL_CACHE", "")],
    );
    assert!(text.contains("ERROR") && text.contains("NVRTC"), "{text}");
    assert!(
        "gpu"
            .parse::<Device>()
            .unwrap_err()
            .to_string()
            .contains("auto, none or a number")
    );
}

/// One gradient of many structures, with the number of launches that it takes.
#[test]
#[ignore = "run by structures_come_anew_where_memory_is_short"]
fn many_structures() {
    let config = settings("");
    let many: Vec<Frame> = (0..12).flat_map(others).collect();
    let set = LeastSquares::new(&config, &many, WEIGHTS, Device::Number(0)).unwrap();
    let p = wave(set.n_parameters(), 0.7);
    let q = vec![0.3; config.header().dim()];
    set.time_kernels(true);
    let (sum, gradient) = set.gradient(&p, &q);
    let kernels = set.kernel_times();
    let launches = kernels
        .iter()
        .filter(|(name, _)| *name == "nepal_train_gradient")
        .count();
    println!("LAUNCHES {launches}");
    let numbers: Vec<String> = gradient
        .iter()
        .chain([&sum])
        .map(|x| format!("{x:.17e}"))
        .collect();
    println!("NUMBERS {}", numbers.join(" "));
}

#[test]
fn structures_come_anew_where_memory_is_short() {
    let run = |memory: &str| {
        let text = child_of(
            "training::many_structures",
            "0",
            &[("FAKE_CUDA_MEMORY", memory)],
        );
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|l| l.split_once(name).map(|(_, l)| l));
            let words = line.unwrap_or_else(|| panic!("{text}")).split_whitespace();
            words
                .map(|x| x.parse::<f64>().unwrap())
                .collect::<Vec<f64>>()
        };
        (value("LAUNCHES")[0], value("NUMBERS"))
    };
    let (launches, whole) = run("4000000000");
    assert_eq!(launches, 1.0);
    // Each atom has more than two kilobytes of neighbours: not all fit at once.
    let (launches, parts) = run("2000000");
    assert!(launches > 4.0, "{launches}");
    assert_close("gradient", &parts, &whole, 1e-12);
}
