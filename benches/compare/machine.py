"""What is measured on, and with what."""
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(os.environ.get("PEERS", ROOT / "../shared/peers")).resolve()
# Where cargo builds.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
sys.path.insert(0, str(PEERS))
AMX = ("amx_bf16", "amx_tile")


def peers_missing():
    """Why the peers' scripts cannot be used, or None."""
    if not (PEERS / "peers_common.py").exists():
        return f"no peers at {PEERS}; say where they are with PEERS=/path"
    return None


def flags():
    return set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)[1].split())


def cpu():
    name = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return name[1] if name else "unknown CPU"


def cores():
    return len(os.sched_getaffinity(0))


def simd():
    has = flags()
    known = [("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX-512 BF16"), ("amx_bf16", "AMX")]
    return ", ".join(("" if flag in has else "no ") + name for flag, name in known)


def has_amx():
    return all(flag in flags() for flag in AMX)


def commit():
    git = lambda *c: subprocess.run(["git", "-C", str(ROOT), *c], capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short=10", "HEAD") + (" with changes" if git("status", "--porcelain", "-uno") else "")


def versions():
    from importlib import metadata
    found = []
    for package in ("numpy", "jax", "torch"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found) + f", Python {sys.version.split()[0]}"


def today():
    return datetime.date.today().isoformat()
