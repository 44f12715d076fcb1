"""Convolutions on simulated tensor cores: precision of float32, NaN, padding, order of threads.

`high` and `tf32` promise what test_gemm_precision.py holds matrix products to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contract_tools import values
from schedules import SCHEDULES, label, scheduled
from test_contract_conv import GROUPED, LARGE, PRECISIONS, Case

from gpugrad import _sim, backends
from gpugrad import dtype as dtypes
from gpugrad.backends import reference
from gpugrad.backends.matmul_precision import SETTING


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    """On a card with tf32; what a test does to the precision of float32 is undone."""
    before, architecture = SETTING.name, _sim.architecture()
    _sim.set_architecture(max(architecture, 80))
    yield
    SETTING.name = before
    _sim.set_architecture(architecture)


def on_sim(precision: str, case: Case, x: Any, w: Any, y: Any) -> list[np.ndarray]:
    """fprop of (x, w), dgrad of (y, w), wgrad of (x, y) in float32."""
    SETTING.name = precision
    sim = backends.get("sim").kernels
    return [
        sim.conv_fprop(x, w, case.window, case.shapes[2]),
        sim.conv_dgrad(y, w, case.window, case.shapes[0]),
        sim.conv_wgrad(x, y, case.window, case.shapes[1]),
    ]


WIDE = Case(2, 64, 64, (9, 9), (3, 3), (1, 1), (1, 1), (1, 1))


def test_conv_float32_runs_on_tensor_cores() -> None:
    """1 + 2^-12 is 1 in tf32; `high` keeps it."""
    x, w, y = (np.full(s, 1 + 2.0**-12, np.float32) for s in WIDE.shapes)
    for setting, kept in (("tf32", False), ("high", True), ("exact", True)):
        for got, count in zip(on_sim(setting, WIDE, x, w, y), (576, 576, 162), strict=True):
            most = got.astype(np.float64).max()
            assert most == count or kept
            assert (abs(most / count - (1 + 2.0**-12) ** 2) < 2.0**-20) == kept


def test_conv_high_is_no_worse_than_exact() -> None:
    case = WIDE
    x, w, y = (values(s, "float32", i) for i, s in enumerate(case.shapes))
    wx, ww, wy = (a.astype(np.float64) for a in (x, w, y))
    truth = [
        reference.conv_fprop(wx, ww, case.window, case.shapes[2]),
        reference.conv_dgrad(wy, ww, case.window, case.shapes[0]),
        reference.conv_wgrad(wx, wy, case.window, case.shapes[1]),
    ]
    high, exact = on_sim("high", case, x, w, y), on_sim("exact", case, x, w, y)
    for got, plain, right in zip(high, exact, truth, strict=True):
        assert (got != plain).any()  # another kernel
        error, allowed = (float(np.sqrt(np.mean((a - right) ** 2))) for a in (got, plain))
        assert error <= allowed


@pytest.mark.parametrize("case", [WIDE, LARGE[2]], ids=["whole", "split"])
def test_conv_high_has_the_infinities_of_exact(case: Case) -> None:
    """Infinities, NaN, and sums that overflow or come back; the low product alone makes NaN."""
    x, w, y = (values(s, "float32", i) for i, s in enumerate(case.shapes))
    x[0, 3, 1, 1], x[0, 5, 2, 2], y[0, 2, 0, 1] = np.inf, np.nan, -np.inf
    y[0, 7, 2, 1], x[-1, 9, 2, 0], w[0] = np.nan, 3.3e38, 3.0
    high, exact = on_sim("high", case, x, w, y), on_sim("exact", case, x, w, y)
    for got, plain in zip(high, exact, strict=True):
        assert not np.isfinite(plain).all()
        np.testing.assert_array_equal(np.isnan(got), np.isnan(plain))
        np.testing.assert_array_equal(np.isposinf(got), np.isposinf(plain))
        np.testing.assert_array_equal(np.isneginf(got), np.isneginf(plain))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_conv_padding_reads_nothing(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels that pad a chunk, what lies between rows, and the workspace, may be NaN."""
    SETTING.name = "tf32"
    sim = backends.get("sim").kernels
    clean = sim.workspace  # type: ignore[attr-defined]

    def poisoned(*args: Any) -> Any:
        space = clean(*args)
        if space is not None:
            space.view(np.uint8)[...] = 255
        return space

    monkeypatch.setattr(sim, "workspace", poisoned)
    case = Case(2, 13, 21, (6, 5), (3, 3), (1, 1), (1, 1), (1, 1))
    x, w, y = (values(s, dtype, i) for i, s in enumerate(case.shapes))
    gaps = []
    for a in (x, w, y):
        wide = np.full((*a.shape[:1], *a.shape[2:], 32), np.nan, a.dtype)
        wide[..., : a.shape[1]] = np.moveaxis(a, 1, -1)
        gaps.append(np.moveaxis(wide[..., : a.shape[1]], -1, 1))
    results = [
        sim.conv_fprop(gaps[0], gaps[1], case.window, case.shapes[2]),
        sim.conv_dgrad(gaps[2], gaps[1], case.window, case.shapes[0]),
        sim.conv_wgrad(gaps[0], gaps[2], case.window, case.shapes[1]),
    ]
    assert all(np.isfinite(a.astype(np.float64)).all() for a in results)


@pytest.mark.parametrize("setting", PRECISIONS)
def test_conv_same_bits_in_every_schedule(setting: str) -> None:
    results = []
    for schedule in SCHEDULES:
        bits = []
        with scheduled("sim", schedule):
            for case in (WIDE, LARGE[2], GROUPED[1]):
                arrays = (values(s, "float32", i) for i, s in enumerate(case.shapes))
                bits += [a.tobytes() for a in on_sim(setting, case, *arrays)]
        results.append(bits)
    assert all(bits == results[0] for bits in results), [label(s) for s in SCHEDULES]


def test_conv_dtype_of_simulated_product() -> None:
    """A window of one element is a matrix product, in any layout, without a copy of x."""
    x, w = np.ones((2, 64, 8, 8), np.float16), np.ones((64, 64, 1, 1), np.float16)
    window = ((1, 1), (0, 0), (1, 1), 1)
    assert _sim.conv_fprop_workspace(x, w, x, window, "exact") < x.nbytes
    assert dtypes.name(backends.get("sim").kernels.conv_fprop(x, w, window, x.shape).dtype) == (
        "float16"
    )
