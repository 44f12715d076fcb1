"""Attention: softmax(scale q k^T + bias) v by one fused kernel, and rotary positions.

With p the probabilities, z dropout's factor, dp = (dy v^T) z and delta the row sums of dy y:
    ds = p (dp - delta);  dq = scale ds k,  dk = scale ds^T q,  dv = (p z)^T dy,  dbias = ds
The matrix of scores is never stored, but for dbias where that is wanted, and under create_graph.
Dao et al. 2022; Dao 2023.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.composed import through
from ..autograd.function import Function, describe, mixed_devices
from ..autograd.modes import MODE
from ..backends.base import AttentionOptions
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..random import generator_of
from ..tensor import Tensor
from .operands import check_tensor, demand_floating
from .probability import softmax
from .sampling import Dropout
from .selection import where

LARGEST_HEAD = 256


class Attention(Function):
    """q [B, H, M, D], k and v [B, G, N, D], bias None or broadcast to [B, H, M, N]."""

    def forward(self, q: Any, k: Any, v: Any, bias: Any, options: AttentionOptions) -> Any:
        self.options = options = options._replace(bias=bias)
        o, lse = self.kernels.attention(q, k, v, options)
        self.save(q, k, v, bias, o, lse)
        return o

    def backward(self, dy: Tensor) -> Any:
        q, k, v, bias, o, lse = self.saved
        if MODE.grad:
            options = self.options

            def again(q: Tensor, k: Tensor, v: Tensor, bias: Any) -> Tensor:
                return composed(q, k, v, bias, options)

            return tuple(through(again, (q, k, v, bias), (dy,)))
        grads = self.kernels.attention_grad(
            dy.array, q.array, k.array, v.array, o.array, lse.array, self.options, self.needs(3)
        )
        tensors = [None if g is None else Tensor(g, dy.backend) for g in grads]
        if tensors[3] is not None:
            tensors[3] = tensors[3].sum_to_size(bias.shape).to(bias.dtype)
        return tuple(tensors)


class Rotary(Function):
    """(a, b) -> (a c - b s, b c + a s) for pairs of x;  dx is the rotation back, of dy."""

    def forward(self, x: Any, cos: Any, sin: Any, interleaved: bool, inverse: bool) -> Any:
        self.options = {"interleaved": interleaved, "inverse": not inverse}
        self.save(cos, sin)
        return self.kernels.rotary(x, cos, sin, interleaved, inverse)

    def backward(self, dy: Tensor) -> Any:
        cos, sin = self.saved
        return Rotary.apply(dy, cos, sin, **self.options), None, None


def _visible(q: Tensor, k: Tensor, options: AttentionOptions) -> np.ndarray[Any, Any] | None:
    """bool [B or 1, 1, M, N], on the host: lengths, packed sequences and window; None for all."""
    m, n = q.shape[2], k.shape[2]
    i, j = np.arange(m)[:, None], np.arange(n)
    shift: Any = n - m if options.align_end else 0
    mask = np.ones((1, 1, m, n), bool)
    to_numpy = q.backend.to_numpy
    if options.k_lengths is not None:
        lengths = np.clip(to_numpy(options.k_lengths), 0, n).reshape(-1, 1, 1, 1)
        mask = j < lengths
        shift = lengths - m if options.align_end else 0
    if options.q_offsets is not None:
        starts, ends = to_numpy(options.q_offsets), to_numpy(options.k_offsets)
        of_q = np.searchsorted(starts, i, "right") - 1
        of_k = np.searchsorted(ends, j, "right") - 1
        mask = (of_q == of_k)[None, None]
        i, j = i - starts[of_q], j - ends[of_k]
        if options.align_end:
            shift = (np.diff(ends) - np.diff(starts))[np.minimum(of_q, len(starts) - 2)]
    elif options.k_lengths is None and options.left < 0 and options.right < 0:
        return None
    distance = j - (i + shift)
    if options.left >= 0:
        mask = mask & (distance >= -options.left)
    if options.right >= 0:
        mask = mask & (distance <= options.right)
    return np.broadcast_to(mask, np.broadcast_shapes(mask.shape, (1, 1, m, n)))


def composed(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, options: AttentionOptions
) -> Tensor:
    """Attention in Tensor operations; stores the matrix of scores. v may have a width of its own.

    Hidden scores become the smallest finite number, and their probabilities 0: a query that sees
    no key gives 0, and no NaN comes near the gradient.
    """
    group = q.shape[1] // max(k.shape[1], 1)
    if group != 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    wide = dtypes.accumulation(q.dtype)
    scores = (q.to(wide) * options.scale) @ k.to(wide).mT
    visible = _visible(q, k, options)
    mask = None if visible is None else Tensor(q.backend.from_numpy(visible), q.backend)
    if bias is not None and bias.dtype == dtypes.bool_:
        mask = bias if mask is None else mask & bias
    elif bias is not None:
        finite = bias != -float("inf")
        scores = scores + where(finite, bias, 0.0).to(wide)
        mask = finite if mask is None else mask & finite
    if mask is not None:
        scores = where(mask, scores, float(np.finfo(wide).min))
    p = softmax(scores, -1)
    if mask is not None:
        p = p * mask.to(wide)
    if options.state is not None:
        p = Dropout.apply(p, p=options.dropout, state=options.state, call=options.call)
    return (p @ v.to(wide)).to(q.dtype)


def _check_inputs(name: str, q: Any, k: Any, v: Any) -> None:
    for x in (q, k, v):
        demand_floating(name, check_tensor(name, x))
    facts = f"query {describe(q)}, key {describe(k)}, value {describe(v)}"
    if k.backend is not q.backend or v.backend is not q.backend:
        raise DeviceError(mixed_devices(name, (q, k, v)))
    if k.dtype != q.dtype or v.dtype != q.dtype:
        raise DTypeError(f"{name}: query, key and value must have one dtype; got {facts}.")
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(f"{name}: query, key and value need at least 2 axes; got {facts}.")
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(
            f"{name}: query and key must have one head size, their last axis; got {facts}."
        )
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(f"{name}: key and value must be as many; got {facts}.")


def _heads(name: str, q: Tensor, k: Tensor, v: Tensor, grouped: bool) -> tuple[int, ...]:
    """The leading axes of the result. Raises ShapeError where they do not fit."""
    facts = f"query {tuple(q.shape)}, key {tuple(k.shape)}, value {tuple(v.shape)}"
    if grouped:
        fit = q.ndim == k.ndim == v.ndim >= 3 and k.shape[:-2] == v.shape[:-2]
        if not fit or q.shape[:-3] != k.shape[:-3] or q.shape[-3] % max(k.shape[-3], 1):
            raise ShapeError(
                f"{name}: with enable_gqa the heads of query, axis -3, must be a multiple of those "
                f"of key and value, other leading axes equal; got {facts}."
            )
        return q.shape[:-2]
    try:
        return np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except ValueError:
        hint = " For fewer heads of key and value pass enable_gqa=True." if q.ndim > 2 else ""
        raise ShapeError(
            f"{name}: the leading axes of query, key and value do not broadcast; got {facts}.{hint}"
        ) from None


def _four(x: Tensor, leading: tuple[int, ...]) -> Tensor:
    """x [leading..., L, D] as [B, H, L, D]."""
    if x.shape[:-2] != leading:
        x = x.expand(*leading, *x.shape[-2:])
    if x.ndim == 4:
        return x
    heads = leading[-1] if leading else 1
    return x.reshape(prod(leading[:-1]), heads, *x.shape[-2:])


def _mask(name: str, mask: Any, q: Tensor, leading: tuple[int, ...], keys: int) -> Tensor:
    """The mask as [B, H, M, N] by strides of 0."""
    wide = dtypes.accumulation(q.dtype)
    if check_tensor(name, mask).dtype not in (dtypes.bool_, q.dtype, wide):
        raise DTypeError(
            f"{name}: attn_mask must be bool, or have query's dtype; got {describe(mask)}, query "
            f"{describe(q)}."
        )
    if mask.backend is not q.backend:
        raise DeviceError(mixed_devices(name, (q, mask)))
    shape = (*leading, q.shape[-2], keys)
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: attn_mask {tuple(mask.shape)} does not broadcast to {shape}, a score for "
            f"each query and key; query {tuple(q.shape)}, {keys} keys.\n"
            "  A mask [batch, keys] needs two axes more: mask[:, None, None, :]."
        )
    return _four(mask.expand(*shape), leading)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    align_end: bool = False,
    key_lengths: Tensor | None = None,
    query_offsets: Tensor | None = None,
    key_offsets: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale query key^T + mask) value over the keys that a query sees; beyond PyTorch.

    query [..., heads, M, D], key and value [..., heads, N, D]; with enable_gqa the heads of key and
    value may be fewer. As scaled_dot_product_attention, and:
    causal: query i sees keys up to i; with align_end up to i + N - M, so that the last query sees
    all (decoding with a cache). window (left, right): keys i - left to i + right; -1: no bound.
    key_lengths int [batch]: keys beyond are padding. query_offsets, key_offsets int [S + 1]: S
    sequences packed one after another along M and N, batch 1; each sees its own keys alone.
    A query that sees no key gives 0. Raises ShapeError, DTypeError, DeviceError, ArgumentError.
    """
    name = "attention"
    if AUTOCAST.on:
        values = (query, key, value, attn_mask)
        query, key, value, attn_mask = AUTOCAST.cast(name, *values)
    _check_inputs(name, query, key, value)
    if not 0.0 <= dropout_p <= 1.0:
        raise ArgumentError(f"{name}: dropout_p must be in [0, 1], got {dropout_p}.")
    leading = _heads(name, query, key, value, enable_gqa)
    of_k = key.shape[:-2] if enable_gqa else leading
    q, k, v = _four(query, leading), _four(key, of_k), _four(value, of_k)
    bias = None if attn_mask is None else _mask(name, attn_mask, query, leading, key.shape[-2])
    options = AttentionOptions(
        q_offsets=_counts(name, "query_offsets", query_offsets, q),
        k_offsets=_counts(name, "key_offsets", key_offsets, q),
        k_lengths=_counts(name, "key_lengths", key_lengths, q),
        left=int(window[0]),
        right=0 if causal else int(window[1]),
        align_end=align_end,
        scale=float(q.shape[-1] ** -0.5 if scale is None else scale),
    )
    if (query_offsets is None) != (key_offsets is None):
        raise ArgumentError(f"{name}: query_offsets and key_offsets come together.")
    if dropout_p > 0:
        state, call = generator_of(None, q.backend).draw(q.backend)
        options = options._replace(dropout=float(dropout_p), state=state, call=call)
    if q.shape[-1] == v.shape[-1] and 0 < q.shape[-1] <= LARGEST_HEAD:
        o = Attention.apply(q, k, v, bias, options=options)
    else:
        o = composed(q, k, v, bias, options)
    return o if query.ndim == 4 == len(leading) + 2 else o.reshape(*leading, *o.shape[-2:])


def _counts(name: str, label: str, x: Tensor | None, q: Tensor) -> Any:
    """An int32 vector on q's device."""
    if x is None:
        return None
    if check_tensor(name, x).ndim != 1 or dtypes.is_floating(x.dtype):
        raise ShapeError(f"{name}: {label} must be a vector of integers; got {describe(x)}.")
    if x.backend is not q.backend:
        raise DeviceError(mixed_devices(name, (q, x)))
    return x.detach().to(dtypes.int32).array


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale query key^T + attn_mask) value; the matrix of scores is not stored.

    query [..., L, E], key [..., S, E], value [..., S, Ev], leading axes broadcast -> [..., L, Ev].
    attn_mask broadcasts to [..., L, S]: bool (False hides the key) or added to the scores.
    is_causal: query i sees keys 0 to i. scale: 1 / sqrt(E) unless given. dropout_p drops
    probabilities, training or not. enable_gqa: key and value have fewer heads (axis -3).
    Heads wider than 256, and Ev != E, are composed of matrix products. Vaswani et al. 2017.
    Raises ShapeError, DTypeError, DeviceError; ArgumentError for attn_mask with is_causal.
    """
    if is_causal and attn_mask is not None:
        raise ArgumentError(
            "scaled_dot_product_attention: attn_mask and is_causal=True exclude each other.\n"
            "  Put the causal mask into attn_mask: mask & gg.ones(L, S, dtype=gg.bool).tril()."
        )
    return attention(
        query,
        key,
        value,
        attn_mask,
        causal=is_causal,
        dropout_p=dropout_p,
        scale=scale,
        enable_gqa=enable_gqa,
    )


def rotary(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    """x [..., L, D] with pairs of its last axis turned by angles: rotary positions.

    cos, sin [..., L, r / 2], r <= D even, broadcast to x's leading axes. Pairs are (i, i + r / 2),
    or (2 i, 2 i + 1) where `interleaved`; what lies beyond r stays. Su et al. 2021.
    Raises ShapeError where they do not fit. Angles get no gradient.
    """
    name = "rotary"
    for t in (x, cos, sin):
        demand_floating(name, check_tensor(name, t))
    if cos.backend is not x.backend or sin.backend is not x.backend:
        raise DeviceError(mixed_devices(name, (x, cos, sin)))
    half = cos.shape[-1] if cos.ndim else 0
    shape = (*x.shape[:-1], half)
    if cos.shape != sin.shape or x.ndim < 1 or 2 * half > x.shape[-1]:
        raise ShapeError(
            f"{name}: cos and sin must be [..., r / 2] with r at most x's last axis; got x "
            f"{tuple(x.shape)}, cos {tuple(cos.shape)}, sin {tuple(sin.shape)}."
        )
    wide = dtypes.accumulation(x.dtype)
    angles = [t.detach().to(wide).expand(*shape) for t in (cos, sin)]
    return Rotary.apply(x, *angles, interleaved=interleaved, inverse=False)
