//! From expressions to [`Code`].

use crate::Precision;
use crate::code::*;
use einmesh_ir::{
    Affine, Atom, Bounds, DType, Expr, Id, IndexId, Literal, Load, Program, Scope, ValueId,
};
use std::ops::RangeInclusive;

/// Compiles the expressions of a comprehension in lanes of `lane`; one result per expression.
pub fn compile<'e>(
    ctx: Ctx<'_>,
    lane: Option<IndexId>,
    exprs: impl IntoIterator<Item = &'e Expr>,
) -> Code {
    let mut compiler = Compiler { ctx, lane, code: Code::default() };
    for expr in exprs {
        let result = compiler.expr(expr);
        // Results are read lane by lane.
        let result = compiler.varying(result);
        compiler.code.results.push(result);
    }
    compiler.code
}

/// What a compilation is about.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The program around.
    pub program: &'a Program,
    /// The atoms' extents.
    pub scope: Scope<'a>,
    /// How many indices the comprehension has: they come first in the environment.
    pub indices: usize,
    /// How floats are computed.
    pub precision: Precision,
}

impl Ctx<'_> {
    /// The position of an atom in the environment: indices, then loop counters, then coordinates.
    pub fn slot(&self, atom: Atom) -> usize {
        match atom {
            Atom::Index(index) => index.index(),
            Atom::LoopVar(var) => self.indices + var.index(),
            Atom::Coord(axis) => self.indices + self.program.loop_vars.len() + axis.index(),
        }
    }

    /// The form of an affine expression.
    pub fn form(&self, affine: &Affine, lane: Option<IndexId>) -> Form {
        let terms = affine.terms().iter().map(|(atom, c)| (self.slot(*atom), *c)).collect();
        let step = lane.map_or(0, |lane| affine.coefficient(Atom::Index(lane)));
        Form { constant: affine.constant, terms, step }
    }

    /// The affine form of an integer expression that cannot wrap.
    fn affine(&self, expr: &Expr) -> Option<(Affine, RangeInclusive<i64>)> {
        let affine = Affine::of(expr)?;
        let range = affine.range(&self.scope)?;
        let narrow = i64::from(i32::MIN)..=i64::from(i32::MAX);
        let fits = narrow.contains(range.start()) && narrow.contains(range.end());
        fits.then_some((affine, range))
    }

    /// The offset of a load in its value, if it is affine and in range at every point.
    pub fn offset(&self, value: ValueId, subs: &[Expr]) -> Option<Affine> {
        let mut offset = Affine::constant(0);
        for (sub, extent) in subs.iter().zip(self.program.extents(value)) {
            let (affine, range) = self.affine(sub)?;
            let extent = i64::try_from(extent).ok()?;
            if *range.start() < 0 || *range.end() >= extent {
                return None;
            }
            offset = offset.scale(extent)?.add(&affine)?;
        }
        Some(offset)
    }

    /// The dtype that arithmetic of `dtype` is rounded to.
    fn rounding(&self, dtype: DType) -> DType {
        match self.precision {
            Precision::F64 => DType::F64,
            Precision::Program => dtype.accumulator(),
        }
    }
}

struct Compiler<'a> {
    ctx: Ctx<'a>,
    lane: Option<IndexId>,
    code: Code,
}

impl Compiler<'_> {
    fn expr(&mut self, expr: &Expr) -> Reg {
        let dtype = self.ctx.program.dtype_of(expr);
        if dtype.is_int()
            && let Some((affine, _)) = self.ctx.affine(expr)
        {
            let form = self.ctx.form(&affine, self.lane);
            let varying = form.step != 0;
            return self.push(Inst::Affine(form), DType::I32, varying, DType::F64);
        }
        let rounding = self.ctx.rounding(dtype);
        match expr {
            Expr::Literal(Literal::Float(_, x)) => {
                self.push(Inst::Float(x.to_bits()), dtype, false, DType::F64)
            }
            Expr::Literal(Literal::Int(_, x)) => self.push(Inst::Int(*x), dtype, false, DType::F64),
            Expr::Literal(Literal::Bool(x)) => {
                self.push(Inst::Int(i64::from(*x)), dtype, false, DType::F64)
            }
            // An atom that does not fit i32: a counter beyond 2^31, which wraps.
            Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => {
                let affine = Affine::of(expr).expect("atoms are affine");
                let form = self.ctx.form(&affine, self.lane);
                let varying = form.step != 0;
                let wide = self.push(Inst::Affine(form), dtype, varying, DType::F64);
                self.push(Inst::Cast(DType::I32, wide), dtype, varying, DType::F64)
            }
            Expr::Load(load) => self.load(load, dtype),
            Expr::Unary(op, a) => {
                let operand = self.ctx.program.dtype_of(a);
                let a = self.expr(a);
                self.push(Inst::Unary(*op, operand, a), dtype, a.varying, rounding)
            }
            Expr::Binary(op, a, b) => {
                let operand = self.ctx.program.dtype_of(a);
                let (a, b) = (self.expr(a), self.expr(b));
                let ([a, b], varying) = self.alike([a, b]);
                self.push(Inst::Binary(*op, operand, a, b), dtype, varying, rounding)
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (self.expr(c), self.expr(a), self.expr(b));
                let ([c, a, b], varying) = self.alike([c, a, b]);
                self.push(Inst::Select(c, a, b), dtype, varying, DType::F64)
            }
            Expr::Cast(to, a) => {
                let a = self.expr(a);
                // Unlike arithmetic, a cast to half precision really rounds to it.
                let round = match self.ctx.precision {
                    Precision::Program if to.is_float() => *to,
                    _ => DType::F64,
                };
                self.push(Inst::Cast(*to, a), dtype, a.varying, round)
            }
        }
    }

    fn load(&mut self, load: &Load, dtype: DType) -> Reg {
        if let Some(offset) = self.ctx.offset(load.value, &load.subs) {
            let form = self.ctx.form(&offset, self.lane);
            let varying = form.step != 0;
            return self.push(Inst::Load(load.value, form), dtype, varying, DType::F64);
        }
        let mut operands: Vec<Reg> = load.subs.iter().map(|s| self.expr(s)).collect();
        if let Bounds::Else(default) = &load.bounds {
            operands.push(self.expr(default));
        }
        let varying = operands.iter().any(|r| r.varying);
        if varying {
            operands = operands.into_iter().map(|r| self.varying(r)).collect();
        }
        let outside = match &load.bounds {
            Bounds::Proven => Outside::Refuse,
            Bounds::Clamp => Outside::Clamp,
            Bounds::Else(_) => Outside::Default(operands.pop().expect("the default was pushed")),
        };
        let extents = self.ctx.program.extents(load.value);
        let extents = extents.into_iter().map(|n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
        let gather = Gather { value: load.value, subs: operands, extents, outside };
        self.push(Inst::Gather(gather), dtype, varying, DType::F64)
    }

    /// The registers, all varying if one is.
    fn alike<const N: usize>(&mut self, regs: [Reg; N]) -> ([Reg; N], bool) {
        let varying = regs.iter().any(|r| r.varying);
        (if varying { regs.map(|r| self.varying(r)) } else { regs }, varying)
    }

    fn varying(&mut self, reg: Reg) -> Reg {
        if reg.varying {
            return reg;
        }
        let dtype = if reg.float { DType::F64 } else { DType::I64 };
        self.push(Inst::Broadcast(reg), dtype, true, DType::F64)
    }

    /// Appends an instruction, unless it is there already.
    fn push(&mut self, inst: Inst, dtype: DType, varying: bool, round: DType) -> Reg {
        let same = |s: &&Step| s.inst == inst && s.to.varying == varying && s.round == round;
        let steps = self.code.once.iter().chain(&self.code.each);
        if let Some(step) = steps.rev().find(same) {
            return step.to;
        }
        let float = dtype.is_float();
        let file = if float { &mut self.code.floats } else { &mut self.code.ints };
        let to = Reg { float, slot: *file, varying };
        *file += 1;
        let constant = self.is_constant(&inst);
        let step = Step { inst, to, round };
        if constant {
            self.code.once.push(step)
        } else {
            self.code.each.push(step)
        }
        to
    }

    /// Whether an instruction has the same result at every point. Loads that may be out of range are
    /// not: they must not be executed where there are no points.
    fn is_constant(&self, inst: &Inst) -> bool {
        let fixed = |reg: &Reg| self.code.once.iter().any(|s| s.to == *reg);
        match inst {
            Inst::Float(_) | Inst::Int(_) => true,
            Inst::Affine(form) => form.terms.iter().all(|(slot, _)| *slot >= self.ctx.indices),
            Inst::Load(..) | Inst::Gather(_) => false,
            Inst::Unary(_, _, a) | Inst::Cast(_, a) | Inst::Broadcast(a) => fixed(a),
            Inst::Binary(_, _, a, b) => fixed(a) && fixed(b),
            Inst::Select(a, b, c) => fixed(a) && fixed(b) && fixed(c),
        }
    }
}
