"""Processes that keep a case ready and time it when asked: one per system and number of threads.

They speak JSON, a line each way: `benches/timer` for Einmesh, `peer.py` for the others.
"""
import json
import os
import queue
import subprocess
import sys
import threading

from .machine import ROOT

# Environment variables that limit the peers' own threads.
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MATMUL_NUM_THREADS", "NPROC", "PEERS_THREADS")


class Failed(Exception):
    """A system could not do what was asked; the text says why."""


class Worker:
    def __init__(self, command, threads):
        env = dict(os.environ, JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="2", PYTHONPATH=str(ROOT / "benches"))
        env.update((name, str(threads)) for name in LIMITS)
        cores = set(sorted(os.sched_getaffinity(0))[-threads:])
        self.process = subprocess.Popen(
            command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.answers, self.complaints = queue.Queue(), []
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._note, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.answers.put(json.loads(line))
        self.answers.put(None)

    def _note(self):
        for line in self.process.stderr:
            self.complaints = [*self.complaints[-20:], line]

    def ask(self, op, timeout=600, **request):
        """The answer; raises Failed if there is none."""
        try:
            self.process.stdin.write(json.dumps(dict(op=op, **request)) + "\n")
            self.process.stdin.flush()
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise Failed(f"no answer within {timeout} s") from None
        except OSError:
            answer = None
        if answer is None:
            raise Failed("it ended: " + "".join(self.complaints)[-600:].strip())
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def close(self):
        self.process.kill()
        self.process.wait()


def einmesh(timer, threads):
    return Worker([timer], threads)


def peer(part, system, threads):
    return Worker([sys.executable, "-m", "compare.peer", part, system, str(threads)], threads)
