//! Comprehensions of each kind.

use super::block::{Gen, Known};
use super::body::{Number, Space};
use crate::arena::{Arena, Id};
use crate::dtype::DType;
use crate::expr::*;
use crate::program::*;

/// What a comprehension computes, before its indices are put in order.
pub(super) struct Draft {
    pub space: Space,
    pub body: Expr,
    pub guard: Option<Expr>,
    pub reducer: Reducer,
    pub dtype: DType,
    pub exact: bool,
    pub bound: f64,
}

impl Gen<'_> {
    /// A sum of products of one to four loads.
    pub fn contraction(&mut self) -> bool {
        let mut space = Space::new();
        let factors = 1 + self.random.below(4);
        let dtype =
            if self.options.wide && self.random.chance(15) { DType::F64 } else { DType::F32 };
        // Whatever the space becomes, the sum of products stays within the limit.
        let share = self.limit(dtype) / self.options.max_points as f64;
        let limit = share.powf(1.0 / factors as f64).max(1.0);
        let mut product: Option<Number> = None;
        for _ in 0..factors {
            let factor = self.float_load(&mut space, dtype, limit);
            product = Some(match product {
                None => factor,
                Some(p) => Number {
                    expr: Expr::binary(BinaryOp::Mul, p.expr, factor.expr),
                    exact: p.exact && factor.exact,
                    bound: p.bound * factor.bound,
                },
            });
        }
        let Some(Number { expr: body, exact, bound }) = product else {
            return false;
        };
        let guard = self.guard(&mut space);
        let bound = bound * space.points as f64;
        let (reducer, guarded) = (Reducer::Sum, guard);
        let draft = Draft { space, body, guard: guarded, reducer, dtype, exact, bound };
        let free = self.choose_free(&draft.space, 60);
        self.emit("sum", draft, free);
        true
    }

    /// A reduction of an expression with any reducer.
    pub fn reduction(&mut self) -> bool {
        use Reducer::*;
        let mut space = Space::new();
        let reducer =
            self.random.pick(&[Sum, Prod, Max, Max, Min, Any, All, ArgMax, ArgMin, LogSumExp]);
        let dtype =
            if self.options.wide && self.random.chance(15) { DType::F64 } else { DType::F32 };
        let points = self.options.max_points as f64;
        let (body, body_dtype, exact, bound) = match reducer {
            Any | All => (self.mask(&mut space, 2), DType::Bool, true, 0.0),
            Sum | Max | Min if self.random.chance(25) => {
                let dtype = self.int_dtype();
                (self.int(&mut space, dtype, 2), dtype, true, 0.0)
            }
            ArgMax | ArgMin => {
                let number = self.float_load(&mut space, dtype, self.limit(dtype));
                match number.exact {
                    true => (number.expr, dtype, true, number.bound),
                    false => (self.int(&mut space, DType::I32, 1), DType::I32, true, 0.0),
                }
            }
            LogSumExp if self.is_exact() => return false,
            _ => {
                let limit = match reducer {
                    Sum => self.limit(dtype) / points,
                    // Products of numbers up to 1 do not grow.
                    Prod => 1.0,
                    _ => 64.0,
                };
                let number = self.float(&mut space, dtype, 2, limit);
                (number.expr, dtype, number.exact && reducer != LogSumExp, number.bound)
            }
        };
        let guard = self.guard(&mut space);
        let bound = match reducer {
            Sum => bound * space.points as f64,
            LogSumExp => bound + 10.0,
            _ => bound,
        };
        // Without a point the result is infinite.
        let infinite = matches!(reducer, Max | Min | LogSumExp) && guard.is_some();
        let bound = if infinite { f64::INFINITY } else { bound };
        let mut free = self.choose_free(&space, 60);
        let dtype = match reducer {
            ArgMax | ArgMin => {
                // Exactly one index is reduced.
                let ids: Vec<IndexId> = space.indices.ids().collect();
                if ids.is_empty() {
                    return false;
                }
                let reduced = self.random.pick(&ids);
                free = ids.into_iter().filter(|id| *id != reduced).collect();
                if has_repeated_dim(&space, &free) {
                    return false;
                }
                DType::I32
            }
            _ => body_dtype,
        };
        let draft = Draft { space, body, guard, reducer, dtype, exact, bound };
        self.emit("red", draft, free);
        true
    }

    /// An expression at every point, sometimes broadcast along a dim it does not mention.
    pub fn elementwise(&mut self) -> bool {
        let mut space = Space::new();
        let (body, dtype, exact, bound) = match self.random.below(6) {
            0 => {
                let dtype = self.int_dtype();
                (self.int(&mut space, dtype, 2), dtype, true, 0.0)
            }
            1 => (self.mask(&mut space, 2), DType::Bool, true, 0.0),
            _ => {
                let dtype = self.float_dtype();
                let limit = self.limit(dtype).min(4096.0);
                let number = self.float(&mut space, dtype, 3, limit);
                (number.expr, dtype, number.exact, number.bound)
            }
        };
        let guard = if self.random.chance(50) { None } else { self.guard(&mut space) };
        if self.random.chance(20) {
            let dims: Vec<DimId> = self.program.dims.ids().collect();
            let dim = self.random.pick(&dims);
            self.index(&mut space, dim);
        }
        self.map("map", Draft { space, body, guard, reducer: Reducer::None, dtype, exact, bound })
    }

    /// A conversion between dtypes.
    pub fn conversion(&mut self) -> bool {
        let mut space = Space::new();
        let (body, dtype, exact, bound) = match self.random.below(3) {
            0 => {
                let mask = self.mask(&mut space, 1);
                let dtype = self.float_dtype();
                (Expr::cast(dtype, mask), dtype, true, 1.0)
            }
            1 => {
                let int = self.int(&mut space, DType::I32, 1);
                let low = Expr::binary(BinaryOp::Max, int, Expr::int(-8));
                let small = Expr::binary(BinaryOp::Min, low, Expr::int(8));
                let dtype = self.float_dtype();
                (Expr::cast(dtype, small), dtype, true, 8.0)
            }
            _ => {
                let dtype = self.float_dtype();
                let number = self.float_load(&mut space, dtype, self.limit(dtype));
                (number.expr, dtype, number.exact, number.bound)
            }
        };
        let draft = Draft { space, body, guard: None, reducer: Reducer::None, dtype, exact, bound };
        self.map("cast", draft)
    }

    /// Random numbers: of 16 levels in exact mode.
    pub fn noise(&mut self) -> bool {
        let keys: Vec<Known> =
            self.known.iter().filter(|k| k.dtype == DType::Key).cloned().collect();
        let mut space = Space::new();
        let dims = self.some_dims(3);
        let mut position = Expr::Literal(Literal::Int(DType::I64, self.random.between(0, 9)));
        for dim in dims {
            let Some(index) = self.index(&mut space, dim) else {
                continue;
            };
            let extent = Expr::Literal(Literal::Int(DType::I64, self.extent(dim) as i64));
            let scaled = Expr::binary(BinaryOp::Mul, position, extent);
            let index = Expr::cast(DType::I64, Expr::Index(index));
            position = Expr::binary(BinaryOp::Add, scaled, index);
        }
        let mut key = Expr::load(self.random.pick(&keys).value, []);
        for var in self.loops.clone() {
            let layer = Expr::cast(DType::I64, Expr::LoopVar(var));
            key = Expr::binary(BinaryOp::Fold, key, layer);
        }
        let draw = Expr::binary(BinaryOp::Uniform, key, position);
        let scaled = Expr::binary(BinaryOp::Mul, draw, Expr::float(DType::F32, 16.0));
        let level = Expr::unary(UnaryOp::Floor, scaled);
        let body = Expr::binary(BinaryOp::Sub, level, Expr::float(DType::F32, 8.0));
        let (dtype, reducer, guard) = (DType::F32, Reducer::None, None);
        self.map("noise", Draft { space, body, guard, reducer, dtype, exact: true, bound: 8.0 })
    }

    pub fn guard(&mut self, space: &mut Space) -> Option<Expr> {
        if !self.options.guards || !self.random.chance(30) {
            return Option::None;
        }
        Some(match self.random.chance(60) {
            true => self.affine_condition(space),
            false => self.mask(space, 1),
        })
    }

    /// Some of the indices, in random order, no two over the same dim.
    fn choose_free(&mut self, space: &Space, percent: u64) -> Vec<IndexId> {
        let mut free: Vec<IndexId> =
            space.indices.ids().filter(|_| self.random.chance(percent)).collect();
        self.random.shuffle(&mut free);
        let mut dims = Vec::new();
        free.retain(|id| {
            let dim = space.indices[*id].dim;
            let first = !dims.contains(&dim);
            dims.push(dim);
            first
        });
        free
    }

    /// Appends a comprehension in which all indices are free.
    fn map(&mut self, name: &str, draft: Draft) -> bool {
        let mut free: Vec<IndexId> = draft.space.indices.ids().collect();
        if has_repeated_dim(&draft.space, &free) {
            return false;
        }
        self.random.shuffle(&mut free);
        self.emit(name, draft, free);
        true
    }

    /// Appends a comprehension with these free indices, in this order; the others are reduced.
    pub fn emit(&mut self, name: &str, draft: Draft, free: Vec<IndexId>) -> ValueId {
        let Draft { space, body, guard, reducer, dtype, exact, bound } = draft;
        let reduced = space.indices.ids().filter(|id| !free.contains(id));
        let order: Vec<IndexId> = free.iter().copied().chain(reduced).collect();
        let renumber = |expr: Expr| {
            expr.map(&mut |e| match e {
                Expr::Index(id) => {
                    let at = order.iter().position(|o| *o == id);
                    Expr::Index(at.map_or(id, IndexId::from_index))
                }
                other => other,
            })
        };
        let indices: Arena<IndexId, Index> =
            order.iter().map(|id| space.indices[*id].clone()).collect();
        let dims: Vec<DimId> = free.iter().map(|id| space.indices[*id].dim).collect();
        let out = self.value(name, dtype, &dims);
        let reducer = if free.len() == indices.len() { Reducer::None } else { reducer };
        let (body, guard) = (renumber(body), guard.map(renumber));
        let free = free.len();
        let c = Comprehension { out, indices, free, reducer, guard, body, store: None };
        self.ops.push(Op::Compute(c));
        self.known.push(Known { value: out, dtype, dims, exact, bound });
        out
    }
}

fn has_repeated_dim(space: &Space, ids: &[IndexId]) -> bool {
    let mut dims: Vec<DimId> = ids.iter().map(|id| space.indices[*id].dim).collect();
    dims.sort();
    dims.windows(2).any(|pair| pair[0] == pair[1])
}
