//! Every one of the 2³² numbers of f32 through each function of one number.
//!
//! Minutes of work, so that it is only done when asked for:
//! `cargo test --release -p einmesh-codegen --test suite exhaustive -- --ignored --nocapture`.

use crate::common::{Guarded, compile, load, run};
use crate::math::{ulps, unary};
use einmesh_ir::{DType, UnaryOp};
use std::sync::atomic::{AtomicU32, Ordering};

const POINTS: u64 = 1 << 16;

/// What is allowed, in units of the last place.
const LIMIT: f64 = 2.0;

/// The largest error at each level, and where.
type Worst = Vec<(f64, f32)>;

fn everywhere(op: UnaryOp, exact: fn(f64) -> f64) {
    let emitted = compile(&[unary(op, DType::F32, POINTS)]);
    let next = AtomicU32::new(0);
    let work = || {
        let loaded = load(&emitted);
        let mut worst: Worst = vec![(0.0, 0.0); loaded.len()];
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if u64::from(block) >= (1 << 32) / POINTS {
                return worst;
            }
            let first = block * POINTS as u32;
            let inputs: Vec<f32> = (0..POINTS as u32).map(|i| f32::from_bits(first + i)).collect();
            let exact: Vec<f64> = inputs.iter().map(|x| exact(f64::from(*x))).collect();
            let bytes: Vec<u8> = inputs.iter().flat_map(|x| x.to_le_bytes()).collect();
            for (image, worst) in worst.iter_mut().enumerate() {
                let mut operands = [Guarded::of(&bytes), Guarded::new(bytes.len(), 1)];
                run(&emitted, &loaded, (image, 0), &mut operands, &[]);
                let results = operands[1].bytes().chunks(4);
                for (i, result) in results.enumerate() {
                    let result = f32::from_le_bytes([result[0], result[1], result[2], result[3]]);
                    let error = ulps(DType::F32, exact[i], f64::from(result));
                    if error > worst.0 {
                        *worst = (error, inputs[i]);
                    }
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let all: Vec<Worst> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|h| h.join().expect("a thread failed")).collect()
    });
    for (image, (code, _)) in emitted.images.iter().enumerate() {
        let of_level = all.iter().map(|worst| worst[image]);
        let (error, at) = of_level.max_by(|a, b| a.0.total_cmp(&b.0)).expect("there are threads");
        println!("{op:?} at {}: {error:.3} ulp, at {at:e} ({:#010x})", code.level, at.to_bits());
        assert!(error <= LIMIT, "{op:?} at {}: {error} ulp at {at:e}", code.level);
    }
}

macro_rules! functions {
    ($($name:ident: $op:ident, $exact:expr;)*) => {
        $(
            #[test]
            #[ignore = "minutes: all 2^32 numbers of f32"]
            fn $name() {
                everywhere(UnaryOp::$op, $exact);
            }
        )*
    };
}

functions! {
    exp: Exp, libm::exp;
    expm1: Expm1, libm::expm1;
    log: Log, libm::log;
    log1p: Log1p, libm::log1p;
    tanh: Tanh, libm::tanh;
    erf: Erf, libm::erf;
    sin: Sin, libm::sin;
    cos: Cos, libm::cos;
    sqrt: Sqrt, f64::sqrt;
    rsqrt: Rsqrt, |x| 1.0 / x.sqrt();
}
