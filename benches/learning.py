"""Does a model learn with Einmesh what it learns with PyTorch? The same weights, text and order of batches.

usage: python benches/learning.py PEERS [--layers 6] [--width 256] [--length 256] [--rows 8] [--steps 1000] [--only einmesh|torch]

Trains `models/gpt2.ein` by `einmesh train` (target/release) and the peers' model in PyTorch on
examples/text/shakespeare.txt, a token a byte, AdamW at a constant rate, and prints the losses beside each other.
The order of batches is that of `runtime/train/src/data`, written here once more.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT / "examples/text/shakespeare.txt"
VALIDATION = 0.05
MASK = 2 ** 64 - 1

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("peers", type=Path)
p.add_argument("--einmesh", type=Path, default=ROOT / "target/release/einmesh")
p.add_argument("--layers", type=int, default=6)
p.add_argument("--width", type=int, default=256)
p.add_argument("--heads", type=int, default=4)
p.add_argument("--length", type=int, default=256)
p.add_argument("--rows", type=int, default=8)
p.add_argument("--steps", type=int, default=1000)
p.add_argument("--every", type=int, default=100, help="measure the validation loss after each so many steps")
p.add_argument("--only", choices=["einmesh", "torch"])
a = p.parse_args()
sys.path.insert(0, str(a.peers.resolve()))
from lm_models import Cfg, init, torch_adamw, torch_loss  # noqa: E402

c = Cfg("gpt", a.layers, a.width, a.heads, a.length, 256, a.rows, 4 * a.width)


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def order(count, seed, source, turn):
    """The permutation of a pass: position → window."""
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    key, mask = mix(mix(mix(seed) ^ source) ^ turn), 2 ** half - 1

    def at(number):
        while True:
            left, right = number >> half, number & mask
            for step in range(6):
                left, right = right, left ^ (mix(key ^ mix(right ^ (step << 56))) & mask)
            number = left << half | right
            if number < count:
                return number

    return at


def windows():
    import numpy as np
    text = np.frombuffer(TEXT.read_bytes(), dtype=np.uint8).astype(np.int64)
    every = (len(text) - 1) // c.T
    kept = -int(-(every * VALIDATION) // 1)
    row = lambda i: text[i * c.T: (i + 1) * c.T + 1]
    return row, every - kept, kept


def torch():
    import numpy as np
    import torch
    row, training, kept = windows()
    p = {k: torch.from_numpy(v).requires_grad_() for k, v in init(c).items()}
    optimizer, losses, validation, begin = torch_adamw(c, p), [], {}, time.time()

    def batch(rows):
        t = torch.from_numpy(np.stack(rows))
        return t[:, :-1].contiguous(), t[:, 1:].contiguous()

    for step in range(a.steps):
        taken = [step * c.B + i for i in range(c.B)]
        rows = [row(order(training, 0, 0, n // training)(n % training)) for n in taken]
        optimizer.zero_grad()
        loss = torch_loss(c, p, *batch(rows))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if (step + 1) % a.every == 0 or step + 1 == a.steps:
            with torch.no_grad():
                groups = [range(i, i + c.B) for i in range(0, kept - c.B + 1, c.B)]
                means = [float(torch_loss(c, p, *batch([row(training + i) for i in g]))) for g in groups]
            validation[step] = sum(means) / len(means)
            print(f"torch: step {step + 1}, loss {losses[-1]:.4f}, validation {validation[step]:.4f}", file=sys.stderr)
    return losses, validation, time.time() - begin


def einmesh():
    from safetensors.numpy import save_file
    with tempfile.TemporaryDirectory() as folder:
        weights, metrics = f"{folder}/weights.safetensors", f"{folder}/metrics.jsonl"
        save_file(init(c), weights)
        extents = dict(L=c.L, D=c.D, H=c.H, V=c.V, P=c.T, T=c.T, B=c.B, F=c.F)
        begin = time.time()
        subprocess.run([a.einmesh, "train", ROOT / "models/gpt2.ein", "--loss", "loss", "--params", weights, "--data", TEXT,
                        *(f"-D{name}={extent}" for name, extent in extents.items()), "--mesh", "none", "--shard", "none",
                        "--lr", str(c.lr), "--steps", str(a.steps), "--validation", str(VALIDATION),
                        "--validate-every", str(a.every), "--metrics", metrics], check=True)
        took = time.time() - begin
        records = [json.loads(line) for line in open(metrics)]
    validation = {r["step"]: r["validation_loss"] for r in records if "validation_loss" in r}
    return [r["loss"] for r in records], validation, took


runs = {name: run() for name, run in (("einmesh", einmesh), ("torch", torch)) if a.only in (None, name)}
names = list(runs)
print(f"GPT, {sum(v.size for v in init(c).values())} parameters, {c.B}x{c.T} tokens a step, AdamW at {c.lr}")
print("| step | " + " | ".join(f"{n} loss | {n} validation" for n in names) + " |")
print("| --- " * (1 + 2 * len(names)) + "|")
for step in sorted(runs[names[0]][1]):
    cells = [f"{runs[n][0][step]:.4f} | {runs[n][1][step]:.4f}" for n in names]
    print(f"| {step + 1} | " + " | ".join(cells) + " |")
for n in names:
    print(f"{n}: {runs[n][2]:.0f} s")
