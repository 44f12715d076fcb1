"""Sorting, unique values, searching and counting: what PyTorch leaves open, edges, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError

EQUALS = [2, 1, 2, 1, 3, 2]
DTYPES = [gg.float16, gg.bfloat16, gg.float32, gg.float64, gg.int8, gg.uint8, gg.int32, gg.int64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_equals_keep_their_order(dtype: Any) -> None:
    x = gg.tensor(EQUALS, dtype=dtype)
    up, down = x.sort(), x.sort(descending=True)
    assert up.values.tolist() == sorted(EQUALS) and up.values.dtype == dtype
    assert up.indices.tolist() == [1, 3, 0, 2, 5, 4]
    assert down.indices.tolist() == [4, 0, 2, 5, 1, 3]
    assert x.argsort().tolist() == up.indices.tolist()
    assert x.topk(3).indices.tolist() == [4, 0, 2]
    assert x.topk(3, largest=False).indices.tolist() == [1, 3, 0]
    assert [x.kthvalue(k).indices.item() for k in range(1, 7)] == up.indices.tolist()


def test_nan_is_above_all_numbers() -> None:
    x = gg.tensor([np.nan, np.inf, -np.inf, 0.0, np.nan])
    assert x.argsort().tolist() == [2, 3, 1, 0, 4]
    assert x.argsort(descending=True).tolist() == [0, 4, 1, 3, 2]
    assert np.isnan(x.topk(1).values.item()) and x.kthvalue(3).values.item() == np.inf


def test_bools_and_zeros_of_both_signs() -> None:
    assert gg.tensor([True, False, True, False]).sort().indices.tolist() == [1, 3, 0, 2]
    assert gg.tensor([0.0, -0.0, 0.0]).argsort(descending=True).tolist() == [0, 1, 2]


def test_results_are_named() -> None:
    values, indices = found = gg.tensor([3.0, 1.0]).sort()
    assert found.values is values and found.indices is indices
    assert gg.histogram(gg.ones(3), 2).bin_edges.shape == (3,)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dim", [0, -1])
def test_sort_of_any_shape(shape: tuple[int, ...], dim: int) -> None:
    array = np.random.default_rng(0).standard_normal(shape)
    y = gg.tensor(array).sort(dim)
    expected = np.sort(array, dim) if shape else array
    assert y.values.shape == shape and np.array_equal(y.values.numpy(), expected)
    assert y.indices.dtype == gg.int64


def test_order_through_strides() -> None:
    array = np.random.default_rng(1).standard_normal((4, 6))
    for view in (array.T, array[::-1, ::2], np.broadcast_to(array[:, :1], (4, 3))):
        y = gg.from_numpy(view).sort(0)
        assert np.array_equal(y.values.numpy(), np.sort(view, 0))


def test_gradients_go_where_the_values_came_from() -> None:
    x = gg.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, -1.0]], dtype=gg.float64, requires_grad=True)
    weights = gg.tensor([[1.0, 10.0], [100.0, 1000.0]], dtype=gg.float64)
    (x.topk(2).values * weights).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 0, 10], [1000, 100, 0]]
    assert not x.topk(2).indices.requires_grad
    for function in (
        lambda x: x.sort(0, descending=True).values ** 3,
        lambda x: x.kthvalue(2, 1).values ** 3,
        lambda x: x.msort() ** 3,
    ):
        assert gg.autograd.gradcheck(function, x) and gg.autograd.gradgradcheck(function, x)


# ---- unique ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [gg.float32, gg.int64, gg.uint8, gg.bool])
def test_unique_is_what_numpy_finds(dtype: Any) -> None:
    array = np.random.default_rng(2).integers(0, 4, (5, 7)).astype(dtype)
    y, inverse, counts = gg.tensor(array).unique(return_inverse=True, return_counts=True)
    expected = np.unique(array, return_inverse=True, return_counts=True)
    for a, b in zip((y, inverse.reshape(-1), counts), expected, strict=True):
        assert np.array_equal(a.numpy(), b.reshape(-1))
    assert inverse.shape == (5, 7) and y[inverse].tolist() == array.tolist()


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_unique_slices_are_what_numpy_finds(dim: int) -> None:
    array = np.random.default_rng(3).integers(0, 2, (6, 3, 5)).astype(np.float32)
    array[[4, 1]] = array[2]
    array[:, 2] = array[:, 0]
    y, inverse, counts = gg.tensor(array).unique(return_inverse=True, return_counts=True, dim=dim)
    expected = np.unique(array, return_inverse=True, return_counts=True, axis=dim)
    for a, b in zip((y, inverse, counts), expected, strict=True):
        assert np.array_equal(a.numpy(), b)


@pytest.mark.parametrize("columns", range(1, 7))
def test_the_last_column_decides_where_the_others_are_equal(columns: int) -> None:
    rows = np.zeros((3, columns))
    rows[:, -1] = [2, 1, 2]
    y, inverse = gg.tensor(rows).unique(return_inverse=True, dim=0)
    assert y[:, -1].tolist() == [1, 2] and inverse.tolist() == [1, 0, 1]


def test_unique_runs() -> None:
    x = gg.tensor([[1, 1, 2], [2, 2, 1]])
    y, inverse, counts = x.unique_consecutive(return_inverse=True, return_counts=True)
    assert (y.tolist(), counts.tolist()) == ([1, 2, 1], [2, 3, 1])
    assert inverse.tolist() == [[0, 0, 1], [1, 1, 2]]
    y, counts = x.unique_consecutive(return_counts=True, dim=1)
    assert (y.tolist(), counts.tolist()) == ([[1, 2], [2, 1]], [2, 1])


def test_nans_are_all_different_and_zeros_alike() -> None:
    assert gg.tensor([np.nan, 1.0, np.nan]).unique().shape == (3,)
    assert gg.tensor([0.0, -0.0]).unique().shape == (1,)


def test_unique_of_nothing() -> None:
    y, inverse, counts = gg.zeros(0, 3).unique(return_inverse=True, return_counts=True)
    assert y.shape == (0,) and inverse.shape == (0, 3) and counts.shape == (0,)
    assert gg.zeros(0, 3).unique(dim=0).shape == (0, 3)
    with pytest.raises(ShapeError, match=r"unique: the slices of \(2, 0\) float32 on cpu along ax"):
        gg.zeros(2, 0).unique(dim=0)


# ---- searching and counting -------------------------------------------------------


def test_searchsorted_is_what_numpy_finds() -> None:
    rng = np.random.default_rng(4)
    rows, x = np.sort(rng.integers(0, 9, (3, 8)), -1), rng.integers(-1, 10, (3, 5))
    for side in ("left", "right"):
        found = gg.searchsorted(gg.tensor(rows), gg.tensor(x), side=side)
        expected = [np.searchsorted(a, b, side) for a, b in zip(rows, x, strict=True)]
        assert found.tolist() == np.array(expected).tolist()
    order = gg.tensor([2, 0, 1])
    assert gg.searchsorted(gg.tensor([3, 5, 1]), 4, sorter=order).item() == 2
    assert gg.bucketize(gg.tensor([1.0, 2.5]), gg.tensor([1.0, 2.0]), out_int32=True).tolist() == [
        0,
        2,
    ]
    assert gg.bucketize(gg.tensor([1]), gg.tensor([1]), out_int32=True).dtype == gg.int32


def test_bincount() -> None:
    x = gg.tensor([1, 4, 1], dtype=gg.uint8)
    assert gg.bincount(x, minlength=6).tolist() == [0, 2, 0, 0, 1, 0]
    weighted = gg.bincount(x, gg.tensor([0.5, 2.0, 0.25], dtype=gg.float16))
    assert weighted.tolist() == [0, 0.75, 0, 0, 2] and weighted.dtype == gg.float64
    assert gg.bincount(gg.tensor([], dtype=gg.int64)).shape == (0,)


def test_histograms_are_what_numpy_counts() -> None:
    x = np.random.default_rng(5).standard_normal(200)
    assert gg.histc(gg.tensor(x), 7, -1, 1).tolist() == np.histogram(x, 7, (-1, 1))[0].tolist()
    edges = np.array([-2.0, -0.5, 0.0, 0.1, 2.0])
    hist, _ = gg.histogram(gg.tensor(x), gg.tensor(edges), weight=gg.tensor(x), density=True)
    np.testing.assert_allclose(hist.numpy(), np.histogram(x, edges, None, True, x)[0], rtol=1e-12)


def test_histogram_leaves_out_what_is_outside() -> None:
    x = gg.tensor([np.nan, np.inf, -np.inf, -1.0, 0.0, 2.0, 2.5])
    assert gg.histc(x, 2, 0, 2).tolist() == [1, 1]
    assert gg.histogram(x, 2, range=(0, 2)).hist.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.topk(4), IndexOutOfRangeError, r"topk: k 4 must be 0 to 3, the length of"),
        (lambda x: x.kthvalue(0), IndexOutOfRangeError, r"kthvalue: k 0 must be 1 to 3"),
        (lambda x: x.sort(1), IndexOutOfRangeError, "sort: dim 1 is out of range"),
        (lambda x: gg.searchsorted(x, x.double()), DTypeError, "need one dtype"),
        (lambda x: gg.searchsorted(x, x, side="up"), ArgumentError, "side must be 'left' or"),
        (
            lambda x: gg.searchsorted(x, x, side="left", right=True),
            ArgumentError,
            "side must be 'left' or 'right' and agree with right",
        ),
        (
            lambda x: gg.searchsorted(x.reshape(1, 3), x),
            ShapeError,
            r"sorted_sequence \(1, 3\) must be a vector, or have the leading axes of input \(3,\)",
        ),
        (lambda x: gg.bucketize(x, x.reshape(1, 3)), ShapeError, "boundaries must be a vector"),
        (lambda x: gg.bincount(x), DTypeError, r"vector of integers; got \(3,\) float32"),
        (lambda x: gg.bincount(gg.tensor([-1])), ArgumentError, "the least is -1"),
        (lambda x: gg.histc(x, 0), ArgumentError, "histc: bins must be at least 1, got 0"),
        (lambda x: gg.histc(x, 2, 3, 1), ArgumentError, r"range \[3.0, 1.0\] must be finite"),
        (lambda x: gg.histc(x.int()), DTypeError, "histc: needs a floating tensor"),
        (lambda x: gg.histogram(x, x.double()), ShapeError, "a vector of float32 edges; got"),
    ],
)
def test_errors(call: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        call(gg.tensor([1.0, 2.0, 3.0]))
