"""In place of torchvision.utils: many images in one picture, and pictures in files."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError, DTypeError, ShapeError
from gpugrad.tensor import Tensor


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images (N, C, H, W), or a list of (C, H, W), side by side: one image (3 or C, h, w).

    nrow: images in a row. padding: pixels between and around them, of pad_value. normalize: bring
    values from value_range (else the smallest and largest; of each image with scale_each) to
    [0, 1]. Grey images get three equal channels. A single image comes back without a border.
    """
    x = _batch(tensor)
    if nrow < 1 or padding < 0:
        raise ArgumentError(
            f"make_grid: nrow = {nrow}, padding = {padding}; nrow must be above 0, padding not "
            "negative."
        )
    if normalize:
        x = _normalised(x, value_range, scale_each)
    if x.shape[0] == 1:
        return x[0]
    n, channels, height, width = x.shape
    columns = min(nrow, n)
    rows = math.ceil(n / columns)
    height, width = height + padding, width + padding
    grid = x.new_full((channels, rows * height + padding, columns * width + padding), pad_value)
    for i in range(n):
        top, left = i // columns * height + padding, i % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = x[i]
    return grid


def save_image(
    tensor: Tensor | Sequence[Tensor],
    fp: str | os.PathLike[str],
    format: str | None = None,
    **options: Any,
) -> None:
    """Writes images with values in [0, 1] as one picture; `options` are make_grid's.

    The format follows the name's ending unless it is given. Raises DataError for a file that
    cannot be written, and for an unknown ending.
    """
    from PIL import Image

    grid = make_grid(tensor, **options)
    pixels = (grid * 255 + 0.5).clamp(0, 255).to(gg.uint8).cpu().numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    try:
        image.save(fp, format=format)
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{fp}: the picture cannot be written ({reason}).\n"
            "  Name a file in a folder that exists, ending in .png or .jpg."
        ) from None


def _batch(tensor: Tensor | Sequence[Tensor]) -> Tensor:
    """Detached images (N, 1 or 3, H, W) of what make_grid takes; grey ones with three channels."""
    x = gg.stack(list(tensor)) if isinstance(tensor, list | tuple) else tensor
    if not isinstance(x, Tensor):
        raise DTypeError(f"make_grid: expected tensors, got a {type(x).__name__}.")
    x = x.detach()
    while x.ndim < 4:
        if x.ndim < 2:
            break
        x = x.unsqueeze(0)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(
            "make_grid: expected images (N, C, H, W), (C, H, W) or (H, W) of 1 or 3 channels, got "
            f"shape {tuple(x.shape)}."
        )
    return x.expand((x.shape[0], 3, *x.shape[2:])) if x.shape[1] == 1 else x


def _normalised(x: Tensor, span: tuple[float, float] | None, each: bool) -> Tensor:
    low: Any
    high: Any
    if span is not None:
        low, high = span
    else:
        dims = (1, 2, 3) if each else (0, 1, 2, 3)
        low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
        high = gg.maximum(high, low + 1e-5)
    return (x.clamp(low, high) if span else x).sub(low).div(high - low)
