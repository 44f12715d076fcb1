"""Two vectors in one number: cosine similarity, distances, bilinear forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST, no_autocast
from ..autograd.function import describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .norms import norm
from .operands import axis, check_broadcast, check_tensor, demand_floating
from .reduction import sum


def _pair(name: str, x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two tensors of one device that broadcast, in their common dtype."""
    for label, x in (("x1", x1), ("x2", x2)):
        if not isinstance(x, Tensor):
            raise DTypeError(f"{name}: {label} must be a Tensor, got {type(x).__name__}.")
    check_broadcast(name, x1, x2)
    if AUTOCAST.on:
        x1, x2 = AUTOCAST.cast(name, x1, x2)
    dtype = dtypes.promote(x1.dtype, x2.dtype)
    return x1.to(dtype), x2.to(dtype)


def _at_least(x: Tensor, low: float) -> Tensor:
    """max(x, low), with the gradient of x everywhere."""
    return x + (x.clamp(min=low) - x).detach()


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """sum of x1 x2 over dim / (max(|x1|, eps) max(|x2|, eps)); x1 and x2 broadcast.

    The gradient is that of the norms also where eps took their place, as PyTorch's is.
    """
    a, b = _pair("cosine_similarity", x1, x2)
    demand_floating("cosine_similarity", a)
    along = axis("cosine_similarity", dim, max(a.ndim, b.ndim))
    if a.shape != b.shape:  # the axis, and its length, are those of the broadcast shape
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = a.expand(shape), b.expand(shape)
    units = [x / _at_least(norm(x, 2, along, keepdim=True), eps) for x in (a, b)]
    return sum(units[0] * units[1], along)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis; x1 and x2 broadcast."""
    a, b = _pair("pairwise_distance", x1, x2)
    difference = a - b + eps
    return norm(difference, p, -1 if difference.ndim else None, keepdim)


def _root_of_powers(difference: Tensor, p: float) -> Tensor:
    """The p-norm along the last axis; its gradient is 0 for elements that are 0."""
    if p in (0.0, 1.0, 2.0, math.inf):
        return norm(difference, p, -1)
    zero = difference.detach() == 0  # x^p has no slope there for p below 1
    powers = difference.abs().masked_fill(zero, 1.0) ** p
    total = powers.masked_fill(zero, 0.0).sum(-1)
    empty = total.detach() == 0
    return (total.masked_fill(empty, 1.0) ** (1 / p)).masked_fill(empty, 0.0)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances of all pairs of rows: input [N, M] -> [N (N - 1) / 2].

    In the order (0, 1), (0, 2), ..., (1, 2), ...; the gradient of a distance of 0 is 0.
    """
    if AUTOCAST.on:
        (input,) = AUTOCAST.cast("pdist", input)
    demand_floating("pdist", check_tensor("pdist", input))
    if input.ndim != 2:
        raise ShapeError(f"pdist: input must be [N, M]; got {input.shape}.")
    if not p >= 0:
        raise ArgumentError(f"pdist(p={p}): a norm's order is at least 0.")
    rows = [
        Tensor(input.backend.from_numpy(i), input.backend)
        for i in np.triu_indices(input.shape[0], 1)
    ]
    first, second = (input.index_select(0, i) for i in rows)
    return _root_of_powers(first - second, float(p))


MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = MODES[0]) -> Tensor:
    """The p-norm distances of all rows: y[..., i, j] = |x1[..., i, :] - x2[..., j, :]|.

    Shapes: x1 (..., P, M), x2 (..., R, M) -> y (..., P, R); the first axes broadcast. The gradient
    of a distance of 0 is 0. compute_mode: "use_mm_for_euclid_dist" forms p = 2 by a matrix product,
    |a|^2 + |b|^2 - 2 a b, which cancels for near rows, "..._if_necessary" from 26 rows on; else the
    differences are stored, P R M of them. Raises ShapeError, DTypeError, ArgumentError.
    """
    if AUTOCAST.on and AUTOCAST.holds(x1):
        a, b = AUTOCAST.cast("cdist", x1, x2)
        with no_autocast():  # the product inside stays float32
            return cdist(a, b, p, compute_mode)
    for x in (x1, x2):
        demand_floating("cdist", check_tensor("cdist", x))
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1] or x1.dtype != x2.dtype:
        raise ShapeError(
            "cdist: x1 and x2 must be (..., P, M) and (..., R, M) of one dtype; got "
            f"{describe(x1)} and {describe(x2)}."
        )
    mode = MODES[0] if compute_mode is None else compute_mode
    if not p >= 0 or mode not in MODES:
        raise ArgumentError(
            f"cdist(p={p}, compute_mode={compute_mode!r}): p is at least 0, the mode one of "
            f"{', '.join(MODES)}."
        )
    a, b = x1.unsqueeze(-2), x2.unsqueeze(-3)
    check_broadcast("cdist", a[..., 0], b[..., 0])
    many = max(x1.shape[-2], x2.shape[-2]) > 25
    if p == 2 and (mode == MODES[1] or (mode == MODES[0] and many)):
        return _euclidean_by_product(x1, x2)
    return _root_of_powers(a - b, float(p))


def _euclidean_by_product(a: Tensor, b: Tensor) -> Tensor:
    """sqrt(|a|^2 + |b|^2 - 2 a b) of all rows, with gradient 0 where it is 0."""
    squares = sum(a * a, -1).unsqueeze(-1) + sum(b * b, -1).unsqueeze(-2) - 2.0 * (a @ b.mT)
    zero = squares.detach() <= 0
    return squares.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., k] = input1^T weight[k] input2 + bias[k].

    Shapes: input1 (..., I), input2 (..., J), weight (K, I, J), bias (K,) -> y (..., K), the axes
    before the last being equal. Raises ShapeError, DTypeError, DeviceError.
    """
    if AUTOCAST.on:
        values = (input1, input2, weight, bias)
        input1, input2, weight, bias = AUTOCAST.cast("bilinear", *values)
    given = [x for x in (input1, input2, weight, bias) if x is not None]
    for x in given:
        check_tensor("bilinear", x)
    if any(x.backend is not input1.backend for x in given):
        raise DeviceError(mixed_devices("bilinear", given))
    if any(x.dtype != input1.dtype for x in given):
        raise DTypeError(f"bilinear: one dtype, please; got {', '.join(map(describe, given))}.")
    lead = input1.shape[:-1]
    fits = (
        weight.ndim == 3
        and input1.ndim > 0
        and input2.ndim > 0
        and lead == input2.shape[:-1]
        and weight.shape[1:] == (input1.shape[-1], input2.shape[-1])
        and (bias is None or bias.shape == weight.shape[:1])
    )
    if not fits:
        rest = "" if bias is None else f", bias {bias.shape}"
        raise ShapeError(
            f"bilinear: input1 {input1.shape}, input2 {input2.shape}, weight {weight.shape}{rest} "
            "do not fit (..., I), (..., J), (K, I, J), (K,)."
        )
    k, i, j = weight.shape
    n = math.prod(lead)
    left = input1.reshape(n, i) @ weight.transpose(0, 1).reshape(i, k * j)
    y = (left.reshape(n, k, j) @ input2.reshape(n, j, 1)).reshape(*lead, k)
    return y if bias is None else y + bias
