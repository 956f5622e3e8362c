//! The parts that a value's adjoint is the sum of, until it is asked for.

use crate::Ctx;
use crate::build::*;
use einmesh_ir::*;
use std::collections::BTreeMap;

/// A contribution to the adjoint of a value.
#[derive(Clone, Debug)]
pub enum Part {
    /// The number 1: where a derivative starts.
    Seed,
    /// A stored value. It has the dims of the adjoint but those at `fixed` positions, where it stands at
    /// one position only, and the contribution is 0 elsewhere.
    Dense {
        /// The stored value.
        value: ValueId,
        /// Positions among the dims, ascending, and where each is: an integer over loop counters.
        fixed: Vec<(usize, Expr)>,
    },
    /// A store that adds to places, with its output and base still open.
    Scatter(Comprehension),
}

impl Part {
    /// A value that has all of the dims.
    pub fn whole(value: ValueId) -> Part {
        Part::Dense { value, fixed: Vec::new() }
    }
}

/// The adjoints of values, in parts.
pub type Adjoints = BTreeMap<ValueId, Vec<Part>>;

impl Ctx<'_> {
    /// Adds a part to the adjoint of a value.
    pub fn contribute(&mut self, value: ValueId, part: Part) {
        self.adjoints.entry(value).or_default().push(part);
    }

    /// Whether a value has an adjoint that is not known to be 0.
    pub fn has_adjoint(&self, value: ValueId) -> bool {
        self.adjoints.contains_key(&value)
    }

    /// The adjoint of a value as a stored value; zeros if nothing contributed.
    pub fn adjoint(&mut self, of: ValueId) -> ValueId {
        let parts = self.adjoints.remove(&of).unwrap_or_default();
        let dims = self.program.values[of].dims.clone();
        let value = self.combined(of, &dims, parts, None);
        self.adjoints.insert(of, vec![Part::whole(value)]);
        value
    }

    /// One element of the adjoint.
    pub fn adjoint_at(&mut self, of: ValueId, subs: Vec<Expr>, bounds: Bounds) -> Expr {
        if let Some([Part::Seed]) = self.adjoints.get(&of).map(|p| &p[..]) {
            return literal(self.program.values[of].dtype, 1.0);
        }
        let value = self.adjoint(of);
        Expr::Load(Load { value, subs, bounds })
    }

    /// The sum of parts as a value over `dims`, on top of `base`.
    pub fn combined(
        &mut self,
        of: ValueId,
        dims: &[DimId],
        parts: Vec<Part>,
        base: Option<ValueId>,
    ) -> ValueId {
        let (scattered, dense): (Vec<Part>, Vec<Part>) =
            parts.into_iter().partition(|p| matches!(p, Part::Scatter(_)));
        let mut sum = match (&dense[..], base) {
            ([], Some(base)) => base,
            ([Part::Dense { value, fixed }], None) if fixed.is_empty() => *value,
            _ => self.sum(of, dims, dense, base),
        };
        for part in scattered {
            if let Part::Scatter(mut c) = part {
                let out = self.derived(of, dims.to_vec());
                c.out = out;
                if let Some(store) = &mut c.store {
                    store.base = sum;
                }
                self.push(c);
                sum = out;
            }
        }
        sum
    }

    /// One comprehension that adds dense parts; zeros if there are none.
    fn sum(
        &mut self,
        of: ValueId,
        dims: &[DimId],
        parts: Vec<Part>,
        base: Option<ValueId>,
    ) -> ValueId {
        let dtype = self.program.values[of].dtype;
        let indices = self.indices_over(dims);
        let ids: Vec<Expr> = indices.ids().map(Expr::Index).collect();
        let wide = dtype.accumulator();
        let many = parts.len() + usize::from(base.is_some()) > 1;
        let widened = |e: Expr| if many && wide != dtype { Expr::cast(wide, e) } else { e };
        let mut sum = base.map(|base| widened(Expr::load(base, ids.clone())));
        for part in parts {
            let term = match part {
                Part::Seed => widened(literal(dtype, 1.0)),
                Part::Dense { value, fixed } => {
                    let kept = ids.iter().enumerate();
                    let kept = kept.filter(|(at, _)| fixed.iter().all(|(f, _)| f != at));
                    let load = Expr::load(value, kept.map(|(_, i)| i.clone()));
                    let here = fixed.into_iter().fold(None, |all, (at, e)| {
                        let e = match self.program.dtype_of(&e) {
                            DType::I32 => e,
                            _ => Expr::cast(DType::I32, e),
                        };
                        both(all, Some(compare(BinaryOp::Eq, ids[at].clone(), e)))
                    });
                    let dtype = if many { wide } else { dtype };
                    only_if(dtype, here, widened(load))
                }
                Part::Scatter(_) => continue,
            };
            sum = Some(match sum {
                None => term,
                Some(before) => Expr::binary(BinaryOp::Add, before, term),
            });
        }
        let body = match sum {
            None => Expr::float(dtype, 0.0),
            Some(sum) if many && wide != dtype => Expr::cast(dtype, sum),
            Some(sum) => sum,
        };
        let out = self.derived(of, dims.to_vec());
        let free = indices.len();
        let reducer = Reducer::None;
        self.push(Comprehension { out, indices, free, reducer, guard: None, body, store: None });
        out
    }

    /// Zeros of the type of a value's adjoint.
    pub fn zeros(&mut self, of: ValueId) -> ValueId {
        let dims = self.program.values[of].dims.clone();
        self.zeros_over(of, &dims)
    }

    /// Zeros of the dtype of a value's adjoint, over these dims.
    pub fn zeros_over(&mut self, of: ValueId, dims: &[DimId]) -> ValueId {
        self.sum(of, dims, Vec::new(), None)
    }

    /// Declares a value for (a part of) the adjoint of another, over these dims.
    pub fn derived(&mut self, of: ValueId, dims: Vec<DimId>) -> ValueId {
        let Value { name, dtype, origin, .. } = self.program.values[of].clone();
        let name = if name.starts_with("d_") { name } else { format!("d_{name}") };
        self.program.values.push(Value { name, dtype, dims, origin })
    }

    /// Declares a value like another, of the forward computation.
    pub fn like(&mut self, value: ValueId, dims: Vec<DimId>) -> ValueId {
        let info = self.program.values[value].clone();
        self.program.values.push(Value { dims, ..info })
    }

    /// Indices over dims, named after them.
    pub fn indices_over(&self, dims: &[DimId]) -> Arena<IndexId, Index> {
        indices_over(self.program, dims)
    }

    /// The dims, with stand-ins of the same extents for those that `taken` or earlier ones have.
    pub fn distinct(&mut self, dims: &[DimId], taken: &[DimId]) -> Vec<DimId> {
        let mut all: Vec<DimId> = Vec::new();
        for dim in dims {
            let used = |d: &DimId| taken.contains(d) || all.contains(d);
            if !used(dim) {
                all.push(*dim);
                continue;
            }
            let known = self.aliases.iter().find(|(of, alias)| of == dim && !used(alias));
            let alias = match known {
                Some((_, alias)) => *alias,
                None => {
                    let info = self.program.dims[*dim].clone();
                    let alias = self.program.dims.push(Dim { role_of: Some(*dim), ..info });
                    self.aliases.push((*dim, alias));
                    alias
                }
            };
            all.push(alias);
        }
        all
    }

    /// Appends a comprehension to the innermost block in the making.
    pub fn push(&mut self, mut c: Comprehension) {
        simplify_comprehension(self.program, &mut c);
        self.blocks.last_mut().expect("a block in the making").push(Op::Compute(c));
    }

    /// A copy of a value in the innermost block.
    pub fn copied(&mut self, value: ValueId, out: ValueId) {
        let dims = self.program.values[out].dims.clone();
        let indices = self.indices_over(&dims);
        let body = Expr::load(value, indices.ids().map(Expr::Index).collect::<Vec<_>>());
        let free = indices.len();
        let reducer = Reducer::None;
        self.push(Comprehension { out, indices, free, reducer, guard: None, body, store: None });
    }
}

/// Indices over dims, named after them.
pub fn indices_over(program: &Program, dims: &[DimId]) -> Arena<IndexId, Index> {
    let mut indices: Arena<IndexId, Index> = Arena::new();
    for dim in dims {
        let lower = program.dims[*dim].name.to_lowercase();
        let digit = lower.starts_with(|c: char| c.is_ascii_digit());
        let base = if digit { format!("n{lower}") } else { lower };
        let name = unused(&indices, &base);
        indices.push(Index { name, dim: *dim });
    }
    indices
}

/// A name that no index has yet.
pub fn unused(indices: &Arena<IndexId, Index>, base: &str) -> String {
    let taken = |name: &str| indices.values().any(|i| i.name == name);
    let mut name = base.to_owned();
    let mut copy = 1;
    while taken(&name) {
        copy += 1;
        name = format!("{base}_{copy}");
    }
    name
}
