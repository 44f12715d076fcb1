"""Element-wise operations on random shapes, strides and dtypes, against NumPy in float64."""

from __future__ import annotations

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
    broadcasting,
    examples,
    host,
    on,
    shapes,
    strided,
    wide,
)

import gpugrad as gg

DEFAULT = gg.float32

# name: (NumPy's function, values are shifted into its domain, how many roundings it may be off)
UNARY: dict[str, tuple[Any, bool, float]] = {
    "neg": (np.negative, False, 0),
    "abs": (np.abs, False, 0),
    "square": (np.square, False, 1),
    "sqrt": (np.sqrt, True, 1),
    "exp": (np.exp, False, 2),
    "log": (np.log, True, 4),
    "sin": (np.sin, False, 4),
    "tanh": (np.tanh, False, 4),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), False, 8),
    "relu": (lambda x: np.maximum(x, 0), False, 0),
    "floor": (np.floor, False, 0),
    "round": (np.round, False, 0),
    "sign": (np.sign, False, 0),
    "isnan": (np.isnan, False, 0),
}
KEEPS = {"neg", "abs", "square", "relu", "floor", "round", "sign"}  # integers stay integers


def check_unary(name: str, x: Strided, device: str) -> None:
    reference, shifted, roundings = UNARY[name]
    values, tensor = x.array(), x.tensor(device)
    if shifted:
        values, tensor = abs_plus(values), on(tensor, abs_plus(values))
    y = getattr(gg, name)(tensor)
    dtype = gg.as_dtype(bool) if name == "isnan" else x.dtype
    if not gg.is_floating(x.dtype) and name not in KEEPS and name != "isnan":
        dtype = DEFAULT
    with np.errstate(all="ignore"):
        assert_result(y, reference(wide(values)), dtype, roundings)


def abs_plus(values: np.ndarray) -> np.ndarray:
    """|x| + 2 in the same dtype: positive, and no logarithm near 0."""
    return np.asarray(np.abs(wide(values)) + 2).astype(values.dtype)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, device: str) -> None:
    dtypes = NUMBERS if device == "cpu" else [*FLOATING, gg.int32, gg.int64]

    @examples(25 if device == "cpu" else 10)
    @given(strided(dtypes=dtypes))
    def check(x: Strided) -> None:
        if not (name == "relu" and x.dtype == gg.dtype.bool_):
            check_unary(name, x, device)

    check()


ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
EXTREMES = {"maximum": np.maximum, "minimum": np.minimum}
COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip
LOGICAL = {"logical_and": np.logical_and, "logical_xor": np.logical_xor}
BINARY = {**ARITHMETIC, **EXTREMES, **COMPARISONS, **LOGICAL, "div": np.true_divide}


@st.composite
def operands(draw: Any, count: int = 2, dtypes: Any = DTYPES) -> list[Strided]:
    """Operands that broadcast together, each with dtype and strides of its own."""
    return [draw(strided(shape, dtypes)) for shape in draw(broadcasting(count))]


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, device: str) -> None:
    @examples(60 if device == "cpu" else 15)
    @given(operands())
    def check(pair: list[Strided]) -> None:
        a, b = (x.array() for x in pair)
        tensors = [x.tensor(device) for x in pair]
        common = gg.result_type(*tensors)
        if name == "sub" and gg.dtype.bool_ in (a.dtype, b.dtype):
            with pytest.raises(gg.errors.DTypeError):
                gg.sub(*tensors)
            return
        dtype, roundings = common, 0.0
        if name in COMPARISONS or name in LOGICAL:
            dtype = gg.dtype.bool_
        elif name == "div":
            dtype = common if gg.is_floating(common) else DEFAULT
            roundings = 1
        with np.errstate(all="ignore"):
            cast = [x.astype(common) for x in (a, b)] if name != "div" else [a, b]
            expected = BINARY[name](*[wide(np.asarray(x)) for x in cast])
        assert_result(getattr(gg, name)(*tensors), expected, dtype, roundings)

    check()


@pytest.mark.parametrize("scalar", [True, 3, -2.5])
def test_numbers_as_operands(scalar: Any, device: str) -> None:
    @examples(25 if device == "cpu" else 8)
    @given(strided())
    def check(x: Strided) -> None:
        dtype = gg.result_type(x.tensor(device), scalar)
        values = wide(x.array().astype(dtype))
        assert_result(x.tensor(device) * scalar, values * scalar, dtype)
        assert_result(scalar + x.tensor(device), scalar + values, dtype)

    check()


def test_where(device: str) -> None:
    @examples(60 if device == "cpu" else 15)
    @given(operands(3))
    def check(three: list[Strided]) -> None:
        where = np.asarray(three[0].array() > 0)
        a, b = three[1].tensor(device), three[2].tensor(device)
        condition = on(a, where)
        dtype = gg.result_type(a, b)
        chosen = np.where(where, wide(host(a).astype(dtype)), wide(host(b).astype(dtype)))
        assert_result(gg.where(condition, a, b), chosen, dtype)

    check()


def test_clamp(device: str) -> None:
    @examples(30 if device == "cpu" else 8)
    @given(strided(dtypes=NUMBERS), st.integers(-4, 4), st.integers(-4, 4))
    def check(x: Strided, low: int, high: int) -> None:
        if x.dtype == gg.uint8:
            low, high = abs(low), abs(high)
        expected = np.minimum(np.maximum(wide(x.array()), low), high)
        assert_result(gg.clamp(x.tensor(device), low, high), expected, x.dtype)

    check()


@pytest.mark.parametrize("name", ["add", "mul", "maximum", "where"])
def test_gradients_of_broadcast_operands(name: str, device: str) -> None:
    """dy summed over where an operand repeats: for sums of products of quarters, exactly."""

    @examples(30 if device == "cpu" else 8)
    @given(operands(2, [gg.float64]), st.integers(0, 99))
    def check(pair: list[Strided], seed: int) -> None:
        a, b = (x.tensor(device).requires_grad_() for x in pair)
        p, q = np.broadcast_arrays(host(a), host(b))
        more = np.random.default_rng(seed).random(p.shape) < 0.5
        y = gg.where(on(a, more), a, b) if name == "where" else getattr(gg, name)(a, b)
        dy = np.random.default_rng(seed).integers(-8, 9, p.shape) / 4
        y.backward(on(a, dy))
        half = np.where(p == q, 0.5, p > q)
        parts = {
            "add": (dy, dy),
            "mul": (dy * q, dy * p),
            "maximum": (dy * half, dy * (1 - half)),
            "where": (dy * more, dy * ~more),
        }[name]
        for leaf, part in zip((a, b), parts, strict=True):
            np.testing.assert_array_equal(host(leaf.grad), summed_to(part, tuple(leaf.shape)))

    check()


def summed_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x summed over leading axes and over those where `shape` has length 1."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    axes = tuple(i for i, n in enumerate(shape) if n == 1)
    return x.sum(axis=axes, keepdims=True) if axes else np.asarray(x)


@pytest.mark.parametrize("name", ["add_", "mul_", "copy_", "fill_", "zero_", "clamp_"])
def test_in_place_on_views(name: str, device: str) -> None:
    """The whole memory afterwards is what NumPy's has become, whatever the view."""

    @examples(40 if device == "cpu" else 10)
    @given(
        strided(dtypes=[gg.float32, gg.float16, gg.int32, gg.uint8], writable=True),
        st.integers(0, 99),
        st.booleans(),
    )
    def check(x: Strided, seed: int, flipped: bool) -> None:
        (target, base), mirror = x.with_memory(device), x.array()
        view, look = target, mirror
        if flipped and mirror.ndim:
            view, look = target.transpose(0, -1), np.swapaxes(mirror, 0, -1)
            if look.shape[-1] > 1:
                view, look = view[..., 1:], look[..., 1:]
        other = np.random.default_rng(seed).integers(0, 4, look.shape[-1:]).astype(x.dtype)
        operand = on(target, other)
        arguments: tuple[Any, ...] = (operand,)
        if name == "fill_":
            arguments, other = (3,), np.asarray(3)
        elif name == "zero_":
            arguments = ()
        elif name == "clamp_":
            arguments = (0, 2)
        getattr(view, name)(*arguments)
        new = {
            "add_": lambda: look + other, "mul_": lambda: look * other, "copy_": lambda: other,
            "fill_": lambda: other, "zero_": lambda: 0, "clamp_": lambda: np.clip(look, 0, 2),
        }[name]()  # fmt: skip
        look[...] = new
        np.testing.assert_array_equal(host(base), memory_of(mirror))

    check()


def memory_of(view: np.ndarray) -> np.ndarray:
    """The array that owns a view's memory."""
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


def test_casts(device: str) -> None:
    @examples(80 if device == "cpu" else 20)
    @given(strided(), st.sampled_from(DTYPES))
    def check(x: Strided, dtype: Any) -> None:
        values = wide(x.array())
        if dtype == gg.uint8:
            values = np.abs(values)  # what negative numbers become is not defined
        y = on(device, values.astype(x.dtype)).to(dtype)
        whole = values if gg.is_floating(dtype) or dtype == gg.dtype.bool_ else np.trunc(values)
        assert_result(y, whole, dtype)

    check()


def test_contiguous_copies(device: str) -> None:
    @examples(40 if device == "cpu" else 10)
    @given(strided())
    def check(x: Strided) -> None:
        for y in (x.tensor(device).contiguous(), x.tensor(device).clone()):
            np.testing.assert_array_equal(host(y), x.array())
        assert x.tensor(device).contiguous().is_contiguous()

    check()


def test_shapes_reach_their_limits() -> None:
    """The strategy does draw what the properties are about."""
    seen: list[Strided] = []

    @examples(120)
    @given(strided(shapes()))
    def check(x: Strided) -> None:
        seen.append(x)

    check()
    arrays = [x.array() for x in seen]
    assert {0, 5} <= {a.ndim for a in arrays} and any(a.size == 0 for a in arrays)
    strides = [(n, s) for a in arrays for n, s in zip(a.shape, a.strides, strict=True)]
    assert any(n > 1 and s < 0 for n, s in strides) and any(n > 1 and s == 0 for n, s in strides)
    assert any(np.ptp(a.strides) == 0 for a in arrays if a.ndim > 1 and min(a.shape) > 1)
