"""A decode step with a KV cache: GPT-2 and LLaMA, tiny and small, batch 1 and 8, f32 and bf16, two threads.

Einmesh's step is `decode_step` of `models/*_decode.ein` at the middle position of the peers' runs, whose steps
are timed as a whole and divided; theirs include the choice of the next token, which is little beside the rest. A
step of the small models reads every weight once: it is bound by memory.
"""
from ..machine import ROOT
from ..measure import Case, OURS
from ..report import Goal, Section, at_least, failures, noise, ratios, table
from . import decoders, models
from .decoders import GAIN, PROMPT, STEPS

PEERS = ["jax_loop", "jax_scan", "torch"]
SOURCES = {"gpt": ROOT / "models/gpt2_decode.ein", "llama": ROOT / "models/llama_decode.ein"}
DTYPES = {"f32": "float32", "bf16": "bfloat16"}
SLOTS = 256
POSITION = PROMPT + STEPS // 2
# Larger than the last cache level, so that it is memory that is measured.
BANDWIDTH_BYTES = 1 << 29


def cases(bench):
    for dtype in DTYPES:
        for arch in ("gpt", "llama"):
            for size in ("tiny", "small"):
                for batch in (1, 8):
                    spec = dict(arch=arch, size=size, batch=batch, dtype=dtype)
                    yield Case(f"{arch} {size} {dtype}, batch {batch}", 2, [OURS, *PEERS], einmesh(bench, spec), spec)


def einmesh(bench, spec):
    import numpy as np
    from peers_common import fnv1a, uniform
    from safetensors.numpy import save_file
    c, batch = models.config(spec), spec["batch"]
    heads = c.KV or c.H
    shape = (c.L, batch, heads, SLOTS, c.dh)
    cache = {f"cache.{n}": uniform(shape, fnv1a(n)) for n in "kv"}
    if c.arch == "llama":
        cache["cache.k"] = cache["cache.k"].reshape(*shape[:-1], 2, c.dh // 2)
    path = bench.folder / f"{c.arch}-{spec['size']}-{batch}-step.safetensors"
    save_file(dict(cache, tok=decoders.prompt(c, batch)[:, 0].copy(), pos=np.full(batch, POSITION, np.int32)), path)
    define = models.define(c, spec["dtype"], B=batch, S=SLOTS, KV=spec["dtype"])
    define.pop("T")
    return dict(file=str(SOURCES[c.arch]), entry="decode_step", define=define, inputs=[str(path)],
                params=str(models.weights(bench.folder, c, spec["size"], GAIN)))


def build(system, case):
    c, batch, dtype = models.config(case), case["batch"], DTYPES[case["dtype"]]
    if system == "torch":
        return decoders.torch_run(c, batch, dtype)
    return decoders.jax_run(c, batch, dtype, system == "jax_scan")


def bytes_read(spec):
    """What a step must read: every weight but the tables that it takes rows of, and the cache so far."""
    import math
    from lm_models import spec as parameters
    c = models.config(spec)
    tables = ("wpe.weight", "model.embed_tokens.weight")
    weights = sum(math.prod(shape) for name, (shape, _) in parameters(c).items() if name not in tables)
    cache = 2 * c.L * spec["batch"] * (c.KV or c.H) * (POSITION + 1) * c.dh
    return (weights + cache) * (2 if spec["dtype"] == "bf16" else 4)


def section(bench):
    timer = bench.timer_worker(2)
    turns = [timer.ask("bandwidth", threads=2, bytes=BANDWIDTH_BYTES, budget_s=bench.budget) for _ in range(bench.rounds)]
    timer.close()
    bandwidth = max(turn["bytes_per_s"] for turn in turns)
    rows = bench.rows("decode", cases(bench))
    page = Section("A decode step with a KV cache, 2 threads", notes=failures(rows) + noise(rows))
    share = lambda row: bytes_read(row.case.peer) / row.seconds[OURS] / bandwidth if OURS in row.seconds else None
    for row in rows:
        page.goals.append(at_least(row.case.name, 1.5, row.ratio(), row.noisy))
        if row.case.peer["size"] == "small":
            got = share(row)
            page.goals.append(Goal(f"{row.case.name}: of the machine's read bandwidth", "85 %",
                                   "–" if got is None else f"{got:.0%}", None if got is None else got >= 0.85, row.noisy))
    reading = lambda row: f"{bytes_read(row.case.peer) / 1e6:.1f} MB, " + (f"{share(row):.0%}" if OURS in row.seconds else "–")
    page.tables.append(f"Two threads read {bandwidth / 1e9:.1f} GB/s from memory. (The tiny models' weights fit the last cache.)")
    page.tables.append(ratios(rows, PEERS, ("read by a step, of the bandwidth", reading)))
    return page
