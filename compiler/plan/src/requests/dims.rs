//! `@shard(axis: [Dims])`: in each value the first listed dim takes the axis.

use super::{Asked, Ctx};
use crate::mesh::{mention, place};
use crate::settle::{Split, State};
use einmesh_diagnostics::Diagnostic;
use einmesh_diagnostics::codes::plan as codes;
use einmesh_ir::directive::ShardDims;
use einmesh_ir::{DimId, MeshAxisId, ValueId};
use std::collections::{BTreeMap, BTreeSet};

impl Ctx<'_> {
    /// `@shard(axis: [Dims])`, for all values without a decorator of their own.
    pub(super) fn shard_dims(&mut self, axes: &[Option<MeshAxisId>]) {
        let rules = &self.directives.shard;
        let mut matched = vec![false; rules.len()];
        let mut reported: BTreeSet<(usize, usize)> = BTreeSet::new();
        for value in self.groups.defined() {
            let mut taken: BTreeMap<MeshAxisId, (usize, DimId)> = BTreeMap::new();
            for (number, rule) in rules.iter().enumerate() {
                let Some(axis) = axes[number] else { continue };
                let Some((place, position)) = self.first_listed(rule, value) else {
                    continue;
                };
                matched[number] = true;
                let dim = self.program.values[value].dims[position];
                if let Some((earlier, other)) = taken.get(&axis) {
                    if *other != dim && reported.insert((*earlier, number)) {
                        self.report_lists(value, (*earlier, *other), (number, dim));
                    }
                    continue;
                }
                taken.insert(axis, (number, dim));
                let split = Split {
                    slot: self.groups.slot(value, position),
                    asked: Some((number, place)),
                    decorator: rule.text.clone(),
                };
                let key = (self.groups.group(value), axis);
                self.requests.asked.entry(key).or_insert_with(|| Asked {
                    state: State::Split(split),
                    text: rule.text.clone(),
                    span: rule.span,
                });
            }
        }
        for (number, rule) in rules.iter().enumerate() {
            if axes[number].is_some() && !matched[number] {
                let names: Vec<&str> = rule.dims.iter().map(|(d, _)| self.dim_name(*d)).collect();
                let what = match names.as_slice() {
                    [one] => format!("no value has a dim `{one}` that can be split"),
                    all => format!("no value has one of `{}` to split", all.join("`, `")),
                };
                self.warn_no_effect(&rule.text, rule.span, &what);
            }
        }
    }

    /// The first listed dim that the value has and that can be split: its place in the list and its
    /// position in the value.
    fn first_listed(&self, rule: &ShardDims, value: ValueId) -> Option<(usize, usize)> {
        let dims = &self.program.values[value].dims;
        rule.dims.iter().enumerate().find_map(|(place, (dim, _))| {
            let position = dims.iter().position(|d| d == dim)?;
            let stacked = self.groups.is_stacked(self.groups.slot(value, position));
            (self.program.dims[*dim].extent > 1 && !stacked).then_some((place, position))
        })
    }

    fn report_lists(&mut self, value: ValueId, first: (usize, DimId), second: (usize, DimId)) {
        let rules = &self.directives.shard;
        let (one, two) = (&rules[first.0], &rules[second.0]);
        let value = &self.program.values[value];
        let (a, b) = (self.dim_name(first.1), self.dim_name(second.1));
        let message = format!(
            "`{}` has both `{a}` and `{b}`, and each is to take `{}`",
            value.name, one.axis
        );
        let mut error = Diagnostic::error(codes::CONFLICT, message);
        error = place(error, two.span, &format!("splits `{b}`"));
        error = mention(error, one.span, &format!("splits `{a}`"));
        error = mention(error, value.origin.span, "the value");
        error = error
            .help(format!("one list says which goes first: `@shard({}: [{a}, {b}])`", one.axis));
        self.found.push(error);
    }
}
