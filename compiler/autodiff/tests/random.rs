//! Gradients of random programs: they verify, and along a random direction they are what finite differences
//! say, in f64.

use einmesh_autodiff::testing::{widened, with_gradients};
use einmesh_interp::{Data, Precision, Tensor, evaluate, random_inputs};
use einmesh_ir::testing::{GenerateOptions, Mode, Random, generate};
use einmesh_ir::{Program, text, verify};

fn count() -> u64 {
    std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

fn options() -> GenerateOptions {
    GenerateOptions { mode: Mode::Float, random: false, size: 7, ..GenerateOptions::default() }
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    match &tensor.data {
        Data::Float(x) => x.clone(),
        Data::Int(_) => Vec::new(),
    }
}

/// Float inputs moved along a direction.
fn moved(inputs: &[Tensor], along: &[Vec<f64>], step: f64) -> Vec<Tensor> {
    let each = inputs.iter().zip(along).map(|(tensor, v)| match &tensor.data {
        Data::Float(x) => {
            let data = x.iter().zip(v).map(|(x, v)| x + step * v).collect();
            Tensor { data: Data::Float(data), ..tensor.clone() }
        }
        Data::Int(_) => tensor.clone(),
    });
    each.collect()
}

fn sum(program: &Program, at: usize, inputs: &[Tensor]) -> f64 {
    let outputs = evaluate(program, inputs, Precision::F64);
    floats(&outputs.unwrap_or_else(|e| panic!("{e}\n{}", text::print(program)))[at])[0]
}

#[test]
fn directional_derivatives() {
    let (mut compared, mut total) = (0, 0);
    for seed in 0..count() {
        let (program, specs) = generate(seed, &options());
        let program = widened(&program);
        let Some(gradient) = with_gradients(&program) else { continue };
        let violations = verify(&gradient);
        assert!(violations.is_empty(), "{seed}: {}\n{}", violations[0], text::print(&gradient));
        let inputs: Vec<Tensor> = random_inputs(seed, &specs)
            .into_iter()
            .zip(&program.inputs)
            .map(|(t, i)| Tensor { dtype: program.values[i.value].dtype, ..t })
            .collect();
        let mut random = Random::new(seed);
        // Off the whole numbers, where much is equal that is compared.
        let off: Vec<Vec<f64>> = inputs
            .iter()
            .map(|t| floats(t).iter().map(|_| random.between(-999, 999) as f64 / 7919.0).collect())
            .collect();
        let inputs = moved(&inputs, &off, 1.0);
        let along: Vec<Vec<f64>> = inputs
            .iter()
            .map(|t| floats(t).iter().map(|_| random.between(-100, 100) as f64 / 100.0).collect())
            .collect();
        let at = program.outputs.len();
        let outputs = evaluate(&gradient, &inputs, Precision::F64);
        let outputs = outputs.unwrap_or_else(|e| panic!("{seed}: {e}\n{}", text::print(&gradient)));
        let derivatives = outputs[at + 1..].iter().map(floats);
        let by = along.iter().filter(|v| !v.is_empty());
        let mut by = by.collect::<Vec<_>>().into_iter();
        let mut slope = 0.0;
        for derivative in derivatives {
            if derivative.is_empty() {
                continue;
            }
            let v = by.next().expect("a direction for each float input");
            slope += derivative.iter().zip(v).map(|(d, v)| d * v).sum::<f64>();
        }
        total += 1;
        let here = sum(&gradient, at, &inputs);
        let [before, after, far] = [-1e-6, 1e-6, 1e-5]
            .map(|eps| (sum(&gradient, at, &moved(&inputs, &along, eps)) - here) / eps);
        let fine = (before + after) / 2.0;
        let tolerance = 1e-3 * (1.0 + fine.abs());
        // Kinks, and what is not finite: an empty row divided by its sum has no derivative, used or not.
        let smooth = |a: f64, b: f64| (a - b).abs() <= tolerance;
        if !fine.is_finite() || !slope.is_finite() || !smooth(before, after) || !smooth(after, far)
        {
            continue;
        }
        compared += 1;
        assert!(
            smooth(slope, fine),
            "{seed}: {slope}, expected {fine}\n{}",
            text::print(&gradient)
        );
    }
    println!("{compared} of {total} compared");
    assert!(compared * 2 > total, "{compared} of {total} were comparable");
}
