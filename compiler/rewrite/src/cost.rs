//! The cost model: picoseconds on one device, in integers.
//!
//! A kernel costs a launch, its operations and the bytes it moves. The sum of both, not the
//! maximum, keeps every saving visible; it is an upper bound of a roofline within a factor of two.
//! An operation inside a body is counted once per point of the indices it depends on, since
//! invariant subexpressions are computed outside the inner loops.

use crate::index::IndexSet;
use crate::kernels::{Kernel, Kernels, is_loaded};
use crate::lang::{MapFn, Node, Scalar};
use crate::memo::Memo;
use crate::view::{Choice, Shape, Substitution, View, parts};
use einmesh_ir::{BinaryOp, Reducer, UnaryOp};
use std::collections::BTreeSet;

/// The speeds that costs are computed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// Starting one kernel.
    pub launch_ps: u64,
    /// One operation of a matrix product: a sum of products of two arrays.
    pub matrix_ps_per_1000: u64,
    /// One operation elsewhere.
    pub vector_ps_per_1000: u64,
    /// Moving one byte to or from memory.
    pub byte_ps_per_1000: u64,
}

impl Default for Device {
    /// A core pair with AVX-512: 100 GFLOP/s in matrix products, 25 elsewhere, 25 GB/s.
    fn default() -> Self {
        Device {
            launch_ps: 500_000,
            matrix_ps_per_1000: 10_000,
            vector_ps_per_1000: 40_000,
            byte_ps_per_1000: 40_000,
        }
    }
}

/// What one kernel does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Operations of matrix products.
    pub matrix: u64,
    /// Other operations, transcendental functions by their weight.
    pub vector: u64,
    /// Bytes moved.
    pub bytes: u64,
}

impl Device {
    /// The time of one kernel.
    pub fn time(&self, work: Work) -> u64 {
        let part = |n: u64, rate: u64| {
            let ps = u128::from(n) * u128::from(rate) / 1000;
            u64::try_from(ps).unwrap_or(u64::MAX)
        };
        self.launch_ps
            .saturating_add(part(work.matrix, self.matrix_ps_per_1000))
            .saturating_add(part(work.vector, self.vector_ps_per_1000))
            .saturating_add(part(work.bytes, self.byte_ps_per_1000))
    }
}

impl Work {
    /// Both, one after the other.
    pub fn plus(self, other: Work) -> Work {
        Work {
            matrix: self.matrix.saturating_add(other.matrix),
            vector: self.vector.saturating_add(other.vector),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The weight of an elementwise function, in additions.
fn weight(f: MapFn) -> u64 {
    match f {
        MapFn::Recip => 4,
        MapFn::Unary(op) => match op {
            UnaryOp::Sqrt | UnaryOp::Rsqrt => 6,
            UnaryOp::Exp
            | UnaryOp::Log
            | UnaryOp::Log1p
            | UnaryOp::Expm1
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Tanh
            | UnaryOp::Erf => 10,
            _ => 1,
        },
        MapFn::Binary(op) => match op {
            BinaryOp::Pow => 20,
            BinaryOp::FloorDiv | BinaryOp::Rem | BinaryOp::Fold | BinaryOp::Uniform => 8,
            BinaryOp::Div => 4,
            _ => 1,
        },
        MapFn::Select | MapFn::Cast(_) => 1,
    }
}

/// The operations of combining one point.
fn reducer_weight(reducer: Reducer) -> u64 {
    match reducer {
        Reducer::None => 0,
        Reducer::LogSumExp => 14,
        _ => 1,
    }
}

/// Signs are free: they disappear into additions and subtractions.
fn coefficient_weight(coefficient: Scalar) -> u64 {
    u64::from(coefficient.value().abs() != 1.0)
}

/// The work of a stored class.
pub(crate) fn work(view: &View, choice: &Choice, class: usize) -> Work {
    let node = view.kernel_node(choice, class);
    if view.shape(node) == Shape::Kept {
        return Work::default();
    }
    let reduction = matches!(view.shape(node), Shape::Reduction(_));
    let space = view.indices(class) | view.inner_indices(node);
    let mut tally =
        Tally { view, choice, reduction, space, ops: 0, reads: BTreeSet::new(), bytes: 0 };
    let names = Substitution::IDENTITY;
    let is_matrix = matches!(node, Node::Ein { .. }) && reduction && tally.is_matrix(node);
    tally.node(node, class, &names, true);
    let dtype = view.classes[class].facts.dtype.map_or(0, |d| d.bytes());
    let written = view.points(view.indices(class)).saturating_mul(dtype);
    let combine = match view.shape(node) {
        Shape::Reduction(reducer) => view.points(space).saturating_mul(reducer_weight(reducer)),
        _ => 0,
    };
    let bytes = tally.bytes.saturating_add(written);
    if is_matrix {
        let products = view.points(space);
        let inner = tally.ops.saturating_sub(products);
        Work { matrix: products.saturating_mul(2), vector: inner, bytes }
    } else {
        Work { matrix: 0, vector: tally.ops.saturating_add(combine), bytes }
    }
}

/// The work and the time of all kernels of a choice.
pub(crate) fn total(
    view: &View,
    choice: &Choice,
    kernels: &Kernels,
    device: &Device,
    memo: &mut Memo<Work>,
) -> (u64, Work) {
    let mut all = Work::default();
    let mut time = 0u64;
    for class in &kernels.order {
        if view.shape(view.node(choice, *class)) != Shape::Kept {
            let work = memo.get(view, choice, *class, || work(view, choice, *class));
            time = time.saturating_add(device.time(work));
            all = all.plus(work);
        }
    }
    for (_, class) in &kernels.copies {
        let dtype = view.classes[*class].facts.dtype.map_or(0, |d| d.bytes());
        let bytes = view.points(view.indices(*class)).saturating_mul(2 * dtype);
        let work = Work { bytes, ..Work::default() };
        time = time.saturating_add(device.time(work));
        all = all.plus(work);
    }
    (time, all)
}

struct Tally<'a> {
    view: &'a View<'a>,
    choice: &'a Choice,
    reduction: bool,
    space: IndexSet,
    ops: u64,
    reads: BTreeSet<(usize, Substitution)>,
    bytes: u64,
}

impl Tally<'_> {
    /// Counts the operations of a node itself, and what it reads.
    fn node(&mut self, node: &Node, class: usize, names: &Substitution, top: bool) {
        let view = self.view;
        let all = view.indices(class) | view.inner_indices(node);
        let points = view.points(names.apply_set(all));
        let ops = match node {
            Node::Ein { coefficient, children, guarded, out } => {
                let factors = children.len() - usize::from(*guarded);
                let once = if top { view.points(*out) } else { points };
                let products = (factors as u64 - 1).saturating_mul(points);
                products.saturating_add(coefficient_weight(*coefficient).saturating_mul(once))
            }
            Node::Add(terms) => (terms.len() as u64 - 1).saturating_mul(points),
            Node::Map(f, _) => weight(*f).saturating_mul(points),
            _ => 0,
        };
        self.ops = self.ops.saturating_add(ops);
        let (guard, rest) = parts(node);
        if let Node::Access(t, _) = node {
            let template = &view.table.templates[*t as usize];
            let indices = names.apply_set(template.indices);
            let key = (class, names.clone());
            if self.reads.insert(key) {
                let bytes = view.points(indices).saturating_mul(template.dtype.bytes());
                self.bytes = self.bytes.saturating_add(bytes);
            }
            return;
        }
        for child in guard.into_iter().chain(rest) {
            self.read(child, names);
        }
    }

    fn read(&mut self, class: usize, names: &Substitution) {
        let view = self.view;
        let (base, names) = view.resolve(self.choice, class, names);
        let indices = names.apply_set(view.indices(base));
        let kernel = Kernel { reduces: self.reduction, same_points: indices == self.space };
        if is_loaded(view, self.choice, base, kernel) {
            let dtype = view.classes[base].facts.dtype.map_or(0, |d| d.bytes());
            let axes = view.indices(base).iter().map(|i| (i, names.apply(i))).collect::<Vec<_>>();
            if self.reads.insert((base, Substitution::IDENTITY.after(&axes))) {
                let bytes = view.points(indices).saturating_mul(dtype);
                self.bytes = self.bytes.saturating_add(bytes);
            }
        } else {
            self.node(view.node(self.choice, base), base, &names, false);
        }
    }

    /// Whether a sum of products runs as a matrix product: two factors, each an array as it lies
    /// in memory or converted, each with an index of its own or summed with the other's.
    fn is_matrix(&self, node: &Node) -> bool {
        let (_, factors) = parts(node);
        factors.len() == 2
            && factors.iter().all(|f| {
                let view = self.view;
                let names = Substitution::IDENTITY;
                let (mut base, mut names) = view.resolve(self.choice, *f, &names);
                if let Node::Map(MapFn::Cast(_), args) = view.node(self.choice, base) {
                    (base, names) = view.resolve(self.choice, usize::from(args[0]), &names);
                }
                let same_points = names.apply_set(view.indices(base)) == self.space;
                let node = view.node(self.choice, base);
                matches!(node, Node::Access(..))
                    || is_loaded(view, self.choice, base, Kernel { reduces: true, same_points })
            })
    }
}

/// Whether a class will be an array in memory, whichever of its nodes is chosen.
fn is_array(view: &View, class: usize) -> bool {
    let info = &view.classes[class];
    let other = |n: &Node| view.shape(n) != Shape::Elementwise;
    !info.names.is_empty() || info.given.is_none() || info.nodes.iter().any(other)
}

/// The cost of a node on its own, each child an array: what the greedy extraction adds up.
pub(crate) fn local(view: &View, class: usize, node: &Node, device: &Device) -> u64 {
    let own = view.indices(class);
    let space = own | view.inner_indices(node);
    let points = view.points(space);
    let dtype = view.classes[class].facts.dtype.map_or(0, |d| d.bytes());
    let bytes = |set: IndexSet| view.points(set).saturating_mul(dtype);
    let (_, rest) = parts(node);
    match (view.shape(node), node) {
        (Shape::Transparent | Shape::Kept, _) => 0,
        (Shape::Reduction(reducer), _) => {
            let reads = rest.iter().fold(0u64, |n, c| n.saturating_add(bytes(view.indices(*c))));
            let moved = reads.saturating_add(bytes(own).saturating_mul(2));
            let work = if rest.len() == 2
                && reducer == Reducer::Sum
                && rest.iter().all(|c| is_array(view, *c))
            {
                Work { matrix: points.saturating_mul(2), vector: 0, bytes: moved }
            } else {
                let each = reducer_weight(reducer).saturating_add(rest.len() as u64 - 1);
                Work { matrix: 0, vector: points.saturating_mul(each), bytes: moved }
            };
            device.time(work)
        }
        (Shape::Elementwise, node) => {
            let each = match node {
                Node::Ein { coefficient, .. } => {
                    (rest.len() as u64 - 1).saturating_add(coefficient_weight(*coefficient))
                }
                Node::Add(terms) => terms.len() as u64 - 1,
                Node::Map(f, _) => weight(*f),
                _ => 0,
            };
            let stored = if view.classes[class].names.is_empty() { 0 } else { bytes(own) };
            let launch = if stored == 0 { device.launch_ps } else { 0 };
            let work = Work { matrix: 0, vector: points.saturating_mul(each), bytes: stored };
            device.time(work).saturating_sub(launch)
        }
    }
}
