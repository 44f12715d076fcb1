"""MultiheadAttention."""

from __future__ import annotations

from typing import Any

from ..creation import empty
from ..errors import ArgumentError
from ..tensor import Tensor
from . import init
from .attention_functions import Options, Projections, attend
from .linear import Linear
from .module import Module
from .parameter import Parameter


class MultiheadAttention(Module):
    """concat(head_1, ..., head_h) W_o + b_o, head_i = softmax(Q_i K_i^T / sqrt(D)) V_i of its part,
    D = embed_dim / num_heads, of Q = query W_q^T + b_q, K of key, V of value.

    query [L, B, E], key [S, B, kdim], value [S, B, vdim]; batch first with batch_first; or without
    batch. Returns (output like query, weights [B, L, S], or [B, num_heads, L, S] unless averaged;
    None with need_weights=False, which is much faster: the fused kernel).
    key_padding_mask [B, S], attn_mask [L, S] or [B num_heads, L, S]: bool, where True hides the
    key, or added to the scores. is_causal says that attn_mask is the causal mask.
    dropout: of the weights, in training. add_bias_kv: one learned key and value more;
    add_zero_attn: one of zeros.
    Parameters: in_proj_weight [3 E, E] (or q_proj_weight [E, E], k_proj_weight [E, kdim],
    v_proj_weight [E, vdim]), Glorot uniform; in_proj_bias [3 E], 0; bias_k, bias_v [1, 1, E],
    Glorot normal; out_proj, a Linear with bias 0.
    Raises ShapeError, DTypeError, ArgumentError. Vaswani et al. 2017.
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention: embed_dim={embed_dim} must be a positive multiple of "
                f"num_heads={num_heads}."
            )
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"MultiheadAttention: dropout must be in [0, 1], got {dropout}.")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.head_dim, self.batch_first = embed_dim // num_heads, batch_first
        self.add_zero_attn = add_zero_attn

        def weight(*shape: int) -> Parameter:
            return Parameter(empty(shape, device=device, dtype=dtype))

        self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        if self.kdim == self.vdim == embed_dim:
            self.in_proj_weight = weight(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight = weight(embed_dim, embed_dim)
            self.k_proj_weight = weight(embed_dim, self.kdim)
            self.v_proj_weight = weight(embed_dim, self.vdim)
            self.in_proj_weight = None
        self.in_proj_bias = weight(3 * embed_dim) if bias else None
        self.bias_k = weight(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = weight(1, 1, embed_dim) if add_bias_kv else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        inputs = (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        for weight in inputs:
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        own = Projections(
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.out_proj.weight,
            self.out_proj.bias,
            self.bias_k,
            self.bias_v,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        )
        options = Options(
            key_padding_mask,
            attn_mask,
            need_weights,
            average_attn_weights,
            is_causal,
            self.add_zero_attn,
            self.dropout if self.training else 0.0,
        )
        return attend(query, key, value, own, options, self.batch_first)

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"
