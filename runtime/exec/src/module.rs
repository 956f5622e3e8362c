//! Modules: an artifact's code, mapped into memory and ready to call.

use crate::cpu;
use crate::error::RunError;
use einmesh_artifact::{Artifact, ArtifactError, CodeImage, Manifest, validate};
use memmap2::{MmapMut, MmapRaw};
use std::sync::Arc;

/// A phase of a kernel, as described at [`einmesh_artifact::Kernel`]: `(operands, ints, workspace,
/// scratch, begin, end)`.
///
/// Compiled code never unwinds; the ABI allows it so that kernels written in Rust may panic.
pub type TileFn =
    unsafe extern "C-unwind" fn(*const *mut u8, *const i64, *mut u8, *mut u8, i64, i64);

/// A loaded program.
pub struct Module {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) kernels: Vec<Vec<Phase>>,
    level: String,
    /// Keeps the code mapped as long as `kernels` points into it.
    _code: Option<MmapRaw>,
}

/// One phase of a kernel, for this CPU.
pub(crate) struct Phase {
    pub(crate) function: TileFn,
    pub(crate) tiles: u64,
    pub(crate) workspace_bytes: u64,
    pub(crate) scratch_bytes: u64,
}

impl Module {
    /// Maps the best image that this CPU can run. The environment variable `EINMESH_CPU` names the most
    /// demanding level to choose from, as [`Module::load_limited`] does.
    ///
    /// The artifact is validated, the hashes of its images included, but that tells damage and not
    /// intent: its code runs with all rights of the process. Load only what you trust.
    pub fn load(artifact: &Artifact) -> Result<Module, RunError> {
        let limit = cpu::limit();
        Module::load_limited(artifact, limit.as_deref())
    }

    /// As [`Module::load`], choosing among the images up to a level, whatever the environment says.
    pub fn load_limited(artifact: &Artifact, limit: Option<&str>) -> Result<Module, RunError> {
        // Also what was read, and so validated before: an artifact may be changed in memory.
        let findings = validate(artifact);
        if !findings.is_empty() {
            return Err(ArtifactError::Invalid(findings).into());
        }
        let manifest = Arc::new(artifact.manifest.clone());
        let allowed = cpu::allowed(limit)?;
        let fits =
            |image: &CodeImage| allowed.contains(&image.level.as_str()) && cpu::runs(&image.level);
        let images = manifest.images.iter().enumerate();
        let Some((number, image)) = images.into_iter().find(|(_, image)| fits(image)) else {
            if manifest.kernels.is_empty() {
                return Ok(Module::without_code(manifest));
            }
            let levels: Vec<&str> = manifest.images.iter().map(|i| i.level.as_str()).collect();
            return Err(RunError::Cpu { available: levels.join(", "), cpu: cpu::level(allowed) });
        };
        let code = map(image, &artifact.images[number]).map_err(|source| RunError::Memory {
            bytes: image.text + image.rodata,
            what: "the program's code",
            help: "the system must allow memory to become executable (no `noexec` policy)",
            source,
        })?;
        let phase = |phase: &einmesh_artifact::Phase| {
            let entry = code.as_ptr().wrapping_add(phase.entry as usize);
            // SAFETY: validation found the entry inside of the text, which is mapped executable for
            // as long as the module lives. That a function of this signature starts there is what the
            // manifest states and what trusting an artifact means.
            let function = unsafe { std::mem::transmute::<*const u8, TileFn>(entry) };
            Phase {
                function,
                tiles: phase.tiles,
                workspace_bytes: phase.workspace_bytes,
                scratch_bytes: phase.scratch_bytes,
            }
        };
        let kernels = manifest.kernels.iter();
        let kernels = kernels.map(|k| k.phases[number].iter().map(phase).collect());
        Ok(Module {
            kernels: kernels.collect(),
            level: image.level.clone(),
            manifest,
            _code: Some(code),
        })
    }

    /// A module whose kernels are functions of this process: `functions[kernel]` are its phases with
    /// their numbers of tiles. The manifest must be one that validation accepts.
    ///
    /// # Safety
    ///
    /// The functions must stay within the operands that the manifest's steps give them.
    pub unsafe fn from_functions(manifest: Manifest, functions: &[Vec<(TileFn, u64)>]) -> Module {
        let phase = |(function, tiles): &(TileFn, u64)| Phase {
            function: *function,
            tiles: *tiles,
            workspace_bytes: 0,
            scratch_bytes: 0,
        };
        let kernels = functions.iter().map(|f| f.iter().map(phase).collect());
        Module {
            kernels: kernels.collect(),
            level: "native".to_owned(),
            manifest: Arc::new(manifest),
            _code: None,
        }
    }

    /// The program's description.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The CPU level of the image that was chosen.
    pub fn level(&self) -> &str {
        &self.level
    }

    fn without_code(manifest: Arc<Manifest>) -> Module {
        Module { manifest, kernels: Vec::new(), level: "none".to_owned(), _code: None }
    }
}

/// Maps an image. No page is ever writable and executable at once: pages are written first, then
/// text becomes read-execute, and read-only data and import slots become read-only.
fn map(image: &CodeImage, blob: &[u8]) -> std::io::Result<MmapRaw> {
    let slots = 8 * image.imports.len();
    let mut pages = MmapMut::map_anon(blob.len() + slots)?;
    pages[..blob.len()].copy_from_slice(blob);
    for (slot, import) in pages[blob.len()..].chunks_exact_mut(8).zip(&image.imports) {
        slot.copy_from_slice(&import_address(import)?.to_ne_bytes());
    }
    let pages = MmapRaw::from(pages);
    protect(&pages, 0, image.text as usize, libc::PROT_READ | libc::PROT_EXEC)?;
    let data = image.text as usize;
    protect(&pages, data, pages.len() - data, libc::PROT_READ)?;
    Ok(pages)
}

/// The address of a function that code may call.
fn import_address(name: &str) -> std::io::Result<u64> {
    match name {
        "memcpy" => Ok(libc::memcpy as *const () as u64),
        "memmove" => Ok(libc::memmove as *const () as u64),
        "memset" => Ok(libc::memset as *const () as u64),
        _ => Err(std::io::Error::other(format!("unknown import {name}"))),
    }
}

fn protect(pages: &MmapRaw, from: usize, length: usize, protection: i32) -> std::io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let start = pages.as_mut_ptr().wrapping_add(from);
    // SAFETY: the range lies inside of our own mapping and starts at a page; no reference into the
    // mapping exists, since it is only used through raw pointers from here on.
    match unsafe { libc::mprotect(start.cast(), length, protection) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
