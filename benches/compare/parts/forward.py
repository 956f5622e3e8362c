"""Logits of GPT-2 and LLaMA, tiny and small, two threads, f32 and bf16."""
from .. import machine
from ..measure import Case, OURS
from ..report import Section, at_least, failures, noise, ratios, table
from . import models

PEERS = ["jax", "torch eager", "torch.compile"]
# bf16 is compared with PyTorch, whose bf16 products are oneDNN's.
PEERS_OF = {"float32": PEERS, "bfloat16": PEERS[1:]}
# Differences of logits, which are of size one: of f32 from PyTorch, of bf16 with its 8 bits after 12 layers.
CLOSE = {"float32": 2e-4, "bfloat16": 0.15}
OUR_TYPE = {"float32": "f32", "bfloat16": "bf16"}


def cases(bench):
    for dtype, peers in PEERS_OF.items():
        for arch in ("gpt", "llama"):
            for size in ("tiny", "small"):
                spec = dict(arch=arch, size=size, dtype=dtype)
                yield Case(f"{arch} {size} {OUR_TYPE[dtype]}", 2, [OURS, *peers], einmesh(bench, spec), spec, dtype)


def einmesh(bench, spec, entry="forward"):
    c = models.config(spec)
    return dict(file=str(models.SOURCES[c.arch]), entry=entry, define=models.define(c, OUR_TYPE[spec["dtype"]]),
                params=str(models.weights(bench.folder, c, spec["size"])),
                inputs=[str(models.tokens(bench.folder, c, spec["size"]))])


def build(system, case):
    from lm_models import batch, jax_hidden, torch_logits
    c, dtype = models.config(case), case["dtype"]
    if system == "jax":
        import jax
        import jax.numpy as jnp
        p, x = models.jax_weights(c, dtype), jnp.asarray(batch(c)[0])
        head = "wte.weight" if c.arch == "gpt" else "lm_head.weight"
        f = jax.jit(lambda p, x: jax_hidden(c, p, x) @ p[head].T)
        return lambda: f(p, x).block_until_ready()
    import torch
    p, x = models.torch_weights(c, dtype), torch.from_numpy(batch(c)[0]).long()
    logits = lambda p, x: torch_logits(c, p, x)
    if dtype == "bfloat16" and c.arch == "llama":
        logits = bf16_tables(c)
    f = torch.compile(logits) if system == "torch.compile" else logits
    return lambda: f(p, x)


def bf16_tables(c):
    """LLaMA's logits with the tables of angles in bf16, which NumPy, and so the peers' script, cannot make."""
    import lm_models
    import torch
    cos, sin = (torch.from_numpy(t) for t in lm_models.rope_tables(c, c.T))
    tables = [t.to(torch.bfloat16)[None, :, None] for t in (cos, sin)]
    import torch.nn.functional as Fn

    def logits(p, tok):
        cos, sin = tables
        B, T = tok.shape

        def rope(x):
            a, b = x.chunk(2, -1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

        rms = lambda x, n: Fn.rms_norm(x, (c.D,), p[n], c.eps)
        x = p["model.embed_tokens.weight"][tok]
        for i in range(c.L):
            h = f"model.layers.{i}."
            heads = lambda n, count: (y @ p[h + f"self_attn.{n}.weight"].T).reshape(B, T, count, c.dh)
            y = rms(x, h + "input_layernorm.weight")
            q, k, v = rope(heads("q_proj", c.H)), rope(heads("k_proj", c.KV)), heads("v_proj", c.KV)
            o = Fn.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True, enable_gqa=True)
            x = x + o.transpose(1, 2).reshape(B, T, -1) @ p[h + "self_attn.o_proj.weight"].T
            y = rms(x, h + "post_attention_layernorm.weight")
            g = Fn.silu(y @ p[h + "mlp.gate_proj.weight"].T) * (y @ p[h + "mlp.up_proj.weight"].T)
            x = x + g @ p[h + "mlp.down_proj.weight"].T
        return rms(x, "model.norm.weight") @ p["lm_head.weight"].T

    return logits


def write(system, run, path):
    from safetensors.numpy import save_file
    save_file(dict(logits=run().float().numpy()), path)


def check(bench, case, ready):
    """The largest difference of a logit from PyTorch's."""
    import torch
    from safetensors.torch import load_file
    if OURS not in ready or "torch eager" not in ready:
        return {}
    ours, theirs = bench.folder / "ours.safetensors", bench.folder / "theirs.safetensors"
    ready[OURS].ask("write", path=str(ours))
    ready["torch eager"].ask("write", path=str(theirs))
    got, want = (load_file(path)["logits"].float() for path in (ours, theirs))
    ours.unlink(), theirs.unlink()
    return dict(apart=float(torch.max(torch.abs(got - want.reshape(got.shape)))))


def section(bench):
    rows = bench.rows("forward", cases(bench), check)
    page = Section("Forward pass of GPT-2 and LLaMA, 2 threads", notes=failures(rows) + noise(rows))
    for row in rows:
        goal = at_least(row.case.name, 1.25, row.ratio(), row.noisy)
        if row.case.group == "bfloat16" and not machine.has_amx():
            goal.what += " (the goal is for AMX, which this machine has not)"
        page.goals.append(goal)
        if row.facts.get("apart", 0) > CLOSE[row.case.group]:
            page.notes.append(f"WRONG RESULTS in {row.case.name}: a logit is {row.facts['apart']:.1e} from PyTorch's")
    shown = lambda row: f"{row.facts['apart']:.0e}" if "apart" in row.facts else "–"
    page.tables.append(ratios(rows, PEERS, ("largest difference from PyTorch", shown)))
    return page
