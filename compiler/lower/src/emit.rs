//! Appends operations to the current block.

use crate::ctx::{Ctx, IndexVar};
use crate::dims::Axis;
use crate::values::{Array, Elem, mentioned, substitute};
use einmesh_ir::{
    Arena, BinaryOp, Bounds, Comprehension, DType, DimId, Expr, Index, IndexId, Literal, Op,
    Origin, Reducer, Store, Value, ValueId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A comprehension in the making, over index variables of the lowering.
pub(crate) struct Emission {
    pub dtype: DType,
    /// The indices of the result, in order.
    pub free: Vec<IndexId>,
    pub reduced: Vec<IndexId>,
    pub reducer: Reducer,
    pub guard: Option<Expr>,
    pub body: Expr,
}

/// The conjunction of conditions.
pub(crate) fn both(a: Option<Expr>, b: Option<Expr>) -> Option<Expr> {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(a), Some(b)) => Some(Expr::binary(BinaryOp::And, a, b)),
        (a, b) => a.or(b),
    }
}

impl Ctx<'_> {
    /// A new index variable over a dim.
    pub fn index_var(&mut self, name: &str, dim: DimId) -> IndexId {
        self.index_vars.push(IndexVar { name: name.to_owned(), dim, guard: None })
    }

    /// New index variables over the dims of axes, named after the dims.
    pub fn fresh_params(&mut self, axes: &[Axis]) -> Vec<IndexId> {
        let dims: Vec<DimId> = axes.iter().flat_map(|a| a.dims.iter().copied()).collect();
        let each = dims.into_iter().map(|dim| {
            let name = index_name(self.dim_name(dim));
            self.index_var(&name, dim)
        });
        each.collect()
    }

    /// The indices that expressions and the guards of their indices mention, beside `bound`.
    pub fn outer(&self, exprs: &[&Expr], bound: &[IndexId]) -> Vec<IndexId> {
        let mut found: BTreeSet<IndexId> = exprs.iter().flat_map(|e| mentioned(e)).collect();
        found.extend(bound);
        let mut open: Vec<IndexId> = found.iter().copied().collect();
        while let Some(index) = open.pop() {
            if let Some(guard) = &self.index_vars[index].guard {
                for other in mentioned(guard) {
                    if found.insert(other) {
                        open.push(other);
                    }
                }
            }
        }
        found.into_iter().filter(|i| !bound.contains(i)).collect()
    }

    /// The guards of index variables, together.
    pub fn guards(&self, indices: &[IndexId]) -> Option<Expr> {
        let each = indices.iter().map(|i| self.index_vars[*i].guard.clone());
        each.fold(None, both)
    }

    /// The dims of the indices, with stand-ins for repeated ones: a value has no dim twice.
    fn distinct_dims(&mut self, indices: &[IndexId]) -> Vec<DimId> {
        let mut dims: Vec<DimId> = Vec::new();
        for index in indices {
            let dim = self.index_vars[*index].dim;
            let dim = if dims.contains(&dim) { self.alias_dim(dim, &dims) } else { dim };
            dims.push(dim);
        }
        dims
    }

    /// Declares a value named after the current statement.
    pub fn value(&mut self, dtype: DType, dims: Vec<DimId>) -> ValueId {
        let origin = Origin { span: self.span, scope: self.frame().scope.clone() };
        let name = self.hint.clone();
        self.program.values.push(Value { name, dtype, dims, origin })
    }

    /// Appends an operation to the current block.
    pub fn push(&mut self, op: Op) {
        self.blocks.last_mut().expect("there is always a block").ops.push(op);
    }

    /// Appends a comprehension and returns its value.
    pub fn emit(&mut self, emission: Emission) -> ValueId {
        let dims = self.distinct_dims(&emission.free);
        let out = self.value(emission.dtype, dims.clone());
        let comprehension = self.comprehension(out, &dims, emission, None);
        self.push(Op::Compute(comprehension));
        out
    }

    /// Appends a store: all indices are free, and `base` gives the type.
    pub fn emit_store(
        &mut self,
        emission: Emission,
        base: ValueId,
        subs: Vec<Expr>,
        combine: Reducer,
    ) -> ValueId {
        let dims: Vec<DimId> = emission.free.iter().map(|i| self.index_vars[*i].dim).collect();
        let out_dims = self.program.values[base].dims.clone();
        let out = self.value(emission.dtype, out_dims);
        let comprehension = self.comprehension(out, &dims, emission, Some((base, subs, combine)));
        self.push(Op::Compute(comprehension));
        out
    }

    fn comprehension(
        &mut self,
        out: ValueId,
        free_dims: &[DimId],
        emission: Emission,
        store: Option<(ValueId, Vec<Expr>, Reducer)>,
    ) -> Comprehension {
        let Emission { free, reduced, reducer, guard, body, .. } = emission;
        let all: Vec<IndexId> = free.iter().chain(&reduced).copied().collect();
        let guard = both(guard, self.guards(&all));
        let guard = guard.filter(|g| *g != Expr::Literal(Literal::Bool(true)));
        let mut indices: Arena<IndexId, Index> = Arena::new();
        let mut map: BTreeMap<IndexId, Expr> = BTreeMap::new();
        for (position, id) in all.iter().enumerate() {
            let var = &self.index_vars[*id];
            let mut name = var.name.clone();
            let mut copy = 1;
            while indices.values().any(|i: &Index| i.name == name) {
                copy += 1;
                name = format!("{}_{copy}", var.name);
            }
            let dim = free_dims.get(position).copied().unwrap_or(var.dim);
            let local = indices.push(Index { name, dim });
            map.insert(*id, Expr::Index(local));
        }
        let local = |e: Expr| substitute(e, &map);
        Comprehension {
            out,
            indices,
            free: free.len(),
            reducer,
            guard: guard.map(local),
            body: local(body),
            store: store.map(|(base, subs, combine)| Store {
                base,
                subs: subs.into_iter().map(local).collect(),
                combine,
            }),
        }
    }

    /// Appends a comprehension over `reduced` and returns the load of its result, which is mapped over
    /// every other index that it depends on.
    pub fn reduce(
        &mut self,
        dtype: DType,
        reduced: Vec<IndexId>,
        reducer: Reducer,
        guard: Option<Expr>,
        body: Expr,
    ) -> Expr {
        let mut exprs = vec![&body];
        exprs.extend(&guard);
        let free = self.outer(&exprs, &reduced);
        let value =
            self.emit(Emission { dtype, free: free.clone(), reduced, reducer, guard, body });
        Expr::load(value, free.into_iter().map(Expr::Index))
    }

    /// The array as a stored value whose dims are `outer` and then the array's own.
    pub fn stored(&mut self, array: &Array, outer: &[IndexId]) -> ValueId {
        let dtype = array.elem.default_dtype();
        let free: Vec<IndexId> = outer.iter().chain(&array.params).copied().collect();
        let dims: Vec<DimId> = free.iter().map(|i| self.index_vars[*i].dim).collect();
        if let Expr::Load(load) = &array.body {
            let value = &self.program.values[load.value];
            let whole = load.subs.iter().map(Some).eq(free
                .iter()
                .map(|i| Expr::Index(*i))
                .collect::<Vec<_>>()
                .iter()
                .map(Some));
            let unguarded = self.guards(&free).is_none() && load.bounds == Bounds::Proven;
            if whole && unguarded && value.dims == dims && value.dtype == dtype {
                return load.value;
            }
        }
        let body = self.converted(array.body.clone(), array.elem, dtype);
        self.emit(Emission {
            dtype,
            free,
            reduced: vec![],
            reducer: Reducer::None,
            guard: None,
            body,
        })
    }

    /// The array backed by a stored value, so that using it many times costs nothing.
    pub fn settled(&mut self, array: Array) -> Array {
        if array.is_alias() || (array.params.is_empty() && array.literal().is_some()) {
            return array;
        }
        let outer = self.outer(&[&array.body], &array.params);
        let value = self.stored(&array, &outer);
        self.array_of(value, array.axes, &outer, array.params)
    }

    /// The array that a stored value holds for each of the `outer` indices.
    pub fn array_of(
        &mut self,
        value: ValueId,
        axes: Vec<Axis>,
        outer: &[IndexId],
        params: Vec<IndexId>,
    ) -> Array {
        let subs = outer.iter().chain(&params).map(|i| Expr::Index(*i));
        let body = Expr::load(value, subs.collect::<Vec<_>>());
        Array { axes, elem: Elem::Strong(self.program.values[value].dtype), params, body }
    }
}

/// The index that ranges over a dim.
pub(crate) fn index_name(dim: &str) -> String {
    let lower = dim.to_lowercase();
    if lower.starts_with(|c: char| c.is_ascii_digit()) { format!("n{lower}") } else { lower }
}
