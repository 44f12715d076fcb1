"""Brightness, contrast, saturation, hue and grey, of PIL images and of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpugrad.data import colour
from gpugrad.data.transforms.images import check_image
from gpugrad.errors import ArgumentError


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """0 gives black, 1 the image itself, 2 twice as bright."""
    from PIL import ImageEnhance

    _check_factor("adjust_brightness", brightness_factor)
    if check_image("adjust_brightness", img):
        return ImageEnhance.Brightness(img).enhance(brightness_factor)
    return colour.brightness(img, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """0 gives an even grey, 1 the image itself, 2 twice the contrast."""
    from PIL import ImageEnhance

    _check_factor("adjust_contrast", contrast_factor)
    if check_image("adjust_contrast", img):
        return ImageEnhance.Contrast(img).enhance(contrast_factor)
    return colour.contrast(img, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """0 gives black and white, 1 the image itself, 2 twice the saturation."""
    from PIL import ImageEnhance

    _check_factor("adjust_saturation", saturation_factor)
    if check_image("adjust_saturation", img):
        return ImageEnhance.Color(img).enhance(saturation_factor)
    return colour.saturation(img, saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Colours turned by hue_factor turns, -0.5 to 0.5. Grey images stay as they are."""
    from PIL import Image

    if not -0.5 <= hue_factor <= 0.5:
        raise ArgumentError(f"adjust_hue: hue_factor = {hue_factor}; it must be in [-0.5, 0.5].")
    if not check_image("adjust_hue", img):
        return colour.hue(img, hue_factor)
    if img.mode in ("L", "1", "I", "F"):
        return img
    h, s, v = img.convert("HSV").split()
    shifted = (np.asarray(h).astype(np.int32) + int(hue_factor * 255)) % 256
    turned = Image.fromarray(shifted.astype(np.uint8))
    return Image.merge("HSV", (turned, s, v)).convert(img.mode)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """The image in grey, of 1 channel or of 3 equal ones."""
    from PIL import Image

    if num_output_channels not in (1, 3):
        raise ArgumentError(
            f"rgb_to_grayscale: num_output_channels = {num_output_channels}; it must be 1 or 3."
        )
    if not check_image("rgb_to_grayscale", img):
        return colour.grey(img, num_output_channels)
    grey = img.convert("L")
    return grey if num_output_channels == 1 else Image.merge("RGB", (grey, grey, grey))


to_grayscale = rgb_to_grayscale


def _check_factor(name: str, factor: float) -> None:
    if factor < 0:
        raise ArgumentError(f"{name}: the factor {factor} must not be negative.")
