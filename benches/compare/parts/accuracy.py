"""GPT-2's logits in f32 on one device and on meshes, beside a float64 PyTorch model; `odd` has extents that
divide by nothing."""
from ..measure import OURS
from ..report import Goal, Section, table
from ..workers import Failed
from . import forward, models

TENSOR = ["H", "F", "V"]
MESHES = {
    "one device": {},
    "data=2": dict(mesh=[["data", 2]], shard=[["data", ["B"]]]),
    "tensor=2": dict(mesh=[["tensor", 2]], shard=[["tensor", TENSOR]]),
    "tensor=3": dict(mesh=[["tensor", 3]], shard=[["tensor", TENSOR]]),
    "data=2×tensor=2": dict(mesh=[["data", 2], ["tensor", 2]], shard=[["data", ["B"]], ["tensor", TENSOR]]),
    "data=2×tensor=4": dict(mesh=[["data", 2], ["tensor", 4]], shard=[["data", ["B"]], ["tensor", TENSOR]]),
}
# The difference of f32 logits of size one from float64, after at most 12 layers.
CLOSE = 1e-5


def exact(c):
    """The logits in float64."""
    import torch
    from lm_models import batch, init, torch_logits
    weights = {name: torch.from_numpy(w.astype("float64")) for name, w in init(c).items()}
    with torch.inference_mode():
        return torch_logits(c, weights, torch.from_numpy(batch(c)[0]).long()).numpy()


def section(bench):
    from lm_models import CONFIGS, Cfg
    from safetensors.numpy import load_file
    CONFIGS["gpt"]["odd"] = Cfg("gpt", 3, 192, 6, 77, 1003, 2, 768)
    page = Section("Logits of GPT-2 beside float64, and on meshes beside one device")
    lines, worst, timer = [], 0.0, bench.timer_worker(2)
    path = bench.folder / "accuracy.safetensors"
    for size in ("tiny", "small", "odd"):
        spec = dict(arch="gpt", size=size, dtype="float32")
        want, alone = exact(models.config(spec)), None
        for mesh, placement in MESHES.items():
            try:
                timer.ask("prepare", threads=2, **dict(forward.einmesh(bench, spec), **placement))
                timer.ask("time", budget_s=0.0)
                timer.ask("write", path=str(path))
            except Failed as why:
                page.notes.append(f"{OURS} FAILED in {size}, {mesh}: {why}")
                worst = float("inf")
                continue
            got = load_file(path)["logits"].astype("float64")
            alone = got if alone is None else alone
            difference = abs(got - want).max()
            worst = max(worst, difference)
            lines.append([size, mesh, f"{difference:.1e}", f"{abs(got - alone).max() / abs(alone).max():.1e}"])
    timer.close()
    page.goals.append(Goal("largest difference of a logit from float64", f"≤ {CLOSE:g}", f"{worst:.1e}", bool(worst <= CLOSE)))
    page.tables.append(table(["size", "mesh", "from float64", "from one device, of the largest logit"], lines))
    return page
