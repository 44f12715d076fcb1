"""Transforms without randomness, and those made of other transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpugrad import dtype as dtypes
from gpugrad.data.transforms import functional as TF
from gpugrad.data.transforms.geometry import borders, check_padding_mode
from gpugrad.data.transforms.images import InterpolationMode, mode_of, pair
from gpugrad.errors import ArgumentError


class Transform:
    """Base of transforms: its repr shows how it was made."""

    shown: tuple[str, ...] = ()

    def __call__(self, img: Any) -> Any:
        """The transformed image."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(img)")

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={_text(getattr(self, name))}" for name in self.shown)
        return f"{type(self).__name__}({facts})"


def _text(value: Any) -> str:
    return value.value if isinstance(value, InterpolationMode) else repr(value)


class Compose(Transform):
    """Several transforms, one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = check_transforms("Compose", transforms)

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = [repr(each).replace("\n", "\n    ") for each in self.transforms]
        return "\n    ".join([f"{type(self).__name__}(", *lines]) + "\n)"


def is_unmade(value: Any) -> bool:
    """Whether `value` is a class of transforms where an instance is wanted: ToTensor for
    ToTensor()."""
    return isinstance(value, type) and issubclass(value, Transform)


def check_transforms(name: str, transforms: Any) -> Sequence[Callable[[Any], Any]]:
    """The given transforms; ArgumentError where one of them cannot be called."""
    if not isinstance(transforms, Sequence):
        raise ArgumentError(
            f"{name}: expected a list of transforms, got a {type(transforms).__name__}."
        )
    for i, each in enumerate(transforms):
        if not callable(each) or is_unmade(each):
            what = f"the class {each.__name__}" if is_unmade(each) else repr(each)
            raise ArgumentError(
                f"{name}: transforms[{i}] is {what}, not a transform.\n"
                "  Give instances, such as ToTensor(), or functions."
            )
    return transforms


class Lambda(Transform):
    """A function as a transform. Workers of a DataLoader need one from the top of a module."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise ArgumentError(f"Lambda: expected a function, got a {type(lambd).__name__}.")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)


class ToTensor(Transform):
    """A PIL image or array (H, W, C) of 8 bits to float32 (C, H, W) in [0, 1]; others keep their
    values."""

    def __call__(self, pic: Any) -> Any:
        return TF.to_tensor(pic)


class PILToTensor(Transform):
    """A PIL image to a tensor (C, H, W) with its values as they are."""

    def __call__(self, pic: Any) -> Any:
        return TF.pil_to_tensor(pic)


class ToPILImage(Transform):
    """A tensor (C, H, W) or array (H, W, C) to a PIL image; mode: None chooses by channels."""

    shown = ("mode",)

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return TF.to_pil_image(pic, self.mode)


class ConvertImageDtype(Transform):
    """A tensor to another dtype, its values scaled: [0, 1] floating, 0 to the largest whole."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtypes.as_dtype(dtype)

    def __call__(self, image: Any) -> Any:
        return TF.convert_image_dtype(image, self.dtype)


class Normalize(Transform):
    """(x - mean) / std, for each channel of a floating tensor (..., C, H, W)."""

    shown = ("mean", "std")

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        if not np.asarray(std, np.float64).all():
            raise ArgumentError(f"Normalize: std = {std} has a 0, by which one cannot divide.")
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, tensor: Any) -> Any:
        return TF.normalize(tensor, self.mean, self.std, self.inplace)


class Resize(Transform):
    """To (height, width), or, given one number, so that the shorter side has that length."""

    shown = ("size", "interpolation", "max_size", "antialias")

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        pair("Resize", "size", size)
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = mode_of("Resize", interpolation)

    def __call__(self, img: Any) -> Any:
        return TF.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """The middle of the image; with a border of zeros where it is smaller."""

    shown = ("size",)

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair("CenterCrop", "size", size)

    def __call__(self, img: Any) -> Any:
        return TF.center_crop(img, self.size)


class Pad(Transform):
    """A border: all sides, (horizontal, vertical) or (left, top, right, bottom); see `TF.pad`."""

    shown = ("padding", "fill", "padding_mode")

    def __init__(
        self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        borders("Pad", padding)
        check_padding_mode("Pad", padding_mode)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def __call__(self, img: Any) -> Any:
        return TF.pad(img, self.padding, self.fill, self.padding_mode)


class Grayscale(Transform):
    """To grey, in 1 channel or in 3 equal ones."""

    shown = ("num_output_channels",)

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ArgumentError(
                f"Grayscale: num_output_channels = {num_output_channels}; it must be 1 or 3."
            )
        self.num_output_channels = num_output_channels

    def __call__(self, img: Any) -> Any:
        return TF.rgb_to_grayscale(img, self.num_output_channels)
