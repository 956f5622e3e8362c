//! Products of one left factor, which a scheduler may run as one: queries, keys and values; a gate and what it gates.

use super::attention::{B, H, K, Scope, T, U, V};
use super::block::Gen;
use super::body::Space;
use super::compute::Draft;
use crate::arena::Id;
use crate::dtype::DType;
use crate::expr::*;
use crate::program::*;

const D: DimId = DimId(2);

impl Gen<'_> {
    /// Two or three times `out[b,t,n] = x[b,t,k] * w[k,n]`, each with columns of its own; perhaps with an elementwise
    /// reader, perhaps one that gates it with the product before. Sometimes the rows have the role of keys.
    pub fn siblings(&mut self) -> bool {
        let mut some = |dims: &[DimId], percent: u64| -> Vec<DimId> {
            dims.iter().copied().filter(|_| self.random.chance(percent)).collect()
        };
        let rows = [some(&[B], 60), some(&[T], 80)].concat();
        let depth = [vec![K], some(&[H], 30)].concat();
        let dtype =
            if self.options.wide && self.random.chance(20) { DType::F64 } else { DType::F32 };
        let shared = [&rows[..], &depth].concat();
        if self.points(&shared) > self.options.max_points {
            return false;
        }
        let x = self.tensor(&shared, dtype);
        let exact = self.is_exact();
        // Factors are at most 2.
        let bound = 4.0 * self.points(&depth) as f64;
        let mut before: Option<(ValueId, Vec<DimId>)> = None;
        for _ in 0..2 + self.random.below(2) {
            let keys = self.random.chance(25);
            let own_rows: Vec<DimId> =
                rows.iter().map(|d| if keys && *d == T { U } else { *d }).collect();
            let columns: Vec<DimId> =
                [D, V].into_iter().filter(|_| self.random.chance(70)).collect();
            let out = [&own_rows[..], &columns].concat();
            let order = [&out[..], &depth].concat();
            if self.points(&order) > self.options.max_points {
                continue;
            }
            let across = [&depth[..], &columns].concat();
            let w = self.tensor(&across, dtype);
            let scope = Scope(&order);
            let left = scope.load(x, &[&own_rows[..], &depth].concat());
            let right = scope.load(w, &across);
            let (left, right) = if self.random.chance(20) { (right, left) } else { (left, right) };
            let body = Expr::binary(BinaryOp::Mul, left, right);
            let draft = Draft {
                space: self.space(&order),
                body,
                guard: None,
                reducer: Reducer::Sum,
                dtype,
                exact,
                bound,
            };
            let free: Vec<IndexId> = (0..out.len()).map(IndexId::from_index).collect();
            let sum = self.emit("sibling", draft, free.clone());
            let gate = before.replace((sum, out.clone())).filter(|(_, dims)| *dims == out);
            if bound * bound > self.limit(dtype) || !self.random.chance(50) {
                continue;
            }
            let scope = Scope(&out);
            let zero = Expr::float(dtype, 0.0);
            let positive = |e: Expr| Expr::binary(BinaryOp::Max, e, zero.clone());
            let own = scope.load(sum, &out);
            let body = match &gate {
                Some((gate, _)) => {
                    Expr::binary(BinaryOp::Mul, positive(scope.load(*gate, &out)), own)
                }
                None => positive(own),
            };
            let draft = Draft {
                space: self.space(&out),
                body,
                guard: None,
                reducer: Reducer::None,
                dtype,
                exact,
                bound: bound * bound,
            };
            self.emit("reader", draft, free);
            // Nothing else reads the sums.
            let inside = [Some(sum), gate.map(|(gate, _)| gate)];
            self.known.retain(|k| !inside.contains(&Some(k.value)));
            before = None;
        }
        true
    }

    fn points(&self, dims: &[DimId]) -> u64 {
        dims.iter().map(|d| self.extent(*d)).product()
    }

    /// An index for each dim.
    fn space(&self, dims: &[DimId]) -> Space {
        let mut space = Space::new();
        for dim in dims {
            let name = self.program.dims[*dim].name.to_lowercase();
            space.indices.push(Index { name, dim: *dim });
        }
        space
    }
}
