"""Integer matrix products of `_cpu`: every bit is NumPy's, which multiplies element by element.

The numbers fill their dtype, so sums wrap, and sizes lie around those at which csrc/cpu cuts: tiles
of 1 to 12 rows and 8 to 32 columns, blocks of 144 and 256, pieces of k of 256 to 1024.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from contract_tools import INTEGERS, LAYOUTS, place

from gpugrad import backends
from gpugrad.backends.cpu_native import NATIVE

CPU = backends.get("cpu")


def numbers(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Any of the dtype's, its least and its greatest among them."""
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    x = rng.integers(limits.min, limits.max, shape, np.dtype(dtype), endpoint=True)
    ends = rng.integers(0, 8, shape)
    return np.where(ends == 0, limits.min, np.where(ends == 1, limits.max, x)).astype(dtype)


def hold(dtype: str, a: tuple[int, ...], b: tuple[int, ...], layouts: tuple[str, str]) -> None:
    """In the dtype itself, and in int32 where it has 8 bits."""
    pairs = zip((a, b), layouts, strict=True)
    placed = [place(CPU, numbers(s, dtype, i), layout) for i, (s, layout) in enumerate(pairs)]
    (x, of_x), (y, of_y) = placed
    for result in {dtype, "int32" if of_x.itemsize == 1 else dtype}:
        expected = np.matmul(of_x.astype(np.int64), of_y.astype(np.int64)).astype(result)
        got = CPU.kernels.gemm(x, y, dtype=np.dtype(result))
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


SIZES = [(1, 1, 1), (3, 5, 7), (12, 32, 4), (13, 33, 1030), (145, 40, 9), (40, 257, 5)]
SIZES += [(150, 2, 66), (1, 600, 70), (600, 1, 70), (31, 65, 257), (300, 520, 33)]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(dtype: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    hold(dtype, (m, k), (k, n), ("contiguous", "contiguous"))
    hold(dtype, (m, k), (k, n), ("contiguous", "transposed"))
    hold(dtype, (m, k), (k, n), ("transposed", "contiguous"))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(dtype: str, layout: str) -> None:
    for size in ((17, 40, 21), (40, 9, 13)):
        m, n, k = size
        hold(dtype, (m, k), (k, n), (layout, "contiguous"))
        hold(dtype, (m, k), (k, n), ("contiguous", layout))


BATCHES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3, 5, 7), (3, 7, 9)),
    ((2, 1, 5, 7), (3, 7, 9)),
    ((5, 7), (4, 7, 9)),
    ((70, 33, 40), (1, 40, 3)),
    ((7,), (7,)),
    ((5, 7), (7,)),
    ((7,), (7, 9)),
    ((0, 5, 7), (7, 9)),
    ((0, 7), (7, 9)),
    ((5, 0), (0, 9)),
    ((5, 7), (7, 0)),
    ((0,), (0,)),
]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_batches_vectors_and_nothing(dtype: str, shapes: Any) -> None:
    hold(dtype, *shapes, ("contiguous", "contiguous"))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_is_written_anywhere(dtype: str) -> None:
    x, y = numbers((20, 30), dtype, 0), numbers((30, 40), dtype, 1)
    expected = np.matmul(x, y)
    for layout in set(LAYOUTS) - {"broadcast"}:
        out, _ = place(CPU, np.ones((20, 40), dtype), layout)
        NATIVE.module.int_product(0, x, y, out)
        np.testing.assert_array_equal(out, expected)


def test_large_ones_are_cut_for_the_threads() -> None:
    for dtype, n in (("int8", 700), ("int64", 200)):
        hold(dtype, (n, n), (n, n), ("contiguous", "transposed"))


INT8, INT16 = np.ones((3, 4), np.int8), np.ones((3, 4), np.int16)
REFUSED: dict[str, tuple[tuple[Any, Any, Any], str]] = {
    "floats": ((INT8 * 1.0, INT8.T * 1.0, INT8), "a must be of an integer dtype, got float64"),
    "two dtypes": ((INT8, INT16.T, INT8), "dtype"),
    "result": ((INT16, INT16.T, np.ones((3, 3), np.int32)), "y must have the dtype of a, or int32"),
    "axes": ((INT8[0], INT8.T, INT8[0]), "a, b and y must have 2 axes or more, got int8 (4,)"),
    "inner": ((INT8, INT8, INT8), "inner sizes differ: a int8 (3, 4), b int8 (3, 4)"),
    "shape": ((INT8, INT8.T, INT8), "y does not have the product's shape: a int8 (3, 4)"),
    "batch": (
        (INT8[None], INT8.T[None], np.ones((2, 4, 3), np.int8)),
        "y does not have the product's shape",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    given, text = REFUSED[name]
    with pytest.raises(ValueError, match=r"^int_product: .*" + re.escape(text)):
        NATIVE.module.int_product(0, *given)
