//! Labels as tasks of HyperQueue: by its package for real, by its program as a fake that fails on cue.

use crate::schedulers::{LABEL, SMALL};
use crate::support::needs::hyperqueue;
use crate::{program, root};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server and its workers until it is killed.
const SERVER: &str = "import sys, time
from hyperqueue.cluster import LocalCluster, WorkerConfig
cluster = LocalCluster(sys.argv[1])
cluster.start_worker(WorkerConfig(cores=2))
print('up', flush=True)
time.sleep(600)
";

struct Site(tempfile::TempDir);

impl Site {
    fn new(labels: usize, more: &str) -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let folder = site.path().display().to_string();
        let write = |name: &str, text: &str| {
            std::fs::write(site.path().join(name), text.replace("FOLDER", &folder)).unwrap();
        };
        write("label.sh", LABEL);
        let scheduler = "[scheduler]\nkind = \"hyperqueue\"\npoll_seconds = 0.05\nserver = \"FOLDER/server\"\narray = 8\n";
        write("c.toml", &format!("{SMALL}{scheduler}{more}"));
        let frame = |i: usize| {
            format!(
                "1\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3\nNa 0.{i:03}1 0 0\n"
            )
        };
        write("in.xyz", &(0..labels).map(frame).collect::<String>());
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn driver(&self) -> Command {
        let mut command = program();
        let search = std::env::var("PATH").unwrap();
        let bin = self.path().join("bin");
        command
            .current_dir(self.path())
            .env("PATH", format!("{}:{search}", bin.display()))
            .env("FAKE_HQ", self.path().join("hq"))
            .args(["label", "--config", "c.toml", "--structures", "in.xyz"])
            .args(["--out", "out.xyz"])
            .stdout(Stdio::null());
        command
    }

    fn server(&self) -> Server {
        let mut child = Command::new(hyperqueue())
            .args(["-c", SERVER])
            .arg(self.path().join("server"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "up" {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0);
        }
        Server(child)
    }

    /// Positions of what was computed, in order.
    fn computed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path().join("computed"));
        let text = text.unwrap_or_default();
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        all.sort();
        all
    }

    /// Waits until so many are computed.
    fn wait_for(&self, count: usize) {
        let start = Instant::now();
        while self.computed().len() < count {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} of {count}",
                self.computed().len()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ends_with(&self, labels: usize) {
        let output = self.driver().stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let labelled = std::fs::read_to_string(self.path().join("out.xyz")).unwrap();
        assert_eq!(labelled.matches("energy").count(), labels, "{said}");
    }
}

/// Killed where it stands.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[needs(Hyperqueue)]
fn nothing_is_lost_when_driver_server_and_workers_are_killed() {
    const LABELS: usize = 60;
    let python = format!("python = \"{}\"\n", hyperqueue().display());
    let site = Site::new(LABELS, &python);
    let server = site.server();
    let mut driver = site.driver().spawn().unwrap();
    site.wait_for(10);
    driver.kill().unwrap();
    driver.wait().unwrap();
    let mut driver = site.driver().spawn().unwrap();
    site.wait_for(25);
    drop(server);
    // A server that is away is waited for.
    std::thread::sleep(Duration::from_millis(500));
    assert!(driver.try_wait().unwrap().is_none());
    let _server = site.server();
    assert!(driver.wait().unwrap().success());
    site.ends_with(LABELS);
    // Only what the kill of a worker met may have been begun twice: at most one task a core.
    let computed = site.computed();
    let mut once = computed.clone();
    once.dedup();
    assert_eq!(once.len(), LABELS);
    assert!(computed.len() <= LABELS + 2, "{computed:?}");
}

/// A site with a fake `hq`.
fn with_program(labels: usize) -> Site {
    let site = Site::new(labels, "");
    std::fs::create_dir(site.path().join("bin")).unwrap();
    std::fs::create_dir(site.path().join("hq")).unwrap();
    let hq = site.path().join("bin/hq");
    std::fs::copy(root().join("tests/cli/hq-fake.sh"), &hq).unwrap();
    std::fs::set_permissions(&hq, std::fs::Permissions::from_mode(0o755)).unwrap();
    site
}

#[test]
fn the_program_is_asked_for_batches_and_what_it_lost_is_done_again() {
    let site = with_program(12);
    let fate = "Time limit reached\n\nWorker connection lost\n";
    std::fs::write(site.path().join("hq/fate"), fate).unwrap();
    site.ends_with(12);
    assert_eq!(site.computed().len(), 12);
    let calls = std::fs::read_to_string(site.path().join("hq/calls")).unwrap();
    let submitted: Vec<&str> = calls.lines().filter(|l| l.starts_with("submit")).collect();
    assert!(
        submitted[0].contains("--array 1-8") && submitted[0].contains("--cpus 1"),
        "{calls}"
    );
    assert!(submitted.len() <= 5, "{calls}");
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let site = with_program(3);
    let down = site.path().join("hq/down");
    std::fs::write(&down, "").unwrap();
    let mut driver = site.driver().spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(driver.try_wait().unwrap().is_none());
    std::fs::remove_file(&down).unwrap();
    assert!(driver.wait().unwrap().success());
    assert_eq!(site.computed().len(), 3);
}
