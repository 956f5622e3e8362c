//! From programs to text.

use super::print_expr::Names;
use super::{REDUCERS, name_in, quoted, text};
use crate::arena::{Arena, Id};
use crate::expr::IndexId;
use crate::mesh::Mesh;
use crate::program::*;
use crate::spmd::{Collective, CollectiveKind, Layout, SpmdProgram};

/// The text of a program.
pub fn print(program: &Program) -> String {
    let mut printer = Printer::new(program, None);
    printer.program(&[], &[]);
    printer.out
}

/// The text of a partitioned program.
pub fn print_spmd(spmd: &SpmdProgram) -> String {
    let mut printer = Printer::new(&spmd.program, Some(&spmd.mesh));
    printer.program(&spmd.inputs, &spmd.outputs);
    printer.out
}

/// Lines of declarations are broken before this column.
const WIDTH: usize = 100;

struct Printer<'a> {
    program: &'a Program,
    mesh: Option<&'a Mesh>,
    out: String,
    depth: usize,
    loops: Vec<LoopVarId>,
    /// Whether loop counters are numbered in the order of their loops, so that ids need not be shown.
    counters_in_order: bool,
}

impl<'a> Printer<'a> {
    fn new(program: &'a Program, mesh: Option<&'a Mesh>) -> Printer<'a> {
        let mut counters = Vec::new();
        collect_counters(&program.body, &mut counters);
        let counters_in_order = counters.into_iter().eq(program.loop_vars.ids());
        let (out, loops) = (String::new(), Vec::new());
        Printer { program, mesh, out, depth: 0, loops, counters_in_order }
    }

    fn names(&self) -> Names<'_> {
        Names { program: self.program, mesh: self.mesh, loops: &self.loops }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(&"  ".repeat(self.depth));
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn gap(&mut self) {
        self.out.push('\n');
    }

    fn program(&mut self, inputs: &[Layout], outputs: &[Layout]) {
        let program = self.program;
        self.line(&format!("program {} {{", quoted(&program.name)));
        self.depth += 1;
        if let Some(mesh) = self.mesh {
            let axis = |a: &crate::mesh::MeshAxis| format!("{} = {}", quoted(&a.name), a.size);
            let axes: Vec<String> = mesh.axes.values().map(axis).collect();
            self.line(format!("mesh {}", axes.join(", ")).trim_end());
        }
        self.dims();
        self.unused();
        if !program.inputs.is_empty() {
            self.gap();
        }
        for (n, input) in program.inputs.iter().enumerate() {
            self.input(input, inputs.get(n));
        }
        if !program.body.ops.is_empty() {
            self.gap();
        }
        self.block(&program.body);
        if !program.outputs.is_empty() {
            self.gap();
        }
        for (n, output) in program.outputs.iter().enumerate() {
            self.output(output, outputs.get(n));
        }
        self.depth -= 1;
        self.line("}");
    }

    fn dims(&mut self) {
        let program = self.program;
        let mut line = String::new();
        for (id, dim) in program.dims.iter() {
            let name = self.program.name_of_dim(id);
            let role = dim
                .role_of
                .map_or(String::new(), |of| format!(": {}", self.program.name_of_dim(of)));
            let unknown = if dim.symbolic { " symbolic" } else { "" };
            let next = format!("{name}{role} = {}{unknown}", dim.extent);
            if line.is_empty() {
                line = format!("dim {next}");
            } else if line.len() + next.len() + 2 + 2 * self.depth < WIDTH {
                line.push_str(&format!(", {next}"));
            } else {
                self.line(&format!("{line},"));
                line = format!("    {next}");
            }
        }
        if !line.is_empty() {
            self.line(&line);
        }
    }

    /// Values and loop counters that stand nowhere in the program.
    fn unused(&mut self) {
        let program = self.program;
        let mut defined: Vec<ValueId> = program.inputs.iter().map(|i| i.value).collect();
        collect_values(&program.body, &mut defined);
        defined.sort();
        for value in program.values.ids().filter(|v| defined.binary_search(v).is_err()) {
            let line = format!("unused {}{}", self.program.signature_of(value), self.scope(value));
            self.line(&line);
        }
        let mut counters = Vec::new();
        collect_counters(&program.body, &mut counters);
        for (id, var) in program.loop_vars.iter().filter(|(id, _)| !counters.contains(id)) {
            let (name, dim) = (quoted(&var.name), self.program.name_of_dim(var.dim));
            self.line(&format!("unused {name}~{} in {dim}", id.index()));
        }
    }

    /// ` @ outer.inner`, or nothing.
    fn scope(&self, value: ValueId) -> String {
        let value = self.program.values.get(value);
        value.map_or(String::new(), |v| print_scope(" @ ", &v.origin))
    }

    /// What inputs and outputs say beside their value, as far as it cannot be guessed.
    fn leaf(&self, value: ValueId, path: &str, tensor: &str, axes: &[usize]) -> String {
        let info = self.program.values.get(value);
        let mut line = String::new();
        if info.is_none_or(|v| v.name != path) {
            line.push_str(&format!(" path {}", text(path)));
        }
        if tensor != path {
            line.push_str(&format!(" tensor {}", text(tensor)));
        }
        let dims = info.map_or(0, |v| v.dims.len());
        if axes != default_axes(tensor, dims) {
            let axes: Vec<String> = axes.iter().map(usize::to_string).collect();
            line.push_str(&format!(" axes [{}]", axes.join(",")));
        }
        line
    }

    fn input(&mut self, input: &Input, layout: Option<&Layout>) {
        let mut line = format!("input {}", self.program.signature_of(input.value));
        line.push_str(&self.leaf(input.value, &input.path, &input.tensor, &input.axes));
        if !input.records.is_empty() {
            let records: Vec<String> = input.records.iter().map(|r| quoted(r)).collect();
            line.push_str(&format!(" of {}", records.join(".")));
        }
        line.push_str(if input.donated { " donated" } else { "" });
        line.push_str(&self.layout(layout));
        line.push_str(&self.scope(input.value));
        self.line(&line);
    }

    fn output(&mut self, output: &Output, layout: Option<&Layout>) {
        let mut line = format!("output {}", self.program.name_of(output.value));
        line.push_str(&self.leaf(output.value, &output.path, &output.tensor, &output.axes));
        line.push_str(&self.layout(layout));
        self.line(&line);
    }

    /// ` split [4 of 7 on data, 16]`.
    fn layout(&self, layout: Option<&Layout>) -> String {
        let Some(layout) = layout else {
            return String::new();
        };
        let dims: Vec<String> = layout
            .dims
            .iter()
            .map(|d| match d.axes.is_empty() && d.local == d.global {
                true => d.local.to_string(),
                false => {
                    let axes = self.names().axes(&d.axes);
                    let on = if axes.is_empty() { "" } else { " on " };
                    format!("{} of {}{on}{axes}", d.local, d.global)
                }
            })
            .collect();
        format!(" split [{}]", dims.join(", "))
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => self.comprehension(c),
                Op::Loop(l) => self.repetition(l),
                Op::Argsort(sort) => {
                    let (out, scope) = (self.program.signature_of(sort.out), self.scope(sort.out));
                    let input = self.program.name_of(sort.input);
                    self.line(&format!("{out} = argsort {input} at {}{scope}", sort.position));
                }
                Op::Collective(c) => self.collective(c),
            }
        }
    }

    fn comprehension(&mut self, c: &Comprehension) {
        let names = self.names();
        let free = c.free.min(c.indices.len());
        let mut line = match &c.store {
            Some(store) => {
                let indices: Vec<String> =
                    c.indices.ids().take(free).map(|i| self.declared(c, i)).collect();
                let base = self.program.name_of(store.base);
                let subs = names.subs(c, &store.subs);
                let combine = match store.combine {
                    Reducer::None => ":=".to_owned(),
                    Reducer::Sum => "+=".to_owned(),
                    Reducer::Prod => "*=".to_owned(),
                    other => format!("{}=", name_in(&REDUCERS, other)),
                };
                let out = self.program.signature_of(c.out);
                format!("{out} = store[{}] {base}[{subs}] {combine} ", indices.join(","))
            }
            None => format!("{} = ", self.typed_with_indices(c)),
        };
        let body = names.expr(c, &c.body);
        let reduced: Vec<String> =
            c.indices.ids().skip(free).map(|i| self.declared(c, i)).collect();
        let guard = c.guard.as_ref().map(|g| names.expr(c, g));
        line.push_str(&match (c.reducer, reduced.is_empty(), guard) {
            (Reducer::None, true, None) => body,
            (Reducer::None, true, Some(guard)) => format!("where[{guard}]({body})"),
            (reducer, _, guard) => {
                let guard = guard.map_or(String::new(), |g| format!(" | {g}"));
                let reducer = name_in(&REDUCERS, reducer);
                format!("{reducer}[{}{guard}]({body})", reduced.join(","))
            }
        });
        line.push_str(&self.scope(c.out));
        self.line(&line);
    }

    /// An index where it is declared: `t`, or `i:T` where the name does not tell the dim.
    fn declared(&self, c: &Comprehension, index: IndexId) -> String {
        let name = self.names().index(c, index);
        let dim = c.indices[index].dim;
        let mut alike = self.program.dims.iter().filter(|(_, d)| d.name.to_lowercase() == name);
        match (alike.next(), alike.next()) {
            (Some((only, _)), None) if only == dim => name,
            _ => format!("{name}:{}", self.program.name_of_dim(dim)),
        }
    }

    /// The output's type with the names of the free indices that the dims do not tell.
    fn typed_with_indices(&self, c: &Comprehension) -> String {
        let Some(value) = self.program.values.get(c.out) else {
            return self.program.signature_of(c.out);
        };
        let indices: &Arena<IndexId, Index> = &c.indices;
        let dims = value.dims.iter().enumerate().map(|(n, dim)| {
            let text = self.program.name_of_dim(*dim);
            let id = IndexId::from_index(n);
            let (Some(index), Some(info)) = (indices.get(id), self.program.dims.get(*dim)) else {
                return text;
            };
            let name = self.names().index(c, id);
            match index.dim == *dim && name == info.name.to_lowercase() {
                true => text,
                false => format!("{name}:{text}"),
            }
        });
        self.program.signature_with(c.out, dims.collect())
    }

    fn repetition(&mut self, l: &Loop) {
        let var = self.program.loop_vars.get(l.var);
        let name = var.map_or("?".to_owned(), |v| quoted(&v.name));
        let dim = var.map_or("?".to_owned(), |v| self.program.name_of_dim(v.dim));
        let id = match self.counters_in_order {
            true => String::new(),
            false => format!("~{}", l.var.index()),
        };
        let reversed = if l.reversed { " reversed" } else { "" };
        let condition = l.condition.map(|c| format!(" while {}", self.program.name_of(c)));
        let condition = condition.unwrap_or_default();
        self.line(&format!("for {name}{id} in {dim}{reversed}{condition} {{"));
        self.depth += 1;
        self.loops.push(l.var);
        for carried in &l.carried {
            let (entry, init) =
                (self.program.signature_of(carried.entry), self.program.name_of(carried.init));
            self.line(&format!("carry {entry} = {init}{}", self.scope(carried.entry)));
        }
        self.block(&l.body);
        for carried in &l.carried {
            let (exit, result) =
                (self.program.name_of(carried.exit), self.program.signature_of(carried.result));
            self.line(&format!("yield {exit} -> {result}{}", self.scope(carried.result)));
        }
        for c in &l.collected {
            let (value, result) =
                (self.program.name_of(c.value), self.program.signature_of(c.result));
            let scope = self.scope(c.result);
            self.line(&format!("collect {value} -> {result} at {}{scope}", c.position));
        }
        self.loops.pop();
        self.depth -= 1;
        self.line("}");
    }

    fn collective(&mut self, c: &Collective) {
        let axes = self.names().axes(&c.axes);
        let kind = match c.kind {
            CollectiveKind::AllReduce(r) => {
                format!("all_reduce({}, {axes})", name_in(&REDUCERS, r))
            }
            CollectiveKind::AllGather { position } => format!("all_gather(at {position}, {axes})"),
            CollectiveKind::ReduceScatter { reducer, position } => {
                format!("reduce_scatter({}, at {position}, {axes})", name_in(&REDUCERS, reducer))
            }
            CollectiveKind::AllToAll { split, concat } => {
                format!("all_to_all(split {split}, concat {concat}, {axes})")
            }
            CollectiveKind::CollectivePermute { shift, wrap } => {
                let wrap = if wrap { ", wrap" } else { "" };
                format!("collective_permute(shift {shift}{wrap}, {axes})")
            }
        };
        let why = &c.provenance;
        let mut line = format!(
            "{} = {kind} {}",
            self.program.signature_of(c.out),
            self.program.name_of(c.input)
        );
        let scope = print_scope(" in ", &why.origin);
        if !(why.index.is_empty() && why.decorator.is_empty() && scope.is_empty()) {
            let (index, decorator) = (quoted(&why.index), text(&why.decorator));
            line.push_str(&format!(" because {index} {decorator}{scope}"));
        }
        line.push_str(&self.scope(c.out));
        self.line(&line);
    }
}

fn print_scope(prefix: &str, origin: &Origin) -> String {
    let names: Vec<String> = origin.scope.iter().map(|name| quoted(name)).collect();
    if names.is_empty() { String::new() } else { format!("{prefix}{}", names.join(".")) }
}

/// One dim per axis, after the stacked ones.
pub(super) fn default_axes(tensor: &str, dims: usize) -> Vec<usize> {
    vec![1; dims.saturating_sub(tensor.matches("{}").count())]
}

fn collect_counters(block: &Block, counters: &mut Vec<LoopVarId>) {
    for op in &block.ops {
        if let Op::Loop(l) = op {
            counters.push(l.var);
            collect_counters(&l.body, counters);
        }
    }
}

/// All values that have a line of their own.
fn collect_values(block: &Block, values: &mut Vec<ValueId>) {
    for op in &block.ops {
        values.extend(op.defines());
        if let Op::Loop(l) = op {
            values.extend(l.carried.iter().map(|c| c.entry));
            collect_values(&l.body, values);
        }
    }
}
