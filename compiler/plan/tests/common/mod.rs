//! Programs to plan, and ways to look at plans.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod gpt;
pub mod inspect;

use einmesh_diagnostics::{FileId, Span};
use einmesh_ir::directive::{Fsdp, ShardDims, ShardValue};
use einmesh_ir::{BinaryOp, DType, DimId, Directives, Expr, Program, Reducer, UnaryOp, ValueId};

/// A span that tests can recognise.
pub fn span(start: u32) -> Span {
    Span { file: FileId(0), start, end: start + 1 }
}

pub fn add(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Add, a, b)
}

pub fn sub(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Sub, a, b)
}

pub fn mul(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Mul, a, b)
}

pub fn exp(a: Expr) -> Expr {
    Expr::unary(UnaryOp::Exp, a)
}

pub fn float(value: f64) -> Expr {
    Expr::float(DType::F32, f64::from(value as f32))
}

/// A builder that names dims and indices by letters: `"b t d"`.
pub struct Make {
    pub b: einmesh_ir::Builder,
}

impl Make {
    pub fn new(name: &str, dims: &[(&str, u64)]) -> Make {
        let mut b = einmesh_ir::Builder::new(name);
        for (dim, extent) in dims {
            b.dim(dim, *extent);
        }
        Make { b }
    }

    pub fn dim(&self, name: &str) -> DimId {
        dim(&self.b.program, name)
    }

    fn dims(&self, names: &str) -> Vec<DimId> {
        names.split_whitespace().map(|n| self.dim(&n.to_uppercase())).collect()
    }

    pub fn input(&mut self, name: &str, dtype: DType, dims: &str) -> ValueId {
        let dims = self.dims(dims);
        self.b.input(name, dtype, &dims)
    }

    /// A leaf of a record.
    pub fn leaf(&mut self, tensor: &str, dims: &str, records: &[&str]) -> ValueId {
        let value = self.input(&tensor.replace(".{}", ""), DType::F32, dims);
        let input = self.b.program.inputs.last_mut().expect("just added");
        input.tensor = tensor.to_owned();
        input.axes.truncate(input.axes.len() - tensor.matches("{}").count());
        input.records = records.iter().map(|r| (*r).to_owned()).collect();
        value
    }

    /// `name[free] = reducer over reduced of body`; `body` looks indices up by letter.
    pub fn compute(
        &mut self,
        name: &str,
        free: &str,
        reducer: Reducer,
        reduced: &str,
        body: impl FnOnce(&dyn Fn(ValueId, &str) -> Expr) -> Expr,
    ) -> ValueId {
        self.typed(name, DType::F32, free, reducer, reduced, body)
    }

    pub fn typed(
        &mut self,
        name: &str,
        dtype: DType,
        free: &str,
        reducer: Reducer,
        reduced: &str,
        body: impl FnOnce(&dyn Fn(ValueId, &str) -> Expr) -> Expr,
    ) -> ValueId {
        let (free_dims, reduced_dims) = (self.dims(free), self.dims(reduced));
        let letters: Vec<String> =
            free.split_whitespace().chain(reduced.split_whitespace()).map(str::to_owned).collect();
        self.b.compute(name, dtype, &free_dims, &reduced_dims, reducer, |indices| {
            let load = |value: ValueId, subs: &str| {
                let sub = |s: &str| match letters.iter().position(|l| l == s) {
                    Some(position) => indices[position].clone(),
                    None => Expr::int(s.parse().expect("an index or a number")),
                };
                Expr::load(value, subs.split_whitespace().map(sub))
            };
            body(&load)
        })
    }

    /// `name[free] = Σ over reduced of a[…] · b[…]`.
    pub fn einsum(
        &mut self,
        name: &str,
        free: &str,
        reduced: &str,
        a: (ValueId, &str),
        b: (ValueId, &str),
    ) -> ValueId {
        self.compute(name, free, Reducer::Sum, reduced, |l| mul(l(a.0, a.1), l(b.0, b.1)))
    }
}

pub fn dim(program: &Program, name: &str) -> DimId {
    let found = program.dims.iter().find(|(_, d)| d.name == name);
    found.unwrap_or_else(|| panic!("no dim {name}")).0
}

/// The last value of this name.
pub fn value(program: &Program, name: &str) -> ValueId {
    let found = program.values.iter().rev().find(|(_, v)| v.name == name);
    found.unwrap_or_else(|| panic!("no value {name}")).0
}

/// `@mesh(…)`.
pub fn mesh(axes: &[(&str, u64)]) -> Directives {
    let mesh = axes.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    Directives { mesh, mesh_span: Some(span(1)), ..Directives::default() }
}

/// `@shard(axis: [dims])`.
pub fn shard(program: &Program, axis: &str, dims: &[&str], at: u32) -> ShardDims {
    let text = match dims {
        [one] => format!("@shard({axis}: {one})"),
        all => format!("@shard({axis}: [{}])", all.join(", ")),
    };
    ShardDims {
        axis: axis.to_owned(),
        dims: dims.iter().map(|d| (dim(program, d), Some(span(at + 1)))).collect(),
        pad: true,
        text,
        span: Some(span(at)),
    }
}

/// `@shard(value: [Dim: axis, …])`.
pub fn shard_value(
    program: &Program,
    name: &str,
    dims: &[(&str, &[&str])],
    open: bool,
    at: u32,
) -> ShardValue {
    let values = program.values.iter().filter(|(_, v)| v.name == name).map(|(id, _)| id);
    let list: Vec<String> =
        dims.iter().map(|(d, axes)| format!("{d}: {}", axes.join("+"))).collect();
    ShardValue {
        values: values.collect(),
        dims: dims
            .iter()
            .map(|(d, axes)| (dim(program, d), axes.iter().map(|a| (*a).to_owned()).collect()))
            .collect(),
        open,
        text: format!("@shard({name}: [{}])", list.join(", ")),
        span: Some(span(at)),
    }
}

pub fn fsdp(axis: &str, record: &str, at: u32) -> Fsdp {
    Fsdp {
        axis: axis.to_owned(),
        record: record.to_owned(),
        prefetch: true,
        text: format!("@fsdp({axis}: {record})"),
        span: Some(span(at)),
    }
}
