//! Codes E04xx: dtypes, terms and expressions.

use crate::codes::codes;

codes! {
    DTYPE = 401, "A conversion is not implicit",
"Only floats that lose nothing are widened by themselves: bf16 and f16 to f32, f32 to f64. Everything else is
written, because it rounds or costs.

```ein
fn f(x: i32, y: f32) -> f32 = x * y
```

With the conversion:

```ein
fn f(x: i32, y: f32) -> f32 = f32(x) * y
```";
    WRONG_OPERAND = 402, "An operation is not defined for its operands",
"`/` is for floats, `div` for integers, `and` for truth values; numbers are not conditions.

```ein
fn f(a: i32, b: i32) -> i32 = a / b
```

The integer division, which rounds down:

```ein
fn f(a: i32, b: i32) -> i32 = div(a, b)
```";
    UNSUBSCRIPTED = 403, "An array has no subscripts in an indexed statement",
"With indices on the left, the right side is one number for each of them. Whole arrays are combined in statements
without indices, or passed as arguments.

```ein
dim B = 4, T = 8
fn f(x: f32[B,T], c: f32[T]) -> f32[B,T] {
  out[b,t] = x[b,t] + c
}
```

Subscripted:

```ein
dim B = 4, T = 8
fn f(x: f32[B,T], c: f32[T]) -> f32[B,T] {
  out[b,t] = x[b,t] + c[t]
}
```";
    SINGLE_INDEX = 404, "An index occurs once and is not on the left",
"An index is summed where it occurs at least twice as a subscript of a term's factors. If once were enough, a typo
would compute something.

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[B] {
  out[b] = x[b,t]
}
```

With the sum written out:

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[B] {
  out[b] = sum[t](x[b,t])
}
```";
    HIDDEN_INDEX = 405, "An index is neither on the left nor summed",
"Only subscripts of a term's factors make a sum: not those in parentheses, divisors, powers and plain calls. So
`2*(a[i,j]*w[j] + c[i])` does not change its meaning when it is multiplied out.

```ein
dim I = 4, J = 8
fn f(a: f32[I,J], w: f32[J], c: f32[I]) -> f32[I] {
  out[i] = 2 * (a[i,j] * w[j] + c[i])
}
```

With the sum in a term of its own:

```ein
dim I = 4, J = 8
fn f(a: f32[I,J], w: f32[J], c: f32[I]) -> f32[I] {
  out[i] = 2 * a[i,j] * w[j] + 2 * c[i]
}
```";
    REPEATED_INDEX = 406, "An index is bound twice in the same brackets",
"`y[i,i] = …` would leave everything beside the diagonal open.

```ein
dim I = 4, J: I
fn f(x: f32[I]) -> f32[I,J] {
  out[i,i] = x[i]
}
```

Zeros, and a store on the diagonal:

```ein
dim I = 4, J: I
fn f(x: f32[I]) -> f32[I,J] {
  out: f32[I,J] = 0
  out[i, i + 0] := x[i]
}
```";
    WRONG_ARGUMENTS = 407, "The arguments of a call do not fit",
"Arguments are given in order or by name; those with a default may be left out.

```ein
fn scale(x: f32, by: f32) -> f32 = x * by
fn f(x: f32) -> f32 = scale(x)
```

All of them:

```ein
fn scale(x: f32, by: f32) -> f32 = x * by
fn f(x: f32) -> f32 = scale(x, by: 2.0)
```";
    BRACKETS = 408, "The brackets of an application do not fit",
"`f[i,j](…)` binds the generic dims of `f` in order; `sum[t](…)` names what is reduced.

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[B,T] {
  out[b,t] = softmax[b,t](x[b,t])
}
```

`softmax` has one generic dim and is mapped over all others:

```ein
dim B = 4, T = 8
fn f(x: f32[B,T]) -> f32[B,T] {
  out[b,t] = softmax[t](x[b,t])
}
```";
    DEPENDS = 409, "An argument depends on an index that its parameter has no axis for",
"Inside the call the bracket's index is an axis; an argument that is one number cannot vary along it.

```ein
dim V = 8
fn f(z: f32[V]) -> f32 = cross_entropy[v](z[v], v)
```

With a number that does not:

```ein
dim V = 8
fn f(z: f32[V], y: i32) -> f32 = cross_entropy[v](z[v], y)
```";
    UNKNOWN_FIELD = 410, "A record has no such field",
"Fields are those that the record declares. Only records have fields.

```ein
dim D = 4
record Norm { weight: f32[D] }
fn f(p: Norm) -> f32 = sum(p.wieght)
```

Spelled as declared:

```ein
dim D = 4
record Norm { weight: f32[D] }
fn f(p: Norm) -> f32 = sum(p.weight)
```";
    ABSENT_FIELD = 411, "A field does not exist under its condition",
"`field: type if condition` exists only where the constant condition holds.

```ein
const tied = true
record P { a: f32, head: f32 if not tied }
fn f(p: P) -> f32 = p.head
```

Used under the same condition:

```ein
const tied = true
record P { a: f32, head: f32 if not tied }
fn f(p: P) -> f32 {
  if not tied { out = p.head } else { out = p.a }
}
```";
    RECORD_MISMATCH = 412, "Records of different types are combined",
"Arithmetic on records goes leaf by leaf, so both have the same type; numbers combine with every leaf.

```ein
record A { x: f32 }
record B { y: f32 }
fn f(a: A, b: B) -> A = a + b
```

Of the same type:

```ein
record A { x: f32 }
fn f(a: A, b: A) -> A = a + 0.5 * b
```";
    UNBOUND_GENERIC = 413, "It is not known what a generic dim is",
"A call without brackets finds the generic dims by the axes of its whole arguments.

```ein
fn size[N](x: f32) -> f32 = x * N
fn f(x: f32) -> f32 = size(x)
```

With an argument that has the axis:

```ein
dim T = 8
fn mean_of[N](x: f32[N]) -> f32 = sum[n](x[n]) / N
fn f(x: f32[T]) -> f32 = mean_of(x)
```";
    GUARD = 414, "A guard or range stands where none is possible",
"A guard is a condition; it belongs to reductions, calls with brackets, and left sides.

```ein
dim T = 8
fn f(x: f32[T], n: i32) -> f32[T] {
  out[t] = x[t | t < n]
}
```

A choice by `where`, or a guarded left side:

```ein
dim T = 8
fn f(x: f32[T], n: i32) -> f32[T] {
  out[t] = where(t < n, x[t], 0)
}
```";
    UNBOUND_INDEX = 415, "An index is not bound",
"An index is bound by the left side of its statement, by the brackets of a reduction or call, or by being summed.

```ein
dim T = 8, U: T
fn f(x: f32[T]) -> f32[T] {
  out[t | u < 4] = x[t]
}
```

Bound by the left side:

```ein
dim T = 8
fn f(x: f32[T]) -> f32[T] {
  out[t | t < 4] = x[t]
}
```";
    RECORD_TYPE = 416, "It is not known which type `record` is",
"`record` in a function's signature stands for any record type, the same one throughout.
A call's arguments say which.

```ein
record Pair { a: f32, b: f32 }
fn scaled(p: record, by: f32) -> record = by * p
fn f(x: f32) -> f32 = scaled(x, 2.0)
```

With an argument that is a record:

```ein
record Pair { a: f32, b: f32 }
fn scaled(p: record, by: f32) -> record = by * p
fn f(p: Pair) -> Pair = scaled(p, 2.0)
```";
    INITIAL = 417, "It is not known how a value starts",
"`initial(key)` gives a record whose leaves start as their fields say: `zeros`, `ones`, `normal(deviation)`
or `uniform(bound)`. It is bound to a name with a type, and every leaf has an initialiser, of its own or of
a record around it.

```ein
dim D = 8
record Norm { weight: f32[D] = ones, bias: f32[D] }
fn start(r: rng) -> Norm {
  p: Norm = initial(r)
  out = p
}
```

With one for each leaf:

```ein
dim D = 8
record Norm { weight: f32[D] = ones, bias: f32[D] = zeros }
fn start(r: rng) -> Norm {
  p: Norm = initial(r)
  out = p
}
```";
}
