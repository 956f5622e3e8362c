#!/usr/bin/env python3
"""Forward tokens/s of GPT-2 beside PyTorch and JAX, on the same weights, tokens and threads.

usage: forward.py PEERS [--bin DIR] [--sizes tiny,small] [--threads 2] [--rounds 3]

PEERS is the folder with lm_models.py; run this with the Python that has torch, jax, numpy and safetensors. Each round
times every system once, one after the other, so that a drift of the machine meets all of them; what is
printed are medians over the rounds' medians, and ratios of them.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHILD = r"""
import json, statistics, sys, time
sys.path.insert(0, sys.argv[1])
from peers_common import limit_threads
threads = limit_threads()
from lm_models import *
c = CONFIGS["gpt"][sys.argv[3]]
if sys.argv[2] == "torch":
    import torch
    torch.set_num_threads(threads)
    p = {k: torch.from_numpy(v) for k, v in init(c).items()}
    x = torch.from_numpy(batch(c)[0]).long()
    def once():
        with torch.inference_mode(): torch_logits(c, p, x)
else:
    import jax, jax.numpy as jnp
    p = {k: jnp.asarray(v) for k, v in init(c).items()}
    x = jnp.asarray(batch(c)[0])
    f = jax.jit(lambda p, x: jax_hidden(c, p, x) @ p["wte.weight"].T)
    once = lambda: f(p, x).block_until_ready()
once()
times = []
for _ in range(int(sys.argv[4])):
    t = time.perf_counter(); once(); times.append(time.perf_counter() - t)
print(json.dumps(statistics.median(times)))
"""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("peers")
    p.add_argument("--bin", default="target/release")
    p.add_argument("--sizes", default="tiny,small")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--repeat", type=int, default=10)
    a = p.parse_args()
    sys.path.insert(0, a.peers)
    import numpy as np
    from lm_models import CONFIGS, batch, init
    from safetensors.numpy import save_file

    n = str(a.threads)
    env = dict(os.environ, PEERS_THREADS=n, OMP_NUM_THREADS=n, OPENBLAS_NUM_THREADS=n, MKL_NUM_THREADS=n,
               NPROC=n, JAX_PLATFORMS="cpu")

    def peer(name, size):
        out = subprocess.run([sys.executable, "-c", CHILD, a.peers, name, size, str(a.repeat)], env=env, check=True,
                             capture_output=True, text=True).stdout
        return json.loads(out.splitlines()[-1])

    def einmesh(c, files, flags):
        dims = [f"-D{k}={v}" for k, v in dict(B=c.B, T=c.T, P=c.T, V=c.V, D=c.D, H=c.H, F=c.F, L=c.L).items()]
        out = subprocess.run(
            [str(ROOT / a.bin / "einmesh"), "run", str(ROOT / "models/gpt2.ein"), "--entry", "forward", *dims, *flags,
             "--params", files / "weights.safetensors", "--inputs", files / "tokens.safetensors", "--threads", n,
             "--repeat", str(a.repeat + 1), "--outputs", files / "out.safetensors", "--json"],
            check=True, capture_output=True, text=True).stdout
        return statistics.median(json.loads(out)["run_ms"][1:]) / 1e3

    print(f"{'size':6} {'system':24} {'ms':>9} {'tokens/s':>9}   Einmesh is faster by")
    for size in a.sizes.split(","):
        c = CONFIGS["gpt"][size]
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            save_file(init(c), files / "weights.safetensors")
            save_file({"tokens": batch(c)[0].astype(np.int32)}, files / "tokens.safetensors")
            mesh = ["--mesh", "tensor=4", "--shard", "tensor=H+F+V"]
            systems = {
                "einmesh": lambda: einmesh(c, files, []),
                "torch eager": lambda: peer("torch", size),
                "jax": lambda: peer("jax", size),
                "einmesh, 4 devices": lambda: einmesh(c, files, mesh),
            }
            rounds = [{name: run() for name, run in systems.items()} for _ in range(a.rounds)]
            of = {name: statistics.median(r[name] for r in rounds) for name in systems}
            for name, seconds in of.items():
                print(f"{size:6} {name:24} {seconds * 1e3:9.2f} {c.B * c.T / seconds:9.0f}   {seconds / of['einmesh']:.2f}", flush=True)


main()
