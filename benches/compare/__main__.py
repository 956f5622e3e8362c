"""Runs the comparison, prints its tables, and writes benches/results/<date>-<cpu>.md.

usage: python -m compare [--only PART,..] [--cases PATTERN] [--rounds 5] [--budget 0.25] [--out FILE]

Run it by `make bench`, which builds the timer and finds the Python of the peers. Each system has a process of
its own that keeps a case ready; they are timed in turns, so that a drift of the machine meets all of them.
"""
import argparse
import sys
from pathlib import Path

from . import machine, parts, report
from .measure import Bench

p = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--only", default="", help="parts, of: " + ", ".join(parts.NAMES))
p.add_argument("--cases", default="", help="only cases whose names match this pattern: no verdicts on whole parts")
p.add_argument("--rounds", type=int, default=5, help="turns of each system in each case")
p.add_argument("--budget", type=float, default=0.25, help="seconds of a turn")
p.add_argument("--timer", default=str(machine.TARGET / "release/einmesh-timer"), help="Einmesh's process")
p.add_argument("--out", type=Path, help="where the page goes; `-` writes none")
a = p.parse_args()

only = [name for name in a.only.split(",") if name]
unknown = [name for name in only if name not in parts.NAMES]
if unknown:
    sys.exit(f"there is no part {', '.join(unknown)}; there are {', '.join(parts.NAMES)}")
if not Path(a.timer).exists():
    sys.exit(f"{a.timer} is not there: cargo build --release -p einmesh-benches")

bench = Bench(a.timer, a.rounds, a.budget, a.cases)
page = report.Page(sys.argv[1:])
print(page.head, flush=True)
for name in only or parts.NAMES:
    page.add(parts.run(name, bench))
if str(a.out) != "-":
    out = a.out or page.path()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page.text())
    print(f"wrote {out}", file=sys.stderr)
