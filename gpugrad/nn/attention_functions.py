"""Multi-head attention as a function: projections, heads, masks, attention, projection."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import dtype as dtypes
from .. import ops
from ..autograd.function import describe
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.attention import attention
from ..ops.heads import merge_heads, split_heads
from ..ops.operands import check_tensor
from ..tensor import Tensor

NAME = "multi_head_attention"


class Projections(NamedTuple):
    """The parameters: in_weight [3 E, E], or q, k, v_weight [E, E or kdim or vdim]; in_bias [3 E];
    bias_k, bias_v [1, 1, E]: a key and value more; out_weight [E, E], out_bias [E]."""

    heads: int
    in_weight: Tensor | None
    in_bias: Tensor | None
    out_weight: Tensor
    out_bias: Tensor | None
    bias_k: Tensor | None = None
    bias_v: Tensor | None = None
    q_weight: Tensor | None = None
    k_weight: Tensor | None = None
    v_weight: Tensor | None = None


class Options(NamedTuple):
    """What is seen and given back."""

    key_padding_mask: Tensor | None = None
    attn_mask: Tensor | None = None
    need_weights: bool = True
    average_weights: bool = True
    is_causal: bool = False
    zero_attn: bool = False
    dropout: float = 0.0


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    own: Projections,
    options: Options,
    batch_first: bool,
    static: tuple[Tensor | None, Tensor | None] = (None, None),
) -> tuple[Tensor, Tensor | None]:
    """(output, weights or None): query [B, L, E] with batch_first, else [L, B, E]; or [L, E]."""
    _check_inputs(query, key, value, own, batch_first)
    single = query.ndim == 2
    if single:
        batch_first = True
        query, key, value = _with_batch(query, key, value)
        mask = options.key_padding_mask
        if mask is not None:
            options = options._replace(key_padding_mask=mask.unsqueeze(0))
    q, k, v = _project(query, key, value, own, batch_first)
    k, v = (x if s is None else _static(s, q) for x, s in zip((k, v), static, strict=True))
    _check_masks(options, q, k)
    k, v, extra = _more_keys(k, v, own, options.zero_attn)
    o, weights = _weighted(q, k, v, options, extra)
    y = ops.linear(merge_heads(o, batch_first), own.out_weight, own.out_bias)
    if weights is not None and options.average_weights:
        weights = weights.mean(1)
    if single:
        y, weights = y.squeeze(0), None if weights is None else weights.squeeze(0)
    return y, weights


def _with_batch(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With a batch of 1; the same tensors stay the same."""
    q = query.unsqueeze(0)
    k = q if key is query else key.unsqueeze(0)
    return q, k, k if value is key else value.unsqueeze(0)


def _project(
    query: Tensor, key: Tensor, value: Tensor, own: Projections, batch_first: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values [B, H, L, D]: by as few gemms as the inputs are tensors."""
    w, b, e = own.in_weight, own.in_bias, query.shape[-1]
    heads = own.heads
    if w is not None and query is key and key is value:
        q, k, v = split_heads(ops.linear(query, w, b), 3, heads, batch_first)
        return q, k, v
    biases = (None, None, None) if b is None else (b[:e], b[e : 2 * e], b[2 * e :])
    if w is not None and key is value:
        (q,) = split_heads(ops.linear(query, w[:e], biases[0]), 1, heads, batch_first)
        rest = ops.linear(key, w[e:], None if b is None else b[e:])
        k, v = split_heads(rest, 2, heads, batch_first)
        return q, k, v
    if w is not None:
        weights: tuple[Any, Any, Any] = (w[:e], w[e : 2 * e], w[2 * e :])
    else:
        weights = (own.q_weight, own.k_weight, own.v_weight)
    inputs = zip((query, key, value), weights, biases, strict=True)
    q, k, v = (split_heads(ops.linear(*each), 1, heads, batch_first)[0] for each in inputs)
    return q, k, v


def _static(given: Tensor, q: Tensor) -> Tensor:
    """Keys or values [B H, S, D] of the caller's as [B, H, S, D]."""
    b, heads, _, d = q.shape
    if given.ndim != 3 or given.shape[0] != b * heads or given.shape[2] != d:
        raise ShapeError(
            f"{NAME}: static keys and values must be [batch heads, keys, {d}] = [{b * heads}, "
            f"keys, {d}]; got {describe(given)}."
        )
    return given.reshape(b, heads, -1, d)


def _more_keys(
    k: Tensor, v: Tensor, own: Projections, zero_attn: bool
) -> tuple[Tensor, Tensor, int]:
    """k and v with the learned key and with a key of zeros, and how many were added."""
    b, heads, _, d = k.shape
    extra = 0
    if own.bias_k is not None and own.bias_v is not None:
        learned = [
            x.reshape(1, heads, 1, d).expand(b, heads, 1, d) for x in (own.bias_k, own.bias_v)
        ]
        k, v, extra = ops.cat([k, learned[0]], 2), ops.cat([v, learned[1]], 2), 1
    if zero_attn:
        zeros = k.new_zeros(b, heads, 1, d)
        k, v, extra = ops.cat([k, zeros], 2), ops.cat([v, zeros], 2), extra + 1
    return k, v, extra


def _weighted(
    q: Tensor, k: Tensor, v: Tensor, options: Options, extra: int
) -> tuple[Tensor, Tensor | None]:
    """(o [B, H, L, D], weights [B, H, L, S] or None): by the fused kernel unless weights are
    needed."""
    padding, mask = options.key_padding_mask, options.attn_mask
    if options.need_weights:
        hidden = _merged(mask, padding, q, extra)
        scores = (q * q.shape[-1] ** -0.5) @ k.mT
        if hidden is not None and hidden.dtype == dtypes.bool_:
            scores = scores.masked_fill(hidden, -float("inf"))
        elif hidden is not None:
            scores = scores + hidden
        weights = ops.softmax(scores, -1)
        weights = ops.dropout(weights, options.dropout) if options.dropout else weights
        return weights @ v, weights
    causal = options.is_causal and not extra
    merged = _merged(None if causal else mask, padding, q, extra)
    if merged is not None and merged.dtype == dtypes.bool_:
        merged = ops.logical_not(merged)
    return attention(q, k, v, merged, causal=causal, dropout_p=options.dropout), None


def _merged(mask: Any, padding: Any, q: Tensor, extra: int) -> Tensor | None:
    """Both masks as one that broadcasts to [B, H, L, S]: bool, True hides; or added to scores."""
    b, heads, length, _ = q.shape
    if mask is not None and mask.ndim == 3:
        mask = mask.reshape(b, heads, length, -1)
    if padding is not None:
        padding = padding.unsqueeze(1).unsqueeze(1)
    found = [m for m in (mask, padding) if m is not None]
    if not found:
        return None
    if extra:
        found = [ops.cat([m, m.new_zeros(*m.shape[:-1], extra)], -1) for m in found]
    if any(m.dtype != dtypes.bool_ for m in found):
        found = [_added(m, q) for m in found]
        return found[0] if len(found) == 1 else found[0] + found[1]
    return found[0] if len(found) == 1 else ops.logical_or(*found)


def _added(mask: Tensor, q: Tensor) -> Tensor:
    """A mask as numbers to add, in q's dtype: 0, or -infinity where a bool one hides."""
    if mask.dtype != dtypes.bool_:
        return mask if mask.dtype == q.dtype else mask.to(q.dtype)
    return q.new_zeros(mask.shape).masked_fill(mask, -float("inf"))


# ---- what is refused ---------------------------------------------------------------------------


def _check_inputs(query: Any, key: Any, value: Any, own: Projections, batch_first: bool) -> None:
    for x in (query, key, value):
        check_tensor(NAME, x)
    facts = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    order = "[batch, length, embed_dim]" if batch_first else "[length, batch, embed_dim]"
    if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
        raise ShapeError(
            f"{NAME}: query, key and value must be {order}, or all [length, embed_dim] without a "
            f"batch; got {facts}."
        )
    embed = own.out_weight.shape[0]
    sizes = [embed, embed, embed]
    if own.in_weight is None:
        sizes[1:] = [w.shape[1] for w in (own.k_weight, own.v_weight) if w is not None]
    for label, x, size in zip(("query", "key", "value"), (query, key, value), sizes, strict=True):
        if x.shape[-1] != size:
            raise ShapeError(f"{NAME}: {label} must have {size} features, its last axis; {facts}.")
    if key.shape[:-1] != value.shape[:-1]:
        raise ShapeError(f"{NAME}: key and value must be as many; got {facts}.")
    batch = 0 if batch_first else 1
    if query.ndim == 3 and query.shape[batch] != key.shape[batch]:
        raise ShapeError(
            f"{NAME}: query and key, which are {order}, must have one batch size; got {facts}.\n"
            f"  The layer has batch_first={batch_first}."
        )


def _check_masks(options: Options, q: Tensor, k: Tensor) -> None:
    b, heads, length, _ = q.shape
    keys = k.shape[2]
    padding, mask = options.key_padding_mask, options.attn_mask
    for label, m in (("key_padding_mask", padding), ("attn_mask", mask)):
        if m is not None and not (
            check_tensor(f"{NAME}: {label}", m).dtype == dtypes.bool_ or dtypes.is_floating(m.dtype)
        ):
            raise DTypeError(
                f"{NAME}: {label} must be bool (True hides the key) or floating; got "
                f"{describe(m)}.\n  An attention_mask of 1 for tokens and 0 for padding becomes "
                "one by mask == 0."
            )
    if padding is not None and padding.shape != (b, keys):
        raise ShapeError(
            f"{NAME}: key_padding_mask must be [batch, keys] = {(b, keys)}; got "
            f"{tuple(padding.shape)}."
        )
    if mask is not None and mask.shape not in ((length, keys), (b * heads, length, keys)):
        raise ShapeError(
            f"{NAME}: attn_mask must be [queries, keys] = {(length, keys)} or [batch heads, "
            f"queries, keys] = {(b * heads, length, keys)}; got {tuple(mask.shape)}."
        )
    if options.is_causal and mask is None:
        raise ArgumentError(
            f"{NAME}: is_causal=True says that attn_mask is the causal mask; pass it, too: "
            "Transformer.generate_square_subsequent_mask(length)."
        )


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What nn.MultiheadAttention computes, from its parameters: query [L, B, E] or [L, E].

    static_k, static_v [B num_heads, S, E / num_heads]: in place of the projected keys and values.
    Returns (output, weights [B, L, S], or [B, num_heads, L, S] unless averaged, or None).
    Raises ShapeError, DTypeError, ArgumentError.
    """
    embed = query.shape[-1]
    if embed != embed_dim_to_check or embed % num_heads:
        raise ShapeError(
            f"{NAME}: query {tuple(query.shape)} must have {embed_dim_to_check} features, and a "
            f"multiple of num_heads={num_heads}."
        )
    if (bias_k is None) != (bias_v is None):
        raise ArgumentError(f"{NAME}: bias_k and bias_v come together.")
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    if (None in separate) if use_separate_proj_weight else in_proj_weight is None:
        raise ArgumentError(
            f"{NAME}: in_proj_weight must be given, or with use_separate_proj_weight=True "
            "q_proj_weight, k_proj_weight and v_proj_weight."
        )
    own = Projections(
        num_heads,
        None if use_separate_proj_weight else in_proj_weight,
        in_proj_bias,
        out_proj_weight,
        out_proj_bias,
        bias_k,
        bias_v,
        *separate,
    )
    options = Options(
        key_padding_mask,
        attn_mask,
        need_weights,
        average_attn_weights,
        is_causal,
        add_zero_attn,
        dropout_p if training else 0.0,
    )
    return attend(query, key, value, own, options, False, (static_k, static_v))
