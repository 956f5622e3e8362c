//! What can go wrong when an artifact is loaded or run.

use einmesh_artifact::ArtifactError;
use std::time::Duration;

/// Why a module could not be loaded or a session could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The artifact contradicts itself.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The mesh is too large for one process.
    #[error(
        "the mesh has {devices} devices with {buffers} buffers each, more than one process can stand for\n\
         help: build for a smaller `--mesh`"
    )]
    Devices {
        /// The devices.
        devices: u64,
        /// Each device's buffers.
        buffers: usize,
    },
    /// The code is for other CPUs.
    #[error(
        "this CPU cannot run the artifact: it has code for {available}, the CPU is {cpu}\n\
         help: run it on a newer CPU, or rebuild it with `einmesh build --target cpu` on this one"
    )]
    Cpu {
        /// The levels the artifact has code for.
        available: String,
        /// What the CPU is.
        cpu: &'static str,
    },
    /// The level that the environment asks for is none.
    #[error("`EINMESH_CPU` is `{name}`, which is no CPU level\nhelp: the levels are {known}")]
    Level {
        /// What it is.
        name: String,
        /// The levels there are.
        known: String,
    },
    /// The operating system refused memory.
    #[error("cannot allocate {bytes} bytes for {what}: {source}\nhelp: {help}")]
    Memory {
        /// How much.
        bytes: u64,
        /// What for.
        what: &'static str,
        /// What to do about it.
        help: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {reason}\nhelp: pass a smaller `--threads`")]
    Threads {
        /// How many.
        threads: usize,
        /// The reason.
        reason: String,
    },
    /// An input has no value.
    #[error("the input `{path}` has no value: bind it before running")]
    Unbound {
        /// The input.
        path: String,
    },
    /// A value does not fit the input it is bound to.
    #[error("cannot bind `{path}`: {reason}")]
    Bind {
        /// The input.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// Two programs of one model run on different meshes.
    #[error(
        "`{entry}` and `{first}` are built for different meshes, and cannot share their inputs"
    )]
    Beside {
        /// The program that was to share them.
        entry: String,
        /// The one that has them.
        first: String,
    },
    /// A device failed.
    #[error("rank {rank} failed in {op}, at {place}: {reason}")]
    Device {
        /// The device.
        rank: u64,
        /// The kernel or collective.
        op: String,
        /// The step, with the iterations of the loops around it.
        place: String,
        /// The panic's message, or what is wrong.
        reason: String,
    },
    /// Nothing has happened for too long.
    #[error(
        "no progress for {}: {op} at {place} has not finished on some rank\n\
         help: if the step may take that long, allow more with `--timeout SECONDS`",
        seconds(*.waited)
    )]
    Stalled {
        /// How long.
        waited: Duration,
        /// The kernel or collective.
        op: String,
        /// The step, with the iterations of the loops around it.
        place: String,
    },
    /// An earlier run failed.
    #[error("the session cannot run any more, since an earlier run failed: {0}")]
    Poisoned(String),
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
