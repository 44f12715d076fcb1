"""GPT-2: decoder of tokens (Radford et al. 2019, "Language Models are Unsupervised Multitask
Learners"). Names of modules and parameters, and the layout of weights, are Hugging Face's.

    x = dropout(wte[ids] + wpe[position])
    each block:  x = x + dropout(proj(attention(ln_1(x))));  x = x + dropout(W2 act(W1 ln_2(x)))
    y = ln_f(x);  logits = y wte^T
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import gpugrad as gg
from gpugrad import nn, ops
from gpugrad.autograd import is_grad_enabled
from gpugrad.errors import ShapeError
from gpugrad.models.bert import add_norm, split_heads
from gpugrad.models.configuration import activation_of
from gpugrad.models.gpt2_config import GPT2Config
from gpugrad.models.kv_cache import KVCache
from gpugrad.models.outputs import BaseModelOutput
from gpugrad.models.pretrained import ConfiguredModel
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import check_device, check_mask, check_tokens
from gpugrad.nn import functional as F
from gpugrad.ops.heads import merge_heads
from gpugrad.tensor import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": ops.gelu,
    "gelu_tanh": partial(ops.gelu, approximate="tanh"),
    "relu": ops.relu,
    "silu": ops.silu,
    "tanh": ops.tanh,
}


class Conv1D(nn.Module):
    """y = act(x W + b), W (in_features, out_features): nn.Linear with the weight the other way.

    One kernel where nothing is recorded. Initial values: W normal with deviation `std`, b 0.
    """

    def __init__(self, out_features: int, in_features: int, std: float = 0.02) -> None:
        super().__init__()
        self.nf, self.nx = out_features, in_features
        self.weight = nn.Parameter(gg.empty(in_features, out_features))
        self.bias = nn.Parameter(gg.zeros(out_features))
        nn.init.normal_(self.weight, 0.0, std)

    def forward(self, x: Tensor, activation: str = "none") -> Tensor:
        if not is_grad_enabled():
            return ops.linear(x, self.weight.mT, self.bias, activation)
        y = ops.addmm(self.bias, x.reshape(-1, self.nx), self.weight)
        y = y.reshape(*x.shape[:-1], self.nf)
        return y if activation == "none" else ACTIVATIONS[activation](y)

    def extra_repr(self) -> str:
        return f"nf={self.nf}, nx={self.nx}"


class GPT2Attention(nn.Module):
    """Causal self-attention and projection; with a cache, of the new tokens to all so far."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.n_head, layer
        self.scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer + 1
        std = config.initializer_range
        self.c_attn = Conv1D(3 * config.n_embd, config.n_embd, std)
        self.c_proj = Conv1D(config.n_embd, config.n_embd, std / math.sqrt(2 * config.n_layer))
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, mask: Tensor | None, cache: KVCache | None) -> Tensor:
        parts = self.c_attn(x).split(x.shape[-1], -1)
        q, k, v = (split_heads(part, self.heads) for part in parts)
        if cache is not None:
            k, v = cache.update(self.layer, k, v)
        y = F.attention(
            q,
            k,
            v,
            mask,
            causal=q.shape[2] > 1,  # one query is the last: it sees all keys
            align_end=True,
            dropout_p=self.attn_dropout.p if self.training else 0.0,
            scale=self.scale,
        )
        return self.resid_dropout(self.c_proj(merge_heads(y, True)))


class GPT2MLP(nn.Module):
    """W2 act(W1 x), dropout."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        inner, std = config.n_inner or 4 * config.n_embd, config.initializer_range
        self.c_fc = Conv1D(inner, config.n_embd, std)
        self.c_proj = Conv1D(config.n_embd, inner, std / math.sqrt(2 * config.n_layer))
        self.activation = activation_of(config, "activation_function")
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.c_fc(x, self.activation)))


class GPT2Block(nn.Module):
    """One block, between additions: takes (x, delta), what is still to be added to the residual
    stream, so that each addition and the norm after it are one kernel; gives the same."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = GPT2Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = GPT2MLP(config)

    def forward(
        self, x: Tensor, delta: Tensor | None, mask: Tensor | None, cache: KVCache | None
    ) -> tuple[Tensor, Tensor]:
        y, x = (self.ln_1(x), x) if delta is None else add_norm(self.ln_1, delta, x)
        y, x = add_norm(self.ln_2, self.attn(y, mask, cache), x)
        return x, self.mlp(y)


class GPT2PreTrainedModel(ConfiguredModel):
    """Base of GPT-2's models: configuration, initial values, directories.

    config: a GPT2Config, its fields by keyword, or both. Initial values: weights normal with
    deviation config.initializer_range, those that add to the residual stream that / sqrt(2
    n_layer), biases 0. Hooks on norms do not run (they are one kernel with the addition before).
    """

    config: GPT2Config
    config_class = GPT2Config
    model_type: ClassVar[str] = "gpt2"
    base_model_prefix: ClassVar[str] = "transformer"
    ignored_weights = (".attn.bias", ".attn.masked_bias")  # causal masks in old files


@register("gpt2")
class GPT2Model(GPT2PreTrainedModel):
    """The decoder without head.

    input_ids (n, t); attention_mask (n, t): 0 hides padding; with past_key_values, what a call with
    use_cache=True gave, (n, past + t). position_ids (t) or (n, t): from the number of past tokens
    on, unless given. token_type_ids: further tokens whose embeddings are added.
    Gives last_hidden_state (n, t, n_embd), past_key_values with use_cache, and hidden_states (of
    the embeddings and each block, the last after ln_f) if output_hidden_states.
    Raises ShapeError for wrong axes, sequences longer than the position table and masks that do not
    fit; IndexOutOfRangeError for tokens beyond the vocabulary.
    """

    def __init__(self, config: GPT2Config | None = None, **fields: Any) -> None:
        super().__init__(config, **fields)
        c = self.config
        self.wte = nn.Embedding(c.vocab_size, c.n_embd)
        self.wpe = nn.Embedding(c.n_positions, c.n_embd)
        self.drop = nn.Dropout(c.embd_pdrop)
        self.h = nn.ModuleList([GPT2Block(c, i) for i in range(c.n_layer)])
        self.ln_f = nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon)
        for table in (self.wte, self.wpe):
            nn.init.normal_(table.weight, 0.0, c.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: KVCache | None = None,
        use_cache: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        n, t = check_tokens(self, input_ids, self.config.n_positions)
        check_device(self, input_ids, self.wte.weight)
        cache = past_key_values
        if cache is None and use_cache:
            cache = self.new_cache(n, self.config.n_positions)
        past = 0 if cache is None else cache.length
        x = self._embedded(input_ids, token_type_ids, position_ids, past)
        seen = check_mask(self, attention_mask, (n, past + t))
        mask = None if seen is None else seen[:, None, None, :]
        states, delta = [x], None
        for block in self.h:
            x, delta = block(x, delta, mask, cache)
            if output_hidden_states:
                states.append(x + delta)
        y = self.ln_f(x) if delta is None else add_norm(self.ln_f, delta, x)[0]
        if cache is not None:
            cache.advance(t)
        shown = (*states[:-1], y) if output_hidden_states else None
        return BaseModelOutput(last_hidden_state=y, past_key_values=cache, hidden_states=shown)

    def new_cache(self, n: int, size: int) -> KVCache:
        """An empty cache for n sequences of `size` tokens."""
        c = self.config
        return KVCache(c.n_layer, n, c.n_head, size, c.n_embd // c.n_head, self.wte.weight)

    def _embedded(
        self, ids: Tensor, types: Tensor | None, positions: Tensor | None, past: int
    ) -> Tensor:
        t, limit = ids.shape[1], self.config.n_positions
        if positions is not None:
            places = self.wpe(positions)
        elif past + t > limit:
            raise ShapeError(
                f"{type(self).__name__}: {past} tokens in the cache and {t} more, but the model "
                f"has {limit} positions."
            )
        else:
            places = self.wpe.weight[past : past + t]
        x = self.wte(ids) + places
        return self.drop(x if types is None else x + self.wte(types))
