//! What an objective has beside its structures: a repulsion that is trained, a device that computes.

use super::repulsion::{Bent, Flexible, Repelled};
use super::{Engine, Objective, parts};
use nepal::error::Result;
use std::sync::Mutex;

impl Objective {
    /// Trains the repulsion, too.
    ///
    /// **Errors**: as [`Flexible::new`].
    pub fn train_repulsion(&mut self) -> Result<()> {
        let mut repulsion = Flexible::new(&self.header)?;
        for group in &self.groups {
            repulsion.add(&group.chunk, &parts(&self.samples, &group.members))?;
        }
        self.repulsion = Some(repulsion);
        Ok(())
    }

    /// Number of parameters, coordinates of the repulsion included.
    pub fn n_parameters(&self) -> usize {
        self.layout.len() + self.repulsion.as_ref().map_or(0, Flexible::len)
    }

    /// The trained repulsion at some parameters; that of the start if they end before it.
    pub fn bent(&self, parameters: &[f64]) -> Option<Bent> {
        let own = parameters.get(self.layout.len()..)?;
        let repulsion = self.repulsion.as_ref().filter(|r| own.len() == r.len())?;
        Some(repulsion.at(own))
    }

    /// A loss of a group's results with the trained repulsion.
    pub fn repelled<'a, L>(
        &'a self,
        group: usize,
        bent: Option<&'a Bent>,
        inner: L,
    ) -> Repelled<'a, L> {
        let by = self.repulsion.as_ref().zip(bent);
        Repelled::new(inner, by.map(|(repulsion, bent)| (repulsion, bent, group)))
    }

    /// Number of atoms.
    pub fn n_atoms(&self) -> usize {
        self.groups.iter().map(|g| g.chunk.n_atoms).sum()
    }

    /// Computes on a device from now on, but for [`Objective::descriptors`].
    pub fn compute_on(&mut self, engine: Engine) {
        self.device = Mutex::new(Some(engine));
    }

    /// Whether a device computes.
    pub fn has_device(&self) -> bool {
        self.device.lock().is_ok_and(|device| device.is_some())
    }

    /// What became of the device since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes
            .lock()
            .map(|mut notes| std::mem::take(&mut *notes))
            .unwrap_or_default()
    }

    /// What the device gives, if there is one. A device that fails is given up: the processor goes on
    /// from where it was. Not to be called from several tasks of a pool at once.
    pub fn on_device<R>(&self, compute: impl FnOnce(&mut Engine) -> Result<R>) -> Option<R> {
        // A task that waits for others may be handed one that wants the device, too.
        let mut device = self.device.try_lock().ok()?;
        match compute(device.as_mut()?) {
            Ok(result) => Some(result),
            Err(e) => {
                *device = None;
                if let Ok(mut notes) = self.notes.lock() {
                    notes.push(format!("the processor took over from the GPU: {e}"));
                }
                None
            }
        }
    }
}
