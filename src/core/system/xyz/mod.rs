//! Extended XYZ in and out, as GPUMD, ASE and OVITO use it.
//!
//! Keys that nepal understands (`Lattice`, `pbc`, `Properties`, `energy`, `virial`, `stress`,
//! `weight`, `energy_weight`) are matched without regard to case; all others are kept as they are.
//! Without `pbc`, a frame with a `Lattice` is periodic in all directions and one without is a
//! cluster. A `stress` (eV/Å³, positive in tension, 9 or 6 Voigt numbers) becomes a virial unless
//! a `virial` stands beside it.

mod comment;
mod read;
mod write;

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
mod tests {
    use super::*;
    use crate::system::frame::ColumnData;

    fn parse(text: &str) -> Result<Vec<Frame>> {
        FrameReader::new(text.as_bytes(), "in.xyz").collect()
    }

    const GPUMD: &str = "2\nEnergy = -3.5 config_type=\"two words\" pbc=\"T T F\" \
        Lattice=\"4 0 0 0 5 0 0 0 6\" virial=\" 1 2 3 2 5 6 3 6 9 \" \
        Properties=species:S:1:pos:R:3:force:R:3:tag:I:1\n\
        Pb 0 0 0 0.1 0.2 0.3 7\nTe 1.5 1 1 -0.1 -0.2 -0.3 8\n";

    #[test]
    fn doubtful_labels_pass_only_where_they_are_looked_at() {
        let text = "1\nenergy=nan Properties=species:S:1:pos:R:3:forces:R:3\nPb 0 0 0 nan 0 inf\n";
        assert!(parse(text).is_err());
        let mut reader = FrameReader::new(text.as_bytes(), "in.xyz").with_doubtful_labels();
        let frame = reader.next().unwrap().unwrap();
        assert!(frame.energy.unwrap().is_nan() && frame.forces.unwrap()[0][0].is_nan());
        for bad in ["Pb nan 0 0 1 0 0", "Pb 0 0 0 **** 0 0"] {
            let text = text.replace("Pb 0 0 0 nan 0 inf", bad);
            let mut reader = FrameReader::new(text.as_bytes(), "in.xyz").with_doubtful_labels();
            assert!(reader.next().unwrap().is_err());
        }
    }

    #[test]
    fn reads_what_gpumd_reads() {
        let frames = parse(GPUMD).unwrap();
        let frame = &frames[0];
        assert_eq!(frame.energy, Some(-3.5));
        assert_eq!(frame.structure.cell.periodic(), [true, true, false]);
        assert_eq!(frame.forces.as_ref().unwrap()[1], [-0.1, -0.2, -0.3]);
        assert_eq!(frame.virial.unwrap()[4], 5.0);
        assert_eq!(frame.info["config_type"], "two words");
        assert!(matches!(
            &frame.columns[0].data,
            ColumnData::Integer { values, .. } if values == &[7, 8]
        ));
    }

    #[test]
    fn writing_and_reading_changes_nothing() {
        let mut frames = parse(GPUMD).unwrap();
        frames[0].force_mask = Some(vec![1.0, 0.0]);
        frames[0].weight = 0.25;
        frames[0].structure.positions[1] = [0.1 + 0.2, 1e-17, -123456.789];
        frames[0]
            .info
            .insert("odd".into(), "a \"quoted\\\" = b".into());
        let text = to_text(&frames[0]);
        let again = parse(&text).unwrap();
        assert_eq!(again, frames);
        assert_eq!(to_text(&again[0]), text);
    }

    #[test]
    fn stress_becomes_a_virial() {
        let text = "1\nLattice=\"2 0 0 0 2 0 0 0 2\" stress=\"1 2 3 4 5 6\"\nSi 0 0 0\n";
        let virial = parse(text).unwrap()[0].virial.unwrap();
        assert_eq!(
            virial,
            [-8.0, -48.0, -40.0, -48.0, -16.0, -32.0, -40.0, -32.0, -24.0]
        );
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            ("x\n", "in.xyz:1:", "number of atoms"),
            ("1\n", "in.xyz:2:", "comment"),
            ("2\n\nSi 0 0 0\n", "in.xyz:4:", "2 atoms"),
            ("1\n\nSi 0 0\n", "in.xyz:3:", "4 columns"),
            ("1\n\nXx 0 0 0\n", "in.xyz:3:", "Xx"),
            ("1\n\nSi 0 nan 0\n", "in.xyz:3:", "nan"),
            ("1\nLattice=\"1 2\"\nSi 0 0 0\n", "in.xyz:2:", "9 numbers"),
            ("1\nenergy=abc\nSi 0 0 0\n", "in.xyz:2:", "abc"),
            ("1\nkey=\"open\nSi 0 0 0\n", "in.xyz:2:", "quote"),
            ("1\nProperties=pos:R:3\n0 0 0\n", "in.xyz:2:", "species"),
        ];
        for (text, place, word) in cases {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(place), "{text:?}: {message}");
            assert!(message.contains(word), "{text:?}: {message}");
        }
        assert!(parse("").unwrap().is_empty());
        assert_eq!(parse("0\n\n").unwrap()[0].len(), 0);
    }
}
