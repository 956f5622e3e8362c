//! Stores backwards: the base's adjoint, and that of the stored points.

use crate::Ctx;
use crate::adjoint::Part;
use crate::build::*;
use crate::place::safe;
use crate::{Reason, Refusal};
use einmesh_ir::*;

impl Ctx<'_> {
    /// A comprehension whose store was taken out.
    pub fn stored(&mut self, c: &Comprehension, store: &Store) -> Result<(), Refusal> {
        let adjoint = self.adjoint(c.out);
        let base_active = self.active.contains(&store.base);
        let dtype = self.program.values[c.out].dtype;
        let zero = Bounds::Else(Box::new(Expr::float(dtype, 0.0)));
        let g = Load { value: adjoint, subs: store.subs.clone(), bounds: zero };
        match store.combine {
            Reducer::Sum => {
                if base_active {
                    self.contribute(store.base, Part::whole(adjoint));
                }
                let value = self.stored_number(c, dtype);
                self.points(c, Expr::Load(g), value);
            }
            Reducer::None => {
                if base_active {
                    let out = self.overwritten(c, store, adjoint);
                    self.contribute(store.base, Part::whole(out));
                }
                let value = self.stored_number(c, dtype);
                self.points(c, Expr::Load(g), value);
            }
            Reducer::Max | Reducer::Min => self.stored_extreme(c, store, adjoint, dtype),
            _ => return Err(Refusal { reason: Reason::Store, value: c.out }),
        }
        Ok(())
    }

    /// The adjoint with zeros where the store wrote.
    fn overwritten(&mut self, c: &Comprehension, store: &Store, adjoint: ValueId) -> ValueId {
        let dims = self.program.values[c.out].dims.clone();
        let out = self.derived(c.out, dims);
        let body = Expr::float(self.program.dtype_of(&c.body), 0.0);
        let reducer = match c.reducer {
            Reducer::None => Reducer::None,
            _ => Reducer::Sum,
        };
        let store = Some(Store { base: adjoint, ..store.clone() });
        self.push(Comprehension { out, body, store, reducer, ..c.clone() });
        out
    }

    /// The number that a point stores, at the free indices.
    fn stored_number(&mut self, c: &Comprehension, dtype: DType) -> Expr {
        match c.reducer {
            // Of sums only the adjoint is needed.
            Reducer::None | Reducer::Sum => c.body.clone(),
            reducer => self.aside(c, dtype, reducer, c.body.clone()),
        }
    }

    /// A store of the larger or smaller: what attains the result shares the adjoint evenly.
    fn stored_extreme(&mut self, c: &Comprehension, store: &Store, adjoint: ValueId, dtype: DType) {
        let number = match c.reducer {
            Reducer::Sum => self.aside(c, dtype, Reducer::Sum, c.body.clone()),
            _ => self.stored_number(c, dtype),
        };
        let zero = || Expr::float(dtype, 0.0);
        let one = || Expr::float(dtype, 1.0);
        let at = |value: ValueId, outside: Expr| {
            let bounds = Bounds::Else(Box::new(outside));
            Expr::Load(Load { value, subs: store.subs.clone(), bounds })
        };
        let dims = self.program.values[c.out].dims.clone();
        let over = self.indices_over(&dims);
        let ids: Vec<Expr> = over.ids().map(Expr::Index).collect();
        let whole = |value: ValueId| Expr::load(value, ids.clone());
        let kept = || compare(BinaryOp::Eq, whole(store.base), whole(c.out));
        let elementwise = |out: ValueId, body: Expr| Comprehension {
            out,
            indices: over.clone(),
            free: over.len(),
            reducer: Reducer::None,
            guard: None,
            body,
            store: None,
        };
        let first = self.derived(c.out, dims.clone());
        self.push(elementwise(first, Expr::select(kept(), one(), zero())));
        // Each point counts where it attains the result.
        let attains = compare(BinaryOp::Eq, number.clone(), at(c.out, zero()));
        let mut free: Arena<IndexId, Index> = Arena::new();
        for i in c.free_indices() {
            free.push(c.indices[i].clone());
        }
        let whole_guard = c.guard.clone().filter(|g| c.reduced_indices().all(|i| !g.mentions(i)));
        let guarded = whole_guard.is_some() || c.guard.is_none();
        let place = |e: Expr| if guarded { e } else { safe(e) };
        let count = self.derived(c.out, dims.clone());
        let subs = store.subs.iter().cloned().map(place).collect();
        self.push(Comprehension {
            out: count,
            free: free.len(),
            indices: free,
            reducer: Reducer::None,
            guard: whole_guard,
            body: place(Expr::select(attains.clone(), one(), zero())),
            store: Some(Store { base: first, subs, combine: Reducer::Sum }),
        });
        if self.active.contains(&store.base) {
            let out = self.derived(c.out, dims);
            let share = div(dtype, whole(adjoint), whole(count));
            self.push(elementwise(out, Expr::select(kept(), share, zero())));
            self.contribute(store.base, Part::whole(out));
        }
        let share = div(dtype, at(adjoint, zero()), at(count, one()));
        self.points(c, Expr::select(attains, share, zero()), number);
    }
}
