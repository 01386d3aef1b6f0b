//! Structures of any format that people have: extended XYZ, gzipped or not, and POSCAR are read here, all else by ASE
//! or dpdata in a Python that has them.

mod poscar;

use crate::worker;
use nepal::error::{Error, Result};
use nepal::system::Frame;
use nepal::system::xyz::{self, FrameReader};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Bytes that tell a format.
const HEAD: usize = 4096;
/// The variable that names the Python with ASE.
const PYTHON: &str = "NEPAL_PYTHON";

/// Frames one after the other, from a file of any format; ends after the first error.
pub struct Frames {
    reader: FrameReader<Box<dyn BufRead>>,
    /// Holds what Python made until it has been read.
    _folder: Option<TempDir>,
}

impl Frames {
    /// See [`FrameReader::with_doubtful_labels`].
    pub fn with_doubtful_labels(mut self) -> Self {
        self.reader = self.reader.with_doubtful_labels();
        self
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next()
    }
}

/// All frames of a file of any format.
///
/// **Errors**: those of [`open`], [`Error::Parse`].
pub fn read_frames(path: impl AsRef<Path>) -> Result<Vec<Frame>> {
    open(path)?.collect()
}

/// Opens a file of any format: told by its name and its first lines.
///
/// **Errors**: [`Error::Io`]; [`Error::Parse`] of a POSCAR; [`Error::Failed`] with what Python said of a format that
/// it reads, or that there is no Python with ASE.
pub fn open(path: impl AsRef<Path>) -> Result<Frames> {
    let path = path.as_ref();
    // A pipe can be read but once, and holds what nepal itself writes.
    if path.exists() && !path.is_file() {
        return match path.is_dir() {
            true => by_python(&[path.to_owned()], None).map(|found| found.0),
            false => plain(Box::new(BufReader::new(opened(path)?)), path),
        };
    }
    let mut reader = unpacked(path)?;
    let head = head(&mut reader, path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match format_of(name, &head) {
        Format::Xyz => {
            let rest = std::io::Cursor::new(head).chain(reader);
            plain(Box::new(rest), path)
        }
        Format::Poscar => {
            let mut text = String::from_utf8_lossy(&head).into_owned();
            reader
                .read_to_string(&mut text)
                .map_err(|e| Error::io("read", path, e))?;
            let structure = poscar::parse(&text, &path.display().to_string())?;
            let text = xyz::to_text(&Frame::new(structure));
            plain(Box::new(std::io::Cursor::new(text)), path)
        }
        Format::Other => by_python(&[path.to_owned()], None).map(|found| found.0),
    }
}

/// Reads files, or a folder of DeePMD or ABACUS, with a format of ASE, one of dpdata (`dpdata:NAME`), or what they
/// tell. Of several those that cannot be read are told in words.
///
/// **Errors**: [`Error::Failed`] with what Python said, or that it is not there.
pub fn by_python(paths: &[PathBuf], format: Option<&str>) -> Result<(Frames, Vec<String>)> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), e))?;
    let (made, list) = (folder.path().join("frames.xyz"), folder.path().join("list"));
    let place = match paths {
        [one] => one.display().to_string(),
        _ => format!("{} files", paths.len()),
    };
    let lines: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    std::fs::write(&list, lines.join("\n")).map_err(|e| Error::io("write", &list, e))?;
    let mut arguments = vec![OsStr::new("read"), list.as_os_str(), made.as_os_str()];
    arguments.extend(format.map(OsStr::new));
    let said = python(Path::new(&place), "read", &arguments)?;
    let reader: Box<dyn BufRead> = Box::new(BufReader::new(opened(&made)?));
    let frames = Frames {
        reader: FrameReader::new(reader, &place),
        _folder: Some(folder),
    };
    let notes = said.lines().filter_map(|line| line.strip_prefix("note: "));
    Ok((frames, notes.map(str::to_owned).collect()))
}

/// Writes frames in a format of the worker: `ase-db`, `deepmd` (a folder), `mtp`, or one that ASE writes.
///
/// **Errors**: [`Error::Failed`] with what Python said, or that it is not there.
pub fn write_by_python(path: &Path, frames: &[Frame], format: &str) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), e))?;
    let made = folder.path().join("frames.xyz");
    xyz::write_frames(&made, frames)?;
    python(
        path,
        "write",
        &[
            OsStr::new("write"),
            made.as_os_str(),
            path.as_os_str(),
            OsStr::new(format),
        ],
    )
    .map(drop)
}

/// Runs the worker for a file.
fn python(path: &Path, verb: &str, arguments: &[&OsStr]) -> Result<String> {
    let python = std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into());
    let shown = Path::new(&python).display().to_string();
    let output = std::process::Command::new(&python)
        .args([OsStr::new("-c"), OsStr::new(worker::FILES)])
        .args(arguments)
        .output();
    let said = match output {
        Err(e) => format!("{shown}: {e}"),
        Ok(output) if output.status.success() => {
            return Ok(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().last().unwrap_or_default().to_owned();
            if !said.contains("No module named 'ase'") {
                let refused = said.strip_prefix("Refused: ");
                return Err(Error::Failed(match refused {
                    Some(reason) => format!("{}: {reason}", path.display()),
                    None => format!(
                        "{}: expected a format that nepal or ASE can {verb}; ASE says: {said}",
                        path.display()
                    ),
                }));
            }
            said
        }
    };
    Err(Error::Failed(format!(
        "{}: ASE has to {verb} this format, and is not there ({said}): pip install ase, or name a Python that has it \
         in the variable {PYTHON}",
        path.display()
    )))
}

/// Who reads a file.
#[derive(Debug, PartialEq)]
enum Format {
    Xyz,
    Poscar,
    Other,
}

fn format_of(name: &str, head: &[u8]) -> Format {
    let lower = name.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    if ends(&[".xyz", ".extxyz"]) {
        return Format::Xyz;
    }
    if ["POSCAR", "CONTCAR"].iter().any(|n| name.contains(n)) || ends(&[".vasp", ".poscar"]) {
        return Format::Poscar;
    }
    let Ok(text) = std::str::from_utf8(head) else {
        return Format::Other;
    };
    let lines: Vec<&str> = text.lines().collect();
    let reals = |line: usize| {
        let words = lines.get(line).map(|l| l.split_whitespace());
        words.map_or(0, |w| w.map_while(|w| w.parse::<f64>().ok()).count())
    };
    let first = lines.iter().find(|line| !line.trim().is_empty());
    match first {
        None => Format::Xyz,
        Some(line) if line.trim().parse::<usize>().is_ok() => Format::Xyz,
        _ if [1, 2, 3, 4].map(reals) == [1, 3, 3, 3] => Format::Poscar,
        _ => Format::Other,
    }
}

fn opened(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::io("open", path, e))
}

fn plain(reader: Box<dyn BufRead>, path: &Path) -> Result<Frames> {
    Ok(Frames {
        reader: FrameReader::new(reader, &path.display().to_string()),
        _folder: None,
    })
}

/// The content of a file, which may be gzipped.
fn unpacked(path: &Path) -> Result<Box<dyn BufRead>> {
    let mut reader = BufReader::new(opened(path)?);
    let start = reader.fill_buf().map_err(|e| Error::io("read", path, e))?;
    Ok(match start.starts_with(&[0x1f, 0x8b]) {
        true => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(reader))),
        false => Box::new(reader),
    })
}

/// The first bytes, up to a whole line where there is one; they are taken from the reader.
fn head(reader: &mut Box<dyn BufRead>, path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    reader
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|e| Error::io("read", path, e))?;
    // Half a character at the end would make binary of text.
    if head.len() == HEAD {
        let rest = reader.take(1 << 20).read_until(b'\n', &mut head);
        rest.map_err(|e| Error::io("read", path, e))?;
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn formats_are_told_by_name_and_first_lines() {
        let poscar = "Si\n1.0\n5 0 0\n0 5 0\n0 0 5\nSi\n1\nDirect\n0 0 0\n";
        for (name, head, format) in [
            ("a.xyz", "data_", Format::Xyz),
            ("train", "\n 8\nLattice", Format::Xyz),
            ("empty", "", Format::Xyz),
            ("POSCAR_3", "8\n1.0\n", Format::Poscar),
            ("relaxed", poscar, Format::Poscar),
            ("a.cif", "data_Si\n_cell_length_a 5\n", Format::Other),
            ("dump", "ITEM: TIMESTEP\n0\n", Format::Other),
            ("a.traj", "- of Ulm\u{0}", Format::Other),
        ] {
            assert_eq!(format_of(name, head.as_bytes()), format, "{name}");
        }
        assert_eq!(format_of("a.db", &[0xff, 0xfe]), Format::Other);
    }

    #[test]
    fn gzip_is_read_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let frame = "1\nLattice=\"5 0 0 0 5 0 0 0 5\" Properties=species:S:1:pos:R:3\nSi 0 0 1\n";
        let poscar = "Si\n1.0\n5 0 0\n0 5 0\n0 0 5\nSi\n1\nDirect\n0 0 0.2\n";
        for (name, text, count) in [
            ("a.xyz.gz", frame.repeat(300), 300),
            ("POSCAR.gz", poscar.to_owned(), 1),
        ] {
            let path = dir.path().join(name);
            let file = File::create(&path).unwrap();
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap();
            let frames = read_frames(&path).unwrap();
            assert_eq!(frames.len(), count);
            assert_eq!(frames[count - 1].structure.positions, [[0.0, 0.0, 1.0]]);
        }
    }
}
