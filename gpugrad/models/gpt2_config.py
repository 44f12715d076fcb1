"""The configuration of GPT-2."""

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
class GPT2Config(PretrainedConfig):
    """GPT-2's sizes, as config.json has them; the defaults are those of the 124M model.

    vocab_size: tokens. n_positions: longest sequence. n_embd: width, divisible by n_head.
    n_layer: blocks. n_inner: width between the two layers of the feed-forward net (None: 4 n_embd),
    with activation_function between them. resid_pdrop, embd_pdrop, attn_pdrop: dropout of what is
    added to the residual stream, of the embeddings, of attention. layer_norm_epsilon.
    initializer_range: standard deviation of initial weights. scale_attn_weights: scores are divided
    by sqrt(n_embd / n_head); scale_attn_by_inverse_layer_idx: and by the number of the block.
    (Radford et al. 2019.)
    """

    model_type: ClassVar[str] = "gpt2"

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    _: KW_ONLY
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    use_cache: bool = True
    add_cross_attention: bool = False
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, "vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
        if self.n_inner is not None:
            check_sizes(self, "n_inner")
        check_heads(self, "n_embd", "n_head")
        activation_of(self, "activation_function")
        refuse(self, add_cross_attention=False)

    # The names that other architectures have for these.
    @property
    def hidden_size(self) -> int:
        """n_embd."""
        return self.n_embd

    @property
    def num_hidden_layers(self) -> int:
        """n_layer."""
        return self.n_layer

    @property
    def num_attention_heads(self) -> int:
        """n_head."""
        return self.n_head

    @property
    def max_position_embeddings(self) -> int:
        """n_positions."""
        return self.n_positions
