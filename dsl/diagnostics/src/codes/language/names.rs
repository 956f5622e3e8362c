//! Codes E02xx: names, entries and files.

use crate::codes::codes;

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
}
