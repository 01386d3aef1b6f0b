//! Active sets and grades.

mod cascade;
mod gradient;
mod public;
mod ridge;
mod structures;

use crate::support;
use nepal::grade::Features;
use nepal::{BackendKind, Cell, Element, Model, Structure};
use serde_json::Value;

/// The structures of the PbTe training set.
pub fn train() -> Vec<Structure> {
    let bytes = support::read_bytes("pbte_nep_train/train.xyz");
    nepal::system::xyz::FrameReader::new(bytes.as_slice(), "train.xyz")
        .map(|frame| frame.unwrap().structure)
        .collect()
}

pub fn features<'a>(
    model: &Model,
    structures: impl IntoIterator<Item = &'a Structure>,
) -> Features {
    let mut backend = BackendKind::default_for_build().create().unwrap();
    Features::collect(model, backend.as_mut(), structures).unwrap()
}

/// A frame of `gamma_ref.json`.
pub fn structure(json: &Value) -> Structure {
    let vector = |row: &Value| -> [f64; 3] { std::array::from_fn(|k| row[k].as_f64().unwrap()) };
    let cell = std::array::from_fn(|k| vector(&json["cell"][k]));
    let pbc = std::array::from_fn(|k| json["pbc"][k].as_bool().unwrap());
    let elements = list(&json["symbols"])
        .map(|s| Element::from_symbol(s.as_str().unwrap()).unwrap())
        .collect();
    let positions = list(&json["positions"]).map(vector).collect();
    Structure::new(Cell::new(cell, pbc).unwrap(), elements, positions).unwrap()
}

pub fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().unwrap().iter()
}

pub fn reference() -> Value {
    serde_json::from_str(&support::read_text("active_set_pbte/gamma_ref.json")).unwrap()
}
