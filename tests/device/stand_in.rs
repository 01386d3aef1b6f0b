//! Libraries that stand in for the CUDA driver and NVRTC: kernels are compiled by the C++ compiler
//! and run on the host.

// Some programs that include this have it already, others do not.
#[allow(clippy::duplicate_mod)]
#[path = "../support/root.rs"]
mod root;

use root::root;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The two libraries and a folder for kernels.
pub struct StandIn {
    pub driver: PathBuf,
    pub nvrtc: PathBuf,
    pub cache: PathBuf,
}

/// The stand-in; none without a C++ compiler, which is told.
pub fn stand_in() -> Option<&'static StandIn> {
    static MADE: OnceLock<Option<StandIn>> = OnceLock::new();
    MADE.get_or_init(make).as_ref()
}

fn make() -> Option<StandIn> {
    if Command::new("c++").arg("--version").output().is_err() {
        let wanted = std::env::var("NEPAL_REQUIRE").unwrap_or_default();
        assert!(
            !wanted.split(',').any(|name| name == "c++"),
            "no c++ was found"
        );
        eprintln!("SKIPPED: needs c++");
        return None;
    }
    let flags = std::env::var("NEPAL_HOST_FLAGS").unwrap_or_default();
    let name = if flags.is_empty() {
        "host"
    } else {
        "host-checked"
    };
    let folder = option_env!("CARGO_TARGET_TMPDIR").map_or_else(
        // The library's own tests are not told.
        || root().join("target/tmp"),
        PathBuf::from,
    );
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let sources = root().join("tests/device/host");
    let build = |source: &str, library: &str| {
        let out = folder.join(library);
        // Other test processes may have the library open.
        let fresh = folder.join(format!("{library}.{}", std::process::id()));
        let shim = format!("-DSHIM=\"{}\"", sources.join("shim.h").display());
        let done = Command::new("c++")
            .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", &shim])
            .args(flags.split_whitespace())
            .arg("-o")
            .arg(&fresh)
            .arg(sources.join(source))
            .args(["-ldl"])
            .output()
            .expect("c++ runs");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        std::fs::rename(&fresh, &out).expect("a rename");
        out
    };
    Some(StandIn {
        driver: build("driver.cpp", "libcuda.so.1"),
        nvrtc: build("nvrtc.cpp", "libnvrtc.so.12"),
        cache: folder.join("kernels"),
    })
}
