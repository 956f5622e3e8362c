"""Sentence embeddings of all-MiniLM-L6-v2 with its real weights: five sentences, two threads."""
import json

from ..machine import ROOT
from ..measure import Case, OURS
from ..report import Goal, Section, at_least, failures, noise, ratios

PEERS = ["torch"]
CLOSE = 1e-4


def case(bench):
    import numpy as np
    from minilm import encode, model_dir
    from safetensors.numpy import save_file
    ids, mask = (np.ascontiguousarray(t.astype(np.int32)) for t in encode())
    path = bench.folder / "sentences.safetensors"
    save_file(dict(tokens=ids, mask=mask), path)
    ours = dict(file=str(ROOT / "models/bert.ein"), entry="embed", define=dict(B=str(ids.shape[0]), T=str(ids.shape[1])),
                params=str(model_dir() / "model.safetensors"), inputs=[str(path)])
    return Case("5 sentences", 2, [OURS, *PEERS], ours)


def build(system, case):
    import torch
    from minilm import encode, forward, load, model_dir
    p, configuration = load("float32"), json.loads((model_dir() / "config.json").read_text())
    ids, mask = (torch.from_numpy(t) for t in encode())
    return lambda: forward(p, configuration, ids, mask)


def check(bench, case, ready):
    """The largest difference from the float64 embeddings of golden/minilm.json."""
    import numpy as np
    from peers_common import GOLDEN
    from safetensors.numpy import load_file
    if OURS not in ready:
        return {}
    path = bench.folder / "embeddings.safetensors"
    ready[OURS].ask("write", path=str(path))
    want = np.array(json.loads((GOLDEN / "minilm.json").read_text())["embeddings_f64"])
    return dict(apart=float(abs(load_file(path)["embeddings"] - want).max()))


def section(bench):
    rows = bench.rows("minilm", [case(bench)], check)
    page = Section("MiniLM, real weights, 2 threads", notes=failures(rows) + noise(rows))
    for row in rows:
        apart = row.facts.get("apart")
        page.goals.append(at_least(row.case.name, 1.25, row.ratio(), row.noisy))
        page.goals.append(Goal("difference from float64", f"≤ {CLOSE:g}", "–" if apart is None else f"{apart:.1e}",
                               None if apart is None else apart <= CLOSE))
    page.tables.append(ratios(rows, PEERS))
    return page
