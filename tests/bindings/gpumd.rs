//! The class for GPUMD in a host that keeps its atoms as GPUMD does, and GPUMD's files.

use crate::build::{Language, library, soname};
use crate::install::run;
use crate::stand_in::stand_in;
use crate::support::{needs, root};
use nepal::grade::ActiveSet;
use nepal::system::xyz;
use nepal::{BackendKind, Calculator, Model, Request};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The compiler's arguments that all builds of the host share.
fn arguments(command: &mut Command, folder: &Path) {
    for name in ["libnepal.so".to_owned(), soname()] {
        let link = folder.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(library(), link).expect("a link to the library");
        }
    }
    command.arg(format!("-I{}", root().join("bindings/gpumd").display()));
    command.arg("-L").arg(folder).arg("-lnepal");
}

#[test]
#[needs(Cxx)]
fn a_host_with_gpumds_memory_gets_grades_a_halt_and_files() {
    run_the_host(&[]);
}

/// The same on a device that is stood in for: grades are made where the atoms are.
#[test]
#[needs(Cxx)]
fn grades_are_made_on_the_device() {
    let stand_in = stand_in();
    let paths = [
        ("NEPAL_CUDA_DRIVER", &stand_in.driver),
        ("NEPAL_NVRTC", &stand_in.nvrtc),
        ("NEPAL_KERNEL_CACHE", &stand_in.cache),
    ];
    run_the_host(&paths.map(|(name, path)| (name, path.as_path())));
}

/// The last with what NVRTC makes of the kernels.
#[test]
#[needs(Cxx, Nvrtc, Python3)]
fn grades_are_made_on_the_device_from_nvrtcs_ptx() {
    let stand_in = stand_in();
    let (nvrtc, cache) = (
        needs::nvrtc_file().expect("NVRTC"),
        tempfile::tempdir().expect("a folder"),
    );
    run_the_host(&[
        ("NEPAL_CUDA_DRIVER", &stand_in.driver),
        ("NEPAL_NVRTC", &stand_in.nvrtc),
        ("FAKE_NVRTC_REAL", &nvrtc),
        ("NEPAL_KERNEL_CACHE", cache.path()),
    ]);
}

/// Builds the host and looks at what it says and writes; with `device`, on the library's CUDA backend.
fn run_the_host(device: &[(&str, &Path)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("host");
    let mut compiler = Language::Cpp.command();
    compiler
        .arg(root().join("tests/bindings/gpumd_host.cpp"))
        .arg("-o")
        .arg(&program);
    arguments(&mut compiler, folder.path());
    run(&mut compiler);
    let data = root().join("examples/data");
    let output = run(Command::new(&program)
        .arg(&data)
        .arg(folder.path())
        .args((!device.is_empty()).then_some("cuda"))
        .envs(device.iter().copied())
        .env("LD_LIBRARY_PATH", folder.path()));
    assert!(output.contains(", halt\n"), "{output}");
    assert!(
        output.contains("open boundaries change the grade: yes"),
        "{output}"
    );
    assert!(
        output.contains("error: ") && output.contains("no/such/nep.txt"),
        "{output}"
    );

    // Every frame of the dump, by the library itself: GPUMD's columns, eight decimals.
    let model = Arc::new(Model::load(data.join("nep.txt")).unwrap());
    let set = ActiveSet::load(data.join("active_set.nas"), &model).unwrap();
    let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Reference).unwrap();
    let path = folder.path().join("extrapolation_dump.xyz");
    let text = std::fs::read_to_string(&path).expect("the dump");
    let second = text.lines().nth(1).expect("a second line");
    assert!(second.starts_with("max_gamma="), "{second}");
    assert!(
        second.ends_with("Properties=species:S:1:pos:R:3:gamma:R:1"),
        "{second}"
    );
    let frames = xyz::read_frames(&path).expect("the dump is extended XYZ");
    let lines: Vec<&str> = output.lines().filter(|l| l.starts_with("step ")).collect();
    assert!(lines.len() >= 3 && frames.len() >= 2, "{output}");
    // The device makes grades in mixed precision, once for all and once for the dump.
    let close = if device.is_empty() { 1e-5 } else { 1e-4 };
    let mut learned = false;
    for (frame, line) in frames.iter().rev().zip(lines.iter().rev()) {
        let (gamma, width) = frame.real_column("gamma").expect("the column");
        assert_eq!(width, 1);
        let largest = gamma.iter().fold(0.0, |a: f64, &b| a.max(b));
        let told: f64 = frame.info["max_gamma"].parse().expect("a number");
        let printed: f64 = line
            .split("grade ")
            .nth(1)
            .and_then(|rest| rest.trim_end_matches(", halt").parse().ok())
            .expect("a number");
        let close = |a: f64, b: f64| (a - b).abs() < close * b.max(1.0);
        assert!(close(largest, told) && close(told, printed), "{line}");
        learned |= largest > 5.0;
    }
    assert!(learned, "{output}");
    // The first dump came before anything was learned.
    calculator.set_active_set(Some(Arc::new(set))).unwrap();
    let found = calculator
        .compute(&frames[0].structure, Request::GRADES)
        .unwrap();
    let (gamma, _) = frames[0].real_column("gamma").expect("the column");
    crate::support::close::assert_close("gamma", gamma, &found.grade, 10.0 * close);

    let delivered: usize = output
        .lines()
        .find_map(|line| line.strip_prefix("fragments: "))
        .and_then(|n| n.parse().ok())
        .expect("a number");
    let fragments = xyz::read_frames(folder.path().join("fragments.xyz")).expect("fragments");
    assert_eq!(fragments.len(), delivered);
    assert!(fragments.iter().all(|f| f.force_mask.is_some()));
}

#[test]
#[needs(Nvcc, Cxx)]
fn the_class_compiles_against_the_cuda_runtime() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("host.cu");
    std::fs::copy(root().join("tests/bindings/gpumd_host.cpp"), &source).expect("a copy");
    run(Command::new(needs::nvcc().expect("nvcc"))
        .args([
            "-std=c++17",
            "-DNEPAL_GPUMD_CUDA",
            "-Xcompiler",
            "-Wall,-Wextra",
            "-c",
        ])
        .arg(format!("-I{}", root().join("include").display()))
        .arg(format!("-I{}", root().join("bindings/cpp").display()))
        .arg(format!("-I{}", root().join("bindings/gpumd").display()))
        .arg(&source)
        .arg("-o")
        .arg(folder.path().join("host.o")));
}

/// As GPUMD's manual has it: an input file with masses, velocities and groups.
const MODEL_XYZ: &str = r#"4
pbc="T T F" Lattice="5.5 0.0 0.0 0.0 6.0 0.1 0.2 0.0 20.0" Properties=species:S:1:pos:R:3:mass:R:1:vel:R:3:group:I:2
Si 0.10000000 0.20000000 10.0 28.085 0.001 0.0 -0.002 0 1
Si 2.40000000 0.10000000 10.2 28.085 0.000 0.0 0.001 0 1
Si 0.20000000 2.50000000 9.8 28.085 0.000 0.003 0.000 1 0
Si 2.50000000 2.60000000 10.1 28.085 0.002 0.0 0.000 1 0
"#;

#[test]
fn model_xyz_is_read_and_its_columns_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.xyz");
    std::fs::write(&path, MODEL_XYZ).expect("a file");
    let frames = xyz::read_frames(&path).expect("GPUMD's model.xyz");
    assert_eq!(frames[0].structure.cell.periodic(), [true, true, false]);
    assert_eq!(frames[0].structure.cell.vectors()[2], [0.2, 0.0, 20.0]);
    assert_eq!(frames[0].real_column("vel").expect("velocities").1, 3);
    let again = folder.path().join("again.xyz");
    xyz::write_frames(&again, &frames).expect("written");
    assert_eq!(xyz::read_frames(&again).expect("read"), frames);
    let text = std::fs::read_to_string(&again).expect("text");
    for part in ["mass:R:1", "vel:R:3", "group:I:2", "pbc=\"T T F\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
