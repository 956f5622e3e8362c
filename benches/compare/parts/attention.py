"""Causal attention of 12 heads of 64, two threads, beside PyTorch's scaled_dot_product_attention: forward alone, and with
the gradients by queries, keys and values."""
from .. import machine
from ..measure import Case, OURS
from ..report import Section, at_least, failures, noise, ratios

GOALS = {("f32", 512): 2.0, ("f32", 2048): 1.3, ("bf16", 512): 3.0, ("bf16", 2048): 2.0}
PEERS = ["torch"]
PROGRAM = """type W = f32
dim B = 1, H = 12, K = 64, T, U: T
export fn attention(q: W[B,H,T,K], key: W[B,H,U,K], val: W[B,H,U,K]) -> W[B,H,T,K] {
  s[b,h,t,u]   = wide(q[b,h,t,k]) * wide(key[b,h,u,k]) * K^-0.5
  a[b,h,t,u]   = W(softmax[u | u <= t](s[b,h,t,u]))
  out[b,h,t,k] = a[b,h,t,u] * val[b,h,u,k]
}
"""
NAMES = ("q", "key", "val")
GRADIENTS = PROGRAM + """
export fn gradients(q: W[B,H,T,K], key: W[B,H,U,K], val: W[B,H,U,K], d: W[B,H,T,K])
    -> (out: W[B,H,T,K], dq: W[B,H,T,K], dkey: W[B,H,U,K], dval: W[B,H,U,K]) {
  out  = attention(q, key, val)
  l    = wide(out[b,h,t,k]) * wide(d[b,h,t,k])
  dq   = grad[q](l)
  dkey = grad[key](l)
  dval = grad[val](l)
}
"""


def cases():
    from peers_common import fnv1a
    for dtype, length in GOALS:
        ours = dict(text=PROGRAM, entry="attention", define=dict(T=str(length), W=dtype), seeds=[fnv1a(n) for n in NAMES])
        yield Case(f"{dtype} T={length}", 2, [OURS, *PEERS], ours, dict(dtype=dtype, length=length))
        ours = dict(ours, text=GRADIENTS, entry="gradients", seeds=[fnv1a(n) for n in (*NAMES, "d")])
        yield Case(f"{dtype} T={length} with gradients", 2, [OURS, *PEERS], ours,
                   dict(dtype=dtype, length=length, gradients=True))


def build(system, case):
    import torch
    from peers_common import fnv1a, uniform
    dtype = torch.bfloat16 if case["dtype"] == "bf16" else torch.float32
    attention = torch.nn.functional.scaled_dot_product_attention

    def arrays(names):
        return [torch.from_numpy(uniform((1, 12, case["length"], 64), fnv1a(n))).to(dtype) for n in names]

    if not case.get("gradients"):
        q, k, v = arrays(NAMES)
        return lambda: attention(q, k, v, is_causal=True)
    with torch.inference_mode(False):
        by = [a.requires_grad_() for a in arrays(NAMES)]
        d, = arrays("d")

    def run():
        with torch.inference_mode(False), torch.enable_grad():
            return torch.autograd.grad(attention(*by, is_causal=True), by, d)

    return run


def section(bench):
    rows = bench.rows("attention", cases())
    page = Section("Causal attention, 12 heads of 64, 2 threads", notes=failures(rows) + noise(rows))
    for row in rows:
        dtype, length = row.case.peer["dtype"], row.case.peer["length"]
        if row.case.peer.get("gradients"):
            continue
        where = "" if dtype == "f32" or machine.has_amx() else " (the goal is for AMX, which this machine has not)"
        page.goals.append(at_least(row.case.name + where, GOALS[dtype, length], row.ratio(), row.noisy))
    page.tables.append(ratios(rows, PEERS))
    return page
