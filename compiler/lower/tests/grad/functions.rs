//! Functions of the language against finite differences, and by the products of Jacobians `⟨J v, w⟩ = ⟨v, Jᵀ w⟩`, where
//! `J v` is the derivative of `⟨Jᵀ w, v⟩` by `w`, so that gradients of gradients are tested too. Every case runs over ten
//! shapes.

use crate::common::{Source, from_text, lowered, options};
use crate::{Named, close, noise, run};
use einmesh_ir::Program;

/// A differentiable function `f` of the language, and what it is differentiated by.
struct Case {
    name: &'static str,
    /// Declarations beside the function: dims without extents, helpers.
    items: &'static str,
    /// Parameters that are differentiated by: names and types.
    by: &'static [(&'static str, &'static str)],
    /// Other parameters.
    other: &'static [(&'static str, &'static str)],
    /// The type of the result, and the body that binds `out`.
    result: &'static str,
    body: &'static str,
    /// How far from 0 inputs stay: for logarithms and roots.
    positive: bool,
    /// Whether gradients of gradients exist everywhere.
    twice: bool,
}

impl Case {
    fn source(&self) -> Source {
        let params = |all: &[(&str, &str)]| -> Vec<String> {
            all.iter().map(|(n, ty)| format!("{n}: {ty}")).collect()
        };
        let names = |all: &[(&str, &str)]| -> Vec<String> {
            all.iter().map(|(n, _)| (*n).to_owned()).collect()
        };
        let mut given = params(self.by);
        given.extend(params(self.other));
        let given = given.join(", ");
        let mut args = names(self.by);
        args.extend(names(self.other));
        let args = args.join(", ");
        let result = self.result;
        let scalar = !result.contains('[');
        let total = if scalar { "y * wt" } else { "sum(y * wt)" };
        let each = |text: &dyn Fn(&str, &str) -> String| -> Vec<String> {
            self.by.iter().map(|(n, ty)| text(n, ty)).collect()
        };
        let gradients = each(&|n, _| format!("  d_{n} = grad[{n}](s)")).join("\n");
        let outs = each(&|n, ty| format!("d_{n}: {ty}")).join(", ");
        let along = each(&|n, ty| format!("v_{n}: {ty}")).join(", ");
        let dots = each(&|n, ty| match ty.contains('[') {
            true => format!("sum(d_{n} * v_{n})"),
            false => format!("d_{n} * v_{n}"),
        });
        let dots = dots.join(" + ");
        let twice = each(&|n, _| format!("  h_{n} = grad[{n}](h)")).join("\n");
        let hessians = each(&|n, ty| format!("h_{n}: {ty}")).join(", ");
        let head = format!("{given}, wt: {result}");
        let text = format!(
            "{items}
fn f({given}) -> {result} {{
{body}
}}
export fn value({head}) -> (s: f64, y: {result}) {{
  y = f({args})
  s = {total}
}}
export fn first({head}) -> ({outs}) {{
  y = f({args})
  s = {total}
{gradients}
}}
export fn second({head}, {along}) -> (d_wt: {result}, {hessians}, h: f64) {{
  y = f({args})
  s = {total}
{gradients}
  h = {dots}
  d_wt = grad[wt](h)
{twice}
}}
",
            items = self.items,
            body = self.body
        );
        from_text("grad_case.ein", &text)
    }
}

fn inputs(program: &Program, case: &Case, shape: usize) -> Named {
    let each = program.inputs.iter().map(|input| {
        let n = program.elements(input.value) as usize;
        let mut numbers = noise(&format!("{}{shape}", input.path), n);
        let dtype = program.values[input.value].dtype;
        if !dtype.is_float() {
            // Some are out of the range of what they select.
            numbers.iter_mut().for_each(|x| *x = (*x * 4.0 + 2.0).floor());
        } else if case.positive && case.by.iter().any(|(n, _)| *n == input.path) {
            numbers.iter_mut().for_each(|x| *x = 0.3 + x.abs());
        }
        (input.path.clone(), numbers)
    });
    each.collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn check(case: &Case) {
    let source = case.source();
    // Odd extents, and 1 for some.
    let shapes = [
        "I=3 J=4 K=2",
        "I=1 J=1 K=1",
        "I=5 J=2 K=3",
        "I=2 J=5 K=4",
        "I=4 J=3 K=5",
        "I=1 J=6 K=2",
        "I=6 J=1 K=3",
        "I=3 J=3 K=3",
        "I=7 J=4 K=1",
        "I=2 J=7 K=5",
    ];
    for (at, shape) in shapes.iter().enumerate() {
        let program = |entry: &str| lowered(&source, &options(entry, shape)).program;
        let (value, first) = (program("value"), program("first"));
        let given = inputs(&value, case, at);
        let gradient = run(&first, &given);
        for (name, _) in case.by {
            let derivative = &gradient[&format!("d_{name}")];
            for (i, derivative) in derivative.iter().enumerate() {
                let eps = 1e-6;
                let at = |step: f64| {
                    let mut moved = given.clone();
                    moved.get_mut(*name).expect("a parameter")[i] += step;
                    run(&value, &moved)["s"][0]
                };
                let expected = (at(eps) - at(-eps)) / (2.0 * eps);
                assert!(
                    close(*derivative, expected, 1e-5, 1e-3),
                    "{} at {shape}: d_{name}[{i}] is {}, expected {expected}\n{}",
                    case.name,
                    derivative,
                    einmesh_ir::text::print(&first)
                );
            }
        }
        if !case.twice {
            continue;
        }
        let second = program("second");
        let mut along = given.clone();
        for (name, _) in case.by {
            let n = given[*name].len();
            along.insert(format!("v_{name}"), noise(&format!("v{name}{shape}"), n));
        }
        let result = run(&second, &along);
        // ⟨J v, w⟩ = ⟨v, Jᵀ w⟩.
        let left = dot(&result["d_wt"], &along["wt"]);
        let right: f64 = case
            .by
            .iter()
            .map(|(n, _)| dot(&gradient[&format!("d_{n}")], &along[&format!("v_{n}")]))
            .sum();
        assert!(close(left, right, 1e-10, 1e-10), "{} at {shape}: {left} and {right}", case.name);
        // J v is the derivative of the result along v, and the second derivative that of the first.
        let eps = 1e-6;
        let moved = |step: f64| {
            let mut moved = given.clone();
            for (name, _) in case.by {
                let v = &along[&format!("v_{name}")];
                let x = moved.get_mut(*name).expect("a parameter");
                x.iter_mut().zip(v).for_each(|(x, v)| *x += step * v);
            }
            moved
        };
        let (before, after) = (run(&value, &moved(-eps)), run(&value, &moved(eps)));
        for (i, jv) in result["d_wt"].iter().enumerate() {
            let expected = (after["y"][i] - before["y"][i]) / (2.0 * eps);
            assert!(
                close(*jv, expected, 1e-5, 1e-3),
                "{} at {shape}: (J v)[{i}] {jv} {expected}",
                case.name
            );
        }
        let (before, after) = (run(&first, &moved(-eps)), run(&first, &moved(eps)));
        for (name, _) in case.by {
            for (i, h) in result[&format!("h_{name}")].iter().enumerate() {
                let name = format!("d_{name}");
                let expected = (after[&name][i] - before[&name][i]) / (2.0 * eps);
                assert!(
                    close(*h, expected, 1e-5, 1e-3),
                    "{} at {shape}: (H v)[{i}] {h} {expected}",
                    case.name
                );
            }
        }
    }
}

/// A case by X: [I,J] and W: [J,K].
macro_rules! cases {
    ($($name:ident { $($key:ident: $value:expr),* $(,)? })*) => {$(
        #[test]
        fn $name() {
            let case = Case {
                $($key: $value,)*
                name: stringify!($name),
                ..BASE
            };
            check(&case);
        }
    )*};
}

const BASE: Case = Case {
    name: "",
    items: "dim I, J, K",
    by: &[("x", "f64[I,J]")],
    other: &[],
    result: "f64[I,J]",
    body: "",
    positive: false,
    twice: true,
};

cases! {
    matmul {
        by: &[("x", "f64[I,J]"), ("w", "f64[J,K]")],
        result: "f64[I,K]",
        body: "out[i,k] = x[i,j] * w[j,k]",
    }
    three_factors {
        by: &[("x", "f64[I,J]"), ("w", "f64[J,K]"), ("c", "f64")],
        result: "f64[I,K]",
        body: "out[i,k] = x[i,j] * w[j,k] * c * x[i,j] * 0.5 - w[j,k] * x[i,j]",
    }
    elementwise {
        body: "out[i,j] = exp(x[i,j]) + sin(x[i,j]) * cos(x[i,j]) + tanh(x[i,j]) - erf(x[i,j]) + expm1(x[i,j]) / (2 + x[i,j])",
    }
    roots {
        positive: true,
        body: "out[i,j] = log(x[i,j]) + log1p(x[i,j]) * sqrt(x[i,j]) + rsqrt(x[i,j]) + x[i,j]^2.5 + x[i,j]^x[i,j] + x[i,j]^3 + x[i,j]^-1",
    }
    activations {
        body: "out[i,j] = gelu(x[i,j]) + gelu_tanh(x[i,j]) + silu(x[i,j]) + softplus(x[i,j]) + sigmoid(x[i,j])",
    }
    kinks {
        twice: false,
        body: "out[i,j] = max(x[i,j], 0.1) + abs(x[i,j] - 0.2) * min(x[i,j], 0.3) + (x[i,j] % 0.7) * x[i,j]",
    }
    selections {
        body: "out[i,j] = where(x[i,j] > 0.1, x[i,j]^2, sin(x[i,j])) * where(i < j, 2.0, x[i,j])",
    }
    branches_not_taken {
        body: "out[i,j] = where(x[i,j] < 5, x[i,j], log(x[i,j] - 10)) + where(x[i,j] > 5, 1 / (x[i,j] - x[i,j]), x[i,j]^2)",
    }
    reductions {
        result: "f64[I]",
        body: "out[i] = sum[j](x[i,j]^2) * mean[j](x[i,j]) + logsumexp[j](x[i,j]) + prod[j](x[i,j] + 2)",
    }
    guarded_reductions {
        result: "f64[I]",
        body: "out[i] = sum[j | j <= i](exp(x[i,j])) * sum[j | x[i,j] > 0](x[i,j]^2)",
    }
    extremes {
        twice: false,
        result: "f64[I]",
        body: "out[i] = max[j](x[i,j]) * min[j](x[i,j]^2)",
    }
    guarded_softmax {
        body: "out[i,j] = softmax[j | j <= i](x[i,j])",
    }
    norms {
        by: &[("x", "f64[I,J]"), ("w", "f64[J]"), ("b", "f64[J]")],
        body: "out[i,j] = layer_norm[j](x[i,j], w[j], b[j]) + rms_norm[j](x[i,j], w[j])",
    }
    losses {
        result: "f64",
        other: &[("n", "i32[I]")],
        body: "out = sum[i | n[i] >= 0](cross_entropy[j](x[i,j], n[i])) / I + sum[i](f64(logprob[j](x[i,j], n[i])))",
    }
    shifts {
        body: "out[i,j] = x[i,j] * (x[i - 1,j] else 0.5) + (x[i, j + 2] else x[i,j]) + (x[I - 1 - i, j] else 0)",
    }
    convolution {
        items: "dim I, J, K, Q = 3",
        by: &[("x", "f64[I,J]"), ("w", "f64[Q,J]")],
        result: "f64[I]",
        body: "out[i] = (x[i + q, j] else 0) * w[q,j]",
    }
    strides {
        body: "out[i,j] = (x[2 * i, j] else 0.25) * x[i,j] + (x[i + j, j] else 0)",
    }
    diagonals {
        by: &[("x", "f64[I,J]"), ("w", "f64[J]")],
        body: "
  p[i: J, j: J] = w[i] * w[j]
  d[j]   = p[j, j + 0]
  out[i,j] = x[i,j] * d[j]",
    }
    gathers {
        by: &[("x", "f64[I,J]"), ("w", "f64[J,K]")],
        other: &[("n", "i32[I]")],
        result: "f64[I,K]",
        body: "out[i,k] = w[n[i],k] * x[i, n[i]] + sum[j](w[n[i],k] * x[i,j])",
    }
    gathers_with_a_default {
        by: &[("x", "f64[I,J]")],
        other: &[("n", "i32[I]")],
        body: "out[i,j] = (x[n[i], j] else x[i,j]^2) * 2",
    }
    stores {
        by: &[("x", "f64[I,J]"), ("w", "f64[J]")],
        other: &[("n", "i32[J]")],
        body: "
  out = x
  out[0, j + 0] := w[j]^2
  out[n[j], j + 0] += x[0, j] * w[j]",
    }
    extreme_stores {
        twice: false,
        by: &[("x", "f64[I,J]"), ("w", "f64[J]")],
        other: &[("n", "i32[J]")],
        body: "
  out = x
  out[n[j], j + 0] max= w[j]^2
  out[n[j], 0] min= w[j]",
    }
    product_axes {
        items: "dim I, J, K",
        by: &[("x", "f64[I,J]"), ("w", "f64[J,(3,K)]")],
        result: "f64[I,K]",
        body: "
  q[i,k] = x[i,j] * w[j,(0,k)]
  r[i,k] = x[i,j] * w[j,(1,k)]
  out[i,k] = q[i,k] * r[i,k] + x[i,j] * w[j,(2,k)]",
    }
    a_loop {
        items: "dim I, J, K, J2: J",
        by: &[("x", "f64[I,J]"), ("w", "f64[K,J,J2]")],
        body: "
  out = x
  for k in K {
    m[i,j] = out[i,j2] * w[k,j,j2]
    out = out + tanh(m)
  }",
    }
    a_reversed_loop {
        items: "dim I, J, K, J2: J",
        by: &[("x", "f64[I,J]"), ("w", "f64[K,J,J2]"), ("b", "f64[J]"), ("c", "f64")],
        body: "
  out = x
  for k in K reversed {
    m[i,j] = sin(out[i,j]) * c + b[j] * f64(k)
    n[i,j] = m[i,j2] * w[k,j,j2]
    out = out * (w[K - 1 - k, 0, 0] else 1) + tanh(n) * c
  }",
    }
    collected_values {
        items: "dim I, J, K",
        by: &[("x", "f64[I,J]"), ("w", "f64[K,J]")],
        result: "f64[I,K]",
        body: "
  y = x
  for k in K {
    y = sin(y) * 1.5
    out[i,k] = y[i,j] * w[k,j]
  }",
    }
    exchanged_states {
        items: "dim I, J, K",
        by: &[("x", "f64[I,J]"), ("w", "f64[I,J]")],
        body: "
  a = x
  b = w
  for k in K {
    t = a
    a = b * x
    b = sin(t) + b
  }
  out = a * b",
    }
    nested_loops {
        items: "dim I, J, K, J2: J",
        by: &[("x", "f64[I,J]"), ("w", "f64[K,J]"), ("m", "f64[K,J,J2]")],
        body: "
  out = x
  for k in K {
    p[i,j] = out[i,j2] * m[k,j,j2]
    a = tanh(p)
    for j2 in J {
      a[i,j] = sin(a[i,j]) * w[k,j] + m[k, j2 + 0, j + 0] * x[i,j]
    }
    out = out + a * 0.5
  }",
    }
    a_loop_over_its_own_dim {
        items: "dim I, J, K",
        body: "
  out = x
  for l in I {
    out[i,j] = sin(out[i,j]) + out[l,j] * x[l,j]
  }",
    }
    a_scan {
        items: "dim I, J, K
fn step(a1: f64, b1: f64, a2: f64, b2: f64) -> (a: f64, b: f64) {
  a = a1 * a2
  b = a2 * b1 + b2
}",
        by: &[("x", "f64[I,J]"), ("w", "f64[I,J]")],
        body: "
  (p[i,j], out[i,j]) = scan[i](step, x[i,j], w[i,j])",
    }
    a_while {
        items: "dim I, J, K",
        other: &[("most", "i32[K]")],
        body: "
  out   = x
  steps = 0
  r     = 2.0
  while r > 0 and steps < 3 + most[0] limit 5 {
    out[i,j] = sin(out[i,j]) + out[i,j] * x[i,j] / r
    r        = r - 0.5
    steps    = steps + 1
  }",
    }
    a_while_in_a_loop_of_matrices {
        items: "dim I, J, K",
        by: &[("x", "f64[I,J]"), ("w", "f64[K,J]")],
        body: "
  out = x
  for k in K {
    n = k
    while n > 0 limit 4 {
      out[i,j] = tanh(out[i,j] * w[k,j])
      out[n, j + 0] += out[0,j] * w[0,j]
      n = n - 1
    }
  }",
    }
    stores_in_a_loop {
        items: "dim I, J, K",
        by: &[("x", "f64[I,J]"), ("w", "f64[K,J]")],
        other: &[("n", "i32[K]")],
        body: "
  out = x
  for k in K {
    out[n[k], j + 0] += w[k,j] * out[0,j]
    out[0, j + 0] := sin(w[n[k],j]) * x[n[k],j]
  }",
    }
}
