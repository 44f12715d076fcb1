"""Facts about the GPU and about memory, under PyTorch's names: ``gg.cuda.is_available()``.

`device` may be any device: on ``"cpu"`` and ``"sim"`` memory is that of NumPy's arrays.
"""

from __future__ import annotations

from typing import TypeAlias

from . import amp, backends
from .backends.report import gpu, gpus
from .device import Device
from .errors import OutOfMemoryError
from .random import default_generator

__all__ = [
    "OutOfMemoryError",
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "is_available",
    "is_bf16_supported",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "reset_peak_memory_stats",
    "synchronize",
]

_Place: TypeAlias = str | Device | None


def _backend(device: _Place) -> backends.Backend:
    return backends.get("cuda" if device is None else device)


def is_available() -> bool:
    """True where ``device="cuda"`` works: GPU, driver, CuPy and a fitting native module."""
    return backends.available("cuda")


def device_count() -> int:
    """The number of GPUs that the driver shows."""
    return len(gpus())


def current_device() -> int:
    """0: tensors go to the first GPU unless their device says which."""
    return 0


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU, and, without emulation, one with bfloat16 units (sm_80 and up)."""
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def manual_seed(seed: int) -> None:
    """Seed the GPU's default generator; `gpugrad.manual_seed` seeds those of all devices.

    Nothing happens where there is no GPU.
    """
    if is_available():
        default_generator("cuda").manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """`manual_seed` for every GPU."""
    for index in range(device_count() if is_available() else 0):
        default_generator(f"cuda:{index}").manual_seed(seed)


def get_device_name(device: _Place = None) -> str:
    """A GPU's name, as "NVIDIA H200". Raises DeviceError where the device is none or absent."""
    return gpu("cuda" if device is None else device).name


def get_device_capability(device: _Place = None) -> tuple[int, int]:
    """(9, 0) for sm_90. Raises DeviceError where the device is none or absent."""
    return gpu("cuda" if device is None else device).capability


def synchronize(device: str | Device = "cuda") -> None:
    """Wait for the GPU; see `gpugrad.synchronize`."""
    backends.synchronize(device)


# ---- memory ----------------------------------------------------------------------------------


def memory_allocated(device: _Place = None) -> int:
    """Bytes that arrays hold, as the allocator rounds them."""
    return _backend(device).memory_stats().allocated


def max_memory_allocated(device: _Place = None) -> int:
    """The most bytes that arrays held, since the start or `reset_peak_memory_stats`."""
    return _backend(device).memory_stats().allocated_peak


def memory_reserved(device: _Place = None) -> int:
    """Bytes that arrays hold and that are kept for new ones."""
    return _backend(device).memory_stats().reserved


def max_memory_reserved(device: _Place = None) -> int:
    """The most bytes that were reserved, since the start or `reset_peak_memory_stats`."""
    return _backend(device).memory_stats().reserved_peak


def reset_peak_memory_stats(device: _Place = None) -> None:
    """The peaks count from now on."""
    _backend(device).reset_peak_memory_stats()


def empty_cache(device: _Place = None) -> None:
    """Give the memory that is kept for new arrays back to the GPU (or to the system)."""
    _backend(device).empty_cache()


def mem_get_info(device: _Place = None) -> tuple[int, int]:
    """(free, total) bytes of the GPU, whoever uses them; of the machine on "cpu" and "sim"."""
    stats = _backend(device).memory_stats()
    return stats.free, stats.total


def memory_stats(device: _Place = None) -> dict[str, int]:
    """Bytes under PyTorch's keys, as "allocated_bytes.all.peak"."""
    stats = _backend(device).memory_stats()
    return {
        "allocated_bytes.all.current": stats.allocated,
        "allocated_bytes.all.peak": stats.allocated_peak,
        "reserved_bytes.all.current": stats.reserved,
        "reserved_bytes.all.peak": stats.reserved_peak,
    }


def memory_summary(device: _Place = None, abbreviated: bool = False) -> str:
    """What is allocated, reserved and kept free, peaks, blocks and the largest free one, in lines.

    abbreviated: accepted, and changes nothing.
    """
    return _backend(device).memory_summary()
