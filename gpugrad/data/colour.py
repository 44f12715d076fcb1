"""Brightness, contrast, saturation and hue of images as tensors (..., C, H, W), on any device.

C is 1 (grey) or 3 (red, green, blue). Floating values lie in [0, 1], those of integers up to the
dtype's largest. Factors are numbers, or tensors that broadcast: (N, 1, 1, 1) for one each image.
Results are clamped to the range; integers are cut, not rounded, as torchvision does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad.errors import DTypeError, ShapeError
from gpugrad.tensor import Tensor

Factor = float | Tensor
LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def check_image(name: str, x: Tensor) -> None:
    """Raises ShapeError or DTypeError unless x is (..., 1 or 3, H, W), integers or floating."""
    if x.ndim < 3 or x.shape[-3] not in (1, 3):
        raise ShapeError(
            f"{name}: expected an image of shape (..., C, H, W) with 1 or 3 channels, got "
            f"{tuple(x.shape)}."
        )
    if x.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: not defined for bool images; convert them with .float() first.")


def full_scale(dtype: Any) -> float:
    """The value of white: 1 for floating dtypes, the largest for integers."""
    return 1.0 if dtypes.is_floating(dtype) else float(np.iinfo(dtype).max)


def brightness(x: Tensor, factor: Factor) -> Tensor:
    """factor x: 0 is black, 1 leaves x as it is."""
    check_image("brightness", x)
    return _finished(_widened(x) * factor, x)


def contrast(x: Tensor, factor: Factor) -> Tensor:
    """factor x + (1 - factor) m, m the mean of the image in grey."""
    check_image("contrast", x)
    mean = _widened(_luma(x)).mean((-3, -2, -1), keepdim=True)
    return _blended(x, mean, factor)


def saturation(x: Tensor, factor: Factor) -> Tensor:
    """factor x + (1 - factor) grey(x). Images of one channel stay as they are."""
    check_image("saturation", x)
    return x if x.shape[-3] == 1 else _blended(x, _widened(_luma(x)), factor)


def hue(x: Tensor, shift: Factor) -> Tensor:
    """Colours turned around the grey axis of HSV by `shift` turns, -0.5 to 0.5.

    With v the largest and d the span of (r, g, b), and h the hue in sixths of a turn, channel n of
    (r: 5, g: 3, b: 1) is v - d clamp(min(k, 4 - k), 0, 1), k = (n + h + 6 shift) mod 6. Images of
    one channel stay as they are.
    """
    check_image("hue", x)
    if x.shape[-3] == 1:
        return x
    scale = full_scale(x.dtype)
    rgb = _widened(x) / scale
    r, g, b = (rgb.narrow(-3, i, 1) for i in range(3))
    v = rgb.amax(-3, keepdim=True)
    d = v - rgb.amin(-3, keepdim=True)
    safe = d.masked_fill(d == 0, 1.0)
    sixths = gg.where(v == g, (b - r) / safe + 2, (r - g) / safe + 4)
    sixths = gg.where(v == r, ((g - b) / safe) % 6, sixths)
    turned = sixths + (shift if isinstance(shift, float | int) else shift.to(d.dtype)) * 6
    channels = []
    for n in (5, 3, 1):
        k = (turned + n) % 6
        channels.append(v - d * gg.minimum(k, 4 - k).clamp(0.0, 1.0))
    # Integers: half a step up, as cutting off would lose one of 255 where nothing was shifted.
    back = gg.cat(channels, -3) * scale
    return _finished(back if dtypes.is_floating(x.dtype) else back + 0.5, x)


def grey(x: Tensor, channels: int = 1) -> Tensor:
    """0.2989 r + 0.587 g + 0.114 b, in 1 channel or in 3 equal ones."""
    check_image("grey", x)
    y = _luma(x)
    return y if channels == 1 else y.expand((*y.shape[:-3], channels, *y.shape[-2:]))


def _luma(x: Tensor) -> Tensor:
    if x.shape[-3] == 1:
        return x
    wide = _widened(x)
    r, g, b = (wide.narrow(-3, i, 1) * weight for i, weight in enumerate(LUMA))
    return (r + g + b).to(x.dtype)


def _widened(x: Tensor) -> Tensor:
    """Halves and integers in float32."""
    return x if x.dtype in (dtypes.float32, dtypes.float64) else x.to(dtypes.float32)


def _blended(x: Tensor, other: Tensor, factor: Factor) -> Tensor:
    return _finished(_widened(x) * factor + other * (1 - factor), x)


def _finished(y: Tensor, x: Tensor) -> Tensor:
    return y.clamp(0.0, full_scale(x.dtype)).to(x.dtype)
