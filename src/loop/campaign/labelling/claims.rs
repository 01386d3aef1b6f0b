//! Claims: of campaigns that share a label cache one computes a label, and the others wait for it.
//!
//! A claim is the file `claims/<key>` of the cache, written under a lock before a program is started. It counts as long
//! as its owner's driver is at work, or has a job out for the label; one whose owner is gone is taken over. Processes
//! are looked for only where their numbers mean something: on the same machine, since its start, in the same container.
//! Of others the age of `claims/<owner>.alive` tells, which a driver renews; all times are those of the file server,
//! since clocks differ.

use crate::campaign::identity::Identity;
use crate::schedule::{self, Queue, Ticket};
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

/// How often a driver renews its sign of life,
const BEAT: Duration = Duration::from_secs(30);
/// and the age from which on it has ended. Network file systems may show times a minute late.
const SILENCE: Duration = Duration::from_secs(600);

/// Who computes a label.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    /// Name of the campaign.
    owner: String,
    /// Its directory.
    folder: PathBuf,
    /// Where its jobs are written down.
    queue: PathBuf,
    /// The cache that it fills: a copy of that brings its claims along.
    cache: PathBuf,
    /// Where the driver's process has its number, and that number.
    place: String,
    process: String,
}

impl Claim {
    /// Whether two claims are of one owner, whose driver may have changed.
    fn same_owner(&self, other: &Self) -> bool {
        (&self.owner, &self.folder, &self.queue) == (&other.owner, &other.folder, &other.queue)
    }
}

/// A place in which process numbers mean the same: machine, start of its system, container.
fn place() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let (host, boot) = (
        read("/proc/sys/kernel/hostname"),
        read("/proc/sys/kernel/random/boot_id"),
    );
    format!("{} {} {}", host.trim(), boot.trim(), space.display())
}

/// The claims of a cache, as one campaign sees them.
pub(in crate::campaign) struct Claims {
    folder: PathBuf,
    own: Claim,
    /// Ends the thread that renews the sign of life.
    life: Option<Sender<()>>,
}

impl Claims {
    /// Those of a cache; `queue` is the folder of the jobs.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn open(cache: &Path, identity: &Identity, queue: &Path) -> Result<Self> {
        let folder = cache.join("claims");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let cache = cache
            .canonicalize()
            .map_err(|e| Error::io("find", cache, e))?;
        let own = Claim {
            cache,
            owner: identity.id.clone(),
            folder: identity.folder.clone(),
            queue: std::path::absolute(queue).map_err(|e| Error::io("find", queue, e))?,
            place: place(),
            process: schedule::own_process(),
        };
        let mut claims = Self {
            folder,
            own,
            life: None,
        };
        claims.life = Some(claims.live()?);
        Ok(claims)
    }

    fn sign(&self, owner: &str) -> PathBuf {
        self.folder.join(format!("{owner}.alive"))
    }

    /// Shows that the driver is at work, as long as what is returned lasts.
    fn live(&self) -> Result<Sender<()>> {
        let path = self.sign(&self.own.owner);
        let (sender, ended) = channel();
        let renew = {
            let path = path.clone();
            move || touch(&open(&path)?, &path)
        };
        renew()?;
        let beat = move || {
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A file server that is away comes back, or the labels cannot be stored either.
                let _ = renew();
            }
        };
        let thread = std::thread::Builder::new().name("claims".into());
        thread
            .spawn(beat)
            .map_err(|e| Error::io("watch", path, e))?;
        Ok(sender)
    }

    /// Whether the owner of a claim still sees to the label; `now` by the clock of the file server.
    fn counts(&self, claim: &Claim, key: &str, now: SystemTime) -> bool {
        let here = claim.place == self.own.place;
        // A copy of a cache brings its claims along; elsewhere the same one has other paths.
        if here && claim.cache != self.own.cache {
            return false;
        }
        let there = Identity::read(&claim.folder).ok().flatten();
        match there {
            Some(identity) if identity.id != claim.owner => return false,
            None if here => return false,
            _ => {}
        }
        let at_work = match here {
            true => schedule::is_running(&claim.process),
            false => age(&self.sign(&claim.owner), now).is_some_and(|age| age < SILENCE),
        };
        // The process of a job that runs elsewhere cannot be looked for: it has its time.
        let claimed = age(&self.folder.join(key), now).unwrap_or_default();
        let over = |ticket: &Ticket| match schedule::is_process(ticket) && !here {
            true => claimed.as_secs_f64() > ticket.job.seconds + SILENCE.as_secs_f64(),
            false => schedule::is_gone(ticket),
        };
        let jobs = || Queue::open_in(&claim.queue).unwrap_or_default();
        at_work || jobs().iter().any(|t| t.job.key == key && !over(t))
    }

    /// Claims a label; the directory of the campaign that computes it, if another does.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn take(&self, key: &str) -> Result<Option<PathBuf>> {
        let lock = self.lock()?;
        let now = lock
            .metadata()
            .and_then(|m| m.modified())
            .map_err(|e| Error::io("look at the lock in", &self.folder, e))?;
        let path = self.folder.join(key);
        let found = std::fs::read(&path).ok();
        // Written in one step: what cannot be read is none.
        let claim = found.and_then(|text| serde_json::from_slice::<Claim>(&text).ok());
        match claim {
            Some(claim) if !claim.same_owner(&self.own) && self.counts(&claim, key, now) => {
                return Ok(Some(claim.folder));
            }
            _ => {}
        }
        let text = serde_json::to_vec(&self.own)
            .map_err(|e| Error::Internal(format!("claim of a label: {e}")))?;
        nepal::files::write_atomically(&path, &text)?;
        Ok(None)
    }

    /// Gives a label free that is in the cache now, or that nobody sees to any more.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn release(&self, key: &str) -> Result<()> {
        let _lock = self.lock()?;
        let path = self.folder.join(key);
        let own = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Claim>(&text).ok())
            .is_some_and(|claim| claim.same_owner(&self.own));
        if own {
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(())
    }

    /// The lock of all claims, held for the moment of a look, at whose time it was changed.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let file = open(&path)?;
        file.lock().map_err(|e| Error::io("lock", &path, e))?;
        touch(&file, &path)?;
        Ok(file)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.life = None;
        // What stays is old soon.
        let _ = std::fs::remove_file(self.sign(&self.own.owner));
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(path).map_err(|e| Error::io("open", path, e))
}

/// Has the file server note its time.
fn touch(mut file: &File, path: &Path) -> Result<()> {
    let written = file.write_all(b"\n").and_then(|()| file.sync_data());
    written.map_err(|e| Error::io("write", path, e))
}

/// How old a file is; `None` if there is none.
fn age(path: &Path, now: SystemTime) -> Option<Duration> {
    let changed = path.metadata().and_then(|m| m.modified()).ok()?;
    Some(now.duration_since(changed).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::store::write_json;

    fn claims(cache: &Path, folder: &Path, id: &str, process: &str) -> Claims {
        std::fs::create_dir_all(folder).unwrap();
        let text = serde_json::json!({ "id": id, "folder": folder });
        write_json(&folder.join("campaign.json"), &text).unwrap();
        let identity = Identity::read(folder).unwrap().unwrap();
        let mut claims = Claims::open(cache, &identity, &folder.join("running")).unwrap();
        claims.own.process = process.into();
        claims
    }

    #[test]
    fn a_driver_elsewhere_counts_by_its_signs_of_life() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, a, b) = (
            dir.path().join("cache"),
            dir.path().join("a"),
            dir.path().join("b"),
        );
        let silent = |seconds: u64| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            let sign = File::options()
                .write(true)
                .open(cache.join("claims/1.alive"));
            sign.unwrap().set_modified(then).unwrap();
        };
        // Its process number is nobody's here, or somebody else's, and its folders may have other names.
        for process in ["1:1", &schedule::own_process()] {
            let mut far = claims(&cache, &a, "1", process);
            far.own.place = "login2 0 pid:[1]".into();
            far.own.cache = "/elsewhere/cache".into();
            far.own.folder = "/elsewhere/a".into();
            let near = claims(&cache, &b, "2", &schedule::own_process());
            assert_eq!(far.take("k").unwrap(), None);
            assert_eq!(near.take("k").unwrap(), Some("/elsewhere/a".into()));
            silent(500);
            assert!(near.take("k").unwrap().is_some());
            silent(700);
            assert_eq!(near.take("k").unwrap(), None);
            near.release("k").unwrap();
        }
        // Of a job that runs there as a process nothing can be seen before its time is up.
        let queue = a.join("running");
        std::fs::create_dir_all(&queue).unwrap();
        let log = concat!(
            r#"{"event":"jobs","version":1,"nepal":"0"}"#,
            "\n",
            r#"{"event":"batch","batch":"b","jobs":[{"key":"k","attempt":0,"variant":0,"folder":"/x","cores":1,"memory":null,"seconds":3600.0}]}"#,
            "\n",
            r#"{"event":"submitted","batch":"b","id":"1:1"}"#,
            "\n",
        );
        std::fs::write(queue.join("jobs.jsonl"), log).unwrap();
        let mut elsewhere = claims(&cache, &a, "1", "1:1");
        elsewhere.own.place = "login2 0 pid:[1]".into();
        assert_eq!(elsewhere.take("k").unwrap(), None);
        silent(700);
        let near = claims(&cache, &b, "2", &schedule::own_process());
        assert_eq!(near.take("k").unwrap(), Some(a.clone()));
        let then = SystemTime::now() - Duration::from_secs(4300);
        let claim = File::options().write(true).open(cache.join("claims/k"));
        claim.unwrap().set_modified(then).unwrap();
        assert_eq!(near.take("k").unwrap(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_label_is_claimed_once_and_taken_over_from_the_dead() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, a, b) = (
            dir.path().join("cache"),
            dir.path().join("a"),
            dir.path().join("b"),
        );
        let alive = schedule::own_process();
        let first = claims(&cache, &a, "1", &alive);
        let second = claims(&cache, &b, "2", &alive);
        assert_eq!(first.take("k").unwrap(), None);
        assert_eq!(first.take("k").unwrap(), None);
        assert_eq!(second.take("k").unwrap(), Some(a.clone()));
        // Only the owner gives it free.
        second.release("k").unwrap();
        assert_eq!(second.take("k").unwrap(), Some(a.clone()));
        first.release("k").unwrap();
        assert_eq!(second.take("k").unwrap(), None);
        second.release("k").unwrap();
        // A driver that is gone, with no job out; its next one finds the claim its own.
        let dead = claims(&cache, &a, "1", "1:1");
        assert_eq!(dead.take("k").unwrap(), None);
        assert_eq!(first.take("k").unwrap(), None);
        assert_eq!(dead.take("k").unwrap(), None);
        assert_eq!(second.take("k").unwrap(), None);
        // A folder that is another campaign's by now.
        assert_eq!(first.take("k").unwrap(), Some(b.clone()));
        claims(&cache, &b, "3", &alive);
        assert_eq!(first.take("k").unwrap(), None);
    }
}
