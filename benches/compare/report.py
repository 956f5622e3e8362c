"""The page: what was measured on, a table per part, and a verdict beside every goal."""
import math
import re
from dataclasses import dataclass, field

from . import machine
from .measure import OURS


@dataclass
class Goal:
    """Something to reach: `reached` is None where it cannot be told."""
    what: str
    least: str
    got: str
    reached: bool | None
    noisy: bool = False


@dataclass
class Section:
    title: str
    goals: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def text(self):
        notes = "".join(f"**{note}**\n\n" for note in self.notes)
        goals = table(["goal", "at least", "measured", "verdict"],
                      [[g.what, g.least, g.got, verdict(g)] for g in self.goals])
        return f"## {self.title}\n\n{notes}" + "\n\n".join([goals, *self.tables] if self.goals else self.tables) + "\n"


def verdict(goal):
    if goal.reached is None:
        return "NOT MEASURED"
    return ("reached" if goal.reached else "MISSED") + (" ~" if goal.noisy else "")


def table(header, rows):
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in cells)


def geometric_mean(numbers):
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def at_least(what, least, got, noisy=False):
    """A goal of a number that is None if nothing was measured."""
    return Goal(what, f"{least:g}", "–" if got is None else f"{got:.2f}", None if got is None else got >= least, noisy)


def ratios(rows, systems, extra=None):
    """A table of a part's rows: milliseconds of each system, and how much faster Einmesh is than the best."""
    name, more = extra or ("", None)
    header = ["case", "threads", "Einmesh ms", *(f"{s} ms" for s in systems), "best peer", "Einmesh is faster by"]
    lines = []
    for row in rows:
        cell = lambda s: f"{row.seconds[s] * 1e3:.3f}" if s in row.seconds else ("FAILED" if s in row.failed else "–")
        ratio = row.ratio()
        mark = " ~" if row.noisy else ""
        lines.append([row.case.name, row.case.threads, cell(OURS), *map(cell, systems), row.best_peer() or "–",
                      f"{ratio:.2f}{mark}" if ratio else "–"] + ([more(row)] if more else []))
    return table(header + ([name] if more else []), lines)


def failures(rows):
    """Why systems failed, once per reason."""
    found = {}
    for row in rows:
        for system, why in row.failed.items():
            first = why.strip().splitlines()[0][:200] if why.strip() else "no reason given"
            found.setdefault((system, first), []).append(f"{row.case.name} ({row.case.threads})")
    return [f"{system} FAILED in {', '.join(cases)}: {why}" for (system, why), cases in found.items()]


def noise(rows):
    noisy = sum(row.noisy for row in rows)
    return [f"{noisy} of {len(rows)} rows are marked ~: other processes kept cores busy; not evidence."] if noisy else []


class Page:
    def __init__(self, arguments):
        self.sections = []
        self.head = (f"# {machine.today()}, {machine.cpu()}, {machine.cores()} cores ({machine.simd()})\n\n"
                     f"`make bench` with `{' '.join(arguments) or 'no options'}`, commit {machine.commit()}; "
                     f"{machine.versions()}.\n\n"
                     "Each system in a process of its own, pinned to the same cores, timed in turns; medians over rounds "
                     "of medians over repetitions. Above 1, Einmesh is faster. Everything below is printed by the command.\n")

    def add(self, section):
        self.sections.append(section)
        print(section.text(), flush=True)

    def text(self):
        return "\n".join([self.head, *(section.text() for section in self.sections)])

    def path(self):
        cpu = re.sub(r"[^a-z0-9]+", "-", machine.cpu().lower().replace("(r)", "").replace("(tm)", "")).strip("-")
        return machine.ROOT / f"benches/results/{machine.today()}-{cpu}.md"
