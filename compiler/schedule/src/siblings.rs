//! Products that share their left factor run as one kernel: queries, keys and values of attention, a gate and what it
//! gates.
//!
//! The factor is then packed once, there is one launch, and the columns of all products are shared among threads
//! together. A product joins an earlier one if everything it reads is there by then.

use crate::contraction::Product;
use crate::fuse::{Multiply, Unit};
use einmesh_ir::{Expr, IndexId, Op, Program, ValueId};

/// A product that runs earlier has its result in memory for longer: it moves ahead of so many kernels at most.
const REACH: usize = 8;

/// Joins the products among a block's units, which are in the order in which they run.
pub fn join(program: &Program, units: Vec<Unit>) -> Vec<Unit> {
    let mut joined: Vec<Unit> = Vec::with_capacity(units.len());
    for unit in units {
        match unit {
            Unit::Products(products) if products.len() == 1 => {
                if !products.iter().all(|product| joins(program, &mut joined, product)) {
                    joined.push(Unit::Products(products));
                }
            }
            other => joined.push(other),
        }
    }
    joined
}

/// Adds a product to an earlier unit, if there is one that it can join.
fn joins(program: &Program, units: &mut [Unit], product: &Multiply) -> bool {
    let mut needs = product.sum.reads();
    needs.extend(product.epilogue.iter().flat_map(|e| e.reads()));
    let Some(own) = oriented(program, product) else {
        return false;
    };
    for unit in units.iter_mut().rev().take(REACH) {
        if produces(unit).iter().any(|v| needs.contains(v)) {
            return false;
        }
        let Unit::Products(others) = unit else {
            continue;
        };
        let Some(first) = oriented(program, &others[0]) else {
            continue;
        };
        if share(program, &first, &own) {
            others[0] = first;
            others.push(own);
            return true;
        }
    }
    false
}

/// A product with its factors in the order in which a matrix kernel takes them: results are contiguous along the
/// columns. `None` if they are contiguous along neither side.
fn oriented(program: &Program, multiply: &Multiply) -> Option<Multiply> {
    let Multiply { sum, epilogue, product } = multiply;
    let writer = multiply.writer();
    let is_one = |i: IndexId| program.dims[writer.indices[i].dim].extent == 1;
    let last = writer.free_indices().filter(|i| !is_one(*i)).last()?;
    // The epilogue names the sum's indices in its own way.
    let of_sum = match epilogue {
        None => last,
        Some(e) => {
            let mut loads = e.exprs().flat_map(Expr::loads);
            let load = loads.find(|l| l.value == sum.out)?;
            let position = load.subs.iter().position(|s| *s == Expr::Index(last))?;
            sum.free_indices().nth(position)?
        }
    };
    let mut own = multiply.clone();
    if product.m.contains(&of_sum) {
        std::mem::swap(&mut own.product.m, &mut own.product.n);
        std::mem::swap(&mut own.product.lhs, &mut own.product.rhs);
    } else if !product.n.contains(&of_sum) {
        return None;
    }
    Some(own)
}

/// Whether two products have the same left factor at the same points.
fn share(program: &Program, a: &Multiply, b: &Multiply) -> bool {
    let groups = |p: &Product| [p.batch.clone(), p.m.clone(), p.k.clone()];
    let [of_a, of_b] = [groups(&a.product), groups(&b.product)];
    let extents = |m: &Multiply, group: &[IndexId]| -> Vec<u64> {
        group.iter().map(|i| program.dims[m.sum.indices[*i].dim].extent).collect()
    };
    let alike = of_a.iter().zip(&of_b).all(|(x, y)| extents(a, x) == extents(b, y));
    if !alike || a.product.dtype != b.product.dtype {
        return false;
    }
    let pairs: Vec<(IndexId, IndexId)> = of_b.concat().into_iter().zip(of_a.concat()).collect();
    let renamed = b.product.lhs.clone().map(&mut |e| match e {
        Expr::Index(i) => {
            let same = pairs.iter().find(|(from, _)| *from == i);
            Expr::Index(same.map_or(IndexId(u32::MAX), |(_, to)| *to))
        }
        other => other,
    });
    renamed == a.product.lhs
}

/// The values that a unit computes for others.
fn produces(unit: &Unit) -> Vec<ValueId> {
    match unit {
        Unit::Products(products) => products.iter().map(|p| p.writer().out).collect(),
        Unit::Online(online) => online.results.iter().map(|r| r.target.value).collect(),
        Unit::Sweep(sweep) => sweep.sums.iter().map(|s| s.target.value).collect(),
        Unit::Nest { members, .. } => members.iter().map(|m| m.out).collect(),
        Unit::Other(Op::Compute(c)) => vec![c.out],
        Unit::Other(Op::Argsort(sort)) => vec![sort.out],
        Unit::Other(Op::Collective(c)) => vec![c.out],
        Unit::Other(Op::Loop(l)) => {
            let states = l.carried.iter().map(|c| c.result);
            states.chain(l.collected.iter().map(|c| c.result)).collect()
        }
    }
}
