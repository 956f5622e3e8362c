//! Kernels: self-contained pieces of work on strided memory.
//!
//! Expressions are the IR's, with ids local to the kernel: [`ValueId`] n is `values[n]`,
//! [`IndexId`] n is `indices[n]`, and [`Expr::LoopVar`] n is the n-th number passed at launch
//! (a loop counter or a mesh coordinate). [`Expr::Coord`] does not occur.

mod sweep;

use einmesh_ir::{DType, Expr, IndexId, Reducer, ValueId};
pub use sweep::{Factors, Point, PointSum, Sweep};

/// A piece of work.
#[derive(Clone, PartialEq, Debug)]
pub struct Kernel {
    /// The names of the values it computes, joined by `+`. Not part of its identity.
    pub name: String,
    /// The memory it works on: operands first, in launch order, then locals.
    pub values: Vec<Memory>,
    /// The iteration space.
    pub indices: Vec<Range>,
    /// How many numbers are passed at launch.
    pub ints: u32,
    /// What is done.
    pub body: Body,
}

/// A value as memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Memory {
    /// The element type.
    pub dtype: DType,
    /// The extents, outermost first. Row-major and dense.
    pub extents: Vec<u64>,
    /// Who provides it.
    pub role: Role,
}

/// Who provides a kernel's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A buffer that is only read.
    Read,
    /// A buffer that is only written, every element exactly once.
    Write,
    /// A buffer that is updated in place (stores and donated inputs).
    Update,
    /// Scratch memory of one iteration of a nest's outer indices, or the accumulator of a contraction.
    Local,
}

/// An index of a kernel.
#[derive(Clone, PartialEq, Debug)]
pub struct Range {
    /// Its name in the source. Not part of the kernel's identity.
    pub name: String,
    /// It runs from 0 to here.
    pub extent: u64,
}

/// What a kernel does.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Fused comprehensions.
    Nest(Nest),
    /// A matrix product, in the widest sense.
    Contraction(Contraction),
    /// Several matrix products with the same `batch`, `m`, `k`, `lhs` and `accumulator`, independent of each
    /// other: what they share need be read and packed once only.
    Siblings(Vec<Contraction>),
    /// Reductions over the rows of a matrix product that is never stored.
    Online(Online),
    /// Sums over the points of matrix products that are never stored.
    Sweep(Sweep),
    /// A stable sort's permutation along a dim.
    Argsort {
        /// The operand sorted.
        input: ValueId,
        /// The operand written, i32.
        output: ValueId,
        /// The dim.
        position: usize,
    },
}

/// For every point of the outer indices (in parallel): stages, one after the other.
///
/// Softmax, layer norm and cross-entropy are nests: the rows outside, the passes over a row as stages,
/// what only lives within the row as locals.
#[derive(Clone, PartialEq, Debug)]
pub struct Nest {
    /// Indices shared by all stages. Distinct points never write the same element, unless a
    /// target's `combine` or a store makes them: then `serial` is set.
    pub outer: Vec<IndexId>,
    /// Whether points must run one after the other.
    pub serial: bool,
    /// The passes.
    pub stages: Vec<Stage>,
}

/// One comprehension inside of a nest.
#[derive(Clone, PartialEq, Debug)]
pub struct Stage {
    /// Free indices besides the outer ones, in the target's order: the last is best contiguous.
    pub free: Vec<IndexId>,
    /// Reduced indices.
    pub reduced: Vec<IndexId>,
    /// How reduced points combine.
    pub reducer: Reducer,
    /// Points where this is false are not evaluated.
    pub guard: Option<Expr>,
    /// The number at each point; of the accumulator's dtype for reductions.
    pub body: Expr,
    /// Where it goes.
    pub target: Target,
}

/// A place that is written.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// The memory.
    pub value: ValueId,
    /// One subscript per extent.
    pub subs: Vec<Expr>,
    /// How it combines with what is there; [`Reducer::None`] overwrites.
    pub combine: Reducer,
    /// Whether subscripts may be out of range; such points are dropped. For free points of a store,
    /// points whose guard is false leave the memory as it is.
    pub store: bool,
}

/// `target[batch, m, n] = epilogue(Σ over k of lhs(batch, m, k) · rhs(batch, n, k))`.
///
/// Any group may hold several indices or none. `lhs` and `rhs` are usually loads with affine
/// subscripts, but may be any expression of their indices: it is evaluated once per element while packing.
#[derive(Clone, PartialEq, Debug)]
pub struct Contraction {
    /// Indices of lhs, rhs and target.
    pub batch: Vec<IndexId>,
    /// Indices of lhs and target.
    pub m: Vec<IndexId>,
    /// Indices of rhs and target.
    pub n: Vec<IndexId>,
    /// Indices of lhs and rhs.
    pub k: Vec<IndexId>,
    /// The left factor.
    pub lhs: Expr,
    /// The right factor.
    pub rhs: Expr,
    /// The type in which products are summed.
    pub accumulator: DType,
    /// The local that stands for the finished sum in `epilogue`; it has no extents.
    pub acc: ValueId,
    /// What is stored, an expression of batch, m, n and `acc`.
    pub epilogue: Expr,
    /// Where it is stored; every point once.
    pub target: Target,
}

/// Online softmax: reductions over the rows of a matrix product whose elements are never stored (Milakov and
/// Gimelshein 2018), and sums that the softmax weighs: attention (Dao et al. 2022).
///
/// At each point of `batch`, `m` and `n` there is `score`, an expression of those indices and of `acc`,
/// the finished `Σ over k of lhs(batch, m, k) · rhs(batch, n, k)`. Over the points of n where `guard` holds:
///
/// * `top = max(score)`, NaN if any score is;
/// * `total = Σ exp(score − top)`;
/// * `lse = logsumexp(score)`;
/// * `context.acc = Σ exp(score − top) · value(batch, n, v)` for each point of `context.v`.
///
/// Of no points these are −∞, 0, −∞ and 0. If `top` is infinite, there is an infinity minus itself among the
/// exponents: `total` and `context.acc` are then NaN, while `lse` is `top`. Exponentials below the normal numbers
/// may be 0. Points that the guard excludes take no part, but for one liberty: where their `value` is not finite,
/// the context may be NaN, as it is if they are given a weight of 0.
#[derive(Clone, PartialEq, Debug)]
pub struct Online {
    /// Indices of all factors and results.
    pub batch: Vec<IndexId>,
    /// Indices of lhs and the results: the rows.
    pub m: Vec<IndexId>,
    /// The index of rhs and `value` that is reduced.
    pub n: IndexId,
    /// Indices of lhs and rhs.
    pub k: Vec<IndexId>,
    /// The left factor of a score.
    pub lhs: Expr,
    /// The right factor of a score.
    pub rhs: Expr,
    /// The type of sums and scores. The locals below have it, and no extents.
    pub accumulator: DType,
    /// The local that stands for the finished product in `score`.
    pub acc: ValueId,
    /// The score.
    pub score: Expr,
    /// Points where this is false are excluded.
    pub guard: Option<Expr>,
    /// The local that stands for the largest score in results.
    pub top: ValueId,
    /// The local that stands for the sum of exponentials in results.
    pub total: ValueId,
    /// The local that stands for the logarithm of the scores' exponentials' sum in results.
    pub lse: ValueId,
    /// The weighted sums, if any are wanted.
    pub context: Option<Context>,
    /// What is stored.
    pub results: Vec<RowResult>,
}

/// Sums that exponentials of scores weigh.
#[derive(Clone, PartialEq, Debug)]
pub struct Context {
    /// Indices of `value` and of the result.
    pub v: Vec<IndexId>,
    /// What is weighed, an expression of batch, n and v.
    pub value: Expr,
    /// The local that stands for the finished sum in results.
    pub acc: ValueId,
}

/// A result of [`Online`].
#[derive(Clone, PartialEq, Debug)]
pub struct RowResult {
    /// Whether there is one per point of `context.v`, rather than one per row.
    pub wide: bool,
    /// What is stored: an expression of batch, m, the locals, and, if wide, v and the context.
    pub value: Expr,
    /// Where it is stored; every point once.
    pub target: Target,
}

impl Body {
    /// Every expression, those of targets included.
    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Body::Nest(nest) => nest.stages.iter_mut().flat_map(Stage::exprs_mut).collect(),
            Body::Contraction(c) => c.exprs_mut(),
            Body::Siblings(all) => all.iter_mut().flat_map(Contraction::exprs_mut).collect(),
            Body::Online(o) => {
                let context = o.context.iter_mut().map(|c| &mut c.value);
                let results = o
                    .results
                    .iter_mut()
                    .flat_map(|r| std::iter::once(&mut r.value).chain(&mut r.target.subs));
                let own = [&mut o.lhs, &mut o.rhs, &mut o.score].into_iter();
                own.chain(&mut o.guard).chain(context).chain(results).collect()
            }
            Body::Sweep(sweep) => sweep.exprs_mut(),
            Body::Argsort { .. } => vec![],
        }
    }

    /// Every place that is written, but for that of a sort.
    pub fn targets_mut(&mut self) -> Vec<&mut Target> {
        match self {
            Body::Nest(nest) => nest.stages.iter_mut().map(|s| &mut s.target).collect(),
            Body::Contraction(c) => vec![&mut c.target],
            Body::Siblings(all) => all.iter_mut().map(|c| &mut c.target).collect(),
            Body::Online(o) => o.results.iter_mut().map(|r| &mut r.target).collect(),
            Body::Sweep(sweep) => sweep.sums.iter_mut().map(|s| &mut s.target).collect(),
            Body::Argsort { .. } => vec![],
        }
    }

    /// The values that are named outside of expressions and targets.
    pub fn named_mut(&mut self) -> Vec<&mut ValueId> {
        match self {
            Body::Nest(_) => vec![],
            Body::Contraction(c) => vec![&mut c.acc],
            Body::Siblings(all) => all.iter_mut().map(|c| &mut c.acc).collect(),
            Body::Online(o) => {
                let context = o.context.iter_mut().map(|c| &mut c.acc);
                [&mut o.acc, &mut o.top, &mut o.total, &mut o.lse]
                    .into_iter()
                    .chain(context)
                    .collect()
            }
            Body::Sweep(sweep) => sweep.named_mut(),
            Body::Argsort { input, output, .. } => vec![input, output],
        }
    }
}

impl Stage {
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        let own = std::iter::once(&mut self.body).chain(&mut self.guard);
        own.chain(&mut self.target.subs).collect()
    }
}

impl Contraction {
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        let own = [&mut self.lhs, &mut self.rhs, &mut self.epilogue].into_iter();
        own.chain(&mut self.target.subs).collect()
    }
}

impl Kernel {
    /// Whether two kernels are equal but for names.
    pub fn computes_the_same(&self, other: &Kernel) -> bool {
        let extents = |k: &Kernel| k.indices.iter().map(|i| i.extent).collect::<Vec<_>>();
        self.values == other.values
            && self.ints == other.ints
            && self.body == other.body
            && extents(self) == extents(other)
    }

    /// The indices of its index space; of several, those of the largest.
    pub fn space(&self) -> Vec<IndexId> {
        let Body::Nest(Nest { outer, stages, .. }) = &self.body else {
            return (0..self.indices.len() as u32).map(IndexId).collect();
        };
        let of = |stage: &Stage| [&outer[..], &stage.free, &stage.reduced].concat();
        let points = |space: &Vec<IndexId>| {
            let extents = space.iter().map(|i| self.indices[i.0 as usize].extent);
            extents.fold(1, u64::saturating_mul)
        };
        stages.iter().map(of).max_by_key(points).unwrap_or_default()
    }
}
