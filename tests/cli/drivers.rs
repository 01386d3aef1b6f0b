//! Campaigns whose labels are jobs: in steps, by two drivers, wrong once, and through a real Slurm.

use crate::campaign::CAMPAIGN;
use crate::{program, root, run};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A campaign whose labels a NEP computes behind a script that counts.
fn campaign(folder: &Path, scheduler: &str) {
    std::fs::copy(
        crate::data("si_2022_nep4_3body/nep.txt"),
        folder.join("teacher.txt"),
    )
    .unwrap();
    let script = format!(
        "set -e\necho begun >>'{1}/begun'\nsleep 0.2\n'{}' --output-mode quiet predict --model '{1}/teacher.txt' --structures \"$1\" --out \"$2\"\necho call >>'{1}/computed'\n",
        env!("CARGO_BIN_EXE_nepal-loop"),
        folder.display()
    );
    std::fs::write(folder.join("label.sh"), script).unwrap();
    let label = format!(
        "kind = \"command\"\nmethod = \"teacher\"\ncommand = [\"sh\", \"{}/label.sh\", \"{{input}}\", \"{{output}}\"]",
        folder.display()
    );
    let text = format!("{}{scheduler}", CAMPAIGN.replace("@LABEL@", &label));
    std::fs::write(folder.join("c.toml"), text).unwrap();
}

fn lines(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("computed")).unwrap_or_default();
    text.lines().count()
}

#[test]
fn steps_lead_where_a_run_does() {
    let (whole, stepped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&whole, &stepped] {
        campaign(dir.path(), "");
    }
    crate::succeed(whole.path(), &["run", "c.toml"]);
    let mut waits = 0;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let output = run(stepped.path(), &["step", "c.toml"]);
        match output.status.code() {
            Some(0 | 3) => break,
            Some(75) => {
                waits += 1;
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(said.starts_with("waiting: "), "{said}");
                // Nobody runs, and what is out there is told all the same.
                let json = ["--output-mode", "json", "status", "c.toml"];
                let status = crate::succeed(stepped.path(), &json);
                let status: serde_json::Value = serde_json::from_str(&status).unwrap();
                let labels = &status["data"]["labels"];
                let (out, due) = (&labels["running"], &labels["queued"]);
                assert!(
                    said.contains(&format!(", {out} jobs with ")),
                    "{said}{status}"
                );
                assert!(
                    said.contains(&format!(", {due} to submit")),
                    "{said}{status}"
                );
            }
            _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        }
        assert!(Instant::now() < deadline, "it never ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(waits > 2, "{waits}");
    for file in ["work/final/nep.txt", "work/final/train.xyz"] {
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
        assert!(read(&whole) == read(&stepped), "{file} differs");
    }
    assert_eq!(lines(whole.path()), lines(stepped.path()));
}

/// One label of the first round is wrong the first time: without a model to compare with it is found out,
/// computed again, and the campaign ends as if nothing had been.
#[test]
fn a_wrong_label_is_computed_again() {
    let (right, wrong) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&right, &wrong] {
        campaign(dir.path(), "");
        let file = |name: &str| dir.path().join(name);
        let text = std::fs::read_to_string(file("c.toml")).unwrap();
        let text = text.replacen("count = 4", "count = 20", 1);
        let text = text.replace("max_rounds = 2", "max_rounds = 1");
        std::fs::write(file("c.toml"), text).unwrap();
        let script = std::fs::read_to_string(file("label.sh")).unwrap();
        let script = script.replace("sleep 0.2\n", "");
        let script = script.replace("echo call", "echo \"call $TIGHT\"");
        let text = std::fs::read_to_string(file("c.toml")).unwrap();
        let tight = "[label]\ntight = { env = { TIGHT = \"tight\" } }\nenv = { TIGHT = \"\" }\n";
        std::fs::write(file("c.toml"), text.replace("[label]\n", tight)).unwrap();
        let off = "n=$(wc -l <computed)\n\
            [ -e spoil ] && [ \"$n\" = 7 ] && \
            awk '/energy=/ { match($0, /energy=[-0-9.e]+/); e = substr($0, RSTART + 7, RLENGTH - 7); \
            sub(/energy=[-0-9.e]+/, sprintf(\"energy=%.10f\", e + 0.8)) } { print }' out >\"$2\" || cp out \"$2\"\n";
        let off = off
            .replace("computed", &file("computed").display().to_string())
            .replace("spoil", &file("spoil").display().to_string());
        let script = script.replacen("--out \"$2\"\n", &format!("--out out\n{off}"), 1);
        std::fs::write(file("computed"), "").unwrap();
        std::fs::write(file("label.sh"), script).unwrap();
    }
    std::fs::write(wrong.path().join("spoil"), "").unwrap();
    crate::succeed(right.path(), &["run", "c.toml"]);
    let output = run(wrong.path(), &["run", "c.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(crate::ended(&output), "{said}");
    assert!(said.contains("computing them again"), "{said}");
    for file in ["work/final/nep.txt", "work/final/train.xyz"] {
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
        assert!(read(&right) == read(&wrong), "{file} differs");
    }
    let aside = |dir: &tempfile::TempDir| {
        let folder = dir.path().join("work/labels/doubted");
        folder.read_dir().map_or(0, Iterator::count)
    };
    assert!(aside(&wrong) > 0 && aside(&wrong) <= 6, "{}", aside(&wrong));
    let off = |dir: &tempfile::TempDir| {
        let folder = dir.path().join("work/labels/doubted");
        let files = folder.read_dir().into_iter().flatten().flatten();
        let texts = files.map(|f| std::fs::read_to_string(f.path()).unwrap());
        texts.collect::<Vec<_>>()
    };
    // The second look is with tighter settings, and what it confirms is kept as it was.
    let computed = std::fs::read_to_string(wrong.path().join("computed")).unwrap();
    let second = computed.lines().filter(|l| *l == "call tight").count();
    assert_eq!(second, aside(&wrong), "{computed}");
    // The wrong one is among those set aside, and no right one is.
    let extra: Vec<_> = off(&wrong)
        .into_iter()
        .filter(|t| !off(&right).contains(t))
        .collect();
    assert!(!extra.is_empty());
}

#[test]
fn two_drivers_at_once_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    campaign(dir.path(), "");
    let mut first = program()
        .current_dir(dir.path())
        .args(["--output-mode", "quiet", "run", "c.toml"])
        .spawn()
        .unwrap();
    while !dir.path().join("work/running/jobs.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = run(dir.path(), &["run", "c.toml"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.contains("another nepal-loop") && said.contains("process"),
        "{said}"
    );
    assert!(matches!(first.wait().unwrap().code(), Some(0 | 3)));
    // What is labelled can be taken elsewhere without the program.
    let text = std::fs::read_to_string(dir.path().join("c.toml")).unwrap();
    let (head, tail) = text.split_once("kind = \"command\"").unwrap();
    let rest = tail.split_once("parallel").unwrap().1;
    let other = "kind = \"ase\"\npython = \"no-such-python\"\ncalculator = \"a:B\"\nparallel";
    std::fs::write(dir.path().join("c.toml"), format!("{head}{other}{rest}")).unwrap();
    crate::succeed(dir.path(), &["export", "c.toml", "--out", "all.xyz"]);
    let all = std::fs::read_to_string(dir.path().join("all.xyz")).unwrap();
    assert!(all.contains("labeller=command") && all.contains("label_key="));
    let status = crate::succeed(dir.path(), &["status", "c.toml"]);
    assert!(status.contains("core hours"), "{status}");
}

/// A file of a finished round is spoilt while labels of a later one are out: the round is done again, and those
/// labels go on.
#[test]
fn a_spoilt_round_takes_no_label_from_a_later_one() {
    let (whole, spoilt) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&whole, &spoilt] {
        campaign(dir.path(), "");
        let script = std::fs::read_to_string(dir.path().join("label.sh")).unwrap();
        let slow = script.replace("sleep 0.2", "sleep 0.7");
        std::fs::write(dir.path().join("label.sh"), slow).unwrap();
    }
    crate::succeed(whole.path(), &["run", "c.toml"]);
    let work = spoilt.path().join("work");
    let step = || run(spoilt.path(), &["step", "c.toml"]).status.code();
    let begun = || {
        let text = std::fs::read_to_string(spoilt.path().join("begun")).unwrap_or_default();
        text.lines().count()
    };
    // Until a label of round 1 is being computed.
    let mut first = usize::MAX;
    while begun() <= first {
        assert_eq!(step(), Some(75));
        if first == usize::MAX && work.join("round-01/to-label.xyz").exists() {
            first = begun() - usize::from(begun() > 6);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let file = work.join("round-00/labelled.xyz");
    let text = std::fs::read(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let seconds = |dir: &tempfile::TempDir| {
        let text = std::fs::read_to_string(dir.path().join("work/round-00/labels.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        record["seconds"].as_f64().unwrap()
    };
    let cost = seconds(&spoilt);
    let deadline = Instant::now() + Duration::from_secs(120);
    while !matches!(step(), Some(0 | 3)) {
        assert!(Instant::now() < deadline, "it never ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    for file in ["work/final/nep.txt", "work/final/train.xyz"] {
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
        assert!(read(&whole) == read(&spoilt), "{file} differs");
    }
    assert_eq!(begun(), lines(whole.path()), "a label was begun twice");
    assert!(cost > 0.0 && seconds(&spoilt) == cost);
}

/// One step by hand, and the campaign goes on as a chain of jobs to its end, also when one of them is killed.
#[test]
#[needs(Slurm)]
fn a_chain_of_slurm_jobs_steps_a_campaign() {
    let (local, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::set_permissions(remote.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let node = Node::start(remote.path());
    campaign(local.path(), "");
    let slurm = "[scheduler]\nkind = \"slurm\"\npoll_seconds = 0.3\narray = 4\n[scheduler.driver]\nminutes = 5\n";
    campaign(remote.path(), slurm);
    crate::succeed(local.path(), &["run", "c.toml"]);
    let output = program()
        .current_dir(remote.path())
        .env("SLURM_CONF", node.conf())
        .args(["step", "c.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("takes the next step"), "{said}");
    let work = remote.path().join("work");
    let read = |name: &str| std::fs::read_to_string(work.join(name)).unwrap_or_default();
    let by_hand = read("journal.driver");
    let deadline = Instant::now() + Duration::from_secs(100);
    let mut killed = false;
    while !work.join("final/outcome.json").exists() {
        assert!(Instant::now() < deadline, "{}", read("running/driver.log"));
        std::thread::sleep(Duration::from_millis(20));
        let driver = read("journal.driver");
        if !killed && driver != by_hand && !driver.is_empty() {
            let pid = driver.split_whitespace().last().unwrap().to_owned();
            killed = Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success();
        }
    }
    assert!(killed);
    for file in ["final/nep.txt", "final/train.xyz"] {
        let same = std::fs::read(local.path().join("work").join(file)).unwrap();
        assert!(same == std::fs::read(work.join(file)).unwrap(), "{file}");
    }
    assert_eq!(lines(local.path()), lines(remote.path()));
    // Nothing is left that would step again.
    let left = || {
        let mut queue = Command::new("squeue");
        queue
            .env("SLURM_CONF", node.conf())
            .args(["-h", "-o", "%j"]);
        String::from_utf8(queue.output().unwrap().stdout).unwrap()
    };
    while left().contains("nepal-step") {
        assert!(Instant::now() < deadline, "{}", left());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A real Slurm of one node; stopped when dropped.
pub struct Node(PathBuf);

impl Node {
    pub fn start(folder: &Path) -> Self {
        let node = Self(folder.join("node"));
        assert!(node.script("start"), "Slurm did not start");
        node
    }

    /// Its configuration, for `SLURM_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.0.join("slurm.conf")
    }

    fn script(&self, verb: &str) -> bool {
        let script = root().join("tests/support/slurm-node.sh");
        let mut command = Command::new("sh");
        command.arg(script).arg(verb).arg(&self.0).arg("2");
        // Daemons keep what they inherit open.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.script("stop");
    }
}

#[test]
#[needs(Slurm)]
fn a_real_slurm_labels_a_campaign_whose_driver_is_killed() {
    let (local, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::set_permissions(remote.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let node = Node::start(remote.path());
    campaign(local.path(), "");
    campaign(
        remote.path(),
        "[scheduler]\nkind = \"slurm\"\npoll_seconds = 0.3\narray = 4\n",
    );
    crate::succeed(local.path(), &["run", "c.toml"]);
    let driver = |verb: &str| {
        let mut command = program();
        command
            .current_dir(remote.path())
            .env("SLURM_CONF", node.0.join("slurm.conf"))
            .args([verb, "c.toml"]);
        command
    };
    let doctor = driver("doctor").output().unwrap();
    assert!(
        doctor.status.success(),
        "{}",
        String::from_utf8_lossy(&doctor.stdout)
    );
    for patience in [100, 400, 700, 1000, 1500] {
        let mut child = driver("run")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(patience));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = driver("run").output().unwrap();
    assert!(
        crate::ended(&output),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for file in ["work/final/nep.txt", "work/final/train.xyz"] {
        let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
        assert!(read(&local) == read(&remote), "{file} differs");
    }
    assert_eq!(
        lines(local.path()),
        lines(remote.path()),
        "no label was computed twice"
    );
}
