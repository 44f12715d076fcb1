"""What a benchmark result is worth nothing without: commit, machine, versions, threads, clocks.

python bench/facts.py [--device cuda]    # prints it as JSON
"""

from __future__ import annotations

import argparse
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
PACKAGES = ("gpugrad", "numpy", "ml_dtypes", "cupy-cuda13x", "torch", "nvidia-cublas")


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
        default = str(len(os.sched_getaffinity(0)))
        found["threads"] = int(os.environ.get("GPUGRAD_NUM_THREADS") or default)
    return found


def commit() -> str:
    if given := os.environ.get("COMMIT"):
        return given
    command = ["git", "rev-parse", "--short", "HEAD"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return run.stdout.strip() if run.returncode == 0 else "unknown"


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
    json.dump(facts(parser.parse_args().device), sys.stdout, indent=2)
    print()
