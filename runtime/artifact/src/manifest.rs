//! The manifest: everything of an artifact but the machine code.
//!
//! All numbers that index a list ("buffer 3", "kernel 0") are positions in the manifest's lists.

use serde::{Deserialize, Serialize};

/// The version of the format that this crate reads and writes.
pub const FORMAT: u32 = 4;

/// The description of a compiled program, identical for all devices.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The compiler's name and version.
    pub producer: String,
    /// The entry function.
    pub entry: String,
    /// The device mesh, major to minor; empty for one device.
    pub mesh: Vec<MeshAxis>,
    /// The arguments, records flattened.
    pub inputs: Vec<Tensor>,
    /// The results.
    pub outputs: Vec<Tensor>,
    /// The memory the steps work on.
    pub buffers: Vec<Buffer>,
    /// Bytes of each device's arena.
    pub arena_bytes: u64,
    /// How many loop counters the steps use.
    pub loops: u32,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// The kernels that steps launch.
    pub kernels: Vec<Kernel>,
    /// The machine code, one image per CPU level, most demanding level first.
    pub images: Vec<CodeImage>,
    /// What `--json` reports without running.
    pub report: Report,
}

/// An axis of the device mesh.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshAxis {
    /// Its name.
    pub name: String,
    /// The devices along it.
    pub size: u64,
}

/// Element types, as in the compiler's IR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum DType {
    F64,
    F32,
    Bf16,
    F16,
    I64,
    I32,
    Bool,
    /// The 64-bit key of a random number generator.
    Rng,
}

/// An argument or result: one tensor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// Its path in the entry's signature: `p.h.ln_1.bias`, `tokens`, `logits`.
    pub path: String,
    /// Its name in a checkpoint, one `{}` per stacked dim: `h.{}.ln_1.bias`.
    pub tensor: String,
    /// Its element type.
    pub dtype: DType,
    /// The dims and how they are split, outermost first; stacked dims come first.
    pub dims: Vec<DimLayout>,
    /// How many dims (after the stacked ones) each axis of the checkpoint's tensor has.
    pub axes: Vec<u32>,
    /// The buffer it is bound to on each device.
    pub buffer: u32,
    /// For outputs: the input whose memory it takes over, if any.
    pub donor: Option<u32>,
    /// For inputs: how its matrices lie in memory, if not row-major.
    pub panels: Option<Panels>,
}

/// Matrices in panels of columns, one after the other, so that a product reads them in order.
///
/// The positions of `across`, flattened row-major, are a matrix's columns, those of `along` its depths. The
/// buffer's extents are those of the other dims, then ⌈columns / `width`⌉, depths, `width`; beyond the last
/// column there are zeros.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panels {
    /// Positions in the tensor's dims.
    pub across: Vec<u32>,
    /// Positions in the tensor's dims.
    pub along: Vec<u32>,
    /// Columns of a panel.
    pub width: u64,
}

/// A dim of a whole tensor. The device with coordinate c (row-major over `axes`) holds the
/// positions from c × `local`; positions at or beyond `global` are padding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimLayout {
    /// The dim's name in the source.
    pub name: String,
    /// The whole extent.
    pub global: u64,
    /// Each device's extent.
    pub local: u64,
    /// The mesh axes that split it, major to minor.
    pub axes: Vec<u32>,
}

/// A block of memory on each device, row-major, aligned to 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// The name of the value it holds, for reports.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The local extents, outermost first.
    pub extents: Vec<u64>,
    /// Where it is.
    pub storage: Storage,
}

/// Where a buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In the device's arena, from this byte on.
    Arena(u64),
    /// The memory of this input. Never written, unless the input is donated.
    Input(u32),
    /// Memory of its own, for an output that no arena buffer may overlap.
    Output(u32),
}

/// One thing to do on every device.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Runs a kernel.
    Launch {
        /// The kernel.
        kernel: u32,
        /// The buffers it works on, in the kernel's order.
        operands: Vec<u32>,
        /// The numbers it gets, in the kernel's order.
        ints: Vec<Int>,
    },
    /// Repeats steps.
    Loop {
        /// The counter, of `Manifest::loops`.
        counter: u32,
        /// How often.
        extent: u64,
        /// Whether the counter runs from `extent - 1` down to 0.
        reversed: bool,
        /// A buffer of one truth value that is read before each iteration: if it is false, the loop
        /// ends. It must be the same on all devices.
        condition: Option<u32>,
        /// What is done for an iteration while the one before it runs; only in loops without a condition.
        #[serde(default, skip_serializing_if = "Ahead::is_empty")]
        ahead: Ahead,
        /// One iteration.
        steps: Vec<Step>,
    },
    /// Copies a whole buffer to another of the same size.
    Copy {
        /// The source.
        from: u32,
        /// The destination.
        to: u32,
    },
    /// Exchanges the memory of two buffers of the same size.
    Swap {
        /// One.
        a: u32,
        /// The other.
        b: u32,
    },
    /// Communication among the devices that differ only on `axes`.
    Collective {
        /// What is done.
        kind: Collective,
        /// The mesh axes, the first slowest.
        axes: Vec<u32>,
        /// What each device gives.
        input: u32,
        /// What each device receives.
        output: u32,
    },
}

/// What a loop does one iteration ahead: gathers the next layer's parameters, say, while a layer is computed.
///
/// The steps are launches, copies and collectives. For the first iteration they are done before it, for each other
/// one at any time during the iteration before, with the counter that it will have. So what they touch, no step of
/// the loop's own may, but for inputs, which either only reads, and for the buffers that receive.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ahead {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Pairs of buffers that exchange their memory when an iteration begins: one that the steps here have written,
    /// and the one in which the iteration's own steps find that.
    pub handed: Vec<(u32, u32)>,
}

impl Ahead {
    /// Whether nothing is done ahead.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.handed.is_empty()
    }
}

/// A number passed to a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Int {
    /// The counter of an enclosing loop.
    Counter(u32),
    /// The device's coordinate on a mesh axis.
    Coord(u32),
}

/// Combination of elements in a collective.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Reduction {
    Sum,
    Prod,
    Max,
    Min,
    Any,
    All,
    LogSumExp,
}

/// The kinds of collectives, as in the compiler's IR; positions count the buffers' extents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Collective {
    AllReduce {
        reduction: Reduction,
    },
    AllGather {
        position: u32,
    },
    ReduceScatter {
        reduction: Reduction,
        position: u32,
    },
    AllToAll {
        split: u32,
        concat: u32,
    },
    /// Member m gets the input of member m − `shift`: zeros outside of the group unless `wrap`.
    CollectivePermute {
        shift: i64,
        wrap: bool,
    },
}

/// A compiled kernel: phases that run one after the other, each over independent tiles.
///
/// Every phase of every image is a function
/// `extern "C" fn(operands: *const *mut u8, ints: *const i64, workspace: *mut u8, scratch: *mut u8,
/// begin: i64, end: i64)` that computes tiles `begin..end`. Tiles of a phase may run in any order and
/// at the same time; a phase starts when the one before has ended. `workspace` is shared by all calls
/// of a launch, `scratch` belongs to the call; both are uninitialised and aligned to 64 bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// A name for profiles.
    pub name: String,
    /// The phases, in order, for each image (`phases[image][phase]`).
    pub phases: Vec<Vec<Phase>>,
}

/// One phase of a kernel in one image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The function's first byte in the image.
    pub entry: u64,
    /// The number of tiles.
    pub tiles: u64,
    /// Bytes of `workspace`.
    pub workspace_bytes: u64,
    /// Bytes of `scratch`.
    pub scratch_bytes: u64,
}

/// Machine code for one CPU level: a position-independent blob of pages.
///
/// `[0, text)` is executable, `[text, text + rodata)` is read-only data; both are multiples of 4096.
/// After them come the import slots, 8 bytes each, which the loader fills with the addresses
/// of `imports`. All other references are already resolved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeImage {
    /// The CPU level: one of [`crate::LEVELS`].
    pub level: String,
    /// Bytes of executable pages.
    pub text: u64,
    /// Bytes of read-only pages.
    pub rodata: u64,
    /// The C library's functions it calls: only `memcpy`, `memmove`, `memset`.
    pub imports: Vec<String>,
    /// Where in the text the imports' stubs begin: 8 bytes each, a jump to where its slot leads. Who puts the code into a
    /// program at link time puts jumps to the functions there instead.
    pub stubs: u64,
    /// The SHA-256 of the blob, in hexadecimal.
    pub sha256: String,
}

/// What is known before running.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The communication.
    pub collectives: Vec<CollectiveRow>,
    /// The most bytes a device holds: inputs, outputs and arena.
    pub peak_bytes_per_device: u64,
}

/// One collective of the program.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectiveRow {
    /// `all_reduce`, `all_gather`, `reduce_scatter`, `all_to_all` or `collective_permute`.
    pub op: String,
    /// The mesh axes.
    pub axes: Vec<String>,
    /// The devices that take part in one group.
    pub group_size: u64,
    /// Executions per call.
    pub count: u64,
    /// Bytes per execution: the operand's, for all-gather the result's.
    pub payload_bytes: u64,
    /// Bytes that one device sends per execution, with rings.
    pub wire_bytes: u64,
    /// `file:line:column` of the statement that needs it.
    pub source: String,
    /// The index or dim that is split.
    pub index: String,
    /// The decorator that split it.
    pub decorator: String,
}

impl DType {
    /// The name in the language.
    pub fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::Bool => "bool",
            DType::Rng => "rng",
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            DType::F64 | DType::I64 | DType::Rng => 8,
            DType::F32 | DType::I32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::Bool => 1,
        }
    }
}

impl Buffer {
    /// The number of elements; `None` if it exceeds 2⁶⁴.
    pub fn elements(&self) -> Option<u64> {
        self.extents.iter().try_fold(1u64, |n, e| n.checked_mul(*e))
    }

    /// The size in bytes; `None` if it exceeds 2⁶⁴.
    pub fn bytes(&self) -> Option<u64> {
        self.elements()?.checked_mul(self.dtype.bytes())
    }
}
