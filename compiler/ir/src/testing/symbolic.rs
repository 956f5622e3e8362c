//! Generated programs whose extents are numbers at run time.

use crate::arena::Arena;
use crate::expr::{Bounds, Expr, Load};
use crate::program::{Dim, DimId, Index, Op, Program};
use crate::{Affine, IndexId};

/// Makes the dims of a straight-line program symbolic, but for those with digits as name. What is in range only because of
/// the program's extents is confined to what is there. Returns the names of the dims that are nobody's role.
pub fn make_symbolic(program: &mut Program) -> Vec<String> {
    for (_, dim) in program.dims.iter_mut() {
        dim.symbolic = !dim.name.starts_with(|c: char| c.is_ascii_digit());
    }
    let (dims, values) = (&program.dims, &program.values);
    for op in &mut program.body.ops {
        let Op::Compute(c) = op else { continue };
        let indices = c.indices.clone();
        let confined = |mut load: Load| {
            let of = &values[load.value].dims;
            let mut pairs = load.subs.iter().zip(of);
            if !pairs.all(|(sub, dim)| stays(dims, &indices, sub, *dim)) {
                load.bounds = Bounds::Clamp;
            }
            load
        };
        for expr in c.exprs_mut() {
            let taken = std::mem::replace(expr, Expr::int(0));
            *expr = taken.map(&mut |e| match e {
                Expr::Load(load) if load.bounds == Bounds::Proven => Expr::Load(confined(load)),
                other => other,
            });
        }
    }
    let named = program.dims.values().filter(|d| d.symbolic && d.role_of.is_none());
    named.map(|d| d.name.clone()).collect()
}

/// Whether a subscript is in range for all extents.
fn stays(
    dims: &Arena<DimId, Dim>,
    indices: &Arena<IndexId, Index>,
    sub: &Expr,
    dim: DimId,
) -> bool {
    if let Expr::Index(index) = sub {
        let own = indices[*index].dim;
        return own == dim || dims[own].role_of == Some(dim);
    }
    let number = Affine::of(sub).and_then(|form| form.as_constant());
    let extent = i64::try_from(dims[dim].extent).unwrap_or(i64::MAX);
    !dims[dim].symbolic && number.is_some_and(|n| (0..extent).contains(&n))
}

/// The program with numbers for its symbols: an ordinary one. A role without a number of its own has its dim's.
pub fn with_extents(program: &Program, symbols: &[String], extents: &[u64]) -> Program {
    let mut program = program.clone();
    let dims = program.dims.clone();
    for (id, dim) in program.dims.iter_mut().filter(|(_, d)| d.symbolic) {
        let roles = std::iter::successors(Some(id), |id| dims[*id].role_of).take(dims.len());
        let mut symbol = roles.filter_map(|id| symbols.iter().position(|s| *s == dims[id].name));
        dim.extent = symbol.next().map_or(dim.extent, |n| extents[n]);
        dim.symbolic = false;
    }
    program
}
