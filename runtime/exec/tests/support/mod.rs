//! Artifacts put together by hand.

// Each test binary uses a part of this.
#![allow(dead_code)]

use einmesh_artifact::{
    Artifact, Buffer, CodeImage, Collective, DType, DimLayout, FORMAT, Int, Kernel, Manifest,
    MeshAxis, Phase, Step, Storage, Tensor, sha256_hex,
};
use einmesh_exec::tensors::{self, ElementType};
use einmesh_exec::{Module, Options, Session};
use std::time::Duration;

/// A dim of a test tensor: how many devices along which mesh axes split it.
pub struct Dim<'a>(pub &'a str, pub u64, pub &'a [u32]);

/// Collects a manifest.
pub struct Builder {
    pub manifest: Manifest,
}

impl Builder {
    pub fn new(mesh: &[(&str, u64)]) -> Builder {
        let axis = |(name, size): &(&str, u64)| MeshAxis { name: (*name).to_owned(), size: *size };
        Builder {
            manifest: Manifest {
                format: FORMAT,
                producer: "einmesh test".to_owned(),
                entry: "main".to_owned(),
                mesh: mesh.iter().map(axis).collect(),
                loops: 4,
                ..Manifest::default()
            },
        }
    }

    fn tensor(&mut self, path: &str, dtype: DType, dims: &[Dim], storage: Storage) -> Tensor {
        let dims: Vec<DimLayout> = dims
            .iter()
            .map(|Dim(name, global, axes)| DimLayout {
                name: (*name).to_owned(),
                global: *global,
                local: global.div_ceil(self.manifest.group_size(axes)),
                axes: axes.to_vec(),
            })
            .collect();
        let extents = dims.iter().map(|d| d.local).collect();
        let buffer = self.buffer(path, dtype, extents, storage);
        Tensor {
            path: path.to_owned(),
            tensor: path.to_owned(),
            dtype,
            axes: vec![1; dims.len()],
            dims,
            buffer,
            donor: None,
            panels: None,
        }
    }

    pub fn buffer(&mut self, name: &str, dtype: DType, extents: Vec<u64>, storage: Storage) -> u32 {
        self.manifest.buffers.push(Buffer { name: name.to_owned(), dtype, extents, storage });
        self.manifest.buffers.len() as u32 - 1
    }

    pub fn arena(&mut self, name: &str, dtype: DType, extents: &[u64]) -> u32 {
        let offset = self.manifest.arena_bytes;
        let buffer = self.buffer(name, dtype, extents.to_vec(), Storage::Arena(offset));
        let bytes = self.manifest.buffers[buffer as usize].bytes().unwrap();
        self.manifest.arena_bytes = (offset + bytes).next_multiple_of(64);
        buffer
    }

    pub fn input(&mut self, path: &str, dtype: DType, dims: &[Dim]) -> u32 {
        let number = self.manifest.inputs.len() as u32;
        let tensor = self.tensor(path, dtype, dims, Storage::Input(number));
        self.manifest.inputs.push(tensor);
        self.manifest.inputs[number as usize].buffer
    }

    pub fn output(&mut self, path: &str, dtype: DType, dims: &[Dim]) -> u32 {
        let number = self.manifest.outputs.len() as u32;
        let tensor = self.tensor(path, dtype, dims, Storage::Output(number));
        self.manifest.outputs.push(tensor);
        self.manifest.outputs[number as usize].buffer
    }

    /// An output that is an input's memory.
    pub fn donated(&mut self, path: &str, input: u32) -> u32 {
        let mut tensor = self.manifest.inputs[input as usize].clone();
        tensor.path = path.to_owned();
        tensor.donor = Some(input);
        self.manifest.outputs.push(tensor);
        self.manifest.inputs[input as usize].buffer
    }

    pub fn step(&mut self, step: Step) {
        self.manifest.steps.push(step);
    }

    pub fn collective(&mut self, kind: Collective, axes: &[u32], input: u32, output: u32) {
        self.step(Step::Collective { kind, axes: axes.to_vec(), input, output });
    }

    pub fn launch(&mut self, kernel: u32, operands: &[u32], ints: &[Int]) {
        self.step(Step::Launch { kernel, operands: operands.to_vec(), ints: ints.to_vec() });
    }

    /// A kernel of one phase in the image.
    pub fn kernel(&mut self, name: &str, entry: u64, tiles: u64) -> u32 {
        self.manifest.kernels.push(Kernel {
            name: name.to_owned(),
            phases: vec![vec![Phase { entry, tiles, workspace_bytes: 64, scratch_bytes: 64 }]],
        });
        self.manifest.kernels.len() as u32 - 1
    }

    /// The artifact, with this code (or none).
    pub fn artifact(mut self, code: Option<&[u8]>, imports: &[&str]) -> Artifact {
        let mut images = Vec::new();
        if let Some(code) = code {
            let mut blob = code.to_vec();
            blob.resize(code.len().next_multiple_of(4096), 0xCC);
            self.manifest.images.push(CodeImage {
                level: "x86-64-v3".to_owned(),
                text: blob.len() as u64,
                rodata: 0,
                imports: imports.iter().map(|i| (*i).to_owned()).collect(),
                stubs: 0,
                sha256: sha256_hex(&blob),
            });
            images.push(blob);
        }
        Artifact { manifest: self.manifest, images }
    }

    /// A session, for programs without code.
    pub fn session(self, threads: usize) -> Session {
        session(&self.artifact(None, &[]), threads)
    }
}

pub fn options(threads: usize) -> Options {
    Options { threads, watchdog: Duration::from_secs(60), profile: true }
}

/// Writes, reads and loads an artifact.
pub fn session(artifact: &Artifact, threads: usize) -> Session {
    let read = Artifact::read(&artifact.write()).unwrap_or_else(|e| panic!("{e}"));
    let module = Module::load(&read).unwrap_or_else(|e| panic!("{e}"));
    Session::new(module, options(threads)).unwrap_or_else(|e| panic!("{e}"))
}

pub fn f32s(numbers: &[f32], shape: &[u64]) -> tensors::Tensor {
    tensors::Tensor {
        dtype: ElementType::F32,
        shape: shape.to_vec(),
        bytes: numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
    }
}

pub fn to_f32s(tensor: &tensors::Tensor) -> Vec<f32> {
    assert_eq!(tensor.dtype, ElementType::F32);
    let chunks = tensor.bytes.as_chunks::<4>().0.iter();
    chunks.map(|b| f32::from_le_bytes(*b)).collect()
}

/// `c[i] = a[i] + b[i]` on f32, one element a tile; operands a, b, c.
pub const ADD: &[u8] = &[
    0x48, 0x8B, 0x07, // mov rax, [rdi]
    0x48, 0x8B, 0x57, 0x08, // mov rdx, [rdi + 8]
    0x48, 0x8B, 0x4F, 0x10, // mov rcx, [rdi + 16]
    0x4D, 0x39, 0xC8, // next: cmp r8, r9
    0x7D, 0x17, // jge done
    0xF3, 0x42, 0x0F, 0x10, 0x04, 0x80, // movss xmm0, [rax + r8 * 4]
    0xF3, 0x42, 0x0F, 0x58, 0x04, 0x82, // addss xmm0, [rdx + r8 * 4]
    0xF3, 0x42, 0x0F, 0x11, 0x04, 0x81, // movss [rcx + r8 * 4], xmm0
    0x49, 0xFF, 0xC0, // inc r8
    0xEB, 0xE4, // jmp next
    0xC3, // done: ret
];

/// A pseudo-random sequence (SplitMix64), the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number in −1..1 with few bits, so that sums of some are exact.
    pub fn small(&mut self) -> f32 {
        self.below(65) as f32 / 32.0 - 1.0
    }
}
