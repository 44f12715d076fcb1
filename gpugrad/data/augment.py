"""Augmentation of whole batches where they lie: on the GPU, without a loop over images.

    augment = Compose([RandomCrop(32, padding=4, padding_mode="reflect", flip=0.5),
                       Normalize(CIFAR10.mean, CIFAR10.std), Cutout(8)])
    for x, y in Augmented(DataLoader(train_set.tensor_dataset("cuda"), 512, shuffle=True), augment):

Each takes images (N, C, H, W), uint8 or floating, and gives new ones; every image gets draws of its
own. Draws come from `generator`, or the default one of the batch's device: one seed gives the same
images on every device. MixUp takes and gives labels, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad.data import colour
from gpugrad.data.transforms.images import pair
from gpugrad.data.transforms.randomly import check_probability, jitter_span
from gpugrad.device import Device
from gpugrad.errors import ArgumentError, DTypeError, ShapeError
from gpugrad.ops.resample import crop
from gpugrad.random import Generator, default_generator
from gpugrad.tensor import Tensor

PADDING_MODES = ("zeros", "reflect", "replicate")


class Augmentation:
    """Base: called with images, gives images. `with_labels`: called with both, gives both."""

    with_labels = False
    generator: Generator | None = None

    def __call__(self, x: Tensor) -> Any:
        """The augmented batch."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(x)")

    def source(self, x: Tensor) -> Generator:
        """The generator to draw from; draws of it on the host serve as well, without a wait."""
        return self.generator or default_generator(x.device)

    def draw(self, x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """A float32 number in [low, high) for each image of x, as (N,)."""
        u = gg.rand(int(x.shape[0]), generator=self.source(x), device=x.device)
        return u if (low, high) == (0.0, 1.0) else u * (high - low) + low

    def draw_whole(self, x: Tensor, low: int, high: int) -> Tensor:
        """A whole number from low to high, both included, for each image of x, as (N,) int64."""
        size = (int(x.shape[0]),)
        return gg.randint(low, high + 1, size, generator=self.source(x), device=x.device)

    def check(self, x: Any) -> tuple[int, int]:
        """(H, W) of a batch of images. Raises DTypeError or ShapeError for anything else."""
        name = type(self).__name__
        if not isinstance(x, Tensor):
            raise DTypeError(f"{name}: expected a tensor, got a {type(x).__name__}.")
        if x.ndim != 4:
            raise ShapeError(f"{name}: expected images (N, C, H, W), got shape {tuple(x.shape)}.")
        return int(x.shape[2]), int(x.shape[3])


class Compose(Augmentation):
    """Several augmentations, one after the other. Called with labels it gives both back."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)
        self.with_labels = any(getattr(each, "with_labels", False) for each in self.transforms)

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Any:
        for transform in self.transforms:
            if getattr(transform, "with_labels", False):
                if y is None:
                    raise ArgumentError(
                        f"Compose: {type(transform).__name__} mixes labels, and got none.\n"
                        "  Call compose(x, y), or use Augmented, which does."
                    )
                x, y = transform(x, y)
            else:
                x = transform(x)
        return x if y is None else (x, y)


class RandomCrop(Augmentation):
    """A part of `size` at a random place of each image, after a border of `padding` was added.

    One pass over memory: the border is never written, and images are mirrored left to right with
    probability `flip` on the way. padding_mode: "zeros", "reflect" (which does not repeat the edge)
    or "replicate".
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int = 0,
        padding_mode: str = "zeros",
        flip: float = 0.0,
        generator: Generator | None = None,
    ) -> None:
        self.size = pair("RandomCrop", "size", size)
        if not isinstance(padding, int) or padding < 0:
            raise ArgumentError(
                f"RandomCrop: padding = {padding!r}; expected a whole number, not negative."
            )
        if padding_mode not in PADDING_MODES:
            raise ArgumentError(
                f"RandomCrop: padding_mode = {padding_mode!r}; expected one of "
                f"{', '.join(PADDING_MODES)}."
            )
        self.padding, self.padding_mode = padding, padding_mode
        self.flip = check_probability("RandomCrop", flip)
        self.generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        height, width = self.check(x)
        p = self.padding
        spare = (height + 2 * p - self.size[0], width + 2 * p - self.size[1])
        if min(spare) < 0:
            raise ShapeError(
                f"RandomCrop: the size {self.size} is larger than the images, ({height}, {width}) "
                f"with a padding of {p}."
            )
        if self.padding_mode == "reflect" and p >= min(height, width):
            raise ShapeError(
                f"RandomCrop: padding = {p} with 'reflect' must be smaller than the images, "
                f"({height}, {width})."
            )
        top, left = (self.draw_whole(x, -p, free - p) for free in spare)
        flip = self.draw(x) < self.flip if self.flip else gg.zeros_like(top, dtype=gg.bool)
        return crop(x, top, left, flip, self.size, self.padding_mode)


class RandomHorizontalFlip(Augmentation):
    """Mirrors each image left to right with probability p."""

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        self.p = check_probability("RandomHorizontalFlip", p)
        self.generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        size = self.check(x)
        still = gg.zeros(int(x.shape[0]), dtype=gg.int64, device=x.device)
        return crop(x, still, still, self.draw(x) < self.p, size, "zeros")


class Cutout(Augmentation):
    """Sets a square of `size` pixels, its centre anywhere in the image, to `fill`.

    Parts beyond the border are cut off, so the square is smaller for some. After Normalize 0 is the
    mean colour. Source: DeVries & Taylor 2017.
    """

    def __init__(self, size: int, fill: float = 0.0, generator: Generator | None = None) -> None:
        self.size = pair("Cutout", "size", size)[0]
        self.fill, self.generator = fill, generator

    def __call__(self, x: Tensor) -> Tensor:
        masks = []
        for length in self.check(x):
            first = self.draw_whole(x, 0, length - 1).unsqueeze(1) - self.size // 2
            at = gg.arange(length, device=x.device)
            masks.append((at >= first) & (at < first + self.size))
        rows, columns = masks
        hidden = rows[:, None, :, None] & columns[:, None, None, :]
        return x.masked_fill(hidden, self.fill)


class Normalize(Augmentation):
    """(x - mean) / std for each channel; x is scaled to [0, 1] first if it is uint8.

    dtype: of the result; None takes x's, and the default dtype for uint8.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], dtype: Any = None) -> None:
        self.mean, self.std = (np.asarray(v, np.float64).reshape(-1) for v in (mean, std))
        if self.mean.shape != self.std.shape or not self.std.all():
            raise ArgumentError(
                f"Normalize: mean = {mean}, std = {std}; expected as many values in both, and no "
                "0 in std."
            )
        self.dtype = None if dtype is None else dtypes.as_dtype(dtype)
        self._ready: dict[Any, tuple[Tensor, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ready": {}}  # tensors stay in their process

    def __call__(self, x: Tensor) -> Tensor:
        self.check(x)
        if len(self.mean) not in (1, x.shape[1]):
            raise ShapeError(
                f"Normalize: mean and std have {len(self.mean)} values, the images {x.shape[1]} "
                f"channels (shape {tuple(x.shape)})."
            )
        own = x.dtype if dtypes.is_floating(x.dtype) else dtypes.get_default_dtype()
        scale, offset = self._constants(x)
        return (x.to(scale.dtype) * scale - offset).to(self.dtype or own)

    def _constants(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """1 / std and mean / std on x's device, made once; float32 unless x is float64."""
        key = (x.backend, x.dtype)
        if key not in self._ready:
            white = colour.full_scale(x.dtype)
            wide = dtypes.accumulation(x.dtype) if dtypes.is_floating(x.dtype) else dtypes.float32
            scale, offset = 1 / (white * self.std), self.mean / self.std
            shaped = (v.reshape(1, -1, 1, 1) for v in (scale, offset))
            a, b = (gg.tensor(v, dtype=wide, device=x.device) for v in shaped)
            self._ready[key] = (a, b)
        return self._ready[key]


class ColorJitter(Augmentation):
    """Random brightness, contrast, saturation and hue for each image, in an order drawn for each
    batch (on the host: nothing waits for the device).

    Arguments as torchvision's ColorJitter: spans around 1 (hue: around 0), or (low, high).
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
        generator: Generator | None = None,
    ) -> None:
        self.spans = {
            colour.brightness: jitter_span("brightness", brightness),
            colour.contrast: jitter_span("contrast", contrast),
            colour.saturation: jitter_span("saturation", saturation),
            colour.hue: jitter_span("hue", hue),
        }
        self.generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        self.check(x)
        steps = list(self.spans.items())
        for i in gg.randperm(len(steps), generator=self.source(x)).tolist():
            adjust, span = steps[i]
            if span is not None:
                x = adjust(x, self.draw(x, *span).reshape(-1, 1, 1, 1))
        return x


class MixUp(Augmentation):
    """l x + (1 - l) x', where x' is the batch in another order and l ~ Beta(alpha, alpha), drawn
    for each batch. Source: Zhang, Cisse, Dauphin, Lopez-Paz 2018.

    Called with (x, labels) it gives the mixed images and float32 probabilities (N, num_classes),
    which cross_entropy takes as its target. `lam` and `order` are those of the last call.
    """

    with_labels = True
    lam: float = 1.0
    order: Tensor | None = None

    def __init__(
        self, num_classes: int, alpha: float = 0.2, generator: Generator | None = None
    ) -> None:
        if not 0 < alpha < math.inf:
            raise ArgumentError(f"MixUp: alpha = {alpha}; it must be above 0.")
        self.num_classes = pair("MixUp", "num_classes", num_classes)[0]
        self.alpha, self.generator = alpha, generator

    def __call__(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.check(x)
        if y is None:
            raise ArgumentError("MixUp: mixes labels, too: call it with (x, y).")
        if not dtypes.is_floating(x.dtype):
            raise DTypeError(
                f"MixUp: expected floating images, got {x.dtype.name}.\n"
                "  Put Normalize before MixUp."
            )
        # Beta by rejection needs a number of draws nobody knows; on the host nothing waits for it.
        seed = gg.randint(0, 2**31 - 1, (1,), generator=self.source(x)).item()
        self.lam = random.Random(seed).betavariate(self.alpha, self.alpha)
        self.order = gg.randperm(int(x.shape[0]), generator=self.source(x), device=x.device)
        q = gg.ops.one_hot(y, self.num_classes).to(dtypes.float32)
        return self._mixed(x), self._mixed(q)

    def _mixed(self, x: Tensor) -> Tensor:
        return x * self.lam + x[self.order] * (1 - self.lam)


class Augmented:
    """The batches (x, y, ...) of a loader with x augmented, or x and y where the transform mixes
    labels; moved to `device` before, if it is given. As long as the loader.

    `dataset` is the loader's.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        transform: Callable[..., Any],
        device: Device | str | None = None,
    ) -> None:
        if not callable(transform) or isinstance(transform, type):
            raise ArgumentError(
                f"Augmented: transform is {transform!r}; expected an augmentation, such as "
                "Compose([...])."
            )
        self.loader, self.transform, self.device = loader, transform, device

    @property
    def dataset(self) -> Any:
        """The data set of the loader."""
        loader: Any = self.loader
        return loader.dataset

    def __len__(self) -> int:
        if not isinstance(self.loader, Sized):
            raise TypeError(f"Augmented: the loader, a {type(self.loader).__name__}, has no len().")
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        with_labels = getattr(self.transform, "with_labels", False)
        for x, *rest in self.loader:
            if self.device is not None:
                x = x.to(self.device)
                rest = [each.to(self.device) for each in rest]
            with gg.no_grad():
                if with_labels:
                    x, rest[0] = self.transform(x, rest[0])
                else:
                    x = self.transform(x)
            yield (x, *rest)
