//! The vector functions against the `libm` crate: errors in units in the last place, and special values.

use crate::common::make::*;
use crate::common::{Guarded, compile, load as load_images, run};
use einmesh_ir::{BinaryOp, DType, Expr, UnaryOp};
use einmesh_schedule::kernel::Kernel;

const POINTS: u64 = 40_000;

pub fn unary(op: UnaryOp, dtype: DType, points: u64) -> Kernel {
    let mut m = make(&format!("{op:?} {dtype}"));
    let x = m.read(dtype, &[points]);
    let out = m.write(dtype, &[points]);
    let i = m.index(points);
    m.nest(&[], vec![map(&[i], Expr::unary(op, load(x, &[i])), to(out, &[i]))])
}

fn constant_power(exponent: f64, dtype: DType) -> Kernel {
    let mut m = make(&format!("Pow {exponent} {dtype}"));
    let x = m.read(dtype, &[POINTS]);
    let out = m.write(dtype, &[POINTS]);
    let i = m.index(POINTS);
    let exponent = Expr::float(dtype, exponent);
    let body = Expr::binary(BinaryOp::Pow, load(x, &[i]), exponent);
    m.nest(&[], vec![map(&[i], body, to(out, &[i]))])
}

fn binary(op: BinaryOp, dtype: DType) -> Kernel {
    let mut m = make(&format!("{op:?} {dtype}"));
    let (x, y) = (m.read(dtype, &[POINTS]), m.read(dtype, &[POINTS]));
    let out = m.write(dtype, &[POINTS]);
    let i = m.index(POINTS);
    let body = Expr::binary(op, load(x, &[i]), load(y, &[i]));
    m.nest(&[], vec![map(&[i], body, to(out, &[i]))])
}

/// Numbers of all magnitudes, many of those that matter, and the special ones.
fn samples(seed: u64, reach: f64) -> Vec<f64> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        2.0,
        -2.0,
        3.0,
        -3.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::from(f32::MAX),
        f64::from(f32::MIN_POSITIVE),
        1e-40,
        -1e-40,
        88.72,
        88.73,
        -87.3,
        -103.9,
        -103.98,
        709.78,
        709.79,
        -745.1,
        -745.2,
        -708.4,
        9.01,
        1e-8,
        -1e-8,
        1e-5,
        0.84375,
        1.25,
        2.857,
        5.9,
        1e16,
        4e9,
    ];
    let mut rng = Rng(seed);
    let mut all = special.to_vec();
    while (all.len() as u64) < POINTS {
        let x = rng.float();
        all.push(match all.len() % 4 {
            0 => x * reach,
            1 => x * 4.0,
            // Near 1, and of any magnitude.
            2 => 1.0 + x * 2f64.powf(-20.0 * rng.float().abs()),
            _ => x * 2f64.powf(rng.float() * 140.0),
        });
    }
    all
}

fn bytes(dtype: DType, numbers: &[f64]) -> Vec<u8> {
    match dtype {
        DType::F32 => numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

fn numbers(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DType::F32 => {
            bytes.chunks(4).map(|c| f64::from(f32::from_le_bytes(c.try_into().unwrap()))).collect()
        }
        _ => bytes.chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect(),
    }
}

/// The error in units of the last place of the exact result, rounded to the dtype.
pub fn ulps(dtype: DType, exact: f64, got: f64) -> f64 {
    let rounded = match dtype {
        DType::F32 => f64::from(exact as f32),
        _ => exact,
    };
    if rounded.is_nan() || got.is_nan() || rounded.is_infinite() || got.is_infinite() {
        let alike = rounded == got || rounded.is_nan() && got.is_nan();
        // A result next to the largest number may be rounded to infinity.
        let edge = dtype == DType::F32 && exact.abs() > f64::from(f32::MAX) * 0.999_999_7;
        return if alike || edge { 0.0 } else { f64::INFINITY };
    }
    if rounded == 0.0 && got == 0.0 && rounded.is_sign_negative() != got.is_sign_negative() {
        return f64::INFINITY;
    }
    let unit = match dtype {
        DType::F32 => {
            let x = (rounded.abs() as f32).max(f32::MIN_POSITIVE);
            f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
        }
        _ => {
            let x = rounded.abs().max(f64::MIN_POSITIVE);
            f64::from_bits(x.to_bits() + 1) - x
        }
    };
    (exact - got).abs() / unit
}

type Exact = dyn Fn(&[f64]) -> f64;

struct Case {
    kernel: Kernel,
    dtype: DType,
    inputs: Vec<Vec<f64>>,
    exact: Box<Exact>,
    limit: f64,
}

fn check(cases: &[Case]) {
    let kernels: Vec<Kernel> = cases.iter().map(|c| c.kernel.clone()).collect();
    let emitted = compile(&kernels);
    let loaded = load_images(&emitted);
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        // What the function sees is rounded to the dtype first.
        let inputs: Vec<Vec<f64>> =
            case.inputs.iter().map(|i| numbers(case.dtype, &bytes(case.dtype, i))).collect();
        for image in 0..loaded.len() {
            let mut operands: Vec<Guarded> =
                inputs.iter().map(|i| Guarded::of(&bytes(case.dtype, i))).collect();
            operands.push(Guarded::new(operands[0].bytes().len(), 1));
            run(&emitted, &loaded, (image, number), &mut operands, &[]);
            let results = numbers(case.dtype, operands.last().unwrap().bytes());
            let mut worst = (0.0, vec![], 0.0, 0.0);
            for (i, got) in results.iter().enumerate() {
                let arguments: Vec<f64> = inputs.iter().map(|x| x[i]).collect();
                let exact = (case.exact)(&arguments);
                let error = ulps(case.dtype, exact, *got);
                if error > worst.0 {
                    worst = (error, arguments, exact, *got);
                }
            }
            let level = &emitted.images[image].0.level;
            println!("{} at {level}: {:.2} ulp at {:?}", case.kernel.name, worst.0, worst.1);
            if worst.0 > case.limit {
                failures.push(format!(
                    "{} at {level}: {} ulp at {:?}: {:e} expected, {:e} found",
                    case.kernel.name, worst.0, worst.1, worst.2, worst.3
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn functions_of_one_number() {
    type Function = (UnaryOp, fn(f64) -> f64, f64);
    let functions: [Function; 13] = [
        (UnaryOp::Exp, libm::exp, 800.0),
        (UnaryOp::Expm1, libm::expm1, 800.0),
        (UnaryOp::Log, libm::log, 1e6),
        (UnaryOp::Log1p, libm::log1p, 1e6),
        (UnaryOp::Tanh, libm::tanh, 30.0),
        (UnaryOp::Erf, libm::erf, 8.0),
        (UnaryOp::Sin, libm::sin, 1e6),
        (UnaryOp::Cos, libm::cos, 1e6),
        (UnaryOp::Sqrt, f64::sqrt, 1e6),
        (UnaryOp::Rsqrt, |x| 1.0 / x.sqrt(), 1e6),
        (UnaryOp::Floor, f64::floor, 1e6),
        (UnaryOp::Ceil, f64::ceil, 1e6),
        (UnaryOp::Round, f64::round_ties_even, 1e6),
    ];
    let mut cases = Vec::new();
    for (seed, (op, exact, reach)) in functions.into_iter().enumerate() {
        for (dtype, limit) in [(DType::F32, 2.0), (DType::F64, 4.0)] {
            let mut input = samples(seed as u64, reach);
            if matches!(op, UnaryOp::Sin | UnaryOp::Cos) && dtype == DType::F64 {
                // Beyond 2²⁸ nothing is promised.
                for x in &mut input {
                    if x.is_finite() && x.abs() > 2f64.powi(28) {
                        *x = 1.0;
                    }
                }
            }
            cases.push(Case {
                kernel: unary(op, dtype, POINTS),
                dtype,
                inputs: vec![input],
                exact: Box::new(move |x| exact(x[0])),
                limit,
            });
        }
    }
    check(&cases);
}

#[test]
fn powers_with_constant_exponents() {
    let mut cases = Vec::new();
    for (dtype, limit) in [(DType::F32, 2.0), (DType::F64, 4.0)] {
        for exponent in [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, -2.0, 2.5] {
            cases.push(Case {
                kernel: constant_power(exponent, dtype),
                dtype,
                inputs: vec![samples(7, 100.0)],
                exact: Box::new(move |x| libm::pow(x[0], exponent)),
                limit,
            });
        }
    }
    check(&cases);
}

#[test]
fn functions_of_two_numbers() {
    let remainder = |x: f64, y: f64| {
        let rest = libm::fmod(x, y);
        if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest }
    };
    let mut cases = Vec::new();
    for (dtype, limit) in [(DType::F32, 2.0), (DType::F64, 4.0)] {
        // Every pair of special values, then random ones.
        let special = &samples(0, 1.0)[..36];
        let mut x: Vec<f64> = special.iter().flat_map(|x| [*x; 36]).collect();
        let mut y: Vec<f64> = (0..36).flat_map(|_| special.iter().copied()).collect();
        let (more_x, more_y) = (samples(1, 100.0), samples(2, 100.0));
        let random = more_x[36..].iter().zip(&more_y[36..]).take(POINTS as usize - x.len());
        for (n, (a, b)) in random.enumerate() {
            // Whole exponents with any sign; otherwise mostly positive bases.
            x.push(if n % 3 == 0 { *a } else { a.abs() });
            y.push(if n % 3 == 0 { b.round() } else { *b });
        }
        cases.push(Case {
            kernel: binary(BinaryOp::Pow, dtype),
            dtype,
            inputs: vec![x.clone(), y.clone()],
            exact: Box::new(|x| libm::pow(x[0], x[1])),
            limit,
        });
        cases.push(Case {
            kernel: binary(BinaryOp::Rem, dtype),
            dtype,
            inputs: vec![x, y],
            exact: Box::new(move |x| remainder(x[0], x[1])),
            limit: 0.5,
        });
    }
    check(&cases);
}
