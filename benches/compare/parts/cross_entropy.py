"""The mean cross-entropy over GPT-2's vocabulary from hidden states, two threads; the logits need no memory."""
from ..measure import Case, OURS
from ..report import Goal, Section, at_least, failures, noise, ratios

N, D, V = 512, 768, 50257
PEERS = ["jax", "torch"]
PROGRAM = """dim N, D, V
export fn loss(h: f32[N,D], w: f32[V,D], targets: i32[N]) -> f32 {
  z[n,v] = h[n,d] * w[v,d]
  out    = mean[n](cross_entropy[v](z[n,v], targets[n]))
}
"""


def arrays():
    from peers_common import fnv1a, tokens, uniform
    return uniform((N, D), fnv1a("h")), uniform((V, D), fnv1a("w"), 2.0 ** -3), tokens((N,), fnv1a("targets"), V)


def case(bench):
    from safetensors.numpy import save_file
    path = bench.folder / "cross-entropy.safetensors"
    save_file(dict(zip(("h", "w", "targets"), arrays())), path)
    define = dict(N=str(N), D=str(D), V=str(V))
    return Case(f"{N} rows, V={V}", 2, [OURS, *PEERS], dict(text=PROGRAM, entry="loss", define=define, inputs=[str(path)]))


def build(system, case):
    h, w, targets = arrays()
    if system == "jax":
        import jax
        import jax.numpy as jnp
        h, w, targets = map(jnp.asarray, (h, w, targets))

        def loss(h, w, targets):
            z = h @ w.T
            return (jax.nn.logsumexp(z, axis=-1) - jnp.take_along_axis(z, targets[:, None], -1)[:, 0]).mean()

        f = jax.jit(loss)
        return lambda: f(h, w, targets).block_until_ready()
    import torch
    h, w, targets = torch.from_numpy(h), torch.from_numpy(w), torch.from_numpy(targets).long()
    return lambda: torch.nn.functional.cross_entropy(h @ w.T, targets)


def write(system, run, path):
    from safetensors.numpy import save_file
    save_file(dict(loss=run().reshape(1).numpy()), path)


def check(bench, case, ready):
    from safetensors.numpy import load_file
    if OURS not in ready or "torch" not in ready:
        return {}
    losses = []
    for system in (OURS, "torch"):
        path = bench.folder / "loss.safetensors"
        ready[system].ask("write", path=str(path))
        losses.append(float(next(iter(load_file(path).values())).reshape(-1)[0]))
    return dict(losses=losses)


def section(bench):
    rows = bench.rows("cross_entropy", [case(bench)], check)
    page = Section(f"Cross-entropy over V={V} from hidden states, f32, 2 threads", notes=failures(rows) + noise(rows))
    for row in rows:
        page.goals.append(at_least(row.case.name, 1.3, row.ratio(), row.noisy))
        memory, logits = row.facts.get(OURS), N * V * 4
        used = memory and memory["arena_bytes"] + memory["workspace_bytes"]
        page.goals.append(Goal("working memory, of that of the logits", "< 10 %", f"{used / logits:.1%}" if memory else "–",
                               used < 0.1 * logits if memory else None))
        ours, theirs = row.facts.get("losses", (0.0, 0.0))
        if abs(ours - theirs) > 1e-4 * abs(theirs):
            page.notes.append(f"WRONG RESULT: the loss is {ours}, PyTorch's {theirs}")
    page.tables.append(ratios(rows, PEERS))
    return page
