"""AdaptiveLogSoftmaxWithLoss: a softmax over many classes that is cheap for the rare ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from .. import ops
from ..errors import ArgumentError, IndexOutOfRangeError, ShapeError
from ..tensor import Tensor
from . import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class ASMoutput(NamedTuple):
    """output: the log-probability of each target; loss: minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """log p(target), classes sorted by frequency, the most frequent first (Grave et al. 2017).

    The head decides between the first cutoffs[0] classes and the clusters; cluster i, of the
    classes from cutoffs[i] to cutoffs[i + 1], has its own softmax behind a projection to
    in_features // div_value^(i + 1) features. So p(class) = p(cluster) p(class in cluster), and a
    batch computes only those clusters that its targets lie in.

    Shapes: input (N, in_features), target (N) -> output (N), loss (); or (in_features), () -> ().
    Raises ArgumentError for cutoffs that do not rise from 1 to n_classes - 1, ShapeError,
    IndexOutOfRangeError for a target that is no class.
    """

    head: Linear
    tail: ModuleList

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        borders = [0, *cutoffs, n_classes]
        whole = all(int(c) == c for c in cutoffs)
        if not cutoffs or not whole or any(a >= b for a, b in pairwise(borders)):
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss(n_classes={n_classes}, cutoffs={list(cutoffs)}): "
                "cutoffs are integers that rise, from 1 at least to n_classes - 1 at most"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*map(int, cutoffs), n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        place = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **place)
        self.tail = ModuleList()
        for i, (start, stop) in enumerate(pairwise(self.cutoffs)):
            inner = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, inner, bias=False, **place),
                    Linear(inner, stop - start, bias=False, **place),
                )
            )

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection.children():
                assert isinstance(layer, Linear)
                layer.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> ASMoutput:
        if target.ndim > 1 or input.ndim != target.ndim + 1:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: input (N, {self.in_features}) with target (N), or "
                f"({self.in_features}) with (); got {input.shape} and {target.shape}"
            )
        x = input if target.ndim else input.unsqueeze(0)
        t = target if target.ndim else target.unsqueeze(0)
        if x.shape[0] != t.shape[0]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: {x.shape[0]} inputs, but {t.shape[0]} targets"
            )
        output = self._log_probabilities(x, t)
        loss = (-output).mean()
        return ASMoutput(output if target.ndim else output.squeeze(0), loss)

    def _log_probabilities(self, x: Tensor, t: Tensor) -> Tensor:
        """log p of each target: that of its place in the head, plus that inside its cluster."""
        in_head = t
        inside = x.new_zeros(t.shape)
        used = int((ops.logical_and(t >= 0, t < self.shortlist_size)).sum().item())
        for i, (start, stop) in enumerate(pairwise(self.cutoffs)):
            rows = ((t >= start) & (t < stop)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            used += rows.numel()
            in_cluster = F.log_softmax(self.tail[i](x[rows]), 1)
            found = in_cluster.gather(1, (t[rows] - start).unsqueeze(1)).squeeze(1)
            inside = inside.index_add(0, rows, found)
            in_head = in_head.masked_fill((t >= start) & (t < stop), self.shortlist_size + i)
        if used != t.shape[0]:
            raise IndexOutOfRangeError(
                f"AdaptiveLogSoftmaxWithLoss: targets lie in [0, {self.n_classes - 1}]; found were "
                f"{int(t.min().item())} to {int(t.max().item())}"
            )
        head = F.log_softmax(self.head(x), 1)
        return inside + head.gather(1, in_head.unsqueeze(1)).squeeze(1)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, in_features) -> (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, projection in enumerate(self.tail):
            cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(projection(input), 1) + cluster)
        return ops.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, (N): log_prob(input).argmax(1), but the clusters
        are computed only for rows whose best place in the head is a cluster."""
        best = self.head(input).argmax(1)
        rows = (best >= self.shortlist_size).nonzero().squeeze(1)
        if rows.numel() == 0:
            return best
        exact = self.log_prob(input[rows]).argmax(1)
        return best.index_add(0, rows, exact - best[rows])

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, n_classes={self.n_classes}, "
            f"cutoffs={self.cutoffs[:-1]}, div_value={self.div_value}, head_bias={self.head_bias}"
        )
