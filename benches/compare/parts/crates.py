"""`einsum!` beside the Rust crates that multiply matrices, and PyTorch: the peers' 29 einsums, f32, row-major results."""
import subprocess

from .. import machine
from ..measure import Case, OURS
from ..report import Goal, Section, at_least, failures, geometric_mean, noise, ratios
from . import einsum

CRATES = ["ndarray", "faer", "gemm"]
PEERS = [*CRATES, "torch"]
OPEN = f"{OURS} open"
# A run of the case `call` is of so many calls (`benches/crates/src/small.rs`).
CALLS = 1000


def program():
    """Builds the crate, as a user's is built: outside of the workspace."""
    folder = machine.TARGET / "crates"
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "--target-dir", folder], check=True,
                   cwd=machine.ROOT / "benches/crates")
    return str(folder / "release/einmesh-bench-crates")


def cases():
    from einsum_suite import CASES, path_info, shapes
    from peers_common import fnv1a
    for threads in (1, 2):
        for name, expression, sizes in CASES:
            each = shapes(expression, sizes)
            seeds = [fnv1a(f"{name}/{n}") for n in range(len(each))]
            path = path_info(expression, each)[0]
            yield Case(name, threads, [OURS, OPEN, *PEERS],
                       dict(expression=expression, shapes=each, seeds=seeds, path=path))
    yield Case("call", 1, [OURS, OPEN, *PEERS], dict(expression="ij,jk->ik", shapes=[], seeds=[], path=[]))


def build(system, case):
    """PyTorch's side."""
    if case["name"] != "call":
        return einsum.build(system, case)
    import torch
    x, y = torch.arange(16.0).reshape(4, 4), torch.arange(16.0).reshape(4, 4)

    def calls():
        for _ in range(CALLS):
            torch.einsum("ij,jk->ik", x, y)
    return calls


def check(bench, case, ready):
    """The largest difference of any of our and the crates' results from float64, as in the part `einsum`."""
    if case.name == "call":
        return {}
    import numpy as np
    from einsum_suite import CASES
    _, expression, sizes = next(c for c in CASES if c[0] == case.name)
    shape = [sizes[name] for name in expression.split("->")[1]]
    error = 0.0
    for system in (s for s in (OURS, OPEN, *CRATES) if s in ready):
        path = bench.folder / "einsum.f32"
        ready[system].ask("write", path=str(path))
        error = max(error, einsum.difference(case.name, np.fromfile(path, np.float32).reshape(shape)))
    return dict(error=error)


def over(row, ours, peers):
    """How much faster one of our forms is than the best of some others."""
    others = [row.seconds[s] for s in peers if s in row.seconds]
    return min(others) / row.seconds[ours] if others and ours in row.seconds else None


def section(bench):
    binary = program()
    rows = bench.rows("crates", cases(), check, {s: [binary, s] for s in (OURS, OPEN, *CRATES)})
    page = Section("`einsum!` beside Rust's crates, 29 einsums, f32", notes=failures(rows) + noise(rows))
    for threads in (1, 2):
        mine = [row for row in rows if row.case.threads == threads and row.case.name != "call"]
        whole = not bench.only_cases and bool(mine)
        noisy = any(row.noisy for row in mine)

        def mean(ours, peers):
            found = [over(row, ours, peers) for row in mine]
            return geometric_mean(found) if whole and None not in found else None

        page.goals.append(at_least(f"{threads} threads, geometric mean over the best Rust crate", 1.25, mean(OURS, CRATES), noisy))
        page.goals.append(at_least(f"{threads} threads, over the best of all", 1.0, mean(OURS, PEERS), noisy))
        page.goals.append(at_least(f"{threads} threads, open extents, over the best Rust crate", 1.0, mean(OPEN, CRATES), noisy))
    for row in rows:
        if row.case.name == "call":
            for system, what in ((OURS, "known"), (OPEN, "open")):
                ns = row.seconds[system] / CALLS * 1e9
                page.goals.append(Goal(f"a call of 4×4×4 with its result, {what} extents", "100 ns at most", f"{ns:.0f} ns",
                                       ns <= 100, row.noisy))
    wrong = [row.case.name for row in rows if row.facts.get("error", 0) > einsum.CLOSE]
    if wrong:
        page.notes.append(f"WRONG RESULTS in {', '.join(wrong)}")

    def shown(row):
        each = [over(row, ours, CRATES) for ours in (OURS, OPEN)]
        return ", ".join("–" if ratio is None else f"{ratio:.2f}" for ratio in each)

    page.tables.append(ratios(rows, PEERS, ("over the best crate: known, open extents", shown)))
    return page
