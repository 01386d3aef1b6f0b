//! The reference backend: plain f64, one thread, written to be read.
//!
//! Every other backend is tested against it, and it against data of other programs.

mod long_range;
mod tensor;

use super::{Backend, Conditions, Contraction, Evaluation, Request, System};
use crate::error::{Error, Result};
use crate::model::{Kind, Model, Network};
use crate::nep::zbl::ZblPair;
use crate::nep::{angular, invariants::Invariants, network, radial};
use crate::system::cell::{dot, norm};

/// The reference backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference {
    conditions: Conditions,
}

/// What the formulas need to know about a model.
struct Setup<'a> {
    model: &'a Model,
    invariants: Invariants,
    l_max: usize,
    /// K; an input of some models.
    temperature: f64,
}

/// r_ij and the partial force f_ij on the neighbour j.
type Pair = (usize, [f64; 3], [f64; 3]);

/// A neighbour inside the radial or the angular cutoff, with its radial functions g_n and g_n'.
struct Bond {
    j: usize,
    r: f64,
    unit: [f64; 3],
    g: Vec<f64>,
    dg: Vec<f64>,
}

/// The environment of one atom.
struct Environment {
    radial: Vec<Bond>,
    angular: Vec<Bond>,
    /// Angular sums s_nlm. Shape `[n_max + 1][count(l_max)]`.
    sums: Vec<f64>,
    /// Scaled descriptor.
    q: Vec<f64>,
}

impl<'a> Setup<'a> {
    fn new(model: &'a Model, temperature: f64) -> Self {
        Self {
            model,
            invariants: Invariants::new(model.header()),
            l_max: model.header().l_max,
            temperature,
        }
    }

    /// Bonds of atom `i` in the radial (0) or angular (1) part.
    fn bonds(&self, system: &System<'_>, i: usize, part: usize) -> Vec<Bond> {
        let layout = self.model.layout();
        let n_basis = layout.n_basis[part];
        let ti = system.types[i] as usize;
        let (mut f, mut df) = (vec![0.0; n_basis], vec![0.0; n_basis]);
        let mut bonds = Vec::new();
        for (j, vector) in system.neighbors.vectors(i, system.cell, system.positions) {
            let tj = system.types[j] as usize;
            let cutoff = self.model.header().pair_cutoff(ti, tj)[part];
            let r = norm(vector);
            if r >= cutoff {
                continue;
            }
            radial::basis(r, cutoff, &mut f, &mut df);
            let c = self.model.coefficients(part, ti, tj);
            let sum = |basis: &[f64]| -> Vec<f64> {
                c.chunks_exact(n_basis)
                    .map(|row| row.iter().zip(basis).map(|(c, f)| c * f).sum())
                    .collect()
            };
            bonds.push(Bond {
                j,
                r,
                unit: vector.map(|x| x / r),
                g: sum(&f),
                dg: sum(&df),
            });
        }
        bonds
    }

    fn environment(&self, system: &System<'_>, i: usize) -> Environment {
        let layout = self.model.layout();
        let [n_radial, n_angular] = layout.n_radial;
        let n_lm = angular::count(self.l_max);
        let radial = self.bonds(system, i, 0);
        let angular = self.bonds(system, i, 1);
        let mut q = vec![0.0; layout.dim];
        for bond in &radial {
            for n in 0..n_radial {
                q[n] += bond.g[n];
            }
        }
        let mut sums = vec![0.0; n_angular * n_lm];
        let mut s = vec![0.0; n_lm];
        for bond in &angular {
            angular::functions(bond.unit, self.l_max, &mut s);
            for n in 0..n_angular {
                for lm in 0..n_lm {
                    sums[n * n_lm + lm] += bond.g[n] * s[lm];
                }
            }
        }
        for block in 0..self.invariants.len() {
            for n in 0..n_angular {
                q[n_radial + block * n_angular + n] =
                    self.invariants.value(block, &sums[n * n_lm..][..n_lm]);
            }
        }
        if self.model.kind() == Kind::Temperature {
            q[layout.dim - 1] = self.temperature;
        }
        for (q, scale) in q.iter_mut().zip(self.model.q_scaler()) {
            *q *= scale;
        }
        Environment {
            radial,
            angular,
            sums,
            q,
        }
    }

    /// Partial forces f_ij = ∂U_i/∂r_ij of all bonds, given dU_i/d(scaled q).
    fn partial_forces(&self, env: &Environment, du_dq: &[f64]) -> Vec<Pair> {
        let layout = self.model.layout();
        let [n_radial, n_angular] = layout.n_radial;
        let n_lm = angular::count(self.l_max);
        let fp: Vec<f64> = du_dq
            .iter()
            .zip(self.model.q_scaler())
            .map(|(g, scale)| g * scale)
            .collect();
        let mut forces = Vec::with_capacity(env.radial.len() + env.angular.len());
        for bond in &env.radial {
            let slope: f64 = (0..n_radial).map(|n| fp[n] * bond.dg[n]).sum();
            forces.push((bond.j, bond.vector(), bond.unit.map(|u| slope * u)));
        }
        // D = ∂U_i/∂s
        let mut d = vec![0.0; n_angular * n_lm];
        for block in 0..self.invariants.len() {
            for n in 0..n_angular {
                self.invariants.add_gradient(
                    block,
                    &env.sums[n * n_lm..][..n_lm],
                    fp[n_radial + block * n_angular + n],
                    &mut d[n * n_lm..][..n_lm],
                );
            }
        }
        let mut s = vec![0.0; n_lm];
        let mut ds = vec![[0.0; 3]; n_lm];
        for bond in &env.angular {
            angular::functions_and_gradients(bond.unit, self.l_max, &mut s, &mut ds);
            let mut f = [0.0; 3];
            for n in 0..n_angular {
                for lm in 0..n_lm {
                    let d = d[n * n_lm + lm];
                    let along = dot(bond.unit, ds[lm]);
                    for a in 0..3 {
                        f[a] += d
                            * (bond.dg[n] * s[lm] * bond.unit[a]
                                + bond.g[n] / bond.r * (ds[lm][a] - bond.unit[a] * along));
                    }
                }
            }
            forces.push((bond.j, bond.vector(), f));
        }
        forces
    }

    /// What grades are made of, as far as it is asked for.
    fn write_features(
        &self,
        net: &Network<'_>,
        env: &Environment,
        request: Request,
        out: &mut Evaluation,
    ) {
        if request.contains(Request::PROJECTIONS) {
            let start = out.projections.len();
            out.projections
                .resize(start + self.model.layout().projection_len(), 0.0);
            network::projection(net, &env.q, &mut out.projections[start..]);
        }
        if request.contains(Request::DESCRIPTORS) {
            out.descriptors.extend_from_slice(&env.q);
        }
        if request.contains(Request::NEURONS) {
            out.neurons.extend(network::hidden(net, &env.q));
        }
    }

    /// Half of the repulsion of each pair in the angular neighbour list: energy of atom `i`, and
    /// its partial forces.
    fn repulsion(&self, system: &System<'_>, i: usize, env: &Environment) -> (f64, Vec<Pair>) {
        let mut energy = 0.0;
        let mut forces = Vec::new();
        if self.model.header().zbl.is_none() {
            return (energy, forces);
        }
        let ti = system.types[i] as usize;
        for bond in &env.angular {
            let tj = system.types[bond.j] as usize;
            if let Some(pair) = ZblPair::new(self.model.header(), ti, tj) {
                let (e, de) = pair.energy(bond.r);
                energy += 0.5 * e;
                forces.push((bond.j, bond.vector(), bond.unit.map(|u| 0.5 * de * u)));
            }
        }
        (energy, forces)
    }
}

impl Bond {
    fn vector(&self) -> [f64; 3] {
        self.unit.map(|u| u * self.r)
    }
}

/// Adds the pair (i, j): F_i += f_ij, F_j -= f_ij, W_j -= r_ij ⊗ f_ij.
fn add_pair(i: usize, (j, r, f): &Pair, forces: &mut [[f64; 3]], virials: &mut [[f64; 9]]) {
    for a in 0..3 {
        forces[i][a] += f[a];
        forces[*j][a] -= f[a];
        for b in 0..3 {
            virials[*j][3 * a + b] -= r[a] * f[b];
        }
    }
}

fn total(virials: &[[f64; 9]]) -> [f64; 9] {
    std::array::from_fn(|c| virials.iter().map(|w| w[c]).sum())
}

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        super::check_request(model, request)?;
        system.validate(model)?;
        let whole = !request.contains(Request::WITHOUT_ENERGIES);
        if whole {
            super::check_long_range(model, system.repeating_cell(), system.has_strangers())?;
        }
        let setup = Setup::new(model, self.conditions.check(model)?);
        *out = Evaluation::default();
        let mut forces = vec![[0.0; 3]; system.n_total()];
        let mut virials = vec![[0.0; 9]; system.n_total()];
        let outside = match whole {
            true => long_range::evaluate(&setup, system, &self.conditions)?,
            false => long_range::Outside::default(),
        };
        let mut gradient = vec![0.0; model.dim()];
        for i in 0..system.n_local() {
            let env = setup.environment(system, i);
            let net = model.network(system.types[i] as usize);
            setup.write_features(&net, &env, request, out);
            if model.kind().is_tensor() {
                tensor::add(&setup, system, i, &env, out);
                continue;
            }
            let own = network::energy_and_gradient(&net, &env.q, &mut gradient);
            outside.add_gradient(&net, i, &env.q, &mut gradient);
            let (repulsion, mut pairs) = setup.repulsion(system, i, &env);
            pairs.extend(setup.partial_forces(&env, &gradient));
            for pair in &pairs {
                add_pair(i, pair, &mut forces, &mut virials);
            }
            out.energies.push(own + repulsion);
        }
        outside.add(&mut out.energies, &mut forces, &mut virials);
        out.energy = out.energies.iter().sum();
        if request.contains(Request::VIRIAL) {
            out.virial = total(&virials);
        }
        if request.contains(Request::VIRIALS) {
            out.virials = virials;
        }
        if request.contains(Request::FORCES) {
            out.forces = forces;
        }
        if request.contains(Request::BORN_CHARGES) {
            out.born_charges = long_range::born_charges(&setup, system, &outside.charges);
        }
        if request.contains(Request::CHARGES) {
            out.charges = outside.charges;
        }
        Ok(())
    }

    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        system.validate(model)?;
        let dim = model.dim();
        if gradient.len() != dim * system.n_local() {
            return Err(Error::Internal("the gradient has a wrong length".into()));
        }
        // The gradient with respect to the temperature is not asked for.
        let setup = Setup::new(model, 0.0);
        let mut virials = vec![[0.0; 9]; system.n_total()];
        out.forces = vec![[0.0; 3]; system.n_total()];
        for (i, row) in gradient.chunks_exact(dim).enumerate() {
            let env = setup.environment(system, i);
            for pair in &setup.partial_forces(&env, row) {
                add_pair(i, pair, &mut out.forces, &mut virials);
            }
        }
        out.virial = total(&virials);
        Ok(())
    }
}
