"""reduce and scan of every device against the specification."""

from __future__ import annotations

import itertools
import math
from typing import Any

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

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.errors import ArgumentError

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
    check_reduction(backend, name, placed, x, axes, keepdims)


def check_reduction(
    backend: Backend, name: str, placed: Any, x: np.ndarray, axes: tuple[int, ...], keepdims: bool
) -> None:
    """Of x, which lies on the device as `placed`."""
    __tracebackhide__ = True
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


#: Shorter than a vector, with a rest behind the vectors, eight vectors, a run, longer than a run.
ROWS = (1, 3, 7, 8, 9, 15, 16, 31, 33, 63, 64, 65, 127, 130, 1000, 1023, 1024, 1025, 2600)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int8"])
@pytest.mark.parametrize("name", [*ARITHMETIC, "max", "min"])
def test_reduce_rows(backend: Backend, name: str, dtype: str) -> None:
    """A vector of rows and some: of any length, side by side and with gaps between."""
    if dtype not in accepted(name):
        return
    for n in ROWS:
        x = inputs(name, (19, n), dtype, n)
        hold(backend, name, x, "contiguous", (1,), False)
        wider = inputs(name, (19, n + 5), dtype, n)
        placed, x = backend.from_numpy(wider)[:, 2 : n + 2], wider[:, 2 : n + 2]
        check_reduction(backend, name, placed, x, (1,), False)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", ["max", "min", "argmax", "sum"])
def test_reduce_rows_nan_and_infinity(backend: Backend, name: str, dtype: str) -> None:
    """Wherever in a row a NaN is, it wins in that row alone; -inf and inf are values."""
    for n in (1, 8, 11, 64, 71, 150):
        x = values((2 * n + 3, n), dtype, n)
        x[np.arange(n), np.arange(n)] = np.nan
        x[np.arange(n, 2 * n), np.arange(n)] = np.inf
        x[2 * n], x[2 * n + 1], x[2 * n + 2] = -np.inf, np.inf, np.nan
        hold(backend, name, x, "contiguous", (1,), False)


def hold_sum_of(
    backend: Backend, name: str, x: np.ndarray, layout: str, axes: tuple[int, ...], centred: bool
) -> None:
    __tracebackhide__ = True
    placed, x = place(backend, x, layout)
    centre = reference.reduce("max", x, axes, True) if centred else None
    got = backend.kernels.sum_of(
        name, placed, None if centre is None else backend.from_numpy(centre), axes, False
    )
    exact = [None if a is None else a.astype(np.float64) for a in (x, centre)]
    expected = reference.sum_of(name, exact[0], exact[1], axes, False)
    n = math.prod(x.shape[i] for i in axes)
    dtype = dtypes.accumulation(x.dtype)
    # x - centre, rounded once, shifts exp's argument by half an ulp of it: at most |x| + |centre|.
    shift = 0.0
    if centre is not None and name == "exp" and x.size:
        shift = float(np.abs(exact[0]).max() + np.abs(exact[1]).max())
    # 4: of the square, and of exp in float32 (2 units) and float64 (NumPy's own 1).
    error = epsilon(dtype) * (random_walk(n) + 4 + shift) * np.abs(expected)
    check(backend, got, expected, error, dtype)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", ["square", "exp"])
def test_sum_of(backend: Backend, name: str, dtype: str) -> None:
    for seed, (shape, axes) in enumerate(
        [
            ((19, 5), (1,)),
            ((19, 67), (1,)),
            ((5, 1100), (1,)),
            ((70, 9), (0,)),
            ((1100, 3), (0,)),
            ((3000,), (0,)),
            ((6, 35, 11), (0, 2)),
            ((6, 35, 11), (1,)),
            ((6, 4), ()),
            ((), ()),
            ((0, 4), (0,)),
        ]
    ):
        for centred in (False, True):
            if centred and shape[:1] == (0,):
                continue  # there is no max of nothing
            layout = LAYOUTS[(seed + centred) % len(LAYOUTS)] if 0 not in shape else "contiguous"
            hold_sum_of(backend, name, values(shape, dtype, seed), layout, axes, centred)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sum_of_layouts(backend: Backend, layout: str) -> None:
    for dtype in ("float32", "float16"):
        for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
            hold_sum_of(backend, "square", values((6, 35, 11), dtype, 5), layout, axes, True)


# ---- scan ----------------------------------------------------------------------------------------

#: Rows of a warp, of a block, and cut into parts of 8192: one that a block fills, one with a rest.
SCANNED = [(1,), (7,), (0,), (4, 0), (5000,), (3, 5, 130), (700, 2), (2, 16384), (20011,)]


def scan_inputs(name: str, shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Products stay near 1: their logarithms are a random walk."""
    x = values(shape, dtype, seed)
    if name == "prod" and dtypes.is_floating(x.dtype):
        x = (1 + wide(x) / 256).astype(x.dtype)
    return x


def scan_error(name: str, x: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    """None: exact. Terms meet one after the other at worst, so roundings of one sign add up."""
    if name in ("max", "min") or not dtypes.is_floating(x.dtype):
        return None
    roundings = epsilon(x.dtype) * (4 + np.arange(1, x.shape[-1] + 1))
    if name == "sum":
        return roundings * np.cumsum(np.abs(wide(x)), axis=-1)
    if name == "prod":
        return roundings * np.abs(expected)
    # exp, log and + of each join, relative to the largest number in it: y, or an x of either sign.
    return 2 * roundings * np.maximum.accumulate(np.maximum(np.abs(expected), np.abs(wide(x))), -1)


def hold_scan(backend: Backend, name: str, x: np.ndarray, layout: str) -> None:
    __tracebackhide__ = True
    placed, x = place(backend, x, layout)
    expected = reference.scan(name, x if name in ("max", "min") else wide(x))
    result = dtypes.sum_dtype(x.dtype) if name in ("sum", "prod") else x.dtype
    check(
        backend, backend.kernels.scan(name, placed), expected, scan_error(name, x, expected), result
    )


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("name", functors("SCAN"))
def test_scan(backend: Backend, name: str, dtype: str) -> None:
    if name == "logaddexp" and dtype not in FLOATING:
        return
    for seed, shape in enumerate(SCANNED):
        layout = LAYOUTS[seed % len(LAYOUTS)]
        hold_scan(backend, name, scan_inputs(name, shape, dtype, seed), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", functors("SCAN"))
def test_scan_layouts(backend: Backend, name: str, layout: str) -> None:
    for dtype in ("float16", "float64"):
        for shape in [(3, 5, 130), (700, 2), (2, 16500)]:
            hold_scan(backend, name, scan_inputs(name, shape, dtype, 1), layout)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["sum", "prod"])
def test_scan_of_large_integers(backend: Backend, name: str, dtype: str) -> None:
    x = np.full((2, 300), np.iinfo(dtype).max, dtype)
    check(backend, backend.kernels.scan(name, backend.from_numpy(x)), reference.scan(name, x))


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
@pytest.mark.parametrize("name", ["max", "min"])
def test_scan_of_extremes_in_parts(backend: Backend, name: str, dtype: str) -> None:
    """The dtype's smallest and largest number; a part's total is kept in one element of y."""
    lowest, highest = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    first, later = (lowest, highest) if name == "max" else (highest, lowest)
    for at in (0, 8191, 8192, 20000, 24000):
        x = np.full((2, 24001), first, dtype)
        x[1, at] = later
        check(backend, backend.kernels.scan(name, backend.from_numpy(x)), reference.scan(name, x))


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("name", functors("SCAN"))
def test_scan_nan_and_infinity(backend: Backend, name: str, dtype: str) -> None:
    """From a NaN on all is NaN, in a warp's row, a block's and one in parts."""
    for special in ([np.nan], [np.inf], [-np.inf], [-np.inf, np.inf], [np.inf, np.nan]):
        for shape, at in (((3, 40), 7), ((2, 900), 500), ((16400,), 9000), ((16400,), 0)):
            x = scan_inputs(name, shape, dtype, 3)
            x[..., at : at + len(special)] = special
            hold_scan(backend, name, x, "contiguous")


@pytest.mark.parametrize("dtype", FLOATING)
def test_scan_logaddexp_of_nothing_and_of_far_apart(backend: Backend, dtype: str) -> None:
    """exp(-inf) = 0 adds nothing; exp of 1e4 alone would overflow."""
    for x in ([-np.inf] * 40, [-1e4, 1e4, -1e4, 1e4], [0.0, -1e4, -np.inf, 0.0], [1e4] * 3):
        hold_scan(backend, "logaddexp", np.array(x, dtypes.as_dtype(dtype)), "contiguous")


@pytest.mark.parametrize(
    "start",
    [
        [0] + [1e10] * 7,
        [1e-30] + [1e10] * 6,
        [1e-10] * 4 + [1e10] * 4,
        [0] + [10] * 127,
        [0] + [-1e3] * 800,
        [1e-30] * 9 + [1e30] * 9,
    ],
    ids=["0 x 1e70", "1e-30 x 1e60", "1e-40 x 1e40", "0 x 1e127", "0 x 1e2400", "1e-270 x 1e270"],
)
@pytest.mark.parametrize("length", [40, 1000, 40000])
def test_scan_prod_of_far_apart(backend: Backend, start: list[float], length: int) -> None:
    """No part's product comes out where no prefix does: in a warp's row, a block's, parts."""
    x = np.ones((2, max(length, len(start))), np.float32)
    x[1, : len(start)] = start
    expected = np.cumprod(wide(x), axis=-1)
    error = scan_error("prod", x, expected)
    for placed in (backend.from_numpy(x), backend.from_numpy(np.ascontiguousarray(x.T)).T):
        check(backend, backend.kernels.scan("prod", placed), expected, error, "float32")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("length", [40, 1000, 40000])
def test_scan_prod_overflow(backend: Backend, dtype: str, length: int) -> None:
    """What overflowed becomes 0 with a 0 alone, and an infinite element makes that NaN."""
    large = float(2**15)
    x = np.full((1, length), large, dtypes.as_dtype(dtype))
    x[0, [length - 6, length - 3]] = 0, np.inf
    with np.errstate(over="ignore"):
        expected = np.cumprod(wide(x[:, : length - 6]), axis=-1).astype(x.dtype)
    got = backend.to_numpy(backend.kernels.scan("prod", backend.from_numpy(x))).astype(np.float64)
    np.testing.assert_array_equal(got[:, : length - 6], expected.astype(np.float64))
    assert np.isnan(got[0, -3:]).all()
    if length == 40 or str(backend.device) != "cpu":  # which multiplies in order: inf 0 = NaN
        assert (got[0, -6:-3] == 0).all()


@pytest.mark.parametrize("lines", [False, True])
def test_scan_sum_in_double(lines: bool) -> None:
    """On cpu, partial sums neither overflow nor lose what is small beside them."""
    kernels = backends.get("cpu").kernels
    x = np.full((8, 100_000), 0.1, np.float32)
    x[0, :8] = [-3e38, 3e38, 3e38, -3e38] * 2
    expected = np.cumsum(x, axis=-1, dtype=np.float64)
    placed = np.ascontiguousarray(x.T).T if lines else x
    np.testing.assert_allclose(kernels.scan("sum", placed), expected, rtol=2**-24)
    np.testing.assert_allclose(kernels.scan("sum", placed[1:3]), expected[1:3], rtol=2**-24)


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all", "argmax"])
def test_bools_of_any_bytes(name: str) -> None:
    """frombuffer, view and DLPack give bools whose bytes are neither 0 nor 1."""
    kernels = backends.get("cpu").kernels
    x = np.full((2, 20000), 2, np.uint8)
    x[0, 5::7], x[1, 3] = 255, 0
    for axes in ((0,), (1,), (0, 1)):
        odd, plain = x.view(bool), x != 0
        np.testing.assert_array_equal(
            kernels.reduce(name, odd, axes, False), reference.reduce(name, plain, axes, False)
        )


def test_scan_logaddexp_needs_floats(backend: Backend) -> None:
    with pytest.raises(ArgumentError, match=r"scan.*: x must be float16, bfloat16, float32 or"):
        backend.kernels.scan("logaddexp", backend.from_numpy(values((4,), "int32")))


def test_scan_needs_an_axis(backend: Backend) -> None:
    with pytest.raises(ArgumentError, match="scan: x has no axis to walk along"):
        backend.kernels.scan("sum", backend.from_numpy(np.array(3.5)))
