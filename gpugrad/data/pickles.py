"""Reading pickles of arrays without running what they say.

A pickle names functions to call, so a foreign one can do anything. Here only the few are known that
rebuild NumPy arrays; a pickle that names another is refused before anything happens.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpugrad.errors import DataError


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into pickles for Python 2: as text, to be encoded."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_empty: Any = np.zeros(1)
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty.__reduce__()[0],
    ("numpy.core.numeric", "_frombuffer"): _empty.__reduce_ex__(5)[0],
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data file needs")
        return known


def read_pickle(content: bytes, path: Path) -> Any:
    """The dicts, lists, numbers, strings and arrays in a pickle; Python 2's strings as latin1.

    `path` is for messages. Raises DataError for a corrupt pickle, and for one that names anything
    but NumPy arrays.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a corrupt pickle can end in nearly any of Python's
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise DataError(
            f"{path}: not a pickle of arrays ({reason}).\n"
            "  The file is damaged or is not the published one: fetch or copy it again."
        ) from None
