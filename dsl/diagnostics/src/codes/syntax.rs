//! Codes E01xx: parsing and formatting.

use super::codes;

codes! {
    FILE_TOO_LARGE = 101, "A file is too large",
"A file has at most 16 MiB, so that no text makes the compiler run out of memory.

A file is refused whose text was generated with its weights in it:

```ein
const weights = 0.1 + 0.2 + 0.3     // … and millions more
```

Weights are arguments; they come from a checkpoint when the program runs:

```ein
fn scale(x: f32[B], weights: f32[B]) -> f32[B] { out[b] = x[b] * weights[b] }
```";

    NESTING = 102, "Brackets or blocks are nested too deeply",
"Brackets and blocks are nested at most 256 deep, each `else if` counting as one level. Usually a
deeper nesting means that a closing bracket is missing somewhere.

This is refused when it goes on like this:

```ein
fn f(x: f32) -> f32 { out = ((((((((x)))))))) }     // 257 times
```

Inner parts can be bound to names of their own:

```ein
fn f(x: f32) -> f32 {
  inner = x * x
  out   = inner + 1
}
```";

    EXPRESSION_TOO_DEEP = 103, "An expression is too long",
"An expression has at most 1024 operators, calls and brackets in a row, so that every later stage may
walk down its tree.

This is refused when it goes on like this:

```ein
fn f(x: f32[N]) -> f32 { out = x[0] + x[1] + x[2] }     // + … + x[4095]
```

A sum over a dim is written as one:

```ein
fn f(x: f32[N]) -> f32 { out = sum[n](x[n]) }
```";

    ITEM_TOO_LONG = 104, "A declaration is too long",
"A single `dim`, `const`, `record`, `fn`, `use`, `type` or `plan` has at most 1 MiB of text.

This is refused when it goes on like this:

```ein
const a0 = 0, a1 = 1, a2 = 2     // … and a hundred thousand more
```

The same in several declarations is fine:

```ein
const a0 = 0, a1 = 1
const a2 = 2
```";

    TOO_MANY = 105, "A file has too many mistakes",
"After 64 mistakes the rest of a file is not read. Correct the first ones and run again; if the first
one is in line 1, the file is perhaps not a program of this language.

```ein
def forward(x):
    return x
```

A program consists of declarations:

```ein
fn forward(x: f32) -> f32 = x
```";

    EXPECTED = 110, "Something else was expected",
"The text does not go on as the grammar says. The message names what could stand at that place, and
what stands there. The grammar is the appendix of LANGUAGE.md.

```ein
fn f(x: f32) -> f32 {
  for l of L { x = x + 1 }
}
```

A loop says `in`:

```ein
fn f(x: f32) -> f32 {
  for l in L { x = x + 1 }
}
```";

    OPEN_TEXT = 111, "A text is not closed",
"A text starts and ends with `\"` on one line.

```ein
use \"std.ein: *
```

With both quotes:

```ein
use \"std.ein\": *
```";

    UNKNOWN_CHARACTER = 112, "A character is not part of the language",
"Outside of comments and texts a program consists of letters, digits, `_` and the operators of the
grammar. Signs from mathematics and typography have plain spellings; the help line names them.

```ein
fn f(x: f32, y: f32) -> f32 = x × y
```

```ein
fn f(x: f32, y: f32) -> f32 = x * y
```";

    NUMBER = 113, "A number is malformed",
"A number is decimal: `3`, `0.5`, `1e-5`, or a size such as `70GiB`, with digits on both sides of the
point and no separators. It has no dtype of its own: it takes the one that is needed.

```ein
const a = 2x, b = 1_000, c = 1.e5
```

```ein
const x = 3, a = 2 * x, b = 1000, c = 1e5
```";

    FOREIGN_OPERATOR = 114, "An operator of another language",
"Conditions are joined with words (`and`, `or`, `not`), a power is `^`, statements need no `;`, and what
stores into an array is `:=`, `+=`, `max=` or `min=`.

```ein
fn f(x: f32, y: bool) -> bool {
  out = x ** 2 > 4 && !y
}
```

```ein
fn f(x: f32, y: bool) -> bool {
  out = x^2 > 4 and not y
}
```";

    KEYWORD_AS_NAME = 115, "A keyword is used as a name",
"These words cannot be names: `use`, `dim`, `type`, `const`, `record`, `fn`, `export`, `plan`, `inout`,
`for`, `in`, `reversed`, `while`, `limit`, `if`, `else`, `and`, `or`, `not`, `as`. Where a checkpoint
has such a name, a field is renamed with `as`.

```ein
record Config { type: f32 }
```

```ein
record Config { kind: f32 as \"type\" }
```";

    SPACE_BEFORE_BRACKET = 116, "A space before a bracket",
"Newlines mean nothing in the language, and neither do other spaces, with one exception: the `(` or `[`
of a call or a subscript touches what it belongs to. That is how a statement that starts with `(` is
told from a call.

```ein
fn f(x: f32[N]) -> f32[N] { out[n] = softmax [n](x[n]) }
```

```ein
fn f(x: f32[N]) -> f32[N] { out[n] = softmax[n](x[n]) }
```";

    MISSING_COMMA = 117, "A comma is missing",
"The elements of a list are separated by commas: arguments, subscripts, fields, and the names that one
`dim`, `const` or `type` declares. A new line does not separate them.

```ein
dim B, T = 128
    D = 768
```

```ein
dim B, T = 128,
    D = 768
```";

    BRACKETS = 118, "A bracket has no partner",
"Each `(`, `[` and `{` is closed by its like. Where one is missing, the place is a guess: from what cannot
stand within the bracket, and from the indentation.

```ein
fn f(x: f32[B,T]) -> f32[B] {
  out[b] = sum[t](x[b,t] * 2
}
```

```ein
fn f(x: f32[B,T]) -> f32[B] {
  out[b] = sum[t](x[b,t] * 2)
}
```";

    UNKNOWN_ITEM = 119, "Text that starts no declaration",
"A file consists of `use`, `dim`, `type`, `const`, `record`, `fn` (or `export fn`) and `plan`.
Statements stand in functions.

```ein
recrod Linear(O, I) { weight: f32[O,I] }
```

```ein
record Linear(O, I) { weight: f32[O,I] }
```";

    COMPARISON_CHAIN = 120, "Comparisons are chained",
"A comparison has two sides. Two of them are joined with `and`.

```ein
fn inside(x: f32) -> bool = 0 < x < 1
```

```ein
fn inside(x: f32) -> bool = 0 < x and x < 1
```";

    MISPLACED_NOT = 121, "`not` within a tighter operator",
"`not` binds looser than comparisons and arithmetic, so it cannot be an operand of them without
parentheses.

```ein
fn differ(x: bool, y: bool) -> bool = x == not y
```

```ein
fn differ(x: bool, y: bool) -> bool = x == (not y)
```";

    MISSING_RESULT = 122, "A function without a result type",
"A function states what it returns after `->`: a type, or names with types in parentheses. In the body
the one result is bound to `out`, several ones to their names.

```ein
fn square(x: f32) = x * x
```

```ein
fn square(x: f32) -> f32 = x * x
fn moments(x: f32[N]) -> (first: f32, second: f32) {
  first  = sum[n](x[n])
  second = sum[n](x[n]^2)
}
```";

    MISSING_TYPE = 123, "A type, or the `:` before it, is missing",
"Types of parameters and results are not inferred: they are what a function promises.

```ein
fn scale(x, by: f32) -> f32 = x * by
```

```ein
fn scale(x: f32, by: f32) -> f32 = x * by
```";

    WRONG_EQUALS = 124, "`=`, `==`, `:=` and `:` mixed up",
"`=` binds a name, in statements and declarations. `==` compares. `:=` stores into an array that exists.
`:` gives a parameter its argument, an index its range and a name its type.

```ein
fn f(x: f32[N], n0: i32) -> f32 {
  out = sum[n | n = n0](x[n])
}
```

```ein
fn f(x: f32[N], n0: i32) -> f32 {
  out = sum[n | n == n0](x[n])
}
```";

    NOT_A_STATEMENT = 125, "Text that is not a statement",
"A statement binds (`y = …`), stores (`y[i] := …`), unpacks (`(a, b) = …`), or is a `for`, a `while` or an
`if`. A value alone does nothing, since functions have no side effects; a result is returned by binding
it to `out`.

```ein
fn f(x: f32) -> f32 {
  return x * x
}
```

```ein
fn f(x: f32) -> f32 {
  out = x * x
}
```";
}
