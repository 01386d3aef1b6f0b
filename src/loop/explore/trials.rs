//! Trial moves of Monte Carlo: what they propose, with the same probability there and back.

use super::dynamics::State;
use super::random::gaussian;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::system::cell::strain_vector;
use rand::{Rng, RngExt};

/// Two atoms of unlike elements, each such pair with the same probability; none where there is one element.
pub fn unlike(structure: &Structure, rng: &mut impl Rng) -> Option<(usize, usize)> {
    let elements = &structure.elements;
    let n = elements.len();
    elements.iter().find(|e| **e != elements[0])?;
    loop {
        let (i, j) = (rng.random_range(0..n), rng.random_range(0..n));
        if elements[i] != elements[j] {
            return Some((i, j));
        }
    }
}

/// Refuses swaps where there is nothing to swap.
///
/// **Errors**: [`Error::InvalidArgument`].
pub fn check_swappable(structure: &Structure) -> Result<()> {
    match structure.elements.first() {
        Some(one) if structure.elements.iter().all(|e| e == one) => Err(Error::invalid(format!(
            "swaps need atoms of two elements; the start has {one} alone: set swaps = 0, or start from an alloy"
        ))),
        _ => Ok(()),
    }
}

/// Refuses cell moves where directions are open.
///
/// **Errors**: [`Error::InvalidArgument`].
pub fn check_periodic(structure: &Structure) -> Result<()> {
    match structure.cell.periodic() {
        [true, true, true] => Ok(()),
        open => Err(Error::invalid(format!(
            "moves of the cell need three periodic directions; the cell has {open:?}: set volume = 0 and cell = 0"
        ))),
    }
}

/// The largest strain of a cell move that is accepted often, where none is given.
///
/// **Source**: what the scripts of ACEHAL use: 1 % for 40 atoms at 500 K.
pub fn usual_strain(n_atoms: usize, temperature: f64) -> f64 {
    0.01 * (temperature / 500.0 * 40.0 / n_atoms.max(1) as f64).sqrt()
}

/// Scales cell and positions by exp(S), S uniform within `size` and symmetric, or a multiple of 1 where `isotropic`;
/// gives the change of ln V.
///
/// exp(S) and exp(-S) are as likely, so that the measure that is kept is the one that does not change under strain:
/// dV/V, and dh/V³ for all nine components; with V^N and V^(N-2) (Martyna et al., J. Chem. Phys. 101, 4177 (1994),
/// Eq. 2.9) both come to a weight of V^(N+1).
///
/// **Errors**: as [`nepal::Cell::new`].
pub fn strain(
    structure: &mut Structure,
    size: f64,
    isotropic: bool,
    rng: &mut impl Rng,
) -> Result<f64> {
    let mut draw = || size * (2.0 * rng.random::<f64>() - 1.0);
    let mut s = [[0.0; 3]; 3];
    if isotropic {
        let e = draw();
        (0..3).for_each(|a| s[a][a] = e);
    } else {
        for a in 0..3 {
            for b in a..3 {
                s[a][b] = draw();
                s[b][a] = s[a][b];
            }
        }
    }
    // exp(S) - 1; |S| is below one, so that 20 terms are more than rounding leaves.
    let (mut grown, mut term) = ([[0.0; 3]; 3], s);
    for k in 2..=20 {
        for a in 0..3 {
            for b in 0..3 {
                grown[a][b] += term[a][b];
            }
        }
        let next = term.map(|row| {
            std::array::from_fn(|b| (0..3).map(|c| row[c] * s[c][b]).sum::<f64>() / f64::from(k))
        });
        term = next;
    }
    structure.cell = structure.cell.strained(&grown)?;
    for r in &mut structure.positions {
        *r = strain_vector(*r, &grown);
    }
    Ok(s[0][0] + s[1][1] + s[2][2])
}

/// Whether a trial with this logarithm of its acceptance is taken; never one that is not a number.
pub fn accepts(log: f64, rng: &mut impl Rng) -> bool {
    // Drawn in any case, so that the numbers that follow do not depend on rounding.
    let draw: f64 = rng.random();
    draw.ln() < log
}

/// Exchanges positions and velocities of two atoms, which conserves volume in phase space: with the change of the
/// total energy, kinetic energy included, it is in detailed balance.
pub fn exchange(state: &mut State, (i, j): (usize, usize)) {
    state.structure.positions.swap(i, j);
    state.velocities.swap(i, j);
}

/// A place that is uniform in the cell.
pub fn anywhere(structure: &Structure, rng: &mut impl Rng) -> [f64; 3] {
    let s = std::array::from_fn(|_| rng.random::<f64>());
    structure.cell.cartesian(s)
}

/// A displacement that is normally distributed with this width along each axis.
pub fn shake(r: &mut [f64; 3], width: f64, rng: &mut impl Rng) {
    r.iter_mut().for_each(|x| *x += width * gaussian(rng));
}
