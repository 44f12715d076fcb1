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
            name = type(self).__name__
            raise ArgumentError(f"{name}(p={p!r}): a probability lies between 0 and 1")
        self.p, self.inplace = p, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(Dropout):
    """`Dropout` of whole channels: x (N, C, L) or (C, L). (Tompson et al. 2015.)"""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout1d(x, self.p, self.training)


class Dropout2d(Dropout):
    """`Dropout` of whole channels: x (N, C, H, W). (Tompson et al. 2015.)"""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout2d(x, self.p, self.training)


class Dropout3d(Dropout):
    """`Dropout` of whole channels: x (N, C, D, H, W) or (C, D, H, W). (Tompson et al. 2015.)"""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout3d(x, self.p, self.training)


class AlphaDropout(Dropout):
    """`Dropout` for SELU: mean 0 and variance 1 stay as they are. (Klambauer et al. 2017.)

    Dropped elements take SELU's lowest value, then all are scaled and shifted.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.alpha_dropout(x, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """`AlphaDropout` of whole channels: x (N, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.feature_alpha_dropout(x, self.p, self.training)
