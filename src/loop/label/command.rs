//! Any program that reads one extended XYZ file and writes another.

use super::checks::Echo;
use super::ladder::Ladder;
use super::outputs;
use super::process::{Call, StopFlag};
use super::runner::Attempt;
use super::setup::{ProgramSetup, hour, one};
use super::{Cause, Label, Labeller, Verdict};
use nepal::error::{Error, Result};
use nepal::system::xyz::{self, FrameReader};
use nepal::system::{Frame, Structure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// A program that reads a structure from one extended XYZ file and writes it, labelled, to another.
///
/// The output holds one frame with the same cell and the same atoms in the same order and places, `energy` (eV; a
/// `free_energy` beside it is read instead), `forces` (eV/Å) and, if the method has one, `virial` (eV) or `stress`. A
/// program that found no trustworthy answer ends with a status other than zero, or says `converged=F`.
pub struct CommandLabeller {
    ladder: Ladder<CommandSettings>,
    setup: ProgramSetup,
}

impl CommandLabeller {
    /// A labeller from its settings; relative paths start at `base`.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an empty command, [`Error::Io`] for files that
    /// cannot be read.
    pub fn new(settings: &CommandSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        let tight = settings.tight.clone();
        let ladder = Ladder::new("command", settings, &settings.ladder, tight, Ok)?;
        Self::with_ladder("command", ladder, base, stop)
    }

    /// The same for another labeller, `name`, that knows its own settings.
    pub(super) fn with_ladder(
        name: &str,
        ladder: Ladder<CommandSettings>,
        base: &Path,
        stop: StopFlag,
    ) -> Result<Self> {
        let settings = ladder.at(0);
        if settings.command.is_empty() {
            return Err(Error::invalid(format!(
                "labeller {name}: `command` is empty; name a program"
            )));
        }
        let files = settings.files.iter().map(PathBuf::as_path);
        let (timeout, cores) = (settings.timeout, settings.cores);
        let setup = ProgramSetup::new(name, files, base, timeout, cores, &ladder, stop)?;
        Ok(Self { ladder, setup })
    }

    /// The label of the output file, or what is wrong with it.
    fn read(&self, path: &Path, structure: &Structure) -> std::result::Result<Label, String> {
        let text = outputs::read(path)?.ok_or_else(|| format!("the program wrote no {OUTPUT}"))?;
        let frames: Result<Vec<Frame>> = FrameReader::new(text.as_bytes(), OUTPUT).collect();
        let frames = frames.map_err(|e| e.to_string())?;
        let [frame] = <[Frame; 1]>::try_from(frames)
            .map_err(|frames| format!("the output has {} frames; expected one", frames.len()))?;
        let found = frame.structure;
        if found.cell == nepal::system::Cell::isolated() && structure.cell.periodic() != [false; 3]
        {
            return Err("the output has no cell (Lattice); the structure has one".to_owned());
        }
        let elements = found.elements.iter().map(|e| e.symbol().to_owned());
        let echo = Echo {
            elements: Some(elements.collect()),
            cell: Some(*found.cell.vectors()),
            periodic: Some(found.cell.periodic()),
            positions: Some(found.positions),
            ..Echo::default()
        };
        if let Some(reason) = echo.contradiction(structure, None) {
            return Err(reason);
        }
        let mut info = frame.info;
        if let Some(key) = info.keys().find(|key| unconverged(key, &info[*key])) {
            return Err(format!(
                "the output says that it is not converged: {key}={}",
                info[key]
            ));
        }
        // Forces are those of the free energy; beside it, ASE writes as `energy` what is extrapolated to no smearing.
        let free = info.get("free_energy").and_then(|e| e.parse().ok());
        info.insert("program".to_owned(), self.ladder.at(0).command[0].clone());
        Ok(Label {
            energy: free.or(frame.energy).ok_or("the output has no energy")?,
            forces: frame.forces.ok_or("the output has no forces")?,
            virial: frame.virial,
            info,
        })
    }
}

/// Whether a key of the output says that the calculation did not find its end.
fn unconverged(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names = [
        "converged",
        "is_converged",
        "scf_converged",
        "electronic_converged",
    ];
    let no = ["f", "false", ".false.", "0", "no"];
    names.contains(&key.as_str()) && no.contains(&value.to_ascii_lowercase().as_str())
}

impl Labeller for CommandLabeller {
    fn name(&self) -> &str {
        "command"
    }

    fn settings(&self) -> String {
        let settings = self.ladder.at(0);
        format!(
            "method {}\ncommand {:?}\nenv {:?}\nfiles {:?}",
            settings.method,
            settings.command,
            settings.env,
            self.setup.digests()
        )
    }

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        let settings = self.ladder.at(rung);
        let input = workdir.join(INPUT);
        xyz::write_frames(&input, [&Frame::new(structure.clone())])?;
        let fill = |text: &String| text.replace("{input}", INPUT).replace("{output}", OUTPUT);
        let command = settings.command.iter().map(fill).collect();
        Ok(Some(self.setup.call(workdir, command, &settings.env, LOG)))
    }

    fn collect(&self, structure: &Structure, attempt: &Attempt<'_>) -> Result<Verdict> {
        if let Some(failure) = attempt.ending.failure(attempt.timeout) {
            let said = outputs::last_lines(&attempt.workdir.join(LOG), 3);
            return Ok(Verdict::Rejected {
                reason: format!("{failure}; it said last: {said}"),
                kept: None,
                // Which of its statuses means what, only the program knows.
                cause: match attempt.ending.is_interrupted() {
                    true => Cause::Interrupted,
                    false => Cause::Unconverged,
                },
            });
        }
        let verdict = match self.read(&attempt.workdir.join(OUTPUT), structure) {
            Ok(label) => Verdict::Accepted(label),
            Err(reason) => Verdict::rejected(reason),
        };
        Ok(verdict.with_ending(attempt, LOG))
    }

    fn setup(&self) -> Option<&ProgramSetup> {
        Some(&self.setup)
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
        let labeller =
            CommandLabeller::new(&settings, Path::new("."), StopFlag::default()).unwrap();
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
        let free = AWK.replace("scf_steps=9", "converged=T free_energy=-1.75");
        let Verdict::Accepted(label) = verdict(&free, 60.0) else {
            panic!("rejected")
        };
        assert_eq!(label.energy, -1.75);
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
        assert!(reason(verdict(&other, 60.0)).contains("computed as K"));
        let moved = AWK.replace("$1, $2", "$1, $2+0.1");
        assert!(reason(verdict(&moved, 60.0)).contains("must not move"));
        // Another cell, none, or another periodicity.
        let with = |from: &str, to: &str| reason(verdict(&AWK.replace(from, to), 60.0));
        assert!(with("4.2 0 0 0 4.2", "4.3 0 0 0 4.2").contains("another cell"));
        let lattice = r#"Lattice=\"4.2 0 0 0 4.2 0 0 0 4.2\""#;
        assert!(with(lattice, "").contains("no cell"));
        assert!(
            with(lattice, &format!(r#"pbc=\"T T F\" {lattice}"#)).contains("periodic along a b,")
        );
        let start = std::time::Instant::now();
        assert!(reason(verdict("mkfifo {output}", 60.0)).contains("FIFO"));
        assert!(reason(verdict("truncate -s 1G {output}", 60.0)).contains("1024 MB"));
        assert!(start.elapsed().as_secs() < 30);
        for says in ["converged=F", "SCF_converged=0"] {
            assert!(with("scf_steps=9", says).contains(says), "{says}");
        }
        let cut = format!("{AWK}; head -n 3 {{output}} > x; mv x {{output}}");
        assert!(reason(verdict(&cut, 60.0)).contains(OUTPUT));
    }

    #[test]
    fn settings_follow_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let text = "command = ['python3', 'label.py']\nmethod = 'gfn1'\nfiles = ['label.py']";
        let make = || {
            CommandLabeller::new(
                &toml::from_str(text).unwrap(),
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
