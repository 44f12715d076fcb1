"""A stand-in for CuPy that has streams, pools and graphs: captured steps without a GPU.

Kernels are the simulator's. On a stream that captures they are noted with the addresses of their
arrays, not run, and a graph runs them again at these addresses. Memory that a pool gives or takes
back is overwritten, so that nothing works by chance: a graph that uses memory it does not keep
alive computes with garbage. What CUDA refuses while a stream captures is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_gpu import FakeEvent, FakeGpu, check_allocated

from gpugrad import backends
from gpugrad.backends import cuda, native
from gpugrad.device import Device

POISON = 0xCB


class CudaRuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class Block:
    """Memory given out once: back in its pool when nobody holds this object any more."""

    def __init__(self, raw: np.ndarray, pool: Pool | None = None) -> None:
        self.raw, self.pool, self.size = raw, pool, raw.size
        self.__array_interface__ = raw.__array_interface__  # arrays of it hold the block
        self.ptr = int(raw.__array_interface__["data"][0])
        raw[:] = POISON

    def __del__(self) -> None:
        if self.pool is not None:
            self.raw[:] = POISON
            self.pool.free.setdefault(self.size, []).append(self.raw)


class Pool:
    """MemoryPool: keeps what it ever got, as CuPy does until free_all_blocks()."""

    def __init__(self, allocator: Any = None) -> None:
        self.allocator = allocator
        self.free: dict[int, list[np.ndarray]] = {}

    def malloc(self, size: int) -> Any:
        size = -(-max(size, 1) // 512) * 512
        kept = self.free.get(size)
        if kept:
            raw = kept.pop()
        else:
            raw = self.allocator(size).mem.raw if self.allocator else np.empty(size, np.uint8)
        return SimpleNamespace(mem=Block(raw, self))

    def used_bytes(self) -> int:
        return 0

    total_bytes = free_bytes = n_free_blocks = used_bytes

    def free_all_blocks(self) -> None:
        self.free.clear()


class FakeArray(np.ndarray):
    """cupy.ndarray, as far as it is used."""

    device = SimpleNamespace(id=0)
    cupy: Any = None
    block: Any = None
    base: Any = None  # type: ignore[assignment]

    def __new__(cls, shape: tuple[int, ...], dtype: np.dtype, pointer: Any) -> FakeArray:
        array = super().__new__(cls, shape, dtype, np.asarray(pointer.mem))
        array.block, array.base = pointer.mem, None
        return array

    def __array_finalize__(self, other: Any) -> None:
        self.block, self.base = getattr(other, "block", None), other

    @property
    def data(self) -> Any:  # type: ignore[override]
        return SimpleNamespace(mem=self.block, ptr=int(self.__array_interface__["data"][0]))

    def set(self, x: np.ndarray) -> None:
        self.cupy.check_no_capture("set()", here=True)
        np.ndarray.__setitem__(self, ..., x)

    def get(self) -> np.ndarray:
        self.cupy.check_no_capture("get()", here=True)
        return np.array(self, subok=False)


class Stream:
    def __init__(self, cupy: FakeCupy, ptr: int) -> None:
        self.cupy, self.ptr = cupy, ptr
        self.noted: list[tuple[Any, Any]] | None = None

    def __enter__(self) -> Stream:
        self.cupy.streams.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        assert self.cupy.streams.pop() is self

    def begin_capture(self) -> None:
        assert self.ptr != 0, "cannot capture on the default (legacy) stream"
        self.noted = []
        self.cupy.capturing.append(self)

    def end_capture(self) -> Any:
        noted, self.noted = self.noted, None
        self.cupy.capturing.remove(self)
        if self.cupy.broken:
            raise CudaRuntimeError("cudaErrorStreamCaptureInvalidated")
        return SimpleNamespace(launch=lambda: self.cupy.launch(noted))

    def is_capturing(self) -> bool:
        return self.noted is not None

    def synchronize(self) -> None:
        assert self.noted is None


class FakeCupy:
    """One GPU."""

    ndarray = FakeArray

    def __init__(self) -> None:
        FakeArray.cupy = self
        self.streams = [Stream(self, 0)]
        self.capturing: list[Stream] = []
        self.pool, self.broken, self.launched = Pool(), False, 0
        self.limit = 1 << 30  # bytes that the driver gives
        self.allocators: list[Callable[[int], Any]] = [self.pool.malloc]
        self.gpu = Gpu(self)
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                getDeviceCount=lambda: 1,
                CUDARuntimeError=CudaRuntimeError,
                memGetInfo=lambda: (1 << 30, 1 << 31),
                getDeviceProperties=lambda index: {"name": b"NVIDIA H200"},
            ),
            Device=lambda index: self.gpu,
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            get_current_stream=lambda: self.streams[-1],
            Stream=lambda non_blocking: Stream(self, id(object()) + len(self.streams) + 1),
            MemoryPool=Pool,
            Memory=self.from_driver,
            MemoryPointer=lambda memory, offset: SimpleNamespace(mem=memory),
            alloc=lambda size: self.allocators[-1](size),
            get_allocator=lambda: self.allocators[-1],
            using_allocator=self.using_allocator,
            Event=FakeEvent,
            get_elapsed_time=lambda first, last: 1e3 * max(last.at - first.at, 1e-9),
            nvtx=SimpleNamespace(RangePush=lambda name: None, RangePop=lambda: None),
        )

    def from_driver(self, size: int) -> Block:
        if size > self.limit:
            raise CudaRuntimeError("cudaErrorMemoryAllocation")
        return Block(np.empty(size, np.uint8))

    @contextmanager
    def using_allocator(self, allocator: Any) -> Iterator[None]:
        self.allocators.append(allocator)
        yield
        self.allocators.pop()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> FakeArray:
        check_allocated(dtype)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return FakeArray(shape, dtype, self.allocators[-1](size))

    def get_default_memory_pool(self) -> Pool:
        return self.pool

    def check_no_capture(self, what: str, here: bool = False) -> None:
        """Raises what CUDA raises where `what` meets a stream that captures."""
        if here and self.streams[-1].is_capturing():
            raise RuntimeError(f"the current stream is capturing, so {what} is not allowed")
        if not here and self.capturing:
            raise CudaRuntimeError("cudaErrorStreamCaptureUnsupported")

    def operation(self, function: Callable[..., Any]) -> Callable[..., None]:
        """A kernel of the simulator, as a stream launches it."""

        def launch(stream: int, *args: Any) -> None:
            current = self.streams[-1]
            assert current.ptr == stream
            if current.noted is None:
                function(0, *args)
            else:
                current.noted.append((function, _addresses(args)))

        return launch

    def launch(self, noted: list[tuple[Any, Any]]) -> None:
        assert not self.streams[-1].is_capturing()
        self.launched += 1
        for function, args in noted:
            function(0, *args)


class Gpu:
    compute_capability = "90"
    attributes = FakeGpu.attributes

    def __init__(self, cupy: FakeCupy) -> None:
        self.cupy = cupy

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass

    def synchronize(self) -> None:
        self.cupy.check_no_capture("synchronize()")


def _addresses(value: Any) -> Any:
    """The same arguments, but arrays by their addresses alone: nothing holds their blocks."""
    if isinstance(value, FakeArray):
        raw = value.block.raw
        offset = value.data.ptr - value.block.ptr
        return np.ndarray(value.shape, value.dtype, raw, offset, value.strides)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_addresses, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_addresses, value))
    return value


def install(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    """Makes device "cuda" usable, on this machine."""
    sim, cupy = native.load("_sim"), FakeCupy()
    functions = {name: getattr(sim, name) for name in dir(sim) if not name.startswith("_")}
    without_stream = ("set_bfloat16", "built_for")
    module = SimpleNamespace(
        **{
            name: f
            if name in without_stream or name.endswith("_workspace") or not callable(f)
            else cupy.operation(f)
            for name, f in functions.items()
        }
    )
    module.built_for = lambda: "90a"
    monkeypatch.setattr(cuda, "import_cupy", lambda: cupy)
    monkeypatch.setattr(cuda, "load", lambda name: module)
    backend = cuda.CudaBackend(Device("cuda"))
    for name in ("cuda", "cuda:0", backend.device):
        monkeypatch.setitem(backends._backends, name, backend)
    return cupy
