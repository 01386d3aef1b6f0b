//! Everything that can be missing or go wrong: a sentence with a remedy, nothing lost.

use crate::resident::Arrays;
use crate::stand_in::stand_in;
use crate::support::{self, gas};
use nepal::{BackendKind, Calculator, Error, Precision, Request};
use nepal_cuda::{Cuda, Options};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

pub const FOLDER: &str = "synthetic_variants/nep4_minimal";

/// Evaluates on a backend, then on the CPU, which has to work whatever happened before.
fn evaluate(options: Options) -> nepal::Result<()> {
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [3, 3, 3], 2.9, [true; 3]);
    let done = Cuda::new(options, Precision::Mixed).and_then(|cuda| {
        let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
        for _ in 0..3 {
            cuda.compute(&structure, Request::FORCES)?;
        }
        Ok(())
    });
    support::calculator(&model, BackendKind::default_for_build())
        .compute(&structure, Request::FORCES)
        .unwrap();
    done
}

/// The message of what has to fail as a backend.
fn failure(options: Options) -> String {
    match evaluate(options) {
        Err(Error::Backend(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// One case in a process of its own, whose environment rules the stand-in.
#[test]
#[ignore = "run by the other tests of this file"]
fn in_a_child() {
    let mut options = stand_in().options();
    if std::env::var_os("CASE_NO_CACHE").is_some() {
        options.cache = None;
    }
    if let Some(folder) = std::env::var_os("CASE_NVRTC") {
        options.nvrtc = Some(folder.into());
    }
    match evaluate(options) {
        Ok(()) => println!("DONE"),
        Err(Error::Backend(message)) => println!("BACKEND {message}"),
        Err(other) => panic!("{other:?}"),
    }
}

pub fn child(test: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{environment:?}\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

pub fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let stand_in = stand_in();
    let nowhere = PathBuf::from("/nowhere/libcuda.so.1");
    let mut options = stand_in.options();
    options.driver = Some(nowhere.clone());
    assert_says(
        &failure(options),
        &["no CUDA driver", "/nowhere/libcuda.so.1", "cpu backend"],
    );
    let mut options = stand_in.options();
    options.driver = Some(stand_in.nvrtc.clone());
    assert_says(&failure(options), &["no function cuInit", "update"]);
    let mut options = stand_in.options();
    options.device = 7;
    assert_says(&failure(options), &["no CUDA device 7", "reports 2"]);
    let mut options = stand_in.options();
    options.nvrtc = Some(nowhere);
    let empty = tempfile::tempdir().unwrap();
    options.cache = Some(empty.path().to_owned());
    // The kernels of another test may be in this process's memory; those of this case are not.
    let model = support::model("synthetic_variants/nep4_1111_without_222");
    let structure = gas::rattled(model.elements(), [2, 2, 2], 2.9, [true; 3]);
    let cuda = Cuda::new(options, Precision::Mixed).unwrap();
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    let error = cuda.compute(&structure, Request::FORCES).unwrap_err();
    assert_says(
        &error.to_string(),
        &["NVRTC", "pip install nvidia-cuda-nvrtc-cu12", "NEPAL_NVRTC"],
    );
}

#[test]
fn what_goes_wrong_is_told() {
    let run = |environment: &[(&str, &str)]| child("failures::in_a_child", environment);
    assert_says(&run(&[]), &["DONE"]);
    let text = run(&[("FAKE_CUDA_DEVICES", "0")]);
    assert_says(
        &text,
        &["CUDA_ERROR_NO_DEVICE (100)", "nvidia-smi", "cpu backend"],
    );
    let text = run(&[("FAKE_CUDA_VERSION", "10020")]);
    assert_says(&text, &["CUDA 10.2", "needs 11.0"]);
    let text = run(&[("FAKE_CUDA_VERSION", "11080"), ("CASE_NO_CACHE", "1")]);
    assert_says(
        &text,
        &[
            "of CUDA 12.8 and the driver of CUDA 11.8",
            "nvidia-cuda-nvrtc-cu11",
        ],
    );
    let text = run(&[("FAKE_CUDA_MEMORY", "20000")]);
    assert_says(
        &text,
        &[
            "stand-in 0 is out of memory",
            "MB more are needed",
            "fewer atoms",
        ],
    );
    let text = run(&[("FAKE_CUDA_TAKEN", "1")]);
    assert_says(&text, &["(46)", "another process", "cpu backend"]);
    // Lost at the first launch, in the middle, and between two steps.
    for launches in ["0", "12", "45"] {
        let text = run(&[("FAKE_CUDA_LOSE", launches)]);
        assert_says(
            &text,
            &[
                "CUDA_ERROR_ILLEGAL_ADDRESS (700)",
                "start again from the last saved state",
            ],
        );
    }
}

#[test]
fn kernels_are_kept_on_disk() {
    let stand_in = stand_in();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/cache");
    let file = |cache: &Path| {
        let mut files = std::fs::read_dir(cache).unwrap();
        files.next().unwrap().unwrap().path()
    };
    let run = |cache: &Path, nvrtc: &Path| {
        let environment = [
            ("NEPAL_CUDA_DRIVER", stand_in.driver.as_path()),
            ("NEPAL_NVRTC", nvrtc),
            ("NEPAL_KERNEL_CACHE", cache),
        ];
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "failures::by_the_environment",
            "--ignored",
            "--nocapture",
        ]);
        let output = command.envs(environment).output().unwrap();
        output.status.success()
    };
    assert!(run(&cache, &stand_in.nvrtc));
    // With the file, the compiler is not needed.
    assert!(run(&cache, Path::new("/nowhere")));
    // A damaged file is not used, and replaced.
    let kept = file(&cache);
    let whole = std::fs::read(&kept).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&kept, &damaged).unwrap();
    assert!(!run(&cache, Path::new("/nowhere")));
    assert!(run(&cache, &stand_in.nvrtc));
    assert!(run(&cache, Path::new("/nowhere")));
    // A folder that cannot be made is no error.
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    assert!(run(&blocked.join("cache"), &stand_in.nvrtc));
}

/// A calculator that finds everything by the environment.
#[test]
#[ignore = "run by kernels_are_kept_on_disk"]
fn by_the_environment() {
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [2, 2, 2], 2.9, [true; 3]);
    let mut cuda = Calculator::new(Arc::clone(&model), BackendKind::Cuda).unwrap();
    assert_eq!(cuda.backend_name(), "cuda");
    let names = nepal_cuda::devices().unwrap();
    assert_eq!(names, ["stand-in 0", "stand-in 1"]);
    cuda.compute(&structure, Request::FORCES).unwrap();
}

/// The newest of a folder may be too old for the device: one that knows it is taken.
#[test]
fn an_nvrtc_that_knows_the_device_is_preferred() {
    let stand_in = stand_in();
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let environment = [
            ("CASE_NVRTC", folder.path().to_str().unwrap()),
            ("CASE_NO_CACHE", "1"),
        ];
        child("failures::in_a_child", &environment)
    };
    std::fs::copy(&stand_in.nvrtc, folder.path().join("libnvrtc.so.old")).unwrap();
    // Alone, it is asked for PTX, which the stand-in has not.
    assert_says(&run(), &["BACKEND NVRTC", "status 5"]);
    std::fs::copy(&stand_in.nvrtc, folder.path().join("libnvrtc.so.12")).unwrap();
    assert_says(&run(), &["DONE"]);
}

/// A number that the stand-in counts.
#[allow(unsafe_code)]
fn handed_over() -> std::ffi::c_long {
    // SAFETY: the library is the stand-in, whose function has this type.
    unsafe {
        let library = libloading::Library::new(&stand_in().driver).unwrap();
        let count: libloading::Symbol<'_, unsafe extern "C" fn() -> std::ffi::c_long> =
            library.get(b"fakeCudaHandedOver").unwrap();
        count()
    }
}

/// The caller may do what it likes with its arrays after a call that failed: its stream then is behind
/// all that was begun.
#[test]
fn a_failed_call_hands_the_stream_over() {
    child("failures::a_failed_call", &[]);
}

#[test]
#[ignore = "run by a_failed_call_hands_the_stream_over"]
#[allow(unsafe_code)]
fn a_failed_call() {
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [3, 2, 2], 2.9, [true; 3]);
    let mut cuda = Cuda::new(stand_in().options(), Precision::F64).unwrap();
    let mut arrays = Arrays::new(&structure, true);
    let types = vec![99i32; structure.len()];
    let atoms = arrays.atoms(&structure, &types);
    let results = arrays.results(false, false);
    let before = handed_over();
    // SAFETY: on the stand-in a device array is any array, and these are as large as said.
    let done = unsafe { cuda.compute_on_device(&model, None, &atoms, &results) };
    assert!(done.is_err());
    assert_eq!(handed_over() - before, 1);
}

/// An array of the host would end the context of the program that gave it.
#[test]
fn arrays_of_the_host_are_told_from_those_of_the_device() {
    let text = child(
        "failures::an_array_of_the_host",
        &[("FAKE_CUDA_STRICT", "1")],
    );
    assert_says(
        &text,
        &[
            "`positions` (0x",
            "no address on stand-in 0",
            "nepal_calculator_compute",
        ],
    );
}

#[test]
#[ignore = "run by arrays_of_the_host_are_told_from_those_of_the_device"]
#[allow(unsafe_code)]
fn an_array_of_the_host() {
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [3, 2, 2], 2.9, [true; 3]);
    let mut cuda = Cuda::new(stand_in().options(), Precision::F64).unwrap();
    let mut arrays = Arrays::new(&structure, true);
    let types = vec![0i32; structure.len()];
    let atoms = arrays.atoms(&structure, &types);
    let results = arrays.results(false, false);
    // SAFETY: on the stand-in a device array is any array, and these are as large as said.
    let done = unsafe { cuda.compute_on_device(&model, None, &atoms, &results) };
    println!("{}", done.unwrap_err());
    // Nothing is lost: the same calculator takes arrays of the host where they belong.
    let mut calculator = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    calculator.compute(&structure, Request::FORCES).unwrap();
}

/// Memory and streams are given back; the driver and a context of each device stay for the life of the
/// process.
#[test]
fn nothing_but_contexts_is_left_on_the_device() {
    let text = child("failures::state_after", &[]);
    assert_says(&text, &["left 0 bytes, 2 contexts"]);
}

/// Uses two devices and several calculators, then asks the stand-in what is left.
#[test]
#[ignore = "run by nothing_but_contexts_is_left_on_the_device"]
fn state_after() {
    let stand_in = stand_in();
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [3, 2, 2], 2.9, [true; 3]);
    let threads: Vec<_> = (0..4)
        .map(|k| {
            let (model, structure) = (Arc::clone(&model), structure.clone());
            let mut options = stand_in.options();
            options.device = k % 2;
            std::thread::spawn(move || {
                let cuda = Cuda::new(options, Precision::F64).unwrap();
                let mut cuda = Calculator::with_backend(model, Box::new(cuda));
                cuda.compute(&structure, Request::FORCES).unwrap().energy
            })
        })
        .collect();
    let energies: Vec<f64> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert!(energies.iter().all(|e| *e == energies[0]));
    // SAFETY: the library is the stand-in, whose function has this type.
    #[allow(unsafe_code)]
    let (bytes, contexts) = unsafe {
        let library = libloading::Library::new(&stand_in.driver).unwrap();
        let state: libloading::Symbol<'_, unsafe extern "C" fn(*mut usize, *mut std::ffi::c_long)> =
            library.get(b"fakeCudaState").unwrap();
        let (mut bytes, mut contexts) = (1, 1);
        state(&mut bytes, &mut contexts);
        (bytes, contexts)
    };
    println!("left {bytes} bytes, {contexts} contexts");
}

/// The kernels under the address and undefined-behaviour sanitizers: device memory is the host's, so
/// every access outside an allocation is found.
#[test]
#[needs(Cxx, Libasan)]
fn sanitizers_find_nothing() {
    let library = support::needs::libasan().unwrap().display().to_string();
    let flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -g1";
    for test in [
        "variants::a_few_models",
        "grades::a_few_grades",
        "training::a_few_derivatives",
    ] {
        child(
            test,
            &[
                ("NEPAL_HOST_FLAGS", flags),
                ("FAKE_NVRTC_FLAGS", flags),
                ("LD_PRELOAD", &library),
                ("ASAN_OPTIONS", "detect_leaks=0"),
            ],
        );
    }
}
