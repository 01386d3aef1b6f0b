use super::*;
use std::path::Path;

fn model() -> Model {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data/pbte_nep_train/nep.txt");
    Model::load(file).unwrap()
}

/// Numbers between -1 and 1 that are the same each time.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn local(dim: usize) -> LocalDeviation {
    LocalDeviation {
        mean: noise(dim, 1),
        scale: vec![2.0; dim],
        metric: (0..dim * dim)
            .map(|k| if k / dim == k % dim { 0.3 } else { 0.0 })
            .collect(),
        w0: noise(3 * dim, 2),
        b0: noise(3, 3),
        w1: noise(3, 4),
        level: -3.0,
        range: [-4.0, -2.5],
        factor: 1.5,
        at_95: 1.7,
    }
}

fn posterior(model: &Model) -> Posterior {
    let n = Columns::new(model).len();
    let values = noise(n * n, 5);
    let factor = Mat::from_fn(n, n, |i, j| values[i * n + j]);
    Posterior::new(
        model,
        factor,
        [2.0, 2.1],
        vec![Some(local(model.dim())), None],
    )
    .unwrap()
}

/// Written out atom by atom; more atoms than a block, in any order of types.
#[test]
fn deviations_are_what_their_formulas_say() {
    let model = model();
    let (posterior, columns) = (posterior(&model), Columns::new(&model));
    let (n, dim, h) = (300, model.dim(), model.header().neurons[0]);
    let types: Vec<u32> = (0..n).map(|i| (i % 3 == 0) as u32).collect();
    let (q, x) = (noise(n * dim, 6), noise(n * h, 7));
    let forces = posterior.of_forces(&model, &types, &q).unwrap();
    let (energies, energy) = posterior.of_energies(&model, &types, &x).unwrap();
    let net = local(dim);
    let mut sum = vec![0.0; columns.len()];
    let deviation = |phi: &[f64]| {
        let f = posterior.factor();
        let column = |k: usize| (0..phi.len()).map(|c| phi[c] * f[(c, k)]).sum::<f64>();
        2.0 * (0..phi.len())
            .map(|k| column(k).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b.abs(), "{a} {b}");
    for (i, &t) in types.iter().enumerate() {
        let mut phi = vec![0.0; columns.len()];
        for (k, column) in columns.of(t as usize).enumerate() {
            phi[column] = if k < h { x[i * h + k] } else { -1.0 };
            sum[column] += phi[column];
        }
        close(energies[i], deviation(&phi));
        if t == 1 {
            // An element without training data.
            assert_eq!(forces[i], f64::INFINITY);
            continue;
        }
        let z: Vec<f64> = (0..dim)
            .map(|d| 2.0 * (q[i * dim + d] - net.mean[d]))
            .collect();
        let away = 0.3 * z.iter().map(|z| z * z).sum::<f64>().sqrt();
        let inner = |k: usize| -> f64 { (0..dim).map(|d| net.w0[k * dim + d] * z[d]).sum() };
        let exponent: f64 = (0..3)
            .map(|k| net.w1[k] * (inner(k) - net.b0[k]).tanh())
            .sum();
        close(
            forces[i],
            1.5 * away.clamp(1.0, 10.0) * (exponent - 3.0).clamp(-4.0, -2.5).exp(),
        );
    }
    close(energy, deviation(&sum));
    assert!(posterior.of_forces(&model, &[], &[]).unwrap().is_empty());
    assert_eq!(
        posterior.of_energies(&model, &[], &[]).unwrap(),
        (vec![], 0.0)
    );
    let wrong = posterior.of_forces(&model, &types, &q[1..]).unwrap_err();
    assert!(wrong.to_string().contains("300 atoms"));
    let wrong = posterior.of_energies(&model, &types, &x[1..]).unwrap_err();
    assert!(wrong.to_string().contains("300 atoms"));
    assert!(posterior.of_forces(&model, &[2], &q[..dim]).is_err());
}

#[test]
fn a_file_gives_the_same_posterior_for_the_same_model_only() {
    let model = model();
    let posterior = posterior(&model);
    let saved = serde_json::to_value(posterior.saved()).unwrap();
    let text = |schema: u32, saved: &serde_json::Value| {
        let file = serde_json::json!({ "schema": schema, "deviations": saved, "more": 1 });
        crate::sealed::seal(&file).unwrap()
    };
    let good = text(SCHEMA, &saved);
    assert_eq!(
        Posterior::read(good.as_bytes(), "p.json", &model).unwrap(),
        posterior
    );
    let error = |text: &str| {
        Posterior::read(text.as_bytes(), "p.json", &model)
            .unwrap_err()
            .to_string()
    };
    assert!(error("{").starts_with("p.json:1: not a posterior"));
    for old in [text(1, &saved), "{\"schema\":1,\"alpha\":2}".into()] {
        assert!(
            error(&old).contains("nepal-loop train --posterior"),
            "{}",
            error(&old)
        );
    }
    // One that an older version wrote has deviations of Gaussian errors.
    let mut old = saved.clone();
    old.as_object_mut().unwrap().remove("energy_at_95");
    old["forces"][0].as_object_mut().unwrap().remove("at_95");
    let read = Posterior::read(text(2, &old).as_bytes(), "p.json", &model).unwrap();
    assert!(posterior.note().is_none() && read.note().unwrap().contains("make it anew"));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
    let (before, now) = (posterior.local(0).unwrap(), read.local(0).unwrap());
    // Chi of three degrees: 1.8724 at 68 %, 2.7955 at 95 %; σ was √3 of a component's.
    close(now.factor / before.factor, 1.872_400 / 3f64.sqrt());
    close(read.at_95(0).unwrap(), 2.795_483 / 1.872_400);
    close(read.energy_at_95(), 1.959_964 / 0.994_458);
    assert_eq!((read.at_95(1), posterior.at_95(0)), (None, Some(1.7)));
    let with = |key: &str, value: serde_json::Value| {
        let mut changed = saved.clone();
        changed[key] = value;
        error(&text(SCHEMA, &changed))
    };
    assert!(with("model", "00".into()).contains("another model"));
    assert!(with("columns", 3.into()).contains("3 times 3"));
    assert!(with("forces", serde_json::json!([null])).contains("1 elements"));
    assert!(with("energy", serde_json::json!(-1.0)).contains("not finite"));
    assert!(with("energy_at_95", serde_json::json!(0.5)).contains("not finite"));
    let mut short = saved["forces"].clone();
    short[0]["b0"] = serde_json::json!([0.0]);
    assert!(with("forces", short).contains("do not fit"));
}

/// Of one and two hidden layers, one bias and one by type, against finite differences of the descriptors.
#[test]
fn the_gradient_of_the_energy_deviation_is_its_derivative() {
    for name in [
        "pbte_nep_train",
        "synthetic_variants/nep4_two_hidden_layers",
        "synthetic_variants/nep5",
    ] {
        let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data"));
        let model = Model::load(file.join(name).join("nep.txt")).unwrap();
        let n = Columns::new(&model).len();
        let values = noise(n * n, 5);
        let factor = Mat::from_fn(n, n, |i, j| values[i * n + j]);
        let elements = model.elements().len();
        let posterior = Posterior::new(&model, factor, [2.0, 2.1], vec![None; elements]).unwrap();
        let types: Vec<u32> = (0..4).map(|i| (i % elements) as u32).collect();
        let dim = model.dim();
        let q: Vec<f64> = noise(types.len() * dim, 6)
            .iter()
            .map(|x| 0.3 * x)
            .collect();
        let neurons = |q: &[f64]| -> Vec<f64> {
            let rows = types.iter().zip(q.chunks_exact(dim));
            rows.flat_map(|(&t, q)| {
                crate::nep::network::hidden(&model.network(t as usize), q).collect::<Vec<_>>()
            })
            .collect()
        };
        let sigma = |q: &[f64]| {
            let columns = posterior
                .energy_columns(&model, &types, &neurons(q))
                .unwrap();
            posterior.energy_slope(&columns).unwrap()
        };
        let (_, slope) = sigma(&q);
        let found = posterior
            .column_gradient(&model, &types, &neurons(&q), &slope)
            .unwrap();
        for k in [0, 1, dim - 1, dim, 2 * dim + 3, 4 * dim - 2] {
            let moved = |h: f64| {
                let mut q = q.clone();
                q[k] += h;
                sigma(&q).0
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let close = (found[k] - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            assert!(close, "{name} {k}: {} {expected}", found[k]);
        }
        assert!(posterior.energy_columns(&model, &types, &[]).is_err());
    }
}
