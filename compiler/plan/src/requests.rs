//! What the decorators ask of each value, before propagation.

use crate::groups::Groups;
use crate::mesh::{self, mention, place};
use crate::settle::{Split, State};
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::{Diagnostic, Diagnostics, Span};
use einmesh_ir::directive::{ShardDims, ShardValue};
use einmesh_ir::{DimId, Directives, Mesh, MeshAxisId, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The requests on one group and axis.
#[derive(Clone, PartialEq, Debug)]
struct Asked {
    state: State,
    /// The decorator, as written.
    text: String,
    span: Option<Span>,
}

/// What is asked for.
pub(crate) struct Requests {
    asked: BTreeMap<(usize, MeshAxisId), Asked>,
    /// All axes of the mesh in the order in which they split a dim, major to minor: that of the
    /// decorators.
    pub(crate) order: Vec<MeshAxisId>,
    /// Where a value's own decorator lists the axes of one dim in an order of its own.
    pub(crate) own_order: BTreeMap<(ValueId, usize), Vec<MeshAxisId>>,
    /// The axes that a decorator names.
    pub(crate) named: BTreeSet<MeshAxisId>,
}

impl Requests {
    /// The states of all groups before propagation over an axis.
    pub(crate) fn states(&self, axis: MeshAxisId, groups: usize) -> Vec<State> {
        let asked = |group| {
            self.asked
                .get(&(group, axis))
                .map(|asked| asked.state.clone())
        };
        (0..groups)
            .map(|group| asked(group).unwrap_or(State::Open))
            .collect()
    }
}

/// Resolves the `@shard` decorators; mistakes are reported and left out.
pub(crate) fn resolve(
    program: &Program,
    directives: &Directives,
    mesh: &Mesh,
    groups: &Groups,
    found: &mut Diagnostics,
) -> Requests {
    let mut ctx = Ctx {
        program,
        directives,
        mesh,
        groups,
        found,
        requests: Requests {
            asked: BTreeMap::new(),
            order: Vec::new(),
            own_order: BTreeMap::new(),
            named: BTreeSet::new(),
        },
    };
    let dims: Vec<Option<MeshAxisId>> = directives
        .shard
        .iter()
        .map(|rule| ctx.axis(&rule.axis, &rule.text, rule.span))
        .collect();
    for (number, rule) in directives.shard_values.iter().enumerate() {
        ctx.shard_value(directives.shard.len() + number, rule);
    }
    ctx.shard_dims(&dims);
    ctx.check_padding(&dims);
    for axis in mesh.axes.ids() {
        ctx.name(axis);
    }
    ctx.requests
}

struct Ctx<'a> {
    program: &'a Program,
    directives: &'a Directives,
    mesh: &'a Mesh,
    groups: &'a Groups,
    found: &'a mut Diagnostics,
    requests: Requests,
}

impl Ctx<'_> {
    fn axis(&mut self, name: &str, text: &str, span: Option<Span>) -> Option<MeshAxisId> {
        let axis = mesh::axis(self.mesh, self.directives, name, text, span, self.found)?;
        self.requests.named.insert(axis);
        self.name(axis);
        Some(axis)
    }

    fn name(&mut self, axis: MeshAxisId) {
        if !self.requests.order.contains(&axis) {
            self.requests.order.push(axis);
        }
    }

    fn dim_name(&self, dim: DimId) -> &str {
        &self.program.dims[dim].name
    }

    /// `@shard(value: [Dim: axis, …])`.
    fn shard_value(&mut self, number: usize, rule: &ShardValue) {
        let mut dims: Vec<(DimId, Vec<MeshAxisId>)> = Vec::new();
        let mut fine = true;
        for (dim, names) in &rule.dims {
            let axes: Vec<Option<MeshAxisId>> = names
                .iter()
                .map(|name| self.axis(name, &rule.text, rule.span))
                .collect();
            fine &= axes.iter().all(Option::is_some);
            dims.push((*dim, axes.into_iter().flatten().collect()));
        }
        fine &= self.check_once(rule, &dims);
        if !fine {
            return;
        }
        let has_all = |v: &ValueId| {
            dims.iter()
                .all(|(d, _)| self.program.values[*v].dims.contains(d))
        };
        let values: Vec<ValueId> = rule.values.iter().copied().filter(has_all).collect();
        if values.is_empty() {
            self.report_missing(rule);
            return;
        }
        for value in values {
            self.ask_value(number, rule, value, &dims);
        }
    }

    /// An axis splits a value at most once.
    fn check_once(&mut self, rule: &ShardValue, dims: &[(DimId, Vec<MeshAxisId>)]) -> bool {
        let uses: Vec<(DimId, MeshAxisId)> = dims
            .iter()
            .flat_map(|(d, axes)| axes.iter().map(|a| (*d, *a)))
            .collect();
        for (position, (dim, axis)) in uses.iter().enumerate() {
            let Some((earlier, _)) = uses[..position].iter().find(|(_, a)| a == axis) else {
                continue;
            };
            let axis = &self.mesh.axes[*axis].name;
            let (first, second) = (self.dim_name(*earlier), self.dim_name(*dim));
            let message = format!("`{}` splits one value twice over `{axis}`", rule.text);
            let label = format!("both `{first}` and `{second}` ask for `{axis}`");
            let error = place(
                Diagnostic::error(codes::AXIS_TWICE, message),
                rule.span,
                &label,
            )
            .note("the devices of an axis can stand along one dim of a value only")
            .help(format!("keep one: `[{first}: {axis}]`"));
            self.found.push(error);
            return false;
        }
        true
    }

    fn report_missing(&mut self, rule: &ShardValue) {
        let Some(value) = rule.values.first() else {
            return self.warn_no_effect(&rule.text, rule.span, "no value has this name");
        };
        let value = &self.program.values[*value];
        let dims: Vec<&str> = value.dims.iter().map(|d| self.dim_name(*d)).collect();
        let missing = rule
            .dims
            .iter()
            .map(|(d, _)| *d)
            .find(|d| !value.dims.contains(d));
        let missing = missing.map_or("", |d| self.dim_name(d));
        let message = format!("`{}` has no dim `{missing}` to split", value.name);
        let mut error = place(
            Diagnostic::error(codes::DIM_NOT_IN_VALUE, message),
            rule.span,
            &format!("`{missing}` is not a dim of `{}`", value.name),
        );
        error = mention(error, value.origin.span, "the value");
        error = error.note(format!("its dims are `[{}]`", dims.join(", ")));
        if let Some(near) = crate::names::nearest(missing, dims.iter().copied()) {
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
            let position = self.program.values[value]
                .dims
                .iter()
                .position(|d| d == dim);
            let position = position.expect("only values with all dims are asked");
            let slot = self.groups.slot(value, position);
            if axes.len() > 1 {
                self.requests
                    .own_order
                    .insert((value, position), axes.clone());
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
        let error = place(
            Diagnostic::error(codes::COLLECTED_DIM, message),
            rule.span,
            &label,
        )
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
        let asked = Asked {
            state,
            text: text.to_owned(),
            span,
        };
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

    /// `@shard(axis: [Dims])`, for all values without a decorator of their own.
    fn shard_dims(&mut self, axes: &[Option<MeshAxisId>]) {
        let rules = &self.directives.shard;
        let mut matched = vec![false; rules.len()];
        let mut reported: BTreeSet<(usize, usize)> = BTreeSet::new();
        for value in self.program.values.ids() {
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
        error = error.help(format!(
            "one list says which goes first: `@shard({}: [{a}, {b}])`",
            one.axis
        ));
        self.found.push(error);
    }

    /// `pad: false` makes a split that leaves devices with unequal parts an error.
    fn check_padding(&mut self, axes: &[Option<MeshAxisId>]) {
        let mut reported: BTreeSet<(usize, DimId)> = BTreeSet::new();
        for value in self.program.values.ids() {
            let group = self.groups.group(value);
            for (position, dim) in self.program.values[value].dims.iter().enumerate() {
                let slot = self.groups.slot(value, position);
                let here = self
                    .directives
                    .shard
                    .iter()
                    .enumerate()
                    .filter(|(number, _)| {
                        axes[*number].is_some_and(|axis| {
                            let asked = self.requests.asked.get(&(group, axis));
                            let asked = asked.and_then(|asked| match &asked.state {
                                State::Split(split) => Some((split.slot, split.asked?.0)),
                                State::Open | State::Closed => None,
                            });
                            asked == Some((slot, *number))
                        })
                    });
                let here: Vec<(usize, &ShardDims)> = here.collect();
                let split: Vec<MeshAxisId> = here.iter().filter_map(|(n, _)| axes[*n]).collect();
                let parts = self.mesh.size_of(&split);
                let extent = self.program.dims[*dim].extent;
                for (number, rule) in here {
                    if reported.contains(&(number, *dim)) {
                        continue;
                    }
                    if !rule.pad && !extent.is_multiple_of(parts) {
                        reported.insert((number, *dim));
                        self.report_uneven(rule, *dim, parts);
                    } else if extent < parts {
                        reported.insert((number, *dim));
                        self.warn_idle(rule, *dim, parts);
                    }
                }
            }
        }
    }

    fn report_uneven(&mut self, rule: &ShardDims, dim: DimId, parts: u64) {
        let extent = self.program.dims[dim].extent;
        let name = self.dim_name(dim);
        let span = rule
            .dims
            .iter()
            .find(|(d, _)| *d == dim)
            .and_then(|(_, span)| *span);
        let message = format!("{parts} devices do not divide `{name}` = {extent} evenly");
        let label = format!(
            "{extent} = {} × {parts} + {}",
            extent / parts,
            extent % parts
        );
        let mut error = place(
            Diagnostic::error(codes::UNEVEN, message),
            span.or(rule.span),
            &label,
        );
        if span.is_some() {
            error = mention(error, rule.span, "`pad: false` forbids padding");
        }
        let up = extent.div_ceil(parts) * parts;
        self.found.push(error.help(format!(
            "drop `pad: false` (results stay exact), or give `{name}` an extent such as {up}"
        )));
    }

    fn warn_idle(&mut self, rule: &ShardDims, dim: DimId, parts: u64) {
        let extent = self.program.dims[dim].extent;
        let name = self.dim_name(dim);
        let span = rule
            .dims
            .iter()
            .find(|(d, _)| *d == dim)
            .and_then(|(_, span)| *span);
        let message = format!("`{name}` = {extent} leaves some of {parts} devices without work");
        let warning = Diagnostic::warning(codes::IDLE_DEVICES, message);
        let label = format!("{extent} positions for {parts} devices");
        self.found.push(place(warning, span.or(rule.span), &label));
    }

    fn warn_no_effect(&mut self, text: &str, span: Option<Span>, why: &str) {
        let entry = &self.program.name;
        let message = format!("`{text}` has no effect on `{entry}`");
        self.found.push(place(
            Diagnostic::warning(codes::NO_EFFECT, message),
            span,
            why,
        ));
    }
}

/// Warns of mesh axes that split nothing.
pub(crate) fn warn_unused(
    directives: &Directives,
    mesh: &Mesh,
    named: &BTreeSet<MeshAxisId>,
    found: &mut Diagnostics,
) {
    for (id, axis) in mesh.axes.iter() {
        if !named.contains(&id) && axis.size > 1 {
            let message = format!("no decorator uses mesh axis `{}`", axis.name);
            let label = format!("its {} devices all do the same", axis.size);
            let warning = Diagnostic::warning(codes::UNUSED_MESH_AXIS, message).help(format!(
                "split something over it: `@shard({}: B)`",
                axis.name
            ));
            found.push(place(warning, directives.mesh_span, &label));
        }
    }
}
