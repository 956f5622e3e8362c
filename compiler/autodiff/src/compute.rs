//! Comprehensions backwards.

use crate::Ctx;
use crate::Refusal;
use crate::adjoint::unused;
use crate::build::*;
use crate::place::Space;
use crate::scalar::backwards;
use einmesh_ir::*;
use std::collections::BTreeMap;

/// So many factors are multiplied without each in turn; of more the product is divided by each.
const FEW_FACTORS: u64 = 64;

impl Ctx<'_> {
    /// Contributes to the adjoints of what a comprehension reads.
    pub fn comprehension(&mut self, c: &Comprehension) -> Result<(), Refusal> {
        if !self.has_adjoint(c.out) || !self.active.contains(&c.out) || self.leaves.contains(&c.out)
        {
            return Ok(());
        }
        let mut c = c.clone();
        simplify_comprehension(self.program, &mut c);
        if c.guard == Some(Expr::Literal(Literal::Bool(false))) && c.store.is_none() {
            return Ok(());
        }
        match c.store.take() {
            Some(store) => self.stored(&c, &store),
            None => {
                let subs: Vec<Expr> = c.free_indices().map(Expr::Index).collect();
                let g = self.adjoint_at(c.out, subs.clone(), Bounds::Proven);
                let value = Expr::load(c.out, subs);
                self.points(&c, g, value);
                Ok(())
            }
        }
    }

    /// Contributes to the adjoints of what the body loads. `g` is the adjoint of the reduced number, and
    /// `value` that number, both at the free indices.
    pub fn points(&mut self, c: &Comprehension, g: Expr, value: Expr) {
        let dtype = self.program.dtype_of(&c.body);
        let converted = |program: &Program, e: Expr| match program.dtype_of(&e) == dtype {
            true => e,
            false => Expr::cast(dtype, e),
        };
        let g = converted(self.program, g);
        let g = match c.reducer {
            Reducer::None | Reducer::Sum => g,
            Reducer::Prod => self.prod(c, g, dtype),
            Reducer::Max | Reducer::Min => self.extreme(c, g, &value, dtype),
            Reducer::LogSumExp => {
                let value = converted(self.program, value.clone());
                let none = Expr::float(dtype, f64::NEG_INFINITY);
                let some = compare(BinaryOp::Gt, value.clone(), none);
                let share = Expr::binary(BinaryOp::Sub, c.body.clone(), value);
                only_if(dtype, Some(some), mul(dtype, g, Expr::unary(UnaryOp::Exp, share)))
            }
            Reducer::Any | Reducer::All | Reducer::ArgMax | Reducer::ArgMin => return,
        };
        let root = (c.reducer == Reducer::None).then_some(value);
        let active = |v: ValueId| self.active.contains(&v);
        let reached = backwards(self.program, &active, &c.body, g, root);
        for r in reached {
            let space = Space { indices: &c.indices, guard: &c.guard };
            self.place(&space, &r.load, r.adjoint);
        }
    }

    /// Over the free indices of `c` and the same points: a further reduction, loaded where `c` has them.
    pub fn aside(&mut self, c: &Comprehension, dtype: DType, reducer: Reducer, body: Expr) -> Expr {
        let own: Vec<DimId> = c.free_indices().map(|i| c.indices[i].dim).collect();
        let dims = self.distinct(&own, &[]);
        let out = self.derived(c.out, dims.clone());
        self.program.values[out].dtype = dtype;
        let mut indices = c.indices.clone();
        for ((_, index), dim) in indices.iter_mut().zip(dims) {
            index.dim = dim;
        }
        let (free, guard) = (c.free, c.guard.clone());
        self.push(Comprehension { out, indices, free, reducer, guard, body, store: None });
        Expr::load(out, c.free_indices().map(Expr::Index).collect::<Vec<_>>())
    }

    /// The adjoint of a product's factor: the product of the others, right for factors of 0 too.
    fn prod(&mut self, c: &Comprehension, g: Expr, dtype: DType) -> Expr {
        let extents = c.reduced_indices().map(|i| self.program.dims[c.indices[i].dim].extent);
        if extents.product::<u64>() <= FEW_FACTORS {
            let others = self.others(c, dtype);
            return mul(dtype, g, others);
        }
        let zero = || Expr::float(dtype, 0.0);
        let one = || Expr::float(dtype, 1.0);
        let is_zero = || compare(BinaryOp::Eq, c.body.clone(), zero());
        let others = Expr::select(is_zero(), one(), c.body.clone());
        let others = self.aside(c, dtype, Reducer::Prod, others);
        let zeros = Expr::select(is_zero(), one(), zero());
        let zeros = self.aside(c, dtype, Reducer::Sum, zeros);
        let only = compare(BinaryOp::Eq, zeros.clone(), one());
        let none = compare(BinaryOp::Eq, zeros, zero());
        let at_zero = Expr::select(only, others.clone(), zero());
        let quotient = Expr::binary(BinaryOp::Div, others, c.body.clone());
        let elsewhere = Expr::select(none, quotient, zero());
        mul(dtype, g, Expr::select(is_zero(), at_zero, elsewhere))
    }

    /// For each factor of a product the product of the others, written out, so that it can be differentiated again
    /// wherever there are zeros.
    fn others(&mut self, c: &Comprehension, dtype: DType) -> Expr {
        let own: Vec<DimId> = c.indices.values().map(|i| i.dim).collect();
        let dims = self.distinct(&own, &[]);
        let out = self.derived(c.out, dims.clone());
        self.program.values[out].dtype = dtype;
        let mut indices = c.indices.clone();
        for ((_, index), dim) in indices.iter_mut().zip(dims) {
            index.dim = dim;
        }
        let mut moved: BTreeMap<IndexId, Expr> = BTreeMap::new();
        let mut same = None;
        for factor in c.reduced_indices() {
            let Index { name, dim } = c.indices[factor].clone();
            let other = Expr::Index(indices.push(Index { name: unused(&indices, &name), dim }));
            same = both(same, Some(compare(BinaryOp::Eq, Expr::Index(factor), other.clone())));
            moved.insert(factor, other);
        }
        let move_to = |e: &Expr| {
            e.clone().map(&mut |e| match &e {
                Expr::Index(index) => moved.get(index).cloned().unwrap_or(e),
                _ => e,
            })
        };
        let another = same
            .map_or(Expr::Literal(Literal::Bool(false)), |same| Expr::unary(UnaryOp::Not, same));
        let (body, free) = (move_to(&c.body), c.indices.len());
        let guard = both(Some(another), c.guard.as_ref().map(move_to));
        let reducer = Reducer::Prod;
        self.push(Comprehension { out, indices, free, reducer, guard, body, store: None });
        Expr::load(out, c.indices.ids().map(Expr::Index).collect::<Vec<_>>())
    }

    /// The adjoint of a point of a maximum or minimum: those that attain it share it evenly.
    fn extreme(&mut self, c: &Comprehension, g: Expr, value: &Expr, dtype: DType) -> Expr {
        let zero = || Expr::float(dtype, 0.0);
        let attains = || compare(BinaryOp::Eq, c.body.clone(), value.clone());
        let each = Expr::select(attains(), Expr::float(dtype, 1.0), zero());
        let count = self.aside(c, dtype, Reducer::Sum, each);
        Expr::select(attains(), div(dtype, g, count), zero())
    }
}
