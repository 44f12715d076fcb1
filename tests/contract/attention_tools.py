"""Inputs of attention in every shape, and how far a correct result may be from the specification.

Tolerances. eps is the spacing at 1 of the accumulation dtype, `walk(n)` eps times the ulps that a
sum of n terms may be off. A score is off by e = walk(D) scale |q| |k| and three roundings of itself
and of its bias. A probability is exp(score - lse) or exp(score - largest) / sum: relative to
itself it is off by the errors of the score and of what is taken from it (another score of the row,
or lse, which is a mean of scores: the row's largest e bounds both), by eps times the exponent, and
by the sum's own walk(N). float16 and bfloat16 round what meets v or dO, and ds, once more: half an
ulp, and at the least half of float16's smallest subnormal. Errors of factors add up, and a sum of N
products is off by the errors of its terms and walk(N) of their magnitudes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from contract_tools import check, epsilon, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference
from gpugrad.backends.base import AttentionOptions
from gpugrad.backends.reference.attention import seen
from gpugrad.backends.reference.random import unit24

STATE = np.array([12345, 2**40 + 7])
HALF_ULP = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
SMALLEST = {"float16": 2.0**-25, "bfloat16": 2.0**-134}


@dataclass
class Case:
    """One call. `bias`: dtype and shape; offsets and lengths: numbers; `layout` of q, k, v, dO."""

    shape: tuple[int, int, int, int, int, int]  # B, H, G, M, N, D
    layout: str = "contiguous"
    bias: tuple[str, tuple[int, ...]] | None = None
    q_offsets: list[int] | None = None
    k_offsets: list[int] | None = None
    k_lengths: list[int] | None = None
    dropout: float = 0.0
    scale: float | None = None
    window: dict[str, Any] = field(default_factory=dict)  # left, right, align_end

    def options(self) -> AttentionOptions:
        def integers(x: list[int] | None) -> np.ndarray | None:
            return None if x is None else np.array(x, np.int32)

        bias = None
        if self.bias is not None:
            bias = values(self.bias[1], self.bias[0], 11)
        size = self.shape[5]
        return AttentionOptions(
            bias=bias,
            q_offsets=integers(self.q_offsets),
            k_offsets=integers(self.k_offsets),
            k_lengths=integers(self.k_lengths),
            scale=1 / np.sqrt(size) if self.scale is None else self.scale,
            dropout=self.dropout,
            state=STATE if self.dropout else None,
            call=5 if self.dropout else 0,
            **self.window,
        )

    def scores(self) -> tuple[int, ...]:
        batch, heads, _, m, n, _ = self.shape
        return batch, heads, m, n


def lay_out(backend: Backend, x: np.ndarray, layout: str) -> Any:
    """x [B, heads, rows, D] on the device: its own memory, or as models have it.

    heads: a transposed [B, rows, heads, D]; packed: the second third of [B, rows, 3, heads, D];
    reversed, strided, offset: memory walked backwards, with gaps, off alignment.
    """
    if layout == "heads":
        return backend.from_numpy(x.transpose(0, 2, 1, 3).copy()).transpose(0, 2, 1, 3)
    if layout == "packed":
        rows = x.transpose(0, 2, 1, 3)[:, :, None]
        return backend.from_numpy(np.repeat(rows, 3, axis=2))[:, :, 1].transpose(0, 2, 1, 3)
    if layout == "reversed":
        return backend.from_numpy(x[:, :, ::-1, ::-1].copy())[:, :, ::-1, ::-1]
    if layout == "strided":
        return backend.from_numpy(np.repeat(x, 2, axis=3))[..., ::2]
    if layout == "offset":
        return backend.from_numpy(np.concatenate([x.ravel()[:1], x.ravel()]))[1:].reshape(x.shape)
    return backend.from_numpy(x)


def on_device(backend: Backend, options: AttentionOptions) -> AttentionOptions:
    """The same with its arrays on the device; the bias broadcast to the scores by its caller."""
    names = ("bias", "q_offsets", "k_offsets", "k_lengths", "state")
    arrays = {name: getattr(options, name) for name in names}
    return options._replace(
        **{n: None if x is None else backend.from_numpy(x) for n, x in arrays.items()}
    )


@dataclass
class Inputs:
    """NumPy arrays of a case in its dtype, and those on the device."""

    case: Case
    backend: Backend
    dtype: str

    def __post_init__(self) -> None:
        batch, heads, groups, m, n, d = self.case.shape
        shapes = [(batch, heads, m, d), (batch, groups, n, d), (batch, groups, n, d)]
        self.arrays = [values(s, self.dtype, i) for i, s in enumerate([*shapes, shapes[0]])]
        self.device = [lay_out(self.backend, x, self.case.layout) for x in self.arrays]
        self.exact = self.case.options()
        self.options = on_device(self.backend, self.exact)
        if self.options.bias is not None:
            scores = self.case.scores()
            self.options = self.options._replace(bias=np.broadcast_to(self.options.bias, scores))
        if self.exact.bias is not None:
            self.exact = self.exact._replace(bias=wide(self.exact.bias))

    def widened(self) -> list[np.ndarray]:
        return [wide(x) for x in self.arrays]


class Bounds:
    """Errors that the results of a case may have, from magnitudes of what they are formed from."""

    def __init__(self, inputs: Inputs) -> None:
        self.eps, self.half = epsilon(inputs.dtype), HALF_ULP.get(inputs.dtype, 0.0)
        self.least = SMALLEST.get(inputs.dtype, 0.0)
        q, k, v, dy = (np.abs(x) for x in inputs.widened())
        self.groups = inputs.case.shape[2]
        self.per = inputs.case.shape[1] // max(self.groups, 1)
        self.q, self.dy = q, dy
        self.k, self.v = (np.repeat(x, self.per, axis=1) for x in (k, v))
        options = inputs.exact
        self.scale = abs(options.scale)
        self.seen = seen(*inputs.widened()[:2], options)
        added = 0.0
        if options.bias is not None and options.bias.dtype != np.bool_:
            added = np.abs(options.bias)
        size = self.scale * self.product(q, self.k) + added
        error = self.walk(q.shape[3]) * self.scale * self.product(q, self.k) + 3 * self.eps * size
        self.score = np.where(self.seen, error, 0)
        self.size = np.where(self.seen, size, 0)  # bounds scores and, but for log N, lse
        keys = self.walk(self.k.shape[2])
        worst = np.max(self.score, axis=3, initial=0, keepdims=True)
        most = np.max(self.size, axis=3, initial=0, keepdims=True) + np.log(self.k.shape[2] + 1)
        self.row = worst + keys + 2 * self.eps * most  # of lse, and of what scores are compared to
        self.relative = 2 * self.row + self.score + 2 * self.eps * self.size + 4 * self.eps

    def walk(self, n: int) -> float:
        return self.eps * random_walk(n)

    @staticmethod
    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(a @ b.swapaxes(2, 3))

    def rounded(self, error: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The error of x [B, H, M, N] once it is rounded to the inputs' dtype."""
        return np.where(self.seen, error + self.half * x + self.least, 0)

    def summed(self, error: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of x y, x with that error: [B, H, M, N] by [B, H, N, D]."""
        return np.asarray((error + self.walk(x.shape[3]) * x) @ y)

    def forward(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(of o, of lse); p: the probabilities times dropout's factor."""
        # Probabilities are rounded before they are divided by their sum, 1 at the least.
        return self.summed(self.rounded(self.relative * p, p), p, self.v), self.row[..., 0]

    def backward(
        self, p: np.ndarray, z: np.ndarray, dp: np.ndarray, delta: np.ndarray, o: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """(of dq, dk, dv, dbias)."""
        walk = self.walk(self.q.shape[3])
        off_dp = walk * self.product(self.dy, self.v) * z
        off_delta = walk * np.sum(self.dy * np.abs(o), axis=3, keepdims=True)
        size = p * (np.abs(dp) + np.abs(delta))
        off = (self.relative + 3 * self.eps) * size + p * (off_dp + off_delta)
        ds, weights = self.rounded(off, size), self.rounded(self.relative * p * z, p * z)
        return (
            self.scale * self.summed(ds, size, self.k),
            self.scale * self.grouped(self.turned(ds, size, self.q)),
            self.grouped(self.turned(weights, p * z, self.dy)),
            np.where(self.seen, off, 0),
        )

    def turned(self, error: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of x^T y. Heads that share keys are summed too."""
        return np.asarray((error + self.walk(x.shape[2] * self.per) * x).swapaxes(2, 3) @ y)

    def grouped(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x.reshape(x.shape[0], self.groups, self.per, *x.shape[2:]).sum(2))


def hold(backend: Backend, dtype: str, case: Case) -> None:
    """Both directions of a case against the specification in float64."""
    __tracebackhide__ = True
    inputs = Inputs(case, backend, dtype)
    q, k, v, dy = inputs.widened()
    options, bounds = inputs.exact, Bounds(inputs)
    o, lse = reference.attention(q, k, v, options)
    p, z = probabilities(q, k, lse, options)
    off_o, off_lse = bounds.forward(p * z)
    got_o, got_lse = backend.kernels.attention(*inputs.device[:3], inputs.options)
    accumulation = dtypes.accumulation(inputs.arrays[0].dtype)
    check(backend, got_o, o, off_o, dtype)
    check(backend, got_lse, lse, off_lse, accumulation)

    # The gradient gets the same rounded o and lse on both sides.
    rounded = [reference.cast(o, inputs.arrays[0].dtype), reference.cast(lse, accumulation)]
    given = [backend.from_numpy(np.ascontiguousarray(x)) for x in rounded]
    o, lse = (wide(x) for x in rounded)
    bias = case.bias is not None and case.bias[0] != "bool"
    expected = reference.attention_grad(dy, q, k, v, o, lse, options, bias)
    got = backend.kernels.attention_grad(
        inputs.device[3], *inputs.device[:3], *given, inputs.options, bias
    )
    p, z = probabilities(q, k, lse, options)
    dp = bounds.product(dy, np.repeat(v, bounds.per, axis=1)) * z
    delta = np.sum(dy * o, axis=3, keepdims=True)
    limits = bounds.backward(p, z, dp, delta, o)
    for name, a, b, limit in zip(("dq", "dk", "dv", "dbias"), got, expected, limits, strict=True):
        if b is None:
            assert a is None
            continue
        try:
            check(backend, a, b, limit, accumulation if name == "dbias" else dtype)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def probabilities(
    q: np.ndarray, k: np.ndarray, lse: np.ndarray, options: AttentionOptions
) -> tuple[np.ndarray, np.ndarray]:
    """(p, z) [B, H, M, N]: probabilities and dropout's factor."""
    keys = np.repeat(k, q.shape[1] // max(k.shape[1], 1), axis=1)
    scores = options.scale * (q @ keys.swapaxes(2, 3))
    if options.bias is not None and options.bias.dtype != np.bool_:
        scores = scores + options.bias
    hidden = ~seen(q, k, options) | np.isneginf(lse)[..., None]
    with np.errstate(all="ignore"):
        p = np.where(hidden, 0, np.exp(scores - lse[..., None]))
    z = np.ones(p.shape)
    if options.dropout:
        kept = unit24(options.state, options.call, p.shape) >= options.dropout
        z = kept / (1 - options.dropout) if options.dropout < 1 else np.zeros(p.shape)
    return p, z


def hold_unseen_keys(inputs: Inputs, end: int) -> None:
    """NaN in keys and values from `end` on, and in all of the samples after the first, reaches no
    result; their own gradients are 0."""
    __tracebackhide__ = True
    backend = inputs.backend
    q, k, v, dy = inputs.arrays
    for x in (k, v):
        x[0, :, end:] = np.nan
        x[1:] = np.nan
    q, k, v, dy = (backend.from_numpy(x) for x in (q, k, v, dy))
    o, lse = backend.kernels.attention(q, k, v, inputs.options)
    grads = backend.kernels.attention_grad(dy, q, k, v, o, lse, inputs.options, False)
    for x in (o, *grads[:3]):
        assert np.isfinite(wide(backend.to_numpy(x))).all()
    for x in grads[1:3]:
        assert (backend.to_numpy(x)[0, :, end:] == 0).all()
        assert (backend.to_numpy(x)[1:] == 0).all()


def hold_neighbours(backend: Backend, dtype: str, case: Case) -> None:
    """NaN in every second of the packed sequences reaches no result of the others, not a bit."""
    __tracebackhide__ = True

    def results(arrays: list[np.ndarray]) -> list[np.ndarray]:
        q, k, v, dy = (backend.from_numpy(x) for x in arrays)
        o, lse = backend.kernels.attention(q, k, v, inputs.options)
        bias = case.bias is not None
        grads = backend.kernels.attention_grad(dy, q, k, v, o, lse, inputs.options, bias)
        return [wide(backend.to_numpy(x)) for x in (o, *grads) if x is not None]

    inputs = Inputs(case, backend, dtype)
    clean = results(inputs.arrays)
    queries, keys = (
        [slice(*ends) for ends in itertools.pairwise(offsets or [])]
        for offsets in (case.q_offsets, case.k_offsets)
    )
    for x, rows in zip(inputs.arrays, (queries, keys, keys, queries), strict=True):
        for each in rows[1::2]:
            x[:, :, each] = np.nan
    of = (queries, queries, keys, keys, queries)  # o, dq, dk, dv, dbias
    for got, expected, rows in zip(results(inputs.arrays), clean, of, strict=False):
        for each in rows[::2]:
            assert np.isfinite(expected[:, :, each]).all()
            assert (got[:, :, each] == expected[:, :, each]).all()
