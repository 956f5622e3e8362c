//! Comparing tensors and filling inputs, for tests.

use crate::tensor::{Data, Tensor};
use einmesh_ir::testing::{InputSpec, Numbers, numbers};

/// Tensors for the inputs of a program that [`einmesh_ir::testing::generate`] made.
pub fn random_inputs(seed: u64, specs: &[InputSpec]) -> Vec<Tensor> {
    let tensor = |(spec, numbers): (&InputSpec, Numbers)| {
        let shape: Vec<usize> = spec.shape.iter().map(|n| *n as usize).collect();
        match numbers {
            Numbers::Floats(x) => Tensor::float(spec.dtype, &shape, x),
            Numbers::Ints(x) => Tensor::int(spec.dtype, &shape, x),
        }
    };
    specs.iter().zip(numbers(seed, specs)).map(tensor).collect()
}

/// The first place where two tensors differ, described; `None` if they agree.
///
/// Floats agree if both are NaN, if they are equal, or if they differ by at most `tolerance` times the
/// larger of 1 and the largest finite expected absolute value; all others must be equal. A tolerance of 0
/// asks for equality.
pub fn mismatch(expected: &Tensor, got: &Tensor, tolerance: f64) -> Option<String> {
    if (expected.dtype, &expected.shape) != (got.dtype, &got.shape) {
        let of = |t: &Tensor| format!("{}{:?}", t.dtype, t.shape);
        return Some(format!("expected {}, got {}", of(expected), of(got)));
    }
    let at = match (&expected.data, &got.data) {
        (Data::Float(a), Data::Float(b)) => {
            let finite = a.iter().filter(|x| x.is_finite());
            let scale = finite.fold(1.0, |scale: f64, x| scale.max(x.abs()));
            let agree = |a: f64, b: f64| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * scale
            };
            a.iter().zip(b).position(|(a, b)| !agree(*a, *b))
        }
        (Data::Int(a), Data::Int(b)) => a.iter().zip(b).position(|(a, b)| a != b),
        _ => Some(0),
    }?;
    let mut rest = at;
    let mut position = vec![0; expected.shape.len()];
    for (p, extent) in position.iter_mut().zip(&expected.shape).rev() {
        *p = rest % extent;
        rest /= extent;
    }
    let [a, b] = [expected, got].map(|t| t.element(at));
    Some(format!("at {position:?}: expected {a}, got {b}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use einmesh_ir::DType;

    #[test]
    fn differences_are_located() {
        let tensor = |x: [f64; 4]| Tensor::float(DType::F64, &[2, 2], x);
        let a = tensor([1.0, f64::NAN, f64::INFINITY, -0.0]);
        assert_eq!(mismatch(&a, &tensor([1.0, f64::NAN, f64::INFINITY, 0.0]), 0.0), None);
        let b = tensor([1.0, f64::NAN, 3.0, 0.0]);
        let message = "at [1, 0]: expected inf, got 3.0";
        assert_eq!(mismatch(&a, &b, 1.0).as_deref(), Some(message));
        let close = tensor([100.0, 0.05, 0.0, 0.0]);
        assert_eq!(mismatch(&close, &tensor([100.0, 0.0, 0.0, 0.0]), 1e-3), None);
        assert!(mismatch(&close, &tensor([100.0, 0.2, 0.0, 0.0]), 1e-3).is_some());
        let other = Tensor::int(DType::I32, &[4], [1, 2, 3, 4]);
        assert!(mismatch(&a, &other, 1.0).is_some_and(|m| m.contains("expected f64[2, 2]")));
    }
}
