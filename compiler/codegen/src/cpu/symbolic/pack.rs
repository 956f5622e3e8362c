//! Packing: a block of a factor's elements, in the order that the micro-kernel reads. What lies behind the end of a
//! block is never used, and may be anything.

use super::place::{Binding, Place};
use super::shape::Shape;
use crate::build::{Cmp, V};
use crate::cpu::block::round_down;
use crate::cpu::gemm::micro::Tile;
use crate::cpu::gemm::transpose;
use crate::cpu::value::cast;
use einmesh_ir::{Affine, Atom, DType, Expr, IndexId};

/// A factor as a matrix.
#[derive(Clone, Copy)]
pub struct Factor<'e> {
    /// Its elements.
    pub expr: &'e Expr,
    /// Its rows (of the left factor) or columns (of the right one).
    pub across: IndexId,
    /// The depth.
    pub along: IndexId,
    /// The accumulators' type.
    pub dtype: DType,
}

/// A part of a factor's positions: the first, and how many there are.
pub type Part<'c> = (V<'c>, V<'c>);

/// Whether all that is loaded lies side by side along an index, as far as it depends on it, and something does.
pub fn beside(expr: &Expr, index: IndexId) -> bool {
    let loads = expr.loads();
    let steps = |sub: &Expr| {
        let form = Affine::of(sub);
        form.map_or(sub.mentions(index).then_some(2), |f| Some(f.coefficient(Atom::Index(index))))
    };
    let along = |load: &&einmesh_ir::Load| {
        let Some((last, rest)) = load.subs.split_last() else { return true };
        matches!(steps(last), None | Some(0 | 1))
            && rest.iter().all(|sub| matches!(steps(sub), None | Some(0)))
    };
    loads.iter().all(along) && loads.iter().any(|load| load.subs.iter().any(|s| s.mentions(index)))
}

/// A factor that is a load of elements of the accumulators' type, whose rows and columns lie at regular distances.
pub fn plain<'e>(shape: &Shape, factor: &Factor<'e>) -> Option<&'e einmesh_ir::Load> {
    let Expr::Load(load) = factor.expr else { return None };
    let fits = |(dim, sub): (usize, &Expr)| match sub {
        Expr::Index(index) => {
            shape.fits(shape.size(*index), &shape.values[load.value.0 as usize][dim])
        }
        _ => false,
    };
    let dtype = shape.kernel.values[load.value.0 as usize].dtype;
    (dtype == factor.dtype && load.subs.iter().enumerate().all(fits)).then_some(load)
}

impl<'c> Factor<'_> {
    /// Values along an index from a position on, of which `count` exist.
    fn lanes(
        &self,
        place: &Place<'c, '_>,
        (index, first): (IndexId, V<'c>),
        count: Option<V<'c>>,
        lanes: u64,
    ) -> V<'c> {
        let b = place.b;
        let mut place = place.along(index, first, lanes as u32);
        if let Some(count) = count {
            let mask = place.first_lanes(count);
            place = place.masked(mask);
        }
        b.broadcast(cast(b, place.eval(self.expr), self.dtype).v, lanes as u32)
    }

    /// Calls `store` with vectors from `first` on, as many as cover `count` positions: the last one may not be whole.
    fn vectors(
        &self,
        place: &Place<'c, '_>,
        (index, first, count): (IndexId, V<'c>, V<'c>),
        lanes: u64,
        store: impl Fn(V<'c>, V<'c>),
    ) {
        let b = place.b;
        let whole = round_down(b, count, lanes);
        b.for_each(b.index(0), whole, lanes as i64, |at| {
            store(self.lanes(place, (index, b.add(first, at)), None, lanes), at);
        });
        b.if_true(b.cmp(Cmp::Lt, whole, count), || {
            let left = b.sub(count, whole);
            store(self.lanes(place, (index, b.add(first, whole)), Some(left), lanes), whole);
        });
    }

    /// Rows with the depths of each side by side, `stride` elements apart.
    pub fn pack_rows(
        &self,
        place: &Place<'c, '_>,
        tile: &Tile,
        into: V<'c>,
        stride: u64,
        (rows, depths): (Part<'c>, Part<'c>),
    ) {
        let b = place.b;
        b.for_each(b.index(0), rows.1, 1, |row| {
            let mut place = place.with(self.across, Binding::Uniform(b.add(rows.0, row)));
            place.hoist(self.expr, &[self.along], &[], false);
            let start = b.mul(row, b.index(stride as i64));
            self.vectors(&place, (self.along, depths.0, depths.1), tile.lanes, |value, at| {
                b.store(value, b.address(into, tile.scalar, b.add(start, at)));
            });
        });
    }

    /// Rows in tiles: at each depth the rows of a tile side by side, `held` depths of `width` elements in a tile.
    pub fn pack_tiles(
        &self,
        place: &Place<'c, '_>,
        tile: &Tile,
        into: V<'c>,
        (held, width): (u64, u64),
        (rows, depths): (Part<'c>, Part<'c>),
    ) {
        let b = place.b;
        b.for_each(b.index(0), depths.1, 1, |depth| {
            let mut place = place.with(self.along, Binding::Uniform(b.add(depths.0, depth)));
            place.hoist(self.expr, &[self.across], &[], false);
            let of_depth = b.mul(depth, b.index(width as i64));
            let count = b.index(tile.rows as i64);
            b.for_each(b.index(0), rows.1, tile.rows as i64, |row| {
                let number = b.udiv(row, count);
                let base = b.add(b.mul(number, b.index((held * width) as i64)), of_depth);
                let left = b.smin(b.sub(rows.1, row), count);
                for at in (0..tile.rows).step_by(tile.lanes as usize) {
                    let at = b.index(at as i64);
                    let from = b.add(b.add(rows.0, row), at);
                    let value =
                        self.lanes(&place, (self.across, from), Some(b.sub(left, at)), tile.lanes);
                    b.store(value, b.address(into, tile.scalar, b.add(base, at)));
                }
            });
        });
    }

    /// A panel: at each depth as many columns as the tile has side by side.
    pub fn pack_panel(
        &self,
        place: &Place<'c, '_>,
        tile: &Tile,
        into: V<'c>,
        (columns, depths): (Part<'c>, Part<'c>),
    ) {
        let b = place.b;
        let width = b.index(tile.columns() as i64);
        let full = b.cmp(Cmp::Ge, columns.1, width);
        let simple = plain(place.extents.shape, self).is_some()
            || matches!(self.expr, Expr::Cast(_, e) if matches!(**e, Expr::Load(_)));
        let turned = !beside(self.expr, self.across) && beside(self.expr, self.along) && simple;
        let pack = |whole: bool| {
            b.for_each(b.index(0), depths.1, 1, |depth| {
                let mut place = place.with(self.along, Binding::Uniform(b.add(depths.0, depth)));
                place.hoist(self.expr, &[self.across], &[], false);
                let start = b.mul(depth, width);
                for vector in 0..tile.vectors {
                    let at = b.index((vector * tile.lanes) as i64);
                    let count = (!whole).then(|| b.sub(columns.1, at));
                    let from = (self.across, b.add(columns.0, at));
                    let value = self.lanes(&place, from, count, tile.lanes);
                    b.store(value, b.address(into, tile.scalar, b.add(start, at)));
                }
            });
            vec![]
        };
        match turned {
            true => self.pack_turned(place, tile, into, (columns, depths)),
            false => {
                b.if_else(full, || pack(true), || pack(false));
            }
        }
    }

    /// A panel of what lies side by side along the depth: squares of vectors are transposed in registers.
    fn pack_turned(
        &self,
        place: &Place<'c, '_>,
        tile: &Tile,
        into: V<'c>,
        (columns, depths): (Part<'c>, Part<'c>),
    ) {
        let b = place.b;
        let lanes = tile.lanes as i64;
        let last = b.sub(columns.1, b.index(1));
        let square = |depth: V<'c>, count: Option<V<'c>>| {
            for vector in 0..tile.vectors as i64 {
                let row = |r: i64| {
                    // Columns behind the last repeat it.
                    let column = b.smin(b.index(vector * lanes + r), last);
                    let at = Binding::Uniform(b.add(columns.0, column));
                    let place = place.with(self.across, at);
                    self.lanes(&place, (self.along, b.add(depths.0, depth)), count, tile.lanes)
                };
                let rows: Vec<V<'c>> = (0..lanes).map(row).collect();
                for (d, value) in transpose(b, rows).into_iter().enumerate() {
                    let at = b.mul(b.add(depth, b.index(d as i64)), b.index(tile.columns() as i64));
                    let at = b.add(at, b.index(vector * lanes));
                    b.store(value, b.address(into, tile.scalar, at));
                }
            }
        };
        let whole = round_down(b, depths.1, tile.lanes);
        b.for_each(b.index(0), whole, lanes, |depth| square(depth, None));
        b.if_true(b.cmp(Cmp::Lt, whole, depths.1), || {
            square(whole, Some(b.sub(depths.1, whole)));
        });
    }
}
