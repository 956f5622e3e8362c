//! Partitioned programs: what one device runs, and the communication in it.

use crate::mesh::{Mesh, MeshAxisId};
use crate::program::{Origin, Program, Reducer, ValueId};

/// What every device runs: a [`Program`] over local extents, the same on all devices but for
/// [`Expr::Coord`](crate::Expr::Coord) and the collectives.
#[derive(Clone, PartialEq, Debug)]
pub struct SpmdProgram {
    /// The device's program. A dim that is split has its local, padded extent.
    pub program: Program,
    /// The devices.
    pub mesh: Mesh,
    /// How each of `program.inputs` is cut out of the whole tensor.
    pub inputs: Vec<Layout>,
    /// How each of `program.outputs` is put together.
    pub outputs: Vec<Layout>,
}

impl SpmdProgram {
    /// A program as it is on one device.
    pub fn whole(program: Program) -> SpmdProgram {
        let layout = |value: ValueId| {
            let dims = program.extents(value).into_iter();
            let dims = dims.map(|n| DimLayout { global: n, local: n, axes: Vec::new() });
            Layout { dims: dims.collect() }
        };
        let inputs = program.inputs.iter().map(|i| layout(i.value)).collect();
        let outputs = program.outputs.iter().map(|o| layout(o.value)).collect();
        SpmdProgram { program, mesh: Mesh::default(), inputs, outputs }
    }
}

/// How a whole tensor relates to the local ones, one entry per dim of the value.
#[derive(Clone, PartialEq, Debug)]
pub struct Layout {
    /// The dims, outermost first.
    pub dims: Vec<DimLayout>,
}

/// How one dim is split: block-wise, the device with coordinate c holding the positions from
/// c × `local`; positions at or beyond `global` are padding.
#[derive(Clone, PartialEq, Debug)]
pub struct DimLayout {
    /// The whole tensor's extent.
    pub global: u64,
    /// The extent on each device: ⌈global / devices⌉.
    pub local: u64,
    /// The mesh axes that split it, major to minor.
    pub axes: Vec<MeshAxisId>,
}

/// Communication among the devices that differ only on `axes`.
#[derive(Clone, PartialEq, Debug)]
pub struct Collective {
    /// What is done.
    pub kind: CollectiveKind,
    /// The mesh axes, the first slowest; see [`Mesh::groups`].
    pub axes: Vec<MeshAxisId>,
    /// The local value given.
    pub input: ValueId,
    /// The local value received.
    pub out: ValueId,
    /// The reason for it.
    pub provenance: Provenance,
}

/// The kinds of collectives, with NCCL's names. Positions count the dims of input and output.
#[derive(Clone, PartialEq, Debug)]
pub enum CollectiveKind {
    /// Combines the inputs elementwise, in group order; all get the result.
    AllReduce(Reducer),
    /// Concatenates the inputs along a dim, in group order; all get the result.
    AllGather {
        /// The dim that grows.
        position: usize,
    },
    /// Combines the inputs elementwise; member m gets the m-th block along a dim.
    ReduceScatter {
        /// How elements combine.
        reducer: Reducer,
        /// The dim that shrinks.
        position: usize,
    },
    /// Member m gets the m-th block along `split` of every member, concatenated along `concat`.
    AllToAll {
        /// The dim that shrinks.
        split: usize,
        /// The dim that grows.
        concat: usize,
    },
    /// Member m gets the input of member m − `shift`; where that is outside of the group, zeros,
    /// or, if `wrap`, the member counted around the ring.
    CollectivePermute {
        /// How far values move along the group, negative towards lower members.
        shift: i64,
        /// Whether the group is a ring.
        wrap: bool,
    },
}

/// Why a collective is there.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Provenance {
    /// The statement that needs it.
    pub origin: Origin,
    /// The name of the index or dim that is split: `h`.
    pub index: String,
    /// The decorator that split it, as written: `@shard(tensor: H)`.
    pub decorator: String,
}
