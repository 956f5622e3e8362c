//! What can go wrong.

use einmesh_ir::Violation;
use std::fmt;

/// Why an evaluation has no result.
#[derive(Clone, PartialEq, Debug)]
pub enum EvalError {
    /// The program breaks invariants.
    Invalid(Vec<Violation>),
    /// There are more or fewer tensors than inputs.
    InputCount {
        /// The number of inputs.
        expected: usize,
        /// The number of tensors.
        got: usize,
    },
    /// A tensor is not of its input's type.
    InputType {
        /// The input's path.
        path: String,
        /// Its dtype and shape.
        expected: String,
        /// The tensor's.
        got: String,
    },
    /// A value has too many elements to be held.
    TooLarge {
        /// The value.
        value: String,
        /// The number of its elements, on each device.
        elements: u64,
    },
    /// A load that was claimed to stay in range did not.
    OutOfRange {
        /// The value that was being computed.
        out: String,
        /// The value that was loaded.
        value: String,
        /// Which of its subscripts.
        position: usize,
        /// What the subscript was.
        subscript: i64,
        /// The extent it must be below.
        extent: i64,
    },
    /// Two devices hold the same element of an output or a loop's condition, with different bits.
    Disagreement {
        /// The output's path, or the condition's name.
        path: String,
        /// The element's position in the whole tensor.
        position: Vec<u64>,
        /// The two ranks and what each holds.
        ranks: [(u64, String); 2],
    },
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Invalid(violations) => {
                write!(f, "the program is invalid:")?;
                violations.iter().try_for_each(|v| write!(f, "\n  {v}"))
            }
            EvalError::InputCount { expected, got } => {
                write!(f, "{got} tensors are given for {expected} inputs")
            }
            EvalError::InputType { path, expected, got } => {
                write!(f, "input `{path}` is {expected}, the tensor given is {got}")
            }
            EvalError::TooLarge { value, elements } => {
                write!(f, "{value} has {elements} elements, more than the interpreter holds")
            }
            EvalError::OutOfRange { out, value, position, subscript, extent } => write!(
                f,
                "{out}: subscript {position} of {value} is {subscript}, outside of {extent} positions, \
                 although it was proven in range"
            ),
            EvalError::Disagreement { path, position, ranks: [(a, x), (b, y)] } => write!(
                f,
                "devices disagree about `{path}` at {position:?}: rank {a} has {x}, rank {b} has {y}"
            ),
        }
    }
}

impl std::error::Error for EvalError {}
