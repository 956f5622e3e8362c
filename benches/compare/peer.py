"""A peer's process: `python -m compare.peer PART SYSTEM THREADS` builds the part's cases and times them.

The protocol is that of `benches/timer`.
"""
import contextlib
import importlib
import json
import os
import statistics
import sys
import time

from . import machine  # noqa: F401  (puts the peers on the path)

REPETITIONS = 3, 20_000
TELLING_S = 0.2


def busy_s():
    """Seconds of CPU that all processes have used."""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(f) - f[3] - f[4]) / os.sysconf("SC_CLK_TCK")


def timed(run, budget_s):
    """Times `run` for about `budget_s`, after a warm-up; a run that takes much longer is its own."""
    times, busy, own, start = [], busy_s(), time.process_time(), time.perf_counter()

    def once():
        begin = time.perf_counter()
        # A run may know better how long the part of it took that counts.
        counted = run()
        times.append(counted if isinstance(counted, float) else time.perf_counter() - begin)

    once()
    if time.perf_counter() - start < 2 * budget_s:
        times.clear()
        busy, own, start = busy_s(), time.process_time(), time.perf_counter()
        while len(times) < REPETITIONS[0] or (time.perf_counter() - start < budget_s and len(times) < REPETITIONS[1]):
            once()
    wall = time.perf_counter() - start
    others = max(0.0, (busy_s() - busy - (time.process_time() - own)) / wall)
    return dict(median_s=statistics.median(times), min_s=min(times), repetitions=len(times),
                other_cores=others if wall >= TELLING_S else None)


def main():
    part = importlib.import_module(f"compare.parts.{sys.argv[1]}")
    system, threads = sys.argv[2], int(sys.argv[3])
    mode = contextlib.nullcontext
    if system.startswith("torch"):
        import torch
        torch.set_num_threads(threads)
        mode = torch.inference_mode
    run = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with mode():
                if request["op"] == "prepare":
                    run = None
                    run = part.build(system, request["case"])
                    run()
                    answer = {}
                elif request["op"] == "time":
                    answer = timed(run, request["budget_s"])
                elif request["op"] == "write":
                    part.write(system, run, request["path"])
                    answer = {}
        except Exception as why:  # the other end reports it in its table
            answer = dict(error=f"{type(why).__name__}: {why}"[:600])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
