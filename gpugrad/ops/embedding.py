"""Rows of a table by index.

The gradient of a row is the sum of those of the places that read it: a sum over sorted positions,
deterministic, without atomics. It is linear, and its own gradient reads rows again.
"""

from __future__ import annotations

from typing import Any

from .. import dtype as dtypes
from ..autograd.function import Function, describe, mixed_devices
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .operands import check_tensor, demand_floating


class Embedding(Function):
    """y[j..., :] = w[i[j...], :];  dw[v] = sum over the j with i[j] = v of dy[j].

    dw is 0 for v = padding (-1: none), and divided by the number of such j where `by_count`.
    """

    def forward(self, w: Any, index: Any, padding: int, by_count: bool) -> Any:
        self.options = {"rows": w.shape[0], "padding": padding, "by_count": by_count}
        if self.edges[0] is not None:
            self.save(index)
        return self.kernels.embedding(w, index)

    def backward(self, dy: Tensor) -> Any:
        return EmbeddingGrad.apply(dy, *self.saved, **self.options), None


class EmbeddingGrad(Function):
    """dw of `Embedding` from dy;  ddy[j] = ddw[i[j]], 0 for padding, divided where `by_count`."""

    def forward(self, dy: Any, index: Any, rows: int, padding: int, by_count: bool) -> Any:
        self.rows, self.padding, self.by_count = rows, padding, by_count
        if self.edges[0] is not None:
            self.save(index)
        flat = dense(self.kernels, index).reshape(-1)
        terms = dense(self.kernels, dy).reshape(flat.size, dy.shape[-1])
        return self.kernels.embedding_grad(terms, flat, rows, None, None, padding, by_count)

    def backward(self, ddw: Tensor) -> Any:
        (index,) = self.saved
        if self.by_count:
            ddw = ddw / counts(index, self.rows, ddw.dtype)
        ddy = Embedding.apply(ddw, index, padding=self.padding, by_count=False)
        if self.padding >= 0:
            ddy = ddy.masked_fill((index == self.padding).unsqueeze(-1), 0.0)
        return ddy, None


def dense(kernels: Any, x: Any) -> Any:
    """x in row-major order: itself, or a copy."""
    return x if x.flags.c_contiguous else kernels.contiguous(x)


def counts(index: Tensor, rows: int, dtype: Any) -> Tensor:
    """[rows, 1]: how often each row is read, at least 1."""
    ones = index.new_ones(*index.shape, 1, dtype=dtypes.accumulation(dtype))
    found = EmbeddingGrad.apply(ones, index, rows=rows, padding=-1, by_count=False)
    return found.clamp(min=1).to(dtype)


def check_table(name: str, input: Any, weight: Any) -> Tensor:
    """The index in int64. Raises DTypeError, ShapeError, DeviceError where the two do not fit."""
    check_tensor(f"{name}: weight", weight)
    index = check_tensor(name, input)
    if dtypes.is_floating(index.dtype) or index.dtype == dtypes.bool_:
        raise DTypeError(
            f"{name}: input must hold integers, row numbers of the table; got {describe(index)}.\n"
            "  Convert it with .long(). The table is the second argument."
        )
    if weight.array.ndim != 2:
        raise ShapeError(
            f"{name}: weight must be [num_embeddings, embedding_dim]; got {describe(weight)}."
        )
    if index.backend is not weight.backend:
        raise DeviceError(mixed_devices(name, (index, weight)))
    return index if index.array.dtype == dtypes.int64 else index.to(dtypes.int64)


def check_padding(name: str, padding_idx: int | None, rows: int) -> int:
    """The row that padding_idx names (negative: from the end), -1 for None. ArgumentError."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise ArgumentError(
            f"{name}: padding_idx must be within num_embeddings, {-rows} to {rows - 1}; got "
            f"{padding_idx}."
        )
    return int(padding_idx) % rows


def renorm(name: str, weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Rows that the index names become at most max_norm long, in place and outside of the graph."""
    demand_floating(name, weight)
    if not max_norm >= 0 or not norm_type > 0:
        raise ArgumentError(
            f"{name}: max_norm must not be negative and norm_type positive; got "
            f"max_norm={max_norm}, norm_type={norm_type}."
        )
    k = weight.backend.kernels
    flat = dense(k, index.array).reshape(-1)
    k.embedding_renorm(weight.array, flat, float(max_norm), float(norm_type))
    weight._counter.changed("embedding_renorm")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: input integers of any shape, weight [V, D] -> [*input.shape, D].

    padding_idx: this row gets no gradient. max_norm: rows that are read and longer (in the p-norm,
    p = norm_type) are first scaled down to it, in place. scale_grad_by_freq: a row's gradient is
    divided by how often it was read. sparse has no effect: the gradient is dense.
    Raises IndexOutOfRangeError for an index outside [0, V), DTypeError, ShapeError, DeviceError.
    """
    index = check_table("embedding", input, weight)
    padding = -1
    if padding_idx is not None:
        padding = check_padding("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        renorm("embedding", weight, index, max_norm, norm_type)
    return Embedding.apply(weight, index, padding=padding, by_count=bool(scale_grad_by_freq))
