//! Campaigns whose runs of exploration are jobs: of this machine, in steps, of a Slurm that fails on cue, and of a
//! real one whose driver is killed.

use crate::campaign::CAMPAIGN;
use crate::drivers::Node;
use crate::{ended, fail, program, root, run, succeed};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Stands in for GPUMD: moves the atoms, calls the last frame unknown, and counts its runs.
const ENGINE: &str = r#"set -e
sleep 0.5
[ -e FOLDER/broken ] && { echo "no device"; exit 3; }
awk 'NR == 2 { sub(/Properties=[^ ]*/, "Properties=species:S:1:pos:R:3:gamma:R:1"); print "max_gamma=3 " $0; next }
    NR > 2 { printf "%s %.6f %.6f %.6f 3.0\n", $1, $2 + 0.3 * sin(NR), $3 + 0.3 * cos(NR), $4 + 0.2 * sin(2 * NR); next }
    { print }' model.xyz >extrapolation_dump.xyz
pwd >>FOLDER/explored
"#;

const SCENARIO: &str = r#"[[explore]]
name = "far"
start = { prototype = "diamond", elements = ["Si"], lattice = 5.43, rattle = 0.05, count = 3 }
ensemble = "nve"
temperature = [300, 900]
steps = 100
replicas = 3
engine = { kind = "gpumd", command = ["sh", "FOLDER/engine.sh"]MORE }
"#;

/// A campaign of two scenarios, one by the built-in dynamics and one by a program.
fn campaign(folder: &Path, engine: &str, scheduler: &str) {
    let place = folder.display().to_string();
    let scenario = SCENARIO.replace("MORE", engine).replace("FOLDER", &place);
    let text = CAMPAIGN
        .replace("@LABEL@", "kind = \"stillinger-weber\"")
        .replacen("count = 4", "count = 12", 1)
        .replace("[select]", &format!("{scenario}[select]"));
    std::fs::write(folder.join("c.toml"), format!("{text}{scheduler}")).unwrap();
    std::fs::write(folder.join("engine.sh"), ENGINE.replace("FOLDER", &place)).unwrap();
}

fn explored(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("explored")).unwrap_or_default();
    text.lines().count()
}

fn same_end(a: &Path, b: &Path) {
    for file in [
        "work/round-00/candidates.xyz",
        "work/round-01/candidates.xyz",
        "work/final/nep.txt",
        "work/final/train.xyz",
    ] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(a) == read(b), "{file} differs");
    }
}

#[test]
fn steps_explore_as_a_run_does() {
    let (whole, stepped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&whole, &stepped] {
        campaign(dir.path(), "", "");
    }
    succeed(whole.path(), &["run", "c.toml"]);
    assert_eq!(explored(whole.path()), 6, "three walkers, two rounds");
    let mut waits = 0;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let output = run(stepped.path(), &["step", "c.toml"]);
        match output.status.code() {
            Some(0 | 3) => break,
            Some(75) => {
                waits += 1;
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    said.contains(" runs are there") && said.contains("jobs with"),
                    "{said}"
                );
                let status = succeed(stepped.path(), &["status", "c.toml"]);
                assert!(status.contains("with the scheduler"), "{status}");
            }
            _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        }
        assert!(Instant::now() < deadline, "it never ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(waits > 2, "{waits}");
    assert_eq!(explored(stepped.path()), 6, "no run was done twice");
    same_end(whole.path(), stepped.path());
    // What was kept between passes is in the round's files now.
    let left = stepped.path().join("work/round-00/explore");
    let kept = left.read_dir().unwrap().flatten();
    assert!(kept.into_iter().all(|e| e.path().is_dir()));
}

#[test]
fn a_program_that_fails_is_told_of_and_the_round_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    campaign(dir.path(), "", "");
    std::fs::write(dir.path().join("broken"), "").unwrap();
    let output = run(dir.path(), &["run", "c.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ended(&output), "{said}");
    assert!(said.contains("no device") && said.contains("far"), "{said}");
    let text = std::fs::read_to_string(dir.path().join("work/round-00/explore.json")).unwrap();
    let runs: serde_json::Value = serde_json::from_str(&text).unwrap();
    let failed = |run: &serde_json::Value| run["failed"].as_str().unwrap_or_default().to_owned();
    let runs = runs.as_array().unwrap();
    assert_eq!(failed(&runs[0]), "");
    assert!(runs[1..].iter().all(|r| failed(r).contains("no device")));
    // Where nothing comes to anything, the campaign ends, and goes on once that is put right.
    let dir = tempfile::tempdir().unwrap();
    campaign(dir.path(), "", "");
    let config = dir.path().join("c.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let (from, to) = (
        text.find("[[explore]]\nname = \"warm\"").unwrap(),
        text.find("[[explore]]\nname = \"far\"").unwrap(),
    );
    std::fs::write(&config, format!("{}{}", &text[..from], &text[to..])).unwrap();
    std::fs::write(dir.path().join("broken"), "").unwrap();
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(said.contains("no device"), "{said}");
    std::fs::remove_file(dir.path().join("broken")).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    assert_eq!(explored(dir.path()), 6);
}

/// A folder with the fake Slurm on the search path.
fn slurm(folder: &Path) -> Command {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(folder.join("slurm")).unwrap();
    let fake = root().join("tests/cli/slurm-fake.sh");
    for name in ["sbatch", "squeue", "sacct", "scancel"] {
        std::fs::copy(&fake, bin.join(name)).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let search = std::env::var("PATH").unwrap();
    let mut command = program();
    command
        .current_dir(folder)
        .env("PATH", format!("{}:{search}", bin.display()))
        .env("FAKE_SLURM", folder.join("slurm"))
        .args(["run", "c.toml"]);
    command
}

const SLURM: &str = "[scheduler]\nkind = \"slurm\"\npoll_seconds = 0.05\nminutes = 5\n";

#[test]
fn runs_that_are_thrown_off_are_submitted_again() {
    let (local, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    campaign(local.path(), "", "");
    succeed(local.path(), &["run", "c.toml"]);
    let own = ", cores = 2, timeout = 7000, scheduler = { partition = \"gpu\", lines = [\"#SBATCH --gres=gpu:1\"] }";
    campaign(dir.path(), own, SLURM);
    let mut command = slurm(dir.path());
    let fate = "PREEMPTED\nRUN\nNODE_FAIL\nforgotten\nOUT_OF_MEMORY\n";
    std::fs::write(dir.path().join("slurm/fate"), fate).unwrap();
    let output = command.output().unwrap();
    assert!(
        ended(&output),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(explored(dir.path()), 6, "each run came to its end once");
    same_end(local.path(), dir.path());
    // Walkers are one array, with what the engine asks for and not with the time of labels.
    let batches = dir.path().join("work/running/explore-far");
    assert!(!batches.exists(), "what is over leaves no folder");
    let calls = std::fs::read_to_string(dir.path().join("slurm/calls")).unwrap();
    let script = calls.lines().find(|l| l.starts_with("sbatch")).unwrap();
    assert!(script.contains("explore-far"), "{script}");
    assert_eq!(
        std::fs::read_to_string(dir.path().join("slurm/first"))
            .unwrap()
            .lines()
            .filter(|l| {
                [
                    "#SBATCH --array=1-3",
                    "#SBATCH --ntasks=2",
                    "#SBATCH --partition=gpu",
                    "#SBATCH --gres=gpu:1",
                    "#SBATCH --time=118",
                ]
                .contains(l)
            })
            .count(),
        5
    );
}

#[test]
fn a_run_that_can_never_start_ends_the_campaign_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    campaign(dir.path(), "", SLURM);
    let mut command = slurm(dir.path());
    std::fs::write(
        dir.path().join("slurm/fate"),
        "RUN\nPENDING/PartitionConfig\n",
    )
    .unwrap();
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("far.1") && said.contains("PartitionConfig"),
        "{said}"
    );
    let output = command.output().unwrap();
    assert!(ended(&output));
    assert_eq!(explored(dir.path()), 6, "what was done is not done again");
}

#[test]
#[needs(Slurm)]
fn a_real_slurm_explores_for_a_driver_that_is_killed() {
    let (local, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::set_permissions(remote.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let node = Node::start(remote.path());
    campaign(local.path(), "", "");
    succeed(local.path(), &["run", "c.toml"]);
    campaign(
        remote.path(),
        "",
        "[scheduler]\nkind = \"slurm\"\npoll_seconds = 0.3\n",
    );
    let driver = |verb: &str| {
        let mut command = program();
        command
            .current_dir(remote.path())
            .env("SLURM_CONF", node.conf())
            .args([verb, "c.toml"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let out = remote.path().join("work/running/explore/jobs.jsonl");
    for patience in [0, 300, 600, 900] {
        let mut child = driver("run").spawn().unwrap();
        let since = Instant::now();
        while !out.exists() && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(patience));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(matches!(
        driver("run").status().unwrap().code(),
        Some(0 | 3)
    ));
    assert_eq!(explored(remote.path()), 6, "no run was done twice");
    same_end(local.path(), remote.path());
}
