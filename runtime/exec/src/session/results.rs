//! What a session that has ended leaves behind.

use super::machine::Machine;
use super::{Family, shards};
use crate::error::RunError;
use crate::tensors::Tensor;
use einmesh_artifact::Manifest;
use std::sync::Arc;

/// The outputs of a session's last run. Each is taken once, and its memory goes back to the system then: a state as
/// large as a model can be made by one program and given to another without ever being in memory twice.
pub struct Results {
    machine: Arc<Machine>,
    family: Arc<Family>,
    /// Which memory each buffer has.
    slots: Vec<u32>,
    /// Whether each output has been taken.
    taken: Vec<bool>,
}

impl Results {
    pub(super) fn new(machine: Arc<Machine>, family: Arc<Family>, slots: Vec<u32>) -> Results {
        let taken = vec![false; machine.manifest().outputs.len()];
        let results = Results { machine, family, slots, taken };
        // After a failed run, its threads may still be at work in the memory.
        if let Ok(_turn) = results.family.turn() {
            results.release_inputs();
        }
        results
    }

    /// The description of the program that made them.
    pub fn manifest(&self) -> &Manifest {
        self.machine.manifest()
    }

    /// Puts an output together, as [`Session::output`](super::Session::output) does, and gives its memory back.
    /// `None` if it was taken before.
    pub fn take(&mut self, output: usize) -> Result<Option<Tensor>, RunError> {
        let _turn = self.family.turn()?;
        if std::mem::replace(&mut self.taken[output], true) {
            return Ok(None);
        }
        let tensor = shards::assemble(&self.machine, output, &self.slots);
        let slot = self.slot(output);
        if !self.awaited().any(|other| other == slot) {
            let bytes = self.machine.sizes[slot as usize] as usize;
            for device in &self.machine.devices {
                let memory = device.home[slot as usize];
                if self.machine.outputs.contains(memory) {
                    // SAFETY: the session has ended, so that nothing runs in memory of its own, and no output
                    // that is still to be taken is there.
                    unsafe { self.machine.outputs.release(memory, bytes) };
                }
            }
        }
        Ok(Some(tensor))
    }

    /// Gives the inputs' memory back, but where other sessions have it too or outputs are.
    fn release_inputs(&self) {
        for (input, tensor) in self.machine.inputs.iter().zip(&self.manifest().inputs) {
            let kept = self.awaited().any(|slot| slot == tensor.buffer);
            if !kept && Arc::strong_count(input) == 1 {
                // SAFETY: the memory is this session's alone, which has ended, and holds no output.
                unsafe { input.release() };
            }
        }
    }

    /// The memory of the outputs that have not been taken.
    fn awaited(&self) -> impl Iterator<Item = u32> {
        let left = self.taken.iter().enumerate().filter(|(_, taken)| !**taken);
        left.map(|(output, _)| self.slot(output))
    }

    fn slot(&self, output: usize) -> u32 {
        self.slots[self.manifest().outputs[output].buffer as usize]
    }
}
