"""GPT-2 with its language-model head."""

from __future__ import annotations

from typing import Any, ClassVar

from gpugrad import nn
from gpugrad.models.generation import Decoder, Generative
from gpugrad.models.gpt2 import GPT2Model, GPT2PreTrainedModel
from gpugrad.models.gpt2_config import GPT2Config
from gpugrad.models.kv_cache import KVCache
from gpugrad.models.outputs import LanguageModelOutput, Logits, as_logits, later
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import check_labels
from gpugrad.nn import functional as F
from gpugrad.tensor import Tensor


def next_token_loss(
    x: Tensor, weight: Tensor, labels: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of each label but the first, told from the state x (n, t, d) before it.

    The logits x W^T + b of a large vocabulary are never all stored. Labels of -100 do not count.
    """
    before, after = x[:, :-1].reshape(-1, x.shape[-1]), labels[:, 1:].reshape(-1)
    return F.linear_cross_entropy(before, weight, after, linear_bias=bias)


@register("gpt2_lm")
class GPT2LMHeadModel(GPT2PreTrainedModel, Generative):
    """GPT-2 that tells the next token: logits (n, t, vocabulary), by the transposed embedding.

    With labels (n, t), usually the input_ids themselves (they are shifted here; -100 does not
    count), loss and logits. With use_cache also past_key_values, for the next call. The other
    arguments are GPT2Model's.
    """

    tied_weights: ClassVar[tuple[str, ...]] = ("lm_head.weight",)

    def __init__(self, config: GPT2Config | None = None, **fields: Any) -> None:
        super().__init__(config, **fields)
        self.transformer = GPT2Model(self.config)
        self.lm_head = nn.Linear(self.config.n_embd, self.config.vocab_size, bias=False)
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight
        else:
            nn.init.normal_(self.lm_head.weight, 0.0, self.config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: KVCache | None = None,
        use_cache: bool = False,
    ) -> Logits | LanguageModelOutput:
        output = self.transformer(
            input_ids, attention_mask, token_type_ids, position_ids, past_key_values, use_cache
        )
        x, cache = output.last_hidden_state, output.past_key_values
        if labels is None and cache is None:
            return as_logits(self.lm_head(x))
        loss = None
        if labels is not None:
            labels = check_labels(self, labels, x.shape[:2])
            loss = next_token_loss(x, self.lm_head.weight, labels)
        head = self.lm_head
        logits = head(x) if loss is None else later(lambda: head(x), *head.parameters())
        return LanguageModelOutput(loss=loss, logits=logits, past_key_values=cache)

    @property
    def max_length(self) -> int:
        """The number of positions."""
        return self.config.n_positions

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The configuration's eos_token_id, where it is one of the vocabulary."""
        eos = self.config.eos_token_id
        several = eos if isinstance(eos, list) else [-1 if eos is None else eos]
        return tuple([token for token in several if 0 <= token < self.config.vocab_size])

    def decoder_of(self, n: int, size: int, mask: Tensor | None) -> Decoder:
        """Decodes n sequences of up to `size` tokens with a cache."""
        return _Cached(self, self.transformer.new_cache(n, size), mask)


class _Cached:
    """Decoding with a key-value cache. mask bool (n, size): False at padding before the prompts."""

    def __init__(self, model: GPT2LMHeadModel, cache: KVCache, mask: Tensor | None) -> None:
        self.model, self.cache, self.mask = model, cache, mask
        self.positions = None if mask is None else (mask.long().cumsum(1) - 1).clamp(min=0)

    def __call__(self, tokens: Tensor) -> Tensor:
        start, end = self.cache.length, self.cache.length + tokens.shape[1]
        mask = None if self.mask is None else self.mask[:, :end]
        positions = None if self.positions is None else self.positions[:, start:end]
        output = self.model.transformer(tokens, mask, None, positions, self.cache)
        logits: Tensor = self.model.lm_head(output.last_hidden_state[:, -1])
        return logits
