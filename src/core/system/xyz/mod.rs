//! Extended XYZ in and out, as GPUMD, ASE and OVITO use it.
//!
//! Keys that nepal understands (`Lattice`, `pbc`, `Properties`, `energy`, `virial`, `stress`,
//! `weight`, `energy_weight`) are matched without regard to case; all others are kept, and written
//! again as they stood. Values may stand in quotes, brackets or braces. Labels under other keys are
//! found by [`resolve`].
//! Without `pbc`, a frame with a `Lattice` is periodic in all directions and one without is a
//! cluster. A `stress` (eV/Å³, positive in tension, 9 or 6 Voigt numbers) becomes a virial unless
//! a `virial` stands beside it.

mod comment;
mod head;
mod labels;
mod lines;
mod read;
mod write;

pub use labels::{LabelKeys, Told, resolve};
pub use read::FrameReader;
pub use write::to_text;

use super::frame::Frame;
use crate::error::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Reads all frames of a file.
///
/// **Errors**: [`Error::Io`]; [`Error::Parse`] with the line, what was expected and what was found.
pub fn read_frames(path: impl AsRef<Path>) -> Result<Vec<Frame>> {
    open(path)?.collect()
}

/// Opens a file to be read frame by frame.
///
/// **Errors**: [`Error::Io`].
pub fn open(path: impl AsRef<Path>) -> Result<FrameReader<std::io::BufReader<std::fs::File>>> {
    let path = path.as_ref();
    let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    Ok(FrameReader::new(
        std::io::BufReader::new(file),
        &path.display().to_string(),
    ))
}

/// Writes frames to a file, replacing it in one step.
///
/// **Errors**: [`Error::Io`].
pub fn write_frames<'a>(
    path: impl AsRef<Path>,
    frames: impl IntoIterator<Item = &'a Frame>,
) -> Result<()> {
    let text: String = frames.into_iter().map(to_text).collect();
    crate::files::write_atomically(path.as_ref(), text.as_bytes())
}

/// Appends one frame to a file with a single write, creating the file if needed.
///
/// **Errors**: [`Error::Io`].
pub fn append_frame(path: impl AsRef<Path>, frame: &Frame) -> Result<()> {
    let path = path.as_ref();
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(to_text(frame).as_bytes()))
        .map_err(|e| Error::io("append to", path, e))
}

#[cfg(test)]
mod tests;
