"""Fractional max pooling: windows at random steps, so that sizes shrink by any ratio (Graham 2014).

Composed of gathers: each plane has windows of its own.
"""

from __future__ import annotations

import math
from typing import Any

from .. import dtype as dtypes
from ..autograd.function import describe
from ..errors import ArgumentError, ShapeError
from ..ranges import arange
from ..tensor import Tensor
from .joining import cat
from .operands import check_tensor, demand_floating
from .windows import Sizes, per_axis


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest of each window; windows of a plane lie at steps of in / out on average.

    input [N, C, H, W] or [C, H, W]; the sizes of the result are output_size, or output_ratio (one
    number in (0, 1), or one for each axis) times the input's. For sample u in [0, 1), alpha =
    (in - kernel) / (out - 1), window i begins at floor((i + u) alpha) - floor(u alpha), the last at
    in - kernel. u is drawn for each plane and axis unless _random_samples [N, C, 2] gives it (the
    last axis first). return_indices: also int64 positions in the flattened planes.
    """
    sizes = (kernel_size, output_size, output_ratio)
    return _pool(2, input, *sizes, return_indices, _random_samples, [1, 0])


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """As `fractional_max_pool2d`, of [N, C, D, H, W]; _random_samples [N, C, 3], D's first."""
    sizes = (kernel_size, output_size, output_ratio)
    return _pool(3, input, *sizes, return_indices, _random_samples, [0, 1, 2])


def _pool(
    axes: int,
    input: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Tensor | None,
    order: list[int],
) -> Any:
    name = f"fractional_max_pool{axes}d"
    demand_floating(name, check_tensor(name, input))
    if input.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"{name}: input must have {axes + 2} axes, or {axes + 1}: {input.shape}.")
    x = input if input.ndim == axes + 2 else input.unsqueeze(0)
    lead, spatial = x.shape[:2], x.shape[2:]
    kernel = per_axis(name, "kernel_size", kernel_size, axes, 1)
    out = output_sizes(name, spatial, output_size, output_ratio)
    if any(o + k - 1 > n for o, k, n in zip(out, kernel, spatial, strict=True)):
        raise ShapeError(f"{name}: windows {kernel}, {out} of them, do not fit into {spatial}.")
    u = x.new_empty((*lead, axes)).uniform_() if samples is None else samples
    if u.shape != (*lead, axes) or u.dtype != x.dtype:
        wanted = f"{(*lead, axes)} {x.dtype.name}"
        raise ShapeError(f"{name}: _random_samples {describe(u)} must be {wanted}.")
    at = x.new_zeros((*lead, *[1] * (2 * axes)), dtype=dtypes.int64)
    for i in range(axes):
        places = _places(u[..., order[i]], spatial[i], out[i], kernel[i])
        shape = [1] * (2 * axes)
        shape[i], shape[axes + i] = out[i], kernel[i]
        at = at * spatial[i] + places.reshape(*lead, *shape)
    windows = at.reshape(*lead, math.prod(out), math.prod(kernel))
    taken = x.flatten(2).gather(2, windows.flatten(2)).reshape(windows.shape)
    y, best = taken.max(-1)
    indices = windows.gather(-1, best.unsqueeze(-1)).squeeze(-1)
    final = input.shape[: input.ndim - axes] + out
    return (y.reshape(final), indices.reshape(final)) if return_indices else y.reshape(final)


def _places(u: Tensor, n: int, out: int, kernel: int) -> Tensor:
    """Positions of all taps along an axis: u [N, C] -> int64 [N, C, out, kernel]."""
    device = u.device
    starts = u.new_full((*u.shape, 1), n - kernel, dtype=dtypes.int64)
    if out > 1:
        alpha = (n - kernel) / (out - 1)
        steps = arange(out - 1, dtype=u.dtype, device=device)
        base = u.unsqueeze(-1)
        begin = ((base + steps) * alpha).to(dtypes.int64) - (base * alpha).to(dtypes.int64)
        starts = cat([begin, starts], -1)
    return starts.unsqueeze(-1) + arange(kernel, dtype=dtypes.int64, device=device)


def output_sizes(name: str, spatial: Sizes, output_size: Any, output_ratio: Any) -> Sizes:
    """The sizes that output_size or output_ratio ask for; ArgumentError unless one is given."""
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(f"{name}: give one of output_size and output_ratio.")
    if output_size is not None:
        return per_axis(name, "output_size", output_size, len(spatial), 1)
    ratios = check_ratios(name, output_ratio, len(spatial))
    return tuple([max(int(n * r), 0) for n, r in zip(spatial, ratios, strict=True)])


def check_ratios(name: str, output_ratio: Any, axes: int) -> tuple[float, ...]:
    """One ratio in (0, 1) for each axis."""
    given = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * axes
    if len(given) != axes or not all(0 < r < 1 for r in given):
        raise ArgumentError(
            f"{name}(output_ratio={output_ratio!r}): a number between 0 and 1, or {axes} of them."
        )
    return tuple(float(r) for r in given)
