"""gather, scatter and nonzero of every device against the specification."""

from __future__ import annotations

import numpy as np
import pytest
from contract_tools import ALL, FLOATING, LAYOUTS, check, epsilon, place, values, wide
from scatter_tools import JOINS, hold_join, joined_values

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.errors import IndexOutOfRangeError

# (shape of x, number of indexed axes, shape of the indices)
CASES = [
    ((7,), 1, (5,)),
    ((7,), 1, ()),
    ((50, 8), 1, (33,)),
    ((50, 64), 1, (3, 11)),
    ((6, 5, 4), 2, (40,)),
    ((6, 5, 4), 3, (2, 9)),
    ((3, 4), 1, (0,)),
    ((3, 0), 1, (4,)),
    ((4, 3, 5, 2), 2, (2, 1, 3)),
    ((9, 33), 1, (700,)),
]


def draw(shape: tuple[int, ...], axes: int, index_shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [np.asarray(rng.integers(-n, n, index_shape)) for n in shape[:axes]]


@pytest.mark.parametrize("dtype", ALL)
def test_gather(backend: Backend, dtype: str) -> None:
    for number, (shape, axes, index_shape) in enumerate(CASES):
        indices = draw(shape, axes, index_shape)
        for layout in LAYOUTS:
            x, numpy = place(backend, values(shape, dtype, number), layout)
            placed = [place(backend, i, "reversed")[0] for i in indices]
            got = backend.kernels.gather(x, tuple(placed))
            check(backend, got, reference.gather(numpy, tuple(indices)))


@pytest.mark.parametrize("dtype", ALL)
def test_scatter_overwrites(backend: Backend, dtype: str) -> None:
    """The last of equal positions stays."""
    for number, (shape, axes, index_shape) in enumerate(CASES):
        indices = draw(shape, axes, index_shape)
        for layout in ("contiguous", "transposed", "reversed", "offset"):
            x, numpy = place(backend, values(shape, dtype, number), layout)
            new = values(index_shape + shape[axes:], dtype, 77)
            placed_new, new = place(backend, new, LAYOUTS[number % 6])
            placed = tuple(backend.from_numpy(i) for i in indices)
            assert backend.kernels.scatter("set", x, placed, placed_new) is None
            expected = numpy.copy()
            reference.scatter("set", expected, tuple(indices), new)
            check(backend, x, expected)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("name", JOINS)
def test_scatter_joins(backend: Backend, name: str, dtype: str) -> None:
    """Equal positions join, half types in float32 with one rounding."""
    for number, (shape, axes, index_shape) in enumerate(CASES):
        x = joined_values(name, shape, dtype, number)
        new = joined_values(name, index_shape + shape[axes:], dtype, 78)
        layouts = (LAYOUTS[number % 5], LAYOUTS[number % 6])
        hold_join(backend, name, x, draw(shape, axes, index_shape), new, layouts)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64"])
@pytest.mark.parametrize("name", JOINS)
def test_scatter_joins_extreme_integers(backend: Backend, name: str, dtype: str) -> None:
    """Sums and products wrap; the signs of the smallest and the largest count."""
    extremes = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, 1, 0, 3], dtype)
    at = [np.repeat(np.arange(6), [1, 2, 3, 40, 300, 0])]
    for first in extremes:
        new = np.random.default_rng(1).choice(extremes, at[0].size)
        hold_join(backend, name, np.full(6, first, dtype), at, new)


@pytest.mark.parametrize("dtype", ["int8", "int64", "float16", "float64"])
def test_scatter_joins_long_runs_of_one_sign(backend: Backend, dtype: str) -> None:
    """What a slice of a run begins with must not be in the result."""
    at, x = [np.repeat(np.arange(3), [2, 34, 300])], np.full(3, 100, dtypes.as_dtype(dtype))
    new = np.random.default_rng(1).integers(3, 90, at[0].size).astype(x.dtype)
    hold_join(backend, "min", x, at, new)
    hold_join(backend, "max", -x, at, -new)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", JOINS)
def test_scatter_joins_nan_and_infinity(backend: Backend, name: str, dtype: str) -> None:
    """In x and in the values of a short and of a long run."""
    at = [np.repeat(np.arange(4), [1, 5, 33, 400])]
    for special in (np.nan, np.inf, -np.inf):
        for place_of in (0, 3, 20, 200, None):
            x = joined_values(name, (4,), dtype, 1)
            new = joined_values(name, at[0].shape, dtype, 2)
            if place_of is None:
                x[:] = special
            else:
                new[place_of] = special
            hold_join(backend, name, x, at, new)


@pytest.mark.parametrize("name", JOINS)
def test_scatter_of_bools_is_logic(backend: Backend, name: str) -> None:
    """add and max: or; mul and min: and. In runs of one, some and many."""
    at = np.repeat(np.arange(8), [0, 0, 1, 1, 4, 4, 500, 500])
    for first in (False, True):
        new = values(at.shape, "bool", 3)
        new[at % 2 == 0] = False
        new[at == 7] = True
        x = backend.from_numpy(np.full(8, first))
        backend.kernels.scatter(name, x, (backend.from_numpy(at),), backend.from_numpy(new))
        assert set(backend.to_numpy(x).view(np.uint8)) <= {0, 1}
        logic = np.any if name in ("add", "max") else np.all
        check(backend, x, np.array([logic([first, *new[at == i]]) for i in range(8)]))


@pytest.mark.parametrize("name", ["mul", "max", "min"])
def test_scatter_joins_a_number(backend: Backend, name: str) -> None:
    for dtype in ("int16", "bfloat16"):
        x, expected = values((5, 3), dtype), values((5, 3), dtype)
        y, at = backend.from_numpy(x), (np.array([1, 3, 1, -1]),)
        backend.kernels.scatter(name, y, (backend.from_numpy(at[0]),), 2)
        reference.scatter(name, expected, at, 2)
        check(backend, y, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scatter_of_halves_is_rounded_once(backend: Backend, dtype: str) -> None:
    """A half would stay at 1 when 1/4096 is added, or 1 + 1/4096 multiplied, again and again."""
    at = [np.zeros(4096, np.int64)]
    x, step = np.ones(1, dtypes.as_dtype(dtype)), np.full(4096, 1 / 4096, dtypes.as_dtype(dtype))
    hold_join(backend, "add", x, at, step)
    pairs = np.tile(np.array([1.5, 0.7], dtypes.as_dtype(dtype)), 50)
    hold_join(backend, "mul", x, [np.zeros(100, np.int64)], pairs)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("dtype", ["bool", "int32", *FLOATING])
def test_scatter_broadcast_values(backend: Backend, dtype: str, accumulate: bool) -> None:
    indices = (np.array([1, 3, 1, -1]),)
    for new in (1, values((3,), dtype, 1), values((4, 1), dtype, 2), values((), dtype, 3)):
        x, expected = values((5, 3), dtype), values((5, 3), dtype)
        y = backend.from_numpy(x)
        placed = backend.from_numpy(new) if isinstance(new, np.ndarray) else new
        backend.kernels.scatter(
            "add" if accumulate else "set", y, (backend.from_numpy(indices[0]),), placed
        )
        reference.scatter("add" if accumulate else "set", expected, indices, new)
        error = 4 * epsilon(dtype) * (np.abs(wide(x)) + 4) if x.dtype.kind not in "bi" else None
        check(backend, y, expected, error)


def test_scatter_adds_in_order(backend: Backend) -> None:
    """Row-major order of the positions: 1 is lost beside 2^25, unless it comes after -2^25."""
    x = backend.from_numpy(np.zeros(2, np.float32))
    at = backend.from_numpy(np.array([0, 0, 0, 1, 1, 1]))
    new = np.array([2.0**25, 1, -(2.0**25), 2.0**25, -(2.0**25), 1], np.float32)
    backend.kernels.scatter("add", x, (at,), backend.from_numpy(new))
    check(backend, x, np.array([0, 1], np.float32))


@pytest.mark.parametrize("bad", [5, -6, 1 << 40])
def test_gather_and_scatter_flag_a_bad_index(backend: Backend, bad: int) -> None:
    x = backend.from_numpy(values((3, 5), "float32"))
    good = backend.from_numpy(np.array([0, 1, 2]))
    index = (good, backend.from_numpy(np.array([0, bad, 4])))
    text = f"index {bad} is out of range for axis 1 of length 5"
    with pytest.raises(IndexOutOfRangeError, match=f"gather: {text}"):
        backend.kernels.gather(x, index)
        backend.synchronize()
    for name in ("set", "add", "mul", "max", "min"):
        with pytest.raises(IndexOutOfRangeError, match=f"scatter: {text}"):
            backend.kernels.scatter(name, x, index, 1.0)
            backend.synchronize()
    backend.kernels.gather(x, (good, good))
    backend.synchronize()  # the flag was cleared


def test_nonzero(backend: Backend) -> None:
    for shape in [(), (0,), (1,), (9,), (3, 5), (2, 0, 3), (4, 3, 7), (5000,), (130, 40)]:
        for layout in LAYOUTS:
            mask, numpy = place(backend, values(shape, "bool", 4), layout)
            check(backend, backend.kernels.nonzero(mask), np.argwhere(numpy))
    for same in (False, True):
        mask = np.full((40, 70), same)
        check(backend, backend.kernels.nonzero(backend.from_numpy(mask)), np.argwhere(mask))
