//! A kernel's shape: products of known numbers and symbols. Indices that lie side by side wherever they occur are one.

use einmesh_ir::{Expr, IndexId, ValueId};
use einmesh_schedule::kernel::{Body, Contraction, Kernel, Nest};
use einmesh_schedule::symbolic::{Extent, SymbolicKernel};

/// A number of positions: the product of all these, 1 of none. In order, without 1 and at most one known number, so
/// that equal ones are equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Size(Vec<Extent>);

impl Size {
    fn of(extents: impl IntoIterator<Item = Extent>) -> Size {
        let (mut known, mut symbols) = (1u64, Vec::new());
        for extent in extents {
            match extent {
                Extent::Fixed(n) => known = known.saturating_mul(n),
                Extent::Symbol(_) => symbols.push(extent),
            }
        }
        symbols.sort();
        if known != 1 {
            symbols.insert(0, Extent::Fixed(known));
        }
        Size(symbols)
    }

    /// The factors.
    pub fn factors(&self) -> &[Extent] {
        &self.0
    }

    /// The number, if it is known.
    pub fn known(&self) -> Option<u64> {
        match self.0[..] {
            [] => Some(1),
            [Extent::Fixed(n)] => Some(n),
            _ => None,
        }
    }
}

/// A kernel whose indices and values have sizes.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The kernel; its own extents are examples.
    pub kernel: Kernel,
    /// Per index.
    pub indices: Vec<Size>,
    /// Per value, the sizes of its dims, outermost first.
    pub values: Vec<Vec<Size>>,
    /// For every pair, the first is at most the second.
    within: Vec<(Size, Size)>,
}

impl Shape {
    /// The shape of a kernel, with as few indices as can be.
    pub fn of(symbolic: &SymbolicKernel, within: &[(Extent, Extent)]) -> Shape {
        let size = |extent: &Extent| Size::of([*extent]);
        let mut shape = Shape {
            kernel: symbolic.kernel.clone(),
            indices: symbolic.indices.iter().map(size).collect(),
            values: symbolic.values.iter().map(|v| v.iter().map(size).collect()).collect(),
            within: within.iter().map(|(inner, outer)| (size(inner), size(outer))).collect(),
        };
        while shape.merge_some() {}
        shape
    }

    /// The size of an index.
    pub fn size(&self, index: IndexId) -> &Size {
        &self.indices[index.0 as usize]
    }

    /// Whether what counts up to one size stays below another.
    pub fn fits(&self, inner: &Size, outer: &Size) -> bool {
        let smaller = |(a, b)| matches!((a, b), (Some(a), Some(b)) if a <= b);
        let role = || self.within.iter().any(|(a, b)| (a, b) == (inner, outer));
        inner == outer || smaller((inner.known(), outer.known())) || role()
    }

    /// The groups within which indices may become one.
    fn groups(&self) -> Vec<Vec<IndexId>> {
        match &self.kernel.body {
            Body::Nest(Nest { outer, stages, .. }) => {
                let mut groups = vec![outer.clone()];
                for stage in stages {
                    match stages.len() {
                        1 => groups[0].extend(&stage.free),
                        _ => groups.push(stage.free.clone()),
                    }
                    groups.push(stage.reduced.clone());
                }
                groups
            }
            Body::Contraction(c) => [&c.batch, &c.m, &c.n, &c.k].into_iter().cloned().collect(),
            _ => vec![],
        }
    }

    /// Makes two indices one, if any two are always side by side.
    fn merge_some(&mut self) -> bool {
        for group in self.groups() {
            for a in &group {
                for b in &group {
                    if a != b
                        && let Some(places) = self.beside(*a, *b)
                    {
                        self.merge(*a, *b, &places);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Where `a` and then `b` are subscripts: a position in each value that is subscripted by them. `None` if they
    /// occur in another way, or some other subscript stands there in another load.
    fn beside(&self, a: IndexId, b: IndexId) -> Option<Vec<(ValueId, usize)>> {
        let mut places: Vec<(ValueId, usize)> = Vec::new();
        let mut kernel = self.kernel.clone();
        let mut all: Vec<(ValueId, Vec<Expr>)> = Vec::new();
        let mut mentions = 0;
        let mut subscripts = 0;
        let is = |e: &Expr, index: IndexId| *e == Expr::Index(index);
        for expr in kernel.body.exprs_mut() {
            expr.walk(&mut |e| {
                mentions += usize::from(is(e, a) || is(e, b));
                if let Expr::Load(load) = e {
                    all.push((load.value, load.subs.clone()));
                }
            });
        }
        all.extend(kernel.body.targets_mut().into_iter().map(|t| (t.value, t.subs.clone())));
        for (value, subs) in &all {
            let pair = |p: &usize| is(&subs[*p], a) && is(&subs[*p + 1], b);
            let Some(at) = (0..subs.len().saturating_sub(1)).find(pair) else { continue };
            subscripts += 2;
            if !places.contains(&(*value, at)) {
                places.push((*value, at));
            }
        }
        // In a merged dim every load has the pair, and there is one such dim in a value.
        let complete = places.iter().all(|(value, at)| {
            let whole = self.values[value.0 as usize][*at + 1] == self.indices[b.0 as usize];
            let same = |subs: &Vec<Expr>| is(&subs[*at], a) && is(&subs[*at + 1], b);
            whole && all.iter().filter(|(v, _)| v == value).all(|(_, subs)| same(subs))
        });
        let once =
            places.iter().enumerate().all(|(n, (v, _))| places[..n].iter().all(|p| p.0 != *v));
        (!places.is_empty() && complete && once && mentions == subscripts).then_some(places)
    }

    /// Lets `a` count the positions of both, and gives `b` up.
    fn merge(&mut self, a: IndexId, b: IndexId, places: &[(ValueId, usize)]) {
        let (i, j) = (a.0 as usize, b.0 as usize);
        let product = |x: &Size, y: &Size| Size::of(x.0.iter().chain(&y.0).copied());
        self.indices[i] = product(&self.indices[i], &self.indices[j]);
        let ranges = &mut self.kernel.indices;
        ranges[i].extent = ranges[i].extent.saturating_mul(ranges[j].extent);
        for (value, at) in places {
            let sizes = &mut self.values[value.0 as usize];
            sizes[*at] = product(&sizes[*at], &sizes[*at + 1]);
            sizes.remove(*at + 1);
            let extents = &mut self.kernel.values[value.0 as usize].extents;
            extents[*at] = extents[*at].saturating_mul(extents[*at + 1]);
            extents.remove(*at + 1);
        }
        let drop = |value: ValueId, subs: &mut Vec<Expr>| {
            if let Some((_, at)) = places.iter().find(|(v, _)| *v == value) {
                subs.remove(*at + 1);
            }
        };
        for expr in self.kernel.body.exprs_mut() {
            let taken = std::mem::replace(expr, Expr::int(0));
            *expr = taken.map(&mut |e| match e {
                Expr::Load(mut load) => {
                    drop(load.value, &mut load.subs);
                    Expr::Load(load)
                }
                other => other,
            });
        }
        for target in self.kernel.body.targets_mut() {
            drop(target.value, &mut target.subs);
        }
        let without = |group: &mut Vec<IndexId>| group.retain(|index| *index != b);
        match &mut self.kernel.body {
            Body::Nest(Nest { outer, stages, .. }) => {
                without(outer);
                for stage in stages {
                    without(&mut stage.free);
                    without(&mut stage.reduced);
                }
            }
            Body::Contraction(Contraction { batch, m, n, k, .. }) => {
                [batch, m, n, k].into_iter().for_each(without);
            }
            _ => {}
        }
    }
}
