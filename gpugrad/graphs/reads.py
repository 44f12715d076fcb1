"""Host reads: refused inside a captured step, with the line that reads."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from .. import backends
from ..backends import Backend
from ..errors import CaptureError

_HERE = str(Path(__file__).parent)
_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_WAYS = (_PACKAGE + "tensor.py", _PACKAGE + "display.py", _PACKAGE + "backends", _HERE)


@contextmanager
def shadowed(owner: Any, **attributes: Any) -> Iterator[None]:
    """Attributes of an object have these values meanwhile."""
    before = {name: vars(owner)[name] for name in attributes if name in vars(owner)}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name in attributes:
            if name in before:
                setattr(owner, name, before[name])
            else:
                delattr(owner, name)


class _Thread(threading.local):
    refused = False  # while its reads are


_THREAD = _Thread()


class _RefusedReads:
    """While this thread records, it cannot read from a device; nor does it check values there.

    All reads go through two methods of a backend, and through the one kernel whose result has a
    shape that depends on values; what checks values asks `synchronous` before. They are replaced
    meanwhile: otherwise none of this costs anything. The first thread that records replaces them,
    the last puts them back; other threads find them as they were.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._replaced: set[Backend] = set()
        self._back = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._threads += 1
            for backend in backends.opened():
                if backend not in self._replaced:
                    self._replaced.add(backend)
                    self._replace(backend)
        _THREAD.refused = True

    def __exit__(self, *error: object) -> None:
        _THREAD.refused = False
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._replaced.clear()
                self._back.close()

    def _replace(self, backend: Backend) -> None:
        doors = {name: _door(getattr(backend, name)) for name in ("to_numpy", "synchronize")}
        self._back.enter_context(shadowed(backend, **doors))
        usual = inspect.getattr_static(type(backend), "synchronous")

        def waits(self: Backend) -> bool:
            own = usual.__get__(self) if hasattr(usual, "__get__") else usual
            return bool(own) and not _THREAD.refused

        self._back.enter_context(shadowed(type(backend), synchronous=property(waits)))
        kernels = backend.kernels
        self._back.enter_context(shadowed(kernels, nonzero=_door(kernels.nonzero)))


refused_reads = _RefusedReads()


def _door(method: Any) -> Any:
    def checked(*args: Any) -> Any:
        if _THREAD.refused:
            _refuse(method.__name__)
        return method(*args)

    return checked


def _refuse(method: str) -> NoReturn:
    frame, name = _reader(sys._getframe(2), method)
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    raise CaptureError(
        f"captured step: {name}() reads from the device, at {file}:{line}"
        + (f":\n    {text}\n" if text else ".\n")
        + "  A captured step repeats kernels without its Python code, so the host cannot look at "
        "values in it.\n  Return the tensor from the step and read it after the call; choose by "
        "value with gg.where; move data to the device before."
    )


def _reader(frame: FrameType | None, called: str) -> tuple[FrameType, str]:
    """The frame whose line reads, and what it called to do so.

    That is the nearest outside gpugrad; in a step of gpugrad's own the innermost that is more than
    a way to read.
    """
    inner = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE):
            return frame, called
        if not file.startswith(_WAYS):
            inner = inner or (frame, called)
        elif file.startswith(_HERE) and inner is not None:
            return inner
        called, frame = frame.f_code.co_name, frame.f_back
    assert inner is not None
    return inner
