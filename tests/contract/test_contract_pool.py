"""Pooling with its gradients, every device against the specification."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest
from contract_tools import (
    FLOATING,
    INTEGERS,
    LAYOUTS,
    check,
    epsilon,
    place,
    random_walk,
    values,
    wide,
)

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.base import PoolWindow
from gpugrad.errors import ArgumentError

ADAPTIVE: PoolWindow = ((), (), (), ())


def windows(shape: tuple[int, ...], window: PoolWindow, ceil: bool = False) -> tuple[int, ...]:
    """Shape of the result of a pool: a window more where `ceil` and it starts inside."""
    lengths = []
    for size, k, s, p, d in zip(shape[2:], *window, strict=True):
        span = size + 2 * p - d * (k - 1) - 1
        n = (span + (s - 1 if ceil else 0)) // s + 1
        lengths.append(n - 1 if ceil and (n - 1) * s >= size + p else n)
    return (*shape[:2], *lengths)


def plain(kernel: tuple[int, ...], *rest: tuple[int, ...]) -> PoolWindow:
    """(kernel, stride = kernel, padding = 0, dilation = 1) unless given."""
    axes = len(kernel)
    defaults = (kernel, (0,) * axes, (1,) * axes)
    stride, padding, dilation = (*rest, *defaults[len(rest) :])
    return kernel, stride, padding, dilation


Problem = tuple[tuple[int, ...], PoolWindow, tuple[int, ...]]


def problems() -> Iterator[Problem]:
    """(shape of x, window, shape of y): every form of window, in one to three axes."""
    regular: list[tuple[tuple[int, ...], PoolWindow, bool]] = [
        ((2, 3, 8, 8), plain((2, 2)), False),
        ((2, 16, 7, 9), plain((3, 3), (2, 2), (1, 1)), False),
        ((1, 8, 7, 8), plain((3, 3), (1, 1), (1, 1)), False),
        ((2, 3, 11, 10), plain((3, 2), (2, 3), (1, 0), (2, 1)), True),
        ((1, 2, 9, 40), plain((2, 5), (1, 2), (1, 2), (3, 2)), False),
        ((3, 5, 17), plain((3,), (2,), (1,)), True),
        ((2, 4, 5, 6, 7), plain((2, 3, 2), (2, 1, 2), (1, 1, 0)), False),
        ((1, 3, 4, 9, 5), plain((3, 2, 3), (1, 2, 1), (1, 0, 1), (1, 3, 2)), True),
        ((2, 3, 40, 30), plain((17, 16), (9, 10), (8, 3)), False),
        ((2, 33, 6, 6), plain((6, 6)), False),
        ((1, 1, 5, 5), plain((1, 1), (2, 2)), False),
        ((0, 3, 4, 4), plain((2, 2)), False),
        ((2, 0, 4, 4), plain((2, 2)), False),
        ((1, 2, 4, 4), plain((2, 2), (1, 1), (1, 1), (5, 5)), False),  # no tap of it is inside
    ]
    for shape, window, ceil in regular:
        yield shape, window, windows(shape, window, ceil)
    for shape, out in [
        ((2, 3, 10, 7), (4, 3)),
        ((1, 16, 8, 8), (2, 2)),
        ((2, 8, 5, 9), (1, 1)),
        ((1, 3, 3, 2), (5, 7)),
        ((2, 3, 13), (5,)),
        ((1, 2, 5, 6, 7), (2, 6, 3)),
        ((1, 2, 4, 6), (0, 3)),
    ]:
        yield shape, ADAPTIVE, (*shape[:2], *out)


IMAGE_LAYOUTS = ["channels_last", *LAYOUTS]


def place_image(backend: Backend, x: np.ndarray, layout: str) -> tuple[Any, np.ndarray]:
    if layout != "channels_last":
        return place(backend, x, layout)
    axes = (0, x.ndim - 1, *range(1, x.ndim - 1))
    return backend.from_numpy(np.moveaxis(x, 1, -1)).transpose(axes), x


def cases(*layouts: int) -> Iterator[tuple[int, Problem, list[str]]]:
    """Every problem with layouts for its inputs: each layout meets each kind of window in turn."""
    for number, problem in enumerate(problems()):
        for turn in range(3):
            names = [IMAGE_LAYOUTS[(number * step + turn) % 7] for step in layouts]
            yield number, problem, names


def taps(window: PoolWindow, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    if window[0]:
        return prod(window[0])
    sizes = zip(x[2:], y[2:], strict=True)
    return prod(min(n, -(-n // max(out, 1)) + 1) for n, out in sizes)


@pytest.mark.parametrize("dtype", FLOATING + INTEGERS)
def test_max_pool(backend: Backend, dtype: str) -> None:
    """Few distinct values, so that the first of equals is looked for; the results are exact."""
    for number, (shape, window, out), (layout,) in cases(1):
        x = (values(shape, dtype, number) * 2).astype(np.int64).astype(dtypes.as_dtype(dtype))
        placed, x = place_image(backend, x, layout)
        y, index = backend.kernels.max_pool(placed, window, out)
        expected, taken = reference.max_pool(x, window, out)
        check(backend, y, expected)
        check(backend, index, taken)


@pytest.mark.parametrize("dtype", FLOATING)
def test_max_pool_of_nan_and_infinity(backend: Backend, dtype: str) -> None:
    """NaN wins, the first of several; -inf alone counts with its tap; padding never counts."""
    rng = np.random.default_rng(3)
    shape = (2, 16, 18, 18)
    x = rng.choice([np.nan, -np.inf, np.inf, 1.0, -2.0], shape, p=[0.05, 0.6, 0.05, 0.15, 0.15])
    x[0] = -np.inf
    for window in (plain((3, 3), (2, 2), (1, 1)), plain((2, 2))):
        out = windows(shape, window)
        for layout in ("contiguous", "channels_last"):
            placed, numpy = place_image(backend, x.astype(dtypes.as_dtype(dtype)), layout)
            y, index = backend.kernels.max_pool(placed, window, out)
            expected, taken = reference.max_pool(numpy, window, out)
            check(backend, y, expected, 0.0)
            check(backend, index, taken)


@pytest.mark.parametrize("dtype", FLOATING)
def test_max_pool_grad(backend: Backend, dtype: str) -> None:
    for number, (shape, window, out), layouts in cases(1, 3):
        if layouts[1] == "broadcast":
            continue  # one index for all images: no index that max_pool gives
        x = values(shape, "float32", number)
        index = reference.max_pool(x, window, out)[1]
        placed_index, index = place_image(backend, index, layouts[1])
        dy, numpy = place_image(backend, values(out, dtype, number + 50), layouts[0])
        got = backend.kernels.max_pool_grad(dy, placed_index, window, shape)
        expected = reference.max_pool_grad(wide(numpy), index, window, shape)
        magnitude = reference.max_pool_grad(np.abs(wide(numpy)), index, window, shape)
        count = min(taps(window, shape, out), 64)
        check(backend, got, expected, epsilon(dtype) * random_walk(count) * magnitude, dtype)


AVERAGES = [(False, 0), (True, 0), (True, 5)]


@pytest.mark.parametrize("options", AVERAGES)
@pytest.mark.parametrize("dtype", FLOATING)
def test_avg_pool(backend: Backend, dtype: str, options: tuple[bool, int]) -> None:
    for number, (shape, window, out), (layout,) in cases(1):
        placed, x = place_image(backend, values(shape, dtype, number), layout)
        got = backend.kernels.avg_pool(placed, window, out, *options)
        expected = reference.avg_pool(wide(x), window, out, *options)
        magnitude = reference.avg_pool(np.abs(wide(x)), window, out, *options)
        error = epsilon(dtype) * random_walk(taps(window, shape, out)) * magnitude
        check(backend, got, expected, error, dtype)


@pytest.mark.parametrize("options", AVERAGES)
@pytest.mark.parametrize("dtype", FLOATING)
def test_avg_pool_grad(backend: Backend, dtype: str, options: tuple[bool, int]) -> None:
    for number, (shape, window, out), (layout,) in cases(1):
        dy, numpy = place_image(backend, values(out, dtype, number), layout)
        got = backend.kernels.avg_pool_grad(dy, window, shape, *options)
        expected = reference.avg_pool_grad(wide(numpy), window, shape, *options)
        magnitude = reference.avg_pool_grad(np.abs(wide(numpy)), window, shape, *options)
        error = epsilon(dtype) * random_walk(taps(window, shape, out)) * magnitude
        check(backend, got, expected, error, dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_max_pool_larger_than_a_block(backend: Backend, dtype: str) -> None:
    """Enough elements for several blocks, and the shapes that vectors are made for."""
    window = plain((2, 2))
    for shape, layout in [((4, 64, 16, 16), "channels_last"), ((4, 5, 32, 48), "contiguous")]:
        out = windows(shape, window)
        placed, x = place_image(backend, values(shape, dtype, 1), layout)
        y, index = backend.kernels.max_pool(placed, window, out)
        expected, taken = reference.max_pool(x, window, out)
        check(backend, y, expected)
        check(backend, index, taken)
        dx = backend.kernels.max_pool_grad(y, index, window, shape)
        check(backend, dx, reference.max_pool_grad(expected, taken, window, shape))


def test_max_pool_refuses(backend: Backend) -> None:
    kernels, x = backend.kernels, backend.from_numpy(np.ones((1, 2, 4, 4), np.float32))
    with pytest.raises(ArgumentError, match=r"max_pool: .*equal batch and channels"):
        kernels.max_pool(x, plain((2, 2)), (1, 3, 2, 2))
    with pytest.raises(ArgumentError, match=r"max_pool: .*one number for each of the 2 "):
        kernels.max_pool(x, plain((2,)), (1, 2, 2, 2))
    with pytest.raises(ArgumentError, match="max_pool: kernel, stride and dilation must be pos"):
        kernels.max_pool(x, plain((2, 2), (0, 1)), (1, 2, 2, 2))
    flags = backend.from_numpy(np.ones((1, 2, 4, 4), bool))
    with pytest.raises(ArgumentError, match="max_pool: not defined for bool"):
        kernels.max_pool(flags, plain((2, 2)), (1, 2, 2, 2))
    whole = backend.from_numpy(np.ones((1, 2, 4, 4), np.int32))
    with pytest.raises(ArgumentError, match=r"avg_pool: .*int32 \(1, 2, 4, 4\)"):
        kernels.avg_pool(whole, plain((2, 2)), (1, 2, 2, 2), True, 0)
