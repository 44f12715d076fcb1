"""Stacks of matrices on their way to NumPy and back, and the errors of those it cannot treat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import dtype as dtypes
from ...autograd.function import Function, describe, mixed_devices
from ...backends import Backend
from ...errors import DeviceError, DTypeError, LinAlgError, ShapeError
from ...tensor import Tensor
from ..operands import check_tensor

NDArray = np.ndarray[Any, Any]


class OnHost(Function, abstract=True):
    """A Function whose forward is NumPy's."""

    def to_host(self, x: Any) -> NDArray:
        """The values; waits for the device."""
        return self.backend.to_numpy(x)

    def back(self, x: Any) -> Any:
        """An array of the backend, for a result."""
        return self.backend.from_numpy(np.asarray(x))


def matrices(name: str, A: Any, square: bool = False, half: bool = False) -> Tensor:
    """`A`, if it is a stack of matrices in float32 or float64, or (`half`) a half type."""
    x = check_tensor(name, A)
    if not dtypes.is_floating(x.dtype) or (dtypes.is_half(x.dtype) and not half):
        raise DTypeError(
            f"{name}: needs float32 or float64, got {describe(x)}.\n  Convert it with .float()."
        )
    if x.ndim < 2:
        raise ShapeError(f"{name}: needs a matrix or a stack of matrices, got shape {x.shape}.")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: needs square matrices, got shape {x.shape}.")
    return x


def alike(name: str, *tensors: Tensor) -> None:
    """Raise DTypeError or DeviceError where tensors differ in them."""
    first = tensors[0]
    if any(x.dtype != first.dtype for x in tensors):
        facts = ", ".join(describe(x) for x in tensors)
        raise DTypeError(f"{name}: all tensors need one dtype, got {facts}.\n  Use .to(dtype).")
    if any(x.backend is not first.backend for x in tensors):
        raise DeviceError(mixed_devices(name, tensors))


def lead(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common leading axes of stacks of matrices."""
    try:
        return np.broadcast_shapes(*[shape[:-2] for shape in shapes])
    except ValueError:
        text = ", ".join(map(str, shapes))
        raise ShapeError(f"{name}: leading axes of {text} do not broadcast.") from None


def from_host(array: Any, backend: Backend) -> Tensor:
    """A tensor without history, of values computed on the host."""
    return Tensor(backend.from_numpy(np.asarray(array)), backend)


def host(x: Tensor) -> NDArray:
    """The values of a tensor; waits for its device."""
    return x.backend.to_numpy(x.array)


def constant(x: Tensor) -> Tensor:
    """0 in the shape of `x` and part of its graph: results that are constant have a gradient, 0."""
    return x.masked_fill(x.new_ones(x.shape, dtype=dtypes.bool_), 0.0)


def eye(n: int, like: Tensor) -> Tensor:
    """The identity [n, n] in the dtype and on the device of `like`."""
    return from_host(np.eye(n, dtype=like.dtype), like.backend)


def attempt(
    function: Callable[..., NDArray], faulty: Callable[[NDArray], int], *arrays: NDArray
) -> tuple[NDArray, NDArray]:
    """(function of stacks of matrices, info): info is 0, or what `faulty` says of a matrix that
    NumPy cannot treat; the result has NaN there."""
    batch = np.broadcast_shapes(*[x.shape[:-2] for x in arrays])
    try:
        with np.errstate(all="ignore"):
            return function(*arrays), np.zeros(batch, np.int32)
    except np.linalg.LinAlgError:
        pass
    info = np.zeros(batch, np.int32)
    wide = [np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in arrays]
    results: dict[tuple[int, ...], NDArray] = {}
    for at in np.ndindex(batch):
        one = [x[at] for x in wide]
        try:
            with np.errstate(all="ignore"):
                results[at] = function(*one)
        except np.linalg.LinAlgError:
            info[at] = faulty(one[0])
            results[at] = np.full(np.shape(one[-1]), np.nan, one[-1].dtype)
    first = next(iter(results.values()))
    result = np.empty((*batch, *first.shape), first.dtype)
    for at, y in results.items():
        result[at] = y
    return result, info


def refuse(name: str, info: NDArray, reason: Callable[[int], str]) -> None:
    """Raise LinAlgError where some matrix has a fault; the text tells which."""
    if not np.any(info):
        return
    at = tuple(int(i) for i in np.argwhere(np.atleast_1d(info))[0])
    which = f"matrix {at if len(at) > 1 else at[0]} of the stack" if info.ndim else "the matrix"
    raise LinAlgError(f"{name}: {which} {reason(int(np.atleast_1d(info)[at]))}.")


def singular(info: int) -> str:
    """Why `inv` and `solve` refuse."""
    return f"is singular: its LU decomposition has 0 at diagonal element {info}"


def converged(name: str, function: Callable[..., Any], array: NDArray, **options: Any) -> Any:
    """`function`, with an error that tells which matrix NaN or infinity sits in."""
    try:
        return function(array, **options)
    except np.linalg.LinAlgError:
        bad = np.asarray((~np.isfinite(array)).any((-1, -2)), np.int32)
        refuse(name, bad, lambda _: "contains NaN or infinity")
        raise LinAlgError(f"{name}: the algorithm did not converge for {array.shape}.") from None
