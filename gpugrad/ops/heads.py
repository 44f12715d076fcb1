"""Heads of attention: from one array of projections and back, each in one pass at most."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..tensor import Tensor


class SplitHeads(Function):
    """x [B, L, n H D] (or [L, B, n H D]) as n views [B, H, L, D];  dx is theirs, joined.

    Heads lie side by side: n = 3 takes the queries, keys and values of one projection apart.
    """

    view = True

    def forward(self, x: Any, count: int, heads: int, batch_first: bool) -> Any:
        self.count, self.batch_first = count, batch_first
        parts = x.reshape(*x.shape[:2], count, heads, -1)
        order = (0, 2, 1, 3) if batch_first else (1, 2, 0, 3)
        return tuple([parts[:, :, i].transpose(order) for i in range(count)])

    def backward(self, *dys: Tensor | None) -> Any:
        some = next(dy for dy in dys if dy is not None)
        parts = [some.new_zeros(some.shape) if dy is None else dy for dy in dys]
        return JoinHeads.apply(*parts, batch_first=self.batch_first)


class JoinHeads(Function):
    """n tensors [B, H, L, D] side by side: [B, L, n H D] (or [L, B, n H D]); dx by SplitHeads."""

    def forward(self, *xs: Any, batch_first: bool) -> Any:
        b, heads, length, d = xs[0].shape
        self.options = {"count": len(xs), "heads": heads, "batch_first": batch_first}
        first = (b, length) if batch_first else (length, b)
        y = self.backend.empty((*first, len(xs), heads, d), xs[0].dtype)
        order = (0, 2, 1, 3) if batch_first else (2, 0, 1, 3)
        for i, x in enumerate(xs):
            self.kernels.copy(x.transpose(order), y[:, :, i])
        return y.reshape(*first, len(xs) * heads * d)

    def backward(self, dy: Tensor) -> Any:
        return SplitHeads.apply(dy.contiguous(), **self.options)


def split_heads(x: Tensor, count: int, heads: int, batch_first: bool) -> tuple[Tensor, ...]:
    """See `SplitHeads`."""
    parts: tuple[Tensor, ...] = SplitHeads.apply(
        x.contiguous(), count=count, heads=heads, batch_first=batch_first
    )
    return parts


def merge_heads(x: Tensor, batch_first: bool) -> Tensor:
    """[B, H, L, D] as [B, L, H D] (or [L, B, H D]): a view where x lies so."""
    b, heads, length, d = x.shape
    if batch_first:
        return x.permute(0, 2, 1, 3).reshape(b, length, heads * d)
    return x.permute(2, 0, 1, 3).reshape(length, b, heads * d)
