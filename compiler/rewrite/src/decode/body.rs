//! The bodies of comprehensions.

use super::{Array, Ctx};
use crate::build;
use crate::index::{IndexNumber, IndexSet};
use crate::kernels::{Kernel, is_loaded};
use crate::lang::{MapFn, Node};
use crate::view::{Substitution, parts};
use einmesh_ir::{Arena, BinaryOp, DType, Expr, Id as _, Index, IndexId, UnaryOp};

/// Expressions over the indices of one comprehension.
pub(super) struct Body<'c, 'p> {
    ctx: &'c Ctx<'p>,
    out: &'c Array,
    locals: Vec<IndexNumber>,
    space: IndexSet,
    reduces: bool,
}

impl<'c, 'p> Body<'c, 'p> {
    pub(super) fn new(
        ctx: &'c Ctx<'p>,
        out: &'c Array,
        space: IndexSet,
        reduces: bool,
    ) -> Body<'c, 'p> {
        let free: IndexSet = out.axes.iter().copied().collect();
        let locals = out.axes.iter().copied().chain((space - free).iter()).collect();
        Body { ctx, out, locals, space, reduces }
    }

    pub(super) fn indices(&self) -> Arena<IndexId, Index> {
        let mut names: Vec<String> = Vec::new();
        let mut arena = Arena::new();
        for (n, i) in self.locals.iter().enumerate() {
            let info = &self.ctx.view.table.indices[*i as usize];
            let mut name = info.name.clone();
            while names.contains(&name) {
                name.push_str("_2");
            }
            names.push(name.clone());
            let dims = &self.ctx.program.values[self.out.value].dims;
            arena.push(Index { name, dim: dims.get(n).copied().unwrap_or(info.dim) });
        }
        arena
    }

    fn index(&self, index: IndexNumber) -> Expr {
        let at = self.locals.iter().position(|l| *l == index);
        Expr::Index(IndexId::from_index(at.expect("an index of the kernel")))
    }

    pub(super) fn expr(&self, class: usize, names: &Substitution) -> Expr {
        let view = self.ctx.view;
        let (base, names) = view.resolve(self.ctx.choice, class, names);
        let same_points = names.apply_set(view.indices(base)) == self.space;
        if is_loaded(view, self.ctx.choice, base, Kernel { reduces: self.reduces, same_points }) {
            return self.load(base, &names);
        }
        self.node(view.node(self.ctx.choice, base), base, &names, false)
    }

    pub(super) fn load(&self, class: usize, names: &Substitution) -> Expr {
        let array = self.ctx.array(class);
        Expr::load(array.value, array.axes.iter().map(|a| self.index(names.apply(*a))))
    }

    /// The expression of a node; at the top of a comprehension the guard is the comprehension's.
    pub(super) fn node(&self, node: &Node, class: usize, names: &Substitution, top: bool) -> Expr {
        let (guard, rest) = parts(node);
        let dtype = || self.dtype(rest[0]);
        match node {
            Node::Const(dtype, bits) => Expr::Literal(build::literal(*dtype, *bits)),
            Node::Position(i) => self.index(names.apply(*i)),
            Node::LoopVar(v) => Expr::LoopVar(*v),
            Node::Access(..) => self.access(node, names),
            Node::Leaf(_) => self.load(class, names),
            Node::Ein { coefficient, .. } => {
                let product = self.product(coefficient.value(), &rest, names);
                match guard {
                    Some(g) if !top => {
                        Expr::select(self.expr(g, names), product, Expr::float(dtype(), 0.0))
                    }
                    _ => product,
                }
            }
            Node::Add(_) => self.sum(&rest, names),
            Node::Map(f, _) => {
                let mut args = rest.iter().map(|c| self.expr(*c, names));
                let mut next = || args.next().expect("a function has its arguments");
                match f {
                    MapFn::Unary(op) => Expr::unary(*op, next()),
                    MapFn::Recip => Expr::binary(BinaryOp::Div, Expr::float(dtype(), 1.0), next()),
                    MapFn::Binary(op) => Expr::binary(*op, next(), next()),
                    MapFn::Select => Expr::select(next(), next(), next()),
                    MapFn::Cast(to) => Expr::cast(*to, next()),
                }
            }
            Node::Reduce { .. } => self.expr(rest[0], names),
            Node::Rename(..) | Node::Opaque(..) | Node::Result(..) | Node::Root(_) => {
                unreachable!("only terms have expressions")
            }
        }
    }

    fn dtype(&self, class: usize) -> DType {
        self.ctx.view.classes[class].facts.dtype.expect("a term has a dtype")
    }

    /// `coefficient · Π factors`, reciprocals as divisions.
    fn product(&self, coefficient: f64, factors: &[usize], names: &Substitution) -> Expr {
        let dtype = self.dtype(factors[0]);
        let (mut numerator, mut divisors) = (Vec::new(), Vec::new());
        for factor in factors {
            match self.divisor(*factor, names) {
                Some((divisor, names)) => divisors.push(self.expr(divisor, &names)),
                None => numerator.push(self.expr(*factor, names)),
            }
        }
        let mut product = numerator.into_iter().reduce(|a, b| Expr::binary(BinaryOp::Mul, a, b));
        if coefficient.abs() != 1.0 || product.is_none() {
            let factor = Expr::Literal(build::rounded(dtype, coefficient));
            product = Some(match product {
                Some(p) => Expr::binary(BinaryOp::Mul, p, factor),
                None => factor,
            });
        } else if coefficient == -1.0 {
            product = product.map(|p| Expr::unary(UnaryOp::Neg, p));
        }
        let product = product.expect("a coefficient at least");
        divisors.into_iter().fold(product, |p, d| Expr::binary(BinaryOp::Div, p, d))
    }

    /// What a factor divides by, if it is a reciprocal computed in place.
    fn divisor(&self, factor: usize, names: &Substitution) -> Option<(usize, Substitution)> {
        let (view, choice) = (self.ctx.view, self.ctx.choice);
        let (base, names) = view.resolve(choice, factor, names);
        let same_points = names.apply_set(view.indices(base)) == self.space;
        let loaded = is_loaded(view, choice, base, Kernel { reduces: self.reduces, same_points });
        match view.node(choice, base) {
            Node::Map(MapFn::Recip, args) if !loaded => Some((usize::from(args[0]), names)),
            _ => None,
        }
    }

    /// A sum, terms with a negative coefficient subtracted.
    fn sum(&self, terms: &[usize], names: &Substitution) -> Expr {
        let (mut plus, mut minus) = (Vec::new(), Vec::new());
        for term in terms {
            match self.negated(*term, names) {
                Some(expr) => minus.push(expr),
                None => plus.push(self.expr(*term, names)),
            }
        }
        let first = match plus.is_empty() {
            true => Expr::unary(UnaryOp::Neg, minus.remove(0)),
            false => plus.remove(0),
        };
        let sum = plus.into_iter().fold(first, |a, b| Expr::binary(BinaryOp::Add, a, b));
        minus.into_iter().fold(sum, |a, b| Expr::binary(BinaryOp::Sub, a, b))
    }

    /// The negated term, if it is a product with a negative coefficient computed in place.
    fn negated(&self, term: usize, names: &Substitution) -> Option<Expr> {
        let (view, choice) = (self.ctx.view, self.ctx.choice);
        let (base, names) = view.resolve(choice, term, names);
        let same_points = names.apply_set(view.indices(base)) == self.space;
        if is_loaded(view, choice, base, Kernel { reduces: self.reduces, same_points }) {
            return None;
        }
        match view.node(choice, base) {
            node @ Node::Ein { coefficient, guarded: false, .. } if coefficient.value() < 0.0 => {
                Some(self.product(-coefficient.value(), &parts(node).1, &names))
            }
            _ => None,
        }
    }

    fn access(&self, node: &Node, names: &Substitution) -> Expr {
        let Node::Access(number, children) = node else { unreachable!("called on a load") };
        let view = self.ctx.view;
        let template = &view.table.templates[*number as usize];
        template.expr.clone().map(&mut |e| match e {
            Expr::Index(i) => self.index(names.apply(i.0 as IndexNumber)),
            Expr::Load(mut load) => {
                let slot = load.value.index();
                let child = usize::from(children[slot]);
                let identity = Substitution::IDENTITY;
                let (base, inner) = view.resolve(self.ctx.choice, child, &identity);
                let array = self.ctx.array(base);
                let place = |axis: &IndexNumber| {
                    let axis = inner.apply(*axis);
                    let at = template.slots[slot].iter().position(|a| *a == axis);
                    load.subs[at.expect("the same axes in another order")].clone()
                };
                let subs = array.axes.iter().map(place).collect();
                load.value = array.value;
                load.subs = subs;
                Expr::Load(load)
            }
            other => other,
        })
    }
}
