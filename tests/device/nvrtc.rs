//! The real NVRTC, where it is installed, on every kernel.

use crate::support::{model, needs, root};
use nepal::Precision;
use nepal_cuda::Compiler;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The devices that code is made for here: A100, H100 and H200, B200.
const TARGETS: [u32; 3] = [80, 90, 100];

fn nvrtc() -> Compiler {
    Compiler::open(needs::nvrtc().as_deref(), 100).unwrap_or_else(|e| panic!("{e}"))
}

/// Registers, bytes of stack and bytes of spills of each kernel, from the assembler's log.
fn resources(log: &str) -> Resources {
    let number = |line: &str, before: &str| -> usize {
        let end = line
            .find(before)
            .unwrap_or_else(|| panic!("no {before} in {line}"));
        let words = line[..end].split_whitespace();
        words
            .last()
            .and_then(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("{line}"))
    };
    let mut all = BTreeMap::new();
    let mut name = String::new();
    let mut own = [0; 3];
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            name = rest.split('\'').next().unwrap_or_default().to_owned();
        } else if line.contains("bytes stack frame") {
            own[1] = number(line, "bytes stack frame");
            own[2] = number(line, "bytes spill stores");
        } else if line.contains(" registers") {
            own[0] = number(line, "registers");
            all.insert(name.clone(), own);
        }
    }
    all
}

/// Compiles the kernels of a model; gives their resources.
fn compile(nvrtc: &Compiler, folder: &str, precision: Precision, arch: u32) -> Resources {
    let target = nvrtc.target(arch).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(target, format!("sm_{arch}"));
    let mut all = BTreeMap::new();
    for source in Compiler::sources(&model(folder), precision) {
        // Some texts are those of all models.
        let key = (source.clone(), arch);
        if let Some(found) = known().get(&key) {
            all.extend(found.clone());
            continue;
        }
        let compiled = nvrtc.compile(&source, &target);
        let (image, log) =
            compiled.unwrap_or_else(|e| panic!("{folder} {precision:?} sm_{arch}: {e}"));
        assert!(
            image.starts_with(b"\x7fELF"),
            "{folder} {precision:?} sm_{arch}"
        );
        let found = resources(&log);
        let kernels = source.matches("\nNEPAL_KERNEL ").count();
        assert_eq!(found.len(), kernels, "{log}");
        known().insert(key, found.clone());
        all.extend(found);
    }
    all
}

/// Registers, bytes of stack and bytes of spills, by kernel.
type Resources = BTreeMap<String, [usize; 3]>;

/// What texts took of a device.
fn known() -> MutexGuard<'static, BTreeMap<(String, u32), Resources>> {
    static KNOWN: Mutex<BTreeMap<(String, u32), Resources>> = Mutex::new(BTreeMap::new());
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every kernel of the benchmarks' models compiles for every device, and what they take of it is
/// what `benches/results/cuda-registers.md` says. `NEPAL_BLESS=1` writes that file.
#[test]
#[needs(Nvrtc)]
fn nvrtc_compiles_every_kernel() {
    let nvrtc = nvrtc();
    let [major, minor] = nvrtc.version();
    const MODELS: [(&str, &str); 4] = [
        ("carbon", "c_2024_nep4"),
        ("silicon", "si_2022_nep4_3body"),
        ("PbTe", "pbte_nep_train"),
        ("UNEP-v1", "unep_v1_16_metals"),
    ];
    let mut text = format!(
        "# What the kernels take of a device\n\nRegisters / bytes of spills a thread, from the assembler's log of NVRTC {}.{} \
         (`NEPAL_BLESS=1 cargo test --test device nvrtc_compiles` writes this file; without the variable the test compares).\n",
        major, minor
    );
    let mut tables = BTreeMap::new();
    for arch in TARGETS {
        for (name, folder) in MODELS {
            // The other precision and the other devices differ little: one each suffices.
            let precisions: &[Precision] = match (arch, name) {
                (90, "PbTe") => &[Precision::Mixed, Precision::F64],
                (90, _) | (_, "PbTe") => &[Precision::Mixed],
                _ => &[],
            };
            for &precision in precisions {
                let found = compile(&nvrtc, folder, precision, arch);
                let column = format!(
                    "{name} sm_{arch}{}",
                    if precision == Precision::F64 {
                        " f64"
                    } else {
                        ""
                    }
                );
                for (kernel, [registers, _, spills]) in found {
                    tables
                        .entry(kernel)
                        .or_insert_with(BTreeMap::new)
                        .insert(column.clone(), format!("{registers} / {spills}"));
                }
            }
        }
    }
    let columns: Vec<&String> = tables
        .values()
        .next()
        .map(|row| row.keys().collect())
        .unwrap_or_default();
    let heads: Vec<&str> = columns.iter().map(|c| c.as_str()).collect();
    text += &format!(
        "\n| kernel | {} |\n|---|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for (kernel, row) in &tables {
        let cells: Vec<&str> = row.values().map(String::as_str).collect();
        text += &format!("| {kernel} | {} |\n", cells.join(" | "));
    }
    let file = root().join("benches/results/cuda-registers.md");
    if std::env::var_os("NEPAL_BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    println!("{text}");
    // Another version of the compiler may count otherwise.
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    if kept.contains(&format!("NVRTC {}.{} ", major, minor)) {
        assert_eq!(
            text, kept,
            "run with NEPAL_BLESS=1 and look at the difference"
        );
    }
}

/// The other variants, for one device.
#[test]
#[needs(Nvrtc)]
fn nvrtc_compiles_every_variant() {
    let nvrtc = nvrtc();
    for folder in [
        "synthetic_variants/nep4_all_higher_body",
        "synthetic_variants/nep4_lmax8",
        "synthetic_variants/nep4_two_hidden_layers",
        "synthetic_variants/nep5_zbl",
        "synthetic_variants/nep4_charge_vdw",
        "synthetic_variants/nep3_polarizability",
    ] {
        compile(&nvrtc, folder, Precision::Mixed, 90);
    }
    let done = nvrtc.compile(&Compiler::correction(), "sm_90");
    done.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
#[needs(Nvrtc)]
fn devices_that_nvrtc_does_not_know_get_ptx() {
    let nvrtc = nvrtc();
    let target = nvrtc.target(999).unwrap_or_else(|e| panic!("{e}"));
    let known = target
        .strip_prefix("compute_")
        .unwrap_or_else(|| panic!("{target}"));
    assert!(known.parse::<u32>().is_ok_and(|arch| arch >= 120));
    let source = "extern \"C\" __global__ void nothing() {}";
    let compiled = nvrtc.compile(source, &target);
    let (image, _) = compiled.unwrap_or_else(|e| panic!("{e}"));
    assert!(String::from_utf8_lossy(&image).contains(".entry nothing"));
    assert!(nvrtc.target(10).unwrap_err().to_string().contains("1.0"));
    let wrong = nvrtc.compile("nonsense", "sm_90");
    assert!(wrong.unwrap_err().to_string().contains("nepal.cu(1)"));
}
