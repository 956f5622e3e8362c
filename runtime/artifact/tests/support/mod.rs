//! A sample artifact with every kind of step, and bytes to damage it with.

// Each test binary uses a part of this.
#![allow(dead_code)]

use einmesh_artifact::{
    Ahead, Artifact, Buffer, CodeImage, Collective, CollectiveRow, DType, DimLayout, FORMAT, Int,
    Kernel, Manifest, MeshAxis, Phase, Reduction, Report, Step, Storage, Tensor, sha256_hex,
};
use sha2::{Digest, Sha256};

/// A valid artifact for a mesh of 2 × 3 devices.
pub fn sample() -> Artifact {
    let images: Vec<Vec<u8>> = vec![vec![0xC3; 8192], vec![0x90; 4096]];
    let manifest = Manifest {
        format: FORMAT,
        producer: "einmesh 0.1.0".to_owned(),
        entry: "forward".to_owned(),
        mesh: vec![axis("data", 2), axis("tensor", 3)],
        inputs: vec![
            tensor(
                "p.h.w",
                "h.{}.w",
                &[dim("L", 2, &[]), dim("F", 6, &[1]), dim("D", 6, &[0])],
                0,
                None,
            ),
            tensor("s", "s", &[dim("D", 6, &[0])], 1, None),
        ],
        outputs: vec![
            tensor("y", "y", &[dim("D", 6, &[0])], 2, None),
            tensor("s", "s", &[dim("D", 6, &[0])], 1, Some(1)),
        ],
        buffers: vec![
            buffer("w", &[2, 2, 3], Storage::Input(0)),
            buffer("s", &[3], Storage::Input(1)),
            buffer("y", &[3], Storage::Output(0)),
            buffer("a", &[6, 6], Storage::Arena(0)),
            buffer("b", &[6, 6], Storage::Arena(192)),
            buffer("wide", &[6, 12], Storage::Arena(384)),
            buffer("thin", &[6, 2], Storage::Arena(704)),
            buffer("turned", &[12, 3], Storage::Arena(768)),
            buffer("next", &[6, 4], Storage::Arena(960)),
            buffer("now", &[6, 4], Storage::Arena(1088)),
        ],
        arena_bytes: 1216,
        loops: 2,
        steps: steps(),
        kernels: vec![Kernel {
            name: "gelu".to_owned(),
            phases: vec![vec![phase(64)], vec![phase(0), phase(8)]],
        }],
        images: vec![
            image("x86-64-v4", 4096, 4096, &images[0]),
            image("x86-64-v3", 4096, 0, &images[1]),
        ],
        report: Report {
            collectives: vec![CollectiveRow {
                op: "all_reduce".to_owned(),
                axes: vec!["tensor".to_owned()],
                group_size: 3,
                count: 2,
                payload_bytes: 144,
                wire_bytes: 192,
                source: "gpt2.ein:12:3".to_owned(),
                index: "h".to_owned(),
                decorator: "@shard(tensor: H)".to_owned(),
            }],
            peak_bytes_per_device: 1032,
        },
    };
    Artifact { manifest, images }
}

fn steps() -> Vec<Step> {
    let collective = |kind, axes: &[u32], input, output| Step::Collective {
        kind,
        axes: axes.to_vec(),
        input,
        output,
    };
    let reduction = Reduction::Sum;
    vec![
        Step::Loop {
            counter: 1,
            extent: 2,
            reversed: true,
            condition: None,
            ahead: Ahead::default(),
            steps: vec![
                Step::Launch {
                    kernel: 0,
                    operands: vec![0, 3, 2],
                    ints: vec![Int::Counter(1), Int::Coord(0)],
                },
                Step::Swap { a: 3, b: 4 },
            ],
        },
        Step::Copy { from: 3, to: 4 },
        collective(Collective::AllReduce { reduction }, &[1], 3, 3),
        collective(Collective::AllGather { position: 1 }, &[0], 3, 5),
        collective(Collective::ReduceScatter { reduction, position: 1 }, &[1], 3, 6),
        collective(Collective::AllToAll { split: 1, concat: 0 }, &[0], 4, 7),
        collective(Collective::CollectivePermute { shift: -1, wrap: true }, &[1, 0], 3, 4),
        Step::Copy { from: 1, to: 2 },
        Step::Loop {
            counter: 0,
            extent: 3,
            reversed: false,
            condition: None,
            ahead: Ahead {
                steps: vec![
                    Step::Launch { kernel: 0, operands: vec![0, 6], ints: vec![Int::Counter(0)] },
                    collective(Collective::AllGather { position: 1 }, &[0], 6, 8),
                ],
                handed: vec![(8, 9)],
            },
            steps: vec![Step::Launch { kernel: 0, operands: vec![0, 3, 9], ints: vec![] }],
        },
    ]
}

pub fn axis(name: &str, size: u64) -> MeshAxis {
    MeshAxis { name: name.to_owned(), size }
}

pub fn dim(name: &str, global: u64, axes: &[u32]) -> DimLayout {
    let sizes = [2, 3];
    let devices: u64 = axes.iter().map(|a| sizes[*a as usize]).product();
    DimLayout {
        name: name.to_owned(),
        global,
        local: global.div_ceil(devices),
        axes: axes.to_vec(),
    }
}

fn tensor(path: &str, name: &str, dims: &[DimLayout], buffer: u32, donor: Option<u32>) -> Tensor {
    let stacked = name.matches("{}").count();
    Tensor {
        path: path.to_owned(),
        tensor: name.to_owned(),
        dtype: DType::F32,
        dims: dims.to_vec(),
        axes: vec![1; dims.len() - stacked],
        buffer,
        donor,
        panels: None,
    }
}

fn buffer(name: &str, extents: &[u64], storage: Storage) -> Buffer {
    Buffer { name: name.to_owned(), dtype: DType::F32, extents: extents.to_vec(), storage }
}

fn phase(entry: u64) -> Phase {
    Phase { entry, tiles: 4, workspace_bytes: 128, scratch_bytes: 64 }
}

fn image(level: &str, text: u64, rodata: u64, blob: &[u8]) -> CodeImage {
    CodeImage {
        level: level.to_owned(),
        text,
        rodata,
        imports: vec!["memcpy".to_owned()],
        stubs: 0,
        sha256: sha256_hex(blob),
    }
}

/// Makes the hash at the end right again, so that what comes after its check is reached.
pub fn rehash(bytes: &mut [u8]) {
    let end = bytes.len().saturating_sub(32);
    let hash = Sha256::digest(&bytes[..end]);
    if let Some(place) = bytes.get_mut(end..end + 32) {
        place.copy_from_slice(&hash);
    }
}

/// A file around a manifest's JSON, without images.
pub fn container(producer: &str, manifest: &[u8]) -> Vec<u8> {
    let mut bytes = b"EINPKG\r\n".to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend((producer.len() as u32).to_le_bytes());
    bytes.extend(producer.as_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend((manifest.len() as u64).to_le_bytes());
    bytes.extend(manifest);
    bytes.extend([0; 32]);
    rehash(&mut bytes);
    bytes
}

/// A pseudo-random sequence (SplitMix64), the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
