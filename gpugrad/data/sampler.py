"""Samplers: in which order items are taken, and how they are grouped. PyTorch's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

import gpugrad as gg
from gpugrad.errors import ArgumentError

if TYPE_CHECKING:
    from gpugrad.random import Generator
    from gpugrad.tensor import Tensor


BLOCK = 1 << 16
"""Indices drawn at a time with replacement: a sampler may be asked for 10^10 of them."""


def shuffled(size: int, generator: Generator | None = None) -> Tensor:
    """A permutation of 0..size-1 (int64), on the CPU."""
    return gg.randperm(size, generator=generator)


class Sampler:
    """Gives indices (or lists of indices, as a batch sampler) when iterated."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class SequentialSampler(Sampler):
    """0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A random order of all items, anew each time; or draws with replacement.

    Args:
        replacement: draw each index independently.
        num_samples: how many indices to give (default: one for each item). Without replacement
            more than the number of items gives one permutation after another.
        generator: source of the random numbers (default: the CPU's).
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if num_samples is not None and num_samples <= 0:
            raise ArgumentError(f"RandomSampler: num_samples = {num_samples}; it must be positive.")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many indices one iteration gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        size = len(self.data_source)
        left = self.num_samples
        while left > 0 and size > 0:
            if self.replacement:
                order = self._draws(size, min(left, BLOCK))
            else:
                order = shuffled(size, self.generator)
            chosen = order.tolist()[:left]
            left -= len(chosen)
            yield from chosen

    def _draws(self, size: int, count: int) -> Tensor:
        return gg.randint(0, size, (count,), generator=self.generator)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of `batch_size` indices of another sampler; the last may be shorter, or is dropped."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
            raise ArgumentError(
                f"BatchSampler: batch_size = {batch_size!r}; it must be a positive integer."
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        size = len(self.sampler)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)


class SubsetRandomSampler(Sampler):
    """The given indices, in a random order, anew each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for position in shuffled(len(self.indices), self.generator).tolist():
            yield self.indices[position]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices 0..len(weights) - 1, drawn with probabilities in proportion to weights.

    With replacement by inverting the cumulated weights; without, by the smallest of exponential
    draws of rate weight (Efraimidis & Spirakis 2006). For classes of unequal size take
    1 / (size of the class) as an item's weight.

    Raises ArgumentError for weights that are no probabilities, and for more draws without
    replacement than there are items with a weight above 0.
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        fine = self.weights.ndim == 1 and bool((np.isfinite(self.weights)).all())
        if not fine or (self.weights < 0).any() or not self.weights.sum() > 0:
            raise ArgumentError(
                "WeightedRandomSampler: weights must be one row of finite numbers of at least 0, "
                "not all 0."
            )
        possible = np.count_nonzero(self.weights)
        if num_samples <= 0 or (not replacement and num_samples > possible):
            raise ArgumentError(
                f"WeightedRandomSampler: num_samples = {num_samples}, replacement = {replacement}; "
                f"it must be positive, and without replacement at most {possible}, the number of "
                "weights above 0."
            )
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        count = self.num_samples if self.replacement else len(self.weights)
        draws = gg.rand(count, dtype=gg.float64, generator=self.generator).numpy()
        if self.replacement:
            edges = np.cumsum(self.weights)
            chosen = np.searchsorted(edges, draws * edges[-1], side="right")
            chosen = np.minimum(chosen, np.flatnonzero(self.weights)[-1])  # where rounding gave 1
        else:
            with np.errstate(divide="ignore"):
                chosen = np.argsort(-np.log1p(-draws) / self.weights, kind="stable")
        return iter(chosen[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples
