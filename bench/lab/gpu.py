"""Times versions on a GPU in turns with cuBLAS, and writes bench/results/lab_<gpu>.json."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable
from statistics import median
from typing import Any

import programs
from ladder import RESULTS, Version
from operands import Operands

ROUNDS = 15
ROUND_MS = 20.0


def matmul(version: Version, operands: Operands) -> tuple[Callable[[], None], Any]:
    """A call that computes y on the current stream, and y's memory as bytes."""
    import cupy

    library = ctypes.CDLL(str(programs.library(version, cupy.cuda.Device().compute_capability)))
    entry = library.lab_matmul
    entry.restype = ctypes.c_char_p
    entry.argtypes = [ctypes.c_void_p] * 5
    a, b = (cupy.asarray(x.view("uint8")) for x in (operands.a, operands.b))
    y = cupy.zeros((operands.m, operands.y_shape[1] * version.element), "uint8")
    sizes = (ctypes.c_int64 * 6)(*operands.sizes)

    def call() -> None:
        error = entry(a.data.ptr, b.data.ptr, y.data.ptr, sizes, cupy.cuda.get_current_stream().ptr)
        if error is not None:
            raise RuntimeError(f"{version.name}: {error.decode()}")

    return call, y


def cublas(operands: Operands) -> tuple[str, Callable[[], object]]:
    """cuBLAS on matrices of these shapes: float32, or float16 for bfloat16 (as fast)."""
    import cupy

    dtype = "float32" if operands.a.dtype.itemsize == 4 else "float16"
    a, b = (cupy.random.standard_normal(x.shape).astype(dtype) for x in (operands.a, operands.b))
    a, b = a[:, : operands.k], b[:, : operands.n]
    out = cupy.empty((operands.m, operands.n), dtype)
    return f"cuBLAS {dtype}", lambda: cupy.matmul(a, b, out=out)


def milliseconds(work: Callable[[], object], calls: int) -> float:
    """Time of one call between two events around `calls` of them."""
    import cupy

    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / calls


def measure(version: Version, operands: Operands) -> dict[str, float | str]:
    """Medians of rounds in turns; raises if the result is wrong."""
    import cupy

    ours, y = matmul(version, operands)
    rival, theirs = cublas(operands)
    ours()
    error = operands.error(cupy.asnumpy(y).view(operands.a.dtype).reshape(operands.y_shape))
    if error > 1:
        raise RuntimeError(f"{version.name}: wrong; the error is {error:.3g} of the allowed")
    works = (ours, theirs)
    milliseconds(theirs, 3)
    calls = [max(1, min(1000, int(ROUND_MS / milliseconds(work, 3)))) for work in works]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, count, found in zip(works, calls, times, strict=True):
            found.append(milliseconds(work, count))
    ms, rival_ms = (median(found) for found in times)
    tflop = 2e-12 * operands.m * operands.n * operands.k
    return {
        "ms": ms,
        "tflops": tflop / ms * 1e3,
        "rival": rival,
        "rival_tflops": tflop / rival_ms * 1e3,
        "ratio": rival_ms / ms,
        "error": error,
    }


def write(figures: dict[str, dict[str, float | str]], shape: tuple[int, int, int]) -> str:
    """Adds figures to this GPU's file, under versions' names; returns its path."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    gpu = properties["name"].decode()
    path = RESULTS / f"lab_{re.sub(r'[^A-Za-z0-9]+', '-', gpu)}.json"
    old = json.loads(path.read_text())["versions"] if path.exists() else {}
    result = {
        "gpu": gpu,
        "shape": list(shape),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "versions": {**old, **figures},
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    return str(path)
