"""Runs a version in the simulator: is it right, and what memory requests does it make?"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import programs
from ladder import Version
from operands import Operands
from sim import counters


def run(
    version: Version,
    operands: Operands,
    flavour: str = "plain",
    schedule: dict[str, str] | None = None,
) -> tuple[np.ndarray, str]:
    """y and what the program printed. Raises RuntimeError with the simulator's report.

    schedule: GPUGRAD_SIM_ORDER, GPUGRAD_SIM_ASYNC, ... as csrc/sim/schedule.h names them.
    """
    program = programs.simulated(version, flavour)
    environment = {"GPUGRAD_SIM_ARCHITECTURE": str(version.architecture), **(schedule or {})}
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, name)) for name in "aby"]
        operands.a.tofile(paths[0])
        operands.b.tofile(paths[1])
        numbers = [str(size) for size in [*operands.sizes, version.element]]
        done = subprocess.run(
            [str(program), *numbers, *paths],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        if done.returncode != 0:
            raise RuntimeError(f"{version.name}: {done.stderr or done.stdout}")
        y = np.fromfile(paths[2], operands.a.dtype).reshape(operands.y_shape)
    return y, done.stdout


def count(version: Version, operands: Operands) -> tuple[dict[str, int], float]:
    """The requests of one run, under the names of ladder.predicted_counts, and bank conflicts.

    The second is wavefronts of shared memory for each one that would do; 1 is the best.
    """
    _, output = run(version, operands, "counters", {"GPUGRAD_SIM_WORKERS": "1"})
    found = counters.read(programs.simulated(version, "counters"), output)["matmul"]
    kinds = {
        "global load sectors": ("load", "global"),
        "global store sectors": ("store", "global"),
        "shared store wavefronts": ("store", "shared"),
        "shared load wavefronts": ("load", "shared"),
    }
    counts = {
        name: sum(line.cost for line in found.of(access=access, space=space))
        for name, (access, space) in kinds.items()
    }
    return counts, found.ratio("shared")
