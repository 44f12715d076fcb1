"""Finding what went wrong in training: the first NaN, and parameters that got no gradient."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import dtype as dtypes
from ..errors import GraphError, NonFiniteError
from .modes import MODE

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .function import Function

_PACKAGE = str(Path(__file__).resolve().parent.parent)


@contextmanager
def detect_nan(infinite: bool = False) -> Iterator[None]:
    """Raise NonFiniteError at the first operation whose result holds a NaN its inputs did not.

    Forward and backward are watched. The text names the operation, the pass, shapes, dtypes, how
    many NaN, and the line that called the operation. `infinite` watches infinities, too. Each
    operation waits for the device, so this is for finding a fault, not for training.
    """
    previous = MODE.inspect
    MODE.inspect = _inspect_infinite if infinite else _inspect_nan
    try:
        yield
    finally:
        MODE.inspect = previous


@contextmanager
def detect_anomaly(check_nan: bool = True) -> Iterator[None]:
    """PyTorch's name for `detect_nan`; with check_nan=False nothing is watched."""
    with detect_nan() if check_nan else nullcontext():
        yield


def _inspect_nan(where: str, node: Function, inputs: Sequence[Any], results: Sequence[Any]) -> None:
    _inspect(where, node, inputs, results, ("isnan",))


def _inspect_infinite(
    where: str, node: Function, inputs: Sequence[Any], results: Sequence[Any]
) -> None:
    _inspect(where, node, inputs, results, ("isnan", "isinf"))


def _inspect(
    where: str,
    node: Function,
    inputs: Sequence[Any],
    results: Sequence[Any],
    tests: tuple[str, ...],
) -> None:
    if where == "forward":
        node.site = _call_site()
    counts = [sum(_count(node, t, y) for t in tests) for y in results]
    if not any(counts) or any(_count(node, t, x) for t in tests for x in inputs):
        return
    bad = next(i for i, n in enumerate(counts) if n)
    kind = "NaN" if _count(node, "isnan", results[bad]) else "infinite"
    facts = ", ".join(_fact(x) for x in inputs)
    which = f"gradient {bad}" if where == "backward" else "the result"
    raise NonFiniteError(
        f"{type(node).__name__} {where}: {counts[bad]} of {results[bad].size} elements of {which} "
        f"{_fact(results[bad])} are {kind}, while no input is.\n"
        f"  inputs: {facts}\n  called at {node.site or 'an unknown line (forward not watched)'}"
    )


def _count(node: Function, test: str, x: Any) -> int:
    if not hasattr(x, "shape") or not dtypes.is_floating(x.dtype):
        return 0
    found = node.kernels.reduce("sum", node.kernels.unary(test, x), tuple(range(x.ndim)), False)
    return int(node.backend.to_numpy(found))


def _fact(x: Any) -> str:
    return f"{tuple(x.shape)} {x.dtype.name}" if hasattr(x, "shape") else repr(x)


def _call_site() -> str:
    """The first line outside this package on the stack."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def parameters_without_grad(model: Any) -> list[str]:
    """Names of the parameters that require a gradient and have none: call it after backward().

    model: anything with ``named_parameters()``, pairs of name and tensor, or tensors.
    """
    return [name for name, p in _named(model) if p.requires_grad and p.grad is None]


def check_parameters(model: Any, strict: bool = False) -> None:
    """Warn (or with `strict` raise GraphError) where a parameter of `model` got no gradient."""
    names = parameters_without_grad(model)
    if not names:
        return
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    text = (
        f"backward: {len(names)} parameters got no gradient: {shown}.\n"
        "  They are not part of the loss: unused, detached, or computed under no_grad. "
        "Freeze them with requires_grad_(False) if that is meant."
    )
    if strict:
        raise GraphError(text)
    warnings.warn(text, UserWarning, stacklevel=3)


@contextmanager
def watch_parameters(model: Any, strict: bool = False) -> Iterator[None]:
    """Inside the block, each ``backward()`` ends with `check_parameters` on `model`."""
    previous = MODE.after_backward
    MODE.after_backward = lambda: check_parameters(model, strict)
    try:
        yield
    finally:
        MODE.after_backward = previous


def _named(model: Any) -> Iterable[tuple[str, Tensor]]:
    if hasattr(model, "named_parameters"):
        yield from model.named_parameters()
        return
    for i, item in enumerate(model):
        yield item if isinstance(item, tuple) else (f"parameter {i}", item)
