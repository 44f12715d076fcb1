"""Sizes at which an H100 runs the kernels that the other contract tests, made for 4 simulated
multiprocessors, do not reach there; with them every kernel of an sm_90a is held once.

Where there is no GPU, these tests hold the CPU, at smaller sizes: then it is they that are tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import pytest
from attention_tools import Case as Attention
from attention_tools import hold as hold_attention
from contract_tools import DEVICES, FLOATING, check, epsilon, random_walk, values, wide
from recurrent_tools import Case as Recurrent
from recurrent_tools import Layer, check_backward, check_forward, forward, gradients, specified
from test_contract_conv import Case, Held
from test_gemm_float8 import along_k, eights, k_major
from test_gemm_float8 import hold as hold_float8

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, get, reference
from gpugrad.backends.matmul_precision import SETTING

HALVES = ("float16", "bfloat16")
HAS_GPU = "cuda" in DEVICES
T = TypeVar("T")


def sizes(many: list[T], small: list[T]) -> list[T]:
    """For a GPU, and for the CPU."""
    return many if HAS_GPU else small


@pytest.fixture(params=["cuda" if HAS_GPU else "cpu"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return get(request.param)


@pytest.fixture(params=["exact", "high", "tf32"])
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(SETTING, "name", request.param)
    return request.param


# ---- matrix products ----------------------------------------------------------------------------

# Fewer tiles than multiprocessors and more, tall and flat, tails, a k of one stage and of many, and
# one whose rows TMA cannot read.
PRODUCTS = sizes(
    [
        (128, 128, 64),
        (200, 300, 130),
        (64, 2048, 1024),
        (256, 192, 4096),
        (1000, 1000, 129),
        (1024, 1536, 256),
        (1408, 2304, 256),
        (1408, 3072, 192),
        (2048, 4096, 192),
        (4096, 64, 256),
    ],
    [(40, 72, 96), (17, 33, 129)],
)
LAYOUTS = ["rows rows", "rows columns", "columns rows", "columns columns"]


def multiply(backend: Backend, dtype: str, size: tuple[int, int, int], layout: str) -> None:
    """The product of two matrices, rows or columns of each being contiguous."""
    __tracebackhide__ = True
    m, n, k = size
    shapes, given, exact = ((m, k), (k, n)), [], []
    for number, (shape, lies) in enumerate(zip(shapes, layout.split(), strict=True)):
        x = values(shape, dtype, number)
        exact.append(wide(x))
        on = backend.from_numpy(x if lies == "rows" else x.T.copy())
        given.append(on if lies == "rows" else on.T)
    got = backend.kernels.gemm(*given)
    if not dtypes.is_floating(dtypes.as_dtype(dtype)):
        # As its sums wrap: exact in float64, far from 2^53.
        whole = np.matmul(exact[0].astype(np.float64), exact[1].astype(np.float64))
        check(backend, got, whole.astype(np.int64).astype(dtype))
        return
    error = epsilon(dtype) * random_walk(k)
    if dtype == "float32" and SETTING.name == "tf32":
        error += 2 * 2.0**-11 + 2.0**-22 + (k / 8 + 2) * 2.0**-23
    elif dtype != "float64":  # tensor cores truncate: an ulp of the sum for each of their steps
        error += (k / 8 + 2) * 2.0**-23
    terms = np.matmul(np.abs(exact[0]), np.abs(exact[1]))
    check(backend, got, np.matmul(*exact), error * terms, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", PRODUCTS, ids=str)
@pytest.mark.parametrize("dtype", [*HALVES, "int8", "uint8"])
def test_product(backend: Backend, dtype: str, size: tuple[int, int, int], layout: str) -> None:
    multiply(backend, dtype, size, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", PRODUCTS, ids=str)
def test_product_of_float32(
    backend: Backend, precision: str, size: tuple[int, int, int], layout: str
) -> None:
    multiply(backend, "float32", size, layout)


@pytest.mark.parametrize("size", [(20, 20, 9000), (130, 100, 3000)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_product_in_parts(
    backend: Backend, precision: str, dtype: str, size: tuple[int, int, int]
) -> None:
    multiply(backend, dtype, size, "rows rows")


@pytest.mark.parametrize("right", ["float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("left", ["float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("size", [s for s in PRODUCTS if s[2] % 16 == 0], ids=str)
def test_product_of_float8(
    backend: Backend, size: tuple[int, int, int], left: str, right: str
) -> None:
    m, n, k = size
    a = along_k(eights((m, k), dtypes.as_dtype(left), 1))
    b = k_major(eights((k, n), dtypes.as_dtype(right), 2))
    hold_float8(backend, a, b, "bfloat16", hopper=True)


# ---- convolutions -------------------------------------------------------------------------------

CONVOLUTIONS = sizes(
    [
        Case(8, 64, 128, (32, 32), (3, 3), (1, 1), (1, 1), (1, 1)),
        Case(16, 128, 256, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1)),
        Case(4, 256, 128, (33, 31), (3, 3), (2, 2), (1, 1), (1, 1)),
        Case(2, 512, 512, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
        Case(16, 64, 64, (200,), (5,), (1,), (2,), (1,)),
        Case(2, 64, 64, (8, 16, 16), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
        Case(4, 96, 96, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1), 96),  # depthwise
        Case(4, 64, 128, (28, 28), (1, 1), (1, 1), (0, 0), (1, 1)),
    ],
    [
        Case(1, 16, 24, (9, 8), (3, 3), (1, 1), (1, 1), (1, 1)),
        Case(1, 24, 24, (7, 8), (3, 3), (1, 1), (1, 1), (1, 1), 24),
    ],
)


@pytest.mark.parametrize("layout", ["last", "rows"])
@pytest.mark.parametrize("dtype", [*HALVES, "float32"])
@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=lambda c: f"{c.c}-{c.k}-{c.size}")
def test_convolution(backend: Backend, case: Case, operation: str, dtype: str, layout: str) -> None:
    getattr(Held(backend, case, dtype, (layout,) * 3), operation)()


@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("case", CONVOLUTIONS[:2], ids=lambda c: f"{c.c}-{c.k}-{c.size}")
def test_convolution_of_float32(
    backend: Backend, precision: str, case: Case, operation: str
) -> None:
    getattr(Held(backend, case, "float32", ("last",) * 3), operation)()


# ---- attention ----------------------------------------------------------------------------------

ATTENTIONS: list[tuple[tuple[int, int, int, int, int, int], dict[str, Any]]] = [
    (shape, window)
    for size in (64, 72, 128, 160, 256)
    for shape, window in sizes(
        [
            ((2, 4, 2, 200, 200, size), {}),
            ((1, 4, 4, 300, 300, size), {"right": 0}),
            ((1, 2, 2, 130, 257, size), {"right": 0, "align_end": True}),
            ((8, 140, 140, 70, 64, size), {"right": 0}),  # blocks stay for several tiles
        ],
        [((1, 2, 1, 30, 40, size), {"right": 0})],
    )
]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("shape", "window"), ATTENTIONS, ids=str)
def test_attention(backend: Backend, shape: Any, window: Any, dtype: str) -> None:
    hold_attention(backend, dtype, Attention(shape, "heads", window=window))


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("size", [32, 64, 100, 128, 200, 256])
@pytest.mark.parametrize("kind", ["bias", "dropout"])
def test_attention_with(backend: Backend, kind: str, size: int, dtype: str) -> None:
    more: dict[str, Any] = {"dropout": 0.2}
    if kind == "bias":
        more = {"bias": (dtype, (1, 2, 70, 90))}
    hold_attention(backend, dtype, Attention((1, 2, 2, 70, 90, size), **more))


@pytest.mark.parametrize("dtype", [*HALVES, "float32"])
@pytest.mark.parametrize("size", [64, 128, 192, 256])
@pytest.mark.parametrize("groups", [1, 8])
def test_attention_of_a_query(backend: Backend, groups: int, size: int, dtype: str) -> None:
    keys = 3000 if HAS_GPU else 300
    hold_attention(backend, dtype, Attention((2, 8, groups, 1, keys, size)))


# ---- recurrent layers ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize(
    "case",
    sizes(
        [Recurrent(3, 64, 128), Recurrent(2, 40, 200), Recurrent(2, 130, 512)],
        [Recurrent(2, 4, 12)],
    ),
    ids=str,
)
@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru"])
def test_recurrent(backend: Backend, cell: str, case: Recurrent, dtype: str) -> None:
    hold_recurrent(backend, cell, case, dtype)


@pytest.mark.parametrize(
    "case", sizes([Recurrent(2, 33, 48), Recurrent(2, 64, 256)], [Recurrent(2, 3, 8)]), ids=str
)
@pytest.mark.parametrize("cell", ["rnn_relu", "lstm", "gru"])
def test_recurrent_float32(backend: Backend, precision: str, cell: str, case: Recurrent) -> None:
    ulp = 2.0**-10 if precision == "tf32" else epsilon("float32")
    hold_recurrent(backend, cell, case, "float32", ulp)


def hold_recurrent(backend: Backend, cell: str, case: Recurrent, dtype: str, *ulp: float) -> None:
    layer = Layer(cell, dtype, case)
    check_forward(backend, layer, forward(backend, layer), *ulp)
    y, saved = specified(layer)
    got = gradients(backend, layer, y, saved, backend.from_numpy(layer.dy))
    check_backward(backend, layer, got, y, saved, layer.dy, *ulp)


# ---- rows, sums, tables -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("n", [1500, 4000, 8000, 30000, 100_000])
def test_softmax_of_long_rows(backend: Backend, n: int, dtype: str) -> None:
    x = values((5, n), dtype)
    y = backend.kernels.softmax(backend.from_numpy(x), 1, False)
    expected = reference.softmax(wide(x), 1, False)
    check(backend, y, expected, 2 * epsilon(dtype) * random_walk(n) * expected, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "argmax"])
def test_reduction_in_parts(backend: Backend, name: str, dtype: str) -> None:
    """Of everything, and over the first of two axes."""
    x = values((3000, 700) if HAS_GPU else (300, 70), dtype)
    if name == "prod":
        x = np.where(x > 0, x.dtype.type(1), x.dtype.type(-1))
    for axes, v in (((0, 1), x), ((0,), x), ((0,), x.ravel())):
        got = backend.kernels.reduce(name, backend.from_numpy(v), axes[: v.ndim], False)
        expected = reference.reduce(name, wide(v), axes[: v.ndim], False)
        terms = np.sum(np.abs(wide(v)), axis=axes[: v.ndim])
        exact = name != "sum" or dtype == "int64"
        error = None if exact else epsilon(dtype) * random_walk(v.size) * terms
        kept = dtype if name in ("sum", "prod", "max") else "int64"
        check(backend, got, expected, error, kept)


@pytest.mark.parametrize("dtype", FLOATING)
def test_bags_of_wide_rows(backend: Backend, dtype: str) -> None:
    w, index = values((50, 256), dtype), np.arange(4000) * 7 % 50
    offsets = np.arange(0, 4001, 40)
    placed = [backend.from_numpy(v) for v in (w, index, offsets)]
    got = backend.kernels.embedding_bag(*placed, None, "mean", -1)[0]
    expected = reference.embedding_bag(wide(w), index, offsets, None, "mean", -1)[0]
    check(backend, got, expected, epsilon(dtype) * random_walk(40) * 4, dtype)
    rows = backend.kernels.embedding(placed[0], placed[1])
    check(backend, rows, w[index])


@pytest.mark.parametrize("dtype", FLOATING)
def test_bounded_rows(backend: Backend, dtype: str) -> None:
    w, index = values((50, 256), dtype), np.array([0, 7, 7, 49])
    on = backend.from_numpy(w)
    backend.kernels.embedding_renorm(on, backend.from_numpy(index), 1.0, 2.0)
    expected = wide(w).copy()
    reference.embedding_renorm(expected, index, 1.0, 2.0)
    check(backend, on, expected, epsilon(dtype) * random_walk(256) * np.abs(expected), dtype)


@pytest.mark.parametrize("dtype", FLOATING)
def test_pools_of_images_channels_last(backend: Backend, dtype: str) -> None:
    x = values((2, 14, 12, 64), dtype)
    window, k = ((3, 3), (2, 2), (1, 1), (1, 1)), backend.kernels
    on, shape = backend.from_numpy(x).transpose(0, 3, 1, 2), (2, 64, 7, 6)
    exact, error = wide(x).transpose(0, 3, 1, 2), 16 * epsilon(dtype)
    average = k.avg_pool(on, window, shape, True, 0)
    check(backend, average, reference.avg_pool(exact, window, shape, True, 0), error * 9, dtype)
    y, place = k.max_pool(on, window, shape)
    best, where = reference.max_pool(exact, window, shape)
    check(backend, y, best, 0.0, dtype)
    for back, expected in (
        (k.avg_pool_grad(y, window, on.shape, True, 0),
         reference.avg_pool_grad(best, window, exact.shape, True, 0)),
        (k.max_pool_grad(y, place, window, on.shape),
         reference.max_pool_grad(best, where, window, exact.shape)),
    ):  # fmt: skip
        check(backend, back, expected, error * 64, dtype)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("step", ["sgd_step", "adam_step"])
def test_step_of_many_parameters(backend: Backend, step: str, dtype: str) -> None:
    """More than a launch of the smaller kernel has."""
    sizes = [1 + i % 40 for i in range(200)]
    wider = dtypes.accumulation(dtypes.as_dtype(dtype))
    params, grads = ([values((n,), dtype, i + s) for i, n in enumerate(sizes)] for s in (0, 500))
    states = [[np.zeros(n, wider) for n in sizes] for _ in range(2 if step == "adam_step" else 1)]
    more: tuple[Any, ...] = (0.9, 0.0, 0.0, False, False)
    if step == "adam_step":
        more = ([], 0.9, 0.999, 1e-8, 0.0, False, False)
    lists, hyper = [params, grads, *states], np.array([0.01, 0.0])
    on = [[backend.from_numpy(x) for x in each] for each in lists]
    exact = [[wide(x).copy() for x in each] for each in lists]
    counters = (hyper, np.zeros(1, np.int32))
    for module, arrays, count in (
        (backend.kernels, on, [backend.from_numpy(x) for x in counters]),
        (reference, exact, [x.copy() for x in counters]),
    ):
        empty = more[:1] if step == "adam_step" else ()
        getattr(module, step)(*arrays, *empty, *count, *more[len(empty) :])
    for got, expected in zip(on[0], exact[0], strict=True):
        check(backend, got, expected, 16 * epsilon(dtype) * (np.abs(expected) + 1), dtype)
