//! DFT-D3 on the device, for atoms that are all there are: neighbours farther away than the model's.

use super::super::args::{Args, flags};
use super::super::driver::Device;
use super::super::lists::{ListRequest, Lists, Positions};
use super::super::memory::Buffer;
use super::super::program::Program;
use super::super::source;
use super::{Atoms, Engine};
use nepal_core::error::{Error, Result};
use nepal_core::model::{Identity, Model};
use nepal_core::nep::d3::{D3, K1, K3, Kind};
use std::sync::Arc;

/// Numbers of an atom: forces and virials; weights and their derivatives; of a type: systems and their number.
const FAR: usize = 9;
const WEIGHTS: usize = 10;

/// The correction, and what it keeps on the device.
#[derive(Debug)]
pub(super) struct Correction {
    d3: D3,
    pub program: Program,
    pub lists: Lists,
    /// The model and types that tables are for, and the number of the types in the lists.
    of: Option<(Identity, Vec<u32>)>,
    listed: u64,
    /// Lists that stay need what is in here.
    args: Args,
    cutoffs: Buffer<f64>,
    pairs: Buffer<f64>,
    c6: Buffer<f64>,
    systems: Buffer<f64>,
    weights: Buffer<f64>,
    acting: Buffer<f64>,
    far: Buffer<f64>,
}

impl Correction {
    fn new(device: &Arc<Device>, program: Program, d3: D3) -> Self {
        let buffer = || Buffer::new(device);
        Self {
            d3,
            program,
            lists: Lists::new(device),
            of: None,
            listed: 0,
            args: Args::default(),
            cutoffs: buffer(),
            pairs: buffer(),
            c6: buffer(),
            systems: buffer(),
            weights: buffer(),
            acting: buffer(),
            far: buffer(),
        }
    }

    pub fn bytes(&self) -> usize {
        let tables = [&self.cutoffs, &self.pairs, &self.c6, &self.systems];
        let own = [&self.weights, &self.acting, &self.far];
        let all = tables.into_iter().chain(own).map(Buffer::bytes);
        all.sum::<usize>() + self.lists.bytes()
    }

    /// Tables for the types present.
    fn tables(&mut self, model: &Model, present: &[u32]) -> Result<()> {
        let known = |(of, types): &(Identity, Vec<u32>)| {
            of.same(model.identity()) && types.as_slice() == present
        };
        if self.of.as_ref().is_some_and(known) {
            return Ok(());
        }
        self.of = None;
        let kinds = present
            .iter()
            .map(|&t| Kind::new(model.elements()[t as usize]))
            .collect::<Result<Vec<_>>>()?;
        let each = || kinds.iter().flat_map(|a| kinds.iter().map(move |b| [a, b]));
        let reach = self.d3.reach();
        let cutoffs: Vec<f64> = each()
            .flat_map(|_| [reach, 0.0, 1.0 / reach, 0.0])
            .collect();
        self.cutoffs.upload(&cutoffs)?;
        let pairs: Vec<f64> = each().flat_map(|pair| self.d3.pair(pair)).collect();
        self.pairs.upload(&pairs)?;
        let c6: Vec<f64> = each()
            .flat_map(|[a, b]| a.c6_with(b).into_iter().flatten())
            .collect();
        self.c6.upload(&c6)?;
        let systems: Vec<f64> = kinds.iter().flat_map(Kind::systems).collect();
        self.systems.upload(&systems)?;
        self.of = Some((model.identity(), present.to_vec()));
        Ok(())
    }

    fn enter(&mut self, args: &mut Args, n: usize) -> Result<()> {
        args.cutoffs = self.cutoffs.address();
        args.d3_pairs = self.pairs.address();
        args.d3_c6 = self.c6.address();
        args.d3_systems = self.systems.address();
        args.d3_weights = self.weights.reserve(WEIGHTS * n)?;
        args.acting = self.acting.reserve(n)?;
        args.far = self.far.reserve(FAR * n)?;
        let [pairs, counted, s6] = self.d3.limits();
        args.screen = [pairs, counted, s6, K1, K3, 0.0];
        Ok(())
    }
}

impl Engine {
    /// Adds a correction to atoms whose neighbours are found here from now on, or adds none.
    ///
    /// **Errors**: [`Error::Backend`] without NVRTC, and when it or the driver fails.
    pub fn set_correction(&mut self, d3: Option<D3>) -> Result<()> {
        if self.correction.as_ref().map(|own| &own.d3) == d3.as_ref() {
            return Ok(());
        }
        self.correction = None;
        if let Some(d3) = d3 {
            let mut program = Program::new(&self.device, &source::correction(), &self.options)?;
            program.time(self.timed);
            self.correction = Some(Correction::new(&self.device, program, d3));
        }
        Ok(())
    }

    /// Adds the correction to what an evaluation left on the device.
    pub(super) fn correct(
        &mut self,
        model: &Model,
        atoms: &Atoms<'_>,
        wanted: u64,
        gather: bool,
    ) -> Result<()> {
        let (Some(own), Some(loaded)) = (&mut self.correction, &self.loaded) else {
            return Ok(());
        };
        let n = atoms.n_local;
        own.tables(model, &loaded.present)?;
        let mut args = Args {
            n_local: n as u64,
            n_types: loaded.present.len() as u64,
            flags: wanted & flags::WANT_VIRIAL,
            positions: self.positions.address(),
            types: self.types.address(),
            out_energy: self.outputs.energy.address(),
            out_forces: self.outputs.forces.address(),
            out_virials: self.outputs.virials.address(),
            ..own.args
        };
        own.enter(&mut args, n)?;
        let request = ListRequest {
            cell: atoms.cell,
            positions: match atoms.positions {
                Some(positions) => Positions::Host(positions),
                None => Positions::Device(&self.positions, n),
            },
            n_total: n,
            still: atoms.still,
            ahead: self.ahead,
            cutoff: own.d3.reach(),
            origin: atoms.origin,
            new_types: own.listed != self.types_number,
            double: true,
        };
        let listed = own.lists.update(&own.program, &mut args, request);
        if listed.is_err() {
            own.lists.forget();
        }
        listed?;
        own.args = args;
        own.listed = self.types_number;
        own.program.launch("nepal_d3_counts", args.n_local, &args)?;
        own.program.launch("nepal_d3_pairs", args.n_local, &args)?;
        if gather {
            own.program.launch("nepal_d3_forces", args.n_local, &args)?;
        }
        Ok(())
    }

    /// **Errors**: [`Error::Unsupported`] for a correction to atoms with a host's list on the device.
    pub(super) fn check_correction(&self) -> Result<()> {
        match self.correction {
            None => Ok(()),
            Some(_) => Err(Error::Unsupported(
                "D3 on a device needs atoms whose neighbours nepal finds, which are farther away than those of a host's \
                 list; hand over a cell with its atoms and no list, or atoms from the host"
                    .into(),
            )),
        }
    }
}
