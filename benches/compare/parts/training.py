"""A training step (forward, backward, AdamW) of GPT-2 and LLaMA in f32, two threads: tokens a second and memory.

Einmesh is run as a user does, by `einmesh train`; the peers by their own scripts, `gpt_step.py` and `llama_step.py`,
which print the time of a step. All start from the same weights and repeat the same batch, so that their losses
can be compared with those of float64.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import time

from .. import machine
from ..measure import OURS, QUIET, Case, Row, describe
from ..peer import busy_s
from ..report import Goal, Section, at_least, failures, noise, ratios, table
from . import models

PEERS = ["jax", "torch eager", "torch.compile"]
CALLED = {"jax": "jax", "torch eager": "torch_eager", "torch.compile": "torch_compile"}
SIZES = [("gpt", "tiny"), ("gpt", "small"), ("llama", "tiny")]
THREADS, STEPS = 2, 10
LOSSES = 1e-4


def einmesh(bench, c, size):
    """One run: seconds of each step, the losses, the most memory, and how many other cores were busy."""
    metrics = bench.folder / "training.jsonl"
    define = [f"-D{name}={value}" for name, value in models.define(c).items()]
    command = [str(machine.TARGET / "release/einmesh"), "train", str(models.SOURCES[c.arch]), "--loss", "loss", *define,
               "--mesh", "none", "--shard", "none", "--lr", str(c.lr), "--betas", "0.9,0.95", "--eps", "1e-8",
               "--weight-decay", "0.1", "--params", str(models.weights(bench.folder, c, size)),
               "--batch", str(models.tokens(bench.folder, c, size)), "--steps", str(STEPS), "--threads", str(THREADS),
               "--metrics", str(metrics), "--json"]
    cores = set(sorted(os.sched_getaffinity(0))[-THREADS:])
    begin, busy = time.perf_counter(), busy_s()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             preexec_fn=lambda: os.sched_setaffinity(0, cores))
    out, err = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(err.strip()[-300:])
    wall, own = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime
    result = json.loads(out)
    losses = [json.loads(line)["loss"] for line in metrics.read_text().splitlines()]
    # The first steps touch memory for the first time.
    return dict(seconds=[ms / 1e3 for ms in result["step_ms"][2:]], losses=losses, rss_mb=usage.ru_maxrss / 1024,
                planned_mb=result["peak_bytes_per_device"] / 1e6, others=max(0.0, (busy_s() - busy - own) / wall))


def peer(system, c, size):
    """One run of a peer's script: its rows by mode."""
    script = machine.PEERS / f"{c.arch}_step.py"
    command = [sys.executable, str(script), "--sizes", size, "--threads", str(THREADS), "--peers", CALLED[system],
               "--budget", "3"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=machine.PEERS)
    rows = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    found = {row["mode"]: row for row in rows if "mode" in row}
    if "step" not in found:
        raise RuntimeError(next((r["detail"] for r in rows if "error" in r), ran.stderr)[-300:])
    return found


def measured(bench, arch, size):
    c = models.config(dict(arch=arch, size=size))
    row = Row(Case(f"{arch} {size} f32", THREADS, [OURS, *PEERS], {}))
    ours, theirs = [], {system: [] for system in PEERS}
    for _ in range(bench.rounds):
        try:
            ours.append(einmesh(bench, c, size))
        except RuntimeError as why:
            row.failed[OURS] = str(why)
        for system in PEERS:
            try:
                theirs[system].append(peer(system, c, size))
            except RuntimeError as why:
                row.failed[system] = str(why)
    quiet = [run for run in ours if run["others"] <= QUIET]
    if ours:
        row.noisy = len(quiet) < len(ours)
        row.seconds[OURS] = statistics.median(s for run in quiet or ours for s in run["seconds"])
        golden = json.loads((machine.PEERS / f"golden/{arch}_{size}.json").read_text())["losses_f64"]
        row.facts["apart"] = max(abs(a - b) / abs(b) for a, b in zip(ours[-1]["losses"], golden))
        row.facts[OURS] = ours[-1]["rss_mb"]
        row.facts["planned"] = ours[-1]["planned_mb"]
    for system, runs in theirs.items():
        if runs:
            calm = [run["step"] for run in runs if not run["step"].get("contended")]
            row.noisy |= not calm
            row.seconds[system] = statistics.median(r["ms"] / 1e3 for r in calm or [run["step"] for run in runs])
            row.facts[system] = runs[-1]["step"]["peak_rss_mb"]
    row.facts["tokens"] = c.B * c.T
    print("  " + describe(row), file=sys.stderr, flush=True)
    return row


def section(bench):
    rows = [measured(bench, *case) for case in SIZES if re.search(bench.only_cases, " ".join(case))]
    page = Section("Training step with AdamW, f32, 2 threads", notes=failures(rows) + noise(rows))
    for row in rows:
        page.goals.append(at_least(row.case.name, 1.25, row.ratio(), row.noisy))
    for row in rows:
        memory = [row.facts[s] for s in PEERS if s in row.facts]
        if OURS in row.facts and memory:
            got = row.facts[OURS] / min(memory)
            page.goals.append(Goal(f"{row.case.name}: peak memory, as a part of the best peer's", "< 1", f"{got:.2f}", got < 1))
        if row.facts.get("apart", 0) > LOSSES:
            page.notes.append(f"WRONG RESULTS in {row.case.name}: a loss is {row.facts['apart']:.1e} from float64's")
    shown = lambda row: f"{row.facts['apart']:.0e}" if "apart" in row.facts else "–"
    page.tables.append(ratios(rows, PEERS, (f"losses of {STEPS} steps from float64", shown)))
    cell = lambda row, system: f"{row.facts[system]:.0f}" if system in row.facts else "–"
    speed = lambda row: f"{row.facts['tokens'] / row.seconds[OURS]:.0f}" if OURS in row.seconds else "–"
    lines = [[row.case.name, speed(row), *(cell(row, s) for s in [OURS, "planned", *PEERS])] for row in rows]
    page.tables.append(table(["case", "Einmesh tokens/s", "Einmesh MB", "of it planned", *(f"{s} MB" for s in PEERS)], lines))
    return page
