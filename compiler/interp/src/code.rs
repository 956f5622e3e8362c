//! The flat form of an expression: instructions over registers of [`LANES`] numbers.
//!
//! One index of a comprehension is its *lane* index; an instruction works on consecutive positions of
//! it at a time, so that interpretation costs little per point. What does not depend on the lane index
//! is computed once per group of lanes and broadcast where it meets what does.

use einmesh_ir::{BinaryOp, DType, UnaryOp, ValueId};

/// How many points an instruction works on at most.
pub const LANES: usize = 128;

/// A register: a slot in the file of floats or of integers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reg {
    /// Whether it holds floats.
    pub float: bool,
    /// The position in its file.
    pub slot: usize,
    /// Whether it holds one number per lane, or a single one.
    pub varying: bool,
}

/// A position or offset that is affine in the atoms: `constant + Σ coefficient · env[slot]`, and
/// `step` more for each lane.
#[derive(Clone, PartialEq, Debug)]
pub struct Form {
    /// The value where all atoms are 0.
    pub constant: i64,
    /// Positions in the environment, with their coefficients; the lane index is among them.
    pub terms: Vec<(usize, i64)>,
    /// The lane index's coefficient.
    pub step: i64,
}

impl Form {
    /// The value for lane 0.
    pub fn base(&self, env: &[i64]) -> i64 {
        let terms = self.terms.iter();
        terms.fold(self.constant, |sum, (slot, c)| sum + c * env[*slot])
    }
}

/// What a load out of range gives, by lane.
#[derive(Clone, PartialEq, Debug)]
pub enum Outside {
    /// An error.
    Refuse,
    /// The nearest element.
    Clamp,
    /// The number in this register.
    Default(Reg),
}

/// A load whose subscripts are computed, or not known to be in range.
#[derive(Clone, PartialEq, Debug)]
pub struct Gather {
    /// The value read.
    pub value: ValueId,
    /// The register of each subscript.
    pub subs: Vec<Reg>,
    /// The value's extents.
    pub extents: Vec<i64>,
    /// What happens outside of them.
    pub outside: Outside,
}

/// What an instruction computes.
#[derive(Clone, PartialEq, Debug)]
pub enum Inst {
    /// A float constant, by its bits: 0 and −0 are different constants.
    Float(u64),
    /// An integer constant.
    Int(i64),
    /// An affine form's value.
    Affine(Form),
    /// An element at an offset that is known to be in range.
    Load(ValueId, Form),
    /// An element at computed subscripts.
    Gather(Gather),
    /// A function of floats or of integers of this dtype.
    Unary(UnaryOp, DType, Reg),
    /// A function of two floats, or two integers of this dtype.
    Binary(BinaryOp, DType, Reg, Reg),
    /// The second where the first is not 0, else the third.
    Select(Reg, Reg, Reg),
    /// A conversion to this dtype. Rounding is a step's own.
    Cast(DType, Reg),
    /// The same number in all lanes.
    Broadcast(Reg),
}

/// One instruction and its result.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// What is computed.
    pub inst: Inst,
    /// Where it goes; all operands stand in lower slots of their files.
    pub to: Reg,
    /// The dtype to which a float result is rounded; `F64` is none.
    pub round: DType,
}

/// A compiled expression.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Code {
    /// What is the same at every point, to be executed once.
    pub once: Vec<Step>,
    /// What is executed for every group of lanes.
    pub each: Vec<Step>,
    /// The number of float registers.
    pub floats: usize,
    /// The number of integer registers.
    pub ints: usize,
    /// Where each expression's result is.
    pub results: Vec<Reg>,
}

/// The register files.
#[derive(Clone, Debug, Default)]
pub struct Registers {
    /// [`LANES`] per float register.
    pub floats: Vec<f64>,
    /// [`LANES`] per integer register.
    pub ints: Vec<i64>,
}

impl Registers {
    /// The registers that some code needs.
    pub fn for_code(code: &Code) -> Registers {
        Registers { floats: vec![0.0; code.floats * LANES], ints: vec![0; code.ints * LANES] }
    }

    /// The first `n` lanes of a float register.
    pub fn float(&self, reg: Reg, n: usize) -> &[f64] {
        &self.floats[reg.slot * LANES..][..n]
    }

    /// The first `n` lanes of an integer register.
    pub fn int(&self, reg: Reg, n: usize) -> &[i64] {
        &self.ints[reg.slot * LANES..][..n]
    }
}
