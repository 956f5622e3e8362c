//! Indices of matrix products that always occur side by side become one: `h` and `k` of `x[b,t,h,k] · w[h,k,d]` are a
//! single depth. So no position has to be divided into its parts again where an operand is copied or a row stored.

use einmesh_ir::{Bounds, Expr, IndexId, ValueId};
use einmesh_schedule::kernel::{Body, Contraction, Kernel};

/// The same kernel with as few indices as possible.
pub fn collapsed(kernel: &Kernel) -> Kernel {
    let mut kernel = kernel.clone();
    while let Some(pair) = contractions(&kernel).iter().flat_map(pairs).find(|p| p.is_one(&kernel))
    {
        pair.merge(&mut kernel);
    }
    kernel
}

fn contractions(kernel: &Kernel) -> &[Contraction] {
    match &kernel.body {
        Body::Contraction(c) => std::slice::from_ref(c),
        Body::Siblings(all) => all,
        _ => &[],
    }
}

/// Two indices, the outer one first.
#[derive(Clone, Copy)]
struct Pair {
    outer: IndexId,
    inner: IndexId,
}

/// The neighbours in a product's groups.
fn pairs(c: &Contraction) -> Vec<Pair> {
    let groups = [&c.batch, &c.m, &c.n, &c.k].into_iter();
    groups.flat_map(|g| g.windows(2).map(|w| Pair { outer: w[0], inner: w[1] })).collect()
}

impl Pair {
    /// Whether the two occur side by side wherever either occurs, over whole extents.
    fn is_one(self, kernel: &Kernel) -> bool {
        let together = contractions(kernel).iter().all(|c| {
            let grouped = [&c.batch, &c.m, &c.n, &c.k].into_iter().all(|group| {
                let at = |index| group.iter().position(|i| *i == index);
                match (at(self.outer), at(self.inner)) {
                    (None, None) => true,
                    (Some(outer), Some(inner)) => inner == outer + 1,
                    _ => false,
                }
            });
            let apart = [&c.lhs, &c.rhs, &c.epilogue].into_iter().any(|e| self.apart(kernel, e));
            let stored = self.within(kernel, c.target.value, &c.target.subs).is_some()
                || !c.target.subs.iter().any(|s| self.mentioned(s));
            grouped && !apart && stored && !c.target.store
        });
        together && self.alike(kernel)
    }

    fn mentioned(self, expr: &Expr) -> bool {
        expr.mentions(self.outer) || expr.mentions(self.inner)
    }

    /// The dimension of a value that the outer index alone subscripts, if the inner one alone subscripts the next, and
    /// nothing else of the subscripts has either.
    fn within(self, kernel: &Kernel, value: ValueId, subs: &[Expr]) -> Option<usize> {
        let extents = &kernel.values[value.0 as usize].extents;
        let extent = |index: IndexId| kernel.indices[index.0 as usize].extent;
        let at = subs
            .windows(2)
            .position(|w| w == [Expr::Index(self.outer), Expr::Index(self.inner)])?;
        let whole = extents[at..at + 2] == [extent(self.outer), extent(self.inner)];
        let others = subs.iter().enumerate().filter(|(n, _)| *n != at && *n != at + 1);
        (whole && !others.into_iter().any(|(_, s)| self.mentioned(s))).then_some(at)
    }

    /// Whether an expression has either index elsewhere than side by side in subscripts.
    fn apart(self, kernel: &Kernel, expr: &Expr) -> bool {
        let (mut all, mut together) = (0, 0);
        expr.walk(&mut |e| match e {
            Expr::Index(index) => all += usize::from(*index == self.outer || *index == self.inner),
            Expr::Load(load) if load.bounds == Bounds::Proven => {
                together += 2 * usize::from(self.within(kernel, load.value, &load.subs).is_some());
            }
            _ => {}
        });
        all != together
    }

    /// Whether every value has the two in the same dimensions wherever it is read or written, or nowhere: its extents
    /// are to change.
    fn alike(self, kernel: &Kernel) -> bool {
        let mut seen: Vec<Option<Option<usize>>> = vec![None; kernel.values.len()];
        let mut alike = true;
        let mut note = |value: ValueId, subs: &[Expr]| {
            let at = self.within(kernel, value, subs);
            let known = seen[value.0 as usize].get_or_insert(at);
            alike &= *known == at;
        };
        for c in contractions(kernel) {
            for expr in [&c.lhs, &c.rhs, &c.epilogue] {
                expr.loads().iter().for_each(|load| note(load.value, &load.subs));
            }
            note(c.target.value, &c.target.subs);
        }
        alike
    }

    /// Makes them one: the outer index, of all positions. The inner one has a single position and occurs nowhere.
    fn merge(self, kernel: &mut Kernel) {
        let before = kernel.clone();
        let place = |value: ValueId, subs: &[Expr]| self.within(&before, value, subs);
        let mut merged: Vec<Option<usize>> = vec![None; kernel.values.len()];
        for c in match &mut kernel.body {
            Body::Contraction(c) => std::slice::from_mut(c),
            Body::Siblings(all) => all,
            _ => return,
        } {
            for group in [&mut c.batch, &mut c.m, &mut c.n, &mut c.k] {
                group.retain(|index| *index != self.inner);
            }
            if let Some(at) = place(c.target.value, &c.target.subs) {
                merged[c.target.value.0 as usize] = Some(at);
                c.target.subs.remove(at + 1);
            }
            for expr in [&mut c.lhs, &mut c.rhs, &mut c.epilogue] {
                let taken = std::mem::replace(expr, Expr::int(0));
                *expr = taken.map(&mut |e| match e {
                    Expr::Load(mut load) => {
                        if let Some(at) = place(load.value, &load.subs) {
                            merged[load.value.0 as usize] = Some(at);
                            load.subs.remove(at + 1);
                        }
                        Expr::Load(load)
                    }
                    other => other,
                });
            }
        }
        for (value, at) in kernel.values.iter_mut().zip(merged) {
            if let Some(at) = at {
                let inner = value.extents.remove(at + 1);
                value.extents[at] *= inner;
            }
        }
        let inner = std::mem::replace(&mut kernel.indices[self.inner.0 as usize].extent, 1);
        kernel.indices[self.outer.0 as usize].extent *= inner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use einmesh_ir::{DType, Load, Reducer};
    use einmesh_schedule::kernel::{Memory, Range, Role, Target};

    /// `out[t, d] = Σ over h and k of x[t, h, k] · w[h, k, d]`, the right factor perhaps stored as `w[k, h, d]`.
    fn projection(turned: bool) -> Kernel {
        let [t, h, k, d] = [0, 1, 2, 3].map(IndexId);
        let memory =
            |extents: &[u64], role| Memory { dtype: DType::F32, extents: extents.to_vec(), role };
        let at =
            |indices: &[IndexId]| indices.iter().map(|i| Expr::Index(*i)).collect::<Vec<Expr>>();
        let load = |value, indices: &[IndexId]| {
            Expr::Load(Load { value: ValueId(value), subs: at(indices), bounds: Bounds::Proven })
        };
        let (right, extents) = if turned { ([k, h, d], [4, 3, 5]) } else { ([h, k, d], [3, 4, 5]) };
        let range = |(name, extent): (&str, u64)| Range { name: name.to_owned(), extent };
        Kernel {
            name: "out".to_owned(),
            values: vec![
                memory(&[2, 5], Role::Write),
                memory(&[2, 3, 4], Role::Read),
                memory(&extents, Role::Read),
                memory(&[], Role::Local),
            ],
            indices: [("t", 2), ("h", 3), ("k", 4), ("d", 5)].map(range).to_vec(),
            ints: 0,
            body: Body::Contraction(Contraction {
                batch: vec![],
                m: vec![t],
                n: vec![d],
                k: vec![h, k],
                lhs: load(1, &[t, h, k]),
                rhs: load(2, &right),
                accumulator: DType::F32,
                acc: ValueId(3),
                epilogue: load(3, &[]),
                target: Target {
                    value: ValueId(0),
                    subs: at(&[t, d]),
                    combine: Reducer::None,
                    store: false,
                },
            }),
        }
    }

    #[test]
    fn indices_side_by_side_in_both_factors_are_one() {
        let kernel = collapsed(&projection(false));
        let [c] = contractions(&kernel) else { panic!("{kernel}") };
        assert_eq!((c.k.len(), kernel.indices[c.k[0].0 as usize].extent), (1, 12), "{kernel}");
        assert_eq!(kernel.values[1].extents, [2, 12], "{kernel}");
        assert_eq!(kernel.values[2].extents, [12, 5], "{kernel}");
    }

    #[test]
    fn indices_that_lie_in_another_order_somewhere_stay() {
        let kernel = projection(true);
        assert_eq!(collapsed(&kernel), kernel);
    }
}
