//! The reference evaluator: what a program means, and so the oracle of all tests.
//!
//! [`evaluate`] runs a whole program on one device; [`evaluate_spmd`] runs a partitioned program on all
//! of its simulated devices in lock step, cutting whole tensors into local ones and putting results
//! together again. Either computes floats in f64 throughout ([`Precision::F64`]) or rounds as the
//! program's dtypes say ([`Precision::Program`]).
//!
//! Invariants:
//! * a program is verified first; an accepted program never panics;
//! * sums and all other reductions run in index order, row-major, so results do not depend on how the
//!   evaluator walks;
//! * a load that claims to be in range and is not is an error, never a number;
//! * positions that only exist because a dim was padded are filled with poison, so that a forgotten
//!   mask shows in the results.
//!
//! It is written for clarity first, but runs whole models in tests: each comprehension is compiled
//! once into a list of instructions (module `code`) that work on up to 128 points at a time.
//!
//! What this crate must not know: syntax, plans, targets, files.

mod code;
mod collective;
mod compare;
mod compile;
mod error;
mod exec;
mod kernel;
mod layout;
mod machine;
mod reduce;
mod scalar;
mod tensor;
#[cfg(test)]
mod tests;

pub use compare::{mismatch, random_inputs};
pub use error::EvalError;
pub use tensor::{Data, Tensor};

use einmesh_ir::{Mesh, Program, SpmdProgram, verify, verify_spmd};
use machine::Machine;
use std::rc::Rc;

/// How floats are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// In f64, without any rounding to narrower types.
    F64,
    /// Each operation is rounded to its dtype (f32 for half precision, see [`einmesh_ir::Expr`]), each
    /// value to its own when it is assigned; reductions accumulate in the accumulator's dtype.
    Program,
}

/// Evaluates a program; one tensor per input, in order, gives one per output.
///
/// # Errors
/// If the program breaks an invariant, an input does not fit, or a load leaves its value although it was
/// claimed to stay in range.
pub fn evaluate(
    program: &Program,
    inputs: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, EvalError> {
    let violations = verify(program);
    if !violations.is_empty() {
        return Err(EvalError::Invalid(violations));
    }
    layout::check_inputs(program, inputs, |value, _| program.extents(value))?;
    let mesh = Mesh::default();
    let mut machine = Machine::new(program, &mesh, precision);
    for (input, tensor) in program.inputs.iter().zip(inputs) {
        let local = layout::with_shape(tensor, program.extents(input.value), precision);
        machine.set(0, input.value, Rc::new(local));
    }
    machine.run()?;
    let outputs = program.outputs.iter().map(|o| Tensor::clone(machine.get(0, o.value)));
    Ok(outputs.collect())
}

/// Evaluates a partitioned program on all devices of its mesh; takes and gives whole tensors.
///
/// # Errors
/// As [`evaluate`], and if devices disagree about an element that each of them holds.
pub fn evaluate_spmd(
    spmd: &SpmdProgram,
    inputs: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, EvalError> {
    let violations = verify_spmd(spmd);
    if !violations.is_empty() {
        return Err(EvalError::Invalid(violations));
    }
    let program = &spmd.program;
    let whole = |at: usize| spmd.inputs[at].dims.iter().map(|d| d.global).collect::<Vec<u64>>();
    layout::check_inputs(program, inputs, |_, at| whole(at))?;
    let mut machine = Machine::new(program, &spmd.mesh, precision);
    for (at, (input, tensor)) in program.inputs.iter().zip(inputs).enumerate() {
        let tensor = layout::with_shape(tensor, whole(at), precision);
        for rank in 0..machine.devices() {
            let local = layout::cut(&tensor, &spmd.inputs[at], &spmd.mesh, rank);
            machine.set(rank, input.value, Rc::new(local));
        }
    }
    machine.run()?;
    let outputs = program.outputs.iter().zip(&spmd.outputs);
    outputs.map(|(o, layout)| layout::assemble(&machine, &o.path, o.value, layout)).collect()
}
