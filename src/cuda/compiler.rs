//! The kernels of a model through NVRTC, without a device: for tests, and to look at what it makes.

use super::nvrtc::Nvrtc;
use super::source::{self, Shape};
use nepal_core::Precision;
use nepal_core::error::Result;
use nepal_core::model::Model;
use std::path::Path;

/// NVRTC, opened.
#[derive(Debug)]
pub struct Compiler(Nvrtc);

impl Compiler {
    /// That of a file or folder, or the one that the backend would take for a compute capability.
    pub fn open(path: Option<&Path>, arch: u32) -> Result<Self> {
        Nvrtc::open(path, None, arch).map(Self)
    }

    /// Major and minor version.
    pub fn version(&self) -> [i32; 2] {
        self.0.version
    }

    /// How code for a compute capability (10 major + minor) is asked for.
    ///
    /// **Errors**: [`nepal_core::Error::Backend`] for one that is older than all that NVRTC knows.
    pub fn target(&self, arch: u32) -> Result<String> {
        self.0.target(arch)
    }

    /// Machine code (or PTX, as the target says) and the log, with what the assembler tells.
    ///
    /// **Errors**: [`nepal_core::Error::Backend`] with the compiler's log.
    pub fn compile(&self, source: &str, target: &str) -> Result<(Vec<u8>, String)> {
        let mut options = Nvrtc::options(target);
        if target.starts_with("sm_") {
            options.push("--ptxas-options=-v".into());
        }
        let compiled = self.0.compile(source, &options)?;
        Ok((compiled.image, compiled.log))
    }

    /// The text of DFT-D3.
    pub fn correction() -> String {
        source::correction()
    }

    /// The texts that a model is compiled from, on a device with all of its types.
    pub fn sources(model: &Model, precision: Precision) -> Vec<String> {
        let shape = Shape::new(model, precision, model.elements().len());
        Vec::from([
            shape.source(),
            shape.grade_source(),
            source::exchange(),
            source::volume(),
            super::train::TrainShape::new(model.header(), model.layout()).source(),
        ])
    }
}
