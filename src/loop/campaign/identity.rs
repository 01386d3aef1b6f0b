//! Which campaign a folder is: an identity of its own, and the settings that it went by last.
//!
//! `campaign.json` has a random name, the folder that it was given in, and the settings of the last run. Jobs and
//! claims on labels belong to name and folder together. A folder that was moved keeps its name and goes on; a copy is
//! found out by the original, which still is where the file says, and becomes a campaign of its own.

use super::Campaign;
use super::journal::Journal;
use super::store::{read_json, write_json};
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Name of the file in the campaign's directory.
const FILE: &str = "campaign.json";

/// Who a campaign is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Random, of 32 hexadecimal digits.
    pub id: String,
    /// Its directory, absolute and without links.
    pub folder: PathBuf,
    /// The settings of the last run; none before the first.
    #[serde(default)]
    settings: Value,
}

impl Identity {
    /// That of a directory, if it has one.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        super::store::read_if_there(directory.join(FILE))
    }

    fn write(&self) -> Result<()> {
        write_json(&self.folder.join(FILE), self)
    }
}

/// What [`settle`] found.
#[derive(Debug)]
pub(super) struct Settled {
    pub identity: Identity,
    /// Keys of the settings that differ from those of the last run.
    pub changed: Vec<String>,
}

/// Makes sure who a campaign is before anything is done for it. Whoever calls this holds the journal.
pub(super) fn settle(campaign: &Campaign, _lock: &Journal) -> Result<Settled> {
    let directory = campaign.directory();
    let folder = directory
        .canonicalize()
        .map_err(|e| Error::io("find", directory, e))?;
    let settings = serde_json::to_value(campaign.config())
        .map_err(|e| Error::Internal(format!("settings of a campaign: {e}")))?;
    let Some(before) = Identity::read(directory)? else {
        let mut identity = of(campaign)?;
        identity.settings = settings;
        identity.write()?;
        return Ok(Settled {
            identity,
            changed: Vec::new(),
        });
    };
    let mut changed = Vec::new();
    if !before.settings.is_null() {
        differences("", &before.settings, &settings, &mut changed);
    }
    let mut identity = before.clone();
    identity.folder = folder;
    if is_copy(&before, &identity.folder) {
        identity.id = random_name();
        // A second look, in this process, finds the same.
        let _ = campaign.copied_from.set(before.folder.clone());
        // Jobs that are written down here are the original's, as are their processes and the labels to come.
        let running = campaign.running("");
        if running.exists() {
            std::fs::remove_dir_all(&running).map_err(|e| Error::io("remove", &running, e))?;
        }
    }
    if identity != before {
        identity.write()?;
    }
    Ok(Settled { identity, changed })
}

/// Parts a copy from its original, for those who go to its jobs without driving it.
pub(super) fn part(campaign: &Campaign) -> Result<()> {
    let directory = campaign.directory();
    if let Some(identity) = Identity::read(directory)?
        && let Ok(folder) = directory.canonicalize()
        && is_copy(&identity, &folder)
    {
        settle(campaign, &Journal::open(directory)?)?;
    }
    Ok(())
}

/// Who a campaign is, for those who do not drive it: `nepal-loop label` may be the first to ask.
pub(super) fn of(campaign: &Campaign) -> Result<Identity> {
    let directory = campaign.directory();
    let folder = directory
        .canonicalize()
        .map_err(|e| Error::io("find", directory, e))?;
    match Identity::read(directory)? {
        Some(identity) => Ok(Identity { folder, ..identity }),
        None => {
            let identity = Identity {
                id: random_name(),
                folder,
                settings: Value::Null,
            };
            identity.write()?;
            Ok(identity)
        }
    }
}

/// Notes the settings that a campaign goes by from now on.
pub(super) fn note_settings(campaign: &Campaign, mut identity: Identity) -> Result<()> {
    let settings = serde_json::to_value(campaign.config())
        .map_err(|e| Error::Internal(format!("settings of a campaign: {e}")))?;
    if identity.settings != settings {
        identity.settings = settings;
        identity.write()?;
    }
    Ok(())
}

/// Whether a folder is a copy: the one that the identity was given in is another one and still has it.
fn is_copy(before: &Identity, folder: &Path) -> bool {
    if before.folder == folder || same_file(&before.folder, folder) {
        return false;
    }
    read_json::<Identity>(&before.folder.join(FILE)).is_ok_and(|there| there.id == before.id)
}

/// Whether two paths lead to one folder, by a bind mount for example.
#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| path.metadata().map(|m| (m.dev(), m.ino())).ok();
    place(a).is_some() && place(a) == place(b)
}

#[cfg(not(unix))]
fn same_file(_a: &Path, _b: &Path) -> bool {
    false
}

fn random_name() -> String {
    let bytes: [u8; 16] = rand::random();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Keys whose values differ; of lists of tables with names, such as scenarios, the names.
fn differences(place: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let inside = |key: &str| match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let none = &Value::Null;
                let (a, b) = (old.get(key).unwrap_or(none), new.get(key).unwrap_or(none));
                differences(&inside(key), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.iter().chain(b).any(|v| name(v).is_some()) => {
            let all: std::collections::BTreeSet<&str> =
                a.iter().chain(b).filter_map(name).collect();
            for own in all {
                let of = |list: &[Value]| list.iter().find(|v| name(v) == Some(own)).cloned();
                match (of(a), of(b)) {
                    (Some(a), Some(b)) => differences(&inside(own), &a, &b, found),
                    (None, _) => found.push(format!("{} (new)", inside(own))),
                    (_, None) => found.push(format!("{} (removed)", inside(own))),
                }
            }
        }
        _ => found.push(place.to_owned()),
    }
}

fn name(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_their_keys() {
        let old = serde_json::json!({
            "seed": 1, "label": { "method": "a", "parallel": 1 },
            "explore": [{ "name": "x", "steps": 1 }, { "name": "y", "steps": 1 }],
        });
        let new = serde_json::json!({
            "seed": 1, "label": { "method": "b", "parallel": 1, "cores": 2 },
            "explore": [{ "name": "z", "steps": 1 }, { "name": "x", "steps": 2 }],
        });
        let mut found = Vec::new();
        differences("", &old, &new, &mut found);
        assert_eq!(
            found,
            [
                "explore.x.steps",
                "explore.y (removed)",
                "explore.z (new)",
                "label.cores",
                "label.method"
            ]
        );
    }

    #[test]
    fn a_copy_is_told_from_a_moved_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&own).unwrap();
        std::fs::create_dir(&other).unwrap();
        let identity = Identity {
            id: random_name(),
            folder: own.clone(),
            settings: Value::Null,
        };
        identity.write().unwrap();
        assert!(!is_copy(&identity, &own));
        assert!(is_copy(&identity, &other));
        // Another campaign has taken the place of the one that was moved.
        let stranger = Identity {
            id: random_name(),
            ..identity.clone()
        };
        stranger.write().unwrap();
        assert!(!is_copy(&identity, &other));
        std::fs::remove_dir_all(&own).unwrap();
        assert!(!is_copy(&identity, &other));
    }
}
