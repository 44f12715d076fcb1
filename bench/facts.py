"""What a benchmark result is worth nothing without: commit, machine, versions, threads, clocks.

python bench/facts.py [--device cuda]    # prints it as JSON
python bench/facts.py --commit           # the commit alone
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

QUERY = [
    "name",
    "driver_version",
    "compute_cap",
    "memory.total",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "power.limit",
    "temperature.gpu",
]
WRITTEN = ("bench/results", "bench/lab/*.cu", "README.md")
"""By the report: figures, also those in the headers of the laboratory's kernels."""

PACKAGES = ("gpugrad", "numpy", "ml_dtypes", "cupy-cuda13x", "cupy-cuda12x", "torch", "triton")
PACKAGES += ("nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-cuda-runtime")


def facts(device: str) -> dict[str, object]:
    """commit ("unknown" outside of git without COMMIT), date, machine, versions, and of a CPU its
    threads, of a GPU what nvidia-smi says."""
    found: dict[str, object] = {
        "commit": commit(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "device": device,
        "machine": cpu(),
        "versions": versions(),
    }
    if device == "cuda":
        found["gpu"] = told = gpu()
        found["machine"] = told["name"]
    else:
        from gpugrad import _cpu

        found["threads"] = int(os.environ.get("GPUGRAD_NUM_THREADS") or _cpu.usable_cpus())
    return found


def commit() -> str:
    """COMMIT, or git's short name of it; -dirty- and a hash where the files differ from it, but for
    those that the report itself writes."""
    if given := os.environ.get("COMMIT"):
        return given
    head = git("rev-parse", "--short", "HEAD").decode().strip()
    if not head:
        return "unknown"
    changes = git("diff", "HEAD", "--", ":/", *(f":(top,exclude){path}" for path in WRITTEN))
    dirty = f"-dirty-{hashlib.sha256(changes).hexdigest()[:8]}" if changes else ""
    return head + dirty


def git(*arguments: str) -> bytes:
    """What it prints, nothing where it fails."""
    command = ["git", "--no-optional-locks", *arguments]
    try:
        return subprocess.run(command, capture_output=True, cwd=Path(__file__).parent).stdout
    except FileNotFoundError:
        return b""


def cpu() -> str:
    """The processor's name, and how many of its cores this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def versions() -> dict[str, str]:
    """Versions of what is measured and of its rivals, "absent" where not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def gpu() -> dict[str, str]:
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader"]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(zip(QUERY, line.splitlines()[0].split(", "), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--commit", action="store_true")
    given = parser.parse_args()
    if given.commit:
        print(commit())
        sys.exit()
    json.dump(facts(given.device), sys.stdout, indent=2)
    print()
