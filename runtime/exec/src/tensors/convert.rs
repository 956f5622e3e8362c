//! Conversion of elements between types.

use super::element::ElementType;
use half::{bf16, f16};

/// Converts elements, little endian, `to.bytes()` each. Floats convert to any float type (narrower
/// ones round to nearest, ties to even); integers to integers if the values fit; `bool` and 0 or 1 in
/// `u8` into each other. The error says which element does not fit, or that the types never do.
pub fn convert(
    from: ElementType,
    to: ElementType,
    source: &[u8],
    target: &mut [u8],
) -> Result<(), String> {
    if from == to {
        target.copy_from_slice(source);
        return match to {
            ElementType::Bool => check_bools(source),
            _ => Ok(()),
        };
    }
    if from.is_float() && to.is_float() {
        convert_floats(from, to, source, target);
        return Ok(());
    }
    if !convertible(from, to) {
        return Err(format!("{from} elements cannot become {to}: convert the file"));
    }
    let (from_width, to_width) = (from.bytes() as usize, to.bytes() as usize);
    let pairs = source.chunks_exact(from_width).zip(target.chunks_exact_mut(to_width));
    for (source, target) in pairs {
        let number = load_integer(from, source);
        if !store_integer(to, number, target) {
            return Err(format!("the element {number} does not fit into {to}"));
        }
    }
    Ok(())
}

/// Whether [`convert`] knows a way, for elements that fit.
pub fn convertible(from: ElementType, to: ElementType) -> bool {
    let integer = |t: ElementType| !t.is_float() && t != ElementType::Bool;
    let truth = |t: ElementType| matches!(t, ElementType::Bool | ElementType::U8);
    from == to
        || from.is_float() && to.is_float()
        || integer(from) && integer(to)
        || truth(from) && truth(to)
}

/// Whether every element keeps its value.
pub fn lossless(from: ElementType, to: ElementType) -> bool {
    use ElementType::{Bf16, F16, F32, F64};
    from == to
        || !from.is_float()
        || matches!((from, to), (F32 | Bf16 | F16, F64) | (Bf16 | F16, F32))
}

/// A byte that is neither 0 nor 1 is no truth value: compiled code may rely on that.
fn check_bools(source: &[u8]) -> Result<(), String> {
    match source.iter().find(|b| **b > 1) {
        Some(byte) => Err(format!("the byte {byte} is not a bool")),
        None => Ok(()),
    }
}

fn convert_floats(from: ElementType, to: ElementType, source: &[u8], target: &mut [u8]) {
    // The common pairs of big files get loops of their own; the rest goes through f64, which holds
    // every element exactly, so that there is one rounding.
    match (from, to) {
        (ElementType::Bf16, ElementType::F32) => {
            each(source, target, |b: [u8; 2]| bf16::from_le_bytes(b).to_f32().to_le_bytes());
        }
        (ElementType::F16, ElementType::F32) => {
            each(source, target, |b: [u8; 2]| f16::from_le_bytes(b).to_f32().to_le_bytes());
        }
        (ElementType::F32, ElementType::Bf16) => {
            each(source, target, |b: [u8; 4]| bf16::from_f32(f32::from_le_bytes(b)).to_le_bytes());
        }
        (ElementType::F32, ElementType::F16) => {
            each(source, target, |b: [u8; 4]| f16::from_f32(f32::from_le_bytes(b)).to_le_bytes());
        }
        _ => {
            let (from_width, to_width) = (from.bytes() as usize, to.bytes() as usize);
            let pairs = source.chunks_exact(from_width).zip(target.chunks_exact_mut(to_width));
            for (source, target) in pairs {
                store_float(to, load_float(from, source), target);
            }
        }
    }
}

fn each<const N: usize, const M: usize>(
    source: &[u8],
    target: &mut [u8],
    convert: impl Fn([u8; N]) -> [u8; M],
) {
    let (source, _) = source.as_chunks::<N>();
    let (target, _) = target.as_chunks_mut::<M>();
    for (source, target) in source.iter().zip(target) {
        *target = convert(*source);
    }
}

/// The first N bytes of a chunk that has at least as many.
fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

/// A float of any type as f64, which holds them all.
pub(crate) fn load_float(dtype: ElementType, bytes: &[u8]) -> f64 {
    match dtype {
        ElementType::F64 => f64::from_le_bytes(head(bytes)),
        ElementType::F32 => f64::from(f32::from_le_bytes(head(bytes))),
        ElementType::Bf16 => bf16::from_le_bytes(head(bytes)).to_f64(),
        ElementType::F16 => f16::from_le_bytes(head(bytes)).to_f64(),
        _ => load_integer(dtype, bytes) as f64,
    }
}

fn store_float(dtype: ElementType, number: f64, target: &mut [u8]) {
    match dtype {
        ElementType::F64 => target.copy_from_slice(&number.to_le_bytes()),
        ElementType::F32 => target.copy_from_slice(&(number as f32).to_le_bytes()),
        ElementType::Bf16 => {
            target.copy_from_slice(&bf16::from_f32(round_to_odd(number)).to_le_bytes());
        }
        _ => target.copy_from_slice(&f16::from_f32(round_to_odd(number)).to_le_bytes()),
    }
}

/// The f32 from which a further rounding gives what rounding once would: of the two neighbours of
/// an inexact number the one with an odd last bit (Boldo and Melquiond 2008). `half`'s own conversion
/// drops the lower bits of an f64.
fn round_to_odd(number: f64) -> f32 {
    let nearest = number as f32;
    let back = f64::from(nearest);
    let bits = nearest.to_bits();
    if number.is_nan() || back == number || bits & 1 == 1 {
        return nearest;
    }
    // Neighbours in size are neighbours in bits, whatever the sign.
    match number.abs() > back.abs() {
        true => f32::from_bits(bits + 1),
        false => f32::from_bits(bits - 1),
    }
}

/// An integer of any type.
pub(crate) fn load_integer(dtype: ElementType, bytes: &[u8]) -> i128 {
    match dtype {
        ElementType::I64 => i64::from_le_bytes(head(bytes)).into(),
        ElementType::I32 => i32::from_le_bytes(head(bytes)).into(),
        ElementType::I16 => i16::from_le_bytes(head(bytes)).into(),
        ElementType::I8 => i8::from_le_bytes(head(bytes)).into(),
        ElementType::U64 => u64::from_le_bytes(head(bytes)).into(),
        ElementType::U32 => u32::from_le_bytes(head(bytes)).into(),
        ElementType::U16 => u16::from_le_bytes(head(bytes)).into(),
        _ => bytes[0].into(),
    }
}

/// Stores an integer and tells whether it fits.
fn store_integer(dtype: ElementType, number: i128, target: &mut [u8]) -> bool {
    let signed = |bits: u32| (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&number);
    let unsigned = |bits: u32| (0..1i128 << bits).contains(&number);
    let bits = 8 * dtype.bytes() as u32;
    let fits = match dtype {
        ElementType::I64 | ElementType::I32 | ElementType::I16 | ElementType::I8 => signed(bits),
        ElementType::Bool => unsigned(1),
        _ => unsigned(bits),
    };
    // Two's complement: the low bytes are the number in every width it fits into.
    let bytes = number.to_le_bytes();
    target.copy_from_slice(&bytes[..target.len()]);
    fits
}
