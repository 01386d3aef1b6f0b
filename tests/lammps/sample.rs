//! Structures for LAMMPS, and what nepal's reference backend says about them.

use crate::support::gas::Uniform;
use crate::support::root;
use crate::support::{calculator, data, model};
use nepal::{ActiveSet, BackendKind, Calculator, Cell, Evaluation, Model, Request, Structure};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// eV/Å³ in bar, as LAMMPS has it.
pub const BAR: f64 = 1.6021765e6;

const DIAMOND: [[f64; 3]; 8] = [
    [0.0, 0.0, 0.0],
    [0.0, 0.5, 0.5],
    [0.5, 0.0, 0.5],
    [0.5, 0.5, 0.0],
    [0.25, 0.25, 0.25],
    [0.25, 0.75, 0.75],
    [0.75, 0.25, 0.75],
    [0.75, 0.75, 0.25],
];

/// A structure, and LAMMPS' type (from 1) of each of its atoms.
pub struct Sample {
    pub model: Arc<Model>,
    pub model_file: PathBuf,
    /// Goes with the model.
    pub active_set: Option<PathBuf>,
    pub structure: Structure,
    pub types: Vec<usize>,
    /// Element of each LAMMPS type.
    pub elements: Vec<&'static str>,
}

impl Sample {
    /// Atoms near the points of a skewed grid, the elements in turn.
    fn grid(
        folder: &'static str,
        elements: &[&'static str],
        n: [usize; 3],
        edge: f64,
        periodic: [bool; 3],
    ) -> Self {
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
            model: model(folder),
            model_file: data(&format!("{folder}/nep.txt")),
            active_set: None,
            types,
            elements: elements.to_vec(),
        }
    }

    /// Diamond silicon of `n`³ cubic cells, displaced by up to `rattle` Å, with the model and the
    /// active set of the examples.
    pub fn silicon(n: [usize; 3], rattle: f64, periodic: [bool; 3]) -> Self {
        const EDGE: f64 = 5.431;
        let mut random = Uniform(5);
        let mut positions = Vec::new();
        for i in 0..n[0] {
            for j in 0..n[1] {
                for k in 0..n[2] {
                    for site in DIAMOND {
                        let shift = random.vector(rattle);
                        let cell = [i, j, k];
                        positions.push(std::array::from_fn(|a| {
                            // Off the faces, over which rounding could carry an atom.
                            (cell[a] as f64 + site[a] + 0.06) * EDGE + shift[a]
                        }));
                    }
                }
            }
        }
        let cell = std::array::from_fn(|d| {
            let mut row = [0.0; 3];
            row[d] = n[d] as f64 * EDGE;
            row
        });
        let element = nepal::Element::from_symbol("Si").expect("an element");
        let count = positions.len();
        let cell = Cell::new(cell, periodic).expect("a cell");
        let examples = root().join("examples/data");
        let model_file = examples.join("nep.txt");
        Self {
            model: Arc::new(Model::load(&model_file).expect("the model of the examples")),
            model_file,
            active_set: Some(examples.join("active_set.nas")),
            structure: Structure::new(cell, vec![element; count], positions).expect("a structure"),
            types: vec![1; count],
            elements: vec!["Si"],
        }
    }

    /// Atoms of a model of these elements in a periodic cell.
    pub fn of(folder: &'static str, elements: &[&'static str], n: [usize; 3]) -> Self {
        Self::grid(folder, elements, n, 3.0, [true; 3])
    }

    /// Lead and tellurium, named to LAMMPS in the other order than the model has them.
    pub fn telluride(n: [usize; 3], periodic: [bool; 3]) -> Self {
        Self::grid("pbte_nep_train", &["Te", "Pb"], n, 3.25, periodic)
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
            "units metal\nboundary {boundary}\nbox tilt large\nread_data atoms.data\nmass * 28.0\n"
        )
    }

    /// The pair style of this model, with keywords.
    pub fn pair(&self, keywords: &str) -> String {
        let set = self.active_set.as_ref();
        format!(
            "pair_style nepal {keywords}\npair_coeff * * {} {} {}\n",
            self.model_file.display(),
            set.map_or(String::new(), |path| path.display().to_string()),
            self.elements.join(" ")
        )
    }

    /// A calculator of the reference backend, with the active set.
    pub fn calculator(&self) -> Calculator {
        let mut reference = calculator(&self.model, BackendKind::Reference);
        if let Some(path) = &self.active_set {
            let set = ActiveSet::load(path, &self.model).unwrap_or_else(|e| panic!("{e}"));
            reference
                .set_active_set(Some(Arc::new(set)))
                .expect("a set of this model");
        }
        reference
    }

    /// What the reference backend says.
    pub fn expected(&self) -> Evaluation {
        let mut wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
        wanted.set(Request::GRADES, self.active_set.is_some());
        self.calculator()
            .compute(&self.structure, wanted)
            .unwrap_or_else(|e| panic!("{e}"))
            .clone()
    }
}
