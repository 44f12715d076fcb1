"""Dropout."""

from __future__ import annotations

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .module import Module


class Dropout(Module):
    """In training: y = x / (1 - p) with probability 1 - p, else 0, each element on its own.

    In evaluation: y = x. So the expected value is x in both. (Srivastava et al. 2014.)
    The mask is drawn again in backward from the same counter, not stored. `inplace` is accepted
    for PyTorch's sake and has no effect.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not (isinstance(p, (int, float)) and 0 <= p <= 1):
            raise ArgumentError(f"Dropout(p={p!r}): a probability lies between 0 and 1")
        self.p, self.inplace = p, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
