"""Generation of text by language models: greedy, or by drawing from the most probable tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import gpugrad as gg
from gpugrad.errors import ArgumentError
from gpugrad.models.text_inputs import check_device, check_mask, check_tokens
from gpugrad.nn import Module
from gpugrad.ops.sampling import sample
from gpugrad.random import Generator
from gpugrad.tensor import Tensor


class Decoder(Protocol):
    """Remembers the tokens so far."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """Takes the next tokens (n, t); logits (n, vocabulary) of the one after them."""


class Generative(Module):
    """A language model that `generate` can run: subclasses say how to decode."""

    @property
    def max_length(self) -> int | None:
        """The longest sequence; None: any."""
        return None

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text, unless `generate` is told others."""
        return ()

    def decoder_of(self, n: int, size: int, mask: Tensor | None) -> Decoder:
        """A new decoder of n sequences, each of up to `size` tokens; mask bool (n, size): False at
        padding before a prompt."""
        raise NotImplementedError

    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        max_new_tokens: int = 20,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 1.0,
        eos_token_id: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        generator: Generator | None = None,
        streamer: Callable[[Tensor], None] | None = None,
        sliding: bool = False,
    ) -> Tensor:
        """input_ids (n, t) with up to max_new_tokens more: int64 (n, t + new).

        Greedy, or with do_sample drawn from softmax(logits / temperature), of the top_k most
        probable (0: all), of these the fewest that together reach top_p. A sequence ends with
        eos_token_id (None: the configuration's; -1: none) and goes on with pad_token_id, or
        eos_token_id; when all have ended, so does this. Prompts of different length are padded on
        the left, attention_mask (n, t) being 0 there. The model computes in eval mode and remembers
        the past, so a token costs one step. generator: of the draws. streamer: called with the
        tokens (n,) of each step. sliding: longer than the model's positions, by going on from the
        last half of them; else ArgumentError.
        """
        n, t = check_tokens(self, input_ids)
        check_device(self, input_ids, next(self.parameters()))
        _check(self, t, max_new_tokens, temperature, sliding)
        mask = _left_padded(self, attention_mask, (n, t))
        options = (float(temperature), int(top_k), float(top_p)) if do_sample else (0.0, 0, 1.0)
        ends = self.end_tokens if eos_token_id is None else _tuple(eos_token_id)
        pad = ends[0] if ends and pad_token_id is None else pad_token_id
        with gg.no_grad(), eval_mode(self):
            text = _Text(self, input_ids.to(gg.int64), mask, max_new_tokens)
            for tokens in _steps(text, max_new_tokens, (*options, generator), ends, pad):
                if streamer is not None:
                    streamer(tokens)
            return text.ids()


def _steps(
    text: _Text, count: int, options: tuple[Any, ...], ends: tuple[int, ...], pad: int | None
) -> Iterator[Tensor]:
    """Adds tokens to the text, and gives them (n,): `count`, or until each sequence has ended."""
    ended = gg.zeros(len(text.parts[0]), dtype=gg.bool, device=text.parts[0].device)
    for _ in range(count):
        tokens = sample(text.logits(), *options)
        if ends:
            tokens = gg.where(ended, pad, tokens)
        for end in ends:
            ended = ended | (tokens == end)
        text.add(tokens)
        yield tokens
        if ends and bool(ended.all()):
            break


class _Text:
    """The tokens so far, and a decoder that has read them: a new one, of the last half of the
    positions, whenever there are no more."""

    def __init__(self, model: Generative, ids: Tensor, mask: Tensor | None, more: int) -> None:
        self.model, self.parts, self.mask, self.more = model, [ids], mask, more
        self._begin(ids, mask)

    def _begin(self, ids: Tensor, mask: Tensor | None) -> None:
        limit, t = self.model.max_length, ids.shape[1]
        if limit is not None and t > limit:
            keep = max(limit // 2, 1)
            ids, mask, t = ids[:, -keep:], None if mask is None else mask[:, -keep:], keep
        self.size = t + self.more if limit is None else min(t + self.more, limit)
        if mask is not None:
            new = gg.ones(len(ids), self.size - t, dtype=gg.bool, device=ids.device)
            mask = gg.cat([mask, new], 1)
        self.decode = self.model.decoder_of(len(ids), self.size, mask)
        self.pending, self.held = ids, 0

    def logits(self) -> Tensor:
        """Of the next token: (n, vocabulary)."""
        if self.held + self.pending.shape[1] > self.size:
            ids = self.ids()
            mask = self.mask
            if mask is not None:
                new = gg.ones(len(ids), ids.shape[1] - mask.shape[1], dtype=gg.bool)
                mask = gg.cat([mask, new.to(ids.device)], 1)
            keep = max(self.size // 2, 1)
            self._begin(ids[:, -keep:], None if mask is None else mask[:, -keep:])
        self.held += self.pending.shape[1]
        return self.decode(self.pending)

    def add(self, tokens: Tensor) -> None:
        """The next token (n,) of each sequence."""
        self.pending = tokens.unsqueeze(1)
        self.parts.append(self.pending)
        self.more -= 1

    def ids(self) -> Tensor:
        """All tokens (n, .)."""
        return gg.cat(self.parts, 1)


def _tuple(tokens: int | Sequence[int]) -> tuple[int, ...]:
    """The tokens that there are: none are negative."""
    several = (tokens,) if isinstance(tokens, int) else tokens
    return tuple([token for token in several if token >= 0])


def _check(model: Generative, t: int, more: int, temperature: float, sliding: bool) -> None:
    name, limit = f"{type(model).__name__}.generate", model.max_length
    if more < 0:
        raise ArgumentError(f"{name}: max_new_tokens = {more}; it cannot be negative.")
    if not temperature > 0:
        raise ArgumentError(
            f"{name}: temperature = {temperature}; it must be above 0. do_sample=False takes the "
            "most probable token."
        )
    if limit is not None and t + more > limit and not sliding:
        raise ArgumentError(
            f"{name}: {t} tokens and max_new_tokens = {more} make {t + more}, but the model has "
            f"{limit} positions.\n  Ask for fewer, or pass sliding=True, which goes on from the "
            "last half of the positions."
        )


def _left_padded(model: Module, mask: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    """The mask of prompts, bool. Raises ArgumentError where a prompt ends with padding."""
    seen = check_mask(model, mask, shape)
    if seen is not None and seen.backend.synchronous and not bool(seen[:, -1].all()):
        raise ArgumentError(
            f"{type(model).__name__}.generate: a prompt ends with padding in attention_mask.\n"
            "  Pad prompts on the left, so that the new tokens follow theirs."
        )
    return seen


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """Eval mode meanwhile; then each module has its own mode again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
