//! The einsums of the golden suite and the matrix products of a transformer, from their text to machine
//! code, on one thread: the time that each spends in each kernel.

use crate::common::{Guarded, Loaded, compile_graph, load};
use crate::cpu_time;
use einmesh_artifact::{Buffer, Step, Storage};
use einmesh_codegen::Emitted;
use einmesh_driver::{Goal, Request, Source, compile};
use einmesh_schedule::KernelGraph;
use einmesh_syntax::einsum::Einsum;
use std::time::{Duration, Instant};

/// Matrix products beside the suite: (name, einsum, shapes).
const PRODUCTS: &[(&str, &str, [[u64; 2]; 2])] = &[
    ("gemm_1024", "mk,kn->mn", [[1024, 1024], [1024, 1024]]),
    ("gemm_up", "mk,kn->mn", [[512, 768], [768, 3072]]),
    ("gemm_down", "mk,kn->mn", [[512, 3072], [3072, 768]]),
    ("gemm_logits", "mk,nk->mn", [[128, 768], [50257, 768]]),
    ("gemm_head", "mk,nk->mn", [[256, 64], [256, 64]]),
    ("gemm_context", "mk,kn->mn", [[256, 256], [256, 64]]),
    ("rows1_in_out", "mk,kn->mn", [[1, 768], [768, 3072]]),
    ("rows1_down", "mk,kn->mn", [[1, 3072], [3072, 768]]),
    ("rows1_out_in", "mk,nk->mn", [[1, 768], [3072, 768]]),
    ("rows2_out_in", "mk,nk->mn", [[2, 768], [3072, 768]]),
    ("rows4_in_out", "mk,kn->mn", [[4, 768], [768, 3072]]),
    ("rows4_out_in", "mk,nk->mn", [[4, 768], [3072, 768]]),
    ("rows8_in_out", "mk,kn->mn", [[8, 768], [768, 3072]]),
    ("rows8_out_in", "mk,nk->mn", [[8, 768], [3072, 768]]),
    ("rows1_logits", "mk,nk->mn", [[1, 768], [50257, 768]]),
    ("rows8_logits", "mk,nk->mn", [[8, 768], [50257, 768]]),
    ("rows1_wide", "mk,kn->mn", [[1, 768], [768, 50257]]),
    ("rows8_wide", "mk,kn->mn", [[8, 768], [768, 50257]]),
    ("read_150mb", "mn->", [[768, 50257], [0, 0]]),
];

/// Measures the cases whose names contain one of `wanted` (all, if there are none); `dtype` is that of
/// every operand.
pub fn measure(wanted: &[String], dtype: &str, kernels: bool) {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/einsum.json");
    let text = std::fs::read_to_string(golden).expect("the golden cases are there");
    let golden: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
    let shapes = |case: &serde_json::Value| -> Vec<Vec<u64>> {
        serde_json::from_value(case["shapes"].clone()).expect("shapes")
    };
    let string = |case: &serde_json::Value, key: &str| case[key].as_str().expect(key).to_owned();
    let suite = golden.iter().map(|c| (string(c, "name"), string(c, "expr"), shapes(c)));
    let products = PRODUCTS.iter().map(|(name, einsum, shapes)| {
        let shapes = shapes.iter().filter(|s| s[0] > 0).map(|s| s.to_vec()).collect();
        ((*name).to_owned(), (*einsum).to_owned(), shapes)
    });
    for (name, einsum, shapes) in suite.chain(products) {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            case(&name, &einsum, &shapes, dtype, kernels);
        }
    }
}

fn case(name: &str, einsum: &str, shapes: &[Vec<u64>], dtype: &str, kernels: bool) {
    let einsum = Einsum::parse(einsum).expect("a good einsum");
    let extents = einsum.extents(shapes).expect("the shapes fit");
    let source = Source::Text { name: name.to_owned(), text: einsum.program(&extents, dtype) };
    let request = Request { goal: Goal::Plan, ..Request::new(source, "einsum") };
    let (_, result) = compile(&request);
    let graph = result.expect("the case compiles").graph.expect("the goal was a schedule");
    let emitted = compile_graph(&graph);
    let loaded = load(&emitted);
    if kernels {
        println!("{graph}");
    }
    for (image, loaded) in loaded.iter().enumerate() {
        let machine = Machine::new(&graph, &emitted, loaded, image);
        let (best, parts) = machine.measure();
        let level = &emitted.images[image].0.level;
        let flops = flops(&graph);
        let rate = flops / best.as_secs_f64() / 1e9;
        let outside = machine.inputs.iter().chain(&machine.outputs).map(|m| m.bytes().len());
        let bytes = outside.sum::<usize>() as f64 / best.as_secs_f64() / 1e9;
        let ms = best.as_secs_f64() * 1e3;
        println!("{name:20} {level:10} {ms:9.3} ms {rate:7.1} GF/s {bytes:6.1} GB/s");
        if kernels {
            for (step, time) in graph.steps.iter().zip(parts) {
                if let Step::Launch { kernel, .. } = step {
                    let name = &graph.kernels[*kernel as usize].name;
                    println!("    {name:30} {:9.3} ms", time.as_secs_f64() * 1e3);
                }
            }
        }
    }
}

/// Multiplications and additions of the schedule's products and reductions.
fn flops(graph: &KernelGraph) -> f64 {
    use einmesh_schedule::kernel::{Body, Contraction};
    let of = |kernel: u32| -> f64 {
        let kernel = &graph.kernels[kernel as usize];
        let points = |ids: &[einmesh_ir::IndexId]| -> f64 {
            ids.iter().map(|i| kernel.indices[i.0 as usize].extent as f64).product()
        };
        let product =
            |c: &Contraction| 2.0 * points(&c.batch) * points(&c.m) * points(&c.n) * points(&c.k);
        match &kernel.body {
            Body::Contraction(c) => product(c),
            Body::Siblings(siblings) => siblings.iter().map(product).sum(),
            Body::Online(o) => {
                let rows = points(&o.batch) * points(&o.m);
                let columns = o.context.as_ref().map_or(0.0, |c| points(&c.v));
                2.0 * rows * points(&[o.n]) * (points(&o.k) + columns)
            }
            Body::Sweep(s) => {
                let depths = s.products.iter().map(|p| points(&p.k));
                let columns = s.sums.iter().map(|sum| points(&sum.v));
                let all = points(&s.batch) * points(&s.m) * points(&[s.n]);
                2.0 * all * depths.chain(columns).sum::<f64>()
            }
            Body::Nest(nest) => {
                let stage = |s: &einmesh_schedule::kernel::Stage| {
                    let factors = 1 + usize::from(s.body.loads().len() > 1);
                    factors as f64 * points(&s.free) * points(&s.reduced)
                };
                points(&nest.outer) * nest.stages.iter().map(stage).sum::<f64>()
            }
            Body::Argsort { .. } => 0.0,
        }
    };
    let launches = graph.steps.iter().map(|step| match step {
        Step::Launch { kernel, .. } => of(*kernel),
        _ => 0.0,
    });
    launches.sum()
}

/// A schedule's memory, and the code that works on it.
struct Machine<'a> {
    graph: &'a KernelGraph,
    emitted: &'a Emitted,
    loaded: &'a Loaded,
    image: usize,
    arena: Guarded,
    inputs: Vec<Guarded>,
    outputs: Vec<Guarded>,
    workspace: Guarded,
    scratch: Guarded,
}

impl<'a> Machine<'a> {
    fn new(graph: &'a KernelGraph, emitted: &'a Emitted, loaded: &'a Loaded, image: usize) -> Self {
        let buffer = |n: u32| &graph.buffers[n as usize];
        let size = |b: &Buffer| b.bytes().expect("it fits") as usize;
        let mut seed = 1u32;
        let mut random = |memory: &mut Guarded, half: bool| {
            for place in memory.bytes_mut().chunks_mut(if half { 2 } else { 4 }) {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let bits = ((seed >> 8) as f32 / (1 << 24) as f32 - 0.5).to_bits().to_le_bytes();
                let count = place.len();
                place.copy_from_slice(&bits[4 - count..]);
            }
        };
        let inputs = graph.inputs.iter().map(|i| {
            let buffer = buffer(i.buffer);
            let mut memory = Guarded::new(size(buffer), 64);
            random(&mut memory, buffer.dtype == einmesh_artifact::DType::Bf16);
            memory
        });
        let inputs = inputs.collect();
        let most = |of: &dyn Fn(&einmesh_artifact::Phase) -> u64| {
            let phases = emitted.kernels.iter().flat_map(|k| &k.phases[image]);
            phases.map(of).max().unwrap_or(0) as usize
        };
        Machine {
            graph,
            emitted,
            loaded,
            image,
            arena: Guarded::new(graph.arena_bytes as usize, 64),
            inputs,
            outputs: graph
                .outputs
                .iter()
                .map(|o| Guarded::new(size(buffer(o.buffer)), 64))
                .collect(),
            workspace: Guarded::new(most(&|p| p.workspace_bytes), 64),
            scratch: Guarded::new(most(&|p| p.scratch_bytes), 64),
        }
    }

    /// The fastest run by processor time, and the fastest of each step.
    fn measure(&self) -> (Duration, Vec<Duration>) {
        let mut best = Duration::MAX;
        let mut parts = vec![Duration::MAX; self.graph.steps.len()];
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(200) || best == Duration::MAX {
            let mut total = Duration::ZERO;
            for (step, part) in self.graph.steps.iter().zip(&mut parts) {
                let before = cpu_time();
                self.step(step);
                let time = cpu_time() - before;
                *part = time.min(*part);
                total += time;
            }
            best = best.min(total);
        }
        (best, parts)
    }

    fn step(&self, step: &Step) {
        let Step::Launch { kernel, operands, .. } = step else {
            return;
        };
        let place = |n: &u32| match self.graph.buffers[*n as usize].storage {
            // SAFETY: the schedule's offsets are within the arena.
            Storage::Arena(offset) => unsafe { self.arena.pointer().add(offset as usize) },
            Storage::Input(n) => self.inputs[n as usize].pointer(),
            Storage::Output(n) => self.outputs[n as usize].pointer(),
        };
        let pointers: Vec<*mut u8> = operands.iter().map(place).collect();
        for phase in &self.emitted.kernels[*kernel as usize].phases[self.image] {
            let tiles = (0, phase.tiles as i64);
            let (workspace, scratch) = (self.workspace.pointer(), self.scratch.pointer());
            // SAFETY: all memory has the sizes that the phase was compiled for.
            unsafe { self.loaded.call(phase, &pointers, &[], workspace, scratch, tiles) };
        }
    }
}
