"""Random transforms. Each call draws anew, from gpugrad's CPU generator (see draw.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gpugrad.data.transforms import draw
from gpugrad.data.transforms import functional as TF
from gpugrad.data.transforms.fixed import Compose, Transform, check_transforms
from gpugrad.data.transforms.images import InterpolationMode, channel_count, mode_of
from gpugrad.errors import ArgumentError


def check_probability(name: str, p: Any) -> float:
    """p, if it lies in [0, 1]. Raises ArgumentError otherwise."""
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ArgumentError(f"{name}: p = {p!r}; a probability lies in [0, 1].")
    return p


class RandomApply(Transform):
    """A list of transforms, all of them with probability p, else none."""

    shown = ("p", "transforms")

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], p: float = 0.5) -> None:
        self.transforms = check_transforms("RandomApply", transforms)
        self.p = check_probability("RandomApply", p)

    def __call__(self, img: Any) -> Any:
        if draw.chance(self.p):
            for transform in self.transforms:
                img = transform(img)
        return img


class RandomChoice(Transform):
    """One of the transforms, chosen with the probabilities (or weights) p, equal unless given."""

    shown = ("p", "transforms")

    def __init__(
        self, transforms: Sequence[Callable[[Any], Any]], p: Sequence[float] | None = None
    ) -> None:
        self.transforms = check_transforms("RandomChoice", transforms)
        if not transforms:
            raise ArgumentError("RandomChoice: got no transforms; give at least one.")
        self.p = [1.0] * len(transforms) if p is None else list(p)
        if len(self.p) != len(transforms) or min(self.p) < 0 or not 0 < sum(self.p) < math.inf:
            raise ArgumentError(
                f"RandomChoice: p = {p}; expected {len(transforms)} weights of at least 0, one for "
                "each transform, not all 0."
            )

    def __call__(self, img: Any) -> Any:
        return self.transforms[draw.weighted(self.p)](img)


class RandomOrder(Compose):
    """All of the transforms, in random order."""

    def __call__(self, img: Any) -> Any:
        for i in draw.permutation(len(self.transforms)):
            img = self.transforms[i](img)
        return img


class _Chance(Transform):
    shown = ("p",)

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_probability(type(self).__name__, p)


class RandomHorizontalFlip(_Chance):
    """Mirrors left to right, with probability p."""

    def __call__(self, img: Any) -> Any:
        return TF.hflip(img) if draw.chance(self.p) else img


class RandomVerticalFlip(_Chance):
    """Mirrors top to bottom, with probability p."""

    def __call__(self, img: Any) -> Any:
        return TF.vflip(img) if draw.chance(self.p) else img


class RandomGrayscale(_Chance):
    """To grey with probability p; the number of channels stays."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def __call__(self, img: Any) -> Any:
        channels = channel_count("RandomGrayscale", img)
        return TF.rgb_to_grayscale(img, channels) if draw.chance(self.p) else img


class RandomRotation(Transform):
    """Turned by a random angle in (-degrees, degrees), or in (low, high); see `TF.rotate`."""

    shown = ("degrees", "interpolation", "expand", "fill")

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        single = isinstance(degrees, int | float)
        span = (-degrees, degrees) if isinstance(degrees, int | float) else tuple(degrees)
        if len(span) != 2 or span[0] > span[1]:
            what = "must not be negative" if single else "expected (low, high)"
            raise ArgumentError(f"RandomRotation: degrees = {degrees}; {what}.")
        self.degrees = (float(span[0]), float(span[1]))
        self.interpolation = mode_of("RandomRotation", interpolation)
        self.expand, self.center, self.fill = expand, center, fill

    def __call__(self, img: Any) -> Any:
        angle = draw.uniform(*self.degrees)
        return TF.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)


class ColorJitter(Transform):
    """Random brightness, contrast, saturation and hue, in random order.

    Each of the first three is a span b, factors then lie in [max(0, 1 - b), 1 + b], or (low, high);
    hue is a span in [0, 0.5], or (low, high) in [-0.5, 0.5]. 0 leaves out.
    """

    shown = ("brightness", "contrast", "saturation", "hue")

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = jitter_span("brightness", brightness)
        self.contrast = jitter_span("contrast", contrast)
        self.saturation = jitter_span("saturation", saturation)
        self.hue = jitter_span("hue", hue)

    def __call__(self, img: Any) -> Any:
        steps = (
            (TF.adjust_brightness, self.brightness),
            (TF.adjust_contrast, self.contrast),
            (TF.adjust_saturation, self.saturation),
            (TF.adjust_hue, self.hue),
        )
        for i in draw.permutation(4):
            adjust, span = steps[i]
            if span is not None:
                img = adjust(img, draw.uniform(*span))
        return img


def jitter_span(name: str, value: Any) -> tuple[float, float] | None:
    """(low, high) of ColorJitter's factor `name`, None where it changes nothing."""
    middle, low, high = (0.0, -0.5, 0.5) if name == "hue" else (1.0, 0.0, math.inf)
    if isinstance(value, Sequence):
        span = tuple(float(v) for v in value)
    elif value < 0:
        raise ArgumentError(f"ColorJitter: {name} = {value}; it must not be negative.")
    else:
        span = (middle - value, middle + value)
        span = (span[0] if name == "hue" else max(0.0, span[0]), span[1])
    if len(span) != 2 or not low <= span[0] <= span[1] <= high:
        raise ArgumentError(
            f"ColorJitter: {name} = {value}; its values must lie in [{low}, {high}], low before "
            "high."
        )
    return None if span == (middle, middle) else (span[0], span[1])
