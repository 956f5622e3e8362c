//! From a straight-line block to an e-graph.
//!
//! Every value becomes a class over the indices of its dims; a load with other subscripts is a
//! renaming of that class, or a template if its subscripts compute something. What does not fit the
//! algebra becomes an opaque operation whose operands must exist in memory.

use crate::build::{self, literal_node};
use crate::hollow::hollow;
use crate::index::{IndexNumber, IndexSet};
use crate::lang::{Graph, MapFn, Node, Scalar, is_wide};
use crate::table::{Table, Template};
use egg::Id;
use einmesh_ir::{
    BinaryOp, Block, Bounds, Comprehension, Expr, Id as _, IndexId, Literal, Load, Op, Program,
    Reducer, UnaryOp, ValueId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A block as an e-graph, before any rule.
pub(crate) struct Encoded {
    pub graph: Graph,
    /// The class of every value that the block reads or defines.
    pub classes: BTreeMap<ValueId, Id>,
    /// The class of the roots' [`Node::Root`].
    pub root: Id,
}

/// Encodes a block that must compute `roots`; `None` if it has too many indices, an index without
/// positions, or an operation that belongs after partitioning.
///
/// Without `algebra`, sums and products are functions and operations like any other: nothing that
/// rounds is regrouped.
pub(crate) fn encode(
    program: &Program,
    block: &Block,
    roots: &[ValueId],
    algebra: bool,
) -> Option<Encoded> {
    let mut graph = Graph::new(Table::default());
    graph.analysis.hollow = hollow(program);
    let mut ctx = Ctx { program, algebra, graph, classes: BTreeMap::new() };
    for op in &block.ops {
        match op {
            Op::Compute(c) => match ctx.comprehension(c) {
                Ok(class) => {
                    ctx.define(c.out, class)?;
                }
                Err(Unfit::Opaque) => ctx.opaque(op)?,
                Err(Unfit::Block) => return None,
            },
            Op::Loop(_) | Op::Argsort(_) => ctx.opaque(op)?,
            Op::Collective(_) => return None,
        }
    }
    let roots = roots.iter().map(|r| ctx.value(*r)).collect::<Option<Vec<Id>>>()?;
    let root = ctx.graph.add(Node::Root(roots));
    ctx.graph.rebuild();
    let empty = ctx.graph.analysis.indices.iter().any(|i| i.extent == 0);
    (!empty).then_some(Encoded { graph: ctx.graph, classes: ctx.classes, root })
}

/// The values that an operation reads from the block it stands in, in order of first use.
pub(crate) fn reads(op: &Op) -> Vec<ValueId> {
    match op {
        Op::Compute(c) => c.reads(),
        Op::Argsort(a) => vec![a.input],
        Op::Collective(c) => vec![c.input],
        Op::Loop(l) => {
            let mut inside: BTreeSet<ValueId> = l.carried.iter().map(|c| c.entry).collect();
            let mut all: Vec<ValueId> = l.carried.iter().map(|c| c.init).collect();
            for op in &l.body.ops {
                all.extend(reads(op).into_iter().filter(|v| !inside.contains(v)));
                inside.extend(op.defines());
            }
            let ends = l.carried.iter().map(|c| c.exit).chain(l.collected.iter().map(|c| c.value));
            all.extend(ends.filter(|v| !inside.contains(v)));
            let mut seen = BTreeSet::new();
            all.retain(|v| seen.insert(*v));
            all
        }
    }
}

/// Why a comprehension is not encoded.
enum Unfit {
    /// It is kept as it is.
    Opaque,
    /// The whole block is.
    Block,
}

struct Ctx<'a> {
    program: &'a Program,
    algebra: bool,
    graph: Graph,
    classes: BTreeMap<ValueId, Id>,
}

impl Ctx<'_> {
    fn define(&mut self, value: ValueId, class: Id) -> Option<()> {
        self.graph.analysis.add_value(self.program, value)?;
        self.classes.insert(value, class);
        Some(())
    }

    /// The class of a value; one that the block does not define is a leaf.
    fn value(&mut self, value: ValueId) -> Option<Id> {
        if let Some(class) = self.classes.get(&value) {
            return Some(*class);
        }
        self.graph.analysis.add_value(self.program, value)?;
        let class = self.graph.add(Node::Leaf(value));
        self.classes.insert(value, class);
        Some(class)
    }

    fn opaque(&mut self, op: &Op) -> Option<()> {
        let children = reads(op).into_iter().map(|v| self.value(v)).collect::<Option<Vec<Id>>>()?;
        let defines = op.defines();
        for value in &defines {
            self.graph.analysis.add_value(self.program, *value)?;
        }
        let number = self.graph.analysis.opaque.len() as u32;
        self.graph.analysis.opaque.push((op.clone(), defines.clone()));
        let class = self.graph.add(Node::Opaque(number, children));
        if let [value] = defines[..] {
            return self.define(value, class);
        }
        for (n, value) in defines.into_iter().enumerate() {
            let result = self.graph.add(Node::Result(n as u32, [class]));
            self.define(value, result)?;
        }
        Some(())
    }

    fn comprehension(&mut self, c: &Comprehension) -> Result<Id, Unfit> {
        let locals = self.local_indices(c)?;
        let mut body = Body { ctx: self, locals: &locals };
        let out_dtype = body.ctx.program.values[c.out].dtype;
        if c.store.is_some() || !body.is_encodable(c) {
            return Err(Unfit::Opaque);
        }
        let guard = c.guard.as_ref().map(|g| body.expr(g)).transpose()?;
        let (coefficient, factors) = body.product(&c.body)?;
        let graph = &mut self.graph;
        let free: IndexSet = locals[..c.free].iter().copied().collect();
        let reduced: IndexSet = locals[c.free..].iter().copied().collect();
        let guards: Vec<Id> = guard.into_iter().collect();
        let present = build::indices(graph, &factors) | build::indices(graph, &guards);
        let wide = self.algebra && build::is_algebra(graph, factors[0]);
        if !wide && (guard.is_some() && c.reducer == Reducer::None || c.reducer == Reducer::Sum) {
            return Err(Unfit::Opaque);
        }
        let out = present - reduced;
        let mut class = match c.reducer {
            Reducer::None => build::guarded_ein(graph, out, coefficient, guard, &factors),
            Reducer::Sum => {
                // A reduced index that nothing depends on repeats every term.
                let times = graph.analysis.points(reduced - present) as f64;
                let coefficient = coefficient.times(Scalar::new(times));
                build::guarded_ein(graph, out, coefficient, guard, &factors)
            }
            // Its rounding depends on the order of points, as a sum's does.
            Reducer::LogSumExp if !self.algebra => return Err(Unfit::Opaque),
            Reducer::Max | Reducer::Min | Reducer::LogSumExp => {
                if !reduced.is_subset(present) {
                    return Err(Unfit::Opaque);
                }
                let set = build::indices(graph, &factors);
                let term = build::guarded_ein(graph, set, coefficient, None, &factors);
                build::reduce(graph, c.reducer, out, guard, term)
            }
            _ => return Err(Unfit::Opaque),
        };
        if !free.is_subset(self.graph[class].data.indices) {
            if !wide {
                return Err(Unfit::Opaque);
            }
            class = build::ein(&mut self.graph, free, Scalar::ONE, &[class]);
        }
        let dtype = self.graph[class].data.dtype;
        if dtype != Some(out_dtype) {
            // The sum is rounded once, to the output's type.
            class = build::map(&mut self.graph, MapFn::Cast(out_dtype), &[class]);
        }
        Ok(class)
    }

    /// The block's index for each index of a comprehension.
    fn local_indices(&mut self, c: &Comprehension) -> Result<Vec<IndexNumber>, Unfit> {
        let mut copies = BTreeMap::new();
        let mut locals = Vec::new();
        for index in c.indices.values() {
            let copy = copies.entry(index.dim).or_insert(0u32);
            let number = self.graph.analysis.index(self.program, index.dim, *copy);
            locals.push(number.ok_or(Unfit::Block)?);
            *copy += 1;
        }
        Ok(locals)
    }
}

/// The expressions of one comprehension.
struct Body<'c, 'p> {
    ctx: &'c mut Ctx<'p>,
    locals: &'c [IndexNumber],
}

impl Body<'_, '_> {
    /// Whether every part can be a term of its own. Loads with computed subscripts may only be in
    /// range where the guard holds, and random numbers and coordinates are left to later stages.
    fn is_encodable(&self, c: &Comprehension) -> bool {
        let mut fits = true;
        for expr in c.exprs() {
            expr.walk(&mut |e| match e {
                Expr::Coord(_) | Expr::Binary(BinaryOp::Fold | BinaryOp::Uniform, ..) => {
                    fits = false;
                }
                Expr::Load(load) if c.guard.is_some() => {
                    let simple = |s: &Expr| {
                        matches!(s, Expr::Index(_) | Expr::Literal(_) | Expr::LoopVar(_))
                    };
                    fits &= load.subs.iter().all(simple);
                }
                _ => {}
            });
        }
        fits
    }

    /// Whether sums and products of this expression's type are regrouped.
    fn is_algebra(&self, expr: &Expr) -> bool {
        self.ctx.algebra && is_wide(self.ctx.program.dtype_of(expr))
    }

    /// An expression as a coefficient and factors.
    fn product(&mut self, expr: &Expr) -> Result<(Scalar, Vec<Id>), Unfit> {
        if !self.is_algebra(expr) {
            return Ok((Scalar::ONE, vec![self.expr(expr)?]));
        }
        let (mut coefficient, mut factors) = (Scalar::ONE, Vec::new());
        self.factors(expr, &mut coefficient, &mut factors)?;
        if factors.is_empty() {
            let dtype = self.ctx.program.dtype_of(expr);
            let value = coefficient.value();
            return Ok((Scalar::ONE, vec![build::constant(&mut self.ctx.graph, dtype, value)]));
        }
        Ok((coefficient, factors))
    }

    fn factors(
        &mut self,
        expr: &Expr,
        coefficient: &mut Scalar,
        factors: &mut Vec<Id>,
    ) -> Result<(), Unfit> {
        match expr {
            Expr::Binary(BinaryOp::Mul, a, b) => {
                self.factors(a, coefficient, factors)?;
                self.factors(b, coefficient, factors)?;
            }
            Expr::Binary(BinaryOp::Div, a, b) => {
                self.factors(a, coefficient, factors)?;
                if let Expr::Literal(Literal::Float(_, v)) = **b {
                    *coefficient = coefficient.times(Scalar::new(1.0 / v));
                } else {
                    let divisor = self.expr(b)?;
                    factors.push(build::map(&mut self.ctx.graph, MapFn::Recip, &[divisor]));
                }
            }
            Expr::Unary(UnaryOp::Neg, a) => {
                *coefficient = coefficient.times(Scalar::new(-1.0));
                self.factors(a, coefficient, factors)?;
            }
            Expr::Literal(Literal::Float(_, v)) => {
                *coefficient = coefficient.times(Scalar::new(*v))
            }
            _ => factors.push(self.expr(expr)?),
        }
        Ok(())
    }

    /// The class of an expression.
    fn expr(&mut self, expr: &Expr) -> Result<Id, Unfit> {
        let wide = self.is_algebra(expr);
        Ok(match expr {
            Expr::Literal(l) => self.ctx.graph.add(literal_node(*l)),
            Expr::Index(i) => self.ctx.graph.add(Node::Position(self.locals[i.index()])),
            Expr::LoopVar(v) => self.ctx.graph.add(Node::LoopVar(*v)),
            Expr::Coord(_) => return Err(Unfit::Opaque),
            Expr::Load(load) => self.load(load)?,
            Expr::Binary(BinaryOp::Add | BinaryOp::Sub, ..) if wide => {
                let mut terms = Vec::new();
                self.terms(expr, Scalar::ONE, &mut terms)?;
                build::add(&mut self.ctx.graph, &terms)
            }
            Expr::Binary(BinaryOp::Mul | BinaryOp::Div, ..) | Expr::Unary(UnaryOp::Neg, _)
                if wide =>
            {
                let (coefficient, factors) = self.product(expr)?;
                let out = build::indices(&self.ctx.graph, &factors);
                build::ein(&mut self.ctx.graph, out, coefficient, &factors)
            }
            Expr::Unary(op, a) => self.map(MapFn::Unary(*op), &[a])?,
            Expr::Binary(op, a, b) => self.map(MapFn::Binary(*op), &[a, b])?,
            Expr::Select(c, a, b) => self.map(MapFn::Select, &[c, a, b])?,
            Expr::Cast(dtype, a) => self.map(MapFn::Cast(*dtype), &[a])?,
        })
    }

    fn map(&mut self, f: MapFn, args: &[&Expr]) -> Result<Id, Unfit> {
        let args = args.iter().map(|a| self.expr(a)).collect::<Result<Vec<Id>, Unfit>>()?;
        Ok(build::map(&mut self.ctx.graph, f, &args))
    }

    fn terms(&mut self, expr: &Expr, sign: Scalar, terms: &mut Vec<Id>) -> Result<(), Unfit> {
        match expr {
            Expr::Binary(BinaryOp::Add, a, b) => {
                self.terms(a, sign, terms)?;
                self.terms(b, sign, terms)
            }
            Expr::Binary(BinaryOp::Sub, a, b) => {
                self.terms(a, sign, terms)?;
                self.terms(b, sign.times(Scalar::new(-1.0)), terms)
            }
            _ => {
                let (coefficient, factors) = self.product(expr)?;
                let graph = &mut self.ctx.graph;
                let out = build::indices(graph, &factors);
                let coefficient = coefficient.times(sign);
                terms.push(build::ein(graph, out, coefficient, &factors));
                Ok(())
            }
        }
    }

    fn load(&mut self, load: &Load) -> Result<Id, Unfit> {
        let class = self.ctx.value(load.value).ok_or(Unfit::Block)?;
        let dims = &self.ctx.program.values[load.value].dims;
        let indices: Option<Vec<IndexNumber>> = load
            .subs
            .iter()
            .map(|s| match s {
                Expr::Index(i) => Some(self.locals[i.index()]),
                _ => None,
            })
            .collect();
        if let Some(indices) = indices {
            let table = &self.ctx.graph.analysis;
            let distinct: IndexSet = indices.iter().copied().collect();
            let whole = |(i, d): (&IndexNumber, &einmesh_ir::DimId)| {
                let dims = &self.ctx.program.dims;
                let own = &dims[table.indices[usize::from(*i)].dim];
                (own.extent, own.symbolic) == (dims[*d].extent, dims[*d].symbolic)
            };
            if distinct.len() == indices.len() && indices.iter().zip(dims).all(whole) {
                let axes: Vec<IndexNumber> = table.axes(load.value).collect();
                let pairs: Vec<_> = axes.into_iter().zip(indices).collect();
                return Ok(build::rename(&mut self.ctx.graph, &pairs, class));
            }
        }
        self.template(load)
    }

    /// A load with computed subscripts.
    fn template(&mut self, load: &Load) -> Result<Id, Unfit> {
        let expr = Expr::Load(load.clone());
        let dtype = self.ctx.program.dtype_of(&expr);
        let mut slots: Vec<ValueId> = Vec::new();
        let locals = self.locals;
        let expr = expr.map(&mut |e| match e {
            Expr::Index(i) => Expr::Index(IndexId(u32::from(locals[i.index()]))),
            Expr::Load(mut l) => {
                let slot = slots.iter().position(|v| *v == l.value).unwrap_or_else(|| {
                    slots.push(l.value);
                    slots.len() - 1
                });
                l.value = ValueId(slot as u32);
                Expr::Load(l)
            }
            other => other,
        });
        let mut indices = IndexSet::EMPTY;
        expr.walk(&mut |e| {
            if let Expr::Index(i) = e {
                indices = indices | IndexSet::single(i.0 as IndexNumber);
            }
        });
        let children = slots.iter().map(|v| self.ctx.value(*v)).collect::<Option<Vec<Id>>>();
        let children = children.ok_or(Unfit::Block)?;
        let table = &self.ctx.graph.analysis;
        let slots = slots.iter().map(|v| table.axes(*v).collect()).collect();
        let simple = |s: &Expr| matches!(s, Expr::Index(_) | Expr::Literal(_) | Expr::LoopVar(_));
        let slice = load.bounds == Bounds::Proven && load.subs.iter().all(simple);
        let number =
            self.ctx.graph.analysis.template(Template { expr, slots, slice, indices, dtype });
        Ok(self.ctx.graph.add(Node::Access(number, children)))
    }
}
