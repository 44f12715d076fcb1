"""Recurrent layers and their gradients, every device against the specification.

Errors of a recurrence grow with its steps, so every step is held by itself: the specification
makes one step, in float64, from the states that the device found (y, and c of what it saved), and
one step back with what the device multiplies, its own rounded gradients of the gates. What is left
is the error of one step:

- a pre-activation is a sum of R products and of gate and bias: a random walk of their magnitudes
  (contract_tools.random_walk). Slopes of sigmoid and tanh are at most 1 / 4 and 1; c and the
  recurrent part of n multiply what they enter.
- half types round what a projection reads, and `cpu` may hold gradients of gates wider than their
  arrays do: half an ulp of each product's factor.
- dc of an lstm and dh z of a gru are carried in the accumulation dtype: T of the above.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from contract_tools import DEVICES, FLOATING, check, epsilon, random_walk, values, wide
from schedules import SCHEDULES, label, scheduled

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, matmul_precision, reference
from gpugrad.errors import ArgumentError

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru")
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
ARCHITECTURES = {"sim-75": 75, "sim": 80, "sim-90": 90}  # each has kernels of its own
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}

Array = np.ndarray


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


@dataclass(frozen=True)
class Case:
    """One layer: T, B, H, R of a projection, and how its arrays lie."""

    steps: int
    batch: int
    hidden: int
    outputs: int = 0
    lengths: bool = False
    reverse: bool = False
    batch_first: bool = False
    bare: bool = False  # no bias, no dhn, no dcn

    @property
    def seed(self) -> int:
        return 100 * self.batch + self.hidden


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


class Layer:
    """The inputs of a case, in NumPy, and what the specification makes of them in float64."""

    def __init__(self, cell: str, dtype: str, case: Case) -> None:
        self.cell, self.dtype, self.case = cell, dtype, case
        t, b, h = case.steps, case.batch, case.hidden
        r, width, seed = case.outputs or h, GATES[cell] * h, case.seed
        spread = 1.5 / float(np.sqrt(r))
        self.gates = values((t, b, width), dtype, seed)
        self.w = values((width, r), dtype, seed + 1, spread)
        self.bias = None if case.bare else values((width,), dtype, seed + 2)
        self.projection = values((r, h), dtype, seed + 3, spread) if case.outputs else None
        self.h0 = values((b, r), dtype, seed + 4, 0.5)
        self.c0 = values((b, h), dtype, seed + 5) if cell == "lstm" else None
        self.lengths = None
        if case.lengths:  # of every kind: all steps, none, and those between
            self.lengths = np.arange(t, t - b, -1, dtype=np.int64) % (t + 1)
        self.dy = values((t, b, r), dtype, seed + 6)
        self.dhn = None if case.bare else values((b, r), dtype, seed + 7)
        self.dcn = None if case.bare or cell != "lstm" else values((b, h), dtype, seed + 8)

    def active(self, t: int) -> Array:
        count = np.full(self.case.batch, self.case.steps) if self.lengths is None else self.lengths
        return np.asarray(t < count)[:, None]

    def steps(self, back: bool = False) -> Iterator[int]:
        order = range(self.case.steps)
        return iter(order[::-1] if self.case.reverse != back else order)

    def before(self, states: Array, initial: Array, t: int) -> Array:
        """The state a step earlier; each sample of a reverse layer begins at its own last step."""
        other = t + 1 if self.case.reverse else t - 1
        inside = 0 <= other < self.case.steps
        known = self.active(other) if inside else np.zeros((self.case.batch, 1), bool)
        return np.where(known, wide(states[other]) if inside else 0, wide(initial))


def sequence(backend: Backend, x: Array, batch_first: bool) -> Any:
    """x [T, B, ...] on the device, as a view of [B, T, ...] if `batch_first`."""
    if not batch_first:
        return backend.from_numpy(x)
    return backend.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2))).transpose(1, 0, 2)


def put(backend: Backend, x: Array | None, transposed: bool = False) -> Any:
    """A matrix, vector or none; `transposed`: with its axes in the other order of memory."""
    if x is None or x.ndim < 2 or not transposed:
        return None if x is None else backend.from_numpy(x)
    return backend.from_numpy(np.ascontiguousarray(x.T)).T


def wide_or_none(x: Array | None) -> Array | None:
    return None if x is None else wide(x)


def forward(backend: Backend, layer: Layer, training: bool = True, out: Any = None) -> Any:
    case = layer.case
    mixed = case.batch_first  # then matrices lie the other way, too
    return backend.kernels.recurrent(
        layer.cell,
        sequence(backend, layer.gates, case.batch_first),
        put(backend, layer.w, mixed),
        put(backend, layer.bias),
        put(backend, layer.projection, mixed),
        put(backend, layer.h0, mixed),
        put(backend, layer.c0, mixed),
        put(backend, layer.lengths),
        case.reverse,
        training,
        out,
    )


def step_error(layer: Layer, h: Array, c: Array | None, t: int, ulp: float) -> Array:
    """What y[t] may be off, before its rounding: [B, 1]."""
    magnitude = np.abs(h) @ np.abs(wide(layer.w)).T
    added = 0 if layer.bias is None else np.abs(wide(layer.bias))
    size = magnitude + np.abs(wide(layer.gates[t])) + added
    da = ulp * random_walk(layer.w.shape[1]) * size.max(1, keepdims=True)
    inside = magnitude if c is None else np.abs(c)
    h_error = 4 * (1 + inside.max(1, keepdims=True)) * da + 8 * ulp * (1 + inside.max())
    if layer.projection is None:
        return np.asarray(h_error)
    p = np.abs(wide(layer.projection)).sum(1).max()
    rounding = ROUNDOFF.get(layer.dtype, ulp) + ulp * random_walk(layer.case.hidden)
    return np.asarray(p * (h_error + rounding))


def check_forward(
    backend: Backend, layer: Layer, results: Any, ulp: float | None = None
) -> tuple[Array, Array | None]:
    """Holds y, hn, cn and saved, step by step; y and saved in NumPy."""
    ulp = epsilon(layer.dtype) if ulp is None else ulp
    kind, hidden = dtypes.accumulation(dtypes.as_dtype(layer.dtype)), layer.case.hidden
    y, hn = backend.to_numpy(results[0]), backend.to_numpy(results[1])
    saved = None if results[3] is None else backend.to_numpy(results[3])
    assert y.shape == (*layer.gates.shape[:2], layer.w.shape[1]) and y.dtype == layer.gates.dtype
    assert (saved is not None) == (layer.cell in ("lstm", "gru"))
    last_h, last_c = wide(layer.h0), wide_or_none(layer.c0)
    for t in layer.steps():
        h = layer.before(y, layer.h0, t)
        c = None
        if layer.c0 is not None and saved is not None:
            c = layer.before(saved[..., -hidden:], layer.c0, t)
        one = reference.recurrent(
            layer.cell,
            wide(layer.gates[t : t + 1]),
            wide(layer.w),
            wide_or_none(layer.bias),
            wide_or_none(layer.projection),
            h,
            c,
            None,
            False,
            True,
        )
        active, error = layer.active(t), step_error(layer, h, c, t, ulp)
        check(backend, results[0][t], np.where(active, one[0][0], 0), error, layer.dtype)
        last_h = np.where(active, wide(y[t]), last_h)
        if saved is not None and one[3] is not None:
            expected = np.where(active, one[3][0], 0)
            check(backend, results[3][t], expected, error_of_saved(layer, h, c, t, ulp), kind)
        if last_c is not None and saved is not None:
            last_c = np.where(active, wide(saved[t, :, -hidden:]), last_c)
    check(backend, results[1], last_h, None, layer.dtype)  # copies of y or of h0
    assert hn.shape == layer.h0.shape
    assert (results[2] is not None) == (layer.cell == "lstm")
    if last_c is not None:
        check(backend, results[2], last_c, None, layer.dtype)
    return y, saved


def error_of_saved(layer: Layer, h: Array, c: Array | None, t: int, ulp: float) -> Array:
    """What saved[t] may be off: y's error without a projection."""
    bare = Layer.__new__(Layer)
    bare.__dict__.update(layer.__dict__, projection=None)
    return step_error(bare, h, c, t, ulp)


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


def gradients(backend: Backend, layer: Layer, y: Array, saved: Array | None, dy: Any) -> Any:
    case = layer.case
    return backend.kernels.recurrent_grad(
        layer.cell,
        dy,
        put(backend, layer.dhn, case.batch_first),
        put(backend, layer.dcn),
        put(backend, layer.w, case.batch_first),
        put(backend, layer.projection, case.batch_first),
        put(backend, layer.h0),
        put(backend, layer.c0, case.batch_first),
        put(backend, layer.lengths),
        case.reverse,
        sequence(backend, y, case.batch_first),
        put(backend, saved),
    )


def check_backward(
    backend: Backend,
    layer: Layer,
    got: Any,
    y: Array,
    saved: Array | None,
    dy: Array | None,
    ulp: float | None = None,
) -> None:
    """Replays the walk in float64, each step from what the device found in the one before."""
    ulp = epsilon(layer.dtype) if ulp is None else ulp
    dtype, hidden, w = layer.dtype, layer.case.hidden, wide(layer.w)
    p = wide_or_none(layer.projection)
    host = [None if a is None else wide(backend.to_numpy(a)) for a in got]
    du_all = host[0] if host[1] is None else host[1]
    assert du_all is not None
    held_wider = ROUNDOFF.get(dtype, 0.0) if backend.device.type == "cpu" else 0.0
    dh = np.zeros(layer.h0.shape) if layer.dhn is None else wide(layer.dhn)
    dc = wide_or_none(layer.dcn)
    if dc is None and layer.c0 is not None:
        dc = np.zeros(layer.c0.shape)
    size, product, most = np.abs(dh).max(), 0.0, 1.0
    for t in layer.steps(back=True):
        active = layer.active(t)
        states = None if saved is None else saved[..., -hidden:]
        c = None
        if layer.c0 is not None and states is not None:
            c = layer.before(states, layer.c0, t)
            most = max(most, 1 + np.abs(c).max())
        if layer.cell == "gru" and states is not None:
            most = max(most, 1 + np.abs(states[t]).max() + np.abs(y).max())
        h = layer.before(y, layer.h0, t)
        kept = None if saved is None else saved[t : t + 1].astype(np.float64)
        now = None if dy is None else wide(dy[t : t + 1])
        given = (layer.cell, now, dh, dc, w, p, h, c, None, False, wide(y[t : t + 1]), kept)
        dgates, dinner, doutput, dh_before, dc_before = reference.recurrent_grad(*given)
        if doutput is not None and p is not None and host[2] is not None:
            # What the device gave to the projection's product.
            rounded = np.where(active, host[2][t] - doutput[0], 0)
            given = (layer.cell, now, dh + rounded, dc, w, p, h, c, None, False, given[10], kept)
            dgates, dinner, _, dh_before, dc_before = reference.recurrent_grad(*given)
        size = max(size, *(np.abs(a).max(initial=0) for a in (dh, dc, now) if a is not None))
        walk = ulp * random_walk(len(w) + hidden) + held_wider
        scale = 1 if p is None else 1 + np.abs(p).sum(0).max()
        error = 16 * layer.case.steps * most * scale * (walk * product + ulp * size)
        if p is not None:
            error += most * scale * walk * size
        check(backend, got[0][t], np.where(active, dgates[0], 0), error, dtype)
        if dinner is not None:
            check(backend, got[1][t], np.where(active, dinner[0], 0), error, dtype)
        if doutput is not None:
            check(backend, got[2][t], np.where(active, doutput[0], 0), error, dtype)
        du = dgates[0] if dinner is None else dinner[0]
        dh = np.where(active, dh_before + (du_all[t] - du) @ w, dh)
        product = max(product, (np.abs(du_all[t]) @ np.abs(w)).max(initial=0))
        if dc is not None:
            dc = np.where(active, dc_before, dc)
    walk = ulp * random_walk(len(w) + hidden) + held_wider
    error = 16 * layer.case.steps * most * (walk * product + ulp * size)
    check(backend, got[3], dh, error, dtype)
    assert (got[4] is not None) == (layer.cell == "lstm")
    if dc is not None:
        check(backend, got[4], dc, error, dtype)


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


def specified(layer: Layer) -> tuple[Array, Array | None]:
    """y and saved by the specification, in the layer's dtype."""
    given = (layer.gates, layer.w, layer.bias, layer.projection, layer.h0, layer.c0)
    y, _, _, saved = reference.recurrent(
        layer.cell, *given, layer.lengths, layer.case.reverse, True
    )
    return y, saved


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
