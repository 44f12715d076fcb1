"""Resampling, crops and windows as columns, every device against the specification."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from contract_tools import (
    ALL,
    FLOATING,
    LAYOUTS,
    check,
    epsilon,
    place,
    random,
    random_walk,
    values,
    wide,
)

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.base import PoolWindow
from gpugrad.errors import ArgumentError

IMAGE_LAYOUTS = ["channels_last", *LAYOUTS]


def place_image(backend: Backend, x: np.ndarray, layout: str) -> tuple[Any, np.ndarray]:
    if layout != "channels_last":
        return place(backend, x, layout)
    axes = (0, x.ndim - 1, *range(1, x.ndim - 1))
    return backend.from_numpy(np.moveaxis(x, 1, -1)).transpose(axes), x


def table(size: int, out: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of none to seven terms, from anywhere."""
    rng = random(seed)
    counts = rng.integers(0, 8, out) if size else np.zeros(out, np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    index = rng.integers(0, max(size, 1), offsets[-1]).astype(np.int32)
    return offsets, index, rng.standard_normal(offsets[-1])


RESAMPLED = [(2, 3, 5, 7), (1, 16, 6, 8), (2, 8, 9), (1, 2, 3, 4, 5), (3, 0, 4), (2, 1500, 3)]


@pytest.mark.parametrize("dtype", FLOATING)
def test_resample(backend: Backend, dtype: str) -> None:
    accumulator = dtypes.accumulation(dtypes.as_dtype(dtype))
    for number, shape in enumerate(RESAMPLED):
        for axis in range(len(shape)):
            layout = IMAGE_LAYOUTS[(number + 2 * axis) % 7]
            x, numpy = place_image(backend, values(shape, dtype, number), layout)
            out = (0, 3, 11)[(number + axis) % 3]
            offsets, index, weight = table(shape[axis], out, number + axis)
            weight = weight.astype(accumulator)
            placed = [backend.from_numpy(a) for a in (offsets, index, weight)]
            options = (axis, dtypes.float64)
            expected = reference.resample(wide(numpy), offsets, index, wide(weight), *options)
            magnitude = reference.resample(
                np.abs(wide(numpy)), offsets, index, np.abs(wide(weight)), *options
            )
            error = epsilon(dtype) * random_walk(8) * magnitude
            for result in {dtypes.as_dtype(dtype), accumulator}:
                got = backend.kernels.resample(x, *placed, axis, result)
                check(backend, got, expected, error, result)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_resample_rounds_a_wide_array_once(backend: Backend, dtype: str) -> None:
    x = values((2, 3, 9), "float32")
    offsets, index, weight = table(9, 5, 1)
    terms = (offsets, index, weight.astype(np.float32))
    placed = [backend.from_numpy(a) for a in terms]
    got = backend.kernels.resample(backend.from_numpy(x), *placed, 2, dtypes.as_dtype(dtype))
    expected = reference.resample(wide(x), offsets, index, wide(terms[2]), 2, dtypes.float64)
    check(backend, got, expected, epsilon("float32") * 16 * np.abs(expected).max(), dtype)


@pytest.mark.parametrize("border", ["zeros", "reflect", "replicate"])
@pytest.mark.parametrize("dtype", ALL)
def test_crop(backend: Backend, dtype: str, border: str) -> None:
    for number, (shape, size) in enumerate(
        [
            ((7, 3, 8, 9), (8, 9)),
            ((6, 16, 5, 6), (7, 3)),
            ((3, 1, 2, 4), (3, 2)),
            ((2, 2, 6, 6), (0, 3)),
        ]
    ):
        rng = random(number)
        reach = [min(4, n - 1) for n in shape[2:]]  # no further out than a mirror shows
        top = rng.integers(-reach[0], shape[2] + reach[0] - size[0] + 1, shape[0])
        left = rng.integers(-reach[1], shape[3] + reach[1] - size[1] + 1, shape[0])
        flip = np.arange(shape[0]) % 2 == 1
        left[1] = 0  # a mirror image, or a part of it
        for layout in IMAGE_LAYOUTS:
            x, numpy = place_image(backend, values(shape, dtype, number), layout)
            placed = [backend.from_numpy(a) for a in (top, left, flip)]
            got = backend.kernels.crop(x, *placed, size, border)
            check(backend, got, reference.crop(numpy, top, left, flip, size, border))


def test_crop_far_outside(backend: Backend) -> None:
    x = values((2, 1, 4, 4), "float32")
    places = np.array([-(1 << 40), 1 << 40])
    placed = [backend.from_numpy(a) for a in (places, places, np.zeros(2, bool))]
    images = backend.from_numpy(x)
    got = backend.to_numpy(backend.kernels.crop(images, *placed, (2, 3), "zeros"))
    assert not got.any()
    got = backend.to_numpy(backend.kernels.crop(images, *placed, (2, 3), "replicate"))
    assert (got[0] == x[0, 0, 0, 0]).all() and (got[1] == x[1, 0, 3, 3]).all()


Unfolded = tuple[tuple[int, ...], PoolWindow]
UNFOLDED: list[Unfolded] = [
    ((2, 3, 6, 7), ((3, 3), (1, 1), (1, 1), (1, 1))),
    ((1, 2, 8, 9), ((2, 3), (2, 3), (0, 2), (2, 1))),
    ((2, 16, 5, 5), ((3, 2), (1, 2), (2, 0), (2, 1))),
    ((2, 3, 11), ((4,), (3,), (2,), (2,))),
    ((1, 2, 4, 5, 3), ((2, 2, 3), (1, 2, 1), (1, 0, 1), (1, 2, 1))),
    ((0, 3, 4, 4), ((2, 2), (1, 1), (0, 0), (1, 1))),
    ((1, 2, 3, 3), ((1, 1), (5, 5), (4, 4), (1, 1))),  # most windows lie outside
]


def windows(shape: tuple[int, ...], window: PoolWindow) -> tuple[int, ...]:
    sizes = zip(shape[2:], *window, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)


@pytest.mark.parametrize("dtype", ALL)
def test_unfold(backend: Backend, dtype: str) -> None:
    for number, (shape, window) in enumerate(UNFOLDED):
        out = windows(shape, window)
        for layout in IMAGE_LAYOUTS:
            x, numpy = place_image(backend, values(shape, dtype, number), layout)
            got = backend.kernels.unfold(x, window, out)
            check(backend, got, reference.unfold(numpy, window, out))


@pytest.mark.parametrize("dtype", FLOATING)
def test_fold(backend: Backend, dtype: str) -> None:
    for number, (shape, window) in enumerate(UNFOLDED):
        out = windows(shape, window)
        columns = (shape[0], shape[1] * prod(window[0]), prod(out))
        for layout in LAYOUTS:
            y, numpy = place(backend, values(columns, dtype, number), layout)
            got = backend.kernels.fold(y, window, out, shape)
            expected = reference.fold(wide(numpy), window, out, shape)
            magnitude = reference.fold(np.abs(wide(numpy)), window, out, shape)
            error = epsilon(dtype) * random_walk(prod(window[0])) * magnitude
            check(backend, got, expected, error, dtype)


def test_resample_and_crop_refuse(backend: Backend) -> None:
    kernels = backend.kernels
    x = backend.from_numpy(np.ones((2, 3, 4, 4), np.float32))
    terms = [backend.from_numpy(a) for a in (np.zeros(3, np.int32), np.zeros(0, np.int32))]
    weight = backend.from_numpy(np.zeros(0, np.float64))
    with pytest.raises(ArgumentError, match="resample: weight must be float32, got float64"):
        kernels.resample(x, *terms, weight, 3, dtypes.float32)
    places = backend.from_numpy(np.zeros(2, np.int64))
    flip = backend.from_numpy(np.zeros(3, bool))
    with pytest.raises(ArgumentError, match=r"crop: flip must have shape \(2,\), got bool \(3,\)"):
        kernels.crop(x, places, places, flip, (2, 2), "zeros")
    with pytest.raises(ArgumentError, match="unfold: kernel and out must have one number for each"):
        kernels.unfold(x, ((2, 2), (1, 1), (0, 0), (1, 1)), (3,))
