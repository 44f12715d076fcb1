"""What the backends have in common whose arrays are NumPy's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..dtype import DType
from .base import Array, Backend, Shape
from .cpu_native import KEPT_MEMORY
from .cpu_native import module as _cpu
from .memory import MemoryStats, mib, out_of_memory, table


class _Strided:
    """A view of a NumPy array by strides, for np.asarray; keeps the array alive."""

    def __init__(self, array: Array, shift: int, shape: Shape, strides: Shape) -> None:
        self.array = array
        given = array.__array_interface__
        start, read_only = given["data"]
        self.__array_interface__ = {
            "version": 3,
            "typestr": given["typestr"],
            "data": (start + shift, read_only),
            "shape": shape,
            "strides": strides,
        }


class HostBackend(Backend):
    """A backend whose arrays are NumPy's and whose operations are done when they return."""

    synchronous = True
    in_host_memory = True

    def empty(self, shape: Sequence[int], dtype: DType) -> Array:
        try:
            return np.empty(shape, dtype)
        except MemoryError as error:
            raise out_of_memory(self.device, str(error), self.memory_stats()) from None

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        return np.array(array, order="C", copy=True)

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        return np.array(array, order="C", copy=True)

    def owns(self, array: object) -> bool:
        return isinstance(array, np.ndarray)

    def address(self, array: Array) -> int:
        return int(array.__array_interface__["data"][0])

    def bounds(self, array: Array) -> tuple[int, int]:
        owner = array
        while isinstance(owner.base, (np.ndarray, _Strided)):
            owner = owner.base.array if isinstance(owner.base, _Strided) else owner.base
        return byte_bounds(owner)

    def strided(self, array: Array, shift: int, shape: Shape, strides: Shape) -> Array:
        if array.flags.c_contiguous and array.dtype.isbuiltin == 1 and shift >= 0:
            try:
                return np.ndarray(shape, array.dtype, array, shift, strides)  # 5 times as fast
            except (TypeError, ValueError):
                pass  # it looks beyond `array`
        bits = array.view(f"u{array.itemsize}")  # the interface knows no dtype of ml_dtypes
        return np.asarray(_Strided(bits, shift, shape, strides)).view(array.dtype)

    def synchronize(self) -> None:
        pass

    def memory_stats(self) -> MemoryStats:
        """Of all NumPy arrays of the process: they share one memory, whatever the device."""
        page = os.sysconf("SC_PAGE_SIZE")
        free, total = (page * os.sysconf(f"SC_{kind}_PAGES") for kind in ("AVPHYS", "PHYS"))
        return MemoryStats._make([*_cpu.memory_counts(), free, total])

    def reset_peak_memory_stats(self) -> None:
        _cpu.reset_memory_peaks()

    def empty_cache(self) -> None:
        _cpu.keep_memory(0)
        _cpu.keep_memory(KEPT_MEMORY)

    def memory_summary(self) -> str:
        note = (
            "NumPy's arrays in host memory, of all devices that lie there; at most "
            f"{mib(KEPT_MEMORY)} are kept (GPUGRAD_KEPT_MEMORY)"
        )
        return table(str(self.device), self.memory_stats(), note)
