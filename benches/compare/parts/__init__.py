"""The parts of the comparison, a file each: its cases, what each system runs, and its goals."""
import importlib
import traceback

from .. import machine
from ..report import Section

NAMES = ["einsum", "crates", "forward", "gemm", "attention", "cross_entropy", "decode", "minilm", "mesh",
         "compile_time", "training", "accuracy"]


def run(name, bench):
    """A part's section; if the part cannot run, a section that says so."""
    missing = machine.peers_missing()
    try:
        if missing:
            raise RuntimeError(missing)
        return importlib.import_module(f".{name}", __name__).section(bench)
    except Exception as why:  # one part that breaks must not cost the others
        traceback.print_exc()
        return Section(name, notes=[f"THIS PART DID NOT RUN: {type(why).__name__}: {why}"])
