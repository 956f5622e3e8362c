//! Panels: inputs whose matrices lie in memory as a matrix product reads them.

use crate::manifest::{Panels, Tensor};

/// Where the elements of a device's shard are in its buffer, in elements.
///
/// For a position of each dim, the offset is `outer + ⌊column / width⌋ · panel + depth · width + column mod width`:
/// three numbers that are sums over the dims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The shard's extents.
    extents: Vec<u64>,
    /// For each dim, what a step along it adds to the outer offset, the column and the depth; one of them at
    /// most is not 0.
    steps: Vec<[u64; 3]>,
    /// Columns of a panel.
    width: u64,
    /// Elements of a panel.
    panel: u64,
}

impl Panels {
    /// The positions among `rank` dims that are neither columns nor depths.
    pub fn outer(&self, rank: usize) -> impl DoubleEndedIterator<Item = usize> + use<'_> {
        let inner = |d: u32| self.across.contains(&d) || self.along.contains(&d);
        (0..rank).filter(move |d| !inner(*d as u32))
    }

    /// The extents of the memory of a shard with these extents: the other dims, panels, depths, and the columns of
    /// a panel; `None` if a product exceeds 2⁶⁴.
    pub fn extents(&self, local: &[u64]) -> Option<Vec<u64>> {
        let product = |dims: &[u32]| {
            dims.iter().try_fold(1u64, |n, d| n.checked_mul(*local.get(*d as usize)?))
        };
        let (columns, depths) = (product(&self.across)?, product(&self.along)?);
        let outer = self.outer(local.len()).map(|d| local[d]);
        Some(outer.chain([columns.div_ceil(self.width), depths, self.width]).collect())
    }

    /// Where the elements of a shard with these extents are.
    pub fn placement(&self, local: &[u64]) -> Option<Placement> {
        let extents = self.extents(local)?;
        let depths = extents[extents.len() - 2];
        let panel = depths.checked_mul(self.width)?;
        let mut steps = vec![[0; 3]; local.len()];
        let mut outer = extents[extents.len() - 3].checked_mul(panel)?;
        for dim in self.outer(local.len()).rev() {
            steps[dim][0] = outer;
            outer = outer.checked_mul(local[dim])?;
        }
        for (group, which) in [(&self.across, 1), (&self.along, 2)] {
            let mut step = 1u64;
            for dim in group.iter().rev() {
                steps[*dim as usize][which] = step;
                step = step.checked_mul(local[*dim as usize])?;
            }
        }
        Some(Placement { extents: local.to_vec(), steps, width: self.width, panel })
    }
}

impl Tensor {
    /// The extents of a device's buffer.
    pub fn buffer_extents(&self) -> Option<Vec<u64>> {
        let local: Vec<u64> = self.dims.iter().map(|d| d.local).collect();
        match &self.panels {
            None => Some(local),
            Some(panels) => panels.extents(&local),
        }
    }
}

impl Placement {
    /// The outer offset, the column and the depth of an element, counted row-major.
    pub fn parts(&self, element: u64) -> [u64; 3] {
        let mut parts = [0; 3];
        let mut rest = element;
        for (extent, steps) in self.extents.iter().zip(&self.steps).rev() {
            for (part, step) in parts.iter_mut().zip(steps) {
                *part += rest % extent * step;
            }
            rest /= extent;
        }
        parts
    }

    /// What a step along a dim adds to [`Placement::parts`].
    pub fn step(&self, dim: usize) -> [u64; 3] {
        self.steps[dim]
    }

    /// The offset of parts.
    pub fn offset(&self, [outer, column, depth]: [u64; 3]) -> u64 {
        outer + column / self.width * self.panel + depth * self.width + column % self.width
    }

    /// How many elements from a column on lie side by side.
    pub fn run(&self, column: u64) -> u64 {
        self.width - column % self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_its_place() {
        // [layer, depth, head, channel]: columns are heads and channels.
        let panels = Panels { across: vec![2, 3], along: vec![1], width: 4 };
        let local = [2u64, 3, 2, 5];
        assert_eq!(panels.extents(&local), Some(vec![2, 3, 3, 4]));
        let placement = panels.placement(&local).unwrap();
        let mut seen = [false; 2 * 3 * 3 * 4];
        for layer in 0..2 {
            for depth in 0..3 {
                for column in 0..10 {
                    let parts = placement.parts((layer * 3 + depth) * 10 + column);
                    assert_eq!(&parts[1..], [column, depth]);
                    let offset = placement.offset(parts);
                    let row_major = ((layer * 3 + column / 4) * 3 + depth) * 4 + column % 4;
                    assert_eq!(offset, row_major);
                    assert!(!std::mem::replace(&mut seen[offset as usize], true));
                }
            }
        }
        assert_eq!(seen.iter().filter(|s| **s).count(), 60);
        assert_eq!((placement.run(0), placement.run(6)), (4, 2));
    }

    #[test]
    fn what_exceeds_memory_has_no_extents() {
        let panels = Panels { across: vec![0, 1], along: vec![2], width: 32 };
        assert_eq!(panels.extents(&[1 << 40, 1 << 40, 2]), None);
        assert_eq!(panels.placement(&[1 << 40, 1 << 20, 1 << 40]), None);
    }
}
