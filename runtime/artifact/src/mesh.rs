//! What follows from a manifest: ranks, coordinates and groups of the mesh, shapes, updated inputs.

use crate::manifest::{DimLayout, Manifest, Tensor};
use std::collections::BTreeMap;

impl Manifest {
    /// The number of devices.
    pub fn devices(&self) -> u64 {
        self.mesh.iter().map(|a| a.size).product()
    }

    /// A rank's coordinate on each mesh axis; the last axis varies fastest.
    pub fn coordinates(&self, rank: u64) -> Vec<u64> {
        let mut rest = rank;
        let mut coordinates: Vec<u64> = Vec::with_capacity(self.mesh.len());
        for axis in self.mesh.iter().rev() {
            coordinates.push(rest % axis.size);
            rest /= axis.size;
        }
        coordinates.reverse();
        coordinates
    }

    /// The product of these axes' sizes.
    pub fn group_size(&self, axes: &[u32]) -> u64 {
        axes.iter().map(|a| self.mesh[*a as usize].size).product()
    }

    /// The groups of a collective over `axes`: each lists the ranks that differ only on `axes`, in the
    /// order of their coordinates there, the first of `axes` slowest.
    pub fn groups(&self, axes: &[u32]) -> Vec<Vec<u64>> {
        let size = self.group_size(axes) as usize;
        // The groups' first members are the ranks whose coordinates on `axes` are all zero. The
        // others follow at the sum of the strides of their coordinates.
        let on_axes = |rank: &u64| {
            let coordinates = self.coordinates(*rank);
            axes.iter().all(|a| coordinates[*a as usize] == 0)
        };
        let offsets: Vec<u64> = (0..size as u64)
            .map(|member| {
                let mut rest = member;
                let mut offset = 0;
                for axis in axes.iter().rev() {
                    let size = self.mesh[*axis as usize].size;
                    offset += rest % size * self.stride(*axis);
                    rest /= size;
                }
                offset
            })
            .collect();
        let firsts = (0..self.devices()).filter(on_axes);
        firsts.map(|first| offsets.iter().map(|offset| first + offset).collect()).collect()
    }

    /// How far apart in rank neighbours on this axis are.
    fn stride(&self, axis: u32) -> u64 {
        let inner = &self.mesh[axis as usize + 1..];
        inner.iter().map(|a| a.size).product()
    }

    /// Which block of a dim the device at these coordinates holds.
    pub fn block(&self, dim: &DimLayout, coordinates: &[u64]) -> u64 {
        let along = dim.axes.iter().map(|a| *a as usize);
        along.fold(0, |block, a| block * self.mesh[a].size + coordinates[a])
    }

    /// For each input, the output that is its new value if it is `inout`: the output that takes over
    /// its memory, or has its path. Only such an input's memory may be written.
    pub fn new_values(&self) -> Vec<Option<usize>> {
        let mut by_path: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_donor: BTreeMap<u32, usize> = BTreeMap::new();
        for (i, output) in self.outputs.iter().enumerate() {
            by_path.insert(&output.path, i);
            by_donor.extend(output.donor.map(|donor| (donor, i)));
        }
        let inputs = self.inputs.iter().enumerate().map(|(i, input)| {
            let output = by_donor.get(&(i as u32));
            output.or_else(|| by_path.get(input.path.as_str())).copied()
        });
        inputs.collect()
    }
}

impl Tensor {
    /// Whether both have the same type, shape, split and order in memory, whatever the dims' names.
    pub fn same_layout(&self, other: &Tensor) -> bool {
        let layout = |d: &DimLayout| (d.global, d.local, d.axes.clone());
        let alike = self.dtype == other.dtype && self.panels == other.panels;
        alike && self.dims.iter().map(layout).eq(other.dims.iter().map(layout))
    }

    /// The extents of the whole tensor, one per dim.
    pub fn shape(&self) -> Vec<u64> {
        self.dims.iter().map(|d| d.global).collect()
    }

    /// How many of the dims are stacked: the first ones, one per `{}` of the checkpoint's name.
    pub fn stacked(&self) -> usize {
        self.tensor.matches("{}").count()
    }

    /// What a name with one `{}` per stacked dim, as [`Tensor::tensor`], stands for in a checkpoint: one name for each
    /// position of these dims, the last fastest.
    pub fn stacked_names(&self, name: &str) -> Vec<String> {
        self.dims[..self.stacked()].iter().fold(vec![name.to_owned()], |names, dim| {
            let each = names.iter().flat_map(|name| {
                (0..dim.global).map(move |i| name.replacen("{}", &i.to_string(), 1))
            });
            each.collect()
        })
    }

    /// The shape of the whole tensor in one piece, outside a checkpoint: the stacked dims, then product axes as one.
    pub fn whole_shape(&self) -> Vec<u64> {
        let mut shape = self.shape();
        shape.truncate(self.stacked());
        shape.extend(self.checkpoint_shape());
        shape
    }

    /// The shape of the tensor in a checkpoint (of one of the stacked ones): product axes as one.
    pub fn checkpoint_shape(&self) -> Vec<u64> {
        let mut dims = self.dims[self.stacked()..].iter();
        let axes = self.axes.iter();
        axes.map(|n| dims.by_ref().take(*n as usize).map(|d| d.global).product()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{DType, MeshAxis};

    fn cube() -> Manifest {
        let axis = |name: &str, size| MeshAxis { name: name.to_owned(), size };
        Manifest { mesh: vec![axis("a", 2), axis("b", 3), axis("c", 2)], ..Manifest::default() }
    }

    #[test]
    fn groups_differ_only_on_their_axes() {
        let manifest = cube();
        let over_b = [[0, 2, 4], [1, 3, 5], [6, 8, 10], [7, 9, 11]];
        assert_eq!(manifest.groups(&[1]), over_b);
        let over_c_then_a = [[0, 6, 1, 7], [2, 8, 3, 9], [4, 10, 5, 11]];
        assert_eq!(manifest.groups(&[2, 0]), over_c_then_a);
        assert_eq!(Manifest::default().groups(&[]), [[0]]);
    }

    #[test]
    fn stacked_tensors_have_names_of_their_own() {
        let dim = |global| DimLayout { name: "L".to_owned(), global, local: global, axes: vec![] };
        let names = |tensor: &str, extents: &[u64]| {
            let stacked = Tensor {
                path: "p".to_owned(),
                tensor: tensor.to_owned(),
                dtype: DType::F32,
                dims: extents.iter().map(|n| dim(*n)).collect(),
                axes: vec![],
                buffer: 0,
                donor: None,
                panels: None,
            };
            stacked.stacked_names(tensor)
        };
        assert_eq!(names("w", &[3]), ["w"]);
        assert_eq!(names("h.{}.w", &[2, 3]), ["h.0.w", "h.1.w"]);
        assert_eq!(names("{}.{}", &[2, 2]), ["0.0", "0.1", "1.0", "1.1"]);
    }

    #[test]
    fn blocks_count_row_major_over_the_axes_as_written() {
        let manifest = cube();
        let dim = DimLayout { name: "B".to_owned(), global: 24, local: 4, axes: vec![1, 0] };
        assert_eq!(manifest.coordinates(11), [1, 2, 1]);
        assert_eq!(manifest.block(&dim, &[1, 2, 1]), 5);
        assert_eq!(manifest.block(&dim, &[1, 0, 1]), 1);
    }
}
