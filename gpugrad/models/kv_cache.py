"""Keys and values of the tokens so far, for decoding one token at a time."""

from __future__ import annotations

import gpugrad as gg
from gpugrad.autograd import is_grad_enabled
from gpugrad.errors import ArgumentError
from gpugrad.tensor import Tensor


class KVCache:
    """Room for `size` tokens of each layer, allocated once: a step copies its own keys and values
    in and reads all so far as views.

    Shapes: for each layer keys and values (n, heads, size, d). `length`: tokens held.
    """

    def __init__(self, layers: int, n: int, heads: int, size: int, d: int, like: Tensor) -> None:
        def room() -> Tensor:
            return gg.empty(n, heads, size, d, dtype=like.dtype, device=like.device)

        self.keys = [room() for _ in range(layers)]
        self.values = [room() for _ in range(layers)]
        self.size, self.length = size, 0

    def get_seq_length(self) -> int:
        """Tokens held; transformers' name for `length`."""
        return self.length

    def update(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put in k, v (n, heads, t, d) of the next t tokens; all up to them (n, heads, ., d).

        `advance` tells, after the last layer, that these tokens are in. Raises ArgumentError where
        gradients are recorded or the cache is full.
        """
        end = self.length + k.shape[2]
        if is_grad_enabled() and (k.requires_grad or v.requires_grad):
            raise ArgumentError(
                "a key-value cache keeps no gradients: call the model under gg.no_grad(), or with "
                "use_cache=False."
            )
        if end > self.size:
            raise ArgumentError(
                f"the key-value cache has room for {self.size} tokens, not for {end}."
            )
        found = []
        for store, new in ((self.keys[layer], k), (self.values[layer], v)):
            store.backend.kernels.copy(new.array, store.array[:, :, self.length : end])
            found.append(Tensor(store.array[:, :, :end], store.backend))
        return found[0], found[1]

    def advance(self, tokens: int) -> None:
        """These tokens are in all layers."""
        self.length += tokens
