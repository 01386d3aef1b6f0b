//! Reads what programs leave behind: without waiting, up to a bound, and without anything that a terminal would
//! obey. All text of programs that nepal quotes comes through here.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Most bytes of one file that are read.
const MOST: u64 = 256 << 20;
/// Bytes at the end of a log among which its last lines are looked for.
const TAIL: u64 = 64 << 10;
/// Most characters of a line that are quoted.
const QUOTED: usize = 300;

/// The text of a file; `None` if there is none.
///
/// **Errors**: in words, for what is no plain file (a FIFO would block for ever) or too large.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some((file, size)) = open(path).map_err(|e| format!("cannot read {name}: {e}"))? else {
        return Ok(None);
    };
    if size > MOST {
        return Err(format!(
            "{name} has {} MB; at most {} are read: let the program print less",
            size >> 20,
            MOST >> 20
        ));
    }
    let mut bytes = Vec::new();
    file.take(MOST)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("cannot read {name}: {e}"))?;
    Ok(Some(printable(&String::from_utf8_lossy(&bytes))))
}

/// The last lines of a file that are not empty, to be quoted in a reason; empty if there are none.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    let mut bytes = Vec::new();
    if let Ok(Some((mut file, size))) = open(path)
        && file
            .seek(SeekFrom::Start(size.saturating_sub(TAIL)))
            .is_ok()
    {
        // What was read before an error is quoted all the same.
        let _ = file.take(TAIL).read_to_end(&mut bytes);
    }
    let text = printable(&String::from_utf8_lossy(&bytes));
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.trim().chars().take(QUOTED).collect())
        .filter(|line: &String| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}

/// A plain file and its size; `None` if there is nothing of that name.
fn open(path: &Path) -> std::io::Result<Option<(File, u64)>> {
    let mut options = File::options();
    options.read(true);
    // Else opening a FIFO waits for somebody who writes.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = match options.open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(std::io::Error::other(
            "it is a FIFO, a device or a folder; expected a plain file",
        ));
    }
    Ok(Some((file, found.len())))
}

/// Text without control characters other than line ends and tabs, and without the sequences that colour a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
                rest.next_if(|c| ('@'..='~').contains(c));
            }
            '\n' | '\t' => out.push(c),
            // A progress bar overwrites its line; DOS ends one with both.
            '\r' if rest.peek() != Some(&'\n') => out.push('\n'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_of_it() {
        let raw = "a\u{1b}[31;1mred\u{1b}[0m\u{1b}]0;title\u{7}\u{9b}2J\r\n10%\r20%\tend";
        let clean = printable(raw);
        assert_eq!(clean, "ared]0;title2J\n10%\n20%\tend");
        assert_eq!(printable("cut \u{1b}[3"), "cut ");
    }

    #[test]
    fn a_fifo_does_not_block_and_a_gigabyte_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        assert!(read(&fifo).unwrap_err().contains("FIFO"));
        assert_eq!(last_lines(&fifo, 2), "");
        assert_eq!(read(&folder.path().join("none")), Ok(None));
        let large = folder.path().join("large");
        let file = File::create(&large).unwrap();
        file.set_len(1 << 30).unwrap();
        drop(file);
        assert!(read(&large).unwrap_err().contains("1024 MB"));
        use std::io::Write;
        let mut file = File::options().append(true).open(&large).unwrap();
        file.write_all(b"\nthe end\n").unwrap();
        assert_eq!(last_lines(&large, 1), "the end");
    }
}
