//! The kernels against the reference backend, and the gradient against finite differences.

use super::conditions::conditions;
use super::data;
use super::objective::{Evaluation, Objective};
use super::targets::{TERMS, Weighting};
use nepal::backend::reference::Reference;
use nepal::backend::{Backend, Evaluation as Energies, Request, System, available};
use nepal::element::Element;
use nepal::model::{Cutoff, Electrostatics, Header, Kind, Layout, ManyBody, Model, Version, Zbl};
use nepal::system::{Cell, Frame, NeighborList, Structure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Geometry is kept in single precision.
const SINGLE: f64 = 3e-6;

fn header(change: impl FnOnce(&mut Header)) -> Header {
    let mut header = Header {
        version: Version::Nep4,
        kind: Kind::Potential,
        elements: ["Te", "Pb", "Cu"]
            .map(|s| Element::from_symbol(s).unwrap())
            .to_vec(),
        zbl: None,
        cutoff: Cutoff::Uniform([5.0, 4.0]),
        max_neighbors: [0, 0],
        n_max: [3, 2],
        basis_size: [4, 3],
        l_max: 3,
        many_body: ManyBody::from_flags([true, false, false, false, false, false]),
        neurons: [5, 0],
    };
    change(&mut header);
    header
}

fn variants() -> Vec<(&'static str, Header)> {
    vec![
        ("nep4", header(|_| {})),
        ("nep3", header(|h| h.version = Version::Nep3)),
        ("nep5", header(|h| h.version = Version::Nep5)),
        (
            "all many-body terms",
            header(|h| {
                h.l_max = 4;
                h.many_body = ManyBody::from_flags([true; 6]);
            }),
        ),
        (
            "l_max 6, no many-body term, wide",
            header(|h| {
                h.l_max = 6;
                h.n_max = [14, 10];
                h.basis_size = [18, 13];
                h.many_body = ManyBody::default();
            }),
        ),
        ("two hidden layers", header(|h| h.neurons = [6, 4])),
        (
            "cutoffs per type, typewise repulsion",
            header(|h| {
                h.cutoff = Cutoff::PerType(vec![[5.0, 4.0], [4.5, 3.8], [4.0, 4.0]]);
                h.zbl = Some(Zbl::Typewise {
                    inner: 0.0,
                    outer: 3.6,
                    factor: 0.9,
                });
            }),
        ),
        ("dipole", header(|h| h.kind = Kind::Dipole)),
        (
            "dipole of one network",
            header(|h| {
                h.kind = Kind::Dipole;
                h.version = Version::Nep3;
            }),
        ),
        (
            "dipole, two hidden layers",
            header(|h| {
                h.kind = Kind::Dipole;
                h.neurons = [6, 4];
            }),
        ),
        ("polarizability", header(|h| h.kind = Kind::Polarizability)),
        (
            "polarizability, two hidden layers",
            header(|h| {
                h.kind = Kind::Polarizability;
                h.neurons = [6, 4];
            }),
        ),
        ("temperature", header(|h| h.kind = Kind::Temperature)),
        (
            "charges",
            header(|h| h.kind = Kind::Charges(Electrostatics::Full)),
        ),
        (
            "charges in reciprocal space, with repulsion",
            header(|h| {
                h.kind = Kind::Charges(Electrostatics::Reciprocal);
                h.zbl = Some(Zbl::Universal {
                    inner: 1.5,
                    outer: 3.5,
                });
            }),
        ),
        (
            "charges in real space",
            header(|h| h.kind = Kind::Charges(Electrostatics::RealSpace)),
        ),
        ("dispersion", header(|h| h.kind = Kind::Dispersion)),
        (
            "charges and dispersion, with repulsion",
            header(|h| {
                h.kind = Kind::ChargesAndDispersion;
                h.zbl = Some(Zbl::Universal {
                    inner: 1.5,
                    outer: 3.5,
                });
            }),
        ),
        (
            "universal repulsion",
            header(|h| {
                h.zbl = Some(Zbl::Universal {
                    inner: 1.5,
                    outer: 3.5,
                });
            }),
        ),
    ]
}

/// Small structures with all kinds of labels; the second is smaller than the cutoff.
fn frames(rng: &mut ChaCha8Rng) -> Vec<Frame> {
    let symbols = ["Te", "Pb", "Cu"];
    [
        (9usize, 6.4f64, 3usize),
        (2, 3.1, 2),
        (5, 4.6, 2),
        (4, 4.9, 1),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (n, a, kinds))| {
        let cell = Cell::new(
            [[a, 0.2, 0.0], [0.3, a, -0.1], [0.0, 0.4, 1.1 * a]],
            [true; 3],
        )
        .unwrap();
        let elements = (0..n)
            .map(|i| Element::from_symbol(symbols[i % kinds]).unwrap())
            .collect();
        let side = (n as f64).cbrt().ceil();
        let positions = (0..n)
            .map(|i| {
                let i = i as f64;
                let s = [
                    i % side,
                    (i / side).floor() % side,
                    (i / side / side).floor(),
                ];
                cell.cartesian(s.map(|x| (x + 0.25 * rng.random::<f64>()) / side))
            })
            .collect();
        let mut frame = Frame::new(Structure::new(cell, elements, positions).unwrap());
        let mut random = |scale: f64| scale * (rng.random::<f64>() - 0.5);
        frame.energy = Some(random(4.0) - 3.0 * n as f64);
        frame.forces = Some((0..n).map(|_| [0; 3].map(|_| random(2.0))).collect());
        if index < 3 {
            let w: [f64; 6] = std::array::from_fn(|_| random(3.0));
            frame.virial = Some([w[0], w[1], w[2], w[1], w[3], w[4], w[2], w[4], w[5]]);
        }
        if index == 0 {
            frame.force_mask = Some((0..n).map(|i| [1.0, 0.0, 0.5][i % 3]).collect());
        }
        let mut tensor = |count: usize| -> String {
            let all = (0..count).map(|_| random(3.0).to_string());
            all.collect::<Vec<_>>().join(" ")
        };
        for (key, count) in [("dipole", 3), ("pol", 9)] {
            frame.info.insert(key.into(), tensor(count));
        }
        if index != 1 {
            let charge = random(2.0).to_string();
            let born = (0..9 * n).map(|_| random(2.0)).collect();
            frame.info.insert("charge".into(), charge);
            frame.set_real_column("bec", 9, born);
        }
        frame
            .info
            .insert("temperature".into(), (300 + 900 * index).to_string());
        frame.weight = [1.0, 2.0, 0.5, 1.0][index];
        frame.energy_weight = [1.0, 0.3, 1.0, 0.0][index];
        frame
    })
    .collect()
}

fn parameters(header: &Header, rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
    let layout = Layout::new(header);
    let values = (0..layout.len())
        .map(|_| rng.random::<f64>() * 1.2 - 0.6)
        .collect();
    let mut scaler = (0..layout.dim)
        .map(|_| 0.2 + 0.3 * rng.random::<f64>())
        .collect::<Vec<f64>>();
    if let (Kind::Temperature, Some(last)) = (header.kind, scaler.last_mut()) {
        *last = 1e-3;
    }
    (values, scaler)
}

fn objective(header: &Header, frames: &[Frame]) -> Objective {
    objective_within(header, frames, 1e9)
}

fn objective_within(header: &Header, frames: &[Frame], memory: f64) -> Objective {
    let mut warnings = Vec::new();
    let samples = data::prepare(header, frames, "training", &mut warnings).unwrap();
    let order: Vec<usize> = (0..samples.len()).collect();
    let weighting = Weighting {
        type_weight: &[1.0, 1.5, 0.7],
        force_delta: 0.5,
        lambda_shear: 2.0,
        // The traces of GPUMD test plain squares.
        force_loss: crate::RobustLoss::Huber(0.7),
        energy_loss: crate::RobustLoss::Square,
    };
    Objective::new(header, samples, &order, &weighting, memory).unwrap()
}

#[test]
fn results_agree_with_the_reference_backend() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let frames = frames(&mut rng);
    for (name, header) in variants() {
        let (values, scaler) = parameters(&header, &mut rng);
        let objective = objective(&header, &frames);
        let model = Model::new(header, values.clone(), scaler.clone()).unwrap();
        let results = objective.predict(&values, &scaler, |group, results| {
            let mut out = Vec::new();
            for s in 0..group.chunk.n_structures {
                let mut forces = vec![[0.0; 3]; objective.samples[group.members[s]].types.len()];
                let mut born = vec![[0.0; 9]; forces.len()];
                for (slot, atom) in group.chunk.atom.iter().enumerate() {
                    if let (Some(atom), true) = (atom, group.chunk.structure[slot] == s as u32) {
                        let f = results.force[slot];
                        forces[*atom as usize] = [f[0], f[1], f[2]];
                        born[*atom as usize] = *results.born.get(slot).unwrap_or(&[0.0; 9]);
                    }
                }
                out.push((
                    group.members[s],
                    results.energy[s],
                    forces,
                    results.virial[s],
                    born,
                ));
            }
            out
        });
        let mut seen = 0;
        for (member, energy, forces, virial, born) in results.into_iter().flatten() {
            seen += 1;
            let sample = &objective.samples[member];
            let s = &sample.structure;
            let neighbors = NeighborList::build(&s.cell, &s.positions, model.cutoff()).unwrap();
            let system = System {
                cell: &s.cell,
                positions: &s.positions,
                types: &sample.types,
                neighbors: &neighbors,
                whole: None,
            };
            let mut expected = Energies::default();
            let mut reference = Reference::default();
            let frame = &frames[sample.frame];
            reference.set_conditions(conditions(frame, model.kind()).unwrap());
            let request = available(&model) - Request::PROJECTIONS;
            reference
                .evaluate(&model, &system, request, &mut expected)
                .unwrap();
            let n = s.len() as f64;
            let close = |a: f64, b: f64, what: &str| {
                assert!(
                    (a - b).abs() < SINGLE * b.abs().max(10.0),
                    "{name}, frame {member}: {what} {a} {b}"
                );
            };
            let tensor = match model.kind() {
                Kind::Dipole => Some(expected.dipole.to_vec()),
                Kind::Polarizability => Some(
                    [0, 4, 8, 1, 5, 6]
                        .map(|c| expected.polarizability[c])
                        .to_vec(),
                ),
                _ => None,
            };
            if let Some(tensor) = tensor {
                (tensor.iter().zip(virial)).for_each(|(a, b)| close(b, *a, "tensor"));
                continue;
            }
            close(
                energy + n * sample.repulsion.energy,
                expected.energy,
                "energy",
            );
            for (i, f) in forces.iter().enumerate() {
                for (a, f) in f.iter().enumerate() {
                    let total = f + sample.repulsion.forces[i][a];
                    close(total, expected.forces[i][a], "force");
                }
            }
            for (a, b) in born
                .as_flattened()
                .iter()
                .zip(expected.born_charges.as_flattened())
            {
                close(*a, *b, "Born charge");
            }
            for (c, nine) in [0, 4, 8, 1, 5, 6].into_iter().enumerate() {
                let total = virial[c] + n * sample.repulsion.virial[c];
                close(total, expected.virial[nine], "virial");
            }
        }
        assert_eq!(seen, frames.len());
    }
}

#[test]
fn what_memory_holds_changes_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let frames: Vec<Frame> = (0..60).flat_map(|_| frames(&mut rng)).collect();
    let (_, header) = variants().swap_remove(0);
    let (values, scaler) = parameters(&header, &mut rng);
    let all = objective_within(&header, &frames, 1e9);
    let groups: Vec<usize> = (0..all.groups.len()).collect();
    let evaluation = Evaluation {
        parameters: &values,
        q_scaler: &scaler,
        factors: Some([0.3; TERMS]),
    };
    let expected = all.evaluate(&groups, &evaluation);
    for (share, kept) in [
        (1.3, [false, false]),
        (0.6, [true, false]),
        (0.1, [true, true]),
        (0.0, [false, true]),
    ] {
        let some = objective_within(&header, &frames, share * all.whole);
        let found = some.shares_not_kept();
        assert_eq!(found.map(|x| x > 0.0), kept, "{share}: {found:?}");
        assert_eq!(some.evaluate(&groups, &evaluation), expected, "{share}");
        let bytes: f64 = some.groups.iter().map(|g| g.kept.bytes()).sum();
        assert!(bytes <= share * all.whole);
    }
}

#[test]
fn the_gradient_is_the_derivative_of_the_loss() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let frames = frames(&mut rng);
    for (name, header) in variants() {
        let layout = Layout::new(&header);
        let (values, scaler) = parameters(&header, &mut rng);
        let objective = objective(&header, &frames);
        let groups: Vec<usize> = (0..objective.groups.len()).collect();
        // Each term alone, so that none hides behind a larger one.
        let terms = match header.kind {
            Kind::Dipole | Kind::Polarizability => 2..3,
            Kind::Charges(_) | Kind::ChargesAndDispersion => 0..TERMS,
            _ => 0..3,
        };
        for term in terms {
            let mut factors = [0.0; TERMS];
            factors[term] = 1.0;
            let value = |p: &[f64], factors| {
                let evaluation = Evaluation {
                    parameters: p,
                    q_scaler: &scaler,
                    factors,
                };
                let (sums, gradient) = objective.evaluate(&groups, &evaluation);
                let all = [
                    sums.energy[2],
                    sums.force,
                    sums.virial,
                    sums.charge,
                    sums.born,
                ];
                (all[term], gradient)
            };
            let (_, gradient) = value(&values, Some(factors));
            let size = (gradient.iter().map(|g| g * g).sum::<f64>() / gradient.len() as f64).sqrt();
            assert!(size > 0.0, "{name}, term {term}");
            let checked = (0..60).map(|_| rng.random_range(0..layout.len()));
            let checked = checked.chain(layout.dielectric());
            for index in checked.chain([
                layout.scalar().unwrap_or(0) + layout.common_bias(),
                layout.b0(1),
                layout.w1(2),
            ]) {
                let h = 1e-4;
                let shifted = |delta: f64| {
                    let mut p = values.clone();
                    p[index] += delta;
                    value(&p, None).0
                };
                let slope = (8.0 * (shifted(h) - shifted(-h))
                    - (shifted(2.0 * h) - shifted(-2.0 * h)))
                    / (12.0 * h);
                assert!(
                    (slope - gradient[index]).abs() < 1e-6 * (size + gradient[index].abs()),
                    "{name}, term {term}, parameter {index}: {slope} {}",
                    gradient[index]
                );
            }
        }
    }
}
