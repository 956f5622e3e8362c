//! Results as a table for people.

use crate::tensors::{Tensor, load_float, load_integer};

/// How many elements are shown.
const SHOWN: usize = 4;

/// One line per tensor: name, type and shape, first elements, a checksum to compare runs by.
pub fn table(tensors: &[(String, Tensor)]) -> String {
    let mut rows = vec![["name", "type", "first values", "checksum"].map(str::to_owned)];
    for (name, tensor) in tensors {
        rows.push([
            name.clone(),
            format!("{}{:?}", tensor.dtype, tensor.shape),
            first_values(tensor),
            format!("{:016x}", checksum(&tensor.bytes)),
        ]);
    }
    align(&rows)
}

/// Lines of cells, each column as wide as its widest.
pub fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, w)| format!("{cell:w$}"));
        format!("{}\n", cells.collect::<Vec<String>>().join("  ").trim_end())
    });
    lines.collect()
}

fn first_values(tensor: &Tensor) -> String {
    let width = tensor.dtype.bytes() as usize;
    let chunks = tensor.bytes.chunks_exact(width);
    let more = if chunks.len() > SHOWN { " …" } else { "" };
    let shown = chunks.take(SHOWN).map(|bytes| match tensor.dtype.is_float() {
        true => format!("{:.6}", load_float(tensor.dtype, bytes)),
        false => load_integer(tensor.dtype, bytes).to_string(),
    });
    format!("{}{more}", shown.collect::<Vec<String>>().join(" "))
}

/// FNV-1a (Fowler, Noll and Vo 1991) over words of eight bytes, the last one padded with zeros.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain(std::iter::once(&last));
    words.fold(0xCBF2_9CE4_8422_2325, |hash, word| {
        (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
