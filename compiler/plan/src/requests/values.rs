//! `@shard(value: [Dim: axis, …])`: placements of single values.

use super::{Asked, Ctx};
use crate::mesh::{mention, place};
use crate::settle::{Split, State};
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::directive::ShardValue;
use einmesh_ir::{DimId, MeshAxisId, ValueId};
use std::collections::BTreeSet;

impl Ctx<'_> {
    /// `@shard(value: [Dim: axis, …])`.
    pub(super) fn shard_value(&mut self, number: usize, rule: &ShardValue) {
        let mut dims: Vec<(DimId, Vec<MeshAxisId>)> = Vec::new();
        let mut fine = true;
        for (dim, names) in &rule.dims {
            let axes: Vec<Option<MeshAxisId>> =
                names.iter().map(|name| self.axis(name, &rule.text, rule.span)).collect();
            fine &= axes.iter().all(Option::is_some);
            dims.push((*dim, axes.into_iter().flatten().collect()));
        }
        fine &= self.check_once(rule, &dims);
        if !fine {
            return;
        }
        if rule.values.is_empty() {
            return self.warn_no_effect(&rule.text, rule.span, "no value has this name");
        }
        let known = rule.values.iter().copied().filter(|v| self.groups.is_defined(*v));
        let known: Vec<ValueId> = known.collect();
        let Some(first) = known.first() else {
            let why = "the value is not computed by itself: rewriting merged it into others";
            return self.warn_no_effect(&rule.text, rule.span, why);
        };
        let has_all = |v: &ValueId| {
            let have = &self.program.values[*v].dims;
            dims.iter().all(|(dim, _)| have.contains(dim))
        };
        let values: Vec<ValueId> = known.iter().copied().filter(has_all).collect();
        if values.is_empty() {
            self.report_missing(rule, *first);
        }
        for value in values {
            self.ask_value(number, rule, value, &dims);
        }
    }

    /// An axis splits a value at most once.
    fn check_once(&mut self, rule: &ShardValue, dims: &[(DimId, Vec<MeshAxisId>)]) -> bool {
        let uses: Vec<(DimId, MeshAxisId)> =
            dims.iter().flat_map(|(d, axes)| axes.iter().map(|a| (*d, *a))).collect();
        for (position, (dim, axis)) in uses.iter().enumerate() {
            let Some((earlier, _)) = uses[..position].iter().find(|(_, a)| a == axis) else {
                continue;
            };
            let axis = &self.mesh.axes[*axis].name;
            let (first, second) = (self.dim_name(*earlier), self.dim_name(*dim));
            let message = format!("`{}` splits one value twice over `{axis}`", rule.text);
            let label = format!("both `{first}` and `{second}` ask for `{axis}`");
            let error = place(Diagnostic::error(codes::AXIS_TWICE, message), rule.span, &label)
                .note("the devices of an axis can stand along one dim of a value only")
                .help(format!("keep one: `[{first}: {axis}]`"));
            self.found.push(error);
            return false;
        }
        true
    }

    fn report_missing(&mut self, rule: &ShardValue, value: ValueId) {
        let value = &self.program.values[value];
        let dims: Vec<&str> = value.dims.iter().map(|d| self.dim_name(*d)).collect();
        let missing = rule.dims.iter().map(|(d, _)| *d).find(|d| !value.dims.contains(d));
        let missing = missing.map_or("", |d| self.dim_name(d));
        let message = format!("`{}` has no dim `{missing}` to split", value.name);
        let mut error = place(
            Diagnostic::error(codes::DIM_NOT_IN_VALUE, message),
            rule.span,
            &format!("`{missing}` is not a dim of `{}`", value.name),
        );
        error = mention(error, value.origin.span, "the value");
        error = error.note(format!("its dims are `[{}]`", dims.join(", ")));
        if let Some(near) = einmesh_diagnostics::suggest::nearest(missing, dims.iter().copied()) {
            error = error.help(format!("did you mean `{near}`?"));
        }
        self.found.push(error);
    }

    fn ask_value(
        &mut self,
        number: usize,
        rule: &ShardValue,
        value: ValueId,
        dims: &[(DimId, Vec<MeshAxisId>)],
    ) {
        let group = self.groups.group(value);
        let mut mentioned = BTreeSet::new();
        for (dim, axes) in dims {
            let mut own = self.program.values[value].dims.iter();
            let Some(position) = own.position(|d| d == dim) else {
                continue;
            };
            let slot = self.groups.slot(value, position);
            if axes.len() > 1 {
                self.requests.own_order.insert((value, position), axes.clone());
            }
            for (place, axis) in axes.iter().enumerate() {
                mentioned.insert(*axis);
                let whole = self.program.dims[*dim].extent <= 1;
                let state = match whole {
                    true => State::Closed,
                    false => State::Split(Split {
                        slot,
                        asked: Some((number, place)),
                        decorator: rule.text.clone(),
                    }),
                };
                if self.groups.is_stacked(slot) {
                    self.report_stacked(rule, value, *dim);
                } else {
                    self.ask(group, *axis, state, &rule.text, rule.span, value);
                }
            }
        }
        if !rule.open {
            for axis in self.mesh.axes.ids().filter(|a| !mentioned.contains(a)) {
                self.ask(group, axis, State::Closed, &rule.text, rule.span, value);
            }
        }
    }

    fn report_stacked(&mut self, rule: &ShardValue, value: ValueId, dim: DimId) {
        let (name, dim) = (&self.program.values[value].name, self.dim_name(dim));
        let message = format!("`{name}` is collected along `{dim}`, which cannot be split");
        let label = format!("a loop over `{dim}` makes this value");
        let error = place(Diagnostic::error(codes::COLLECTED_DIM, message), rule.span, &label)
            .note("every device runs every iteration, so each has all of the value")
            .help(format!("split another dim of `{name}`"));
        self.found.push(error);
    }

    /// Records a request of a value's own decorator; two that differ are a conflict.
    fn ask(
        &mut self,
        group: usize,
        axis: MeshAxisId,
        state: State,
        text: &str,
        span: Option<Span>,
        value: ValueId,
    ) {
        let asked = Asked { state, text: text.to_owned(), span };
        let Some(known) = self.requests.asked.get(&(group, axis)) else {
            self.requests.asked.insert((group, axis), asked);
            return;
        };
        let slot = |state: &State| match state {
            State::Split(split) => Some(split.slot),
            State::Open | State::Closed => None,
        };
        if slot(&known.state) == slot(&asked.state) {
            return;
        }
        let (name, axis) = (&self.program.values[value].name, &self.mesh.axes[axis].name);
        let message = format!("two decorators place `{name}` differently over `{axis}`");
        let mut error = Diagnostic::error(codes::CONFLICT, message);
        error = place(error, span, "this one");
        error = mention(error, known.span, "and this one");
        error = error
            .note(format!("`{text}` against `{}`", known.text))
            .note("a loop's state has one placement: before, in and after the loop")
            .help("remove one of them");
        self.found.push(error);
    }
}
