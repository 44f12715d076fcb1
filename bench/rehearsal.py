"""`pytest bench --device cuda --rehearse`: all that is measured on a GPU, where there is none.

Device "cuda" is then the machine of tests/graph_machine.py, whose kernels are the simulator's; what
is asked of CuPy is answered by NumPy, and PyTorch runs on the CPU. Sizes are small, every work runs
a few times, and nothing is written. It shows that the suites run, so that the first minutes on a
GPU are not lost to a misspelt name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

ON = False


def small(n: int, largest: int = 64) -> int:
    """n; in a rehearsal at most `largest`, odd where n is odd."""
    return min(n, largest - n % 2) if ON else n


def begin() -> None:
    """From now on this process rehearses."""
    global ON
    ON = True
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import graph_machine

    machine = graph_machine.install(pytest.MonkeyPatch())
    sys.modules["cupy"] = _as_module(machine)


def _as_module(machine: Any) -> Any:
    """What the suites ask of CuPy, beside what gpugrad does."""
    machine.cuda.Device = lambda index=0: machine.gpu
    machine.gpu.attributes = {"L2CacheSize": 1 << 14}
    machine.matmul = lambda a, b: np.matmul(np.asarray(a), np.asarray(b))
    machine.asarray = np.asarray
    machine.get_default_memory_pool = lambda: machine.pool
    machine.__spec__ = SimpleNamespace(name="cupy")
    return machine
