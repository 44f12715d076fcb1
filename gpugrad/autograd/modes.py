"""What autograd does right now, in this thread: record or not, watch for NaN or not."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


class _Mode(threading.local):
    """Read by every operation, so a plain object with a few attributes for each thread."""

    def __init__(self) -> None:
        self.grad = True
        self.inference = False
        self.inspect: Callable[..., None] | None = None  # by detect_nan: (pass, node, in, out)
        self.after_backward: Callable[[], None] | None = None  # set by watch_parameters
        self.saving: Any = None  # the innermost saved_tensors_hooks
        self.walk: Any = None  # the backward that is running


MODE = _Mode()


def is_grad_enabled() -> bool:
    """True while operations are recorded."""
    return MODE.grad


def is_inference_mode_enabled() -> bool:
    """True inside `inference_mode`."""
    return MODE.inference


def wrapped_in(scope: Callable[[], Any], function: _F) -> _F:
    """`function` with each call inside ``with scope():``; of a generator function each step.

    Between the steps of a generator the caller's mode holds.
    """
    if isinstance(function, type):
        raise TypeError(
            f"{function.__name__}: a grad mode decorates functions, not classes.\n"
            "  Decorate the methods that are meant."
        )
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from _stepwise(scope, function(*args, **kwargs)))

        return steps  # type: ignore[return-value]

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with scope():
            return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def _stepwise(
    scope: Callable[[], Any], generator: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """The items of `generator`, each computed inside the scope; sends and throws are passed on."""
    advance: Callable[[], Any] = functools.partial(next, generator)
    try:
        while True:
            with scope():
                item = advance()
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:
                advance = functools.partial(generator.throw, error)
            else:
                advance = functools.partial(generator.send, sent)
    except StopIteration as end:
        return end.value
    finally:
        with scope():
            generator.close()


class _Scope:
    """A grad mode for a `with` block, or for each call of a decorated function."""

    inference = False

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._outer: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._outer.append((MODE.grad, MODE.inference))
        self._switch()

    def _switch(self) -> None:
        MODE.grad = self.enabled and not MODE.inference

    def __exit__(self, *error: object) -> None:
        MODE.grad, MODE.inference = self._outer.pop()

    def __call__(self, function: _F) -> _F:
        return wrapped_in(self._again, function)

    def _again(self) -> _Scope:
        return _Scope(self.enabled)


class _Inference(_Scope):
    """enabled: whether operations are recorded, the opposite of the mode."""

    def _switch(self) -> None:
        MODE.inference = not self.enabled
        MODE.grad = self.enabled

    def _again(self) -> _Scope:
        return _Inference(self.enabled)


def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """``with no_grad():`` or ``@no_grad()`` (or ``@no_grad``): nothing is recorded."""
    return _Scope(False) if function is None else _Scope(False)(function)


def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """``with enable_grad():`` or ``@enable_grad()``: recording, also inside `no_grad`."""
    return _Scope(True) if function is None else _Scope(True)(function)


def inference_mode(mode: bool | Callable[..., Any] = True) -> Any:
    """`no_grad` that `enable_grad` inside does not lift; ``inference_mode(False)`` does.

    Tensors made inside stay ordinary tensors, unlike PyTorch's: they may be used anywhere.
    """
    return _Inference(not mode) if isinstance(mode, bool) else _Inference(False)(mode)


class set_grad_enabled(_Scope):
    """``set_grad_enabled(flag)`` switches at once; as a `with` block it also switches back."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._outer.append((MODE.grad, MODE.inference))
        self._switch()

    def __enter__(self) -> None:
        self._switch()

    def __call__(self, function: _F) -> _F:
        MODE.grad, MODE.inference = self._outer.pop()  # a decorator: only the calls are meant
        return super().__call__(function)
