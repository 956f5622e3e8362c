//! New versions of existing values: stores, and the next state of a loop.

use super::block::{Gen, Known};
use super::body::{Number, Space};
use super::compute::Draft;
use crate::affine::{Affine, Atom};
use crate::arena::Arena;
use crate::dtype::DType;
use crate::expr::*;
use crate::program::*;

impl Gen<'_> {
    /// A single truth value: how all elements of some integers compare with a constant.
    pub fn truth(&mut self) -> ValueId {
        let integers: Vec<Known> =
            self.known.iter().filter(|k| k.dtype.is_int()).cloned().collect();
        let known = self.random.pick(&integers);
        let indices: Arena<IndexId, Index> =
            known.dims.iter().map(|dim| Index { name: "r".to_owned(), dim: *dim }).collect();
        let element = Expr::load(known.value, indices.ids().map(Expr::Index));
        let constant = Literal::Int(known.dtype, self.random.below(6) as i64 - 2);
        let relation = self.random.pick(&[BinaryOp::Lt, BinaryOp::Ge, BinaryOp::Ne]);
        let reducer = match indices.is_empty() {
            true => Reducer::None,
            false => self.random.pick(&[Reducer::Any, Reducer::All]),
        };
        let out = self.value("going", DType::Bool, &[]);
        self.ops.push(Op::Compute(Comprehension {
            out,
            indices,
            free: 0,
            reducer,
            guard: None,
            body: Expr::binary(relation, element, Expr::Literal(constant)),
            store: None,
        }));
        out
    }

    /// The next value of a loop's state: an expression of the state's own type and bound.
    pub fn update(&mut self, state: &Known) -> ValueId {
        let mut space = Space::new();
        let own: Vec<Expr> = state
            .dims
            .iter()
            .map(|dim| {
                let extent = self.extent(*dim);
                space.points *= extent;
                let name = self.program.dims[*dim].name.to_lowercase();
                let name =
                    if name.starts_with(|c: char| c.is_ascii_digit()) { "r".into() } else { name };
                Expr::Index(space.indices.push(Index { name, dim: *dim }))
            })
            .collect();
        // The state's indices are free; whatever else the update mentions is fixed at 0 or constant.
        let free: Vec<IndexId> = space.indices.ids().collect();
        let own = Expr::load(state.value, own);
        space.points = self.options.max_points.max(space.points);
        let (body, exact) = if state.dtype.is_float() {
            let room = (state.bound / 2.0).max(1.0);
            let other = self.float(&mut space, state.dtype, 2, room);
            let sum = Number {
                expr: Expr::binary(BinaryOp::Add, own, other.expr),
                exact: other.exact && state.exact,
                bound: state.bound + other.bound,
            };
            let next = self.clamp(sum, state.dtype, state.bound);
            (next.expr, next.exact)
        } else {
            let other = self.int(&mut space, state.dtype, 1);
            (Expr::binary(BinaryOp::Sub, other, own), true)
        };
        // Dims of extent 1 may have been added: they do not change the number of points.
        let extra: Vec<IndexId> = space.indices.ids().filter(|id| !free.contains(id)).collect();
        let body = extra.iter().fold(body, |body, id| replace(body, *id, &Expr::int(0)));
        let mut kept = Space::new();
        for id in &free {
            kept.indices.push(space.indices[*id].clone());
        }
        let draft = Draft {
            space: kept,
            body,
            guard: None,
            reducer: Reducer::None,
            dtype: state.dtype,
            exact,
            bound: state.bound,
        };
        self.emit("next", draft, free)
    }

    /// Donates some inputs to results that are computed of them. A later one may read an earlier one's input, and each
    /// may read its own anywhere.
    pub fn new_states(&mut self) {
        let number = |k: &&Known| k.dtype.is_float() || k.dtype.is_int();
        let inputs: Vec<Known> =
            self.known[..self.program.inputs.len()].iter().filter(number).cloned().collect();
        for state in inputs {
            if !self.random.chance(60) {
                continue;
            }
            let (bound, exact) = (state.bound.max(64.0), self.is_exact());
            let value = self.update(&Known { bound, exact, ..state.clone() });
            self.known.push(Known { value, bound, exact, ..state.clone() });
            let all = &mut self.program.inputs;
            let input = all.iter_mut().find(|i| i.value == state.value);
            let input = input.expect("the first values known are the inputs");
            input.donated = true;
            let (path, axes) = (input.path.clone(), input.axes.clone());
            self.program.outputs.push(Output { value, tensor: path.clone(), path, axes });
        }
    }

    /// A store into a copy of a value.
    pub fn store(&mut self) -> bool {
        use Reducer::*;
        let fits = |k: &&Known| match k.dtype.is_float() {
            true => k.bound <= self.limit(k.dtype) / 4.0,
            false => k.dtype.is_int() || k.dtype == DType::Bool,
        };
        let bases: Vec<Known> =
            self.known.iter().filter(fits).filter(|k| !k.dims.is_empty()).cloned().collect();
        if bases.is_empty() {
            return false;
        }
        let base = self.random.pick(&bases);
        let mut space = Space::new();
        let subs: Vec<Expr> =
            base.dims.clone().into_iter().map(|d| self.wild_subscript(&mut space, d)).collect();
        let stored: Vec<IndexId> = space.indices.ids().collect();
        let share = self.limit(base.dtype) / 4.0 / self.options.max_points as f64;
        let (body, exact, size) = if base.dtype.is_float() {
            let number = self.float(&mut space, base.dtype, 1, share.max(1.0));
            (number.expr, number.exact, number.bound)
        } else if base.dtype.is_int() {
            (self.int(&mut space, base.dtype, 1), true, 0.0)
        } else {
            (self.mask(&mut space, 1), true, 0.0)
        };
        let guard = self.guard(&mut space);
        // Every index is free, so that points may share a place.
        let free: Vec<IndexId> = space.indices.ids().collect();
        let distinct = is_injective(&subs, &stored) && stored.len() == free.len();
        let combine = match base.dtype {
            DType::Bool => self.random.pick(&[Any, All]),
            _ if distinct && self.random.chance(60) => None,
            // Many additions would leave the integers that half precision represents.
            DType::F16 | DType::Bf16 => self.random.pick(&[Max, Min]),
            _ => self.random.pick(&[Sum, Sum, Max, Min]),
        };
        let bound = match combine {
            Sum => base.bound + size * space.points as f64,
            _ => base.bound.max(size),
        };
        let out = self.value("stored", base.dtype, &base.dims);
        let store = Store { base: base.value, subs, combine };
        let (free, reducer) = (free.len(), Reducer::None);
        let (indices, store) = (space.indices, Some(store));
        let c = Comprehension { out, indices, free, reducer, guard, body, store };
        self.ops.push(Op::Compute(c));
        let exact = exact && base.exact;
        self.known.push(Known { value: out, exact, bound, ..base });
        true
    }
}

fn replace(expr: Expr, index: IndexId, by: &Expr) -> Expr {
    expr.map(&mut |e| {
        if e == Expr::Index(index) { by.clone() } else { e }
    })
}

/// Whether no two points have the same subscripts: each index stands alone in a subscript of its own.
fn is_injective(subs: &[Expr], indices: &[IndexId]) -> bool {
    indices.iter().all(|index| {
        subs.iter().any(|sub| {
            let Some(affine) = Affine::of(sub) else {
                return false;
            };
            let atom = Atom::Index(*index);
            let only = affine.terms().iter().all(|(a, _)| match a {
                Atom::Index(_) => *a == atom,
                _ => true,
            });
            only && affine.coefficient(atom) != 0
        })
    })
}
