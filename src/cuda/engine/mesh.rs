//! Sums over waves on a mesh, for many atoms: the kernels of `kernels/mesh.cu` in their order.
//!
//! The transform is our own: cuFFT would be one more library to find on each machine, the text of these kernels is all
//! that NVRTC needs, and a processor can run them.

use super::super::args::{Address, Args, flags};
use super::super::driver::Device;
use super::super::memory::Buffer;
use super::super::program::Program;
use nepal_core::error::Result;
use nepal_core::nep::bell::{Bell, Grid};
use std::sync::Arc;

/// Components of a virial that a field has.
const COMPONENTS: u64 = 6;

/// What is kept on the device, for the last grid.
#[derive(Debug)]
pub(super) struct Mesh {
    grid: Option<Grid>,
    bell: Buffer<f64>,
    powers: usize,
    /// The bell's transform to the power −2, along each direction.
    factors: Buffer<f64>,
    whole: Buffer<u64>,
    /// Complex numbers: the transform, and what it is made of and becomes.
    points: [Buffer<f64>; 3],
}

impl Mesh {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            grid: None,
            bell: Buffer::new(device),
            powers: 0,
            factors: Buffer::new(device),
            whole: Buffer::new(device),
            points: [0; 3].map(|_| Buffer::new(device)),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let points = self.points.iter().map(Buffer::bytes).sum::<usize>();
        points + self.bell.bytes() + self.factors.bytes() + self.whole.bytes()
    }

    /// The field of an interaction at all atoms, to `own.field_parts` as one part. `own` has strengths, fractional
    /// coordinates, screening and unit of the waves' weights.
    pub fn field(&mut self, program: &Program, mut own: Args, grid: Grid) -> Result<()> {
        self.prepare(&mut own, grid)?;
        let rows = own.rows;
        let places = self.points.each_mut().map(|b| b.reserve(2 * rows as usize));
        let [a, b, c] = places;
        let (a, b, c) = (a?, b?, c?);
        own.mesh_whole = self.whole.reserve(rows as usize)?;
        program.launch("nepal_mesh_clear", rows, &own)?;
        program.launch("nepal_mesh_spread", own.n_local * own.bell, &own)?;
        own.mesh_to = a;
        program.launch("nepal_mesh_read", rows, &own)?;
        let spectrum = transform(program, own, [a, b], -1.0)?;
        let spare = if spectrum == a { b } else { a };
        let wanted = match own.flags & flags::WANT_VIRIAL {
            0 => 0,
            _ => COMPONENTS,
        };
        for component in 0..=wanted {
            own.component = component;
            (own.mesh_from, own.mesh_to) = (spectrum, c);
            program.launch("nepal_mesh_weigh", rows, &own)?;
            own.mesh_from = transform(program, own, [c, spare], 1.0)?;
            program.launch("nepal_mesh_atoms", own.n_local, &own)?;
        }
        Ok(())
    }

    /// Tables of a grid, unless it is the last one.
    fn prepare(&mut self, own: &mut Args, grid: Grid) -> Result<()> {
        let bell = Bell::new(grid.fineness);
        if self.grid != Some(grid) {
            self.grid = None;
            let rows = bell.coefficients();
            self.powers = rows.len();
            self.bell.upload(rows.as_flattened())?;
            let along = |n: usize| {
                let turns = move |m: usize| {
                    let signed = if 2 * m > n {
                        m as f64 - n as f64
                    } else {
                        m as f64
                    };
                    signed / n as f64
                };
                (0..n).map(move |m| bell.transform(turns(m)).powi(-2))
            };
            let factors: Vec<f64> = grid.size.into_iter().flat_map(along).collect();
            self.factors.upload(&factors)?;
            self.grid = Some(grid);
        }
        own.mesh = grid.size.map(|n| n as u64);
        own.rows = own.mesh.iter().product();
        own.bell = bell.width as u64;
        own.powers = self.powers as u64;
        own.bell_rows = self.bell.address();
        own.mesh_factors = self.factors.address();
        Ok(())
    }
}

/// The transform along all directions of what is at the first of two places, by exp(turn 2πi ...); where it is then.
fn transform(
    program: &Program,
    mut own: Args,
    [mut from, mut to]: [Address; 2],
    turn: f64,
) -> Result<Address> {
    own.turn = turn;
    for along in 0..3 {
        own.along = along as u64;
        own.inner = own.mesh[along + 1..].iter().product();
        own.done = 1;
        let mut left = own.mesh[along];
        for radix in [4, 2, 3, 5, 7] {
            while left.is_multiple_of(radix) {
                (own.radix, own.mesh_from, own.mesh_to) = (radix, from, to);
                program.launch("nepal_mesh_transform", own.rows / radix, &own)?;
                own.done *= radix;
                left /= radix;
                (from, to) = (to, from);
            }
        }
    }
    Ok(from)
}
