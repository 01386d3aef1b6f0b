//! Sets the soname of the shared library, and nothing else.

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "linux" {
        // While the version is 0.x, the minor version is the ABI version.
        let minor = std::env::var("CARGO_PKG_VERSION_MINOR").unwrap_or_default();
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libnepal.so.0.{minor}");
    }
}
