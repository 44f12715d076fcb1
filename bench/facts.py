"""Prints, as JSON, what a benchmark result is worth nothing without: commit, versions, clocks."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

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


def versions() -> dict[str, str]:
    """Versions of what is measured and of its rivals, "absent" where not installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("gpugrad", "numpy", "ml_dtypes", "cupy-cuda13x", "torch", "nvidia-cublas"):
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
    facts = {"commit": sys.argv[1], "gpu": gpu(), "versions": versions()}
    json.dump(facts, sys.stdout, indent=2)
    print()
