//! Structures for LAMMPS, and what nepal's reference backend says about them.

use crate::support::gas::Uniform;
use crate::support::{calculator, model};
use nepal::{BackendKind, Cell, Evaluation, Model, Request, Structure};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// eV/Å³ in bar, as LAMMPS has it.
pub const BAR: f64 = 1.6021765e6;

/// A structure, and LAMMPS' type (from 1) of each of its atoms.
pub struct Sample {
    pub model: Arc<Model>,
    /// Folder of the model in `tests/data`.
    pub folder: &'static str,
    pub structure: Structure,
    pub types: Vec<usize>,
    /// Element of each LAMMPS type.
    pub elements: Vec<&'static str>,
}

impl Sample {
    /// Atoms near the points of a skewed grid, the elements in turn.
    pub fn grid(
        folder: &'static str,
        elements: &[&'static str],
        n: [usize; 3],
        edge: f64,
        periodic: [bool; 3],
    ) -> Self {
        let model = model(folder);
        let mut random = Uniform(11);
        let (mut positions, mut types) = (Vec::new(), Vec::new());
        // LAMMPS wants a lower triangle.
        let skew = [[1.0, 0.0, 0.0], [0.2, 1.0, 0.0], [0.1, -0.15, 1.0]];
        for i in 0..n[0] {
            for j in 0..n[1] {
                for k in 0..n[2] {
                    let shift = random.vector(0.12 * edge);
                    let place = [i, j, k].map(|x| (x as f64 + 0.5) * edge);
                    positions.push(std::array::from_fn(|a| {
                        (0..3).map(|d| place[d] * skew[d][a]).sum::<f64>() + shift[a]
                    }));
                    types.push((i + j + k) % elements.len() + 1);
                }
            }
        }
        let cell = std::array::from_fn(|d| skew[d].map(|x| x * n[d] as f64 * edge));
        Self {
            structure: Structure::new(
                Cell::new(cell, periodic).expect("a cell"),
                types
                    .iter()
                    .map(|t| nepal::Element::from_symbol(elements[t - 1]).expect("an element"))
                    .collect(),
                positions,
            )
            .expect("a structure"),
            model,
            folder,
            types,
            elements: elements.to_vec(),
        }
    }

    /// Lead and tellurium, named to LAMMPS in the other order than the model has them.
    pub fn telluride(n: [usize; 3], periodic: [bool; 3]) -> Self {
        Self::grid("pbte_nep_train", &["Te", "Pb"], n, 3.25, periodic)
    }

    /// Path of the model file.
    pub fn model_file(&self) -> String {
        let path = crate::support::data(&format!("{}/nep.txt", self.folder));
        path.display().to_string()
    }

    /// The structure as a LAMMPS data file, and the commands that read it.
    pub fn write(&self, folder: &Path) -> String {
        let [a, b, c] = self.structure.cell.vectors().to_owned();
        let mut text = format!(
            "a structure of the tests\n\n{} atoms\n{} atom types\n\n0 {} xlo xhi\n0 {} ylo yhi\n0 {} zlo zhi\n{} {} {} xy xz yz\n\nAtoms # atomic\n\n",
            self.types.len(),
            self.elements.len(),
            a[0],
            b[1],
            c[2],
            b[0],
            c[0],
            c[1]
        );
        for (i, r) in self.structure.positions.iter().enumerate() {
            let _ = writeln!(
                text,
                "{} {} {:e} {:e} {:e}",
                i + 1,
                self.types[i],
                r[0],
                r[1],
                r[2]
            );
        }
        std::fs::write(folder.join("atoms.data"), text).expect("the data file is written");
        let boundary = self
            .structure
            .cell
            .periodic()
            .map(|p| if p { "p" } else { "m" })
            .join(" ");
        format!(
            "units metal\nboundary {boundary}\nbox tilt large\nread_data atoms.data\nmass * 100.0\n"
        )
    }

    /// The pair style of this model.
    pub fn pair(&self) -> String {
        format!(
            "pair_style nepal\npair_coeff * * {} {}\n",
            self.model_file(),
            self.elements.join(" ")
        )
    }

    /// What the reference backend says.
    pub fn expected(&self) -> Evaluation {
        let mut reference = calculator(&self.model, BackendKind::Reference);
        let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
        reference
            .compute(&self.structure, wanted)
            .unwrap_or_else(|e| panic!("{e}"))
            .clone()
    }
}
