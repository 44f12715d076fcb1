"""Random parts of images: cut out, or erased. Drawn from gpugrad's CPU generator (see draw.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gpugrad as gg
from gpugrad.data.transforms import draw
from gpugrad.data.transforms import functional as TF
from gpugrad.data.transforms.fixed import Transform
from gpugrad.data.transforms.geometry import borders, check_padding_mode
from gpugrad.data.transforms.images import InterpolationMode, image_size, mode_of, pair
from gpugrad.data.transforms.randomly import check_probability
from gpugrad.errors import ArgumentError, DTypeError, ShapeError
from gpugrad.tensor import Tensor


class RandomCrop(Transform):
    """A part of the image at a random place, after a border of `padding` was added.

    pad_if_needed: add what is missing where the image is smaller than size (on both sides).
    Raises ShapeError when it is smaller all the same.
    """

    shown = ("size", "padding")

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = pair("RandomCrop", "size", size)
        if padding is not None:
            borders("RandomCrop", padding)
        check_padding_mode("RandomCrop", padding_mode)
        self.padding, self.pad_if_needed = padding, pad_if_needed
        self.fill, self.padding_mode = fill, padding_mode

    def __call__(self, img: Any) -> Any:
        if self.padding is not None:
            img = TF.pad(img, self.padding, self.fill, self.padding_mode)
        height, width = self.size
        for axis, wanted in ((1, width), (0, height)):
            missing = wanted - image_size("RandomCrop", img)[axis]
            if self.pad_if_needed and missing > 0:
                border = [missing, 0] if axis else [0, missing]
                img = TF.pad(img, border, self.fill, self.padding_mode)
        h, w = image_size("RandomCrop", img)
        if h < height or w < width:
            raise ShapeError(
                f"RandomCrop: the size {height} x {width} is larger than the image, {h} x {w} with "
                "its padding.\n  Give padding or pad_if_needed=True, or resize first."
            )
        return TF.crop(img, draw.integer(0, h - height), draw.integer(0, w - width), height, width)


class RandomResizedCrop(Transform):
    """A part of random area and proportion, brought to `size` (Szegedy et al. 2015).

    scale: the area, as shares of the image's, drawn evenly; ratio: width / height, drawn evenly in
    its logarithm. Where ten draws do not fit the image, its middle is taken.
    """

    shown = ("size", "scale", "ratio", "interpolation", "antialias")

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = pair("RandomResizedCrop", "size", size)
        self.scale = _span("RandomResizedCrop", "scale", scale)
        self.ratio = _span("RandomResizedCrop", "ratio", ratio)
        self.interpolation = mode_of("RandomResizedCrop", interpolation)
        self.antialias = antialias

    def __call__(self, img: Any) -> Any:
        part = self.get_params(img, self.scale, self.ratio)
        return TF.resized_crop(img, *part, self.size, self.interpolation, self.antialias)

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random part."""
        height, width = image_size("RandomResizedCrop", img)
        found = _random_part(height, width, scale, ratio)
        if found is not None:
            return found
        h, w = height, width
        if width / height < ratio[0]:
            h = round(width / ratio[0])
        elif width / height > ratio[1]:
            w = round(height * ratio[1])
        return (height - h) // 2, (width - w) // 2, h, w


def _random_part(
    height: int, width: int, scale: Sequence[float], ratio: Sequence[float], whole: bool = True
) -> tuple[int, int, int, int] | None:
    """A random (top, left, h, w) in the image; None after ten that do not fit.

    whole: parts as large as the image count as fitting.
    """
    least = 0 if whole else 1
    for _ in range(10):
        area = height * width * draw.uniform(scale[0], scale[1])
        shape = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width - least and 0 < h <= height - least:
            return draw.integer(0, height - h), draw.integer(0, width - w), h, w
    return None


def _span(name: str, what: str, values: Any) -> tuple[float, float]:
    """(low, high) as floats. Raises ArgumentError unless 0 <= low <= high and high is above 0."""
    fine = isinstance(values, Sequence) and len(values) == 2 and 0 <= values[0] <= values[1]
    if not fine or values[0 if what == "ratio" else 1] <= 0:
        raise ArgumentError(f"{name}: {what} = {values!r}; expected (low, high), both above 0.")
    return float(values[0]), float(values[1])


class RandomErasing(Transform):
    """With probability p, sets a random part of a tensor image to `value` (Zhong et al. 2017).

    scale: the share of the area; ratio: height / width; value: a number, one for each channel, or
    "random" for normal noise.
    """

    shown = ("p", "scale", "ratio", "value", "inplace")

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        self.p = check_probability("RandomErasing", p)
        self.scale = _span("RandomErasing", "scale", scale)
        self.ratio = _span("RandomErasing", "ratio", ratio)
        if self.scale[1] > 1:
            raise ArgumentError(f"RandomErasing: scale = {scale}; shares lie in [0, 1].")
        if isinstance(value, str) and value != "random":
            raise ArgumentError(f"RandomErasing: value = {value!r}; the only word is 'random'.")
        self.value, self.inplace = value, inplace

    def __call__(self, img: Any) -> Any:
        if not isinstance(img, Tensor):
            raise DTypeError(
                f"RandomErasing: expected a tensor, got a {type(img).__name__}.\n"
                "  Put ToTensor() before it."
            )
        height, width = image_size("RandomErasing", img)
        if not draw.chance(self.p):
            return img
        inverse = (1 / self.ratio[1], 1 / self.ratio[0])  # of height / width: width / height
        part = _random_part(height, width, self.scale, inverse, whole=False)
        if part is None:
            return img
        top, left, h, w = part
        return TF.erase(img, top, left, h, w, self._fill(img, h, w), self.inplace)

    def _fill(self, img: Tensor, h: int, w: int) -> Any:
        channels = int(img.shape[-3])
        if self.value == "random":
            return gg.randn(channels, h, w).to(img.device, img.dtype)
        if isinstance(self.value, int | float):
            return self.value
        if len(self.value) not in (1, channels):
            raise ShapeError(
                f"RandomErasing: value has {len(self.value)} entries, the image {channels} "
                "channels."
            )
        colour = gg.tensor(list(self.value), dtype=img.dtype, device=img.device)
        return colour.reshape(-1, 1, 1)
