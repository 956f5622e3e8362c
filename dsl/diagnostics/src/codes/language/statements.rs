//! Codes E05xx: statements, and what is not there yet.

use crate::codes::codes;

codes! {
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
    GRAD = 590, "what `grad` is of, or by",
"`grad[p](s)` is of one float `s`, by the floats of the variable `p`.

```ein
dim D = 8
fn f(x: f32[D]) -> f32[D] {
  y   = x * x
  out = grad[x](y)
}
```

One number:

```ein
dim D = 8
fn f(x: f32[D]) -> f32[D] {
  y   = x * x
  out = grad[x](sum(y))
}
```";
    SCAN = 591, "the function of a `scan` does not fit what is scanned",
"For n values the function takes 2n numbers, first what is combined so far and then what comes next, and gives n.

```ein
dim T = 8
fn add(a: f32, b: f32, c: f32) -> f32 = a + b + c
fn f(x: f32[T]) -> f32[T] {
  out[t] = scan[t](add, x[t])
}
```

The sums of all prefixes:

```ein
dim T = 8
fn add(a: f32, b: f32) -> f32 = a + b
fn f(x: f32[T]) -> f32[T] {
  out[t] = scan[t](add, x[t])
}
```";
    WHILE = 592, "a `while` in a function that is mapped over an index",
"A loop with a condition ends for everything at once. Where a function is mapped over an index, each element would
end at a time of its own.

```ein
dim B = 4
fn grow(x: f32) -> f32 {
  out = x
  while out < 100 limit 8 { out = 2 * out }
}
fn f(x: f32[B]) -> f32[B] {
  out[b] = grow(x[b])
}
```

The loop goes on while any element needs it, and changes only those:

```ein
dim B = 4
fn f(x: f32[B]) -> f32[B] {
  out = x
  while any[b](out[b] < 100) limit 8 { out[b] = where(out[b] < 100, 2 * out[b], out[b]) }
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
    GRAD_THROUGH = 597, "a gradient cannot pass here",
"A gradient inside of a loop cannot run through the loop's earlier iterations, and none runs through a `while`.

```ein
dim N = 4
fn f(x: f32) -> f32 {
  y   = x
  out = 0.0
  for n in N {
    y   = y * x
    out = out + grad[x](y)
  }
}
```

After the loop it runs through all of them:

```ein
dim N = 4
fn f(x: f32) -> f32 {
  y = x
  for n in N { y = y * x }
  out = grad[x](y)
}
```";
}
