"""Arguments of a captured step: what they must be like, and where a graph reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..backends import Backend
from ..backends.layout import empty_like
from ..errors import CaptureError
from ..func.trees import Structure, flatten, unflatten
from ..tensor import Tensor

Key = tuple[Structure, tuple[Any, ...]]
"""How arguments are nested; (shape, dtype, backend, whether it requires a gradient) of each
tensor, None of each other leaf."""


class Arguments:
    """The arguments of one call, taken apart: `leaves` of which some are tensors. The `key` decides
    which graph fits."""

    __slots__ = ("args", "key", "kwargs", "leaves", "structure")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs
        self.leaves, self.structure = flatten((args, kwargs))
        kinds = tuple([_kind(leaf) for leaf in self.leaves])
        self.key: Key = (self.structure, kinds)

    def tensors(self) -> list[Tensor]:
        """The tensors among the leaves."""
        return [leaf for leaf in self.leaves if isinstance(leaf, Tensor)]

    def constants(self) -> list[Any]:
        """The leaves, None in place of each tensor; arrays as copies, as they may be changed."""
        return [
            None if isinstance(x, Tensor) else x.copy() if isinstance(x, np.ndarray) else x
            for x in self.leaves
        ]

    def names(self, step: Callable[..., Any]) -> list[str]:
        """What to call each leaf: "x", "batch['ids']", ..."""
        try:
            known = list(inspect.signature(step).parameters)
        except (TypeError, ValueError):
            known = []
        roots = [known[i] if i < len(known) else f"args[{i}]" for i in range(len(self.args))]
        found: list[str] = []
        for root, value in [*zip(roots, self.args, strict=True), *self.kwargs.items()]:
            _name(root, value, found)
        return found

    def buffers(self) -> tuple[list[Tensor], tuple[tuple[Any, ...], dict[str, Any]]]:
        """Tensors of a graph's own in place of each, and the arguments with them."""
        own = [Tensor(empty_like(t.backend.empty, t.array), t.backend) for t in self.tensors()]
        self.copy_to(own)
        rest = iter(own)
        leaves = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        return own, unflatten(self.structure, leaves)

    def copy_to(self, own: list[Tensor]) -> None:
        """Copies the tensors into those of a graph; on the device, without waiting."""
        for tensor, buffer in zip(self.tensors(), own, strict=True):
            buffer.backend.kernels.copy(tensor.array, buffer.array)


def _kind(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return None
    return leaf.array.shape, leaf.array.dtype, leaf.backend, leaf._requires_grad


def _name(path: str, value: Any, found: list[str]) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            _name(f"{path}[{key!r}]", each, found)
    elif isinstance(value, (tuple, list)):
        for i, each in enumerate(value):
            _name(f"{path}[{i}]", each, found)
    else:
        found.append(path)


def backend_of(call: Arguments, step: Callable[..., Any]) -> Backend | None:
    """The backend of all tensors; None where there are none.

    Raises CaptureError where they are on several, or require a gradient.
    """
    names = call.names(step)
    first: tuple[str, Tensor] | None = None
    for name, leaf in zip(names, call.leaves, strict=True):
        if not isinstance(leaf, Tensor):
            continue
        if leaf._requires_grad:
            raise CaptureError(
                f"captured step: argument {name} requires a gradient; a graph reads copies of its "
                "arguments, so the gradient would not reach it.\n"
                "  Use parameters by name inside the step, and pass data (detach()) alone."
            )
        first = first or (name, leaf)
        if leaf.backend is not first[1].backend:
            raise CaptureError(
                f"captured step: argument {name} is on {leaf.device}, {first[0]} on "
                f"{first[1].device}; all must be on the device of the step.\n"
                f"  Call .to({str(first[1].device)!r}) before the step."
            )
    return None if first is None else first[1].backend


def misfit(keys: Iterable[Key], call: Arguments, step: Callable[..., Any]) -> str:
    """How a call differs from the captured one that it is most like."""
    names = call.names(step)
    structure, kinds = call.key
    found: list[list[str]] = [
        [
            f"argument {name} is {_said(new)}, captured was {_said(old)}"
            for name, new, old in zip(names, kinds, others, strict=True)
            if new != old
        ]
        for other, others in keys
        if other == structure
    ]
    if not found:
        return "the arguments are nested in another way than captured"
    return "; ".join(sorted(found, key=len)[0])


def other_constant(before: list[Any], call: Arguments, step: Callable[..., Any]) -> str:
    """Which argument that is no tensor has another value than before; "" where none has."""
    for i, (old, new) in enumerate(zip(before, call.leaves, strict=True)):
        if old is not new and not isinstance(new, Tensor) and not _equal(old, new):
            return f"argument {call.names(step)[i]} is {new!r}, captured was {old!r}"
    return ""


def _equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    try:
        if isinstance(a, np.ndarray):
            return a.dtype == b.dtype and np.array_equal(a, b)
        return bool(a == b)
    except Exception:  # what cannot be compared is not known to be equal
        return False


def _said(kind: Any) -> str:
    if kind is None:
        return "no tensor"
    shape, dtype, backend, _ = kind  # none that requires a gradient was captured
    return f"{dtype.name} {tuple(shape)} on {backend.device}"
