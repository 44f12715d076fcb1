"""Sequences of several lengths: packed (only what is there, step by step) and padded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..autograd.function import Function
from ..backends import Backend
from ..dtype import int64
from ..tensor import Tensor


class Pack(Function):
    """y[n, ...] = x[i[n], j[n], ...];  dx is 0 but dx[i[n], j[n]] = dy[n]: no place twice."""

    def forward(self, x: Any, i: Any, j: Any) -> Any:
        self.of = x.shape[:2]
        self.save(i, j)
        return self.kernels.gather(x, (i, j))

    def backward(self, dy: Tensor) -> Any:
        return Pad.apply(dy, *self.saved, shape=self.of, value=0), None, None


class Pad(Function):
    """y [*shape, ...] = value but y[i[n], j[n], ...] = x[n];  dx[n] = dy[i[n], j[n]]."""

    def forward(self, x: Any, i: Any, j: Any, shape: tuple[int, int], value: float) -> Any:
        self.save(i, j)
        y = self.backend.empty((*shape, *x.shape[1:]), x.dtype)
        self.kernels.fill(y, value)
        self.kernels.scatter("set", y, (i, j), x)
        return y

    def backward(self, dy: Tensor) -> Any:
        return Pack.apply(dy, *self.saved), None, None


class Steps(NamedTuple):
    """Where the rows of a packed batch stand when it is padded."""

    step: Tensor  # int64 [N]
    sample: Tensor  # int64 [N]
    lengths: Tensor  # int64 [B], on the device
    shape: tuple[int, int]  # T, B


def steps(batch_sizes: np.ndarray[Any, Any], backend: Backend) -> Steps:
    """From how many samples have a step t, which falls with t."""
    batch = int(batch_sizes[0]) if batch_sizes.size else 0
    step = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    starts = np.cumsum(batch_sizes) - batch_sizes
    sample = np.arange(len(step)) - np.repeat(starts, batch_sizes)
    lengths = (batch_sizes[:, None] > np.arange(batch)).sum(0)
    places, samples, counts = (
        Tensor(backend.from_numpy(a.astype(int64)), backend) for a in (step, sample, lengths)
    )
    return Steps(places, samples, counts, (len(batch_sizes), batch))
