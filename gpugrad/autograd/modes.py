"""What autograd does right now, in this thread: record or not, watch for NaN or not."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


class _Mode(threading.local):
    """Read by every operation, so a plain object with three attributes for each thread."""

    def __init__(self) -> None:
        self.grad = True
        self.inspect: Callable[..., None] | None = None  # by detect_nan: (pass, node, in, out)
        self.after_backward: Callable[[], None] | None = None  # set by watch_parameters


MODE = _Mode()


def is_grad_enabled() -> bool:
    """True while operations are recorded."""
    return MODE.grad


class _Scope:
    """A grad mode for a `with` block, or for each call of a decorated function."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._outer: list[bool] = []

    def __enter__(self) -> None:
        self._outer.append(MODE.grad)
        MODE.grad = self.enabled

    def __exit__(self, *error: object) -> None:
        MODE.grad = self._outer.pop()

    def __call__(self, function: _F) -> _F:
        enabled = self.enabled

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _Scope(enabled):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """``with no_grad():`` or ``@no_grad()`` (or ``@no_grad``): nothing is recorded."""
    return _Scope(False) if function is None else _Scope(False)(function)


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """``with enable_grad():`` or ``@enable_grad()``: recording, also inside `no_grad`."""
    return _Scope(True) if function is None else _Scope(True)(function)


def inference_mode(mode: bool | Callable[..., Any] = True) -> Any:
    """`no_grad` under PyTorch's other name; tensors made inside stay ordinary tensors."""
    return _Scope(not mode) if isinstance(mode, bool) else _Scope(False)(mode)


class set_grad_enabled(_Scope):
    """``set_grad_enabled(flag)`` switches at once; as a `with` block it also switches back."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._outer.append(MODE.grad)
        MODE.grad = self.enabled

    def __enter__(self) -> None:
        MODE.grad = self.enabled

    def __call__(self, function: _F) -> _F:
        MODE.grad = self._outer.pop()  # used as a decorator: only the calls are meant
        return super().__call__(function)
