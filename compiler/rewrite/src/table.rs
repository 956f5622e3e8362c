//! What the e-nodes' numbers stand for: the block's indices, values and kept operations.

use crate::index::{IndexInfo, IndexNumber, IndexSet, MAX_INDICES};
use einmesh_ir::{DType, DimId, Expr, Op, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The side table of a block's e-graph.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The indices, by number.
    pub indices: Vec<IndexInfo>,
    /// The loads with computed subscripts.
    pub templates: Vec<Template>,
    /// Each value that the block reads or defines: its dtype and its axes, outermost first.
    pub values: BTreeMap<ValueId, (DType, Vec<IndexNumber>)>,
    /// The operations that are kept as they are, by number, with the values that they define.
    pub opaque: Vec<(Op, Vec<ValueId>)>,
    /// The program's values that may rest on a reduction of nothing.
    pub hollow: BTreeSet<ValueId>,
    numbers: BTreeMap<(DimId, u32), IndexNumber>,
    template_numbers: BTreeMap<String, u32>,
}

/// A load (and the loads inside its subscripts) as an expression in which [`Expr::Index`] numbers
/// the block's indices and the value of a load is the position of a child.
#[derive(Clone, PartialEq, Debug)]
pub struct Template {
    /// The load.
    pub expr: Expr,
    /// For each child, the axes in the order in which the load's subscripts name them.
    pub slots: Vec<Vec<IndexNumber>>,
    /// Whether the subscripts are only indices, constants and loop counters: a slice.
    pub slice: bool,
    /// The indices it depends on.
    pub indices: IndexSet,
    /// The type of the element.
    pub dtype: DType,
}

impl Table {
    /// The number of the `copy`-th index of a dim; `None` if the table is full.
    pub fn index(&mut self, program: &Program, dim: DimId, copy: u32) -> Option<IndexNumber> {
        if let Some(number) = self.numbers.get(&(dim, copy)) {
            return Some(*number);
        }
        if self.indices.len() >= MAX_INDICES {
            return None;
        }
        let number = self.indices.len() as IndexNumber;
        let dim_info = &program.dims[dim];
        let name = format!("{}{}", dim_info.name.to_lowercase(), "'".repeat(copy as usize));
        self.indices.push(IndexInfo { dim, copy, extent: dim_info.extent, name });
        self.numbers.insert((dim, copy), number);
        Some(number)
    }

    /// Makes a value known; `None` if the table is full.
    pub fn add_value(&mut self, program: &Program, value: ValueId) -> Option<()> {
        if !self.values.contains_key(&value) {
            let info = &program.values[value];
            let axes =
                info.dims.iter().map(|d| self.index(program, *d, 0)).collect::<Option<_>>()?;
            self.values.insert(value, (info.dtype, axes));
        }
        Some(())
    }

    /// The axes of a known value.
    pub fn axes(&self, value: ValueId) -> impl Iterator<Item = IndexNumber> + '_ {
        self.values[&value].1.iter().copied()
    }

    /// The dtype of a known value.
    pub fn dtype(&self, value: ValueId) -> DType {
        self.values[&value].0
    }

    /// The number of this template.
    pub fn template(&mut self, template: Template) -> u32 {
        // Expressions hold floats and have no order; their debug form is exact and does.
        // Loads of different types differ although their subscripts are alike.
        let key = format!("{:?} {:?} {:?}", template.expr, template.slots, template.dtype);
        let next = self.templates.len() as u32;
        let number = *self.template_numbers.entry(key).or_insert(next);
        if number == next {
            self.templates.push(template);
        }
        number
    }

    /// The n-th value that a kept operation defines.
    pub fn opaque_result(&self, op: u32, n: u32) -> Option<ValueId> {
        self.opaque.get(op as usize)?.1.get(n as usize).copied()
    }

    /// How many values a kept operation defines.
    pub fn results(&self, op: u32) -> usize {
        self.opaque[op as usize].1.len()
    }

    /// Whether none of the values that a kept operation defines may rest on a reduction of nothing.
    pub fn results_full(&self, op: u32) -> bool {
        self.opaque[op as usize].1.iter().all(|value| !self.hollow.contains(value))
    }

    /// The number of positions of an index.
    pub fn extent(&self, index: IndexNumber) -> u64 {
        self.indices[index as usize].extent
    }

    /// The number of points of an index set.
    pub fn points(&self, set: IndexSet) -> u64 {
        set.iter().fold(1u64, |n, i| n.saturating_mul(self.extent(i)))
    }
}
