//! Optimizers of the standard library whose state has other shapes than the parameters: against a reference in
//! f64, compiled, and on meshes; and gradients that are added up over microbatches.

use crate::compiled::{difference, run};
use einmesh_driver::{Goal, Products, Request, Source, compile};
use einmesh_interp::{Precision, Tensor, evaluate, evaluate_spmd};
use std::path::PathBuf;

/// Every kind of leaf: stacked and not, with none to three axes, one of them a product.
const ADAFACTOR: &str = r#"
    use "std/optimizers.ein": *
    dim L = 3, D = 6, F = 8, E = 2, H = 2, K = 4
    record Layer { w: f32[D,F], b: f32[F], s: f32, o: f32[(H,K),D] }
    record P { h: Layer[L], deep: f32[E,D,F], head: f32[D] }
    record S { p: P, r: rows(P), c: columns(P), n: i32 }
    export fn step(inout s: S, g: P) -> (size: f32) {
      n = s.n + 1
      (p1, r1, c1) = adafactor(s.p, g, s.r, s.c, n, wd: 0.125)
      s.p  = p1
      s.r  = r1
      s.c  = c1
      s.n  = n
      size = sum(p1 * p1)
    }"#;

/// The leaves in order: how many are stacked, and a leaf's axes.
const LEAVES: [(usize, &[usize]); 6] =
    [(3, &[6, 8]), (3, &[8]), (3, &[]), (3, &[8, 6]), (1, &[2, 6, 8]), (1, &[6])];

fn products(text: &str, mesh: Option<(u64, &[&str])>, fsdp: bool) -> Products {
    let source = Source::Text { name: "optimizers.ein".to_owned(), text: text.to_owned() };
    let mut request = Request::new(source, "step");
    if let Some((devices, dims)) = mesh {
        let overrides = &mut request.options.overrides;
        overrides.mesh = Some(vec![("x".to_owned(), devices)]);
        let dims: Vec<String> = dims.iter().map(|d| (*d).to_owned()).collect();
        overrides.shard = Some(vec![("x".to_owned(), dims)]);
        if fsdp {
            overrides.fsdp = Some(vec![("x".to_owned(), "P".to_owned())]);
        }
    }
    request.goal = Goal::Interpret;
    request.verify = true;
    let (session, result) = compile(&request);
    match result {
        Ok(products) => products,
        Err(failure) => panic!("{failure:?}\n{:#?}", session.diagnostics),
    }
}

/// A number that looks random.
fn noise(leaf: usize, step: usize, i: usize) -> f64 {
    (((leaf * 131 + step * 37 + i * 29 + i * i * 7) % 101) as f64 - 50.0) / 64.0
}

/// The state before the first step and the gradients of one, as the program's inputs.
fn inputs(products: &Products, state: &[Tensor], step: usize) -> Vec<Tensor> {
    let program = &products.lowered;
    let mut leaf = 0;
    let each = program.inputs.iter().enumerate().map(|(at, input)| {
        if let Some(known) = state.get(at) {
            return known.clone();
        }
        let dtype = program.values[input.value].dtype;
        let shape: Vec<usize> = program.extents(input.value).iter().map(|n| *n as usize).collect();
        let count: usize = shape.iter().product();
        let values: Vec<f64> = match input.path.split('.').nth(1) {
            Some("p") => (0..count).map(|i| noise(at, 9, i)).collect(),
            Some("r" | "c") => vec![0.0; count],
            Some("n") => return Tensor::int(dtype, &shape, [0]),
            _ => {
                leaf += 1;
                // The first leaf's gradients are nothing in one row.
                (0..count)
                    .map(|i| if leaf == 1 && i < 8 { 0.0 } else { noise(leaf, step, i) })
                    .collect()
            }
        };
        Tensor::float(dtype, &shape, values)
    });
    each.collect()
}

/// Several steps, each on what the one before left; the last one's results.
fn steps(products: &Products, run: impl Fn(&[Tensor]) -> Vec<Tensor>) -> Vec<Tensor> {
    let program = &products.lowered;
    let mut state: Vec<Tensor> = Vec::new();
    let mut results = Vec::new();
    for step in 0..4 {
        results = run(&inputs(products, &state, step));
        // What is returned in place of arguments comes after the other results, in their order.
        let inouts = program.inputs.iter().filter(|i| i.donated).count();
        state = results[results.len() - inouts..].to_vec();
    }
    results
}

/// Shazeer and Stern 2018, algorithms 4 and 5, with β₂ = 1 − n^−0.8, d = 1, ε₁ = 1e-30, ε₂ = 1e-3 and the rate
/// min(1e-2, n^−1/2): one leaf.
struct Reference {
    columns: usize,
    rows: usize,
    p: Vec<f64>,
    r: Vec<f64>,
    c: Vec<f64>,
    matrix: bool,
}

impl Reference {
    /// `axes` are the leaf's own.
    fn new(axes: &[usize], p: Vec<f64>) -> Reference {
        let (columns, rows) = match axes {
            [] => (1, 1),
            [only] => (1, *only),
            [.., rows, columns] => (*columns, *rows),
        };
        let count = p.len();
        let zeros = |n: usize| vec![0.0; n];
        let (r, c) = (zeros(count / columns), zeros(count / rows));
        Reference { columns, rows, p, r, c, matrix: axes.len() >= 2 }
    }

    fn step(&mut self, g: &[f64], n: f64) {
        let (rows, columns) = (self.rows, self.columns);
        let b = 1.0 - n.powf(-0.8);
        let square = |i: usize| g[i] * g[i] + 1e-30;
        for (at, r) in self.r.iter_mut().enumerate() {
            let mean = (0..columns).map(|j| square(at * columns + j)).sum::<f64>() / columns as f64;
            *r = b * *r + (1.0 - b) * mean;
        }
        for (at, c) in self.c.iter_mut().enumerate() {
            let (matrix, j) = (at / columns, at % columns);
            let place = |i: usize| (matrix * rows + i) * columns + j;
            let mean = (0..rows).map(|i| square(place(i))).sum::<f64>() / rows as f64;
            *c = b * *c + (1.0 - b) * mean;
        }
        let u: Vec<f64> = (0..g.len())
            .map(|at| {
                let (row, matrix) = (at / columns, at / columns / rows);
                let all = &self.r[matrix * rows..(matrix + 1) * rows];
                let mean = all.iter().sum::<f64>() / rows as f64;
                let v = self.r[row] * self.c[matrix * columns + at % columns] / mean;
                g[at] / v.sqrt()
            })
            .collect();
        let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
        let rate = rms(&self.p).max(1e-3) * n.powf(-0.5).min(1e-2) / rms(&u).max(1.0);
        let decay = if self.matrix { 1e-2 * 0.125 } else { 0.0 };
        for (p, u) in self.p.iter_mut().zip(u) {
            *p -= rate * u + decay * *p;
        }
    }
}

/// The parameters and moments after four steps, in the order of the program's outputs.
fn reference(products: &Products) -> Vec<Vec<f64>> {
    let first = inputs(products, &[], 0);
    let donated = products.lowered.inputs.iter().filter(|i| i.donated).count();
    let mut all: Vec<[Vec<f64>; 3]> = Vec::new();
    for (leaf, (stack, axes)) in LEAVES.iter().enumerate() {
        let whole = |step: usize| inputs(products, &[], step)[donated + leaf].floats().to_vec();
        let size = axes.iter().product::<usize>();
        let mut joined: [Vec<f64>; 3] = Default::default();
        for layer in 0..*stack {
            let part = |all: &[f64]| all[layer * size..(layer + 1) * size].to_vec();
            let mut own = Reference::new(axes, part(first[leaf].floats()));
            for step in 0..4 {
                own.step(&part(&whole(step)), (step + 1) as f64);
            }
            for (all, own) in joined.iter_mut().zip([own.p, own.r, own.c]) {
                all.extend(own);
            }
        }
        all.push(joined);
    }
    (0..3).flat_map(|kind| all.iter().map(move |leaf| leaf[kind].clone())).collect()
}

#[test]
fn adafactor_is_as_published() {
    let products = products(ADAFACTOR, None, false);
    let expected = reference(&products);
    let precise = steps(&products, |inputs| {
        evaluate(&products.lowered, inputs, Precision::F64).expect("a valid program")
    });
    let compiled = steps(&products, |inputs| run(&products.spmd, inputs));
    // The constants of the program are those of f32.
    for (found, rounding) in [(precise, 1e-7), (compiled, 1e-5)] {
        for (leaf, (expected, found)) in expected.iter().zip(&found[1..]).enumerate() {
            assert_eq!(expected.len(), found.floats().len(), "leaf {leaf}");
            for (e, f) in expected.iter().zip(found.floats()) {
                assert!(
                    (e - f).abs() <= rounding * e.abs().max(1e-2),
                    "leaf {leaf}: {e}, found {f}"
                );
            }
        }
    }
}

#[test]
fn adafactor_is_partitioned_by_numbers_not_by_leaves() {
    let whole = products(ADAFACTOR, None, false);
    let expected = steps(&whole, |inputs| {
        evaluate(&whole.lowered, inputs, Precision::F64).expect("a valid program")
    });
    let meshes: [(u64, &[&str], bool); 6] = [
        (2, &["F"], false),
        (3, &["D"], false),
        (4, &["F", "D"], false),
        (2, &["H"], false),
        (2, &[], true),
        (3, &["L"], false),
    ];
    for (devices, dims, fsdp) in meshes {
        let parted = products(ADAFACTOR, Some((devices, dims)), fsdp);
        let found = steps(&parted, |inputs| {
            evaluate_spmd(&parted.spmd, inputs, Precision::F64).expect("a valid program")
        });
        assert_eq!(difference(&expected, &found, 1e-9), None, "{devices} × {dims:?}");
        // A matrix has 48 elements; only sums over its rows, its columns or all of it are communicated.
        // Where leaves are stored in parts, those that are needed whole are gathered.
        for c in parted.collectives.iter().filter(|_| !fsdp) {
            let most = 8 * 3 * std::mem::size_of::<f32>() as u64 * 2;
            assert!(c.wire_bytes <= most, "{devices} × {dims:?}: {c:?}");
        }
    }
}

/// A GPT's step over M microbatches.
const ACCUMULATED: &str = r#"
    use "gpt2.ein" (L = 2, D = 12, H = 3, P = 9, V = 37, F = 20): *
    dim M
    export fn step(inout p: Params, tokens: i32[M,B,T], targets: i32[M,B,T]) -> (total: f32) {
      raw: Params = 0
      total = 0.0
      for m in M {
        value = loss(p, tokens[m], targets[m]) / M
        raw   = raw + grad[p](value)
        total = total + value
      }
      p = p - 0.1 * raw
    }"#;

fn accumulated(
    micro: u64,
    mesh: &[(&str, u64)],
    shard: &[(&str, &[&str])],
    fsdp: bool,
) -> Products {
    let models = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models"));
    let name = models.join("accumulated.ein").to_string_lossy().into_owned();
    let mut request = Request::new(Source::Text { name, text: ACCUMULATED.to_owned() }, "step");
    for (name, value) in [("B", 4), ("T", 7), ("M", micro)] {
        assert!(request.options.define(name, &value.to_string()), "-D {name}={value}");
    }
    let own = |s: &str| s.to_owned();
    let overrides = &mut request.options.overrides;
    overrides.mesh = Some(mesh.iter().map(|(n, s)| (own(n), *s)).collect());
    let dims = |ds: &[&str]| ds.iter().map(|d| own(d)).collect();
    overrides.shard = Some(shard.iter().map(|(n, d)| (own(n), dims(d))).collect());
    overrides.fsdp = fsdp.then(|| vec![(own("data"), own("Params"))]);
    request.goal = Goal::Interpret;
    request.verify = true;
    let (session, result) = compile(&request);
    match result {
        Ok(products) => products,
        Err(failure) => panic!("{failure:?}\n{:#?}", session.diagnostics),
    }
}

/// Parameters, tokens and targets of a GPT.
fn arguments(products: &Products) -> Vec<Tensor> {
    let program = &products.lowered;
    let each = program.inputs.iter().enumerate().map(|(at, input)| {
        let dtype = program.values[input.value].dtype;
        let shape: Vec<usize> = program.extents(input.value).iter().map(|n| *n as usize).collect();
        let count: usize = shape.iter().product();
        match dtype.is_float() {
            true => Tensor::float(dtype, &shape, (0..count).map(|i| noise(at, 1, i) / 4.0)),
            false => {
                Tensor::int(dtype, &shape, (0..count).map(|i| (i as i64 * 7 + i as i64 / 5) % 37))
            }
        }
    });
    each.collect()
}

#[test]
fn accumulated_gradients_are_reduced_once() {
    let data: &[(&str, &[&str])] = &[("data", &["B"])];
    let both: &[(&str, &[&str])] = &[("data", &["B"]), ("tensor", &["H", "F", "V"])];
    let wire = |products: &Products, axis: &str| -> u64 {
        let reductions = products.collectives.iter().filter(|c| c.axes.contains(&axis.to_owned()));
        reductions.map(|c| c.count * c.wire_bytes).sum()
    };
    for (mesh, shard) in [(&[("data", 2)][..], data), (&[("data", 2), ("tensor", 3)][..], both)] {
        let [one, four] = [1, 4].map(|micro| wire(&accumulated(micro, mesh, shard, false), "data"));
        // Each microbatch adds its loss, and how many tokens it has.
        assert!(four <= one + one / 20, "{mesh:?}: {one} bytes for one, {four} for four");
    }
    // Where gradients are stored in parts, each microbatch's are scattered.
    let [one, four] =
        [1, 4].map(|micro| wire(&accumulated(micro, &[("data", 2)], data, true), "data"));
    assert!(four > 2 * one, "{one} bytes for one, {four} for four");
}

/// A mesh, the dims that its axes split, and whether parameters are stored in parts.
type Mesh =
    (&'static [(&'static str, u64)], &'static [(&'static str, &'static [&'static str])], bool);

#[test]
fn accumulated_gradients_are_those_of_one_device() {
    let whole = accumulated(3, &[], &[], false);
    let inputs = arguments(&whole);
    let expected = evaluate(&whole.lowered, &inputs, Precision::F64).expect("a valid program");
    let data: &[(&str, &[&str])] = &[("data", &["B"])];
    let both: &[(&str, &[&str])] = &[("data", &["B"]), ("tensor", &["H", "F", "V"])];
    let meshes: [Mesh; 5] = [
        (&[("data", 2)], data, false),
        (&[("data", 3)], data, false),
        (&[("data", 2)], data, true),
        (&[("data", 2), ("tensor", 2)], both, false),
        (&[("data", 2), ("tensor", 3)], both, true),
    ];
    for (mesh, shard, fsdp) in meshes {
        let parted = accumulated(3, mesh, shard, fsdp);
        let found = evaluate_spmd(&parted.spmd, &inputs, Precision::F64).expect("a valid program");
        assert_eq!(difference(&expected, &found, 1e-9), None, "{mesh:?}, fsdp {fsdp}");
        let compiled = run(&parted.spmd, &inputs);
        let rounded = run(&whole.spmd, &inputs);
        assert_eq!(difference(&rounded, &compiled, 1e-4), None, "{mesh:?}, fsdp {fsdp}");
    }
}
