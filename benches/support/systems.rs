//! The four systems of `benches/data` with their models, whole or cut down to a smaller crystal.

#[path = "root.rs"]
mod root;

use nepal::system::xyz::FrameReader;
use nepal::{Cell, Frame, Model, Structure};
pub use root::root;
use std::io::{BufReader, Read};
use std::sync::Arc;

/// Name of the system, data folder of its model, and unit cells along an edge.
pub const SYSTEMS: [(&str, &str, f64); 4] = [
    ("c_diamond_4096", "c_2024_nep4", 8.0),
    ("pbte_8000", "pbte_nep_train", 10.0),
    ("unep_alloy_4000", "unep_v1_16_metals", 10.0),
    ("si_diamond_4096", "si_2022_nep4_5body", 8.0),
];

/// The bytes of a file of the repository, unpacked if it is stored compressed.
fn read(name: &str) -> Vec<u8> {
    let path = root().join(name);
    if path.exists() {
        return std::fs::read(path).expect("the file is there");
    }
    let packed = path.with_file_name(format!("{}.gz", path.file_name().unwrap().display()));
    let file = std::fs::File::open(&packed).unwrap_or_else(|e| panic!("{}: {e}", packed.display()));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .expect("the file is whole");
    bytes
}

/// The model of a data folder.
pub fn model(folder: &str) -> Arc<Model> {
    let name = format!("tests/data/{folder}/nep.txt");
    Arc::new(Model::parse(read(&name).as_slice(), &name).expect("the model is good"))
}

/// A system with its reference results.
pub fn frame(system: &str) -> Frame {
    let name = format!("benches/data/{system}.xyz");
    let text = read(&name);
    let mut frames = FrameReader::new(BufReader::new(text.as_slice()), &name);
    frames
        .next()
        .expect("one frame")
        .expect("the frame is good")
}

/// The first `keep` of `cells` unit cells along each edge, periodic again: a smaller crystal of the
/// same kind.
pub fn smaller(structure: &Structure, cells: f64, keep: f64) -> Structure {
    let edge = structure.cell.vectors()[0][0] * keep / cells;
    let unit = structure.cell.vectors()[0][0] / cells;
    // Displacements are far below a quarter of a lattice plane distance of an eighth of a cell.
    let inside = |r: &[f64; 3]| {
        r.iter().all(|&x| {
            let wrapped = (x + unit / 16.0).rem_euclid(structure.cell.vectors()[0][0]);
            wrapped < edge
        })
    };
    let kept = structure
        .positions
        .iter()
        .zip(&structure.elements)
        .filter(|(r, _)| inside(r));
    let (positions, elements) = kept.map(|(&r, &e)| (r, e)).unzip();
    let cell = Cell::orthorhombic([edge; 3]).expect("a cube");
    Structure::new(cell, elements, positions).expect("finite positions")
}
