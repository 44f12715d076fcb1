"""The cases of text: embedding, recurrence, attention.

Imported at the end of cases.py, whose list they join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np
from cases import case, family
from inputs import Sample, between, booleans, distinct, integers, normal, together

# ---- embedding ---------------------------------------------------------------------------------

family("embedding")


def embedding(label: str, inputs: Sequence[Sample], **options: Any) -> None:
    """Sums of at most 60 terms, in any order: 2 * 60 epsilons."""
    case(label, lambda t, f, w, i: f.embedding(i, w, **options), inputs, rtol=120)


TABLES = normal((7, 5), (6, 3), (3, 70), (4, 2), (5, 3))
READ = [
    *integers(0, 7)((3, 4)),
    *integers(0, 6)(()),
    *integers(0, 2)((60,)),
    *integers(0, 4)((2, 0)),
    *integers(0, 5)((2, 3, 2)),
]
embedding("embedding", together(TABLES, READ))
# Finite differences see a row that autograd leaves out: padding is a row that is not read.
embedding("embedding_padding", together(normal((5, 3)), integers(0, 4)((2, 6))), padding_idx=-1)

STARTS = [(np.array([0, 2, 2, 5]),)]
BAGS = together(normal((6, 5)), integers(0, 6)((8,)), STARTS)
BEST = together(distinct((6, 5)), integers(0, 6)((8,)), STARTS)
ROWS_OF_BAGS = together(normal((6, 3), (9, 66)), integers(0, 6)((4, 2), (3, 9)))


def bags(label: str, inputs: Sequence[Sample], **options: Any) -> None:
    """Sums of at most 27 products; PyTorch has no second derivative of bags."""
    case(
        label,
        lambda t, f, w, i, *offsets: f.embedding_bag(i, w, *offsets, **options),
        inputs,
        rtol=60,
        grad_order=1,
    )


for _mode in ("sum", "mean"):
    bags(f"embedding_bag_{_mode}", [*BAGS, *ROWS_OF_BAGS], mode=_mode)
bags("embedding_bag_max", BEST, mode="max")
case(
    "embedding_bag_weighted",
    lambda t, f, w, s, i, offsets: f.embedding_bag(i, w, offsets, mode="sum", per_sample_weights=s),
    together(normal([(6, 5), (8,)]), integers(0, 6)((8,)), STARTS),
    rtol=60,
    grad_order=1,
)

# ---- recurrence --------------------------------------------------------------------------------

family("recurrence")
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


def joined(t: ModuleType, results: Sequence[Any]) -> Any:
    """All results as one vector, each with a weight of its own."""
    return t.cat([y.flatten() * (1 + 0.5 * i) for i, y in enumerate(results)])


def network(cell: str, layers: int = 1, both: bool = False, batch_first: bool = False,
            biases: bool = True) -> Callable[..., Any]:  # fmt: skip
    """t.lstm(x, (h0, c0), params, ...), t.gru(x, h0, params, ...), and so on."""
    states = 2 if cell == "lstm" else 1

    def function(t: ModuleType, f: ModuleType, x: Any, *rest: Any) -> Any:
        hx, params = rest[:states], rest[states:]
        options = (biases, layers, 0.0, False, both, batch_first)
        hx = hx if states == 2 else hx[0]
        return joined(t, getattr(t, cell)(x, hx, params, *options))

    return function


def shapes(cell: str, sizes: tuple[int, int, int, int], layers: int = 1, both: bool = False,
           biases: bool = True, projection: int = 0) -> list[tuple[int, ...]]:  # fmt: skip
    """Of x, the states and the parameters, from (T, B, I, H)."""
    steps, batch, size, hidden = sizes
    width, count, gates = projection or hidden, layers * (1 + both), GATES[cell] * hidden
    found = [(steps, batch, size), (count, batch, width)]
    if cell == "lstm":
        found.append((count, batch, hidden))
    for layer in range(layers):
        for _ in range(1 + both):
            found += [(gates, width * (1 + both) if layer else size), (gates, width)]
            found += [(gates,), (gates,)] if biases else []
            found += [(width, hidden)] if projection else []
    return found


weights = between(-0.5, 0.5)
# Relative to the largest value, a step rounds I + H products and ten times more, 5 steps pass it
# on, at most doubled by both directions or layers: 2 * 5 * (5 + 18 + 10) * 2 epsilons.
ROUNDINGS = 660


def off_the_kink(sample: Sample) -> Sample:
    """Biases of 3 and -3 in turn beside small weights: no sum is near 0, the kink of relu."""
    return tuple(
        0.4 * x + 1.5 * (1 - 2 * (np.arange(len(x)) % 2)) if x.ndim == 1 else 0.4 * x
        for x in sample
    )


def recurrence(label: str, cell: str, *sizes: tuple[int, int, int, int], **options: Any) -> None:
    batch_first = options.pop("batch_first", False)
    projection = options.pop("projection", 0)
    samples = [weights(shapes(cell, s, projection=projection, **options))[0] for s in sizes]
    if cell == "rnn_relu":
        samples = [off_the_kink(sample) for sample in samples]
    if batch_first:
        samples = [(x.swapaxes(0, 1).copy(), *rest) for x, *rest in samples]
    function = network(cell, batch_first=batch_first, **options)
    case(label, function, samples, rtol=ROUNDINGS)


SMALL, LARGE = (3, 2, 2, 2), (4, 3, 5, 18)
for _cell in GATES:
    recurrence(_cell, _cell, SMALL, LARGE, (1, 1, 3, 2))
    recurrence(f"{_cell}_bidirectional", _cell, (2, 2, 3, 1), LARGE, both=True, batch_first=True)
    recurrence(f"{_cell}_layers", _cell, (3, 2, 2, 2), layers=2)
    recurrence(f"{_cell}_without_bias", _cell, SMALL, biases=False)
recurrence("lstm_projection", "lstm", (3, 2, 2, 3), (4, 3, 5, 9), projection=2)


def packed(cell: str) -> Callable[..., Any]:
    """Samples of 5, 3 and 1 steps."""

    def function(t: ModuleType, f: ModuleType, data: Any, *rest: Any) -> Any:
        states = 2 if cell == "lstm" else 1
        hx = rest[:states] if states == 2 else rest[0]
        sizes = t.tensor([3, 2, 2, 1, 1])
        options = (True, 1, 0.0, False, True)
        return joined(t, getattr(t, cell)(data, sizes, hx, rest[states:], *options))

    return function


for _cell in GATES:
    _shapes = [(9, 3), *shapes(_cell, (5, 3, 3, 1), both=True)[1:]]
    case(f"{_cell}_packed", packed(_cell), weights(_shapes), rtol=ROUNDINGS)


def single(cell: str) -> Callable[..., Any]:
    """t.lstm_cell(x, (h, c), w_ih, w_hh, b_ih, b_hh), and so on."""

    def function(t: ModuleType, f: ModuleType, x: Any, *rest: Any) -> Any:
        if cell == "lstm":
            return joined(t, t.lstm_cell(x, rest[:2], *rest[2:]))
        return getattr(t, f"{cell}_cell")(x, *rest)

    return function


for _cell in GATES:
    _shapes = [s[1:] if len(s) == 3 else s for s in shapes(_cell, (1, 3, 4, 2))]
    case(f"{_cell}_cell", single(_cell), weights(_shapes), rtol=ROUNDINGS)

# ---- attention ---------------------------------------------------------------------------------

family("attention")


def differentiable_twice(t: ModuleType) -> Any:
    """PyTorch's fused attention has no second derivative; its composed one has."""
    if t.__name__ != "torch":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def attention(label: str, inputs: Sequence[Sample], **options: Any) -> None:
    """Scores are sums of D <= 16 products, results sums of N <= 35, gradients of both; softmax
    passes an error of the scores on once: 4 * (16 + 35) epsilons, for two implementations."""

    def function(t: ModuleType, f: ModuleType, *tensors: Any) -> Any:
        q, k, v, *mask = tensors
        with differentiable_twice(t):
            return f.scaled_dot_product_attention(q, k, v, *mask, **options)

    case(label, function, inputs, rtol=204)


def heads(b: int, h: int, m: int, n: int, d: int) -> list[tuple[int, ...]]:
    return [(b, h, m, d), (b, h, n, d), (b, h, n, d)]


def visible(*shape: int) -> list[Sample]:
    """A mask in which each query sees the first key at least."""
    ((mask,),) = booleans(shape)
    mask[..., 0] = True
    return [(mask,)]


QKV = normal(heads(1, 2, 3, 4, 4), heads(2, 2, 17, 20, 16), heads(1, 1, 33, 9, 5))
attention("scaled_dot_product_attention", QKV)
attention(
    "scaled_dot_product_attention_causal",
    normal(heads(1, 2, 4, 4, 3), heads(1, 2, 35, 35, 16), heads(1, 1, 3, 5, 4)),
    is_causal=True,
)
attention("scaled_dot_product_attention_scaled", QKV[:1], scale=0.3)
attention(
    "scaled_dot_product_attention_hidden",
    [*together(QKV[:1], visible(3, 4)), *together(QKV[1:2], visible(2, 1, 17, 20))],
)
attention(
    "scaled_dot_product_attention_biased",
    normal([*heads(1, 2, 3, 4, 4), (3, 4)], [*heads(1, 3, 17, 20, 8), (3, 17, 20)]),
)
attention(
    "scaled_dot_product_attention_grouped",
    normal(
        [(1, 4, 3, 2), (1, 2, 5, 2), (1, 2, 5, 2)], [(2, 6, 9, 8), (2, 2, 11, 8), (2, 2, 11, 8)]
    ),
    enable_gqa=True,
)
attention(
    "scaled_dot_product_attention_wide",
    normal([(2, 3, 4), (2, 5, 4), (2, 5, 6)], [(3, 4), (5, 4), (5, 4)]),
)


def multi_head(label: str, need_weights: bool) -> None:
    """Self-attention of length 3 (9), batch 2, E = 4 (8), 2 heads; sums of at most 32 terms, four
    one after the other."""

    def function(t: ModuleType, f: ModuleType, x: Any, w: Any, b: Any, wo: Any, bo: Any) -> Any:
        inputs = (x, x, x, x.shape[2], 2, w, b, None, None, False, 0.0, wo, bo)
        with differentiable_twice(t):
            y, p = f.multi_head_attention_forward(*inputs, need_weights=need_weights)
        return y if p is None else joined(t, [y, p])

    samples = normal(
        *([(n, 2, e), (3 * e, e), (3 * e,), (e, e), (e,)] for n, e in ((3, 4), (9, 8)))
    )
    case(label, function, samples, rtol=512)


multi_head("multi_head_attention_forward", False)
multi_head("multi_head_attention_forward_weights", True)

# ---- beyond PyTorch, which spells it out --------------------------------------------------------


def restricted(label: str, inputs: Sequence[Sample], mask: Callable, **options: Any) -> None:
    """Attention with options that say which keys are seen; for PyTorch `mask(M, N)` does."""

    def function(t: ModuleType, f: ModuleType, q: Any, k: Any, v: Any) -> Any:
        if hasattr(f, "attention"):
            own = {
                n: t.tensor(x, device=q.device) if isinstance(x, list) else x
                for n, x in options.items()
            }
            return f.attention(q, k, v, **own)
        with differentiable_twice(t):
            shown = t.tensor(mask(q.shape[-2], k.shape[-2]))
            return f.scaled_dot_product_attention(q, k, v, shown)

    case(label, function, inputs, rtol=204)


def distance(m: int, n: int, shift: int = 0) -> np.ndarray:
    """j - (i + shift) of queries i and keys j."""
    return np.arange(n) - (np.arange(m)[:, None] + shift)


def within(m: int, n: int) -> np.ndarray:
    d = distance(m, n)
    return (d >= -2) & (d <= 1)


def packed_mask(m: int, n: int) -> np.ndarray:
    """Sequences of 2 and 3 queries, 3 and 4 keys; causal, their last rows aligned."""
    seen = np.zeros((m, n), bool)
    seen[:2, :3] = distance(2, 3, 1) <= 0
    seen[2:, 3:] = distance(3, 4, 1) <= 0
    return seen


family("attention")
restricted("attention_window", normal(heads(1, 2, 6, 5, 4)), within, window=(2, 1))
restricted(
    "attention_causal_to_the_end",
    normal(heads(2, 1, 3, 5, 4)),
    lambda m, n: distance(m, n, n - m) <= 0,
    causal=True,
    align_end=True,
)
restricted(
    "attention_key_lengths",
    normal(heads(2, 1, 2, 5, 3)),
    lambda m, n: (np.arange(n) < np.array([[2], [5]])).reshape(2, 1, 1, n),
    key_lengths=[2, 5],
)
restricted(
    "attention_packed",
    normal(heads(1, 2, 5, 7, 4)),
    packed_mask,
    query_offsets=[0, 2, 5],
    key_offsets=[0, 3, 7],
    causal=True,
    align_end=True,
)


def turned(interleaved: bool) -> Callable:
    """Pairs of the first six of eight, by angles of the positions."""

    def function(t: ModuleType, f: ModuleType, x: Any) -> Any:
        angles = np.outer(np.arange(x.shape[-2]), 0.5 ** np.arange(3))
        cos, sin = (t.tensor(fn(angles), device=x.device).to(x.dtype) for fn in (np.cos, np.sin))
        if hasattr(f, "rotary"):
            return f.rotary(x, cos, sin, interleaved=interleaved)
        a, b = (x[..., 0:6:2], x[..., 1:6:2]) if interleaved else (x[..., :3], x[..., 3:6])
        pair = [a * cos - b * sin, b * cos + a * sin]
        first = t.stack(pair, -1).flatten(-2) if interleaved else t.cat(pair, -1)
        return t.cat([first, x[..., 6:]], -1)

    return function


case("rotary", turned(False), normal((2, 3, 4, 8), (5, 8)))
case("rotary_interleaved", turned(True), normal((2, 3, 4, 8), (3, 8)))

family("normalisation")


def with_sum(t: ModuleType, y: Any, s: Any) -> Any:
    return t.stack([y, s])


case(
    "add_layer_norm",
    lambda t, f, x, r, w, b: (
        with_sum(t, *f.add_layer_norm(x, r, (x.shape[-1],), w, b))
        if hasattr(f, "add_layer_norm")
        else with_sum(t, f.layer_norm(x + r, (x.shape[-1],), w, b), x + r)
    ),
    normal([(3, 5), (3, 5), (5,), (5,)], [(2, 3, 9), (2, 3, 9), (9,), (9,)]),
    rtol=512,
)
case(
    "add_rms_norm",
    lambda t, f, x, r, w: (
        with_sum(t, *f.add_rms_norm(x, r, (x.shape[-1],), w, 1e-5))
        if hasattr(f, "add_rms_norm")
        else with_sum(t, f.rms_norm(x + r, (x.shape[-1],), w, 1e-5), x + r)
    ),
    normal([(3, 5), (3, 5), (5,)], [(2, 3, 9), (2, 3, 9), (9,)]),
    rtol=512,
)

family("softmax and losses")
CLASSES = normal([(6, 5), (7, 5), (7,)])
CHOSEN = integers(0, 7)((6,))


def linear_loss(label: str, **options: Any) -> None:
    """Logits are sums of 5 products, losses of 7 exponentials, gradients of 7 and 6 products."""
    case(
        label,
        lambda t, f, x, w, b, target: f.linear_cross_entropy(
            x, w, target, linear_bias=b, **options
        ),
        together(CLASSES, CHOSEN),
        rtol=128,
    )


linear_loss("linear_cross_entropy")
linear_loss("linear_cross_entropy_sum", reduction="sum", ignore_index=2)
linear_loss("linear_cross_entropy_none", reduction="none", label_smoothing=0.1)
