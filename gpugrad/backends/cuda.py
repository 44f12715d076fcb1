"""Device "cuda": CuPy arrays and the module ``_cuda``. The only file that imports CuPy.

CuPy gives the memory pool, streams and copies between host and device. It computes nothing here:
its kernels compile on first use and cannot be captured in a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from ..device import Device
from ..dtype import FLOAT8, DType, bfloat16, int64
from ..errors import DeviceError, OutOfMemoryError
from .base import Array, Shape, raise_flag
from .cuda_graph import GraphMemory
from .matmul_precision import matmul as matmul  # torch.backends.cuda.matmul.allow_tf32
from .memory import MemoryStats, mib, out_of_memory, table
from .native import NativeBackend, NativeKernels, load, run
from .peaks import Peaks, of_gpu

_ROUNDING = 512  # of CuPy's pool

_CARRIED = frozenset((bfloat16, *FLOAT8))
"""What CuPy allocates no arrays of (bfloat16: beside some versions of NumPy), but carries."""


def import_cupy() -> Any:
    """The module cupy. Raises DeviceError with the command that installs it."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"device cuda: CuPy, which provides GPU memory and streams, cannot be imported "
            f"({error}).\n  Install it: pip install 'gpugrad[cuda]'   "
            "(driver for CUDA 12 only: 'gpugrad[cuda12]')"
        ) from None
    return cupy


def count_devices(cupy: Any) -> int:
    """The number of GPUs, at least 1. Raises DeviceError where there is no driver or no GPU."""
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"device cuda: no usable NVIDIA GPU or driver ({error}).\n"
            "  Is there an NVIDIA GPU, and does nvidia-smi list it? CUDA_VISIBLE_DEVICES may hide "
            "it;\n  an old driver needs an update, or 'gpugrad[cuda12]' for CUDA 12."
            '\n  Without a GPU use device "cpu" (or "sim" to run the CUDA kernels on the CPU).'
        ) from None
    if count == 0:
        raise DeviceError(
            "device cuda: the driver reports no GPU.\n"
            '  CUDA_VISIBLE_DEVICES may hide it. Without a GPU use device "cpu".'
        )
    return count


def runs_on(built_for: str, capability: str) -> bool:
    """Can a module built for e.g. "80,90a,120+ptx" run on compute capability e.g. "86"?

    "80" runs on 8.0 and later 8.x; "90a" on 9.0 only; "120f" on 12.0 and later 12.x; with
    "+ptx" the driver compiles it for everything later ("90a+ptx" still for 9.0 only).
    """
    have = int(capability)
    for target in built_for.split(","):
        name, _, extra = target.strip().partition("+")
        exact = name.endswith("a")
        number = name.rstrip("af")
        if not number.isdecimal():
            continue
        built = int(number)
        later = built <= have and (extra == "ptx" or built // 10 == have // 10)
        if built == have or (later and not exact):
            return True
    return False


def load_cuda() -> Any:
    """The module ``_cuda``. Raises DeviceError with the build command."""
    rebuild = "Build it, in the source tree: GPUGRAD_CUDA=ON pip install ."
    try:
        module = load("_cuda")
    except ImportError as error:
        raise DeviceError(
            f"device cuda: the CUDA kernels cannot be loaded ({error}).\n  {rebuild}"
        ) from None
    if module is None:
        raise DeviceError(f"device cuda: gpugrad was installed without CUDA kernels.\n  {rebuild}")
    return module


def check_architecture(built_for: str, capability: str, device: Device) -> None:
    """Raises DeviceError, with the rebuild command, where the module has no code for the GPU."""
    if not runs_on(built_for, capability):
        raise DeviceError(
            f"device {device}: the GPU has compute capability {capability[:-1]}.{capability[-1]} "
            f"(sm_{capability}), but gpugrad was built for {built_for}.\n"
            "  Rebuild on this machine, in the source tree: GPUGRAD_CUDA=ON pip install ."
        )


class CudaBackend(NativeBackend):
    """One GPU. Work goes to CuPy's current stream, so ``with cupy.cuda.Stream():`` is honoured."""

    synchronous = False
    channels_last = True
    captures = True

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._cupy = cupy = import_cupy()
        count = count_devices(cupy)
        if device.index >= count:
            names = ", ".join(f"cuda:{i}" for i in range(count))
            raise DeviceError(f"device {device} does not exist; this machine has {names}.")
        self.module = load_cuda()
        self._gpu = cupy.cuda.Device(device.index)
        check_architecture(self.module.built_for(), self._gpu.compute_capability, device)
        self._several = count > 1
        self._out_of_memory = cupy.cuda.memory.OutOfMemoryError
        self._stream = cupy.cuda.get_current_stream
        self._ndarray = cupy.ndarray
        self._empty, self._alloc = cupy.empty, cupy.cuda.alloc
        self._pool = cupy.get_default_memory_pool()
        self._since = self._room = self._peak = self._reserved_peak = 0
        self.flag = self.empty((4,), int64)
        self.kernels = NativeKernels(self)
        self.kernels.fill(self.flag, 0)

    def _here(self) -> AbstractContextManager[Any]:
        """Makes this GPU the current one; nothing to do where there is only one."""
        return self._gpu if self._several else nullcontext()

    def empty(self, shape: Sequence[int], dtype: DType) -> Array:
        try:
            if self._several:
                with self._gpu:
                    y = self._new(shape, dtype)
            else:
                y = self._new(shape, dtype)
        except self._out_of_memory:
            raise self._memory_error(tuple(shape), dtype) from None
        self._since += y.nbytes + _ROUNDING
        if self._since > self._room:
            self._note_peak()
        return y

    def _new(self, shape: Sequence[int], dtype: DType) -> Array:
        if dtype not in _CARRIED:
            return self._empty(shape, dtype)
        return self._ndarray(shape, dtype, self._alloc(math.prod(shape) * dtype.itemsize))

    def launch(self, operation: Callable[..., None], *args: Any) -> None:
        try:
            if self._several:
                with self._gpu:
                    run(operation, self._stream().ptr, args)
            else:
                run(operation, self._stream().ptr, args)
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise
            raise DeviceError(f"device {self.device}: {error}") from None

    def ask(self, size_of: Callable[..., int], *args: Any) -> int:
        with self._here():
            return size_of(*args)

    def from_dlpack(self, source: Any) -> Array:
        """An array on the memory of another library's, without a copy."""
        with self._here():
            return self._cupy.from_dlpack(source)

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        y = self.empty(array.shape, array.dtype)
        if array.size:
            # The driver has read pageable host memory when set() returns.
            y.set(np.ascontiguousarray(array).reshape(array.shape))
        return y

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        self.synchronize()
        if not array.flags.c_contiguous:
            array = self.kernels.contiguous(array)
        with self._here():
            return np.asarray(array.get())

    def owns(self, array: object) -> bool:
        return isinstance(array, self._ndarray) and array.device.id == self.device.index

    def address(self, array: Array) -> int:
        return int(array.data.ptr)

    def bounds(self, array: Array) -> tuple[int, int]:
        block = array.data.mem  # one allocation, whose size the pool has rounded up
        return int(block.ptr), int(block.ptr + block.size)

    def strided(self, array: Array, shift: int, shape: Shape, strides: Shape) -> Array:
        with self._here():
            view = self._ndarray(shape, array.dtype, array.data + shift, strides)
            return view.view()  # has a base: nobody takes it for memory of its own

    def synchronize(self) -> None:
        try:
            self._gpu.synchronize()
            with self._here():
                flag = self.flag.get()
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(
                f"device {self.device}: an earlier kernel failed ({error}).\n"
                "  CUDA_LAUNCH_BLOCKING=1 reports it at its launch; device sim names the line."
            ) from None
        if flag[0]:
            self.kernels.fill(self.flag, 0)
            raise_flag(flag)

    def graph_memory(self) -> GraphMemory:
        return GraphMemory(self, self._cupy)

    # ---- memory ------------------------------------------------------------------------------

    def _note_peak(self) -> None:
        """Ask the pool what is in use, which takes it a look at every block. Until as much as the
        peak is above that has been allocated there can be no new peak, so that this is rare."""
        with self._here():
            used, reserved = self._pool.used_bytes(), self._pool.total_bytes()
        self._peak, self._reserved_peak = max(self._peak, used), max(self._reserved_peak, reserved)
        self._since, self._room = 0, self._peak - used

    def memory_stats(self) -> MemoryStats:
        """Of CuPy's pool, which gives all arrays of this process their memory."""
        self._note_peak()
        with self._here():
            pool, (free, total) = self._pool, self._cupy.cuda.runtime.memGetInfo()
            used, reserved, kept = pool.used_bytes(), pool.total_bytes(), pool.n_free_blocks()
        peaks = self._peak, self._reserved_peak
        return MemoryStats(used, peaks[0], reserved, peaks[1], None, kept, None, free, total)

    def reset_peak_memory_stats(self) -> None:
        self._peak = self._reserved_peak = 0
        self._note_peak()

    def empty_cache(self) -> None:
        self._note_peak()
        with self._here():
            self._pool.free_all_blocks()

    def memory_summary(self) -> str:
        note = "this process's pool (captured steps have their own beside it), and the GPU"
        return table(str(self.device), self.memory_stats(), note)

    def _memory_error(self, shape: tuple[int, ...], dtype: DType) -> OutOfMemoryError:
        size = math.prod(shape) * dtype.itemsize
        asked = f"{mib(size)} for an array of shape {shape}, {dtype.name}"
        return out_of_memory(self.device, asked, self.memory_stats())

    # ---- for the profiler --------------------------------------------------------------------

    def mark(self) -> Any:
        """An event behind what was launched so far; None while a graph is captured."""
        with self._here():
            stream = self._stream()
            if stream.is_capturing():
                return None
            event = self._cupy.cuda.Event()
            event.record(stream)
        return event

    def seconds(self, first: Any, last: Any) -> float:
        return float(self._cupy.cuda.get_elapsed_time(first, last)) / 1e3

    def range_push(self, name: str) -> None:
        self._cupy.cuda.nvtx.RangePush(name)

    def range_pop(self) -> None:
        self._cupy.cuda.nvtx.RangePop()

    @cached_property
    def _peaks(self) -> Peaks:
        properties = self._cupy.cuda.runtime.getDeviceProperties(self.device.index)
        name = properties["name"].decode(errors="replace")
        return of_gpu(self._gpu.compute_capability, name, self._gpu.attributes)

    def peaks(self) -> Peaks:
        """From the GPU's clocks and architecture (peaks.py)."""
        return self._peaks
