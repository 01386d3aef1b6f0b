//! Small helpers for files, used by everything that writes one.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Replaces a file in one step: a reader sees the old or the new content, never a part, also after
/// a crash.
///
/// **Errors**: [`Error::Io`]; the old file is then untouched.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = temporary_name(path);
    let written = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    written.map_err(|e| {
        // Best effort: the temporary file is of no use to anyone.
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path, e)
    })
}

/// A name beside `path` that no other process or thread uses.
fn temporary_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}-{count}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// FNV-1a hash, 64 bits: tells files apart, proves nothing.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
