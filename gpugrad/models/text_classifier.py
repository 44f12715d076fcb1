"""Classifiers of texts: an embedding, something that makes one vector of a text, a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, ShapeError
from gpugrad.models.base import one_of
from gpugrad.models.outputs import ClassifierOutput, Logits, as_logits
from gpugrad.models.pretrained import KeywordModel
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import (
    check_device,
    check_labels,
    check_mask,
    check_tokens,
    lengths_of,
)
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor

Names = Mapping[int, str] | Mapping[str, str] | None


def class_names(model: str, num_labels: int, id2label: Names) -> dict[int, str]:
    """The names of the classes, LABEL_0, ... unless given; two of a single logit.

    Raises ArgumentError where their number does not fit.
    """
    if num_labels < 1:
        raise ArgumentError(f"{model}: num_labels = {num_labels}; it must be 1 or more.")
    count = max(num_labels, 2)
    names = {int(i): str(name) for i, name in (id2label or {}).items()}
    if names and set(names) != set(range(count)):
        raise ArgumentError(
            f"{model}: num_labels = {num_labels} has the classes 0 to {count - 1}; id2label names "
            f"{sorted(names)}."
        )
    return names or {i: f"LABEL_{i}" for i in range(count)}


class TextClassifier(KeywordModel):
    """Base: logits (n, num_labels) = fc(dropout(encode(embedding(input_ids)))).

    Called with input_ids (n, t), padded on the right; attention_mask (n, t), 0 at padding, or
    lengths (n,): the answer for a text does not depend on its padding. token_type_ids are taken and
    not read, as tokenizers give them. With labels (n,) also loss: cross entropy, or binary cross
    entropy where there is a single logit.
    Raises ShapeError, DTypeError, and IndexOutOfRangeError for tokens beyond the vocabulary.
    """

    max_tokens: int | None = None

    def __init__(self, config: dict[str, Any], features: int, dropout: float) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_labels: int = config["num_labels"]
        self.id2label = class_names(name, self.num_labels, config["id2label"])
        self._config = {**config, "id2label": self.id2label}
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(features, self.num_labels)

    def encode(self, input_ids: Tensor, seen: Tensor | None, lengths: Tensor | None) -> Tensor:
        """A vector (n, features) of each text. seen bool (n, t), lengths (n,); both None where
        there is no padding."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Logits | ClassifierOutput:
        shape = check_tokens(self, input_ids, self.max_tokens)
        check_device(self, input_ids, self.fc.weight)
        seen = check_mask(self, attention_mask, shape)
        if lengths is not None:
            if tuple(lengths.shape) != shape[:1]:
                raise ShapeError(
                    f"{type(self).__name__}: lengths {tuple(lengths.shape)} must be {shape[:1]}, "
                    "one for each text."
                )
            seen = gg.arange(shape[1], device=input_ids.device) < lengths.unsqueeze(1)
            lengths = lengths.clamp(max=shape[1])
        elif seen is not None:
            lengths = lengths_of(self, seen)
        features = self.encode(input_ids, seen, lengths)
        logits = as_logits(self.fc(self.dropout(features)))
        if labels is None:
            return logits
        labels = check_labels(self, labels.reshape(-1), shape[:1])
        if self.num_labels == 1:
            target = labels.to(logits.dtype)
            loss = F.binary_cross_entropy_with_logits(logits.squeeze(1), target)
        else:
            loss = F.cross_entropy(logits, labels)
        return ClassifierOutput(loss=loss, logits=logits)


class RecurrentClassifier(TextClassifier):
    """Embedding, recurrent layers, and of their outputs the last, the mean or the maximum.

        h_1 .. h_T = rnn(dropout(embedding[ids]));  logits = fc(dropout(h_T))

    T is the last token that is no padding; backwards, the first. Defaults: two classes, embedding
    128, hidden 256. The classic classifier with a single logit is embedding_dim=100,
    hidden_size=100, num_labels=1.

    Args:
        vocab_size, embedding_dim: of the table of tokens.
        hidden_size, num_layers, bidirectional: of the recurrent layers.
        dropout: of the embeddings, between layers, and before fc.
        num_labels: classes; 1: one logit for yes or no.
        pooling: "last", "mean" or "max" over the tokens.
        padding_idx: the token of padding, which learns nothing.
        id2label: names of the classes.
    """

    layer: ClassVar[str]

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        num_labels: int = 2,
        pooling: str = "last",
        padding_idx: int | None = 0,
        id2label: Names = None,
    ) -> None:
        config = {
            "vocab_size": vocab_size,
            "embedding_dim": embedding_dim,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "num_labels": num_labels,
            "pooling": pooling,
            "padding_idx": padding_idx,
            "id2label": id2label,
        }
        super().__init__(config, hidden_size * (2 if bidirectional else 1), dropout)
        self.pooling = one_of(type(self).__name__, "pooling", pooling, ("last", "mean", "max"))
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=padding_idx)
        self.rnn = getattr(nn, self.layer)(
            embedding_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
        )

    def encode(self, input_ids: Tensor, seen: Tensor | None, lengths: Tensor | None) -> Tensor:
        y, states = self.rnn(self.dropout(self.embedding(input_ids)), None, lengths=lengths)
        if self.pooling == "last":
            h = states[0] if isinstance(states, tuple) else states
            return gg.cat([h[-2], h[-1]], 1) if self.rnn.bidirectional else h[-1]
        if self.pooling == "max":  # -1 is below every output: they are tanh times a share
            return (y if seen is None else y.masked_fill(~seen.unsqueeze(2), -1.0)).amax(1)
        if lengths is None:
            return y.mean(1)
        return y.sum(1) / lengths.clamp(min=1).to(y.dtype).unsqueeze(1)  # y is 0 at padding


@register("lstm_classifier")
class LSTMClassifier(RecurrentClassifier):
    """RecurrentClassifier with an LSTM (Hochreiter & Schmidhuber 1997)."""

    model_type: ClassVar[str] = "lstm_classifier"
    layer = "LSTM"


@register("gru_classifier")
class GRUClassifier(RecurrentClassifier):
    """RecurrentClassifier with gated recurrent units (Cho et al. 2014)."""

    model_type: ClassVar[str] = "gru_classifier"
    layer = "GRU"


@register("rnn_classifier")
class RNNClassifier(RecurrentClassifier):
    """RecurrentClassifier with plain tanh units (Elman 1990)."""

    model_type: ClassVar[str] = "rnn_classifier"
    layer = "RNN"
