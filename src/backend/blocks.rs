//! B projections in blocks of atoms of one type, for products of matrices.
//!
//! The projections of all atoms can be many times larger than everything else; descriptors and
//! hidden neurons, which a force evaluation has anyway, say the same in a fraction of the memory.

use crate::error::{Error, Result};
use crate::model::Model;

/// Numbers that blocks can be made of: f64, or f32 for products at twice the speed.
pub trait Feature: Copy + Default + Send + Sync + 'static {
    /// Rounded from f64.
    fn of(x: f64) -> Self;
}

impl Feature for f64 {
    fn of(x: f64) -> Self {
        x
    }
}

impl Feature for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
}

/// The B projections of some atoms of one type.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a, T> {
    /// Type of the atoms.
    pub kind: usize,
    /// The atoms, ascending.
    pub atoms: &'a [u32],
    /// Their B projections, as [`crate::nep::network::projection`] orders them. Shape
    /// `[atoms][neurons * (dim + 2)]`.
    pub rows: &'a [T],
}

/// Hands over the B projections of all atoms, `size` atoms of a type at a time, in one buffer.
///
/// **Shapes**: `types` `[n_atoms]`, `descriptors` `[n_atoms][dim]` (scaled) and `neurons`
/// `[n_atoms][neurons]` as an evaluation with [`DESCRIPTORS`](super::Request::DESCRIPTORS) and
/// [`NEURONS`](super::Request::NEURONS) gives them.
///
/// **Errors**: arrays that do not fit the model, two hidden layers, a `size` of 0, and those of
/// `take`, at which it stops.
pub fn projection_blocks<T: Feature>(
    model: &Model,
    types: &[u32],
    descriptors: &[f64],
    neurons: &[f64],
    size: usize,
    mut take: impl FnMut(Block<'_, T>) -> Result<()>,
) -> Result<()> {
    let (dim, n1) = (model.dim(), model.header().neurons[0]);
    super::check_projections(model, super::Request::PROJECTIONS)?;
    for (what, found, each) in [
        ("descriptors", descriptors.len(), dim),
        ("neurons", neurons.len(), n1),
    ] {
        if found != types.len() * each {
            return Err(Error::invalid(format!(
                "{found} {what} were given; expected {each} for each of {} atoms",
                types.len()
            )));
        }
    }
    if size == 0 {
        return Err(Error::invalid(
            "blocks of 0 atoms were asked for; expected at least 1",
        ));
    }
    let width = n1 * (dim + 2);
    let mut rows = Vec::new();
    for kind in 0..model.elements().len() {
        let net = model.network(kind);
        let of_kind = |&i: &u32| types[i as usize] as usize == kind;
        let atoms: Vec<u32> = (0..types.len() as u32).filter(of_kind).collect();
        for atoms in atoms.chunks(size) {
            rows.resize(atoms.len() * width, T::default());
            for (&i, row) in atoms.iter().zip(rows.chunks_exact_mut(width)) {
                let i = i as usize;
                let (q, x) = (&descriptors[i * dim..][..dim], &neurons[i * n1..][..n1]);
                let each = row.chunks_exact_mut(dim + 2);
                for ((row, &x), &w) in each.zip(x).zip(net.w1) {
                    let slope = w * (1.0 - x * x);
                    for (out, q) in row.iter_mut().zip(q) {
                        *out = T::of(slope * q);
                    }
                    row[dim] = T::of(-slope);
                    row[dim + 1] = T::of(x);
                }
            }
            let rows = &rows[..atoms.len() * width];
            take(Block { kind, atoms, rows })?;
        }
    }
    Ok(())
}
