//! Random nests against the plain evaluator: shapes, layouts, guards, bounds, reducers and dtypes in
//! combinations that nobody thought of. `EINMESH_FUZZ=1000` runs more than the usual number.

use crate::common::make::*;
use crate::common::{Tolerance, check_all};
use einmesh_ir::{BinaryOp, Bounds, DType, Expr, IndexId, Load, Reducer, UnaryOp, ValueId};
use einmesh_schedule::kernel::{Kernel, Stage, Target};

struct Gen {
    rng: Rng,
    dtype: DType,
    indices: Vec<(IndexId, u64)>,
    values: Vec<(ValueId, Vec<u64>)>,
    positions: (ValueId, u64),
}

impl Gen {
    fn below(&mut self, n: u64) -> u64 {
        self.rng.next() % n
    }

    fn index(&mut self) -> (IndexId, u64) {
        let n = self.below(self.indices.len() as u64) as usize;
        self.indices[n]
    }

    /// A subscript for a dim, and whether it is proven to be in range.
    fn subscript(&mut self, extent: u64) -> (Expr, bool) {
        let fitting: Vec<(IndexId, u64)> =
            self.indices.iter().copied().filter(|(_, e)| *e <= extent).collect();
        match self.below(6) {
            0 => {
                let (index, _) = self.index();
                let shift = self.below(7) as i64 - 3;
                (add(idx(index), Expr::int(shift)), false)
            }
            1 => {
                let (positions, count) = self.positions;
                let inside: Vec<_> = self.indices.iter().filter(|(_, e)| *e <= count).collect();
                match inside.first() {
                    Some((index, _)) => (Expr::load(positions, [idx(*index)]), false),
                    None => (Expr::int(0), true),
                }
            }
            2 => {
                let ((i, _), (j, _)) = (self.index(), self.index());
                (sub(mul(idx(i), Expr::int(2)), idx(j)), false)
            }
            _ if !fitting.is_empty() => {
                let n = self.below(fitting.len() as u64) as usize;
                (idx(fitting[n].0), true)
            }
            _ => (Expr::int(0), true),
        }
    }

    fn load(&mut self) -> Expr {
        let n = self.below(self.values.len() as u64) as usize;
        let (value, extents) = self.values[n].clone();
        let mut proven = true;
        let mut subs = Vec::new();
        for extent in extents {
            let (sub, inside) = self.subscript(extent);
            proven &= inside;
            subs.push(sub);
        }
        let bounds = match (proven, self.below(2)) {
            (true, _) => Bounds::Proven,
            (false, 0) => Bounds::Clamp,
            (false, _) => Bounds::Else(Box::new(Expr::cast(self.dtype, Expr::int(1)))),
        };
        Expr::Load(Load { value, subs, bounds })
    }

    fn condition(&mut self) -> Expr {
        let ((i, _), (j, _)) = (self.index(), self.index());
        let shift = Expr::int(self.below(9) as i64 - 4);
        let ops =
            [BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge, BinaryOp::Eq, BinaryOp::Ne];
        let op = ops[self.below(6) as usize];
        let first = Expr::binary(op, idx(i), add(idx(j), shift));
        match self.below(3) {
            0 => and(first, self.condition()),
            1 => {
                let half = Expr::cast(self.dtype, Expr::int(0));
                let data = lt(self.load(), half);
                Expr::binary(
                    if self.below(2) == 0 { BinaryOp::And } else { BinaryOp::Or },
                    first,
                    data,
                )
            }
            _ => first,
        }
    }

    fn body(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return self.load();
        }
        match self.below(7) {
            0 => add(self.body(depth - 1), self.body(depth - 1)),
            1 => sub(self.body(depth - 1), self.body(depth - 1)),
            2 => {
                let condition = self.condition();
                Expr::select(condition, self.body(depth - 1), self.body(depth - 1))
            }
            3 => Expr::binary(BinaryOp::Max, self.body(depth - 1), self.body(depth - 1)),
            4 => Expr::unary(UnaryOp::Neg, self.body(depth - 1)),
            5 => {
                let (index, _) = self.index();
                add(self.body(depth - 1), Expr::cast(self.dtype, idx(index)))
            }
            _ => self.load(),
        }
    }
}

fn random(seed: u64) -> Kernel {
    let mut rng = Rng(seed.wrapping_mul(0x9E37));
    let mut m = make(&format!("random {seed}"));
    let mut below = |n: u64| rng.next() % n;
    let dtype = [DType::F32, DType::F64, DType::I32, DType::I64][below(4) as usize];
    let sizes = [1, 2, 3, 5, 8, 16, 17, 33, 40, 64];
    let mut size = || sizes[below(10) as usize];
    let (free, reduced): (Vec<u64>, Vec<u64>) =
        ((0..3).map(|_| size()).collect(), (0..2).map(|_| size()).collect());
    let extents: Vec<Vec<u64>> = (0..3).map(|_| vec![size(), size()]).collect();
    let (free_count, reduced_count) = (below(4) as usize, below(3) as usize);
    let values: Vec<_> = extents.into_iter().map(|e| (m.read(dtype, &e), e)).collect();
    let positions = (m.read(DType::I32, &[20]), 20);
    let free: Vec<IndexId> = free[..free_count].iter().map(|e| m.index(*e)).collect();
    let reduced: Vec<IndexId> = reduced[..reduced_count].iter().map(|e| m.index(*e)).collect();
    let all: Vec<IndexId> = free.iter().chain(&reduced).copied().collect();
    if all.is_empty() {
        return random(seed + 1_000_000);
    }
    let extent_of = |i: &IndexId| (*i, m.extent(*i));
    let indices: Vec<(IndexId, u64)> = all.iter().map(extent_of).collect();
    let reducer = match (reduced.len(), dtype.is_float()) {
        (0, _) => Reducer::None,
        (1, _) => [Reducer::Sum, Reducer::Max, Reducer::Min, Reducer::ArgMax][below(4) as usize],
        _ => [Reducer::Sum, Reducer::Max][below(2) as usize],
    };
    let (store, guarded, swap) = (below(3) == 0, below(2) == 0, below(2) == 0);
    let result = if reducer == Reducer::ArgMax { DType::I32 } else { dtype };
    let mut target_order = free.clone();
    if swap {
        target_order.reverse();
    }
    let shape: Vec<u64> = target_order.iter().map(|i| m.extent(*i)).collect();
    let out = if store { m.update(result, &shape) } else { m.write(result, &shape) };
    let mut subs = at(&target_order);
    if let (true, Some(first)) = (store, subs.first_mut()) {
        *first = add(first.clone(), Expr::int(1));
    }
    let mut generator = Gen { rng: Rng(seed ^ 0xABCD), dtype, indices, values, positions };
    let body = generator.body(2);
    let guard = guarded.then(|| generator.condition());
    let outer = generator.below(free.len() as u64 + 1) as usize;
    let stage = Stage {
        free: free[outer..].to_vec(),
        reduced,
        reducer,
        guard,
        body,
        target: Target { value: out, subs, combine: Reducer::None, store },
    };
    m.nest(&free[..outer], vec![stage])
}

/// A kernel and how exact it must be: sums have at most 4096 terms below 200, so that partial sums are below
/// 10⁶ and each addition is off by at most 0.03 in f32, mostly far less and of either sign.
fn case(seed: u64) -> (Kernel, Tolerance) {
    let kernel = random(seed);
    let (relative, absolute) = match kernel.values[0].dtype {
        DType::F32 => (1e-4, 1.0),
        DType::F64 => (1e-12, 1e-8),
        _ => (0.0, 0.0),
    };
    let tolerance = Tolerance { relative, absolute };
    (kernel, tolerance)
}

#[test]
fn random_nests() {
    let usual = 120;
    let wanted = std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok());
    let seeds: Vec<u64> = (0..wanted.unwrap_or(usual)).collect();
    for part in seeds.chunks(60) {
        let cases: Vec<(Kernel, Tolerance)> = part.iter().map(|s| case(*s)).collect();
        check_all(&cases);
    }
}
