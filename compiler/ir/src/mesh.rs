//! Device meshes and placements on them.

use crate::arena::Arena;
use crate::define_id;
use crate::program::Reducer;
use std::collections::BTreeMap;

define_id!(
    /// An axis of the device mesh.
    MeshAxisId,
    "m"
);

/// A named device axis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeshAxis {
    /// The name: `data`, `tensor` …
    pub name: String,
    /// How many devices stand along it.
    pub size: u64,
}

/// A rectangular arrangement of devices. Without axes it is one device.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Mesh {
    /// The axes, major to minor: the last one's neighbours have consecutive ranks.
    pub axes: Arena<MeshAxisId, MeshAxis>,
}

/// A device's number: its coordinates as one row-major number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rank(pub u64);

/// For each dim of a value, the mesh axes that split it, major to minor.
pub type PartitionSpec = Vec<Vec<MeshAxisId>>;

/// How a value is laid out over the mesh. An axis that is in neither list replicates the value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sharding {
    /// One list per dim of the value.
    pub spec: PartitionSpec,
    /// Axes over which each device holds a partial result, still to be combined, in axis order.
    pub partial: Vec<(MeshAxisId, Reducer)>,
}

impl Mesh {
    /// A mesh with these axes, major to minor.
    pub fn new<'a>(axes: impl IntoIterator<Item = (&'a str, u64)>) -> Mesh {
        let axes = axes.into_iter().map(|(name, size)| MeshAxis { name: name.to_owned(), size });
        Mesh { axes: axes.collect() }
    }

    /// The number of devices.
    pub fn devices(&self) -> u64 {
        self.axes.values().map(|a| a.size).product()
    }

    /// The axis of this name.
    pub fn axis(&self, name: &str) -> Option<MeshAxisId> {
        self.axes.iter().find(|(_, a)| a.name == name).map(|(id, _)| id)
    }

    /// A rank's coordinate on each axis.
    pub fn coordinates(&self, rank: Rank) -> Vec<u64> {
        let mut rest = rank.0;
        let mut coordinates: Vec<u64> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.values().rev() {
            coordinates.push(rest % axis.size);
            rest /= axis.size;
        }
        coordinates.reverse();
        coordinates
    }

    /// The rank at these coordinates, one per axis.
    pub fn rank(&self, coordinates: &[u64]) -> Rank {
        let axes = self.axes.values().zip(coordinates);
        Rank(axes.fold(0, |rank, (axis, c)| rank * axis.size + c))
    }

    /// The product of these axes' sizes.
    pub fn size_of(&self, axes: &[MeshAxisId]) -> u64 {
        axes.iter().map(|a| self.axes[*a].size).product()
    }

    /// The replica groups of a collective over `axes`: each lists the ranks that differ only in
    /// their coordinates on `axes`, ordered by those coordinates, the first of `axes` slowest.
    pub fn groups(&self, axes: &[MeshAxisId]) -> Vec<Vec<Rank>> {
        use crate::arena::Id;
        // Keyed by the coordinates that a group's members share.
        let mut groups: BTreeMap<Vec<u64>, Vec<(Vec<u64>, Rank)>> = BTreeMap::new();
        for rank in (0..self.devices()).map(Rank) {
            let mut shared = self.coordinates(rank);
            let take = |a: &MeshAxisId| std::mem::take(&mut shared[a.index()]);
            let within: Vec<u64> = axes.iter().map(take).collect();
            groups.entry(shared).or_default().push((within, rank));
        }
        let sorted = groups.into_values().map(|mut members| {
            members.sort();
            members.into_iter().map(|(_, rank)| rank).collect()
        });
        sorted.collect()
    }
}

impl Sharding {
    /// The value is whole on every device.
    pub fn replicated(dims: usize) -> Sharding {
        Sharding { spec: vec![Vec::new(); dims], partial: Vec::new() }
    }

    /// Whether the value is whole on every device.
    pub fn is_replicated(&self) -> bool {
        self.spec.iter().all(Vec::is_empty) && self.partial.is_empty()
    }

    /// Whether `axis` splits some dim.
    pub fn splits(&self, axis: MeshAxisId) -> bool {
        self.spec.iter().any(|axes| axes.contains(&axis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_differ_only_on_their_axes() {
        let mesh = Mesh::new([("a", 2), ("b", 2), ("c", 2)]);
        let axis = |name| mesh.axis(name).unwrap();
        let ranks = |groups: Vec<Vec<Rank>>| -> Vec<Vec<u64>> {
            let numbers = |g: Vec<Rank>| g.into_iter().map(|r| r.0).collect();
            groups.into_iter().map(numbers).collect()
        };
        let over_b = ranks(mesh.groups(&[axis("b")]));
        assert_eq!(over_b, [[0, 2], [1, 3], [4, 6], [5, 7]]);
        let over_c_then_a = ranks(mesh.groups(&[axis("c"), axis("a")]));
        assert_eq!(over_c_then_a, [[0, 4, 1, 5], [2, 6, 3, 7]]);
        assert_eq!(ranks(Mesh::default().groups(&[])), [[0]]);
    }

    #[test]
    fn ranks_and_coordinates_are_inverse() {
        let mesh = Mesh::new([("a", 3), ("b", 2)]);
        assert_eq!(mesh.coordinates(Rank(5)), [2, 1]);
        for rank in (0..6).map(Rank) {
            assert_eq!(mesh.rank(&mesh.coordinates(rank)), rank);
        }
    }
}
