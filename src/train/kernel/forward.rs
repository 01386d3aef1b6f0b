//! Energies, forces and virials of a chunk, with what the tangent pass needs again.

pub(super) mod forces;

use super::chunk::{Chunk, Geometry, Row, Shape};
use super::lanes::{LANES, Lanes, Load};
use super::{Buffers, Parameters, by_tile};
use forces::{Sink, Sum, angular_forces, radial_forces};
pub(super) use forces::{polynomial, powers};
use nepal::model::{Kind, Network};
use nepal::nep::scalar::Scalar;

/// `out[n] = Σ_row c[row][n] a[row]` for `W` values of n from `first`, at each of `width` columns.
#[inline(always)]
pub(super) fn contract<const F: bool, const W: usize, A: Load<F>>(
    c: &[f64],
    n: usize,
    first: usize,
    a: &[A],
    width: usize,
    out: &mut [Lanes<F>],
) {
    let out = &mut out[first * width..][..W * width];
    for column in 0..width {
        let mut sum = [Lanes::ZERO; W];
        for (row, c) in c.chunks_exact(n).enumerate() {
            let a = a[row * width + column].load();
            let c = &c[first..first + W];
            for w in 0..W {
                sum[w] = sum[w].add_scaled(a, c[w]);
            }
        }
        for w in 0..W {
            out[w * width + column] = sum[w];
        }
    }
}

/// `out[row] = Σ_d c[row][d] x[d]` for `W` rows from `first`.
#[inline(always)]
pub(super) fn rows_times<const F: bool, const W: usize>(
    c: &[f64],
    first: usize,
    x: &[Lanes<F>],
    out: &mut [Lanes<F>],
) {
    let n = x.len();
    let c = &c[first * n..][..W * n];
    let mut sum = [Lanes::ZERO; W];
    for (d, &x) in x.iter().enumerate() {
        for w in 0..W {
            sum[w] = sum[w].add_scaled(x, c[w * n + d]);
        }
    }
    out[first..first + W].copy_from_slice(&sum);
}

/// Coefficients that a centre type sees: `[local type][k][n]`, both parts.
pub(super) fn local_coefficients(
    shape: &Shape,
    parameters: &Parameters<'_>,
    chunk: &Chunk,
    center: usize,
) -> [Vec<f64>; 2] {
    std::array::from_fn(|part| {
        let len = shape.k[part] * shape.n[part];
        let mut all = Vec::with_capacity(chunk.types.len() * len);
        for &other in &chunk.types {
            let start = (center * shape.n_types + other) * len;
            all.extend_from_slice(&parameters.coefficients[part][start..start + len]);
        }
        all
    })
}

/// Runs the forward pass.
#[inline(always)]
pub(super) fn run<const F: bool>(
    shape: &Shape,
    parameters: &Parameters<'_>,
    chunk: &Chunk,
    geometry: &Geometry,
    buffers: &mut Buffers<F>,
) {
    buffers.prepare(shape, chunk);
    let [n_radial, n_angular] = shape.n;
    let lm = shape.lm;
    let n_local = chunk.types.len();
    let mut coefficients = [Vec::new(), Vec::new()];
    let mut last = usize::MAX;
    let Buffers {
        blocks,
        force,
        energy,
        virial,
        scratch,
        fields,
        charge: charges,
        born,
        ..
    } = buffers;
    let dipole = shape.kind == Kind::Dipole;
    // Charges know their potential when all are summed: two passes over the blocks. Others stay in the cache for their forces.
    let two = !chunk.long_range.is_empty();
    for pass in 0..1 + usize::from(two) {
        for (b, &center) in chunk.blocks.iter().enumerate() {
            if center != last {
                coefficients = local_coefficients(shape, parameters, chunk, center);
                last = center;
            }
            let state = &mut blocks[b];
            if pass == 0 {
                let radial = &geometry.radial[b * n_local * shape.k[0]..][..n_local * shape.k[0]];
                let width = n_local * shape.k[1] * lm;
                let angular = &geometry.angular[b * width..][..width];
                by_tile!(n_radial, first, W => contract::<F, W, Row>(&coefficients[0], n_radial, first, radial, 1, &mut state.x));
                by_tile!(n_angular, first, W => contract::<F, W, Row>(&coefficients[1], n_angular, first, angular, lm, &mut state.s));
                for block in 0..shape.invariants.len() {
                    for n in 0..n_angular {
                        state.x[n_radial + block * n_angular + n] =
                            shape.invariants.value(block, &state.s[n * lm..][..lm]);
                    }
                }
                if shape.kind == Kind::Temperature {
                    let of = |lane| chunk.temperature[chunk.structure[b * LANES + lane] as usize];
                    state.x[shape.dim - 1] = Lanes(std::array::from_fn(of));
                }
                for (x, &scale) in state.x.iter_mut().zip(parameters.q_scaler) {
                    *x = x.scale(scale);
                }
                let add = |u: Lanes<F>, into: &mut dyn FnMut(usize, f64)| {
                    for (lane, u) in u.0.into_iter().enumerate() {
                        if chunk.atom[b * LANES + lane].is_some() {
                            into(chunk.structure[b * LANES + lane] as usize, u);
                        }
                    }
                };
                let wide = (&mut scratch.a[..], &mut scratch.b[..]);
                let net = parameters.network(center);
                let u = network(shape, &net, &state.x, &mut state.t, &mut state.fp, wide);
                if let Some(net) = parameters.scalar(center) {
                    let wide = (&mut scratch.a[..], &mut scratch.b[..]);
                    let (x, t) = (&state.x, &mut state.scalar_t);
                    let u = network(shape, &net, x, t, &mut scratch.more, wide);
                    add(u, &mut |s, u| (0..3).for_each(|c| virial[s][c] += u));
                } else if !dipole {
                    add(u, &mut |s, u| energy[s] += u);
                }
                let further = [net.charge, net.dispersion];
                for head in 0..chunk.long_range.len() {
                    let (t, fp) = (&state.t[0], &mut state.fp_heads[head]);
                    let own = output(shape, net.w0, further[head], t, fp, &mut scratch.a);
                    let atoms = &chunk.atom[b * LANES..][..LANES];
                    add_slots(own, atoms, &mut fields[head].strength[b * LANES..]);
                }
                let [first, second] = &mut state.fp_heads;
                for fp in [&mut state.fp, first, second] {
                    for (fp, &scale) in fp.iter_mut().zip(parameters.q_scaler) {
                        *fp = fp.scale(scale);
                    }
                }
            }
            if two && pass == 0 {
                continue;
            }
            for (field, own) in fields
                .iter()
                .zip(&state.fp_heads)
                .take(chunk.long_range.len())
            {
                let potential = Lanes(std::array::from_fn(|l| field.potential[b * LANES + l]));
                for (fp, &own) in state.fp.iter_mut().zip(own) {
                    *fp = fp.add_product(own, potential);
                }
            }
            let sweeps = if born.is_empty() { 1 } else { 2 };
            let mut sink = Sink {
                kind: if dipole { Sum::Dipole } else { Sum::Virial },
                force: &mut *force,
                born: &mut *born,
                own: [Lanes::ZERO; 3],
                w: [Lanes::ZERO; 9],
            };
            for sweep in 0..sweeps {
                let (fp, d) = match sweep {
                    0 => (&state.fp, &mut state.d),
                    _ => (&state.fp_heads[0], &mut state.d_charge),
                };
                d.fill(Lanes::ZERO);
                for block in 0..shape.invariants.len() {
                    for n in 0..n_angular {
                        shape.invariants.add_gradient(
                            block,
                            &state.s[n * lm..][..lm],
                            fp[n_radial + block * n_angular + n],
                            &mut d[n * lm..][..lm],
                        );
                    }
                }
                for local in 0..n_local {
                    let at = b * n_local + local;
                    let (len, bonds) = (shape.k[0] * n_radial, &geometry.bonds[0]);
                    let c = &coefficients[0][local * len..][..len];
                    radial_forces(c, n_radial, fp, bonds, bonds.ranges[at], &mut sink);
                    let (len, bonds) = (shape.k[1] * n_angular, &geometry.bonds[1]);
                    let c = &coefficients[1][local * len..][..len];
                    let range = bonds.ranges[at];
                    if shape.l_max == 4 {
                        angular_forces::<F, 4>(shape, c, d, bonds, range, &mut sink, scratch);
                    } else {
                        angular_forces::<F, 0>(shape, c, d, bonds, range, &mut sink, scratch);
                    }
                }
                sink.finish(b, chunk, virial);
            }
            for (lane, born) in born.iter_mut().skip(b * LANES).take(LANES).enumerate() {
                for c in [0, 4, 8] {
                    born[c] += fields[0].strength[b * LANES + lane];
                }
            }
        }
        if pass == 0 {
            for (long_range, field) in chunk.long_range.iter().zip(&mut *fields) {
                charges.extend(long_range.evaluate(field, energy, force, virial));
            }
        }
        last = usize::MAX;
    }
}

/// Puts a number of each atom of a block where its slot is.
#[inline(always)]
fn add_slots<const F: bool>(values: Lanes<F>, atoms: &[Option<u32>], out: &mut [f64]) {
    for ((out, x), atom) in out.iter_mut().zip(values.0).zip(atoms) {
        if atom.is_some() {
            *out = x;
        }
    }
}

/// A further output of a network for the atoms of a block, of weights `w1`, from the activations; leaves its
/// derivative by x in `fp`.
#[inline(always)]
fn output<const F: bool>(
    shape: &Shape,
    w0: &[f64],
    w1: &[f64],
    t1: &[Lanes<F>],
    fp: &mut [Lanes<F>],
    back: &mut [Lanes<F>],
) -> Lanes<F> {
    let (dim, n1) = (shape.dim, shape.neurons[0]);
    let mut sum = Lanes::ZERO;
    let back = &mut back[..n1];
    for ((&t, back), &w) in t1.iter().zip(back.iter_mut()).zip(w1) {
        sum = sum.add_scaled(t, w);
        *back = (Lanes::splat(1.0) - t * t).scale(w);
    }
    by_tile!(dim, first, W => contract::<F, W, Lanes<F>>(w0, dim, first, back, 1, fp));
    sum
}

/// Output of a network for the atoms of a block; leaves the activations in `t` and dU/dx in `fp`.
#[inline(always)]
fn network<const F: bool>(
    shape: &Shape,
    net: &Network<'_>,
    x: &[Lanes<F>],
    [t1, t2]: &mut [Vec<Lanes<F>>; 2],
    fp: &mut [Lanes<F>],
    (back, slope): (&mut [Lanes<F>], &mut [Lanes<F>]),
) -> Lanes<F> {
    let [n1, n2] = shape.neurons;
    let one = Lanes::splat(1.0);
    let mut energy = Lanes::splat(-net.bias);
    by_tile!(n1, first, W => rows_times::<F, W>(net.w0, first, x, t1));
    for (t, &b) in t1.iter_mut().zip(net.b0) {
        *t = (*t - Lanes::splat(b)).tanh();
    }
    let back = &mut back[..n1];
    if n2 == 0 {
        for ((&t, back), &w) in t1.iter().zip(back.iter_mut()).zip(net.w1) {
            energy = energy.add_scaled(t, w);
            *back = (one - t * t).scale(w);
        }
    } else {
        by_tile!(n2, first, W => rows_times::<F, W>(net.w1, first, t1, t2));
        let slope = &mut slope[..n2];
        let rows = t2.iter_mut().zip(slope.iter_mut());
        for ((t, slope), (&b, &w)) in rows.zip(net.b1.iter().zip(net.w2)) {
            *t = (*t - Lanes::splat(b)).tanh();
            energy = energy.add_scaled(*t, w);
            *slope = (one - *t * *t).scale(w);
        }
        by_tile!(n1, first, W => contract::<F, W, Lanes<F>>(net.w1, n1, first, slope, 1, back));
        for (back, &t) in back.iter_mut().zip(t1.iter()) {
            *back = *back * (one - t * t);
        }
    }
    let dim = shape.dim;
    by_tile!(dim, first, W => contract::<F, W, Lanes<F>>(net.w0, dim, first, back, 1, fp));
    energy
}
