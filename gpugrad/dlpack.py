"""DLPack capsules: the fields that NumPy cannot write or read itself.

NumPy has no bfloat16 in its DLPack. So a bfloat16 array goes out as int16 and its capsule is
labelled bfloat16 after; one that comes in is labelled int16 first, and then looked at as bfloat16.
Nothing is copied. The offsets are those of dlpack.h, versions 0.8 and 1.x.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from . import dtype as dtypes
from .errors import DTypeError

INT, BFLOAT = 0, 4  # DLDataTypeCode
CPU, CUDA = 1, 2  # DLDeviceType
_TENSOR = {b"dltensor": 0, b"dltensor_versioned": 32}  # where the DLTensor lies in the capsule's
_DEVICE, _INDEX, _CODE, _BITS = 8, 12, 20, 21  # offsets in DLTensor

_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def is_capsule(x: Any) -> bool:
    """Is `x` a capsule, rather than something that makes one?"""
    return type(x).__name__ == "PyCapsule"


def _address(capsule: Any) -> int:
    name = _name(capsule)
    if name not in _TENSOR:
        raise DTypeError(f"from_dlpack: the capsule {name!r} is used up, or is no tensor.")
    return int(_pointer(capsule, name)) + _TENSOR[name]


def device_of(capsule: Any) -> tuple[int, int]:
    """(kind of memory, index)."""
    address = _address(capsule)
    kind, index = (ctypes.c_int32.from_address(address + at).value for at in (_DEVICE, _INDEX))
    return kind, index


def exported(array: np.ndarray[Any, Any], options: dict[str, Any]) -> Any:
    """A capsule of a NumPy array, bfloat16 too."""
    if array.dtype != dtypes.bfloat16:
        return array.__dlpack__(**options)
    capsule = array.view(np.int16).__dlpack__(**options)
    ctypes.c_uint8.from_address(_address(capsule) + _CODE).value = BFLOAT
    return capsule


class _Writable:
    """The memory of an array without its read-only flag."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


class _Given:
    """Hands a capsule to NumPy."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (CPU, 0)


def imported(source: Any) -> np.ndarray[Any, Any]:
    """The array in host memory that `source` (or a capsule) tells of, bfloat16 too.

    NumPy takes capsules older than 1.0 for read-only, since they cannot say so; but as they cannot,
    read-only memory is not exported in them.
    """
    capsule = source if is_capsule(source) else _capsule_of(source)
    old = _name(capsule) == b"dltensor"
    address = _address(capsule)
    code = ctypes.c_uint8.from_address(address + _CODE)
    bits = ctypes.c_uint8.from_address(address + _BITS).value
    half = code.value == BFLOAT and bits == 16
    if half:
        code.value = INT
    try:
        array = np.from_dlpack(_Given(capsule))
    except (BufferError, RuntimeError) as error:
        raise DTypeError(f"from_dlpack: {error} (type code {code.value}, {bits} bits).") from None
    if old:
        array = np.asarray(_Writable(array))
    return array.view(dtypes.bfloat16) if half else array


def _capsule_of(source: Any) -> Any:
    try:
        return source.__dlpack__(max_version=(1, 0))
    except TypeError:  # older than versioned capsules
        return source.__dlpack__()
