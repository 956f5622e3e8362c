//! Programs whose extents are known only when they run, from source text on: with numbers for its symbols, what is lowered
//! and rewritten with examples of extents means the same as what is lowered with those numbers.
//!
//! That the schedule and the code do what such a program means is tested in `einmesh-schedule` and `einmesh-codegen`.

use einmesh_driver::{Failure, Goal, Level, Request, Source, compile, compile_symbolic};
use einmesh_interp::{Precision, Tensor, evaluate, mismatch, random_inputs};
use einmesh_ir::Program;
use einmesh_ir::testing::{Fill, InputSpec, with_extents};

fn request(text: &str) -> Request {
    let text = text.to_owned();
    Request::new(Source::Text { name: "symbolic.ein".to_owned(), text }, "f")
}

/// The symbols of a program: its dims without extents.
fn symbols(source: &str) -> Vec<String> {
    let dims = source.lines().filter_map(|line| line.strip_prefix("dim "));
    let each = dims.flat_map(|line| line.split(", "));
    let open = each.filter(|d| !d.contains('=') && !d.contains(':'));
    open.map(|d| d.trim().to_owned()).collect()
}

fn inputs(program: &Program, seed: u64) -> Vec<Tensor> {
    let spec = |input: &einmesh_ir::Input| {
        let dtype = program.values[input.value].dtype;
        let fill = match dtype.is_float() {
            true => Fill::Unit,
            false => Fill::Whole { low: -1, high: 9 },
        };
        InputSpec { dtype, shape: program.extents(input.value), fill }
    };
    let specs: Vec<InputSpec> = program.inputs.iter().map(spec).collect();
    random_inputs(seed, &specs)
}

/// Checks a program at several extents, and that code can be made of it.
#[track_caller]
fn check(source: &str) {
    let symbols = symbols(source);
    assert!(!symbols.is_empty(), "{source}");
    let mut wanted = request(source);
    wanted.levels = vec![Level::X86_64V3];
    let (session, products) = compile_symbolic(&wanted, &symbols);
    let shown = |session: &einmesh_driver::Session| {
        let all = session.diagnostics.iter();
        all.map(|d| einmesh_diagnostics::render(d, &session.sources, false)).collect::<String>()
    };
    let products = products.unwrap_or_else(|why| panic!("{why:?}\n{}\n{source}", shown(&session)));
    assert!(products.emitted.is_some());
    for seed in 0..6_u64 {
        let extents: Vec<u64> =
            (0..symbols.len() as u64).map(|n| 1 + (seed * 5 + n * (seed + 2)) % 11).collect();
        let mut given = request(source);
        given.goal = Goal::Interpret;
        for (symbol, extent) in symbols.iter().zip(&extents) {
            given.options.dims.insert(symbol.clone(), *extent);
        }
        let (session, fixed) = compile(&given);
        let fixed = fixed.unwrap_or_else(|why| panic!("{why:?}\n{}", shown(&session))).lowered;
        let tensors = inputs(&fixed, seed);
        let run = |program: &Program| {
            let result = evaluate(program, &tensors, Precision::F64);
            result.unwrap_or_else(|why| panic!("{extents:?}: {why:?}\n{source}"))
        };
        let expected = run(&fixed);
        for program in [&products.lowered, &products.program] {
            let found = run(&with_extents(program, &symbols, &extents));
            assert_eq!(expected.len(), found.len());
            for (a, b) in expected.iter().zip(&found) {
                // What lowering knows, such as sqrt(3), is a literal of f32; here it is computed.
                if let Some(place) = mismatch(a, b, 1e-6) {
                    panic!("{extents:?}: {place}\n{source}");
                }
            }
        }
    }
}

#[test]
fn products_and_chains() {
    check(
        "dim M, K, N\nexport fn f(x: f32[M,K], y: f32[K,N]) -> f32[M,N] {\n  out[m,n] = x[m,k] * y[k,n]\n}",
    );
    check(
        "dim A, B, C, D\nexport fn f(x: f32[A,B], y: f32[B,C], z: f32[C,D], v: f32[D]) -> f32[A] {\n  out[a] = x[a,b] * y[b,c] * z[c,d] * v[d]\n}",
    );
    check(
        "dim B, T, D, H, K\nexport fn f(x: f32[B,T,D], w: f32[D,(H,K)]) -> f32[B,T,(H,K)] {\n  out[b,t,(h,k)] = x[b,t,d] * w[d,(h,k)]\n}",
    );
}

/// Extents as numbers: divisors, counts, scales, positions.
#[test]
fn extents_are_numbers() {
    check("dim T, D\nexport fn f(x: f32[T,D]) -> f32[T] {\n  out[t] = mean[d](x[t,d])\n}");
    check(
        "dim T, D\nexport fn f(x: f32[T,D]) -> f32[T,D] {\n  out[t,d] = x[t,d] / sqrt(D) + T * 0.5\n}",
    );
    check("dim T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = where(t + 1 == T, 1.0, x[t])\n}");
    check("dim T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = where(t < 1000, x[t], 0.0)\n}");
    check("dim T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = where(T > 5, x[t], -x[t])\n}");
    check(
        "dim H, K\nexport fn f(x: f32[(H,K)]) -> f32[H] {\n  out[h] = sum[k](x[(h,k)] * x[h * K + k])\n}",
    );
}

#[test]
fn subscripts_guards_and_roles() {
    check(
        "dim T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = (x[t - 1] else 0.0) + (x[3] else 2.0) + (x[t + 90] else 0.5)\n}",
    );
    check(
        "dim T\ndim U: T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = sum[u | u <= t](x[u])\n}",
    );
    check(
        "dim T\ndim U: T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = max[u | u <= t + 40](x[u])\n}",
    );
    check(
        "dim T, V, D\nexport fn f(i: i32[T], w: f32[V,D]) -> f32[T,D] {\n  out[t,d] = w[i[t],d]\n}",
    );
    check(
        "dim T, D\nexport fn f(x: f32[T,D]) -> f32[T,D] {\n  m[t] = max[d](x[t,d])\n  e[t,d] = exp(x[t,d] - m[t])\n  out[t,d] = e[t,d] / sum[d](e[t,d])\n}",
    );
    check("dim T, D\nexport fn f(x: f32[T,D]) -> i32[T] {\n  out[t] = argmax[d](x[t,d])\n}");
}

/// What a program is refused for.
#[track_caller]
fn refused(source: &str, message: &str) {
    let (session, result) = compile_symbolic(&request(source), &symbols(source));
    assert!(matches!(result, Err(Failure::Diagnosed)), "{source}");
    let all: Vec<String> = session
        .diagnostics
        .iter()
        .map(|d| einmesh_diagnostics::render(d, &session.sources, false))
        .collect();
    let text = all.concat();
    assert!(text.contains(message), "{text}");
    assert!(text.contains("312") || text.contains("308"), "{text}");
}

#[test]
fn what_needs_extents_is_refused() {
    refused(
        "dim T\nexport fn f(x: f32[T]) -> f32[T] {\n  out[t] = x[t + 1]\n}",
        "`t + 1` can leave T",
    );
    refused("dim T\nexport fn f(x: f32[T]) -> f32 = x[3]", "`3` can leave T");
    refused(
        "dim T\ndim U = 2 * T\nexport fn f(x: f32[U], y: f32[T]) -> f32[U] {\n  out[u] = x[u] * 2\n}",
        "`T` follows from",
    );
    refused(
        "dim T\nexport fn f(x: f32[T]) -> i32[T] {\n  out[t] = argsort[t](x[t])\n}",
        "sorting is not possible",
    );
    refused(
        "dim T, D\nexport fn f(x: f32[T,D]) -> f32[D] {\n  s: f32[D] = 0\n  for t in T { s[d] = s[d] * 0.5 + x[t,d] }\n  out = s\n}",
        "a loop is not possible",
    );
    refused(
        "dim T\nexport fn f(inout x: f32[T]) -> f32[T] {\n  x[t] = x[t] * 2\n  out[t] = x[t]\n}",
        "an `inout` argument",
    );
}
