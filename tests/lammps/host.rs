//! The real LAMMPS: where it is, the plugin built for it, and runs of it.

use crate::support::{needs, root};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

/// A LAMMPS with the plugin built for it.
pub struct Lammps {
    /// The folder of the Python package, or a source tree.
    package: &'static Path,
    /// Its program, and what it always gets.
    program: PathBuf,
    arguments: &'static [&'static str],
    /// `lib` and `bin` of the environment, with MPI.
    pub environment: &'static Path,
    pub plugin: PathBuf,
}

/// The LAMMPS that tests find, with the plugin, which is built once.
pub fn lammps() -> &'static Lammps {
    static MADE: LazyLock<Lammps> = LazyLock::new(|| {
        let found = needs::lammps().expect("tests of this program need lammps");
        let plugin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nepalplugin.so");
        build_with(&found.package, &plugin, &[]);
        Lammps {
            package: &found.package,
            program: found.package.join("lmp"),
            arguments: &[],
            environment: &found.environment,
            plugin,
        }
    });
    &MADE
}

/// The LAMMPS with Kokkos, each style with the suffix `kk` that has one.
pub fn lammps_kokkos() -> &'static Lammps {
    static MADE: LazyLock<Lammps> = LazyLock::new(|| {
        let tree = needs::lammps_kokkos().expect("NEPAL_LAMMPS_KOKKOS");
        let environment = &needs::lammps().expect("its MPI").environment;
        let plugin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kokkos/nepalplugin.so");
        let mpi = environment.join("include");
        build_with(
            tree,
            &plugin,
            &[("MPI_INCLUDE", mpi.to_str().expect("a plain path"))],
        );
        Lammps {
            package: tree,
            program: tree.join("build/lmp"),
            arguments: &["-k", "on", "t", "1", "-sf", "kk"],
            environment,
            plugin,
        }
    });
    &MADE
}

/// `libnepal.a` beside this test program, as new as the test.
pub fn archive() -> PathBuf {
    let program = std::env::current_exe().expect("a test program has a path");
    let archive = program.with_file_name("libnepal.a");
    assert!(archive.exists(), "{} is missing", archive.display());
    archive
}

/// Builds a plugin, with more variables for the script.
pub fn build_with(package: &Path, plugin: &Path, variables: &[(&str, &str)]) {
    let output = Command::new("bash")
        .arg(root().join("bindings/lammps/build.sh"))
        .arg(plugin)
        .env("LAMMPS_DIR", package)
        .env("NEPAL_LIB", archive())
        .envs(variables.iter().copied())
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "build.sh failed:\n{said}");
    assert!(!said.contains("warning"), "build.sh warns:\n{said}");
}

/// What a run left.
pub struct Run {
    folder: tempfile::TempDir,
    /// Exit status 0.
    pub success: bool,
    /// Everything that it printed.
    pub text: String,
}

impl Lammps {
    /// The folder of the Python package.
    pub fn package(&self) -> &Path {
        self.package
    }

    /// Where MPI's libraries are.
    pub fn libraries(&self) -> PathBuf {
        self.environment.join("lib")
    }

    /// Where the headers of LAMMPS and of its MPI are.
    pub fn headers(&self) -> [PathBuf; 2] {
        [
            self.package.join("include/lammps"),
            self.environment.join("include"),
        ]
    }

    /// The folder of the plugin.
    pub fn plugin_folder(&self) -> &Path {
        self.plugin.parent().expect("the plugin lies in a folder")
    }

    /// Its program.
    pub fn program(&self) -> PathBuf {
        self.program.clone()
    }

    /// The starter of its MPI.
    pub fn mpiexec(&self) -> PathBuf {
        self.environment.join("bin/mpiexec")
    }

    /// The plugin.
    pub fn plugin(&self) -> &Path {
        &self.plugin
    }

    /// A command that finds this LAMMPS and its MPI.
    pub fn command(&self, ranks: usize) -> Command {
        let program = &self.program;
        let mut command = if ranks == 1 {
            Command::new(program)
        } else {
            let mut command = Command::new(self.environment.join("bin/mpiexec"));
            command.args(["-n", &ranks.to_string()]).arg(program);
            command
        };
        command
            .env("LD_LIBRARY_PATH", self.environment.join("lib"))
            .env("OMP_NUM_THREADS", "1");
        command
    }

    /// A program of the environment.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.environment.join("bin").join(name));
        command.env("LD_LIBRARY_PATH", self.environment.join("lib"));
        command
    }

    /// Runs a script, which finds the plugin loaded, in a folder of its own.
    pub fn run(&self, ranks: usize, script: &str) -> Run {
        self.run_in(tempfile::tempdir().expect("a folder"), ranks, script)
    }

    /// [`Lammps::run`] in a folder that has files for the script.
    pub fn run_in(&self, folder: tempfile::TempDir, ranks: usize, script: &str) -> Run {
        self.run_with(folder, ranks, script, &[])
    }

    /// [`Lammps::run_in`] with more environment.
    pub fn run_with(
        &self,
        folder: tempfile::TempDir,
        ranks: usize,
        script: &str,
        environment: &[(&str, &Path)],
    ) -> Run {
        let input = folder.path().join("in.lmp");
        let script = format!("plugin load {}\n{script}", self.plugin.display());
        std::fs::write(&input, script).expect("the script is written");
        // Ranks spin while they wait: two parallel runs at once take far longer than one by one.
        static PARALLEL: Mutex<()> = Mutex::new(());
        let turn = (ranks > 1).then(|| PARALLEL.lock());
        let output = self
            .command(ranks)
            .args(["-nocite", "-in", "in.lmp"])
            .args(self.arguments)
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .output()
            .expect("LAMMPS starts");
        drop(turn);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Run {
            folder,
            success: output.status.success(),
            text,
        }
    }
}

impl Run {
    /// Itself, if it came to its end.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.success, "{}", self.text);
        self
    }

    /// Where it ran.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its folder, for another run.
    pub fn into_folder(self) -> tempfile::TempDir {
        self.folder
    }

    /// All rows of thermodynamic output, of all runs one after another.
    pub fn thermo(&self) -> Vec<Vec<f64>> {
        let mut rows = Vec::new();
        let mut inside = false;
        for line in self.text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() == Some(&"Step") {
                inside = true;
            } else if line.starts_with("Loop time") {
                inside = false;
            } else if inside && let Ok(row) = words.iter().map(|w| w.parse()).collect() {
                rows.push(row);
            }
        }
        assert!(!rows.is_empty(), "no thermodynamic output:\n{}", self.text);
        rows
    }

    /// The last row of thermodynamic output.
    pub fn last(&self) -> Vec<f64> {
        self.thermo().pop().unwrap_or_default()
    }

    /// All frames of a text dump: its columns without the id, ordered by id.
    pub fn frames(&self, name: &str) -> Vec<Vec<Vec<f64>>> {
        let path = self.folder.path().join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), self.text));
        text.split("ITEM: TIMESTEP\n")
            .skip(1)
            .map(|frame| {
                let mut rows: Vec<(usize, Vec<f64>)> = frame
                    .lines()
                    .skip_while(|line| !line.starts_with("ITEM: ATOMS id"))
                    .skip(1)
                    .map(|line| {
                        let mut words = line.split_whitespace();
                        let id = words.next().and_then(|w| w.parse().ok()).expect("an id");
                        (id, words.map(|w| w.parse().expect("a number")).collect())
                    })
                    .collect();
                rows.sort_unstable_by_key(|row| row.0);
                rows.into_iter().map(|row| row.1).collect()
            })
            .collect()
    }

    /// The last frame of a text dump.
    pub fn dump(&self, name: &str) -> Vec<Vec<f64>> {
        self.frames(name).pop().expect("a frame")
    }
}

/// Columns of a table, from one to before another.
pub fn columns(rows: &[Vec<f64>], range: std::ops::Range<usize>) -> Vec<f64> {
    rows.iter()
        .flat_map(|row| row[range.clone()].iter().copied())
        .collect()
}
