//! Libraries that stand in for the CUDA driver and NVRTC: kernels are compiled by the C++ compiler
//! and run on the host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The two libraries and a folder for kernels.
pub struct StandIn {
    pub driver: PathBuf,
    pub nvrtc: PathBuf,
    pub cache: PathBuf,
}

/// The stand-in, made for this process.
pub fn stand_in() -> &'static StandIn {
    static MADE: LazyLock<StandIn> = LazyLock::new(make);
    &MADE
}

fn make() -> StandIn {
    // The library's own tests have this file as well, but neither `support` nor the next variable.
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = above.find(|folder| folder.join("tests/device/host").is_dir());
    let root = root.expect("packages lie in the repository");
    let flags = std::env::var("NEPAL_HOST_FLAGS").unwrap_or_default();
    let name = if flags.is_empty() {
        "host"
    } else {
        "host-checked"
    };
    let own = option_env!("CARGO_TARGET_TMPDIR").map(PathBuf::from);
    let folder = own.unwrap_or_else(|| root.join("target/tmp")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let sources = root.join("tests/device/host");
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
            .expect("a C++ compiler, which the README asks for");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        std::fs::rename(&fresh, &out).expect("a rename");
        out
    };
    StandIn {
        driver: build("driver.cpp", "libcuda.so.1"),
        nvrtc: build("nvrtc.cpp", "libnvrtc.so.12"),
        cache: folder.join("kernels"),
    }
}
