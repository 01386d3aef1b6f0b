//! Fragments of crystals, slabs, wires and melts, with the silicon and lead telluride models.

mod extraction;
mod geometry;
mod gradients;
mod harvesting;
mod modes;
mod neutral;
mod properties;

use super::lattice::V;
use super::random::SplitMix;
use crate::BackendKind;
use crate::calculator::Calculator;
use crate::element::Element;
use crate::grade::{ActiveSet, BuildOptions, Features};
use crate::model::Model;
use crate::system::cell::add;
use crate::system::xyz::FrameReader;
use crate::system::{Cell, Structure};
use std::path::Path;
use std::sync::Arc;

fn model(folder: &str) -> Arc<Model> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Arc::new(Model::load(root.join("tests/data").join(folder).join("nep.txt")).unwrap())
}

fn silicon() -> Arc<Model> {
    model("si_2022_nep4_3body")
}

fn lead_telluride() -> Arc<Model> {
    model("pbte_nep_train")
}

fn element(symbol: &str) -> Element {
    Element::from_symbol(symbol).unwrap()
}

const FCC: [V; 4] = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];

/// `n` cubic cells of an fcc crystal with a basis of two.
fn fcc(n: [usize; 3], a: f64, second: V, elements: [&str; 2]) -> Structure {
    let mut positions = Vec::new();
    let mut kinds = Vec::new();
    for site in FCC {
        positions.push(site.map(|x| x * a));
        positions.push(add(site, second).map(|x| x * a));
        kinds.extend(elements.map(element));
    }
    let cell = Cell::orthorhombic([a; 3]).unwrap();
    Structure::new(cell, kinds, positions)
        .unwrap()
        .repeated(n)
        .unwrap()
}

fn diamond(n: [usize; 3]) -> Structure {
    fcc(n, 5.43, [0.25; 3], ["Si", "Si"])
}

fn rock_salt(n: [usize; 3]) -> Structure {
    fcc(n, 6.46, [0.5, 0.0, 0.0], ["Pb", "Te"])
}

/// Displaces every atom, `rms` Å in each direction.
fn shake(mut structure: Structure, rms: f64, seed: u64) -> Structure {
    let mut random = SplitMix::new(seed, 77);
    for r in &mut structure.positions {
        for x in r {
            *x += rms * random.normal();
        }
    }
    structure
}

/// Turns cell and atoms by some rotation.
fn rotate(structure: &Structure, seed: u64) -> Structure {
    let mut random = SplitMix::new(seed, 78);
    let vectors: Vec<V> = (0..3)
        .map(|_| std::array::from_fn(|_| random.normal()))
        .collect();
    let frame = super::lattice::Subspace::span(&vectors);
    let turn = |v: V| {
        (0..3).fold([0.0; 3], |sum, k| {
            add(sum, super::lattice::scale(frame.basis()[k], v[k]))
        })
    };
    let cell = Cell::new(
        structure.cell.vectors().map(turn),
        structure.cell.periodic(),
    )
    .unwrap();
    let positions = structure.positions.iter().map(|&r| turn(r)).collect();
    Structure::new(cell, structure.elements.clone(), positions).unwrap()
}

fn without(mut structure: Structure, atom: usize) -> Structure {
    structure.positions.remove(atom);
    structure.elements.remove(atom);
    structure
}

/// The atom nearest to a place, by plain distance.
fn nearest(structure: &Structure, place: V) -> usize {
    let distance = |r: &V| (0..3).map(|a| (r[a] - place[a]).powi(2)).sum::<f64>();
    (0..structure.len())
        .min_by(|&a, &b| {
            distance(&structure.positions[a]).total_cmp(&distance(&structure.positions[b]))
        })
        .unwrap()
}

/// A calculator with an active set from shaken and strained crystals.
fn graded(model: Arc<Model>, crystal: &Structure, rms: f64) -> Calculator {
    let frames: Vec<Structure> = (0..8)
        .map(|k| {
            let strain = 0.01 * (k as f64 - 3.5) / 3.5;
            let shear = if k % 2 == 0 { 0.01 } else { -0.005 };
            let strain = [
                [strain, shear, 0.0],
                [shear, strain, 0.0],
                [0.0, 0.0, strain - 0.3 * shear],
            ];
            let s = shake(crystal.clone(), rms * (0.5 + 0.1 * k as f64), k);
            s.strained(&strain).unwrap()
        })
        .collect();
    trained(model, &frames)
}

/// A calculator with an active set from some of the lead telluride model's training structures.
fn lead_telluride_trained() -> Calculator {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(root.join("tests/data/pbte_nep_train/train.xyz.gz")).unwrap();
    let text = std::io::BufReader::new(flate2::read::GzDecoder::new(file));
    let structures: Vec<Structure> = FrameReader::new(text, "train.xyz")
        .step_by(3)
        .map(|frame| frame.unwrap().structure)
        .collect();
    trained(lead_telluride(), &structures)
}

fn trained(model: Arc<Model>, structures: &[Structure]) -> Calculator {
    let mut backend = BackendKind::default_for_build().create().unwrap();
    let features = Features::collect(&model, backend.as_mut(), structures).unwrap();
    let (set, _) = ActiveSet::build(&model, &features, &BuildOptions::default()).unwrap();
    let mut calculator = Calculator::new(model, BackendKind::default_for_build()).unwrap();
    calculator.set_active_set(Some(Arc::new(set))).unwrap();
    calculator
}
