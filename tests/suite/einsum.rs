//! The einsums of the golden suite, computed as `einmesh einsum` does: a string becomes a program, the
//! program machine code, and its result is compared with checksums of a float64 one.
//!
//! `tests/golden/einsum.json` names the cases. Operand n of a case is uniform in ±½, from
//! `einmesh_models::generator` with the seed of `NAME/n`.

use crate::compiled::levels;
use einmesh_driver::{Products, Request, Source, compile};
use einmesh_exec::tensors::{ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use einmesh_models::Checksum;
use einmesh_models::generator::{seed, uniform};
use einmesh_syntax::einsum::Einsum;
use serde_json::Value as Json;

/// One case, with what a float64 computation gave.
struct Case {
    name: String,
    einsum: Einsum,
    shapes: Vec<Vec<u64>>,
    /// The shape of the result.
    shape: Vec<u64>,
    checksum: Checksum,
    /// √Σ y²
    l2: f64,
    /// The first and the last elements.
    ends: [Vec<f64>; 2],
}

/// A mesh and the dims that its axes split.
type Placement =
    (&'static [(&'static str, u64)], &'static [(&'static str, &'static [&'static str])]);

const WHOLE: Placement = (&[], &[]);

fn cases() -> Vec<Case> {
    let text = include_str!("../golden/einsum.json");
    let all: Vec<Json> = serde_json::from_str(text).expect("the golden file is JSON");
    all.iter().map(case).collect()
}

fn case(json: &Json) -> Case {
    let name = json["name"].as_str().expect("a name").to_owned();
    let shapes: Vec<Vec<u64>> = list(&json["shapes"], |s| list(s, integer));
    let seeds = (0..shapes.len()).map(|n| u64::from(seed(&format!("{name}/{n}"))));
    assert_eq!(seeds.collect::<Vec<u64>>(), list(&json["seeds"], integer));
    Case {
        einsum: Einsum::parse(json["expr"].as_str().expect("an einsum")).expect("a good einsum"),
        name,
        shapes,
        shape: list(&json["shape"], integer),
        checksum: Checksum {
            sum: number(&json["sum"]),
            abs_sum: number(&json["abs_sum"]),
            weighted: number(&json["weighted"]),
        },
        l2: number(&json["l2"]),
        ends: [list(&json["head"], number), list(&json["tail"], number)],
    }
}

fn list<T>(json: &Json, of: impl Fn(&Json) -> T) -> Vec<T> {
    json.as_array().expect("a list").iter().map(of).collect()
}

fn integer(json: &Json) -> u64 {
    json.as_u64().expect("an integer")
}

fn number(json: &Json) -> f64 {
    json.as_f64().expect("a number")
}

impl Case {
    /// How far f32 may be from f64, relative to the size of the elements.
    ///
    /// A sum of K terms that are independent and of either sign makes K rounding errors, each at most
    /// half an ulp of a partial sum, which is not larger than the whole: √K · u if they are independent
    /// too. n operands take n − 1 such sums, each over at most an operand's summed indices. Eight times that
    /// does not happen by chance. A sum over elements is closer still, relative to Σ |y|.
    fn tolerance(&self) -> f64 {
        let terms = |(indices, shape): (&Vec<String>, &Vec<u64>)| -> u64 {
            let pairs = indices.iter().zip(shape);
            let summed = pairs.filter(|(index, _)| !self.einsum.output.contains(index));
            summed.map(|(_, extent)| extent).product()
        };
        let operands = self.einsum.operands.iter().zip(&self.shapes);
        let longest = operands.map(terms).max().unwrap_or(1);
        let sums = (self.shapes.len() - 1).max(1) as u64;
        8.0 * ((sums * longest) as f64).sqrt() * f64::from(f32::EPSILON) / 2.0
    }

    /// The program for this case's shapes, compiled for a mesh.
    fn compile(&self, (mesh, shard): &Placement) -> Products {
        let extents = self.einsum.extents(&self.shapes).expect("the shapes fit");
        let source =
            Source::Text { name: self.name.clone(), text: self.einsum.program(&extents, "f32") };
        let mut request = Request::new(source, "einsum");
        request.levels = levels();
        let overrides = &mut request.options.overrides;
        overrides.mesh = Some(mesh.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect());
        let dims = |dims: &[&str]| dims.iter().map(|d| (*d).to_owned()).collect();
        overrides.shard = Some(shard.iter().map(|(n, d)| ((*n).to_owned(), dims(d))).collect());
        let (session, result) = compile(&request);
        match result {
            Ok(products) => products,
            Err(failure) => panic!("{}: {failure:?}\n{:#?}", self.name, session.diagnostics),
        }
    }

    /// Computes the case natively.
    fn run(&self, products: &Products) -> Vec<f32> {
        let artifact = products.artifact.as_ref().expect("the goal was an artifact");
        let module = Module::load(artifact).expect("this machine runs its own level");
        let options = Options { threads: 2, ..Options::default() };
        let mut session = Session::new(module, options).expect("memory for one einsum");
        for (n, shape) in self.shapes.iter().enumerate() {
            let count = shape.iter().product::<u64>() as usize;
            let elements = uniform(count, seed(&format!("{}/{n}", self.name)), 1.0);
            let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
            let value = Value { dtype: ElementType::F32, pieces: vec![&bytes] };
            session.bind(n, &value).expect("the operand fits");
        }
        session.run().expect("kernels end");
        let found = session.output(0).expect("it ran");
        assert_eq!(found.shape, self.shape, "{}", self.name);
        let (elements, rest) = found.bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        elements.iter().map(|x| f32::from_le_bytes(*x)).collect()
    }

    /// What differs from the float64 result by more than rounding.
    fn differences(&self, found: &[f32]) -> Vec<String> {
        let tolerance = self.tolerance();
        let mut all = Vec::new();
        let mut compare = |what: &str, expected: f64, found: f64, scale: f64| {
            let error = (found - expected).abs() / scale;
            if error > tolerance || error.is_nan() {
                let name = &self.name;
                all.push(format!(
                    "{name}: {what} is {found}, not {expected}: {error:.1e} apart, {tolerance:.1e} allowed"
                ));
            }
        };
        let sums = Checksum::of(found.iter().map(|x| f64::from(*x)));
        let expected = self.checksum;
        let scale = expected.abs_sum;
        compare("Σ y", expected.sum, sums.sum, scale);
        compare("Σ |y|", expected.abs_sum, sums.abs_sum, scale);
        compare("Σ y·w", expected.weighted, sums.weighted, scale);
        let size = self.l2 / (found.len() as f64).sqrt();
        let last = found.len() - self.ends[1].len();
        for (start, expected) in [0, last].into_iter().zip(&self.ends) {
            for (n, expected) in expected.iter().enumerate() {
                let (i, found) = (start + n, f64::from(found[start + n]));
                compare(&format!("element {i}"), *expected, found, size);
            }
        }
        all
    }
}

#[test]
fn every_case_agrees_with_float64() {
    let cases = cases();
    assert_eq!(cases.len(), 29);
    let check = |case: &Case| case.differences(&case.run(&case.compile(&WHOLE)));
    let all: Vec<String> = cases.iter().flat_map(check).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// (case, placement, the collectives it takes)
const PLACED: [(&str, Placement, &[&str]); 5] = [
    // A split free index stays split: no communication, and no gathering either.
    ("mlp_up", (&[("tensor", 2)], &[("tensor", &["F"])]), &[]),
    ("mlp_up", (&[("data", 2), ("tensor", 2)], &[("data", &["T"]), ("tensor", &["F"])]), &[]),
    // A split summed index leaves partial sums.
    ("mlp_down", (&[("tensor", 2)], &[("tensor", &["F"])]), &["all_reduce"]),
    ("out_proj", (&[("tensor", 3)], &[("tensor", &["H"])]), &["all_reduce"]),
    // 16 rows over 3 devices: 6, 6 and 4.
    ("ring_mps", (&[("x", 3)], &[("x", &["I"])]), &[]),
];

#[test]
fn cases_on_meshes_agree_with_float64() {
    let cases = cases();
    for (name, placement, collectives) in &PLACED {
        let case = cases.iter().find(|c| c.name == *name).expect("a case of that name");
        let products = case.compile(placement);
        let ops: Vec<&str> = products.collectives.iter().map(|c| c.op.as_str()).collect();
        assert_eq!(ops, *collectives, "{name} on {:?}", placement.0);
        let all = case.differences(&case.run(&products));
        assert!(all.is_empty(), "{:?}:\n{}", placement.0, all.join("\n"));
    }
}

#[test]
fn a_difference_is_seen() {
    let cases = cases();
    let case = cases.iter().find(|c| c.name == "cp_hyperedge").expect("a small case");
    let mut result = case.run(&case.compile(&WHOLE));
    assert!(case.differences(&result).is_empty());
    result.swap(0, 1);
    assert!(!case.differences(&result).is_empty(), "swapped elements");
    result.swap(0, 1);
    let middle = result.len() / 2;
    result[middle] = f32::NAN;
    assert!(!case.differences(&result).is_empty(), "not a number");
}
