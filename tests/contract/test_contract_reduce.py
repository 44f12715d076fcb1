"""reduce and cumsum of every device against the specification."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from contract_tools import (
    ALL,
    FLOATING,
    INTEGERS,
    LAYOUTS,
    check,
    epsilon,
    functors,
    place,
    random_walk,
    values,
    wide,
)

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

ARITHMETIC = ("sum", "mean", "prod")
SHAPES = [(1,), (7,), (33, 70), (3, 5, 19), (2, 1, 3, 1, 5), (5000,), (3, 1100), (1100, 3)]


def accepted(name: str) -> tuple[str, ...]:
    return FLOATING if name == "mean" else ALL


def inputs(name: str, shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Values whose product neither overflows nor vanishes; few ties; few zeros for any and all."""
    x = values(shape, dtype, seed)
    if name == "prod" and dtypes.is_floating(x.dtype):
        x = (1 + wide(x) / 64).astype(x.dtype)
    if name in ("any", "all"):
        x = np.where(values(shape, "bool", seed) == (name == "any"), 0, x).astype(x.dtype)
    return x


def hold(
    backend: Backend, name: str, x: np.ndarray, layout: str, axes: tuple[int, ...], keepdims: bool
) -> None:
    __tracebackhide__ = True
    placed, x = place(backend, x, layout)
    got = backend.kernels.reduce(name, placed, axes, keepdims)
    expected = reference.reduce(name, wide(x) if name in ARITHMETIC else x, axes, keepdims)
    if name not in ARITHMETIC or not dtypes.is_floating(x.dtype):
        check(backend, got, expected)
        return
    n = math.prod(x.shape[i] for i in axes)
    magnitude = np.abs(expected)
    if name != "prod":
        magnitude = reference.reduce("sum", np.abs(wide(x)), axes, keepdims)
        magnitude = magnitude / max(n, 1) if name == "mean" else magnitude
    check(backend, got, expected, epsilon(x.dtype) * random_walk(n) * magnitude, x.dtype)


@pytest.mark.parametrize("name", functors("REDUCE"))
def test_reduce_dtypes(backend: Backend, name: str) -> None:
    for dtype in accepted(name):
        for seed, (shape, axes) in enumerate(
            [((13, 37), (1,)), ((13, 37), (0,)), ((700,), (0,)), ((9, 40), (0, 1)), ((), ())]
        ):
            hold(backend, name, inputs(name, shape, dtype, seed), "contiguous", axes, False)


@pytest.mark.parametrize("name", functors("REDUCE"))
def test_reduce_layouts_and_axes(backend: Backend, name: str) -> None:
    dtype = "float32"
    for seed, shape in enumerate(SHAPES):
        for count in range(len(shape) + 1):
            for axes in itertools.combinations(range(len(shape)), count):
                layout = LAYOUTS[(seed + sum(axes) + count) % len(LAYOUTS)]
                hold(backend, name, inputs(name, shape, dtype, seed), layout, axes, bool(seed % 2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "float64"])
def test_reduce_layouts(backend: Backend, layout: str, dtype: str) -> None:
    for name in ("sum", "max", "argmax", "all"):
        for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
            hold(backend, name, inputs(name, (6, 35, 11), dtype, 5), layout, axes, True)


@pytest.mark.parametrize("name", functors("REDUCE"))
def test_reduce_size_0(backend: Backend, name: str) -> None:
    for dtype in ("float32", "int16", "bool") if name != "mean" else ("float32",):
        hold(backend, name, values((0, 4), dtype), "contiguous", (1,), False)
        if name in ("max", "min", "argmax", "argmin"):
            with pytest.raises(ValueError):
                backend.kernels.reduce(name, backend.from_numpy(values((0, 4), dtype)), (0,), True)
        else:
            hold(backend, name, values((0, 4), dtype), "contiguous", (0,), True)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "sum", "any"])
def test_reduce_nan_and_infinity(backend: Backend, name: str, dtype: str) -> None:
    for special in ([np.nan], [np.inf], [-np.inf], [np.nan, np.inf], [np.inf, np.nan, np.nan]):
        for at in (0, 3, 500, 900):
            x = values((1000,), dtype)
            x[at : at + len(special)] = special
            hold(backend, name, x, "contiguous", (0,), False)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_reduce_first_of_equals(backend: Backend, name: str) -> None:
    for shape, axes in (((3000,), (0,)), ((5, 700), (1,)), ((700, 5), (0,)), ((20, 3, 40), (0, 2))):
        hold(backend, name, values(shape, "bool", 3).astype(np.float32), "contiguous", axes, False)
        hold(backend, name, np.zeros(shape, np.int32), "contiguous", axes, False)


def test_reduce_integers_in_int64(backend: Backend) -> None:
    x = np.full((3, 1000), 255, np.uint8)
    check(backend, backend.kernels.reduce("sum", backend.from_numpy(x), (1,), False), [255000] * 3)
    y = np.full((2, 38), -3, np.int8)
    check(backend, backend.kernels.reduce("prod", backend.from_numpy(y), (1,), False), [3**38] * 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_reduce_half_does_not_stall(backend: Backend, dtype: str) -> None:
    """A half accumulator would stop growing at 2048 or 256."""
    x = backend.from_numpy(np.ones(20000, dtypes.as_dtype(dtype)))
    check(backend, backend.kernels.reduce("sum", x, (0,), False), np.float64(20000), 0, dtype)


@pytest.mark.parametrize("dtype", ALL)
def test_cumsum(backend: Backend, dtype: str) -> None:
    for seed, shape in enumerate([(1,), (7,), (0,), (4, 0), (5000,), (3, 5, 130), (700, 2)]):
        for layout in LAYOUTS:
            x, numpy = place(backend, values(shape, dtype, seed), layout)
            expected = reference.cumsum(wide(numpy))
            error, result = None, dtypes.sum_dtype(dtypes.as_dtype(dtype))
            if dtypes.is_floating(numpy.dtype):
                magnitude = np.cumsum(np.abs(wide(numpy)), axis=-1)
                # Sums one after the other of equal terms: roundings of one sign, no walk.
                error = epsilon(dtype) * (4 + shape[-1]) * magnitude
            check(backend, backend.kernels.cumsum(x), expected, error, result)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_cumsum_of_large_integers(backend: Backend, dtype: str) -> None:
    x = np.full((2, 300), np.iinfo(dtype).max, dtype)
    check(backend, backend.kernels.cumsum(backend.from_numpy(x)), reference.cumsum(x))
