"""What each operation of the contract costs: FLOP, and bytes that must be moved, from shapes alone.

One table, `COSTS`. Bytes are the least there is to do: each element of the inputs read once, of the
outputs written once (an axis of stride 0 is one element; what is changed in place is read and
written). FLOP are those of the mathematics: 2 m n k of a product, an element's few of a norm or
softmax, one of any functor, so that time does not look better where a kernel computes more.
None: it depends on values that lie on the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..backends.matmul_precision import SETTING


class Cost(NamedTuple):
    """FLOP, bytes, and of matrix products the kind that `backends.peaks` knows a peak of."""

    flops: int | None
    bytes: int | None
    product: str | None = None


CostOf = Callable[..., Cost]
"""(the result, the arguments of the operation) -> Cost."""


def elements(x: Any) -> int:
    """Elements that lie in memory: those along an axis of stride 0 are one."""
    return math.prod(n for n, step in zip(x.shape, x.strides, strict=True) if step or not n)


def nbytes(*values: Any) -> int:
    """Bytes of the arrays among the values and in their lists, each array once."""
    return sum(elements(x) * x.dtype.itemsize for x in arrays(values))


def arrays(values: Any) -> Iterator[Any]:
    """The different arrays in nested tuples and lists."""
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        x = waiting.pop()
        if isinstance(x, (tuple, list)):
            waiting.extend(x)
        elif hasattr(x, "strides") and id(x) not in seen:
            seen.add(id(x))
            yield x


def streaming(flops: int) -> CostOf:
    """All inputs read and outputs written once, some FLOP for each element of the largest."""

    def cost(result: Any, *args: Any, **options: Any) -> Cost:
        found = list(arrays((result, args, tuple(options.values()))))
        largest = max((x.size for x in found), default=0)
        return Cost(flops * largest, nbytes(found))

    return cost


def stepping(flops: int) -> CostOf:
    """An optimizer: gradients (the second list) read, parameters and state read and written."""

    def cost(result: None, params: Any, grads: Any, *args: Any, **options: Any) -> Cost:
        states = [x for x in (*args, *options.values()) if isinstance(x, (list, tuple))]
        count = sum(g.size for g in grads)
        return Cost(flops * count, nbytes(grads) + 2 * nbytes(params, states))

    return cost


def binary(y: Any, name: str, a: Any, b: Any, out: Any = None) -> Cost:
    """One FLOP, or none; y may be a or b."""
    return Cost(y.size, nbytes(a, b) + nbytes(y))


# ---- matrix products -------------------------------------------------------------------------


def product_of(dtype: Any) -> str:
    """A dtype's name, for float32 with how it is multiplied now."""
    return f"float32 {SETTING.name}" if dtype.name == "float32" else dtype.name


def gemm(
    y: Any,
    a: Any,
    b: Any,
    bias: Any = None,
    act: str = "none",
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Any = None,
    scale: Any = None,
    residual: Any = None,
    dtype: Any = None,
    row_scale: Any = None,
) -> Cost:
    """2 m n k of each matrix; beta reads y, too."""
    read = y if out is not None and beta else None
    moved = nbytes(a, b, bias, scale, row_scale, residual, y) + nbytes(read)
    return Cost(2 * y.size * a.shape[-1], moved, product_of(a.dtype))


def conv_fprop(
    y: Any, x: Any, w: Any, window: Any, shape: Any, bias: Any = None, act: str = "none",
    residual: Any = None,
) -> Cost:  # fmt: skip
    """2 y (C / groups) taps."""
    moved = nbytes(x, w, bias, residual, y)
    return Cost(2 * y.size * math.prod(w.shape[1:]), moved, product_of(x.dtype))


def conv_dgrad(dx: Any, dy: Any, w: Any, window: Any, shape: Any, bias: Any = None) -> Cost:
    """As of conv_fprop: the same products, gathered the other way."""
    return Cost(2 * dy.size * math.prod(w.shape[1:]), nbytes(dy, w, bias, dx), product_of(dy.dtype))


def conv_wgrad(dw: Any, x: Any, dy: Any, window: Any, shape: Any) -> Cost:
    """As of conv_fprop."""
    return Cost(2 * dy.size * math.prod(dw.shape[1:]), nbytes(x, dy, dw), product_of(x.dtype))


def visible(queries: int, keys: int, options: Any) -> int | None:
    """Pairs of query and key that attention looks at; None where lengths lie on the device."""
    if options.q_offsets is not None or options.k_lengths is not None:
        return None
    i = np.arange(queries) + (keys - queries if options.align_end else 0)
    first = np.maximum(0, i - options.left) if options.left >= 0 else np.zeros_like(i)
    last = i + options.right if options.right >= 0 else np.full_like(i, keys - 1)
    return int(np.maximum(0, np.minimum(last, keys - 1) - first + 1).sum())


def _attention(q: Any, k: Any, options: Any, products: int, moved: int) -> Cost:
    pairs = visible(q.shape[2], k.shape[2], options)
    flops = None if pairs is None else 2 * products * q.shape[0] * q.shape[1] * q.shape[3] * pairs
    kind = "float32 exact" if q.dtype.name == "float32" else q.dtype.name
    return Cost(flops, moved, kind)


def attention(result: Any, q: Any, k: Any, v: Any, options: Any) -> Cost:
    """Two products of every pair that is seen."""
    return _attention(q, k, options, 2, nbytes(result, q, k, v, options.bias))


def attention_grad(
    result: Any, d_o: Any, q: Any, k: Any, v: Any, o: Any, lse: Any, options: Any, bias: bool
) -> Cost:
    """Five products of every pair (the scores once more, dv, dp, dk, dq), as it is usually counted;
    two passes compute seven."""
    return _attention(q, k, options, 5, nbytes(result, d_o, q, k, v, o, lse, options.bias))


def recurrent(
    result: Any, cell: str, gates: Any, w: Any, bias: Any, projection: Any, h0: Any, c0: Any,
    lengths: Any, reverse: bool, training: bool, out: Any = None,
) -> Cost:  # fmt: skip
    """Of each step a product with w and with the projection, and 10 FLOP for each gate."""
    steps = gates.shape[0] * gates.shape[1]
    weights = w.size + (0 if projection is None else projection.size)
    moved = nbytes(result, gates, w, bias, projection, h0, c0)
    return Cost(2 * steps * weights + 10 * gates.size, moved, "float32 exact")


def recurrent_grad(
    result: Any, cell: str, dy: Any, dhn: Any, dcn: Any, w: Any, projection: Any, h0: Any, c0: Any,
    lengths: Any, reverse: bool, y: Any, saved: Any,
) -> Cost:  # fmt: skip
    """As of recurrent; the weights' gradients are products of the caller's."""
    weights = w.size + (0 if projection is None else projection.size)
    moved = nbytes(result, dy, dhn, dcn, w, projection, h0, c0, y, saved)
    flops = 2 * y.shape[0] * y.shape[1] * weights + 10 * result[0].size
    return Cost(flops, moved, "float32 exact")


# ---- by index: what is moved is what the indices name ------------------------------------------


def gather(y: Any, x: Any, indices: Any, axis: int = 0) -> Cost:
    """The elements named, not all of x."""
    return Cost(0, 2 * nbytes(y) + nbytes(indices))


def scatter(result: None, name: str, x: Any, indices: Any, values: Any) -> Cost:
    """The places named are written; read, too, unless they are set."""
    rows = math.prod(indices[0].shape) if indices else 1
    count = rows * math.prod(x.shape[len(indices) :])
    touched = count * x.dtype.itemsize
    joined = name != "set"
    moved = nbytes(indices, values) + touched * (2 if joined else 1)
    return Cost(count if joined else 0, moved)


def search_sorted(y: Any, rows: Any, x: Any, right: bool) -> Cost:
    """log2(n) reads an element."""
    reads = x.size * max(1, rows.shape[-1]).bit_length()
    return Cost(0, nbytes(x, y) + min(nbytes(rows), reads * rows.dtype.itemsize))


def embedding(y: Any, weight: Any, index: Any) -> Cost:
    """The rows named."""
    return Cost(0, 2 * nbytes(y) + nbytes(index))


def embedding_grad(
    dw: Any, dy: Any, index: Any, rows: int, row: Any, scale: Any, padding: int, by_count: bool
) -> Cost:
    """Every element of dy is added to one of dw."""
    return Cost(dy.size, nbytes(dw, dy, index, row, scale))


def embedding_renorm(result: None, weight: Any, index: Any, max_norm: float, ord: float) -> Cost:
    """The rows named, read and perhaps written."""
    touched = index.size * weight.shape[-1]
    return Cost(3 * touched, 2 * touched * weight.dtype.itemsize + nbytes(index))


def embedding_bag(
    result: Any, weight: Any, index: Any, offsets: Any, scale: Any, mode: str, padding: int
) -> Cost:
    """The rows named, and a sum."""
    touched = index.size * weight.shape[-1]
    moved = touched * weight.dtype.itemsize + nbytes(result, index, offsets, scale)
    return Cost(touched, moved)


def crop(
    y: Any, x: Any, top: Any, left: Any, flip: Any, size: tuple[int, int], border: str
) -> Cost:
    """The pixels that are shown."""
    return Cost(0, 2 * nbytes(y) + nbytes(top, left, flip))


def resample(y: Any, x: Any, offsets: Any, index: Any, weight: Any, axis: int, dtype: Any) -> Cost:
    """A multiply-add for each term of each line."""
    lines = y.size // max(1, y.shape[axis])
    return Cost(2 * index.size * lines, nbytes(y, x, offsets, index, weight))


def sum_of(y: Any, name: str, x: Any, centre: Any, axes: Any, keepdims: bool) -> Cost:
    """A difference, the function and a sum."""
    return Cost((2 if centre is None else 3) * x.size, nbytes(y, x, centre))


def scale(result: None, xs: Any, factor: Any) -> Cost:
    """Read and written."""
    return Cost(sum(x.size for x in xs), 2 * nbytes(xs))


def unscale(result: None, xs: Any, scale: Any, found: Any) -> Cost:
    """Read and written, and looked at."""
    return Cost(2 * sum(x.size for x in xs), 2 * nbytes(xs))


def global_norm(norm: Any, xs: Any, ord: float) -> Cost:
    """A power and a sum."""
    return Cost(2 * sum(x.size for x in xs), nbytes(xs))


_MOVES = "cast contiguous copy fill where nonzero sort unfold uniform normal bernoulli permutation"
_FLOPS: dict[int, str] = {  # for each element, by names
    0: _MOVES,
    1: "unary reduce scan max_pool max_pool_grad avg_pool avg_pool_grad fold dropout",
    2: "batch_norm_apply update_scale",
    4: "softmax_grad cross_entropy_grad batch_norm_stats rotary sample",
    5: "softmax cross_entropy",
    8: "layer_norm group_norm",
    10: "layer_norm_grad group_norm_grad batch_norm_grad",
}
_STEPS = {"sgd": 4, "adam": 12, "rmsprop": 9, "adagrad": 7, "adadelta": 12, "adamax": 9}
_STEPS |= {"nadam": 14, "radam": 12, "lion": 7}

_OWN = (binary, gemm, conv_fprop, conv_dgrad, conv_wgrad, attention, attention_grad, recurrent)
_OWN += (recurrent_grad, gather, scatter, search_sorted, embedding, embedding_grad)  # type: ignore
_OWN += (embedding_renorm, embedding_bag, crop, resample)  # type: ignore
_OWN += (sum_of, scale, unscale, global_norm)  # type: ignore

COSTS: dict[str, CostOf] = {
    **{name: streaming(n) for n, names in _FLOPS.items() for name in names.split()},
    **{f"{name}_step": stepping(n) for name, n in _STEPS.items()},
    **{f.__name__: f for f in _OWN},
}
"""Every operation of the contract."""
