//! Instructions and memory lines of the kernels, counted as their PTX runs on the processor: a change
//! for the worse shows without a device.

use crate::support::{gas, model, needs, root};
use crate::variants::backend;
use crate::{grades, ptx, training};
use nepal::{Calculator, Precision, Request};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is counted: models with the spacing (Å) of a grid of about their density, and the other parts.
const SYSTEMS: [(&str, f64); 4] = [
    ("pbte_nep_train", 3.28),
    ("c_2024_nep4", 1.78),
    ("grades", 0.0),
    ("training", 0.0),
];

/// Counted in a process of its own, which has nothing else to count.
#[test]
#[ignore = "run by counts_are_those_that_are_kept"]
fn counted() {
    let system = std::env::var("CASE_SYSTEM").unwrap();
    match SYSTEMS.into_iter().find(|(name, _)| *name == system) {
        Some(("grades", _)) => grades::exercise(),
        Some(("training", _)) => training::exercise(),
        Some((folder, edge)) => {
            let model = model(folder);
            let structure = gas::rattled(model.elements(), [8; 3], edge, [true; 3]);
            let backend = Box::new(backend(Precision::Mixed));
            let mut cuda = Calculator::with_backend(Arc::clone(&model), backend);
            cuda.compute(&structure, Request::FORCES).unwrap();
        }
        None => panic!("{system}"),
    }
}

/// Numbers by name, of each kernel.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

fn count(system: &str, nvrtc: &Path) -> Counts {
    let file = tempfile::NamedTempFile::new().unwrap();
    let environment = [
        ("FAKE_CUDA_COUNTS", file.path()),
        ("CASE_SYSTEM", Path::new(system)),
    ];
    let output = ptx::on_ptx(nvrtc, "counts::counted", &environment);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{system}: {text}");
    let mut all = Counts::new();
    for line in std::fs::read_to_string(file.path()).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let own = all.entry(words[0].to_owned()).or_default();
        for pair in words[1..].chunks_exact(2) {
            *own.entry(pair[0].to_owned()).or_default() += pair[1].parse::<u64>().unwrap();
        }
    }
    all
}

const CLASSES: [&str; 10] = [
    "integer", "single", "double", "special", "branch", "load", "store", "atomic", "warp", "matrix",
];

fn table(nvrtc: &Path) -> String {
    let version = nepal_cuda::Compiler::open(Some(nvrtc), 90)
        .unwrap()
        .version();
    let mut text = format!(
        "# What the kernels do\n\nCounted as the PTX of NVRTC {}.{} for sm_90 runs on the processor (tests/device/counts.rs): \
         instructions that a warp issues, by class; the 128-byte lines that its loads and stores touch (16 bytes a lane \
         go in quarters of a warp, 8 in halves). Mixed precision. `NEPAL_BLESS=1 cargo test -p nepal-loop --test device \
         counts` writes this file; without the variable the test compares, to 2 %.\n\n\
         | system | kernel | warps | instructions | {} | lines |\n|---|---|{}\n",
        version[0],
        version[1],
        CLASSES.join(" | "),
        "---:|".repeat(CLASSES.len() + 3)
    );
    for (system, _) in SYSTEMS {
        for (kernel, counts) in count(system, nvrtc) {
            let each =
                |name: &str| (counts[name] as f64 / counts["warps"] as f64 * 10.0).round() / 10.0;
            let classes: Vec<String> = CLASSES.iter().map(|name| each(name).to_string()).collect();
            let all: u64 = CLASSES.iter().map(|name| counts[*name]).sum();
            text += &format!(
                "| {system} | {kernel} | {} | {} | {} | {} |\n",
                counts["warps"],
                all / counts["warps"],
                classes.join(" | "),
                each("lines")
            );
        }
    }
    text
}

/// Whether two lines of the table differ by no more than rounding and 2 %.
fn alike(a: &str, b: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split(" | ").collect(), b.split(" | ").collect());
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| {
            let number = |x: &str| x.trim_end_matches(" |").parse::<f64>().ok();
            match (number(a), number(b)) {
                (Some(a), Some(b)) => (a - b).abs() <= 0.02 * a.max(b) + 0.2,
                _ => a == b,
            }
        })
}

#[test]
#[needs(Nvrtc, Cxx, Python3)]
fn counts_are_those_that_are_kept() {
    let nvrtc = needs::nvrtc_file().unwrap();
    let text = table(&nvrtc);
    let file = root().join("benches/results/cuda-counts.md");
    if std::env::var_os("NEPAL_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    // Another release may count otherwise.
    let release = |text: &str| {
        text.lines()
            .nth(2)
            .map(|line| line.split(" for ").next().unwrap_or_default().to_owned())
    };
    if release(&kept) != release(&text) {
        println!("the counts that are kept are of another NVRTC");
        return;
    }
    let differing: Vec<_> = text
        .lines()
        .zip(kept.lines())
        .filter(|(a, b)| !alike(a, b))
        .collect();
    assert!(
        differing.is_empty() && text.lines().count() == kept.lines().count(),
        "run with NEPAL_BLESS=1 and look at the difference; now and kept: {differing:#?}"
    );
}

#[test]
fn tables_are_alike_to_two_percent() {
    let line = "| grades | nepal_x | 4 | 1000 | 3.5 |";
    assert!(alike(line, "| grades | nepal_x | 4 | 1019 | 3.5 |"));
    assert!(!alike(line, "| grades | nepal_x | 4 | 1030 | 3.5 |"));
    assert!(!alike(line, "| grades | nepal_y | 4 | 1000 | 3.5 |"));
    assert!(!alike(line, "| grades | nepal_x | 4 | 1000 | 4.5 |"));
}
