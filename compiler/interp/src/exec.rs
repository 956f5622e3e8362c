//! Executing [`Code`] on one group of lanes.

use crate::code::*;
use crate::scalar;
use crate::tensor::{Data, Tensor};
use einmesh_ir::{Arena, BinaryOp, DType, UnaryOp, ValueId, integer, rng};
use std::rc::Rc;

/// The values of one device that are assigned so far.
pub type Values = Arena<ValueId, Option<Rc<Tensor>>>;

/// A load that left its value: which subscript of which value, what it was, and its extent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Escape {
    /// The value that was loaded.
    pub value: ValueId,
    /// Which of its subscripts.
    pub position: usize,
    /// What it was.
    pub subscript: i64,
    /// The extent that it must be below.
    pub extent: i64,
}

/// The group of points that is executed.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    /// The values that loads read.
    pub values: &'a Values,
    /// The atoms' values at lane 0.
    pub env: &'a [i64],
    /// How many lanes there are.
    pub lanes: usize,
    /// Which of them count, unless all do; loads of the others are not executed.
    pub mask: Option<&'a [i64]>,
}

/// Executes the steps that are the same at every point.
pub fn prepare(code: &Code, env: &[i64], registers: &mut Registers) -> Result<(), Escape> {
    let values = Values::new();
    let group = Group { values: &values, env, lanes: LANES, mask: None };
    code.once.iter().try_for_each(|step| execute(step, &group, registers))
}

/// Executes the steps for a group of lanes; results of lanes that do not count are meaningless.
pub fn run(code: &Code, group: &Group<'_>, registers: &mut Registers) -> Result<(), Escape> {
    code.each.iter().try_for_each(|step| execute(step, group, registers))
}

/// The register `to` for writing, and those below it for reading.
struct Files<'r> {
    floats: &'r [f64],
    ints: &'r [i64],
    lanes: usize,
}

impl Files<'_> {
    fn float(&self, reg: Reg) -> &[f64] {
        &self.floats[reg.slot * LANES..][..self.lanes]
    }

    fn int(&self, reg: Reg) -> &[i64] {
        &self.ints[reg.slot * LANES..][..self.lanes]
    }
}

fn execute(step: &Step, group: &Group<'_>, registers: &mut Registers) -> Result<(), Escape> {
    let lanes = if step.to.varying { group.lanes } else { 1 };
    let start = step.to.slot * LANES;
    if step.to.float {
        let (below, to) = registers.floats.split_at_mut(start);
        let files = Files { floats: below, ints: &registers.ints, lanes };
        let to = &mut to[..lanes];
        float_step(step, group, &files, to)?;
        match step.round {
            DType::F64 => {}
            DType::F32 => to.iter_mut().for_each(|x| *x = f64::from(*x as f32)),
            half => to.iter_mut().for_each(|x| *x = half.round(*x)),
        }
        Ok(())
    } else {
        let (below, to) = registers.ints.split_at_mut(start);
        let files = Files { floats: &registers.floats, ints: below, lanes };
        int_step(step, group, &files, &mut to[..lanes])
    }
}

/// `to[i] = f(a[i])`.
fn map<A: Copy, R>(to: &mut [R], a: &[A], f: impl Fn(A) -> R) {
    for (to, a) in to.iter_mut().zip(a) {
        *to = f(*a);
    }
}

/// `to[i] = f(a[i], b[i])`.
fn zip<A: Copy, R>(to: &mut [R], a: &[A], b: &[A], f: impl Fn(A, A) -> R) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = f(*a, *b);
    }
}

/// `to[i] = if c[i] { a[i] } else { b[i] }`.
fn choose<T: Copy>(to: &mut [T], c: &[i64], a: &[T], b: &[T]) {
    for (((to, c), a), b) in to.iter_mut().zip(c).zip(a).zip(b) {
        *to = if *c != 0 { *a } else { *b };
    }
}

/// `to[i] = from[base + i · step]`.
fn copy<T: Copy>(to: &mut [T], from: &[T], base: i64, step: i64) {
    let base = base as usize;
    match step {
        1 => to.copy_from_slice(&from[base..][..to.len()]),
        0 => to.fill(from[base]),
        _ => {
            let mut at = base as i64;
            for to in to {
                *to = from[at as usize];
                at += step;
            }
        }
    }
}

fn float_step(
    step: &Step,
    group: &Group<'_>,
    files: &Files<'_>,
    to: &mut [f64],
) -> Result<(), Escape> {
    match &step.inst {
        Inst::Float(bits) => to.fill(f64::from_bits(*bits)),
        Inst::Load(value, form) => {
            copy(to, floats(group.values, *value), form.base(group.env), form.step);
        }
        Inst::Gather(gather) => {
            let from = floats(group.values, gather.value);
            let default = |reg, lane: usize| files.float(reg)[lane];
            gather_lanes(gather, group, files, to, 0.0, |at| from[at], default)?;
        }
        Inst::Unary(op, _, a) => match (op, scalar::float_unary(*op)) {
            (UnaryOp::Neg, _) => map(to, files.float(*a), |x| -x),
            (_, Some(f)) => map(to, files.float(*a), f),
            (_, None) => unreachable!("{op:?} does not give a float"),
        },
        // The common ones are written out, to be inlined.
        Inst::Binary(BinaryOp::Add, _, a, b) => {
            zip(to, files.float(*a), files.float(*b), |x, y| x + y);
        }
        Inst::Binary(BinaryOp::Sub, _, a, b) => {
            zip(to, files.float(*a), files.float(*b), |x, y| x - y);
        }
        Inst::Binary(BinaryOp::Mul, _, a, b) => {
            zip(to, files.float(*a), files.float(*b), |x, y| x * y);
        }
        Inst::Binary(BinaryOp::Uniform, _, key, position) => {
            let draw = |key: i64, position| f64::from(rng::uniform(key as u64, position));
            zip(to, files.int(*key), files.int(*position), draw);
        }
        Inst::Binary(op, _, a, b) => match scalar::float_binary(*op) {
            Some(f) => zip(to, files.float(*a), files.float(*b), f),
            None => unreachable!("{op:?} does not give a float"),
        },
        Inst::Select(c, a, b) => choose(to, files.int(*c), files.float(*a), files.float(*b)),
        Inst::Cast(_, a) if a.float => to.copy_from_slice(files.float(*a)),
        // Rounding to f32 happens in one step: i64 to f64 to f32 could round twice.
        Inst::Cast(_, a) if step.round == DType::F32 => {
            map(to, files.int(*a), |x| f64::from(x as f32));
        }
        Inst::Cast(_, a) => map(to, files.int(*a), |x| x as f64),
        Inst::Broadcast(a) => to.fill(files.float(*a)[0]),
        Inst::Int(_) | Inst::Affine(_) => unreachable!("integers are in their own file"),
    }
    Ok(())
}

fn int_step(
    step: &Step,
    group: &Group<'_>,
    files: &Files<'_>,
    to: &mut [i64],
) -> Result<(), Escape> {
    match &step.inst {
        Inst::Int(x) => to.fill(*x),
        Inst::Affine(form) => {
            let mut next = form.base(group.env);
            for to in to {
                *to = next;
                next += form.step;
            }
        }
        Inst::Load(value, form) => {
            copy(to, ints(group.values, *value), form.base(group.env), form.step);
        }
        Inst::Gather(gather) => {
            let from = ints(group.values, gather.value);
            let default = |reg, lane: usize| files.int(reg)[lane];
            gather_lanes(gather, group, files, to, 0, |at| from[at], default)?;
        }
        Inst::Unary(UnaryOp::IsFinite, _, a) => {
            map(to, files.float(*a), |x| i64::from(x.is_finite()));
        }
        Inst::Unary(UnaryOp::Not, _, a) => map(to, files.int(*a), |x| 1 - x),
        Inst::Unary(UnaryOp::Neg, dtype, a) => {
            map(to, files.int(*a), |x| integer::wrap(*dtype, x.wrapping_neg()));
        }
        Inst::Unary(UnaryOp::Abs, dtype, a) => {
            map(to, files.int(*a), |x| integer::wrap(*dtype, x.wrapping_abs()));
        }
        Inst::Unary(op, ..) => unreachable!("{op:?} does not give an integer"),
        Inst::Binary(op, dtype, a, b) => int_binary(*op, *dtype, *a, *b, files, to),
        Inst::Select(c, a, b) => choose(to, files.int(*c), files.int(*a), files.int(*b)),
        Inst::Cast(dtype, a) if a.float => {
            map(to, files.float(*a), |x| scalar::to_int(*dtype, x));
        }
        Inst::Cast(DType::Bool, a) => map(to, files.int(*a), |x| i64::from(x != 0)),
        Inst::Cast(dtype, a) => map(to, files.int(*a), |x| integer::wrap(*dtype, x)),
        Inst::Broadcast(a) => to.fill(files.int(*a)[0]),
        Inst::Float(_) => unreachable!("floats are in their own file"),
    }
    Ok(())
}

fn int_binary(op: BinaryOp, dtype: DType, a: Reg, b: Reg, files: &Files<'_>, to: &mut [i64]) {
    if op == BinaryOp::Fold {
        let fold = |key: i64, x| rng::fold(key as u64, x) as i64;
        return zip(to, files.int(a), files.int(b), fold);
    }
    if op.is_comparison() {
        // One loop per comparison, so that none decides for each lane which it is.
        macro_rules! compare {
            ($($name:ident $relation:tt),*) => {
                match op {
                    $(BinaryOp::$name if a.float => {
                        zip(to, files.float(a), files.float(b), |x, y| i64::from(x $relation y));
                    }
                    BinaryOp::$name => {
                        zip(to, files.int(a), files.int(b), |x, y| i64::from(x $relation y));
                    })*
                    _ => unreachable!("{op:?} is no comparison"),
                }
            };
        }
        compare!(Eq ==, Ne !=, Lt <, Le <=, Gt >, Ge >=);
        return;
    }
    match op {
        BinaryOp::And => zip(to, files.int(a), files.int(b), |x, y| x & y),
        BinaryOp::Or => zip(to, files.int(a), files.int(b), |x, y| x | y),
        _ => zip(to, files.int(a), files.int(b), |x, y| {
            let result = integer::arithmetic(op, dtype, x, y);
            result.unwrap_or_else(|| unreachable!("{op:?} is no integer arithmetic"))
        }),
    }
}

fn gather_lanes<T: Copy>(
    gather: &Gather,
    group: &Group<'_>,
    files: &Files<'_>,
    to: &mut [T],
    unused: T,
    element: impl Fn(usize) -> T,
    default: impl Fn(Reg, usize) -> T,
) -> Result<(), Escape> {
    // A single result for all lanes is needed if any lane is, and there is one.
    let mask = group.mask.filter(|_| to.len() == group.lanes && group.lanes > 1);
    'lanes: for (lane, to) in to.iter_mut().enumerate() {
        if mask.is_some_and(|mask| mask[lane] == 0) {
            *to = unused;
            continue;
        }
        let mut offset = 0;
        for (position, (sub, extent)) in gather.subs.iter().zip(&gather.extents).enumerate() {
            let (mut subscript, extent) = (files.int(*sub)[lane], *extent);
            if !(0..extent).contains(&subscript) {
                match gather.outside {
                    Outside::Clamp => subscript = subscript.clamp(0, extent - 1),
                    Outside::Default(reg) => {
                        *to = default(reg, lane);
                        continue 'lanes;
                    }
                    Outside::Refuse => {
                        let value = gather.value;
                        return Err(Escape { value, position, subscript, extent });
                    }
                }
            }
            offset = offset * extent + subscript;
        }
        *to = element(offset as usize);
    }
    Ok(())
}

fn floats(values: &Values, value: ValueId) -> &[f64] {
    match &values[value].as_ref().expect("verified: assigned before it is read").data {
        Data::Float(x) => x,
        Data::Int(_) => unreachable!("verified: {value:?} holds floats"),
    }
}

fn ints(values: &Values, value: ValueId) -> &[i64] {
    match &values[value].as_ref().expect("verified: assigned before it is read").data {
        Data::Int(x) => x,
        Data::Float(_) => unreachable!("verified: {value:?} holds integers"),
    }
}
