"""What virtual devices cost: GPT-2's forward pass on four of them and on one, two threads."""
from ..measure import Case, OURS
from ..report import Goal, Section, failures, noise, table
from . import forward

FOUR = f"{OURS}, 4 devices"
MOST = 1.15


def cases(bench):
    for size in ("tiny", "small"):
        one = forward.einmesh(bench, dict(arch="gpt", size=size, dtype="float32"))
        four = dict(one, mesh=[["tensor", 4]], shard=[["tensor", ["H", "F", "V"]]])
        yield Case(f"gpt {size} f32", 2, [OURS, FOUR], {OURS: one, FOUR: four})


def section(bench):
    rows = bench.rows("mesh", cases(bench))
    page = Section("Four virtual devices (tensor=4) beside one, 2 threads", notes=failures(rows) + noise(rows))
    lines = []
    for row in rows:
        whole = OURS in row.seconds and FOUR in row.seconds
        times = row.seconds[FOUR] / row.seconds[OURS] if whole else None
        page.goals.append(Goal(f"{row.case.name}: times the time of one device", f"≤ {MOST}",
                               f"{times:.2f}" if whole else "–", times <= MOST if whole else None, row.noisy))
        cell = lambda system: f"{row.seconds[system] * 1e3:.2f}" if system in row.seconds else "FAILED"
        lines.append([row.case.name, cell(OURS), cell(FOUR), (f"{times:.2f}" if whole else "–") + (" ~" if row.noisy else "")])
    page.tables.append(table(["case", "1 device ms", "4 devices ms", "times the time"], lines))
    return page
