//! The launches that grade the atoms of one type, as many at a time as the scratch has room for.

use super::args::{GradeArgs, flags};
use super::tables::{Compat, Ridge};
use super::{Scratch, TILE};
use crate::args::Address;
use crate::program::Program;
use nepal_core::error::Result;

/// Scratch of a launch, in bytes.
const SCRATCH: usize = 96 << 20;

/// Rows of a launch that need so many bytes each, and where each launch begins.
fn launches(args: &GradeArgs, bytes: usize) -> (usize, impl Iterator<Item = u64> + use<>) {
    let total = args.total as usize;
    let rows = (SCRATCH / bytes / TILE * TILE).max(TILE);
    let rows = rows.min(total.next_multiple_of(TILE));
    (rows, (0..args.total).step_by(rows))
}

/// A matrix of so many columns, on the device.
#[derive(Clone, Copy)]
struct Matrix(Address, usize);

/// `out = a b`, of whose `b` these flags tell more.
fn product(
    program: &Program,
    args: &GradeArgs,
    a: Matrix,
    b: Address,
    out: Matrix,
    flags: u64,
) -> Result<()> {
    let own = GradeArgs {
        a: a.0,
        inner: a.1 as u64,
        b,
        out: out.0,
        columns: out.1 as u64,
        flags,
        ..*args
    };
    program.launch("nepal_grade_product", args.rows / 32 * own.columns, &own)
}

impl Scratch {
    /// Grades of the compatibility form, all of them exact.
    pub(super) fn compat(
        &mut self,
        program: &Program,
        set: &Compat,
        n1: usize,
        mut args: GradeArgs,
    ) -> Result<()> {
        let n = set.n;
        let (rows, starts) = launches(&args, 16 * (n1 + n));
        args.rows = rows as u64;
        args.x = self.sides[0].reserve(rows * n1)?;
        args.slope = self.sides[1].reserve(rows * n1)?;
        args.z = self.products.reserve(rows * n)?;
        args.c = self.coefficients.reserve(rows * n)?;
        for first in starts {
            args.first = first;
            program.launch("nepal_grade_neurons", (rows * n1) as u64, &args)?;
            program.launch("nepal_grade_features", (rows * n) as u64, &args)?;
            let (z, c) = (Matrix(args.z, n), Matrix(args.c, n));
            product(program, &args, z, set.inverse.address(), c, 0)?;
            program.launch("nepal_grade_largest", 32 * args.rows, &args)?;
        }
        Ok(())
    }

    /// Grades of the ridge form; with a limit, those that are not above it are bounds.
    pub(super) fn ridge(
        &mut self,
        program: &Program,
        set: &Ridge,
        limited: bool,
        mut args: GradeArgs,
    ) -> Result<()> {
        let ([h, d], k) = (set.widths, set.k);
        let (rows, starts) = launches(&args, 8 * (h + d + 2 * k + 2));
        args.rows = rows as u64;
        args.s = self.sides[0].reserve(rows * h)?;
        args.t = self.sides[1].reserve(rows * d)?;
        args.p = self.products.reserve(rows * k)?;
        args.c = self.coefficients.reserve(rows * k)?;
        args.left = self.left.reserve(rows)?;
        args.passed = self.passed.reserve(rows)?;
        for first in starts {
            args.first = first;
            let mut rest = args;
            if limited && k > TILE {
                rest.passed_count = self.passed_count.zero(1)?;
                let look = GradeArgs {
                    k: TILE as u64,
                    flags: flags::LOOK,
                    ..rest
                };
                forward(program, set, &look)?;
                (rest.first, rest.list, rest.count) = (0, rest.passed, rest.passed_count);
            }
            let need = match limited {
                true => self.need.zero(rows / TILE)?,
                false => 0,
            };
            forward(program, set, &GradeArgs { need, ..rest })?;
            rest.need = need;
            let (p, c) = (Matrix(rest.p, k), Matrix(rest.c, k));
            product(program, &rest, p, set.back.address(), c, flags::FROM)?;
            program.launch("nepal_grade_parts", 32 * rest.rows, &rest)?;
        }
        Ok(())
    }
}

/// λΓ² by the first `args.k` active rows.
fn forward(program: &Program, set: &Ridge, args: &GradeArgs) -> Result<()> {
    let [h, d] = set.widths;
    let k = args.k as usize;
    let all = GradeArgs { need: 0, ..*args };
    let (s, t) = (Matrix(args.s, h), Matrix(args.t, d));
    let (c, p) = (Matrix(args.c, k), Matrix(args.p, k));
    let [by_s, by_t] = [0, 1].map(|i| set.sides[i].address());
    program.launch("nepal_grade_sides", args.rows * (h + d) as u64, args)?;
    product(program, &all, s, by_s, c, 0)?;
    product(program, &all, t, by_t, c, flags::MULTIPLY)?;
    product(program, &all, c, set.down.address(), p, flags::UP_TO)?;
    program.launch("nepal_grade_left", 32 * args.rows, args)
}
