"""BERT: bidirectional encoder of tokens (Devlin et al. 2019, "BERT: Pre-training of Deep
Bidirectional Transformers"). Names of modules and parameters are Hugging Face's.

    e = dropout(norm(word[ids] + position[0..t-1] + type[types]))
    each layer:  a = norm(x + dropout(dense(attention(x))));  x = norm(a + dropout(W2 act(W1 a)))
    pooler_output = tanh(dense(x[:, 0]))
"""

from __future__ import annotations

from typing import Any, ClassVar

import gpugrad as gg
from gpugrad import nn, ops
from gpugrad.errors import ShapeError
from gpugrad.models.bert_config import BertConfig
from gpugrad.models.configuration import activation_of
from gpugrad.models.outputs import BaseModelOutput
from gpugrad.models.pretrained import ConfiguredModel
from gpugrad.models.registry import register
from gpugrad.models.text_inputs import check_device, check_mask, check_tokens
from gpugrad.nn import functional as F
from gpugrad.ops.heads import merge_heads
from gpugrad.tensor import Tensor


class BertEmbeddings(nn.Module):
    """norm(word[ids] + position + type), then dropout. ids, types (n, t) -> (n, t, hidden)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(
            config.vocab_size, width, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None
    ) -> Tensor:
        if position_ids is None:
            position = self.position_embeddings.weight[: input_ids.shape[1]]
        else:
            position = self.position_embeddings(position_ids)
        words = self.word_embeddings(input_ids)
        if token_type_ids is None:
            x = self.LayerNorm(words + (position + self.token_type_embeddings.weight[0]))
        else:
            types = self.token_type_embeddings(token_type_ids)
            x = add_norm(self.LayerNorm, words + position, types)[0]
        return self.dropout(x)


def add_norm(norm: nn.LayerNorm, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """(norm(x + residual), x + residual), one kernel."""
    return F.add_layer_norm(x, residual, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(n, t, d) as (n, heads, t, d / heads), a view."""
    n, t, width = x.shape
    return x.reshape(n, t, heads, width // heads).transpose(1, 2)


class BertSelfAttention(nn.Module):
    """softmax(q k^T / sqrt(d)) v of each head, by the fused kernel, dropout inside."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, width = config.num_attention_heads, config.hidden_size
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        p = self.dropout.p if self.training else 0.0
        return merge_heads(F.scaled_dot_product_attention(q, k, v, mask, dropout_p=p), True)


class BertOutput(nn.Module):
    """norm(residual + dropout(dense(x))): x (n, t, in_features) -> (n, t, hidden)."""

    def __init__(self, config: BertConfig, in_features: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_features, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return add_norm(self.LayerNorm, self.dropout(self.dense(x)), residual)[0]


class BertAttention(nn.Module):
    """Self-attention, projection, residual, norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertOutput(config, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(x, mask), x)


class BertIntermediate(nn.Module):
    """act(dense(x)), one kernel where nothing is recorded."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation_of(config, "hidden_act")

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.dense.weight, self.dense.bias, self.activation)


class BertLayer(nn.Module):
    """Attention, then the feed-forward net, each with its residual and norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config, config.intermediate_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    """The layers, one after the other."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        layers = [BertLayer(config) for _ in range(config.num_hidden_layers)]
        self.layer = nn.ModuleList(layers)

    def forward(self, x: Tensor, mask: Tensor | None) -> list[Tensor]:
        """x and the result of each layer."""
        states = [x]
        for layer in self.layer:
            states.append(layer(states[-1], mask))
        return states


class BertPooler(nn.Module):
    """tanh(dense(x)) of the first token: (n, t, hidden) -> (n, hidden)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x[:, 0], self.dense.weight, self.dense.bias, "tanh")


class BertPreTrainedModel(ConfiguredModel):
    """Base of BERT's models: configuration, initial values, directories.

    config: a BertConfig, its fields by keyword, or both. Initial values: weights normal with
    deviation config.initializer_range, biases 0, the padding token's embedding 0.
    Norms and linear layers with an activation are computed in one kernel with what is beside them,
    so hooks on these do not run; those on blocks, attention, and other layers do.
    """

    config: BertConfig
    config_class = BertConfig
    model_type: ClassVar[str] = "bert"
    base_model_prefix: ClassVar[str] = "bert"
    ignored_weights = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")

    @property
    def id2label(self) -> dict[int, str]:
        """The names of the classes."""
        return self.config.id2label

    def _init_weights(self) -> None:
        """Draw the initial values, but for those of the model inside, which has drawn its own."""
        std = self.config.initializer_range
        inside = getattr(self, self.base_model_prefix, None)
        done = set() if inside is None else {id(p) for p in inside.parameters()}
        for module in self.modules():
            if not isinstance(module, (nn.Linear, nn.Embedding)) or id(module.weight) in done:
                continue
            nn.init.normal_(module.weight, 0.0, std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                with gg.no_grad():
                    module.weight[module.padding_idx] = 0


@register("bert")
class BertModel(BertPreTrainedModel):
    """The encoder without head.

    input_ids (n, t); attention_mask (n, t): 0 hides padding (or (n, t, t): keys for each query);
    token_type_ids (n, t): the sentence a token belongs to; position_ids (t) or (n, t).
    Gives last_hidden_state (n, t, hidden), pooler_output (n, hidden), and hidden_states (of the
    embeddings and each layer) if output_hidden_states.
    Raises ShapeError for wrong axes, sequences longer than the position table and masks that do not
    fit; IndexOutOfRangeError for tokens beyond the vocabulary.
    """

    pooler: BertPooler | None

    def __init__(
        self, config: BertConfig | None = None, add_pooling_layer: bool = True, **fields: Any
    ) -> None:
        super().__init__(config, **fields)
        self.embeddings = BertEmbeddings(self.config)
        self.encoder = BertEncoder(self.config)
        self.pooler = BertPooler(self.config) if add_pooling_layer else None
        self._init_weights()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        n, t = check_tokens(self, input_ids, self.config.max_position_embeddings)
        check_device(self, input_ids, self.embeddings.word_embeddings.weight)
        if token_type_ids is not None and tuple(token_type_ids.shape) != (n, t):
            raise ShapeError(
                f"{type(self).__name__}: token_type_ids {tuple(token_type_ids.shape)} must have "
                f"the shape {(n, t)} of input_ids."
            )
        x = self.embeddings(input_ids, token_type_ids, position_ids)
        states = self.encoder(x, self._mask(attention_mask, n, t))
        pooled = None if self.pooler is None else self.pooler(states[-1])
        shown = tuple(states) if output_hidden_states else None
        return BaseModelOutput(
            last_hidden_state=states[-1], pooler_output=pooled, hidden_states=shown
        )

    def _mask(self, mask: Tensor | None, n: int, t: int) -> Tensor | None:
        """The mask as attention takes it: bool, broadcast to (n, heads, t, t)."""
        if mask is not None and tuple(mask.shape) == (n, t, t):
            return (mask != 0).unsqueeze(1)
        seen = check_mask(self, mask, (n, t))
        return None if seen is None else seen[:, None, None, :]
