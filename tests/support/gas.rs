//! Structures made on the spot, from a seed.

use nepal::{Cell, Element, Structure};

/// A small deterministic generator of numbers in [0, 1).
pub struct Uniform(pub u64);

impl Uniform {
    pub fn next(&mut self) -> f64 {
        // Constants of Knuth's MMIX generator.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn vector(&mut self, scale: f64) -> [f64; 3] {
        std::array::from_fn(|_| (2.0 * self.next() - 1.0) * scale)
    }
}

/// Atoms of the given elements in turn, near the points of a cubic grid of `edge` Å, in a skewed
/// cell that is periodic as told.
pub fn rattled(elements: &[Element], n: [usize; 3], edge: f64, periodic: [bool; 3]) -> Structure {
    let mut random = Uniform(7);
    let mut positions = Vec::new();
    for i in 0..n[0] {
        for j in 0..n[1] {
            for k in 0..n[2] {
                let shift = random.vector(0.12 * edge);
                positions.push([
                    i as f64 * edge + 0.2 * j as f64 * edge + shift[0],
                    j as f64 * edge + shift[1],
                    k as f64 * edge + 0.1 * i as f64 * edge + shift[2],
                ]);
            }
        }
    }
    let [a, b, c] = n.map(|count| count as f64 * edge);
    let cell = [[a, 0.0, 0.1 * a], [0.2 * b, b, 0.0], [0.0, 0.0, c]];
    let chosen = (0..positions.len())
        .map(|i| elements[i % elements.len()])
        .collect();
    Structure::new(Cell::new(cell, periodic).unwrap(), chosen, positions).unwrap()
}
