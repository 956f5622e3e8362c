//! Random programs: comprehensions of every kind, stores, sorts, random numbers and loops.

use super::Rng;
use super::exprs::{LARGEST, Scope, literal};
use einmesh_ir::{
    Arena, Argsort, BinaryOp, Block, Builder, Carried, Collected, Comprehension, DType, DimId,
    Expr, Index, IndexId, Literal, Loop, LoopVar, Op, Program, Reducer, Store, UnaryOp, ValueId,
};

/// A random program of at most `ops` operations in its outermost block.
pub fn program(seed: u64, ops: usize) -> Program {
    let mut rng = Rng(seed);
    let mut builder = Builder::new("random");
    let mut dims: Vec<DimId> = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        let extent = *rng.pick(&[1, 2, 3, 4, 4, 5, 6, 7]);
        dims.push(builder.dim(name, extent));
    }
    let first = builder.program.dims[dims[0]].extent;
    dims.push(builder.dim("R", first));
    dims.push(builder.dim("S", 2 * first));
    let mut values = Vec::new();
    let mut bound = std::collections::BTreeMap::new();
    let kinds =
        [DType::F32, DType::F32, DType::F32, DType::I32, DType::I32, DType::Bool, DType::Key];
    for (at, dtype) in kinds.into_iter().enumerate() {
        let mut shape = dims.clone();
        rng.shuffle(&mut shape);
        shape.truncate(if dtype == DType::Key { 0 } else { 1 + rng.below(3) });
        let value = builder.input(&format!("in{at}"), dtype, &shape);
        values.push(value);
        bound.insert(value, 8.0);
    }
    let scope =
        Scope { rng, program: builder.finish(), values: vec![values], vars: Vec::new(), bound };
    let mut ctx = Gen { scope, dims, blocks: vec![Vec::new()], count: 0, wild: Vec::new() };
    for _ in 0..1 + ctx.scope.rng.below(ops) {
        ctx.op();
    }
    ctx.finish()
}

struct Gen {
    scope: Scope,
    dims: Vec<DimId>,
    blocks: Vec<Vec<Op>>,
    count: usize,
    /// Values that may be infinite, or of a type that nothing else has.
    wild: Vec<ValueId>,
}

impl Gen {
    fn finish(mut self) -> Program {
        let made = self.scope.values[0].split_off(7);
        let mut program = self.scope.program;
        program.body = Block { ops: self.blocks.remove(0) };
        let mut builder = Builder { program };
        for value in made.into_iter().chain(self.wild) {
            builder.output(value);
        }
        builder.finish()
    }

    fn shape(&mut self, most: usize) -> Vec<DimId> {
        let mut dims = self.dims.clone();
        self.scope.rng.shuffle(&mut dims);
        dims.truncate(self.scope.rng.below(most + 1));
        dims
    }

    fn value(&mut self, dtype: DType, dims: &[DimId], bound: f64) -> ValueId {
        self.count += 1;
        let program = std::mem::take(&mut self.scope.program);
        let mut builder = Builder { program };
        let value = builder.value(&format!("v{}", self.count), dtype, dims);
        self.scope.program = builder.finish();
        self.scope.bound.insert(value, bound);
        value
    }

    fn indices(&self, dims: &[DimId]) -> Arena<IndexId, Index> {
        let names = dims.iter().enumerate();
        let index = |(at, dim): (usize, &DimId)| Index {
            name: format!("{}{at}", self.scope.program.dims[*dim].name.to_lowercase()),
            dim: *dim,
        };
        names.map(index).collect()
    }

    fn push(&mut self, op: Op) {
        let defined = op.defines();
        self.blocks.last_mut().unwrap().push(op);
        self.scope.values.last_mut().unwrap().extend(defined);
    }

    fn op(&mut self) {
        match self.scope.rng.below(20) {
            0..5 => self.pointwise(),
            5..11 => self.reduce(),
            11..14 => self.einsum(),
            14..17 => self.store(),
            17 => self.argsort(),
            18 => self.random(),
            _ if self.scope.vars.len() < 2 => self.repeat(),
            _ => self.pointwise(),
        }
    }

    fn dtype(&mut self) -> DType {
        *self.scope.rng.pick(&[DType::F32, DType::F32, DType::F32, DType::I32, DType::Bool])
    }

    fn pointwise(&mut self) {
        let dims = self.shape(3);
        let dtype = self.dtype();
        let indices = self.indices(&dims);
        let (body, bound) = self.scope.expr(dtype, &indices, 2);
        let guard = self.guard(&indices, 15);
        let out = self.value(dtype, &dims, bound);
        self.compute(out, indices, dims.len(), Reducer::None, guard, body);
    }

    fn guard(&mut self, indices: &Arena<IndexId, Index>, percent: usize) -> Option<Expr> {
        let guarded = self.scope.rng.chance(percent);
        guarded.then(|| self.scope.condition(indices, 2))
    }

    fn compute(
        &mut self,
        out: ValueId,
        indices: Arena<IndexId, Index>,
        free: usize,
        reducer: Reducer,
        guard: Option<Expr>,
        body: Expr,
    ) {
        let store = None;
        self.push(Op::Compute(Comprehension { out, indices, free, reducer, guard, body, store }));
    }

    fn reduce(&mut self) {
        use Reducer::*;
        let mut dims = self.shape(4);
        if dims.is_empty() {
            dims.push(self.dims[0]);
        }
        let reducer =
            *self.scope.rng.pick(&[Sum, Sum, Sum, Max, Min, Prod, Any, All, ArgMax, ArgMin]);
        let reduced = match reducer {
            ArgMax | ArgMin => 1,
            _ => 1 + self.scope.rng.below(dims.len().min(2)),
        };
        let free = dims.len() - reduced;
        let indices = self.indices(&dims);
        let points: i64 = dims[free..].iter().map(|d| self.scope.extent(*d)).product();
        let dtype = match reducer {
            Any | All => DType::Bool,
            Prod => DType::I32,
            _ => *self.scope.rng.pick(&[DType::F32, DType::F32, DType::I32]),
        };
        let (body, bound) = self.scope.expr(dtype, &indices, 2);
        let limit = if reducer == Sum { LARGEST / points as f64 } else { LARGEST };
        let (body, bound) = self.scope.bounded(dtype, body, bound, limit);
        let guard = self.guard(&indices, 40);
        let out_dtype = match reducer {
            ArgMax | ArgMin => DType::I32,
            Sum if dtype == DType::F32 && self.scope.rng.chance(15) => DType::Bf16,
            _ => dtype,
        };
        let bound = match reducer {
            Sum => bound * points as f64,
            Any | All => 1.0,
            ArgMax | ArgMin => 16.0,
            // Products wrap, and an empty maximum is infinite.
            _ => f64::INFINITY,
        };
        let shape = dims[..free].to_vec();
        let out = self.value(out_dtype, &shape, bound);
        self.compute(out, indices, free, reducer, guard, body);
        if out_dtype == DType::Bf16 || bound.is_infinite() {
            self.tame(out, dtype);
        }
    }

    /// A value of small numbers in the place of one of any.
    fn tame(&mut self, value: ValueId, dtype: DType) {
        let dims = self.scope.program.values[value].dims.clone();
        let indices = self.indices(&dims);
        let load = Expr::load(value, indices.ids().map(Expr::Index));
        let load = match self.scope.program.values[value].dtype == dtype {
            true => load,
            false => Expr::cast(dtype, load),
        };
        let (body, bound) = self.scope.bounded(dtype, load, f64::INFINITY, 1.0);
        let out = self.value(dtype, &dims, bound);
        let free = dims.len();
        self.compute(out, indices, free, Reducer::None, None, body);
        // The wild value may be an output, but nothing else reads it.
        for block in &mut self.scope.values {
            block.retain(|v| *v != value);
        }
        if self.blocks.len() == 1 {
            self.wild.push(value);
        }
    }

    fn einsum(&mut self) {
        let values: Vec<ValueId> = self.scope.visible(DType::F32);
        let (a, b) = (*self.scope.rng.pick(&values), *self.scope.rng.pick(&values));
        let mut all: Vec<DimId> = Vec::new();
        for value in [a, b] {
            for dim in &self.scope.program.values[value].dims {
                if !all.contains(dim) {
                    all.push(*dim);
                }
            }
        }
        if all.len() > 5 {
            return self.pointwise();
        }
        self.scope.rng.shuffle(&mut all);
        let free = self.scope.rng.below(all.len() + 1).min(3);
        let indices = self.indices(&all);
        let load = |ctx: &Self, value: ValueId| {
            let dims = &ctx.scope.program.values[value].dims;
            let at = |d: &DimId| IndexId(all.iter().position(|x| x == d).unwrap() as u32);
            Expr::load(value, dims.iter().map(|d| Expr::Index(at(d))))
        };
        let body = Expr::binary(BinaryOp::Mul, load(self, a), load(self, b));
        let points: i64 = all[free..].iter().map(|d| self.scope.extent(*d)).product();
        let bound = self.scope.bound[&a] * self.scope.bound[&b];
        let (body, bound) = self.scope.bounded(DType::F32, body, bound, LARGEST / points as f64);
        let reducer = if free == all.len() { Reducer::None } else { Reducer::Sum };
        let out = self.value(DType::F32, &all[..free], bound * points as f64);
        self.compute(out, indices, free, reducer, None, body);
    }

    fn store(&mut self) {
        use Reducer::*;
        let dtype = *self.scope.rng.pick(&[DType::F32, DType::F32, DType::I32]);
        let bases = self.scope.visible(dtype);
        if bases.is_empty() {
            return self.pointwise();
        }
        let base = *self.scope.rng.pick(&bases);
        let dims = self.scope.program.values[base].dims.clone();
        let mut space = self.shape(2);
        for dim in &dims {
            if !space.contains(dim) && self.scope.rng.chance(60) {
                space.push(*dim);
            }
        }
        space.truncate(4);
        let all = self.indices(&space);
        let combine = *self.scope.rng.pick(&[None, Sum, Sum, Sum, Max, Min]);
        let mut subs = Vec::new();
        for dim in &dims {
            let same = all.iter().find(|(_, i)| i.dim == *dim).map(|(id, _)| id);
            subs.push(match (same, combine) {
                (Some(index), None) => Expr::Index(index),
                (Option::None, None) => {
                    Expr::int(self.scope.rng.range(-1, self.scope.extent(*dim)))
                }
                _ => self.scope.subscript(*dim, &all, 1).0,
            });
        }
        // Free indices are those that the subscripts mention; the others are reduced.
        let used: Vec<IndexId> =
            all.ids().filter(|i| subs.iter().any(|s| s.mentions(*i))).collect();
        let rest: Vec<IndexId> = all.ids().filter(|i| !used.contains(i)).collect();
        let order: Vec<IndexId> = used.iter().chain(&rest).copied().collect();
        let renamed = |e: Expr| {
            e.map(&mut |e| match e {
                Expr::Index(i) => {
                    let at = order.iter().position(|x| *x == i).unwrap();
                    Expr::Index(IndexId(at as u32))
                }
                other => other,
            })
        };
        let subs: Vec<Expr> = subs.into_iter().map(renamed).collect();
        let indices: Arena<IndexId, Index> = order.iter().map(|i| all[*i].clone()).collect();
        let free = used.len();
        let reducer = match (rest.is_empty(), combine) {
            (true, _) => None,
            (false, None) => Sum,
            (false, combine) => *self.scope.rng.pick(&[combine, combine, Sum, Max]),
        };
        let points: i64 = space.iter().map(|d| self.scope.extent(*d)).product();
        let (body, bound) = self.scope.expr(dtype, &indices, 1);
        let (body, bound) = self.scope.bounded(dtype, body, bound, LARGEST / 2.0 / points as f64);
        let mut guard = self.guard(&indices, 30);
        if reducer == Max || reducer == Min {
            guard = Option::None;
        }
        let total = self.scope.bound[&base] + bound * points as f64;
        if total > LARGEST * 2.0 {
            return self.pointwise();
        }
        let out = self.value(dtype, &dims, total);
        let store = Some(Store { base, subs, combine });
        self.push(Op::Compute(Comprehension { out, indices, free, reducer, guard, body, store }));
    }

    fn argsort(&mut self) {
        let values: Vec<ValueId> = self.scope.visible(DType::F32);
        let input = *self.scope.rng.pick(&values);
        let dims = self.scope.program.values[input].dims.clone();
        if dims.is_empty() {
            return self.pointwise();
        }
        let position = self.scope.rng.below(dims.len());
        let out = self.value(DType::I32, &dims, 16.0);
        self.push(Op::Argsort(Argsort { out, input, position }));
    }

    /// Whole random numbers that depend on the position.
    fn random(&mut self) {
        let dims = self.shape(3);
        let indices = self.indices(&dims);
        let key = self.scope.visible(DType::Key)[0];
        let mut position = Expr::int(1);
        for (id, index) in indices.iter() {
            let extent = Expr::int(self.scope.extent(index.dim));
            let scaled = Expr::binary(BinaryOp::Mul, position, extent);
            position = Expr::binary(BinaryOp::Add, scaled, Expr::Index(id));
        }
        let position = Expr::cast(DType::I64, position);
        let key = Expr::load(key, []);
        let key = match self.scope.vars.last() {
            Some(var) => {
                let salt = Expr::cast(DType::I64, Expr::LoopVar(*var));
                Expr::binary(BinaryOp::Fold, key, salt)
            }
            None => key,
        };
        let draw = Expr::binary(BinaryOp::Uniform, key, position);
        let scaled = Expr::binary(BinaryOp::Mul, draw, literal(DType::F32, 9));
        let body = Expr::unary(UnaryOp::Floor, scaled);
        let out = self.value(DType::F32, &dims, 9.0);
        let free = dims.len();
        self.compute(out, indices, free, Reducer::None, None, body);
    }

    fn repeat(&mut self) {
        let dim = *self.scope.rng.pick(&self.dims);
        let var = self
            .scope
            .program
            .loop_vars
            .push(LoopVar { name: format!("l{}", self.scope.program.loop_vars.len()), dim });
        let floats = self.scope.visible(DType::F32);
        let mut carried = Vec::new();
        let mut entries = Vec::new();
        for _ in 0..1 + self.scope.rng.below(2) {
            let init = *self.scope.rng.pick(&floats);
            if self.scope.bound[&init] > 1e5 {
                continue;
            }
            let dims = self.scope.program.values[init].dims.clone();
            let bound = self.scope.bound[&init].max(7.0);
            let entry = self.value(DType::F32, &dims, bound);
            entries.push(entry);
            carried.push((init, entry));
        }
        // Some loops end when no element of their first state is small any more.
        let ending = carried.first().copied().filter(|_| self.scope.rng.chance(30));
        let ending = ending.map(|(init, _)| (self.truth(init), self.value(DType::Bool, &[], 1.0)));
        self.scope.vars.push(var);
        self.scope.values.push(entries);
        self.blocks.push(Vec::new());
        for _ in 0..1 + self.scope.rng.below(3) {
            self.op();
        }
        let mut states = Vec::new();
        for (init, entry) in carried {
            // The next state: of the same type, and no larger.
            let dims = self.scope.program.values[entry].dims.clone();
            let indices = self.indices(&dims);
            let own = Expr::load(entry, indices.ids().map(Expr::Index));
            let (other, bound) = self.scope.expr(DType::F32, &indices, 1);
            let sum = Expr::binary(BinaryOp::Add, own, other);
            let (body, _) = self.scope.bounded(DType::F32, sum, bound + 1e9, 1.0);
            let exit = self.value(DType::F32, &dims, 7.0);
            let free = dims.len();
            self.compute(exit, indices, free, Reducer::None, None, body);
            let result = self.value(DType::F32, &dims, self.scope.bound[&entry]);
            states.push(Carried { init, entry, exit, result });
        }
        let condition = ending.map(|(init, entry)| {
            let exit = self.truth(states[0].exit);
            let result = self.value(DType::Bool, &[], 1.0);
            states.push(Carried { init, entry, exit, result });
            entry
        });
        let mut collected = Vec::new();
        let local = match condition {
            None => self.scope.values.last().unwrap().clone(),
            Some(_) => Vec::new(),
        };
        for value in local {
            let made = self.scope.program.values[value].clone();
            let entry = states.iter().any(|s| s.entry == value);
            if entry || made.dims.contains(&dim) || !self.scope.rng.chance(40) {
                continue;
            }
            let position = self.scope.rng.below(made.dims.len() + 1);
            let mut dims = made.dims.clone();
            dims.insert(position, dim);
            let result = self.value(made.dtype, &dims, self.scope.bound[&value]);
            collected.push(Collected { value, result, position });
        }
        let ops = self.blocks.pop().unwrap();
        self.scope.values.pop();
        self.scope.vars.pop();
        let reversed = self.scope.rng.chance(30);
        self.push(Op::Loop(Loop {
            var,
            reversed,
            condition,
            carried: states,
            collected,
            body: Block { ops },
        }));
    }
    /// Whether any element of a value is below a bound.
    fn truth(&mut self, of: ValueId) -> ValueId {
        let dims = self.scope.program.values[of].dims.clone();
        let indices = self.indices(&dims);
        let element = Expr::load(of, indices.ids().map(Expr::Index));
        let bound = self.scope.rng.below(8) as f64 - 2.0;
        let bound = Expr::Literal(Literal::Float(DType::F32, bound));
        let reducer = if dims.is_empty() { Reducer::None } else { Reducer::Any };
        let out = self.value(DType::Bool, &[], 1.0);
        self.compute(out, indices, 0, reducer, None, Expr::binary(BinaryOp::Lt, element, bound));
        out
    }
}
