//! LAMMPS data files (`atom_style atomic` and `full`) and text dumps, as far as `tests/data` has them.

use super::read_text;
use nepal::{Cell, Element, Structure};

/// The atoms of a data file, all as one element, ordered by id.
pub fn data_file(name: &str, element: &str) -> Structure {
    let text = read_text(name);
    let mut low = [0.0; 3];
    let mut edges = [[0.0; 3]; 3];
    let mut atoms: Vec<(usize, [f64; 3])> = Vec::new();
    let mut in_atoms = false;
    let mut full = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| -> f64 { words[index].parse().unwrap() };
        if in_atoms {
            if words.is_empty() {
                continue;
            }
            let skip = if full { 4 } else { 2 };
            let r = [number(skip), number(skip + 1), number(skip + 2)];
            atoms.push((words[0].parse().unwrap(), r));
        } else if line.starts_with("Atoms") {
            in_atoms = true;
            full = line.contains("full");
        } else if line.ends_with("xhi") || line.ends_with("yhi") || line.ends_with("zhi") {
            let d = usize::from(line.ends_with("yhi")) + 2 * usize::from(line.ends_with("zhi"));
            low[d] = number(0);
            edges[d][d] = number(1) - number(0);
        } else if line.ends_with("xy xz yz") {
            edges[1][0] = number(0);
            edges[2][0] = number(1);
            edges[2][1] = number(2);
        }
    }
    atoms.sort_unstable_by_key(|atom| atom.0);
    let element = Element::from_symbol(element).unwrap();
    // The origin of the box does not matter to a periodic structure.
    Structure::new(
        Cell::new(edges, [true; 3]).unwrap(),
        vec![element; atoms.len()],
        atoms.into_iter().map(|atom| atom.1).collect(),
    )
    .unwrap()
}

/// The last three columns of the first step of a text dump, ordered by id.
pub fn dump_forces(name: &str) -> Vec<[f64; 3]> {
    let text = read_text(name);
    let mut forces: Vec<(usize, [f64; 3])> = text
        .lines()
        .skip_while(|line| !line.starts_with("ITEM: ATOMS id type x y z fx fy fz"))
        .skip(1)
        .take_while(|line| !line.starts_with("ITEM:"))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let f = std::array::from_fn(|a| words[5 + a].parse().unwrap());
            (words[0].parse().unwrap(), f)
        })
        .collect();
    forces.sort_unstable_by_key(|row| row.0);
    forces.into_iter().map(|row| row.1).collect()
}
