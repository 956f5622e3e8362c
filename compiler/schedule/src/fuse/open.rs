//! What nests need of extents that are open.

use super::Ctx;
use einmesh_ir::{Comprehension, DimId, Expr, IndexId};

impl Ctx<'_> {
    /// Whether a comprehension is well computed inside of outer dims, however large the open ones turn out to be: one of
    /// these is outside, where work is shared out, and memory is walked along what is inside.
    pub(super) fn fits_open(&self, c: &Comprehension, outer: &[DimId]) -> bool {
        let open = |dim: &DimId| self.program.dims[*dim].symbolic;
        if !c.indices.values().any(|index| open(&index.dim)) {
            return true;
        }
        let inside = |index: IndexId| c.is_reduced(index) || !outer.contains(&c.indices[index].dim);
        let walks = |subs: &[Expr]| {
            let mentions = |e: &Expr| c.indices.ids().any(|i| inside(i) && e.mentions(i));
            !subs.iter().any(mentions) || subs.last().is_some_and(mentions)
        };
        let result: Vec<Expr> = c.free_indices().map(Expr::Index).collect();
        let loads = c.exprs().flat_map(Expr::loads);
        outer.iter().any(open) && walks(&result) && loads.into_iter().all(|l| walks(&l.subs))
    }
}
