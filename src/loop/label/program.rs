//! Finds the programs that nepal works with.

use super::process::{Call, StopFlag};
use nepal::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first of the named programs that is on the search path, and its version.
///
/// Knows how to ask `cp2k*`, `lmp*` (LAMMPS), `sbatch`, `sinfo` (Slurm), `pw.x` (Quantum ESPRESSO), `abinit`,
/// `xtb`, `mpirun` and whatever answers `--version`; the version is empty where there is no answer.
pub fn find_program(names: &[&str]) -> Option<(PathBuf, String)> {
    let path = names.iter().find_map(|name| locate(name))?;
    let version = program_version(&path);
    Some((path, version))
}

/// The file that a command name stands for: itself with a folder, else from the search path.
pub(crate) fn locate(name: &str) -> Option<PathBuf> {
    let given = Path::new(name);
    if given.components().count() > 1 {
        return given.is_file().then(|| given.to_owned());
    }
    let search = std::env::var_os("PATH")?;
    std::env::split_paths(&search)
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// What a program says of its version, in a line; empty if it says nothing within 20 seconds.
pub fn program_version(program: &Path) -> String {
    version_of(program, &StopFlag::default())
}

fn version_of(program: &Path, stop: &StopFlag) -> String {
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    // LAMMPS knows no --version but begins its help with it.
    let argument = if name.starts_with("lmp") || name.starts_with("lammps") {
        "-help"
    } else {
        "--version"
    };
    let Ok(folder) = tempfile::tempdir() else {
        return String::new();
    };
    let call = Call {
        command: vec![program.to_string_lossy().into_owned(), argument.to_owned()],
        env: root_variables(),
        folder: folder.path().to_owned(),
        output: "version".to_owned(),
        timeout: Duration::from_secs(20),
    };
    if call.run(stop).is_err() {
        return String::new();
    }
    let said = super::outputs::read(&folder.path().join("version"));
    version_line(&said.ok().flatten().unwrap_or_default())
}

/// The version of the program that a command line such as `mpirun -np 2 pw.x` runs.
///
/// `is_it` knows the program among the words (without folder; else the first word is asked), `told`
/// finds the version in the line that it prints, `install` says how to get it.
///
/// **Errors**: [`Error::Failed`] if the program is missing or does not tell.
pub(super) fn ask_version(
    method: &str,
    command: &[String],
    is_it: impl Fn(&str) -> bool,
    told: impl Fn(&str) -> Option<String>,
    install: &str,
    stop: &StopFlag,
) -> Result<String> {
    let name = |word: &str| {
        let name = Path::new(word).file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let program = command.iter().find(|word| is_it(&name(word)));
    let Some(program) = program.or(command.first()) else {
        return Err(Error::invalid(format!(
            "labeller {method}: `command` is empty; name a program"
        )));
    };
    let path = locate(program).ok_or_else(|| {
        Error::Failed(format!(
            "labeller {method}: the program {program} is not on this machine; {install}, give its path in \
             `command`, or its `version` if labels are computed elsewhere"
        ))
    })?;
    let line = version_of(&std::path::absolute(&path).unwrap_or(path), stop);
    if stop.is_stopped() {
        return Err(Error::Failed(format!("{program} was stopped on request")));
    }
    told(&line).filter(|v| !v.is_empty()).ok_or_else(|| {
        Error::Failed(format!(
            "labeller {method}: {program} does not tell its version; give it as `version`, since it is part \
             of what identifies a label"
        ))
    })
}

/// The line that tells a version: the first with a digit among the first lines. CP2K's source revision
/// is appended, since builds of one version differ.
fn version_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).take(20);
    let Some(first) = lines.find(|line| line.bytes().any(|b| b.is_ascii_digit())) else {
        return String::new();
    };
    match lines.find_map(|line| line.strip_prefix("Source code revision")) {
        Some(revision) => format!("{first} {}", revision.trim()),
        None => first.to_owned(),
    }
}

/// What lets Open MPI start as root, as in containers; without effect elsewhere.
pub(super) fn root_variables() -> BTreeMap<String, String> {
    ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"]
        .map(|name| (name.to_owned(), "1".to_owned()))
        .into()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn version_lines_are_found() {
        let cp2k = " CP2K version 2023.1\n Source code revision git:b888bd8\n cp2kflags: omp\n";
        assert_eq!(version_line(cp2k), "CP2K version 2023.1 git:b888bd8");
        let lammps =
            "\nLarge-scale Atomic/Molecular Massively Parallel Simulator - 29 Sep 2021\n\nUsage";
        assert!(version_line(lammps).ends_with("29 Sep 2021"));
        assert_eq!(version_line("slurm-wlm 22.05.8\n"), "slurm-wlm 22.05.8");
        assert_eq!(version_line("usage: what\n"), "");
    }

    #[test]
    fn programs_are_found_and_asked() {
        use std::os::unix::fs::PermissionsExt;
        let (path, _) = find_program(&["no-such-program-here", "sh"]).unwrap();
        assert!(path.ends_with("sh"));
        assert_eq!(find_program(&["no-such-program-here"]), None);
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("lmp_fake");
        std::fs::write(
            &script,
            "#!/bin/sh\n[ $1 = -help ] && echo Simulator 4 Feb 2025\n",
        )
        .unwrap();
        let name = script.to_str().unwrap();
        let mut rights = std::fs::metadata(&script).unwrap().permissions();
        rights.set_mode(0o755);
        std::fs::set_permissions(&script, rights).unwrap();
        assert_eq!(
            find_program(&[name]),
            Some((script.clone(), "Simulator 4 Feb 2025".to_owned()))
        );
    }
}
