//! What NVRTC makes of the kernels, run on the processor: `ptx.py` translates its PTX, and the tests of
//! the kernels run on that, with its own fragments of matrices, its own warps and guard pages.
//! `NEPAL_TEST_NVRTC` names files of further releases of NVRTC, as a search path; then all models and all
//! variants of the training run, on each of them.
#![allow(unsafe_code)]

use crate::stand_in::stand_in;
use crate::support::needs;
use nepal_cuda::Compiler;
use std::ffi::{c_ulong, c_void};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The releases to run: the one that is installed, and those that are named.
fn releases() -> Vec<PathBuf> {
    let named = std::env::var_os("NEPAL_TEST_NVRTC").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
    needs::nvrtc_file().into_iter().chain(named).collect()
}

/// Tests of this suite, by the start of their names, on the PTX of a release.
pub fn on_ptx(nvrtc: &Path, tests: &str, environment: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([tests, "--include-ignored", "--test-threads=1"]);
    command.env("FAKE_NVRTC_REAL", nvrtc);
    command.envs(environment.iter().copied()).output().unwrap()
}

fn all_pass(tests: &[&str], more: &[&str]) {
    let releases = releases();
    let more = if releases.len() > 1 { more } else { &[] };
    for nvrtc in releases {
        for tests in tests.iter().chain(more) {
            let output = on_ptx(&nvrtc, tests, &[]);
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            let name = nvrtc.display();
            assert!(output.status.success(), "{name}: {tests}: {text}\n{errors}");
            assert!(!text.contains(" 0 passed"), "{name}: no test {tests}");
        }
    }
}

#[test]
#[needs(Nvrtc, Cxx, Python3)]
fn evaluation_on_the_ptx_of_nvrtc() {
    let tests = [
        "variants::a_few",
        "resident::",
        "hosted::",
        "waits::",
        "motion::",
        "promises::",
        "kinds::d3",
    ];
    all_pass(&tests, &["variants::", "kinds::"]);
}

#[test]
#[needs(Nvrtc, Cxx, Python3)]
fn grades_and_training_on_the_ptx_of_nvrtc() {
    let tests = [
        "grades::",
        "volume::",
        "threshold::",
        "training::a_few",
        "training::a_training",
    ];
    all_pass(&tests, &["training::derivatives"]);
}

/// Faults that the translated code has to stop at, one a kernel, and a kernel without any.
const FAULTS: &str = r#"
struct A { double *p; unsigned long long n; };
#define KERNEL extern "C" __global__ void
KERNEL fine(const A a) { a.p[threadIdx.x % a.n] = __shfl_xor_sync(0xffffffffu, a.p[threadIdx.x % a.n], 1); }
KERNEL misaligned(const A a) { *(double2 *)(a.p + 1) = make_double2(a.n, 0); }
KERNEL beyond(const A a) { a.p[a.n + threadIdx.x] = 1; }
KERNEL before(const A a) { a.p[-512] = 1; }
KERNEL left(const A a) {
    if (threadIdx.x == 5) return;
    a.p[threadIdx.x % a.n] = __shfl_xor_sync(0xffffffffu, a.p[0], 1);
}
KERNEL different(const A a) {
    double x = a.p[threadIdx.x % a.n];
    if (threadIdx.x % 2) x = __shfl_xor_sync(0xffffffffu, 2 * x, 1);
    else for (int k = 0; k < a.n; ++k) x += __shfl_xor_sync(0xffffffffu, x * x, 2);
    a.p[threadIdx.x % a.n] = x;
}
KERNEL own_array(const A a) {
    double own[4] = {1, 2, 3, 4};
    a.p[0] = own[a.n + threadIdx.x % 4];
}
"#;

/// One of the kernels above, on 32 threads and 8 doubles of the stand-in's memory.
#[test]
#[ignore = "run by what_is_wrong_stops_the_translated_code"]
fn a_fault() {
    let stand_in = stand_in();
    let file = PathBuf::from(std::env::var_os("CASE_LIBRARY").unwrap());
    if !file.exists() {
        let compiler = Compiler::open(Some(&stand_in.nvrtc), 90).unwrap();
        let compiled = compiler.compile(FAULTS, "sm_90");
        let (image, _) = compiled.unwrap_or_else(|e| panic!("{e}"));
        // "HOSTCODE", length, shared library.
        std::fs::write(&file, &image[16..]).unwrap();
    }
    let kernel = format!("launch_{}", std::env::var("CASE_KERNEL").unwrap());
    type Launch = unsafe extern "C" fn(u32, u32, c_ulong, *mut *mut c_void);
    // SAFETY: the functions of the stand-in have the driver's types, and launchers this one.
    unsafe {
        let driver = libloading::Library::new(&stand_in.driver).unwrap();
        let call = |name: &str| *driver.get::<*const c_void>(name.as_bytes()).unwrap();
        let init: extern "C" fn(u32) -> i32 = std::mem::transmute(call("cuInit"));
        let retain: extern "C" fn(*mut *mut c_void, i32) -> i32 =
            std::mem::transmute(call("cuDevicePrimaryCtxRetain"));
        let push: extern "C" fn(*mut c_void) -> i32 =
            std::mem::transmute(call("cuCtxPushCurrent_v2"));
        let allocate: extern "C" fn(*mut u64, usize) -> i32 =
            std::mem::transmute(call("cuMemAlloc_v2"));
        let mut context = std::ptr::null_mut();
        let mut memory = [0u64, 8];
        let done = [
            init(0),
            retain(&mut context, 0),
            push(context),
            allocate(&mut memory[0], 64),
        ];
        assert_eq!(done, [0; 4]);
        let library = libloading::Library::new(&file).unwrap();
        let launch: libloading::Symbol<'_, Launch> = library.get(kernel.as_bytes()).unwrap();
        let mut parameters = [memory.as_mut_ptr().cast::<c_void>()];
        launch(1, 32, 1, parameters.as_mut_ptr());
    }
    println!("DONE");
}

#[test]
#[needs(Nvrtc, Cxx, Python3)]
fn what_is_wrong_stops_the_translated_code() {
    let cases = [
        ("fine", ""),
        ("misaligned", "an access is not aligned"),
        ("beyond", "not in what was allocated"),
        ("before", "not in what was allocated"),
        ("left", "some have left"),
        ("different", "wait at different places"),
        ("own_array", "outside of its array"),
    ];
    for nvrtc in releases() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("faults.so");
        for (kernel, fault) in cases {
            let environment = [
                ("CASE_KERNEL", Path::new(kernel)),
                ("CASE_LIBRARY", &library),
            ];
            let output = on_ptx(&nvrtc, "ptx::a_fault", &environment);
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                text.contains("DONE"),
                fault.is_empty(),
                "{kernel}: {text}{errors}"
            );
            assert!(errors.contains(fault), "{kernel}: {text}{errors}");
        }
    }
}
