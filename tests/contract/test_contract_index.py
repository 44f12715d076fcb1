"""gather, scatter and nonzero of every device against the specification."""

from __future__ import annotations

import numpy as np
import pytest
from contract_tools import (
    ALL,
    FLOATING,
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
            assert backend.kernels.scatter(x, placed, placed_new, False) is None
            expected = numpy.copy()
            reference.scatter(expected, tuple(indices), new, False)
            check(backend, x, expected)


@pytest.mark.parametrize("dtype", ALL)
def test_scatter_accumulates(backend: Backend, dtype: str) -> None:
    """Equal positions add up, half types in float32 with one rounding."""
    for number, (shape, axes, index_shape) in enumerate(CASES):
        indices = draw(shape, axes, index_shape)
        x, numpy = place(backend, values(shape, dtype, number), LAYOUTS[number % 5])
        new = values(index_shape + shape[axes:], dtype, 78)
        placed = tuple(backend.from_numpy(i) for i in indices)
        backend.kernels.scatter(x, placed, backend.from_numpy(new), True)
        expected, magnitude = wide(numpy).copy(), np.abs(wide(numpy))
        reference.scatter(expected, tuple(indices), wide(new), True)
        error = None
        if dtypes.is_floating(numpy.dtype):
            reference.scatter(magnitude, tuple(indices), np.abs(wide(new)), True)
            error = epsilon(dtype) * random_walk(max(new.size, 1)) * magnitude
        check(backend, x, expected, error, dtype)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("dtype", ["bool", "int32", *FLOATING])
def test_scatter_broadcast_values(backend: Backend, dtype: str, accumulate: bool) -> None:
    indices = (np.array([1, 3, 1, -1]),)
    for new in (1, values((3,), dtype, 1), values((4, 1), dtype, 2), values((), dtype, 3)):
        x, expected = values((5, 3), dtype), values((5, 3), dtype)
        y = backend.from_numpy(x)
        placed = backend.from_numpy(new) if isinstance(new, np.ndarray) else new
        backend.kernels.scatter(y, (backend.from_numpy(indices[0]),), placed, accumulate)
        reference.scatter(expected, indices, new, accumulate)
        error = 4 * epsilon(dtype) * (np.abs(wide(x)) + 4) if x.dtype.kind not in "bi" else None
        check(backend, y, expected, error)


def test_scatter_adds_in_order(backend: Backend) -> None:
    """Row-major order of the positions: 1 is lost beside 2^25, unless it comes after -2^25."""
    x = backend.from_numpy(np.zeros(2, np.float32))
    at = backend.from_numpy(np.array([0, 0, 0, 1, 1, 1]))
    new = np.array([2.0**25, 1, -(2.0**25), 2.0**25, -(2.0**25), 1], np.float32)
    backend.kernels.scatter(x, (at,), backend.from_numpy(new), True)
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
    with pytest.raises(IndexOutOfRangeError, match=f"scatter: {text}"):
        backend.kernels.scatter(x, index, 1.0, True)
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
