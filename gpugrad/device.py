"""Device: a type and an index, read from text as PyTorch reads it."""

from __future__ import annotations

from .errors import DeviceError

TYPES = ("cpu", "cuda", "sim")
"""``cpu``: NumPy and C++ threads. ``cuda``: an NVIDIA GPU. ``sim``: the CUDA kernels on the CPU."""


class Device:
    """Where a tensor lives: ``Device("cpu")``, ``Device("cuda:1")``, ``Device("sim")``.

    Immutable, hashable. ``str(device)`` is ``"cpu"``, ``"cuda:0"`` or ``"sim"``. ``"cuda"`` means
    ``"cuda:0"``. Raises DeviceError for other names.
    """

    __slots__ = ("index", "type")
    type: str
    index: int

    def __init__(self, spec: str | Device, index: int | None = None) -> None:
        if isinstance(spec, Device):
            kind, number = spec.type, spec.index
        else:
            kind, number = _parse(spec)
        if index is not None:
            if ":" in str(spec) and index != number:
                raise DeviceError(f"Device({str(spec)!r}, {index}): two different indices.")
            number = index
        if number < 0 or (number and kind != "cuda"):
            raise DeviceError(f"Device {kind}:{number} does not exist: {kind} has index 0 only.")
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "index", number)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Device is immutable; make a new one instead of setting {name}.")

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.type == "cuda" else self.type

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Device):
            return self.type == other.type and self.index == other.index
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Device, (str(self),))


def _parse(spec: object) -> tuple[str, int]:
    """("cuda", 1) from "cuda:1"."""
    if isinstance(spec, str):
        kind, colon, number = spec.partition(":")
        if kind in TYPES and (number.isdecimal() if colon else True):
            return kind, int(number or 0)
    legal = '"cpu", "cuda", "cuda:N", "sim" or "auto"'
    raise DeviceError(f"{spec!r} is not a device; legal are {legal}.")
