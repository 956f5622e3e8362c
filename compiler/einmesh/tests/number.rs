//! Elements of every type.

use einmesh::{Element, bf16, f16};

/// Numbers whose products and short sums are exact in all types.
pub trait Number: Element {
    /// The number, as near as the type has it.
    fn of(n: i64) -> Self;
}

macro_rules! number {
    ($($element:ident: $of:expr;)*) => {$(
        impl Number for $element {
            fn of(n: i64) -> $element {
                let of: fn(i64) -> $element = $of;
                of(n)
            }
        }
    )*};
}

number! {
    f32: |n| n as f32;
    f64: |n| n as f64;
    bf16: |n| bf16::from_f32(n as f32);
    f16: |n| f16::from_f32(n as f32);
    i64: |n| n;
    i32: |n| n as i32;
    bool: |n| n > 0;
}
