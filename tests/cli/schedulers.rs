//! Labels as jobs of batch systems that fail on cue.

use crate::{program, root};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Labels that cost nothing; each that is computed leaves a line in `computed`.
pub const LABEL: &str = r#"{ read n; read comment; read s x y z rest; } <"$1"
[ -e FOLDER/slow ] && sleep 1
[ -e FOLDER/fail ] && exit 4
printf '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1\n%s %s %s %s 0 0 0\n' \
    "$s" "$x" "$y" "$z" >"$2"
echo "$x" >>FOLDER/computed
"#;

pub const SMALL: &str = r#"
title = "labels"
directory = "work"
initial = [{ prototype = "sc", elements = ["Na"], lattice = 4.0 }]
[[explore]]
name = "none"
start = { prototype = "sc", elements = ["Na"], lattice = 4.0 }
ensemble = "nve"
temperature = [300, 300]
steps = 1
[model]
first_epochs = 1
epochs = 1
nep_in = "type 1 Na\ncutoff 4 4\nn_max 1 1\nl_max 1 0 0\nneuron 1\n"
[label]
kind = "command"
method = "nothing"
command = ["sh", "FOLDER/label.sh", "{input}", "{output}"]
"#;

/// A folder with three structures to label through the fake Slurm.
struct Site(tempfile::TempDir);

impl Site {
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Self(dir);
        let folder = site.path().display().to_string();
        let write = |name: &str, text: &str| {
            std::fs::write(site.path().join(name), text.replace("FOLDER", &folder)).unwrap();
        };
        write("label.sh", LABEL);
        let slurm = "[scheduler]\nkind = \"slurm\"\npoll_seconds = 0.05\n";
        write("c.toml", &format!("{SMALL}{slurm}{more}"));
        let atoms: Vec<String> = (0..3)
            .map(|i| format!("1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3\nNa 0.{i} 0 0\n"))
            .collect();
        write("in.xyz", &atoms.concat());
        std::fs::create_dir(site.path().join("slurm")).unwrap();
        std::fs::create_dir(site.path().join("bin")).unwrap();
        site.programs("slurm-fake.sh", &["sbatch", "squeue", "sacct", "scancel"]);
        site
    }

    /// Puts a script of this folder on the search path, under some names.
    fn programs(&self, script: &str, names: &[&str]) {
        let fake = root().join("tests/cli").join(script);
        for name in names {
            let copy = self.path().join("bin").join(name);
            std::fs::copy(&fake, &copy).unwrap();
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cue(&self, name: &str, text: &str) {
        std::fs::write(self.path().join("slurm").join(name), text).unwrap();
    }

    fn uncue(&self, name: &str) {
        std::fs::remove_file(self.path().join("slurm").join(name)).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = program();
        let search = std::env::var("PATH").unwrap();
        command
            .current_dir(self.path())
            .env(
                "PATH",
                format!("{}:{search}", self.path().join("bin").display()),
            )
            .env("FAKE_SLURM", self.path().join("slurm"))
            .args(["label", "--config", "c.toml", "--structures", "in.xyz"])
            .args(["--out", "out.xyz"]);
        command
    }

    fn label(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Labels, and demands that all three come back, each computed once.
    fn all_once(&self) -> String {
        let output = self.label();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(self.computed(), 3, "{said}");
        let labelled = std::fs::read_to_string(self.path().join("out.xyz")).unwrap();
        assert_eq!(labelled.matches("energy").count(), 3);
        said
    }

    fn computed(&self) -> usize {
        let text = std::fs::read_to_string(self.path().join("computed"));
        text.unwrap_or_default().lines().count()
    }

    fn calls(&self, program: &str) -> usize {
        let text = std::fs::read_to_string(self.path().join("slurm/calls")).unwrap();
        text.lines().filter(|l| l.starts_with(program)).count()
    }
}

#[test]
fn what_is_no_fault_of_the_structure_is_tried_again() {
    for fate in [
        "",
        "PREEMPTED\nNODE_FAIL\nRUN\nBOOT_FAIL\n",
        "TIMEOUT\nOUT_OF_MEMORY\nREQUEUE_HOLD\n",
        "forgotten\nforgotten\n",
        "gone\nNODE_FAIL\n",
        // Only the accounting knows them any more.
        "sacct:TIMEOUT\nsacct:NODE_FAIL\nsacct:OUT_OF_MEMORY\n",
    ] {
        let site = Site::new("");
        site.cue("fate", fate);
        site.all_once();
    }
}

#[test]
fn pbs_and_lsf_are_served_too() {
    for (kind, names, fates) in [
        (
            "pbs",
            ["qsub", "qstat", "qdel"],
            "F 271 job killed: walltime 60 exceeded limit\nF -1 node\n\nF -27 mem\n",
        ),
        (
            "lsf",
            ["bsub", "bjobs", "bkill"],
            "EXIT 140 TERM_RUNLIMIT: job killed\nZOMBI - -\n\nEXIT 137 TERM_MEMLIMIT: job killed\n",
        ),
    ] {
        let site = Site::new("");
        site.programs("batch-fake.sh", &names);
        let config = site.path().join("c.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("\"slurm\"", &format!("\"{kind}\""))).unwrap();
        site.cue("fate", fates);
        site.all_once();
        assert_eq!(
            site.calls(names[0]),
            6,
            "{kind}: three labels, three in vain"
        );
        // A wrong program fails the same way behind a batch system; a ladder has nothing to add.
        std::fs::write(site.path().join("fail"), "").unwrap();
        let atoms = "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3\nNa 0.7 0 0\n";
        std::fs::write(site.path().join("in.xyz"), atoms).unwrap();
        let output = site.label();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("exit status 4"), "{kind}: {said}");
    }
}

#[test]
fn a_structure_that_times_out_again_is_given_up_but_not_for_ever() {
    let site = Site::new("");
    site.cue("fate", "TIMEOUT\nRUN\nRUN\nTIMEOUT\n");
    let output = site.label();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("2 of 3") && said.contains("time limit"),
        "{said}"
    );
    assert!(
        site.path()
            .join("work/labels/quarantine")
            .read_dir()
            .unwrap()
            .count()
            == 1
    );
    site.all_once();
}

#[test]
fn a_scheduler_that_is_down_or_full_is_waited_for() {
    for (cue, words) in [("down", "answer"), ("full", "takes no more")] {
        let site = Site::new("");
        site.cue(cue, "");
        let child = site
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        site.uncue(cue);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(site.computed(), 3);
    }
}

#[test]
fn a_wrong_request_ends_the_run_and_loses_nothing() {
    let site = Site::new("");
    site.cue("wrong", "");
    let output = site.label();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("invalid partition") && said.contains("[scheduler]"),
        "{said}"
    );
    site.uncue("wrong");
    site.all_once();
    // What Slurm takes but never runs.
    let site = Site::new("");
    site.cue("fate", "RUN\nPENDING/PartitionConfig\n");
    let output = site.label();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("never run it") && said.contains("PartitionConfig"),
        "{said}"
    );
    assert_eq!(site.calls("scancel"), 1);
    site.all_once();
}

#[test]
fn a_submission_without_an_answer_is_found_by_name() {
    let site = Site::new("");
    site.cue("mute", "");
    site.all_once();
    assert_eq!(site.calls("sbatch"), 1);
    // Neither the answer nor the queue tells of the jobs: their folders do.
    let site = Site::new("");
    site.cue("mute", "");
    site.cue("fate", "forgotten\nforgotten\nforgotten\n");
    site.all_once();
    assert_eq!(site.calls("sbatch"), 1);
}

/// What ssh does: the words are joined and go through a shell; the connection fails like its own errors do.
const SSH: &str = r#"#!/bin/sh
[ "$1" = login ] || exit 255
if [ -e "$FAKE_SLURM/unreachable" ]; then
    echo "ssh: connect to host login port 22: Connection refused" >&2
    exit 255
fi
shift
PATH=$REMOTE_PATH exec sh -c "$*"
"#;

#[test]
fn a_login_node_is_reached_by_ssh() {
    let site = Site::new("wrapper = \"ssh login\"\n");
    // The scheduler's commands are on the other side only.
    let (bin, remote) = (site.path().join("bin"), site.path().join("remote"));
    std::fs::rename(&bin, &remote).unwrap();
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("ssh"), SSH).unwrap();
    std::fs::set_permissions(bin.join("ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let search = std::env::var("PATH").unwrap();
    let remote = format!("{}:{search}", remote.display());
    site.cue("unreachable", "");
    site.cue("fate", "NODE_FAIL\nRUN\n");
    let child = site
        .command()
        .env("REMOTE_PATH", &remote)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(600));
    site.uncue("unreachable");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    assert_eq!(site.computed(), 3);
}

#[test]
fn jobs_that_somebody_cancelled_end_the_run() {
    let site = Site::new("");
    site.cue("fate", "CANCELLED by 0\n");
    let output = site.label();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cancelled"), "{said}");
    site.all_once();
}

#[test]
fn programs_that_fail_are_rejected_after_their_ladder() {
    let ladder = "[[label.ladder]]\nenv = { TRY = \"2\" }\n";
    let site = Site::new("");
    let text = std::fs::read_to_string(site.path().join("c.toml")).unwrap();
    let text = text.replace("[scheduler]", &format!("{ladder}[scheduler]"));
    std::fs::write(site.path().join("c.toml"), text).unwrap();
    let script = std::fs::read_to_string(site.path().join("label.sh")).unwrap();
    // The first settings fail for the second structure, all settings for the third.
    let script =
        format!("{script}\ncase $x in 0.1) [ \"${{TRY:-}}\" = 2 ] ;; 0.2) exit 4 ;; esac\n");
    std::fs::write(site.path().join("label.sh"), script).unwrap();
    let output = site.label();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("2 of 3") && said.contains("exit status 4"),
        "{said}"
    );
    assert_eq!(site.computed(), 5, "two of the three took another rung");
    let quarantine = site.path().join("work/labels/quarantine");
    let kept = quarantine
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let reason = std::fs::read_to_string(kept.join("rejected.json")).unwrap();
    assert!(reason.contains("TRY"), "{reason}");
    assert!(kept.join("input.xyz").exists());
    // It is remembered, until the ladder has something new.
    site.label();
    assert_eq!(site.computed(), 5);
}

/// A control structure that is labelled otherwise than before ends the campaign.
#[test]
fn a_method_that_changed_behind_our_back_is_noticed() {
    let site = Site::new("");
    let config = site.path().join("c.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("method = ", "control_hours = 0\nmethod = ");
    std::fs::write(&config, text).unwrap();
    site.all_once();
    let more = "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3\nNa 0.7 0 0\n";
    let add = |x: &str| {
        std::fs::write(site.path().join("in.xyz"), more.replace("0.7", x)).unwrap();
    };
    add("0.7");
    assert!(site.label().status.success());
    let script = std::fs::read_to_string(site.path().join("label.sh")).unwrap();
    let changed = script.replace("energy=-1", "energy=-1.1");
    std::fs::write(site.path().join("label.sh"), changed).unwrap();
    add("0.8");
    let output = site.label();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("control structure") && said.contains("-100.00 meV/atom"),
        "{said}"
    );
}

/// A clock that was ahead left times in the future: the control is compared once, and then in its turn again.
#[test]
fn a_clock_that_was_set_back_is_survived() {
    let site = Site::new("");
    site.all_once();
    let path = site.path().join("work/labels/control/control.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut control: serde_json::Value = serde_json::from_str(&text).unwrap();
    control["checked"] = 4_102_444_800_u64.into();
    std::fs::write(&path, control.to_string()).unwrap();
    let mut computed = site.computed();
    // The new structure and the control, then only the new structure.
    for (x, more) in [("0.7", 2), ("0.8", 1)] {
        let atoms = format!(
            "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3\nNa {x} 0 0\n"
        );
        std::fs::write(site.path().join("in.xyz"), atoms).unwrap();
        let output = site.label();
        assert!(output.status.success());
        assert_eq!(site.computed(), computed + more, "{x}");
        computed += more;
    }
}
