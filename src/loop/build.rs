//! Tells the program which commit it was built from.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A commit would rebuild everything that a developer has.
    let released = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = released.then(|| {
        // An absolute path: the log of this worktree, which changes with each commit.
        let log = git(&[
            "rev-parse",
            "--path-format=absolute",
            "--git-path",
            "logs/HEAD",
        ])?;
        println!("cargo::rerun-if-changed={log}");
        git(&[
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
    });
    let commit = match commit {
        Some(Some(commit)) => commit,
        Some(None) => "unknown".into(),
        None => "not told by development builds".into(),
    };
    println!("cargo::rustc-env=NEPAL_COMMIT={commit}");
}
