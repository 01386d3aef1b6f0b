//! The first minutes on hardware (`benches/gpu/run.sh`), a tiny part of them on stand-ins.

use crate::stand_in::stand_in;
use crate::support::root;
use nepal::Precision;
use std::path::Path;
use std::process::Command;

#[allow(dead_code)]
#[path = "../../benches/gpu/arrays.rs"]
mod arrays;
#[allow(dead_code)]
#[path = "../../benches/gpu/systems.rs"]
mod systems;

// What the benchmark's own program says to `arrays`.
const STEPS: usize = 3;
const WARM: usize = 2;
const LIMIT: f64 = 10.0;
const THRESHOLD: f64 = 2.0;

/// The environment leads to the stand-in, which rules a process.
#[test]
fn arrays_on_the_device_are_checked_and_timed() {
    let stand_in = stand_in();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "first_minutes::tiny", "--ignored", "--nocapture"]);
    command.envs([
        ("NEPAL_CUDA_DRIVER", &stand_in.driver),
        ("NEPAL_NVRTC", &stand_in.nvrtc),
        ("NEPAL_KERNEL_CACHE", &stand_in.cache),
    ]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("20 steps differ by"), "{text}");
}

#[test]
#[ignore = "run by arrays_on_the_device_are_checked_and_timed"]
fn tiny() {
    let systems = systems::all();
    let system = systems.iter().find(|s| s.name == "PbTe").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let set = system.kept_set(Some(folder.path()), true);
    assert!(folder.path().join("PbTe.nas").exists());
    println!(
        "{}",
        arrays::check(system, Some(&set), Precision::F64).unwrap()
    );
    for case in arrays::CASES {
        let (n, ms) = arrays::time(system, &set, 60, case, true).unwrap();
        assert!(n >= 60 && ms > 0.0);
    }
}

/// A program of the script's folder.
fn program(folder: &Path, name: &str, body: &str) {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/usr/bin/env bash\n{body}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Status and `items.txt` of a run with such programs.
fn run(gpu: &str, checks: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("benches/gpu/run.sh");
    std::fs::copy(script, folder.path().join("run.sh")).unwrap();
    program(folder.path(), "gpu", gpu);
    program(folder.path(), "checks", checks);
    let mut command = Command::new("bash");
    command.arg("run.sh").current_dir(folder.path());
    let output = command.env("LIMIT", "1").output().unwrap();
    let items = std::fs::read_to_string(folder.path().join("items.txt")).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(items.lines().last().unwrap()), "{said}");
    (output.status.code(), items)
}

#[test]
fn what_fails_or_hangs_keeps_nothing_from_being_done() {
    let gpu = "case \"$*\" in\n\
        *'--arrays check'*) echo 'BAD: arrays of carbon F64: differs'; exit 1 ;;\n\
        *'--only training'*) kill -9 $$ ;;\n\
        esac";
    let (status, items) = run(gpu, "[[ $* != *motion::* ]] || sleep 60");
    assert_eq!(status, Some(1), "{items}");
    for line in [
        "ok device: status 0,",
        "WRONG arrays: status 1,",
        "ok times: status 0,",
        "ok tests-variants: status 0,",
        "NOT FINISHED tests-motion: status 124,",
        "NOT FINISHED training: status 137,",
        "ok millions: status 0,",
        "ok largest: status 0,",
        "memcheck: ",
        "racecheck: ",
        "profile: ",
    ] {
        assert!(items.contains(line), "no {line:?} in:\n{items}");
    }
}

#[test]
fn without_a_device_nothing_else_is_begun() {
    let (status, items) = run("exit 3", "exit 0");
    assert_eq!(status, Some(3));
    assert_eq!(items.lines().count(), 1, "{items}");
}
