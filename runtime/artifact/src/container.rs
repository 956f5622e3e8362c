//! The container: one file of a header, sections, and a hash over all of them.
//!
//! ```text
//! magic      8 bytes   "EINPKG\r\n" is damaged by text-mode copying, as PNG's is
//! format     u32       little endian, as all numbers; the bytes up to here never change
//! producer   u32 n, n bytes of UTF-8
//! sections   u32 n, n × (kind u32, zero u32, size u64)
//! payloads   in the table's order, without gaps: one manifest, then the images
//! sha256     32 bytes  of everything before
//! ```

use crate::error::ArtifactError;
use crate::files::write_atomically;
use crate::manifest::{FORMAT, Manifest};
use crate::validate::{MAX_IMAGES, MAX_MANIFEST_BYTES, MAX_STRING, validate};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const MAGIC: [u8; 8] = *b"EINPKG\r\n";
const HASH_BYTES: u64 = 32;
const KIND_MANIFEST: u32 = 1;
const KIND_IMAGE: u32 = 2;

/// A compiled program: what one `.einpkg` file holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Artifact {
    /// Everything but the machine code.
    pub manifest: Manifest,
    /// The machine code, in the order of [`Manifest::images`].
    pub images: Vec<Vec<u8>>,
}

/// The SHA-256 of some bytes in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal, two lower-case digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Artifact {
    /// The artifact as the bytes of a file. Equal artifacts give equal bytes.
    pub fn write(&self) -> Vec<u8> {
        // A manifest is structs of numbers and strings: nothing in it can fail to serialise.
        let manifest = serde_json::to_vec(&self.manifest).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        put_u32(&mut bytes, self.manifest.format);
        put_u32(&mut bytes, self.manifest.producer.len() as u32);
        bytes.extend_from_slice(self.manifest.producer.as_bytes());
        put_u32(&mut bytes, 1 + self.images.len() as u32);
        put_section(&mut bytes, KIND_MANIFEST, &manifest);
        for image in &self.images {
            put_section(&mut bytes, KIND_IMAGE, image);
        }
        bytes.extend_from_slice(&manifest);
        for image in &self.images {
            bytes.extend_from_slice(image);
        }
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        bytes
    }

    /// Writes the artifact as a file, atomically.
    pub fn write_file(&self, path: &Path) -> io::Result<()> {
        let bytes = self.write();
        write_atomically(path, |w| w.write_all(&bytes))
    }

    /// Reads and validates an artifact.
    pub fn read(bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let size = bytes.len() as u64;
        read_from(bytes, size, Path::new("the artifact"))
    }

    /// Reads and validates a file. Needs memory for the file once, not twice.
    pub fn read_file(path: &Path) -> Result<Artifact, ArtifactError> {
        let fail = |source| ArtifactError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            let source = io::Error::other("it is not a regular file");
            return Err(fail(source));
        }
        read_from(file, metadata.len(), path)
    }
}

fn put_u32(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn put_section(bytes: &mut Vec<u8>, kind: u32, payload: &[u8]) {
    put_u32(bytes, kind);
    put_u32(bytes, 0);
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
}

fn read_from(source: impl Read, size: u64, path: &Path) -> Result<Artifact, ArtifactError> {
    let mut reader = Reader {
        source,
        // What is left before the hash, so that no count can reach into it.
        left: size.saturating_sub(HASH_BYTES),
        hash: Sha256::new(),
        path,
    };
    reader.magic(size)?;
    let format = reader.u32("the format's number")?;
    let producer = reader.producer()?;
    if format != FORMAT {
        return Err(ArtifactError::Version { producer, found: format });
    }
    let sections = reader.sections()?;
    let manifest_bytes = reader.bytes(sections[0], "the manifest")?;
    let mut images: Vec<Vec<u8>> = Vec::with_capacity(sections.len() - 1);
    for (i, size) in sections[1..].iter().enumerate() {
        images.push(reader.bytes(*size, &format!("image {i}"))?);
    }
    reader.finish()?;
    let manifest = parse_manifest(&manifest_bytes)?;
    drop(manifest_bytes);
    if manifest.producer != producer {
        let problem = "it names another producer than the file's header";
        return Err(ArtifactError::Manifest(problem.to_owned()));
    }
    let artifact = Artifact { manifest, images };
    let findings = validate(&artifact);
    match findings.is_empty() {
        true => Ok(artifact),
        false => Err(ArtifactError::Invalid(findings)),
    }
}

/// The manifest's JSON. Its depth is limited by serde_json (128 levels), its memory by
/// [`MAX_MANIFEST_BYTES`]: no JSON text of n bytes becomes more than 12 n bytes of [`Manifest`].
fn parse_manifest(bytes: &[u8]) -> Result<Manifest, ArtifactError> {
    serde_json::from_slice(bytes).map_err(|e| ArtifactError::Manifest(e.to_string()))
}

/// Reads parts in order, never more than the file has.
struct Reader<'a, R> {
    source: R,
    left: u64,
    hash: Sha256,
    path: &'a Path,
}

impl<R: Read> Reader<'_, R> {
    fn magic(&mut self, size: u64) -> Result<(), ArtifactError> {
        let mut magic = [0; MAGIC.len()];
        if size < MAGIC.len() as u64 {
            return Err(ArtifactError::NotAnArtifact);
        }
        self.source.read_exact(&mut magic).map_err(|e| self.io(e))?;
        if magic != MAGIC {
            return Err(ArtifactError::NotAnArtifact);
        }
        self.hash.update(magic);
        self.left = self.left.saturating_sub(MAGIC.len() as u64);
        Ok(())
    }

    fn producer(&mut self) -> Result<String, ArtifactError> {
        let length = self.u32("the producer's length")?;
        if length as usize > MAX_STRING {
            let problem =
                format!("the producer's name has {length} bytes, at most {MAX_STRING} are allowed");
            return Err(ArtifactError::Layout(problem));
        }
        let name = self.bytes(u64::from(length), "the producer's name")?;
        let name = String::from_utf8_lossy(&name);
        // The name is shown before the hash is checked: nothing in it may steer a terminal.
        Ok(name.chars().filter(|c| !c.is_control()).collect())
    }

    /// The sizes of the payloads: the manifest's, then the images'. Together they are exactly what is
    /// left of the file.
    fn sections(&mut self) -> Result<Vec<u64>, ArtifactError> {
        let wrong = |problem: String| Err(ArtifactError::Layout(problem));
        let count = self.u32("the section count")?;
        if count == 0 || count as usize > 1 + MAX_IMAGES {
            return wrong(format!(
                "it has {count} sections, between 1 and {} are allowed",
                1 + MAX_IMAGES
            ));
        }
        let mut sizes: Vec<u64> = Vec::with_capacity(count as usize);
        for i in 0..count {
            let kind = self.u32("the section table")?;
            let zero = self.u32("the section table")?;
            let size = self.bytes(8, "the section table")?;
            let size = size.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            let expected = if i == 0 { KIND_MANIFEST } else { KIND_IMAGE };
            if kind != expected || zero != 0 {
                return wrong(format!("section {i} has the kind {kind}, expected {expected}"));
            }
            sizes.push(size);
        }
        if sizes[0] > MAX_MANIFEST_BYTES {
            return wrong(format!(
                "its manifest has {} bytes, at most {MAX_MANIFEST_BYTES} are allowed",
                sizes[0]
            ));
        }
        let total = sizes.iter().try_fold(0u64, |n, s| n.checked_add(*s));
        if total != Some(self.left) {
            return wrong(format!(
                "its sections need {} bytes, but the file has {} for them",
                total.map_or("more than 2⁶⁴".to_owned(), |n| n.to_string()),
                self.left
            ));
        }
        Ok(sizes)
    }

    /// The hash at the end.
    fn finish(mut self) -> Result<(), ArtifactError> {
        let mut expected = [0; HASH_BYTES as usize];
        let read = self.source.read_exact(&mut expected);
        read.map_err(|e| self.io(e))?;
        let found = self.hash.finalize();
        if found[..] != expected {
            return Err(ArtifactError::Hash { expected: hex(&expected), found: hex(&found) });
        }
        Ok(())
    }

    fn u32(&mut self, what: &str) -> Result<u32, ArtifactError> {
        let bytes = self.bytes(4, what)?;
        Ok(bytes.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b)))
    }

    fn bytes(&mut self, size: u64, what: &str) -> Result<Vec<u8>, ArtifactError> {
        let Some(left) = self.left.checked_sub(size) else {
            let problem = format!("{what} needs {size} bytes, but only {} are left", self.left);
            return Err(ArtifactError::Layout(problem));
        };
        self.left = left;
        // `size` is at most the file's size here, so that a wrong number cannot ask for more.
        let mut bytes: Vec<u8> = Vec::new();
        let reserved = bytes.try_reserve_exact(size as usize);
        reserved.map_err(|e| self.io(io::Error::other(e)))?;
        let read = (&mut self.source).take(size).read_to_end(&mut bytes);
        match read.map_err(|e| self.io(e))? as u64 {
            read if read == size => {
                self.hash.update(&bytes);
                Ok(bytes)
            }
            // The file was shortened while it was read.
            read => Err(ArtifactError::Layout(format!(
                "{what} needs {size} bytes, but the file ended after {read}"
            ))),
        }
    }

    fn io(&self, source: io::Error) -> ArtifactError {
        ArtifactError::Io { path: self.path.to_owned(), source }
    }
}
