//! Dims that the devices do not divide evenly.

use super::Ctx;
use crate::mesh::{mention, place};
use crate::settle::State;
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::directive::ShardDims;
use einmesh_ir::{DimId, MeshAxisId, ValueId};
use std::collections::BTreeSet;

impl Ctx<'_> {
    /// `pad: false` makes a split that leaves devices with unequal parts an error. A split that
    /// leaves devices without any part is worth a warning.
    pub(super) fn check_padding(&mut self, axes: &[Option<MeshAxisId>]) {
        let mut reported: BTreeSet<(usize, DimId)> = BTreeSet::new();
        for value in self.groups.defined() {
            for (position, dim) in self.program.values[value].dims.iter().enumerate() {
                let rules: Vec<usize> = (0..axes.len())
                    .filter(|rule| self.is_placed_by(value, position, *rule, axes[*rule]))
                    .collect();
                let split: Vec<MeshAxisId> = rules.iter().filter_map(|rule| axes[*rule]).collect();
                let parts = self.mesh.size_of(&split);
                for rule in rules {
                    if !reported.contains(&(rule, *dim)) && self.check_parts(rule, *dim, parts) {
                        reported.insert((rule, *dim));
                    }
                }
            }
        }
    }

    /// Whether a dim of a value is split over an axis because of this decorator.
    fn is_placed_by(
        &self,
        value: ValueId,
        position: usize,
        rule: usize,
        axis: Option<MeshAxisId>,
    ) -> bool {
        let asked =
            axis.and_then(|axis| self.requests.asked.get(&(self.groups.group(value), axis)));
        match asked.map(|asked| &asked.state) {
            Some(State::Split(split)) => {
                split.slot == self.groups.slot(value, position)
                    && split.asked.is_some_and(|(by, _)| by == rule)
            }
            _ => false,
        }
    }

    /// Reports what is wrong with a dim in that many parts, and whether anything is.
    fn check_parts(&mut self, rule: usize, dim: DimId, parts: u64) -> bool {
        let directives = self.directives;
        let rule = &directives.shard[rule];
        let extent = self.program.dims[dim].extent;
        if !rule.pad && !extent.is_multiple_of(parts) {
            self.report_uneven(rule, dim, parts);
            return true;
        }
        if busy(extent, parts) < parts {
            self.warn_idle(rule, dim, parts);
            return true;
        }
        false
    }

    fn report_uneven(&mut self, rule: &ShardDims, dim: DimId, parts: u64) {
        let extent = self.program.dims[dim].extent;
        let name = self.dim_name(dim);
        let message = format!("{parts} devices do not divide `{name}` = {extent} evenly");
        let label = format!("{extent} = {} × {parts} + {}", extent / parts, extent % parts);
        let error = Diagnostic::error(codes::UNEVEN, message);
        let error = place(error, dim_span(rule, dim), &label);
        let error = mention(error, rule.span, "`pad: false` forbids padding");
        let up = extent.div_ceil(parts) * parts;
        self.found.push(error.help(format!(
            "drop `pad: false` (results stay exact), or give `{name}` an extent such as {up}"
        )));
    }

    fn warn_idle(&mut self, rule: &ShardDims, dim: DimId, parts: u64) {
        let extent = self.program.dims[dim].extent;
        let name = self.dim_name(dim);
        let busy = busy(extent, parts);
        let message =
            format!("`{name}` = {extent} leaves {} of {parts} devices idle", parts - busy);
        let part = extent.div_ceil(parts);
        let label = format!("in parts of {part}, {extent} positions are enough for {busy} devices");
        let warning = Diagnostic::warning(codes::IDLE_DEVICES, message);
        self.found.push(place(warning, dim_span(rule, dim).or(rule.span), &label));
    }
}

/// How many devices get a part of a dim that is dealt out in blocks of equal extent.
fn busy(extent: u64, parts: u64) -> u64 {
    match extent.div_ceil(parts) {
        0 => 0,
        part => extent.div_ceil(part),
    }
}

/// Where a decorator names a dim.
fn dim_span(rule: &ShardDims, dim: DimId) -> Option<Span> {
    let named = rule.dims.iter().find(|(d, _)| *d == dim);
    named.and_then(|(_, span)| *span)
}
