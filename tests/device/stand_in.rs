//! Libraries that stand in for the CUDA driver and NVRTC: kernels are compiled by the C++ compiler
//! and run on the host. With `FAKE_NVRTC_REAL` the PTX of that NVRTC is what is run.

use std::hash::{DefaultHasher, Hash, Hasher};
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
    let sources = root.join("tests/device/host");
    // Libraries and kernels are kept for as long as nothing changes that makes them.
    let flags = std::env::var("NEPAL_HOST_FLAGS").unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (&sources, &flags).hash(&mut hasher);
    for source in ["driver.cpp", "nvrtc.cpp", "shim.h", "ptx.py", "ptx.h"] {
        let text = std::fs::read(sources.join(source)).expect("a source of the stand-ins");
        text.hash(&mut hasher);
    }
    let own = option_env!("CARGO_TARGET_TMPDIR").map(PathBuf::from);
    let folder = own.unwrap_or_else(|| root.join("target/tmp"));
    let folder = folder.join(format!("host-{:016x}", hasher.finish()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let build = |source: &str, library: &str| {
        let out = folder.join(library);
        if out.exists() {
            return out;
        }
        // Other test processes may have the library open.
        let fresh = folder.join(format!("{library}.{}", std::process::id()));
        let host = format!("-DHOST=\"{}\"", sources.display());
        let done = Command::new("c++")
            .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", &host])
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
    std::env::var_os("FAKE_NVRTC_REAL").hash(&mut hasher);
    StandIn {
        driver: build("driver.cpp", "libcuda.so.1"),
        nvrtc: build("nvrtc.cpp", "libnvrtc.so.12"),
        cache: folder.join(format!("kernels-{:016x}", hasher.finish())),
    }
}
