//! Dipoles and polarizabilities: sums over pairs, each attributed to the neighbour.
//!
//! **Source**: Xu et al., J. Chem. Theory Comput. 20, 3273 (2024): μ = -Σ r_ij² f_ij and
//! α = -Σ r_ij ⊗ f_ij + I Σ U_i of the scalar networks, f_ij from the network of the tensor.

use super::{Environment, Setup};
use crate::backend::{Evaluation, System};
use crate::nep::network;
use crate::system::cell::dot;

/// Adds what the pairs of atom `i` and its own scalar network give, whole and per atom.
pub(super) fn add(
    setup: &Setup<'_>,
    system: &System<'_>,
    i: usize,
    env: &Environment,
    out: &mut Evaluation,
) {
    let t = system.types[i] as usize;
    let mut gradient = vec![0.0; env.q.len()];
    network::energy_and_gradient(&setup.model.network(t), &env.q, &mut gradient);
    let pairs = setup.partial_forces(env, &gradient);
    let Some(scalar) = setup.model.scalar_network(t) else {
        out.dipoles.resize(system.n_total(), [0.0; 3]);
        for (j, r, f) in pairs {
            for a in 0..3 {
                let share = -dot(r, r) * f[a];
                out.dipoles[j][a] += share;
                out.dipole[a] += share;
            }
        }
        return;
    };
    out.polarizabilities.resize(system.n_total(), [0.0; 9]);
    for (j, r, f) in pairs {
        for c in 0..9 {
            let share = -r[c / 3] * f[c % 3];
            out.polarizabilities[j][c] += share;
            out.polarizability[c] += share;
        }
    }
    let own = network::energy_and_gradient(&scalar, &env.q, &mut gradient);
    for c in [0, 4, 8] {
        out.polarizabilities[i][c] += own;
        out.polarizability[c] += own;
    }
}
