//! Any program that reads one extended XYZ file and writes another.

use super::ladder;
use super::process::{Call, Ending, StopFlag, last_lines};
use super::program::root_variables;
use super::{Cause, Label, Labeller, Verdict};
use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure, xyz};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const INPUT: &str = "input.xyz";
const OUTPUT: &str = "output.xyz";
const LOG: &str = "command.log";

/// Settings of a [`CommandLabeller`].
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSettings {
    /// Program and arguments, a list or one text; `{input}` and `{output}` stand for the two files.
    #[serde(deserialize_with = "super::config::words")]
    pub command: Vec<String>,
    /// What determines the result besides the command and `files`: method, version, basis.
    /// Change it to have everything labelled again.
    pub method: String,
    /// Files that determine the result, such as the script: their content is part of the cache key.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Environment variables for the program.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest wall time in seconds.
    #[serde(default = "hour")]
    pub timeout: f64,
    /// Cores that one labelling keeps busy.
    #[serde(default = "one")]
    pub cores: usize,
    /// What to try in turn when the program ends with a status other than zero: tables with another
    /// `command` or other `env`. They should change the way to the result, not the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<toml::Table>,
    /// Tighter settings for labels that are doubted, as a table of settings that replace these,
    /// such as another `command` (none); `{}` for
    /// none, so that a doubted label is computed again as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight: Option<toml::Table>,
}

pub(super) fn hour() -> f64 {
    3600.0
}

pub(super) fn one() -> usize {
    1
}

/// A time limit from seconds.
///
/// **Errors**: [`Error::InvalidArgument`] unless positive and finite.
pub(super) fn timeout(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|d| !d.is_zero())
        .ok_or_else(|| {
            Error::invalid(format!(
                "timeout must be a positive number of seconds; found {seconds}"
            ))
        })
}

/// A program that reads a structure from one extended XYZ file and writes it, labelled, to another.
///
/// The output holds one frame with the same atoms in the same order, `energy` (eV), `forces` (eV/Å)
/// and, if the method has one, `virial` (eV) or `stress`. A program that found no trustworthy
/// answer ends with a status other than zero.
pub struct CommandLabeller {
    settings: CommandSettings,
    /// What to try next: in words, and settings; last the tighter settings, if there are any.
    rungs: Vec<(String, CommandSettings)>,
    /// Digests of the files.
    digests: Vec<String>,
    timeout: Duration,
    stop: StopFlag,
}

impl CommandLabeller {
    /// A labeller from its settings; relative paths start at `base`.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an empty command, [`Error::Io`] for files that
    /// cannot be read.
    pub fn new(settings: CommandSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        if settings.command.is_empty() {
            return Err(Error::invalid("labeller `command`: name a program"));
        }
        let mut digests = Vec::new();
        for file in &settings.files {
            digests.push(digest(&base.join(file))?);
        }
        let mut rungs = Vec::new();
        let tight = settings.tight.iter().filter(|t| !t.is_empty());
        for rung in settings.ladder.iter().chain(tight) {
            let changed = ladder::overlay("command", &settings, rung)?;
            rungs.push((ladder::describe(rung), changed));
        }
        Ok(Self {
            timeout: timeout(settings.timeout)?,
            settings,
            rungs,
            digests,
            stop,
        })
    }

    /// The label of the output file, or what is wrong with it.
    fn read(&self, path: &Path, structure: &Structure) -> std::result::Result<Label, String> {
        let mut frames = xyz::read_frames(path).map_err(|e| e.to_string())?;
        if frames.len() != 1 {
            return Err(format!(
                "the output has {} frames; expected one",
                frames.len()
            ));
        }
        let frame: Frame = frames.remove(0);
        if frame.structure.elements != structure.elements {
            return Err(
                "the output has other atoms, or in another order, than the input".to_owned(),
            );
        }
        let moved = frame.structure.positions.iter().zip(&structure.positions);
        if moved
            .flat_map(|(a, b)| a.iter().zip(b))
            .any(|(a, b)| (a - b).abs() > 1e-4)
        {
            return Err(
                "the output has other positions than the input: a labeller must not move atoms"
                    .to_owned(),
            );
        }
        let mut info = frame.info;
        info.insert("program".to_owned(), self.settings.command[0].clone());
        Ok(Label {
            energy: frame.energy.ok_or("the output has no energy")?,
            forces: frame.forces.ok_or("the output has no forces")?,
            virial: frame.virial,
            info,
        })
    }
}

/// SHA-256 of a file, hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String> {
    let content = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    Ok(Sha256::digest(&content)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect())
}

impl Labeller for CommandLabeller {
    fn name(&self) -> &str {
        "command"
    }

    fn settings(&self) -> String {
        format!(
            "method {}\ncommand {:?}\nenv {:?}\nfiles {:?}",
            self.settings.method, self.settings.command, self.settings.env, self.digests
        )
    }

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        let settings = match rung.checked_sub(1).and_then(|i| self.rungs.get(i)) {
            Some((_, settings)) => settings,
            None => &self.settings,
        };
        let input = workdir.join(INPUT);
        xyz::write_frames(&input, [&Frame::new(structure.clone())])?;
        let fill = |text: &String| text.replace("{input}", INPUT).replace("{output}", OUTPUT);
        let mut env = root_variables();
        env.extend(settings.env.clone());
        Ok(Some(Call {
            command: settings.command.iter().map(fill).collect(),
            env,
            folder: workdir.to_owned(),
            output: LOG.to_owned(),
            timeout: self.timeout,
        }))
    }

    fn collect(
        &self,
        structure: &Structure,
        workdir: &Path,
        ending: Ending,
        timeout: Duration,
    ) -> Result<Verdict> {
        if let Some(failure) = ending.failure(timeout) {
            let said = last_lines(&workdir.join(LOG), 3);
            return Ok(Verdict::Rejected {
                reason: format!("{failure}; it said last: {said}"),
                kept: None,
                // Which of its statuses means what, only the program knows.
                cause: if ending.is_interrupted() {
                    Cause::Interrupted
                } else {
                    Cause::Unconverged
                },
            });
        }
        let verdict = match self.read(&workdir.join(OUTPUT), structure) {
            Ok(label) => Verdict::Accepted(label),
            Err(reason) => Verdict::rejected(reason),
        };
        Ok(verdict.with_ending(ending, timeout, &workdir.join(LOG)))
    }

    fn rungs(&self) -> Vec<String> {
        let ladder = self.rungs.iter().take(self.settings.ladder.len());
        ladder.map(|(words, _)| words.clone()).collect()
    }

    fn tight(&self) -> Option<String> {
        Some(self.rungs.get(self.settings.ladder.len())?.0.clone())
    }

    fn stop(&self) -> StopFlag {
        self.stop.clone()
    }

    fn cores(&self) -> usize {
        self.settings.cores
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::Cell;

    fn structure() -> Structure {
        let sodium = Element::from_symbol("Na").unwrap();
        let cell = Cell::orthorhombic([4.2; 3]).unwrap();
        Structure::new(cell, vec![sodium; 2], vec![[0.0; 3], [2.0, 2.1, 2.2]]).unwrap()
    }

    fn verdict(script: &str, timeout: f64) -> Verdict {
        let settings = CommandSettings {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            method: "test".to_owned(),
            files: Vec::new(),
            env: BTreeMap::new(),
            timeout,
            cores: 1,
            ladder: Vec::new(),
            tight: None,
        };
        let labeller = CommandLabeller::new(settings, Path::new("."), StopFlag::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        labeller.label(&structure(), folder.path()).unwrap()
    }

    fn reason(verdict: Verdict) -> String {
        match verdict {
            Verdict::Rejected { reason, .. } => reason,
            Verdict::Accepted(label) => panic!("accepted {label:?}"),
        }
    }

    /// Labels by editing text: energy -1.5, forces ±0.25 along z.
    const AWK: &str = r#"awk 'NR==1 {print} NR==2 {
        print "Lattice=\"4.2 0 0 0 4.2 0 0 0 4.2\" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 virial=\"1 2 3 2 5 6 3 6 9\" scf_steps=9" }
        NR>2 {print $1, $2, $3, $4, 0, 0, (NR==3 ? 0.25 : -0.25)}' {input} > {output}"#;

    #[test]
    fn a_program_labels_through_files() {
        let Verdict::Accepted(label) = verdict(AWK, 60.0) else {
            panic!("rejected")
        };
        assert_eq!(label.energy, -1.5);
        assert_eq!(label.forces, [[0.0, 0.0, 0.25], [0.0, 0.0, -0.25]]);
        assert_eq!(
            label.virial,
            Some([1.0, 2.0, 3.0, 2.0, 5.0, 6.0, 3.0, 6.0, 9.0])
        );
        assert_eq!(label.info["scf_steps"], "9");
    }

    #[test]
    fn what_a_program_can_do_wrong_has_a_reason() {
        assert!(reason(verdict("echo no convergence; exit 4", 60.0)).contains("no convergence"));
        assert!(reason(verdict("sleep 30", 0.1)).contains("time limit"));
        assert!(reason(verdict("true", 60.0)).contains(OUTPUT));
        assert!(reason(verdict("cp {input} {output}", 60.0)).contains("no energy"));
        let twice = "cat {input} {input} > {output}";
        assert!(reason(verdict(twice, 60.0)).contains("2 frames"));
        let other = format!("{AWK}; sed -i 's/^Na/K/' {{output}}");
        assert!(reason(verdict(&other, 60.0)).contains("other atoms"));
        let moved = AWK.replace("$1, $2", "$1, $2+0.1");
        assert!(reason(verdict(&moved, 60.0)).contains("must not move"));
        let cut = format!("{AWK}; head -n 3 {{output}} > x; mv x {{output}}");
        assert!(reason(verdict(&cut, 60.0)).contains(OUTPUT));
    }

    #[test]
    fn settings_follow_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let text = "command = ['python3', 'label.py']\nmethod = 'gfn1'\nfiles = ['label.py']";
        let make = || {
            CommandLabeller::new(
                toml::from_str(text).unwrap(),
                folder.path(),
                StopFlag::default(),
            )
        };
        let missing = make().err().unwrap().to_string();
        assert!(missing.contains("label.py"), "{missing}");
        std::fs::write(folder.path().join("label.py"), "a").unwrap();
        let before = make().unwrap().settings();
        std::fs::write(folder.path().join("label.py"), "b").unwrap();
        assert_ne!(make().unwrap().settings(), before);
    }
}
