"""The 29 einsums of the peers' `einsum_suite.py`: f32, row-major results, one and two threads."""
import json

from ..measure import Case, OURS
from ..report import Section, at_least, failures, geometric_mean, noise, ratios

PEERS = ["numpy", "jax", "torch"]
# Differences from float64, by the checksums of golden/einsum.json: sums of f32 with a few thousand terms.
CLOSE = 1e-5


def cases():
    from einsum_suite import CASES, shapes
    from peers_common import fnv1a
    for threads in (1, 2):
        for name, expression, sizes in CASES:
            each = shapes(expression, sizes)
            seeds = [fnv1a(f"{name}/{n}") for n in range(len(each))]
            einsum = dict(expression=expression, shapes=each)
            yield Case(name, threads, [OURS, *PEERS], dict(einsum=einsum, seeds=seeds))


def build(system, case):
    import numpy as np
    from einsum_suite import CASES, inputs, path_info, shapes
    name, expression, sizes = next(c for c in CASES if c[0] == case["name"])
    arrays = inputs(name, expression, sizes)
    if system == "numpy":
        import opt_einsum
        each = shapes(expression, sizes)
        contract = opt_einsum.contract_expression(expression, *each, optimize=path_info(expression, each)[0])
        # One operand has nothing to contract, and NumPy's own einsum is faster.
        compute = (lambda x: np.einsum(expression, x)) if len(arrays) == 1 else contract
        return lambda: np.ascontiguousarray(compute(*arrays))
    if system == "jax":
        import jax
        import jax.numpy as jnp
        arrays = [jax.device_put(x) for x in arrays]
        compiled = jax.jit(lambda *x: jnp.einsum(expression, *x)).lower(*arrays).compile()
        return lambda: compiled(*arrays).block_until_ready()
    import torch
    tensors = [torch.from_numpy(x) for x in arrays]
    return lambda: torch.einsum(expression, *tensors).contiguous()


def check(bench, case, ready):
    """The largest difference of the checksums from float64, relative to the sum of absolute values."""
    from safetensors.numpy import load_file
    if OURS not in ready:
        return {}
    path = bench.folder / "einsum.safetensors"
    ready[OURS].ask("write", path=str(path))
    return dict(error=difference(case.name, next(iter(load_file(path).values()))))


def difference(name, result):
    """How far a result's checksums are from those of float64, relative to the sum of absolute values."""
    from peers_common import GOLDEN, checksum
    got = checksum(result)
    want = next(c["checksum"] for c in json.loads((GOLDEN / "einsum.json").read_text())["cases"] if c["name"] == name)
    return max(abs(got[k] - want[k]) for k in ("weighted", "abs_sum")) / (want["abs_sum"] or 1.0)


def section(bench):
    rows = bench.rows("einsum", cases(), check)
    page = Section("29 einsums, f32", notes=failures(rows) + noise(rows))
    for threads in (1, 2):
        found = [(row.ratio(), row.case.name) for row in rows if row.case.threads == threads and row.ratio()]
        whole = not bench.only_cases and len(found) == sum(row.case.threads == threads for row in rows) and found
        noisy = any(row.noisy for row in rows if row.case.threads == threads)
        mean = geometric_mean([r for r, _ in found]) if whole else None
        worst = min(found) if whole else (None, "")
        page.goals.append(at_least(f"{threads} threads, geometric mean over the best peer", 1.25, mean, noisy))
        page.goals.append(at_least(f"{threads} threads, worst case {worst[1]}", 0.95, worst[0], noisy))
    wrong = [row.case.name for row in rows if row.facts.get("error", 0) > CLOSE]
    if wrong:
        page.notes.append(f"WRONG RESULTS in {', '.join(wrong)}")
    shown = lambda row: f"{row.facts['error']:.0e}" if "error" in row.facts else "–"
    page.tables.append(ratios(rows, PEERS, ("from float64", shown)))
    return page
