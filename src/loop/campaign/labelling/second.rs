//! Second looks: labels that were doubted, kept in the round's `doubted.json` so that another driver finds them.

use crate::campaign::ground::Context;
use crate::campaign::journal::hash_json;
use crate::campaign::store::{read_json, write_json};
use crate::label::LabelRunner;
use nepal::error::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A doubted label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::campaign) struct Doubt {
    pub key: String,
    /// Its largest error by the error that is an outlier's.
    pub times: f64,
}

/// The file: whose labels were judged, and which are doubted.
#[derive(Serialize, Deserialize)]
struct Found {
    of: String,
    doubted: Vec<Doubt>,
}

/// The file of an older nepal, which does not say whose labels were judged.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Found(Found),
    Bare(Vec<Doubt>),
}

/// The second looks of a round.
pub(in crate::campaign) struct SecondLooks {
    path: PathBuf,
    /// Of the keys that the round asks for: they change with the structures and with the method's settings.
    of: String,
    /// The keys of the round.
    keys: BTreeSet<String>,
}

impl SecondLooks {
    /// Those of a round that asks for these keys.
    pub fn of(context: &Context<'_>, keys: &[String]) -> Self {
        Self {
            path: context.path("doubted.json"),
            of: hash_json(&keys),
            keys: keys.iter().cloned().collect(),
        }
    }

    /// The labels that are doubted, if these labels were judged before; what was found of others does not count.
    pub fn read(&self) -> Result<Option<Vec<Doubt>>> {
        if !self.path.exists() {
            return Ok(None);
        }
        Ok(match read_json(&self.path)? {
            Stored::Found(found) => (found.of == self.of).then_some(found.doubted),
            Stored::Bare(doubted) => {
                let own = !doubted.is_empty() && doubted.iter().all(|d| self.keys.contains(&d.key));
                own.then_some(doubted)
            }
        })
    }

    /// Keeps what was found.
    pub fn write(&self, doubted: &[Doubt]) -> Result<()> {
        let found = Found {
            of: self.of.clone(),
            doubted: doubted.to_vec(),
        };
        write_json(&self.path, &found)
    }

    /// Keys of labels that an earlier driver has set aside.
    pub fn set_aside(&self, runner: &LabelRunner) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        for Doubt { key, .. } in self.read()?.unwrap_or_default() {
            if !runner.cache().doubted(&key)?.is_empty() {
                keys.insert(key);
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_of_other_labels_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let looks = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
            SecondLooks {
                path: dir.path().join("doubted.json"),
                of: hash_json(&keys),
                keys: keys.into_iter().collect(),
            }
        };
        let (before, after) = (looks(&["a", "b"]), looks(&["c", "d"]));
        assert_eq!(before.read().unwrap(), None);
        let doubt = Doubt {
            key: "a".into(),
            times: 2.0,
        };
        before.write(std::slice::from_ref(&doubt)).unwrap();
        assert_eq!(before.read().unwrap(), Some(vec![doubt.clone()]));
        // Other settings, other keys: nothing was judged yet.
        assert_eq!(after.read().unwrap(), None);
        before.write(&[]).unwrap();
        assert_eq!(before.read().unwrap(), Some(vec![]));
        assert_eq!(after.read().unwrap(), None);
        // A list without a name is of those whose keys it has.
        write_json(&before.path, &std::slice::from_ref(&doubt)).unwrap();
        assert_eq!(before.read().unwrap(), Some(vec![doubt]));
        assert_eq!(after.read().unwrap(), None);
    }
}
