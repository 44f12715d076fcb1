"""Recurrent layers and their gradients, every device against the specification.

recurrent_tools.py says how: each step by itself, from the states that the device found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contract_tools import DEVICES, FLOATING, check, epsilon, wide
from recurrent_tools import (
    GATES,
    Case,
    Layer,
    check_backward,
    check_forward,
    forward,
    gradients,
    sequence,
    specified,
    wide_or_none,
)
from schedules import SCHEDULES, label, scheduled

from gpugrad import backends
from gpugrad.backends import Backend, matmul_precision, reference
from gpugrad.errors import ArgumentError

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru")
ARCHITECTURES = {"sim-75": 75, "sim": 80, "sim-90": 90}  # each has kernels of its own

CASES = [
    Case(5, 3, 20),
    Case(3, 2, 64, batch_first=True, reverse=True, bare=True),  # rows of whole chunks
    Case(4, 37, 33, lengths=True),
    Case(4, 37, 33, lengths=True, reverse=True, batch_first=True, bare=True),
    Case(1, 5, 7, lengths=True),
    Case(2, 1, 130, reverse=True),
]
PROJECTED = [
    Case(4, 3, 24, 10),
    Case(3, 35, 40, 33, lengths=True, reverse=True, batch_first=True),
    Case(2, 2, 64, 32, bare=True),
]


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


def cases(cell: str) -> list[Case]:
    return CASES + (PROJECTED if cell == "lstm" else [])


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent(backend: Backend, cell: str, dtype: str) -> None:
    for case in cases(cell):
        layer = Layer(cell, dtype, case)
        results = forward(backend, layer)
        y, _ = check_forward(backend, layer, results)
        inference = forward(backend, layer, training=False)
        assert inference[3] is None
        np.testing.assert_array_equal(backend.to_numpy(inference[0]), y)
        # y as a part of a wider array, as the two directions of a layer have it
        wider = backend.from_numpy(np.full((*y.shape[:2], 2 * y.shape[2]), 7, y.dtype))
        half = wider[..., y.shape[2] :]
        forward(backend, layer, out=half)
        np.testing.assert_array_equal(backend.to_numpy(half), y)
        assert (wide(backend.to_numpy(wider)[..., : y.shape[2]]) == 7).all()


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_grad(backend: Backend, cell: str, dtype: str) -> None:
    for number, case in enumerate(cases(cell)):
        layer = Layer(cell, dtype, case)
        y, saved = specified(layer)
        dy = None if number == 4 else layer.dy
        placed = None if dy is None else sequence(backend, dy, case.batch_first)
        got = gradients(backend, layer, y, saved, placed)
        assert (got[1] is not None) == (cell == "gru")
        assert (got[2] is not None) == bool(case.outputs)
        check_backward(backend, layer, got, y, saved, dy)


@pytest.mark.parametrize("precision", ["exact", "tf32"])
def test_float32_precision(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other ways to multiply float32; tf32 has 11 bits of each factor."""
    monkeypatch.setattr(matmul_precision.SETTING, "name", precision)
    backend = backends.get("sim")
    ulp = 2.0**-10 if precision == "tf32" else epsilon("float32")
    for cell in ("lstm", "gru"):
        layer = Layer(cell, "float32", Case(3, 33, 48))
        check_forward(backend, layer, forward(backend, layer), ulp)
        y, saved = specified(layer)
        got = gradients(backend, layer, y, saved, backend.from_numpy(layer.dy))
        check_backward(backend, layer, got, y, saved, layer.dy, ulp)


def test_precisions_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a kernel of its own, and tf32 the largest error."""
    layer, backend = Layer("rnn_tanh", "float32", Case(1, 20, 96, bare=True)), backends.get("sim")
    given = [wide_or_none(x) for x in (layer.gates, layer.w, None, None, layer.h0, None, None)]
    exact = reference.recurrent("rnn_tanh", *given, False, False)[0]
    errors = {}
    for precision in ("exact", "high", "tf32"):
        monkeypatch.setattr(matmul_precision.SETTING, "name", precision)
        errors[precision] = float(np.abs(forward(backend, layer)[0] - exact).max())
    assert errors["high"] < 4e-7 and errors["exact"] < 4e-7 and 2e-5 < errors["tf32"] < 4e-3


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_to_do(backend: Backend, cell: str) -> None:
    """T = 0 gives the first states back, and their gradients; B = 0 gives nothing."""
    for case in (Case(0, 3, 5), Case(3, 0, 5), Case(0, 2, 6, bare=True)):
        layer = Layer(cell, "float32", case)
        y, hn, cn, _ = forward(backend, layer)
        assert y.shape == (case.steps, case.batch, case.hidden)
        check(backend, hn, layer.h0)
        got = gradients(backend, layer, *specified(layer), backend.from_numpy(layer.dy))
        zeros = np.zeros((case.batch, case.hidden), np.float32)
        check(backend, got[3], zeros if layer.dhn is None else layer.dhn)
        if cell == "lstm":
            check(backend, cn, layer.c0)
            check(backend, got[4], zeros if layer.dcn is None else layer.dcn)


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
def test_same_bits(schedule: Any, architecture: int) -> None:
    """The same bits in every order of threads and blocks."""
    from gpugrad import _sim

    backend = backends.get("sim")
    kinds = [("lstm", "bfloat16", 0), ("gru", "float32", 0), ("lstm", "float64", 9)]
    for cell, dtype, outputs in kinds:
        layer = Layer(cell, dtype, Case(3, 34, 40, outputs, lengths=True))
        key, results = (cell, dtype, architecture), []
        _sim.set_architecture(architecture)
        with scheduled("sim", schedule):
            results += forward(backend, layer)
            y, saved = specified(layer)
            results += gradients(backend, layer, y, saved, backend.from_numpy(layer.dy))
        _sim.set_architecture(80)
        bits = [b"" if a is None else backend.to_numpy(a).tobytes() for a in results]
        assert first_bits.setdefault(key, bits) == bits, key


first_bits: dict[tuple[str, str, int], list[bytes]] = {}


def test_errors(backend: Backend) -> None:
    f32, k = np.float32, backend.kernels

    def run(cell: str = "lstm", dtype: Any = f32, **changed: Any) -> Any:
        """A layer of T 2, B 3, H 4 with some arrays exchanged for others."""
        n = GATES[cell]
        shapes = {"gates": (2, 3, 4 * n), "w": (4 * n, 4), "bias": (4 * n,), "projection": None}
        shapes |= {"h0": (3, 4), "c0": (3, 4) if cell == "lstm" else None, "lengths": None}
        shapes |= changed
        arrays = {
            name: backend.from_numpy(np.zeros(shape, dtype)) if isinstance(shape, tuple) else shape
            for name, shape in shapes.items()
        }
        out = arrays.pop("out", None)
        return k.recurrent(cell, *arrays.values(), False, True, out)

    def device(shape: tuple[int, ...], dtype: Any = f32) -> Any:
        return backend.from_numpy(np.zeros(shape, dtype))

    for text, arguments in [
        (r"gates must be float16, .* got int32 \(2, 3, 16\)", {"gates": device((2, 3, 16), "i4")}),
        (r"gates of gru must be \[T, B, 3 H\], got float32", {"cell": "gru", "gates": (2, 3, 16)}),
        (r"gates must be dense .* stride of 2 ", {"gates": device((2, 3, 32))[..., ::2]}),
        (r"w of lstm must be \[4 H, R\] with the 16 rows .*\(12, 4\)", {"w": (12, 4)}),
        (r"w must be float32, got float64", {"w": device((16, 4), np.float64)}),
        (r"w must have the 4 hidden units .* needs a projection", {"w": (16, 3), "h0": (3, 3)}),
        (r"projection must have shape \(3, 4\)", {"w": (16, 3), "projection": (4, 3)}),
        (r"projection belongs to lstm, got gru", {"cell": "gru", "projection": (4, 4)}),
        (r"bias must have shape \(16,\), got float32 \(4,\)", {"bias": (4,)}),
        (r"h0 must have shape \(3, 4\), got float32 \(4, 3\)", {"h0": (4, 3)}),
        (r"lengths must be int64, got float32 \(3,\)", {"lengths": (3,)}),
        (r"y must have shape \(2, 3, 4\)", {"out": (3, 2, 4)}),
    ]:
        with pytest.raises(ArgumentError, match=f"recurrent: {text}"):
            run(**arguments)

    y, state, saved = device((2, 3, 4)), device((3, 4)), device((2, 3, 20))
    good = ["lstm", y, state, state, device((16, 4)), None, state, state, None, False, y, saved]
    for text, at, wrong in [
        (r"dy must have shape \(2, 3, 4\), got", 1, device((2, 3, 5))),
        (r"dcn must have shape \(3, 4\)", 3, device((3, 5))),
        (r"c0 is missing: lstm has one", 7, None),
        (r"saved is missing: lstm has one", 11, None),
        (r"saved must have shape \(2, 3, 20\)", 11, device((2, 3, 16))),
        (r"w of lstm must be", 4, device((12, 4, 1))),
    ]:
        if at == 7:
            continue  # the Python side derives dc0 from c0
        with pytest.raises(ArgumentError, match=f"recurrent_grad: {text}"):
            k.recurrent_grad(*good[:at], wrong, *good[at + 1 :])
