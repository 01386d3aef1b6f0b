//! What keeps fragments neutral where nobody gave formal charges: those that the model has itself.

use super::options::FragmentOptions;
use super::parent::Surroundings;
use super::reference::{BEYOND, Ball};
use crate::backend::{Evaluation, Request};
use crate::calculator::{BackendKind, Calculator};
use crate::error::Result;
use crate::model::Model;
use crate::nep::network;
use std::collections::BTreeMap;

/// Elements whose atoms have less, e, may be counted wrong.
const LEAST: f64 = 0.1;

/// The options with the mean charges that a model has around the target, if it has charges and none are given;
/// by them the parent is neutral.
///
/// **Errors**: those of the backend.
pub(super) fn of_model(
    model: &Model,
    s: &Surroundings<'_>,
    options: &FragmentOptions,
) -> Result<Option<FragmentOptions>> {
    if options.formal_charges.is_some() || model.kind().electrostatics().is_none() {
        return Ok(None);
    }
    let ball = Ball::new(s, s.core_radius + BEYOND)?;
    let cell = Calculator::host_cell();
    let (mut out, dim) = (Evaluation::default(), model.dim());
    let request = Request::DESCRIPTORS | Request::WITHOUT_ENERGIES;
    let mut backend = BackendKind::default_for_build().create()?;
    backend.evaluate(model, &ball.system(&cell), request, &mut out)?;
    let mut sums = vec![[0.0; 2]; s.elements.len()];
    let mut gradient = vec![0.0; dim];
    for (q, &t) in out.descriptors.chunks_exact(dim).zip(&ball.types) {
        let net = model.network(t as usize).of_charge();
        sums[t as usize][0] += network::energy_and_gradient(&net, q, &mut gradient);
        sums[t as usize][1] += 1.0;
    }
    let mean = |t: u32| sums[t as usize][0] / f64::max(sums[t as usize][1], 1.0);
    // The model shifts all charges alike.
    let shift = s.types.iter().map(|&t| mean(t)).sum::<f64>() / s.types.len().max(1) as f64;
    let charges: BTreeMap<_, f64> = (s.elements.iter().zip(0..))
        .filter(|&(_, t)| sums[t as usize][1] > 0.0)
        .map(|(&element, t)| (element, mean(t) - shift))
        .collect();
    let large = charges.values().map(|q| q.abs()).filter(|q| *q >= LEAST);
    let smallest = large.fold(f64::INFINITY, f64::min);
    Ok(smallest.is_finite().then(|| FragmentOptions {
        formal_charges: Some(charges),
        // Less than half of it no atom makes better.
        charge_tolerance: 0.5 * smallest,
        ..options.clone()
    }))
}
