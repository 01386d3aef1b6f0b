//! `report`: served to browsers of this machine, and written again while a campaign goes on.

use super::campaign::{BUILT_IN, write};
use super::{program, succeed};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

/// A program that serves, ended at the end of a test.
struct Served {
    child: Child,
    port: u16,
    token: String,
}

impl Served {
    fn start(folder: &Path) -> Self {
        let mut child = program()
            .current_dir(folder)
            .args(["report", "c.toml", "--serve", "--watch"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("http://127.0.0.1:")
            .expect("an address of this machine");
        let (port, token) = address.split_once('/').unwrap();
        Self {
            child,
            port: port.parse().unwrap(),
            token: format!("/{token}"),
        }
    }

    /// Status and body.
    fn get(&self, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text)
    }

    fn own(&self, path: &str) -> (u16, String) {
        self.get(&format!("{}{path}", self.token), "127.0.0.1")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_report_is_served_to_those_who_know_its_address() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), BUILT_IN);
    let served = Served::start(dir.path());
    assert!(served.token.len() > 32, "{}", served.token);
    // Before the first training there is a page all the same, which waits.
    let (status, page) = served.own("");
    assert!(
        status == 200 && page.contains("nothing to report"),
        "{page}"
    );
    let (_, state) = served.own("state");
    assert!(state.contains("No driver is at work"), "{state}");
    succeed(dir.path(), &["run", "c.toml"]);
    let (_, later) = served.own("state");
    assert!(later.contains("has ended"), "{later}");
    let version = |text: &str| text.split("version").nth(1).map(str::to_owned);
    assert_ne!(version(&state), version(&later));
    let (status, page) = served.own("");
    assert!(status == 200 && page.contains("<svg") && page.contains("id=\"live\""));
    for (path, kind) in [
        ("figures/labels.svg", "image/svg"),
        ("figures/labels.csv", "text/plain"),
    ] {
        let (status, text) = served.own(path);
        assert!(status == 200 && text.contains(kind), "{text}");
    }
    for path in ["../c.toml", "%2e%2e/c.toml", "/etc/hostname", "nothing"] {
        assert_eq!(served.own(path).0, 404, "{path}");
    }
    assert_eq!(served.get("/", "127.0.0.1").0, 404);
    assert_eq!(served.get(&served.token, "evil.example").0, 404);
}

#[test]
fn a_watched_report_is_written_until_the_campaign_ends() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), BUILT_IN);
    let watcher = program()
        .current_dir(dir.path())
        .args(["report", "c.toml", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let output = watcher.wait_with_output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty());
}
