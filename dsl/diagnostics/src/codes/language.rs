//! Codes E02–05xx: names, dims, types and statements.
//!
//! A test of `einmesh-lower` compiles every example: the first block of an explanation gives its code,
//! the second gives no diagnostic.

use super::codes;

codes! {
    UNKNOWN_NAME = 201, "A name is not declared",
"Every name is a variable, an index, or a declaration of the file, of an import or of the standard library.

```ein
fn f(x: f32) -> f32 = sigmiod(x)
```

Spelled as it is declared:

```ein
fn f(x: f32) -> f32 = sigmoid(x)
```";
    DUPLICATE_NAME = 202, "A name is declared twice",
"A file declares a name once, be it a dim, a type, a constant, a record or a function, and does not redeclare
what is built in. Imported names count too; `use … : { name as other }` renames them.

```ein
dim B = 4
dim B = 8
```

With names of their own:

```ein
dim B = 4
dim C = 8
```";
    COLLISION = 203, "An index and a variable have the same name",
"In `x[t]` the name `t` is either an index or a variable that holds a position. If it could be both, it is an
error: never a silent choice.

```ein
dim T = 8
fn f(x: f32[T], t: i32) -> f32[T] {
  out[t] = x[t]
}
```

With another name for the variable:

```ein
dim T = 8
fn f(x: f32[T], start: i32) -> f32[T] {
  out[t] = x[t] * f32(start)
}
```";
    IMPORT_NOT_FOUND = 204, "An import is not found",
"The path of a `use` is relative to the file it stands in, and the names in braces must be declared there.

```ein
use \"nowhere.ein\": { forward }
fn f(x: f32) -> f32 = x
```

What is not needed is not imported:

```ein
fn f(x: f32) -> f32 = x
```";
    IMPORT_CYCLE = 205, "Files import each other in a circle",
"A file is read after the files it imports, so they cannot need each other.

```ein
use \"main.ein\": { f }
fn f(x: f32) -> f32 = x
```

What both need stands in a third file, or here:

```ein
fn f(x: f32) -> f32 = x
```";
    WRONG_KIND = 206, "A name means something else than is needed here",
"A function is called, a record constructed, a dtype converts, a dim is a number or an axis.

```ein
dim D = 4
fn f(x: f32[D]) -> f32 = D(x)
```

A dim is used as a number:

```ein
dim D = 4
fn f(x: f32[D]) -> f32 = sum[d](x[d]) / D
```";
    BAD_DEFINITION = 207, "A `-D` names nothing that can be defined",
"`-D NAME=VALUE` gives the extent of a dim, the dtype of a `type` name, the value of a `const` or of an entry's
parameter with a default.

```ein
// einmesh build main.ein --entry f -D X=4
dim D = 8
export fn f(x: f32[D]) -> f32 = sum[d](x[d])
```

The name must be declared; with `-D D=4` this compiles:

```ein
dim D = 8
fn f(x: f32[D]) -> f32 = sum[d](x[d])
```";
    UNKNOWN_ENTRY = 208, "There is no such entry",
"Entries are the functions that the compiled file itself exports. A plan is for one of its functions.

```ein
export fn forward(x: f32) -> f32 = x
plan p for forwrad { @mesh(data: 2) }
```

Spelled as the function is:

```ein
export fn forward(x: f32) -> f32 = x
plan p for forward { @mesh(data: 2) }
```";
    RECURSION = 209, "A function calls itself",
"Functions are expanded where they are called, so that the same function may have other shapes at each call.
Repetition is a loop.

```ein
fn f(x: f32) -> f32 = f(x) * 0.5
```

As a loop:

```ein
dim L = 4
fn f(x: f32) -> f32 {
  out = x
  for l in L { out = out * 0.5 }
}
```";
    CYCLE = 210, "A declaration needs itself",
"Extents, constants and records are computed from others, which must not need them in turn.

```ein
dim A = 2 * B, B = A + 1
```

With one of them given:

```ein
dim A = 2 * B, B = 3
```";
    TOO_LARGE = 211, "A program expands too far",
"Calls are expanded where they stand, and records into their leaves: at most 20,000 of both together. What repeats
is a loop over a stacked record, which is expanded once.

```ein
fn a(x: f32) -> f32 = x + x
fn b(x: f32) -> f32 = a(a(a(a(a(a(a(a(x))))))))
fn c(x: f32) -> f32 = b(b(b(b(b(b(b(b(x))))))))
fn d(x: f32) -> f32 = c(c(c(c(c(c(c(c(x))))))))
fn e(x: f32) -> f32 = d(d(d(d(d(d(d(d(x))))))))
fn f(x: f32) -> f32 = e(e(e(e(e(e(e(e(x))))))))
```

As a loop:

```ein
dim L = 20
fn f(x: f32) -> f32 {
  out = x
  for l in L { out = out + out }
}
```";
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
    NO_RESULT = 501, "A result is never bound",
"A function's body binds each of its results by name; an unnamed one is `out`.

```ein
fn f(x: f32) -> f32 {
  y = 2 * x
}
```

Bound:

```ein
fn f(x: f32) -> f32 {
  out = 2 * x
}
```";
    CARRIED = 502, "A loop's state changes its type",
"A name that is bound before a loop and again inside is the loop's state: it has the same type in every iteration.

```ein
dim L = 4
fn f(x: bf16, w: f32) -> f32 {
  y = x
  for l in L { y = y * w }
  out = y
}
```

With the type it keeps:

```ein
dim L = 4
fn f(x: bf16, w: f32) -> f32 {
  y = f32(x)
  for l in L { y = y * w }
  out = y
}
```";
    NOT_INJECTIVE = 503, "Two values may be stored to the same place",
"`:=` needs proof that no two indices store to one place, because otherwise the order would matter. Places that
meet are combined.

```ein
dim T = 8, V = 4
fn f(x: f32[T], at: i32[T]) -> f32[V] {
  out: f32[V] = 0
  out[at[t]] := x[t]
}
```

Combined:

```ein
dim T = 8, V = 4
fn f(x: f32[T], at: i32[T]) -> f32[V] {
  out: f32[V] = 0
  out[at[t]] += x[t]
}
```";
    STORE_TARGET = 504, "A left side cannot be bound or stored to",
"`=` binds a whole new value, with bare indices on the left. `:=`, `+=`, `max=` and `min=` store into an array that
exists, where subscripts may be any integers.

```ein
dim T = 8
fn f(x: f32[T]) -> f32[T] {
  out[t + 0] = x[t]
}
```

Bound with bare indices:

```ein
dim T = 8
fn f(x: f32[T]) -> f32[T] {
  out[t] = x[t]
}
```";
    INOUT = 505, "An `inout` argument is not a variable",
"What is given to an `inout` parameter gets its final value back, so it is a variable or a field of one.

```ein
fn bump(inout n: f32) -> f32 {
  n = n + 1
  out = n
}
fn f(x: f32) -> f32 = bump(2 * x)
```

Through a name:

```ein
fn bump(inout n: f32) -> f32 {
  n = n + 1
  out = n
}
fn f(x: f32) -> f32 {
  y = 2 * x
  out = bump(y)
}
```";
    COLLECTED = 506, "A value cannot be collected over a loop",
"A new name whose left side has the loop's counter is collected: after the loop it has all iterations' values.
Inside, only the present one is known.

```ein
dim L = 4
fn f(x: f32) -> f32[L] {
  out: f32[L] = 0
  for l in L { out[l] = x * f32(l) }
}
```

Under a new name:

```ein
dim L = 4
fn f(x: f32) -> f32[L] {
  for l in L { out[l] = x * f32(l) }
}
```";
    KEY_REUSED = 507, "A key is drawn from twice",
"What is drawn is a function of the key and the position: the second draw would give the same numbers.

```ein
dim B = 4
fn f(k: rng) -> f32[B] {
  a[b] = uniform[b](k)
  c[b] = uniform[b](k)
  out[b] = a[b] + c[b]
}
```

A key for each draw:

```ein
dim B = 4
fn f(k: rng) -> f32[B] {
  a[b] = uniform[b](fold(k, 0))
  c[b] = uniform[b](fold(k, 1))
  out[b] = a[b] + c[b]
}
```";
    KEY_REPEATED = 508, "The same numbers would be drawn again and again",
"Inside a loop, or mapped over an index, a key gives the same numbers each time. Folding the counter or the index
into it makes a key for each.

```ein
dim B = 4, L = 2
fn f(k: rng, x: f32[B]) -> f32[B] {
  out = x
  for l in L { out[b] = out[b] + uniform[b](k) }
}
```

Folded:

```ein
dim B = 4, L = 2
fn f(k: rng, x: f32[B]) -> f32[B] {
  out = x
  for l in L { out[b] = out[b] + uniform[b](fold(k, l)) }
}
```";
    DECORATOR = 580, "A decorator does not exist or does not belong here",
"Plans have `@mesh`, `@shard`, `@fsdp`, `@remat`, `@expect` and `@precision`; a statement may have `@shard`. None
is ignored.

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mehs(data: 2) }
```

Spelled right:

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) }
```";
    DECORATOR_ARGUMENT = 581, "The arguments of a decorator do not fit",
"Each decorator says what it takes: mesh axes with sizes, mesh axes with the dims they split, records, functions,
budgets.

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(2) }
```

An axis with its size:

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: B) }
```";
    UNKNOWN_PLAN = 582, "There is no such plan for the entry",
"`--plan NAME` chooses among the plans that the file has for the compiled entry. Without it an entry with exactly
one plan has that one, and an entry with several has none.

```ein
// einmesh build main.ein --entry f --plan prod
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan pod for f { @mesh(data: 2) @shard(data: B) }
```

A plan for the entry:

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan pod for f { @mesh(data: 2) @shard(data: B) }
```";
    MESH_AXIS = 583, "The mesh has no such axis",
"`@shard` and `@fsdp` name axes of the plan's `@mesh`. Only a mesh given on the command line may lack some; what
they would split then stays whole.

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(dat: B) }
```

An axis of the mesh:

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: B) }
```";
    DECORATOR_CONFLICT = 584, "Two decorators contradict each other",
"On one level a mesh axis is assigned once, and there is one mesh and one precision.

```ein
dim B = 4, D = 8
export fn f(x: f32[B,D]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: B) @shard(data: D) }
```

One list, in order of precedence:

```ein
dim B = 4, D = 8
export fn f(x: f32[B,D]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: [B, D]) }
```";
    GRAD = 590, "`grad` is not compiled yet",
"Differentiation is a later stage of the compiler. Everything around `grad` is checked; its value has the type of
what it differentiates by.

```ein
fn f(x: f32) -> f32 {
  y   = x * x
  out = grad[x](y)
}
```

The derivative written out:

```ein
fn f(x: f32) -> f32 = 2 * x
```";
    SCAN = 591, "`scan` is not compiled yet",
"Associative scans are a later stage. Everything around them is checked.

```ein
dim T = 8
fn add(a: f32, b: f32) -> f32 = a + b
fn f(x: f32[T]) -> f32[T] {
  out[t] = scan[t](add, x[t])
}
```

A loop that collects:

```ein
dim T = 8
fn f(x: f32[T]) -> f32[T] {
  h = 0.0
  for t in T {
    h = h + x[t]
    out[t] = h
  }
}
```";
    WHILE = 592, "`while` is not compiled yet",
"Loops with a condition are a later stage. The condition and the body are checked.

```ein
fn f(x: f32) -> f32 {
  out = x
  while out < 100 limit 8 { out = 2 * out }
}
```

A fixed number of steps:

```ein
dim N = 8
fn f(x: f32) -> f32 {
  out = x
  for n in N { out = where(out < 100, 2 * out, out) }
}
```";
    PIPELINE = 593, "`@pipeline` is not compiled yet",
"Pipelines are a later stage of the planner.

```ein
dim B = 4, L = 2
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(pipe: 2) @pipeline(pipe: L) }
```

Split dims instead:

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: B) }
```";
    RING = 594, "`@ring` is not compiled yet",
"Rotating key and value blocks is a later stage of the planner.

```ein
dim T = 4, U: T
export fn f(x: f32[T]) -> f32 = sum(x)
plan p for f { @mesh(seq: 2) @ring(seq: U) }
```

Shard what is queried:

```ein
dim T = 4, U: T
export fn f(x: f32[T]) -> f32 = sum(x)
plan p for f { @mesh(seq: 2) @shard(seq: T) }
```";
    SPLIT = 595, "`@split` is not compiled yet",
"Reducing a dim in parts is a later stage of the planner.

```ein
dim S = 16
export fn f(x: f32[S]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @split(S: 8) }
```

Without it:

```ein
dim S = 16
export fn f(x: f32[S]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: S) }
```";
    AUTO = 596, "`@auto` is not compiled yet",
"Searching for placements is a later stage of the planner.

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @auto }
```

Said what is split:

```ein
dim B = 4
export fn f(x: f32[B]) -> f32 = sum(x)
plan p for f { @mesh(data: 2) @shard(data: B) }
```";
}
