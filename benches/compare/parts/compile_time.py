"""How long it takes to compile the forward pass of 12 layers, for this machine's CPU level, beside jax.jit."""
from ..measure import Case, OURS
from ..report import Section, at_least, failures, noise, ratios
from . import forward, models

PEERS = ["jax"]


def cases(bench):
    for arch in ("gpt", "llama"):
        spec = dict(arch=arch, size="small", dtype="float32")
        yield Case(f"{arch} small, L=12", 2, [OURS, *PEERS], dict(forward.einmesh(bench, spec), compile_only=True, native=True),
                   spec)


def build(system, case):
    import jax
    import jax.numpy as jnp
    from lm_models import batch, jax_hidden
    c = models.config(case)
    p, x = models.jax_weights(c, "float32"), jnp.asarray(batch(c)[0])
    head = "wte.weight" if c.arch == "gpt" else "lm_head.weight"

    def run():
        jax.clear_caches()
        jax.jit(lambda p, x: jax_hidden(c, p, x) @ p[head].T).lower(p, x).compile()

    return run


def section(bench):
    rows = bench.rows("compile_time", cases(bench))
    page = Section("Compile time of the forward pass, L=12", notes=failures(rows) + noise(rows))
    page.goals = [at_least(row.case.name, 5.0, row.ratio(), row.noisy) for row in rows]
    page.tables.append(ratios(rows, PEERS))
    return page
