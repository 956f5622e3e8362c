//! Codes E03xx: dims, indices and shapes.

use crate::codes::codes;

codes! {
    MISSING_EXTENTS = 301, "Dims have no extents",
"A program is compiled for known extents. A dim without one in the file gets it from the command line; a role
(`dim U: T`) has that of its dim if it has none of its own. Checking needs no extents, compiling does.

```ein
// einmesh build main.ein --entry f
dim B, T
export fn f(x: f32[B,T]) -> f32 = sum[b,t](x[b,t])
```

With extents, or with `-D B=4 -D T=128`:

```ein
dim B = 4, T = 128
export fn f(x: f32[B,T]) -> f32 = sum[b,t](x[b,t])
```";
    INEXACT_DIM = 302, "Dim arithmetic does not come out even",
"Extents are computed exactly; a division with a remainder is an error and never rounded.

```ein
dim D = 10, H = 4, K = D / H
```

With extents that divide:

```ein
dim D = 12, H = 4, K = D / H
```";
    ROLE_TOO_LARGE = 303, "A role or subrange is larger than its dim",
"`dim T: P` says that T ranges within P: every position of T is one of P.

```ein
dim P = 8, T: P = 16
```

At most as large:

```ein
dim P = 16, T: P = 8
```";
    REPEATED_DIM = 304, "A type names a dim twice",
"If a value had a dim twice, `@shard(data: T)` and `x[t]` would not say which one is meant. The second axis gets
a role of its own: another dim with the same positions.

```ein
dim T = 8
fn f(x: f32[T,T]) -> f32 = sum(x)
```

With a role:

```ein
dim T = 8, U: T
fn f(x: f32[T,U]) -> f32 = sum(x)
```";
    WRONG_INDEX = 305, "An index ranges over another dim than the axis",
"An index subscripts axes of its own dim, of a dim that its dim is a role or part of (`dim U: T`), or product
axes that contain it, as a tuple.

```ein
dim D = 8, F = 16
fn f(w: f32[D,F]) -> f32[F,D] {
  out[f,d] = w[f,d]
}
```

In the order of the axes:

```ein
dim D = 8, F = 16
fn f(w: f32[D,F]) -> f32[F,D] {
  out[f,d] = w[d,f]
}
```";
    UNKNOWN_INDEX = 306, "It is not known what an index ranges over",
"An index with a dim's name in lower case ranges over that dim. Others say it where they are bound (`j: D`), or it
follows from bare uses as a subscript.

```ein
dim D = 8
fn f(x: f32[D]) -> f32 = sum[j](2.0)
```

Said where it is bound:

```ein
dim D = 8
fn f(x: f32[D]) -> f32 = sum[j: D](2.0)
```";
    SUBSCRIPTS = 307, "The number of subscripts does not fit",
"An array has one subscript for each axis; a product axis has one, which is a tuple.

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[B] {
  out[b] = sum[t](x[b,t,0])
}
```

One for each axis:

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[B] {
  out[b] = sum[t](x[b,t])
}
```";
    OUT_OF_RANGE = 308, "A subscript can leave its axis",
"What an affine subscript reads outside of the array has to be said: there is no silent clamping or wrapping.

```ein
dim T = 8
fn f(x: f32[T]) -> f32[T] {
  out[t] = x[t - 1]
}
```

With the value outside:

```ein
dim T = 8
fn f(x: f32[T]) -> f32[T] {
  out[t] = (x[t - 1] else 0)
}
```";
    WRONG_TUPLE = 309, "A tuple does not fit its axis",
"An axis `(H,K)` is subscripted by a tuple with one part for each factor, or by one integer, row-major.

```ein
dim H = 2, K = 4
fn f(x: f32[(H,K)]) -> f32[H] {
  out[h] = x[(h,0,0)]
}
```

One part for each factor:

```ein
dim H = 2, K = 4
fn f(x: f32[(H,K)]) -> f32[H] {
  out[h] = x[(h,0)]
}
```";
    AXES = 310, "The axes of a value do not fit",
"Whole values are passed, returned and combined only with the same axes in the same order. An indexed statement
puts them into another order.

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[T,B] {
  out = x
}
```

Index by index:

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[T,B] {
  out[t,b] = x[b,t]
}
```";
    DIM_CASE = 311, "A dim does not start with a capital",
"The index of a dim is its name in lower case, so the dim itself must not be.

```ein
dim batch = 4
```

With a capital:

```ein
dim Batch = 4
fn f(x: f32[Batch]) -> f32 = sum[batch](x[batch])
```";
    NOT_CONSTANT = 312, "Something must be known when compiling and is not",
"Extents, constants, the condition of an `if` and that of a record's field follow from numbers, dims and constants.

```ein
fn f(x: f32) -> f32 {
  if x > 0 { out = x } else { out = 0.0 }
}
```

A choice by values:

```ein
fn f(x: f32) -> f32 {
  out = where(x > 0, x, 0.0)
}
```";
}
