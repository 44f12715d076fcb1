"""Embedding and its gradient, bags and bounded norms, every device against the specification.

Errors: rows that are only moved are equal. A sum of n products is off by a random walk of its
magnitudes (contract_tools.random_walk).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
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
from gpugrad.errors import IndexOutOfRangeError


def tokens(shape: tuple[int, ...] | int, limit: int, seed: int = 0) -> np.ndarray:
    """Indices in [0, limit), half of them among the first three, as words are."""
    rng = random(seed)
    common = rng.integers(0, min(3, limit), shape)
    return np.where(rng.random(shape) < 0.5, common, rng.integers(0, limit, shape))


def module(backend: Backend) -> Any:
    """The native module of a device."""
    return importlib.import_module(f"gpugrad._{backend.device.type}")


# ---- embedding -----------------------------------------------------------------------------------

#: (rows, width, shape of the index); widths of whole, half and no vectors.
TABLES = [(5, 1, (3,)), (7, 16, (2, 3)), (40, 33, (4, 5, 2)), (300, 100, (70,)), (9, 64, ())]
TABLES += [(4, 0, (3,)), (6, 8, (0, 2)), (1, 260, (50,)), (2000, 24, (300,))]


@pytest.mark.parametrize("dtype", ALL)
def test_embedding(backend: Backend, dtype: str) -> None:
    for number, (rows, width, shape) in enumerate(TABLES):
        weight, w = place(backend, values((rows, width), dtype, number), LAYOUTS[number % 6])
        index, i = place(backend, tokens(shape, rows, number), LAYOUTS[(number + 2) % 6])
        check(backend, backend.kernels.embedding(weight, index), w[i], dtype=dtype)


def test_embedding_in_place_of_a_view(backend: Backend) -> None:
    """y of strides that are not dense: what a caller of the native module may pass."""
    weight, index = values((6, 10), "float32"), tokens((4, 3), 6)
    y = backend.empty((3, 20, 4), dtypes.float32)
    view = y[:, ::2].transpose(2, 0, 1)
    inputs = [backend.from_numpy(v) for v in (weight, index)]
    module(backend).embedding(0, *inputs, view, backend.from_numpy(np.zeros(4, np.int64)))
    check(backend, view, weight[index])


# ---- embedding_grad ------------------------------------------------------------------------------


def gradient(
    dy: np.ndarray,
    index: np.ndarray,
    rows: int,
    row: np.ndarray | None,
    scale: np.ndarray | None,
    *options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """(dweight by the specification, sums of the terms' magnitudes), in float64."""
    wides = [None if v is None else wide(v) for v in (dy, scale)]
    expected = reference.embedding_grad(wides[0], index, rows, row, wides[1], *options)
    sizes = [None if v is None else np.abs(v) for v in wides]
    return expected, reference.embedding_grad(sizes[0], index, rows, row, sizes[1], *options)


#: (rows of dweight, width, positions)
SUMS = [(5, 7, 20), (3, 64, 200), (50, 33, 90), (1, 16, 700), (1000, 20, 300), (9, 1, 64)]
SUMS += [(4, 520, 130), (2, 6, 3000), (3, 5, 0), (7, 0, 5), (300, 1100, 40)]


@pytest.mark.parametrize("dtype", FLOATING)
def test_embedding_grad(backend: Backend, dtype: str) -> None:
    for number, (rows, width, count) in enumerate(SUMS):
        given = number % 2 == 1
        terms = count // 3 + 1 if given else count
        dy, numpy = place(backend, values((terms, width), dtype, number), LAYOUTS[number % 6])
        index, i = place(backend, tokens(count, rows, number), LAYOUTS[(number + 3) % 6])
        row = random(number).integers(0, terms, count) if given else None
        kind = dtypes.name(dtypes.accumulation(dtypes.as_dtype(dtype)))
        scale = values((count,), kind, 1) if number % 3 else None
        options = (-1 if number % 4 else rows - 1, number % 3 == 1)
        placed = [None if v is None else backend.from_numpy(v) for v in (row, scale)]
        got = backend.kernels.embedding_grad(dy, index, rows, *placed, *options)
        expected, size = gradient(numpy, i, rows, row, scale, *options)
        most = int(np.bincount(i, minlength=1).max(initial=1))
        error = epsilon(dtype) * (2 * random_walk(most)) * size
        check(backend, got, expected, error, dtype)
        nothing = ~np.isin(np.arange(rows), i) | (np.arange(rows) == options[0])
        assert not backend.to_numpy(got)[nothing].astype(bool).any()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_embedding_grad_of_a_large_vocabulary(backend: Backend, dtype: str) -> None:
    """Few tokens of 262144: sums of the right rows, zeros in all others."""
    rows, index = 1 << 18, np.array([262143, 0, 65536, 255, 65536, 262143, 131071, 256, 0])
    dy = values((9, 12), dtype)
    args = [backend.from_numpy(v) for v in (dy, index)]
    got = backend.to_numpy(backend.kernels.embedding_grad(*args, rows, None, None, -1, False))
    expected, size = gradient(dy, index, rows, None, None, -1, False)
    named = np.unique(index)
    check(
        backend,
        backend.from_numpy(got[named]),
        expected[named],
        epsilon(dtype) * size[named],
        dtype,
    )
    got[named] = 0
    assert not got.view(np.uint8).any()


def test_embedding_grad_leaves_out_what_is_illegal(backend: Backend) -> None:
    index, dy = np.array([2, -1, 5, 0, 2]), values((5, 8), "float32")
    args = [backend.from_numpy(v) for v in (dy, index)]
    got = backend.kernels.embedding_grad(*args, 3, None, None, -1, False)
    check(backend, got, np.stack([dy[3], 0 * dy[0], dy[0] + dy[4]]), 0)


def test_embedding_grad_is_that_of_its_terms(backend: Backend) -> None:
    """What one row gets does not depend on the others, whatever it is cut into."""
    dy = values((4000, 40), "float32")
    index = np.where(np.arange(4000) % 3 == 0, 5, np.arange(4000) % 11)
    k = backend.kernels
    every = k.embedding_grad(*map(backend.from_numpy, (dy, index)), 11, None, None, -1, False)
    only = index == 5
    alone = k.embedding_grad(
        *map(backend.from_numpy, (dy[only], index[only])), 11, None, None, -1, False
    )
    assert backend.to_numpy(every)[5].tobytes() == backend.to_numpy(alone)[5].tobytes()


# ---- embedding_renorm ----------------------------------------------------------------------------


@pytest.mark.parametrize("ord", [1.0, 2.0, 3.5, float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", FLOATING)
def test_embedding_renorm(backend: Backend, dtype: str, ord: float) -> None:
    for number, (rows, width, shape) in enumerate(TABLES):
        if width == 0 or number % 6 == 5:
            continue
        weight, w = place(backend, values((rows, width), dtype, number), LAYOUTS[number % 5])
        index = tokens(shape, rows, number)
        norms = np.linalg.norm(wide(w), ord, axis=1)
        # Between two norms, so that rounding cannot take a row to the other side.
        sorted_norms = np.sort(norms)
        most = float(sorted_norms[len(norms) // 2 :][:2].mean()) if len(norms) > 1 else norms[0] / 2
        expected = wide(w).copy()
        reference.embedding_renorm(expected, index, most, ord)
        backend.kernels.embedding_renorm(weight, backend.from_numpy(index), most, ord)
        # The norm of n elements, a division and a product.
        error = (random_walk(width) + 4) * epsilon(dtype) * np.abs(expected)
        check(backend, weight, expected, error, dtype)
        untouched = (norms <= most) | ~np.isin(np.arange(rows), index)
        check(backend, weight[untouched], w[untouched], dtype=dtype)


# ---- embedding_bag -------------------------------------------------------------------------------

#: lengths of bags, rows and width of the table
BAGS = [([3, 0, 1, 5], 6, 7), ([1] * 40, 50, 64), ([100, 2, 0, 33], 9, 20), ([700], 30, 8)]
BAGS += [([], 4, 3), ([0, 0], 4, 3), ([64] * 5, 20, 132), ([5, 4], 3, 0), ([20] * 9, 5, 1)]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", FLOATING)
def test_embedding_bag(backend: Backend, dtype: str, mode: str) -> None:
    for number, (lengths, rows, width) in enumerate(BAGS):
        data = values((rows, width), dtype, number)
        if mode == "max":
            data = np.round(data.astype(np.float32)).astype(data.dtype)  # many equals
        weight, w = place(backend, data, LAYOUTS[number % 6])
        count = sum(lengths)
        index, i = place(backend, tokens(count, rows, number), LAYOUTS[(number + 1) % 5])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        scale = values((count,), dtype, 3) if mode == "sum" and number % 2 else None
        padding = 1 if number % 3 else -1
        placed = [None if v is None else backend.from_numpy(v) for v in (offsets, scale)]
        got = backend.kernels.embedding_bag(weight, index, *placed, mode, padding)
        given = (wide(w), i, offsets, None if scale is None else wide(scale))
        expected = reference.embedding_bag(*given, mode, padding)
        sizes = (np.abs(given[0]), i, offsets, None if scale is None else np.abs(given[3]))
        size = reference.embedding_bag(*sizes, "mean" if mode == "mean" else "sum", padding)[0]
        longest = max(lengths, default=1)
        error = None if mode == "max" else 2 * random_walk(longest) * epsilon(dtype) * size
        check(backend, got[0], expected[0], error, dtype)
        for mine, theirs in zip(got[1:3], expected[1:3], strict=True):
            check(backend, mine, theirs)
        assert (got[3] is None) == (mode != "max")
        if mode == "max":
            check(backend, got[3], expected[3])


def test_embedding_bag_of_nan(backend: Backend) -> None:
    """NaN is the largest, as in a maximum over an axis; -infinity still wins over nothing."""
    w = np.array([[1.0, -np.inf], [np.nan, -np.inf], [2.0, 3.0]], np.float32)
    index, offsets = np.array([0, 1, 2, 0, 1]), np.array([0, 3, 5])
    args = [backend.from_numpy(v) for v in (w, index, offsets)]
    y, _, _, winner = backend.kernels.embedding_bag(*args, None, "max", -1)
    check(backend, y, np.array([[np.nan, 3], [np.nan, -np.inf]], np.float32))
    check(backend, winner, np.array([[1, 2], [1, 0]]))


# ---- indices out of range ------------------------------------------------------------------------


def looked_up(k: Any, weight: Any, index: Any) -> None:
    k.embedding(weight, index)


def bounded(k: Any, weight: Any, index: Any) -> None:
    k.embedding_renorm(weight, index, 1.0, 2.0)


def whole_bag(backend: Backend, bad: int) -> None:
    index = np.array([0, bad, 2])
    args = [backend.from_numpy(v) for v in (values((7, 4), "float32"), index, np.array([0, 3]))]
    backend.kernels.embedding_bag(*args, None, "sum", -1)
    backend.synchronize()


@pytest.mark.parametrize("bad", [7, -1, 1 << 40])
@pytest.mark.parametrize("operation", [looked_up, bounded])
def test_index_out_of_range(
    backend: Backend, operation: Callable[[Any, Any, Any], None], bad: int
) -> None:
    weight = backend.from_numpy(values((7, 4), "float32"))
    index = backend.from_numpy(np.array([[0, 6], [bad, 3]]))
    message = rf"embedding: index {bad} is not one of the 7 rows of the table"
    with pytest.raises(IndexOutOfRangeError, match=message):
        operation(backend.kernels, weight, index)
        backend.synchronize()
    operation(backend.kernels, weight, index[:1])  # the flag is clear again
    backend.synchronize()


@pytest.mark.parametrize("bad", [7, -1])
def test_bag_of_an_index_out_of_range(backend: Backend, bad: int) -> None:
    with pytest.raises(
        IndexOutOfRangeError, match=rf"embedding: index {bad} is not one of the 7 rows of the table"
    ):
        whole_bag(backend, bad)


def test_table_of_nothing(backend: Backend) -> None:
    weight = backend.from_numpy(np.zeros((0, 4), np.float32))
    k = backend.kernels
    check(
        backend,
        k.embedding(weight, backend.from_numpy(np.zeros((0,), np.int64))),
        np.zeros((0, 4), np.float32),
    )
    with pytest.raises(IndexOutOfRangeError, match="index 0 is not one of the 0 rows"):
        k.embedding(weight, backend.from_numpy(np.zeros(2, np.int64)))
        backend.synchronize()
