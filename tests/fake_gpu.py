"""A stand-in for CuPy, and so for a GPU, where there is none.

It keeps arrays in NumPy and runs the kernels of the simulator; memory pool, events, streams and
errors behave as CuPy's do. Fixtures: `fake_gpu`, a backend on it; `fake_cuda`, the same as device
"cuda".
"""

from __future__ import annotations

import math
import time
import weakref
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from gpugrad import backends
from gpugrad.backends import cuda, native
from gpugrad.device import Device


class CudaRuntimeError(RuntimeError):
    pass


class OutOfMemory(MemoryError):
    pass


def check_allocated(dtype: np.dtype) -> None:
    """CuPy allocates no arrays of the 8-bit floats, nor of bfloat16 beside NumPy before 2.1.2."""
    if np.dtype(dtype).char not in "?bhilqBHILQefdFD":
        raise ValueError(f"Unsupported dtype {dtype}")


class FakeArray(np.ndarray):
    """cupy.ndarray, as far as the backend uses it."""

    device = SimpleNamespace(id=0)

    def set(self, x: np.ndarray) -> None:
        assert type(x) is np.ndarray and x.dtype == self.dtype and x.shape == self.shape
        assert x.flags.c_contiguous
        self[...] = x

    def get(self) -> np.ndarray:
        assert self.flags.c_contiguous, "CuPy would compile a kernel for this"
        return np.array(self, subok=False)


class FakePool:
    """CuPy's memory pool: blocks are multiples of 512 bytes, freed ones are kept."""

    def __init__(self) -> None:
        self.used, self.total, self.asked, self.given_back = 0, 0, 0, 0

    def add(self, array: FakeArray) -> None:
        size = (array.nbytes + 511) // 512 * 512
        self.used += size
        self.total = max(self.total, self.used)
        weakref.finalize(array, self.remove, size)

    def remove(self, size: int) -> None:
        self.used -= size

    def used_bytes(self) -> int:
        self.asked += 1
        return self.used

    def total_bytes(self) -> int:
        return self.total

    def n_free_blocks(self) -> int:
        return int(self.total > self.used)

    def free_all_blocks(self) -> None:
        self.given_back += 1
        self.total = self.used


class FakeEvent:
    """Of a GPU whose clock is the host's."""

    def __init__(self) -> None:
        self.at = 0.0

    def record(self, stream: Any) -> None:
        self.at = time.perf_counter()


class FakeGpu(nullcontext):  # type: ignore[type-arg]
    """An H200, as its driver tells."""

    compute_capability = "90"
    attributes: ClassVar[dict[str, int]] = {
        "MemoryClockRate": 3_201_000,
        "GlobalMemoryBusWidth": 6144,
        "ClockRate": 1_980_000,
        "MultiProcessorCount": 132,
    }
    error: Exception | None = None

    def synchronize(self) -> None:
        if self.error:
            raise self.error


class FakeCupy:
    ndarray = FakeArray

    def __init__(self, count: int | Exception = 1) -> None:
        self.count, self.limit, self.gpu = count, 1 << 20, FakeGpu()
        runtime = SimpleNamespace(
            getDeviceCount=self.device_count,
            CUDARuntimeError=CudaRuntimeError,
            memGetInfo=lambda: (1 << 30, 1 << 31),
            getDeviceProperties=lambda index: {"name": b"NVIDIA H200"},
        )
        self.pool, self.capturing = FakePool(), False
        self.ranges: list[str] = []
        self.pushed: list[str] = []
        self.cuda = SimpleNamespace(
            runtime=runtime,
            Device=lambda index: self.gpu,
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemory),
            get_current_stream=lambda: SimpleNamespace(ptr=0, is_capturing=lambda: self.capturing),
            Event=FakeEvent,
            get_elapsed_time=lambda first, last: 1e3 * (last.at - first.at),
            alloc=self.alloc,
            nvtx=SimpleNamespace(RangePush=self.push, RangePop=lambda: self.ranges.pop()),
        )

    def push(self, name: str) -> None:
        self.ranges.append(name)
        self.pushed.append(name)

    def device_count(self) -> int:
        if isinstance(self.count, Exception):
            raise self.count
        return self.count

    def alloc(self, size: int) -> FakeArray:
        """Memory, which FakeArray takes as an array's."""
        if size > self.limit:
            raise OutOfMemory
        y = np.empty(size, np.uint8).view(FakeArray)
        self.pool.add(y)
        return y

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> FakeArray:
        assert isinstance(shape, tuple)
        check_allocated(dtype)
        return FakeArray(shape, dtype, self.alloc(math.prod(shape) * np.dtype(dtype).itemsize))

    def get_default_memory_pool(self) -> FakePool:
        return self.pool


@pytest.fixture(params=[1, 2], ids=["one GPU", "two GPUs"])
def fake_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> cuda.CudaBackend:
    """A backend of device "cuda" on the stand-in, that nothing else knows of."""
    sim = native.load("_sim")
    names = [name for name in dir(sim) if not name.startswith("_")]
    module = SimpleNamespace(**{name: getattr(sim, name) for name in names})
    module.built_for = lambda: "80,90a"
    monkeypatch.setattr(cuda, "import_cupy", lambda: FakeCupy(request.param))
    monkeypatch.setattr(cuda, "load", lambda name: module)
    return cuda.CudaBackend(Device("cuda"))


@pytest.fixture
def fake_cuda(fake_gpu: cuda.CudaBackend, monkeypatch: pytest.MonkeyPatch) -> cuda.CudaBackend:
    """The backend that "cuda" names meanwhile."""
    for name in ("cuda", "cuda:0", fake_gpu.device):
        monkeypatch.setitem(backends._backends, name, fake_gpu)
    return fake_gpu
