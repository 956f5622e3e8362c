//! Costly numbers of few points: where a comprehension would compute a function such as a cosine for each of its
//! points, though it depends on few of its indices, the function's values become a value of their own, which it reads.
//!
//! The angles of rotary embeddings are so: one for each position and channel, the same for all rows and heads.

use crate::contraction;
use crate::inline::in_range_everywhere;
use einmesh_ir::{
    BinaryOp, Block, Comprehension, Expr, Id, Index, IndexId, Op, Program, Reducer, UnaryOp, Value,
};

/// Each number must serve so many points: reading it takes its time, too.
const FEWEST_READS: u64 = 8;

/// Fewer points than this are computed sooner than another kernel is started.
const FEWEST_POINTS: u64 = 1 << 9;

/// Makes values of what is costly and computed more often than there are different numbers.
pub fn hoist(program: &mut Program) {
    let mut body = std::mem::take(&mut program.body);
    block(program, &mut body);
    program.body = body;
}

fn block(program: &mut Program, block: &mut Block) {
    let mut ops = Vec::with_capacity(block.ops.len());
    for mut op in std::mem::take(&mut block.ops) {
        match &mut op {
            // Operands are packed: each of their elements is computed once or a few times anyway.
            Op::Compute(c) if contraction::classify(program, c).is_none() => {
                ops.extend(tables(program, c).into_iter().map(Op::Compute));
            }
            Op::Loop(l) => self::block(program, &mut l.body),
            Op::Compute(_) | Op::Argsort(_) | Op::Collective(_) => {}
        }
        ops.push(op);
    }
    block.ops = ops;
}

/// Has a comprehension read its costly numbers; gives the comprehensions that compute them.
fn tables(program: &mut Program, c: &mut Comprehension) -> Vec<Comprehension> {
    let of = c.clone();
    let mut ctx = Ctx { program, of: &of, made: Vec::new() };
    c.exprs_mut().for_each(|e| ctx.visit(e));
    ctx.made
}

struct Ctx<'a> {
    program: &'a mut Program,
    of: &'a Comprehension,
    made: Vec<Comprehension>,
}

impl Ctx<'_> {
    fn visit(&mut self, e: &mut Expr) {
        match self.indices(e) {
            Some(indices) => *e = self.table(e, &indices),
            None => e.children_mut().into_iter().for_each(|child| self.visit(child)),
        }
    }

    /// The indices that a costly expression depends on, if they are few enough.
    fn indices(&self, e: &Expr) -> Option<Vec<IndexId>> {
        let (program, c) = (&*self.program, self.of);
        if !is_costly(e) {
            return None;
        }
        let own: Vec<IndexId> = c.indices.ids().filter(|i| e.mentions(*i)).collect();
        // What does not change along the innermost index is computed once for all its positions as it is.
        let innermost = c.free_indices().last();
        let varies = own.iter().any(|i| c.is_reduced(*i) || Some(*i) == innermost);
        let dims: Vec<_> = own.iter().map(|i| c.indices[*i].dim).collect();
        let distinct = dims.iter().enumerate().all(|(at, d)| !dims[..at].contains(d));
        let points = |ids: &mut dyn Iterator<Item = IndexId>| -> u64 {
            ids.map(|i| program.dims[c.indices[i].dim].extent).product()
        };
        let all = points(&mut c.indices.ids());
        let few = points(&mut own.iter().copied()).saturating_mul(FEWEST_READS) <= all;
        let dtype = program.dtype_of(e);
        let exact = dtype == dtype.accumulator();
        // The table has numbers where the guard is false, too.
        let safe = c.guard.is_none() || in_range_everywhere(std::iter::once(e));
        (varies && distinct && few && all >= FEWEST_POINTS && exact && safe).then_some(own)
    }

    /// The load of a costly expression from the value that it becomes.
    fn table(&mut self, e: &Expr, own: &[IndexId]) -> Expr {
        let c = self.of;
        let body = e.clone().map(&mut |e| match e {
            Expr::Index(i) => {
                let at = own.iter().position(|o| *o == i);
                Expr::Index(IndexId::from_index(at.expect("all of its indices")))
            }
            other => other,
        });
        let indices: Vec<Index> = own.iter().map(|i| c.indices[*i].clone()).collect();
        let known = |m: &&Comprehension| m.body == body && m.indices.values().eq(&indices);
        let subs = own.iter().map(|i| Expr::Index(*i));
        if let Some(known) = self.made.iter().find(known) {
            return Expr::load(known.out, subs);
        }
        let Value { name, origin, .. } = &self.program.values[c.out];
        let (name, origin) = (format!("{name}_table"), origin.clone());
        let dims = indices.iter().map(|i| i.dim).collect();
        let dtype = self.program.dtype_of(e);
        let out = self.program.values.push(Value { name, dtype, dims, origin });
        self.made.push(Comprehension {
            out,
            free: indices.len(),
            indices: indices.into_iter().collect(),
            reducer: Reducer::None,
            guard: None,
            body,
            store: None,
        });
        Expr::load(out, subs)
    }
}

/// Whether computing a number takes much longer than reading it does.
fn is_costly(e: &Expr) -> bool {
    use UnaryOp::*;
    match e {
        Expr::Unary(op, _) => matches!(op, Exp | Log | Log1p | Expm1 | Sin | Cos | Tanh | Erf),
        Expr::Binary(op, ..) => matches!(op, BinaryOp::Pow | BinaryOp::Uniform),
        _ => false,
    }
}
