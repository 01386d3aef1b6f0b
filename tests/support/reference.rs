//! Results of other programs: the `ref.json` files of `tests/data` (format: `tests/data/README.md`).

use super::{npy, read_text};
use nepal::{Cell, Element, Structure};
use serde_json::Value;

/// One structure with what another program computed for it; empty or none where it has no answer.
pub struct Frame {
    /// Folder and frame, for messages.
    pub name: String,
    pub structure: Structure,
    pub types: Vec<u32>,
    /// K, an input of some models.
    pub temperature: Option<f64>,
    pub energy: Option<f64>,
    pub energies: Vec<f64>,
    pub forces: Vec<[f64; 3]>,
    pub virials: Vec<[f64; 9]>,
    /// Nine numbers, or six in the order xx yy zz xy yz zx.
    pub virial: Vec<f64>,
    pub descriptors: Vec<f64>,
    pub charges: Vec<f64>,
    pub born_charges: Vec<[f64; 9]>,
    /// Three numbers.
    pub dipole: Vec<f64>,
    /// Six numbers in the order xx yy zz xy yz zx.
    pub polarizability: Vec<f64>,
    /// First numbers of atom 0's B projection.
    pub projection_head: Vec<f64>,
    /// Shape of all B projections, if there are any.
    pub projection_shape: Option<[usize; 2]>,
    /// All B projections, where the file is kept here.
    pub projections: Option<Vec<f64>>,
}

/// The frames of a data folder; empty if it has no reference file.
pub fn frames(folder: &str) -> Vec<Frame> {
    const NAMES: [&str; 3] = [
        "ref.json",
        "ref_float64.json.gz",
        "ref_float64_frame0.json.gz",
    ];
    let Some(name) = NAMES
        .iter()
        .map(|name| format!("{folder}/{name}"))
        .find(|name| super::data(name).exists())
    else {
        return Vec::new();
    };
    let text = read_text(name.trim_end_matches(".gz"));
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(json["format"], "nep-reference-1", "{name}");
    let frames = json["frames"].as_array().unwrap();
    frames.iter().map(|frame| read(folder, frame)).collect()
}

fn read(folder: &str, json: &Value) -> Frame {
    let vectors: [[f64; 3]; 3] = rows(&json["cell"]).try_into().unwrap();
    let pbc: Vec<bool> = json["pbc"]
        .as_array()
        .unwrap()
        .iter()
        .map(|flag| flag.as_bool().unwrap())
        .collect();
    let elements = json["symbols"]
        .as_array()
        .unwrap()
        .iter()
        .map(|symbol| Element::from_symbol(symbol.as_str().unwrap()).unwrap())
        .collect();
    let cell = Cell::new(vectors, pbc.try_into().unwrap()).unwrap();
    let structure = Structure::new(cell, elements, rows(&json["positions"])).unwrap();
    // Programs that print totals only: the rest is from a verified independent evaluation.
    let per_atom = |key: &str| match &json[key] {
        Value::Null => &json["per_atom_from_numpy_prototype"][key],
        found => found,
    };
    let virial = match &json["virial_total"] {
        Value::Null => &json["virial_total_xx_yy_zz_xy_yz_zx"],
        found => found,
    };
    let file = json["B_projection_file"].as_str();
    let shape: Vec<f64> = numbers(&json["B_projection_shape"]);
    Frame {
        name: format!("{folder}/{}", json["name"].as_str().unwrap()),
        types: numbers(&json["types"]).iter().map(|&t| t as u32).collect(),
        structure,
        temperature: json["temperature"].as_f64(),
        energy: json["energy"].as_f64(),
        energies: numbers(per_atom("energies")),
        forces: rows(&json["forces"]),
        virials: rows(per_atom("virials")),
        virial: numbers(virial),
        descriptors: numbers(&json["descriptors"]),
        charges: numbers(&json["charges"]),
        born_charges: rows(&json["born_effective_charges"]),
        dipole: numbers(&json["dipole"]),
        polarizability: numbers(&json["polarizability"]),
        projection_head: numbers(&json["B_projection_first_atom_head"]),
        projection_shape: file.map(|_| [shape[0] as usize, shape[1] as usize]),
        projections: file
            .map(|file| format!("{folder}/{file}"))
            .filter(|file| super::data(file).exists())
            .map(|file| {
                let (found, values) = npy::read(&file);
                assert_eq!(found.map(|n| n as f64), shape.as_slice(), "{file}");
                values
            }),
    }
}

/// All numbers of nested lists, in order; none for null.
fn numbers(json: &Value) -> Vec<f64> {
    match json {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn rows<const N: usize>(json: &Value) -> Vec<[f64; N]> {
    let flat = numbers(json);
    assert_eq!(flat.len() % N, 0);
    flat.chunks_exact(N)
        .map(|row| row.try_into().unwrap())
        .collect()
}
