//! Greedy decoding with a cache: the tokens of a float64 PyTorch model, one step at a time, on one device
//! and with the heads split over two; and the cache is updated where it lies.
//!
//! `tests/golden/decode_*_tiny.json` hold the prompt and the tokens that follow it. The weights are
//! those of `einmesh_models`, times the gain that the file names.

use crate::model::compiled;
use einmesh_artifact::Step;
use einmesh_driver::{Goal, Products, Request, Source};
use einmesh_exec::tensors::{ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use einmesh_ir::DType;
use einmesh_models::weights::amplify;
use einmesh_models::{Data, Tensor, gpt2, llama};
use einmesh_schedule::kernel::{Body, Role};
use einmesh_schedule::{KernelGraph, stored};
use serde_json::Value as Json;
use std::path::Path;

/// A model that decodes.
struct Model {
    file: &'static str,
    definitions: Vec<(&'static str, usize)>,
    weights: fn() -> Vec<Tensor>,
    golden: &'static str,
    /// The dims that `tensor` splits.
    split: &'static [&'static str],
}

fn gpt() -> Model {
    Model {
        file: "gpt2_decode.ein",
        definitions: gpt2::Config::TINY.definitions(),
        weights: || gpt2::weights(&gpt2::Config::TINY),
        golden: include_str!("../golden/decode_gpt_tiny.json"),
        split: &["H", "F", "V"],
    }
}

fn llama() -> Model {
    Model {
        file: "llama_decode.ein",
        // The golden model turns by the angles of LLaMA 1 and 2.
        definitions: [llama::Config::TINY.definitions(), vec![("theta", 10_000)]].concat(),
        weights: || llama::weights(&llama::Config::TINY),
        golden: include_str!("../golden/decode_llama_tiny.json"),
        split: &["G", "F", "V"],
    }
}

/// A prompt and what follows.
struct Golden {
    prompt: Vec<i32>,
    tokens: Vec<i32>,
    gain: f32,
}

impl Model {
    fn golden(&self) -> Golden {
        let json: Json = serde_json::from_str(self.golden).expect("the golden file is JSON");
        let tokens = |key: &str| -> Vec<i32> {
            let all = json[key].as_array().expect("a list");
            all.iter().map(|t| t.as_i64().expect("a token") as i32).collect()
        };
        let gain = json["gain"].as_f64().expect("a number") as f32;
        Golden { prompt: tokens("prompt"), tokens: tokens("tokens"), gain }
    }

    /// The positions that the cache holds.
    fn slots(&self) -> usize {
        let golden = self.golden();
        golden.prompt.len() + golden.tokens.len()
    }

    /// Compiles an entry; `more` is given with `-D`, and each mesh axis splits what the model says.
    fn compile(
        &self,
        entry: &str,
        more: &[(&str, &str)],
        mesh: &[(&str, u64)],
        goal: Goal,
    ) -> Products {
        let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models"));
        let mut request = Request::new(Source::File(models.join(self.file)), entry);
        let own = [("B", 1), ("T", self.golden().prompt.len()), ("S", self.slots())];
        let numbers = self.definitions.iter().chain(&own).map(|(n, v)| (*n, v.to_string()));
        let more = more.iter().map(|(n, v)| (*n, (*v).to_owned()));
        for (name, value) in numbers.chain(more) {
            assert!(request.options.define(name, &value), "-D {name}={value}");
        }
        if !mesh.is_empty() {
            let overrides = &mut request.options.overrides;
            overrides.mesh = Some(mesh.iter().map(|(n, size)| ((*n).to_owned(), *size)).collect());
            let split = |axis: &str| match axis {
                "data" => vec!["B".to_owned()],
                _ => self.split.iter().map(|d| (*d).to_owned()).collect(),
            };
            let axes = mesh.iter().map(|(n, _)| ((*n).to_owned(), split(n)));
            overrides.shard = Some(axes.collect());
        }
        compiled(request, goal)
    }

    fn amplified(&self) -> Vec<Tensor> {
        let mut weights = (self.weights)();
        amplify(&mut weights, self.golden().gain);
        weights
    }

    /// What `generate` makes of prompts: for each row all positions, and how many are used.
    fn generated(
        &self,
        prompts: &[&[i32]],
        more: &[(&str, &str)],
        mesh: &[(&str, u64)],
    ) -> Vec<(Vec<i32>, i32)> {
        let golden = self.golden();
        let (rows, most) = (prompts.len().to_string(), golden.tokens.len().to_string());
        let own = [("B", rows.as_str()), ("N", most.as_str())];
        let products = self.compile("generate", &[&own, more].concat(), mesh, Goal::Build);
        let mut machine = Machine::new(products, &self.amplified());
        let padded = prompts.iter().flat_map(|p| {
            let rest = golden.prompt.len() - p.len();
            p.iter().copied().chain(std::iter::repeat_n(7, rest))
        });
        machine.set("prompt", &padded.collect::<Vec<i32>>());
        machine.set("len", &prompts.iter().map(|p| p.len() as i32).collect::<Vec<i32>>());
        machine.bind("seed", &[&42u64.to_le_bytes()]);
        machine.session.run().expect("kernels end");
        let numbers = |path: &str| -> Vec<i32> {
            let bytes = machine.output(path);
            bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let tokens = numbers("tokens");
        let rows = tokens.chunks_exact(self.slots()).map(<[i32]>::to_vec);
        rows.zip(numbers("length")).collect()
    }

    /// The tokens that follow the prompt, each the likeliest.
    fn greedy(&self, mesh: &[(&str, u64)]) -> Vec<i32> {
        let golden = self.golden();
        let weights = self.amplified();
        let mut prefill = Machine::new(self.compile("prefill", &[], mesh, Goal::Build), &weights);
        prefill.set("tokens", &golden.prompt);
        prefill.set("len", &[golden.prompt.len() as i32]);
        prefill.session.run().expect("kernels end");
        let mut step = Machine::new(self.compile("decode_step", &[], mesh, Goal::Build), &weights);
        for cache in ["cache.k", "cache.v"] {
            step.bind(cache, &[&prefill.output(cache)]);
        }
        let mut tokens = vec![prefill.likeliest()];
        while tokens.len() < golden.tokens.len() {
            step.set("tok", &[tokens[tokens.len() - 1]]);
            step.set("pos", &[(golden.prompt.len() + tokens.len() - 1) as i32]);
            step.session.run().expect("kernels end");
            tokens.push(step.likeliest());
        }
        tokens
    }
}

/// A compiled entry with its weights bound, and its cache empty.
struct Machine {
    session: Session,
}

impl Machine {
    fn new(products: Products, weights: &[Tensor]) -> Machine {
        let artifact = products.artifact.as_ref().expect("the goal was an artifact");
        let module = Module::load(artifact).expect("this machine runs its own level");
        let options = Options { threads: 2, ..Options::default() };
        let session = Session::new(module, options).expect("memory for a small model");
        let mut machine = Machine { session };
        let program = &products.lowered;
        for input in &program.inputs {
            if input.path.starts_with("p.") {
                let layers = program.extents(input.value)[0];
                let of = |name: String| match weights.iter().find(|t| t.name == name) {
                    Some(Tensor { data: Data::F32(elements), .. }) => bytes(elements),
                    _ => panic!("no weights {name}"),
                };
                let count = if input.tensor.contains("{}") { layers } else { 1 };
                let pieces: Vec<Vec<u8>> =
                    (0..count).map(|l| of(input.tensor.replace("{}", &l.to_string()))).collect();
                let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
                machine.bind(&input.path, &pieces);
            } else if input.donated {
                machine.bind(&input.path, &[&vec![0; program.bytes(input.value) as usize]]);
            }
        }
        machine
    }

    fn bind(&mut self, path: &str, pieces: &[&[u8]]) {
        let inputs = &self.session.manifest().inputs;
        let position = inputs.iter().position(|i| i.path == path).expect("an input of this name");
        let value =
            Value { dtype: ElementType::of(inputs[position].dtype), pieces: pieces.to_vec() };
        self.session.bind(position, &value).expect("inputs fit");
    }

    fn set(&mut self, path: &str, numbers: &[i32]) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.bind(path, &[&bytes]);
    }

    fn output(&self, path: &str) -> Vec<u8> {
        let outputs = &self.session.manifest().outputs;
        let position = outputs.iter().position(|o| o.path == path).expect("an output of this name");
        self.session.output(position).expect("it ran").bytes
    }

    /// The position of the largest logit.
    fn likeliest(&self) -> i32 {
        let logits = self.output("logits");
        let logits = logits.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let best = logits.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best.expect("a vocabulary").0 as i32
    }
}

fn bytes(elements: &[f32]) -> Vec<u8> {
    elements.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn decode_ein_has_llamas_entries() {
    let model = Model { file: "decode.ein", ..llama() };
    for entry in ["prefill", "decode_step", "generate"] {
        let planned = model.compile(entry, &[("N", "2")], &[("tensor", 2)], Goal::Plan);
        assert!(!planned.spmd.program.outputs.is_empty(), "{entry}");
    }
}

#[test]
fn gpt_gives_pytorchs_tokens() {
    let golden = gpt().golden();
    assert_eq!(gpt().greedy(&[]), golden.tokens, "one device");
    assert_eq!(gpt().greedy(&[("tensor", 2)]), golden.tokens, "two devices");
}

#[test]
fn llama_gives_pytorchs_tokens() {
    let golden = llama().golden();
    assert_eq!(llama().greedy(&[]), golden.tokens, "one device");
    assert_eq!(llama().greedy(&[("tensor", 2)]), golden.tokens, "two devices");
}

#[test]
fn llamas_cache_is_updated_in_place() {
    updates_in_place(&llama());
}

#[test]
fn gpt_generates_pytorchs_tokens() {
    generates(&gpt());
}

#[test]
fn llama_generates_pytorchs_tokens() {
    generates(&llama());
}

/// The whole loop, compiled: it ends by itself, each row for itself, and a row does not depend on what
/// is decoded beside it.
fn generates(model: &Model) {
    let golden = model.golden();
    let (prompt, likeliest) = (&golden.prompt[..], ("temp", "0"));
    let whole = [prompt, &golden.tokens].concat();
    let full = (whole.clone(), whole.len() as i32);
    let alone = model.generated(&[prompt], &[likeliest], &[]);
    assert_eq!(alone, std::slice::from_ref(&full), "one device");
    let short = model.generated(&[&prompt[..20]], &[likeliest], &[]).remove(0);
    // The limit ends it before the row is full.
    assert_eq!(short.1 as usize, 20 + golden.tokens.len());
    let prompts = [prompt, &prompt[..20]];
    for mesh in [&[("data", 2)][..], &[("tensor", 2)], &[("data", 2), ("tensor", 2)]] {
        let found = model.generated(&prompts, &[likeliest], mesh);
        assert_eq!(found, [full.clone(), short.clone()], "{mesh:?}");
    }

    // The fifth token ends the text, wherever it comes first.
    let end = golden.tokens[4];
    let used = prompt.len() + 1 + golden.tokens.iter().position(|t| *t == end).expect("it is one");
    let mut ended = whole.clone();
    ended[used..].fill(end);
    let eos = end.to_string();
    let found = model.generated(&[prompt], &[likeliest, ("eos", &eos)], &[]);
    assert_eq!(found, [(ended, used as i32)]);

    // Drawn tokens are the same on any mesh.
    let drawn = |mesh: &[(&str, u64)]| model.generated(&prompts, &[("top_p", "0.9")], mesh);
    let once = drawn(&[]);
    assert_ne!(once[0], full);
    assert_eq!(drawn(&[("data", 2)]), once);
}

#[test]
fn gpts_cache_is_updated_in_place() {
    updates_in_place(&gpt());
}

/// Nothing is copied, the cache stays where it was given, and a kernel that writes it writes the new rows
/// only; on one device and on two, for either type of numbers.
fn updates_in_place(model: &Model) {
    for dtype in [DType::F32, DType::Bf16] {
        for mesh in [&[][..], &[("tensor", 2)]] {
            let name = dtype.to_string();
            let types = [("W", name.as_str()), ("KV", name.as_str())];
            let products = model.compile("decode_step", &types, mesh, Goal::Plan);
            let graph = products.graph.expect("the goal was a schedule");
            let mut all = Vec::new();
            flatten(&graph.steps, &mut all);
            let copies = all.iter().filter(|s| matches!(s, Step::Copy { .. })).count();
            assert_eq!(copies, 0, "{dtype} on {mesh:?}");
            for path in ["cache.k", "cache.v"] {
                let input = graph.inputs.iter().position(|i| i.path == path).expect("a cache");
                let output = graph.outputs.iter().find(|o| o.path == path).expect("a cache");
                assert_eq!(output.donor, Some(input as u32), "{path}");
                assert_eq!(output.dtype, stored(dtype));
                let buffer = &graph.buffers[output.buffer as usize];
                // One position of one layer.
                let (layers, slots) = (buffer.extents[0], model.slots() as u64);
                let elements: u64 = buffer.extents.iter().product();
                let written = points_written(&graph, &all, output.buffer);
                assert_eq!(written, [elements / layers / slots], "{path}");
            }
        }
    }
}

/// For each launch that writes a buffer, how many points it computes.
fn points_written(graph: &KernelGraph, steps: &[&Step], buffer: u32) -> Vec<u64> {
    let mut all = Vec::new();
    for step in steps {
        let Step::Launch { kernel, operands, .. } = step else { continue };
        let kernel = &graph.kernels[*kernel as usize];
        let writes = operands.iter().zip(&kernel.values);
        if writes.filter(|(o, _)| **o == buffer).all(|(_, m)| m.role == Role::Read) {
            continue;
        }
        let Body::Nest(nest) = &kernel.body else { panic!("a store is a nest") };
        let stage = nest.stages.last().expect("a nest has stages");
        let indices = nest.outer.iter().chain(&stage.free).chain(&stage.reduced);
        all.push(indices.map(|i| kernel.indices[i.0 as usize].extent).product());
    }
    all
}

/// The steps, those of loops included.
fn flatten<'a>(steps: &'a [Step], all: &mut Vec<&'a Step>) {
    for step in steps {
        all.push(step);
        if let Step::Loop { steps, .. } = step {
            flatten(steps, all);
        }
    }
}
