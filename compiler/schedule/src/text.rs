//! The text form of a schedule: what `--emit=schedule` prints.

use crate::KernelGraph;
use crate::kernel::{Body, Contraction, Kernel, Memory, Nest, Online, Role, Stage, Sweep, Target};
use einmesh_artifact::{Buffer, Int, Step, Storage};
use einmesh_ir::{
    Arena, Comprehension, Dim, Expr, Id, Index, IndexId, LoopVar, Origin, Program, Reducer, Value,
    ValueId, text::print_expr,
};
use std::fmt;

impl fmt::Display for KernelGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "arena {} bytes, peak {} bytes", self.arena_bytes, self.peak_bytes)?;
        for (n, buffer) in self.buffers.iter().enumerate() {
            writeln!(f, "buffer {n}: {}", describe(buffer))?;
        }
        writeln!(f)?;
        self.steps(f, &self.steps, 0)?;
        for (n, kernel) in self.kernels.iter().enumerate() {
            write!(f, "\nkernel {n} {kernel}")?;
        }
        Ok(())
    }
}

fn describe(buffer: &Buffer) -> String {
    let extents: Vec<String> = buffer.extents.iter().map(u64::to_string).collect();
    let place = match buffer.storage {
        Storage::Arena(offset) => format!("arena at {offset}"),
        Storage::Input(n) => format!("input {n}"),
        Storage::Output(n) => format!("output {n}"),
    };
    let dtype = format!("{:?}", buffer.dtype).to_lowercase();
    format!("{} {dtype}[{}] in {place}", buffer.name, extents.join(","))
}

impl KernelGraph {
    fn steps(&self, f: &mut fmt::Formatter<'_>, steps: &[Step], depth: usize) -> fmt::Result {
        let name = |b: &u32| format!("{}.{b}", self.buffers[*b as usize].name);
        for step in steps {
            write!(f, "{:1$}", "", depth * 2)?;
            match step {
                Step::Launch { kernel, operands, ints } => {
                    let ints = ints.iter().map(|int| match int {
                        Int::Counter(n) => format!("counter {n}"),
                        Int::Coord(axis) => format!("coord {axis}"),
                    });
                    let all: Vec<String> = operands.iter().map(name).chain(ints).collect();
                    writeln!(f, "launch {kernel}({})", all.join(", "))?;
                }
                Step::Loop { counter, extent, reversed, condition, ahead, steps } => {
                    let order = if *reversed { " reversed" } else { "" };
                    let condition = condition.map(|c| format!(" while {}", name(&c)));
                    let condition = condition.unwrap_or_default();
                    writeln!(f, "loop counter {counter} to {extent}{order}{condition}")?;
                    if !ahead.is_empty() {
                        writeln!(f, "{:1$}ahead", "", depth * 2 + 2)?;
                        self.steps(f, &ahead.steps, depth + 2)?;
                    }
                    for (next, now) in &ahead.handed {
                        let (next, now) = (name(next), name(now));
                        writeln!(f, "{:1$}hand over {next} as {now}", "", depth * 2 + 4)?;
                    }
                    self.steps(f, steps, depth + 1)?;
                }
                Step::Copy { from, to } => writeln!(f, "copy {} to {}", name(from), name(to))?,
                Step::Swap { a, b } => writeln!(f, "swap {} and {}", name(a), name(b))?,
                Step::Collective { kind, axes, input, output } => {
                    writeln!(f, "{kind:?} over {axes:?}: {} to {}", name(input), name(output))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Names::of(self);
        writeln!(f, "{}", self.name)?;
        for (n, memory) in self.values.iter().enumerate() {
            writeln!(f, "  %m.{n}: {memory}")?;
        }
        match &self.body {
            Body::Nest(nest) => names.nest(f, nest),
            Body::Contraction(contraction) => names.contraction(f, contraction),
            Body::Siblings(siblings) => siblings.iter().try_for_each(|c| names.contraction(f, c)),
            Body::Online(online) => names.online(f, online),
            Body::Sweep(sweep) => names.sweep(f, sweep),
            Body::Argsort { input, output, position } => {
                let (input, output) = (input.index(), output.index());
                writeln!(f, "  %m.{output} = argsort of %m.{input} along {position}")
            }
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Read => "read",
            Role::Write => "write",
            Role::Update => "update",
            Role::Local => "local",
        };
        let extents: Vec<String> = self.extents.iter().map(u64::to_string).collect();
        write!(f, "{role} {}[{}]", self.dtype, extents.join(","))
    }
}

/// A kernel's tables in the form of a program's, so that its expressions print like any others.
struct Names {
    program: Program,
    comprehension: Comprehension,
}

impl Names {
    fn of(kernel: &Kernel) -> Names {
        let mut program = Program::default();
        let mut indices: Arena<IndexId, Index> = Arena::new();
        for range in &kernel.indices {
            let dim = Dim {
                name: range.name.to_uppercase(),
                extent: range.extent,
                role_of: None,
                symbolic: false,
            };
            let dim = program.dims.push(dim);
            indices.push(Index { name: range.name.clone(), dim });
        }
        for memory in &kernel.values {
            program.values.push(Value {
                name: "m".to_owned(),
                dtype: memory.dtype,
                dims: Vec::new(),
                origin: Origin::default(),
            });
        }
        if let Some(any) = program.dims.ids().next() {
            for n in 0..kernel.ints {
                program.loop_vars.push(LoopVar { name: format!("number{n}"), dim: any });
            }
        }
        let comprehension = Comprehension {
            out: ValueId(0),
            indices,
            free: 0,
            reducer: Reducer::None,
            guard: None,
            body: Expr::int(0),
            store: None,
        };
        Names { program, comprehension }
    }

    fn expr(&self, expr: &Expr) -> String {
        print_expr(&self.program, &self.comprehension, expr)
    }

    fn indices(&self, ids: &[IndexId]) -> String {
        let names: Vec<String> = ids.iter().map(|i| self.expr(&Expr::Index(*i))).collect();
        names.join(",")
    }

    fn target(&self, target: &Target) -> String {
        let subs: Vec<String> = target.subs.iter().map(|s| self.expr(s)).collect();
        format!("%m.{}[{}]", target.value.index(), subs.join(","))
    }

    fn nest(&self, f: &mut fmt::Formatter<'_>, nest: &Nest) -> fmt::Result {
        let serial = if nest.serial { " one after the other" } else { "" };
        writeln!(f, "  for each [{}]{serial}", self.indices(&nest.outer))?;
        nest.stages.iter().try_for_each(|stage| writeln!(f, "    {}", self.stage(stage)))
    }

    fn stage(&self, stage: &Stage) -> String {
        let sign = match (stage.target.store, stage.target.combine) {
            (false, _) => "=".to_owned(),
            (true, Reducer::None) => ":=".to_owned(),
            (true, combine) => format!("{combine:?}=").to_lowercase(),
        };
        let free = match stage.free.as_slice() {
            [] => String::new(),
            free => format!("for each [{}] ", self.indices(free)),
        };
        let guard = match &stage.guard {
            None => String::new(),
            Some(guard) => format!(" | {}", self.expr(guard)),
        };
        let (target, body) = (self.target(&stage.target), self.expr(&stage.body));
        let reduced = self.indices(&stage.reduced);
        let value = match stage.reducer {
            Reducer::None if guard.is_empty() => body,
            Reducer::None => format!("where[{}]({body})", guard.trim_start_matches([' ', '|'])),
            reducer => {
                format!("{}[{reduced}{guard}]({body})", format!("{reducer:?}").to_lowercase())
            }
        };
        format!("{free}{target} {sign} {value}")
    }

    fn contraction(&self, f: &mut fmt::Formatter<'_>, c: &Contraction) -> fmt::Result {
        let groups = [("batch", &c.batch), ("m", &c.m), ("n", &c.n), ("k", &c.k)];
        let groups = groups.map(|(name, ids)| format!("{name} [{}]", self.indices(ids)));
        writeln!(f, "  contraction {}", groups.join(", "))?;
        writeln!(f, "    lhs {}", self.expr(&c.lhs))?;
        writeln!(f, "    rhs {}", self.expr(&c.rhs))?;
        let acc = c.acc.index();
        writeln!(
            f,
            "    {} = {}, where %m.{acc} is the sum",
            self.target(&c.target),
            self.expr(&c.epilogue)
        )
    }

    fn online(&self, f: &mut fmt::Formatter<'_>, o: &Online) -> fmt::Result {
        let groups = [("batch", &o.batch), ("m", &o.m), ("n", &vec![o.n]), ("k", &o.k)];
        let groups = groups.map(|(name, ids)| format!("{name} [{}]", self.indices(ids)));
        writeln!(f, "  online {}", groups.join(", "))?;
        writeln!(f, "    lhs {}", self.expr(&o.lhs))?;
        writeln!(f, "    rhs {}", self.expr(&o.rhs))?;
        let local = |value: ValueId| format!("%m.{}", value.index());
        let guard = match &o.guard {
            None => String::new(),
            Some(guard) => format!(" | {}", self.expr(guard)),
        };
        writeln!(f, "    score {}{guard}, where {} is the sum", self.expr(&o.score), local(o.acc))?;
        let [top, total, lse] = [o.top, o.total, o.lse].map(local);
        writeln!(f, "    rows top {top}, total {total}, lse {lse}")?;
        if let Some(context) = &o.context {
            let (v, value) = (self.indices(&context.v), self.expr(&context.value));
            writeln!(f, "    context {} for each [{v}] of {value}", local(context.acc))?;
        }
        for result in &o.results {
            writeln!(f, "    {} = {}", self.target(&result.target), self.expr(&result.value))?;
        }
        Ok(())
    }

    fn sweep(&self, f: &mut fmt::Formatter<'_>, s: &Sweep) -> fmt::Result {
        let groups = [("batch", &s.batch), ("m", &s.m), ("n", &vec![s.n])];
        let groups = groups.map(|(name, ids)| format!("{name} [{}]", self.indices(ids)));
        let guard = match &s.guard {
            None => String::new(),
            Some(guard) => format!(" | {}", self.expr(guard)),
        };
        writeln!(f, "  sweep {}{guard}", groups.join(", "))?;
        let local = |value: ValueId| format!("%m.{}", value.index());
        for p in &s.products {
            let (k, lhs, rhs) = (self.indices(&p.k), self.expr(&p.lhs), self.expr(&p.rhs));
            writeln!(f, "    product {} for each [{k}] of {lhs} and {rhs}", local(p.acc))?;
        }
        for point in &s.points {
            writeln!(f, "    point {} = {}", local(point.local), self.expr(&point.value))?;
        }
        for sum in &s.sums {
            let over = if sum.of_columns { self.indices(&s.m) } else { self.indices(&[s.n]) };
            let (value, weight) = (self.expr(&sum.value), local(sum.weight));
            let (target, result) = (self.target(&sum.target), self.expr(&sum.result));
            writeln!(f, "    {target} = {result}, where {} is", local(sum.acc))?;
            writeln!(f, "      sum[{over}]({weight} * {value})")?;
        }
        Ok(())
    }
}
