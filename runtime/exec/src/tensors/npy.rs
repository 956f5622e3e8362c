//! NumPy's `.npy` files: one array, versions 1 to 3, little endian, C order.

use super::{ElementType, FileError, Tensor, bytes_of, convert};
use einmesh_artifact::write_atomically;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The most bytes of a header. NumPy itself writes a few hundred.
const MAX_HEADER: u64 = 1 << 16;
const MAX_RANK: usize = 32;

/// Reads an array.
pub fn read(path: &Path) -> Result<Tensor, FileError> {
    let fail = |problem: String| FileError::new(path, problem);
    let file = File::open(path).map_err(|e| fail(e.to_string()))?;
    let metadata = file.metadata().map_err(|e| fail(e.to_string()))?;
    read_from(file, metadata.len()).map_err(fail)
}

/// Reads an array from something of this many bytes.
pub fn read_from(mut source: impl Read, size: u64) -> Result<Tensor, String> {
    let short = |_| "it is too short for a .npy file".to_owned();
    let mut start = [0; 8];
    source.read_exact(&mut start).map_err(short)?;
    if start[..6] != MAGIC[..] {
        return Err("it is not a .npy file\nhelp: write it with `numpy.save`".to_owned());
    }
    // Version 1 has two bytes of length, later ones four.
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(format!("its .npy version {version} is unknown")),
    };
    let mut length = [0; 4];
    source.read_exact(&mut length[..width]).map_err(short)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > MAX_HEADER {
        return Err(format!("its header claims {length} bytes, at most {MAX_HEADER} are allowed"));
    }
    let mut header = vec![0; length as usize];
    source.read_exact(&mut header).map_err(short)?;
    let header = String::from_utf8(header).map_err(|_| "its header is not text".to_owned())?;
    let (dtype, shape) = parse_header(&header)?;
    let data = size.saturating_sub(8 + width as u64 + length);
    if bytes_of(dtype, &shape) != Some(data) {
        return Err(format!("it has {data} bytes of data, which are not {dtype}{shape:?}"));
    }
    let mut bytes = Vec::new();
    let read = source.take(data).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match read as u64 == data {
        true => Ok(Tensor { dtype, shape, bytes }),
        false => Err("it was shortened while it was read".to_owned()),
    }
}

/// Writes an array, atomically. NumPy has no bf16: such elements are written as f32, exactly.
pub fn write(path: &Path, tensor: &Tensor) -> io::Result<()> {
    let dtype = match tensor.dtype {
        ElementType::Bf16 => ElementType::F32,
        other => other,
    };
    let mut bytes =
        vec![0; tensor.bytes.len() / tensor.dtype.bytes() as usize * dtype.bytes() as usize];
    convert(tensor.dtype, dtype, &tensor.bytes, &mut bytes).map_err(io::Error::other)?;
    let extents: Vec<String> = tensor.shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
        descr(dtype),
        extents.join(" ")
    );
    // The data begins at a multiple of 64; a newline ends the header.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.extend(std::iter::repeat_n(' ', padded - header.len() - 1));
    header.push('\n');
    write_atomically(path, |file| {
        file.write_all(MAGIC)?;
        file.write_all(&[1, 0])?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(&bytes)
    })
}

/// NumPy's name of a type: kind and bytes, with the byte order where there is one.
fn descr(dtype: ElementType) -> String {
    let kind = match dtype {
        ElementType::F64 | ElementType::F32 | ElementType::Bf16 | ElementType::F16 => 'f',
        ElementType::I64 | ElementType::I32 | ElementType::I16 | ElementType::I8 => 'i',
        ElementType::U64 | ElementType::U32 | ElementType::U16 | ElementType::U8 => 'u',
        ElementType::Bool => 'b',
    };
    let order = if dtype.bytes() == 1 { '|' } else { '<' };
    format!("{order}{kind}{}", dtype.bytes())
}

/// The header, a Python dict literal with three known keys.
fn parse_header(header: &str) -> Result<(ElementType, Vec<u64>), String> {
    let wrong = || format!("its header cannot be read: {}", header.trim().escape_debug());
    let body = header.trim().strip_prefix('{').and_then(|h| h.strip_suffix('}'));
    let mut rest = body.ok_or_else(wrong)?.trim();
    let (mut dtype, mut order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest).ok_or_else(wrong)?;
        let value = after.trim_start().strip_prefix(':').ok_or_else(wrong)?.trim_start();
        rest = match key {
            "descr" => {
                let (name, after) = quoted(value).ok_or_else(|| structured(value))?;
                dtype = Some(element_type(name)?);
                after
            }
            "fortran_order" => {
                let (order_value, after) =
                    match (value.strip_prefix("False"), value.strip_prefix("True")) {
                        (Some(after), _) => (false, after),
                        (_, Some(after)) => (true, after),
                        _ => return Err(wrong()),
                    };
                order = Some(order_value);
                after
            }
            "shape" => {
                let (list, after) =
                    value.strip_prefix('(').and_then(|v| v.split_once(')')).ok_or_else(wrong)?;
                shape = Some(extents(list).ok_or_else(wrong)?);
                after
            }
            _ => return Err(wrong()),
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    match (dtype, order, shape) {
        (Some(_), Some(true), Some(_)) => Err("it is in Fortran order\n\
            help: save it with `numpy.save(path, numpy.ascontiguousarray(a))`"
            .to_owned()),
        (Some(dtype), Some(false), Some(shape)) => Ok((dtype, shape)),
        _ => Err(wrong()),
    }
}

/// A quoted string at the start, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn extents(list: &str) -> Option<Vec<u64>> {
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    let extents: Option<Vec<u64>> =
        items.take(MAX_RANK + 1).map(|item| item.parse().ok()).collect();
    extents.filter(|e| e.len() <= MAX_RANK)
}

fn element_type(name: &str) -> Result<ElementType, String> {
    let all = ElementType::ALL.into_iter().filter(|t| *t != ElementType::Bf16);
    let mut known = all.filter(|t| descr(*t) == name);
    known.next().ok_or_else(|| {
        let name = name.escape_debug();
        format!("its elements have the type `{name}`\nhelp: save it as one of f8, f4, f2, i8, i4, b1, little endian")
    })
}

fn structured(_: &str) -> String {
    "its elements are records\nhelp: save one field".to_owned()
}
