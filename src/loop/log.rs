//! A log that survives crashes: one JSON record a line, on the disk before it is acted on.
//!
//! The first line tells the version. Each line ends with a checksum of itself, so that a damaged record is found
//! out; files of an older nepal have none, and are read as they are. What a crash or a full disk leaves at the end,
//! a line that is cut off or spoilt, was never acted on and is cut away. One driver at a time holds the log.

use nepal::error::{Error, Result};
use nepal::sealed::{intact, seal};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Version of the format; 1 had no checksums.
const VERSION: u32 = 2;

/// What a log is about.
pub(crate) struct Kind {
    /// Its first line is an event of this name.
    pub head: &'static str,
    /// A record in words, such as `a record of a job`.
    pub record: &'static str,
    /// What to do if one is damaged.
    pub advice: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Head {
    event: String,
    version: u32,
    nepal: String,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    head: &'static str,
    length: u64,
}

impl Log {
    /// Opens or creates a log, takes its lock and hands over the records that are there.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Failed`] if another driver holds it; [`Error::Parse`] naming the line
    /// that is damaged; [`Error::Unsupported`] for a version that is not known.
    pub fn open<R: DeserializeOwned>(
        path: PathBuf,
        kind: &Kind,
        each: impl FnMut(R),
    ) -> Result<Self> {
        let (file, bytes) = nepal::files::open_locked(&path)?;
        let length = replay(&bytes, &path, kind, each)?;
        let mut log = Self {
            path,
            file,
            head: kind.head,
            length,
        };
        log.cut()?;
        if length == 0 {
            log.begin()?;
        }
        Ok(log)
    }

    /// Hands over the records of a log; only reads, and takes no lock. One that is not there has none.
    ///
    /// **Errors**: as [`Log::open`].
    pub fn read<R: DeserializeOwned>(path: &Path, kind: &Kind, each: impl FnMut(R)) -> Result<()> {
        match std::fs::read(path) {
            Ok(bytes) => replay(&bytes, path, kind, each).map(drop),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("read", path, e)),
        }
    }

    /// Adds a record; it is on the disk when this returns.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let line = seal(record)? + "\n";
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            // A full disk may have taken a part of the line.
            let _ = self.cut();
            return Err(Error::io("append to", &self.path, e));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Forgets all records.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn clear(&mut self) -> Result<()> {
        self.length = 0;
        self.cut()?;
        self.begin()
    }

    fn begin(&mut self) -> Result<()> {
        self.append(&Head {
            event: self.head.into(),
            version: VERSION,
            nepal: env!("CARGO_PKG_VERSION").into(),
        })
    }

    /// Cuts the file after the last good record.
    fn cut(&mut self) -> Result<()> {
        self.file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::End(0)))
            .map_err(|e| Error::io("repair", &self.path, e))?;
        Ok(())
    }
}

/// Hands over the records of whole lines; how many bytes these are.
fn replay<R: DeserializeOwned>(
    bytes: &[u8],
    path: &Path,
    kind: &Kind,
    mut each: impl FnMut(R),
) -> Result<u64> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |p| p + 1);
    let mut good = 0;
    let mut summed = false;
    for (number, line) in bytes[..whole].split_inclusive(|&b| b == b'\n').enumerate() {
        let checked = intact(line);
        summed |= checked.is_some();
        let damage = match checked {
            Some(false) => Some("its checksum does not fit".to_owned()),
            None if summed => Some("it has no checksum, as those before it have".to_owned()),
            _ if number == 0 => match serde_json::from_slice::<Head>(line) {
                Ok(head) if head.event != kind.head => {
                    Some(format!("the file begins with {:?}", head.event))
                }
                Ok(head) if head.version == 0 || head.version > VERSION => {
                    return Err(Error::Unsupported(format!(
                        "{}: format version {}, written by nepal {}; this nepal reads versions 1 to {VERSION}",
                        path.display(),
                        head.version,
                        head.nepal
                    )));
                }
                Ok(head) => {
                    summed |= head.version > 1;
                    None
                }
                Err(e) => Some(e.to_string()),
            },
            _ => serde_json::from_slice(line)
                .map(&mut each)
                .err()
                .map(|e| e.to_string()),
        };
        match damage {
            None => good += line.len(),
            // A damaged last line is what a crash or a full disk leaves: it was never acted on.
            Some(_) if good + line.len() == whole => break,
            Some(why) => {
                return Err(Error::parse(
                    path.display().to_string(),
                    number + 1,
                    format!(
                        "expected {}, found something else ({why}); {}",
                        kind.record, kind.advice
                    ),
                ));
            }
        }
    }
    Ok(good as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        head: "test",
        record: "a number",
        advice: "try again",
    };

    #[derive(Serialize, Deserialize)]
    struct Number {
        n: usize,
    }

    fn numbers(path: &Path) -> Result<Vec<usize>> {
        let mut found = Vec::new();
        Log::open(path.to_owned(), &KIND, |r: Number| found.push(r.n))?;
        Ok(found)
    }

    fn written(path: &Path) -> Vec<u8> {
        let mut log = Log::open(path.to_owned(), &KIND, |_: Number| ()).unwrap();
        for n in [1, 20, 300] {
            log.append(&Number { n }).unwrap();
        }
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_flipped_digit_is_found_out_and_a_cut_end_forgiven() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let whole = written(&path);
        assert_eq!(numbers(&path).unwrap(), [1, 20, 300]);
        let text = String::from_utf8(whole.clone()).unwrap();
        // Still JSON, still a number: only the checksum tells.
        std::fs::write(&path, text.replace("\"n\":20", "\"n\":21")).unwrap();
        let message = numbers(&path).unwrap_err().to_string();
        assert!(
            message.contains("log:3") && message.contains("checksum"),
            "{message}"
        );
        // A record whose checksum was taken away is no record of an older nepal.
        let third = text.lines().nth(2).unwrap();
        let bare = format!("{}}}", &third[..third.find(",\"sum\"").unwrap()]);
        std::fs::write(&path, text.replace(third, &bare)).unwrap();
        assert!(numbers(&path).is_err());
        let last = text.trim_end().rfind('\n').unwrap() + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(numbers(&path).unwrap(), [1, 20], "cut at {cut}");
        }
        std::fs::write(&path, text.replace("\"n\":300", "\"n\":301")).unwrap();
        assert_eq!(numbers(&path).unwrap(), [1, 20]);
    }

    #[test]
    fn logs_without_checksums_are_read_and_go_on_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let old = "{\"event\":\"test\",\"version\":1,\"nepal\":\"0.1.0\"}\n{\"n\":4}\n{\"n\":5}\n";
        std::fs::write(&path, old).unwrap();
        let mut log = Log::open(path.clone(), &KIND, |_: Number| ()).unwrap();
        log.append(&Number { n: 6 }).unwrap();
        drop(log);
        assert_eq!(numbers(&path).unwrap(), [4, 5, 6]);
        std::fs::write(&path, old.replace("version\":1", "version\":9")).unwrap();
        let message = numbers(&path).unwrap_err().to_string();
        assert!(message.contains("version 9"), "{message}");
        std::fs::write(&path, old.replace("\"test\"", "\"other\"")).unwrap();
        assert!(numbers(&path).is_err());
    }
}
