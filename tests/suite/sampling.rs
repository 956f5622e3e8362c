//! `einmesh generate` chooses tokens as a program of the language does.

#[path = "../../compiler/cli/src/generate/sampler.rs"]
mod sampler;

use einmesh_driver::{Goal, Request, Source, compile};
use einmesh_interp::{Precision, Tensor, evaluate};
use einmesh_ir::{DType, rng};
use einmesh_models::generator::{seed, uniform};
use sampler::Sampling;

/// As in `tests/programs/decode.ein`.
const SAMPLE: &str = "
dim V = 40, M: V = 7
export fn sample(z: f32[V], r: rng, temp: f32, top_p: f32) -> (token: i32) {
  y[v]             = z[v] / temp
  (val[m], idx[m]) = top_k[v,m](y[v])
  w[m]   = softmax[m](val[m])
  cum[m] = sum[m2: M | m2 < m](w[m2])
  n[m]   = gumbel[m](r)
  token  = idx[argmax[m | cum[m] < top_p](val[m] + n[m])]
}
";

#[test]
fn the_host_samples_as_a_program_does() {
    let source = Source::Text { name: "sample.ein".to_owned(), text: SAMPLE.to_owned() };
    let mut request = Request::new(source, "sample");
    request.goal = Goal::Interpret;
    let (session, result) = compile(&request);
    let products = result.unwrap_or_else(|e| panic!("{e:?} {:#?}", session.diagnostics));
    let mut seen = std::collections::BTreeSet::new();
    for case in 0..200 {
        let logits = uniform(40, seed(&format!("logits {case}")), 8.0);
        let (temperature, top_p) = ([0.5, 1.0, 2.0][case % 3], [0.3, 0.9, 1.0][case / 3 % 3]);
        let sampling = Sampling { temperature, top_k: Some(7), top_p, seed: 5 };
        let key = rng::fold(rng::fold(5, case as i64), 0);
        let number = |x: f32| Tensor::float(DType::F32, &[], [f64::from(x)]);
        let inputs = [
            Tensor::float(DType::F32, &[40], logits.iter().map(|z| f64::from(*z))),
            Tensor::int(DType::Key, &[], [key as i64]),
            number(temperature),
            number(top_p),
        ];
        let found = evaluate(&products.lowered, &inputs, Precision::Program).expect("it ends");
        let expected = found[0].ints().first().map(|t| *t as u32);
        let chosen = sampling.choose(&logits, case);
        assert_eq!(chosen, expected, "case {case}");
        seen.insert(chosen);
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn what_is_no_number_is_never_chosen() {
    let at = |temperature| Sampling { temperature, top_k: None, top_p: 1.0, seed: 0 };
    let logits = [f32::NAN, f32::NEG_INFINITY, 2.0, 2.0, f32::NAN];
    assert_eq!(at(0.0).choose(&logits, 0), Some(2), "the lowest of equal ones");
    for step in 0..50 {
        assert!(matches!(at(1.0).choose(&logits, step), Some(2 | 3)));
    }
    for temperature in [0.0, 1.0] {
        assert_eq!(at(temperature).choose(&[f32::NAN; 3], 0), None);
    }
}
