//! Any backend is a source of features: neither it nor the grades know of the other.

use crate::backend::{Backend, Evaluation, Request, System};
use crate::error::Result;
use crate::grade::FeatureSource;
use crate::model::Model;
use crate::system::{NeighborList, Structure};

impl<B: Backend + ?Sized> FeatureSource for B {
    fn features(
        &mut self,
        model: &Model,
        structure: &Structure,
        types: &[u32],
        rows: &mut Vec<f64>,
    ) -> Result<()> {
        let (cell, positions) = (&structure.cell, &structure.positions[..]);
        let neighbors = NeighborList::build(cell, positions, model.cutoff())?;
        let system = System {
            cell,
            positions,
            types,
            neighbors: &neighbors,
            whole: None,
        };
        let mut results = Evaluation {
            projections: std::mem::take(rows),
            ..Evaluation::default()
        };
        let wanted = Request::PROJECTIONS | Request::WITHOUT_ENERGIES;
        self.evaluate(model, &system, wanted, &mut results)?;
        *rows = results.projections;
        Ok(())
    }
}
