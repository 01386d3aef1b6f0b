//! Compiles C and C++ against the header and the library that `cargo test` just built.

use crate::support::root;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The shared library beside this test program; the copy one folder up is only as new as the last
/// `cargo build`.
pub fn library() -> PathBuf {
    let program = std::env::current_exe().expect("a test program has a path");
    let library = program.with_file_name("libnepal.so");
    assert!(
        library.exists(),
        "{} is missing; cargo builds it for integration tests",
        library.display()
    );
    library
}

/// Languages of the tests, with everything a compiler can complain about turned into an error.
#[derive(Clone, Copy, Debug)]
pub enum Language {
    C,
    Cpp,
}

impl Language {
    pub fn command(self) -> Command {
        let (program, standard) = match self {
            Self::C => ("cc", "-std=c11"),
            Self::Cpp => ("c++", "-std=c++17"),
        };
        let mut command = Command::new(program);
        command.args([standard, "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        command.arg(format!("-I{}", root().join("include").display()));
        command.arg(format!("-I{}", root().join("bindings/cpp").display()));
        command
    }
}

/// Any invalid access and any memory that nothing points at any more makes the exit status 9. The
/// worker threads of the process stay for its life and are no leak.
pub const VALGRIND: [&str; 5] = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--error-exitcode=9",
];

/// A compiled program, or an object file, in a folder of its own.
pub struct Compiled {
    folder: tempfile::TempDir,
}

impl Compiled {
    /// Compiles only; panics with what the compiler said.
    pub fn check(language: Language, source: &Path) {
        Self::run_compiler(language, source, false);
    }

    /// Compiles and links; panics with what the compiler said.
    pub fn link(language: Language, source: &Path) -> Self {
        Self::run_compiler(language, source, true)
    }

    fn run_compiler(language: Language, source: &Path, link: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the program");
        let mut command = language.command();
        command
            .arg(source)
            .arg("-o")
            .arg(folder.path().join("program"));
        if link {
            // The loader looks for the soname, under which nothing is installed here.
            for name in ["libnepal.so".to_owned(), soname()] {
                std::os::unix::fs::symlink(library(), folder.path().join(name))
                    .expect("a link to the library");
            }
            command
                .arg("-L")
                .arg(folder.path())
                .args(["-lnepal", "-lm"]);
        } else {
            command.arg("-c");
        }
        let output = command.output().expect("a compiler, which the test needs");
        assert!(
            output.status.success(),
            "{command:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { folder }
    }

    /// Runs the program in the repository's root, under another program if one is given.
    pub fn run(&self, under: &[&str], arguments: &[&str]) -> Output {
        let program = self.folder.path().join("program");
        let mut command = match under {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .args(arguments)
            .current_dir(root())
            .env("LD_LIBRARY_PATH", self.folder.path())
            .output()
            .expect("the program starts")
    }

    /// Runs the program and gives its output; panics if it fails.
    pub fn output(&self, under: &[&str], arguments: &[&str]) -> String {
        let output = self.run(under, arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}

/// The soname that the build gives the library.
pub fn soname() -> String {
    format!("libnepal.so.0.{}", env!("CARGO_PKG_VERSION_MINOR"))
}
