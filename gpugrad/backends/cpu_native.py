"""The C++ module ``_cpu`` as kernels: shapes and dtypes as on the other devices. Results lie in
memory as the array they are made of does.

``backends/cpu.py`` decides where these are used and where NumPy is faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dtype import DType, accumulation, int64, sum_dtype
from ..errors import ArgumentError
from .base import Array, PoolWindow, Shape, raise_flag
from .engine import module
from .layout import in_front
from .native import NativeKernels, refusal, run

_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _kept_memory(setting: str | None, groups: Sequence[str] = _GROUPS) -> int:
    """GPUGRAD_KEPT_MEMORY's bytes; unset, an eighth of what the machine and this process's cgroup
    (a container's: version 2's file or version 1's) have, at most 2 GiB. Raises ArgumentError.
    """
    if setting is not None:
        if not setting.strip().isdecimal():
            raise ArgumentError(
                f"GPUGRAD_KEPT_MEMORY={setting!r} is not a number of bytes.\n"
                "  It is the freed memory that device cpu keeps at most: 1073741824 is 1 GiB, 0 "
                "keeps none."
            )
        return min(int(setting), 1 << 62)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in groups:
        try:
            memory = min(memory, int(Path(path).read_text()))
        except (OSError, ValueError):  # no such cgroup, or "max"
            continue
    return min(1 << 31, memory // 8)


KEPT_MEMORY = _kept_memory(os.environ.get("GPUGRAD_KEPT_MEMORY"))
"""Bytes of freed large arrays that are kept for new ones at most, by each process (a DataLoader's
workers keep none); 0 gives all back at once.

New pages cost more than most operations: the system clears each at its first touch. A new
thread's arrays are kept from its first operation on that NumPy computes: NumPy's choice of
allocator belongs to a context (contextvars), and a new thread has a new one.
"""

module.keep_memory(KEPT_MEMORY)
module.own_numpy_memory()


class CpuNative(NativeKernels):
    """Every operation that ``_cpu`` has; `module`, `empty` and `launch` as NativeKernels asks."""

    def __init__(self) -> None:
        self.module = module
        self.empty = np.empty

    def launch(self, operation: Callable[..., None], *args: Any) -> None:
        run(operation, 0, args)

    def flagged(self, operation: Callable[..., None], *args: Any) -> None:
        flag = np.zeros(4, int64)
        run(operation, 0, (*args, flag))
        if flag[0]:
            raise_flag(flag)

    def workspace(self, size_of: Callable[..., int], *args: Any) -> Any:
        try:
            size = size_of(*args)
        except ValueError as error:
            raise refusal(size_of, args, error) from None
        return np.empty(size, np.uint8) if size else None

    def sum_of(
        self, name: str, x: Array, centre: Array | None, axes: Shape, keepdims: bool
    ) -> Array:
        shape = tuple([1 if i in axes else n for i, n in enumerate(x.shape)])
        y = np.empty(shape, accumulation(x.dtype))
        large = x.size >= 1 << 15  # else one task takes all
        workspace = self.workspace(self.module.sum_of_workspace, x, y) if large else None
        self.launch(self.module.sum_of, name, x, centre, y, workspace)
        if keepdims:
            return y
        return y.reshape([n for i, n in enumerate(x.shape) if i not in axes])

    def scan(self, name: str, x: Array) -> Array:
        y = np.empty_like(x, sum_dtype(x.dtype) if name in ("sum", "prod") else x.dtype)
        self.launch(self.module.scan, name, x, y)
        return y

    def sort(self, x: Array, descending: bool) -> tuple[Array, Array]:
        y, index = np.empty_like(x), np.empty_like(x, int64)
        self.launch(self.module.sort, x, descending, y, index, None)
        return y, index

    def gather(self, x: Array, indices: Sequence[Array], axis: int = 0) -> Array:
        indices = list(indices)
        shape, last = indices[0].shape, axis + len(indices)
        y = np.empty((*x.shape[:axis], *shape, *x.shape[last:]), x.dtype)
        front = in_front(x, axis, len(indices))
        self.flagged(self.module.gather, front, indices, in_front(y, axis, len(shape)))
        return y

    def avg_pool(
        self, x: Array, window: PoolWindow, shape: Shape, count_include_pad: bool, divisor: int
    ) -> Array:
        if not window[0] and not divisor and x.size and all(n == 1 for n in shape[2:]):
            return self.reduce("mean", x, tuple(range(2, x.ndim)), True)
        return super().avg_pool(x, window, shape, count_include_pad, divisor)

    def fill(self, y: Array, value: float) -> None:
        y[...] = value

    def _result(self, arrays: Sequence[Array], dtype: DType) -> Array:
        like = arrays[0]
        if all(x.shape == like.shape for x in arrays):
            return np.empty_like(like, dtype)
        return super()._result(arrays, dtype)


NATIVE = CpuNative()
