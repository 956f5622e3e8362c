//! Every point of the semantics that is documented on the types of `einmesh-ir`.

mod comprehensions;
mod control;
mod expressions;
mod generated;
mod naive;
mod partitioned;
mod speed;

use crate::{EvalError, Precision, Tensor, evaluate};
use einmesh_ir::{
    BinaryOp, Bounds, Builder, Comprehension, DType, DimId, Expr, Load, Op, Program, Reducer,
    ValueId,
};

/// A program under construction whose inputs already have elements.
struct Case {
    builder: Builder,
    inputs: Vec<Tensor>,
}

impl Case {
    fn new() -> Case {
        Case { builder: Builder::new("test"), inputs: Vec::new() }
    }

    fn dim(&mut self, name: &str, extent: u64) -> DimId {
        self.builder.dim(name, extent)
    }

    fn shape(&self, dims: &[DimId]) -> Vec<usize> {
        dims.iter().map(|d| self.builder.program.dims[*d].extent as usize).collect()
    }

    fn floats(&mut self, dtype: DType, dims: &[DimId], elements: &[f64]) -> ValueId {
        let shape = self.shape(dims);
        self.inputs.push(Tensor::float(dtype, &shape, elements.iter().copied()));
        self.builder.input(&format!("in{}", self.inputs.len()), dtype, dims)
    }

    fn ints(&mut self, dtype: DType, dims: &[DimId], elements: &[i64]) -> ValueId {
        let shape = self.shape(dims);
        self.inputs.push(Tensor::int(dtype, &shape, elements.iter().copied()));
        self.builder.input(&format!("in{}", self.inputs.len()), dtype, dims)
    }

    /// Appends a comprehension and makes it an output.
    fn compute(
        &mut self,
        dtype: DType,
        dims: &[DimId],
        reduced: &[DimId],
        reducer: Reducer,
        body: impl FnOnce(&[Expr]) -> Expr,
    ) -> ValueId {
        let name = format!("out{}", self.builder.program.outputs.len());
        let out = self.builder.compute(&name, dtype, dims, reduced, reducer, body);
        self.builder.output(out);
        out
    }

    /// The comprehension appended last.
    fn last(&mut self) -> &mut Comprehension {
        match self.builder.program.body.ops.last_mut() {
            Some(Op::Compute(c)) => c,
            _ => unreachable!("the case ends with a comprehension"),
        }
    }

    fn run(self, precision: Precision) -> Vec<Tensor> {
        self.try_run(precision).unwrap()
    }

    fn try_run(self, precision: Precision) -> Result<Vec<Tensor>, EvalError> {
        evaluate(&self.builder.finish(), &self.inputs, precision)
    }

    /// The elements of the only output.
    fn floats_out(self) -> Vec<f64> {
        self.run(Precision::Program)[0].floats().to_vec()
    }

    fn ints_out(self) -> Vec<i64> {
        self.run(Precision::Program)[0].ints().to_vec()
    }
}

fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::binary(op, a, b)
}

fn load(value: ValueId, subs: &[Expr]) -> Expr {
    Expr::load(value, subs.iter().cloned())
}

fn load_else(value: ValueId, subs: &[Expr], default: Expr) -> Expr {
    let bounds = Bounds::Else(Box::new(default));
    Expr::Load(Load { value, subs: subs.to_vec(), bounds })
}

fn gather(value: ValueId, subs: &[Expr]) -> Expr {
    Expr::Load(Load { value, subs: subs.to_vec(), bounds: Bounds::Clamp })
}

/// Floats that are equal, NaN to NaN and −0 apart from 0.
#[track_caller]
fn same(got: &[f64], expected: &[f64]) {
    let bits = |x: &[f64]| -> Vec<u64> {
        let canonical = |x: &f64| {
            if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
        };
        x.iter().map(canonical).collect()
    };
    assert_eq!(bits(got), bits(expected), "{got:?} instead of {expected:?}");
}
