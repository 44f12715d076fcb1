"""Reductions, scans, products, sorts on random shapes, strides, axes and dtypes, against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties.strategies import (
    DTYPES,
    FLOATING,
    NUMBERS,
    Strided,
    assert_result,
    axes_of,
    broadcasting,
    draw_values,
    examples,
    host,
    on,
    shapes,
    strided,
    wide,
)

import gpugrad as gg

REDUCTIONS = {
    "sum": np.sum, "mean": None, "prod": np.prod, "amax": np.max, "amin": np.min,
    "any": np.any, "all": np.all, "count_nonzero": np.count_nonzero, "logsumexp": None,
    "var": None,
}  # fmt: skip


@st.composite
def reductions(draw: Any, dtypes: Any = DTYPES) -> tuple[Strided, tuple[int, ...], bool]:
    x = draw(strided(dtypes=dtypes))
    return x, draw(axes_of(len(x.shape))), draw(st.booleans())


def reference(name: str, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The reduction in float64 or int64, by its definition."""
    if name == "mean":
        return np.sum(x, axis=axes, keepdims=keepdims) / np.float64(
            math.prod([x.shape[i] for i in axes])
        )
    if name == "logsumexp":
        return np.log(np.sum(np.exp(x), axis=axes, keepdims=keepdims))
    if name == "var":
        return np.var(x, axis=axes, ddof=1, keepdims=keepdims)
    return REDUCTIONS[name](x, axis=axes, keepdims=keepdims)


def reduced_dtype(name: str, dtype: Any) -> Any:
    if name in ("any", "all"):  # PyTorch's exception
        return gg.uint8 if dtype == gg.uint8 else gg.dtype.bool_
    if name == "count_nonzero":
        return gg.int64
    if name in ("sum", "prod"):
        return gg.dtype.sum_dtype(dtype)
    return dtype


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str, device: str) -> None:
    floating_only = name in ("mean", "logsumexp", "var")
    dtypes = FLOATING if floating_only else NUMBERS if name == "prod" else DTYPES

    @examples(50 if device == "cpu" else 15)
    @given(reductions(dtypes))
    def check(drawn: tuple[Strided, tuple[int, ...], bool]) -> None:
        x, axes, keepdim = drawn
        values, tensor = wide(x.array()), x.tensor(device)
        all_axes = tuple(range(values.ndim))
        over = axes or all_axes
        count = math.prod([values.shape[i] for i in over])
        if name == "prod":
            if len(axes) != 1:
                over, keepdim = all_axes, False
            call = lambda: gg.prod(tensor) if len(axes) != 1 else gg.prod(tensor, axes[0], keepdim)  # noqa: E731
        elif name == "logsumexp":
            call = lambda: gg.logsumexp(tensor, over, keepdim)  # noqa: E731
        elif name == "count_nonzero":
            keepdim, call = False, lambda: gg.count_nonzero(tensor, over)
        else:
            call = lambda: getattr(gg, name)(tensor, dim=over, keepdim=keepdim)  # noqa: E731
        if values.ndim == 0 and name in ("logsumexp", "count_nonzero"):
            return
        if name in ("amax", "amin") and count == 0:
            with pytest.raises(gg.errors.GpugradError):
                call()
            return
        if name == "var" and count < 2:
            return
        with np.errstate(all="ignore"):
            expected = reference(name, values, over, keepdim)
        # at most `count` roundings in the accumulation dtype, one of the result
        roundings = {"mean": 1.0, "var": 4.0, "logsumexp": 8.0, "prod": 4.0 + count}.get(name, 0.0)
        assert_result(call(), expected, reduced_dtype(name, x.dtype), roundings)

    check()


@pytest.mark.parametrize("name", ["argmax", "argmin", "max", "min"])
def test_extremes_with_positions(name: str, device: str) -> None:
    @examples(40 if device == "cpu" else 12)
    @given(strided(shapes(4, 1, 1), NUMBERS), st.data())
    def check(x: Strided, data: Any) -> None:
        dim = data.draw(st.integers(-len(x.shape), len(x.shape) - 1))
        keepdim = data.draw(st.booleans())
        values, tensor = wide(x.array()), x.tensor(device)
        largest = name.endswith("max")
        best = (np.max if largest else np.min)(values, axis=dim, keepdims=True)
        if name.startswith("arg"):
            index = getattr(gg, name)(tensor, dim, keepdim)
        else:
            found, index = getattr(gg, name)(tensor, dim, keepdim)
            assert_result(found, best if keepdim else best.squeeze(dim), x.dtype)
        assert index.dtype == gg.int64
        at = host(index) if keepdim else np.expand_dims(host(index), dim)
        np.testing.assert_array_equal(np.take_along_axis(values, at, dim), best)

    check()


def test_cumsum(device: str) -> None:
    @examples(50 if device == "cpu" else 15)
    @given(strided(shapes(4, 1)), st.data())
    def check(x: Strided, data: Any) -> None:
        dim = data.draw(st.integers(-len(x.shape), len(x.shape) - 1))
        y = gg.cumsum(x.tensor(device), dim)
        assert_result(y, np.cumsum(wide(x.array()), axis=dim), gg.dtype.sum_dtype(x.dtype))

    check()


@st.composite
def factors(draw: Any) -> list[Strided]:
    """Operands of matmul: vectors, matrices, batches that broadcast."""
    n, k, m = (draw(st.integers(0, 5)) for _ in range(3))
    first, second = draw(broadcasting(2, 2))
    left = draw(st.sampled_from([(k,), (*first, n, k)]))
    right = draw(st.sampled_from([(k,), (*second, k, m)]))
    dtype = draw(st.sampled_from(FLOATING))
    return [draw(strided(left, [dtype])), draw(strided(right, [dtype]))]


def test_matmul(device: str) -> None:
    @examples(60 if device == "cpu" else 20)
    @given(factors())
    def check(pair: list[Strided]) -> None:
        expected = np.matmul(*[wide(x.array()) for x in pair])
        assert_result(gg.matmul(*[x.tensor(device) for x in pair]), expected, pair[0].dtype)

    check()


@pytest.mark.parametrize("descending", [False, True])
def test_sort(descending: bool, device: str) -> None:
    @examples(40 if device == "cpu" else 12)
    @given(strided(shapes(4, 1)), st.data())
    def check(x: Strided, data: Any) -> None:
        dim = data.draw(st.integers(-len(x.shape), len(x.shape) - 1))
        values = x.array()
        y, index = gg.sort(x.tensor(device), dim=dim, descending=descending, stable=True)
        keys = -wide(values) if descending else wide(values)
        order = np.argsort(keys, axis=dim, kind="stable")
        np.testing.assert_array_equal(host(index), order)
        assert_result(y, np.take_along_axis(wide(values), order, dim), x.dtype)

    check()


@pytest.mark.parametrize("name", ["gather", "scatter", "scatter_add"])
def test_gather_and_scatter(name: str, device: str) -> None:
    @examples(40 if device == "cpu" else 12)
    @given(strided(shapes(4, 1, 1), [gg.float32, gg.float64, gg.int64, gg.float16]), st.data())
    def check(x: Strided, data: Any) -> None:
        dim = data.draw(st.integers(-len(x.shape), len(x.shape) - 1))
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        values, tensor = x.array(), x.tensor(device)
        length = data.draw(st.integers(0, x.shape[dim]))
        shape = list(x.shape)
        shape[dim] = length
        # along dim a shuffle: no position twice, which scatter leaves open
        index = np.argsort(rng.random(x.shape), axis=dim)
        index = np.take(index, range(length), axis=dim)
        if name != "scatter":
            index = rng.integers(0, x.shape[dim], shape)
        at = on(tensor, index)
        if name == "gather":
            y = gg.gather(tensor, dim, at)
            assert_result(y, np.take_along_axis(wide(values), index, dim), x.dtype)
            return
        source = draw_values(rng, tuple(shape), x.dtype)
        expected = wide(values)
        where = list(np.indices(shape))
        where[dim] = index
        if name == "scatter":
            expected[tuple(where)] = wide(source)
        else:
            np.add.at(expected, tuple(where), wide(source))
        y = getattr(gg, name)(tensor, dim, at, on(tensor, source))
        assert_result(y, expected, x.dtype)

    check()


def test_sums_distribute_their_gradient(device: str) -> None:
    """d(sum over axes) is dy repeated, to the bit, whatever the strides of x and dy."""

    @examples(40 if device == "cpu" else 12)
    @given(reductions([gg.float64]))
    def check(drawn: tuple[Strided, tuple[int, ...], bool]) -> None:
        x, axes, keepdim = drawn
        tensor = x.tensor(device).requires_grad_()
        over = axes or tuple(range(len(x.shape)))
        y = tensor.sum(dim=over, keepdim=keepdim) if over else tensor.sum()
        dy = np.random.default_rng(1).integers(-8, 9, tuple(y.shape)) / 4
        y.backward(on(tensor, dy))
        kept = tuple(
            1 if i in {a % len(x.shape) for a in over} else n for i, n in enumerate(x.shape)
        )
        expected = np.broadcast_to(np.reshape(dy, kept), x.shape)
        np.testing.assert_array_equal(host(tensor.grad), expected)

    check()
