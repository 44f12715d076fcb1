"""The transformer classifier of texts."""

from __future__ import annotations

from typing import Any, ClassVar

from gpugrad import nn
from gpugrad.models.base import one_of
from gpugrad.models.registry import register
from gpugrad.models.text_classifier import Names, TextClassifier
from gpugrad.tensor import Tensor


@register("transformer_classifier")
class TransformerClassifier(TextClassifier):
    """Transformer encoder layers (norm first), of their outputs the mean or the first.

        x = dropout(embedding[ids] + position[0..t-1]);  layers
        logits = fc(dropout(pool(norm(x))))

    Initial values: both tables normal with deviation 0.02, the rest as in the layers. Vaswani et
    al. 2017; norm first: Xiong et al. 2020.

    Args:
        vocab_size: tokens. hidden_size: width. num_layers, num_heads, intermediate_size, dropout:
            of nn.TransformerEncoderLayer.
        max_position_embeddings: the longest text.
        num_labels: classes; 1: one logit for yes or no.
        pooling: "mean" over the tokens that are no padding, or "first".
        padding_idx: the token of padding, which learns nothing.
        id2label: names of the classes.
    """

    model_type: ClassVar[str] = "transformer_classifier"

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        intermediate_size: int = 512,
        dropout: float = 0.1,
        max_position_embeddings: int = 512,
        num_labels: int = 2,
        pooling: str = "mean",
        padding_idx: int | None = 0,
        id2label: Names = None,
    ) -> None:
        config = {
            "vocab_size": vocab_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "intermediate_size": intermediate_size,
            "dropout": dropout,
            "max_position_embeddings": max_position_embeddings,
            "num_labels": num_labels,
            "pooling": pooling,
            "padding_idx": padding_idx,
            "id2label": id2label,
        }
        super().__init__(config, hidden_size, dropout)
        self.max_tokens = max_position_embeddings
        self.pooling = one_of("TransformerClassifier", "pooling", pooling, ("mean", "first"))
        self.embedding = nn.Embedding(vocab_size, hidden_size, padding_idx=padding_idx)
        self.position = nn.Embedding(max_position_embeddings, hidden_size)
        for table in (self.embedding, self.position):
            nn.init.normal_(table.weight, 0.0, 0.02)
        sizes = (hidden_size, num_heads, intermediate_size, dropout)
        options: Any = {"activation": "gelu", "batch_first": True, "norm_first": True}
        layers = [nn.TransformerEncoderLayer(*sizes, **options) for _ in range(num_layers)]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(hidden_size)

    def encode(self, input_ids: Tensor, seen: Tensor | None, lengths: Tensor | None) -> Tensor:
        x = self.embedding(input_ids) + self.position.weight[: input_ids.shape[1]]
        x = self.dropout(x)
        padding = None if seen is None else ~seen
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        x = self.norm(x)
        if self.pooling == "first":
            return x[:, 0]
        if seen is None or lengths is None:
            return x.mean(1)
        count = lengths.clamp(min=1).to(x.dtype).unsqueeze(1)
        return (x * seen.unsqueeze(2).to(x.dtype)).sum(1) / count
