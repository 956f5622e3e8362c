//! Whole programs: models' losses along random directions, what loops save, which variable a gradient is by, and numbers
//! that are known exactly.

use crate::common::{from_text, lowered, options};
use crate::{Named, close, noise, run};

/// The gradient of a model's loss by all of its parameters, along random directions.
fn check_model(file: &str, extents: &str, types: &str) {
    let source = from_text(
        "grad_model.ein",
        &format!(
            "use \"{file}\": {{ {types} }}
export fn value(p: Params, tokens: i32[B,T], targets: i32[B,T]) -> f32 = loss(p, tokens, targets)
export fn first(p: Params, tokens: i32[B,T], targets: i32[B,T], v: Params) -> (d: f64) {{
  s = loss(p, tokens, targets)
  g = grad[p](s)
  d = sum(g * v)
}}
"
        ),
    );
    let (value, first) = (options("value", extents), options("first", extents));
    let (value, first) = (lowered(&source, &value).program, lowered(&source, &first).program);
    for round in 0..4 {
        let each = first.inputs.iter().map(|input| {
            let n = first.elements(input.value) as usize;
            let mut numbers = noise(&format!("{}{round}", input.path), n);
            if !first.values[input.value].dtype.is_float() {
                let vocabulary =
                    first.dims.values().find(|d| d.name == "V").map_or(1, |d| d.extent);
                numbers
                    .iter_mut()
                    .for_each(|x| *x = ((*x + 1.0) * 0.5 * vocabulary as f64).floor());
            }
            if round == 0 && input.path == "targets" {
                numbers[0] = -100.0;
            }
            (input.path.clone(), numbers)
        });
        let given: Named = each.collect();
        let slope = run(&first, &given)["d"][0];
        let eps = 1e-6;
        let at = |step: f64| {
            let mut moved = given.clone();
            for (path, numbers) in &given {
                if let Some(of) = path.strip_prefix("v.") {
                    let p = moved.get_mut(&format!("p.{of}")).expect("a parameter");
                    p.iter_mut().zip(numbers).for_each(|(p, v)| *p += step * v);
                }
            }
            run(&value, &moved)["out"][0]
        };
        let expected = (at(eps) - at(-eps)) / (2.0 * eps);
        assert!(close(slope, expected, 1e-6, 1e-6), "{file} {round}: {slope} and {expected}");
    }
}

#[test]
fn gpt() {
    let extents = "B=2 T=5 V=11 D=6 H=3 F=7 L=3 P=9 W=f64";
    check_model("models/gpt2.ein", extents, "B, T, Params, loss");
}

#[test]
fn llama() {
    let extents = "B=2 T=5 V=11 D=8 H=4 G=2 F=7 L=3 W=f64";
    check_model("models/llama.ein", extents, "B, T, Params, loss");
}

/// What forward loops stack: names, ascending.
fn saved(plan: &str) -> Vec<String> {
    let text = format!(
        "use \"models/gpt2.ein\": {{ B, T, L, Params, loss, block, attention, mlp }}
export fn first(p: Params, tokens: i32[B,T], targets: i32[B,T]) -> (g: Params) {{
  g = grad[p](loss(p, tokens, targets))
}}
plan p for first {{ {plan} }}
"
    );
    let source = from_text("saved.ein", &text);
    let program = lowered(&source, &options("first", "B=2 T=9 V=11 D=6 H=3 F=7 L=3 P=9")).program;
    let forward = program.body.ops.iter().find_map(|op| match op {
        einmesh_ir::Op::Loop(l) => Some(l),
        _ => None,
    });
    let stacks = forward.expect("layers").collected.iter();
    let mut names: Vec<String> = stacks.map(|c| program.values[c.value].name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn loops_save_what_remat_says() {
    assert_eq!(saved(""), ["key", "m", "o", "out", "q", "val", "vr_sum", "x"]);
    assert_eq!(saved("@remat(block)"), ["x"]);
    assert_eq!(saved("@remat(block, keep: [q, o])"), ["o", "q", "x"]);
    assert_eq!(saved("@remat(attention)"), ["m", "out", "vr_sum", "x"]);
    assert_eq!(saved("@remat(attention, keep: [a])"), ["a", "m", "out", "vr_sum", "x"]);
}

/// How many values the loops of a program's entry stack.
fn stacks(gradients: &str) -> usize {
    let text = format!(
        "dim I = 3, L = 4
export fn f(x: f64[I], w: f64[L,I], b: f64[L,I]) -> (dw: f64[L,I], db: f64[L,I]) {{
  y = x
  for l in L {{ y[i] = tanh(sum[j: I](y[j] * w[l,j]) * w[l,i] + b[l,i]) }}
  s = sum(y)
  {gradients}
}}"
    );
    let program = lowered(&from_text("stacks.ein", &text), &options("f", "")).program;
    let loops = program.body.ops.iter().filter_map(|op| match op {
        einmesh_ir::Op::Loop(l) => Some(l),
        _ => None,
    });
    // The first is the forward loop; what backward ones collect are results.
    loops.take(1).map(|l| l.collected.len()).sum()
}

#[test]
fn two_gradients_of_a_number_save_once() {
    let alone = stacks("dw = grad[w](s) db = 0.0");
    assert!(alone > 0);
    assert_eq!(stacks("dw = grad[w](s) db = grad[b](s)"), alone);
    assert_eq!(stacks("(dw, db) = grad[w, b](s)"), alone);
}

#[test]
fn several_variables_have_the_gradients_that_each_has_alone() {
    let text = |gradients: &str| {
        format!(
            "record P {{ w: f64[I], n: i32 }}
dim I = 3, L = 2
export fn entry(p: P, q: f64[I]) -> (dw: f64[I], dq: f64[I]) {{
  y = q
  for l in L {{ y[i] = sin(y[i] * p.w[i]) }}
  s = sum(y)
  {gradients}
  dw = g.w
}}"
        )
    };
    let inputs: [(&str, &[f64]); 3] =
        [("p.w", &[0.5, 2.0, -1.0]), ("p.n", &[2.0]), ("q", &[1.0, 0.0, 3.0])];
    let together = outputs(&text("(g, dq) = grad[p, q](s)"), &inputs);
    assert_eq!(together, outputs(&text("g = grad[p](s) dq = grad[q](s)"), &inputs));
    assert!(together[1].iter().all(|x| *x != 0.0));
}

/// The outputs of `entry` on these inputs, in order.
fn outputs(text: &str, inputs: &[(&str, &[f64])]) -> Vec<Vec<f64>> {
    let source = from_text("names.ein", text);
    let program = lowered(&source, &options("entry", "")).program;
    let given = inputs.iter().map(|(path, x)| ((*path).to_owned(), x.to_vec())).collect();
    let found = run(&program, &given);
    program.outputs.iter().map(|o| found[&o.path].clone()).collect()
}

#[test]
fn a_gradient_is_by_what_the_name_is_bound_to() {
    let found = outputs(
        "export fn entry(a: f64, b: f64[3]) -> (u: f64, v: f64, w: f64, x: f64[3], y: f64, z: f64) {
  t = 2 * a
  u = grad[t](t^2 * a)
  c = 3.0
  v = grad[c](a * c^2)
  n = b[1]
  w = grad[n](n * b[1] + sum(b))
  m = b
  x = grad[m](sum(b * m))
  y = grad[a](a * stop(a) + stop(sin(a)) * a)
  z = grad[a](grad[a](a^3))
}",
        &[("a", &[5.0]), ("b", &[1.0, 2.0, 4.0])],
    );
    assert_eq!(found[0], [2.0 * 10.0 * 5.0]);
    assert_eq!(found[1], [2.0 * 3.0 * 5.0]);
    assert_eq!(found[2], [2.0]);
    assert_eq!(found[3], [1.0, 2.0, 4.0]);
    assert_eq!(found[4], [5.0 + 5.0_f64.sin()]);
    assert_eq!(found[5], [30.0]);
}

#[test]
fn a_loop_may_take_a_step_in_each_iteration() {
    let found = outputs(
        "dim N = 3
record P { w: f64[2], k: i32 }
fn loss(p: P, r: f64) -> f64 = sum(p.w * p.w) * r
export fn entry(inout p: P, r: f64) -> (l: f64) {
  l: f64 = 0.0
  for n in N {
    l = loss(p, r)
    g = grad[p](l)
    p.w = p.w - 0.25 * g.w
    p.k = p.k + 1 + g.k
  }
}",
        &[("p.w", &[8.0, -4.0]), ("p.k", &[1.0]), ("r", &[1.0])],
    );
    assert_eq!(found, [vec![5.0], vec![1.0, -0.5], vec![4.0]]);
}

#[test]
fn products_with_zeros_have_all_their_derivatives() {
    let text = "dim I = 2, J = 4
export fn entry(x: f64[I,J], v: f64[I,J], u: f64[I,J]) -> (g: f64[I,J], h: f64[I,J], t: f64[I,J]) {
  y[i] = prod[j | j < 3 or i == 0](x[i,j])
  s = sum(y)
  g = grad[x](s)
  a = sum(g * v)
  h = grad[x](a)
  b = sum(h * u)
  t = grad[x](b)
}";
    // One row with two zeros, one with three; the last factor of that is excluded.
    let x = [0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 5.0];
    let v = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    let u = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let found = outputs(text, &[("x", &x), ("v", &v), ("u", &u)]);
    assert_eq!(found[0], [0.0; 8]);
    // ∂²(x₀x₁x₂x₃)/∂x₀∂x₁ = x₂x₃, and of three factors x₂.
    assert_eq!(found[1], [0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(found[2], [0.0, 0.0, 3.0, 2.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn even_shares_and_exact_zeros() {
    let found = outputs(
        "dim J = 4
export fn entry(x: f64[J], i: i32[J]) -> (a: f64[J], b: f64[J], c: f64[J], d: f64[J], e: f64[J]) {
  a = grad[x](max[j](x[j]))
  b = grad[x](sum[j](max(x[j], 2)))
  c = grad[x](sum[j](where(x[j] > 0, 1.0, 1 / (x[j] - x[j]))))
  d = grad[x](sum[j](x[i[j]]))
  e = grad[x](sum[j](floor(x[j]) + abs(x[j] - 2)))
}",
        &[("x", &[2.0, 1.0, 3.0, 3.0]), ("i", &[0.0, 9.0, -9.0, 0.0])],
    );
    assert_eq!(found[0], [0.0, 0.0, 0.5, 0.5]);
    assert_eq!(found[1], [0.5, 0.0, 1.0, 1.0]);
    assert_eq!(found[2], [0.0; 4]);
    assert_eq!(found[3], [3.0, 0.0, 0.0, 1.0]);
    assert_eq!(found[4], [0.0, -1.0, 1.0, 1.0]);
}
