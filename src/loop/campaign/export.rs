//! All labels of a campaign in one file, each with where it comes from.

use super::Campaign;
use super::journal::hash_bytes;
use super::store::{MethodRecord, read_json, round_folder};
use crate::label::label_key;
use nepal::error::Result;
use nepal::system::{Frame, xyz};

impl Campaign {
    /// Every accepted label so far, in the order of the rounds, the test set last, with its provenance
    /// in the comment line: `set` (train or test), `round`, `labeller`, `settings_hash` (SHA-256 of
    /// everything that the method was given), `label_key` (name in the label cache), and for what
    /// exploration found `scenario`, `step`, `temperature`, `target_grade` and `form`. The rounds tell what
    /// labelled them; its program need not be here.
    ///
    /// **Errors**: [`nepal::Error::Io`], [`nepal::Error::Parse`]; those of [`Campaign::labeller`] for rounds
    /// of an older nepal, which do not tell.
    pub fn export(&self) -> Result<Vec<Frame>> {
        let mut out = Vec::new();
        let mut add = |path: std::path::PathBuf, set: &str, round: usize| -> Result<()> {
            if !path.exists() {
                return Ok(());
            }
            let method = self.method_of(round)?;
            let hash = hash_bytes(method.settings.as_bytes());
            for mut frame in xyz::read_frames(&path)? {
                let mut note = |key: &str, value: String| {
                    frame.info.entry(key.into()).or_insert(value);
                };
                note("set", set.into());
                note("round", round.to_string());
                let own = frame.info.get("label_source").map(String::as_str) != Some("file");
                if own {
                    let key = label_key(&frame.structure, &method.name, &method.settings);
                    frame.info.insert("label_key".into(), key);
                    frame.info.insert("labeller".into(), method.name.clone());
                    frame.info.insert("settings_hash".into(), hash.clone());
                } else {
                    frame.info.entry("labeller".into()).or_insert("file".into());
                }
                out.push(frame);
            }
            Ok(())
        };
        let rounds = self.rounds()?.len();
        for round in 0..rounds {
            let folder = self.directory.join(round_folder(round));
            add(folder.join("labelled.xyz"), "train", round)?;
        }
        add(self.directory.join("round-00/test.xyz"), "test", 0)?;
        Ok(out)
    }

    /// What labelled a round.
    fn method_of(&self, round: usize) -> Result<MethodRecord> {
        let path = self.directory.join(round_folder(round)).join("method.json");
        if path.exists() {
            return read_json(&path);
        }
        let labeller = self.labeller()?;
        Ok(MethodRecord {
            name: labeller.name().to_owned(),
            settings: labeller.settings(),
        })
    }
}
