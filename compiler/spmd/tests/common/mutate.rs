//! Bugs that a partitioner could have, put into its results.

use einmesh_ir::{Arena, Comprehension, Index, IndexId};
use einmesh_ir::{
    BinaryOp, Block, Bounds, CollectiveKind, Expr, Literal, MeshAxisId, Op, Reducer, SpmdProgram,
    Value, ValueId,
};

/// A kind of bug: its name, and how to put it at the `site`-th place where it is possible.
pub struct Bug {
    pub name: &'static str,
    pub apply: fn(&SpmdProgram, usize) -> Option<SpmdProgram>,
}

pub const BUGS: &[Bug] = &[
    Bug { name: "a reduction is dropped", apply: drop_reduction },
    Bug { name: "a reduction is done twice", apply: double_reduction },
    Bug { name: "a reduction misses an axis", apply: miss_axis },
    Bug { name: "a collective is over the wrong axis", apply: wrong_axis },
    Bug { name: "a collective's axes are in the wrong order", apply: reverse_axes },
    Bug { name: "a reduction has the wrong reducer", apply: wrong_reducer },
    Bug { name: "a gather is skipped", apply: skip_gather },
    Bug { name: "a scatter keeps the first block", apply: first_block },
    Bug { name: "an exchange is skipped", apply: skip_exchange },
    Bug { name: "a halo goes the wrong way", apply: wrong_shift },
    Bug { name: "a halo wraps around", apply: wrap },
    Bug { name: "padding is not masked", apply: unmask },
    Bug { name: "a mask is off by one", apply: loosen_mask },
    Bug { name: "a block starts one position late", apply: shift_start },
    Bug { name: "a position is local where it should be global", apply: local_position },
    Bug { name: "the first device's block is taken by all", apply: ignore_coordinate },
    Bug { name: "what counts once counts on all devices", apply: count_everywhere },
    Bug { name: "a lookup clamps into each device's block", apply: clamp_lookup },
    Bug { name: "a loop's state is not passed on", apply: stale_state },
    Bug { name: "a reader gets the value before the collective", apply: read_early },
];

/// Calls `change` on each operation, loops' bodies included, until it has changed one.
fn edit(
    spmd: &SpmdProgram,
    site: usize,
    change: impl Fn(&Op, &mut SpmdProgram) -> Option<Vec<Op>>,
) -> Option<SpmdProgram> {
    fn walk(
        block: &Block,
        left: &mut usize,
        spmd: &mut SpmdProgram,
        change: &dyn Fn(&Op, &mut SpmdProgram) -> Option<Vec<Op>>,
    ) -> Option<Block> {
        for (at, op) in block.ops.iter().enumerate() {
            if let Some(new) = change(op, spmd) {
                if *left == 0 {
                    let mut block = block.clone();
                    block.ops.splice(at..=at, new);
                    return Some(block);
                }
                *left -= 1;
            }
            if let Op::Loop(l) = op
                && let Some(body) = walk(&l.body, left, spmd, change)
            {
                let mut block = block.clone();
                let mut l = l.clone();
                l.body = body;
                block.ops[at] = Op::Loop(l);
                return Some(block);
            }
        }
        None
    }
    let mut mutant = spmd.clone();
    let mut left = site;
    let body = walk(&spmd.program.body, &mut left, &mut mutant, &change)?;
    mutant.program.body = body;
    Some(mutant)
}

/// Rewrites one expression node.
fn edit_expr(
    spmd: &SpmdProgram,
    site: usize,
    change: impl Fn(&Expr) -> Option<Expr>,
) -> Option<SpmdProgram> {
    fn walk(e: &mut Expr, left: &mut usize, change: &dyn Fn(&Expr) -> Option<Expr>) -> bool {
        if let Some(new) = change(e) {
            if *left == 0 {
                *e = new;
                return true;
            }
            *left -= 1;
        }
        e.children_mut().into_iter().any(|child| walk(child, left, change))
    }
    fn block(b: &mut Block, left: &mut usize, change: &dyn Fn(&Expr) -> Option<Expr>) -> bool {
        b.ops.iter_mut().any(|op| match op {
            Op::Compute(c) => c.exprs_mut().any(|e| walk(e, left, change)),
            Op::Loop(l) => block(&mut l.body, left, change),
            _ => false,
        })
    }
    let mut mutant = spmd.clone();
    let mut left = site;
    block(&mut mutant.program.body, &mut left, &change).then_some(mutant)
}

/// A local comprehension that copies `input` into `out`, each subscript clamped.
fn copy(spmd: &SpmdProgram, input: ValueId, out: ValueId) -> Op {
    let dims = &spmd.program.values[out].dims;
    let indices: Arena<IndexId, Index> =
        dims.iter().map(|d| Index { name: "i".to_owned(), dim: *d }).collect();
    let subs = indices.ids().map(Expr::Index).collect();
    let load = einmesh_ir::Load { value: input, subs, bounds: Bounds::Clamp };
    Op::Compute(Comprehension {
        out,
        free: indices.len(),
        indices,
        reducer: Reducer::None,
        guard: None,
        body: Expr::Load(load),
        store: None,
    })
}

fn again(spmd: &mut SpmdProgram, value: ValueId) -> ValueId {
    let like: Value = spmd.program.values[value].clone();
    spmd.program.values.push(like)
}

fn drop_reduction(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        Op::Collective(c) if matches!(c.kind, CollectiveKind::AllReduce(_)) => {
            Some(vec![copy(spmd, c.input, c.out)])
        }
        _ => None,
    })
}

fn double_reduction(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        Op::Collective(c) if c.kind == CollectiveKind::AllReduce(Reducer::Sum) => {
            let between = again(spmd, c.out);
            let (mut first, mut second) = (c.clone(), c.clone());
            first.out = between;
            second.input = between;
            Some(vec![Op::Collective(first), Op::Collective(second)])
        }
        _ => None,
    })
}

fn collective(
    spmd: &SpmdProgram,
    site: usize,
    change: impl Fn(&mut einmesh_ir::Collective, &SpmdProgram) -> bool,
) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        Op::Collective(c) => {
            let mut c = c.clone();
            change(&mut c, spmd).then(|| vec![Op::Collective(c)])
        }
        _ => None,
    })
}

fn miss_axis(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    collective(spmd, site, |c, _| {
        let several = c.axes.len() > 1 && matches!(c.kind, CollectiveKind::AllReduce(_));
        several && c.axes.pop().is_some()
    })
}

fn wrong_axis(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    collective(spmd, site, |c, spmd| {
        let size = |a: MeshAxisId| spmd.mesh.axes[a].size;
        let reduces = matches!(c.kind, CollectiveKind::AllReduce(_));
        let other = spmd.mesh.axes.ids().find(|a| {
            !c.axes.contains(a) && size(*a) > 1 && (reduces || size(*a) == size(c.axes[0]))
        });
        other.map(|a| c.axes[0] = a).is_some()
    })
}

fn reverse_axes(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    collective(spmd, site, |c, _| {
        c.axes.reverse();
        c.axes.len() > 1 && !matches!(c.kind, CollectiveKind::AllReduce(_))
    })
}

fn wrong_reducer(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    use Reducer::*;
    collective(spmd, site, |c, _| match &mut c.kind {
        CollectiveKind::AllReduce(r) | CollectiveKind::ReduceScatter { reducer: r, .. } => {
            *r = match r {
                Sum | Prod => Max,
                Max => Min,
                Min => Max,
                Any => All,
                _ => Any,
            };
            true
        }
        _ => false,
    })
}

fn skip_gather(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        Op::Collective(c) if matches!(c.kind, CollectiveKind::AllGather { .. }) => {
            Some(vec![copy(spmd, c.input, c.out)])
        }
        _ => None,
    })
}

fn first_block(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        Op::Collective(c) => {
            let CollectiveKind::ReduceScatter { reducer, .. } = c.kind else {
                return None;
            };
            let between = again(spmd, c.input);
            let mut all = c.clone();
            all.kind = CollectiveKind::AllReduce(reducer);
            all.out = between;
            Some(vec![Op::Collective(all), copy(spmd, between, c.out)])
        }
        _ => None,
    })
}

fn skip_exchange(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        Op::Collective(c) if matches!(c.kind, CollectiveKind::AllToAll { .. }) => {
            Some(vec![copy(spmd, c.input, c.out)])
        }
        _ => None,
    })
}

fn wrong_shift(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    collective(spmd, site, |c, _| match &mut c.kind {
        CollectiveKind::CollectivePermute { shift, .. } => {
            *shift = -*shift;
            true
        }
        _ => false,
    })
}

/// The ends of a halo are read only through a forgotten test of the position, so this bug comes
/// with that one.
fn wrap(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    let wrapped = collective(spmd, site, |c, _| match &mut c.kind {
        CollectiveKind::CollectivePermute { wrap, .. } => !std::mem::replace(wrap, true),
        _ => false,
    })?;
    edit_expr(&wrapped, 0, |e| match e {
        Expr::Select(inside, read, _) if is_range_test(inside) => Some((**read).clone()),
        _ => None,
    })
}

/// `position >= 0 and position < extent`.
fn is_range_test(e: &Expr) -> bool {
    let Expr::Binary(BinaryOp::And, low, high) = e else {
        return false;
    };
    matches!(**low, Expr::Binary(BinaryOp::Ge, ..))
        && matches!(**high, Expr::Binary(BinaryOp::Lt, ..))
}

/// `c·L + i < extent`.
fn is_mask(e: &Expr) -> bool {
    let Expr::Binary(BinaryOp::Lt, position, extent) = e else {
        return false;
    };
    matches!(**extent, Expr::Literal(Literal::Int(..))) && is_position(position)
}

/// `c·L + i`.
fn is_position(e: &Expr) -> bool {
    let Expr::Binary(BinaryOp::Add, start, index) = e else {
        return false;
    };
    let mut coordinate = false;
    start.walk(&mut |e| coordinate |= matches!(e, Expr::Coord(_)));
    coordinate && matches!(**index, Expr::Index(_))
}

fn unmask(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| is_mask(e).then_some(Expr::Literal(Literal::Bool(true))))
}

fn loosen_mask(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| match e {
        Expr::Binary(BinaryOp::Lt, a, b) if is_mask(e) => {
            Some(Expr::Binary(BinaryOp::Le, a.clone(), b.clone()))
        }
        _ => None,
    })
}

fn shift_start(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| {
        (is_position(e) && !is_mask(e))
            .then(|| Expr::binary(BinaryOp::Add, e.clone(), Expr::int(1)))
    })
}

fn local_position(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| match e {
        Expr::Binary(_, _, index) if is_position(e) => Some((**index).clone()),
        _ => None,
    })
}

fn ignore_coordinate(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| matches!(e, Expr::Coord(_)).then(|| Expr::int(0)))
}

fn count_everywhere(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| match e {
        Expr::Select(first, then, other) => {
            let Expr::Binary(BinaryOp::Eq, coordinate, _) = &**first else {
                return None;
            };
            let once =
                matches!(**coordinate, Expr::Coord(_)) && matches!(**other, Expr::Literal(_));
            once.then(|| (**then).clone())
        }
        _ => None,
    })
}

fn clamp_lookup(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit_expr(spmd, site, |e| match e {
        Expr::Load(load) if matches!(load.bounds, Bounds::Else(_)) => {
            let owned = load.subs.iter().any(|s| match s {
                Expr::Binary(BinaryOp::Sub, _, start) => {
                    let mut coordinate = false;
                    start.walk(&mut |e| coordinate |= matches!(e, Expr::Coord(_)));
                    coordinate
                }
                _ => false,
            });
            let clamped = einmesh_ir::Load { bounds: Bounds::Clamp, ..load.clone() };
            owned.then_some(Expr::Load(clamped))
        }
        _ => None,
    })
}

fn stale_state(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, _| match op {
        Op::Loop(l) if l.carried.iter().any(|c| c.exit != c.entry) => {
            let mut l = l.clone();
            for state in &mut l.carried {
                state.exit = state.entry;
            }
            Some(vec![Op::Loop(l)])
        }
        _ => None,
    })
}

fn read_early(spmd: &SpmdProgram, site: usize) -> Option<SpmdProgram> {
    edit(spmd, site, |op, spmd| match op {
        // Only where the shapes allow it; so the reader gets its operand unreduced or unmoved.
        Op::Collective(c)
            if spmd.program.values[c.input].dims == spmd.program.values[c.out].dims =>
        {
            Some(vec![op.clone(), Op::Compute(reread(spmd, c.input, c.out))])
        }
        _ => None,
    })
    .and_then(|mutant| rename_last(&mutant))
}

/// A second definition of `out` would be invalid: the copy gets a name of its own, which
/// [`rename_last`] makes all later readers use.
fn reread(spmd: &mut SpmdProgram, input: ValueId, out: ValueId) -> Comprehension {
    let fresh = again(spmd, out);
    match copy(spmd, input, fresh) {
        Op::Compute(c) => c,
        _ => unreachable!("a copy is a comprehension"),
    }
}

fn rename_last(spmd: &SpmdProgram) -> Option<SpmdProgram> {
    // The copy is the one comprehension that follows a collective with the same operand.
    fn find(block: &Block) -> Option<(ValueId, ValueId)> {
        let pairs = block.ops.windows(2).find_map(|pair| match pair {
            [Op::Collective(c), Op::Compute(k)] => match &k.body {
                Expr::Load(l) if l.value == c.input && l.bounds == Bounds::Clamp => {
                    Some((c.out, k.out))
                }
                _ => None,
            },
            _ => None,
        });
        pairs.or_else(|| {
            block.ops.iter().find_map(|op| match op {
                Op::Loop(l) => find(&l.body),
                _ => None,
            })
        })
    }
    fn rename(block: &mut Block, from: ValueId, to: ValueId) {
        for op in &mut block.ops {
            match op {
                Op::Compute(c) => {
                    for e in c.exprs_mut() {
                        let taken = std::mem::replace(e, Expr::int(0));
                        *e = taken.map(&mut |mut e| {
                            if let Expr::Load(load) = &mut e
                                && load.value == from
                            {
                                load.value = to;
                            }
                            e
                        });
                    }
                }
                Op::Loop(l) => rename(&mut l.body, from, to),
                _ => {}
            }
        }
    }
    let (from, to) = find(&spmd.program.body)?;
    let mut mutant = spmd.clone();
    rename(&mut mutant.program.body, from, to);
    Some(mutant)
}
