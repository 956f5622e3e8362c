//! What the compiler has made of an einsum, in one form for extents that are known and for those that are not.

use einmesh_artifact::{CodeImage, Manifest, Step as ManifestStep, Storage};
use einmesh_driver::{Products, SymbolicProducts};
use einmesh_schedule::symbolic::{Array, Extent, Launch as SymbolicLaunch, Place as SymbolicPlace};

/// An einsum's code, and how to call it.
pub struct Compiled {
    /// The names of the dims whose extents are numbers at a call.
    pub symbols: Vec<String>,
    /// The first of each pair is at most the second.
    pub within: Vec<(Extent, Extent)>,
    /// The extents of each operand.
    pub operands: Vec<Vec<Extent>>,
    /// Those of the result.
    pub result: Vec<Extent>,
    /// The code, most demanding level first.
    pub images: Vec<(CodeImage, Vec<u8>)>,
    /// Ways to compute the result.
    pub orders: Vec<Order>,
}

/// A way to compute the result.
pub struct Order {
    /// For each intermediate value the bytes of an element, and its extents.
    pub temporaries: Vec<(u64, Vec<Extent>)>,
    /// What is launched.
    pub launches: Vec<Launch>,
}

/// A kernel on its operands.
pub struct Launch {
    /// What it works on.
    pub operands: Vec<Place>,
    /// The index space.
    pub points: Vec<Extent>,
    /// For each image its phases.
    pub phases: Vec<Vec<Phase>>,
}

/// Memory.
#[derive(Clone, Copy)]
pub enum Place {
    /// That of an operand.
    Operand(u32),
    /// That of the result.
    Result,
    /// That of an intermediate value.
    Temporary(u32),
}

/// A function over tiles.
pub struct Phase {
    /// Its first byte.
    pub entry: u64,
    /// The number of its tiles: the product of these, each a product of extents divided by a number and rounded up.
    pub tiles: Vec<(Vec<Extent>, u64)>,
    /// Bytes that all tiles share.
    pub workspace_bytes: u64,
    /// Bytes of a thread.
    pub scratch_bytes: u64,
}

impl Compiled {
    /// All extents are known.
    pub fn of_static(products: Products) -> Result<Compiled, String> {
        let artifact = products.artifact.ok_or("the compiler made no artifact")?;
        let graph = products.graph.ok_or("the compiler made no schedule")?;
        let manifest = &artifact.manifest;
        let arena: Vec<usize> = (0..manifest.buffers.len())
            .filter(|buffer| matches!(manifest.buffers[*buffer].storage, Storage::Arena(_)))
            .collect();
        let mut launches = Vec::new();
        for step in &manifest.steps {
            let ManifestStep::Launch { kernel, operands, ints } = step else {
                return Err(no_loops());
            };
            if !ints.is_empty() {
                return Err(no_loops());
            }
            let kernel = *kernel as usize;
            // One number, so that calls need not multiply.
            let space = graph.kernels[kernel].space();
            let extents = space.iter().map(|i| graph.kernels[kernel].indices[i.0 as usize].extent);
            let points = Extent::Fixed(extents.fold(1, u64::saturating_mul));
            let phase = |phase: &einmesh_artifact::Phase| Phase {
                entry: phase.entry,
                tiles: vec![(vec![Extent::Fixed(phase.tiles)], 1)],
                workspace_bytes: phase.workspace_bytes,
                scratch_bytes: phase.scratch_bytes,
            };
            let phases = manifest.kernels[kernel].phases.iter();
            launches.push(Launch {
                operands: operands
                    .iter()
                    .map(|buffer| place(manifest, &arena, *buffer as usize))
                    .collect(),
                points: vec![points],
                phases: phases.map(|phases| phases.iter().map(phase).collect()).collect(),
            });
        }
        let fixed = |extents: &[u64]| extents.iter().map(|e| Extent::Fixed(*e)).collect();
        let dims = |tensor: &einmesh_artifact::Tensor| {
            tensor.dims.iter().map(|dim| Extent::Fixed(dim.global)).collect()
        };
        let temporary = |buffer: &usize| {
            let buffer = &manifest.buffers[*buffer];
            (buffer.dtype.bytes(), fixed(&buffer.extents))
        };
        Ok(Compiled {
            symbols: Vec::new(),
            within: Vec::new(),
            operands: manifest.inputs.iter().map(dims).collect(),
            result: manifest.outputs.first().map(dims).unwrap_or_default(),
            orders: vec![Order { temporaries: arena.iter().map(temporary).collect(), launches }],
            images: manifest.images.iter().cloned().zip(artifact.images.iter().cloned()).collect(),
        })
    }

    /// Some extents are numbers at a call.
    pub fn of_symbolic(products: SymbolicProducts) -> Result<Compiled, String> {
        let graph = products.graph.ok_or("the compiler made no schedule")?;
        let emitted = products.emitted.ok_or("the compiler made no code")?;
        let extents = |array: &Array| array.extents.clone();
        let bytes = |array: &Array| (array.dtype.bytes(), extents(array));
        let launch = |launch: &SymbolicLaunch| {
            let kernel = launch.kernel as usize;
            let place = |place: &SymbolicPlace| match *place {
                SymbolicPlace::Input(number) => Place::Operand(number),
                SymbolicPlace::Output(_) => Place::Result,
                SymbolicPlace::Temporary(number) => Place::Temporary(number),
            };
            let phases = emitted.kernels[kernel].iter().map(|phases| {
                let phases = phases.iter().map(|phase| Phase {
                    entry: phase.entry,
                    tiles: phase
                        .tiles
                        .iter()
                        .map(|blocks| (blocks.extents.clone(), blocks.block))
                        .collect(),
                    workspace_bytes: phase.workspace_bytes,
                    scratch_bytes: phase.scratch_bytes,
                });
                phases.collect()
            });
            Launch {
                operands: launch.operands.iter().map(place).collect(),
                points: graph.kernels[kernel].space(),
                phases: phases.collect(),
            }
        };
        let orders = graph.orders.iter().map(|order| Order {
            temporaries: order.temporaries.iter().map(bytes).collect(),
            launches: order.launches.iter().map(launch).collect(),
        });
        Ok(Compiled {
            operands: graph.inputs.iter().map(extents).collect(),
            result: graph.outputs.first().map(extents).unwrap_or_default(),
            orders: orders.collect(),
            symbols: graph.symbols,
            within: graph.within,
            images: emitted.images,
        })
    }
}

fn no_loops() -> String {
    "this needs a loop, which `einsum!` does not have\nhelp: write a `.ein` file and use `program!`"
        .to_owned()
}

fn place(manifest: &Manifest, arena: &[usize], buffer: usize) -> Place {
    match manifest.buffers[buffer].storage {
        Storage::Input(number) => Place::Operand(number),
        Storage::Output(_) => Place::Result,
        Storage::Arena(_) => {
            let number = arena.iter().position(|own| *own == buffer);
            Place::Temporary(number.expect("the list has all buffers of the arena") as u32)
        }
    }
}
