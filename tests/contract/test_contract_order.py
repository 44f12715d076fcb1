"""sort and search_sorted of every device against the specification, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from contract_tools import ALL, FLOATING, INTEGERS, LAYOUTS, check, place, random, values

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.errors import ArgumentError

#: Rows of up to 2048 elements are sorted by one block, several to a block where they are short.
SHAPES = [(1,), (2,), (7,), (0,), (4, 0), (0, 4), (300, 1), (130, 3), (3, 5, 19), (40, 65)]
SHAPES += [(3, 700), (2, 2048), (2049,), (2, 2, 2100)]


def hold(backend: Backend, x: np.ndarray, layout: str, descending: bool) -> None:
    """Bits, not values: zeros keep their signs and NaNs their payloads."""
    __tracebackhide__ = True
    placed, x = place(backend, x, layout)
    y, index = backend.kernels.sort(placed, descending)
    expected, expected_index = reference.sort(x, descending)
    check(backend, index, expected_index)
    with np.errstate(invalid="ignore"):  # signalling NaNs become quiet in a comparison's copy
        check(backend, y, expected)
    assert backend.to_numpy(y).tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize("dtype", ALL)
def test_sort_dtypes(backend: Backend, dtype: str) -> None:
    """Whole numbers, so that there are many equals."""
    for seed, shape in enumerate(SHAPES):
        x = values(shape, dtype, seed, 3.0)
        x = np.round(x) if dtypes.is_floating(x.dtype) else x
        for descending in (False, True):
            hold(backend, x.astype(dtypes.as_dtype(dtype)), "contiguous", descending)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "int32", "float64"])
def test_sort_layouts(backend: Backend, dtype: str, layout: str) -> None:
    for seed, shape in enumerate([(7,), (5, 9), (9, 2, 140), (2, 2100)]):
        hold(backend, values(shape, dtype, seed), layout, bool(seed % 2))


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATING])
def test_sort_random_bits(backend: Backend, dtype: str) -> None:
    """Every exponent, subnormals, NaNs of both signs and any payload; the smallest integers."""
    for shape in [(3, 900), (5000,)]:
        d = dtypes.as_dtype(dtype)
        size = int(np.prod(shape)) * d.itemsize
        x = np.frombuffer(random(7).bytes(size), d).reshape(shape)
        for descending in (False, True):
            hold(backend, x, "contiguous", descending)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("length", [31, 3000])
def test_sort_special_values(backend: Backend, dtype: str, length: int) -> None:
    """NaN is above all and -0 equals 0: among themselves they stay in order."""
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, -np.nan]
    for seed in range(3):
        x = random(seed).choice(special, length).astype(dtypes.as_dtype(dtype))
        for descending in (False, True):
            hold(backend, x, "contiguous", descending)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("length", [100, 2048, 6000])
def test_sort_of_equals_is_stable(backend: Backend, length: int, descending: bool) -> None:
    x = backend.from_numpy(np.zeros((3, length), np.int32))
    index = backend.kernels.sort(x, descending)[1]
    check(backend, index, np.broadcast_to(np.arange(length), (3, length)))


def test_sort_of_what_is_sorted(backend: Backend) -> None:
    for n in (64, 1000, 5000):
        for x in (np.arange(n), np.arange(n)[::-1]):
            for descending in (False, True):
                hold(backend, x.astype(np.int64) * (1 << 40), "contiguous", descending)


def test_sort_many_long_rows(backend: Backend) -> None:
    """More than are sorted at once: the simulator's device takes 64 tiles, two of them a row."""
    for descending in (False, True):
        hold(backend, values((70, 2049), "uint8"), "contiguous", descending)


@pytest.mark.parametrize("length", [70_000, 140_000, 530_000])
def test_sort_a_very_long_row(backend: Backend, length: int) -> None:
    """Counts are summed by a warp, 32 tiles of 2048 at a time, or by a block, 256 at a time."""
    hold(backend, values((length,), "int8"), "contiguous", True)


def test_sort_needs_an_axis(backend: Backend) -> None:
    with pytest.raises(ArgumentError, match="sort: x has no axis to sort along"):
        backend.kernels.sort(backend.from_numpy(np.array(3.5)), False)


# ---- search_sorted -------------------------------------------------------------------------------


def search(backend: Backend, rows: np.ndarray, x: np.ndarray, layout: str = "contiguous") -> None:
    __tracebackhide__ = True
    placed_rows, rows = place(backend, rows, layout)
    placed_x, x = place(backend, x, layout)
    for right in (False, True):
        got = backend.kernels.search_sorted(placed_rows, placed_x, right)
        check(backend, got, reference.search_sorted(rows, x, right))


#: (shape of the rows, shape of x)
SEARCHES = [((1,), (3,)), ((50,), ()), ((50,), (4, 3)), ((1000,), (1000,)), ((0,), (5,))]
SEARCHES += [((3, 17), (3, 40)), ((2, 3, 9), (2, 3, 1)), ((3, 0), (3, 2)), ((3, 4), (3, 0))]


def sorted_values(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    return reference.sort(values(shape, dtype, seed), False)[0]


@pytest.mark.parametrize("dtype", ALL)
def test_search_sorted(backend: Backend, dtype: str) -> None:
    """One row for all of x, and a row for each of x's."""
    for seed, (rows, x) in enumerate(SEARCHES):
        search(backend, sorted_values(rows, dtype, seed), values(x, dtype, seed + 9))


@pytest.mark.parametrize("layout", ["transposed", "strided", "offset", "broadcast"])
def test_search_sorted_layouts(backend: Backend, layout: str) -> None:
    for dtype in ("int16", "float32"):
        rows, x = sorted_values((4, 33), dtype, 1), values((4, 70), dtype, 2)
        search(backend, rows, x, layout)
        search(backend, rows[0], x, layout)


def test_search_sorted_in_reversed_views(backend: Backend) -> None:
    falling = np.arange(9.0)[::-1]
    rows, x = backend.from_numpy(falling)[::-1], backend.from_numpy(np.arange(-2.0, 12.0))[::-1]
    expected = np.searchsorted(np.arange(9.0), np.arange(-2.0, 12.0)[::-1])
    check(backend, backend.kernels.search_sorted(rows, x, False), expected)


@pytest.mark.parametrize("dtype", FLOATING)
def test_search_sorted_special_values(backend: Backend, dtype: str) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtypes.as_dtype(dtype))
    rows = reference.sort(np.tile(special, 3), False)[0]
    search(backend, rows, special)
    search(backend, rows[rows == rows], special)


def test_search_sorted_refuses_other_shapes_and_dtypes(kernel_device: str) -> None:
    backend = backends.get(kernel_device)  # the specification, which `cpu` has, checks nothing
    k, rows = backend.kernels, backend.from_numpy(np.zeros((3, 4), np.float32))
    for shape in [(2, 4), (3,), (3, 4, 1)]:
        with pytest.raises(ArgumentError, match="search_sorted: rows must have one axis, or x's"):
            k.search_sorted(rows, backend.from_numpy(np.zeros(shape, np.float32)), False)
    with pytest.raises(ArgumentError, match="search_sorted: rows and x must have one dtype"):
        k.search_sorted(rows, backend.from_numpy(np.zeros((3, 4), np.int64)), False)
