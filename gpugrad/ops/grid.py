"""Sampling images at given positions: affine_grid, grid_sample (Jaderberg et al. 2015).

Composed of Tensor operations, so that the gradients of image and positions follow: one gather of
all taps, one product with their weights, one sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import describe, mixed_devices
from ..autograd.modes import no_grad
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .indexing import Gather
from .joining import stack
from .operands import check_tensor, demand_floating
from .selection import where

PADDINGS = ("zeros", "border", "reflection")


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Positions for `grid_sample`: theta times the homogeneous positions of an image of `size`.

    theta [N, 2, 3] and size (N, C, H, W) give [N, H, W, 2]; [N, 3, 4] and (N, C, D, H, W) give
    [N, D, H, W, 3]. Positions run from -1 to 1, edges with align_corners the centers of the outer
    pixels, else their outer edges; the last axis counts from the width.
    """
    t = check_tensor("affine_grid", theta)
    demand_floating("affine_grid", t)
    size = tuple([int(n) for n in size])
    axes = len(size) - 2
    if axes not in (2, 3) or t.shape != (size[0], axes, axes + 1):
        raise ShapeError(
            "affine_grid: theta must be [N, 2, 3] for size (N, C, H, W), or [N, 3, 4] for size "
            f"(N, C, D, H, W); got {describe(t)} and size {size}."
        )
    if min(size[1:]) < 1:
        raise ShapeError(f"affine_grid: sizes must be positive; got {size}.")
    lines = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    mesh = np.meshgrid(*lines, indexing="ij")[::-1]  # the width first
    base = np.stack([*mesh, np.ones(size[2:])], -1).reshape(1, -1, axes + 1).astype(t.dtype)
    grid = Tensor(t.backend.from_numpy(base), t.backend) @ t.transpose(1, 2)
    return grid.reshape(size[0], *size[2:], axes)


def _reflected(at: Tensor, low: float, span: float) -> Tensor:
    """Mirrored at `low` and `low + span` until inside."""
    if span <= 0:
        return at * 0
    distance = (at - low).abs()
    with no_grad():
        flips = (distance / span).floor()
        even = flips.remainder(2) == 0
    rest = distance - flips * span
    return where(even, rest, span - rest) + low


def _padded(at: Tensor, n: int, padding: str, align: bool) -> Tensor:
    """Positions in elements, brought inside as the padding wants it."""
    if padding == "zeros":
        return at
    if padding == "reflection":
        at = _reflected(at, 0.0, n - 1.0) if align else _reflected(at, -0.5, float(n))
    at = at.clamp(0, n - 1)
    return where(at.isnan(), 0.0, at)  # as PyTorch has it


def _cubic_weights(t: Tensor) -> Tensor:
    """Keys's kernel, a = -0.75, of the taps at -1, 0, 1, 2 for a position at t."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return stack([far(t + 1), near(t), near(1 - t), far(2 - t)], -1)


def _taps(at: Tensor, n: int, mode: str, padding: str, align: bool) -> tuple[Tensor, Tensor]:
    """(index, weight) [..., taps] along an axis of n for positions `at` in [-1, 1]."""
    at = (at + 1) * ((n - 1) / 2) if align else (at + 1) * (n / 2) - 0.5
    cubic = mode == "bicubic"
    if not cubic:
        at = _padded(at, n, padding, align)
    with no_grad():
        first = at.round() if mode == "nearest" else at.floor()
        steps = {"nearest": [0], "bilinear": [0, 1], "bicubic": [-1, 0, 1, 2]}[mode]
        taps = stack([first + s for s in steps], -1)
        if cubic:
            taps = _padded(taps, n, padding, align)
        inside = ((taps >= 0) & (taps <= n - 1)).to(at.dtype)
        index = taps.clamp(0, n - 1).to(dtypes.int64)
    if mode == "nearest":  # a position that wants a gradient gets zeros, as in PyTorch
        return index, inside + 0 * at.unsqueeze(-1) if at.requires_grad else inside
    t = at - first
    weight = _cubic_weights(t) if cubic else stack([1 - t, t], -1)
    return index, weight * inside


def _check(x: Tensor, grid: Tensor, mode: str, padding_mode: str) -> None:
    name, axes = "grid_sample", x.ndim - 2
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ArgumentError(f"{name}: mode must be bilinear, nearest or bicubic; got {mode!r}.")
    if padding_mode not in PADDINGS:
        raise ArgumentError(
            f"{name}: padding_mode must be zeros, border or reflection; got {padding_mode!r}."
        )
    if x.backend is not grid.backend:
        raise DeviceError(mixed_devices(name, (x, grid)))
    if x.dtype != grid.dtype:
        raise DTypeError(
            f"{name}: input and grid must have one dtype; got {describe(x)} and {describe(grid)}."
        )
    if axes not in (2, 3) or grid.ndim != x.ndim or grid.shape[-1] != axes:
        raise ShapeError(
            f"{name}: input [N, C, H, W] takes a grid [N, h, w, 2], and [N, C, D, H, W] a grid "
            f"[N, d, h, w, 3]; got {describe(x)} and {describe(grid)}."
        )
    if x.shape[0] != grid.shape[0] or 0 in x.shape[2:]:
        raise ShapeError(
            f"{name}: input and grid must have one batch, and the images a size; got "
            f"{describe(x)} and {describe(grid)}."
        )
    if mode == "bicubic" and axes != 2:
        raise ArgumentError(f"{name}: bicubic is for images [N, C, H, W]; got {describe(x)}.")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The images at the positions of `grid`: [N, C, in...] and [N, out..., axes] to [N, C, out...].

    A position (x, y) or (x, y, z) counts from the width, from -1 to 1: with align_corners between
    the centers of the outer pixels, else between their outer edges. Outside there are zeros, the
    nearest pixel (border) or mirror images (reflection). mode: nearest (half to even; the grid's
    gradient is zero), bilinear (trilinear for volumes), bicubic (images alone).
    """
    if AUTOCAST.on:
        input, grid = AUTOCAST.cast("grid_sample", input, grid)
    x, positions = check_tensor("grid_sample", input), check_tensor("grid_sample", grid)
    demand_floating("grid_sample", x)
    _check(x, positions, mode, padding_mode)
    axes, dtype = x.ndim - 2, x.dtype
    wide = dtypes.accumulation(dtype)  # halves hold a position to a tenth of a pixel at most
    x, positions = x.to(wide), positions.to(wide)
    pairs = [
        _taps(positions[..., axes - 1 - i], n, mode, padding_mode, bool(align_corners))
        for i, n in enumerate(x.shape[2:])
    ]
    count, taps = pairs[0][0].shape[:-1], pairs[0][0].shape[-1]

    def spread(t: Tensor, i: int) -> Tensor:
        """[..., taps] of axis i as [..., 1 or taps for each axis]."""
        return t.reshape(*count, *[taps if j == i else 1 for j in range(axes)])

    weight = reduce(lambda a, b: a * b, [spread(w, i) for i, (_, w) in enumerate(pairs)])
    image = np.arange(x.shape[0]).reshape(-1, *[1] * (2 * axes))
    images = Tensor(x.backend.from_numpy(image), x.backend)
    places: list[Any] = [images, *(spread(index, i) for i, (index, _) in enumerate(pairs))]
    full = (*count, *[taps] * axes)
    channels = x.movedim(1, -1)
    values = Gather.apply(channels, *[p.expand(full) for p in places])
    many = taps**axes
    values = values.reshape(*count, many, x.shape[1])
    y = (values * weight.reshape(*count, many, 1)).sum(-2)
    return y.movedim(-1, 1).contiguous().to(dtype)
