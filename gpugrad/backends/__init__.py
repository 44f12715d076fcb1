"""Backends: the only place that knows NumPy from CuPy from a native module.

`get` gives the backend of a device, `best` the name of the fastest usable device.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from ..device import Device
from ..errors import DeviceError
from . import cudnn, mps
from .base import Array, Backend, Kernels

__all__ = [
    "Array",
    "Backend",
    "Kernels",
    "available",
    "best",
    "cudnn",
    "get",
    "mps",
    "opened",
    "synchronize",
]


def __getattr__(name: str) -> object:
    if name == "cuda":  # imported when first asked for, as in torch.backends.cuda.matmul
        return importlib.import_module(".cuda", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_backends: dict[str | Device, Backend] = {}

on_open: list[Callable[[Backend], None]] = []
"""Called with each new backend: what watches the kernels of all devices (gpugrad.profiler)."""


def get(device: str | Device) -> Backend:
    """The backend of ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"sim"``, ``"auto"`` or a Device.

    One object for each device. Raises DeviceError, with the way out, where the device cannot be
    used here or the name is unknown.
    """
    found = _backends.get(device)
    if found is None:
        if device == "auto":
            return get(best())  # not kept: a test may change what is usable
        parsed = Device(device)
        found = _backends.get(parsed)
        if found is None:
            found = _backends[parsed] = _open(parsed)
            for call in on_open:
                call(found)
        _backends[device] = found
    return found


def opened() -> list[Backend]:
    """The backends of all devices that were used so far."""
    return list(dict.fromkeys(_backends.values()))


def best() -> Device:
    """``cuda`` if a GPU, CuPy and a fitting native module are there, else ``cpu``."""
    return Device("cuda") if available("cuda") else Device("cpu")


def available(device: str | Device) -> bool:
    """True where `get` would give a backend for this device."""
    try:
        get(device)
    except DeviceError:
        return False
    return True


def synchronize(device: str | Device = "auto") -> None:
    """Wait until everything launched on `device` is done.

    Raises IndexOutOfRangeError where a kernel met an index or a label out of range since.
    """
    get(device).synchronize()


def _open(device: Device) -> Backend:
    if device.type == "cuda":
        from .cuda import CudaBackend

        return CudaBackend(device)
    if device.type == "sim":
        from .sim import SimBackend

        return SimBackend(device)
    from .cpu import CpuBackend

    return CpuBackend(device)
