"""Convolutions that have kernels of their own: depthwise, first layers, and those of CUDA cores.

Held against the specification as in test_contract_conv.py, at sizes where these kernels change:
vectors of channels, tiles and their edges, more taps or weights than a block has at hand, splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contract_tools import DEVICES, FLOATING, values
from schedules import SCHEDULES, label, scheduled
from test_contract_conv import Case, Held

from gpugrad import backends
from gpugrad.backends import Backend, reference
from gpugrad.backends.matmul_precision import SETTING

OPERATIONS = ("fprop", "dgrad", "wgrad")
LAST, ROWS = ("last", "last", "last"), ("rows", "rows", "rows")


@pytest.fixture(params=DEVICES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return backends.get(request.param)


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    """What a test does to the precision of float32 is undone."""
    before = SETTING.name
    yield
    SETTING.name = before


DEPTHWISE = [
    Case(2, 16, 16, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1), 16),  # vectors of channels
    Case(1, 72, 72, (6, 5), (3, 3), (2, 2), (1, 1), (1, 1), 72),  # ... of two blocks
    Case(1, 70, 70, (6, 5), (3, 2), (1, 2), (1, 0), (2, 1), 70),  # no vectors
    Case(1, 8, 8, (8, 9), (7, 5), (1, 1), (3, 2), (1, 1), 8),  # more taps than are at hand
    Case(2, 5, 15, (7, 8), (3, 3), (2, 1), (1, 1), (1, 1), 5),  # three outputs of each channel
    Case(2, 15, 5, (7, 8), (3, 3), (1, 1), (1, 1), (1, 1), 5),  # ... inputs
    Case(2, 24, 48, (5, 6), (3, 3), (1, 1), (1, 1), (1, 1), 8),  # small groups
    Case(3, 8, 8, (37,), (4,), (3,), (2,), (2,), 8),
    Case(1, 8, 8, (4, 5, 6), (3, 2, 2), (1, 2, 1), (1, 0, 1), (1, 1, 2), 8),
    Case(1, 4, 4, (70, 61), (3, 3), (1, 1), (1, 1), (1, 1), 4),  # wgrad in splits
]
FIRST = [
    Case(2, 3, 10, (19, 18), (3, 3), (1, 1), (1, 1), (1, 1)),  # ragged tiles
    Case(1, 1, 6, (28, 28), (5, 5), (1, 1), (0, 0), (1, 1)),
    Case(1, 3, 70, (31, 37), (7, 7), (2, 2), (3, 3), (1, 1)),  # two blocks of outputs
    Case(1, 4, 8, (13, 17), (7, 7), (1, 2), (3, 3), (2, 1)),  # two blocks of weights
    Case(1, 2, 24, (9, 33), (2, 2), (1, 1), (0, 0), (1, 1)),
    Case(1, 10, 3, (12, 14), (3, 4), (1, 1), (1, 1), (1, 1)),  # dgrad's taps run backwards
    Case(1, 10, 3, (18, 14), (3, 4), (2, 2), (1, 1), (1, 1)),  # ... in phases
    Case(4, 3, 8, (32, 32), (3, 3), (1, 1), (1, 1), (1, 1)),  # several tiles to a block
]
PLAIN = [
    Case(2, 11, 70, (9, 8), (3, 2), (1, 1), (1, 1), (1, 1)),  # channels: eight and three
    Case(1, 3, 130, (15, 11), (2, 3), (2, 1), (1, 0), (1, 1)),
    Case(1, 9, 5, (1, 40), (1, 3), (1, 1), (0, 1), (1, 2)),
    Case(2, 2, 3, (40, 33), (3, 3), (1, 1), (1, 1), (1, 1)),  # wgrad in splits
]


def named(case: Case) -> str:
    return f"{case.c}to{case.k}by{case.groups}-{'x'.join(map(str, case.taps))}"


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", DEPTHWISE, ids=named)
def test_depthwise(backend: Backend, case: Case, operation: str, dtype: str) -> None:
    for layouts in (LAST, ROWS, ("last", "rows", "rows"), ("offset", "last", "last")):
        getattr(Held(backend, case, dtype, layouts), operation)()


@pytest.mark.parametrize("dtype", [*FLOATING, "tf32"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", FIRST, ids=named)
def test_first_layer(backend: Backend, case: Case, operation: str, dtype: str) -> None:
    if dtype == "tf32":
        SETTING.name, dtype = "tf32", "float32"
    for layouts in (LAST, ROWS, ("gaps", "rows", "offset")):
        getattr(Held(backend, case, dtype, layouts), operation)()


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_tensor_cores(backend: Backend, operation: str, dtype: str) -> None:
    for case in PLAIN:
        for layouts in (LAST, ROWS, ("reversed", "gaps", "strided")):
            getattr(Held(backend, case, dtype, layouts), operation)()


@pytest.mark.parametrize("dtype", FLOATING)
def test_epilogues(backend: Backend, dtype: str) -> None:
    for case in (DEPTHWISE[0], DEPTHWISE[4], FIRST[0], PLAIN[0]):
        for layouts in (LAST, ROWS):
            for residual in ("last", "rows", "broadcast"):
                Held(backend, case, dtype, layouts).fprop("relu", bias=True, residual=residual)


# ---- infinities --------------------------------------------------------------------------------


def unread(case: Case) -> np.ndarray:
    """Which elements of x no window meets."""
    ones = np.ones(case.shapes[1]), np.ones(case.shapes[2])
    return np.asarray(reference.conv_dgrad(ones[1], ones[0], case.window, case.shapes[0]) == 0)


# Each kernel's tiles reach beyond the last position, and read what no window does.
STRIDED = [
    Case(1, 3, 6, (23, 22), (2, 3), (3, 4), (0, 0), (1, 1)),
    Case(1, 8, 8, (11, 12), (2, 3), (3, 4), (0, 0), (1, 1), 8),
    Case(1, 16, 8, (11, 12), (2, 3), (3, 4), (0, 0), (1, 1)),
]


@pytest.mark.parametrize("dtype", [*FLOATING, "tf32"])
@pytest.mark.parametrize("case", STRIDED, ids=named)
def test_what_no_window_meets_may_be_infinite(backend: Backend, case: Case, dtype: str) -> None:
    if dtype == "tf32":
        SETTING.name, dtype = "tf32", "float32"
    x, w, dy = (values(shape, dtype, i) for i, shape in enumerate(case.shapes))
    x[unread(case)] = np.inf
    assert np.isinf(x.astype(np.float64)).any()
    for place in (lambda a: a, lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1)):
        x_there, w_there, dy_there = (backend.from_numpy(place(a)) for a in (x, w, dy))
        k = backend.kernels
        results = [
            k.conv_fprop(x_there, w_there, case.window, case.shapes[2]),
            k.conv_wgrad(x_there, dy_there, case.window, case.shapes[1]),
        ]
        for result in results:
            assert np.isfinite(backend.to_numpy(result).astype(np.float64)).all()


@pytest.mark.parametrize("dtype", ["float16", "tf32", "float32"])
def test_an_infinity_stays_where_it_is_met(backend: Backend, dtype: str) -> None:
    """One infinite pixel at the edge of a tile: outputs and taps that do not meet it are finite."""
    if dtype == "tf32":
        SETTING.name, dtype = "tf32", "float32"
    case = Case(1, 3, 4, (19, 18), (3, 3), (1, 1), (1, 1), (1, 1))
    x, w, dy = (values(shape, dtype, i) for i, shape in enumerate(case.shapes))
    for place in ((0, 1, 8, 15), (0, 0, 18, 17), (0, 2, 0, 0)):
        x[place] = np.inf
        k = backend.kernels
        there = [backend.from_numpy(a) for a in (x, w, dy)]
        y = k.conv_fprop(there[0], there[1], case.window, case.shapes[2])
        dw = k.conv_wgrad(there[0], there[2], case.window, case.shapes[1])
        mask, finite = np.isinf(x.astype(np.float64)).astype(np.float64), np.ones_like
        met = reference.conv_fprop(mask, finite(w, np.float64), case.window, case.shapes[2])
        np.testing.assert_array_equal(np.isfinite(_wide(backend, y)), met == 0)
        met = reference.conv_wgrad(mask, finite(dy, np.float64), case.window, case.shapes[1])
        np.testing.assert_array_equal(np.isfinite(_wide(backend, dw)), met == 0)
        x[place] = 1


def _wide(backend: Backend, y: Any) -> np.ndarray:
    return np.asarray(backend.to_numpy(y).astype(np.float64))


# ---- order of threads --------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES[1:4], ids=label)
def test_bits_do_not_depend_on_the_schedule(schedule: tuple[Any, ...]) -> None:
    backend = backends.get("sim")
    cases = [(DEPTHWISE[1], "float16"), (DEPTHWISE[9], "float32"), (FIRST[7], "bfloat16")]
    for case, dtype in [*cases, (PLAIN[0], "float32"), (PLAIN[3], "float64")]:
        x, w, y = (values(shape, dtype, i) for i, shape in enumerate(case.shapes))

        def results(
            case: Case = case, x: Any = x, w: Any = w, y: Any = y, k: Any = backend.kernels
        ) -> list[np.ndarray]:
            return [
                k.conv_fprop(x, w, case.window, case.shapes[2]),
                k.conv_dgrad(y, w, case.window, case.shapes[0]),
                k.conv_wgrad(x, y, case.window, case.shapes[1]),
            ]

        expected = results()
        with scheduled("sim", schedule):
            for got, first in zip(results(), expected, strict=True):
                np.testing.assert_array_equal(got.view(np.uint8), first.view(np.uint8))
