//! Expressions and the names in them.

use super::{CALLS, COMPARISON, INFIX, SIGN, UNARY, name_in, quoted};
use crate::arena::Id;
use crate::dtype::DType;
use crate::expr::{Bounds, Expr, IndexId, Literal, Load, UnaryOp};
use crate::mesh::{Mesh, MeshAxisId};
use crate::program::{Comprehension, DimId, LoopVarId, Program, ValueId};

/// An expression of a comprehension as text; loop counters by their names alone.
pub fn print_expr(program: &Program, comprehension: &Comprehension, expr: &Expr) -> String {
    let loops: Vec<LoopVarId> = program.loop_vars.ids().collect();
    let names = Names { program, mesh: None, loops: &loops };
    names.expr(comprehension, expr)
}

impl Program {
    /// A value as texts and messages write it: `%name.3`.
    pub fn name_of(&self, value: ValueId) -> String {
        let name = self.values.get(value).map_or("", |v| v.name.as_str());
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        let name = if plain { name.to_owned() } else { super::text(name) };
        format!("%{name}.{}", value.index())
    }

    /// A value with its type: `%name.3: f32[B,T]`.
    pub fn signature_of(&self, value: ValueId) -> String {
        let dims = self.values.get(value).map_or(&[][..], |v| &v.dims);
        self.signature_with(value, dims.iter().map(|d| self.name_of_dim(*d)).collect())
    }

    /// A value with its type, the dims written as given.
    pub(super) fn signature_with(&self, value: ValueId, dims: Vec<String>) -> String {
        let dtype = self.values.get(value).map_or("?", |v| v.dtype.name());
        let dims = if dims.is_empty() { String::new() } else { format!("[{}]", dims.join(",")) };
        format!("{}: {dtype}{dims}", self.name_of(value))
    }

    /// A dim by its name, with its id where the name is not unique.
    pub(super) fn name_of_dim(&self, dim: DimId) -> String {
        let Some(info) = self.dims.get(dim) else {
            return format!("{dim:?}");
        };
        let name = quoted(&info.name);
        match self.dims.values().filter(|d| d.name == info.name).count() {
            1 => name,
            _ => format!("{name}'{}", dim.index()),
        }
    }
}

/// What names are resolved against.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub program: &'a Program,
    pub mesh: Option<&'a Mesh>,
    /// The loops around, innermost last.
    pub loops: &'a [LoopVarId],
}

impl Names<'_> {
    pub fn index(&self, c: &Comprehension, index: IndexId) -> String {
        let Some(info) = c.indices.get(index) else {
            return format!("{index:?}");
        };
        let name = quoted(&info.name);
        match c.indices.values().filter(|i| i.name == info.name).count() {
            1 => name,
            _ => format!("{name}'{}", index.index()),
        }
    }

    /// A loop counter where it is used; `c` is the comprehension around.
    fn counter(&self, c: &Comprehension, var: LoopVarId) -> String {
        let vars = &self.program.loop_vars;
        let Some(info) = vars.get(var) else {
            return format!("{var:?}");
        };
        let same = |v: &&LoopVarId| vars.get(**v).is_some_and(|v| v.name == info.name);
        let innermost = self.loops.iter().rev().find(same) == Some(&var);
        let name = quoted(&info.name);
        if innermost && c.indices.values().all(|i| i.name != info.name) {
            name
        } else {
            format!("{name}~{}", var.index())
        }
    }

    pub fn axis(&self, axis: MeshAxisId) -> String {
        let info = self.mesh.and_then(|mesh| mesh.axes.get(axis));
        info.map_or_else(|| format!("{axis:?}"), |a| quoted(&a.name))
    }

    pub fn axes(&self, axes: &[MeshAxisId]) -> String {
        axes.iter().map(|a| self.axis(*a)).collect::<Vec<_>>().join("+")
    }

    pub fn expr(&self, c: &Comprehension, expr: &Expr) -> String {
        let mut out = String::new();
        self.write(c, expr, 0, &mut out);
        out
    }

    /// Writes an expression, in parentheses if it binds less tightly than `around`.
    fn write(&self, c: &Comprehension, expr: &Expr, around: u8, out: &mut String) {
        match expr {
            Expr::Literal(literal) => out.push_str(&print_literal(*literal)),
            Expr::Index(index) => out.push_str(&self.index(c, *index)),
            Expr::LoopVar(var) => out.push_str(&self.counter(c, *var)),
            Expr::Coord(axis) => self.call(c, &format!("coord({}", self.axis(*axis)), &[], out),
            Expr::Load(load) => self.load(c, load, out),
            // A sign before digits belongs to the number.
            Expr::Unary(UnaryOp::Neg, a) if !matches!(**a, Expr::Literal(_)) => {
                let parenthesize = around > SIGN;
                out.push_str(if parenthesize { "(-" } else { "-" });
                self.write(c, a, SIGN, out);
                out.push_str(if parenthesize { ")" } else { "" });
            }
            Expr::Unary(op, a) => self.call(c, &format!("{}(", name_in(&UNARY, *op)), &[a], out),
            Expr::Select(p, a, b) => self.call(c, "select(", &[p, a, b], out),
            Expr::Cast(dtype, a) => self.call(c, &format!("{dtype}("), &[a], out),
            Expr::Binary(op, a, b) => {
                let Some((_, symbol, level)) = INFIX.iter().find(|(o, ..)| o == op) else {
                    return self.call(c, &format!("{}(", name_in(&CALLS, *op)), &[a, b], out);
                };
                let parenthesize = around > *level;
                out.push_str(if parenthesize { "(" } else { "" });
                self.write(c, a, level + u8::from(*level == COMPARISON), out);
                out.push_str(&format!(" {symbol} "));
                self.write(c, b, level + 1, out);
                out.push_str(if parenthesize { ")" } else { "" });
            }
        }
    }

    fn call(&self, c: &Comprehension, head: &str, arguments: &[&Expr], out: &mut String) {
        out.push_str(head);
        for (n, argument) in arguments.iter().enumerate() {
            out.push_str(if n > 0 { ", " } else { "" });
            self.write(c, argument, 0, out);
        }
        out.push(')');
    }

    fn load(&self, c: &Comprehension, load: &Load, out: &mut String) {
        out.push_str(&self.program.name_of(load.value));
        if load.subs.is_empty() && load.bounds == Bounds::Proven {
            return;
        }
        out.push('[');
        out.push_str(&self.subs(c, &load.subs));
        let space = if load.subs.is_empty() { "" } else { " " };
        match &load.bounds {
            Bounds::Proven => {}
            Bounds::Clamp => out.push_str(&format!("{space}clamp")),
            Bounds::Else(default) => {
                out.push_str(&format!("{space}else "));
                self.write(c, default, 0, out);
            }
        }
        out.push(']');
    }

    pub fn subs(&self, c: &Comprehension, subs: &[Expr]) -> String {
        subs.iter().map(|s| self.expr(c, s)).collect::<Vec<_>>().join(",")
    }
}

fn print_literal(literal: Literal) -> String {
    match literal {
        Literal::Bool(x) => x.to_string(),
        Literal::Int(DType::I32, x) => x.to_string(),
        Literal::Int(dtype, x) => format!("{x}{dtype}"),
        Literal::Float(dtype, x) => {
            let suffix = match (dtype, x.is_finite()) {
                (DType::F32, _) => String::new(),
                (_, true) => dtype.to_string(),
                (_, false) => format!(".{dtype}"),
            };
            match (x.is_nan(), dtype) {
                (true, _) => format!("nan{suffix}"),
                // The shortest digits that mean this number; always with a point or an exponent.
                (_, DType::F32) => format!("{:?}", x as f32),
                _ => format!("{x:?}{suffix}"),
            }
        }
    }
}
