//! The grades that one set gives: atoms type by type, through prefilter and first look.

use super::args::GradeArgs;
use super::{FIRST_LOOK, Graded, Grader, GradingProgram, NEAR, Pace};
use nepal_core::error::Result;
use nepal_core::grade::Effort;
use nepal_core::model::Model;

/// Candidates of a type that are graded where nobody waits for their number: at least, and one in so
/// many of its atoms.
const CANDIDATES: [usize; 2] = [1024, 32];

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

    /// The grades that one cluster gives.
    pub(super) fn one_set(
        &mut self,
        model: &Model,
        cluster: usize,
        graded: Graded<'_>,
    ) -> Result<()> {
        let Graded { effort, pace, .. } = graded;
        let n = graded.types.len();
        let n_types = model.elements().len();
        let mut base = GradeArgs {
            q: graded.q,
            ..GradeArgs::default()
        };
        [base.gamma, base.rho, base.grade] = self.values.reserve(n)?;
        if let Effort::Above(threshold) | Effort::Likely(threshold) = effort {
            (base.threshold, base.near_share) = (threshold, NEAR);
            base.near = self.near.address();
            base.near_count = self.open.address();
        }
        for k in 0..2 {
            self.passed[k].reserve(n)?;
            self.counts[k].zero(n_types)?;
        }
        let word = size_of::<u32>() as u64;
        let mut left = Vec::new();
        for t in 0..n_types {
            let (start, end) = (self.starts[t], self.starts[t + 1]);
            if start == end {
                continue;
            }
            self.tables(model, cluster, t)?;
            let mut args = base;
            args.list = self.atoms.address() + start as u64 * word;
            args.total = (end - start) as u64;
            let GradingProgram {
                program,
                networks,
                clusters,
                ..
            } = self.made()?;
            let (Some(network), Some(Some(exact))) = (&networks[t], &clusters[cluster][t]) else {
                args.rows = args.total;
                args.fill = f64::INFINITY;
                program.launch("nepal_grade_fill", args.rows, &args)?;
                continue;
            };
            network.enter(&mut args);
            exact.enter(&mut args);
            let passed = [0, 1].map(|k| self.passed[k].address() + start as u64 * word);
            let counts = [0, 1].map(|k| self.counts[k].address() + t as u64 * word);
            let mut source = None;
            if matches!(effort, Effort::Likely(_)) && exact.has_prefilter() {
                (args.passed, args.passed_count) = (passed[0], counts[0]);
                self.prefilter(model, args)?;
                (args.list, args.count) = (passed[0], counts[0]);
                source = Some(0);
            }
            if let Effort::Above(threshold) | Effort::Likely(threshold) = effort
                && self.device.arch >= FIRST_LOOK
                && self.look(model, cluster, t, args, [passed[1], counts[1]], threshold)?
            {
                args.list = passed[1];
                source = Some(1);
            }
            args.count = 0;
            left.push((t, source.map(|k| (k, counts[k])), args));
        }
        let mut counts = [vec![0u32; n_types], vec![0u32; n_types]];
        if pace == Pace::Wait && left.iter().any(|(_, source, _)| source.is_some()) {
            for (counts, buffer) in counts.iter_mut().zip(&self.counts) {
                buffer.download(counts)?;
            }
        }
        for (t, source, mut args) in left {
            match (source, pace) {
                (Some((k, _)), Pace::Wait) => args.total = u64::from(counts[k][t]),
                (Some((_, count)), Pace::Later) => {
                    let [least, share] = CANDIDATES;
                    let room = (args.total as usize / share).max(least) as u64;
                    args.count = count;
                    args.total = args.total.min(room);
                }
                (None, _) => {}
            }
            self.exact += args.total as usize;
            self.grade_exactly(model, cluster, t, args)?;
        }
        Ok(())
    }
}
