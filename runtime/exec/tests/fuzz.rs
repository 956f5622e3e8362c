//! What validation accepts runs: damaged manifests behind right hashes, without code.

mod support;

use einmesh_artifact::{Ahead, Artifact, Collective, DType, Manifest, Reduction, Step};
use einmesh_exec::tensors::{ElementType, Tensor};
use einmesh_exec::{Module, Session};
use support::{Builder, Dim, Random, options};

/// Every step that needs no code, with buffers of one size so that changed numbers often fit.
fn sample() -> Manifest {
    let mut b = Builder::new(&[("a", 2), ("b", 2)]);
    let dims = || [Dim("N", 7, &[0]), Dim("M", 4, &[1])];
    let x = b.input("x", DType::F32, &dims());
    b.input("s", DType::F32, &dims());
    let s = b.donated("s", 1);
    let y = b.output("y", DType::F32, &dims());
    let t: Vec<u32> = ["t", "u", "v"].iter().map(|n| b.arena(n, DType::F32, &[4, 2])).collect();
    let wide = b.arena("wide", DType::F32, &[4, 4]);
    let reduction = Reduction::Sum;
    b.step(Step::Copy { from: x, to: t[0] });
    b.collective(Collective::AllReduce { reduction }, &[1], t[0], t[1]);
    b.collective(Collective::AllGather { position: 1 }, &[0], t[1], wide);
    b.collective(Collective::ReduceScatter { reduction, position: 1 }, &[1], wide, t[2]);
    b.step(Step::Loop {
        counter: 0,
        extent: 3,
        reversed: false,
        condition: None,
        ahead: Ahead::default(),
        steps: vec![
            Step::Swap { a: s, b: t[2] },
            Step::Swap { a: t[0], b: t[1] },
            Step::Copy { from: t[2], to: t[1] },
        ],
    });
    b.collective(Collective::AllToAll { split: 0, concat: 0 }, &[0], t[1], t[0]);
    b.collective(Collective::CollectivePermute { shift: 1, wrap: false }, &[1, 0], t[0], y);
    b.manifest
}

/// How much a run would touch and repeat; only small ones are run.
fn is_small(manifest: &Manifest) -> bool {
    fn repeats(steps: &[Step]) -> u64 {
        let each = steps.iter().map(|step| match step {
            Step::Loop { extent, steps, .. } => extent.saturating_mul(1 + repeats(steps)),
            _ => 1,
        });
        each.fold(0, u64::saturating_add)
    }
    let bytes = manifest.buffers.iter().filter_map(|b| b.bytes()).max();
    bytes < Some(1 << 16) && repeats(&manifest.steps) < 500 && manifest.devices() <= 64
}

#[test]
fn accepted_manifests_run() {
    let json = serde_json::to_string(&sample()).unwrap();
    let digits: Vec<usize> =
        json.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(i, _)| i).collect();
    let mut random = Random(17);
    let (mut run, mut failed) = (0, 0);
    for _ in 0..20_000 {
        let mut text = json.clone().into_bytes();
        for _ in 0..random.below(4) {
            let at = digits[random.below(digits.len() as u64) as usize];
            text[at] = b'0' + random.below(10) as u8;
        }
        let Ok(manifest) = serde_json::from_slice(&text) else {
            continue;
        };
        let artifact = Artifact { manifest, images: Vec::new() };
        let Ok(artifact) = Artifact::read(&artifact.write()) else {
            continue;
        };
        // Threads are costly to start 10,000 times: some runs are enough to have several.
        let threads = if random.below(50) == 0 { 2 } else { 1 };
        if !is_small(&artifact.manifest) || run + failed > 1_500 {
            continue;
        }
        let module = Module::load(&artifact).unwrap();
        let mut session = Session::new(module, options(threads)).unwrap();
        for (i, input) in artifact.manifest.inputs.iter().enumerate() {
            let dtype = ElementType::of(input.dtype);
            let elements: u64 = input.shape().iter().product();
            let whole = Tensor {
                dtype,
                shape: input.shape(),
                bytes: vec![0; (elements * dtype.bytes()) as usize],
            };
            session.bind(i, &whole.value()).unwrap();
        }
        match session.run() {
            Ok(()) => {
                run += 1;
                for (i, output) in artifact.manifest.outputs.iter().enumerate() {
                    let elements: u64 = output.shape().iter().product();
                    let bytes = session.output(i).unwrap().bytes.len() as u64;
                    assert_eq!(bytes, elements * output.dtype.bytes());
                }
            }
            // Only overlapping memory is found as late as this.
            Err(error) => {
                failed += 1;
                let message = error.to_string();
                assert!(message.contains("overlap in memory"), "{message}");
            }
        }
    }
    assert!(run > 1_000 && failed > 0, "{run} ran, {failed} failed");
}
