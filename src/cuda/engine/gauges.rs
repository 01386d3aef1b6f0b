//! Time and memory: yardsticks, clocks, bytes held.

use super::super::memory::Buffer;
use super::super::volume::Volume;
use super::{Correction, Engine};
use nepal_core::error::{Error, Result};

impl Engine {
    /// Copies 1 GiB and multiplies for some milliseconds, both `repeats` times; gives the bytes moved
    /// and the operations of each time.
    pub fn exercise(&mut self, repeats: usize, shrink: u32) -> Result<[f64; 2]> {
        let (doubles, threads) = ((1usize << 26) >> shrink, (1usize << 22) >> shrink);
        const ROUNDS: u64 = 1 << 10;
        let Some(loaded) = &self.loaded else {
            return Err(Error::invalid(
                "evaluate something first: the kernels are not loaded",
            ));
        };
        let mut args = self.args;
        let mut from = Buffer::<f64>::new(&self.device);
        let mut to = Buffer::<f64>::new(&self.device);
        args.input = from.zero(doubles)?;
        args.out = to.reserve(doubles)?;
        for _ in 0..repeats {
            args.rows = doubles as u64;
            loaded.program.launch("nepal_copy", args.rows, &args)?;
            args.rows = threads as u64;
            args.columns = ROUNDS;
            loaded
                .program
                .launch("nepal_multiply_add", args.rows, &args)?;
        }
        self.device.wait()?;
        Ok([16.0 * doubles as f64, 16.0 * threads as f64 * ROUNDS as f64])
    }

    /// Starts or stops timing the kernels.
    pub fn time(&mut self, on: bool) {
        self.timed = on;
        self.grader.time(on);
        if let Some(correction) = &mut self.correction {
            correction.program.time(on);
        }
        if let Some(volume) = &mut self.volume {
            volume.time(on);
        }
        if let Some(loaded) = &mut self.loaded {
            loaded.program.time(on);
        }
    }

    /// Milliseconds of each launch since the last call.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        let mut times = match &self.loaded {
            Some(loaded) => loaded.program.times()?,
            None => Vec::new(),
        };
        times.extend(self.grader.times()?);
        if let Some(correction) = &self.correction {
            times.extend(correction.program.times()?);
        }
        if let Some(volume) = &self.volume {
            times.extend(volume.times()?);
        }
        Ok(times)
    }

    /// Bytes held on the device, and those of them that many atoms share: the scratch of a batch.
    pub fn bytes(&self) -> [usize; 2] {
        let (s, o) = (&self.scratch, &self.outputs);
        let scratch = [&s.sums, &s.q, &s.neurons, &s.slope, &s.fp];
        let shared = scratch.map(Buffer::bytes).into_iter();
        let volume = self.volume.as_ref().map_or(0, Volume::bytes);
        let shared =
            shared.sum::<usize>() + self.grader.scratch_bytes() + self.sums.bytes() + volume;
        let outputs = [&o.energy, &o.descriptors, &o.neurons, &o.projections, &o.q];
        let own = outputs.map(Buffer::bytes).iter().sum::<usize>()
            + s.radial_slope.bytes()
            + o.forces.bytes()
            + o.virials.bytes()
            + self.positions.bytes()
            + self.types.bytes()
            + self.gradient.bytes()
            + self.lists.bytes()
            + self.far.bytes()
            + self.correction.as_ref().map_or(0, Correction::bytes)
            + self.grader.bytes();
        [own + shared, shared]
    }
}
