//! GPUMD's PbTe example: the training set and settings under `tests/data/pbte_nep_train`.

use flate2::read::GzDecoder;
use nepal::system::{Frame, xyz};
use nepal::train::NepIn;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Settings and training frames.
pub fn training() -> Result<(NepIn, Vec<Frame>), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pbte_nep_train");
    let path = folder.join("train.xyz.gz");
    let reader = BufReader::new(GzDecoder::new(File::open(&path)?));
    let frames = xyz::FrameReader::new(reader, "train.xyz").collect::<Result<Vec<_>, _>>()?;
    Ok((NepIn::load(folder.join("nep.in"))?, frames))
}
