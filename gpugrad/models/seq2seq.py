"""Sequence to sequence with attention: GRU encoder, GRU decoder."""

from __future__ import annotations

from typing import ClassVar

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError
from gpugrad.models.base import one_of
from gpugrad.models.generation import eval_mode
from gpugrad.models.outputs import LanguageModelOutput, Logits, as_logits
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


class Memory:
    """What the decoder attends to: keys and values (n, s, hidden), seen bool (n, s) or None."""

    def __init__(self, keys: Tensor, values: Tensor, seen: Tensor | None) -> None:
        self.keys, self.values, self.seen = keys, values, seen


class CrossAttention(nn.Module):
    """Contexts (n, t, hidden) of queries (n, t, hidden) over a memory.

    additive:  score = v . tanh(W q + U m)     (Bahdanau et al. 2015)
    general:   score = q . W m                 (Luong et al. 2015)
    dot:       score = q . m
    """

    def __init__(self, kind: str, hidden_size: int) -> None:
        super().__init__()
        self.kind = kind
        if kind != "dot":
            self.memory = nn.Linear(hidden_size, hidden_size, bias=False)
        if kind == "additive":
            self.query = nn.Linear(hidden_size, hidden_size)
            self.score = nn.Linear(hidden_size, 1, bias=False)

    def remember(self, values: Tensor, seen: Tensor | None) -> Memory:
        """A memory of values (n, s, hidden); its keys are computed once."""
        return Memory(values if self.kind == "dot" else self.memory(values), values, seen)

    def forward(self, queries: Tensor, memory: Memory) -> Tensor:
        if self.kind != "additive":
            mask = None if memory.seen is None else memory.seen[:, None, None, :]
            q, k, v = (x.unsqueeze(1) for x in (queries, memory.keys, memory.values))
            return F.scaled_dot_product_attention(q, k, v, mask, scale=1.0).squeeze(1)
        mixed = (self.query(queries).unsqueeze(2) + memory.keys.unsqueeze(1)).tanh()
        scores = self.score(mixed).squeeze(3)  # (n, t, s)
        if memory.seen is not None:
            scores = scores.masked_fill(~memory.seen.unsqueeze(1), -1e4)
        return F.softmax(scores, -1) @ memory.values


@register("seq2seq")
class Seq2Seq(KeywordModel):
    """Translates token sequences: bidirectional GRU encoder, GRU decoder with attention.

    With additive attention (Bahdanau et al. 2015) the context of the state before is read by the
    decoder's next step; else (Luong et al. 2015) all steps run at once, and contexts are joined
    after:
        additive:  s_t = gru([e(y_(t-1)), c(s_(t-1))], s_(t-1));  o_t = [s_t, c_t]
        others:    s_t = gru(e(y_(t-1)), s_(t-1));                o_t = [s_t, c(s_t)]
        logits_t = out(dropout(tanh(join(o_t))))

    input_ids (n, s), padded on the right, attention_mask (n, s) 0 at padding. decoder_input_ids
    (n, t): the target from bos_token_id on; made of labels (n, t), -100 where none counts, unless
    given. Gives logits (n, t, target_vocab_size); with labels loss and logits.

    Args:
        source_vocab_size, target_vocab_size: tokens. embedding_dim: of both tables.
        hidden_size: of encoder (half for each direction) and decoder; even.
        num_layers: of both. attention: "additive", "general" or "dot". dropout.
        pad_token_id, bos_token_id, eos_token_id: of the target; padding of the source, too.
    """

    model_type: ClassVar[str] = "seq2seq"

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        embedding_dim: int = 256,
        hidden_size: int = 256,
        num_layers: int = 1,
        attention: str = "additive",
        dropout: float = 0.1,
        pad_token_id: int = 0,
        bos_token_id: int = 1,
        eos_token_id: int = 2,
    ) -> None:
        super().__init__()
        if hidden_size % 2:
            raise ArgumentError(f"Seq2Seq: hidden_size = {hidden_size}; it must be even.")
        one_of("Seq2Seq", "attention", attention, ("additive", "general", "dot"))
        self._config = {
            "source_vocab_size": source_vocab_size,
            "target_vocab_size": target_vocab_size,
            "embedding_dim": embedding_dim,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "attention": attention,
            "dropout": dropout,
            "pad_token_id": pad_token_id,
            "bos_token_id": bos_token_id,
            "eos_token_id": eos_token_id,
        }
        self.pad, self.bos, self.eos = pad_token_id, bos_token_id, eos_token_id
        between = dropout if num_layers > 1 else 0.0
        self.source = nn.Embedding(source_vocab_size, embedding_dim, padding_idx=pad_token_id)
        self.target = nn.Embedding(target_vocab_size, embedding_dim, padding_idx=pad_token_id)
        half = hidden_size // 2
        self.encoder = nn.GRU(
            embedding_dim, half, num_layers, batch_first=True, dropout=between, bidirectional=True
        )
        self.attention = CrossAttention(attention, hidden_size)
        self.additive = attention == "additive"
        width = embedding_dim + (hidden_size if self.additive else 0)
        self.decoder = nn.GRU(width, hidden_size, num_layers, batch_first=True, dropout=between)
        self.join = nn.Linear(2 * hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, target_vocab_size)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Logits | LanguageModelOutput:
        if decoder_input_ids is None:
            if labels is None:
                raise ArgumentError(
                    "Seq2Seq: decoder_input_ids or labels must be given; of the source alone, "
                    "generate() makes a target."
                )
            decoder_input_ids = self._shifted(labels)
        shape = check_tokens(self, decoder_input_ids, name="decoder_input_ids")
        memory, state = self.encode(input_ids, attention_mask)
        logits, _ = self.decode(decoder_input_ids, state, memory)
        if labels is None:
            return as_logits(logits)
        rows = check_labels(self, labels, shape).reshape(-1)
        loss = F.cross_entropy(logits.reshape(len(rows), -1), rows)
        return LanguageModelOutput(loss=loss, logits=logits)

    def _shifted(self, labels: Tensor) -> Tensor:
        """bos and the labels but the last, as the decoder reads them."""
        n = check_tokens(self, labels, name="labels")[0]
        first = gg.full((n, 1), self.bos, dtype=labels.dtype, device=labels.device)
        before = labels[:, :-1]
        return gg.cat([first, before.masked_fill(before < 0, self.pad)], 1)

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Memory, Tensor]:
        """(memory of the source, first state (num_layers, n, hidden) of the decoder)."""
        shape = check_tokens(self, input_ids)
        check_device(self, input_ids, self.out.weight)
        seen = check_mask(self, attention_mask, shape)
        lengths = None if seen is None else lengths_of(self, seen)
        x = self.dropout(self.source(input_ids))
        y, h = self.encoder(x, None, lengths=lengths)
        state = gg.cat([h[0::2], h[1::2]], 2)  # both directions of each layer
        return self.attention.remember(y, seen), state

    def decode(self, tokens: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """(logits (n, t, vocabulary), last state) of tokens (n, t) read from `state` on."""
        x = self.dropout(self.target(tokens))
        if not self.additive:
            y, state = self.decoder(x, state)
            context = self.attention(y, memory)
        else:
            steps, contexts = [], []
            for t in range(x.shape[1]):
                contexts.append(self.attention(state[-1].unsqueeze(1), memory))
                step, state = self.decoder(gg.cat([x[:, t : t + 1], contexts[-1]], 2), state)
                steps.append(step)
            y, context = gg.cat(steps, 1), gg.cat(contexts, 1)
        joined = self.join(gg.cat([y, context], 2)).tanh()
        return self.out(self.dropout(joined)), state

    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        max_new_tokens: int = 50,
    ) -> Tensor:
        """The most probable next token, step by step: int64 (n, up to max_new_tokens), each ending
        with eos_token_id and then padded."""
        with gg.no_grad(), eval_mode(self):
            memory, state = self.encode(input_ids, attention_mask)
            n, device = len(input_ids), input_ids.device
            tokens = gg.full((n, 1), self.bos, dtype=gg.int64, device=device)
            ended = gg.zeros(n, 1, dtype=gg.bool, device=device)
            found: list[Tensor] = []
            for _ in range(max_new_tokens):
                logits, state = self.decode(tokens, state, memory)
                tokens = gg.where(ended, self.pad, logits[:, -1].argmax(-1, keepdim=True))
                ended = ended | (tokens == self.eos)
                found.append(tokens)
                if bool(ended.all()):
                    break
            if not found:
                return gg.zeros(n, 0, dtype=gg.int64, device=device)
            return gg.cat(found, 1)
