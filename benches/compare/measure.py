"""Turns: every system of a case is timed once in each round; what counts is the median over the rounds."""
import re
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from . import workers
from .workers import Failed

# More than this many cores busy with something else: a turn is not evidence.
QUIET = 0.1
OURS = "einmesh"


@dataclass
class Case:
    """Work that several systems do: `einmesh` is what the timer prepares, `peer` what the part's `build` gets."""
    name: str
    threads: int
    systems: list
    einmesh: dict
    peer: dict = field(default_factory=dict)
    group: str = ""


@dataclass
class Row:
    """A case's seconds by system; `failed` says why a system has none, `noisy` that no quiet turns were left."""
    case: Case
    seconds: dict = field(default_factory=dict)
    failed: dict = field(default_factory=dict)
    noisy: bool = False
    facts: dict = field(default_factory=dict)

    def best_peer(self):
        peers = {s: t for s, t in self.seconds.items() if not s.startswith(OURS)}
        return min(peers, key=peers.get) if peers else None

    def ratio(self):
        """How much faster Einmesh is than the best of the others; None if either is missing."""
        best = self.best_peer()
        return self.seconds[best] / self.seconds[OURS] if best and OURS in self.seconds else None


class Bench:
    def __init__(self, timer, rounds, budget, only_cases):
        self.timer, self.rounds, self.budget, self.only_cases = timer, rounds, budget, only_cases
        # Weights and results: some gigabytes, which go with this object.
        self.files = tempfile.TemporaryDirectory(prefix="einmesh-bench-")
        self.folder = Path(self.files.name)

    def rows(self, part, cases, check=None, programs=None):
        """Measures the cases one after the other. `check(bench, case, workers)` gives facts of a row; `programs` are
        those of systems that are neither the timer nor Python: a command, without the number of threads."""
        pool, rows = {}, []
        self.programs = programs or {}
        try:
            for case in cases:
                if re.search(self.only_cases, case.name):
                    rows.append(self._row(part, case, pool, check))
                    print("  " + describe(rows[-1]), file=sys.stderr, flush=True)
        finally:
            for worker in pool.values():
                worker.close()
        return rows

    def timer_worker(self, threads):
        return workers.einmesh(self.timer, threads)

    def _worker(self, part, system, threads, pool):
        key = system, threads
        if key not in pool or pool[key].process.poll() is not None:
            if system in self.programs:
                pool[key] = workers.Worker([*self.programs[system], str(threads)], threads)
            elif system.startswith(OURS):
                pool[key] = self.timer_worker(threads)
            else:
                pool[key] = workers.peer(part, system, threads)
        return pool[key]

    def _row(self, part, case, pool, check):
        row, ready = Row(case), {}
        for system in case.systems:
            worker = self._worker(part, system, case.threads, pool)
            try:
                if system in self.programs:
                    worker.ask("prepare", **case.einmesh, name=case.name)
                elif system.startswith(OURS):
                    request = dict(case.einmesh.get(system, {}) if OURS in case.einmesh else case.einmesh)
                    row.facts[system] = worker.ask("prepare", threads=case.threads, **request)
                else:
                    worker.ask("prepare", case=dict(case.peer, name=case.name))
                ready[system] = worker
            except Failed as why:
                row.failed[system] = str(why)
        turns = {system: [] for system in ready}
        # Twice as many turns as asked for, if others keep the cores busy.
        for number in range(2 * self.rounds):
            wanting = [s for s in ready if len(quiet(turns[s])) < self.rounds]
            if number >= self.rounds and not wanting:
                break
            for system in list(ready) if number < self.rounds else wanting:
                try:
                    turns[system].append(ready[system].ask("time", budget_s=self.budget))
                except Failed as why:
                    row.failed[system] = str(why)
                    del ready[system]
        for system in ready:
            evidence = quiet(turns[system])
            row.noisy |= len(evidence) < self.rounds
            evidence = evidence if len(evidence) >= self.rounds else turns[system]
            row.seconds[system] = statistics.median(turn["median_s"] for turn in evidence)
        if check:
            row.facts.update(check(self, case, ready))
        return row


def quiet(turns):
    return [turn for turn in turns if (turn["other_cores"] or 0.0) <= QUIET]


def describe(row):
    times = ", ".join(f"{s} {t * 1e3:.3f} ms" for s, t in row.seconds.items())
    failed = "".join(f"; {s} FAILED: {why.splitlines()[0][:160]}" for s, why in row.failed.items())
    ratio = row.ratio()
    return (f"{row.case.name} ({row.case.threads} threads): {times}"
            + (f" → {ratio:.2f}" if ratio else "") + (" ~noisy" if row.noisy else "") + failed)
