//! Charges and dispersion: what atoms have of them, their interaction, and the way back.
//!
//! The energy depends on the positions directly and through charges and C6 of all atoms. The second
//! part goes the way of all gradients: [`Outside::add_gradient`] adds dE/dQ_i dQ_i/dq_i.

use super::{Pair, Setup};
use crate::backend::{Conditions, Dispersion, System};
use crate::error::Result;
use crate::model::{Electrostatics, Network};
use crate::nep::long_range::{
    DISPERSION_SCALE, Interaction, dispersion_mean, root_c6, screened_pair, wave_vectors,
};
use crate::nep::network;
use crate::system::cell::{dot, norm};

/// What comes from outside the short range; all empty for a model without it.
#[derive(Default)]
pub(super) struct Outside {
    /// e, with the right sum.
    pub charges: Vec<f64>,
    /// √C6.
    roots: Vec<f64>,
    energies: Vec<f64>,
    forces: Vec<[f64; 3]>,
    virials: Vec<[f64; 9]>,
    /// dE/dQ of each atom, with all charges shifted so that their sum stays.
    of_charge: Vec<f64>,
    /// dE/d(√C6) of each atom.
    of_root: Vec<f64>,
}

/// Charges, C6 and their interaction.
///
/// **Errors**: those of other processes.
pub(super) fn evaluate(
    setup: &Setup<'_>,
    system: &System<'_>,
    conditions: &Conditions,
) -> Result<Outside> {
    let kind = setup.model.kind();
    let mut out = Outside::default();
    if !kind.is_long_ranged() {
        return Ok(out);
    }
    let n = system.n_local();
    out.energies = vec![0.0; n];
    out.forces = vec![[0.0; 3]; system.n_total()];
    out.virials = vec![[0.0; 9]; system.n_total()];
    let mut gradient = vec![0.0; setup.model.dim()];
    for i in 0..n {
        let t = system.types[i] as usize;
        let net = setup.model.network(t);
        let q = setup.environment(system, i).q;
        if kind.electrostatics().is_some() {
            let charge = network::energy_and_gradient(&net.of_charge(), &q, &mut gradient);
            out.charges.push(charge);
        }
        if kind.has_dispersion() {
            let log = network::energy_and_gradient(&net.of_dispersion(), &q, &mut gradient);
            let free = root_c6(setup.model.elements()[t]);
            out.roots.push(free * (DISPERSION_SCALE * log).exp());
        }
    }
    if let Some(how) = kind.electrostatics() {
        system.neutralize(&mut out.charges, conditions.charge)?;
        let charges = out.charges.clone();
        let mut slopes = vec![0.0; n];
        if how != Electrostatics::RealSpace {
            out.add_reciprocal(setup, system, Interaction::Charges, &charges, &mut slopes)?;
        }
        if how == Electrostatics::Full {
            out.add_own(setup, Interaction::Charges, &charges, &mut slopes);
        }
        if how != Electrostatics::Reciprocal {
            let charges = system.with_ghosts(&charges)?;
            out.add_pairs(setup, system, how, &charges, &mut slopes);
        }
        // A change of one charge is taken from all: only the deviation from the mean acts.
        system.neutralize(&mut slopes, 0.0)?;
        out.of_charge = slopes;
    }
    if kind.has_dispersion() {
        let roots = out.roots.clone();
        let mut slopes = vec![0.0; n];
        out.add_reciprocal(setup, system, Interaction::Dispersion, &roots, &mut slopes)?;
        if conditions.dispersion == Dispersion::Complete {
            out.add_mean(setup, system, &roots, &mut slopes)?;
            out.add_own(setup, Interaction::Dispersion, &roots, &mut slopes);
        }
        out.of_root = slopes;
    }
    Ok(out)
}

impl Outside {
    /// Σ_k G |S|² term by term, with its derivatives; `slopes` gets dE/dc.
    fn add_reciprocal(
        &mut self,
        setup: &Setup<'_>,
        system: &System<'_>,
        what: Interaction,
        strengths: &[f64],
        slopes: &mut [f64],
    ) -> Result<()> {
        let alpha = setup.model.header().screening();
        let cell = system.repeating_cell();
        let waves = wave_vectors(cell, alpha);
        let phases = |k: [f64; 3]| -> Vec<(f64, f64)> {
            let locals = &system.positions[..system.n_local()];
            locals.iter().map(|&r| dot(k, r).sin_cos()).collect()
        };
        let mut factors = Vec::with_capacity(2 * waves.len());
        for &(_, k) in &waves {
            let (mut re, mut im) = (0.0, 0.0);
            for (c, (sin, cos)) in strengths.iter().zip(phases(k)) {
                re += c * cos;
                im -= c * sin;
            }
            factors.extend([re, im]);
        }
        let factors = system.sum(factors)?;
        for ((_, k), s) in waves.into_iter().zip(factors.chunks_exact(2)) {
            let (g, h) = what.weights(dot(k, k), alpha, cell.volume());
            let (re, im) = (s[0], s[1]);
            for (i, (&c, (sin, cos))) in strengths.iter().zip(phases(k)).enumerate() {
                // Real and imaginary part of S exp(i k·r_i).
                let (p, m) = (re * cos - im * sin, re * sin + im * cos);
                self.energies[i] += c * g * p;
                slopes[i] += 2.0 * g * p;
                for a in 0..3 {
                    self.forces[i][a] += 2.0 * c * g * k[a] * m;
                    self.virials[i][4 * a] += c * g * p;
                    for b in 0..3 {
                        self.virials[i][3 * a + b] -= c * h * p * k[a] * k[b];
                    }
                }
            }
        }
        Ok(())
    }

    /// The term k = 0 of dispersion.
    fn add_mean(
        &mut self,
        setup: &Setup<'_>,
        system: &System<'_>,
        roots: &[f64],
        slopes: &mut [f64],
    ) -> Result<()> {
        let alpha = setup.model.header().screening();
        let sum = system.sum(vec![roots.iter().sum()])?[0];
        let potential = dispersion_mean(alpha, system.repeating_cell().volume()) * sum;
        for (i, &c) in roots.iter().enumerate() {
            self.energies[i] += c * potential;
            slopes[i] += 2.0 * potential;
            for a in 0..3 {
                self.virials[i][4 * a] += c * potential;
            }
        }
        Ok(())
    }

    /// Takes off what each atom has with itself.
    fn add_own(
        &mut self,
        setup: &Setup<'_>,
        what: Interaction,
        strengths: &[f64],
        slopes: &mut [f64],
    ) {
        let factor = what.own(setup.model.header().screening());
        for (i, &c) in strengths.iter().enumerate() {
            self.energies[i] += factor * c * c;
            slopes[i] += 2.0 * factor * c;
        }
    }

    /// Screened charges in real space, half of each pair to each atom.
    fn add_pairs(
        &mut self,
        setup: &Setup<'_>,
        system: &System<'_>,
        how: Electrostatics,
        charges: &[f64],
        slopes: &mut [f64],
    ) {
        let header = setup.model.header();
        let cutoff = header.pair_cutoff(0, 0)[0];
        for i in 0..system.n_local() {
            for (j, vector) in system.neighbors.vectors(i, system.cell, system.positions) {
                let r = norm(vector);
                if r >= cutoff {
                    continue;
                }
                let (phi, dphi) = screened_pair(r, header.screening(), cutoff, how);
                self.energies[i] += 0.5 * charges[i] * charges[j] * phi;
                slopes[i] += charges[j] * phi;
                let f = vector.map(|x| 0.5 * charges[i] * charges[j] * dphi * x / r);
                super::add_pair(i, &(j, vector, f), &mut self.forces, &mut self.virials);
            }
        }
    }

    /// Adds what the charge and the C6 of atom `i` owe to its descriptor to the gradient of the energy.
    pub(super) fn add_gradient(
        &self,
        net: &Network<'_>,
        i: usize,
        q: &[f64],
        gradient: &mut [f64],
    ) {
        let mut add = |net: Network<'_>, factor: f64| {
            let mut own = vec![0.0; q.len()];
            network::energy_and_gradient(&net, q, &mut own);
            for (to, g) in gradient.iter_mut().zip(own) {
                *to += factor * g;
            }
        };
        if let Some(slope) = self.of_charge.get(i) {
            add(net.of_charge(), *slope);
        }
        if let Some(slope) = self.of_root.get(i) {
            add(
                net.of_dispersion(),
                DISPERSION_SCALE * self.roots[i] * slope,
            );
        }
    }

    /// Adds energies, forces and virials to those of the short range.
    pub(super) fn add(
        &self,
        energies: &mut [f64],
        forces: &mut [[f64; 3]],
        virials: &mut [[f64; 9]],
    ) {
        for (to, e) in energies.iter_mut().zip(&self.energies) {
            *to += e;
        }
        for (to, f) in forces
            .as_flattened_mut()
            .iter_mut()
            .zip(self.forces.as_flattened())
        {
            *to += f;
        }
        for (to, w) in virials
            .as_flattened_mut()
            .iter_mut()
            .zip(self.virials.as_flattened())
        {
            *to += w;
        }
    }
}

/// Born charges: √ε∞ times the derivative of Σ Q r with respect to an atom's position.
pub(super) fn born_charges(
    setup: &Setup<'_>,
    system: &System<'_>,
    charges: &[f64],
) -> Vec<[f64; 9]> {
    let mut born = vec![[0.0; 9]; system.n_total()];
    let mut gradient = vec![0.0; setup.model.dim()];
    for (i, &charge) in charges.iter().enumerate() {
        let env = setup.environment(system, i);
        let net = setup.model.network(system.types[i] as usize).of_charge();
        network::energy_and_gradient(&net, &env.q, &mut gradient);
        let pairs: Vec<Pair> = setup.partial_forces(&env, &gradient);
        for (j, r, h) in pairs {
            for c in 0..9 {
                let half = 0.5 * r[c / 3] * h[c % 3];
                born[i][c] += half;
                born[j][c] -= half;
            }
        }
        for c in [0, 4, 8] {
            born[i][c] += charge;
        }
    }
    let factor = setup.model.dielectric().unwrap_or(1.0);
    born.as_flattened_mut()
        .iter_mut()
        .for_each(|z| *z *= factor);
    born
}
