//! GPT-2 from `models/gpt2.ein`, on meshes: against the interpreter in f64, and against values that a
//! float64 PyTorch model gave on the same weights and tokens.

use crate::compiled::{difference, level};
use einmesh_driver::{Goal, Products, Request, Source, compile};
use einmesh_exec::tensors::{ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use einmesh_interp::{Precision, Tensor, evaluate, evaluate_spmd};
use einmesh_ir::DType;
use einmesh_models::gpt2::{Config, batch, weights};
use einmesh_models::{Checksum, Data};
use std::path::PathBuf;

/// A model and a batch.
struct Case {
    config: Config,
    rows: usize,
    length: usize,
}

/// Nothing divides anything.
const ODD: Case =
    Case { config: Config { L: 3, D: 192, H: 6, P: 77, V: 1003, F: 768 }, rows: 2, length: 77 };

/// A mesh and how values are split over it.
struct Placement {
    mesh: &'static [(&'static str, u64)],
    shard: &'static [(&'static str, &'static [&'static str])],
    fsdp: &'static [(&'static str, &'static str)],
}

const WHOLE: Placement = Placement { mesh: &[], shard: &[], fsdp: &[] };
const TENSOR: (&str, &[&str]) = ("tensor", &["H", "F", "V"]);
const PLACEMENTS: [(&str, Placement); 6] = [
    ("data=2", Placement { mesh: &[("data", 2)], shard: &[("data", &["B"])], fsdp: &[] }),
    ("tensor=2", Placement { mesh: &[("tensor", 2)], shard: &[TENSOR], fsdp: &[] }),
    ("tensor=3", Placement { mesh: &[("tensor", 3)], shard: &[TENSOR], fsdp: &[] }),
    (
        "data=2,tensor=2",
        Placement {
            mesh: &[("data", 2), ("tensor", 2)],
            shard: &[("data", &["B"]), TENSOR],
            fsdp: &[],
        },
    ),
    (
        "data=2,tensor=4",
        Placement {
            mesh: &[("data", 2), ("tensor", 4)],
            shard: &[("data", &["B"]), TENSOR],
            fsdp: &[],
        },
    ),
    (
        "fsdp data=4",
        Placement { mesh: &[("data", 4)], shard: &[("data", &["B"])], fsdp: &[("data", "Params")] },
    ),
];

fn products(case: &Case, placement: &Placement, entry: &str, goal: Goal, f64: bool) -> Products {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/gpt2.ein"));
    let mut request = Request::new(Source::File(file), entry);
    for (name, extent) in case.config.definitions() {
        request.options.dims.insert(name.to_owned(), extent as u64);
    }
    request.options.dims.insert("B".to_owned(), case.rows as u64);
    request.options.dims.insert("T".to_owned(), case.length as u64);
    if f64 {
        request.options.types.insert("W".to_owned(), DType::F64);
    }
    let own = |s: &str| s.to_owned();
    let overrides = &mut request.options.overrides;
    overrides.mesh = Some(placement.mesh.iter().map(|(n, s)| (own(n), *s)).collect());
    let dims = |ds: &[&str]| ds.iter().map(|d| own(d)).collect();
    overrides.shard = Some(placement.shard.iter().map(|(n, d)| (own(n), dims(d))).collect());
    overrides.fsdp = Some(placement.fsdp.iter().map(|(n, r)| (own(n), own(r))).collect());
    request.goal = goal;
    request.levels = vec![level()];
    request.verify = true;
    let (session, result) = compile(&request);
    match result {
        Ok(products) => products,
        Err(failure) => panic!("{failure:?}\n{:#?}", session.diagnostics),
    }
}

/// The entry's arguments, in the program's order, layers stacked.
fn arguments(case: &Case, products: &Products) -> Vec<Tensor> {
    let mut named = weights(&case.config);
    named.extend(batch(&case.config, case.rows, case.length));
    let program = &products.lowered;
    let of = |name: &str| {
        let found = named.iter().find(|t| t.name == name);
        &found.unwrap_or_else(|| panic!("no tensor {name}")).data
    };
    program
        .inputs
        .iter()
        .map(|input| {
            let dtype = program.values[input.value].dtype;
            let shape: Vec<usize> =
                program.extents(input.value).iter().map(|n| *n as usize).collect();
            let pieces: Vec<&Data> = if input.tensor.contains("{}") {
                let layer = |l: usize| of(&input.tensor.replace("{}", &l.to_string()));
                (0..shape[0]).map(layer).collect()
            } else {
                vec![of(&input.tensor)]
            };
            let elements = pieces.iter().flat_map(|p| p.to_f64());
            match dtype.is_float() {
                true => Tensor::float(dtype, &shape, elements),
                false => Tensor::int(dtype, &shape, elements.map(|x| x as i64)),
            }
        })
        .collect()
}

/// Runs an artifact on virtual devices; the first result, as f64.
fn native(products: &Products, inputs: &[Tensor]) -> Tensor {
    let artifact = products.artifact.as_ref().expect("the goal was an artifact");
    let module = Module::load(artifact).expect("this machine runs its own level");
    let options = Options { threads: 2, ..Options::default() };
    let mut session = Session::new(module, options).expect("memory for a small model");
    for (position, input) in inputs.iter().enumerate() {
        let bytes = input.to_bytes();
        let dtype = ElementType::of(einmesh_schedule::stored(input.dtype));
        session.bind(position, &Value { dtype, pieces: vec![&bytes] }).expect("inputs fit");
    }
    session.run().expect("kernels end");
    let found = session.output(0).expect("it ran");
    let output = &products.lowered.outputs[0];
    let shape: Vec<usize> =
        products.lowered.extents(output.value).iter().map(|n| *n as usize).collect();
    let dtype = products.lowered.values[output.value].dtype;
    Tensor::from_bytes(dtype, &shape, &found.bytes).expect("the result has its shape")
}

#[test]
fn odd_sizes_agree_with_f64_on_every_mesh() {
    let reference = products(&ODD, &WHOLE, "forward", Goal::Interpret, true);
    let inputs = arguments(&ODD, &reference);
    let expected = evaluate(&reference.lowered, &inputs, Precision::F64).expect("a valid program");

    let whole = products(&ODD, &WHOLE, "forward", Goal::Build, false);
    let inputs = arguments(&ODD, &whole);
    let alone = native(&whole, &inputs);
    let wide = Tensor { dtype: DType::F64, ..alone.clone() };
    assert_eq!(difference(&expected, &[wide], 2e-4), None, "unpartitioned");
    for (name, placement) in &PLACEMENTS {
        let parted = products(&ODD, placement, "forward", Goal::Build, false);
        let found = native(&parted, &inputs);
        assert_eq!(difference(std::slice::from_ref(&alone), &[found], 1e-5), None, "{name}");
    }
}

#[test]
fn simulated_ranks_agree_in_f64() {
    let reference = products(&ODD, &WHOLE, "forward", Goal::Interpret, true);
    let inputs = arguments(&ODD, &reference);
    let expected = evaluate(&reference.lowered, &inputs, Precision::F64).expect("a valid program");
    for (name, placement) in &PLACEMENTS {
        let parted = products(&ODD, placement, "forward", Goal::Interpret, true);
        let found = evaluate_spmd(&parted.spmd, &inputs, Precision::F64);
        let found = found.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(difference(&expected, &found, 1e-9), None, "{name}");
    }
}

#[test]
fn two_all_reduces_per_layer_and_the_vocabularys() {
    for size in [2, 4, 8] {
        let mesh: &'static [(&str, u64)] = match size {
            2 => &[("tensor", 2)],
            4 => &[("tensor", 4)],
            _ => &[("tensor", 8)],
        };
        let placement = Placement { mesh, shard: &[TENSOR], fsdp: &[] };
        let case = Case { config: Config::TINY, rows: 4, length: 256 };
        let parted = products(&case, &placement, "forward", Goal::Interpret, false);
        let reduces: u64 = parted.collectives.iter().map(|c| c.count).sum();
        assert!(
            parted.collectives.iter().all(|c| c.op == "all_reduce"),
            "{:#?}",
            parted.collectives
        );
        assert_eq!(reduces, 2 * case.config.L as u64 + 1, "{:#?}", parted.collectives);
        let payload = (case.rows * case.length * case.config.D * 4) as u64;
        let textbook = reduces * payload * 2 * (size - 1) / size;
        let wire: u64 = parted.collectives.iter().map(|c| c.count * c.wire_bytes).sum();
        assert!(wire <= textbook, "{wire} > {textbook}");
    }
}

/// From PyTorch in float64 on the same weights and tokens: the loss, and sums over the logits of every
/// row's last position.
#[test]
fn the_tiny_model_agrees_with_pytorch() {
    let case = Case { config: Config::TINY, rows: 4, length: 256 };
    let forward = products(&case, &WHOLE, "forward", Goal::Build, false);
    let logits = native(&forward, &arguments(&case, &forward));
    let (length, vocabulary) = (case.length, case.config.V);
    let rows = logits.floats().chunks_exact(length * vocabulary);
    let last = rows.flat_map(|row| &row[(length - 1) * vocabulary..]);
    let found = Checksum::of(last.copied());
    let expected =
        Checksum { sum: 40.015_295_946_1, abs_sum: 7_562.335_133_833, weighted: 14.633_897_949_2 };
    // Sums over 32,768 logits of relative rounding errors that do not all have one sign.
    assert!((found.sum - expected.sum).abs() < 0.05, "{found:?}");
    assert!((found.abs_sum - expected.abs_sum).abs() < 0.05, "{found:?}");
    assert!((found.weighted - expected.weighted).abs() < 0.01, "{found:?}");

    let loss = products(&case, &WHOLE, "loss", Goal::Build, false);
    let found = native(&loss, &arguments(&case, &loss)).floats()[0];
    assert!((found - 9.046_258_493_5).abs() < 1e-4, "{found}");
}
