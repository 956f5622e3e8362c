"""The peers' decoders, for any batch and dtype: JAX by the step of the peers' `decode.py`, PyTorch eager."""
import time

from . import models

# Steps of a run, after a prompt; the cache of the JAX step has as many slots as tokens come to be.
PROMPT, STEPS, GAIN = 32, 63, 4.0


def prompt(c, batch):
    from peers_common import fnv1a, tokens
    return tokens((batch, PROMPT), fnv1a("prompt"), c.V)


def jax_run(c, batch, dtype, scan):
    """Runs whole sequences and gives the seconds of a step."""
    import decode
    import jax
    import jax.numpy as jnp
    import lm_models
    # The peers' tables of angles are f32, to which bf16 numbers would be widened.
    decode.rope_tables = lambda c, n: [jnp.asarray(t, dtype) for t in lm_models.rope_tables(c, n)]
    p = models.jax_weights(c, dtype, GAIN)
    slots, heads = PROMPT + STEPS + 1, c.KV or c.H
    empty = lambda: tuple(tuple(jnp.zeros((batch, slots, heads, c.dh), dtype) for _ in "kv") for _ in range(c.L))

    def greedy(p, cache, tok, pos):
        logits, cache = decode.jax_step(c, p, cache, tok, pos)
        return jnp.argmax(logits, -1).astype(jnp.int32)[:, None], cache

    def rest(p, cache, tok):
        def one(state, pos):
            tok, cache = greedy(p, state[1], state[0], pos)
            return (tok, cache), tok[:, 0]
        return jax.lax.scan(one, (tok, cache), jnp.arange(PROMPT, PROMPT + STEPS))[1]

    step, tail = jax.jit(greedy, donate_argnums=1), jax.jit(rest, donate_argnums=1)

    def run():
        tok, cache = step(p, empty(), jnp.asarray(prompt(c, batch)), 0)
        tok.block_until_ready()
        start = time.perf_counter()
        if scan:
            tail(p, cache, tok).block_until_ready()
        else:
            for i in range(STEPS):
                tok, cache = step(p, cache, tok, PROMPT + i)
                tok.tolist()
        return (time.perf_counter() - start) / STEPS

    return run


def torch_run(c, batch, dtype):
    """As above, with caches that are written in place."""
    import torch
    import torch.nn.functional as Fn
    from lm_models import rope_tables
    kind = getattr(torch, dtype)
    p = models.torch_weights(c, dtype, GAIN)
    slots, heads = PROMPT + STEPS + 1, c.KV or c.H
    angles = [torch.from_numpy(t).to(kind) for t in rope_tables(c, slots)]

    def rope(x, pos):
        a, b = x.chunk(2, -1)
        cos, sin = (t[None, pos:pos + x.shape[1], None] for t in angles)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def attend(cache, q, k, v, pos):
        n = q.shape[1]
        for slot, new in zip(cache, (k, v)):
            slot[:, :, pos:pos + n] = new.transpose(1, 2)
        k, v = (slot[:, :, :pos + n] for slot in cache)
        o = Fn.scaled_dot_product_attention(q.transpose(1, 2), k, v, is_causal=n > 1, enable_gqa=heads != c.H)
        return o.transpose(1, 2).reshape(*q.shape[:2], -1)

    def gpt(caches, tok, pos):
        norm = lambda x, key: Fn.layer_norm(x, (c.D,), p[key + ".weight"], p[key + ".bias"], c.eps)
        linear = lambda x, key: x @ p[key + ".weight"] + p[key + ".bias"]
        x = p["wte.weight"][tok] + p["wpe.weight"][pos:pos + tok.shape[1]]
        for i, cache in enumerate(caches):
            h = f"h.{i}."
            qkv = linear(norm(x, h + "ln_1"), h + "attn.c_attn").split(c.D, -1)
            o = attend(cache, *(t.reshape(*tok.shape, c.H, c.dh) for t in qkv), pos)
            x = x + linear(o, h + "attn.c_proj")
            y = Fn.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh")
            x = x + linear(y, h + "mlp.c_proj")
        return norm(x[:, -1], "ln_f") @ p["wte.weight"].T

    def llama(caches, tok, pos):
        norm = lambda x, key: Fn.rms_norm(x, (c.D,), p[key], c.eps)
        x = p["model.embed_tokens.weight"][tok]
        for i, cache in enumerate(caches):
            h = f"model.layers.{i}."
            linear = lambda x, key: x @ p[h + key + ".weight"].T
            y = norm(x, h + "input_layernorm.weight")
            q, k, v = (linear(y, f"self_attn.{n}_proj").reshape(*tok.shape, -1, c.dh) for n in "qkv")
            x = x + linear(attend(cache, rope(q, pos), rope(k, pos), v, pos), "self_attn.o_proj")
            y = norm(x, h + "post_attention_layernorm.weight")
            x = x + linear(Fn.silu(linear(y, "mlp.gate_proj")) * linear(y, "mlp.up_proj"), "mlp.down_proj")
        return norm(x[:, -1], "model.norm.weight") @ p["lm_head.weight"].T

    forward = gpt if c.arch == "gpt" else llama

    def run():
        caches = [[torch.zeros(batch, heads, slots, c.dh, dtype=kind) for _ in "kv"] for _ in range(c.L)]
        tok = forward(caches, torch.from_numpy(prompt(c, batch)).long(), 0).argmax(-1, keepdim=True)
        start = time.perf_counter()
        for i in range(STEPS):
            tok = forward(caches, tok, PROMPT + i).argmax(-1, keepdim=True)
            tok.tolist()
        return (time.perf_counter() - start) / STEPS

    return run
