"""What convolution and pooling have in common: windows from arguments, batches of images."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from ..autograd.function import describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import check_tensor
from .views import reshape

Sizes = tuple[int, ...]


def per_axis(name: str, label: str, value: Any, axes: int, low: int) -> Sizes:
    """One integer of at least `low` for each spatial axis, from a number or a sequence of them."""
    try:
        given = [index(n) for n in (value if isinstance(value, Sequence) else (value,))]
    except TypeError:
        raise DTypeError(
            f"{name}: {label} must be an integer or {axes} of them, got {value!r}."
        ) from None
    if len(given) not in (1, axes):
        raise ArgumentError(
            f"{name}: {label}={value!r} has {len(given)} entries for {axes} spatial axes; give one "
            "for all or one for each."
        )
    if min(given) < low:
        kind = {0: "must not be negative", 1: "must be at least 1"}[low]
        raise ArgumentError(f"{name}: {label} {kind}, got {value!r}.")
    return tuple(given) * (axes if len(given) == 1 else 1)


def span(kernel: Sizes, dilation: Sizes) -> Sizes:
    """From the first to the last tap of a window: dilation (kernel - 1) + 1."""
    return tuple([d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)])


def planned(plan: Any, *arguments: Any) -> Any:
    """plan(*arguments), an lru_cache, also where an argument is a list."""
    try:
        return plan(*arguments)
    except TypeError:  # a list is not hashable; or what the plan itself raises
        pass
    return plan.__wrapped__(*arguments)


def batched(name: str, input: Any, axes: int) -> tuple[Tensor, bool]:
    """(input as a batch [N, C, spatial...], whether a single image [C, spatial...] was given)."""
    if isinstance(input, Tensor) and input.array.ndim == axes + 2:
        return input, False
    x = check_tensor(name, input)
    if x.array.ndim == axes + 1:
        return reshape(x, (1, *x.array.shape)), True
    letters = ", ".join("DHW"[-axes:]) if axes > 1 else "L"
    raise ShapeError(
        f"{name}: input must be a batch [N, C, {letters}] or a single image [C, {letters}]; got "
        f"{describe(x)}."
    )


def unbatched(y: Tensor, single: bool) -> Tensor:
    """y without its batch axis where a single image was given."""
    return reshape(y, y.array.shape[1:]) if single else y
