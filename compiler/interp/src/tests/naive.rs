//! A second evaluator, as direct as possible: one point at a time, by recursion, in f64. It shares
//! nothing with the first but the functions of numbers, and has to agree on random programs.

use super::*;
use crate::{Data, mismatch, random_inputs, scalar};
use einmesh_ir::testing::{GenerateOptions, Mode, generate};
use einmesh_ir::text::print;
use einmesh_ir::{Block, Id, Literal, LoopVarId, UnaryOp, integer, rng};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
enum Number {
    Float(f64),
    Int(i64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Number::Float(x) => x,
            Number::Int(x) => panic!("{x} is no float"),
        }
    }

    fn int(self) -> i64 {
        match self {
            Number::Int(x) => x,
            Number::Float(x) => panic!("{x} is no integer"),
        }
    }
}

struct Naive<'p> {
    program: &'p Program,
    values: BTreeMap<ValueId, Tensor>,
    counters: BTreeMap<LoopVarId, i64>,
}

/// All positions of a shape, row-major.
fn positions(extents: &[u64]) -> Vec<Vec<i64>> {
    let mut all = vec![Vec::new()];
    for extent in extents {
        let longer = |p: &Vec<i64>| {
            let p = p.clone();
            (0..*extent as i64).map(move |i| [p.clone(), vec![i]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// The offset of a position, if it is within the shape.
fn offset(shape: &[usize], position: &[i64]) -> Option<usize> {
    shape
        .iter()
        .zip(position)
        .try_fold(0, |at, (n, p)| (0..*n as i64).contains(p).then(|| at * n + *p as usize))
}

fn element(tensor: &Tensor, at: usize) -> Number {
    match &tensor.data {
        Data::Float(x) => Number::Float(x[at]),
        Data::Int(x) => Number::Int(x[at]),
    }
}

fn set(tensor: &mut Tensor, at: usize, number: Number) {
    match &mut tensor.data {
        Data::Float(x) => x[at] = number.float(),
        Data::Int(x) => x[at] = number.int(),
    }
}

impl Naive<'_> {
    fn expr(&self, point: &[i64], expr: &Expr) -> Number {
        let truth = |x: bool| Number::Int(i64::from(x));
        match expr {
            Expr::Literal(Literal::Float(_, x)) => Number::Float(*x),
            Expr::Literal(Literal::Int(_, x)) => Number::Int(*x),
            Expr::Literal(Literal::Bool(x)) => truth(*x),
            Expr::Index(i) => Number::Int(point[i.index()]),
            Expr::LoopVar(var) => Number::Int(self.counters[var]),
            Expr::Coord(_) => panic!("not partitioned"),
            Expr::Load(load) => {
                let tensor = &self.values[&load.value];
                let mut at: Vec<i64> =
                    load.subs.iter().map(|s| self.expr(point, s).int()).collect();
                if load.bounds == Bounds::Clamp {
                    for (p, n) in at.iter_mut().zip(&tensor.shape) {
                        *p = (*p).max(0).min(*n as i64 - 1);
                    }
                }
                match (offset(&tensor.shape, &at), &load.bounds) {
                    (Some(at), _) => element(tensor, at),
                    (None, Bounds::Else(default)) => self.expr(point, default),
                    (None, _) => panic!("out of range"),
                }
            }
            Expr::Unary(op, a) => match (op, self.expr(point, a)) {
                (UnaryOp::Not, a) => truth(a.int() == 0),
                (UnaryOp::IsFinite, a) => truth(a.float().is_finite()),
                (UnaryOp::Neg, Number::Int(x)) => Number::Int(self.wrap(a, x.wrapping_neg())),
                (UnaryOp::Abs, Number::Int(x)) => Number::Int(self.wrap(a, x.wrapping_abs())),
                (op, a) => Number::Float(scalar::float_unary(*op).unwrap()(a.float())),
            },
            Expr::Binary(op, a, b) => self.binary(*op, a, self.expr(point, a), self.expr(point, b)),
            Expr::Select(c, a, b) => match self.expr(point, c).int() {
                0 => self.expr(point, b),
                _ => self.expr(point, a),
            },
            Expr::Cast(to, a) => match (self.expr(point, a), to.is_float()) {
                (Number::Float(x), true) => Number::Float(x),
                (Number::Int(x), true) => Number::Float(x as f64),
                (Number::Float(x), false) => Number::Int(scalar::to_int(*to, x)),
                (Number::Int(x), false) if *to == DType::Bool => truth(x != 0),
                (Number::Int(x), false) => Number::Int(integer::wrap(*to, x)),
            },
        }
    }

    fn wrap(&self, operand: &Expr, x: i64) -> i64 {
        integer::wrap(self.program.dtype_of(operand), x)
    }

    fn binary(&self, op: BinaryOp, left: &Expr, a: Number, b: Number) -> Number {
        let compared = match (a, b) {
            (Number::Float(a), Number::Float(b)) => integer::compare(op, a, b),
            (Number::Int(a), Number::Int(b)) => integer::compare(op, a, b),
            _ => None,
        };
        if let Some(truth) = compared {
            return Number::Int(i64::from(truth));
        }
        match (op, a, b) {
            (BinaryOp::And, a, b) => Number::Int(a.int() & b.int()),
            (BinaryOp::Or, a, b) => Number::Int(a.int() | b.int()),
            (BinaryOp::Fold, a, b) => Number::Int(rng::fold(a.int() as u64, b.int()) as i64),
            (BinaryOp::Uniform, a, b) => {
                Number::Float(f64::from(rng::uniform(a.int() as u64, b.int())))
            }
            (op, Number::Float(a), b) => {
                Number::Float(scalar::float_binary(op).unwrap()(a, b.float()))
            }
            (op, Number::Int(a), b) => {
                let dtype = self.program.dtype_of(left);
                Number::Int(integer::arithmetic(op, dtype, a, b.int()).unwrap())
            }
        }
    }

    /// Reduces the numbers of all evaluated points; `None` if there are none.
    fn reduce(&self, c: &Comprehension, points: &[(Vec<i64>, Number)]) -> Option<Number> {
        let (_, first) = points.first()?;
        let dtype = self.program.dtype_of(&c.body);
        let floats = || points.iter().map(|(_, x)| x.float());
        let best = |better: fn(f64, f64) -> bool| {
            let key = |x: Number| match x {
                Number::Float(x) => x,
                Number::Int(x) => x as f64,
            };
            let mut best = &points[0];
            for point in points {
                let (a, b) = (key(best.1), key(point.1));
                if !a.is_nan() && (b.is_nan() || better(b, a)) {
                    best = point;
                }
            }
            Number::Int(best.0[c.free])
        };
        Some(match (c.reducer, first) {
            (Reducer::None, _) => points[0].1,
            (Reducer::ArgMax, _) => best(|a, b| a > b),
            (Reducer::ArgMin, _) => best(|a, b| a < b),
            (Reducer::Sum, Number::Float(_)) => Number::Float(floats().fold(0.0, |a, b| a + b)),
            (Reducer::Prod, Number::Float(_)) => Number::Float(floats().fold(1.0, |a, b| a * b)),
            (Reducer::Max, Number::Float(_)) => {
                Number::Float(floats().fold(f64::NEG_INFINITY, scalar::max))
            }
            (Reducer::Min, Number::Float(_)) => {
                Number::Float(floats().fold(f64::INFINITY, scalar::min))
            }
            (Reducer::LogSumExp, _) => {
                let max = floats().fold(f64::NEG_INFINITY, scalar::max);
                match max.is_finite() {
                    true => {
                        Number::Float(max + floats().map(|x| (x - max).exp()).sum::<f64>().ln())
                    }
                    false => Number::Float(max),
                }
            }
            (reducer, Number::Int(_)) => {
                let numbers = points.iter().map(|(_, x)| x.int());
                let combine = |a: i64, b: i64| match reducer {
                    Reducer::Sum => integer::wrap(dtype, a.wrapping_add(b)),
                    Reducer::Prod => integer::wrap(dtype, a.wrapping_mul(b)),
                    Reducer::Max | Reducer::Any => a.max(b),
                    _ => a.min(b),
                };
                Number::Int(numbers.reduce(combine).unwrap())
            }
            (reducer, _) => panic!("{reducer:?} of floats"),
        })
    }

    fn identity(&self, c: &Comprehension) -> Number {
        let dtype = self.program.dtype_of(&c.body);
        match (c.reducer, dtype.is_float()) {
            (Reducer::ArgMax | Reducer::ArgMin, _) => Number::Int(0),
            (Reducer::Prod, true) => Number::Float(1.0),
            (Reducer::Prod | Reducer::All, false) => Number::Int(1),
            (Reducer::Max | Reducer::LogSumExp, true) => Number::Float(f64::NEG_INFINITY),
            (Reducer::Min, true) => Number::Float(f64::INFINITY),
            (Reducer::Max, false) => Number::Int(integer::min_value(dtype)),
            (Reducer::Min, false) => Number::Int(integer::max_value(dtype)),
            (_, true) => Number::Float(0.0),
            (_, false) => Number::Int(0),
        }
    }

    fn compute(&mut self, c: &Comprehension) {
        let extents: Vec<u64> =
            c.indices.values().map(|i| self.program.dims[i.dim].extent).collect();
        let value = &self.program.values[c.out];
        let shape: Vec<usize> =
            self.program.extents(c.out).into_iter().map(|n| n as usize).collect();
        let mut out = match &c.store {
            Some(store) => self.values[&store.base].clone(),
            None => Tensor::zeros(value.dtype, &shape),
        };
        for free in positions(&extents[..c.free]) {
            let mut points = Vec::new();
            for reduced in positions(&extents[c.free..]) {
                let point = [free.clone(), reduced].concat();
                if c.guard.as_ref().is_none_or(|g| self.expr(&point, g).int() != 0) {
                    let number = self.expr(&point, &c.body);
                    points.push((point, number));
                }
            }
            let number = self.reduce(c, &points);
            let Some(store) = &c.store else {
                let at = offset(&shape, &free).unwrap();
                set(&mut out, at, number.unwrap_or_else(|| self.identity(c)));
                continue;
            };
            let Some(number) = number else { continue };
            let place: Vec<i64> = store.subs.iter().map(|s| self.expr(&free, s).int()).collect();
            let Some(at) = offset(&shape, &place) else {
                continue;
            };
            let combined = match (store.combine, element(&out, at), number) {
                (Reducer::None, _, new) => new,
                (Reducer::Sum, Number::Float(a), b) => Number::Float(a + b.float()),
                (Reducer::Max, Number::Float(a), b) => Number::Float(scalar::max(a, b.float())),
                (Reducer::Min, Number::Float(a), b) => Number::Float(scalar::min(a, b.float())),
                (Reducer::Sum, Number::Int(a), b) => {
                    Number::Int(integer::wrap(value.dtype, a.wrapping_add(b.int())))
                }
                (Reducer::Max | Reducer::Any, a, b) => Number::Int(a.int().max(b.int())),
                (Reducer::Min | Reducer::All, a, b) => Number::Int(a.int().min(b.int())),
                (combine, ..) => panic!("stores do not combine with {combine:?}"),
            };
            set(&mut out, at, combined);
        }
        self.values.insert(c.out, out);
    }

    fn sort(&mut self, sort: &einmesh_ir::Argsort) {
        let input = self.values[&sort.input].clone();
        let mut out = Tensor::zeros(DType::I32, &input.shape);
        let extents: Vec<u64> = input.shape.iter().map(|n| *n as u64).collect();
        for position in positions(&extents) {
            let along = |p: i64| {
                let mut at = position.clone();
                at[sort.position] = p;
                offset(&input.shape, &at).unwrap()
            };
            let key = |p: i64| match element(&input, along(p)) {
                Number::Float(x) => x,
                Number::Int(x) => x as f64,
            };
            // The number of elements that come before this one.
            let own = position[sort.position];
            let before = (0..extents[sort.position] as i64).filter(|other| {
                let (a, b) = (key(*other), key(own));
                let less = a < b || (!a.is_nan() && b.is_nan());
                less || (*other < own && (a == b || (a.is_nan() && b.is_nan())))
            });
            set(&mut out, along(before.count() as i64), Number::Int(own));
        }
        self.values.insert(sort.out, out);
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => self.compute(c),
                Op::Argsort(sort) => self.sort(sort),
                Op::Collective(_) => panic!("not partitioned"),
                Op::Loop(l) => {
                    let extent = self.program.dims[self.program.loop_vars[l.var].dim].extent as i64;
                    let mut states: Vec<Tensor> =
                        l.carried.iter().map(|c| self.values[&c.init].clone()).collect();
                    let mut collected: Vec<Tensor> = l
                        .collected
                        .iter()
                        .map(|c| {
                            let shape = self.program.extents(c.result);
                            let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
                            Tensor::zeros(self.program.values[c.result].dtype, &shape)
                        })
                        .collect();
                    for iteration in 0..extent {
                        let counter = if l.reversed { extent - 1 - iteration } else { iteration };
                        self.counters.insert(l.var, counter);
                        let condition = l.carried.iter().position(|c| Some(c.entry) == l.condition);
                        if condition
                            .is_some_and(|at| matches!(element(&states[at], 0), Number::Int(0)))
                        {
                            break;
                        }
                        for (c, state) in l.carried.iter().zip(states.iter().cloned()) {
                            self.values.insert(c.entry, state);
                        }
                        self.block(&l.body);
                        states = l.carried.iter().map(|c| self.values[&c.exit].clone()).collect();
                        for (c, all) in l.collected.iter().zip(&mut collected) {
                            let value = &self.values[&c.value];
                            let extents: Vec<u64> = value.shape.iter().map(|n| *n as u64).collect();
                            for (at, mut position) in positions(&extents).into_iter().enumerate() {
                                position.insert(c.position, counter);
                                let place = offset(&all.shape, &position).unwrap();
                                set(all, place, element(value, at));
                            }
                        }
                    }
                    let results = l.carried.iter().map(|c| c.result);
                    self.values.extend(results.zip(states));
                    let results = l.collected.iter().map(|c| c.result);
                    self.values.extend(results.zip(collected));
                }
            }
        }
    }
}

fn check(seed: u64, options: &GenerateOptions) {
    let (program, specs) = generate(seed, options);
    let inputs = random_inputs(seed, &specs);
    let values = program.inputs.iter().map(|i| i.value).zip(inputs.iter().cloned()).collect();
    let mut naive = Naive { program: &program, values, counters: BTreeMap::new() };
    naive.block(&program.body);
    let got = evaluate(&program, &inputs, Precision::F64).unwrap();
    // LogSumExp is computed in another way, everything else in the same.
    let tolerance = if options.mode == Mode::Exact { 0.0 } else { 1e-9 };
    for (output, got) in program.outputs.iter().zip(&got) {
        let expected = &naive.values[&output.value];
        if let Some(difference) = mismatch(expected, got, tolerance) {
            panic!("seed {seed}, {}: {difference}\n{}", output.path, print(&program));
        }
    }
}

#[test]
fn small_programs() {
    for seed in 5000..5150 {
        for mode in [Mode::Exact, Mode::Float] {
            let options = GenerateOptions { mode, max_points: 400, ..GenerateOptions::default() };
            check(seed, &options);
        }
    }
}

#[test]
fn dims_of_more_than_one_group_of_lanes() {
    for seed in 6000..6030 {
        let options = GenerateOptions {
            size: 4,
            max_extent: 200,
            max_points: 4000,
            ..GenerateOptions::default()
        };
        check(seed, &options);
    }
}
