//! Kernels in few words, and numbers for them.

use super::reference::{Number, write};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, Reducer, UnaryOp, ValueId};
use einmesh_schedule::kernel::{
    Body, Contraction, Kernel, Memory, Nest, Online, Range, Role, Stage, Sweep, Target,
};

/// A kernel under construction.
pub struct Make {
    kernel: Kernel,
}

pub fn make(name: &str) -> Make {
    Make {
        kernel: Kernel {
            name: name.to_string(),
            values: vec![],
            indices: vec![],
            ints: 0,
            body: Body::Nest(Nest { outer: vec![], serial: false, stages: vec![] }),
        },
    }
}

impl Make {
    pub fn value(&mut self, role: Role, dtype: DType, extents: &[u64]) -> ValueId {
        self.kernel.values.push(Memory { dtype, extents: extents.to_vec(), role });
        ValueId(self.kernel.values.len() as u32 - 1)
    }

    pub fn read(&mut self, dtype: DType, extents: &[u64]) -> ValueId {
        self.value(Role::Read, dtype, extents)
    }

    pub fn write(&mut self, dtype: DType, extents: &[u64]) -> ValueId {
        self.value(Role::Write, dtype, extents)
    }

    pub fn update(&mut self, dtype: DType, extents: &[u64]) -> ValueId {
        self.value(Role::Update, dtype, extents)
    }

    pub fn local(&mut self, dtype: DType, extents: &[u64]) -> ValueId {
        self.value(Role::Local, dtype, extents)
    }

    pub fn index(&mut self, extent: u64) -> IndexId {
        let name = format!("i{}", self.kernel.indices.len());
        self.kernel.indices.push(Range { name, extent });
        IndexId(self.kernel.indices.len() as u32 - 1)
    }

    pub fn extent(&self, index: IndexId) -> u64 {
        self.kernel.indices[index.0 as usize].extent
    }

    pub fn ints(&mut self, count: u32) {
        self.kernel.ints = count;
    }

    pub fn nest(mut self, outer: &[IndexId], stages: Vec<Stage>) -> Kernel {
        self.kernel.body = Body::Nest(Nest { outer: outer.to_vec(), serial: false, stages });
        self.kernel
    }

    pub fn serial(self, outer: &[IndexId], stages: Vec<Stage>) -> Kernel {
        let mut kernel = self.nest(outer, stages);
        if let Body::Nest(nest) = &mut kernel.body {
            nest.serial = true;
        }
        kernel
    }

    pub fn contraction(mut self, contraction: Contraction) -> Kernel {
        self.kernel.body = Body::Contraction(contraction);
        self.kernel
    }

    pub fn siblings(mut self, contractions: Vec<Contraction>) -> Kernel {
        self.kernel.body = Body::Siblings(contractions);
        self.kernel
    }

    pub fn online(mut self, online: Online) -> Kernel {
        self.kernel.body = Body::Online(online);
        self.kernel
    }

    pub fn sweep(mut self, sweep: Sweep) -> Kernel {
        self.kernel.body = Body::Sweep(sweep);
        self.kernel
    }

    pub fn argsort(mut self, input: ValueId, output: ValueId, position: usize) -> Kernel {
        self.kernel.body = Body::Argsort { input, output, position };
        self.kernel
    }
}

pub fn at(indices: &[IndexId]) -> Vec<Expr> {
    indices.iter().map(|i| Expr::Index(*i)).collect()
}

pub fn load(value: ValueId, indices: &[IndexId]) -> Expr {
    Expr::load(value, at(indices))
}

pub fn to(value: ValueId, indices: &[IndexId]) -> Target {
    Target { value, subs: at(indices), combine: Reducer::None, store: false }
}

/// A stage without reduction.
pub fn map(free: &[IndexId], body: Expr, target: Target) -> Stage {
    reduce(Reducer::None, free, &[], body, target)
}

pub fn reduce(
    reducer: Reducer,
    free: &[IndexId],
    reduced: &[IndexId],
    body: Expr,
    target: Target,
) -> Stage {
    Stage { free: free.to_vec(), reduced: reduced.to_vec(), reducer, guard: None, body, target }
}

pub fn guarded(guard: Expr, stage: Stage) -> Stage {
    Stage { guard: Some(guard), ..stage }
}

pub fn add(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Add, a, b)
}

pub fn sub(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Sub, a, b)
}

pub fn mul(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Mul, a, b)
}

pub fn div(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Div, a, b)
}

pub fn le(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Le, a, b)
}

pub fn lt(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::Lt, a, b)
}

pub fn and(a: Expr, b: Expr) -> Expr {
    Expr::binary(BinaryOp::And, a, b)
}

pub fn exp(a: Expr) -> Expr {
    Expr::unary(UnaryOp::Exp, a)
}

pub fn idx(index: IndexId) -> Expr {
    Expr::Index(index)
}

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        einmesh_ir::rng::mix(self.0)
    }

    /// Between −1 and 1.
    pub fn float(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Numbers for every operand. Integers are small, so that they do as subscripts, some out of range.
pub fn operands(kernel: &Kernel, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng(seed);
    let outside = kernel.values.iter().filter(|v| v.role != Role::Local);
    outside
        .map(|value| {
            let count: u64 = value.extents.iter().product();
            let mut bytes = Vec::new();
            for _ in 0..count {
                let number = match value.dtype {
                    DType::Key => Number::Int(rng.next() as i64),
                    DType::I32 | DType::I64 => Number::Int((rng.next() % 23) as i64 - 4),
                    DType::Bool => Number::Bool(rng.next().is_multiple_of(3)),
                    _ => Number::Float(rng.float() * 2.0),
                };
                bytes.extend(write(value.dtype, number));
            }
            bytes
        })
        .collect()
}

/// Replaces one float in 17 by one that is special.
pub fn add_special(kernel: &Kernel, operands: &mut [Vec<u8>]) {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e-42];
    let outside = kernel.values.iter().filter(|v| v.role != Role::Local);
    for (value, bytes) in outside.zip(operands) {
        if !value.dtype.is_float() {
            continue;
        }
        let size = value.dtype.bytes() as usize;
        for (n, place) in bytes.chunks_mut(size).skip(5).step_by(17).enumerate() {
            let number = Number::Float(special[n % special.len()]);
            place.copy_from_slice(&write(value.dtype, number));
        }
    }
}
