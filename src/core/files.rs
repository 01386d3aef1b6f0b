//! Small helpers for files, used by everything that writes one.

use crate::error::{Error, Result};
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Replaces a file in one step; see [`Replacement`].
///
/// **Errors**: [`Error::Io`]; the old file is then untouched.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = Replacement::new(path)?;
    file.write_all(content)
        .map_err(|e| Error::io("write", path, e))?;
    file.commit()
}

/// A file that is replaced in one step once it is written: a reader sees the old or the new content,
/// never a part, also after a crash, and what is read meanwhile may be the file itself.
///
/// A link is followed and its target replaced. What is no file (a device such as `/dev/null`, a FIFO,
/// one of this process's open files such as `/dev/stdout`) stays what it is and gets the content as it
/// comes; a FIFO waits for its reader. A new file gets the mode that the umask leaves, an old one
/// keeps its own.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    file: File,
    /// The file that is written, and the one that it becomes; none where nothing is replaced.
    names: Option<[PathBuf; 2]>,
}

impl Replacement {
    /// Begins a file.
    ///
    /// **Errors**: [`Error::Io`], also for a folder, a block device and a socket.
    pub fn new(path: &Path) -> Result<Self> {
        let fail = |e| Error::io("write", path, e);
        let Some((target, old)) = target(path).map_err(fail)? else {
            let file = File::options().append(true).open(path).map_err(fail)?;
            let (path, names) = (path.to_owned(), None);
            return Ok(Self { path, file, names });
        };
        let (file, temporary) = create_beside(&target).map_err(fail)?;
        let names = Some([temporary, target]);
        let path = path.to_owned();
        let new = Self { path, file, names };
        if let Some(old) = old {
            new.file.set_permissions(old.permissions()).map_err(fail)?;
        }
        Ok(new)
    }

    /// Puts the file in its place.
    ///
    /// **Errors**: [`Error::Io`]; the old file is then untouched.
    pub fn commit(mut self) -> Result<()> {
        let Some([temporary, target]) = &self.names else {
            return Ok(());
        };
        self.file
            .sync_all()
            .and_then(|()| std::fs::rename(temporary, target))
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.names = None;
        Ok(())
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some([temporary, _]) = &self.names {
            // Best effort: the temporary file is of no use to anyone.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// The file that a path means once its links are followed, with what is there now; `None` for what is
/// not to be replaced.
fn target(path: &Path) -> std::io::Result<Option<(PathBuf, Option<Metadata>)>> {
    const LINKS: usize = 40;
    let refused = |text: &str| Err(std::io::Error::other(text));
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let found = match std::fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Some((path, None))),
            Err(e) => return Err(e),
        };
        let kind = found.file_type();
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if kind.is_symlink() {
            // Links of the kernel's mean an open file, whatever name it has or had.
            if folder.canonicalize()?.starts_with("/proc") {
                return Ok(None);
            }
            path = folder.join(std::fs::read_link(&path)?);
            continue;
        }
        if kind.is_file() {
            return Ok(Some((path, Some(found))));
        }
        if kind.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt;
            if kind.is_block_device() || kind.is_socket() {
                return refused("it is a block device or a socket; expected a file");
            }
        }
        return Ok(None);
    }
    refused("it is a link to a link and so on; expected a file")
}

/// A file beside `path` under a name that nobody can guess, and that did not exist: no link of somebody
/// else's is followed.
fn create_beside(path: &Path) -> std::io::Result<(File, PathBuf)> {
    loop {
        // Keyed with what the system gives as random.
        let number = RandomState::new().build_hasher().finish();
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{number:016x}.tmp"));
        let name = path.with_file_name(name);
        match File::create_new(&name) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            created => {
                let file = created?;
                // As long as its writer lives, `sweep` leaves it alone; without locks, for a day.
                let _ = file.try_lock();
                return Ok((file, name));
            }
        }
    }
}

/// Whether a file has a name that [`create_beside`] gives.
fn is_temporary(name: &str) -> bool {
    let number = name.strip_suffix(".tmp").and_then(|n| n.rsplit_once('.'));
    number.is_some_and(|(_, n)| n.len() == 16 && n.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Removes the temporary files that killed writers of nepal left in a folder and, to a depth, in folders below. Those
/// of living ones are locked; on a file system without locks only what is a day old goes.
pub fn sweep(folder: &Path, depth: usize) {
    const NEW: Duration = Duration::from_millis(500);
    const OLD: Duration = Duration::from_secs(86_400);
    for item in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = item.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            sweep(&item.path(), depth - 1);
        } else if kind.is_file() && is_temporary(&item.file_name().to_string_lossy()) {
            let age = item.metadata().and_then(|m| m.modified());
            let age = age.ok().and_then(|m| m.elapsed().ok()).unwrap_or_default();
            let dead = || match File::open(item.path()).map(|file| file.try_lock()) {
                Ok(Ok(())) => age > NEW,
                Ok(Err(std::fs::TryLockError::Error(_))) => age > OLD,
                _ => false,
            };
            if dead() {
                // Best effort: it is in nobody's way.
                let _ = std::fs::remove_file(item.path());
            }
        }
    }
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
    use std::process::Command;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn links_are_followed_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("deep")).unwrap();
        std::fs::write(at("deep/file"), "old").unwrap();
        symlink("deep/file", at("link")).unwrap();
        symlink("link", at("again")).unwrap();
        symlink("deep/new", at("dangling")).unwrap();
        write_atomically(&at("again"), b"new").unwrap();
        write_atomically(&at("dangling"), b"made").unwrap();
        assert!(at("again").is_symlink() && at("link").is_symlink());
        assert_eq!(std::fs::read(at("deep/file")).unwrap(), b"new");
        assert_eq!(std::fs::read(at("deep/new")).unwrap(), b"made");
        symlink("round", at("round")).unwrap();
        assert!(write_atomically(&at("round"), b"x").is_err());
        assert!(write_atomically(&at("deep"), b"x").is_err());
        // Given up before it was committed.
        drop(Replacement::new(&at("deep/file")).unwrap());
        assert_eq!(names(&at("deep")), ["file", "new"]);
    }

    #[test]
    fn devices_and_fifos_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let null = folder.path().join("null");
        symlink("/dev/null", &null).unwrap();
        for path in [&null, Path::new("/dev/null")] {
            write_atomically(path, b"gone").unwrap();
        }
        let kind = std::fs::metadata("/dev/null").unwrap().file_type();
        assert!(kind.is_char_device() && null.is_symlink());
        let fifo = folder.path().join("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::read(fifo).unwrap()
        });
        write_atomically(&fifo, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(std::fs::metadata(&fifo).unwrap().file_type().is_fifo());
        // An open file of this process under its number.
        let open = File::create(folder.path().join("open")).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&open);
        write_atomically(Path::new(&format!("/dev/fd/{number}")), b"kept").unwrap();
        assert_eq!(open.metadata().unwrap().len(), 4);
    }

    #[test]
    fn modes_are_those_of_the_umask_and_of_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        let (plain, file) = (folder.path().join("plain"), folder.path().join("file"));
        std::fs::write(&plain, "").unwrap();
        write_atomically(&file, b"new").unwrap();
        assert_eq!(mode(&file), mode(&plain));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        write_atomically(&file, b"newer").unwrap();
        assert_eq!(mode(&file), 0o640);
    }

    #[test]
    fn what_killed_writers_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let living = Replacement::new(&below.join("living")).unwrap();
        let dead = below.join("nep.txt.0123456789abcdef.tmp");
        for path in [&dead, &below.join("mine.tmp"), &below.join("a.0123.tmp")] {
            std::fs::write(path, "").unwrap();
        }
        let fresh = below.join("x.fedcba9876543210.tmp");
        std::thread::sleep(Duration::from_millis(600));
        std::fs::write(&fresh, "").unwrap();
        sweep(folder.path(), 0);
        assert!(dead.exists());
        sweep(folder.path(), 1);
        assert!(!dead.exists() && fresh.exists());
        assert_eq!(names(&below).len(), 4);
        living.commit().unwrap();
        assert!(below.join("living").exists());
    }

    #[test]
    fn what_is_read_may_be_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("both");
        std::fs::write(&path, "content").unwrap();
        let mut input = File::open(&path).unwrap();
        let mut output = Replacement::new(&path).unwrap();
        std::io::copy(&mut input, &mut output).unwrap();
        output.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        assert_eq!(names(folder.path()), ["both"]);
    }
}
