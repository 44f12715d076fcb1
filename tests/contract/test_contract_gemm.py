"""gemm of every device against the specification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contract_tools import (
    ALL,
    DEVICES,
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

ARCHITECTURES = {"sim-75": 75, "sim": 80, "sim-90": 90}  # each has kernels of its own


@pytest.fixture(params=[*(d for d in DEVICES if d != "sim"), *ARCHITECTURES])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every device; the simulator as each architecture whose kernels differ."""
    architecture = ARCHITECTURES.get(request.param)
    if architecture is None:
        yield backends.get(request.param)
        return
    from gpugrad import _sim

    _sim.set_architecture(architecture)
    yield backends.get("sim")
    _sim.set_architecture(80)


# (a, b): one element, vectors, odd sizes, larger than a tile, tall and flat, batches, broadcast
# batches, size 0 everywhere.
SHAPES = [
    ((1, 1), (1, 1)),
    ((1, 7), (7, 1)),
    ((5, 1), (1, 9)),
    ((17, 33), (33, 29)),
    ((130, 67), (67, 131)),
    ((3, 700), (700, 5)),
    ((64, 64), (64, 64)),
    ((1, 40), (40, 300)),
    ((300, 40), (40, 1)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 1, 4, 5)),
    ((2, 1, 6, 3), (1, 3, 3, 7)),
    ((0, 4), (4, 3)),
    ((3, 4), (4, 0)),
    ((3, 0), (0, 4)),
    ((0, 3, 4), (4, 2)),
]


def swapped(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.swapaxes(x, -1, -2))


def place_matrix(backend: Backend, x: np.ndarray, layout: str):  # type: ignore[no-untyped-def]
    """As `place`; "transposed" swaps the matrix axes alone, as the transpose of a batch does."""
    if layout != "transposed":
        return place(backend, x, layout)
    return np.swapaxes(backend.from_numpy(swapped(x)), -1, -2), x


def hold(  # type: ignore[no-untyped-def]
    backend: Backend, dtype: str, shapes, layouts=("contiguous", "contiguous"), bias=False, **kw
) -> None:
    __tracebackhide__ = True
    a, numpy_a = place_matrix(backend, values(shapes[0], dtype, 1), layouts[0])
    b, numpy_b = place_matrix(backend, values(shapes[1], dtype, 2), layouts[1])
    numpy_bias = values(shapes[1][-1:], dtype, 3) if bias else None
    device_bias = None if numpy_bias is None else backend.from_numpy(numpy_bias)
    out, y = kw.pop("out", None), None
    if out is not None:
        y, kw["out"] = place_matrix(backend, values(out, dtype, 4), kw.pop("out_layout"))
        expected_out = values(out, dtype, 4)
    got = backend.kernels.gemm(a, b, device_bias, **{**kw, **({} if y is None else {"out": y})})
    assert y is None or got is y
    kw.pop("out", None)
    kw_spec = {**kw, **({} if y is None else {"out": wide(expected_out)})}
    wide_bias = None if numpy_bias is None else wide(numpy_bias)
    expected = reference.gemm(wide(numpy_a), wide(numpy_b), wide_bias, **kw_spec)
    if not dtypes.is_floating(numpy_a.dtype):
        check(backend, got, expected)
        return
    # Every activation changes by at most 1.13 times its argument.
    terms = np.matmul(np.abs(wide(numpy_a)), np.abs(wide(numpy_b))) * abs(kw.get("alpha", 1.0)) + 4
    if y is not None:
        terms = terms + 4 * abs(kw.get("beta", 0.0))
    error = 1.13 * epsilon(dtype) * random_walk(shapes[0][-1]) * terms
    check(backend, got, expected, error, dtype)


@pytest.mark.parametrize("dtype", ALL)
def test_gemm(backend: Backend, dtype: str) -> None:
    for shapes in SHAPES:
        hold(backend, dtype, shapes)


@pytest.mark.parametrize("dtype", ALL)
def test_gemm_of_vectors(backend: Backend, dtype: str) -> None:
    for a, b in (
        ((1,), (1,)),
        ((70,), (70,)),
        ((19, 45), (45,)),
        ((5, 0), (0,)),
        ((45,), (45, 19)),
        ((3,), (3, 1)),
    ):
        hold(backend, dtype, (a, b))


BESIDE: dict[str, Any] = {
    "bias": np.ones(2, np.float32),
    "act": "relu",
    "alpha": 2.0,
    "beta": 1.0,
    "out": np.ones(2, np.float32),
    "scale": np.ones(2, np.float32),
    "residual": np.ones(2, np.float32),
    "dtype": np.dtype(np.float64),
    "row_scale": np.ones(2, np.float32),
}


@pytest.mark.parametrize("name", BESIDE)
def test_gemm_of_a_vector_takes_nothing_beside(name: str) -> None:
    matrix, vector = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    for a, b in ((matrix, vector), (vector, matrix.T)):
        with pytest.raises(ArgumentError, match=r"gemm: a product with a vector, .*\n  Give it as"):
            backends.get("sim").kernels.gemm(a, b, **{name: BESIDE[name]})


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("left", LAYOUTS)
def test_gemm_layouts(backend: Backend, dtype: str, left: str) -> None:
    for right in LAYOUTS:
        hold(backend, dtype, ((19, 45), (45, 38)), (left, right))
        hold(backend, dtype, ((19, 40), (40, 8)), (left, right))  # columns are few, and aligned
        hold(backend, dtype, ((2, 5, 8), (2, 8, 3)), (left, right), bias=True)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("act", functors("ACTIVATION"))
def test_gemm_epilogue(backend: Backend, dtype: str, act: str) -> None:
    for shapes in (((21, 18), (18, 35)), ((3, 0), (0, 4)), ((2, 3, 4), (4, 5)), ((1, 64), (64, 9))):
        hold(backend, dtype, shapes, bias=True, act=act)
        hold(backend, dtype, shapes, act=act, alpha=-0.5)


@pytest.mark.parametrize("dtype", (*INTEGERS, *FLOATING))
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "offset"])
def test_gemm_out(backend: Backend, dtype: str, layout: str) -> None:
    shapes, out = ((6, 40), (40, 21)), (6, 21)
    for beta in (0.0, 1.0, 2.0):
        hold(backend, dtype, shapes, alpha=2.0, beta=beta, out=out, out_layout=layout)
    hold(backend, dtype, ((2, 6, 3), (3, 4)), beta=1.0, out=(2, 6, 4), out_layout=layout)


@pytest.mark.parametrize("dtype", FLOATING)
def test_gemm_beta_0_does_not_read_out(backend: Backend, dtype: str) -> None:
    a = values((4, 5), dtype)
    out = backend.from_numpy(np.full((4, 4), np.nan, a.dtype))
    got = backend.kernels.gemm(backend.from_numpy(a), backend.from_numpy(a.T.copy()), out=out)
    assert np.isfinite(backend.to_numpy(got).astype(np.float64)).all()


def test_gemm_nan_and_infinity_stay_in_their_row(backend: Backend) -> None:
    a, b = values((20, 33), "float32", 1), values((33, 18), "float32", 2)
    a[3, 5], a[7, 1], b[2, 4] = np.nan, np.inf, -np.inf
    y = backend.to_numpy(backend.kernels.gemm(backend.from_numpy(a), backend.from_numpy(b)))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isfinite(y), np.isfinite(a @ b))


def held_epilogue(  # type: ignore[no-untyped-def]
    backend: Backend, inputs: str, output: str, shapes, scale=(), residual=(), bias=False, **kw
) -> None:
    """gemm of `inputs` dtype into `output` dtype; scale and residual are shapes, () for none."""
    __tracebackhide__ = True
    a, b = values(shapes[0], inputs, 1), values(shapes[1], inputs, 2)
    arrays = {
        "scale": values(scale, "float32", 3) if scale else None,
        "residual": values(residual, output, 4) if residual else None,
        "bias": values(shapes[1][-1:], output, 5) if bias else None,
        "out": values((*shapes[0][:-1], shapes[1][-1]), output, 6) if kw.get("beta") else None,
    }
    on_device = {n: None if x is None else backend.from_numpy(x) for n, x in arrays.items()}
    dtype = dtypes.as_dtype(output)
    got = backend.kernels.gemm(
        backend.from_numpy(a), backend.from_numpy(b), dtype=dtype, **on_device, **kw
    )
    widened = {n: None if x is None else wide(x) for n, x in arrays.items()}
    exact = dtypes.float64 if dtypes.is_floating(dtype) else dtype
    expected = reference.gemm(wide(a), wide(b), dtype=exact, **widened, **kw)
    if not dtypes.is_floating(dtype):
        check(backend, got, expected, dtype=dtype)
        return
    terms = np.matmul(*(np.abs(x.astype(np.float64)) for x in (a, b))) * abs(kw.get("alpha", 1))
    if scale:
        terms = terms * np.abs(arrays["scale"])
    error = 1.13 * epsilon(dtype) * random_walk(shapes[0][-1]) * (terms + 12)
    check(backend, got, expected, error, dtype)


OUTPUTS = [(d, d) for d in FLOATING]
OUTPUTS += [("float16", "float32"), ("bfloat16", "float32"), ("int8", "float32")]
OUTPUTS += [("uint8", "float32"), ("int8", "int32"), ("uint8", "int32"), ("int8", "int8")]


@pytest.mark.parametrize(("inputs", "output"), OUTPUTS)
def test_gemm_residual_scale_and_dtype(backend: Backend, inputs: str, output: str) -> None:
    for shapes in (((21, 40), (40, 36)), ((3, 0), (0, 4)), ((2, 70, 33), (2, 33, 66))):
        rows, n = shapes[0][:-1], shapes[1][-1]
        held_epilogue(backend, inputs, output, shapes)
        held_epilogue(backend, inputs, output, shapes, residual=(*rows, n), bias=True)
        held_epilogue(backend, inputs, output, shapes, residual=(n,), alpha=2.0)
        held_epilogue(backend, inputs, output, shapes, residual=(rows[-1], 1), beta=1.0)
        if dtypes.is_floating(dtypes.as_dtype(output)):
            held_epilogue(backend, inputs, output, shapes, scale=(1,), act="relu")
            held_epilogue(
                backend, inputs, output, shapes, (n,), (*rows, n), True, act="gelu", beta=1.0
            )


# Planned on sm_90 as the transposed product: tests/sim/kernels_gemm_plan.cpp
# (plans_in_the_simulator) asserts that.
FEW_ROWS = [((21, 144), (144, 512)), ((12, 160), (160, 1000))]


@pytest.mark.parametrize(("inputs", "output"), [("bfloat16", "bfloat16"), ("float16", "float32")])
@pytest.mark.parametrize("shapes", FEW_ROWS)
def test_gemm_few_rows(backend: Backend, inputs: str, output: str, shapes: Any) -> None:
    (m, _), (_, n) = shapes
    held_epilogue(backend, inputs, output, shapes, (n,), (m, n), True, act="gelu", beta=1.0)
    held_epilogue(backend, inputs, output, shapes, (1,), (n,), alpha=-2.0)
    held_epilogue(backend, inputs, output, shapes, residual=(m, 1), bias=True, act="relu")


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "offset"])
@pytest.mark.parametrize("shapes", FEW_ROWS)
def test_gemm_few_rows_into(backend: Backend, layout: str, shapes: Any) -> None:
    out = (shapes[0][0], shapes[1][1])
    for right in ("contiguous", "transposed"):
        hold(
            backend,
            "float16",
            shapes,
            ("contiguous", right),
            bias=True,
            beta=2.0,
            out=out,
            out_layout=layout,
        )


# One row, few, and more than the skinny kernels take; b faster along k and along n; k of a part of
# a team's lanes, of all, of a block, and odd; columns that do not fill a group; batches.
SKINNY = [(1, 300, 64), (2, 130, 40), (8, 37, 257), (5, 64, 1100), (1, 1000, 96), (9, 64, 136)]


@pytest.mark.parametrize("dtype", (*FLOATING, "int8"))
@pytest.mark.parametrize("right", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_gemm_skinny(backend: Backend, dtype: str, right: str, batch: tuple[int, ...]) -> None:
    for m, n, k in SKINNY:
        hold(backend, dtype, ((*batch, m, k), (*batch, k, n)), ("contiguous", right))
        hold(backend, dtype, ((*batch, n, k), (*batch, k, m)), (right, "contiguous"))


def test_gemm_int8_sums_do_not_saturate(backend: Backend) -> None:
    """600 products of -128 and 127: far beyond int16."""
    a, b = np.full((40, 600), -128, np.int8), np.full((600, 40), 127, np.int8)
    got = backend.kernels.gemm(backend.from_numpy(a), backend.from_numpy(b), dtype=dtypes.int32)
    assert (backend.to_numpy(got) == -128 * 127 * 600).all()


def test_gemm_gradient_is_accumulated_in_float32(backend: Backend) -> None:
    """A thousand bfloat16 products of 1 added to a float32 gradient: bfloat16 would stop at 256."""
    one = backend.from_numpy(np.ones((8, 8), np.float32).astype(dtypes.bfloat16))
    total = backend.from_numpy(np.zeros((8, 8), np.float32))
    for _ in range(125):
        backend.kernels.gemm(one, one, beta=1.0, out=total)
    assert (backend.to_numpy(total) == 1000).all()


@pytest.mark.parametrize("backend", ["sim"], indirect=True)  # the specification takes any dtypes
def test_gemm_refuses_what_it_cannot_write(backend: Backend) -> None:
    a = backend.from_numpy(np.ones((2, 2), np.float32))
    small = backend.from_numpy(np.ones((2, 2), np.int8))
    with pytest.raises(ArgumentError, match=r"gemm: y .*float16"):
        backend.kernels.gemm(a, a, dtype=dtypes.float16)
    with pytest.raises(ArgumentError, match=r"gemm: .*scale"):
        backend.kernels.gemm(small, small, scale=a[0], dtype=dtypes.int32)
    with pytest.raises(ArgumentError, match=r"gemm: .*residual"):
        backend.kernels.gemm(a, a, residual=backend.from_numpy(np.ones((3, 2), np.float32)))
    with pytest.raises(ArgumentError, match=r"gemm: .*scale"):
        backend.kernels.gemm(a, a, scale=backend.from_numpy(np.ones(3, np.float32)))
