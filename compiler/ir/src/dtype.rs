//! Element types.

use std::fmt;

/// The type of one element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DType {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// bfloat16: the upper half of an [`DType::F32`].
    Bf16,
    /// IEEE binary16.
    F16,
    /// Signed 64-bit integer; arithmetic wraps.
    I64,
    /// Signed 32-bit integer; arithmetic wraps.
    I32,
    /// A truth value, one byte.
    Bool,
    /// The key of a counter-based random number generator, eight bytes.
    Key,
}

impl DType {
    /// All element types.
    pub const ALL: [DType; 8] = [
        DType::F64,
        DType::F32,
        DType::Bf16,
        DType::F16,
        DType::I64,
        DType::I32,
        DType::Bool,
        DType::Key,
    ];

    /// Bytes of one element in memory.
    pub fn bytes(self) -> u64 {
        match self {
            DType::F64 | DType::I64 | DType::Key => 8,
            DType::F32 | DType::I32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::Bf16 | DType::F16)
    }

    /// Whether elements are integers.
    pub fn is_int(self) -> bool {
        matches!(self, DType::I64 | DType::I32)
    }

    /// The type in which sums of this type are accumulated: at least f32 for floats.
    pub fn accumulator(self) -> DType {
        match self {
            DType::Bf16 | DType::F16 => DType::F32,
            other => other,
        }
    }

    /// The number of this float dtype that is nearest to `value`, halves to even; beyond the largest, an
    /// infinity. Other dtypes leave the number as it is.
    pub fn round(self, value: f64) -> f64 {
        // Significant bits, the smallest normal number's exponent, and the largest number.
        let (bits, smallest, largest) = match self {
            DType::F32 => return f64::from(value as f32),
            DType::Bf16 => (8, -126, f64::from_bits(0x47EF_E000_0000_0000)),
            DType::F16 => (11, -14, 65504.0),
            _ => return value,
        };
        if value == 0.0 || !value.is_finite() {
            return value;
        }
        let power_of_two = |e: i64| f64::from_bits(((e + 1023) as u64) << 52);
        let exponent = ((value.to_bits() >> 52) & 0x7ff) as i64 - 1023;
        // Dividing and multiplying by a power of two is exact here: all exponents are far from f64's own
        // limits, but for numbers that round to zero anyway.
        let quantum = power_of_two(exponent.max(smallest) - (bits - 1));
        let rounded = (value / quantum).round_ties_even() * quantum;
        if rounded.abs() > largest { f64::INFINITY.copysign(value) } else { rounded }
    }

    /// Whether `value` is a number of this float dtype, an infinity or NaN.
    pub fn represents(self, value: f64) -> bool {
        value.is_nan() || self.round(value) == value
    }

    /// The name used in source and text form.
    pub fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::Bool => "bool",
            DType::Key => "rng",
        }
    }

    /// The inverse of [`DType::name`].
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even() {
        // bf16 has 8 significant bits: 1 + 1/128 is one, 1 + 1/256 is halfway.
        let half = 1.0 / 256.0;
        assert_eq!(DType::Bf16.round(1.0 + half), 1.0);
        assert_eq!(DType::Bf16.round(1.0 + 3.0 * half), 1.0 + 4.0 * half);
        // A bit far below the halfway point decides, which going through f32 would lose.
        assert_eq!(DType::Bf16.round(1.0 + half + 1e-12), 1.0 + 2.0 * half);
        assert_eq!(DType::F16.round(2049.0), 2048.0);
        assert_eq!(DType::F16.round(2051.0), 2052.0);
        assert_eq!(DType::F32.round(16_777_217.0), 16_777_216.0);
        assert_eq!(DType::F64.round(0.1), 0.1);
    }

    #[test]
    fn rounds_at_the_limits() {
        assert_eq!(DType::F16.round(65519.0), 65504.0);
        assert_eq!(DType::F16.round(65520.0), f64::INFINITY);
        assert_eq!(DType::F16.round(-1e9), f64::NEG_INFINITY);
        assert_eq!(DType::Bf16.round(3.4e38), f64::INFINITY);
        assert_eq!(
            DType::Bf16.round(f64::from_bits(0x47EF_E000_0000_0000)),
            3.389_531_389_251_535_5e38
        );
        // Subnormals: the smallest number of f16 is 2^-24.
        let smallest = 2f64.powi(-24);
        assert_eq!(DType::F16.round(smallest), smallest);
        assert_eq!(DType::F16.round(smallest * 0.5), 0.0);
        assert_eq!(DType::F16.round(smallest * 0.75), smallest);
        assert_eq!(DType::F16.round(smallest * 1.5), smallest * 2.0);
        assert!(DType::F16.round(-1e-300).is_sign_negative());
        assert_eq!(DType::Bf16.round(f64::from_bits(1)), 0.0);
        assert!(DType::F16.round(f64::NAN).is_nan());
    }

    #[test]
    fn represents_every_bf16() {
        for bits in 0..=u16::MAX {
            let x = f64::from(f32::from_bits(u32::from(bits) << 16));
            assert!(DType::Bf16.represents(x), "{bits:#x}");
        }
    }
}
