//! Energy, forces and the largest grade of eight silicon atoms.
//!
//! `cargo run --example energy_forces`
//!
//! The same program in C and C++: `examples/c`, `examples/cpp`.

use nepal::{ActiveSet, BackendKind, Calculator, Cell, Element, Model, Request, Result, Structure};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Edge of the cubic cell, Å.
const EDGE: f64 = 5.431;

/// Diamond, a little distorted, one atom far off its place. Å.
const POSITIONS: [[f64; 3]; 8] = [
    [0.0426, -0.0087, 0.0581],
    [0.0255, 2.6691, 2.7225],
    [2.8093, -0.0224, 2.6925],
    [2.7301, 2.7817, -0.0612],
    [1.9529, 1.7849, 1.0139],
    [1.4183, 3.9930, 4.0595],
    [4.1556, 1.4575, 4.0331],
    [4.0636, 4.0584, 1.3466],
];

/// Reads the model in `data`, evaluates the atoms and prints.
pub fn run(data: &Path, out: &mut impl Write) -> Result<()> {
    let model = Arc::new(Model::load(data.join("nep.txt"))?);
    let active_set = Arc::new(ActiveSet::load(data.join("active_set.nas"), &model)?);
    let mut calculator = Calculator::new(model, BackendKind::default_for_build())?;
    calculator.set_active_set(Some(active_set))?;

    let silicon = Element::from_symbol("Si")?;
    let cell = Cell::orthorhombic([EDGE; 3])?;
    let structure = Structure::new(cell, vec![silicon; 8], POSITIONS.to_vec())?;
    let results = calculator.compute(&structure, Request::FORCES | Request::GRADES)?;

    let mut lines = format!("energy: {:.6} eV\n", results.energy);
    for (i, f) in results.forces.iter().enumerate() {
        lines += &format!(
            "force on atom {i}: {:.6} {:.6} {:.6} eV/A\n",
            f[0], f[1], f[2]
        );
    }
    let largest = (0..8).fold(0, |a, b| {
        if results.grade[b] > results.grade[a] {
            b
        } else {
            a
        }
    });
    lines += &format!(
        "largest grade: {:.6}, atom {largest}\n",
        results.grade[largest]
    );
    out.write_all(lines.as_bytes())
        .map_err(|e| nepal::Error::io("write to", "stdout", e))
}

fn main() {
    if let Err(error) = run(Path::new("examples/data"), &mut std::io::stdout()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
