//! The passes of a grading over the atoms of one type: prefilter, first look, grades in f64.

use super::Grader;
use super::args::GradeArgs;
use super::tables::{Exact, Network};
use crate::args::Address;
use nepal_core::error::{Error, Result};
use nepal_core::model::Model;

/// Scratch of a launch, in bytes.
const SCRATCH: usize = 96 << 20;
/// Threads that look for what was left ungraded, of which there is seldom any.
const LEFT_THREADS: u64 = 4096;
/// Rows of a launch are a multiple of this.
const ROWS: usize = 32;

impl Grader {
    /// Tables of a type and a cluster, once.
    pub(super) fn tables(&mut self, model: &Model, cluster: usize, t: usize) -> Result<()> {
        let device = &self.device;
        let Some(made) = &mut self.made else {
            return Err(Error::Internal("no active set on the device".into()));
        };
        if made.networks[t].is_none() {
            made.networks[t] = Some(Network::new(device, model, t)?);
        }
        if made.clusters[cluster][t].is_none() {
            let set = &made.set.clusters()[cluster];
            let exact = Exact::new(device, &set.parts(t)?, set.width())?;
            made.clusters[cluster][t] = Some(exact);
        }
        Ok(())
    }

    fn exact_of(&self, cluster: usize, t: usize) -> Result<&Exact> {
        let sets = &self.made()?.clusters[cluster];
        let exact = sets[t].as_ref().and_then(Option::as_ref);
        exact.ok_or_else(|| Error::Internal("no set of this type on the device".into()))
    }

    /// Room for the neurons of the rows of a launch, and the rows.
    fn neurons(&mut self, model: &Model, args: &mut GradeArgs, others: usize) -> Result<()> {
        let n1 = model.header().neurons[0];
        let fit = SCRATCH / (others + 16 * n1) / ROWS * ROWS;
        let rows = fit
            .max(ROWS)
            .min((args.total as usize).next_multiple_of(ROWS));
        args.rows = rows as u64;
        args.x = self.scratch.x.reserve(rows * n1)?;
        args.slope = self.scratch.slope.reserve(rows * n1)?;
        Ok(())
    }

    /// Lists the atoms that pass the prefilter; the grades of the others are 0.
    pub(super) fn prefilter(&mut self, model: &Model, mut args: GradeArgs) -> Result<()> {
        self.neurons(model, &mut args, 0)?;
        let program = &self.made()?.program;
        let n1 = model.header().neurons[0] as u64;
        for first in (0..args.total).step_by(args.rows as usize) {
            args.first = first;
            program.launch("nepal_grade_neurons", args.rows * n1, &args)?;
            program.launch("nepal_prefilter", args.rows, &args)?;
        }
        Ok(())
    }

    /// Grades of atoms that are certainly not above the threshold, a list of the others; says
    /// whether there is a first look at all.
    pub(super) fn look(
        &mut self,
        model: &Model,
        cluster: usize,
        t: usize,
        mut args: GradeArgs,
        [passed, count]: [Address; 2],
        threshold: f64,
    ) -> Result<bool> {
        let Some(look) = &self.exact_of(cluster, t)?.look else {
            return Ok(false);
        };
        look.enter(&mut args, threshold);
        (args.passed, args.passed_count) = (passed, count);
        let (tiles, [coefficients, probes]) = (look.tiles, look.column_tiles);
        let (kernel, _) = look.kernel();
        self.neurons(
            model,
            &mut args,
            64 * tiles + 64 * coefficients + 32 * probes,
        )?;
        let rows = args.rows as usize;
        let s = &mut self.scratch;
        args.lengths = s.lengths.reserve(2 * rows)?;
        args.high = s.high.reserve(rows * tiles * 2)?;
        args.low = s.low.reserve(rows * tiles * 2)?;
        args.partial = s.partial.reserve(rows * coefficients * 8)?;
        args.probe_partial = s.probe_partial.reserve(rows * probes * 4)?;
        let program = &self.made()?.program;
        let n1 = model.header().neurons[0];
        let warps = rows / ROWS * 32;
        for first in (0..args.total).step_by(rows) {
            args.first = first;
            let launches = [
                ("nepal_grade_neurons", rows * n1),
                ("nepal_screen_lengths", rows),
                ("nepal_screen_features", rows * tiles * 2),
                (kernel, warps * coefficients),
                ("nepal_screen_probes", warps * probes),
                ("nepal_screen_end", rows),
            ];
            for (name, threads) in launches {
                program.launch(name, threads as u64, &args)?;
            }
        }
        Ok(true)
    }

    /// Grades of a list in f64.
    pub(super) fn grade_exactly(
        &mut self,
        model: &Model,
        cluster: usize,
        t: usize,
        mut args: GradeArgs,
    ) -> Result<()> {
        if args.total == 0 {
            return Ok(());
        }
        let Exact { n, r, k, .. } = *self.exact_of(cluster, t)?;
        self.neurons(model, &mut args, 8 * (n + r + k))?;
        let rows = args.rows as usize;
        let s = &mut self.scratch;
        args.z = s.z.reserve(rows * n)?;
        args.y = s.y.reserve(rows * r)?;
        args.c = s.c.reserve(rows * k)?;
        args.length = s.length.reserve(rows)?;
        args.inside = s.inside.reserve(rows)?;
        let n1 = model.header().neurons[0];
        let warps = |columns: usize| (rows / ROWS * columns) as u64;
        for first in (0..args.total).step_by(rows) {
            args.first = first;
            let need = self.scratch.need.zero(rows / ROWS)?;
            let exact = self.exact_of(cluster, t)?;
            let program = &self.made()?.program;
            let product = |a: Address, inner: usize, b: Address, out: Address, columns: usize| {
                let mut own = args;
                (own.a, own.b, own.out) = (a, b, out);
                (own.inner, own.columns) = (inner as u64, columns as u64);
                own
            };
            let launch = |own: &GradeArgs, columns| {
                program.launch("nepal_grade_product", warps(columns), own)
            };
            program.launch("nepal_grade_neurons", (rows * n1) as u64, &args)?;
            program.launch("nepal_grade_features", (rows * n) as u64, &args)?;
            let inverse = exact.inverse.address();
            match &exact.directions {
                None => launch(&product(args.z, n, inverse, args.c, k), k)?,
                Some([columns, directions]) => {
                    launch(&product(args.z, n, columns.address(), args.y, r), r)?;
                    launch(&product(args.y, r, inverse, args.c, k), k)?;
                    let squares = GradeArgs { need, ..args };
                    program.launch("nepal_grade_squares", (rows * 32) as u64, &squares)?;
                    let mut rest = product(args.y, r, directions.address(), args.z, n);
                    rest.subtract = 1;
                    rest.need = need;
                    launch(&rest, n)?;
                }
            }
            program.launch("nepal_grade_values", (rows * 32) as u64, &args)?;
        }
        if args.count != 0 {
            args.first = args.total.next_multiple_of(rows as u64);
            let program = &self.made()?.program;
            program.launch("nepal_grade_left", LEFT_THREADS, &args)?;
        }
        Ok(())
    }
}
