//! A short notation for programs, and their comparison by the interpreter.

#![allow(dead_code)]

use einmesh_interp::{Precision, Tensor, evaluate};
use einmesh_ir::*;
use std::collections::BTreeMap;
use std::ops;

/// An expression whose indices are letters.
#[derive(Clone)]
pub struct E(pub Expr);

/// Programs over one-letter dims: `t` ranges over the dim `T`.
pub struct Maker {
    pub program: Program,
    pub dims: BTreeMap<char, DimId>,
    pub values: BTreeMap<String, ValueId>,
    pub dtype: DType,
    blocks: Vec<Block>,
    var: Option<LoopVarId>,
}

impl Maker {
    pub fn new(dims: &[(char, u64)], dtype: DType) -> Maker {
        let mut program = Program { name: "test".into(), ..Program::default() };
        let mut map = BTreeMap::new();
        for (c, extent) in dims {
            let name = c.to_uppercase().to_string();
            map.insert(
                *c,
                program.dims.push(Dim { name, extent: *extent, role_of: None, symbolic: false }),
            );
        }
        let blocks = vec![Block::default()];
        Maker { program, dims: map, values: BTreeMap::new(), dtype, blocks, var: None }
    }

    fn value(&mut self, name: &str, dtype: DType, dims: &str) -> ValueId {
        let dims = dims.chars().map(|c| self.dims[&c]).collect();
        let value = Value { name: name.into(), dtype, dims, origin: Origin::default() };
        let id = self.program.values.push(value);
        self.values.insert(name.into(), id);
        id
    }

    pub fn input(&mut self, name: &str, dims: &str) {
        self.typed_input(name, self.dtype, dims);
    }

    pub fn typed_input(&mut self, name: &str, dtype: DType, dims: &str) {
        let value = self.value(name, dtype, dims);
        self.program.inputs.push(Input {
            value,
            path: name.into(),
            tensor: name.into(),
            records: vec![],
            axes: vec![1; dims.len()],
            donated: false,
        });
    }

    /// `name[subs]`: letters are indices, digits constants, `@` the loop's counter.
    pub fn load(&self, name: &str, subs: &str) -> E {
        let sub = |c: char| match c.to_digit(10) {
            Some(n) => Expr::int(i64::from(n)),
            None if c == '@' => Expr::LoopVar(self.var.expect("a loop")),
            None => index(c),
        };
        E(Expr::load(self.values[name], subs.chars().map(sub)))
    }

    /// `name[out] = ⊕ over reduced | guard of body`.
    pub fn def(
        &mut self,
        name: &str,
        out: &str,
        over: &str,
        by: Reducer,
        guard: Option<E>,
        body: E,
    ) {
        let dtype = self.program.dtype_of(&body.0);
        let value = self.value(name, dtype, out);
        let order: Vec<char> = out.chars().chain(over.chars()).collect();
        let place = |e: Expr| match e {
            Expr::Index(i) => {
                let at = order.iter().position(|c| *c as u32 == i.0).expect("a declared index");
                Expr::Index(IndexId(at as u32))
            }
            other => other,
        };
        let name = |c: &char| Index { name: c.to_string(), dim: self.dims[c] };
        let op = Op::Compute(Comprehension {
            out: value,
            indices: order.iter().map(name).collect(),
            free: out.len(),
            reducer: by,
            guard: guard.map(|g| g.0.map(&mut { place })),
            body: body.0.map(&mut { place }),
            store: None,
        });
        self.blocks.last_mut().expect("a block").ops.push(op);
    }

    pub fn map(&mut self, name: &str, out: &str, body: E) {
        self.def(name, out, "", Reducer::None, None, body);
    }

    pub fn sum(&mut self, name: &str, out: &str, over: &str, body: E) {
        let by = if over.is_empty() { Reducer::None } else { Reducer::Sum };
        self.def(name, out, over, by, None, body);
    }

    /// Runs `body` for each position of dim `l`, carrying the value `state`.
    pub fn repeat(&mut self, l: char, state: &str, body: impl FnOnce(&mut Maker)) {
        let var = LoopVar { name: l.to_string(), dim: self.dims[&l] };
        self.var = Some(self.program.loop_vars.push(var));
        let init = self.values[state];
        let like = self.program.values[init].clone();
        let entry = self.program.values.push(like.clone());
        self.values.insert(state.into(), entry);
        self.blocks.push(Block::default());
        body(self);
        let exit = self.values[state];
        let result = self.program.values.push(like);
        self.values.insert(state.into(), result);
        let inner = self.blocks.pop().expect("a block");
        self.blocks.last_mut().expect("a block").ops.push(Op::Loop(Loop {
            var: self.var.take().expect("a loop"),
            reversed: false,
            condition: None,
            carried: vec![Carried { init, entry, exit, result }],
            collected: vec![],
            body: inner,
        }));
    }

    pub fn finish(mut self, outputs: &[&str]) -> Program {
        self.program.body = self.blocks.pop().expect("a block");
        for name in outputs {
            let value = self.values[*name];
            let axes = vec![1; self.program.values[value].dims.len()];
            let (path, tensor) = (name.to_string(), name.to_string());
            self.program.outputs.push(Output { value, path, tensor, axes });
        }
        self.program
    }
}

/// The index of a letter.
pub fn index(c: char) -> Expr {
    Expr::Index(IndexId(c as u32))
}

pub fn at_most(a: char, b: char) -> E {
    E(Expr::binary(BinaryOp::Le, index(a), index(b)))
}

impl E {
    fn unary(self, op: UnaryOp) -> E {
        E(Expr::unary(op, self.0))
    }
    pub fn exp(self) -> E {
        self.unary(UnaryOp::Exp)
    }
    pub fn log(self) -> E {
        self.unary(UnaryOp::Log)
    }
    pub fn rsqrt(self) -> E {
        self.unary(UnaryOp::Rsqrt)
    }
    pub fn tanh(self) -> E {
        self.unary(UnaryOp::Tanh)
    }
    pub fn binary(self, op: BinaryOp, other: E) -> E {
        E(Expr::binary(op, self.0, other.0))
    }
    pub fn cast(self, dtype: DType) -> E {
        E(Expr::cast(dtype, self.0))
    }
}

pub fn number(dtype: DType, x: f64) -> E {
    E(Expr::float(dtype, x))
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl ops::$trait for E {
            type Output = E;
            fn $method(self, other: E) -> E {
                self.binary(BinaryOp::$trait, other)
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

/// Random inputs for a program.
pub fn inputs(program: &Program, seed: u64) -> Vec<Tensor> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let make = |i: &Input| {
        let shape: Vec<usize> = program.extents(i.value).iter().map(|n| *n as usize).collect();
        let n: usize = shape.iter().product();
        let dtype = program.values[i.value].dtype;
        if dtype.is_float() {
            let elements: Vec<f64> = (0..n).map(|_| next() * 2.0 - 1.0).collect();
            Tensor::float(dtype, &shape, elements)
        } else {
            let elements: Vec<i64> = (0..n).map(|_| (next() * 2.0) as i64).collect();
            Tensor::int(dtype, &shape, elements)
        }
    };
    program.inputs.iter().map(make).collect()
}

/// The largest difference between the results of two programs, relative to the largest number.
pub fn difference(a: &Program, b: &Program, precision: Precision, seed: u64) -> f64 {
    let inputs = inputs(a, seed);
    let x = evaluate(a, &inputs, precision).expect("the program as given evaluates");
    let y = evaluate(b, &inputs, precision).expect("the rewritten program evaluates");
    let mut worst = 0f64;
    for (x, y) in x.iter().zip(&y) {
        assert_eq!((x.dtype, &x.shape), (y.dtype, &y.shape));
        let (x, y) = (numbers(x), numbers(y));
        let scale = x.iter().fold(1e-300, |m: f64, v| m.max(v.abs()));
        for (a, b) in x.iter().zip(&y) {
            assert_eq!(a.is_nan(), b.is_nan(), "{a} became {b}");
            if a != b && !a.is_nan() {
                worst = worst.max((a - b).abs() / scale);
            }
        }
    }
    worst
}

fn numbers(t: &Tensor) -> Vec<f64> {
    if t.dtype.is_float() {
        t.floats().to_vec()
    } else {
        t.ints().iter().map(|x| *x as f64).collect()
    }
}
