"""Models of clicks: tables of categorical fields and dense numbers (Wide & Deep, DeepFM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad import nn
from gpugrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from gpugrad.models.outputs import ClassifierOutput, Logits, as_logits
from gpugrad.models.pretrained import KeywordModel
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import check_labels
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor


class FieldIndex(nn.Module):
    """Rows of one table that holds those of all fields, one field after the other.

    categorical (n, fields), values 0 to cardinalities[f] - 1 -> int64 (n, fields). Raises
    ShapeError, DTypeError; IndexOutOfRangeError, which names the field, where values can be seen
    without waiting; else the table reports row -1.
    """

    limits: Tensor
    offsets: Tensor

    def __init__(self, name: str, cardinalities: Sequence[int]) -> None:
        super().__init__()
        if not cardinalities or min(cardinalities) < 1:
            raise ArgumentError(
                f"{name}: cardinalities = {list(cardinalities)}; needs the number of values of "
                "each field, 1 or more."
            )
        self.name, self.rows = name, sum(cardinalities)
        ends = np.cumsum([0, *cardinalities])
        limits = gg.tensor(np.array(cardinalities, np.int64))
        self.register_buffer("limits", limits, persistent=False)
        self.register_buffer("offsets", gg.tensor(ends[:-1]), persistent=False)

    def forward(self, categorical: Tensor) -> Tensor:
        fields = len(self.limits)
        if categorical.ndim != 2 or categorical.shape[1] != fields:
            raise ShapeError(
                f"{self.name}(categorical): expected (n, {fields}), got shape "
                f"{tuple(categorical.shape)}."
            )
        if dtypes.is_floating(categorical.dtype) or categorical.dtype == dtypes.bool_:
            raise DTypeError(
                f"{self.name}(categorical): values are integers, got {categorical.dtype.name}."
            )
        values = categorical.to(gg.int64)
        wrong = (values < 0) | (values >= self.limits)
        if values.backend.synchronous and bool(wrong.any()):
            row, field = (int(i[0]) for i in wrong.nonzero(as_tuple=True))
            raise IndexOutOfRangeError(
                f"{self.name}(categorical): value {int(values[row, field])} in row {row}, field "
                f"{field}, is not one of its {int(self.limits[field])} values, 0 to "
                f"{int(self.limits[field]) - 1}."
            )
        return (values + self.offsets).masked_fill(wrong, -1)


class ClickModel(KeywordModel):
    """Base: a logit (n,) of categorical (n, fields) and dense (n, dense_features)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self._config = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
        self.dense_features: int = config["dense_features"]
        self.index = FieldIndex(type(self).__name__, config["cardinalities"])

    def score(self, rows: Tensor, dense: Tensor | None) -> Tensor:
        """Logits (n,): rows int64 (n, fields) of the tables, dense or None if there are none."""
        raise NotImplementedError

    def forward(
        self, categorical: Tensor, dense: Tensor | None = None, labels: Tensor | None = None
    ) -> Logits | ClassifierOutput:
        n = len(categorical)
        wanted, given = self.dense_features, None if dense is None else tuple(dense.shape)
        if given != ((n, wanted) if wanted else None):
            raise ShapeError(
                f"{type(self).__name__}(dense): expected "
                f"{(n, wanted) if wanted else 'None'}, got {given}."
            )
        logits = as_logits(self.score(self.index(categorical), dense))
        if labels is None:
            return logits
        target = check_labels(self, labels.reshape(-1), (n,)).to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, target)
        return ClassifierOutput(loss=loss, logits=logits)


def tower(in_features: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
    """Linear, relu, dropout for each of the hidden sizes, then one number."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(in_features, size), nn.ReLU(), nn.Dropout(dropout)]
        in_features = size
    return nn.Sequential(*layers, nn.Linear(in_features, 1))


@register("wide_deep")
class WideDeep(ClickModel):
    """A linear model of fields and of crossed fields, beside a net of embeddings (Cheng et al.
    2016, "Wide & Deep Learning for Recommender Systems").

        logit = wide + deep;  deep = tower([embedding of each field, dense])
        wide = w . dense + sum of w_f[value of f] + sum of w_c[values of the fields of c]

    Shapes: categorical (n, fields) int, dense (n, dense_features) -> logits (n,). With labels (n,)
    of 0 and 1, also loss.

    Args:
        cardinalities: number of values of each field. dense_features: numbers beside them.
        embedding_dim: of each field; hidden, dropout: of the net.
        crosses: groups of fields whose combinations have a weight of their own, each in a table of
            cross_buckets rows: combinations share rows where there are more.
    """

    model_type: ClassVar[str] = "wide_deep"

    def __init__(
        self,
        cardinalities: Sequence[int],
        dense_features: int = 0,
        embedding_dim: int = 8,
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.0,
        crosses: Sequence[Sequence[int]] = (),
        cross_buckets: int = 10_000,
    ) -> None:
        fields = len(cardinalities)
        if any(len(c) < 2 or min(c) < 0 or max(c) >= fields for c in crosses):
            raise ArgumentError(
                f"WideDeep: crosses = {list(crosses)}; each names two or more of the {fields} "
                f"fields, 0 to {fields - 1}."
            )
        config = {
            "cardinalities": list(cardinalities),
            "dense_features": dense_features,
            "embedding_dim": embedding_dim,
            "hidden": list(hidden),
            "dropout": dropout,
            "crosses": [list(c) for c in crosses],
            "cross_buckets": cross_buckets,
        }
        super().__init__(config)
        self.cardinalities, self.crosses = list(cardinalities), [list(c) for c in crosses]
        self.buckets = cross_buckets
        self.wide = nn.Embedding(self.index.rows, 1)
        self.cross = nn.Embedding(cross_buckets * len(crosses), 1) if crosses else None
        self.wide_dense = nn.Linear(dense_features, 1, bias=False) if dense_features else None
        self.embedding = nn.Embedding(self.index.rows, embedding_dim)
        self.deep = tower(fields * embedding_dim + dense_features, hidden, dropout)
        for table in (self.wide, self.cross):
            if table is not None:
                nn.init.zeros_(table.weight)
        nn.init.normal_(self.embedding.weight, 0.0, 0.01)

    def score(self, rows: Tensor, dense: Tensor | None) -> Tensor:
        wide = self.wide(rows).sum(1)
        if self.cross is not None:
            wide = wide + self.cross(self._crossed(rows)).sum(1)
        deep = self.embedding(rows).flatten(1)
        if dense is not None and self.wide_dense is not None:
            wide = wide + self.wide_dense(dense)
            deep = gg.cat([deep, dense], 1)
        return (wide + self.deep(deep)).squeeze(1)

    def _crossed(self, rows: Tensor) -> Tensor:
        """Rows (n, crosses) of the table of combinations."""
        values, found = rows - self.index.offsets, []
        for i, fields in enumerate(self.crosses):
            at = values[:, fields[0]] % self.buckets
            for field in fields[1:]:
                at = (at * self.cardinalities[field] + values[:, field]) % self.buckets
            found.append(at + i * self.buckets)
        return gg.stack(found, 1)


@register("deepfm")
class DeepFM(ClickModel):
    """A factorisation machine beside a net, on the same embeddings (Guo et al. 2017, "DeepFM: A
    Factorization-Machine based Neural Network for CTR Prediction").

        v_f = x_f V_f[value];  logit = w_0 + sum of x_f w_f[value] + fm + tower([v_f])
        fm = sum over pairs of fields of v_f . v_g = (|sum of v_f|^2 - sum of |v_f|^2) / 2

    x_f is 1 for a categorical field; a dense number is a field of one value, x_f the number.
    Shapes: categorical (n, fields) int, dense (n, dense_features) -> logits (n,). With labels (n,)
    of 0 and 1, also loss.

    Args:
        cardinalities: number of values of each field. dense_features: numbers beside them.
        embedding_dim: of each field; hidden, dropout: of the net.
    """

    model_type: ClassVar[str] = "deepfm"

    def __init__(
        self,
        cardinalities: Sequence[int],
        dense_features: int = 0,
        embedding_dim: int = 8,
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        config = {
            "cardinalities": list(cardinalities),
            "dense_features": dense_features,
            "embedding_dim": embedding_dim,
            "hidden": list(hidden),
            "dropout": dropout,
        }
        super().__init__(config)
        self.linear = nn.Embedding(self.index.rows, 1)
        self.embedding = nn.Embedding(self.index.rows, embedding_dim)
        self.linear_dense = nn.Linear(dense_features, 1, bias=False) if dense_features else None
        self.dense = (
            nn.Parameter(gg.empty(dense_features, embedding_dim)) if dense_features else None
        )
        self.deep = tower((len(cardinalities) + dense_features) * embedding_dim, hidden, dropout)
        nn.init.zeros_(self.linear.weight)
        for table in (self.embedding.weight, self.dense):
            if table is not None:
                nn.init.normal_(table, 0.0, 0.01)

    def score(self, rows: Tensor, dense: Tensor | None) -> Tensor:
        first, v = self.linear(rows).sum(1), self.embedding(rows)
        if dense is not None and self.linear_dense is not None and self.dense is not None:
            first = first + self.linear_dense(dense)
            v = gg.cat([v, dense.unsqueeze(2) * self.dense], 1)
        pairs = (v.sum(1).square() - v.square().sum(1)).sum(1, keepdim=True) * 0.5
        return (first + pairs + self.deep(v.flatten(1))).squeeze(1)
