//! Features of the last evaluation, kept for a host that asks for them next: forces, deviations and grades
//! of the same atoms then take one pass over the neighbours.

use super::Calculator;
use super::kept::Ready;
use crate::backend::{Evaluation, Request};
use crate::error::Result;

/// What can be kept.
const FEATURES: Request = Request::DESCRIPTORS.union(Request::NEURONS);

/// Features of atoms, and what makes them those of these atoms.
#[derive(Default)]
pub(super) struct Ahead {
    /// What was asked for after an evaluation of the same atoms: the next one brings it along.
    wanted: Request,
    /// What there is.
    has: Request,
    used: bool,
    cell: [[f64; 3]; 3],
    positions: Vec<[f64; 3]>,
    types: Vec<u32>,
    order: Vec<u32>,
    /// In the caller's order. Shape `[n_local][dim]`.
    pub(super) descriptors: Vec<f64>,
    /// Shape `[n_local][neurons]`.
    pub(super) neurons: Vec<f64>,
}

impl Ahead {
    /// What the next evaluation brings along: nothing, if nobody has asked since the last one.
    pub(super) fn start(&mut self) -> Request {
        if !self.used {
            self.wanted = Request::empty();
        }
        (self.used, self.has) = (false, Request::empty());
        self.wanted
    }

    pub(super) fn forget(&mut self) {
        self.has = Request::empty();
    }

    /// Takes what the evaluation of these atoms brought along from `results`, which are in the caller's order, and
    /// leaves there what was asked for.
    pub(super) fn keep(&mut self, ready: &Ready<'_>, request: Request, results: &mut Evaluation) {
        if self.wanted.is_empty() {
            return;
        }
        let (cell, positions) = place(ready);
        self.has = self.wanted;
        self.cell = cell;
        self.positions.clear();
        self.positions.extend_from_slice(positions);
        self.types.clear();
        self.types.extend_from_slice(ready.types());
        self.order.clear();
        self.order.extend_from_slice(ready.order());
        for (feature, own, found) in [
            (
                Request::DESCRIPTORS,
                &mut self.descriptors,
                &mut results.descriptors,
            ),
            (Request::NEURONS, &mut self.neurons, &mut results.neurons),
        ] {
            if request.contains(feature) {
                own.clone_from(found);
            } else {
                std::mem::swap(own, found);
            }
        }
    }

    fn holds(&self, ready: &Ready<'_>, wanted: Request) -> bool {
        let (cell, positions) = place(ready);
        self.has.contains(wanted)
            && self.cell == cell
            && self.positions == positions
            && self.types == ready.types()
            && self.order == ready.order()
    }
}

/// Cell and positions in the order of evaluation.
fn place<'a>(ready: &'a Ready<'_>) -> ([[f64; 3]; 3], &'a [[f64; 3]]) {
    match ready {
        Ready::Atoms(atoms) => (*atoms.cell.vectors(), atoms.positions),
        Ready::Listed(system, _) => (*system.cell.vectors(), system.positions),
    }
}

impl Calculator {
    /// Descriptors or neurons of atoms, in `ahead`: those of the last evaluation, if it was of the same atoms.
    pub(super) fn features(&mut self, ready: &Ready<'_>, wanted: Request) -> Result<()> {
        let wanted = wanted & FEATURES;
        if !self.ahead.holds(ready, wanted) {
            self.ahead.wanted |= wanted;
            self.ahead.used = true;
            self.evaluate(ready, wanted | Request::WITHOUT_ENERGIES)?;
        }
        self.ahead.used = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::Reference;
    use crate::backend::{Backend, Contraction, System};
    use crate::calculator::Machine;
    use crate::grade::Measure;
    use crate::model::Model;
    use crate::posterior::Posterior;
    use crate::system::{Cell, Structure};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts evaluations.
    struct Counting(Reference, Arc<AtomicUsize>);

    impl Backend for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }

        fn evaluate(
            &mut self,
            model: &Model,
            system: &System<'_>,
            request: Request,
            out: &mut Evaluation,
        ) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.evaluate(model, system, request, out)
        }

        fn contract(
            &mut self,
            model: &Model,
            system: &System<'_>,
            gradient: &[f64],
            out: &mut Contraction,
        ) -> Result<()> {
            self.0.contract(model, system, gradient, out)
        }
    }

    impl Machine for Counting {}

    #[test]
    fn who_asks_after_an_evaluation_costs_none_from_the_next_step_on() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data");
        let model = Arc::new(Model::load(data.join("nep.txt")).unwrap());
        let posterior = Posterior::load(data.join("posterior.json"), &model).unwrap();
        let posterior = Arc::new(posterior);
        let evaluations = Arc::new(AtomicUsize::new(0));
        let new = || {
            let machine = Counting(Reference::default(), Arc::clone(&evaluations));
            let mut made = Calculator::with_backend(Arc::clone(&model), Box::new(machine));
            made.set_posterior(Some(Arc::clone(&posterior))).unwrap();
            made
        };
        let count = || evaluations.swap(0, Ordering::Relaxed);
        let structure = |step: usize| {
            let elements = vec![model.elements()[0]; 5];
            let place =
                |i: usize| [0, 1, 2].map(|d| 2.3 * i as f64 + 0.1 * (step * (d + i)) as f64);
            let cell = Cell::orthorhombic([12.0; 3]).unwrap();
            Structure::new(cell, elements, (0..5).map(place).collect()).unwrap()
        };
        let ask = |calculator: &mut Calculator, structure: &Structure| {
            let columns = calculator.sigma_columns(structure).unwrap();
            calculator.sigma_gradient(structure, &columns).unwrap()
        };
        let mut calculator = new();
        for step in 0..4 {
            let structure = structure(step);
            let found = calculator.compute(&structure, Request::FORCES).unwrap();
            assert!(found.neurons.is_empty() && found.descriptors.is_empty());
            let found = ask(&mut calculator, &structure);
            assert_eq!(count(), if step == 0 { 2 } else { 1 }, "step {step}");
            assert_eq!(found, ask(&mut new(), &structure), "step {step}");
            count();
        }
        // Other atoms, or others of the features, are evaluated.
        let other = structure(7);
        assert_eq!(ask(&mut calculator, &other), ask(&mut new(), &other));
        let _ = calculator.gradient_of_grade(&other, Measure::Total, |v| vec![1.0; v.len()]);
        let mut strained = other.clone();
        strained.cell = Cell::orthorhombic([11.0, 12.0, 12.0]).unwrap();
        assert_eq!(ask(&mut calculator, &strained), ask(&mut new(), &strained));
    }
}
