"""The configuration of BERT."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from gpugrad.models.configuration import (
    PretrainedConfig,
    activation_of,
    check_heads,
    check_sizes,
    refuse,
)


@dataclass
class BertConfig(PretrainedConfig):
    """BERT's sizes, as config.json has them; the defaults are BERT base's (Devlin et al. 2019).

    vocab_size: tokens. hidden_size: width, divisible by num_attention_heads. intermediate_size:
    width between the two layers of the feed-forward net, with hidden_act between them.
    max_position_embeddings: longest sequence. type_vocab_size: token types (sentences).
    hidden_dropout_prob, attention_probs_dropout_prob, classifier_dropout (None: as hidden).
    initializer_range: standard deviation of initial weights. layer_norm_eps.
    pad_token_id: its embedding starts as 0 and gets no gradient.
    """

    model_type: ClassVar[str] = "bert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    _: KW_ONLY
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        check_sizes(self, "intermediate_size", "max_position_embeddings", "type_vocab_size")
        check_heads(self, "hidden_size", "num_attention_heads")
        activation_of(self, "hidden_act")
        refuse(self, is_decoder=False, add_cross_attention=False, pruned_heads={})
        refuse(self, position_embedding_type="absolute")
