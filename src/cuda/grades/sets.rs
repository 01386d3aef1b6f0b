//! Atoms type by type, each type by its own set.

use super::args::GradeArgs;
use super::tables::{Network, Set};
use super::{Graded, Grader, NEAR, threshold};
use nepal_core::error::{Error, Result};
use nepal_core::model::Model;

impl Grader {
    /// Brings the atoms into the order of their types.
    pub(super) fn sort(&mut self, model: &Model, types: &[u32]) -> Result<()> {
        if self.known_types == types {
            return Ok(());
        }
        let n_types = model.elements().len();
        let mut starts = vec![0; n_types + 1];
        for &t in types {
            starts[t as usize + 1] += 1;
        }
        for t in 0..n_types {
            starts[t + 1] += starts[t];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0u32; types.len()];
        for (atom, &t) in types.iter().enumerate() {
            sorted[next[t as usize]] = atom as u32;
            next[t as usize] += 1;
        }
        self.known_types.clear();
        self.atoms.upload(&sorted)?;
        self.starts = starts;
        self.known_types.extend_from_slice(types);
        Ok(())
    }

    /// Grades of all types.
    pub(super) fn all_types(&mut self, model: &Model, graded: Graded<'_>) -> Result<()> {
        let n = graded.types.len();
        let threshold = threshold(graded.effort);
        let mut base = GradeArgs {
            q: graded.q,
            ..GradeArgs::default()
        };
        [base.gamma, base.rho, base.grade] = [
            self.values[0].reserve(n)?,
            self.values[1].reserve(n)?,
            self.values[2].reserve(n)?,
        ];
        self.near.reserve(n)?;
        base.near_count = self.open.zero(1)?;
        if threshold.is_some() {
            base.near = self.near.address();
            base.near_share = NEAR;
        }
        let Some(made) = &mut self.made else {
            return Err(Error::Internal("no active set on the device".into()));
        };
        let (program, n1) = (&made.program, model.header().neurons[0]);
        for t in 0..model.elements().len() {
            let (start, end) = (self.starts[t], self.starts[t + 1]);
            if start == end {
                continue;
            }
            let mut args = GradeArgs {
                list: self.atoms.address() + (start * size_of::<u32>()) as u64,
                total: (end - start) as u64,
                ..base
            };
            if made.sets[t].is_none() {
                let (parts, width) = (made.set.parts(t)?, made.set.width());
                let set = Set::new(&self.device, &parts, width, &model.network(t))?;
                let network = Network::new(&self.device, model, t)?;
                made.sets[t] = Some((network, set));
            }
            let Some((network, set)) = &made.sets[t] else {
                continue;
            };
            network.enter(&mut args);
            match set {
                None => {
                    args.rows = args.total;
                    args.fill = f64::INFINITY;
                    program.launch("nepal_grade_fill", args.rows, &args)?;
                }
                Some(Set::Compat(set)) => {
                    set.enter(&mut args, threshold);
                    self.scratch.compat(program, set, n1, args)?;
                }
                Some(Set::Ridge(set)) => {
                    set.enter(&mut args, threshold);
                    self.scratch
                        .ridge(program, set, threshold.is_some(), args)?;
                }
            }
        }
        Ok(())
    }
}
