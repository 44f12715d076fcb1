"""Stacks of Transformer layers: encoder, decoder, and the whole. Vaswani et al. 2017."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..creation import full
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from . import functional as F
from . import init
from .container import ModuleList
from .module import Module
from .norm import LayerNorm
from .transformer_layers import (
    Activation,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)


def _is_causal(mask: Tensor | None, given: bool | None) -> bool:
    """Whether the mask hides exactly the keys behind each query: `given`, or seen where the values
    are at hand (on a GPU looking would wait: there the mask is used as it is)."""
    if given is not None or mask is None:
        return bool(given)
    if not mask.backend.synchronous or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    values = mask.backend.to_numpy(mask.array)
    hidden = np.triu(np.ones(values.shape, bool), 1)
    if mask.dtype != dtypes.bool_:
        return bool((values == np.where(hidden, -np.inf, 0)).all())
    return bool((values == hidden).all())


class _Stack(Module):
    """Copies of a layer, one behind the other, and a norm at the end where there is one."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        if num_layers < 1:
            raise ArgumentError(
                f"{type(self).__name__}: num_layers must be at least 1, got {num_layers}."
            )
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm


class TransformerEncoder(_Stack):
    """num_layers copies of encoder_layer (with the same initial values), then norm if given.

    mask: [L, L] or [B nhead, L, L]; src_key_padding_mask [B, L]. is_causal says that mask is the
    causal one; None: seen by its values, on a CPU. enable_nested_tensor and mask_check are
    accepted for PyTorch's sake and have no effect: padded positions are computed, always.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        causal = _is_causal(mask, is_causal)
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(_Stack):
    """num_layers copies of decoder_layer (with the same initial values), then norm if given.

    Masks and hints as in `TransformerEncoder`.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        options = {
            "tgt_mask": tgt_mask,
            "memory_mask": memory_mask,
            "tgt_key_padding_mask": tgt_key_padding_mask,
            "memory_key_padding_mask": memory_key_padding_mask,
            "tgt_is_causal": _is_causal(tgt_mask, tgt_is_causal),
            "memory_is_causal": memory_is_causal,
        }
        x = tgt
        for layer in self.layers:
            x = layer(x, memory, **options)
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """decoder(tgt, encoder(src)): stacks of the layers above, each with a norm at its end.

    src [S, B, d_model], tgt [T, B, d_model], batch first with batch_first, or without batch; the
    result is like tgt. Initial values: matrices Glorot uniform, the rest those of the parts.
    Raises ShapeError where batches differ or features are not d_model.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        options: Any = (*sizes, batch_first, norm_first, bias, device, dtype)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*options), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*options), num_decoder_layers, norm()
        )
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        self._check(src, tgt)
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    def _check(self, src: Tensor, tgt: Tensor) -> None:
        facts = f"src {tuple(src.shape)}, tgt {tuple(tgt.shape)}"
        batch = 0 if self.batch_first else 1
        if src.ndim == tgt.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ShapeError(
                f"Transformer: src and tgt must have one batch size, axis {batch} "
                f"(batch_first={self.batch_first}); got {facts}."
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"Transformer: src and tgt must have d_model={self.d_model} features; got {facts}."
            )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """[sz, sz]: 0 where query i may see key j <= i, -infinity elsewhere; to be added."""
        mask = full((sz, sz), -float("inf"), dtype=dtype, device=device)
        return mask.masked_fill(~mask.new_ones(sz, sz, dtype=dtypes.bool_).triu(1), 0.0)
