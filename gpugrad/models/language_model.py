"""The LSTM language model."""

from __future__ import annotations

from typing import ClassVar

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.generation import Decoder, Generative
from gpugrad.models.gpt2_lm import next_token_loss
from gpugrad.models.outputs import LanguageModelOutput, Logits, as_logits, later
from gpugrad.models.pretrained import KeywordModel
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import (
    check_device,
    check_labels,
    check_mask,
    check_tokens,
    lengths_of,
)
from gpugrad.tensor import Tensor

State = tuple[Tensor, Tensor]


@register("lstm_language_model")
class LSTMLanguageModel(KeywordModel, Generative):
    """Tells the next token by an LSTM: logits (n, t, vocab_size).

        y = dropout(lstm(dropout(embedding[ids])));  logits = y W^T + b

    input_ids (n, t), padded on the right if at all (attention_mask 0). With labels (n, t), usually
    the input_ids themselves (they are shifted here; -100 does not count), loss and logits. With
    use_cache or a state also `.state` (h, c), each (num_layers, n, hidden_size), for the next call:
    long texts are read in pieces, the state carried on (detach it between training steps).
    Mikolov et al. 2010; tied weights: Press & Wolf 2017. Initial values: both tables uniform in
    +-0.1, b 0.

    Args:
        vocab_size, embedding_dim: of the table of tokens.
        hidden_size, num_layers: of the LSTM.
        dropout: of embeddings, between layers, of outputs (Zaremba et al. 2014).
        tie_weights: W is the embedding; embedding_dim must be hidden_size.
    """

    model_type: ClassVar[str] = "lstm_language_model"
    tied_weights: ClassVar[tuple[str, ...]] = ("decoder.weight",)

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 256,
        hidden_size: int = 256,
        num_layers: int = 2,
        dropout: float = 0.2,
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        if tie_weights and embedding_dim != hidden_size:
            raise ArgumentError(
                f"LSTMLanguageModel: tie_weights needs embedding_dim = hidden_size, got "
                f"{embedding_dim} and {hidden_size}."
            )
        self._config = {
            "vocab_size": vocab_size,
            "embedding_dim": embedding_dim,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "dropout": dropout,
            "tie_weights": tie_weights,
        }
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        between = dropout if num_layers > 1 else 0.0
        self.rnn = nn.LSTM(
            embedding_dim, hidden_size, num_layers, batch_first=True, dropout=between
        )
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(hidden_size, vocab_size)
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        assert self.decoder.bias is not None
        nn.init.zeros_(self.decoder.bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        state: State | None = None,
        use_cache: bool = False,
    ) -> Logits | LanguageModelOutput:
        shape = check_tokens(self, input_ids)
        seen = check_mask(self, attention_mask, shape)
        y, carried = self.read(input_ids, state, None if seen is None else lengths_of(self, seen))
        shown = carried if use_cache or state is not None else None
        if labels is None and shown is None:
            return as_logits(self.decoder(y))
        if labels is None:
            return LanguageModelOutput(logits=self.decoder(y), state=shown)
        labels = check_labels(self, labels, shape)
        loss = next_token_loss(y, self.decoder.weight, labels, self.decoder.bias)
        logits = later(lambda: self.decoder(y), *self.decoder.parameters())
        return LanguageModelOutput(loss=loss, logits=logits, state=shown)

    def read(
        self, input_ids: Tensor, state: State | None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """(outputs (n, t, hidden_size), state after them); lengths (n,): beyond lies padding."""
        check_device(self, input_ids, self.embedding.weight)
        y, after = self.rnn(self.dropout(self.embedding(input_ids)), state, lengths=lengths)
        return self.dropout(y), after

    def decoder_of(self, n: int, size: int, mask: Tensor | None) -> Decoder:
        """Decodes n sequences, carrying the state."""
        return _Carried(self, mask)


class _Carried:
    """Decoding that carries the state. mask bool (n, size): False at padding before the prompts."""

    def __init__(self, model: LSTMLanguageModel, mask: Tensor | None) -> None:
        self.model, self.mask = model, mask
        self.state: State | None = None

    def __call__(self, tokens: Tensor) -> Tensor:
        lengths = None
        if self.state is None and self.mask is not None:
            tokens, lengths = _padded_right(tokens, self.mask[:, : tokens.shape[1]])
        _, self.state = self.model.read(tokens, self.state, lengths)
        logits: Tensor = self.model.decoder(self.state[0][-1])
        return logits


def _padded_right(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(tokens with their padding moved from the left to the right, lengths)."""
    t = tokens.shape[1]
    lengths = mask.long().sum(1)
    at = (gg.arange(t, device=tokens.device) + (t - lengths).unsqueeze(1)) % t
    return tokens.gather(1, at), lengths
