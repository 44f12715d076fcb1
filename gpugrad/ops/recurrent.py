"""One recurrent layer over whole sequences, forward and back: tanh and relu RNN, LSTM, GRU.

The gates of all steps are one gemm, x W_ih^T; a kernel walks the steps, and back through them;
what is left of the gradient is one gemm each over all steps:
    dx = dgates W_ih,  dW_ih = dgates^T x,  dW_hh = dinner^T (h of the step before)
In memory samples lie first, or steps do, as in x: nothing is copied to change that.
Elman 1990; Hochreiter & Schmidhuber 1997; Cho et al. 2014; projections: Sak et al. 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import dtype as dtypes
from ..autograd.composed import through
from ..autograd.function import Function
from ..autograd.modes import MODE
from ..backends import Backend
from ..backends.base import Array, Shape
from ..tensor import Tensor
from .joining import cat, stack
from .linalg import linear
from .positions import positions
from .selection import where

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


class Direction(NamedTuple):
    """What one direction of a layer reads; any of the optional ones may be None.

    h0 [B, R] and, of an lstm, c0 [B, H]: zeros unless given; w_ih [G H, I]; w_hh [G H, R]; b_ih,
    b_hh [G H]; w_hr [R, H], a projection; R = H without it.
    """

    h0: Any
    c0: Any
    w_ih: Any
    w_hh: Any
    b_ih: Any = None
    b_hh: Any = None
    w_hr: Any = None


WIDTH = len(Direction._fields)


def directions(flat: Sequence[Any]) -> list[Direction]:
    """The directions that `flat` holds one after the other."""
    return [Direction(*flat[i : i + WIDTH]) for i in range(0, len(flat), WIDTH)]


class Layout(NamedTuple):
    """How sequences lie in memory: the rows of a sample together, or those of a step."""

    backend: Backend
    samples_first: bool

    def empty(self, shape: Shape, dtype: Any) -> Array:
        """A new array [T, B, n]."""
        if not self.samples_first:
            return self.backend.empty(shape, dtype)
        return self.backend.empty((shape[1], shape[0], shape[2]), dtype).transpose(1, 0, 2)

    def rows(self, steps: Array) -> Array:
        """[T, B, n] as [T B, n], in the order of memory: a view of what lies so, else a copy."""
        ordered = steps.transpose(1, 0, 2) if self.samples_first else steps
        if not ordered.flags.c_contiguous:
            ordered = self.backend.kernels.contiguous(ordered)
        return ordered.reshape(-1, steps.shape[2])

    def steps(self, rows: Array, t: int, b: int) -> Array:
        """Such rows [T B, n] as [T, B, n]."""
        if not self.samples_first:
            return rows.reshape(t, b, rows.shape[1])
        return rows.reshape(b, t, rows.shape[1]).transpose(1, 0, 2)


def _layout(backend: Backend, steps: Array, batch_first: bool) -> Layout:
    """The layout of x [T, B, I]; where it has neither, that of its axes."""
    if steps.flags.c_contiguous:
        return Layout(backend, False)
    return Layout(backend, batch_first or bool(steps.transpose(1, 0, 2).flags.c_contiguous))


class Recurrent(Function):
    """(y, hn, cn, ...) of one layer in one direction or two: x [T, B, I], y [T, B, R], or [T, B,
    2 R] with both side by side; of each direction hn [B, R] and, lstm, cn [B, H].

    csrc/ops/text.h says what a step is. Sample b has lengths[b] of them (None: all), y is 0 beyond.
    batch_first: x and y have their first two axes the other way round.
    """

    def forward(self, x: Any, lengths: Any, *flat: Any, cell: str, batch_first: bool) -> Any:
        self.cell, self.batch_first = cell, batch_first
        self.recorded = MODE.grad and any(self.edges)
        steps = x.transpose(1, 0, 2) if batch_first else x
        self.layout = layout = _layout(self.backend, steps, batch_first)
        rows, parts = layout.rows(steps), directions(flat)
        width = parts[0].w_hh.shape[1]
        y = halves = None
        if len(parts) == 2:
            y = layout.empty((*steps.shape[:2], 2 * width), x.dtype)
            halves = (y[..., :width], y[..., width:])
        states: list[Any] = []
        kept: list[Any] = []
        for i, part in enumerate(parts):
            h0, c0 = self._initial(part, steps.shape[1])
            outer, inner = self._biases(part)
            gates = layout.steps(self.kernels.gemm(rows, part.w_ih.T, outer), *steps.shape[:2])
            fixed = (part.w_hh, inner, part.w_hr, h0, c0, lengths, i == 1, self.recorded)
            out = None if halves is None else halves[i]
            half, hn, cn, saved = self.kernels.recurrent(cell, gates, *fixed, out)
            y = half if y is None else y
            states += [hn] if cn is None else [hn, cn]
            kept += [h0, c0, saved]
        assert y is not None
        y = y.transpose(1, 0, 2) if batch_first else y
        if self.recorded:
            self.save(x, lengths, y, *flat, *kept)
        return (y, *states)

    def _initial(self, part: Direction, batch: int) -> tuple[Any, Any]:
        """(h0, c0): those given, or zeros; c0 is None but for an lstm."""
        gates, width = part.w_hh.shape
        h0, c0, dtype = part.h0, part.c0, part.w_hh.dtype
        if h0 is None:
            h0 = self.backend.empty((batch, width), dtype)
            self.kernels.fill(h0, 0)
        if c0 is None and self.cell == "lstm":
            c0 = self.backend.empty((batch, gates // 4), dtype)
            self.kernels.fill(c0, 0)
        return h0, c0

    def _biases(self, part: Direction) -> tuple[Any, Any]:
        """(of the gemm, of the steps): both are added at the step, where they cost no memory
        traffic, but by the gru, which needs them apart."""
        if self.cell == "gru" or part.b_ih is None:
            return part.b_ih, part.b_hh
        return None, self.kernels.binary("add", part.b_ih, part.b_hh)

    def backward(self, dy: Tensor | None, *dstates: Tensor | None) -> Any:
        x, lengths, y, *rest = self.saved
        count = len(self.edges) - 2
        flat, kept = rest[:count], rest[count:]
        if MODE.grad:
            return self._by_operations(x, lengths, flat, (dy, *dstates))
        x_steps, y_steps, dy_steps = (self._steps(a) for a in (x, y, dy))
        parts, each = directions([_raw(a) for a in flat]), len(dstates) * WIDTH // count
        dx = None
        grads: list[Any] = []
        for i, part in enumerate(parts):
            width = part.w_hh.shape[1]
            half = slice(i * width, (i + 1) * width)
            way = _Way(
                self.cell,
                self.layout,
                part,
                _raw(kept[3 * i]),
                _raw(kept[3 * i + 1]),
                _raw(kept[3 * i + 2]),
                y_steps[..., half],
                _raw(lengths),
                i == 1,
            )
            past = [_raw(d) for d in dstates[i * each : (i + 1) * each]]
            found = way.back(None if dy_steps is None else dy_steps[..., half], past)
            grads += way.weights(x_steps, found, self.edges[2 + i * WIDTH : 2 + (i + 1) * WIDTH])
            if self.needs(0):
                more = self.kernels.gemm(self.layout.rows(found[0]), part.w_ih)
                dx = more if dx is None else self.kernels.binary("add", dx, more)
        if dx is not None:
            dx = self.layout.steps(dx, *x_steps.shape[:2])
            dx = Tensor(dx.transpose(1, 0, 2) if self.batch_first else dx, x.backend)
        return dx, None, *[None if g is None else Tensor(g, x.backend) for g in grads]

    def _steps(self, a: Tensor | None) -> Any:
        """The raw array as [T, B, n] with its last axis dense."""
        if a is None:
            return None
        raw = a.array
        if raw.strides[2] != raw.itemsize:
            raw = self.kernels.contiguous(raw)
        return raw.transpose(1, 0, 2) if self.batch_first else raw

    def _by_operations(self, x: Any, lengths: Any, flat: Any, dys: Any) -> Any:
        """The gradients as part of a graph."""

        def again(x: Tensor, *flat: Any) -> Any:
            return composed(x, lengths, flat, self.cell, self.batch_first)

        dx, *grads = through(again, (x, *flat), dys)
        return dx, None, *grads


def _raw(x: Any) -> Any:
    return None if x is None else x.array


class _Way(NamedTuple):
    """The way back through one direction, in raw arrays: y [T, B, R], the rest as in forward."""

    cell: str
    layout: Layout
    part: Direction
    h0: Array
    c0: Array | None
    saved: Array | None
    y: Array
    lengths: Array | None
    reverse: bool

    def back(self, dy: Array | None, dstates: list[Any]) -> Any:
        """(dgates, dinner, doutput, dh0, dc0) by the kernel."""
        k, part = self.layout.backend.kernels, self.part
        dhn, dcn = (*dstates, None)[:2]
        inputs = (self.cell, dy, dhn, dcn, part.w_hh, part.w_hr, self.h0, self.c0)
        return k.recurrent_grad(*inputs, self.lengths, self.reverse, self.y, self.saved)

    def weights(self, x: Array, found: Any, wanted: Sequence[Any]) -> Direction:
        """The gradients of a Direction; None for what is not `wanted`."""
        k, rows = self.layout.backend.kernels, self.layout.rows
        dgates, dinner, doutput, dh0, dc0 = found
        want = Direction(*wanted)
        outer = rows(dgates)
        inner = outer if dinner is None else rows(dinner)
        db_ih = None if want.b_ih is None else k.reduce("sum", outer, (0,), False)
        db_hh = db_ih if inner is outer else None
        if want.b_hh is not None and db_hh is None:
            db_hh = k.reduce("sum", inner, (0,), False)
        return Direction(
            h0=None if want.h0 is None else dh0,
            c0=None if want.c0 is None else dc0,
            w_ih=None if want.w_ih is None else k.gemm(outer.T, rows(x)),
            w_hh=None if want.w_hh is None else k.gemm(inner.T, self._before()),
            b_ih=db_ih,
            b_hh=None if want.b_hh is None else db_hh,
            w_hr=None if want.w_hr is None else k.gemm(rows(doutput).T, self._unprojected()),
        )

    def _before(self) -> Array:
        """h of the step before each step, as rows: y one step late, h0 where a sample begins."""
        y, backend = self.y, self.layout.backend
        k, (steps, batch, _) = backend.kernels, y.shape
        h = self.layout.empty(y.shape, y.dtype)
        if not self.reverse:
            k.copy(self.h0, h[0])
            k.copy(y[: steps - 1], h[1:])
        else:
            k.copy(self.h0, h[steps - 1])
            k.copy(y[1:], h[: steps - 1])
            if self.lengths is not None:  # each sample begins at a step of its own
                last = k.binary("sub", self.lengths, 1)
                k.scatter("set", h, (last, positions(backend, batch)), self.h0)
        return self.layout.rows(h)

    def _unprojected(self) -> Array:
        """o tanh(c) of all steps, which a projection reads, as rows."""
        k, saved = self.layout.backend.kernels, self.saved
        assert saved is not None
        hidden = saved.shape[2] // 5
        o, c = saved[..., 3 * hidden : 4 * hidden], saved[..., 4 * hidden :]
        m = k.binary("mul", o, k.unary("tanh", c))
        return self.layout.rows(m if m.dtype == self.y.dtype else k.cast(m, self.y.dtype))


# ---- in Tensor operations ----------------------------------------------------------------------


def composed(
    x: Tensor, lengths: Tensor | None, flat: Sequence[Any], cell: str, batch_first: bool
) -> tuple[Tensor, ...]:
    """What `Recurrent` computes, step by step in Tensor operations and the accumulation dtype."""
    dtype, wide = x.dtype, dtypes.accumulation(x.dtype)
    x = x.transpose(0, 1) if batch_first else x
    ys, states = [], []
    for i, part in enumerate(directions(flat)):
        own = Direction(*[None if a is None else a.to(wide) for a in part])
        y, *last = _walk(x.to(wide), lengths, own, cell, i == 1)
        ys.append(y)
        states += [s.to(dtype) for s in last]
    y = ys[0] if len(ys) == 1 else cat(ys, 2)
    return ((y.transpose(0, 1) if batch_first else y).to(dtype), *states)


def _walk(
    x: Tensor, lengths: Tensor | None, part: Direction, cell: str, reverse: bool
) -> list[Tensor]:
    """[y, hn] or [y, hn, cn] of one direction."""
    steps, batch = x.shape[:2]
    gates = linear(x, part.w_ih, part.b_ih)
    h = x.new_zeros(batch, part.w_hh.shape[1]) if part.h0 is None else part.h0
    c = part.c0
    if c is None and cell == "lstm":
        c = x.new_zeros(batch, part.w_hh.shape[0] // 4)
    ys: list[Any] = [None] * steps
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        new, new_c = _step(cell, gates[t], linear(h, part.w_hh, part.b_hh), h, c)
        if part.w_hr is not None:
            new = linear(new, part.w_hr)
        ys[t] = new
        if lengths is not None:
            active = (lengths > t).unsqueeze(1)
            ys[t] = where(active, new, 0.0)
            new = where(active, new, h)
            new_c = None if c is None else where(active, new_c, c)
        h, c = new, new_c
    return [stack(ys), h] if c is None else [stack(ys), h, c]


def _step(cell: str, gates: Tensor, u: Tensor, h: Tensor, c: Any) -> tuple[Tensor, Any]:
    """(h before any projection, c) of one step."""
    if cell == "rnn_tanh":
        return (gates + u).tanh(), None
    if cell == "rnn_relu":
        return (gates + u).relu(), None
    if cell == "lstm":
        i, f, g, o = (gates + u).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    (xr, xz, xn), (ur, uz, un) = gates.chunk(3, 1), u.chunk(3, 1)
    r, z = (xr + ur).sigmoid(), (xz + uz).sigmoid()
    n = (xn + r * un).tanh()
    return n + z * (h - n), None
