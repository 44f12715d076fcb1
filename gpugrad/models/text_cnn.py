"""The convolutional classifier of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.registry import register
from gpugrad.models.text_classifier import Names, TextClassifier
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor


@register("text_cnn")
class TextCNN(TextClassifier):
    """Convolutions over 3, 4 and 5 tokens, the maximum of each over the text (Kim 2014,
    "Convolutional Neural Networks for Sentence Classification").

        f_k = max over i of relu(W_k [e_i .. e_(i + k - 1)] + b_k);  logits = fc(dropout([f_k]))

    A window begins at each token of the text and may reach beyond its end, where embeddings are 0.

    Args:
        vocab_size, embedding_dim: of the table of tokens.
        num_filters: of each width; kernel_sizes: the widths.
        dropout: before fc.
        num_labels: classes; 1: one logit for yes or no.
        padding_idx: the token of padding, which learns nothing.
        id2label: names of the classes.
    """

    model_type: ClassVar[str] = "text_cnn"

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 128,
        num_filters: int = 100,
        kernel_sizes: Sequence[int] = (3, 4, 5),
        dropout: float = 0.5,
        num_labels: int = 2,
        padding_idx: int | None = 0,
        id2label: Names = None,
    ) -> None:
        if not kernel_sizes or min(kernel_sizes) < 1:
            raise ArgumentError(
                f"TextCNN: kernel_sizes = {list(kernel_sizes)}; needs at least one width, of 1 "
                "or more tokens."
            )
        config = {
            "vocab_size": vocab_size,
            "embedding_dim": embedding_dim,
            "num_filters": num_filters,
            "kernel_sizes": list(kernel_sizes),
            "dropout": dropout,
            "num_labels": num_labels,
            "padding_idx": padding_idx,
            "id2label": id2label,
        }
        super().__init__(config, num_filters * len(kernel_sizes), dropout)
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=padding_idx)
        convs = [nn.Conv1d(embedding_dim, num_filters, size) for size in kernel_sizes]
        self.kernel_sizes, self.convs = tuple(kernel_sizes), nn.ModuleList(convs)

    def encode(self, input_ids: Tensor, seen: Tensor | None, lengths: Tensor | None) -> Tensor:
        x = self.embedding(input_ids)
        mask = None if seen is None else seen.unsqueeze(2).to(x.dtype)
        x = (x if mask is None else x * mask).transpose(1, 2)
        found = []
        for size, conv in zip(self.kernel_sizes, self.convs, strict=True):
            y = F.relu(conv(F.pad(x, (0, size - 1))))  # a window for each token
            y = y if mask is None else y * mask.transpose(1, 2)  # 0 is the least that relu gives
            found.append(y.amax(2))
        return gg.cat(found, 1)
