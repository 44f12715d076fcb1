"""unary, binary, where, cast, copy, fill of every device against the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import (
    ALL,
    FLOATING,
    INTEGERS,
    SHAPES,
    check,
    epsilon,
    functors,
    place,
    placed_inputs,
    random,
    smallest_normal,
    values,
    wide,
)

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

UNARY, BINARY = functors("UNARY"), functors("BINARY")
PARAMETERS = {
    "leaky_relu": (0.1, 0.0),
    "elu": (1.5, 0.75),
    "softplus": (2.0, 5.0),
    "clamp": (-1.0, 2.0),
}
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-5, -1e-5, 9.0, -9.0]
SPECIAL += [20.0, 30.0, -30.0, 81.0, -81.0, 95.0, -95.0, 110.0, -110.0, 750.0, -750.0, 6e4, -6e4]
# CUDA's own functions are off by 4 ulp at most (CUDA C++ programming guide); ours chain up to four.
ULPS = 8
# 1 + tanh(x) cancels for negative x, so the error is one of x, not of the result.
CANCELS = {"gelu_tanh"}
# The derivative of these is a difference, so the error is one of dy.
GRADIENTS = {"gelu_grad", "gelu_tanh_grad", "silu_grad"}
STEPS = {"floor", "ceil", "round", "trunc", "sign", "isnan", "isinf", "isfinite", "logical_not"}
STEPS |= {"signbit"}


def every_value(dtype: str) -> np.ndarray:
    """Every value of an 8-bit dtype, the ends and many more of the others."""
    d = dtypes.as_dtype(dtype)
    if dtype == "bool":
        return np.array([False, True])
    if dtypes.is_floating(d):
        return np.concatenate([SPECIAL, 3 * random(1).standard_normal(200)]).astype(d)
    ends = np.iinfo(d)
    if d.itemsize == 1:
        return np.arange(ends.min, ends.max + 1).astype(d)
    return np.concatenate([values((200,), dtype), np.array([ends.min, ends.max, 0, 1], d)])


@pytest.mark.parametrize("name", UNARY)
def test_unary(backend: Backend, name: str) -> None:
    for dtype in UNARY[name]:
        x = every_value(dtype)
        p = PARAMETERS.get(name, (0.0, 0.0))
        got = backend.kernels.unary(name, backend.from_numpy(x), *p)
        if not dtypes.is_floating(x.dtype):
            check(backend, got, reference.unary(name, x, *p))
            continue
        expected = reference.unary(name, wide(x), *p)
        eps, error = epsilon(dtype), None
        if name not in STEPS:
            # The rounding of an argument inside the function moves it by an ulp.
            moved = reference.unary(name, wide(x) * (1 + eps), *p)
            with np.errstate(invalid="ignore"):
                error = ULPS * (eps * np.abs(expected) + np.abs(moved - expected))
                # One over an exp that overflows is 0 a little above the smallest normal number.
                error += smallest_normal(dtype) * np.abs(wide(x))
            if name in CANCELS:
                error += ULPS * eps * np.abs(wide(x))
        result = expected.dtype if expected.dtype == bool else dtype
        check(backend, got, expected, error, result)


@pytest.mark.parametrize("dtype", FLOATING)
def test_unary_layouts(backend: Backend, dtype: str) -> None:
    for _, x, numpy in placed_inputs(backend, dtype):
        check(backend, backend.kernels.unary("neg", x), -numpy)
        check(backend, backend.kernels.unary("isfinite", x), np.ones(numpy.shape, bool))


def operands(name: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a few values, specials among them where the mathematics defines them."""
    d = dtypes.as_dtype(dtype)
    if dtype == "bool":
        few = np.array([False, True])
    elif not dtypes.is_floating(d):
        ends = np.iinfo(d)
        few = np.array([ends.min, ends.max, 0, 1, 2, 3, 7, ends.max // 3], d)
        if dtype != "uint8":
            few = np.concatenate([few, np.array([-1, -2, -3], d)])
    else:
        few = np.concatenate([random(2).standard_normal(12), [0.0, 1.0, 2.0, -2.0, 0.5]])
        if not name.endswith("_grad"):
            few = np.concatenate([few, [np.nan, np.inf, -np.inf]])
        few = few.astype(d)
    return tuple(np.ascontiguousarray(m).ravel() for m in np.meshgrid(few, few))  # type: ignore


@pytest.mark.parametrize("name", BINARY)
def test_binary(backend: Backend, name: str) -> None:
    for dtype in BINARY[name]:
        a, b = operands(name, dtype)
        got = backend.kernels.binary(name, backend.from_numpy(a), backend.from_numpy(b))
        check_binary(backend, got, name, a, b, dtype)


def check_binary(
    backend: Backend, got: Any, name: str, a: np.ndarray, b: np.ndarray, dtype: str
) -> None:
    __tracebackhide__ = True
    if not dtypes.is_floating(dtypes.as_dtype(dtype)):
        check(backend, got, reference.binary(name, a, b))
        return
    if name in ("remainder", "floor_divide", "fmod"):  # jump at whole quotients: own precision
        check(backend, got, reference.binary(name, a, b), 0)
        return
    expected = reference.binary(name, wide(a), wide(b))
    eps = epsilon(dtype)
    error = None
    if name in ("pow", "atan2", "hypot") or name.endswith("_grad"):
        moved = reference.binary(name, wide(a), wide(b) * (1 + eps))
        with np.errstate(invalid="ignore"):
            error = ULPS * (eps * np.abs(expected) + np.abs(moved - expected))
        if name in GRADIENTS:
            error += ULPS * eps * np.abs(wide(a))
    check(backend, got, expected, error, bool if expected.dtype == bool else dtype)


@pytest.mark.parametrize("dtype", FLOATING)
def test_signs_of_zero_and_nan(backend: Backend, dtype: str) -> None:
    """signbit sees them, copysign gives them on."""
    d = dtypes.as_dtype(dtype)
    signs = np.array([0.0, -0.0, np.nan, -np.nan, 1.0, -1.0, np.inf, -np.inf]).astype(d)
    negative = np.array([False, True] * 4)
    kernels, y = backend.kernels, backend.from_numpy(signs)
    check(backend, kernels.unary("signbit", y), negative)
    for magnitude in (0.0, 2.5, np.inf):
        x = backend.from_numpy(np.full(8, -magnitude).astype(d))
        signed = kernels.binary("copysign", x, y)
        check(backend, signed, np.where(negative, -magnitude, magnitude).astype(d))
        check(backend, kernels.unary("signbit", signed), negative)


@pytest.mark.parametrize("dtype", FLOATING)
def test_hypot_does_not_overflow(backend: Backend, dtype: str) -> None:
    """3-4-5 triangles near the ends of the range, and infinity beats NaN."""
    d = dtypes.as_dtype(dtype)
    top = 2.0 ** {"float16": 12, "float64": 1020}.get(dtype, 124)
    bottom = 2.0 ** {"float16": -20, "float64": -1000}.get(dtype, -110)
    a = np.array([3 * top, -3 * bottom, np.inf, np.nan, np.nan, 0.0]).astype(d)
    b = np.array([-4 * top, 4 * bottom, np.nan, -np.inf, 1.0, -0.0]).astype(d)
    expected = np.array([5 * top, 5 * bottom, np.inf, np.inf, np.nan, 0.0])
    got = backend.kernels.binary("hypot", backend.from_numpy(a), backend.from_numpy(b))
    check(backend, got, expected, ULPS * epsilon(dtype) * np.abs(expected), dtype)


@pytest.mark.parametrize("dtype", FLOATING)
def test_fmod_of_large_quotients(backend: Backend, dtype: str) -> None:
    """Exact however large the quotient; nothing is left of infinity or over zero."""
    d = dtypes.as_dtype(dtype)
    a = np.array([6e4, -6e4, 5.5, -5.5, 3.0, np.inf, 1.0, -0.0, 6e4]).astype(d)
    b = np.array([3.0, 0.7, 2.0, -2.0, np.inf, 2.0, 0.0, 3.0, 1e-3]).astype(d)
    with np.errstate(invalid="ignore"):
        expected = np.fmod(wide(a), wide(b))
    got = backend.kernels.binary("fmod", backend.from_numpy(a), backend.from_numpy(b))
    check(backend, got, expected, 0, dtype)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_erfinv_inverts_erf(backend: Backend, dtype: str) -> None:
    """Also next to 1: 1 - |x| is exact there, so one rounding of it, or of a small x, is all that
    may move the result, by erfinv'(x) times that."""
    d, eps = dtypes.as_dtype(dtype), epsilon(dtype)
    tail = 1 - 2.0 ** -np.arange(1.0, 24.0 if dtype == "float32" else 53.0)
    x = np.concatenate([tail, -tail, np.linspace(-0.999, 0.999, 301)]).astype(d)
    y = reference.unary("erfinv", wide(x))
    slope = np.sqrt(np.pi) / 2 * np.exp(y * y)
    got = backend.kernels.unary("erfinv", backend.from_numpy(x))
    moved = slope * np.minimum(np.abs(wide(x)), 1 - np.abs(wide(x)))
    check(backend, got, y, ULPS * eps * (np.abs(y) + moved), dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_out_of_range(backend: Backend, dtype: str) -> None:
    """By less than 0, the width or more: 0, or what the sign fills with."""
    d = dtypes.as_dtype(dtype)
    bits = 8 * d.itemsize
    by = [0, 1, bits - 1, bits, bits + 1, 100] + ([-1, -100] if dtype != "uint8" else [])
    x = np.array([1, 5, np.iinfo(d).max, np.iinfo(d).min, *([-1, -6] if dtype != "uint8" else [])])
    a, b = (m.ravel().astype(d) for m in np.meshgrid(x, by))
    inside = (b >= 0) & (b < bits)
    shift = np.where(inside, b, 0).astype(d)
    for name, within, beyond in (
        ("shift_left", np.left_shift(a, shift), np.zeros_like(a)),
        ("shift_right", np.right_shift(a, shift), np.where(a < 0, -1, 0).astype(d)),
    ):
        got = backend.kernels.binary(name, backend.from_numpy(a), backend.from_numpy(b))
        check(backend, got, np.where(inside, within, beyond))


PAIRS = [
    ((3, 1), (1, 4)),
    ((), (5,)),
    ((2, 3, 4), (4,)),
    ((0, 3), (1, 3)),
    ((7, 1, 5), (6, 1)),
    ((1,), (3, 2, 67)),
    ((40, 70), (70,)),
    ((40, 70), (40, 1)),
    ((2053,), (2053,)),
]


@pytest.mark.parametrize("dtype", ALL)
def test_binary_broadcasts(backend: Backend, dtype: str) -> None:
    for number, (left, right) in enumerate(PAIRS):
        for layouts in (("contiguous", "contiguous"), ("transposed", "reversed")):
            a, numpy_a = place(backend, values(left, dtype, number), layouts[0])
            b, numpy_b = place(backend, values(right, dtype, number + 50), layouts[1])
            for name in ("add", "lt"):
                expected = reference.binary(name, numpy_a, numpy_b)
                check(backend, backend.kernels.binary(name, a, b), expected)


@pytest.mark.parametrize("dtype", ALL)
def test_binary_layouts(backend: Backend, dtype: str) -> None:
    for _, x, numpy in placed_inputs(backend, dtype):
        other = backend.from_numpy(values(numpy.shape, dtype, 99))
        expected = reference.binary("mul", numpy, values(numpy.shape, dtype, 99))
        check(backend, backend.kernels.binary("mul", x, other), expected)


@pytest.mark.parametrize("dtype", ALL)
def test_binary_into_an_array(backend: Backend, dtype: str) -> None:
    """A third array, or one of the two: the very memory, and nothing else is written."""
    for size in (37, 1 << 18):
        x, y = values((size,), dtype), values((size,), dtype, 5)
        expected = reference.binary("add", x, y)
        for place_of_out in range(3):
            arrays = [backend.from_numpy(v) for v in (x, y, np.zeros_like(x))]
            out = arrays[place_of_out]
            assert backend.kernels.binary("add", arrays[0], arrays[1], out) is out
            check(backend, out, expected)
            for i in {0, 1} - {place_of_out}:
                check(backend, arrays[i], (x, y)[i])


@pytest.mark.parametrize("dtype", INTEGERS + FLOATING)
def test_binary_with_a_number(backend: Backend, dtype: str) -> None:
    x = values((37,), dtype)
    floating = dtypes.is_floating(x.dtype)
    for number in (3, 1.1) if floating else (3, 1):
        for name in ("add", "sub", "mul", "maximum", "ge", "pow", *(("div",) if floating else ())):
            for swap in (False, True):
                pair = (number, backend.from_numpy(x)) if swap else (backend.from_numpy(x), number)
                got = backend.kernels.binary(name, *pair)
                a, b = (number, x) if swap else (x, number)
                # A number is held in the precision of the computation, not rounded to a half.
                expected = reference.binary(name, a, b)
                check(backend, got, expected, 4 * epsilon(dtype) * np.abs(wide(expected)))


def test_binary_wraps_numbers_outside_the_dtype(backend: Backend) -> None:
    x = backend.from_numpy(np.array([5, 250], np.uint8))
    check(backend, backend.kernels.binary("add", x, 300), np.array([49, 38], np.uint8))
    check(backend, backend.kernels.binary("sub", -1, x), np.array([250, 5], np.uint8))


@pytest.mark.parametrize("dtype", ALL)
def test_where(backend: Backend, dtype: str) -> None:
    kernels = backend.kernels
    for number, (left, right) in enumerate(PAIRS):
        c, numpy_c = place(backend, values(right, "bool", number), "reversed")
        a, numpy_a = place(backend, values(left, dtype, number), "transposed")
        b, numpy_b = place(backend, values(right, dtype, number + 9), "strided")
        check(backend, kernels.where(c, a, b), np.where(numpy_c, numpy_a, numpy_b))
        number_of = numpy_a.dtype.type(1)
        check(backend, kernels.where(c, a, 1), np.where(numpy_c, numpy_a, number_of))
        check(backend, kernels.where(c, 1, b), np.where(numpy_c, number_of, numpy_b))


def test_where_of_numbers(backend: Backend) -> None:
    c = np.array([True, False])
    for pair, dtype in (((1.5, 2), "float32"), ((1, 2), "int64"), ((True, False), "bool")):
        got = backend.kernels.where(backend.from_numpy(c), *pair)
        check(backend, got, np.where(c, *pair).astype(dtype))


@pytest.mark.parametrize("source", ALL)
def test_cast(backend: Backend, source: str) -> None:
    x = every_value(source)
    if dtypes.is_floating(x.dtype):
        # 1 + 2^-8 + 2^-30 and 65519.999 round wrongly by way of float32.
        more = [1e30, -1e30, 300.7, -300.7, 1 + 2.0**-8 + 2.0**-30, 65519.9999, 2.0**-24 * 0.75]
        with np.errstate(over="ignore"):
            x = np.concatenate([x, np.array(more).astype(x.dtype)])
    elif source == "int64":
        x = np.concatenate([x, (1 << 62) + (1 << 54) + np.arange(-2, 3)])
    for target in ALL:
        d = dtypes.as_dtype(target)
        got = backend.kernels.cast(backend.from_numpy(x), d)
        check(backend, got, reference.cast(x, d))


@pytest.mark.parametrize("dtype", ALL)
def test_contiguous_and_cast_layouts(backend: Backend, dtype: str) -> None:
    for _, x, numpy in placed_inputs(backend, dtype):
        y = backend.kernels.contiguous(x)
        check(backend, y, numpy)
        assert y.flags.c_contiguous and y is not x
        check(backend, backend.kernels.cast(x, dtypes.int32), reference.cast(numpy, dtypes.int32))


def test_cast_always_copies(backend: Backend) -> None:
    x = backend.from_numpy(np.ones(3, np.float32))
    y = backend.kernels.cast(x, dtypes.float32)
    backend.kernels.fill(y, 2.0)
    check(backend, x, np.ones(3, np.float32))


@pytest.mark.parametrize("dtype", ALL)
def test_copy(backend: Backend, dtype: str) -> None:
    """Into strided, reversed and transposed targets, broadcast and cast."""
    for shape in SHAPES:
        if not shape:
            continue
        for layout in ("contiguous", "transposed", "reversed", "strided", "offset"):
            y, numpy_y = place(backend, values(shape, dtype, 1), layout)
            for source in (values(shape, dtype, 2), values(shape[-1:], "float32", 3, 5.0)):
                backend.kernels.copy(backend.from_numpy(source), y)
                expected = np.empty_like(numpy_y)
                reference.copy(source, expected)
                check(backend, y, expected)


@pytest.mark.parametrize("dtype", ALL)
def test_fill(backend: Backend, dtype: str) -> None:
    for shape in SHAPES:
        for layout in ("contiguous", "reversed", "offset") if shape else ("contiguous",):
            for value in (True, 3, -1.7, 300):
                y, numpy_y = place(backend, values(shape, dtype), layout)
                backend.kernels.fill(y, value)
                expected = numpy_y.copy()
                reference.fill(expected, value)
                check(backend, y, expected)


def test_fill_leaves_the_rest(backend: Backend) -> None:
    y = backend.from_numpy(np.zeros((4, 6), np.int16))
    backend.kernels.fill(y[1:3, ::2], 7)
    expected = np.zeros((4, 6), np.int16)
    expected[1:3, ::2] = 7
    check(backend, y, expected)
