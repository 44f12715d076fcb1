"""Facts about the GPU, under PyTorch's names: ``gg.cuda.is_available()``."""

from __future__ import annotations

from . import backends
from .backends.report import gpus
from .device import Device


def is_available() -> bool:
    """True where ``device="cuda"`` works: GPU, driver, CuPy and a fitting native module."""
    return backends.available("cuda")


def device_count() -> int:
    """The number of GPUs that the driver shows."""
    return len(gpus())


def synchronize(device: str | Device = "cuda") -> None:
    """Wait for the GPU; see `gpugrad.synchronize`."""
    backends.synchronize(device)


def memory_summary(device: str | Device = "cuda") -> str:
    """Memory used and cached by this process, free and total on the GPU, in one line."""
    return backends.get(device).memory_summary()
