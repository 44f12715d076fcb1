"""What transforms take: PIL images and tensors (..., C, H, W); sizes, interpolation modes."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from gpugrad.errors import ArgumentError, DTypeError, ShapeError
from gpugrad.tensor import Tensor


class InterpolationMode(enum.Enum):
    """How pixels between pixels are made."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def is_pil(image: Any) -> bool:
    """Whether `image` is a PIL image."""
    from PIL import Image

    return isinstance(image, Image.Image)


def check_image(name: str, image: Any) -> bool:
    """True for a PIL image, False for a tensor; DTypeError or ShapeError for anything else."""
    if is_pil(image):
        return True
    if not isinstance(image, Tensor):
        raise DTypeError(
            f"{name}: expected a PIL image or a tensor, got a {type(image).__name__}.\n"
            "  Of an array make an image with ToPILImage(), or a tensor with ToTensor()."
        )
    if image.ndim < 3:
        raise ShapeError(
            f"{name}: expected a tensor image (..., C, H, W), got shape {tuple(image.shape)}."
        )
    return False


def image_size(name: str, image: Any) -> tuple[int, int]:
    """(height, width)."""
    if check_image(name, image):
        return image.height, image.width
    return int(image.shape[-2]), int(image.shape[-1])


def channel_count(name: str, image: Any) -> int:
    """1 for grey, 3 for RGB, and so on."""
    if check_image(name, image):
        return len(image.getbands())
    return int(image.shape[-3])


def pair(name: str, what: str, value: Any) -> tuple[int, int]:
    """(height, width) from a number for both, or a sequence of one or two. At least 1 each."""
    sizes = tuple(value) if isinstance(value, Sequence) else (value,)
    if len(sizes) == 1:
        sizes *= 2
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes)
    if len(sizes) != 2 or not whole:
        raise ArgumentError(
            f"{name}: {what} = {value!r}; expected a whole number above 0, or (height, width)."
        )
    return sizes


def mode_of(name: str, interpolation: Any) -> InterpolationMode:
    """The mode of an InterpolationMode, of its name, or of Pillow's number."""
    if isinstance(interpolation, InterpolationMode):
        return interpolation
    numbers = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
    try:
        return InterpolationMode(numbers.get(interpolation, interpolation))
    except (ValueError, TypeError):
        known = ", ".join(mode.name for mode in InterpolationMode)
        raise ArgumentError(
            f"{name}: interpolation = {interpolation!r}; expected an InterpolationMode: {known}."
        ) from None


def resampling(mode: InterpolationMode) -> Any:
    """Pillow's constant for a mode."""
    from PIL import Image

    return Image.Resampling[mode.name]
