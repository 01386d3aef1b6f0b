//! Where the repository is: tests, benches and examples belong to several packages of it.

use std::path::Path;

/// The folder of the repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = |folder: &&Path| folder.join("Cargo.lock").exists();
    package.ancestors().find(whole).unwrap_or(package)
}
