//! The safetensors format: 8 bytes of length, a JSON header of that length, the tensors' bytes.
//!
//! The reader is our own since the format's library accepts duplicate names and names like `../x`,
//! and takes a gigabyte for a header of hostile size.

use super::{ElementType, FileError, Tensor, bytes_of};
use einmesh_artifact::write_atomically;
use memmap2::{Mmap, UncheckedAdvice};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The most bytes of a header: with four times as much for its parsed form, below 64 MB.
const MAX_HEADER: u64 = 12 << 20;
/// The most bytes of a name.
const MAX_NAME: usize = 1024;
/// The most dims of a tensor.
const MAX_RANK: usize = 16;

/// An open file, or several that make one checkpoint. The bytes are mapped, not read: a tensor costs
/// memory when it is looked at.
///
/// Whoever shortens a file meanwhile kills the process with SIGBUS, as with every mapped file.
pub struct SafeTensors {
    maps: Vec<Mmap>,
    /// Each tensor, and which file it is in.
    entries: BTreeMap<String, (usize, Entry)>,
    /// The first file.
    path: PathBuf,
}

/// One tensor of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The element type.
    pub dtype: ElementType,
    /// The extents.
    pub shape: Vec<u64>,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// A tensor in an open file.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The element type.
    pub dtype: ElementType,
    /// The extents.
    pub shape: &'a [u64],
    /// The elements.
    pub bytes: &'a [u8],
}

impl SafeTensors {
    /// Opens a file and checks its header.
    pub fn open(path: &Path) -> Result<SafeTensors, FileError> {
        SafeTensors::open_all(&[path])
    }

    /// Opens the files of one checkpoint, each with other tensors.
    pub fn open_all(paths: &[impl AsRef<Path>]) -> Result<SafeTensors, FileError> {
        let path = paths.first().map_or_else(PathBuf::new, |p| p.as_ref().to_owned());
        let mut all = SafeTensors { maps: Vec::new(), entries: BTreeMap::new(), path };
        for path in paths.iter().map(AsRef::as_ref) {
            let (map, entries) = open(path)?;
            for (name, entry) in entries {
                if all.entries.contains_key(&name) {
                    let first = all.path.display();
                    let help = format!("help: pass the files of one checkpoint, with {first}");
                    let problem = format!("another file has `{name}` too\n{help}");
                    return Err(FileError::new(path, problem));
                }
                all.entries.insert(name, (all.maps.len(), entry));
            }
            all.maps.push(map);
        }
        Ok(all)
    }

    /// The file, or the first of several.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Gives back the memory that the tensors looked at so far cost. They can be looked at again.
    pub fn release(&self) {
        for map in &self.maps {
            // SAFETY: the maps are of files and never written, so that pages which are dropped come back from the
            // file with what they held. If the system refuses, the memory is only kept for longer.
            let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }

    /// A tensor by its name.
    pub fn get(&self, name: &str) -> Option<View<'_>> {
        let (file, entry) = self.entries.get(name)?;
        Some(View {
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: &self.maps[*file][entry.range.clone()],
        })
    }
}

/// Maps a file and checks its header.
fn open(path: &Path) -> Result<(Mmap, BTreeMap<String, Entry>), FileError> {
    let file = File::open(path).map_err(|e| FileError::new(path, e))?;
    let metadata = file.metadata().map_err(|e| FileError::new(path, e))?;
    if !metadata.is_file() {
        return Err(FileError::new(path, "it is not a regular file"));
    }
    // SAFETY: the map is only read. Another process may change the bytes under it, which can make
    // numbers wrong but no access invalid, since ranges are fixed after the check below; shortening
    // the file is the documented exception.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| FileError::new(path, e))?;
    let entries = parse_header(&map).map_err(|problem| {
        let help = "help: pass a `.safetensors` file, or copy or write it again";
        FileError::new(path, format!("{problem}\n{help}"))
    })?;
    Ok((map, entries))
}

/// Checks a whole file's bytes and gives its tensors by name.
pub fn parse_header(file: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err("it is too short for a safetensors file".to_owned());
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "its header claims {length} bytes, at most {MAX_HEADER} are allowed: it is no safetensors file"
        ));
    }
    if length > rest.len() as u64 {
        return Err(format!(
            "it is cut short: its header claims {length} bytes, {} are there",
            rest.len()
        ));
    }
    let (header, data) = rest.split_at(length as usize);
    let RawHeader(raw) =
        serde_json::from_slice(header).map_err(|e| format!("its header is wrong: {e}"))?;
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (name, raw) in raw {
        let entry = check_entry(&name, raw, data.len(), 8 + length as usize)?;
        entries.insert(name, entry);
    }
    check_coverage(&entries, file.len() - data.len(), file.len())?;
    Ok(entries)
}

fn check_entry(name: &str, raw: RawEntry, data: usize, base: usize) -> Result<Entry, String> {
    let hostile = name.is_empty()
        || name.len() > MAX_NAME
        || name.chars().any(|c| c.is_control() || c == '\\')
        || name.split('/').any(|part| part == "..")
        || name.starts_with('/');
    if hostile {
        let start: String = name.chars().take(80).flat_map(char::escape_debug).collect();
        return Err(format!("the name `{start}` is not allowed: it is empty, too long, or a path"));
    }
    let Some(dtype) = ElementType::from_safetensors(&raw.dtype) else {
        let start: String = raw.dtype.chars().take(20).flat_map(char::escape_debug).collect();
        return Err(format!("`{name}` has elements of the unknown type {start}"));
    };
    let [begin, end] = raw.data_offsets;
    if begin > end || end > data as u64 {
        return Err(format!(
            "`{name}` has the offsets {begin}..{end}, but the data has {data} bytes; it may be cut short"
        ));
    }
    let Shape(shape) = raw.shape;
    if bytes_of(dtype, &shape) != Some(end - begin) {
        return Err(format!("`{name}` has {} bytes, which are not {dtype}{shape:?}", end - begin));
    }
    Ok(Entry { dtype, shape, range: base + begin as usize..base + end as usize })
}

/// The tensors follow one another without gaps or overlaps and fill the file.
fn check_coverage(
    entries: &BTreeMap<String, Entry>,
    begin: usize,
    end: usize,
) -> Result<(), String> {
    let mut ranges: Vec<(&Range<usize>, &String)> =
        entries.iter().map(|(n, e)| (&e.range, n)).collect();
    ranges.sort_by_key(|(range, _)| (range.start, range.end));
    let mut next = begin;
    for (range, name) in ranges {
        if range.start != next {
            let how =
                if range.start < next { "overlaps the tensor before it" } else { "follows a gap" };
            return Err(format!("`{name}` {how}"));
        }
        next = range.end;
    }
    match next == end {
        true => Ok(()),
        false => Err(format!("its last {} bytes belong to no tensor", end - next)),
    }
}

/// The header's JSON, duplicates refused.
struct RawHeader(BTreeMap<String, RawEntry>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// A short list of extents.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawHeader, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut entries = BTreeMap::new();
                let mut metadata = false;
                while let Some(name) = map.next_key::<String>()? {
                    let duplicate = if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        std::mem::replace(&mut metadata, true)
                    } else {
                        let entry = map.next_value::<RawEntry>()?;
                        entries.insert(name, entry).is_some()
                    };
                    if duplicate {
                        return Err(A::Error::custom("a name occurs twice"));
                    }
                }
                Ok(RawHeader(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        struct Extents;
        impl<'de> Visitor<'de> for Extents {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of extents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut extents = Vec::new();
                while let Some(extent) = list.next_element::<u64>()? {
                    if extents.len() == MAX_RANK {
                        return Err(A::Error::custom(format!(
                            "a shape has more than {MAX_RANK} extents"
                        )));
                    }
                    extents.push(extent);
                }
                Ok(Shape(extents))
            }
        }
        deserializer.deserialize_seq(Extents)
    }
}

/// Writes tensors to a file, atomically. Equal tensors give equal bytes.
pub fn write_safetensors(path: &Path, tensors: &[(String, Tensor)]) -> io::Result<()> {
    let mut sorted: Vec<&(String, Tensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _)| name);
    let mut header = Header::default();
    for (name, tensor) in &sorted {
        header.push(name.clone(), tensor.dtype, tensor.shape.clone());
    }
    write_atomically(path, |file| header.write(file, |i, file| file.write_all(&sorted[i].1.bytes)))
}

/// The tensors of a file that is to be written, without their elements.
#[derive(Clone, Debug, Default)]
pub struct Header {
    tensors: Vec<(String, ElementType, Vec<u64>)>,
}

impl Header {
    /// Adds a tensor.
    pub fn push(&mut self, name: String, dtype: ElementType, shape: Vec<u64>) {
        self.tensors.push((name, dtype, shape));
    }

    /// Writes the header, then the elements: `elements` writes those of the n-th tensor. It is called with wide
    /// elements first, as the format's library does (then all are aligned), and among equally wide ones
    /// in the order in which they were added.
    pub fn write(
        &self,
        file: &mut dyn Write,
        mut elements: impl FnMut(usize, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(self.tensors[*i].1.bytes()));
        let mut rows: Vec<String> = Vec::with_capacity(order.len());
        let mut offset = 0;
        for i in &order {
            let (name, dtype, shape) = &self.tensors[*i];
            let bytes = bytes_of(*dtype, shape)
                .ok_or_else(|| io::Error::other(format!("`{name}` has too many elements")))?;
            let end = offset + bytes;
            rows.push(format!(
                "{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{offset},{end}]}}",
                serde_json::Value::from(name.as_str()),
                dtype.safetensors(),
                serde_json::Value::from(shape.as_slice()),
            ));
            offset = end;
        }
        let mut text = format!("{{{}}}", rows.join(","));
        // Spaces may follow the header. The data begins at a multiple of 64, as memory buffers do.
        let padded = (8 + text.len()).next_multiple_of(64) - 8;
        text.extend(std::iter::repeat_n(' ', padded - text.len()));
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(text.as_bytes())?;
        order.into_iter().try_for_each(|i| elements(i, file))
    }
}
