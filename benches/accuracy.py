#!/usr/bin/env python3
"""Logits of models/gpt2.ein against a float64 PyTorch model, on every mesh.

usage: accuracy.py PEERS [--bin DIR] [--sizes tiny,small,odd]

PEERS is the folder with lm_models.py; run this with the Python that has torch, numpy and safetensors.
Prints one line per size and mesh: the largest difference from float64, and the largest difference from the
unpartitioned run relative to its largest logit.
"""
import argparse, subprocess, sys, tempfile
from pathlib import Path

p = argparse.ArgumentParser()
p.add_argument("peers")
p.add_argument("--bin", default="target/release")
p.add_argument("--sizes", default="tiny,small,odd")
a = p.parse_args()
sys.path.insert(0, a.peers)
import numpy as np
import torch
from lm_models import CONFIGS, Cfg, batch, init, torch_logits
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
CONFIGS["gpt"]["odd"] = Cfg("gpt", 3, 192, 6, 77, 1003, 2, 768)
TENSOR = "tensor=H+F+V"
MESHES = [
    ("one device", []),
    ("data=2", ["--mesh", "data=2", "--shard", "data=B"]),
    ("tensor=2", ["--mesh", "tensor=2", "--shard", TENSOR]),
    ("tensor=3", ["--mesh", "tensor=3", "--shard", TENSOR]),
    ("data=2×tensor=2", ["--mesh", "data=2,tensor=2", "--shard", f"data=B,{TENSOR}"]),
    ("data=2×tensor=4", ["--mesh", "data=2,tensor=4", "--shard", f"data=B,{TENSOR}"]),
    ("fsdp data=4", ["--mesh", "data=4", "--shard", "data=B", "--fsdp", "data=Params"]),
]


def run(c, files, flags):
    out = files / "logits.safetensors"
    dims = [f"-D{k}={v}" for k, v in dict(B=c.B, T=c.T, P=c.T, V=c.V, D=c.D, H=c.H, F=c.F, L=c.L).items()]
    subprocess.run(
        [str(ROOT / a.bin / "einmesh"), "run", str(ROOT / "models/gpt2.ein"), "--entry", "forward", *dims, *flags,
         "--params", files / "weights.safetensors", "--inputs", files / "tokens.safetensors", "--outputs", out],
        check=True, stderr=subprocess.DEVNULL)
    return load_file(out)["logits"].astype("float64")


for size in a.sizes.split(","):
    c = CONFIGS["gpt"][size]
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        weights, tokens = init(c), batch(c)[0].astype(np.int32)
        save_file(weights, files / "weights.safetensors")
        save_file({"tokens": tokens}, files / "tokens.safetensors")
        exact = {k: torch.from_numpy(v.astype("float64")) for k, v in weights.items()}
        with torch.no_grad():
            want = torch_logits(c, exact, torch.from_numpy(tokens).long()).numpy()
        whole = None
        for name, flags in MESHES:
            got = run(c, files, flags)
            whole = got if whole is None else whole
            apart = abs(got - whole).max() / abs(whole).max()
            print(f"{size:6} {name:16} from float64 {abs(got - want).max():.2e}   from one device {apart:.2e}", flush=True)
        if size == "odd":
            for name, flags in MESHES:
                got = run(c, files, [*flags, "--backend", "interp", "-DW=f64"])
                print(f"{size:6} {name:16} from float64 {abs(got - want).max():.2e}   interpreter in f64", flush=True)
