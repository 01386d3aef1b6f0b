//! The entries, their good seeds, and what must hold for what they accept.

mod core;
mod folders;
mod labels;
mod train;

use std::io::Read;
use std::path::{Path, PathBuf};

/// Something that reads files.
pub struct Target {
    pub name: &'static str,
    /// Good files, which it accepts.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Whether it accepts bytes; panics if what it accepts is not what it should be.
    pub entry: fn(&[u8]) -> bool,
    /// Inputs on every run of the tests.
    pub short: usize,
}

const fn target(
    name: &'static str,
    seeds: fn() -> Vec<Vec<u8>>,
    entry: fn(&[u8]) -> bool,
    short: usize,
) -> Target {
    Target {
        name,
        seeds,
        entry,
        short,
    }
}

pub const ALL: &[Target] = &[
    target("nep-txt", core::model_seeds, core::nep_txt, 3000),
    target("extended-xyz", core::xyz_seeds, core::extended_xyz, 6000),
    target("asi", core::asi_seeds, core::asi, 3000),
    target("nas", core::nas_seeds, core::nas, 2000),
    target("nep-in", train::nep_in_seeds, train::nep_in, 2000),
    target("restart", train::restart_seeds, train::restart, 1000),
    target("posterior", train::posterior_seeds, train::posterior, 1000),
    target("trainer-outputs", train::output_seeds, train::outputs, 500),
    target("cp2k", labels::cp2k_seeds, labels::cp2k, 200),
    target("qe", labels::qe_seeds, labels::qe, 200),
    target("abinit", labels::abinit_seeds, labels::abinit, 200),
    target("vasp", labels::vasp_seeds, labels::vasp, 300),
    target("command", labels::command_seeds, labels::command, 500),
    target("lammps", labels::lammps_seeds, labels::lammps, 500),
    target(
        "pseudopotential",
        labels::pseudo_seeds,
        labels::pseudopotential,
        300,
    ),
    target("dump", folders::dump_seeds, folders::dump, 1000),
    target("poscar", folders::poscar_seeds, folders::poscar_file, 1000),
    target("deepmd", folders::deepmd_seeds, folders::deepmd, 300),
    target("dp-gen", folders::dp_gen_seeds, folders::dp_gen, 300),
    target(
        "nep-maker",
        folders::nep_maker_seeds,
        folders::nep_maker,
        300,
    ),
    target("campaign", folders::campaign_seeds, folders::campaign, 500),
    target("journal", folders::journal_seeds, folders::journal, 500),
    target("jobs", folders::jobs_seeds, folders::jobs, 500),
    target("cache", folders::cache_seeds, folders::cache, 500),
];

/// Root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of `tests/data`; one that is stored as `name.gz` is unpacked.
fn data(name: &str) -> Vec<u8> {
    let path = root().join("tests/data").join(name);
    if let Ok(bytes) = std::fs::read(&path) {
        return bytes;
    }
    let file = std::fs::File::open(format!("{}.gz", path.display())).expect(name);
    let mut bytes = Vec::new();
    let mut unpacked = flate2::read::GzDecoder::new(file);
    unpacked.read_to_end(&mut bytes).expect(name);
    bytes
}

fn text(name: &str) -> String {
    String::from_utf8_lossy(&data(name)).into_owned()
}

/// Several files as one input: each behind a line `@@ name`.
fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.extend(format!("@@ {name}\n").as_bytes());
        bytes.extend(*content);
        bytes.push(b'\n');
    }
    bytes
}

/// The files of an input in a folder that goes with the value; names that lead elsewhere are left out.
fn unpack(bytes: &[u8]) -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let mut rest = bytes;
    while let Some(tail) = rest.strip_prefix(b"@@ ") {
        let end = tail.windows(4).position(|w| w == b"\n@@ ");
        let (file, next) = match end {
            Some(end) => (&tail[..end], &tail[end + 1..]),
            None => (tail, &b""[..]),
        };
        rest = next;
        let head = file.iter().position(|b| *b == b'\n').unwrap_or(file.len());
        let name = String::from_utf8_lossy(&file[..head]).into_owned();
        let mut content = &file[(head + 1).min(file.len())..];
        if end.is_none() {
            content = content.strip_suffix(b"\n").unwrap_or(content);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if name.len() < 100 && name.chars().all(plain) && !name.contains("..") {
            let path: PathBuf = folder.path().join(name.trim_matches('/'));
            // A file in the place of a folder is no more than a file that is missing.
            let _ = std::fs::create_dir_all(path.parent().expect("it is in the folder"))
                .and_then(|()| std::fs::write(&path, content));
        }
    }
    folder
}

/// A message for people stays short and is harmless to a terminal, whatever the file holds.
fn check_message(message: &str) {
    if std::env::var_os("NEPAL_FUZZ_TELL").is_some() {
        eprintln!("refused: {message}");
    }
    assert!(message.chars().count() < 3100, "{message}");
    let raw = message
        .chars()
        .find(|c| c.is_control() && !"\n\t".contains(*c));
    assert!(raw.is_none(), "a message with {raw:?}: {message:?}");
}

/// Whether all numbers of a frame are, and its columns as long as it has atoms.
fn check_frame(frame: &nepal::Frame) {
    let structure = &frame.structure;
    let numbers = |all: &[[f64; 3]]| all.as_flattened().iter().all(|x| x.is_finite());
    assert!(numbers(&structure.positions) && numbers(structure.cell.vectors()));
    assert_eq!(structure.positions.len(), structure.elements.len());
    assert!(frame.energy.is_none_or(f64::is_finite));
    assert!(frame.virial.is_none_or(|w| w.iter().all(|x| x.is_finite())));
    if let Some(forces) = &frame.forces {
        assert!(numbers(forces) && forces.len() == structure.len());
    }
}
