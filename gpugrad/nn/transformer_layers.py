"""Layers of a Transformer's encoder and decoder.

Masks are those of MultiheadAttention: bool, where True hides a key, or added to the scores.
Vaswani et al. 2017; norm_first: Xiong et al. 2020.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError
from ..tensor import Tensor
from . import functional as F
from .activation import GELU, ReLU
from .attention import MultiheadAttention
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .norm import LayerNorm

Activation = str | Callable[[Tensor], Tensor]
Part = tuple[Module, Module, Callable[[Tensor], Tensor]]


def _activation(name: str, activation: Activation) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise ArgumentError(
            f"{name}: activation must be relu, gelu or a function, not {activation!r}."
        )
    return F.relu if activation == "relu" else F.gelu


def _plain(module: Module, kind: type[Module]) -> bool:
    """Is it exactly such a layer, without hooks, so that a fused kernel may stand in for it?"""
    return type(module) is kind and not module._hooked


def _add_norm(norm: Module, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """(norm(x + residual), x + residual): one kernel, where norm is a LayerNorm."""
    if isinstance(norm, LayerNorm) and _plain(norm, LayerNorm):
        shape = norm.normalized_shape
        return F.add_layer_norm(x, residual, shape, norm.weight, norm.bias, norm.eps)
    total = x + residual
    return norm(total), total


class _Layer(Module):
    """What encoder and decoder layers share: the feed-forward part and the order of norms."""

    linear1: Linear
    linear2: Linear
    dropout: Dropout
    activation: Callable[[Tensor], Tensor]
    norm_first: bool

    def _hidden(self, x: Tensor) -> Tensor:
        """activation(linear1(x)); one kernel for relu and gelu."""
        act, layer = self.activation, self.linear1
        if _plain(layer, Linear):
            if act is F.relu or (isinstance(act, ReLU) and _plain(act, ReLU)):
                return F.linear(x, layer.weight, layer.bias, "relu")
            if act is F.gelu or (
                isinstance(act, GELU) and _plain(act, GELU) and act.approximate == "none"
            ):
                return F.linear(x, layer.weight, layer.bias, "gelu")
        return act(layer(x))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self._hidden(x)))

    def _through(self, x: Tensor, parts: Sequence[Part]) -> Tensor:
        """x after each (norm, dropout, f): norm(x + dropout(f(x))), or, with norm_first,
        x + dropout(f(norm(x)))."""
        if not self.norm_first:
            for norm, drop, f in parts:
                x, _ = _add_norm(norm, drop(f(x)), x)
            return x
        y = parts[0][0](x)
        for (_, drop, f), (norm, _, _) in itertools.pairwise(parts):
            y, x = _add_norm(norm, drop(f(y)), x)
        _, drop, f = parts[-1]
        return x + drop(f(y))


class TransformerEncoderLayer(_Layer):
    """x = norm1(x + dropout1(self_attn(x, x, x))),  y = norm2(x + dropout2(f(x))),
    f(x) = linear2(dropout(activation(linear1(x)))); with norm_first x + dropout1(self_attn(norm1
    (x), ...)) and so on.

    src [L, B, d_model], [B, L, d_model] with batch_first, or [L, d_model]; y like src.
    src_mask, src_key_padding_mask, is_causal: attn_mask and so on of `MultiheadAttention`.
    activation: "relu", "gelu" or a function. Initial values: those of the parts.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        norm = {"eps": layer_norm_eps, "bias": bias, "device": device, "dtype": dtype}
        self.norm1, self.norm2 = LayerNorm(d_model, **norm), LayerNorm(d_model, **norm)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _activation("TransformerEncoderLayer", activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self.self_attn(
                x,
                x,
                x,
                attn_mask=src_mask,
                key_padding_mask=src_key_padding_mask,
                need_weights=False,
                is_causal=is_causal,
            )[0]

        parts = [
            (self.norm1, self.dropout1, attend),
            (self.norm2, self.dropout2, self._feed_forward),
        ]
        return self._through(src, parts)


class TransformerDecoderLayer(_Layer):
    """As `TransformerEncoderLayer`, with a second attention between the two parts, in which memory
    gives keys and values: norm2(x + dropout2(multihead_attn(x, memory, memory))).

    tgt and memory [L, B, d_model], [B, L, d_model] with batch_first, or [L, d_model].
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        attention = {"batch_first": batch_first, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **attention)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        norm = {"eps": layer_norm_eps, "bias": bias, "device": device, "dtype": dtype}
        self.norm1, self.norm2 = LayerNorm(d_model, **norm), LayerNorm(d_model, **norm)
        self.norm3 = LayerNorm(d_model, **norm)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            own = (tgt_key_padding_mask, False, tgt_mask, True, tgt_is_causal)
            return self.self_attn(x, x, x, *own)[0]

        def read(x: Tensor) -> Tensor:
            other = (memory_key_padding_mask, False, memory_mask, True, memory_is_causal)
            return self.multihead_attn(x, memory, memory, *other)[0]

        parts = [
            (self.norm1, self.dropout1, attend),
            (self.norm2, self.dropout2, read),
            (self.norm3, self.dropout3, self._feed_forward),
        ]
        return self._through(tgt, parts)
