"""One recurrent layer in one direction over a whole sequence: rnn_tanh, rnn_relu, lstm, gru.

Shapes: gates [T, B, G H], w [G H, R], y [T, B, R]; csrc/ops/text.h says what each is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...dtype import accumulation
from .precision import Array, accumulated, quiet, rounded

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
SAVED = {"rnn_tanh": 0, "rnn_relu": 0, "lstm": 5, "gru": 4}


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _steps(t: int, reverse: bool) -> Iterator[int]:
    return iter(range(t - 1, -1, -1) if reverse else range(t))


def _active(lengths: Array | None, t: int) -> Array | bool:
    """[B, 1]: has sample b a step t?"""
    return True if lengths is None else (t < lengths)[:, None]


def _step(cell: str, gates: Array, u: Array, h: Array, c: Array | None) -> tuple[Array, Array]:
    """(h before any projection, what is saved) of one step."""
    if cell == "rnn_tanh":
        return np.tanh(gates + u), u[:, :0]
    if cell == "rnn_relu":
        return np.maximum(gates + u, 0), u[:, :0]
    if cell == "lstm":
        i, f, g, o = np.split(gates + u, 4, axis=1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        c = f * c + i * g
        return o * np.tanh(c), np.concatenate([i, f, g, o, c], axis=1)
    xr, xz, xn = np.split(gates, 3, axis=1)
    ur, uz, un = np.split(u, 3, axis=1)
    r, z = _sigmoid(xr + ur), _sigmoid(xz + uz)
    n = np.tanh(xn + r * un)
    return (1 - z) * n + z * h, np.concatenate([r, z, n, un], axis=1)


@quiet
def recurrent(
    cell: str,
    gates: Array,
    w: Array,
    bias: Array | None,
    projection: Array | None,
    h0: Array,
    c0: Array | None,
    lengths: Array | None,
    reverse: bool,
    training: bool,
    out: Array | None = None,
) -> tuple[Array, Array, Array | None, Array | None]:
    """(y, hn, cn, saved); y in `out` if that is given, saved where `training`."""
    t, b, _ = gates.shape
    wide, hidden = accumulation(gates.dtype), gates.shape[2] // GATES[cell]
    y = np.zeros((t, b, w.shape[1]), gates.dtype) if out is None else out
    saved = np.zeros((t, b, SAVED[cell] * hidden), wide)
    weight, h = accumulated(w), accumulated(h0)
    c = None if c0 is None else accumulated(c0)
    added = 0 if bias is None else accumulated(bias)
    for step in _steps(t, reverse):
        u = h @ weight.T + added
        new, kept = _step(cell, accumulated(gates[step]), u, h, c)
        if projection is not None:
            new = new @ accumulated(projection).T
        new = accumulated(rounded(new, gates.dtype))
        active = _active(lengths, step)
        y[step] = np.where(active, new, 0)
        h = np.where(active, new, h)
        saved[step] = np.where(active, kept, 0)
        if c is not None:
            c = np.where(active, kept[:, 4 * hidden :], c)
    cn = None if c is None else rounded(c, gates.dtype)
    return y, rounded(h, gates.dtype), cn, saved if training and SAVED[cell] else None


def _back(
    cell: str, dh: Array, dc: Array | None, kept: Array, y: Array, h: Array, c: Array | None
) -> tuple[Array, Array, Array, Array | None]:
    """(dgates, du, what of dh goes on past w, dc of the step before) of one step; h and c are those
    of the step before."""
    if cell == "rnn_tanh":
        da = dh * (1 - y * y)
    elif cell == "rnn_relu":
        da = dh * (y > 0)
    elif cell == "lstm":
        i, f, g, o, now = np.split(kept, 5, axis=1)
        squashed = np.tanh(now)
        dc = dc + dh * o * (1 - squashed * squashed)
        do = dh * squashed * o * (1 - o)
        di, df = dc * g * i * (1 - i), dc * c * f * (1 - f)
        da = np.concatenate([di, df, dc * i * (1 - g * g), do], axis=1)
        return da, da, np.zeros_like(h), dc * f
    else:
        r, z, n, un = np.split(kept, 4, axis=1)
        dn = dh * (1 - z) * (1 - n * n)
        dz, dr = dh * (h - n) * z * (1 - z), dn * un * r * (1 - r)
        return (
            np.concatenate([dr, dz, dn], axis=1),
            np.concatenate([dr, dz, dn * r], axis=1),
            dh * z,
            None,
        )
    return da, da, np.zeros_like(h), None


def _states(
    y: Array, saved: Array | None, h0: Array, c0: Array | None, lengths: Array | None, reverse: bool
) -> Iterator[tuple[int, Array, Array | None]]:
    """(t, h, c) of the step before t, from the last step to the first."""

    def before(states: Array, initial: Array, step: int) -> Array:
        other = step + 1 if reverse else step - 1
        state = states[other] if 0 <= other < len(states) else initial
        if reverse and lengths is not None:  # each sample begins at a step of its own
            state = np.where(np.equal(lengths - 1, step)[:, None], initial, state)
        return accumulated(state)

    for step in _steps(len(y), not reverse):
        c = None
        if c0 is not None and saved is not None:
            c = before(saved[..., -c0.shape[1] :], c0, step)
        yield step, before(y, h0, step), c


@quiet
def recurrent_grad(
    cell: str,
    dy: Array | None,
    dhn: Array | None,
    dcn: Array | None,
    w: Array,
    projection: Array | None,
    h0: Array,
    c0: Array | None,
    lengths: Array | None,
    reverse: bool,
    y: Array,
    saved: Array | None,
) -> tuple[Array, Array | None, Array | None, Array, Array | None]:
    """(dgates, dinner of a gru, doutput of a projection, dh0, dc0)."""
    wide, dtype = accumulation(y.dtype), y.dtype
    t, b, _ = y.shape
    dgates = np.zeros((t, b, len(w)), dtype)
    dinner = np.zeros_like(dgates) if cell == "gru" else None
    doutput = None if projection is None else np.zeros(y.shape, dtype)
    weight = accumulated(w)
    dh = np.zeros(h0.shape, wide) if dhn is None else accumulated(dhn)
    dc = None
    if c0 is not None:
        dc = np.zeros(c0.shape, wide) if dcn is None else accumulated(dcn)
    for step, h, c in _states(y, saved, h0, c0, lengths, reverse):
        active = _active(lengths, step)
        whole = dh if dy is None else dh + np.where(active, accumulated(dy[step]), 0)
        if doutput is not None:
            doutput[step] = np.where(active, whole, 0)
        inner = whole if projection is None else whole @ accumulated(projection)
        kept = np.zeros((b, 0), wide) if saved is None else saved[step]
        da, du, past, dc_before = _back(cell, inner, dc, kept, accumulated(y[step]), h, c)
        dgates[step] = np.where(active, da, 0)
        if dinner is not None:
            dinner[step] = np.where(active, du, 0)
        dh = np.where(active, past + du @ weight, dh)
        if dc is not None and dc_before is not None:
            dc = np.where(active, dc_before, dc)
    return dgates, dinner, doutput, rounded(dh, dtype), None if dc is None else rounded(dc, dtype)
