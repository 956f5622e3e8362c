use super::*;
use einmesh_ir::Mesh;

const X: MeshAxisId = MeshAxisId(0);
const Y: MeshAxisId = MeshAxisId(1);

fn grid() -> Grid {
    Grid { mesh: Mesh::new([("x", 2), ("y", 3)]) }
}

fn sharding(spec: &[&[MeshAxisId]], partial: &[MeshAxisId]) -> Sharding {
    Sharding {
        spec: spec.iter().map(|axes| axes.to_vec()).collect(),
        partial: partial.iter().map(|a| (*a, Reducer::Sum)).collect(),
    }
}

#[track_caller]
fn expect(extents: &[u64], from: &Sharding, to: &Sharding, expected: &[Step]) {
    let moves = path(&grid(), extents, from, to);
    let steps: Vec<Step> = moves.iter().map(|m| m.step.clone()).collect();
    assert_eq!(steps, expected);
    assert_eq!(moves.last().map_or(from, |m| &m.after), to);
}

/// Every placement of two dims and a partial sum over two axes.
fn all() -> Vec<Sharding> {
    let places = |axis| -> Vec<(Option<usize>, MeshAxisId)> {
        [None, Some(0), Some(1), Some(2)].into_iter().map(|p| (p, axis)).collect()
    };
    let mut all = Vec::new();
    for first in places(X) {
        for second in places(Y) {
            for order in [[first, second], [second, first]] {
                let mut s = sharding(&[&[], &[]], &[]);
                for (place, axis) in order {
                    match place {
                        Some(2) => s.partial.push((axis, Reducer::Sum)),
                        Some(dim) => s.spec[dim].push(axis),
                        None => {}
                    }
                }
                s.partial.sort();
                if !all.contains(&s) {
                    all.push(s);
                }
            }
        }
    }
    all
}

/// Paths end where they should, for even and uneven extents, and never visit a placement twice.
#[test]
fn every_pair_has_a_path() {
    let all = all();
    assert_eq!(all.len(), 18);
    for extents in [[6, 6], [7, 5], [1, 12], [5, 4]] {
        for from in &all {
            for to in &all {
                let moves = path(&grid(), &extents, from, to);
                assert_eq!(moves.last().map_or(from, |m| &m.after), to);
                let mut seen = vec![from];
                for step in &moves {
                    assert!(!seen.contains(&&step.after), "{from:?} to {to:?}: {moves:?}");
                    seen.push(&step.after);
                }
            }
        }
    }
}

#[test]
fn slices_come_before_gathers() {
    let (from, to) = (sharding(&[&[X], &[]], &[]), sharding(&[&[], &[Y]], &[]));
    let slice = Step::Slice { position: 1, axes: vec![Y] };
    let gather = Step::AllGather { position: 0, axes: vec![X] };
    expect(&[6, 6], &from, &to, &[slice, gather]);
}

#[test]
fn minor_axes_are_gathered_alone_where_blocks_nest() {
    let (from, to) = (sharding(&[&[X, Y]], &[]), sharding(&[&[X]], &[]));
    expect(&[12], &from, &to, &[Step::AllGather { position: 0, axes: vec![Y] }]);
    // Blocks of 2 of six do not make up blocks of 4 of two: 8 = 2·4, but 3·2 = 6.
    let gather = Step::AllGather { position: 0, axes: vec![X, Y] };
    expect(&[8], &from, &to, &[gather, Step::Slice { position: 0, axes: vec![X] }]);
}

#[test]
fn what_is_split_later_is_scattered() {
    let (from, to) = (sharding(&[&[], &[]], &[X, Y]), sharding(&[&[X], &[Y]], &[]));
    let scatter =
        |position, axis| Step::ReduceScatter { reducer: Reducer::Sum, position, axes: vec![axis] };
    expect(&[6, 6], &from, &to, &[scatter(0, X), scatter(1, Y)]);
}

#[test]
fn a_split_that_moves_is_exchanged() {
    let (from, to) = (sharding(&[&[X], &[]], &[]), sharding(&[&[], &[X]], &[]));
    expect(&[6, 6], &from, &to, &[Step::AllToAll { split: 1, concat: 0, axes: vec![X] }]);
    let moves = path(&grid(), &[6, 6], &from, &to);
    // Half of 18 elements of 4 bytes leave the device.
    assert_eq!(wire_bytes(&grid(), &[6, 6], &from, &moves, 4), 36);
}
