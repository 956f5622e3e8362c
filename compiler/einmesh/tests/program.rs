//! `program!`: modules made of `.ein` files.

use einmesh::{Element, Error, Key, Tensor, program};
use std::thread;

program! {
    /// A perceptron.
    mod mlp = "../../models/mlp.ein";
    dims { B = 2, D = 3, F = 4, C = 2 };
}

program! {
    mod split = "../../models/mlp.ein";
    dims { B = 2, D = 3, F = 4, C = 2 };
    mesh { data: 2, tensor: 2 };
    plan = training;
    entries = [loss];
}

program! {
    mod kinds = "tests/kinds.ein";
    dims { B = 2 };
}

/// Numbers that are not all alike.
fn some<T: Element, const N: usize>(shape: [usize; N], from: impl Fn(f32) -> T) -> Tensor<T, N> {
    let mut n = 0.0;
    Tensor::from_fn(shape, |_| {
        n += 1.0;
        from((n * 0.7_f32).sin())
    })
}

fn parameters() -> mlp::Params {
    let mut p = mlp::Params::zeros();
    p.fc1.weight = some([mlp::F, mlp::D], |x| x);
    p.fc1.bias = some([mlp::F], |x| x);
    p.fc2.weight = some([mlp::C, mlp::F], |x| x);
    p.fc2.bias = some([mlp::C], |x| x);
    p
}

/// The logits, computed as simply as can be.
fn expected(p: &mlp::Params, x: &Tensor<f32, 2>) -> Tensor<f32, 2> {
    let hidden = Tensor::from_fn([mlp::B, mlp::F], |[b, f]| {
        let sum: f32 = (0..mlp::D).map(|d| x[[b, d]] * p.fc1.weight[[f, d]]).sum();
        (sum + p.fc1.bias[[f]]).max(0.0)
    });
    Tensor::from_fn([mlp::B, mlp::C], |[b, c]| {
        let sum: f32 = (0..mlp::F).map(|f| hidden[[b, f]] * p.fc2.weight[[c, f]]).sum();
        sum + p.fc2.bias[[c]]
    })
}

fn assert_near(got: &Tensor<f32, 2>, expected: &Tensor<f32, 2>) {
    assert_eq!(got.shape(), expected.shape());
    for (got, expected) in got.iter().zip(expected) {
        // Four products and sums of numbers below one.
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
}

#[test]
fn entries_are_functions_and_see_what_was_written() -> Result<(), Error> {
    let (mut p, x) = (parameters(), some([2, 3], |x| x));
    assert_near(&mlp::forward(&p, &x)?, &expected(&p, &x));
    p.fc2.bias[[1]] += 1.0;
    assert_near(&mlp::forward(&p, &x)?, &expected(&p, &x));
    // Another entry shares the parameters' memory, and has them as they are now.
    let other = parameters();
    mlp::loss(&other, &x, [0, 1])?;
    assert_near(&mlp::forward(&p, &x)?, &expected(&p, &x));
    mlp::MODEL.set_threads(1);
    assert_near(&mlp::forward(&p, &x)?, &expected(&p, &x));
    Ok(())
}

#[test]
fn a_mesh_changes_nothing() -> Result<(), Error> {
    assert_eq!(split::MESH.to_string(), "data=2,tensor=2");
    assert_eq!(mlp::MESH.devices(), 1);
    let (p, x) = (parameters(), some([2, 3], |x| x));
    let mut q = split::Params::zeros();
    q.fc1.weight = p.fc1.weight.clone();
    q.fc1.bias = p.fc1.bias.clone();
    q.fc2.weight = p.fc2.weight.clone();
    q.fc2.bias = p.fc2.bias.clone();
    let (whole, split) = (mlp::loss(&p, &x, [0, 1])?, split::loss(&q, &x, [0, 1])?);
    assert!((whole - split).abs() < 1e-5, "{whole} {split}");
    Ok(())
}

#[test]
fn calls_come_from_any_thread() {
    let (p, x) = (parameters(), some([2, 3], |x| x));
    thread::scope(|scope| {
        for shift in 0..4 {
            let (mut p, x) = (p.clone(), x.clone());
            scope.spawn(move || {
                p.fc2.bias[[0]] += shift as f32;
                for _ in 0..20 {
                    assert_near(&mlp::forward(&p, &x).unwrap(), &expected(&p, &x));
                }
            });
        }
    });
}

#[test]
fn a_wrong_extent_is_named() {
    let mut p = parameters();
    let error = mlp::forward(&p, [[0.0; 4]; 2]).unwrap_err();
    let message = "`x` has the shape [2, 4], but `forward` is compiled for [B = 2, D = 3]";
    assert_eq!(error.to_string(), message);
    p.fc1.weight = Tensor::zeros([3, 4]);
    let error = mlp::forward(&p, [[0.0; 3]; 2]).unwrap_err();
    assert!(error.to_string().starts_with("`p.fc1.weight` has the shape [3, 4]"), "{error}");
}

#[test]
fn records_go_to_checkpoints_and_come_back() -> Result<(), Error> {
    let path = std::env::temp_dir().join(format!("einmesh-record-{}", std::process::id()));
    let p = parameters();
    p.save(&path)?;
    assert_eq!(mlp::Params::load(&path)?, p);
    let mut state = kinds::State::zeros();
    state.layers.w = some([3, 2], |x| x);
    state.n = 7;
    state.save(&path)?;
    let file = einmesh::SafeTensors::open(&path)?;
    assert_eq!(file.names().collect::<Vec<_>>(), ["layers.0.w", "layers.1.w", "layers.2.w", "n"]);
    assert_eq!(kinds::State::load(&path)?, state);
    let error = mlp::Params::load(&path).unwrap_err();
    assert!(error.to_string().contains("fc1.weight"), "{error}");
    std::fs::remove_file(path).ok();
    Ok(())
}

#[test]
fn arguments_that_are_updated_and_several_results() -> Result<(), Error> {
    let mut state = kinds::State::zeros();
    state.layers.w = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    let kept = state.clone();
    for step in 1..=3 {
        let kinds::StepOutput { total, largest, r#match } =
            kinds::step(&mut state, 0.5, [true, false])?;
        assert_eq!(state.n, step);
        // Each step adds 0.5 to what is `true`.
        let first = 1.0 + 0.5 * step as f32;
        assert_eq!(state.layers.w.as_slice()[..2], [first, 2.0]);
        assert_eq!(total, state.layers.w.iter().sum::<f32>());
        assert_eq!(largest, Tensor::from([first + 4.0, 6.0]));
        assert_eq!(r#match, Tensor::from([false, true]));
    }
    assert_eq!(kept.layers.w[[0, 0]], 1.0);
    // What is written between calls is seen.
    state.layers.w.as_mut_slice().fill(0.0);
    assert_eq!(kinds::step(&mut state, 1.0, [true, true])?.total, 6.0);
    assert_eq!(state.n, 4);
    Ok(())
}

#[test]
fn keys_draw_the_same_numbers_again() -> Result<(), Error> {
    let first = kinds::draw(Key(1))?;
    assert_eq!(kinds::draw(Key(1))?, first);
    assert_ne!(kinds::draw(Key(2))?, first);
    assert!(first.iter().all(|x| (0.0..1.0).contains(x)));
    Ok(())
}
