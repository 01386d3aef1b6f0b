//! Small helpers for files, used by everything that writes one.

use crate::error::{Error, Result};
use std::io::{Read, Write};
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

/// Opens or creates a file that grows, takes its lock and reads all of it; the file stands at its end.
///
/// **Errors**: [`Error::Io`]; [`Error::Failed`] if another process has it, saying which.
pub fn open_locked(path: &Path) -> Result<(std::fs::File, Vec<u8>)> {
    let mut file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|e| Error::io("open", path, e))?;
    lock(&file, path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    Ok((file, bytes))
}

/// Takes the lock of an open file, which ends with the process, and notes beside it who has it.
///
/// **Errors**: [`Error::Failed`] if another process has it, saying which.
fn lock(file: &std::fs::File, path: &Path) -> Result<()> {
    let note = path.with_extension("driver");
    let said = std::fs::read_to_string(&note).unwrap_or_default();
    let said = said.trim();
    let who = if said.is_empty() { "unknown" } else { said };
    let own = driver();
    // A program that another thread is starting holds all files for a moment.
    let mut locked = file.try_lock();
    for _ in 0..20 {
        if !matches!(locked, Err(std::fs::TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(Error::Failed(format!(
                "{}: another nepal-loop is running this campaign ({who}); wait for it or stop it",
                path.display()
            )));
        }
        // A file system without locks: the note alone has to do.
        Err(std::fs::TryLockError::Error(_)) if said.is_empty() || gone(said, &own) => {}
        Err(std::fs::TryLockError::Error(e)) => {
            return Err(Error::Failed(format!(
                "{}: the file system has no locks ({e}), and {who} may be running this campaign; if it is \
                 not, remove {}",
                path.display(),
                note.display()
            )));
        }
    }
    // Without a note the lock holds as well; only its message is poorer.
    let _ = std::fs::write(&note, format!("{own}\n"));
    Ok(())
}

/// This process in words: host and process number.
fn driver() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("host {} process {}", host.trim(), std::process::id())
}

/// Whether a driver was on this host and is no more; of other hosts nothing is known.
fn gone(said: &str, own: &str) -> bool {
    let parts = |text: &str| {
        let (host, process) = text.rsplit_once(' ')?;
        Some((host.to_owned(), process.parse::<u32>().ok()?))
    };
    match (parts(said), parts(own)) {
        (Some((host, process)), Some((here, _))) => {
            host == here && !Path::new(&format!("/proc/{process}")).exists()
        }
        _ => false,
    }
}

/// FNV-1a hash, 64 bits: tells files apart, proves nothing.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
