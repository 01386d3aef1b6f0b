//! What a force step has to do at least, an atom: operations of the formulas, bytes to and from
//! device memory.
//!
//! Operations count additions, multiplications, divisions and roots as one each, a multiply-add as
//! two, sine and cosine together as 24, tanh as 20. Each pair is counted once for the descriptor and
//! once for the force, as the formulas need it; that the angular functions are computed again for
//! every few radial functions, to keep sums in registers, is ours to lose. Bytes count what no cache
//! can keep from one pass to the next on a system larger than it: places, lists, partial forces,
//! slopes; a neighbour's place is read from memory once.

use super::systems::System;
use nepal::NeighborList;

/// Operations and bytes of an atom and step, and the neighbours that they follow from.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    pub neighbors: [f64; 2],
    pub operations: f64,
    pub bytes: f64,
}

pub fn of(system: &System) -> Floor {
    let model = &system.model;
    let (header, layout) = (model.header(), model.layout());
    let structure = system.crystal(500);
    let types = system.types(&structure);
    let list = NeighborList::build(&structure.cell, &structure.positions, model.cutoff())
        .expect("a crystal");
    let mut neighbors = [0.0; 2];
    for i in 0..structure.len() {
        for (j, r) in list.vectors(i, &structure.cell, &structure.positions) {
            let length = r.iter().map(|x| x * x).sum::<f64>().sqrt();
            let cutoffs = header.pair_cutoff(types[i] as usize, types[j] as usize);
            for (count, cutoff) in neighbors.iter_mut().zip(cutoffs) {
                *count += f64::from(u8::from(length < cutoff)) / structure.len() as f64;
            }
        }
    }
    let [k_r, k_a] = layout.n_basis.map(|n| n as f64);
    let [n_r, n_a] = layout.n_radial.map(|n| n as f64);
    let lm = (header.l_max * (header.l_max + 2)) as f64;
    let (dim, n1) = (layout.dim as f64, header.neurons[0] as f64);
    // Vector, length, direction.
    let pair = 14.0;
    // Basis: cutoff function, then a multiply-add and the Chebyshev step for each.
    let basis = |k: f64| 30.0 + 4.0 * k;
    let slopes = |k: f64| 34.0 + 11.0 * k;
    let radial = 2.0 * pair + basis(k_r) + k_r + slopes(k_r) + 4.0 * k_r + 12.0;
    let angular = 2.0 * pair
        + basis(k_a)
        + 2.0 * n_a * k_a
        + 4.0 * lm
        + 2.0 * n_a * lm
        + slopes(k_a)
        + 4.0 * n_a * k_a
        + 4.0 * n_a * lm
        + 12.0 * lm
        + 30.0;
    let contraction = 4.0 * n_r * k_r * header.n_types().min(2) as f64;
    let invariants = n_a * 8.0 * lm;
    let network = n1 * (4.0 * dim + 24.0);
    let operations =
        neighbors[0] * radial + neighbors[1] * angular + contraction + invariants + network;
    // f32 work: 4 bytes a number. Places written and read in three passes, 32 bytes; positions 24,
    // forces 24, energy 8.
    let present = match system.name {
        "UNEP-v1" => 16.0,
        "PbTe" => 2.0,
        _ => 1.0,
    };
    let slope = 2.0 * 4.0 * present * (k_r / 4.0).ceil() * 4.0;
    let bytes = 24.0
        + 4.0 * 32.0
        + neighbors[0] * 2.0 * 4.0
        + neighbors[1] * (3.0 * 4.0 + 2.0 * 16.0)
        + slope
        + 24.0
        + 8.0;
    Floor {
        neighbors,
        operations,
        bytes,
    }
}
