//! A model of `models/` with its weights and inputs: compiled with any placement, its arguments by the
//! names of the checkpoint, run natively.

use crate::compiled::{difference, levels};
use einmesh_driver::{Goal, Products, Request, Source, compile};
use einmesh_exec::tensors::{ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use einmesh_interp::{Precision, Tensor, evaluate, evaluate_spmd};
use einmesh_ir::DType;
use einmesh_models::{Checksum, Data};
use std::path::PathBuf;

/// Compiles for this machine's levels, with every stage's result verified.
pub fn compiled(mut request: Request, goal: Goal) -> Products {
    request.goal = goal;
    request.levels = levels();
    request.verify = true;
    let (session, result) = compile(&request);
    match result {
        Ok(products) => products,
        Err(failure) => panic!("{failure:?}\n{:#?}", session.diagnostics),
    }
}

/// An argument from a checkpoint's tensors: that of the name, or one for each layer where it has a `{}`.
pub fn argument(
    tensors: &[einmesh_models::Tensor],
    name: &str,
    dtype: DType,
    shape: &[usize],
) -> Tensor {
    let of = |name: &str| {
        let found = tensors.iter().find(|t| t.name == name);
        &found.unwrap_or_else(|| panic!("no tensor {name}")).data
    };
    let pieces: Vec<&Data> = match name.contains("{}") {
        true => (0..shape[0]).map(|l| of(&name.replace("{}", &l.to_string()))).collect(),
        false => vec![of(name)],
    };
    let elements = pieces.iter().flat_map(|p| p.to_f64());
    match dtype.is_float() {
        true => Tensor::float(dtype, shape, elements),
        false => Tensor::int(dtype, shape, elements.map(|x| x as i64)),
    }
}

/// A model and what it is run on.
pub struct Case {
    /// The file in `models/`.
    pub file: &'static str,
    /// What `-D` gives.
    pub definitions: Vec<(String, String)>,
    /// Weights and inputs, by the names of the checkpoint and of the arguments.
    pub tensors: Vec<einmesh_models::Tensor>,
    /// What `--precision compute=` gives.
    pub compute: Option<DType>,
}

/// A mesh and how values are split over it.
pub struct Placement {
    pub mesh: &'static [(&'static str, u64)],
    pub shard: &'static [(&'static str, &'static [&'static str])],
    pub fsdp: &'static [(&'static str, &'static str)],
}

/// One device.
pub const WHOLE: Placement = Placement { mesh: &[], shard: &[], fsdp: &[] };

impl Case {
    /// A case with the definitions of a configuration, a batch's, and others.
    pub fn new(
        file: &'static str,
        config: Vec<(&'static str, usize)>,
        others: &[(&str, &str)],
        tensors: Vec<einmesh_models::Tensor>,
    ) -> Case {
        let config = config.into_iter().map(|(name, extent)| (name.to_owned(), extent.to_string()));
        let others = others.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Case { file, definitions: config.chain(others).collect(), tensors, compute: None }
    }

    /// Compiles an entry with the dtype `weights` for its `type W`.
    pub fn products(
        &self,
        placement: &Placement,
        entry: &str,
        goal: Goal,
        weights: DType,
    ) -> Products {
        let models = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models"));
        let mut request = Request::new(Source::File(models.join(self.file)), entry);
        for (name, value) in &self.definitions {
            assert!(request.options.define(name, value), "-D {name}={value}");
        }
        request.options.types.insert("W".to_owned(), weights);
        let own = |s: &str| s.to_owned();
        let overrides = &mut request.options.overrides;
        overrides.mesh = Some(placement.mesh.iter().map(|(n, s)| (own(n), *s)).collect());
        let dims = |ds: &[&str]| ds.iter().map(|d| own(d)).collect();
        overrides.shard = Some(placement.shard.iter().map(|(n, d)| (own(n), dims(d))).collect());
        overrides.fsdp = Some(placement.fsdp.iter().map(|(n, r)| (own(n), own(r))).collect());
        overrides.precision = self.compute.map(Some);
        compiled(request, goal)
    }

    /// The entry's arguments, in the program's order, layers stacked.
    pub fn arguments(&self, products: &Products) -> Vec<Tensor> {
        let program = &products.lowered;
        let inputs = program.inputs.iter().map(|input| {
            let dtype = program.values[input.value].dtype;
            let shape = shape(products, input.value);
            argument(&self.tensors, &input.tensor, dtype, &shape)
        });
        inputs.collect()
    }

    /// The results of an entry in f64, from the interpreter.
    pub fn precise(&self, entry: &str) -> Vec<Tensor> {
        let reference = self.products(&WHOLE, entry, Goal::Interpret, DType::F64);
        let inputs = self.arguments(&reference);
        evaluate(&reference.lowered, &inputs, Precision::F64).expect("a valid program")
    }

    /// Compiles and runs an entry; its results.
    pub fn compiled(&self, placement: &Placement, entry: &str, weights: DType) -> Vec<Tensor> {
        let products = self.products(placement, entry, Goal::Build, weights);
        native(&products, &self.arguments(&products))
    }

    /// The compiled entry is within `rounding` of f64; on meshes it is within 1e-5 of that on one device.
    pub fn agrees_on_meshes(
        &self,
        entry: &str,
        rounding: f64,
        placements: &[(&'static str, Placement)],
    ) {
        let expected = self.precise(entry);
        let alone = self.compiled(&WHOLE, entry, DType::F32);
        let wide = alone.iter().map(|t| Tensor { dtype: DType::F64, ..t.clone() });
        let wide: Vec<Tensor> = wide.collect();
        assert_eq!(difference(&expected, &wide, rounding), None, "{}: unpartitioned", self.file);
        for (name, placement) in placements {
            let found = self.compiled(placement, entry, DType::F32);
            assert_eq!(difference(&alone, &found, 1e-5), None, "{}: {name}", self.file);
        }
    }

    /// Simulated ranks give what the whole program gives in f64.
    pub fn partitions_exactly(&self, entry: &str, placements: &[(&'static str, Placement)]) {
        let expected = self.precise(entry);
        for (name, placement) in placements {
            let parted = self.products(placement, entry, Goal::Interpret, DType::F64);
            let found = evaluate_spmd(&parted.spmd, &self.arguments(&parted), Precision::F64);
            let found = found.unwrap_or_else(|e| panic!("{}: {name}: {e:?}", self.file));
            assert_eq!(difference(&expected, &found, 1e-9), None, "{}: {name}", self.file);
        }
    }

    /// The sums over the logits of every row's last position and the loss, in f32, are `expected`.
    pub fn agrees_with_pytorch(&self, expected: Checksum, loss: f64) {
        let logits = self.compiled(&WHOLE, "forward", DType::F32).remove(0);
        let (length, vocabulary) = (logits.shape[1], logits.shape[2]);
        let rows = logits.floats().chunks_exact(length * vocabulary);
        let last = rows.flat_map(|row| &row[(length - 1) * vocabulary..]);
        let found = Checksum::of(last.copied());
        // Sums over 32,768 logits of relative rounding errors that do not all have one sign.
        assert!((found.sum - expected.sum).abs() < 0.05, "{found:?}");
        assert!((found.abs_sum - expected.abs_sum).abs() < 0.05, "{found:?}");
        assert!((found.weighted - expected.weighted).abs() < 0.01, "{found:?}");

        let found = self.compiled(&WHOLE, "loss", DType::F32)[0].floats()[0];
        assert!((found - loss).abs() < 1e-4, "{found}");
    }
}

/// Runs an artifact on virtual devices; its results.
pub fn native(products: &Products, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut session = bound(products, inputs);
    session.run().expect("kernels end");
    let outputs = 0..products.lowered.outputs.len();
    outputs.map(|position| output(products, &session, position)).collect()
}

/// A session with its inputs.
pub fn bound(products: &Products, inputs: &[Tensor]) -> Session {
    let artifact = products.artifact.as_ref().expect("the goal was an artifact");
    let module = Module::load(artifact).expect("this machine runs its own level");
    let options = Options { threads: 2, ..Options::default() };
    let mut session = Session::new(module, options).expect("memory for a small model");
    for (position, input) in inputs.iter().enumerate() {
        let bytes = input.to_bytes();
        let dtype = ElementType::of(einmesh_schedule::stored(input.dtype));
        session.bind(position, &Value { dtype, pieces: vec![&bytes] }).expect("inputs fit");
    }
    session
}

/// A result of a session's last run.
pub fn output(products: &Products, session: &Session, position: usize) -> Tensor {
    let found = session.output(position).expect("it ran");
    let value = products.lowered.outputs[position].value;
    let dtype = products.lowered.values[value].dtype;
    Tensor::from_bytes(dtype, &shape(products, value), &found.bytes).expect("it has its shape")
}

fn shape(products: &Products, value: einmesh_ir::ValueId) -> Vec<usize> {
    products.lowered.extents(value).iter().map(|n| *n as usize).collect()
}
