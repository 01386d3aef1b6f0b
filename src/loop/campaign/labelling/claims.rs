//! Claims: of campaigns that share a label cache one computes a label, and the others wait for it.
//!
//! A claim is the file `claims/<key>` of the cache, written under a lock before a program is started. It counts as long
//! as its owner's driver is at work, or has a job out for the label. Processes are told by `/proc`: elsewhere a claim
//! of the same machine counts only while a job is out. A claim whose owner is gone is taken over.

use crate::campaign::identity::Identity;
use crate::campaign::live::{Live, host};
use crate::schedule::{self, Queue};
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};

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
    /// Machine and process of the driver.
    host: String,
    process: String,
}

impl Claim {
    /// Whether two claims are of one owner, whose driver may have changed.
    fn same_owner(&self, other: &Self) -> bool {
        (&self.owner, &self.folder, &self.queue) == (&other.owner, &other.folder, &other.queue)
    }

    /// Whether the owner still sees to the label.
    fn counts(&self, key: &str, cache: &Path) -> bool {
        if self.cache != cache {
            return false;
        }
        let there = Identity::read(&self.folder).ok().flatten();
        if there.is_none_or(|identity| identity.id != self.owner) {
            return false;
        }
        let at_work = match self.host == host() {
            true => schedule::is_running(&self.process),
            false => Live::read(&self.folder).is_some_and(|live| live.running()),
        };
        let out = || {
            let jobs = Queue::open_in(&self.queue).unwrap_or_default();
            let mut own = jobs.iter().filter(|ticket| ticket.job.key == key);
            own.any(|ticket| !schedule::is_gone(ticket))
        };
        at_work || out()
    }
}

/// The claims of a cache, as one campaign sees them.
pub(in crate::campaign) struct Claims {
    folder: PathBuf,
    own: Claim,
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
            host: host(),
            process: schedule::own_process(),
        };
        Ok(Self { folder, own })
    }

    /// Claims a label; the directory of the campaign that computes it, if another does.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn take(&self, key: &str) -> Result<Option<PathBuf>> {
        let _lock = self.lock()?;
        let path = self.folder.join(key);
        let found = std::fs::read(&path).ok();
        // Written in one step: what cannot be read is none.
        let claim = found.and_then(|text| serde_json::from_slice::<Claim>(&text).ok());
        match claim {
            Some(claim) if !claim.same_owner(&self.own) && claim.counts(key, &self.own.cache) => {
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

    /// The lock of all claims, held for the moment of a look.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        file.lock().map_err(|e| Error::io("lock", &path, e))?;
        Ok(file)
    }
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
