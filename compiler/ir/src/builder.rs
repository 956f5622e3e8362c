//! Building programs by hand, for passes and tests.

use crate::arena::Arena;
use crate::dtype::DType;
use crate::expr::{Expr, IndexId};
use crate::program::*;

/// Appends to a program's outermost block.
///
/// Indices are named by lower-case dim names: with dims `I J`, `"i"` ranges over `I`.
#[derive(Default, Debug)]
pub struct Builder {
    /// The program so far.
    pub program: Program,
}

impl Builder {
    /// A builder of an empty program.
    pub fn new(name: &str) -> Builder {
        Builder { program: Program { name: name.to_owned(), ..Program::default() } }
    }

    /// Declares a dim.
    pub fn dim(&mut self, name: &str, extent: u64) -> DimId {
        self.program.dims.push(Dim {
            name: name.to_owned(),
            extent,
            role_of: None,
            symbolic: false,
        })
    }

    /// Declares a value without defining it.
    pub fn value(&mut self, name: &str, dtype: DType, dims: &[DimId]) -> ValueId {
        let origin = Origin::default();
        self.program.values.push(Value {
            name: name.to_owned(),
            dtype,
            dims: dims.to_vec(),
            origin,
        })
    }

    /// Declares an argument of the entry.
    pub fn input(&mut self, name: &str, dtype: DType, dims: &[DimId]) -> ValueId {
        let value = self.value(name, dtype, dims);
        self.program.inputs.push(Input {
            value,
            path: name.to_owned(),
            tensor: name.to_owned(),
            records: Vec::new(),
            axes: vec![1; dims.len()],
            donated: false,
        });
        value
    }

    /// Appends `name[dims…] = ⊕ over reduced of body`; `body` gets the indices, free ones first.
    pub fn compute(
        &mut self,
        name: &str,
        dtype: DType,
        dims: &[DimId],
        reduced: &[DimId],
        reducer: Reducer,
        body: impl FnOnce(&[Expr]) -> Expr,
    ) -> ValueId {
        let out = self.value(name, dtype, dims);
        let indices: Arena<IndexId, Index> = dims
            .iter()
            .chain(reduced)
            .map(|d| Index { name: self.program.dims[*d].name.to_lowercase(), dim: *d })
            .collect();
        let exprs: Vec<Expr> = indices.ids().map(Expr::Index).collect();
        self.program.body.ops.push(Op::Compute(Comprehension {
            out,
            indices,
            free: dims.len(),
            reducer,
            guard: None,
            body: body(&exprs),
            store: None,
        }));
        out
    }

    /// Appends an einsum of two values: each index of `lhs` and `rhs` that is not in `dims` is summed.
    pub fn einsum(&mut self, name: &str, dims: &[DimId], lhs: ValueId, rhs: ValueId) -> ValueId {
        let mut reduced: Vec<DimId> = Vec::new();
        let (ld, rd) =
            (self.program.values[lhs].dims.clone(), self.program.values[rhs].dims.clone());
        for dim in ld.iter().chain(&rd) {
            if !dims.contains(dim) && !reduced.contains(dim) {
                reduced.push(*dim);
            }
        }
        let all: Vec<DimId> = dims.iter().chain(&reduced).copied().collect();
        let dtype = self.program.values[lhs].dtype;
        let reducer = if reduced.is_empty() { Reducer::None } else { Reducer::Sum };
        self.compute(name, dtype, dims, &reduced, reducer, |ix| {
            let sub = |d: &DimId| {
                ix[all.iter().position(|x| x == d).expect("a dim of the einsum")].clone()
            };
            let load = |v: ValueId, ds: &[DimId]| Expr::load(v, ds.iter().map(sub));
            Expr::binary(crate::BinaryOp::Mul, load(lhs, &ld), load(rhs, &rd))
        })
    }

    /// Declares a result of the entry.
    pub fn output(&mut self, value: ValueId) {
        let Value { name, dims, .. } = &self.program.values[value];
        self.program.outputs.push(Output {
            value,
            path: name.clone(),
            tensor: name.clone(),
            axes: vec![1; dims.len()],
        });
    }

    /// The finished program.
    pub fn finish(self) -> Program {
        self.program
    }
}
