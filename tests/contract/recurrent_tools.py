"""Recurrent layers for the contract tests: inputs, and every step held by itself.

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
from contract_tools import check, epsilon, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}

Array = np.ndarray


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
        if case.lengths:  # of every kind: all steps and more, none, and those between
            self.lengths = np.arange(t, t - b, -1, dtype=np.int64) % (t + 1)
            self.lengths[0] += 2
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


def specified(layer: Layer) -> tuple[Array, Array | None]:
    """y and saved by the specification, in the layer's dtype."""
    given = (layer.gates, layer.w, layer.bias, layer.projection, layer.h0, layer.c0)
    y, _, _, saved = reference.recurrent(
        layer.cell, *given, layer.lengths, layer.case.reverse, True
    )
    return y, saved


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
