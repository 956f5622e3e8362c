"""Matrix products with a weight, two threads, beside OpenBLAS (NumPy), and PyTorch's and oneDNN's own (the latter
with the weight packed ahead of time)."""
from .. import machine
from ..measure import Case, OURS
from ..report import Section, at_least, failures, geometric_mean, noise, ratios

# M, K, N, and whether the weight is stored as [N, K].
SHAPES = [(1024, 1024, 1024, False), (512, 768, 3072, False), (512, 3072, 768, False), (128, 768, 50257, True),
          (256, 64, 256, True), (256, 256, 64, False)]
PEERS = {"f32": ["numpy", "torch", "torch prepacked"], "bf16": ["torch", "torch prepacked"]}
PROGRAM = """type W = f32
dim M, K, N
record Params {{ weight: W[{weight}] }}
export fn product(p: Params, x: W[M,K]) -> W[M,N] {{
  out[m,n] = x[m,k] * p.weight[{subscripts}]
}}
"""


def cases():
    from peers_common import fnv1a
    for dtype, peers in PEERS.items():
        for m, k, n, turned in SHAPES:
            text = PROGRAM.format(weight="N,K" if turned else "K,N", subscripts="n,k" if turned else "k,n")
            define = dict(M=m, K=k, N=n, W=dtype)
            ours = dict(text=text, entry="product", define={name: str(v) for name, v in define.items()},
                        seeds=[fnv1a("weight"), fnv1a("x")])
            name = f"{dtype} {m}×{k}×{n}{' Bᵀ' if turned else ''}"
            yield Case(name, 2, [OURS, *peers], ours, dict(dtype=dtype, shape=[m, k, n], turned=turned), dtype)


def build(system, case):
    from peers_common import fnv1a, uniform
    (m, k, n), turned = case["shape"], case["turned"]
    w, x = uniform((n, k) if turned else (k, n), fnv1a("weight")), uniform((m, k), fnv1a("x"))
    if system == "numpy":
        w = w.T if turned else w
        return lambda: x @ w
    import torch
    dtype = torch.bfloat16 if case["dtype"] == "bf16" else torch.float32
    x, w = torch.from_numpy(x).to(dtype), torch.from_numpy(w).to(dtype)
    w = w.T if turned else w
    if system == "torch":
        return lambda: x @ w
    packed = torch.ops.mkldnn._reorder_linear_weight(w.T.contiguous(), m)
    return lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")


def section(bench):
    rows = bench.rows("gemm", cases())
    page = Section("Matrix products M×K×N with a weight, 2 threads", notes=failures(rows) + noise(rows))
    found = [(row.ratio(), row.case.name) for row in rows if row.case.group == "bf16" and row.ratio()]
    whole = len(found) == len(SHAPES)
    where = "" if machine.has_amx() else " (the goal is for AMX, which this machine has not)"
    noisy = any(row.noisy for row in rows if row.case.group == "bf16")
    worst = min(found) if whole else (None, "")
    page.goals.append(at_least(f"bf16, geometric mean{where}", 1.1, geometric_mean([r for r, _ in found]) if whole else None, noisy))
    page.goals.append(at_least(f"bf16, worst case {worst[1]}{where}", 1.0, worst[0], noisy))
    page.tables.append(ratios(rows, PEERS["f32"]))
    return page
