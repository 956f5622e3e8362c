//! Codes E06xx: decorators, propagation and budgets.

use super::codes;

codes! {
    MESH_SIZE = 601, "The mesh has an impossible size",
"Every axis of a mesh has at least one device, and the mesh at most 4096.

This fails:

    plan pod for loss { @mesh(data: 0, tensor: 4) }

An axis of size 1 is allowed and splits nothing:

    plan pod for loss { @mesh(data: 1, tensor: 4) }";

    DUPLICATE_MESH_AXIS = 602, "Two mesh axes have one name",
"The axes of a mesh are told apart by their names.

This fails:

    plan pod for loss { @mesh(data: 2, data: 4) }

Give each its own name:

    plan pod for loss { @mesh(replica: 2, data: 4) }";

    UNKNOWN_MESH_AXIS = 603, "A decorator names an axis that the mesh does not have",
"`@shard` and `@fsdp` place values over the axes that `@mesh` (or `--mesh`) declares.

This fails:

    plan pod for loss {
      @mesh(data: 2, tensor: 4)
      @shard(tensr: H)
    }

This works:

    plan pod for loss {
      @mesh(data: 2, tensor: 4)
      @shard(tensor: H)
    }

To leave an axis unused for once, give it one device: `--mesh data=2,tensor=1`.";

    AXIS_TWICE = 604, "A decorator splits one value twice over the same axis",
"The devices of an axis stand along one dim of a value: with two, no device would hold the block
where it meets itself off the diagonal.

This fails:

    @shard(x: [B: data, T: data])

Split one dim, or use two axes:

    @shard(x: [B: data, T: seq])";

    CONFLICT = 605, "Two decorators place one value differently",
"Decorators of the same level must agree. A loop's state is one value in this respect: before the
loop, in it and after it.

This fails for every value that has both an H and an F:

    @shard(tensor: H)
    @shard(tensor: F)

One list says which goes first:

    @shard(tensor: [H, F])";

    DIM_NOT_IN_VALUE = 606, "A decorator splits a dim that the value does not have",
"`@shard(value: [Dim: axis])` names dims of the value.

With `x: f32[B,T,D]` this fails:

    @shard(x: [F: tensor])

This works:

    @shard(x: [D: tensor])

A role is a dim of its own: if `dim U: T`, then `x` has no U.";

    UNEVEN = 607, "The devices do not divide a dim evenly",
"With `pad: false` every device must get an equal part. Without it the last parts are padded, and
results stay exact.

With H = 12 and 8 devices along tensor this fails:

    @shard(tensor: H, pad: false)

This works:

    @shard(tensor: H)";

    UNKNOWN_RECORD = 608, "@fsdp names a record that no argument has",
"`@fsdp(axis: Record)` splits the leaves of the arguments of that record type, and of records that
hold it.

With `forward(p: Params, tokens: i32[B,T])` this fails:

    @fsdp(data: Weights)

This works:

    @fsdp(data: Params)";

    FSDP_INDIVISIBLE = 609, "A leaf of an @fsdp record cannot be split",
"`@fsdp` splits a leaf on the first dim that no other axis splits and that the devices divide
evenly. A leaf without such a dim stays whole on every device.

With 4 devices along data this warns for `bias: f32[D]`:

    dim D = 6
    plan pod for loss { @mesh(data: 4) @fsdp(data: Params) }

It is harmless for small leaves. Otherwise choose an extent that the devices divide:

    dim D = 8";

    NO_EFFECT = 610, "A decorator places nothing",
"Every decorator should place something in the entry it is applied to; this one meets no value
that it could split (dims of extent 1 are left whole).

If no value of the entry has an E, this warns:

    @shard(tensor: E)

Name a dim that the entry's values have, or drop the decorator:

    @shard(tensor: F)";

    UNUSED_MESH_AXIS = 611, "Nothing is split over a mesh axis",
"The devices along an axis that no decorator names all do the same work.

This warns of `tensor`:

    @mesh(data: 2, tensor: 4)
    @shard(data: B)

Use it, or leave it out:

    @mesh(data: 2, tensor: 4)
    @shard(data: B, tensor: [H, F])";

    IDLE_DEVICES = 612, "A split leaves devices without work",
"Dims are dealt out in blocks of equal extent. If there are too few of them, some devices get only
padding, and wait for the others.

With H = 6 and 4 devices along tensor this warns: parts of 2 are enough for 3 devices.

    @shard(tensor: H)

Split a longer dim, or use as many devices as divide this one:

    @shard(tensor: F)";

    COLLECTED_DIM = 613, "A decorator splits the dim along which a loop collects",
"Every device runs every iteration of a loop, so each has all of what the loop stacks up.

With `for l in L { h[l,b,d] = … }` this fails:

    @shard(h: [L: pipe])

Split a dim that an iteration's value has:

    @shard(h: [D: tensor])";

    REMAT_FUNCTION = 614, "@remat names what the entry does not have",
"`@remat(function)` recomputes the values of a function in the backward pass instead of keeping
them, but for those that `keep` lists. It changes nothing in an entry without gradients, but the
function must be one it calls, and the values must be the function's.

If the entry calls `attention`, this warns:

    @remat(atention)

This works:

    @remat(attention)";

    BUDGET_EXCEEDED = 651, "The plan breaks a budget",
"`@expect` states what a plan may cost per device and call: collectives executed, bytes sent, bytes
held at once. The build fails beyond it, and lists the collectives that count.

This fails, because each of the L layers needs two all-reduces over `tensor`, and the vocabulary
one more:

    plan pod for loss {
      @mesh(tensor: 4)
      @shard(tensor: [H, F, V])
      @expect(count(all_reduce, tensor) <= 2 * L)
    }

This works:

    @expect(count(all_reduce, tensor) <= 2 * L + 1)

Collectives in a loop count once per iteration.";

    BUDGET_UNKNOWN = 652, "A budget counts what does not exist",
"A budget on a collective or a mesh axis that does not exist would hold whatever the plan does.

This fails:

    plan pod for loss {
      @mesh(tensor: 4)
      @expect(count(allreduce, tensor) <= 24)
    }

The collectives are all_reduce, all_gather, reduce_scatter, all_to_all and collective_permute, and
the axes those of @mesh (where `--mesh` replaces it, nothing is sent over an axis that is not there):

    @expect(count(all_reduce, tensor) <= 24)";
}
