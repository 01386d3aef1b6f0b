//! GPUMD's PbTe example: the training set and settings under `tests/data/pbte_nep_train`.

#[path = "root.rs"]
mod root;

use flate2::read::GzDecoder;
use nepal::system::{Frame, xyz};
use nepal_train::NepIn;
use root::root;
use std::fs::File;
use std::io::BufReader;

/// Settings and training frames.
pub fn training() -> Result<(NepIn, Vec<Frame>), Box<dyn std::error::Error>> {
    let folder = root().join("tests/data/pbte_nep_train");
    let path = folder.join("train.xyz.gz");
    let reader = BufReader::new(GzDecoder::new(File::open(&path)?));
    let frames = xyz::FrameReader::new(reader, "train.xyz").collect::<Result<Vec<_>, _>>()?;
    Ok((NepIn::load(folder.join("nep.in"))?, frames))
}
